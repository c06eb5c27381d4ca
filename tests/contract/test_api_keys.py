"""The port `ApiKeys`, in memory and on PostgreSQL: the life of a key, whose it is, and what earlier releases see of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.domain.api_keys import first_characters, key_digest, new_key
from mailroom.domain.errors import Conflict
from mailroom.ports import api_keys as port
from mailroom.ports.api_keys import ApiKeys, Holder, KeyState, NewKey
from mailroom.testing.api_keys import MemoryKeys
from tests.support.inboxes import SqlInstallation

#: What an earlier release asks, and what the manual said to type before there was a command.
LOOKED_UP = text("select name, tenant from api_key where sha256 = :sha256")
BY_HAND = text("insert into api_key (sha256, name, tenant, created_at) values (:sha256, 'old', 'acme', now())")


@pytest.fixture(params=["memory", "sql"])
def keys(request: pytest.FixtureRequest) -> ApiKeys:
    return MemoryKeys() if request.param == "memory" else SqlApiKeys(request.getfixturevalue("engine"))


def add(keys: ApiKeys, tenant: str | None = "acme", **changes: Any) -> tuple[str, str]:
    """Add a key; return its id and the key."""
    key = new_key()
    values: dict[str, Any] = {"name": "shop", "scopes": ("send",), "ends_at": None, "made_by": "cli"} | changes
    line = keys.add(NewKey(tenant=tenant, sha256=key_digest(key), starts=first_characters(key), **values))
    return line.id, key


def rotated(keys: ApiKeys, key_id: str, overlap: timedelta, tenant: str | None = None) -> tuple[Any, Any, str]:
    key = new_key()
    digests = {"sha256": key_digest(key), "starts": first_characters(key)}
    found = keys.rotate(tenant, key_id, **digests, overlap=overlap, by="desk")
    assert found
    return (*found, key)


def test_a_key_is_found_by_its_digest_with_all_that_it_may_do(keys: ApiKeys) -> None:
    """And listed without the digest."""
    ends_at = datetime.now(UTC) + timedelta(days=1)
    key_id, key = add(keys, scopes=("archive", "inbox:ada@acme.test"), ends_at=ends_at)

    holder, line = keys.holder(key_digest(key)), keys.find("acme", key_id)

    assert holder == Holder("shop", "acme", ("archive", "inbox:ada@acme.test"), ends_at)
    assert holder is not None
    assert holder.key_id == key_id
    assert line is not None
    assert (line.starts, line.made_by, line.state, line.last_used_at) == (key[:8], "cli", KeyState.ACTIVE, None)
    assert keys.holder(key_digest(new_key())) is None
    assert keys.holder(key) is None


def test_a_revoked_or_ended_key_is_as_unknown(keys: ApiKeys) -> None:
    """At the next look-up: nothing is cached. Who revoked it stays as it was."""
    key_id, key = add(keys)
    _, over = add(keys, ends_at=datetime.now(UTC) - timedelta(seconds=1))

    first, again = (keys.revoke(tenant, key_id, by=by) for tenant, by in (("acme", "desk"), (None, "cli")))

    assert keys.holder(key_digest(key)) is None
    assert keys.holder(key_digest(over)) is None
    assert first is not None
    assert (first.state, first.revoked_by) == (KeyState.REVOKED, "desk")
    assert again == first


def test_no_tenant_sees_or_changes_anothers_key(keys: ApiKeys) -> None:
    """Nor a key of the installation; and malformed ids are as unknown ones."""
    ours, _ = add(keys)
    theirs, of_all = add(keys, "other"), add(keys, None, scopes=("administer",))

    assert [line.id for line in keys.all("acme", after=None, limit=9).lines] == [ours]
    assert {line.id for line in keys.all(None, after=None, limit=9).lines} == {ours, theirs[0], of_all[0]}
    for no_id in (theirs[0], of_all[0], "", "x", "' or 1=1 --", "\x00"):
        assert keys.find("acme", no_id) is None
        assert keys.revoke("acme", no_id, by="x") is None
        assert keys.rotate("acme", no_id, sha256="0", starts="", overlap=timedelta(0), by="x") is None
    assert keys.holder(key_digest(theirs[1])) == Holder("shop", "other", ("send",))


def test_pages_of_keys_join(keys: ApiKeys) -> None:
    """The newest first, each once."""
    made = [add(keys)[0] for _ in range(5)]

    seen, after = [], None
    while True:
        page = keys.all("acme", after=after, limit=2)
        seen += [line.id for line in page.lines]
        if (after := page.next) is None:
            break

    assert sorted(seen) == sorted(made)


def test_a_rotated_key_works_beside_the_new_one_for_the_overlap(keys: ApiKeys) -> None:
    """The new one has its name, tenant and scopes; an overlap of nothing ends the old one at once."""
    key_id, key = add(keys, scopes=("archive", "send"))

    new, old, secret = rotated(keys, key_id, timedelta(hours=24), "acme")

    assert keys.holder(key_digest(key)) is not None
    assert keys.holder(key_digest(secret)) == Holder("shop", "acme", ("archive", "send"))
    assert (new.made_by, new.ends_at, old.replaced_by) == ("desk", None, new.id)
    assert timedelta(hours=23) < old.ends_at - datetime.now(UTC) <= timedelta(hours=24)
    _, ended, _ = rotated(keys, new.id, timedelta(0))
    assert ended.state is KeyState.ENDED
    assert keys.holder(key_digest(secret)) is None


def test_a_rotation_neither_prolongs_the_old_key_nor_forgets_the_end(keys: ApiKeys) -> None:
    """A key for ten days is followed by one for ten days, and an overlap is not a longer life."""
    soon = datetime.now(UTC) + timedelta(days=10)
    key_id, _ = add(keys, ends_at=soon)

    new, old, _ = rotated(keys, key_id, timedelta(days=30))

    assert old.ends_at == soon
    assert abs(new.ends_at - new.created_at - timedelta(days=10)) < timedelta(minutes=1)


def test_only_an_active_key_is_rotated_and_once(keys: ApiKeys) -> None:
    """Two rotations at the same time must not leave a key that nobody knows of."""
    revoked, _ = add(keys)
    keys.revoke(None, revoked, by="cli")
    ended, _ = add(keys, ends_at=datetime.now(UTC) - timedelta(days=1))
    twice, _ = add(keys)
    rotated(keys, twice, timedelta(days=1))

    for key_id in (revoked, ended, twice):
        with pytest.raises(Conflict):
            rotated(keys, key_id, timedelta(days=1))
    assert len(keys.all(None, after=None, limit=9).lines) == 4


def test_a_tenant_has_a_bounded_number_of_live_keys(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that makes keys must not fill the table; ended and other tenants' keys do not count."""
    for module in (port, *(__import__(type(keys).__module__, fromlist=["x"]),)):
        monkeypatch.setattr(module, "MOST_LIVE", 2)
    first, _ = add(keys)
    add(keys, ends_at=datetime.now(UTC) - timedelta(days=1))
    add(keys, "other")
    add(keys)

    with pytest.raises(Conflict):
        add(keys)
    with pytest.raises(Conflict):
        rotated(keys, first, timedelta(0))
    keys.revoke(None, first, by="cli")
    add(keys)


def test_the_last_use_is_recorded_once_a_minute(keys: ApiKeys) -> None:
    """By all processes together: the database decides."""
    key_id, _ = add(keys)
    other, _ = add(keys)

    keys.used([key_id])
    first = keys.find(None, key_id)
    keys.used([key_id])

    assert first is not None
    assert first.last_used_at is not None
    assert abs(datetime.now(UTC) - first.last_used_at) < timedelta(minutes=5)
    assert keys.find(None, key_id) == first
    unused = keys.find(None, other)
    assert unused is not None
    assert unused.last_used_at is None


@pytest.fixture
def looked_up(engine: Engine) -> Callable[[str], bool]:
    """Return whether an earlier release would accept a key."""

    def found(key: str) -> bool:
        with engine.connect() as connection:
            return connection.execute(LOOKED_UP, {"sha256": key_digest(key)}).first() is not None

    return found


def test_a_key_made_by_hand_keeps_all_that_it_could_do(engine: Engine, looked_up: Callable[[str], bool]) -> None:
    """In this release and in earlier ones, which share the database while a new release is rolled out."""
    SqlInstallation(engine)
    keys = SqlApiKeys(engine)
    with engine.begin() as connection:
        connection.execute(BY_HAND, {"sha256": key_digest("by hand")})

    [line] = keys.all("acme", after=None, limit=9).lines

    assert keys.holder(key_digest("by hand")) == Holder("old", "acme", ("administer",))
    assert (line.scopes, line.starts, line.made_by) == (("administer",), None, None)
    keys.used([line.id])
    assert looked_up("by hand")
    keys.revoke("acme", line.id, by="cli")
    assert keys.holder(key_digest("by hand")) is None
    assert not looked_up("by hand")


def test_an_earlier_release_refuses_what_it_would_not_limit(engine: Engine, looked_up: Callable[[str], bool]) -> None:
    """It knows no scopes and no end, so a key for one inbox would be one for everything."""
    keys = SqlApiKeys(engine)
    key_id, key = add(keys)
    new, _, secret = rotated(keys, key_id, timedelta(days=1))

    assert keys.holder(key_digest(key)) is not None
    assert keys.holder(key_digest(secret)) is not None
    assert not looked_up(key)
    assert not looked_up(secret)
    assert new.scopes == ("send",)


@pytest.mark.parametrize("stored", ['"administer"', "{}", "[1, null]", "[]", '["everything"]', "5"])
def test_scopes_that_cannot_be_read_allow_nothing(engine: Engine, stored: str) -> None:
    """A row that was changed by hand, or by a later release: refused, not open."""
    keys = SqlApiKeys(engine)
    key_id, key = add(keys)
    with engine.begin() as connection:
        connection.execute(text("update api_key set scopes = cast(:stored as jsonb)"), {"stored": stored})

    holder = keys.holder(key_digest(key))

    assert holder is not None
    assert set(holder.scopes) <= {"everything"}
    assert keys.find(None, key_id) is not None
