"""The files in an attached Outlook item (.msg), listed: names and sizes ([MS-OXMSG] section 2.2.2)."""

from mailroom.domain.mail.contained import Contained
from mailroom.domain.parsing.charsets import storable
from mailroom.domain.parsing.compound import SIGNATURE, Compound, Entry
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.names import display_name

_ATTACHMENT = "__attach_version1.0_#"
_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME = "3707", "3704", "3001"
_UNICODE, _STRING8 = "001F", "001E"
_DATA, _MESSAGE = "__substg1.0_37010102", "__substg1.0_3701000D"


def list_members(content: bytes, *, reading: Reading) -> tuple[Contained, ...]:
    """Return the files attached to an Outlook item; none if `content` is not such an item."""
    if not content.startswith(SIGNATURE):
        return ()
    try:
        item = Compound(content)
        folders = [entry for entry in item.inside() if entry.is_folder and entry.name.startswith(_ATTACHMENT)]
    except ValueError:
        return ()
    if len(folders) > reading.limits.members:
        reading.note(Defect.TOO_MANY_FILES, count=len(folders) - reading.limits.members)
    folders = sorted(folders, key=lambda entry: entry.name)[: reading.limits.members]
    return tuple(_member(item, folder, number, reading=reading) for number, folder in enumerate(folders, 1))


def _member(item: Compound, folder: Entry, number: int, *, reading: Reading) -> Contained:
    entries = {entry.name.upper(): entry for entry in item.inside(folder)}
    names = (_text(item, entries, one) for one in (_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME))
    name = next((one for one in names if one), None)
    if _MESSAGE.upper() in entries:
        name, kind, size = f"{name or 'message'}.msg", "application/vnd.ms-outlook", 0
    else:
        data = entries.get(_DATA.upper())
        kind, size = "application/octet-stream", data.size if data else 0
    return Contained(display_name(name, content_type=kind, number=number, longest=reading.limits.name_bytes), size)


def _text(item: Compound, entries: dict[str, Entry], number: str) -> str:
    for kind, charset in ((_UNICODE, "utf-16-le"), (_STRING8, "cp1252")):
        entry = entries.get(f"__SUBSTG1.0_{number}{kind}")
        if entry:
            return storable(item.small(entry).decode(charset, "replace")).rstrip("\x00")
    return ""
