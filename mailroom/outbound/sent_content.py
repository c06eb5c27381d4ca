"""What a recipient got: a mail filled again from what is stored, shown as sent only if its digest is the one taken at sending.

    at sending   made ── digest ──> provider, settled (`message.sent_sha256`)
    a view       stored template and data ── made again ── digest ── the same? ──> shown, for some days
                                                              └── another: nothing is shown as sent

The digest covers what a recipient sees and answers to: sender, recipient, subject, text, HTML with its tracked links, custom
headers, the files by their SHA-256, the link to unsubscribe. Date, Message-ID and signatures are written for each attempt,
some by the provider, and left out. So a view notices that templates are filled otherwise since, that the key that signs
links is another, or that a row was changed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache

from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.errors import PermanentError, Refused
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.message import UNTRACKED, Outgoing, Party, SendingStage, Status, StoredAttachment
from mailroom.domain.texts import Text
from mailroom.outbound.rendering import Deposits, Files, outgoing
from mailroom.ports.dispatch import Claimed
from mailroom.ports.message_reader import StoredMessage

_NO_DIGEST = "no digest of it was taken; an earlier release sent it, or its worker died before the answer"
#: Written into each digest: another way to count it is another word.
_VERSION = "mailroom sent content 1"
_REFUSED = frozenset(status for status in Status if status.stage is SendingStage.REFUSED)


class ContentState(StrEnum):
    """What is shown."""

    #: What the provider was given, by its digest.
    AS_SENT = "as_sent"
    #: Its outcome, and with it the digest, is not stored yet.
    BEING_SENT = "being_sent"
    #: What would be sent now: the message has not been sent.
    NOT_SENT = "not_sent"

    @property
    def sentence(self) -> str:
        """What the state means, for people."""
        if self is ContentState.AS_SENT:
            return "This is the mail as it was given to the provider: its digest is the one taken then."
        if self is ContentState.BEING_SENT:
            return "This mail is being sent at this moment. This is what would be sent now."
        return "This mail has not been sent. This is what would be sent now."


@dataclass(frozen=True, slots=True)
class Unshown:
    """Why nothing is shown; `is_over` where it was shown for as long as it may be."""

    sentence: str
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SentContent:
    """A mail, its files without their bytes. `untracked_html` has links that lead where they say, and no pixel.

    `shown_until` is when a sent mail is shown last; `sha256` is its digest.
    """

    state: ContentState
    mail: Outgoing
    untracked_html: str | None
    files: tuple[StoredAttachment, ...]
    sent_at: datetime | None
    shown_until: datetime | None
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Shows what recipients got. Links are made as workers make them; a sent mail is shown for `days`."""

    files: Files
    archive: Deposits
    leave_url: Callable[[str], str] | None
    tracker: Tracker | None
    days: int

    def content(self, stored: StoredMessage, *, now: datetime) -> SentContent | Unshown:
        """Return the mail, its files without their bytes, or why it is not shown."""
        found = self._made(stored, now, with_bytes=False)
        if isinstance(found, Unshown) or not stored.batch.tracking:
            return found
        untracked = replace(stored, batch=replace(stored.batch, tracking=UNTRACKED))
        [plain, *_] = self._variants(untracked, now, with_bytes=False)
        return replace(found, untracked_html=plain.html if isinstance(plain, Outgoing) else None)

    def eml(self, stored: StoredMessage, *, now: datetime) -> tuple[str, bytes] | Unshown:
        """Return the mail's subject and the mail as MIME (RFC 5322), or why it is not shown.

        Date and Message-ID are ours, and it has no signature.

        Raises:
            TransientError: a file cannot be read now.
        """
        found = self._made(stored, now, with_bytes=True)
        if isinstance(found, Unshown):
            return found
        try:
            domain = on_the_wire(found.mail.from_.address).rpartition("@")[2]
            raw = mime(found.mail, message_id=f"{found.mail.id}@{domain}", date=found.sent_at or now)
        except Refused as error:
            return Unshown(_unmade(error))
        return found.mail.subject, raw

    def read(self, tenant: str, file: StoredAttachment) -> bytes:
        """Return the bytes of an attachment.

        Raises:
            LookupError: they are no longer kept.
            PermanentError: the archive has other bytes.
        """
        if file.archive_id is not None:
            return self.archive.read(file.archive_id)
        return self.files.read_file(tenant, file.sha256)

    def _made(self, stored: StoredMessage, now: datetime, *, with_bytes: bool) -> SentContent | Unshown:
        is_being_sent = stored.status is Status.SENDING
        was_refused = stored.status in _REFUSED and stored.sent_sha256 is None
        was_sent = stored.handed_at is not None and not is_being_sent and not was_refused
        if was_sent and (why := self._hidden(stored, now)):
            return why
        variants = self._variants(stored, now, with_bytes=with_bytes)
        mails = [one for one in variants if isinstance(one, Outgoing)]
        if not mails:
            error = next(one for one in variants if isinstance(one, PermanentError))
            return Unshown(_not_as_sent(error.message) if was_sent else _unmade(error))
        for mail in mails:
            digest = content_digest(mail, _sha256s(mail, stored, with_bytes=with_bytes))
            if not was_sent:
                state = ContentState.BEING_SENT if is_being_sent else ContentState.NOT_SENT
                return self._shown(state, stored, mail, digest)
            if digest == stored.sent_sha256:
                return self._shown(ContentState.AS_SENT, stored, mail, digest)
        return Unshown(
            _not_as_sent(
                Text(
                    "made again it is another mail; templates are filled otherwise, or links signed with another key, since "
                    "it was sent"
                )
            )
        )

    def _variants(self, stored: StoredMessage, now: datetime, *, with_bytes: bool) -> list[Outgoing | PermanentError]:
        """Return the mail with links of our own and, where that may be another, as for a provider that tracks by itself."""
        at = stored.handed_at or now
        claim = Claimed(batch=stored.batch, draft=stored.draft, content=stored.content, attempt=1, handed_at=at)
        ours = self.tracker, False
        ways = (ours, (None, True)) if stored.batch.tracking else (ours,)
        files, deposits = (self.files, self.archive) if with_bytes else (_Unread(), _Unread())
        return [
            made
            for tracker, provider_tracks in ways
            for made in outgoing(
                [claim],
                dispatch=files,
                archive=deposits,
                leave_url=self.leave_url,
                tracker=tracker,
                provider_tracks=provider_tracks,
            )
        ]

    def _hidden(self, stored: StoredMessage, now: datetime) -> Unshown | None:
        """Return why a mail that was sent is not even made again."""
        if stored.handed_at is None or now - stored.handed_at >= timedelta(days=self.days):
            why = Text.counted(
                "that is possible for %(count)s day after the sending",
                "that is possible for %(count)s days after the sending",
                self.days,
            )
            return Unshown(_not_as_sent(why), is_over=True)
        if stored.sent_sha256 is None:
            return Unshown(_not_as_sent(Text(_NO_DIGEST)))
        return None

    def _shown(self, state: ContentState, stored: StoredMessage, mail: Outgoing, digest: str) -> SentContent:
        sent_at = stored.handed_at if state is ContentState.AS_SENT else None
        return SentContent(
            state=state,
            mail=mail,
            untracked_html=mail.html,
            files=stored.content.enclosures,
            sent_at=sent_at,
            shown_until=None if sent_at is None else sent_at + timedelta(days=self.days),
            sha256=digest,
        )


def _not_as_sent(why: str) -> Text:
    return Text("The content can no longer be shown as sent: %(why)s.", why=why)


def _unmade(error: PermanentError) -> Text:
    return Text("The mail cannot be made from what is stored: %(why)s.", why=error.message)


class _Unread:
    """Files whose bytes nobody reads."""

    def read_file(self, tenant: str, sha256: str) -> bytes:
        return b""

    def read(self, archive_id: str) -> bytes:
        return b""


def digests_of(mails: Iterable[object]) -> dict[str, str]:
    """Return the digest of each of these that is a mail, by its message's id. Equal files are read once."""
    sha256 = cache(_sha256)
    return {
        mail.id: content_digest(mail, [sha256(file.content) for file in mail.attachments])
        for mail in mails
        if isinstance(mail, Outgoing)
    }


def content_digest(mail: Outgoing, files: Sequence[str]) -> str:
    """Return the SHA-256 (lower-case hex) of what a mail says; `files` are those of its attachments' bytes, in their order."""
    described = [
        (file.filename, file.content_type, file.content_id, sha256)
        for file, sha256 in zip(mail.attachments, files, strict=True)
    ]
    said = [
        _VERSION,
        *(_party(one) for one in (mail.from_, mail.to, mail.reply_to)),
        *(mail.subject, mail.text, mail.html, mail.headers, described, mail.unsubscribe),
    ]
    return _sha256(json.dumps(said).encode())


def _sha256s(mail: Outgoing, stored: StoredMessage, *, with_bytes: bool) -> list[str]:
    if with_bytes:
        return [_sha256(file.content) for file in mail.attachments]
    return [file.sha256 for file in stored.content.enclosures]


def _party(party: Party | None) -> tuple[str, str] | None:
    return None if party is None else (party.address, party.name)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
