"""What must hold for every result of the parser, for any mail."""

import json

from mailroom.domain.parsing import Defect, ParsedEmail, Protection
from mailroom.domain.parsing.record import from_record, to_record


def assert_sound(parsed: ParsedEmail) -> None:
    """Everything can be written as JSON and stored, comes back equal, and names only known words."""
    written = json.dumps(to_record(parsed), ensure_ascii=False)
    assert written.encode("utf-8")
    assert "\\u0000" not in written
    assert from_record(json.loads(written), [one.content for one in parsed.attachments]) == parsed
    assert set(parsed.defects) <= {defect.value for defect in Defect}
    assert set(parsed.protection) <= {word.value for word in Protection}
    names = [attachment.display_name for attachment in parsed.attachments]
    assert len(names) == len({name.casefold() for name in names})
    for attachment in parsed.attachments:
        for name in (attachment.filename, attachment.display_name, *(member.name for member in attachment.members)):
            assert 0 < len(name.encode()) <= 200
            assert name.isprintable()
            assert "/" not in name
