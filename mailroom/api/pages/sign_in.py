"""The pages that sign people in and out. A link by mail shows a button: scanners open links, and press nothing.

Whether an address is a person's is said by no answer, and by no time: the link is sent after the response.
"""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.attempts import client_of
from mailroom.api.auth import from_this_site, key_needed, page_holder
from mailroom.api.pages.forms import Form, field
from mailroom.api.pages.reader import read_as
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices
from mailroom.api.sessions import begin_session, end_session, session_holder
from mailroom.api.sign_in import link_sender, mail_link, note, people_of
from mailroom.domain.local_paths import HOME, local_path
from mailroom.domain.people import Role, person_address, secret_digest
from mailroom.domain.texts import Text, as_text
from mailroom.domain.trail import What
from mailroom.ports.people import SignIn

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_MOST_SECRET = 100
_OVER = Text(
    "This link was used before, is older than 15 minutes, or is not complete. Ask for a new one; only the latest mail counts."
)
Next = Annotated[str, Query(alias="next", max_length=10_000)]


@router.get("/sign-in")
def show_sign_in(request: Request, services: AppServices, next_: Next = HOME) -> Response:
    """A form for an address; somebody who is signed in sees as who."""
    people_of(services)
    if holder := session_holder(request, services):
        read_as(holder)
    return _page(services, signed_in=holder, path=local_path(next_), fault=None, asked=False)


@router.post("/sign-in")
def ask_for_link(request: Request, services: AppServices, form: Form, background: BackgroundTasks) -> Response:
    """Send a link if the address is a person's; the page is the same if it is not."""
    from_this_site(request)
    people, path, written = people_of(services), local_path(field(form, "next")), field(form, "address")
    link_sender(services)
    people.attempts.count(client_of(request, services.settings))
    try:
        address = person_address(written)
    except ValueError as error:
        return _page(
            services,
            status=422,
            signed_in=None,
            path=path,
            fault=Text("%(sentence)s.", sentence=as_text(error.args[0])),
            asked=False,
        )
    background.add_task(mail_link, services, address, path)
    return _page(services, signed_in=None, path=path, fault=None, asked=True)


@router.get("/sign-in/{secret}")
def show_link(services: AppServices, secret: str) -> Response:
    """A page with the button of a link, which stays usable."""
    found = _found(services, secret)
    if found is None:
        return render("sign_in_link.html", status=404, found=None, why=_OVER)
    read_as(found.person.holder())
    return render("sign_in_link.html", found=found, why=None)


@router.post("/sign-in/{secret}")
def use_link(request: Request, services: AppServices, secret: str) -> Response:
    """Begin a session with a link, and open the page that was asked for."""
    from_this_site(request)
    people = people_of(services)
    people.attempts.count(client_of(request, services.settings))
    taken = people.links.take(secret_digest(secret)) if len(secret) <= _MOST_SECRET else None
    if taken is None:
        return render("sign_in_link.html", status=404, found=None, why=_OVER)
    answer = RedirectResponse(first_page(taken), 303)
    note(services, What.SIGNED_IN, taken.person)
    begin_session(request, services, taken.person, answer)
    return answer


@router.get("/sign-in-with-a-key")
def sign_in_with_key(request: Request, services: AppServices) -> Response:
    """Have the browser ask for an API key, which it then sends with every page."""
    if "authorization" not in request.headers:
        raise key_needed()
    page_holder(request, services)
    return RedirectResponse(HOME, 303)


@router.post("/sign-out")
def sign_out(request: Request, services: AppServices) -> Response:
    """End this session."""
    return _signed_out(request, services, everywhere=False)


@router.post("/sign-out/everywhere")
def sign_out_everywhere(request: Request, services: AppServices) -> Response:
    """End all sessions of this person; links that were not used yet no longer work."""
    return _signed_out(request, services, everywhere=True)


def first_page(signed_in: SignIn) -> str:
    """Return the page to open after signing in: the one that was asked for, else the first that the role may see."""
    path = local_path(signed_in.path)
    return "/quarantine" if path == HOME and signed_in.person.role is Role.ARCHIVIST else path


def _signed_out(request: Request, services: AppServices, *, everywhere: bool) -> Response:
    from_this_site(request)
    people, holder = people_of(services), session_holder(request, services)
    answer = RedirectResponse("/sign-in", 303)
    person = people.people.find(None, holder.person_id) if holder and holder.person_id else None
    # Everywhere is in every tenant that has the address: it is one mailbox, and its owner asks.
    out = people.people.with_address(person.address) if person and everywhere else [person] if person else []
    end_session(request, services, answer, everywhere=[one.id for one in out] if everywhere and out else None)
    for one in out:
        note(services, What.SIGNED_OUT_EVERYWHERE if everywhere else What.SIGNED_OUT, one)
    return answer


def _page(services: AppServices, *, status: int = 200, **values: Any) -> Response:
    provider = services.openid.provider.name if services.openid is not None else None
    return render("sign_in.html", status=status, provider=provider, **values)


def _found(services: AppServices, secret: str) -> SignIn | None:
    if len(secret) > _MOST_SECRET:
        return None
    return people_of(services).links.find(secret_digest(secret))
