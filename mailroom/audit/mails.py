"""Conservation of e-mails: every object is filed, quarantined, a duplicate, or in flight and not for too long."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mailroom.audit.archive_manifests import BRING_BACK
from mailroom.audit.listings import Stored, side_by_side
from mailroom.audit.report import ALL, FORGOTTEN, INBOUND, UNKNOWN_OBJECT, Report
from mailroom.audit.rows import each

_UNDER_WAY = ("received", "processing", "failed")

#: The column of the balance for each state.
_PLACES = dict.fromkeys(_UNDER_WAY, "in flight") | {state: state for state in ("filed", "duplicate", "quarantined")}

#: Reasons by which the raw e-mail could not be opened: it stays in the bucket and is not archived.
_SEALED = ("gone", "foreign_object", "not_decryptable", "not_bound", "not_encrypted", "empty", "too_large")

#: Reasons by which the bucket need not have an object: it was not found, or it is foreign and was not looked up.
_NEVER_THERE = ("gone", "foreign_object")


@dataclass(frozen=True, slots=True)
class Patience:
    """The period that is checked, and how long an e-mail may have no activity before it counts as stuck."""

    now: datetime
    limit: timedelta
    since: datetime | None = None

    def is_over(self, at: datetime) -> bool:
        """Return whether the last activity, at `at`, is too long ago."""
        return self.now - at >= self.limit

    def covers(self, at: datetime) -> bool:
        """Return whether what arrived at `at` is checked."""
        return self.since is None or at >= self.since


def check_mails(
    objects: Iterable[Stored],
    emails: Iterable[Any],
    report: Report,
    patience: Patience,
    is_described: Callable[[str], bool],
) -> None:
    """Compare the inbound bucket with the ledger, and check each line of the ledger for consistency.

    `is_described` returns whether the archive has a manifest for a key's mail.
    """
    for key, versions, lines in side_by_side(objects, emails, lambda one: one.key):
        for version in versions:
            if patience.covers(version.modified):
                _check_object(version, lines, report, patience, is_described)
        _check_lines(key, lines, report)
        _balance(key, versions, lines, report, patience)
        looked_at = [line for line in lines if patience.covers(line.received_at)]
        each(looked_at, partial(_check_line, is_stored=bool(versions), report=report, patience=patience), report)
        if report.counts["e-mails"] % 1000 == 0 and lines:
            report.progress(f"{report.counts['e-mails']} e-mails")


def _check_object(
    stored: Stored, lines: list[Any], report: Report, patience: Patience, is_described: Callable[[str], bool]
) -> None:
    report.counts["objects"] += 1
    if any(line.version in ("", stored.version) or stored.version == "null" for line in lines):
        return
    if not lines and is_described(stored.key):
        report.violate(FORGOTTEN, stored.key, BRING_BACK)
        return
    if not patience.is_over(stored.modified):
        report.in_flight(stored.modified)
        return
    report.violate(
        UNKNOWN_OBJECT,
        stored.key,
        "no notification arrived for it; run sweep-inbound, or receive-email for it (Quick run in Prefect)",
    )


def _balance(key: str, versions: list[Stored], lines: list[Any], report: Report, patience: Patience) -> None:
    """Count what arrived under this key and where it is; objects count by their own time, so both sides cover one window."""
    prefix, matched = key[: key.rfind("/") + 1], set[str]()
    for version in versions:
        mine = [line for line in lines if line.version in ("", version.version) or version.version == "null"]
        matched |= {line.id for line in mine}
        if patience.covers(version.modified):
            _count("came", mine[0] if mine else None, prefix, report)
            for line in mine:
                _count(_PLACES.get(line.state), line, prefix, report)
            if not mine and not patience.is_over(version.modified):
                _count("in flight", None, prefix, report)
    for line in lines:
        # Archived and no longer in the bucket; or announced and never in the bucket.
        if line.id not in matched and patience.covers(line.received_at):
            if line.archive_ids or line.reason in _NEVER_THERE:
                _count("came", line, prefix, report)
            _count(_PLACES.get(line.state), line, prefix, report)


def _count(what: str | None, line: Any, prefix: str, report: Report) -> None:
    """Count for all, and for each tenant of the mail; a mail in an unknown state is counted nowhere."""
    if what is None:
        return
    for tenant in (ALL, *filter(None, line.tenants if line else ())):
        report.balance(INBOUND, tenant, prefix)[what] += 1


def _check_lines(key: str, lines: list[Any], report: Report) -> None:
    """Report versions of an object that have several lines: one version is one e-mail."""
    for version, times in Counter(line.version for line in lines).items():
        if times > 1:
            report.violate("duplicate line", f"{key}@{version}", "two e-mails in the database are for one object")


def _check_line(line: Any, is_stored: bool, report: Report, patience: Patience) -> None:
    report.counts["e-mails"] += 1
    report.counts[line.state] += 1
    _check_receipts(line, report)
    if line.state == "filed":
        _check_filed(line, report)
    elif line.state == "quarantined":
        if line.reason is None:
            report.violate("no reason", line.id, "quarantined without a reason; run mailroom replay for it")
        if not line.archive_ids and not is_stored and line.reason not in _NEVER_THERE:
            report.violate("lost", line.id, "quarantined, but its raw e-mail is neither in the bucket nor archived")
        if not line.archive_ids and line.reason not in _SEALED:
            report.violate(
                "not archived",
                line.id,
                "quarantined, but could be decrypted and is not archived; run mailroom replay for it",
            )
    elif line.state in _UNDER_WAY:
        report.in_flight(line.last_at or line.received_at)
        if patience.is_over(line.last_at or line.received_at):
            report.violate(
                "stuck",
                line.id,
                f"{line.state} for too long; inspect it with mailroom trace, then run mailroom replay for it",
            )
    elif line.state != "duplicate":
        report.violate("unknown state", line.id, f"unknown state {line.state}")


def _check_receipts(line: Any, report: Report) -> None:
    for archive_id in set(line.archive_ids) - set(line.kept):
        report.violate("no receipt", f"{line.id} {archive_id}", "the e-mail refers to a deposit without a receipt")


def _check_filed(line: Any, report: Report) -> None:
    """Check a filed e-mail: one item for each recipient that it was routed to, and each item with its deposits.

    A tenant whose policy quarantines it gets none; an item that it had before is kept, withdrawn. A report of a message of
    ours has no item, and that message has its event.
    """
    decided = [values for values in line.story if values["routes"]]
    routed = [{(to["tenant"], to["recipient"]) for to in values["routes"]} for values in decided]
    held = set(decided[-1]["held"] or ()) if decided else set()
    items = Counter((item["tenant"], item["recipient"]) for item in line.items)
    report.counts["items"] += items.total()
    if decided and all(to.get("why") == "report" for to in decided[-1]["routes"]):
        if not line.reported:
            what = "a report by mail, but its message does not have the event; compare both with mailroom trace"
            report.violate("no event", line.id, what)
    elif not items:
        report.violate("no item", line.id, "filed, but in no inbox")
    elif not routed:
        report.violate("not routed", line.id, "filed, but its routing is not recorded")
    else:
        if missing := len({to for to in routed[-1] if to[0] not in held} - items.keys()):
            report.violate(
                "missing item", line.id, f"{missing} of its recipients have no inbox item; run mailroom replay for it"
            )
        if strange := len(items.keys() - set().union(*routed)):
            report.violate("strange item", line.id, f"{strange} items are for recipients that it was not routed to")
    if extra := items.total() - len(items):
        report.violate("duplicate item", line.id, f"{extra} duplicate items for one recipient")
    values = Counter(one["kind"] for one in line.story)
    if not 1 <= values["filed"] <= 1 + values["reopened"]:
        report.violate("filed twice", line.id, f"{values['filed']} times filed, {values['reopened']} times reopened")
    for item in line.items:
        _check_item(line, item, report)


def _check_item(line: Any, item: dict[str, Any], report: Report) -> None:
    wanted = [item["raw"], *(part["kept"] for part in item["parts"])]
    if not set(wanted) <= set(line.archive_ids):
        report.violate("item not archived", item["id"], "shows content that its e-mail does not have as archived")
    if any(not name.startswith(f"{item['tenant']}/") for name in wanted):
        report.violate("foreign deposit", item["id"], "shows content that is in another tenant's archive")
    if any(part["kept"].rpartition("/")[2] != part["sha256"] for part in item["parts"]):
        report.violate("wrong deposit", item["id"], "the digest of an attachment differs from its deposit's")
    if [part["number"] for part in item["parts"]] != list(range(1, len(item["parts"]) + 1)):
        report.violate("attachments", item["id"], "its attachments are not numbered 1, 2, 3, ...")
