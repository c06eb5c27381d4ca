"""Every previewer answers each file with a picture or with a reason; and the real one draws what is in it."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mailroom.adapters import preview_child
from mailroom.adapters.preview_child import HIGH, MOST_PIXELS, WIDE
from mailroom.adapters.previewer import PreviewProcess
from mailroom.ports.previewer import MAX_PREVIEWED, NoPreview, Preview, Previewer
from mailroom.testing.previewer import MemoryPreviewer
from tests.support.previewed_files import pdf, picture, scan

REAL = PreviewProcess()


@pytest.fixture(params=["memory", "process"])
def previewer(request: pytest.FixtureRequest) -> Previewer:
    """Each implementation."""
    return MemoryPreviewer() if request.param == "memory" else REAL


def drawn(content: bytes, page: int = 1) -> tuple[Preview, Image.Image]:
    """Return a real preview, and it as a picture."""
    preview = REAL.preview(content, page)
    assert isinstance(preview, Preview), preview
    seen = Image.open(io.BytesIO(preview.content))
    assert seen.size == (preview.width, preview.height)
    assert f"image/{(seen.format or '').lower()}" == preview.content_type
    return preview, seen.convert("RGB")


def test_page_of_a_document_and_a_picture_are_drawn(previewer: Previewer) -> None:
    """With the count of pages, which the page shows."""
    for content, page, pages in (
        (pdf(3), 2, 3),
        (picture(), 1, 1),
        (picture("JPEG"), 1, 1),
        (picture("GIF", mode="P"), 1, 1),
    ):
        preview = previewer.preview(content, page)

        assert isinstance(preview, Preview)
        assert (preview.page, preview.pages) == (page, pages)
        assert preview.content_type in ("image/png", "image/jpeg")


@pytest.mark.parametrize(
    ("content", "page", "why"),
    [
        (pdf(2), 3, NoPreview.NO_SUCH_PAGE),
        (picture(), 2, NoPreview.NO_SUCH_PAGE),
        (pdf(encrypted=True), 1, NoPreview.PASSWORD),
        (pdf(0), 1, NoPreview.DAMAGED),
        (b"%PDF-1.7 nothing", 1, NoPreview.DAMAGED),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", 1, NoPreview.OTHER_TYPE),
        (b"<html><script>alert(1)</script>", 1, NoPreview.OTHER_TYPE),
        (b"PK\x03\x04", 1, NoPreview.OTHER_TYPE),
        (b"", 1, NoPreview.OTHER_TYPE),
        (b"\x89PNG" + bytes(MAX_PREVIEWED), 1, NoPreview.TOO_LARGE),
    ],
    ids=range(10),
)
def test_file_without_a_preview_has_a_reason(previewer: Previewer, content: bytes, page: int, why: NoPreview) -> None:
    """Each a sentence for the reader."""
    assert previewer.preview(content, page) is why
    assert why.sentence


def test_text_is_on_the_page_that_was_asked_for() -> None:
    """Black on white, at 150 dpi, and another page is another picture."""
    preview, seen = drawn(pdf(2))

    assert abs(preview.width - WIDE) <= 1
    assert seen.getpixel((5, 5)) == (255, 255, 255)
    low, _ = seen.convert("L").getextrema()
    assert low < 40
    assert drawn(pdf(2), 2)[0].content != preview.content


def test_what_was_typed_into_a_form_is_drawn() -> None:
    """An application whose fields looked empty would be answered wrongly."""
    field = "<< /FT /Tx /Subtype /Widget /Rect [60 300 400 340] /T (a) /V (TYPED) /DA (/F1 30 Tf 0 g) /F 4 >>"
    form = (
        f"/AcroForm << /Fields [{field}] /NeedAppearances true /DA (/F1 30 Tf 0 g) /DR << /Font << /F1 3 0 R >> >> >> "
    )
    page = f"/Annots [{field}]"
    with_form = pdf(catalog=form).replace(b"/Type /Page /Parent", f"/Type /Page {page} /Parent".encode())

    assert drawn(with_form)[0].content != drawn(pdf())[0].content


@pytest.mark.parametrize("box", ["0 0 1e9 1e9", "0 0 0 0", "0 0 -5 9", "0 0 14400 1", "0 0 1 14400", "a b c d"])
def test_page_of_any_size_is_bounded(box: str) -> None:
    """A document names its own size."""
    preview = REAL.preview(pdf(box=box), 1)

    if isinstance(preview, Preview):
        assert 0 < preview.width <= WIDE + 1
        assert 0 < preview.height <= HIGH + 1


def test_pictures_are_small_flat_and_upright() -> None:
    """A phone's photo lies on its side and says so; transparency is white; a fax has pages; deep greys are not black."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert drawn(picture("JPEG", (80, 40), exif=exif))[1].size == (40, 80)
    assert drawn(picture(mode="RGBA", colour=(0, 0, 0, 0)))[1].getpixel((1, 1)) == (255, 255, 255)
    assert drawn(scan("TIFF", save_all=True, append_images=[Image.new("1", (80, 90))]), 2)[0].pages == 2
    assert drawn(scan("JPEG"))[0].width == WIDE
    deep = io.BytesIO()
    Image.linear_gradient("L").convert("I;16").point(lambda value: value * 200).save(deep, "PNG")
    assert drawn(deep.getvalue())[1].convert("L").getextrema() == (0, 255)


def test_only_pixels_are_passed_on() -> None:
    """The browser is given no profile, comment or text that the sender wrote; however large these are."""
    many = Image.effect_noise((90, 90), 80).convert("RGB")
    for content in (
        picture(icc_profile=b"SENDERS" * 100_000),
        picture("JPEG", icc_profile=b"SENDERS", comment=b"SENDERS", exif=b"Exif\0\0SENDERS"),
        _saved(many, "JPEG", comment=b"SENDERS"),
        _saved(many, "WEBP", icc_profile=b"SENDERS", xmp=b"SENDERS"),
        _saved(Image.new("P", (9, 9)), "GIF", comment=b"SENDERS"),
        _saved(many, "TIFF", icc_profile=b"SENDERS"),
    ):
        found = drawn(content)[0].content
        assert b"SENDERS" not in found
        assert not Image.open(io.BytesIO(found)).info.keys() & {"icc_profile", "comment", "exif", "xmp"}


def _saved(drawing: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    drawing.save(out, kind, **options)
    return out.getvalue()


def test_time_is_up_before_the_process_is_killed_without_a_word(tmp_path: Path) -> None:
    """The limit that the process sets itself: a complex page is not called damaged."""
    child = tmp_path / "child.py"
    program = f"import runpy; bound = runpy.run_path({preview_child.__file__!r})['_bound']"
    child.write_text(f"{program}; bound.__globals__['CPU_S'] = 1; bound()\nwhile True: pass")

    assert PreviewProcess(wall_s=600, child=child).preview(pdf(), 1) is NoPreview.TOO_SLOW


def test_bomb_of_pixels_is_refused() -> None:
    """A few kilobytes that would be gigabytes of pixels."""
    side = int(MOST_PIXELS**0.5) + 1

    assert REAL.preview(picture(size=(side, side), mode="1"), 1) is NoPreview.TOO_LARGE


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("while True: pass", NoPreview.TOO_SLOW),
        ("import os; os.abort()", NoPreview.DAMAGED),
        ("print('no json')", NoPreview.DAMAGED),
        ("print('{\"none\": \"unheard of\"}')", NoPreview.DAMAGED),
        ("print('{\"page\": 1}')", NoPreview.DAMAGED),
        ("import resource as r; r.setrlimit(r.RLIMIT_CPU, (1, 2))\nwhile True: pass", NoPreview.TOO_SLOW),
        ("import os, json; print(json.dumps({'none': 'password' if not os.environ.get('SECRET') else 'damaged'}))", NoPreview.PASSWORD),
    ],
    ids=["hangs", "aborts", "writes no answer", "has no such reason", "lacks fields", "is killed for its time", "sees no secrets"],
)  # fmt: skip
def test_process_that_breaks_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, why: NoPreview
) -> None:
    """Whatever a decoder does to its process, the page has a sentence."""
    monkeypatch.setenv("SECRET", "x")
    child = tmp_path / "child.py"
    child.write_text(program)

    assert PreviewProcess(wall_s=5, child=child).preview(pdf(), 1) is why


SEEDS = [
    pdf(2),
    pdf(encrypted=True),
    *(picture(kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF")),
    picture("GIF", mode="P"),
]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(SEEDS),
    st.integers(0, 2_000),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=20),
    st.integers(1, 3),
)
def test_cut_and_spoilt_files_are_answered(seed: bytes, cut: int, spoilt: list[tuple[int, int]], page: int) -> None:
    """Truncated, and with bytes replaced: always a bounded picture or a reason."""
    content = bytearray(seed[: max(1, len(seed) - cut)])
    for place, byte in spoilt:
        content[place % len(content)] = byte

    preview = REAL.preview(bytes(content), page)

    assert isinstance(preview, NoPreview) or (preview.width <= WIDE + 1 and preview.height <= HIGH + 1)
