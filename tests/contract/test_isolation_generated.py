"""Every operation, with requests generated from the OpenAPI document, by every kind of holder: no error of ours, and
nothing of the other tenant's in any answer, whatever is asked for. Pages are generated as the API is.

Parameters are sometimes the other tenant's ids and addresses, which no generator would guess.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.support.planted_tenants import OURS, THEIRS, Installation, ids_of, rows_of
from tests.support.role_table import KEYS, PEOPLE

with warnings.catch_warnings():
    # It imports what its own dependencies call deprecated.
    warnings.simplefilter("ignore")
    import schemathesis

#: Requests of one holder for one operation. Each run tries others.
EXAMPLES = 1
#: As a button of our own pages.
#: What a holder sends, and the generator must not.
_OURS = {"authorization", "cookie"}
_PRESSED = {"Sec-Fetch-Site": "same-origin"}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document with the pages, which the service's own leaves out."""
    contexts = list(iter_route_contexts(app.routes))
    # A router's word is kept in its own part of each.
    names = ("_effective_route", "_route_context", "original_route")
    parts = [getattr(one, name, None) for one in contexts for name in names]
    hidden = [part for part in parts if getattr(part, "include_in_schema", True) is False]
    for part in hidden:
        part.include_in_schema = True  # type: ignore[union-attr]
    try:
        return get_openapi(title="all", version="1", routes=contexts)
    finally:
        for part in hidden:
            part.include_in_schema = False  # type: ignore[union-attr]


def operations(app: FastAPI) -> Iterator[Any]:
    for found in schemathesis.openapi.from_dict(document(app)).get_all_operations():
        yield found.ok()


@pytest.fixture
def installation(engine: Engine) -> Installation:
    return Installation(engine)


def test_generated_requests_find_no_error_and_nothing_of_the_other_tenant(
    installation: Installation, engine: Engine
) -> None:
    """One request of each holder for each operation, another one in each run."""
    on, wrong, count = installation, list[Any](), 0
    before = rows_of(engine, THEIRS)
    theirs = {THEIRS, *ids_of(engine, THEIRS)}
    holders = [{"Authorization": f"Bearer {on.key(OURS, *scopes)}"} for scopes in KEYS if THEIRS not in str(scopes)]
    holders += [
        on.signed_in(on.person(name.split()[0], OURS, *inboxes))
        for name, (inboxes, _) in PEOPLE.items()
        if THEIRS not in str(inboxes)
    ]
    words = st.sampled_from([*on.tenants[THEIRS].ids.values(), *on.tenants[OURS].ids.values(), THEIRS])
    every = list(operations(on.app))
    assert len(every) > 100

    @settings(
        max_examples=EXAMPLES * len(holders), phases=[Phase.generate], database=None,
        suppress_health_check=list(HealthCheck), deadline=None,
    )  # fmt: skip
    @given(st.data())
    def search(data: st.DataObject) -> None:
        nonlocal count
        case = data.draw(operation.as_strategy())
        for place in (case.path_parameters, case.query):
            for name in list(place or {}):
                if data.draw(st.booleans()):
                    place[name] = data.draw(words)
        headers = data.draw(st.sampled_from([{}, *holders]))
        sent = case.as_transport_kwargs(base_url="https://mail.example")
        method, url = sent.pop("method"), sent.pop("url")
        kept = {name: sent[name] for name in ("params", "json", "data") if sent.get(name) is not None}
        given_headers = {k: v for k, v in dict(sent.get("headers") or {}).items() if k.lower() not in _OURS}
        answer = on.client.request(method, url, headers=given_headers | _PRESSED | headers, **kept)
        count += 1
        said = answer.content.decode("utf-8", "replace")
        asked = f"{url} {kept}"
        if answer.status_code >= 500:
            wrong.append((method, url, kept, answer.status_code, said[:200]))
        if found := [word for word in theirs if word in said and word not in asked]:
            wrong.append((method, url, answer.status_code, found[:2], said[:200]))

    for operation in every:  # noqa: B007 - read by the search
        search()

    print(f"\n{len(holders) + 1} holders, {len(every)} operations: {count} generated requests")
    assert wrong == []
    assert rows_of(engine, THEIRS) == before
