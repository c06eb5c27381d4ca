"""Pictures in a mail's HTML: shown within bounds, or counted; HTML that cannot be shown becomes text."""

import time
from base64 import b64encode
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.api import sanitising
from mailroom.api.app import create_app
from mailroom.api.mail_pictures import item_notices
from mailroom.api.sanitising import MAX_CHARACTERS, MAX_PICTURE, MAX_PICTURES, sanitise, sanitise_for_frame
from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.mail.data_pictures import read_picture, replace_pictures
from mailroom.testing.api import BROWSER, Memory, TestClient, an_item, two_tenants
from tests.support.mail_parts import JPEG, PDF, PNG

ADMIN = {"Authorization": "Bearer admin"}
STAMP = f"data:image/png;base64,{b64encode(PNG).decode()}"
WRAPPED = "data:image/png;base64,\r\n" + "\r\n ".join(
    b64encode(PNG).decode()[at : at + 20] for at in range(0, len(b64encode(PNG)), 20)
)


def uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def large(size: int) -> str:
    return uri(PNG + bytes(size - len(PNG)))


@pytest.fixture(scope="module")
def memory() -> Memory:
    return two_tenants()


@pytest.fixture(scope="module")
def client(memory: Memory) -> TestClient:
    return TestClient(create_app(memory.services()), base_url="http://mail.example")


def seen(client: TestClient, memory: Memory, html: str, *parts: Attachment, **changes: Any) -> tuple[str, str, Any]:
    """File an item with this HTML; return its page, its frame and its JSON."""
    item_id = memory.file(an_item(html=html, attachments=parts, **changes)).id
    page, frame = (client.get(f"/items/{item_id}{path}", headers=ADMIN | BROWSER) for path in ("", "/html"))
    assert (page.status_code, frame.status_code) == (200, 200)
    return unescape(page.text), frame.text, client.get(f"/v1/items/{item_id}", headers=ADMIN).json()


@pytest.mark.parametrize(
    "html",
    [
        f'<p>Stempel:</p><img src="{STAMP}">',
        f"<img alt='a' src='{STAMP}'>",
        f"<img src={STAMP}>",
        f'<img src="{WRAPPED}">',
        f'<img src="{STAMP.replace("+", "%2B").replace("=", "")}">',
        f'<img src=" {STAMP.replace("data:image/png", "DATA:IMAGE/PNG;charset=utf-8;name=a.png")} ">',
        f'<img src="{STAMP.replace("image/png", "image/jpeg")}">',
        f'<img src="{STAMP.replace("base64", "BASE64")}">',
        f'<img src="{WRAPPED}">'.replace("\r\n", "&#13;&#10;"),
    ],
)
def test_a_picture_inside_the_html_is_shown(client: TestClient, memory: Memory, html: str) -> None:
    """As mail programs embed stamps and screenshots; it is a picture by its bytes, encoded again, and nothing is loaded."""
    page, frame, item = seen(client, memory, html)

    assert f'src="{STAMP}"' in frame
    assert f'src="{STAMP}"' in item["html"]
    assert item["notices"] == []
    assert "left out" not in page


@pytest.mark.parametrize(
    ("html", "count"),
    [
        (f'<img src="{uri(PDF)}">', 1),
        (f'<img src="{large(MAX_PICTURE + 1)}">', 1),
        ('<img src="data:image/svg+xml;utf8,<svg onload=evil()>">', 1),
        (f'<img src="{uri(b"<svg/>", "image/svg+xml")}"><img src="{STAMP}">', 1),
        ('<img src="data:image/png;base64,!!!!">', 1),
        (f'<div style="background:url({STAMP})"><td background="{STAMP}">', 2),
        (f'<img src="{large(250_000)}">' * 9, 1),
        (f'<img src="{STAMP}">' * 510, 10),
    ],
)
def test_what_is_not_shown_is_counted_and_named(client: TestClient, memory: Memory, html: str, count: int) -> None:
    """Page and API have the same number and the way to all of them."""
    page, frame, item = seen(client, memory, html)

    [notice] = item["notices"]
    assert (notice["code"], notice["count"], notice["left_out"]) == ("embedded_pictures", count, True)
    assert notice["sentence"] in page
    assert "inside the HTML (data:)" in notice["sentence"]
    assert "evil" not in frame
    assert sum(map(len, frame.split('"')[1::2])) < 4 * MAX_PICTURES


def test_pictures_do_not_count_as_html(client: TestClient, memory: Memory) -> None:
    """A mail with five screenshots is three megabytes of HTML and ten tags."""
    html = f'<p>Hello <img src="{large(290_000)}">' * 9

    page, frame, _ = seen(client, memory, html)

    assert len(html) > MAX_CHARACTERS
    assert (frame.count("<img src="), frame.count("<img")) == (6, 9)
    assert "3 pictures inside the HTML (data:) are left out" in page


@pytest.mark.parametrize("text", ["Hi", None])
def test_html_over_the_limit_falls_back_to_text(
    client: TestClient, memory: Memory, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """On the page and in the API, and both say so: nothing of the mail is silently missing."""
    monkeypatch.setattr(sanitising, "MAX_CHARACTERS", 1_000)
    html = "<style>p {}</style><p>Hello <b>there</b></p>" * 100
    page, _, item = seen(client, memory, html, text=text)

    assert "too large or too complex to be shown: its text is shown instead." in page
    assert [one["code"] for one in item["notices"]] == ["html_not_shown"]
    assert (item["html"], item["text"][:5]) == (None, text or "Hello")
    assert '<pre class="body" dir="auto">Hello there\n\nHello there' in page
    assert "<iframe" not in page


def test_text_that_is_not_read_is_counted() -> None:
    """The fallback has a limit as well."""
    [notice] = item_notices(an_item(html="<p>Hello</p>" * 200_000), None, framed=True)

    assert "Left out: the text in its last 1,400,000 characters." in notice.sentence


def test_an_encrypted_mail_of_an_earlier_release_says_so() -> None:
    """Its item has no amounts; its files and text show what it is."""
    text = "-----BEGIN PGP MESSAGE-----\r\nx\r\n-----END PGP MESSAGE-----"
    part = a_part(1, content_type="application/pkcs7-mime", content_id=None)
    items = [an_item(text=text), an_item(text=None, attachments=(part,)), an_item(), an_item(attachments=(part,))]

    codes = [[one.code for one in item_notices(item, None, framed=True)] for item in items]
    assert codes == [["pgp_encrypted"], ["smime_encrypted"], [], []]
    assert item_notices(an_item(text=text, left_out={}), None, framed=True) == ()


def a_part(number: int, **changes: Any) -> Attachment:
    values = {
        "filename": "a.png",
        "content_type": "image/png",
        "detected_type": "image/png",
        "size": 5,
        "sha256": "ab" * 32,
    }
    values |= {"inline": True, "content_id": "logo@x", "archive_id": "acme/1"}
    return Attachment(number=number, **values | changes)


def test_pictures_of_the_mail_that_the_html_cannot_show_are_counted(client: TestClient, memory: Memory) -> None:
    """Too large, of a type that no browser shows, or not in the mail at all; in the API a program draws them itself."""
    html = "".join(f'<img src="cid:{name}@x">' for name in ("logo", "LOGO", "big", "fax", "gone", "gone"))
    kept = memory.archive.deposit("acme", PNG).archive_id
    parts = [
        a_part(1, archive_id=kept),
        a_part(2, content_id="big@x", size=MAX_PICTURE + 1),
        a_part(3, content_id="fax@x", detected_type="image/tiff"),
        a_part(4, content_id="unused@x", archive_id=kept),
    ]

    page, frame, item = seen(client, memory, html, *parts)

    assert frame.count(f'src="{STAMP}"') == 2
    assert "2 pictures of the HTML are too large, or not of a type, to be shown in it." in page
    assert "1 picture that the HTML draws is not in the mail." in page
    assert [one["code"] for one in item["notices"]] == ["pictures_missing"]


def test_the_first_of_equal_content_ids_is_shown(client: TestClient, memory: Memory) -> None:
    """As the parser decides; the other is a document."""
    kept = [memory.archive.deposit("acme", content).archive_id for content in (PNG, JPEG)]
    parts = [a_part(1, archive_id=kept[0]), a_part(2, archive_id=kept[1], detected_type="image/jpeg", inline=False)]

    _, frame, _ = seen(client, memory, '<img src="cid:logo@x">', *parts)

    assert STAMP in frame
    assert uri(JPEG, "image/jpeg") not in frame


@settings(deadline=None)
@given(st.text("dataimge/png;bs64,:=\"' <>+&#10%", max_size=200), st.binary(max_size=60))
def test_any_text_and_any_bytes_are_read(text: str, content: bytes) -> None:
    """Nothing raises, and only what is a picture by its bytes comes through."""
    assert replace_pictures(f';base64,"{text}', lambda one: one) == f';base64,"{text}'
    safe = sanitise(f'<img src="{text}"><img src="{uri(content)}">')

    assert safe is not None
    assert read_picture(uri(content), most=100) is None or content[:3] in (b"\x89PN", b"\xff\xd8\xff", b"GIF", b"RIF")


def test_a_forged_mark_shows_nothing_of_another_mail() -> None:
    """Marks are random for each mail; one that a sender guesses names nothing."""
    safe = sanitise_for_frame(f'<img src="data:image/{"0" * 32}-0"><img src="{STAMP}">', {})

    assert safe is not None
    assert (safe.html.count("src="), safe.embedded_left_out) == (1, 1)


@pytest.mark.parametrize(
    "piece", ["'data:image/png;base64,", "=data:image/png;base64,A", "data:image/" + "a" * 40, "'" + " " * 9, "\"data:image/png;a=b;"]
)  # fmt: skip
def test_pictures_are_found_in_linear_time(piece: str) -> None:
    """Four times as much takes about four times as long."""

    def seconds(times: int) -> float:
        html = ";base64," + piece * (times // len(piece))
        begun = time.process_time()
        replace_pictures(html, lambda one: one)
        return time.process_time() - begun

    assert seconds(800_000) < 0.05 + 10 * seconds(200_000)
