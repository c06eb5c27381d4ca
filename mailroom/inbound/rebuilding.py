"""Rebuilds a filed mail for its processors from the ledger and the archive: nothing is fetched, routed or filed again."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from mailroom.archive.depositing import DepositReceipts
from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.received_email import Entry
from mailroom.domain.inbound.routing import INBOX, Route
from mailroom.inbound.processing import FiledMail, filed_mails
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.archive import Archive, Deposit
from mailroom.ports.ledger import Ledger
from mailroom.ports.parser import Parser


def recall(
    entry: Entry, keys: Collection[str], *, ledger: Ledger, archive: Archive, parser: Parser
) -> Iterator[FiledMail]:
    """Yield the filed mails of these processings (`<processor>/<tenant>`).

    Raises:
        PermanentError: the archive no longer has the raw e-mail.
    """
    values = ledger.trace(entry.id)
    items = {(item["tenant"], item["recipient"]): item for item in values["items"]}
    routing = _last_routing(values["activities"])
    try:
        raw = archive.read(values["items"][0]["raw_archive_id"])
    except LookupError:
        raise PermanentError("the archive no longer has the raw e-mail", email_id=entry.id) from None
    ids = [items[to.tenant, to.recipient]["id"] for to in routing.routes]
    mails = filed_mails(entry, routing, parser.parse(raw), raw, items=ids, kept=_receipts(values["deposits"]))
    yield from (mail for mail in mails if mail.key in keys)


def _last_routing(activities: list[dict[str, Any]]) -> RoutingDecision:
    """Return the routing decision that was recorded last."""
    recorded = next(one["facts"] for one in reversed(activities) if one["kind"] == "routed")
    routes = tuple(_route(to) for to in recorded["routes"])
    return RoutingDecision(routes, tuple(sorted({to.tenant for to in routes})), held=recorded.get("held", {}))


def _route(recorded: Mapping[str, Any]) -> Route:
    return Route(
        recorded["recipient"],
        recorded["tenant"],
        recorded["user"],
        recorded["why"],
        recorded["plus"],
        recorded.get("processor", INBOX),
        more_tokens=tuple(recorded.get("more_plus", ())),
    )


def _receipts(deposits: list[dict[str, Any]]) -> DepositReceipts:
    receipts = [Deposit(**{name: one[name] for name in Deposit.__slots__}) for one in map(_with_time, deposits)]
    return {(receipt.tenant, receipt.sha256): receipt for receipt in receipts}


def _with_time(deposit: dict[str, Any]) -> dict[str, Any]:
    times = {name: deposit.get(name) for name in ("retain_until", "verified_at")}
    return deposit | {name: datetime.fromisoformat(values) if values else None for name, values in times.items()}
