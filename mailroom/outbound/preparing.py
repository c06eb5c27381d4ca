"""Validation: turns a request into a batch that can be stored, and lists every fault with its place in the request.

Every template is rendered once for every recipient here, so that a queued message is known to render.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from mailroom.domain.delivery.streams import TRANSACTIONAL, default_stream, stream_name
from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.errors import Fault
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.outbound import content_rules
from mailroom.domain.outbound.message import LIMITS, Batch, Content, Draft, Limits, Party, StoredAttachment
from mailroom.domain.outbound.wire_size import wire_size
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.blank_mails import is_blank
from mailroom.outbound.packed import Packed
from mailroom.outbound.rendering import most_added, untemplated
from mailroom.outbound.request import (
    MORE_FAULTS,
    MOST_FAULTS,
    Letter,
    Recipient,
    Request,
    RequestAttachment,
    RequestContent,
)
from mailroom.outbound.served_senders import ServedSenders
from mailroom.outbound.template_budget import TOO_MUCH
from mailroom.outbound.templating import Clock, Filled, Template, Unfit
from mailroom.outbound.unsubscribe_link import NAME, NO_LINK, STAND_IN, is_named
from mailroom.ports.senders import Senders

P = ParamSpec("P")
T = TypeVar("T")
_Where = tuple[str | int, ...]

EMPTY = "the mail is empty: write a text or HTML that shows something, or attach a file"
#: Drafts that are not packed: most requests have fewer, and packing takes a sixth of the time of preparing.
_LOOSE = 5_000
#: `json.dumps` with options makes an encoder for each call.
_SORTED = json.JSONEncoder(sort_keys=True)
#: Characters of templates that are stored again for recipients with files of their own.
_MOST_COPIED = 200 << 20
#: A time to send that lies further in the past is taken for a mistake.
_LATE = timedelta(days=1)


@dataclass(slots=True)
class Prepared:
    """A validated request. `duplicates` are the positions (counted over all recipients) of repeated messages."""

    batch: Batch
    contents: Packed[Content] = field(default_factory=Packed)
    drafts: Packed[Draft] = field(default_factory=lambda: Packed(loose=_LOOSE))
    files: dict[str, bytes] = field(default_factory=dict)
    duplicates: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def prepare(
    request: Request,
    *,
    tenant: str,
    now: datetime,
    new_id: Callable[[], str],
    attachments: AttachmentResolver,
    senders: Senders | None = None,
    served: ServedSenders | None = None,
    limits: Limits = LIMITS,
) -> Prepared:
    """Return the request as a batch; faulty messages are left out of it and listed in `faults`.

    Without `senders` the sender is the installation's own; without `served` the provider is not asked about it.
    """
    return _Preparing(tenant, now, new_id, attachments, senders, served, limits).prepared(request)


class _Preparing:
    def __init__(
        self,
        tenant: str,
        now: datetime,
        new_id: Callable[[], str],
        attachments: AttachmentResolver,
        senders: Senders | None,
        served: ServedSenders | None,
        limits: Limits,
    ) -> None:
        self._tenant, self._now, self._new_id = tenant, now, new_id
        self._attachments, self._senders, self._limits = attachments, senders, limits
        self._served = served
        #: Keyed by digests of contents, and of recipients with their references: the texts would be as long as the request.
        self._numbers: dict[bytes, int] = {}
        self._seen: dict[bytes, bytes] = {}
        self._number = self._latest_number = self._copied = 0
        self._latest: Content | None = None
        self._leavable = False
        self._clock = Clock(limits.preparation_s)

    def prepared(self, request: Request) -> Prepared:
        self._out = Prepared(Batch(id=self._new_id(), tenant=self._tenant, from_=Party("")))
        self._out.batch = self._batch(request)
        faults = list(self._out.faults)
        for letter in request.letters:
            if self._number + len(letter.recipients) > self._limits.messages:
                return self._miscounted(faults)
            self._letter(letter)
        if not self._number:
            return self._miscounted(faults)
        self._out.files = self._attachments.files
        if request.stream is None:
            stream = default_stream(request.lane, leavable=self._leavable)
            self._out.batch = replace(self._out.batch, stream=stream)
        return self._out

    def _miscounted(self, faults: list[Fault]) -> Prepared:
        count = Fault((), f"a batch must have 1 to {self._limits.messages} messages")
        return Prepared(self._out.batch, faults=[*faults, count])

    def _batch(self, request: Request) -> Batch:
        sender = self._sender(request.from_)
        self._checked(("metadata",), content_rules.metadata, request.metadata)
        send_at = request.sends_at(self._now)
        if request.stream is not None:
            self._checked(("stream",), stream_name, request.stream)
        starts, named = send_at or self._now, "send_at" if request.send_in is None else "send_in"
        if starts > self._limits.latest_start(self._now):
            self._fault((named,), f"too far ahead: at most {self._limits.schedule_days} days")
        if starts < self._now - _LATE:
            self._fault(("send_at",), "the time is in the past; leave it out to send at once")
        if request.expires_at is not None and request.expires_at <= max(starts, self._now):
            self._fault(("expires_at",), "must be after send_at, and in the future")
        return replace(
            self._out.batch,
            from_=sender,
            lane=request.lane,
            policy=request.policy,
            send_at=send_at,
            expires_at=request.expires_at,
            metadata=request.metadata,
            tracking=request.tracking,
            stream=request.stream,
        )

    def _sender(self, written: str) -> Party:
        if not written:
            self._fault(("from",), "required: this installation has no default sender")
            return Party("")
        sender = self._checked(("from",), content_rules.party, written)
        if sender and self._senders and not self._senders.may(self._tenant, normalise(sender.address)):
            self._fault(("from",), "this tenant may not send from this address; see GET /v1/senders")
        elif sender and self._served and (unserved := self._served.unserved(sender.address)):
            self._out.faults.append(unserved.fault)
        return sender or Party("")

    def _letter(self, letter: Letter) -> None:
        content = self._content(letter)
        template = None
        if content is not None and letter.template:
            template = self._checked(letter.where, Template, content, self._limits.mail, self._clock)
        for recipient in letter.recipients:
            if template is not None and template.exhausted:
                self._fault(letter.where, TOO_MUCH)
                break
            number, self._number = self._number, self._number + 1
            said = content if content is None or not recipient.attachments else self._own_content(content, recipient)
            draft = self._draft(recipient, number, said)
            if draft is None or said is None or (letter.template and template is None):
                continue
            filled = self._checked(recipient.where, self._filled, template, said, recipient)
            if filled is None:
                continue
            if template is not None and not said.enclosures and is_blank(filled.text, filled.html):
                self._fault(recipient.where, f"with this data {EMPTY}")
                continue
            size = self._size(filled, said, draft)
            if size + most_added(filled, self._out.batch.tracking) > self._limits.mail:
                self._fault(
                    recipient.where, f"mail too large: at most {self._limits.mail} bytes, with attachments in base64"
                )
            else:
                self._add(replace(draft, size=size, subject=_filled_in(filled, said)), recipient.where)

    def _content(self, letter: Letter) -> Content | None:
        words, where, faults = letter.words, letter.where, len(self._out.faults)
        if words.unsubscribe is not None:
            self._leavable = True
            if self._out.batch.stream == TRANSACTIONAL:
                self._fault(
                    (*where, "unsubscribe"), "nobody can leave transactional mail: name another stream, or none"
                )
        if not letter.template:
            self._checked((*where, "subject"), content_rules.subject, words.subject)
            if words.unsubscribe is not None:
                self._checked((*where, "unsubscribe"), content_rules.unsubscribe_wish, words.unsubscribe)
        sound = len(self._out.faults)
        for name, text in (("text", words.text), ("html", words.html)):
            if text is not None:
                self._checked((*where, name), content_rules.body, text)
                if words.unsubscribe is None and not letter.template and is_named(text):
                    self._fault((*where, name), NO_LINK)
        if words.text is None and words.html is None:
            self._fault(where, "text or html is required")
        elif letter.template or words.attachments or len(self._out.faults) > sound:
            # Templates are looked at filled.
            pass
        elif is_blank(words.text, words.html):
            self._fault((*where, "html" if words.text is None else "text"), EMPTY)
        headers = self._headers(words, where)
        enclosures = self._enclosures(words.attachments, where)
        reply_to = (
            None if words.reply_to is None else self._checked((*where, "reply_to"), content_rules.party, words.reply_to)
        )
        if len(self._out.faults) > faults:
            return None
        return Content(
            subject=words.subject,
            text=words.text,
            html=words.html,
            reply_to=reply_to,
            headers=headers,
            enclosures=enclosures,
            unsubscribe=words.unsubscribe,
            template=letter.template,
        )

    def _headers(self, words: RequestContent, where: _Where) -> tuple[tuple[str, str], ...]:
        written = tuple(words.headers.items())
        self._checked((*where, "headers"), content_rules.headers, written)
        for place, (name, value) in enumerate(written):
            self._checked((*where, "headers", place), content_rules.header, name, value)
        return written

    def _own_content(self, content: Content, recipient: Recipient) -> Content | None:
        """Return a template's content with the files of one recipient; None where one of them is faulty.

        It is stored with a copy of the template: a release that knows of no files of recipients sends it right.
        """
        where, faults = (*recipient.where, "attachments"), len(self._out.faults)
        own = self._enclosures(recipient.attachments, recipient.where)
        if len(content.enclosures) + len(own) > self._limits.attachments:
            self._fault(where, f"too many attachments with the template's: at most {self._limits.attachments}")
        self._copied += sum(len(text or "") for text in (content.subject, content.text, content.html))
        if self._copied > _MOST_COPIED:
            self._fault(where, "too many recipients with own attachments for a template of this size: send it in parts")
        return None if len(self._out.faults) > faults else replace(content, enclosures=(*content.enclosures, *own))

    def _enclosures(self, attached: Sequence[RequestAttachment], where: _Where) -> tuple[StoredAttachment, ...]:
        if len(attached) > self._limits.attachments:
            self._fault((*where, "attachments"), f"too many attachments: at most {self._limits.attachments}")
            return ()
        made = [
            self._checked((*where, "attachments", at), self._attachments.enclosure, one)
            for at, one in enumerate(attached)
        ]
        return tuple(enclosure for enclosure in made if enclosure is not None)

    def _draft(self, recipient: Recipient, number: int, content: Content | None) -> Draft | None:
        where, faults = recipient.where, len(self._out.faults)
        to = self._checked(recipient.at, content_rules.party, recipient.to)
        self._checked((*where, "reference"), content_rules.reference, recipient.reference)
        self._checked((*where, "metadata"), content_rules.metadata, recipient.metadata)
        if recipient.data:
            self._checked((*where, "data"), content_rules.data, recipient.data)
        if to is None or content is None or len(self._out.faults) > faults:
            return None
        return Draft(
            id=self._new_id(),
            number=number,
            to=to,
            content=self._numbered(content),
            reference=recipient.reference,
            data=dict(recipient.data),
            metadata=dict(recipient.metadata),
        )

    def _numbered(self, content: Content) -> int:
        """Return the place of a content among those of the batch; the same again has the same."""
        if content is not self._latest:
            self._latest, digest = content, _digest(repr(content))
            if digest not in self._numbers:
                self._numbers[digest] = len(self._numbers)
                self._out.contents.add(content)
            self._latest_number = self._numbers[digest]
        return self._latest_number

    def _filled(self, template: Template | None, content: Content, recipient: Recipient) -> Filled:
        link = STAND_IN if content.unsubscribe == OURS else None
        if template is None:
            return untemplated(content, link)
        try:
            filled = template.fill(recipient.data, link=link)
        except Unfit as error:
            if content.unsubscribe is None and NAME in str(error):
                raise Unfit(f"{error}; {NO_LINK}") from None
            raise
        if filled.unsubscribe is not None and content.unsubscribe != OURS:
            content_rules.unsubscribe(filled.unsubscribe)
        return filled

    def _size(self, filled: Filled, content: Content, draft: Draft) -> int:
        parties = [self._out.batch.from_, draft.to, *([content.reply_to] if content.reply_to else [])]
        named = [one for party in parties for one in (party.name, party.address)]
        lines = [filled.subject, filled.unsubscribe, *named]
        return wire_size(content, parts=(filled.text, filled.html), lines=lines)

    def _add(self, draft: Draft, where: _Where) -> None:
        """Add a message unless the batch has one for this recipient: the same again is a duplicate, another is a fault."""
        same = _digest(f"{normalise(draft.to.address)}\n{draft.reference}")
        says = _digest(f"{draft.content}\n{_SORTED.encode(draft.data)}")
        first = self._seen.get(same)
        if first is None:
            self._seen[same] = says
            self._out.drafts.add(draft)
        elif first == says:
            self._out.duplicates.append(draft.number)
        else:
            self._fault(where, "differs from an earlier message to this recipient; set a different reference on each")

    def _checked(self, where: _Where, check: Callable[P, T], *given: P.args, **named: P.kwargs) -> T | None:
        try:
            return check(*given, **named)
        except ValueError as error:
            self._fault(where, str(error))
            return None

    def _fault(self, where: _Where, what: str) -> None:
        if len(self._out.faults) < MOST_FAULTS:
            self._out.faults.append(Fault(where, what))
        elif len(self._out.faults) == MOST_FAULTS:
            self._out.faults.append(MORE_FAULTS)


def _filled_in(filled: Filled, content: Content) -> str | None:
    """Return the rendered subject, where it is another than the content's."""
    return filled.subject if filled.subject != content.subject else None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
