"""Scopes of API keys: how they are written, what they allow, and the one table of what each route needs."""

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.api.app import create_app
from mailroom.api.key_uses import KeyUses
from mailroom.api.scopes import NEEDS, TO_FETCH, TO_READ, Need, need_of
from mailroom.domain.api_keys import covers, first_characters, key_name, may_read, new_key, read_scopes
from mailroom.ports.api_keys import Holder
from mailroom.testing.api import Memory
from mailroom.testing.api_keys import MemoryKeys
from tests.support.api_routes import routes_of

SCOPES = st.sampled_from(
    [
        "send",
        "archive",
        "administer",
        "inbox:ada@acme.test",
        "inbox:@acme.test",
        "inbox:inv-*@acme.test",
        "inbox:*x@b.test",
        "inbox:@*.acme.test",
        "inbox:inv-*@*.lyon.acme.test",
        "inbox:@lyon.acme.test",
    ]
)
ADDRESSES = st.sampled_from(
    [
        *("ada@acme.test", "inv-1@acme.test", "bob@acme.test", "x@b.test", "ax@b.test", "acme.test@b.test"),
        *("ada@lyon.acme.test", "inv-1@a.lyon.acme.test"),
    ]
)


def test_every_route_is_in_the_table_and_the_table_has_no_other() -> None:
    """A route that is added later is refused until somebody has decided who may use it."""
    walked = {
        f"{'GET' if method == 'HEAD' else method} {path}" for method, path in routes_of(create_app(Memory().services()))
    }

    assert walked - set(NEEDS) == set()
    assert set(NEEDS) - walked == set()


def test_the_document_says_which_scope_an_operation_needs() -> None:
    """A developer reads it before the first 403."""
    app = create_app(Memory().services())
    paths = app.openapi()["paths"]

    assert paths["/v1/inboxes/{address}/items"]["get"]["description"].endswith(
        "Scope: `inbox:ADDRESS` or `administer`."
    )
    assert app.openapi()["paths"]["/v1/batches"]["post"]["description"].count("Scope:") == 1
    assert all("Scope: " in one["description"] for path, ops in paths.items() if "/v1/" in path for one in ops.values())
    assert "Scope" not in paths["/healthz"]["get"]["description"]


def test_a_route_for_one_inbox_names_it_in_its_path() -> None:
    """The inbox is checked by the path; the list of inboxes is filtered by its query."""
    for_inboxes = {route for route, need in NEEDS.items() if need in (TO_READ, TO_FETCH)}

    assert {route for route in for_inboxes if not re.search(r"\{(address|item_id)", route)} == {"GET /", "GET /inboxes"}
    assert {route for route in NEEDS if re.search(r"\{(address|item_id)", route)} == for_inboxes - {
        "GET /",
        "GET /inboxes",
    }


def test_only_counts_links_and_hooks_are_open() -> None:
    """What needs no key is a short list that a reviewer can read."""
    assert {route.split()[1].split("/")[1] for route, need in NEEDS.items() if need.is_open} == {
        "healthz", "readyz", "metrics", "docs", "openapi.json", "static", "u", "c", "o", "hooks",
        "sign-in", "sign-in-with-a-key", "sign-in-with-openid", "sign-out",
    }  # fmt: skip
    assert need_of("HEAD", "/c/{token}") == need_of("GET", "/c/{token}")
    assert need_of("GET", "/v1/new") is None


@given(st.sets(SCOPES), st.sets(SCOPES), st.sampled_from(sorted(NEEDS)), ADDRESSES)
def test_scopes_only_add(few: set[str], more: set[str], route: str, address: str) -> None:
    """A key with fewer scopes may do nothing that one with more may not: no combination opens anything else."""
    narrow, wide = Holder("n", "acme", tuple(few)), Holder("w", "acme", tuple(few | more))

    assert NEEDS[route].is_met(narrow) <= NEEDS[route].is_met(wide)
    assert may_read(narrow.scopes, address) <= may_read(wide.scopes, address)
    assert NEEDS[route].is_personal or NEEDS[route].is_met(Holder("a", "acme"))
    assert NEEDS[route].is_open or not NEEDS[route].is_met(Holder("none", "acme", ()))


@given(st.sets(SCOPES), SCOPES, ADDRESSES, st.sampled_from(sorted(NEEDS)))
def test_a_scope_that_is_covered_allows_nothing_more(held: set[str], scope: str, address: str, route: str) -> None:
    """A key may give to another what it covers, so that must be within what it may do."""
    if covers(held, scope):
        assert may_read([scope], address) <= may_read(held, address)
        assert NEEDS[route].is_met(Holder("a", "acme", (scope,))) <= NEEDS[route].is_met(
            Holder("b", "acme", tuple(held))
        )


@given(st.text(max_size=40))
def test_no_text_is_read_as_a_scope_that_it_is_not(text: str) -> None:
    """An unknown word is refused, and an address is stored as mail is filed under it; read again it stays the same."""
    for written in (text, f"inbox:{text}"):
        try:
            scopes = read_scopes([written])
        except ValueError:
            continue
        assert scopes == read_scopes(scopes)
        assert scopes[0] in ("send", "archive", "administer") or scopes[0].startswith("inbox:")


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("inbox:Ada@ACME.test", "inbox:ada@acme.test"), ("inbox:@BÜCHER.test", "inbox:@xn--bcher-kva.test"),
        ("inbox:*@acme.test", "inbox:@acme.test"), (" send ", "send"), ('inbox:"a b"@acme.test', 'inbox:"a b"@acme.test'),
    ],
)  # fmt: skip
def test_addresses_are_stored_as_mail_is_filed(written: str, stored: str) -> None:
    """Else a key for Ada@ACME.test would read nothing."""
    assert read_scopes([written, written]) == (stored,)


@pytest.mark.parametrize(
    "written", [[], [""], ["inbox"], ["inbox:"], ["inbox:in/"], ["inbox:ada"], ["Send"], ["*"], ["inbox:a@*.test"], ["read"],
                ["inbox:\x00@a.test"], [f"inbox:a{n}@a.test" for n in range(101)]],
)  # fmt: skip
def test_what_is_no_scope_is_refused(written: list[str]) -> None:
    """A key that does nothing, or more than its author meant, is worse than an error."""
    with pytest.raises(ValueError, match=r"scope|inbox"):
        read_scopes(written)


@pytest.mark.parametrize(
    ("scope", "address", "reads"),
    [
        ("inbox:ada@acme.test", "ada@acme.test", True), ("inbox:ada@acme.test", "ada+x@acme.test", False),
        ("inbox:ada@acme.test", "ada@sub.acme.test", False), ("inbox:@acme.test", "ada@acme.test", True),
        ("inbox:@acme.test", "ada@sub.acme.test", False), ("inbox:@acme.test", "ada@notacme.test", False),
        ("inbox:inv-*@acme.test", "inv-1@acme.test", True), ("inbox:inv-*@acme.test", "inv-1@evil.test", False),
        ("send", "ada@acme.test", False), ("archive", "ada@acme.test", False), ("administer", "ada@acme.test", True),
        ('inbox:"a*"@acme.test', "ab@acme.test", False), ("inbox:@*.acme.test", "ada@lyon.acme.test", True),
        ("inbox:@*.acme.test", "ada@acme.test", False), ("inbox:@*.acme.test", "ada@notacme.test", False),
        ("inbox:ada@*.acme.test", "ada@a.b.acme.test", True), ("inbox:ada@*.acme.test", "bob@a.acme.test", False),
    ],
)  # fmt: skip
def test_an_inbox_scope_reads_its_inbox_alone(scope: str, address: str, reads: bool) -> None:
    """Neither a longer name nor another domain."""
    assert may_read([scope], address) is reads


@pytest.mark.parametrize("written", ["", "  ", "a" * 101, "a\nb", "a\x00", "cli", " CLI "])
def test_a_name_is_short_and_printable_and_not_the_commands(written: str) -> None:
    """It is shown in histories as the author of what its holder did."""
    with pytest.raises(ValueError, match=r"named|name has"):
        key_name(written)


def test_a_key_is_long_and_recognised_by_scanners() -> None:
    """32 bytes, of which lists show no more than 30 bits."""
    key = new_key()

    assert re.fullmatch(r"mr_[A-Za-z0-9_-]{43}", key)
    assert first_characters(key) == key[:8]
    assert new_key() != key


class _Counted(MemoryKeys):
    """Keys that count what is written of their use."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Any] = []

    def used(self, key_ids: Any) -> None:
        self.writes.append(sorted(key_ids))


def test_a_use_is_written_once_a_minute_and_not_by_the_request() -> None:
    """A key that sends a thousand requests a second must not cost a thousand writes, nor wait for one."""
    times = itertools.chain([0.0, 1.0, 59.9, 60.0], itertools.repeat(61.0))
    keys = _Counted()
    uses = KeyUses(keys, clock=lambda: next(times))
    uses._thread = object()  # type: ignore[assignment] # the test is the thread
    ada, bob = Holder("ada", "acme", key_id="1"), Holder("bob", "acme", key_id="2")

    for _ in range(3):
        uses.note(ada)
    assert keys.writes == []
    uses.record_waiting()
    uses.note(ada)
    uses.note(bob)
    uses.note(Holder("without a key"))
    uses.record_waiting()

    assert keys.writes == [["1"], ["1", "2"]]


def test_a_need_names_what_suffices() -> None:
    """The response to a key without the scope says which to ask for."""
    assert TO_FETCH.words == ["inbox:ADDRESS", "archive", "administer"]
    assert Need().words == ["administer"]
