"""Rendering of claimed messages to the mails that are sent to a provider."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Protocol

from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.delivery.tracked_links import most_added as most_tracked
from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.errors import MailroomError, PermanentError, Refused
from mailroom.domain.outbound.message import Content, File, Outgoing, StoredAttachment, Tracked
from mailroom.domain.outbound.wire_size import base64_size
from mailroom.outbound.plain_text import most_text, text_of
from mailroom.outbound.templating import Filled, Template, Unfit
from mailroom.outbound.unsubscribe_link import put_link
from mailroom.ports.dispatch import Claimed


class Files(Protocol):
    """The part of the port `Dispatch` that reads files which were submitted with a batch."""

    def read_file(self, tenant: str, sha256: str) -> bytes: ...


class Deposits(Protocol):
    """The part of the port `Archive` that reads."""

    def read(self, archive_id: str) -> bytes: ...


def outgoing(
    claims: Sequence[Claimed],
    *,
    dispatch: Files,
    archive: Deposits,
    leave_url: Callable[[str], str] | None = None,
    tracker: Tracker | None = None,
    provider_tracks: bool = False,
) -> list[Outgoing | PermanentError]:
    """Return each claimed message as a mail, or the error that prevents it; shared templates and files are read once.

    `leave_url` returns our own unsubscribe link for a message id, for those that request one. Opens and clicks are tracked by
    the provider where it supports it (`provider_tracks`), otherwise by links that `tracker` signs. With neither, a mail that
    requests tracking is refused.

    Raises:
        TransientError: a file cannot be read now.
    """
    templates: dict[tuple[str | None, ...], Template] = {}

    def filled(claim: Claimed, link: str | None) -> Filled:
        content = claim.content
        if not content.template:
            return untemplated(content, link)
        # By the texts: recipients with files of their own have contents of their own.
        texts = content.subject, content.text, content.html, content.unsubscribe
        if texts not in templates:
            templates[texts] = _compiled(content)
        return templates[texts].fill(claim.draft.data, link=link)

    @cache
    def read(tenant: str, enclosure: StoredAttachment) -> bytes:
        if enclosure.archive_id is not None:
            return archive.read(enclosure.archive_id)
        return dispatch.read_file(tenant, enclosure.sha256)

    def made(claim: Claimed) -> Outgoing | PermanentError:
        try:
            return _tracked(claim, _mail(claim, filled, read, leave_url), tracker, provider_tracks)
        except MailroomError as error:
            if isinstance(error, PermanentError):
                return error
            raise
        except Exception as error:  # noqa: BLE001 - nothing was sent yet, and the others of its round can be rendered
            return PermanentError("the message cannot be rendered", kind=type(error).__name__)

    return [made(claim) for claim in claims]


def untemplated(content: Content, link: str | None) -> Filled:
    """Return the texts of a content that is no template; `link` is our own unsubscribe link, where it asks for one."""
    url = link or content.unsubscribe
    html = put_link(content.html, url, html=True)
    return Filled(content.subject, put_link(content.text, url), html, content.unsubscribe)


def _compiled(content: Content) -> Template:
    """Return the template of a content that was accepted; its faults quote its text, which is for no report of a run."""
    try:
        return Template(content)
    except Unfit:
        raise Unfit("the template is not valid in this release: submit the batch again") from None


def most_added(filled: Filled, wish: Tracked) -> int:
    """Return how many bytes on the wire rendering adds at most: a text part made of the HTML, and tracked links."""
    if filled.html is None:
        return 0
    text = most_text(filled.html) if filled.text is None else 0
    return text + base64_size(most_tracked(filled.html, wish))


def _tracked(
    claim: Claimed, mail: Outgoing | PermanentError, tracker: Tracker | None, provider_tracks: bool
) -> Outgoing | PermanentError:
    wish = claim.batch.tracking
    if not wish or isinstance(mail, PermanentError) or mail.html is None:
        return mail
    if provider_tracks:
        return replace(mail, tracking=wish)
    if tracker is None:
        return Refused("tracking of opens and clicks is not enabled", feature="tracks")
    html = tracker.tracked(mail.html, wish, message_id=mail.id, made_at=claim.handed_at, unsubscribe=mail.unsubscribe)
    return replace(mail, html=html)


def _mail(
    claim: Claimed,
    filled: Callable[[Claimed, str | None], Filled],
    read: Callable[[str, StoredAttachment], bytes],
    leave_url: Callable[[str], str] | None,
) -> Outgoing | PermanentError:
    batch, draft, content = claim.batch, claim.draft, claim.content
    link = None
    if content.unsubscribe == OURS:
        if leave_url is None:
            return PermanentError("this installation has no public URL for unsubscribe links")
        link = leave_url(draft.id)
    try:
        texts = filled(claim, link)
        files = _files(batch.tenant, content, read)
    except Unfit as error:
        return PermanentError("the template cannot be filled with this message's data", why=str(error))
    except LookupError:
        return PermanentError("an attachment of this message is no longer stored")
    except PermanentError as error:
        return error
    return Outgoing(
        id=draft.id,
        batch_id=batch.id,
        tenant=batch.tenant,
        from_=batch.from_,
        to=draft.to,
        subject=texts.subject,
        text=texts.text if texts.text is not None else text_of(texts.html or ""),
        html=texts.html,
        reply_to=content.reply_to,
        headers=content.headers,
        attachments=files,
        metadata=draft.metadata,
        unsubscribe=link or texts.unsubscribe,
        lane=batch.lane,
    )


def _files(tenant: str, content: Content, read: Callable[[str, StoredAttachment], bytes]) -> tuple[File, ...]:
    return tuple(
        File(
            filename=one.filename,
            content_type=one.content_type,
            content=read(tenant, one),
            content_id=one.content_id,
        )
        for one in content.enclosures
    )
