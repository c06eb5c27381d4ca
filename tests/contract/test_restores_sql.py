"""A restored database on a real PostgreSQL, by pg_restore and by hand: nothing is sent twice."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.operations import restores
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import DailyQuota, TransientError
from mailroom.domain.outbound.message import ResendPolicy, Status
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.dispatch import Outcome
from mailroom.ports.holds import HoldReason
from mailroom.ports.provider import ProviderReceipt
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.testing.counter import MemoryCounter
from mailroom.testing.notices import an_event
from tests.support.restored_installation import Installation, Process
from tests.support.sending import office_on
from tests.support.tampering import owner_of

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

Restore = Callable[[Installation, Path], None]

_BY_HAND = "rows of batches put back by plain SQL"
#: The tables of outbound mail alone: a restore by hand may leave the installation's own row as it is.
ROWS = ("outbox", "activity", "message", "content", "batch")
WAYS: dict[str, Restore] = {
    "pg_restore into a fresh database": Installation.restore_fresh,
    "pg_restore over the same database": Installation.restore_over,
    "all rows put back by plain SQL": Installation.put_back,
    _BY_HAND: lambda installation, file: installation.put_back(file, tables=ROWS),
}


@pytest.fixture
def installation(postgres: Postgres, database_url: str) -> Iterator[Installation]:
    made = Installation(postgres.url("postgres"), database_url)
    yield made
    made.drop()


def scheduled(process: Process) -> str:
    """Three messages for later."""
    return process.office.batch(3, now=NOW, send_at=NOW + HOUR)


def being_sent(process: Process) -> str:
    """Of six messages three are dispatched and one is at the provider; two wait."""
    batch_id, dispatch = process.office.batch(6, now=NOW), process.office.outbound.dispatch
    claims = dispatch.claim(batch_id, most=4, provider="memory", now=NOW)
    process.given(claims)
    dispatch.settle([Outcome(one.draft.id, 1, ProviderReceipt("memory", one.draft.id)) for one in claims[:3]], now=NOW)
    return batch_id


def deferred(process: Process) -> str:
    """Three messages deferred because the provider's daily quota is used up."""
    batch_id, dispatch = process.office.batch(3, now=NOW), process.office.outbound.dispatch
    claims = dispatch.claim(batch_id, most=3, provider="memory", now=NOW)
    dispatch.settle([Outcome(one.draft.id, 1, DailyQuota("over"), NOW + HOUR) for one in claims], now=NOW)
    return batch_id


def at_the_provider(process: Process) -> str:
    """One message with an open outcome, of a batch with the policy `prefer_delivery`."""
    batch_id = process.office.batch(1, now=NOW, policy=ResendPolicy.PREFER_DELIVERY)
    process.given(process.office.outbound.dispatch.claim(batch_id, most=1, provider="memory", now=NOW))
    return batch_id


def receipts(process: Process, batch_id: str) -> list[Outcome]:
    """Return the provider's responses for the batch's messages that are at the provider."""
    open_ = f"select id::text from message where batch_id = '{batch_id}' and status = 'sending'"
    return [Outcome(one, 1, ProviderReceipt("memory", one)) for one in process.office.values(open_)]


#: How many messages of each batch are held after a restore.
STATES = {scheduled: 3, being_sent: 2, deferred: 3, at_the_provider: 1}


@pytest.mark.parametrize("beneath", [False, True], ids=["processes restarted", "beneath running processes"])
@pytest.mark.parametrize("way", WAYS)
def test_a_restore_sends_nothing_twice(installation: Installation, tmp_path: Path, way: str, beneath: bool) -> None:
    """What waited in the dump was sent after it; relay, sweep and run all find it waiting again."""
    if beneath and way == "pg_restore into a fresh database":
        pytest.skip("a running process keeps its database")
    with installation.process() as process:
        # Restored by hand, a message at the provider looks like one of a dead worker: its policy sends it again.
        states = {state: held for state, held in STATES.items() if way != _BY_HAND or state is not at_the_provider}
        batches = {state(process): held for state, held in states.items()}
        file = installation.dump(tmp_path)
        for batch_id in batches:
            process.office.outbound.dispatch.settle(receipts(process, batch_id), now=NOW)
        process.work(NOW + 2 * HOUR)
        sent = len(installation.provider.accepted)
        assert installation.values("select distinct status from message") == [Status.DISPATCHED]
        if beneath:
            WAYS[way](installation, file)
            process.work(NOW + 2 * DAY)
    if not beneath:
        WAYS[way](installation, file)
    with installation.process() as process:
        for days in (2, 3):
            process.work(NOW + days * DAY)

        assert (installation.twice(), len(installation.provider.accepted)) == (0, sent)
        held = process.outbox.held(None, limit=10)
        assert {one.id: one.messages for one in held} == batches
        assert {one.reason for one in held} == {HoldReason.RESTORED}

        later = process.office.batch(2, now=NOW + 3 * DAY)
        process.work(NOW + 3 * DAY)
        assert len(installation.provider.accepted) == sent + 2, "what is accepted after it goes normally"
        for batch_id, messages in batches.items():
            before = installation.twice()
            process.outbox.resume(None, batch_id, by="ada", now=NOW + 3 * DAY)
            process.work(NOW + 3 * DAY)
            assert installation.twice() == before + messages, "only a person's word sends them again"
        assert later not in batches


def restored(installation: Installation, folder: Path) -> str:
    """Send a scheduled batch of three after a dump, restore the dump by hand, and return the batch's id."""
    with installation.process() as process:
        batch_id = scheduled(process)
        file = installation.dump(folder)
        process.work(NOW + 2 * HOUR)
    installation.put_back(file)
    return batch_id


def test_what_the_provider_reports_settles_what_is_held(installation: Installation, tmp_path: Path) -> None:
    """An event after the restore proves that the mail went before it; a resume leaves it out."""
    batch_id = restored(installation, tmp_path)
    with installation.process() as process:
        first = str(process.office.values("select id from message where number = 0")[0])

        SqlEvents(process.office.engine).record([an_event(Kind.DELIVERED, message_id=first)], now=NOW)

        assert process.office.statuses() == [Status.DELIVERED, Status.HELD, Status.HELD]
        process.outbox.resume(None, batch_id, by="ada", now=NOW + 3 * DAY)
        process.work(NOW + 3 * DAY)
        assert Counter(installation.provider.accepted)[first] == 1


def test_an_answer_that_comes_after_a_restore_settles_its_message(installation: Installation, tmp_path: Path) -> None:
    """The provider was called before the restore and responds after it: this database has no such attempt."""
    with installation.process() as process:
        batch_id, dispatch = process.office.batch(2, now=NOW), process.office.outbound.dispatch
        file = installation.dump(tmp_path)
        [claim] = dispatch.claim(batch_id, most=1, provider="memory", now=NOW)
        installation.restore_over(file)

        dispatch.settle([Outcome(claim.draft.id, 1, ProviderReceipt("memory", claim.draft.id))], now=NOW)

        assert dispatch.claim(batch_id, most=2, provider="memory", now=NOW) == []
        assert process.office.statuses() == [Status.DISPATCHED, Status.HELD]
        assert process.office.values("select handed_at is not null from message order by number") == [True, False]


def test_two_processes_that_find_it_at_once_hold_once(
    installation: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Worker and API start together after a restore; each message has one hold, and one line is logged."""
    with installation.process() as process:
        scheduled(process)
        file = installation.dump(tmp_path)
    installation.restore_over(file)
    engine = make_engine(installation.url)
    looks = [SqlRestores(engine, installation.counter) for _ in range(4)]

    with ThreadPoolExecutor(4) as both:
        found = [one for one in both.map(lambda one: one.look(), looks) if one]

    engine.dispose()
    assert [(one.batches, one.messages) for one in found] == [(1, 3)]
    assert installation.values("select count(*) from activity where kind = 'held'") == [3]
    assert [record.levelname for record in caplog.records if "was restored" in record.message] == ["WARNING"]


def test_a_kill_between_holding_and_writing_outside_changes_nothing(installation: Installation, tmp_path: Path) -> None:
    """The database is ahead of the counter outside then, which is no restore; what was resumed since continues."""
    batch_id = restored(installation, tmp_path)
    memory = installation.counter
    assert isinstance(memory, MemoryCounter)
    memory.values = OnlyRead(memory.values)
    with installation.process() as process:
        assert process.office.statuses() == [Status.HELD] * 3
        process.outbox.resume(None, batch_id, by="ada", now=NOW + 2 * HOUR)
    memory.values = dict(memory.values)

    with installation.process() as process:
        assert process.office.statuses() == [Status.QUEUED] * 3


class OnlyRead(dict[str, int]):
    """The counter of a process that is killed before it writes: nothing is stored."""

    def __setitem__(self, name: str, value: int) -> None:
        """Store nothing."""


def test_a_counter_that_is_lost_is_no_restore(installation: Installation) -> None:
    """The sandbox's emulator forgets it at `mailroom down`; the mail of the next morning must be sent."""
    with installation.process() as process:
        scheduled(process)
    installation.counter = MemoryCounter()

    with installation.process() as process:
        process.work(NOW + 2 * HOUR)

        assert process.office.statuses() == [Status.DISPATCHED] * 3


def test_a_process_that_never_read_the_counter_sends_nothing(installation: Installation) -> None:
    """It cannot rule out a restore; its messages stay due, and are sent once the counter is reachable."""
    memory = installation.counter
    assert isinstance(memory, MemoryCounter)
    with installation.process() as process:
        scheduled(process)
    memory.down = True

    with installation.process() as process:
        with pytest.raises(TransientError):
            process.work(NOW + 2 * HOUR)
        assert process.office.statuses() == [Status.ACCEPTED] * 3
        memory.down = False
        process.work(NOW + 2 * HOUR)

        assert process.office.statuses() == [Status.DISPATCHED] * 3
        memory.down = True
        process.office.batch(1, now=NOW)
        process.work(NOW + 2 * HOUR)
        assert len(installation.provider.accepted) == 4, "an outage of what was read before stops nothing"


def test_the_restore_check_needs_no_more_rights_than_the_tables(installation: Installation) -> None:
    """Managed databases give nobody a superuser."""
    with installation.process() as process:
        scheduled(process)
    with psycopg.connect(owner_of(installation.url), autocommit=True) as connection:
        connection.execute("drop role if exists plain; create role plain login password 'plain'")
        connection.execute(
            "grant all on all tables in schema public to plain; grant all on all sequences in schema public to plain"
        )
    SqlRestores._seen.clear()
    engine = make_engine(installation.url.replace(installation.url.split("//")[1].split("@")[0], "plain:plain"))

    SqlRestores(engine, installation.counter).advance()

    engine.dispose()
    assert installation.values("select count(*) from message where status = 'held'") == [0]


def test_the_counter_advances_once_for_all_batches_of_a_few_seconds(installation: Installation) -> None:
    """Each advance is two S3 calls: a batch of one message must not pay for them each time."""
    with installation.process(beat_s=60) as process:
        before = process.restores.counter()
        for _ in range(5):
            process.office.batch(3, now=NOW)
        process.work(NOW)

        assert len(installation.provider.accepted) == 15
        assert process.restores.counter() == before


def test_what_was_claimed_last_is_followed_by_an_advance(installation: Installation) -> None:
    """Otherwise a dump between the last advance and the last claim would not be behind."""
    with installation.process() as process:
        process.office.batch(3, now=NOW)
        process.work(NOW)
        before = process.restores.counter()

        settle_unknown(process.office.outbound, now=NOW)
        assert process.restores.counter() == before + 1
        settle_unknown(process.office.outbound, now=NOW)
        assert process.restores.counter() == before + 1


def test_an_upgrade_holds_nothing(installation: Installation) -> None:
    """What waited before this version has no identity and no counter yet; the first process adds both."""
    engine = make_engine(installation.url)
    with office_on(engine) as office:
        office.batch(3, now=NOW)
    engine.dispose()

    with installation.process() as process:
        assert process.office.statuses() == [Status.ACCEPTED] * 3
        assert process.restores.name() is not None


def test_a_row_of_the_installation_that_is_gone_is_a_restore(installation: Installation) -> None:
    """Somebody emptied tables and restored others; what waits is not what was known."""
    with installation.process() as process:
        scheduled(process)
    with psycopg.connect(installation.url, autocommit=True) as connection:
        connection.execute("delete from installation")

    with installation.process() as process:
        assert process.office.statuses() == [Status.HELD] * 3


def test_a_server_that_does_not_say_its_timeline_is_known_by_its_tables(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some managed servers refuse these functions; a refusal must not stop the mail, nor hide a restore."""
    monkeypatch.setattr(restores, "_IDENTITIES", ("no_such_function()", restores._IDENTITIES[-1]))
    with installation.process() as process:
        scheduled(process)
        file = installation.dump(tmp_path)
        process.work(NOW + 2 * HOUR)
    installation.counter = MemoryCounter()
    installation.restore_over(file)

    with installation.process() as process:
        assert process.office.statuses() == [Status.HELD] * 3


def test_a_dump_that_is_far_behind_is_recognised_once(installation: Installation, tmp_path: Path) -> None:
    """After days of sending, what a person resumed must not be held again by the first worker."""
    memory = installation.counter
    assert isinstance(memory, MemoryCounter)
    with installation.process() as process:
        batch_id = scheduled(process)
        file = installation.dump(tmp_path)
        memory.raise_to(str(process.restores.name()), 50_000)
    installation.restore_over(file)
    SqlRestores._seen.clear()
    engine = make_engine(installation.url)
    SqlRestores(engine, memory).recognise(because="mailroom restore")
    SqlOutbox(engine).resume(None, batch_id, by="ada", now=NOW)
    engine.dispose()

    with installation.process() as process:
        assert process.office.statuses() == [Status.SCHEDULED] * 3


def test_what_was_held_for_its_run_in_the_dump_is_held_for_the_restore(
    installation: Installation, tmp_path: Path
) -> None:
    """It was resumed after the dump and sent; "its run is gone" would mislead a person into sending it again."""
    with installation.process() as process:
        process.outbox.hold([scheduled(process)], reason=HoldReason.RUN_GONE, now=NOW)
        file = installation.dump(tmp_path)
    installation.restore_over(file)

    with installation.process() as process:
        held = process.outbox.held(None, limit=10)

        assert [(one.reason, one.messages) for one in held] == [(HoldReason.RESTORED, 3)]


def test_a_server_that_denies_its_timeline_stops_no_mail(installation: Installation) -> None:
    """Managed servers revoke these functions; mail need not wait until somebody grants them."""
    with psycopg.connect(owner_of(installation.url), autocommit=True) as connection:
        connection.execute("revoke execute on function pg_control_system() from public")
        connection.execute("create role denied login password 'denied'")
        connection.execute(
            "grant all on all tables in schema public to denied; grant all on all sequences in schema public to denied"
        )
    owner, installation.url = (
        installation.url,
        installation.url.replace(installation.url.split("//")[1].split("@")[0], "denied:denied"),
    )

    with installation.process() as process:
        scheduled(process)
        process.work(NOW + 2 * HOUR)

        assert process.office.statuses() == [Status.DISPATCHED] * 3
    installation.url = owner
