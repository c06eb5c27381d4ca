"""Judges a parsed mail by what is right for it, column by column, in the form of a corpus' manifest (one JSON object a mail).

Asserted are only the columns that a record names: subject, from, to, cc, date, message_id, text_contains, text_lacks,
text_is, html_contains, attachments (filename, filename_alt, content_type, sha256, cid, decoration), complete (the number of
attachments), once (names that only one attachment has), nested (files inside attachments), protection, reports, defects (at least these), sound (no defect at all), thread (reply_to, in_reply_to,
references), meeting (summary, at, location, organiser), part_of (number and total of a split mail), left_out (how many of what). Blanks are ignored in texts,
but not by text_is.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from mailroom.domain.parsing import ParsedAttachment, ParsedEmail

COLUMNS = (
    "subject", "from", "to", "cc", "date", "message_id", "count", "names", "types", "content", "cid", "decoration", "text", "html",
    "nested", "protection", "reports", "defects", "thread", "meeting", "part_of", "left_out",
)  # fmt: skip
_ADDRESS = re.compile(r"(?:(?P<name>.*?)\s*<)?(?P<email>[^<>]*)>?", re.S)


def judge(right: Mapping[str, Any], parsed: ParsedEmail) -> dict[str, bool]:
    """Return whether each column that `right` asserts is right."""
    verdict: dict[str, bool] = {}
    for key, value in (("subject", parsed.subject), ("message_id", parsed.message_id)):
        if key in right:
            verdict[key] = _line(value) == _line(right[key])
    for key, boxes in (("from", (parsed.from_,) if parsed.from_ else ()), ("to", parsed.to), ("cc", parsed.cc)):
        if key in right:
            verdict[key] = _mailboxes(right[key], tuple(box for box in boxes if box))
    if "date" in right:
        wanted = right["date"]
        verdict["date"] = (parsed.date.timestamp() if parsed.date else None) == (_stamp(wanted) if wanted else None)
    verdict |= _texts(right, parsed)
    verdict |= _files(right, [one for one in parsed.attachments if not one.nested])
    if "nested" in right:
        verdict["nested"] = _inside(right["nested"], parsed)
    if "protection" in right:
        verdict["protection"] = set(right["protection"]) == set(parsed.protection)
    if "reports" in right:
        verdict["reports"] = list(right["reports"]) == [report.kind for report in parsed.reports]
    if "defects" in right:
        verdict["defects"] = set(right["defects"]) <= set(parsed.defects)
    if right.get("sound"):
        verdict["defects"] = not parsed.defects
    return verdict | _carried(right, parsed)


def _carried(right: Mapping[str, Any], parsed: ParsedEmail) -> dict[str, bool]:
    verdict: dict[str, bool] = {}
    if "thread" in right:
        verdict["thread"] = all(list(getattr(parsed, key, ())) == wanted for key, wanted in right["thread"].items())
    if "meeting" in right:
        found = [
            {
                "summary": one.summary,
                "at": one.starts.at.isoformat(),
                "location": one.location,
                "organiser": one.organiser,
            }
            for one in getattr(parsed, "invitations", ())
        ]
        verdict["meeting"] = found == [right["meeting"]]
    if "part_of" in right:
        found = [getattr(parsed, key, None) for key in ("partial_number", "partial_total")]
        verdict["part_of"] = found == right["part_of"]
    if "left_out" in right:
        found = {
            word: amounts["count"] for word, amounts in getattr(parsed, "left_out", {}).items() if "count" in amounts
        }
        verdict["left_out"] = found == right["left_out"]
    return verdict


def _inside(wanted: list[Mapping[str, Any]], parsed: ParsedEmail) -> bool:
    """Return whether each file is found inside an attachment: as a member of it, or opened beside it."""
    inside = {(one.filename, one.sha256) for one in parsed.attachments if one.nested}
    inside |= {(member.name, getattr(member, "sha256", None)) for one in parsed.attachments for member in one.members}
    return all(
        any(one.get("filename", name) == name and one.get("sha256", digest) == digest for name, digest in inside)
        for one in wanted
    )


def _texts(right: Mapping[str, Any], parsed: ParsedEmail) -> dict[str, bool]:
    verdict: dict[str, bool] = {}
    text, html = _bare(parsed.text), _bare(parsed.html)
    if "text_contains" in right or "text_lacks" in right:
        verdict["text"] = all(_bare(one) in text for one in right.get("text_contains", ()))
        verdict["text"] &= all(_bare(one) not in text for one in right.get("text_lacks", ()))
    if "text_is" in right:
        verdict["text"] = (parsed.text or "").replace("\r\n", "\n").strip("\n") == right["text_is"]
    if "html_contains" in right:
        verdict["html"] = all(_bare(one) in html for one in right["html_contains"])
    return verdict


def _files(right: Mapping[str, Any], files: list[ParsedAttachment]) -> dict[str, bool]:
    wanted = right.get("attachments", [])
    verdict: dict[str, bool] = {}
    if right.get("complete"):
        verdict["count"] = len(files) == len(wanted)
    if any("filename" in one for one in wanted):
        verdict["names"] = _matched([one for one in wanted if "filename" in one], files, _name)
    if "once" in right:
        verdict["names"] = all([_line(one.filename) for one in files].count(_line(name)) == 1 for name in right["once"])
    if any("content_type" in one for one in wanted):
        verdict["types"] = _matched(
            wanted, files, lambda e, o: _name(e, o) and e.get("content_type", o.content_type) == o.content_type
        )
    if any("sha256" in one for one in wanted):
        verdict["content"] = _matched(wanted, files, lambda e, o: _name(e, o) and _bytes(e, o))
    if any("cid" in one for one in wanted):
        verdict["cid"] = _matched(
            wanted, files, lambda e, o: _name(e, o) and e.get("cid", o.content_id) == o.content_id
        )
    if any("decoration" in one for one in wanted):
        verdict["decoration"] = _matched(
            wanted, files, lambda e, o: _name(e, o) and e.get("decoration", _decoration(o)) == _decoration(o)
        )
    return verdict


def _decoration(one: ParsedAttachment) -> bool:
    return one.inline


def _name(expected: Mapping[str, Any], found: ParsedAttachment) -> bool:
    if "filename" not in expected:
        return True
    wanted = [_line(expected["filename"]), *(_line(one) for one in expected.get("filename_alt", ()))]
    return _line(found.original_name) in wanted or _line(found.filename) in wanted


def _bytes(expected: Mapping[str, Any], found: ParsedAttachment) -> bool:
    return str(expected.get("sha256", found.sha256)) == found.sha256


def _matched(
    expected: list[Mapping[str, Any]],
    found: list[ParsedAttachment],
    fits: Callable[[Mapping[str, Any], ParsedAttachment], bool],
) -> bool:
    """Return whether every expected file has a found one to itself (a maximum bipartite matching)."""
    taken: dict[int, int] = {}

    def place(number: int, seen: set[int]) -> bool:
        # The nth is mostly the nth.
        for other in (*range(number, len(found)), *range(min(number, len(found)))):
            if other not in seen and fits(expected[number], found[other]):
                seen.add(other)
                if other not in taken or place(taken[other], seen):
                    taken[other] = number
                    return True
        return False

    return all(place(number, set()) for number in range(len(expected)))


def _mailboxes(wanted: list[Mapping[str, str]], found: tuple[str, ...]) -> bool:
    read = []
    for one in found:
        match = _ADDRESS.fullmatch(one.strip()) if one.endswith(">") else None
        name, email = (match["name"] or "", match["email"]) if match else ("", one)
        if name.startswith('"') and name.endswith('"') and len(name) > 1:
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        read.append((_line(name), email if "@" in email else "", _line(email)))
    return len(read) == len(wanted) and all(
        (one.get("name", "") in (name, *(() if email else (plain,)))) and one.get("email", "") == email
        for one, (name, email, plain) in zip(wanted, read, strict=True)
    )


def _stamp(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _line(text: str | None) -> str:
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text or "")).strip()


def _bare(text: str | None) -> str:
    return re.sub(r"[\s\u200b\ufeff]+", "", unicodedata.normalize("NFC", text or ""))
