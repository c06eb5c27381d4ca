"""The pages of an item and of quarantine: rendered on the server, without external resources. Lists: `mail_lists`."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from starlette.responses import HTMLResponse, Response

from mailroom.api.auth import PageHolder
from mailroom.api.downloads import download
from mailroom.api.guard import FRAME_POLICY
from mailroom.api.mail_pictures import item_notices, shown_pictures, text_of_html
from mailroom.api.originals import INCOMPLETE, is_incomplete, item_of
from mailroom.api.pages.item_marks import bar_of, opened
from mailroom.api.pages.letters import plain_letter
from mailroom.api.pages.rendering import render
from mailroom.api.sanitising import MAX_PICTURES, SafeHtml, data_uri, sanitise_for_frame
from mailroom.api.services import AppServices, Services
from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.received_email import Attachment
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import FiledItem

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/items/{item_id}")
def item(request: Request, services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """One item with everything known of it; a person who opens it has read it."""
    filed = opened(request, services, holder, _filed(services, holder, item_id))
    # Links and pictures are counted as the frame will show them; the bytes of the mail's own do not matter here.
    pictures = shown_pictures(filed.item)
    framed = sanitise_for_frame(filed.item.html, {}, room=_room(pictures)) if filed.item.html else None
    notices = item_notices(filed.item, framed, framed=True)
    # Where the HTML is not shown, or hides a part of itself, its text is there.
    unseen = filed.item.html and (framed is None or framed.hidden)
    return render(
        "item.html",
        filed=filed,
        bar=bar_of(request, services, holder, filed),
        framed=framed,
        incomplete=is_incomplete(filed),
        notices=[notice for notice in notices if notice.code not in INCOMPLETE],
        files_left_out=[notice for notice in notices if notice.code in INCOMPLETE],
        letter_text=plain_letter(filed.item.text),
        html_text=text_of_html(filed.item.html or "") if unseen else None,
        run_url=run_url(services, holder, filed.run_id),
        history=_history(services, holder, filed.email_id),
    )


@router.get("/items/{item_id}/html")
def item_html(services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """The HTML of a mail, sanitised, for the sandboxed frame; under a policy of its own."""
    filed = _filed(services, holder, item_id)
    if not filed.item.html:
        raise HTTPException(404, "This mail has no HTML part.")
    pictures = shown_pictures(filed.item)
    framed = sanitise_for_frame(filed.item.html, _contents(services, pictures), room=_room(pictures))
    if framed is None:
        framed = SafeHtml("<p>This HTML is too large or too complex to sanitise. The archive has the original.</p>")
    return render("frame.html", headers={"Content-Security-Policy": FRAME_POLICY}, framed=framed)


@router.get("/items/{item_id}/attachments/{number}")
def attachment(
    request: Request, services: AppServices, holder: PageHolder, item_id: str, number: Annotated[int, Path(ge=1)]
) -> Response:
    """The bytes of one attachment, as a download."""
    return download(services, holder.tenant, item_id, number, request)


def run_url(services: Services, holder: Holder, run_id: str | None) -> str | None:
    """Return the URL of a run in Prefect's UI, for administrators; None for a tenant."""
    if run_id is None or holder.tenant is not None:
        return None
    return f"{services.settings.prefect_url.rstrip('/')}/runs/flow-run/{run_id}"


def _filed(services: Services, holder: Holder, item_id: str) -> FiledItem:
    return item_of(services, holder.tenant, item_id)


def _history(services: Services, holder: Holder, email_id: str) -> list[dict[str, Any]]:
    """Return the e-mail's history; for a tenant without the facts, since one e-mail may be for several tenants."""
    activities = services.ledger.trace(email_id).get("activities", [])
    facts = holder.tenant is None
    return [
        {"at": activity["at"], "kind": activity["kind"], "facts": _plain(activity.get("facts")) if facts else {}}
        for activity in activities
    ]


def _plain(facts: Any) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in (facts or {}).items()
        if name != "run_id" and not isinstance(value, list | dict)
    }


def _contents(services: Services, pictures: Mapping[str, Attachment]) -> dict[str, str]:
    """Return the pictures as data URIs; one that the archive does not have is left out."""
    contents: dict[str, str] = {}
    for cid, part in pictures.items():
        try:
            contents[cid] = data_uri(services.archive.read(part.archive_id), part.detected_type or "")
        except (LookupError, PermanentError):
            continue
    return contents


def _room(pictures: Mapping[str, Attachment]) -> int:
    """Return what is left for pictures inside the HTML, in bytes."""
    return MAX_PICTURES - sum(part.size for part in pictures.values())
