"""Raw mail, its source and all files as a zip, by API and page, on items in memory and in PostgreSQL."""

import io
from zipfile import ZipFile

import pytest

from mailroom.domain.errors import TransientError
from mailroom.domain.parsing import parse_email
from mailroom.testing.api import BROWSER, two_tenants
from tests.support.filed_documents import Case, case_in_memory, case_in_postgres

ACME, OTHER, ADMIN = ({"Authorization": f"Bearer {key}"} for key in ("acme", "other", "admin"))


@pytest.fixture(params=["memory", "postgres"])
def case(request: pytest.FixtureRequest) -> Case:
    memory = two_tenants()
    if request.param == "memory":
        return case_in_memory(memory)
    return case_in_postgres(memory, request.getfixturevalue("engine"))


def mail(*files: tuple[str, bytes], inline: bytes | None = None, head: bytes = b"") -> bytes:
    """Return a mail with these files, and perhaps a picture that its HTML shows."""
    parts = [b'Content-Type: text/html\r\n\r\n<script>alert(1)</script><p>Hi</p><img src="cid:logo">']
    parts += [
        b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="%s"\r\n\r\n%s'
        % (name.encode(), content)
        for name, content in files
    ]
    if inline is not None:
        parts.append(
            b'Content-Type: image/png; name="logo.png"\r\nContent-ID: <logo>\r\nContent-Disposition: inline\r\n\r\n'
            + inline
        )
    top = b"From: Carl <carl@x.test>\r\nTo: ann@acme.test\r\nSubject: R\xc3\xa9sum\xc3\xa9/1\r\n" + head
    top += b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return top + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def six_hundred() -> bytes:
    """Return a mail of 600 small files, as a system of a supplier sends them."""
    return mail(*((f"t{number:04}.csv", b"a;b\r\n%d;2" % number) for number in range(600)))


def unzipped(content: bytes) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_raw_mail_is_what_was_archived(case: Case) -> None:
    """Byte for byte, as a file that no browser opens, by the API and from the page."""
    raw = mail(("a.pdf", b"%PDF"))
    item_id = case.file(raw)

    for path, more in ((f"/v1/items/{item_id}/raw", {}), (f"/items/{item_id}/raw", BROWSER)):
        answer = case.client.get(path, headers=ACME | more)
        assert (answer.status_code, answer.content) == (200, raw)
        assert answer.headers["content-type"] == "message/rfc822"
        assert answer.headers["content-length"] == str(len(raw))
        assert answer.headers["content-disposition"].startswith('attachment; filename="Resume_1.eml"; filename*=UTF-8')
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_item_names_its_originals(case: Case) -> None:
    """A program follows the response, a person the page's links."""
    many, none = case.file(mail(("a.pdf", b"1"), ("b.pdf", b"2"))), case.file(b"Subject: none\r\n\r\nHi")

    values = [case.client.get(f"/v1/items/{one}", headers=ACME).json() for one in (many, none)]
    pages = [case.client.get(f"/items/{one}", headers=ACME | BROWSER).text for one in (many, none)]

    assert [value["raw_url"] for value in values] == [f"/v1/items/{one}/raw" for one in (many, none)]
    assert [value["files_url"] for value in values] == [f"/v1/items/{many}/files.zip", None]
    for item_id, page in zip((many, none), pages, strict=True):
        assert f'href="/items/{item_id}/raw" download' in page
        assert f'href="/items/{item_id}/source"' in page
    assert (f"/items/{many}/files.zip" in pages[0], "files.zip" in pages[1]) == (True, False)


def test_all_files_are_in_one_zip(case: Case) -> None:
    """Equal names are made different, paths are made names, inline pictures are in a folder of their own."""
    files = [("scan.pdf", b"1"), ("SCAN.pdf", b"2"), ("../../x", b"3"), ("inline", b"4"), ("r\xe9.txt", b"5")]
    item_id = case.file(mail(*files, inline=b"\x89PNG\r\n\x1a\n"))

    for path in (f"/v1/items/{item_id}/files.zip", f"/items/{item_id}/files.zip"):
        answer = case.client.get(path, headers=ACME)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        assert answer.headers["content-disposition"].startswith('attachment; filename="Resume_1.zip"')
        found = unzipped(answer.content)
        assert sorted(content for name, content in found.items() if "/" not in name) == [b"1", b"2", b"3", b"4", b"5"]
        assert found["inline/logo.png"] == b"\x89PNG\r\n\x1a\n"
        assert {"scan.pdf", "SCAN (2).pdf", "inline (2)", "r\xe9.txt"} < set(found)
        assert not [name for name in found if name.startswith(("/", ".")) or ".." in name.split("/")]


def test_of_six_hundred_files_each_can_be_reached(case: Case) -> None:
    """As many as the limit on parts allows are listed and in the zip; page and zip say that the raw mail has the rest."""
    raw = six_hundred()
    item_id = case.file(raw)

    page = case.client.get(f"/items/{item_id}", headers=ACME | BROWSER).text
    found = unzipped(case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME).content)
    listed = len(parse_email(raw).attachments)

    note = found.pop("NOT INCLUDED.txt", b"").decode()
    assert len(found) == listed == page.count("/attachments/")
    assert found["t0123.csv"] == b"a;b\r\n123;2"
    assert (listed == 600) == (note == "")
    assert ("The raw e-mail has all of them." in note) == (f"{listed} of its files are listed here" in page)
    assert case.client.get(f"/v1/items/{item_id}/raw", headers=ACME).content == raw


def test_a_mail_without_files_has_no_zip(case: Case) -> None:
    """An empty zip is called damaged by some systems."""
    item_id = case.file(b"Subject: none\r\n\r\nHi")

    answer = case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME)

    assert (answer.status_code, answer.json()["detail"]) == (404, "This mail has no files.")


@pytest.mark.parametrize("path", ["raw", "files.zip", "source"])
def test_another_tenants_is_not_found_and_a_withdrawn_one_is_gone(case: Case, path: str) -> None:
    """A virus is in the raw mail too."""
    item_id = case.file(mail(("a.pdf", b"1")))
    routes = [f"/v1/items/{item_id}/{path}", f"/items/{item_id}/{path}"][path == "source" :]

    assert {case.client.get(route, headers=OTHER).status_code for route in routes} == {404}
    assert {case.client.get(route, headers=ADMIN).status_code for route in routes} == {200}
    assert {case.client.get(route).status_code for route in routes} == {401}
    case.withdraw(item_id)
    gone = [case.client.get(route, headers=ACME) for route in routes]
    assert {(one.status_code, "withdrawn: virus" in one.text) for one in gone} == {(410, True)}


@pytest.mark.parametrize("path", ["/v1/items/{}/raw", "/items/{}/raw", "/items/{}/source"])
def test_a_raw_mail_that_is_gone_or_altered_is_not_served(case: Case, path: str) -> None:
    """Not one byte of another content, and no response that ends in the middle."""
    lost, altered = mail(("a", b"1")), mail(("b", b"2"))
    first, second = case.file(lost), case.file(altered)
    case.lose(lost)
    case.alter(altered)

    gone = case.client.get(path.format(first), headers=ACME)
    damaged = case.client.get(path.format(second), headers=ACME)

    assert (gone.status_code, damaged.status_code) == (410, 502)
    assert "no longer has the bytes" in gone.text
    assert "other" not in damaged.headers.get("content-type", "")
    assert "differ from those that were deposited" in damaged.text


def test_a_zip_names_the_files_that_it_lacks(case: Case) -> None:
    """A person gets the others at once, and knows which to ask for."""
    item_id = case.file(mail(("lost.pdf", b"1"), ("kept.pdf", b"2"), ("altered.pdf", b"3")))
    case.lose(b"1")
    case.alter(b"3")

    found = unzipped(case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME).content)
    note = found.pop("NOT INCLUDED.txt").decode()
    case.lose(b"2")
    none = case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME)

    assert found == {"kept.pdf": b"2"}
    assert [line.split(",")[0] for line in note.splitlines() if line[:1].isdigit()] == ["1. lost.pdf", "3. altered.pdf"]
    assert none.status_code == 410
    assert "none of this mail's files" in none.json()["detail"]


def test_an_archive_that_cannot_be_reached_is_a_problem_not_a_short_zip(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 before the first file; after it the connection breaks, so that no program takes the part for the whole."""
    item_id = case.file(mail(("a", b"1"), ("b", b"2")))
    copy, calls = type(case.memory.archive).copy, []

    def failing(self: object, archive_id: str, target: object) -> None:
        calls.append(archive_id)
        if len(calls) > working:
            raise TransientError("AWS is temporarily unavailable")
        copy(self, archive_id, target)  # type: ignore[arg-type]

    monkeypatch.setattr(type(case.memory.archive), "copy", failing)
    working = 0
    assert case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME).status_code == 503
    calls, working = [], 1
    with pytest.raises(RuntimeError, match="interrupted"):
        case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME)


def test_head_range_and_conditional_requests(case: Case) -> None:
    """HEAD is refused as on every route; a range is answered with the whole; what the client has is not sent again."""
    raw = mail(("a.pdf", b"1"))
    path = f"/v1/items/{case.file(raw)}/raw"

    head = case.client.head(path, headers=ACME)
    part = case.client.get(path, headers=ACME | {"Range": "bytes=0-3"})
    again = case.client.get(path, headers=ACME | {"If-None-Match": part.headers["etag"]})
    garbage = case.client.get(path, headers=ACME | {"Range": "bytes=9-1,x", "If-None-Match": '"other", ,W/'})

    assert (head.status_code, head.headers["allow"]) == (405, "GET")
    assert (part.status_code, part.content, part.headers["accept-ranges"]) == (200, raw, "none")
    assert (again.status_code, again.content) == (304, b"")
    assert (garbage.status_code, garbage.content) == (200, raw)


def test_the_source_is_text_and_nothing_of_it_is_interpreted(case: Case) -> None:
    """Markup, control characters and bytes of no charset are shown as what they are."""
    head = b"X-Evil: </pre><script>alert(1)</script>\x00\x1b[2J\xff\xe2\x80\xae\r\n"
    item_id = case.file(mail(("a.pdf", b"1"), head=head))

    answer = case.client.get(f"/items/{item_id}/source", headers=ACME | BROWSER)

    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "X-Evil: &lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;\u2400\u241b[2J\\xff\\u{202e}\n" in answer.text
    assert "&lt;p&gt;Hi&lt;/p&gt;" in answer.text
    assert "left out" not in answer.text


def test_a_long_source_says_how_much_is_left_out(case: Case) -> None:
    """With the exact number of bytes, and the way to all of them."""
    raw = b"Subject: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n" + b"b" * 1_000_000

    item_id = case.file(raw)
    page = case.client.get(f"/items/{item_id}/source", headers=ACME | BROWSER).text

    assert f"({len(raw) - 1_000_000 - (64 << 10):,} bytes) are left out here" in page
    assert f"({1_000_000 - (192 << 10):,} bytes) are left out here" in page
    assert page.count(f'href="/items/{item_id}/raw"') == 3
    assert len(page) < 300_000


@pytest.mark.parametrize(
    "raw", [b"x", b"\r\n\r\n", b"\n" * 50, b"Subject: only headers", b"\x00\xff" * 500, b"--b\r\n"]
)
def test_any_mail_has_a_source(case: Case, raw: bytes) -> None:
    """What is no e-mail at all is what a person most needs to see."""
    item_id = case.file(raw)

    answer = case.client.get(f"/items/{item_id}/source", headers=ACME | BROWSER)

    assert answer.status_code == 200
    assert case.client.get(f"/v1/items/{item_id}/raw", headers=ACME).content == raw
