"""What a replay would touch, before it is begun: counted exactly where the database knows, else worked out by the rules."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailroom.domain.errors import Quarantined
from mailroom.domain.inbound.filing_policy import RELEASABLE, stop_reason
from mailroom.domain.inbound.received_email import State
from mailroom.domain.inbound.replaying import ReplayAction
from mailroom.domain.inbound.routing import INBOX, Address, Route, route, wanted
from mailroom.ports.directory import Directory
from mailroom.ports.replays import Candidate, ReplayOrder, Replays, Selected

#: E-mails that are looked at one by one; of more, the first ones.
EXAMINED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a replay would touch.

    `selected` counts all of its e-mails; the rest the first `examined`: `items_there` are in inboxes already and stay,
    `new_items` would be added at most, `no_route` e-mails have no address here, `held_again` parts would be held again.
    `processors` counts the e-mails for which each would run; one that succeeded does not run again. `webhooks` are calls of
    tenants' webhooks among them.
    """

    selected: Selected
    examined: int = 0
    items_there: int = 0
    new_items: int = 0
    no_route: int = 0
    held_again: int = 0
    processors: Mapping[str, int] = field(default_factory=dict)

    @property
    def webhooks(self) -> int:
        """How many calls of webhooks the processors would make."""
        return self.processors.get("webhook", 0)


def preview(
    replays: Replays, directory: Directory | None, tenant: str | None, order: ReplayOrder, added: Sequence[Address] = ()
) -> Preview:
    """Return what a replay of an order would touch; `added` are addresses that would be there too."""
    selected = replays.count(tenant, order)
    sample = replays.sample(tenant, order, limit=EXAMINED)
    known = _known(directory, sample) if directory is not None else {}
    for address in added:
        known.setdefault(address.pattern, []).append(address)
    counts, processors = Counter[str](), Counter[str]()
    for one in sample:
        counts["items_there"] += len([item for item in one.items if tenant in (None, item[0])])
        counts.update(_of_one(one, known, tenant, order.action, processors))
    return Preview(selected=selected, examined=len(sample), processors=dict(sorted(processors.items())), **counts)


def _of_one(
    one: Candidate,
    known: Mapping[str, list[Address]],
    tenant: str | None,
    action: ReplayAction,
    processors: Counter[str],
) -> dict[str, int]:
    """Return the counts of one e-mail's parts of this tenant, and add its processors."""
    if one.state is State.FILED and one.failed:
        names = {name for name in one.failed if tenant in (None, name.partition("/")[2])}
        processors.update(name.partition("/")[0] for name in names)
        return {}
    mine = [to for to in _routes(one, known) if tenant in (None, to.tenant)]
    if not mine:
        return {"no_route": 1}
    held = {to.tenant for to in mine if _is_held(one, to, action)}
    filed = [to for to in mine if to.tenant not in held]
    names = {f"{to.processor}/{to.tenant}" for to in filed if to.processor != INBOX} - one.done
    processors.update(name.partition("/")[0] for name in names)
    new = {(to.tenant, to.recipient) for to in filed} - one.items
    return {"new_items": len(new), "held_again": len(held)}


def _is_held(one: Candidate, to: Route, action: ReplayAction) -> bool:
    """Return whether SES's verdicts and the tenant's policy would hold the e-mail back."""
    if one.envelope is None:
        return False
    reason = stop_reason(one.envelope.verdicts, to.policy)
    is_released = to.tenant in one.released or action is ReplayAction.RELEASE
    return reason is not None and not (is_released and reason in RELEASABLE)


def _routes(one: Candidate, known: Mapping[str, list[Address]]) -> list[Route]:
    if one.envelope is None:
        return []
    try:
        return route(one.envelope.recipients, known, key=one.key)
    except Quarantined:
        return []


def _known(directory: Directory, sample: Iterable[Candidate]) -> dict[str, list[Address]]:
    patterns = {
        pattern: None for one in sample for pattern in wanted(one.envelope.recipients if one.envelope else (), one.key)
    }
    return {pattern: list(addresses) for pattern, addresses in directory.lookup(list(patterns)).items()}
