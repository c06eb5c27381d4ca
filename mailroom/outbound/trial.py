"""One mail of a batch before the batch is sent: shown as it would leave, or sent to the author of the letter.

A test mail is a batch of its own with one message: the content and the data of one recipient, to another address. It is marked
by the metadata `mailroom-test`, which no request may set. The quota does not count it, so a tenant may send `MOST` a day. It has an
idempotency key of its own: the letter itself can be submitted afterwards under the caller's key.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from mailroom.domain.errors import Fault, PermanentError, Unacceptable
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound import content_rules
from mailroom.domain.outbound.message import UNTRACKED, Lane, Outgoing, Tracked
from mailroom.domain.outbound.trials import MARK, MOST, PERIOD
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.rendering import outgoing
from mailroom.outbound.request import Letter, Request
from mailroom.outbound.served_senders import ServedSenders
from mailroom.outbound.submission import INVALID, valid_batch
from mailroom.ports.archive import Archive
from mailroom.ports.dispatch import Claimed
from mailroom.ports.outbox import Accepted, Outbox, SubmissionKey
from mailroom.ports.senders import Senders
from mailroom.ports.suppressions import Suppressions
from mailroom.ports.terms import ProviderTerms

#: Headers that are not known before the mail is sent.
_LATER = ("date", "message-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMail:
    """One mail as it would leave, but for links to track, `Date` and `Message-ID`.

    `number` is its recipient's position from 1, of `recipients`. `headers` are the lines of the header block, unfolded. `size`
    is bytes on the wire. `suppressed`: it would not be sent, for the tenant's own list has its recipient.
    """

    number: int
    recipients: int
    mail: Outgoing
    headers: tuple[tuple[str, str], ...]
    size: int
    tracking: Tracked
    suppressed: bool


def filled_mail(
    request: Request,
    number: int,
    *,
    tenant: str,
    now: datetime,
    new_id: Callable[[], str],
    attachments: AttachmentResolver,
    archive: Archive,
    suppressions: Suppressions,
    senders: Senders,
    served: ServedSenders | None,
    terms: ProviderTerms | None,
    leave_url: Callable[[str], str] | None,
    with_global: bool,
) -> FilledMail:
    """Return the mail of the `number`th recipient, from 1; nothing is stored. Only that recipient's data is validated.

    Raises:
        Unacceptable: there is no such recipient, or its mail has faults.
    """
    letter = _letter(request, number)
    prepared = valid_batch(
        replace(request, letters=(letter,)),
        tenant=tenant,
        now=now,
        new_id=new_id,
        attachments=attachments,
        senders=senders,
        served=served,
        terms=terms,
    )
    [draft], [content] = prepared.drafts, prepared.contents
    # Links that are tracked lead through a message that does not exist.
    batch = replace(prepared.batch, tracking=UNTRACKED)
    claim = Claimed(batch=batch, draft=draft, content=content, attempt=0, handed_at=now)
    [mail] = outgoing([claim], dispatch=_RequestFiles(prepared.files), archive=archive, leave_url=leave_url)
    if isinstance(mail, PermanentError):
        raise Unacceptable(INVALID, faults=(Fault(next(iter(letter.recipients)).where, mail.message),))
    raw = mime(mail, message_id=f"{mail.id}@invalid", date=now)
    recipient, stream = normalise(mail.to.address), batch.stream_name
    stopped = suppressions.among(tenant, [recipient], now=now, with_global=with_global, stream=stream)
    return FilledMail(
        number=number,
        recipients=sum(len(letter.recipients) for letter in request.letters),
        mail=mail,
        headers=tuple(_headers(raw)),
        size=len(raw),
        tracking=request.tracking,
        suppressed=bool(stopped),
    )


def send_test(
    request: Request,
    number: int,
    to: str,
    *,
    tenant: str,
    key: SubmissionKey | None,
    now: datetime,
    new_id: Callable[[], str],
    outbox: Outbox,
    attachments: AttachmentResolver,
    suppressions: Suppressions,
    senders: Senders,
    served: ServedSenders | None,
    terms: ProviderTerms | None,
) -> Accepted:
    """Store a test mail: what the `number`th recipient would get, sent to `to` at once.

    Raises:
        Unacceptable: with every fault; the address is suppressed for this tenant; or the tenant's test mails of a day are used.
        Conflict: the key was used for another test mail.
    """
    own = None if key is None else _key(key, number, to)
    if own is not None and (first := outbox.answered(tenant, own)) is not None:
        return first
    letter = _letter(request, number)
    [recipient] = letter.recipients
    where: tuple[str | int, ...] = ("query", "test_to")
    letter = replace(letter, recipients=(replace(recipient, to=to, at=where),))
    test = replace(request, letters=(letter,), lane=Lane.TRANSACTIONAL, send_at=None, expires_at=None)
    prepared = valid_batch(
        test,
        tenant=tenant,
        now=now,
        new_id=new_id,
        attachments=attachments,
        senders=senders,
        served=served,
        terms=terms,
    )
    author, stream = normalise(content_rules.party(to).address), prepared.batch.stream_name
    if suppressions.among(tenant, [author], now=now, stream=stream):
        what = "this address is suppressed: see `mailroom suppressions list`; remove it there, or use another address"
        raise Unacceptable(INVALID, faults=(Fault(where, what),))
    if outbox.tests_since(tenant, now - PERIOD) >= MOST:
        what = f"{MOST} test mails were sent within a day, and the quota counts none: try again later"
        raise Unacceptable(INVALID, faults=(Fault(where, what),))
    mark = {MARK: "true"}
    return outbox.accept(
        replace(prepared.batch, metadata={**prepared.batch.metadata, **mark}),
        prepared.contents,
        [replace(draft, metadata={**draft.metadata, **mark}) for draft in prepared.drafts],
        files=prepared.files,
        key=own,
        now=now,
    )


class _RequestFiles:
    """The files that came with a request, by their SHA-256."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def read_file(self, tenant: str, sha256: str) -> bytes:
        """Return the bytes of a file; LookupError without it."""
        return self._files[sha256]


def _letter(request: Request, number: int) -> Letter:
    """Return the letter of the `number`th recipient, with that recipient alone."""
    left = number
    for letter in request.letters:
        if left <= len(letter.recipients):
            recipient = next(islice(letter.recipients, left - 1, None))
            return replace(letter, recipients=(recipient,))
        left -= len(letter.recipients)
    what = f"there is no recipient {number}: the batch has {number - left}"
    raise Unacceptable(INVALID, faults=(Fault(("query", "preview"), what),))


def _key(key: SubmissionKey, number: int, to: str) -> SubmissionKey:
    """Return the key of a test mail: with its blank it is none that a caller can use."""
    sha256 = hashlib.sha256(f"{key.sha256}\n{number}\n{to}".encode()).hexdigest()
    return SubmissionKey(f"test {key.value}", sha256)


def _headers(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield the header lines of a mail, unfolded, without those that are set when it is sent."""
    lines = raw.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    for line in re.sub(r"\r\n(?=[ \t])", "", lines).split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() not in _LATER:
            yield name, value.strip()
