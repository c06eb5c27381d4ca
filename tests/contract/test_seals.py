"""Sealing on PostgreSQL and S3, and what the verifier says afterwards."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from mailroom.archive.sealing import give_to_witness, seal_journal, seal_journals, stamp_seals
from mailroom.audit.journals import Status
from mailroom.domain.archive.seals import key_of
from mailroom.domain.errors import PermanentError
from tests.support.archive_store import store_on
from tests.support.sealed_journals import Installation, failures, waiting
from tests.support.tampering import tampering

DAY = timedelta(days=1)


@pytest.fixture
def one(emulator: str, engine: Engine) -> Installation:
    return Installation(store_on(emulator, engine), store_on(emulator, engine))


def now() -> datetime:
    return datetime.now(UTC)


def sealed(one: Installation, *batches: tuple[str, ...], at: datetime | None = None) -> None:
    """Append each batch of entries, and run the flow's steps after it."""
    for batch in batches:
        one.append(*batch)
        run(one, at)


def run(one: Installation, at: datetime | None = None) -> list[str]:
    """Run the steps of the flow, and return what failed."""
    one.clock, moment = at, at or now()
    steps = (seal_journals, stamp_seals, give_to_witness)
    return [why for step in steps for why in step(one.ports, now=moment).failed]


def test_a_journal_is_sealed_stamped_and_witnessed_and_the_verifier_agrees(one: Installation) -> None:
    """The whole: three seals, each with a token and at the witness; the archive has the entries themselves."""
    sealed(one, ("a", "b"), ("c",), ("d", "e", "f"))

    checks = one.check()

    assert failures(checks) == set()
    assert waiting(checks) == set()
    assert sorted(one.objects()) == sorted(one.objects("token")) == sorted(one.objects("entries")) == [1, 2, 3]
    assert one.objects(of=one.witness) == one.objects()
    assert {version["Key"] for version in one.store.versions()} >= {key_of("acme", "life", 3)}


def test_every_object_of_a_seal_is_locked(one: Installation) -> None:
    """A seal that can be replaced is no evidence."""
    sealed(one, ("a",))

    for version in one.store.versions():
        kept = one.store.s3.get_object_retention(
            Bucket=one.store.bucket, Key=version["Key"], VersionId=version["VersionId"]
        )
        assert kept["Retention"]["Mode"] == "GOVERNANCE"


def test_an_idle_journal_is_sealed_once_a_day_and_seals_cause_no_further_seals(one: Installation) -> None:
    """A seal of `life` is an entry of `operations`; a seal of `operations` is none, else there would be one each hour for ever."""
    sealed(one, ("a",))
    before = len(one.rows(stream="operations"))
    for hour in range(3):
        run(one, now().replace(hour=12) + DAY + hour * timedelta(hours=1))

    assert sorted(one.objects()) == [1, 2]
    assert sorted(one.objects(journal="acme/operations")) == [1, 2]
    assert (before, len(one.rows(stream="operations"))) == (1, 2)
    assert failures(one.check(now=now() + 2 * DAY)) == set()


def test_entries_since_the_last_seal_are_named(one: Installation) -> None:
    """They are no failure, and not proven either."""
    sealed(one, ("a",))
    one.append("b", "c")

    found = [check for check in one.check() if check.name == "journal_sealed"]

    assert [(check.subject, check.status) for check in found] == [("acme/life/2", "NOT_YET_SEALED")]


def test_a_journal_without_a_seal_passes_no_check_of_seals(one: Installation) -> None:
    """What was not compared must not look proven; without entries there is nothing to say."""
    assert one.check(seals={}) == [check for check in one.check() if check.name.startswith("journal_")]
    one.append("a", "b")

    checks = [check for check in one.check() if not check.name.startswith("journal_") or check.name == "journal_sealed"]

    assert [(check.name, check.status, check.detail) for check in checks] == [
        ("journal_sealed", Status.NOT_YET_SEALED, "2 entries, and no seal yet")
    ]


def test_a_check_that_was_not_made_does_not_pass(one: Installation) -> None:
    """Without a witness there is nobody to agree with, and without reading no sealed entries were compared."""
    sealed(one, ("a", "b"), ("c",))

    names = {check.name for check in one.check(witnessed=None, entries=None)}

    assert {check.name for check in one.check()} - names == {"seal_witness", "seal_entries"}


def test_sealed_entries_that_are_gone_are_named(one: Installation) -> None:
    """From them the journal is read when the database is lost; those of the newest seal may be on their way."""
    sealed(one, ("a",), ("b",))
    entries = one.objects("entries")

    assert ("seal_entries", "acme/life/seal/1") in failures(one.check(entries={2: entries[2]}))
    assert failures(one.check(entries={1: entries[1]})) == set()
    assert waiting(one.check(entries={1: entries[1]})) == {"seal_entries"}


def test_two_runs_at_once_make_one_seal_of_each_number(one: Installation) -> None:
    """The archive decides: its key is written once."""
    one.append(*map(str, range(20)))
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(seal_journal, "acme", "life", one.ports, now=now()) for _ in range(4)]
        assert sum(each.result() for each in done) == 1

    one.append("later")
    seal_journal("acme", "life", one.ports, now=now())
    assert len(one.store.versions()) == 4
    assert sorted(one.objects()) == [1, 2]
    assert failures(one.check()) == set()


def test_an_older_database_is_never_sealed_over(one: Installation) -> None:
    """A backup was restored: the archive has seals that the journal does not have, and it gets no other ones."""
    sealed(one, ("a", "b"), ("c",), ("d",))
    one.restored_to(seals=1, entries=2)
    one.append("x")

    failed = run(one)

    assert any("older database" in why for why in failed)
    assert sorted(one.objects()) == [1, 2, 3]
    checks = one.check()
    assert ("journal_length", "acme/life/seal/3") in failures(checks)
    assert ("seal_entries", "acme/life/3") in failures(checks)


def test_a_shorter_journal_that_agrees_is_named_as_shorter(one: Installation) -> None:
    """The tail is gone: "log shorter than witnessed"."""
    sealed(one, ("a", "b"), ("c",))
    one.restored_to(seals=1, entries=2)

    [failed] = run(one, now() + DAY)[:1]

    assert "shorter than the archive's seals" in failed
    assert ("journal_length", "acme/life/seal/2") in failures(one.check())


def test_an_altered_entry_is_not_sealed(one: Installation) -> None:
    """A seal must not make an alteration respectable."""
    one.append("a", "b")
    one.as_administrator('update journal set payload = \'{"kind":"deposit","subject":"z"}\' where seq = 2')

    with pytest.raises(PermanentError, match="altered"):
        seal_journal("acme", "life", one.ports, now=now())
    assert one.objects() == {}


def test_an_altered_record_of_a_seal_is_not_continued(one: Installation) -> None:
    """The peaks lead to the root that was signed, or nothing is sealed."""
    sealed(one, ("a", "b", "c"))
    one.as_administrator("update seal set peaks = decode(repeat('00', 64), 'hex')")
    one.append("d")

    assert any("record of a seal was altered" in why for why in run(one))


def test_a_failing_journal_stops_no_other(one: Installation) -> None:
    """One tenant's damage is not another's."""
    one.append("a", tenant="acme")
    one.append("b", tenant="zenith")
    one.as_administrator("update journal set payload = '{\"kind\":\"x\"}' where tenant = 'acme'")

    outcome = seal_journals(one.ports, now=now())

    assert sorted(one.objects(journal="zenith/life")) == [1]
    assert [why.partition(":")[0] for why in outcome.failed] == ["acme/life"]


def test_a_clock_that_goes_back_makes_no_seal_from_before_the_last(one: Installation) -> None:
    """Mutation 96."""
    sealed(one, ("a",))
    sealed(one, ("b",), at=now() - DAY)

    assert failures(one.check()) == set()


def test_a_machine_that_was_a_day_ahead_and_is_corrected_goes_on_sealing(one: Installation) -> None:
    """Mutation 96, of the database's clock and ours at once; the authority has the right time, so that tokens wait until it is reached."""
    one.append("a")
    one.made_later(DAY)
    ahead = [seal_at(one, now() + DAY), one.records.lag().unstamped]
    one.append("b")
    back = seal_at(one, now())
    checks = one.check()

    [later] = {row.at for row in one.rows()}
    payloads = [json.loads(row.payload) for row in one.rows()]
    assert ahead[1] is not None
    assert "no time stamping authority" in "".join([*ahead[0], *back])
    assert [payload["kind"] for payload in payloads] == ["deposit", "clock_back", "deposit"]
    assert later > now().timestamp() * 1_000_000
    assert (failures(checks), waiting(checks)) == (set(), {"seal_token"})

    one.append("c")
    assert run(one, now() + DAY + timedelta(hours=1)) == []
    checks = one.check(now=now() + 2 * DAY)
    assert (failures(checks), waiting(checks), sorted(one.objects())) == (set(), set(), [1, 2, 3])


def seal_at(one: Installation, at: datetime) -> list[str]:
    """Run the steps of the flow where the machine's clock shows `at`, and the authority's the right time."""
    one.clock = None
    return [why for step in (seal_journals, stamp_seals, give_to_witness) for why in step(one.ports, now=at).failed]


def test_an_authority_that_is_away_for_a_day_delays_tokens_only(one: Installation) -> None:
    """Seals are made, signed and witnessed; their tokens follow, and until then nothing says PASS for them."""
    one.is_away, began = True, now()
    for number, hour in enumerate((0, 6, 12, 18, 24), start=1):
        sealed(one, (str(hour),), at=began + timedelta(hours=hour))
        checks = one.check(now=began + timedelta(hours=hour))
        assert (failures(checks), waiting(checks)) == (set(), {"seal_token"})
        # The first that cannot be had ends the step: each of a thousand would wait for the same timeout.
        assert one.asked == number
    lag = one.records.lag()
    assert (lag.unsealed, lag.unstamped) == (None, one.records.unstamped(limit=1)[0].seal.sealed_at)
    assert sorted(one.objects(of=one.witness)) == [1, 2, 3, 4, 5]
    assert one.objects("token") == {}

    one.is_away = False
    assert run(one, began + timedelta(hours=25)) == []

    assert one.records.lag().unstamped is None
    assert sorted(one.objects("token")) == [1, 2, 3, 4, 5]
    checks = one.check(now=began + timedelta(hours=25))
    assert (failures(checks), waiting(checks)) == (set(), set())


def test_a_token_of_another_process_is_taken_over(one: Installation) -> None:
    """Two runs at once get two tokens: the archive keeps one, and the record is of that one."""
    one.append("a")
    seal_journals(one.ports, now=now())
    stamp_seals(one.ports, now=now())
    one.as_administrator("delete from seal_token")

    assert stamp_seals(one.ports, now=now()).failed == []
    assert one.records.token("acme", "life", 1) == one.objects("token")[1]
    assert failures(one.check()) == set()


def test_what_lies_under_the_key_of_a_token_and_is_none_is_reported(one: Installation) -> None:
    """Who may write to the bucket may be first; the seal stays without a token, and later ones cover it."""
    one.append("a")
    seal_journals(one.ports, now=now())
    one.store.put(key_of("acme", "life", 1, "token"), b"[]")

    [failed] = stamp_seals(one.ports, now=now()).failed

    assert "no token" in failed


@pytest.mark.parametrize("body", [b"[]", b"{}", b"\xff", b'{"format":"mailroom.seal","seal":"{}","signature":""}'])
def test_what_lies_under_the_key_of_the_next_seal_and_is_none_stops_sealing(one: Installation, body: bytes) -> None:
    """It is reported each hour until a person has found out who wrote it."""
    sealed(one, ("a",))
    one.store.put(key_of("acme", "life", 2), body)
    one.append("b")

    assert any("acme/life" in why for why in run(one))
    assert one.objects()[2] == body


def test_a_witness_that_saw_another_journal_is_a_failure(one: Installation) -> None:
    """The archive and the database may both be replaced by who owns them; the witness is another's."""
    one.append("a")
    one.witness.put(key_of("acme", "life", 1), b"another")

    assert any("witness has another seal" in why for why in run(one))
    assert ("seal_witness", "acme/life/seal/1") in failures(one.check())


def test_seals_of_a_month_and_a_year_ago_are_named(one: Installation) -> None:
    """So that ten years are walked in few steps."""
    began = now()
    one.append("a")
    for days in (0, 20, 40, 390, 400):
        seal_journals(one.ports, now=began + days * DAY)
    last = one.records.last("acme", "life")

    assert last is not None
    assert (last.seal.previous, last.seal.month, last.seal.year) != (None, None, None)
    links = [last.seal.previous, last.seal.month, last.seal.year]
    assert [link.number for link in links if link] == [4, 3, 2]


def test_rows_of_seals_cannot_be_changed(one: Installation) -> None:
    """The application may not, and a mistake of the owner is refused."""
    sealed(one, ("a",))
    for table in ("seal", "seal_token", "seal_witness"):
        for statement in (f"update {table} set number = 7", f"delete from {table}", f"truncate {table}"):
            with one.store.engine.begin() as connection, pytest.raises(DBAPIError, match="permission denied"):
                connection.exec_driver_sql(statement)
            with pytest.raises(DBAPIError, match="never changed"), tampering(one.store.engine, triggers=True) as owner:
                owner.exec_driver_sql(statement)
