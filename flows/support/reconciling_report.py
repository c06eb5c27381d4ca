"""The report of a reconciliation in the Prefect UI: balances, and differences by id. No address, no word of a mail."""

from collections import Counter
from collections.abc import Iterable

from mailroom.audit.report import INBOUND, OUTBOUND, Account, Report, difference
from mailroom.ports.reconciliations import Reconciliation

_COLUMNS = {
    INBOUND: {
        "tenant": "tenant",
        "prefix": "prefix",
        "came": "objects",
        "filed": "filed",
        "duplicate": "duplicate",
        "quarantined": "quarantined",
        "in flight": "in flight",
    },
    OUTBOUND: {"tenant": "tenant", "came": "accepted", "ended": "terminal", "pending": "pending"},
}
_SHOWN = 200


def as_markdown(report: Report, proof: Reconciliation, *, settled: int, matched: int, announced: int) -> str:
    """Return the artifact's text."""
    lines = [
        f"**{sum(proof.differences.values())} differences** in "
        f"{(proof.ended_at - proof.begun_at).total_seconds():.1f} s",
        "",
        f"- unknown outcomes settled or sent again: {settled}",
        f"- parked events matched to a message: {matched}",
        f"- objects queued again: {announced}",
        f"- versions of the archive compared with their receipts: {report.counts['archive versions']}",
    ]
    for side, columns in _COLUMNS.items():
        accounts = sorted((account, counts) for account, counts in report.balances.items() if account.side == side)
        lines += ["", f"### {side.capitalize()}", "", *_table(columns, accounts)]
    if report.violations:
        lines += ["", "### Differences", "", "| what | id | what to do |", "|---|---|---|"]
        lines += [f"| {one.kind} | `{_flat(one.subject)}` | {_flat(one.do)} |" for one in report.violations[:_SHOWN]]
    more = report.wrong.total() - min(len(report.violations), _SHOWN)
    return "\n".join([*lines, f"\nand {more} more" if more else ""])


def _table(columns: dict[str, str], accounts: Iterable[tuple[Account, Counter[str]]]) -> list[str]:
    head = [*columns.values(), "difference"]
    rows = [
        [*(_cell(name, account, counts) for name in columns), str(difference(counts))] for account, counts in accounts
    ]
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]


def _cell(name: str, account: Account, counts: Counter[str]) -> str:
    if name == "tenant":
        return "all" if account.tenant == "*" else f"`{_flat(account.tenant)}`"
    return f"`{_flat(account.prefix)}`" if name == "prefix" else str(counts[name])


def _flat(text: str) -> str:
    """Return `text` escaped for a table cell: keys in a bucket may be chosen by strangers."""
    return "".join(char if char.isprintable() else "?" for char in text).replace("|", "&#124;").replace("`", "'")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
