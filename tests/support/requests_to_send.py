"""Requests to send one mail, ordinary and hostile, and the steps from a request to the mail that a provider gets."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st

from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.delivery.unsubscribe import unsubscribe_url
from mailroom.domain.errors import PermanentError
from mailroom.domain.outbound.message import LIMITS, Limits, Outgoing, Tracked
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.preparing import Prepared, prepare
from mailroom.outbound.rendering import outgoing
from mailroom.outbound.request import Letter, Recipient, Request, RequestAttachment, RequestContent
from mailroom.ports.dispatch import Claimed
from mailroom.testing.archive import MemoryArchive

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KEY = b"k" * 32
BASE = "https://mail.acme.test/"

_BREAKS = st.sampled_from(["\r\nBcc: eve@evil.test", "\n", "\x00", "\x0b", "\x1b", "\x85", "\t", "\u2028", "\ud800"])
_ODD = st.sampled_from(
    ["\ufeff", "\u202e", "\xa0", "\u3000", " ", "  ", " " * 90, " " * 950, "=?utf-8?q?=0D=0ABcc:?=", "=?utf-8?b?eA==?=", "?=", "=?", '"', "\\", '\\"',
     "<", ">", ",", ";", ":", "@", "(", ")", "[", "%", "%41", "'", "''", "*0*=", "=", "_", "é", "ß", "日本", "😀", "e\u0301", "x", "word ",
     "x" * 77, "y" * 950, "a b " * 40, "ü" * 90, ".", "/"]
)  # fmt: skip
#: Mostly what a header may have; one in four is any text.
LINES = st.one_of(
    *[st.lists(_ODD, max_size=8).map("".join)] * 3, st.lists(_BREAKS | _ODD | st.text(max_size=12)).map("".join)
)
TEXTS = st.lists(_ODD | st.sampled_from(["\n", "\r\n", "\r", "\t", "\x01", " \n", ".\n", "From x\n"]) | _BREAKS).map(
    "".join
)
_LOCALS = st.sampled_from(["ada", "a.b+c", "!#$%&'*+/=?^_`{|}~-", "x" * 64, "x" * 65, "a..b", '"a b"', "zoë"]) | LINES
_DOMAINS = st.sampled_from(
    ["users.test", "BÜCHER.test", "straße.test", "xn--bcher-kva.test", "x.test.", "a" * 63 + ".test", ".".join(["a" * 47] * 4), "例え.テスト", "a。test",
     "ａ.test", "a\u00adb.test", ".".join(["a" * 60] * 4), "a" * 64 + ".test", "127.0.0.1", "[127.0.0.1]", "localhost", "-a.test", "a_b.test"]
) | LINES  # fmt: skip
_ADDRESSES = st.just("ada@users.test") | st.builds("{}@{}".format, _LOCALS, _DOMAINS)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


MAILBOXES = st.one_of(
    _ADDRESSES,
    st.builds("{} <{}>".format, LINES, _ADDRESSES),
    st.builds("{} <{}>".format, LINES.map(_quoted), _ADDRESSES),
)
_NAMES = st.sampled_from(
    ["X-Note", "x-note", "Comments", "X" * 76, "Precedence", "In-Reply-To", "References", "List-Id", "X-Mailer", "X" * 77, "X:Y", "X Y", "X-Ünï", "",
     "Delivered-To", "x-original-TO", "Errors-To", "Received-SPF", "Disposition-Notification-To", "FEEDBACK-ID", "X-Mailroom-Batch", "X-SES-Any",
     "bCC", "Content-Language", "MIME-version", "(x)", "x/y"]
) | st.from_regex(r"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)  # fmt: skip
_KINDS = st.none() | st.sampled_from(
    ["application/pdf", "TEXT/Plain", " text/csv ", "message/rfc822", "a/b", "application/" + "x" * 127, "application/" + "x" * 128, "text/", "é/x",
     "text/plain; charset=utf-8", "text/calendar; method=REQUEST; charset=utf-8", 'TEXT/calendar;Method="PUBLISH" ;', 'text/csv; header="a; b\\"c"', "message/partial", "multipart/mixed", "a/b\r\nX: y"]
)  # fmt: skip
_FILE_NAMES = LINES | st.sampled_from(
    [
        "a.pdf",
        " a.pdf ",
        "é" * 127 + "a",
        "x" * 255,
        "x" * 59,
        "x" * 60,
        "a.tar.gz",
        "mail.eml",
        "data:a/b,c",
        "a\u3000",
        "a/b",
        "..",
        "é" * 128,
    ]
)
_CONTENT_IDS = st.none() | st.sampled_from(["logo", "<logo@acme.test>", "x" * 200, "x" * 201, "a b", "é", "", "<>"])
LINKS = st.sampled_from(
    ["https://acme.test/u/" + "t" * length for length in (1, 48, 49, 870, 880, 881, 1_900, 1_980, 1_981)]
    + ["ours", "https://ACME.test:443/u?a=b&c=d,e;f", "https://acme.test/%41'()", "http://acme.test/u", "https:acme.test", 'https://acme.test/"q',
       "https://bücher.test/u", "https://user@acme.test/", "https://acme.test\\@evil.test/", "javascript:alert(1)", "mailto:a@b.test", "https://0x7f.1/", ""]
)  # fmt: skip
_FILES = st.lists(st.tuples(_FILE_NAMES, _KINDS, _CONTENT_IDS, st.binary(max_size=200)), max_size=3)
_HTML = TEXTS | st.builds('<p>{}<a HREF="https://acme.test/é">x</a><img src="cid:logo">'.format, TEXTS)
#: Mailboxes of a read receipt.
RECEIPTS = st.lists(MAILBOXES, min_size=1, max_size=3).map(", ".join)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "subject": LINES,
    "text": st.none() | TEXTS,
    "html": _HTML,
    "reply_to": MAILBOXES,
    "headers": st.dictionaries(_NAMES, LINES, max_size=2)
    | RECEIPTS.map(lambda value: {"Disposition-Notification-To": value}),
    "files": _FILES,
    "unsubscribe": LINKS,
    "from_": MAILBOXES,
    "to": MAILBOXES,
    "tracking": st.builds(Tracked, opens=st.booleans(), clicks=st.booleans()),
}
#: Changes of a request: one to three fields, because more would hardly ever be accepted together.
CHANGES = st.lists(st.sampled_from(sorted(_FIELDS)), min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: _FIELDS[name] for name in names})
)


def prepared(changes: Mapping[str, Any], archive: MemoryArchive, *, limits: Limits = LIMITS) -> Prepared:
    """Return the prepared request for one mail. `files` are names, media types, content ids and contents."""
    asked = {"subject": "Hello", "text": "Hello", "to": "ada@users.test", "from_": "Desk <desk@acme.test>"} | changes
    files = tuple(
        RequestAttachment(filename=name, content_type=kind, content_id=content_id, archive_id=archive.deposit("acme", content).archive_id)
        for name, kind, content_id, content in asked.get("files", ())
    )  # fmt: skip
    words = {name: asked[name] for name in RequestContent.__slots__ if name in asked}
    template, data = "data" in asked, asked.get("data", {})
    recipient = Recipient(to=asked["to"], where=("messages", 0), at=("messages", 0, "to"), data=data)
    letter = Letter(
        words=RequestContent(**words | {"attachments": files}),
        where=("messages", 0),
        recipients=(recipient,),
        template=template,
    )
    return prepare(
        Request(from_=asked["from_"], letters=(letter,), tracking=asked.get("tracking", Tracked())),
        tenant="acme",
        now=NOW,
        new_id=lambda: str(uuid4()),
        attachments=AttachmentResolver("acme", archive=archive, uploads=None),
        limits=limits,
    )


def made(accepted: Prepared, archive: MemoryArchive, *, provider_tracks: bool = False) -> Outgoing | PermanentError:
    """Return the mail of a request that was accepted, as its provider gets it."""
    [draft], [content] = accepted.drafts, accepted.contents
    claim = Claimed(batch=accepted.batch, draft=draft, content=content, attempt=1, handed_at=NOW)
    unused: Any = None
    [mail] = outgoing(
        [claim],
        dispatch=unused,
        archive=archive,
        leave_url=lambda message_id: unsubscribe_url(BASE, message_id, key=KEY),
        tracker=Tracker(base=BASE, key=KEY),
        provider_tracks=provider_tracks,
    )
    return mail
