"""Sessions of people in a browser: the cookie, how one begins, and how it ends. How somebody proves to be a person is not known here.

The cookie is HttpOnly and `SameSite=Lax`: links in mails to an item work, and a form of another site comes without it. Over https
its name begins with `__Host-`, so that no other host can set it; on loopback its name has the port, because browsers
send cookies to every port of a host.
"""

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from starlette.responses import Response

from mailroom.api.services import Services
from mailroom.domain.people import secret_digest
from mailroom.domain.texts import Text
from mailroom.ports.api_keys import Holder
from mailroom.ports.people import Person
from mailroom.settings import Settings

NOT_HERE = Text(
    "Signing in is not set up here: MAILROOM_PAGES_URL must be the https URL of these pages. Ask the operator."
)
_HOST = "__Host-mailroom"
#: Pages with a `refresh`; with `still` they have none.
_RELOADING = frozenset({"/status", "/batches", "/batches/{batch_id}", "/quarantine/replays/{replay_id}"})


def cookie_name(settings: Settings, purpose: str = "") -> str:
    """Return the name of the session's cookie, by the URL of the settings: the sender of a request chooses its Host.

    `purpose` is that of another cookie beside it.
    """
    parts, more = urlsplit(settings.pages_at), f"-{purpose}" if purpose else ""
    return f"{_HOST}{more}" if parts.scheme == "https" else f"mailroom-{parts.port or 80}{more}"


def session_secret(request: Request, settings: Settings) -> str | None:
    """Return the secret in the request's cookie; None without one."""
    return sole_cookie(request, settings)


def sole_cookie(request: Request, settings: Settings, purpose: str = "") -> str | None:
    """Return the value of a cookie; None without it, and with two of that name, of which one is another's."""
    name = f"{cookie_name(settings, purpose)}="
    sent = [one.strip() for header in request.headers.getlist("cookie") for one in header.split(";")]
    found = [one.removeprefix(name) for one in sent if one.startswith(name)]
    return found[0] if len(found) == 1 and found[0] else None


def safe_cookie(response: Response, settings: Settings, purpose: str, value: str, lasts: timedelta | None) -> None:
    """Put a cookie on a response that no script and no other site can read; `lasts` None removes it."""
    response.set_cookie(
        cookie_name(settings, purpose),
        value,
        max_age=int(lasts.total_seconds()) if lasts else 0,
        path="/",
        secure=settings.pages_at.startswith("https:"),
        httponly=True,
        samesite="lax",
    )


def session_holder(request: Request, services: Services) -> Holder | None:
    """Return the person whose session the cookie is, and note that it is used; None without a session."""
    secret = session_secret(request, services.settings)
    if secret is None or services.people is None or not services.settings.pages_at:
        return None
    digest = secret_digest(secret)
    holder = services.people.sessions.holder(digest)
    if holder is not None and not _reloads_itself(request):
        services.people.sessions.touch(digest)
    return holder


def _reloads_itself(request: Request) -> bool:
    """Return whether the page may have been asked for by itself: one that is left open must not keep its person signed in."""
    path = getattr(request.scope.get("route"), "path", "")
    return request.method == "GET" and path in _RELOADING and "still" not in request.query_params


def begin_session(request: Request, services: Services, person: Person, response: Response) -> None:
    """Begin a session of this person and put its cookie on the response; the session that the browser had ends.

    Raises:
        HTTPException: 403, the person was removed in this moment; 404, signing in is not set up here.
    """
    settings = services.settings
    if services.people is None or not settings.pages_at:
        raise HTTPException(404, NOT_HERE)
    sessions = services.people.sessions
    if earlier := session_secret(request, settings):
        sessions.end(secret_digest(earlier))
    secret = sessions.begin(person.id, idle=settings.session_idle, lasts=settings.session_lasts)
    if secret is None:
        raise HTTPException(403, "You were removed from this installation; ask an administrator.")
    safe_cookie(response, settings, "", secret, settings.session_lasts)


def end_session(
    request: Request, services: Services, response: Response, *, everywhere: Iterable[str] | None = None
) -> None:
    """End the session of this browser, or all sessions of the people `everywhere`; the browser drops the cookie and what it cached.

    Files and previews are cached to be asked for again: the next person at the machine must not find them.
    """
    secret = session_secret(request, services.settings)
    if services.people is not None and everywhere is not None:
        for person_id in everywhere:
            services.people.sessions.end_all(person_id)
    elif services.people is not None and secret is not None:
        services.people.sessions.end(secret_digest(secret))
    safe_cookie(response, services.settings, "", "", None)
    response.headers["Clear-Site-Data"] = '"cache"'
