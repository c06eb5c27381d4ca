"""The inbox pages, on services in memory; above all what hostile mail may not do to them."""

import base64
import re
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from mailroom.api.app import create_app
from mailroom.domain.inbound.received_email import Attachment, State
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.ports.inbox_reader import EmailLine, FiledItem, InboxLine
from mailroom.testing.api import BROWSER, NOW, PASSED, Memory, TestClient, an_item, two_tenants
from tests.support.signed_in import signed_in

#: A script that is not one of our own files.
FOREIGN_SCRIPT = re.compile(r"<script(?! src=\"/static/\w+\.js\" defer></script>)", re.I)
IMG = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def memory() -> Memory:
    """One tenant with one empty inbox, and another tenant's."""
    return two_tenants()


@pytest.fixture
def pages(memory: Memory) -> TestClient:
    """An operator's browser."""
    return signed_in(create_app(memory.services()))


@pytest.fixture
def locked(memory: Memory) -> TestClient:
    """A browser where pages need a key."""
    return TestClient(create_app(memory.services()), base_url="https://mail.example", headers=BROWSER)


def a_part(number: int = 1, **changes: object) -> Attachment:
    """Return a listed attachment."""
    part = Attachment(
        number, "a.pdf", "application/pdf", "application/pdf", 5, "ab" * 32, False, None, f"acme/{number}"
    )
    return replace(part, **changes)  # type: ignore[arg-type]


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anyone:{key}".encode()).decode()}


def test_hostile_fields_are_only_text_on_every_page(pages: TestClient, memory: Memory) -> None:
    """Each field below was used by a published XSS in some mail product, mostly in administrators' views."""
    part = a_part(filename=f"{IMG}.pdf", content_type=IMG, detected_type=None, content_id=IMG)
    item = an_item(
        subject=f"<script>alert(1)</script>{IMG}",
        from_=IMG,
        to=(IMG,),
        cc=(IMG,),
        text=f"</pre>{IMG}",
        message_id=IMG,
        defects=(IMG,),
        plus_token=IMG,
        attachments=(part,),
    )
    filed = memory.file(item, verdicts=PASSED)
    memory.activities.append({"at": NOW.isoformat(), "kind": IMG, "facts": {IMG: IMG}})
    line = EmailLine(str(uuid4()), IMG, State.QUARANTINED, IMG, 3, None, NOW, None, {IMG: IMG}, IMG, (IMG,))
    memory.reader.ledger.append((line, frozenset()))

    for path in ("/", "/inboxes/ann@acme.test", f"/items/{filed.id}", "/quarantine"):
        page = pages.get(path)

        assert page.status_code == 200, path
        assert not FOREIGN_SCRIPT.search(page.text)
        assert "<img src=x" not in page.text
        assert 'href=""' not in page.text


def test_deceptive_characters_are_left_out(pages: TestClient, memory: Memory) -> None:
    """`exe.gpj` behind a right-to-left override reads as a picture; controls and isolates lie in the same way."""
    filed = memory.file(
        an_item(subject="in\u202evoice\x00\x1b[31m", attachments=(a_part(filename="ann\u202egpj.exe"),))
    )

    page = pages.get(f"/items/{filed.id}").text

    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "anngpj.exe" in page


def frame_of(pages: TestClient, memory: Memory, html: str, *parts: Attachment) -> str:
    filed = memory.file(an_item(html=html, attachments=parts))
    return pages.get(f"/items/{filed.id}/html").text.partition("<body>")[2]


def test_html_is_shown_only_in_a_sandboxed_frame_with_its_own_policy(pages: TestClient, memory: Memory) -> None:
    """Three walls: sanitised, sandboxed without scripts, and a policy that loads nothing."""
    filed = memory.file(an_item(html="<p>Hi <b>there</b></p>"))

    page, frame = pages.get(f"/items/{filed.id}"), pages.get(f"/items/{filed.id}/html")

    assert f'sandbox="allow-same-origin" data-fit src="/items/{filed.id}/html"' in page.text
    assert "Hi <b>" not in page.text
    assert "<p>Hi <b>there</b></p>" in frame.text
    policy = frame.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "frame-ancestors 'self'" in policy


@pytest.mark.parametrize(
    "html",
    [
        "<script>evil()</script>",
        "<scr<script>ipt>evil()</scr</script>ipt>",
        "<img src=x onerror=evil()>",
        '<a href="javascript:evil()">x</a>',
        '<a href="JaVa&#10;Script:evil()">x</a>',
        '<a href="data:text/html,evil()">x</a>',
        '<meta http-equiv=refresh content="0;url=http://evil()">',
        '<base href="http://evil()">',
        "<form action=http://evil()><input name=evil()></form>",
        '<iframe srcdoc="<script>evil()</script>"></iframe>',
        "<object data=evil()></object><embed src=evil()>",
        "<svg><animate onbegin=evil() /><style><img src=x onerror=evil()></style></svg>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=evil()&gt;'>",
        "<template><img src=x onerror=evil()></template>",
        "<style>body{background:url(http://evil())}</style>",
        '<p style="background:url(http://evil())">x</p>',
        '<table background="http://evil()"><tr><td background="http://evil()">x</table>',
        '<img src="http://evil()/t.gif" srcset="http://evil() 2x">',
        '<img src="data:image/svg+xml,evil()">',
        '<video poster="http://evil()"></video><link rel=stylesheet href="http://evil()">',
        "<noscript><p title='</noscript><img src=x onerror=evil()>'>",
    ],
)
def test_nothing_active_or_remote_survives_in_html(pages: TestClient, memory: Memory, html: str) -> None:
    """Each of these ran a script, fetched something or left the page in some mail product."""
    left = frame_of(pages, memory, html)

    assert "evil()" not in "".join(re.findall("<[^>]*>", left))
    assert not re.search(
        r"<(script|style|svg|math|iframe|object|embed|form|input|base|meta|link|video|template)\b", left
    )


def test_links_are_listed_with_their_true_hosts(pages: TestClient, memory: Memory) -> None:
    """In the frame no link leads anywhere; beside it each is shown as what it is, whatever its text says."""
    html = '<a href="https://bank.test@evil.test/x">bank.test</a> <a href="https://аpple.test/">apple</a><img src=http://t.test/p>'
    filed = memory.file(an_item(html=html))

    page, frame = pages.get(f"/items/{filed.id}").text, pages.get(f"/items/{filed.id}/html").text

    assert 'href="https://evil.test/x"' in page
    assert "<strong><bdi>xn--pple-43d.test</bdi></strong>" in page
    assert "1 remote picture was left out" in page
    assert 'href="#1"' in frame
    assert "evil.test" not in frame


def test_small_inline_pictures_are_shown_from_the_archive(pages: TestClient, memory: Memory) -> None:
    """A logo is part of the letter; but only what is a picture by its bytes, is small, and is still there."""
    picture, page = [memory.archive.deposit("acme", content).archive_id for content in (b"\x89PNG", b"<html>")]
    parts = [
        a_part(1, inline=True, content_id="<logo@x>", detected_type="image/png", archive_id=picture),
        a_part(2, inline=True, content_id="page@x", detected_type="text/html", archive_id=page),
        a_part(3, inline=True, content_id="big@x", detected_type="image/png", size=10_000_000, archive_id=picture),
        a_part(4, inline=True, content_id="gone@x", detected_type="image/png"),
    ]

    left = frame_of(
        pages, memory, "".join(f'<img src="cid:{name}@x">' for name in ("logo", "page", "big", "gone")), *parts
    )

    assert left.count("<img src=") == 1
    assert 'src="data:image/png;base64,iVBORw=="' in left


def test_html_that_would_keep_the_parser_busy_is_given_up(pages: TestClient, memory: Memory) -> None:
    """200 000 open elements take the HTML algorithm two minutes; the page must answer, and the archive has the original."""
    left = frame_of(pages, memory, "<div>" * 200_000)

    assert "too large or too complex" in left


def test_pages_need_a_key_or_a_person(locked: TestClient, memory: Memory) -> None:
    """A browser is asked for it by HTTP Basic, with the key as password."""
    filed = memory.file(an_item(html="<p>x"))

    for path in ("/", "/inboxes/ann@acme.test", f"/items/{filed.id}", f"/items/{filed.id}/html", "/quarantine"):
        for headers in ({}, basic("wrong"), {"Authorization": "Basic !!!"}, {"Authorization": "Basic /w=="}):
            refused = locked.get(path, headers={"Accept": "*/*"} | headers)
            assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
        assert locked.get(path, headers=basic("acme")).status_code == 200
        assert locked.get(path, headers={"Authorization": "Bearer admin"}).status_code == 200


def test_a_tenants_pages_show_nothing_of_another(locked: TestClient, memory: Memory) -> None:
    """The pages pass the tenant of the key to every query, as the JSON routes do."""
    part = a_part(archive_id=memory.archive.deposit("acme", b"12345").archive_id)
    filed = memory.file(an_item(html="<p>x", attachments=(part,)))

    for path in (
        f"/items/{filed.id}",
        f"/items/{filed.id}/html",
        f"/items/{filed.id}/attachments/1",
        "/inboxes/ann@acme.test",
    ):
        assert locked.get(path, headers=basic("acme")).status_code == 200
        assert locked.get(path, headers=basic("other")).status_code == 404
    assert "ann@acme.test" not in locked.get("/", headers=basic("other")).text


def test_a_tenant_sees_history_without_its_facts(locked: TestClient, memory: Memory) -> None:
    """The facts of routing name all recipients of the e-mail, other tenants' too."""
    filed = memory.file(an_item())
    memory.activities.append(
        {"at": NOW.isoformat(), "kind": "archived", "facts": {"deposits": 7, "routes": [{"x": "y"}]}}
    )

    mine, all_of_it = (locked.get(f"/items/{filed.id}", headers=basic(key)).text for key in ("acme", "admin"))

    assert "archived" in mine
    assert "deposits" not in mine
    assert "deposits <bdi>7</bdi>" in all_of_it


def test_every_answer_has_its_security_headers(pages: TestClient, memory: Memory) -> None:
    """Also errors and static files: one page without a policy is enough for an attack."""
    filed = memory.file(an_item())
    for path in (
        "/",
        f"/items/{filed.id}",
        "/nowhere",
        "/static/mailroom.css",
        "/static/../app.py",
        "/docs",
        "/healthz",
    ):
        headers = pages.get(path).headers

        policy = headers["content-security-policy"]
        assert policy.startswith(
            "default-src 'none'; script-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'; style-src 'self';"
        ), path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_doubtful_verdicts_are_badges_and_passed_ones_are_silent(pages: TestClient, memory: Memory) -> None:
    """Everything but PASS is shown; a mail that passed all has no badge."""
    good = memory.file(an_item(), verdicts=PASSED)
    bad = memory.file(an_item(), verdicts=replace(PASSED, dmarc=Verdict.FAIL, spam=Verdict.GRAY))
    unreported = memory.file(an_item(), verdicts=None)

    def badges(filed: FiledItem) -> list[str]:
        page = pages.get(f"/items/{filed.id}").text
        return re.findall(r'<span class="badge (?:bad|unsure)">([^<]*)<', page)

    assert badges(good) == []
    assert badges(bad) == ["DMARC failed", "spam uncertain"]
    assert badges(unreported) == ["not checked"]


def test_an_item_links_its_run_and_says_how_long_it_is_kept(pages: TestClient, memory: Memory) -> None:
    """The item shows its run in Prefect and its archive date at one glance."""
    run = str(uuid4())
    filed = memory.file(an_item(attachments=(a_part(size=1_234_567),)), run_id=run)

    page = pages.get(f"/items/{filed.id}").text

    assert f'href="http://127.0.0.1:4200/runs/flow-run/{run}"' in page
    assert "11 Mar 2036, 09:30 UTC" in page
    assert "governance lock" in page
    assert "1.2 MB" in page


def test_an_item_says_archived_only_with_when_the_store_confirmed_it(pages: TestClient, memory: Memory) -> None:
    """A row in SQL proves nothing: the page says when bytes and lock were last compared, and what a check found since."""
    item = an_item(attachments=(a_part(),))
    whole = memory.file(item)
    lost = memory.file(item, damages={item.raw_archive_id: "missing deposit"})
    kept = {name: replace(one, verified_at=None) for name, one in whole.deposits.items()}
    unreported = memory.file(item, deposits=kept)

    said, warned, unsure = (pages.get(f"/items/{one.id}").text for one in (whole, lost, unreported))

    assert "Archived</span>: bytes and lock confirmed" in said
    assert said.count("Archived</span>") == 2
    assert warned.count("Archived</span>") == 1
    assert "archive: missing deposit</span> found by a later check" in warned
    assert "Archived</span>" not in unsure
    assert "archive: not verified" in unsure


def test_quarantine_lists_what_was_not_filed(pages: TestClient, memory: Memory) -> None:
    """Reason, attempts and run are what a person needs to decide; filed e-mails are not there."""
    run = str(uuid4())
    lines = [
        EmailLine("1", "m1", State.QUARANTINED, "no_route", 1, run, NOW, NOW),
        EmailLine("2", "m2", State.FAILED, None, 4, None, NOW, NOW),
        EmailLine("3", "m3", State.FILED, None, 1, None, NOW, NOW),
    ]
    memory.reader.ledger = [(line, frozenset()) for line in lines]

    page = pages.get("/quarantine").text

    assert "no route" in page
    assert f"/runs/flow-run/{run}" in page
    assert "4 attempts" in page
    assert "mailroom replay 3" not in page


def test_empty_pages_say_what_to_do_next(pages: TestClient, memory: Memory) -> None:
    """A new user first sees an empty page."""
    assert "mailroom status" in pages.get("/inboxes/ann@acme.test").text
    assert "Quarantine is empty" in pages.get("/quarantine").text

    memory.reader.addresses.clear()

    assert "mailroom address add you@example.com" in pages.get("/").text


def test_a_long_inbox_goes_on_at_older(pages: TestClient, memory: Memory) -> None:
    """Every mail is reached by following one link."""
    for minutes in range(120):
        memory.file(an_item(subject=f"mail-{minutes}-"), received_at=NOW - timedelta(minutes=minutes))

    path, seen = "/inboxes/ann@acme.test", []
    while path:
        page = pages.get(path).text
        seen += re.findall(r"mail-(\d+)-", page)
        older = re.search(r'href="([^"]*cursor=[^"]*)" rel="next"', page)
        path = older[1].replace("&amp;", "&") if older else ""

    assert seen == [str(minutes) for minutes in range(120)]


def test_an_address_of_any_spelling_has_a_page(pages: TestClient, memory: Memory) -> None:
    """A local part may hold slashes, question marks and quotes (RFC 5321), and its link must lead to it."""
    odd = 'a/b?c#"d%@acme.test'
    memory.reader.addresses.append(InboxLine(odd, "acme", "odd", 0, None))

    link = re.search(r'href="(/inboxes/a[^"]*)"', pages.get("/").text)

    assert link
    assert pages.get(link[1]).status_code == 200


def test_a_gone_attachment_has_a_page_of_its_own(pages: TestClient, memory: Memory) -> None:
    """In the sandbox every user meets this after a restart; it must not look like a fault."""
    filed = memory.file(an_item(attachments=(a_part(),)))

    page = pages.get(f"/items/{filed.id}/attachments/1")

    assert page.status_code == 410
    assert page.headers["content-type"].startswith("text/html")
    assert "a restart of the stack deletes them" in page.text
