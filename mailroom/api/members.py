"""What is inside an attachment, as a download: derived from the archived attachment when it is asked for.

Hostile bytes are opened in the parser's process, as when the mail was filed; the digest that was stored then says whether
these are the same bytes.
"""

import hashlib
from typing import NoReturn

from fastapi import HTTPException, Request
from starlette.responses import Response

from mailroom.api.downloads import content_disposition, has_it
from mailroom.api.services import Services
from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.mail.contained import Contained
from mailroom.domain.parsing.opening import request_for
from mailroom.ports.api_keys import Holder

#: Whose turn an administrator's download is.
_ADMINISTRATORS = "administrators"


async def member_download(
    services: Services, holder: Holder, item_id: str, number: int, member: int, request: Request
) -> Response:
    """Return member `member` of attachment `number` as a download; 304 if the client already has these bytes.

    Raises:
        HTTPException: 404 for no such member, 410 if its bytes cannot be had any more, 429 or 503 if too many are opened.
    """

    def work() -> Response:
        part, found = member_of(services, holder, item_id, number, member)
        headers = {
            "ETag": f'"{found.sha256}"',
            "Cache-Control": "private, no-cache",
            "Content-Disposition": content_disposition(found.name),
        }
        if has_it(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(member_content(services, part, found), headers=headers, media_type="application/octet-stream")

    return await services.open_slots.run(holder.tenant or _ADMINISTRATORS, work)


def member_of(
    services: Services, holder: Holder, item_id: str, number: int, member: int
) -> tuple[Attachment, Contained]:
    """Return attachment `number` and its member `member`, which has bytes.

    Raises:
        HTTPException: 404, there is no such member.
    """
    part = services.reader.attachment(holder.tenant, item_id, number)
    found = next((one for one in part.members if one.number == member and one.sha256), None) if part else None
    if part is None or found is None:
        raise HTTPException(404, "There is no such file in this attachment.")
    return part, found


def member_content(services: Services, part: Attachment, member: Contained) -> bytes:
    """Return the bytes of a member, checked.

    Raises:
        HTTPException: 410, they cannot be had any more.
    """
    try:
        container = services.archive.read(part.archive_id)
    except LookupError:
        raise HTTPException(410, "The archive no longer has the bytes of the attachment that contains it.") from None
    wanted = member.sha256 or ""
    asked = request_for(container, name=part.filename, content_type=part.content_type, sha256=wanted)
    try:
        answer = services.opener.parse(asked).attachments
    except PermanentError:
        _refuse()
    if not answer or hashlib.sha256(answer[0].content).hexdigest() != wanted:
        _refuse()
    return answer[0].content


def _refuse() -> NoReturn:
    raise HTTPException(410, "This attachment cannot be opened any more as it was. Download the attachment itself.")
