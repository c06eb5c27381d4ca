"""From a claimed message to the mail that a provider is handed."""

from collections.abc import Callable, Sequence
from functools import cache

from mailroom.domain.errors import PermanentError
from mailroom.domain.outbound import Content, Enclosure, File, Outgoing
from mailroom.domain.unsubscribe import OURS
from mailroom.outbound.plain_text import text_of
from mailroom.outbound.templating import Filled, Template, Unfit
from mailroom.ports import Archive
from mailroom.sending import Claimed, Dispatch


def outgoing(
    claims: Sequence[Claimed],
    *,
    dispatch: Dispatch,
    archive: Archive,
    leave_url: Callable[[str], str] | None = None,
) -> list[Outgoing | PermanentError]:
    """Return each claimed message as a mail, or why it cannot be one; what they share is compiled and read once.

    `leave_url` makes our own link to unsubscribe from a message's id, for those that want one.

    Raises:
        TransientError: a file cannot be read now.
    """
    templates: dict[int, Template] = {}

    def filled(claim: Claimed) -> Filled:
        content = claim.content
        if not content.template:
            return Filled(content.subject, content.text, content.html, content.unsubscribe)
        if claim.draft.content not in templates:
            templates[claim.draft.content] = Template(content)
        return templates[claim.draft.content].fill(claim.draft.data)

    @cache
    def read(tenant: str, enclosure: Enclosure) -> bytes:
        if enclosure.archive_id is not None:
            return archive.read(enclosure.archive_id)
        return dispatch.read_file(tenant, enclosure.sha256)

    return [_mail(claim, filled, read, leave_url) for claim in claims]


def _mail(
    claim: Claimed,
    filled: Callable[[Claimed], Filled],
    read: Callable[[str, Enclosure], bytes],
    leave_url: Callable[[str], str] | None,
) -> Outgoing | PermanentError:
    batch, draft, content = claim.batch, claim.draft, claim.content
    try:
        texts = filled(claim)
        files = _files(batch.tenant, content, read)
    except Unfit as error:
        return PermanentError("the template does not take this message's data", why=str(error))
    except LookupError:
        return PermanentError("a file of this message is no longer kept")
    except PermanentError as error:
        return error
    unsubscribe = texts.unsubscribe
    if unsubscribe == OURS:
        if leave_url is None:
            return PermanentError("this installation makes no links to unsubscribe")
        unsubscribe = leave_url(draft.id)
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
        unsubscribe=unsubscribe,
        lane=batch.lane,
    )


def _files(tenant: str, content: Content, read: Callable[[str, Enclosure], bytes]) -> tuple[File, ...]:
    return tuple(
        File(
            filename=one.filename,
            content_type=one.content_type,
            content=read(tenant, one),
            content_id=one.content_id,
        )
        for one in content.enclosures
    )
