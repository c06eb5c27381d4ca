"""The report of an audit of the archive in the Prefect UI. Ids only, no word of a mail."""

from mailroom.audit.archive_report import ArchiveReport, Outcome, family_of

_SHOWN = 200


def as_markdown(done: str, report: ArchiveReport | None) -> str:
    """Return the artifact's text; `report` is None where only copies were read."""
    lines = [f"**{done}**"]
    if report is None:
        return "\n".join(lines)
    lines += ["", "### Journals, seals and records", "", f"| family | check | {' | '.join(Outcome)} |"]
    lines.append(f"|{'---|' * (len(Outcome) + 2)}")
    for name in report.checks():
        counts = " | ".join(str(report.counts[name, outcome]) for outcome in Outcome)
        lines.append(f"| {family_of(name)} | {name} | {counts} |")
    if report.results:
        lines += ["", "| result | check | id | what to do |", "|---|---|---|---|"]
        lines += [
            f"| {one.outcome} | {one.check} | `{_flat(one.subject)}` | {_flat(one.do)} |"
            for one in report.results[:_SHOWN]
        ]
    return "\n".join(lines)


def _flat(text: str) -> str:
    """Return `text` escaped for a table cell: an administrator may have written any text into a row."""
    return "".join(char if char.isprintable() else "?" for char in text).replace("|", "&#124;").replace("`", "'")
