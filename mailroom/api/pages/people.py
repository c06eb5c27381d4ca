"""The page of people: a list, a form that adds one, and buttons that give and take inboxes, change the role, and remove."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.auth import PageHolder, from_this_site
from mailroom.api.pages.forms import Form, field
from mailroom.api.pages.rendering import render
from mailroom.api.pages.settings import OWN_NAMES
from mailroom.api.paging import Cursor, decode, encode
from mailroom.api.people_changes import add_person, change_inboxes, change_role, person_of, remove_person
from mailroom.api.services import AppServices, Services
from mailroom.api.sign_in import people_of
from mailroom.domain.people import Role
from mailroom.ports.api_keys import Holder

router = APIRouter(prefix="/people", include_in_schema=False, default_response_class=HTMLResponse)

_LINES = 50
#: What a person with each role may do, for the form.
ROLES = {
    Role.MEMBER: "reads the inboxes given here",
    Role.ARCHIVIST: "reads archived documents",
    Role.ADMINISTRATOR: "everything of the tenant",
    Role.OPERATOR: "everything of the installation",
}


@router.get("")
def people(services: AppServices, holder: PageHolder, cursor: Cursor = None) -> Response:
    """All people, and a form to add one."""
    return _page(services, holder, cursor=cursor)


@router.post("")
def add(request: Request, services: AppServices, holder: PageHolder, form: Form) -> Response:
    """Add the person of the form; a fault is shown above the form."""
    from_this_site(request)
    asked: dict[str, Any] = {name: field(form, name) for name in ("address", "role")}
    inboxes, tenant = _addresses(form), field(form, "tenant") or None
    try:
        add_person(services, holder, **asked, tenant=tenant, inboxes=inboxes)
    except HTTPException as error:
        return _page(services, holder, status=error.status_code, fault=error.detail, form=form)
    return RedirectResponse("/people", 303)


@router.post("/{person_id}/inboxes")
def inboxes(request: Request, services: AppServices, holder: PageHolder, person_id: str, form: Form) -> Response:
    """Give the inboxes that are written, and take those that are marked."""
    person = person_of(services, holder, person_id)
    from_this_site(request)
    try:
        change_inboxes(services, holder, person, give=_addresses(form), take=form.get("take", ()))
    except HTTPException as error:
        return _page(services, holder, status=error.status_code, fault=error.detail)
    return RedirectResponse("/people", 303)


@router.post("/{person_id}/role")
def role(request: Request, services: AppServices, holder: PageHolder, person_id: str, form: Form) -> Response:
    """Give a person another role; it counts from the next request on."""
    person = person_of(services, holder, person_id)
    from_this_site(request)
    change_role(services, holder, person, field(form, "role"))
    return RedirectResponse("/people", 303)


@router.post("/{person_id}/remove")
def remove(request: Request, services: AppServices, holder: PageHolder, person_id: str) -> Response:
    """Remove a person, who is signed out at once."""
    person = person_of(services, holder, person_id)
    from_this_site(request)
    remove_person(services, holder, person)
    return RedirectResponse("/people", 303)


def _addresses(form: dict[str, list[str]]) -> list[str]:
    return " ".join(form.get("inboxes", ())).replace(",", " ").split()


def _page(
    services: Services, holder: Holder, *, status: int = 200, cursor: str | None = None, **more: Any
) -> HTMLResponse:
    page = people_of(services).people.all(holder.tenant, after=decode(cursor), limit=_LINES)
    values: dict[str, Any] = {"fault": None, "form": {}} | more
    roles = {role: what for role, what in ROLES.items() if holder.tenant is None or role.is_of_a_tenant}
    return render(
        "people.html",
        status=status,
        page=page,
        cursor=cursor,
        older=encode(page.next),
        roles=roles,
        languages=OWN_NAMES,
        **values,
    )
