"""A field of the inbox item reaches its row, the API and the page; one that a place forgets fails here, with the place."""

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mailroom.adapters.postgres.inbox.columns import (
    attachment_of,
    attachment_values,
    columns_of,
    item_of,
    item_values,
)
from mailroom.adapters.postgres.models import AttachmentRow, InboxItemRow, table
from mailroom.api.pages.rendering import FOLDER
from mailroom.api.v1.responses.inbound import AttachmentResponse, ItemResponse, VerdictsResponse
from mailroom.domain.inbound.received_email import Attachment, Item
from mailroom.domain.inbound.routing import Route
from mailroom.domain.inbound.verdicts import CHECKS
from mailroom.domain.parsing import ParsedEmail
from mailroom.inbound import filing
from mailroom.testing.api import an_item

#: Why a place leaves a field out.
NOT_STORED = {
    "attachments": "rows of their own",
    "held": "stored as withdrawn, with the reason",
    "salt": "stored with its digest",
}
NOT_ANSWERED = {
    "raw_archive_id": "the receipt, as `archive`",
    "held": "a withdrawn item is answered 410, with the reason",
    "salt": "of its digest in the journal",
}
NOT_DRAWN = {"held": "a withdrawn item has a page that says the reason", "salt": "of its digest in the journal"}
PART_NOT_ANSWERED = {"archive_id": "the receipt, as `archive`"}
PAGE = "".join(
    (Path(FOLDER) / "templates" / name).read_text()
    for name in ("item.html", "_letter.html", "_files.html", "_checks.html", "_details.html")
)


def names(kind: type[Any]) -> set[str]:
    return {one.name for one in fields(kind)}


def forgotten(item: type[Any]) -> dict[str, set[str]]:
    """Return the fields of an item that a place forgets, by the place."""
    known = names(item)
    drawn = set(re.findall(r"\bitem\.([a-z_]+)", PAGE))
    found = {
        "InboxItemRow in mailroom/adapters/postgres/models.py": {
            name for name in known - NOT_STORED.keys() if not stored(name, item)
        },
        "ItemResponse in mailroom/api/v1/responses/inbound.py": known
        - NOT_ANSWERED.keys()
        - ItemResponse.model_fields.keys(),
        "mailroom/api/pages/templates/item.html": known - NOT_DRAWN.keys() - drawn,
    }
    return {place: left for place, left in found.items() if left}


def stored(name: str, item: type[Any]) -> bool:
    try:
        return name in columns_of(item, table(InboxItemRow), elsewhere=frozenset(names(item) - {name}))
    except TypeError:
        return False


def test_every_field_of_an_item_is_stored_answered_and_drawn() -> None:
    """A field that is filed and never shown, or the reverse, would be noticed by a customer."""
    assert forgotten(Item) == {}


def test_a_new_field_is_missed_in_each_place_by_name() -> None:
    """Adding a field names three places, and an error before anything is filed without it."""

    @dataclass(frozen=True, slots=True)
    class Longer(Item):
        mood: str | None = None

    assert forgotten(Longer) == {
        "InboxItemRow in mailroom/adapters/postgres/models.py": {"mood"},
        "ItemResponse in mailroom/api/v1/responses/inbound.py": {"mood"},
        "mailroom/api/pages/templates/item.html": {"mood"},
    }
    with pytest.raises(TypeError, match="mood of Longer: the table inbox_item"):
        columns_of(Longer, table(InboxItemRow), elsewhere=frozenset(NOT_STORED))


def test_every_field_of_an_attachment_is_stored_and_answered() -> None:
    """The same for its attachments."""
    assert columns_of(Attachment, table(AttachmentRow)).keys() == names(Attachment)
    assert names(Attachment) - PART_NOT_ANSWERED.keys() <= AttachmentResponse.model_fields.keys()


def test_every_check_of_ses_is_answered() -> None:
    """The page, the ledger and the manifests go by CHECKS; the API's shape is written out."""
    assert (*CHECKS, "dmarc_policy") == tuple(VerdictsResponse.model_fields)


def test_an_item_comes_out_of_its_row_as_it_went_in() -> None:
    """Every field has a different value, so that no two can be swapped."""
    part = Attachment(1, "a.pdf", "application/pdf", "application/x-pdf", 5, "ab" * 32, True, "logo@x", "acme/1")
    output = {"plus_token": "plus", "defects": ("odd",), "cc": ("c@x.test",), "html": "<p>", "attachments": (part,)}
    item = an_item(**output)

    back = item_of(SimpleNamespace(_mapping=item_values(item)), (part,))

    assert back == item
    assert attachment_of(SimpleNamespace(_mapping=attachment_values(part))) == part


def test_what_the_parser_and_the_route_say_is_in_the_item() -> None:
    """Equal names are copied: a field of the parser needs no line where items are made."""
    at = datetime(2026, 3, 14, tzinfo=UTC)
    mail = ParsedEmail(
        "<1@x>", "Hello", "carl@x.test", ("ann@acme.test",), ("bob@acme.test",), at, text="Hi", html="<p>Hi"
    )
    route = Route("ann@acme.test", "acme", "ann", "exact", plus_token="plus")
    kept: Any = {}

    item = filing._item(mail, route, "acme/raw", kept)

    shared = (names(Item) & names(ParsedEmail)) - {"attachments"}
    assert {name: getattr(item, name) for name in shared} == {name: getattr(mail, name) for name in shared}
    assert (item.tenant, item.recipient, item.user, item.plus_token) == ("acme", "ann@acme.test", "ann", "plus")
    assert (item.raw_archive_id, item.attachments) == ("acme/raw", ())
    assert names(Item) & names(ParsedEmail) & names(Route) == set()
