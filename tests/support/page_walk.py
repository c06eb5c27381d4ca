"""Every page of the application with data on it, for a browser: the routes are the application's own, what is on them is that of
two planted tenants, with a letter that has a PDF and a picture.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage

from mailroom.adapters.previewer import PreviewProcess
from mailroom.domain.delivery.unsubscribe import sign
from mailroom.domain.people import Role
from mailroom.ports.people import NewPerson
from tests.support.api_routes import filled, routes_of
from tests.support.http_server import serving
from tests.support.loopback_ports import free_port
from tests.support.planted_tenants import OURS, Installation
from tests.support.previewed_files import pdf, picture
from tests.support.role_table import DOCUMENTS, INBOX, OPEN, PERSONAL, REQUESTS, about
from tests.support.signed_in import cookie_of

#: Open routes that are no pages: counts, links of mails that lead elsewhere, and what has a browser ask for something.
NO_PAGES = frozenset(
    {
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/static/mailroom.css",
        "/static/keys.js",
        "/c/{token}",
        "/o/{token}.gif",
        "/sign-in-with-a-key",
        "/sign-in-with-openid",
        "/sign-in-with-openid/callback",
    }
)
#: Files, which a browser saves.
_FILES = "attachments/{number}", "members/{member}", "/raw", "/files.zip", "/content.eml"
_ID = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Walk:
    """A site, the cookies of those who walk it, by name, and the paths of the pages of each."""

    url: str
    cookies: Mapping[str, Mapping[str, str]]
    paths: Mapping[str, tuple[str, ...]]


@contextmanager
def walked(on: Installation) -> Iterator[Walk]:
    """Serve the installation's pages on loopback, with one who administers everything, a member, and one without an inbox."""
    port = free_port()
    url, services = f"http://127.0.0.1:{port}", on.app.state.services
    settings = services.settings.model_copy(update={"pages_url": url, "sender": "mail@mail.example"})
    on.app.state.services = replace(services, settings=settings, previewer=PreviewProcess())
    ours = on.tenants[OURS]
    _, [item] = on.file(_letter(ours.anna.recipient).as_bytes(), ours.anna)
    people = {
        "operator": on.people.people.add(NewPerson("ops@mail.example", Role.OPERATOR, None, (), "cli")),
        "member": on.person("member", OURS, "@quokka.test"),
        "newcomer": on.person("member", OURS),
    }
    cookies = {name: cookie_of(on.people.sessions, settings, one) for name, one in people.items()}
    link = on.people.links.make(people["member"].id, "/")
    opened = {"/sign-in": "/sign-in", "/sign-in/{secret}": f"/sign-in/{link}", "/docs": "/docs"}
    key = settings.unsubscribe_key.get_secret_value().encode()
    opened["/u/{token}"] = f"/u/{sign(ours.ids['message_id'], key=key)}"
    ids = ours.ids | {"item_id": item}
    every = sorted({path for method, path in routes_of(on.app) if method == "GET" and not path.startswith("/v1/")})
    closed = [path for path in every if about(f"GET {path}") != OPEN and not path.endswith(_FILES)]
    mine = [path for path in closed if about(f"GET {path}") in (INBOX, DOCUMENTS, PERSONAL)]
    paths = {
        "nobody": (*(opened[path] for path in every if about(f"GET {path}") == OPEN and path not in NO_PAGES), *_WRONG),
        "operator": tuple(_with_query(path, ids) for path in closed),
        "member": (*(_with_query(path, ids) for path in mine), *_VARIANTS, f"/items/{item}/attachments/2/preview"),
        "newcomer": ("/", "/inboxes", "/people"),
    }
    with serving(on.app, port=port) as url:
        yield Walk(url, {"nobody": {}, **cookies}, paths)


#: What is empty, or wrong.
_VARIANTS = (
    "/?show=done",
    "/?show=all&q=quokka",
    "/?q=nothingatall",
    "/?q=after:x",
    "/items/none",
    "/settings?saved=1",
)
_WRONG = ("/sign-in/none", "/u/none", "/none")


def _with_query(path: str, ids: Mapping[str, str]) -> str:
    # A page that reloads itself would do so while the next is opened.
    return f"{filled(path, ids)}?still=true&{REQUESTS[f'GET {path}'].query}".rstrip("&")


def _letter(to: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Quokka Office <desk@far.test>", to, "quokka: rent of the second floor"
    mail.set_content("Dear Anna,\n\nthe lease is attached.\n\n> Could you send it?\n\nhttps://far.test/lease\n")
    mail.add_alternative("<p>Dear Anna,</p><p>the <a href='https://far.test/lease'>lease</a> is attached.</p>", "html")
    mail.add_attachment(pdf(3), maintype="application", subtype="pdf", filename="lease.pdf")
    mail.add_attachment(picture(size=(600, 300)), maintype="image", subtype="png", filename="flat.png")
    return mail
