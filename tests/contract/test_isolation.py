"""Every route and page, asked by every kind of holder for its own, the other tenant's, and what does not exist.

Who may do what is in tests/support/role_table.py, written by hand; the routes are the application's own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from json import dumps, loads
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from mailroom.testing.api import BROWSER
from tests.support.api_routes import routes_of
from tests.support.planted_tenants import OURS, THEIRS, Installation, Planted, ids_of, rows_of
from tests.support.role_table import (
    ADMINISTERING,
    DOCUMENTS,
    INBOX,
    INSTALLATION,
    KEYS,
    NOBODY,
    OPEN,
    OPERATOR,
    PEOPLE,
    REQUESTS,
    Request,
    Role,
    about,
    signed_in,
)

#: Whose the object of a request is.
OWN, OTHER_INBOX, FOREIGN, MISSING, MALFORMED = "own", "other inbox", "foreign", "missing", "malformed"
#: An address that does not exist in the other tenant's domain.
MISSING_THERE = "missing there"
_ID = re.compile(r"\{(\w+)(?::\w+)?\}")
#: Scopes of our own keys that name the other tenant's addresses, as lists of our keys show them.
_NAMED = sorted(
    {word for scopes in KEYS for scope in scopes for word in (scope, scope.removeprefix("inbox:")) if THEIRS in word},
    key=len,
    reverse=True,
)
_PAGE = {"Sec-Fetch-Site": "same-origin", **BROWSER}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks: what their requests carry, and the role that the table gives them."""

    name: str
    role: Role
    headers: Mapping[str, str]

    def may(self, route: str) -> bool:
        return about(route) in self.role.may and not self.is_elsewhere(route)

    def is_elsewhere(self, route: str) -> bool:
        """Return whether what the requests carry does not count: a session opens pages, and nothing of the API."""
        return "Cookie" in self.headers and " /v1/" in route

    def expected(self, route: str, request: Request, of: str, inbox: str) -> int:
        """Return the status that the table asks for; `inbox` is the name of the inbox that the object is in."""
        if not self.role.may or self.is_elsewhere(route):
            return 401
        if about(route) == INSTALLATION and not self.may(route):
            return 404 if ADMINISTERING in self.role.may else 403
        if not self.may(route):
            return request.refused if about(route) != "operating" or "sending" in self.role.may else 403
        if of in (MISSING, MISSING_THERE, MALFORMED) or (of == FOREIGN and not self.role.of_all_tenants):
            return 404
        if INBOX not in self.role.may or self.role.inboxes is None or not _is_in_an_inbox(route):
            return request.status
        # Who may read the archive too opens its items by their ids.
        if "states" in self.role.may and "{item_id}" in route and about(route) == DOCUMENTS:
            return request.status
        return request.status if inbox in self.role.inboxes else 404


@dataclass
class Sweep:
    """The installation, its holders, and what was counted and found wrong."""

    on: Installation
    holders: list[Holder]
    theirs: set[str] = field(default_factory=set)
    requests: int = 0
    wrong: list[Any] = field(default_factory=list)

    def ask(self, holder: Holder, route: str, request: Request, ids: Mapping[str, str], more: str = "") -> Any:
        method, path = route.split()
        query = "&".join(part for part in (request.query, more) if part)
        url = _ID.sub(lambda one: ids[one[1]], f"{path}?{query}" if query else path)
        headers = dict(holder.headers) | ({} if path.startswith("/v1/") else _PAGE)
        self.requests += 1
        form = {name: _ID.sub(lambda one: ids[one[1]], value) for name, value in (request.form or {}).items()}
        json = request.json and loads(_ID.sub(lambda one: ids.get(one[1], one[0]), dumps(request.json)))
        answer = self.on.client.request(method, url, headers=headers, json=json, data=form or None)
        if not holder.role.of_all_tenants:
            self._search(holder, f"{method} {url}", answer)
        return answer

    def _search(self, holder: Holder, asked: str, answer: Any) -> None:
        """Note what of the other tenant's is in an answer that the request did not say."""
        said = f"{answer.headers} {answer.content.decode('utf-8', 'replace')}"
        for scope in _NAMED:
            said = said.replace(scope, "")
        if found := [word for word in self.theirs if word in said and word not in unquote(asked)]:
            self.wrong.append((holder.name, asked, answer.status_code, "says", found[:3]))

    def ids(self, of: str, request: Request, *, fresh: bool = True) -> dict[str, str]:
        """Return the ids of an object; what a request changes is made for it, unless it is refused before."""
        ours, theirs = self.on.tenants[OURS], self.on.tenants[THEIRS]
        if of == OWN:
            made = request.fresh.items() if fresh else ()
            return {"new_address": "", "waiting": "", **ours.ids} | {name: _made(ours, how) for name, how in made}
        if of == FOREIGN:
            return {"new_address": "", "waiting": "", **theirs.ids}
        if of == OTHER_INBOX:
            return ours.ids | {"item_id": ours.other_inbox.item_id, "address": ours.other_inbox.address}
        nothing = "x" if of == MALFORMED else str(uuid4())
        numbers, domain = {"number": "2", "member": "1"}, f"{THEIRS if of == MISSING_THERE else OURS}.test"
        addresses = dict.fromkeys(("address", "suppressed", "pattern", "receiving"), f"nobody-{nothing}@{domain}")
        return dict.fromkeys(ours.ids, nothing) | numbers | addresses

    def walk(self, holder: Holder) -> int:
        """Ask as this holder for every object of every route, and return how many cases that is."""
        cases = 0
        for route in closed_routes(self.on):
            request, answers = REQUESTS[route], dict[str, tuple[int, str]]()
            for of in objects(route, request):
                if holder.role.of_all_tenants and of == FOREIGN and not route.startswith("GET"):
                    continue
                ids, cases = self.ids(of, request, fresh=holder.may(route)), cases + 1
                answer = self.ask(holder, route, request, ids)
                answers[of] = _said(answer, ids)
                right = holder.expected(route, request, of, "zoe" if of == OTHER_INBOX else "anna")
                if _status(answer) != right:
                    self.wrong.append((holder.name, route, of, answer.status_code, right, answer.text[:200]))
            pairs = {OTHER_INBOX: MISSING, FOREIGN: MISSING_THERE if MISSING_THERE in answers else MISSING}
            hidden = [of for of in pairs if answers.get(of, (0, ""))[0] == 404]
            self.wrong += [(holder.name, route, of, "differs") for of in hidden if answers[of] != answers[pairs[of]]]
        return cases


@pytest.fixture
def sweep(engine: Engine) -> Sweep:
    on = Installation(engine)
    holders = [Holder(" ".join(scopes), role, _bearer(on.key(OURS, *scopes))) for scopes, role in KEYS.items()]
    for name, (inboxes, role) in PEOPLE.items():
        person = on.person(name.split()[0], OURS, *inboxes)
        holders.append(Holder(name, role, on.signed_in(person)))
    holders.append(Holder("operator", signed_in(OPERATOR), on.signed_in(on.person("operator", None))))
    holders.append(Holder("operator's key", OPERATOR, _bearer(on.operator)))
    holders += [Holder("nobody", NOBODY, {}), Holder("wrong key", NOBODY, _bearer("mr_wrong"))]
    holders.append(Holder("revoked key", NOBODY, _bearer(_revoked(on))))
    holders.append(Holder("removed person", NOBODY, _removed(on)))
    made = Sweep(on, holders)
    made.theirs = {THEIRS, *ids_of(engine, THEIRS)}
    return made


def closed_routes(on: Installation) -> list[str]:
    """Return every route of the application that is not open; those that change something last."""
    walked = {f"{method} {path}" for method, path in routes_of(on.app) if method != "HEAD"}
    return sorted((route for route in walked if about(route) != OPEN), key=lambda one: (not one.startswith("GET"), one))


def objects(route: str, request: Request) -> list[str]:
    """Return which objects a request can be about; one that names none is about its holder's own."""
    names = set(_ID.findall(f"{route} {request.query}"))
    if not names:
        return [OWN]
    inbox = [OTHER_INBOX] if names & {"item_id", "address"} else []
    last = [MISSING_THERE] if "address" in names else [MALFORMED] if "{" in route else []
    return [OWN, *inbox, FOREIGN, MISSING, *last]


def test_every_route_has_a_request_in_the_table(sweep: Sweep) -> None:
    """A new route is not forgotten: without a line that says who may use it, and a valid request, this fails."""
    routes = closed_routes(sweep.on)

    assert set(routes) - set(REQUESTS) == set()
    assert set(REQUESTS) - set(routes) == set()


def test_everybody_is_answered_what_the_table_says_and_nothing_of_the_other_tenant(sweep: Sweep) -> None:
    """Status by holder, route and object; the other tenant's is answered as what does not exist, byte for byte."""
    before, ours = rows_of(sweep.on.engine, THEIRS), [one for one in sweep.holders if not one.role.of_all_tenants]
    cases = sum(sweep.walk(one) for one in ours)

    print(f"\n{len(sweep.holders)} holders x {len(closed_routes(sweep.on))} routes: {cases} cases and the operators'")
    assert rows_of(sweep.on.engine, THEIRS) == before
    for holder in sweep.holders:
        if holder.role.of_all_tenants:
            sweep.walk(holder)
    assert sweep.wrong == []


def test_what_a_request_names_besides_its_path_tells_nothing_either(sweep: Sweep) -> None:
    """A tenant, a batch, an address, a document, a cursor: the other tenant's is answered as one that does not exist."""
    theirs, before = sweep.on.tenants[THEIRS], rows_of(sweep.on.engine, THEIRS)
    ours = [one for one in sweep.holders if not one.role.of_all_tenants]
    for holder in ours:
        for route in closed_routes(sweep.on):
            request = REQUESTS[route]
            if "tenant=" in request.query or not holder.may(route):
                continue
            ids = sweep.ids(OWN, request)
            pair = [sweep.ask(holder, route, request, ids, f"tenant={one}") for one in (THEIRS, "numbut")]
            alike = len({_said(one, {"a": THEIRS, "b": "numbut"}) for one in pair}) == 1
            # What makes a new key says it.
            if not alike and not request.fresh and request.status != 201:
                sweep.wrong.append((holder.name, route, "tenant", [one.status_code for one in pair]))
        for route, query in _references(theirs):
            foreign, missing = (
                sweep.ask(holder, route, REQUESTS[route], sweep.ids(OWN, REQUESTS[route]), one) for one in query
            )
            words = dict(enumerate(part.partition("=")[2] for one in query for part in one.split("&")))
            if _said(foreign, words) != _said(missing, words):
                sweep.wrong.append((holder.name, route, query))

    assert sweep.wrong == []
    assert rows_of(sweep.on.engine, THEIRS) == before


def test_the_other_tenants_data_is_there_to_be_found(sweep: Sweep) -> None:
    """Else the sweep would find nothing in empty tables: the operator's answers have a word of it on every list."""
    operator = next(one for one in sweep.holders if one.name == "operator's key")
    lists = [
        route
        for route in closed_routes(sweep.on)
        if route.startswith("GET") and objects(route, REQUESTS[route]) == [OWN]
    ]

    silent = {route for route in lists if THEIRS not in sweep.ask(operator, route, REQUESTS[route], {}).text}

    assert len(lists) > 15
    # Of one tenant each, the operator's own unless the request names one; what is sent to one address; events without a message.
    one_tenants = {"GET /v1/quotas", "GET /v1/senders", "GET /v1/streams"}
    counts = {"GET /status", "GET /v1/status", "GET /v1/inbound/reasons", "GET /quarantine/replay"}
    of_nobody = {"GET /recipients", "GET /parked", "GET /senders", "GET /quarantine/address", "GET /settings"}
    assert silent - one_tenants - counts <= of_nobody
    for route in one_tenants:
        assert THEIRS in sweep.ask(operator, route, REQUESTS[route], {}, f"tenant={THEIRS}").text


def test_what_is_open_to_everybody_says_nothing_of_anybody(sweep: Sweep) -> None:
    """Counts, states and documentation are read without a key."""
    nobody = next(one for one in sweep.holders if one.role is NOBODY)
    walked = [f"{method} {path}" for method, path in routes_of(sweep.on.app) if method != "HEAD"]
    routes = [route for route in walked if about(route) == OPEN]
    sweep.theirs |= {OURS, *ids_of(sweep.on.engine, OURS)}

    for route in routes:
        answer = sweep.ask(nobody, route, Request(), {"token": "x", "secret": "x"})
        assert answer.status_code < 500, route

    assert len(routes) > 8
    assert sweep.wrong == []


def _references(theirs: Planted) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield routes with a parameter that names something of the other tenant's, and the same of what does not exist."""
    nothing = uuid4()
    for route in ("GET /v1/messages",):
        yield route, (f"batch={theirs.ids['batch_id']}", f"batch={nothing}")
        yield route, (f"reference={theirs.name}-reference", "reference=nothing-reference")
        yield route, (f"metadata=word%3D{theirs.name}", "metadata=word%3Dnothing")
        yield route, (f"recipient={theirs.ids['suppressed']}", f"recipient=nobody@{OURS}.test")
    for route in ("GET /v1/suppressions", "GET /suppressions", "GET /recipients"):
        for address in (theirs.ids["suppressed"], f"all@{THEIRS}.test"):
            yield route, (f"address={address}", "address=nobody@nowhere.test")
    for address in (theirs.anna.recipient, f"lost@{THEIRS}.test"):
        yield "GET /quarantine/replay", (f"recipient={address}", "recipient=nobody@nowhere.test")
    yield "GET /quarantine/replay", (f"id={theirs.ids['email_id']}", f"id={nothing}")
    yield "GET /v1/addresses", (f"address={theirs.anna.recipient}", f"address=nobody@{OURS}.test")
    yield "GET /v1/inboxes/{address:path}/items", (f"q={theirs.name}", "q=nothingatall")
    yield "GET /inboxes/{address:path}", (f"q={theirs.name}", "q=nothingatall")


def _is_in_an_inbox(route: str) -> bool:
    return "{item_id}" in route or "{address" in route


def _made(planted: Planted, how: str) -> str:
    return str(getattr(planted, how)())


def _said(answer: Any, ids: Mapping[Any, str]) -> tuple[int, str]:
    """Return status and text of an answer, without the ids of its request."""
    text = answer.text
    for one in sorted((one for one in ids.values() if len(one) > 2), key=len, reverse=True):
        text = text.replace(one, "ID").replace(one.replace("@", "%40"), "ID")
    return answer.status_code, text


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _removed(on: Installation) -> dict[str, str]:
    person = on.person("administrator", OURS)
    sent = on.signed_in(person)
    on.people.people.remove(None, person.id)
    return sent


def _status(answer: Any) -> int:
    """Return the status of an answer; a browser that is sent to sign in is refused as a program with 401."""
    is_sent = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
    return 401 if is_sent else int(answer.status_code)


def _revoked(on: Installation) -> str:
    key = on.key(OURS, "administer", name="revoked")
    [line] = [one for one in on.keys.all(OURS, after=None, limit=50).lines if one.name == "revoked"]
    on.keys.revoke(OURS, line.id, by="cli")
    return key
