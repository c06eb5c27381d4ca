"""What the preparation of a batch accepts, the last check before each provider accepts; and it arrives as it was."""

from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailroom.adapters.providers.capability_checks import require, require_size
from mailroom.adapters.providers.catalogue import PROVIDERS
from mailroom.domain.errors import Refused
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound import media_types
from mailroom.domain.outbound.content_rules import ADDRESSED, RESERVED, mailboxes
from mailroom.domain.outbound.message import LIMITS, File, Outgoing, Party, Tracked
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.provider import a_mail
from tests.support.requests_to_send import CHANGES, NOW, TEXTS, made, prepared

FILE = ("a.pdf", "application/pdf", None, b"x")


def faults(**changes: Any) -> list[str]:
    return [fault.what for fault in prepared(changes, MemoryArchive()).faults]


def built(mail: Outgoing) -> bytes:
    return mime(mail, message_id="1@acme.test", date=NOW)


def mailbox(found: EmailMessage, name: str) -> Party | None:
    """Return the one mailbox of a header as the standard library reads it."""
    one = parties(found, name)
    assert len(one) <= 1
    return one[0] if one else None


def parties(found: EmailMessage, name: str) -> list[Party]:
    """Return the mailboxes of a header as the standard library reads them."""
    lines = [str(value).replace("\r\n", "") for header, value in found.raw_items() if header == name]
    return [Party(address, str(make_header(decode_header(shown)))) for shown, address in getaddresses(lines)]


def files(found: EmailMessage) -> list[File]:
    parts = [part for part in found.walk() if part.get_content_disposition() is not None]
    return [
        File(
            filename=part.get_filename() or "",
            content_type=repr(kind_of(part.get_params([]))),
            content=cast(bytes, part.get_payload(decode=True)),
            content_id=part["Content-ID"].strip().removeprefix("<").removesuffix(">") if part["Content-ID"] else None,
        )
        for part in parts
    ]


def kind_of(parameters: list[tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """Return a media type and its parameters as the standard library reads them."""
    (kind, _), *others = parameters
    return kind, dict(others)


def as_sent(file: File) -> File:
    """Return a file with the media type that it is sent with: a message goes as bytes, or it could not be in base64."""
    kind, parameters = media_types.parse(file.content_type)
    values = {name: media_types.parameter(file.content_type, name) or "" for name in parameters}
    sent = ("application/octet-stream", {}) if kind.startswith("message/") else (kind, values)
    return replace(file, content_type=repr(sent))


@settings(max_examples=200, deadline=None)
@example({"headers": {"x-original-TO": "a@b.test", "Errors-To": "a@b.test"}})
@example({"unsubscribe": "https://acme.test/u/" + "t" * 880})
@example({"unsubscribe": "https://acme.test/u/" + "t" * 1_980})
@example({"headers": {"Disposition-Notification-To": '"Müller, Zoë" <desk@acme.test>, b@acme.test'}})
@example({"files": [("invite.ics", "text/calendar; method=REQUEST; charset=utf-8", None, b"BEGIN:VCALENDAR")]})
@example({"headers": {"X-Note": "a" + " " * 1_500 + "b"}, "subject": "a " + " " * 500 + "x" * 490})
@example({"files": [("=?utf-8?q?=0D=0ABcc:?=", None, None, b"x")]})
@example({"files": [("x" * 60, "application/" + "x" * 127, "x" * 200, b"x")]})
@example({"subject": "{{ a }}", "text": '{{ "\\ud800" }}', "data": {"a": "x"}})
@given(CHANGES)
def test_what_a_request_accepts_every_provider_is_given_and_readers_find(changes: dict[str, Any]) -> None:
    """Accepted is a promise: a header that only the last check refuses makes the mail fail hours later."""
    archive = MemoryArchive()
    accepted = prepared(changes, archive)
    if accepted.faults:
        return

    for name, can in PROVIDERS.items():
        mail = made(accepted, archive, provider_tracks=can.tracks)
        assert isinstance(mail, Outgoing), mail
        require(mail, can, provider=name)
        raw = built(mail)
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        found = cast(EmailMessage, message_from_bytes(raw, policy=default))

        assert found["Subject"].strip() == mail.subject.strip()
        assert [mailbox(found, name) for name in ("From", "To", "Reply-To")] == [mail.from_, mail.to, mail.reply_to]
        texts = [(name, value) for name, value in mail.headers if name.lower() not in ADDRESSED]
        assert {name: found[name].strip() for name, _ in texts} == {name: value.strip() for name, value in texts}
        for name, value in mail.headers:
            if name.lower() in ADDRESSED:
                assert parties(found, name) == mailboxes(value)
        # Within the angle brackets white space is ignored: RFC 2369 section 2.
        link = "".join((found["List-Unsubscribe"] or "").split())
        assert link == (f"<{mail.unsubscribe}>" if mail.unsubscribe else "")
        assert sorted(files(found), key=repr) == sorted(map(as_sent, mail.attachments), key=repr)


@settings(max_examples=100, deadline=None)
@given(
    TEXTS,
    TEXTS,
    st.sampled_from(
        [
            "{{ a }}",
            "{{ a|upper }} {{ b }}",
            "{{ '\\ud83d' }}{{ a }}",
            "{{ '\\x00' }}",
            "https://acme.test/{{ a }}",
            "{{ 'ours' }}",
        ]
    ),
)
def test_what_values_make_of_a_template_is_checked_like_what_is_written(a: str, b: str, source: str) -> None:
    """A constant of a template may spell NUL or half a character, and a value the word for a link of our own."""
    changes = {"subject": "Dear {{ b|trim }}", "text": source, "html": source, "data": {"a": a, "b": b}}
    archive = MemoryArchive()
    for more in ({}, {"unsubscribe": source}):
        accepted = prepared(changes | more, archive)
        if not accepted.faults:
            mail = made(accepted, archive)
            assert isinstance(mail, Outgoing), mail
            require(mail, PROVIDERS["ses"], provider="ses")


@pytest.mark.parametrize(
    ("most", "more"),
    [
        ({"subject": "x" * 998}, {"subject": "x" * 999}),
        ({"headers": {"X": "é" * 2_000}}, {"headers": {"X": "é" * 2_001}}),
        ({"headers": {"X" * 76: "y" * 919}}, {"headers": {"X" * 77: "y"}}),
        ({"headers": {f"X-{at}": "" for at in range(50)}}, {"headers": {f"X-{at}": "" for at in range(51)}}),
        ({"to": f"{'é' * 200} <a@b.test>"}, {"to": f"{'é' * 201} <a@b.test>"}),
        ({"to": f"{'x' * 64}@b.test"}, {"to": f"{'x' * 65}@b.test"}),
        ({"to": f"{'x' * 60}@{'.'.join(['a' * 47] * 4)}.b"}, {"to": f"{'x' * 61}@{'.'.join(['a' * 47] * 4)}.b"}),
        ({"unsubscribe": "https://a.test/".ljust(2_000, "t")}, {"unsubscribe": "https://a.test/".ljust(2_001, "t")}),
        ({"files": [("é" * 127 + "x", *FILE[1:])]}, {"files": [("é" * 128, *FILE[1:])]}),
        ({"files": [("a", f"a/{'b' * 127}", None, b"x")]}, {"files": [("a", f"a/{'b' * 128}", None, b"x")]}),
        ({"files": [("a", None, "x" * 200, b"x")]}, {"files": [("a", None, "x" * 201, b"x")]}),
        ({"files": [FILE] * 50}, {"files": [FILE] * 51}),
    ],
)
def test_the_most_that_is_accepted_is_sent_and_one_more_is_a_fault(most: dict[str, Any], more: dict[str, Any]) -> None:
    """At the limit itself two rules disagree first; and no line may have more than 998 octets (RFC 5322)."""
    archive = MemoryArchive()

    mail = made(prepared(most, archive), archive)

    assert isinstance(mail, Outgoing), mail
    assert max(map(len, built(mail).split(b"\r\n"))) <= 998
    assert len(faults(**more)) == 1


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_header_that_the_last_check_refuses_is_a_fault_of_the_request(name: str) -> None:
    """Each end once had its own list; `Delivered-To` and `Errors-To` were on one of them."""
    for spelt in (name, name.upper(), name.title()):
        assert faults(headers={spelt: "x"}) == ["this header cannot be set; Mailroom sets it, or it is not allowed"]
        with pytest.raises(Refused):
            require(a_mail(headers=((spelt, "x"),)), PROVIDERS["ses"], provider="ses")


_DEAR = [
    "=",
    "\n",
    "\r\n",
    "é\n",
    "日\r",
    " \n",
    ".\n",
    "\x01",
    "\x7f",
    '"',
    "\\",
    "é",
    "😀",
    "a",
    "\t",
    "<p>a",
    "&#1;",
    "&nGt;",
    "<li>",
    '<a href="http://a.b/é">',
    "<a href=http://a>",
]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mail_that_is_larger_on_the_wire_is_refused_by_the_request(data: st.DataObject) -> None:
    """Estimated too low, a mail is accepted and refused as too large when it is sent: base64, line ends, tracked links."""
    many = st.builds(lambda piece, times: "x" + piece * times, st.sampled_from(_DEAR), st.integers(0, 12_000))
    texts = data.draw(
        st.fixed_dictionaries({"html": many})
        | st.fixed_dictionaries({"text": st.none(), "html": many})
        | st.fixed_dictionaries({"text": many})
    )
    heavy = {
        "files": data.draw(st.lists(st.just(("é" * 127, None, "x" * 200, b"x" * 3_001)), max_size=3)),
        "headers": {"X-Note": data.draw(st.sampled_from(["", "é" * 2_000, "😀" * 2_000]))},
    }
    changes = texts | heavy | {"tracking": Tracked(opens=True, clicks=data.draw(st.booleans()))}
    archive = MemoryArchive()

    mail = made(prepared(changes, archive), archive)
    assert isinstance(mail, Outgoing)
    size = len(built(mail))

    assert prepared(changes, archive, limits=replace(LIMITS, mail=size - 1)).faults
    require_size(size, replace(PROVIDERS["ses"], max_bytes=size), provider="ses")


def test_the_size_that_is_accepted_is_exact_to_the_byte() -> None:
    """A mail of exactly the limit is sent; with a limit one byte lower the request is refused."""
    archive = MemoryArchive()
    [draft] = prepared({"text": "é\n" * 9_000}, archive).drafts

    at_limit, over = (
        prepared({"text": "é\n" * 9_000}, archive, limits=replace(LIMITS, mail=draft.size - n)) for n in (0, 1)
    )

    assert not at_limit.faults
    assert [fault.what for fault in over.faults] == [
        f"mail too large: at most {draft.size - 1} bytes, with attachments in base64"
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pdf", "application/pdf"),
        ("report.csv.gz", "application/octet-stream"),
        ("mail.eml", "message/rfc822"),
        ("a", "application/octet-stream"),
    ],
)
def test_a_media_type_is_what_the_name_suggests_where_none_is_written(name: str, kind: str) -> None:
    """A packed table that is declared as a table opens in the wrong program."""
    [content] = prepared({"files": [(f" {name} ", None, None, b"x")]}, MemoryArchive()).contents

    assert [(file.filename, file.content_type) for file in content.enclosures] == [(name, kind)]


def test_a_backslash_before_u0000_is_no_nul() -> None:
    """JSON spells NUL so; a value that has these six characters is an ordinary text."""
    said = {"subject": "x", "text": "{{ a }}"}

    assert faults(**said, data={"a": "\\u0000"}) == []
    assert faults(**said, data={"a": "\\\x00"}) == ["NUL characters are not allowed in data"]
