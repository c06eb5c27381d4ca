"""Previews on pages: whose they are, what the browser gets, and what it says when there is none."""

from dataclasses import replace
from hashlib import sha256

import pytest

from mailroom.api.app import create_app
from mailroom.api.slots import Slots
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.mail.contained import Contained
from mailroom.ports.previewer import NoPreview, Preview
from mailroom.testing.api import BROWSER, Memory, TestClient, an_item, two_tenants
from mailroom.testing.previewer import MemoryPreviewer
from tests.support.previewed_files import pdf

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


class Broken(MemoryPreviewer):
    """One whose process does not start."""

    def preview(self, content: bytes, page: int) -> Preview | NoPreview:
        """Raise."""
        raise TransientError("the process for a preview did not start")


@pytest.fixture
def memory() -> Memory:
    """One tenant with one empty inbox, and another tenant's."""
    return two_tenants()


@pytest.fixture
def pages(memory: Memory) -> TestClient:
    """A browser in which nobody is signed in."""
    return TestClient(create_app(memory.services()), base_url="https://mail.example", headers=BROWSER)


def of(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def filed(memory: Memory, content: bytes = pdf(3), *, kind: str | None = "application/pdf", **changes: object) -> str:
    kept = memory.archive.deposit("acme", content).archive_id
    values = {"members": changes.pop("members", ())}
    part = Attachment(
        1, "a.pdf", "application/pdf", kind, len(content), sha256(content).hexdigest(), False, None, kept, **values
    )  # type: ignore[arg-type]
    return memory.file(an_item(attachments=(part,)), **changes).id


def test_preview_is_a_page_without_script_for_a_frame(pages: TestClient, memory: Memory) -> None:
    """The picture is inside it; the sender's bytes are not, and nothing else is loaded but our style sheet."""
    item = filed(memory)

    page, preview = (
        pages.get(f"/items/{item}", headers=of("acme")),
        pages.get(f"/items/{item}/attachments/1/preview?page=2", headers=of("acme")),
    )

    assert f'sandbox="allow-same-origin" data-fit loading="lazy" src="/items/{item}/attachments/1/preview"' in page.text
    assert 'src="data:image/png;base64,' in preview.text
    assert 'alt="Page 2 of 3 of a.pdf"' in preview.text
    assert 'href="?page=1"' in preview.text
    assert 'href="?page=3"' in preview.text
    assert "<script" not in preview.text
    policy = preview.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-same-origin; default-src 'none'; style-src 'self'; img-src data:;")
    assert "script" not in policy
    assert preview.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("content", "query", "words"),
    [
        (pdf(encrypted=True), "", "protected with a password"),
        (b"%PDF-1.7 nothing", "", "damaged or incomplete"),
        (SVG, "", "neither a PDF nor a picture"),
        (pdf(2), "?page=3", "has no such page"),
    ],
)
def test_file_without_a_preview_says_why(
    pages: TestClient, memory: Memory, content: bytes, query: str, words: str
) -> None:
    """In the frame, where the picture would be."""
    answer = pages.get(f"/items/{filed(memory, content)}/attachments/1/preview{query}", headers=of("acme"))

    assert answer.status_code == 200
    assert words in answer.text
    assert "<img" not in answer.text


def test_preview_is_only_of_what_is_mine(pages: TestClient, memory: Memory) -> None:
    """Another tenant's is not found, a withdrawn item has none, and a key is needed."""
    item, withdrawn = filed(memory), filed(memory, withdrawn="duplicate")

    path = f"/items/{item}/attachments/1/preview"
    assert pages.get(path, headers=of("acme")).status_code == 200
    assert pages.get(path, headers=of("other")).status_code == 404
    assert pages.get(path, follow_redirects=False).headers["location"].startswith("/sign-in?next=%2Fitems%2F")
    assert pages.get(f"/items/{withdrawn}/attachments/1/preview", headers=of("acme")).status_code == 404
    assert pages.get(f"/items/{item}/attachments/2/preview", headers=of("acme")).status_code == 404
    assert pages.get(f"/items/{item}/attachments/1/members/1/preview", headers=of("acme")).status_code == 404
    assert pages.get(f"{path}?page=0", headers=of("acme")).status_code == 422


def test_preview_is_offered_by_content(pages: TestClient, memory: Memory) -> None:
    """Not by what the sender declares; of a member by its name or type, for its content was not looked at."""
    assert "/preview" not in pages.get(f"/items/{filed(memory, SVG, kind='image/svg+xml')}", headers=of("acme")).text
    assert "/preview" not in pages.get(f"/items/{filed(memory, SVG, kind=None)}", headers=of("acme")).text
    inside = (
        Contained("b.PDF", 9, 1, "application/octet-stream", "ab"),
        Contained("c.pdf", 9, 2),
        Contained("d.txt", 9, 3, "text/plain", "cd"),
    )
    page = pages.get(f"/items/{filed(memory, kind='application/zip', members=inside)}", headers=of("acme")).text

    assert "/members/1/preview" in page
    assert page.count("/preview") == 1


def test_browser_that_has_the_preview_gets_it_from_itself(pages: TestClient, memory: Memory) -> None:
    """A page is drawn once for each browser; who may not see it is asked before."""
    path = f"/items/{filed(memory)}/attachments/1/preview?page=2"
    tag = pages.get(path, headers=of("acme")).headers["etag"]

    again = pages.get(path, headers=of("acme") | {"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert pages.get(path.replace("page=2", "page=1"), headers=of("acme") | {"If-None-Match": tag}).status_code == 200
    assert pages.get(path, headers=of("other") | {"If-None-Match": tag}).status_code == 404


def test_preview_that_cannot_be_drawn_now_says_so_in_its_frame(memory: Memory) -> None:
    """Too many at a time, no process, or no bytes: the page around it stays, and nothing waits for ever."""
    item = filed(memory)
    path = f"/items/{item}/attachments/1/preview"
    broken = TestClient(create_app(replace(memory.services(), previewer=Broken())), headers=BROWSER)
    crowded = TestClient(
        create_app(replace(memory.services(), preview_slots=Slots(1, for_one=0, wait_s=0.01))), headers=BROWSER
    )
    for client in (broken, crowded):
        answer = client.get(path, headers=of("acme"))
        assert answer.status_code in (429, 503)
        assert "Too many previews" in answer.text
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]

    gone = memory.file(
        an_item(attachments=(Attachment(1, "a.pdf", "a/b", "application/pdf", 5, "ab" * 32, False, None, "acme/no"),))
    ).id
    answer = TestClient(create_app(memory.services()), headers=BROWSER).get(
        f"/items/{gone}/attachments/1/preview", headers=of("acme")
    )
    assert (answer.status_code, "no longer has the bytes" in answer.text) == (410, True)
