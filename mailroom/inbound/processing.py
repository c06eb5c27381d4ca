"""Processing of filed mail: what an address wants done besides filing.

An address names a processor: `inbox`, which does nothing more, `digest`, `webhook`, or an installed one (see
docs/adding-a-processor.md). A processor is a list of steps, each a task of the mail's run. It gets one tenant's part of a
mail after it was archived and filed, and never a mail that the tenant's policy holds back. Its failure is recorded and does
not affect the mail.
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
    """One tenant's part of a filed mail, through the addresses that name one processor.

    `routes` and `items` (ids of inbox items) correspond in order; `receipts` maps SHA-256 to deposit receipts. `envelope` is
    None if SES's own notification never came: then nothing about the sender is known.
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
        """The key of this processing's row, with the e-mail's id: one row for each e-mail, tenant and processor."""
        return f"{self.processor}/{self.tenant}"


#: Does one thing with a mail and returns facts to record: ids, codes, counts, never content of the mail.
#: It may be called again for the same mail. It raises `TransientError` for a failure that may pass.
Action = Callable[[FiledMail, Inbound], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a processor, a task of the run."""

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
    """Yield one `FiledMail` for each tenant and processor, in the order of the routes; held mail and `inbox` have none."""
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
