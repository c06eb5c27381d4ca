"""What is done with a filed mail besides filing it.

An address names a processor: `inbox`, which does nothing more, `digest`, `webhook`, or one that is installed (see
docs/adding-a-processor.md). A processor is its steps, each a task of the mail's run. It works on what one tenant got of
a mail, after that was archived and filed; what its policy holds back it never sees. Its failure is noted and costs the
mail nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailroom.archive.depositing import DepositReceipts
from mailroom.domain.inbound.received_email import Entry, Envelope
from mailroom.domain.inbound.routing import INBOX, Route
from mailroom.domain.parsing import ParsedEmail
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.archive import Deposit
from mailroom.ports.inbound import Inbound


@dataclass(frozen=True, slots=True)
class FiledMail:
    """What one tenant got of a mail, through the addresses that name one processor.

    `routes` and `items` (ids of inbox items) go together; `receipts` has the archive's by SHA-256. `envelope` is None
    where SES itself never told of the mail: nothing about its sender is known then.
    """

    email_id: str
    tenant: str
    processor: str
    routes: tuple[Route, ...]
    items: tuple[str, ...]
    parsed: ParsedEmail = field(repr=False)
    raw: bytes = field(repr=False)
    receipts: Mapping[str, Deposit] = field(repr=False)
    envelope: Envelope | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """What is noted of this processing goes by: one row for each e-mail, tenant and processor."""
        return f"{self.processor}/{self.tenant}"


#: Does one thing with a mail and returns facts worth noting: ids, codes, counts, never what the mail says.
#: It may be called again for the same mail. It raises `TransientError` for what may work a moment later.
Action = Callable[[FiledMail, Inbound], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a run."""

    name: str
    run: Action


def filed_mails(
    entry: Entry,
    routing: RoutingDecision,
    parsed: ParsedEmail,
    raw: bytes,
    *,
    items: Sequence[str],
    kept: DepositReceipts,
) -> Iterator[FiledMail]:
    """Yield what is left to process: one for each tenant and processor, in the order of the routes."""
    together: dict[tuple[str, str], list[tuple[Route, str]]] = {}
    for to, item in zip(routing.routes, items, strict=True):
        if to.processor != INBOX and to.tenant not in routing.held:
            together.setdefault((to.tenant, to.processor), []).append((to, item))
    for (tenant, processor), filed in together.items():
        yield FiledMail(
            email_id=entry.id,
            tenant=tenant,
            processor=processor,
            routes=tuple(to for to, _ in filed),
            items=tuple(item for _, item in filed),
            parsed=parsed,
            raw=raw,
            receipts={digest: receipt for (owner, digest), receipt in kept.items() if owner == tenant},
            envelope=entry.envelope,
        )
