"""Authentication: API keys for programs; for the pages a session or a key.

    page    session cookie ──> key (Basic or Bearer) ──> a browser goes to /sign-in, a program gets 401
    /v1     key alone: a cookie opens nothing, so no other site can use it with a person's session

Keys are looked up by their SHA-256, so the time for a wrong key does not depend on its prefix. They are random, so they
need no slow hash. What a holder may see: `mailroom.api.access`; what a key may do: `mailroom.api.scopes`.
"""

import base64
import binascii
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from mailroom.api.services import AppServices, Services
from mailroom.api.sessions import session_holder
from mailroom.domain.api_keys import key_digest as key_digest
from mailroom.domain.local_paths import HOME, local_path
from mailroom.ports.api_keys import Holder

_bearer = HTTPBearer(auto_error=False, description="An API key")


def api_holder(
    request: Request, services: AppServices, _sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Holder:
    """Return the holder of this request's Bearer key, as found before the body was read (`mailroom.api.bodies`).

    Raises:
        HTTPException: 401.
    """
    return _admitted(request) or holder_of(services, request.headers.get("authorization", ""))


def holder_of(services: Services, authorization: str) -> Holder:
    """Return the holder of the Bearer key in this header.

    Raises:
        HTTPException: 401.
    """
    scheme, key = get_authorization_scheme_param(authorization)
    holder = _holder(services, key) if key and scheme.lower() == "bearer" else None
    if holder is None:
        raise HTTPException(
            401, "A valid API key is required, as a Bearer token.", {"WWW-Authenticate": 'Bearer realm="Mailroom"'}
        )
    return holder


def page_holder(request: Request, services: AppServices) -> Holder:
    """Return the user of a page: the person who is signed in, else the holder of the key in the request.

    Raises:
        HTTPException: 303 to the page that signs in, for a browser without a session and a key; 401 for others without a
            valid key.
    """
    if holder := _admitted(request) or session_holder(request, services):
        return holder
    key = _page_key(request.headers.get("authorization", ""))
    holder = _holder(services, key) if key else None
    if holder is None:
        if _goes_to_sign_in(request, services):
            raise HTTPException(303, "Sign in first.", {"Location": f"/sign-in?next={quote(_path(request), safe='')}"})
        raise key_needed()
    return holder


def key_needed() -> HTTPException:
    """Return the error by which a browser asks for a key."""
    challenge = 'Basic realm="Mailroom", charset="UTF-8"'
    what = "Sign in with any user name, and an API key as the password."
    return HTTPException(401, what, {"WWW-Authenticate": challenge})


def from_this_site(request: Request) -> None:
    """Refuse forms from other sites: browsers send the key with any site's form, and name that site in a header.

    They send the header over https and on loopback only; elsewhere every form is refused.

    Raises:
        HTTPException: 403.
    """
    if request.headers.get("sec-fetch-site") != "same-origin":
        raise HTTPException(
            403,
            "The request did not come from a button on these pages over https. Use the button, "
            "the API or the `mailroom` command.",
        )


ApiHolder = Annotated[Holder, Depends(api_holder)]
PageHolder = Annotated[Holder, Depends(page_holder)]


def _admitted(request: Request) -> Holder | None:
    """Return the holder that was found before the route's own dependencies, if one was."""
    holder: Holder | None = getattr(request.state, "holder", None)
    return holder


def _goes_to_sign_in(request: Request, services: Services) -> bool:
    """Return whether a person sits before this: a browser without a key, where people sign in."""
    is_here = services.people is not None and bool(services.settings.pages_at)
    return is_here and "authorization" not in request.headers and "text/html" in request.headers.get("accept", "")


def _path(request: Request) -> str:
    """Return the page that was asked for as it was written; after a form that came too late, the first page."""
    if request.method not in ("GET", "HEAD"):
        return HOME
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    path = raw.decode("latin-1")
    return local_path(f"{path}?{request.url.query}" if request.url.query else path)


def _holder(services: Services, key: str) -> Holder | None:
    """Return the holder of a key, whose use is recorded in the background; None for every key that is not accepted."""
    holder = services.keys.holder(key_digest(key))
    if holder is not None and services.key_uses is not None:
        services.key_uses.note(holder)
    return holder


def _page_key(authorization: str) -> str | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None
