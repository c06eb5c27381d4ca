"""Signing in with OpenID Connect: a link that sends the browser to the provider, and the page to which it comes back.

    link ──> cookie of an attempt ──> provider ──> callback: cookie and state fit ──> code ──> verified address ──> session

The provider says which verified address it is; only who is a person here is signed in, and no account is made. The URL of the
callback is built from the settings, never from the request's Host. The cookie is `SameSite=Lax`, because the provider's
answer is a navigation from another site, and ends with the answer, whatever it is.
"""

import logging
import secrets
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.attempts import client_of
from mailroom.api.pages.rendering import render
from mailroom.api.pages.sign_in import first_page
from mailroom.api.services import AppServices, OpenIdServices, Services
from mailroom.api.sessions import begin_session, safe_cookie, sole_cookie
from mailroom.api.sign_in import note, people_of
from mailroom.domain.errors import MailroomError, Refused, TransientError
from mailroom.domain.local_paths import HOME
from mailroom.domain.openid import (
    ATTEMPT_LASTS,
    Attempt,
    OpenIdFault,
    attempt_key,
    begin_attempt,
    is_of,
    read_attempt,
)
from mailroom.domain.people import person_address
from mailroom.domain.texts import Text
from mailroom.domain.trail import What
from mailroom.ports.people import Person, SignIn

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_COOKIE = "openid"
_BYTES = 32
#: Codes of large providers have up to 2,000 characters.
_MOST_CODE = 4_000
_STATUS = {
    OpenIdFault.ANOTHER_ATTEMPT: 400,
    OpenIdFault.CODE_REFUSED: 400,
    OpenIdFault.PROVIDER_ERROR: 502,
    OpenIdFault.UNUSABLE_TOKEN: 502,
}
Word = Annotated[str | None, Query(max_length=_MOST_CODE)]


@router.get("/sign-in-with-openid")
def go_to_provider(
    services: AppServices, next_: Annotated[str, Query(alias="next", max_length=10_000)] = HOME
) -> Response:
    """Send the browser to the provider, with a cookie by which its answer is known to be this browser's."""
    people_of(services)
    openid, key = _openid(services)
    attempt = begin_attempt(key, random=secrets.token_bytes(_BYTES), now=services.now(), path=next_)
    try:
        answer: Response = RedirectResponse(openid.provider.sign_in_url(attempt), 303)
    except MailroomError as error:
        return _unavailable(services, error)
    safe_cookie(answer, services.settings, _COOKIE, attempt.cookie, ATTEMPT_LASTS)
    return answer


@router.get("/sign-in-with-openid/callback")
def come_back(
    request: Request,
    services: AppServices,
    code: Word = None,
    state: Word = None,
    iss: Word = None,
    error: Word = None,
) -> Response:
    """Begin a session for the person that the provider names, or say why not. The attempt is over either way."""
    people_of(services)
    openid, key = _openid(services)
    openid.attempts.count(client_of(request, services.settings))
    try:
        attempt = _attempt_of(request, services, key, state)
        if error is not None or not code:
            denied = OpenIdFault.NOT_ALLOWED_THERE if error == "access_denied" else OpenIdFault.PROVIDER_ERROR
            raise Refused("the provider answered with an error", step=denied.value)
        found = _vouched_for(services, openid, attempt, code, iss)
        if len(found) > 1:
            answer: Response = _choice(services, found, attempt.path)
        else:
            answer = RedirectResponse(first_page(SignIn(found[0], attempt.path)), 303)
            note(services, What.SIGNED_IN, found[0])
            begin_session(request, services, found[0], answer)
    except Refused as refusal:
        answer = _refused(services, refusal)
    except MailroomError as failure:
        answer = _unavailable(services, failure)
    safe_cookie(answer, services.settings, _COOKIE, "", None)
    return answer


def _openid(services: Services) -> tuple[OpenIdServices, bytes]:
    """Return the provider, and the key of attempts.

    Raises:
        HTTPException: 404, there is none.
    """
    if services.openid is None:
        raise HTTPException(404, "OpenID Connect is not set up here: MAILROOM_OPENID_ISSUER is empty.")
    return services.openid, attempt_key(services.settings.openid_client_secret.get_secret_value())


def _attempt_of(request: Request, services: Services, key: bytes, state: str | None) -> Attempt:
    """Return the attempt that this browser began and the provider answers.

    Raises:
        Refused: another browser's, an old one, or none.
    """
    cookie = sole_cookie(request, services.settings, _COOKIE)
    attempt = read_attempt(key, cookie, now=services.now()) if cookie else None
    if attempt is None or state is None or not secrets.compare_digest(attempt.state.encode(), state.encode()):
        raise Refused("another attempt", step=OpenIdFault.ANOTHER_ATTEMPT.value)
    return attempt


def _vouched_for(
    services: Services, openid: OpenIdServices, attempt: Attempt, code: str, issuer: str | None
) -> tuple[Person, ...]:
    """Return the people with the address that the provider has verified: one in each of the tenants that added it.

    Raises:
        Refused: there is none, or the provider may not vouch for the address.
    """
    vouched = openid.provider.vouch(attempt, code=code, issuer=issuer)
    try:
        address = person_address(vouched.address)
    except ValueError:
        raise Refused("no usable address", step=OpenIdFault.NO_ADDRESS.value) from None
    if not is_of(address, services.settings.openid_domains):
        raise Refused("a foreign domain", step=OpenIdFault.FOREIGN_DOMAIN.value)
    found = people_of(services).people.with_address(address)
    if not found:
        raise Refused("nobody here", step=OpenIdFault.NOBODY_HERE.value)
    return found


def _choice(services: Services, found: tuple[Person, ...], path: str) -> Response:
    """Return the page with a button for each person that the address is; each is a one-time link, as by mail."""
    links = people_of(services).links
    made = [(person, links.make(person.id, path)) for person in found]
    return render("sign_in_choice.html", address=found[0].address, choices=[one for one in made if one[1]])


def _refused(services: Services, refusal: Refused) -> Response:
    fault = OpenIdFault(refusal.facts["step"])
    log.warning("a sign-in by OpenID Connect was refused: %s %s", fault.value, refusal.facts.get("detail", ""))
    return _page(services, _STATUS.get(fault, 403), fault.sentence, fault.remedy)


def _unavailable(services: Services, error: MailroomError) -> Response:
    """Return the page for a provider that does not answer, or answers what nobody can use."""
    if isinstance(error, TransientError):
        log.warning("signing in by OpenID Connect is not possible now: %s", error)
        return _page(services, 503, Text("The provider cannot be reached, or is busy."), Text("Try again in a minute."))
    log.error("signing in by OpenID Connect is not possible: %s", error)
    why = Text("The operator must correct the settings of the provider.")
    return _page(services, 502, why, Text("Report it to the operator."))


def _page(services: Services, status: int, why: str, remedy: str) -> Response:
    name = services.openid.provider.name if services.openid is not None else ""
    return render("sign_in_openid.html", status=status, why=why, remedy=remedy, provider=name)
