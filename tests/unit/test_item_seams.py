"""One rule, one sentence, one place: what several parts of the item's page say about the same mail agrees."""

import re
from html import unescape

import pytest

from mailroom.api.app import create_app
from mailroom.api.mail_pictures import shown_pictures
from mailroom.domain.inbound.received_email import Item
from mailroom.testing.api import BROWSER, Memory, TestClient, an_item, two_tenants
from tests.support.filed_documents import case_in_memory
from tests.support.mail_parts import PNG, TOP, html_part, mail, part

ARMOUR = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMAx\r\n-----END PGP MESSAGE-----\r\n"
ENCRYPTED = mail(
    part(b"Version: 1", "application/pgp-encrypted"), part(ARMOUR, "application/octet-stream"), kind="encrypted"
)


def page_of(raw: bytes) -> str:
    """Return the text of the item's page."""
    case = case_in_memory(two_tenants())
    answer = case.client.get(f"/items/{case.file(raw)}", headers={"Authorization": "Bearer acme"} | BROWSER)
    return " ".join(re.sub(r"<[^>]*>", " ", unescape(answer.text)).split())


@pytest.mark.parametrize(
    ("raw", "once"),
    [
        (ENCRYPTED, "cannot be read here"),
        (TOP.replace(b"Carl <carl@x.test>", b"a@x.test, b@x.test") + b"\r\nhi", "more than one address"),
        (TOP + b"Content-Type: message/partial; id=a; number=1; total=2\r\n\r\nx", "not joined"),
    ],
)
def test_the_page_says_a_thing_once(raw: bytes, once: str) -> None:
    """A reader takes two sentences for two faults."""
    assert page_of(raw).count(once) == 1


def test_an_encryption_without_a_notice_is_explained_where_it_stands() -> None:
    """Every sentence is somewhere on the page."""
    memory: Memory = two_tenants()
    filed = memory.file(an_item(protection=("pgp_encrypted",)))
    client = TestClient(create_app(memory.services()), base_url="http://mail.example")

    assert (
        "cannot be read here"
        in client.get(f"/items/{filed.id}", headers={"Authorization": "Bearer acme"} | BROWSER).text
    )


def item_of(raw: bytes) -> Item:
    case = case_in_memory(two_tenants())
    case.file(raw)
    return case.memory.reader.filed[0].item


@pytest.mark.parametrize("cid", ["a@x", "A@x"])
def test_the_picture_that_counts_as_decoration_is_the_one_that_is_drawn(cid: str) -> None:
    """Two have one Content-ID: were the other drawn, the folded one would be seen nowhere."""
    item = item_of(
        mail(
            html_part(f'<img src="cid:{cid}">'),
            part(PNG, "image/png", name="listed.png", cid="A@x" if cid == "a@x" else "a@x", disposition="attachment"),
            part(PNG + b"2", "image/png", name="drawn.png", cid=cid, disposition="inline"),
        )
    )

    assert [one.filename for one in item.attachments if one.inline] == ["drawn.png"]
    assert [one.filename for one in shown_pictures(item).values()] == ["drawn.png"]


def test_pictures_in_backgrounds_are_named_as_not_shown() -> None:
    """They count as decoration and are folded away, and the frame has no styles: without a word nobody would look for them."""
    html = '<table background="cid:a@x"><tr><td style="background:url(cid:b@x)"><img src="cid:c@x"></table>'
    names = ["a", "b", "c", "d"]
    pictures = [part(PNG, "image/png", name=f"{name}.png", cid=f"{name}@x", disposition="inline") for name in names]
    page = page_of(mail(html_part(html), *pictures))

    assert "2 pictures of the HTML are in a background or style, which is not shown." in page
    assert "pictures_not_shown" not in page


def test_one_thing_over_a_limit_is_one() -> None:
    """Most mails over a limit are over it by one long field."""
    page = page_of(TOP + b"X-Long: " + b"w " * 900 + b"\r\n\r\nhi")

    assert "1 header field (left out or cut) is over a limit. The raw e-mail (.eml) has it." in page


def test_another_part_that_says_too_few_is_not_believed() -> None:
    """Anybody can send a part with this id: there is no part 3 of 2."""
    case = case_in_memory(two_tenants())
    case.file(TOP + b"Content-Type: message/partial; id=a; number=2; total=2\r\n\r\nx")
    third = case.file(TOP + b"Content-Type: message/partial; id=a; number=3\r\n\r\nx")
    page = case.client.get(f"/items/{third}", headers={"Authorization": "Bearer acme"} | BROWSER).text

    assert "This is part 3 of an unknown number." in page
