"""R5, R6, R18: Prefect and PostgreSQL fail, come back, or run out of disk. Mail waits; none is lost."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from mailroom.sandbox.stack.folder import DataFolder, read_json
from mailroom.sandbox.stack.ports import any_free_port
from mailroom.sandbox.stack.stack import Stack
from mailroom.sandbox.stand_ins.fault_proxy import Fault
from mailroom.settings import CHECKOUT
from tests.support.faulty_stack import Range, eventually
from tests.support.patience import PATIENCE_S

#: Before the pause and after it; a message whose heartbeat came late may be received once more.
MOST_RECEIVES = 3

#: The visibility timeout is four seconds here: a message that is received again and again would be so forty times.
ABSENT_S = 180


@pytest.mark.long
@pytest.mark.timeout(600)
def test_r5_mail_waits_while_prefect_is_absent_for_minutes(field: Range) -> None:
    """An outage must use up no receive counts: no mail may end as a dead letter. `tests/e2e` has the
    short form, with S3 and PostgreSQL."""
    worker = field.ready()
    sent = field.drill_stack.send(4)
    with field.absent("prefect"):
        sent += field.drill_stack.send(10)
        time.sleep(ABSENT_S / 2)
        sent += field.drill_stack.send(10)
        time.sleep(ABSENT_S / 2)
        receives = max(field.receives_of(sent))

    field.proves(sent)
    assert receives <= MOST_RECEIVES
    assert worker.is_alive()


@pytest.mark.long
def test_r5_a_prefect_server_that_is_killed_and_started_again_is_found_again(field: Range) -> None:
    """The runs in progress belong to a server that died; their mails are filed all the same, once."""
    proxy = field.proxies["prefect"]
    usual = proxy.upstream_port
    try:
        with second_server(field) as (server, port):
            proxy.upstream_port = port
            field.ready()
            sent = field.drill_stack.send(6)
            eventually(lambda: proxy.calls["POST create_flow_run"] > 2, "runs are under way")
            server.kill()
            server.wait()
            sent += field.drill_stack.send(2)
        with second_server(field) as (_, port):
            proxy.upstream_port = port
            field.proves(sent)
            field.clear()
    finally:
        proxy.upstream_port = usual


def test_r6_postgres_that_crashes_and_recovers_loses_nothing(field: Range) -> None:
    """A backend that is killed makes PostgreSQL end every connection and recover from its log."""
    field.ready()
    sent = field.drill_stack.send(8)
    for _ in range(3):
        _crash_postgres(field)
        sent += field.drill_stack.send(2)

    field.proves(sent)


def test_r6_commits_whose_outcome_is_unknown_are_repeated_without_harm(field: Range) -> None:
    """The connection is cut after COMMIT was sent and before its answer came: it is written, and the worker cannot know."""
    field.ready(beat_s=0.3)
    sent = []
    for nth in range(1, 13):
        with field.failing("sql", Fault("answer lost", "COMMIT", nth=nth, times=1)) as fault:
            sent += field.drill_stack.send(1)
            eventually(lambda fault=fault: fault.fired, f"commit {nth} was lost")

    field.proves(sent)


def test_r18_a_full_disk_of_the_database_keeps_mail_in_the_queue(field: Range) -> None:
    """PostgreSQL refuses commits with 53100 until there is room again; nothing is acknowledged meanwhile."""
    worker = field.ready(beat_s=0.3)
    with field.failing("sql", Fault("disk full", "COMMIT")) as fault:
        sent = field.drill_stack.send(4)
        eventually(lambda: fault.fired > 10, "commits are refused")
        assert field.drill_stack.unfinished(sent) == [one.message_id for one in sent]
        assert field.drill_stack.depth() > 0

    field.proves(sent)
    assert worker.is_alive()


@contextmanager
def second_server(field: Range) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Have another Prefect server on the same database for the length of a block; the stack's own may not be killed."""
    stack = Stack(DataFolder(field.drill_stack.folder), read_json(field.drill_stack.folder / "ports.json"))
    part = next(part for part in stack.parts() if part.name == "prefect")
    port = any_free_port()
    environment = {**stack.environment(), **part.env(), "PREFECT_SERVER_API_PORT": str(port)}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(part.command(), env=environment, cwd=CHECKOUT, stdout=quiet, stderr=quiet) as server:
        try:
            eventually(lambda: _answers(port), "the second server answers", within_s=PATIENCE_S)
            yield server, port
        finally:
            server.kill()


def _crash_postgres(field: Range) -> None:
    """Kill one backend; return when every connection was ended and new ones are taken."""
    with psycopg.connect(field.drill_stack.facts["database_owner_url"], autocommit=True) as mine:
        backend = mine.info.backend_pid
        others = "select pid from pg_stat_activity where datname = 'mailroom' and pid <> %s limit 1"
        [victim] = mine.execute(others, (backend,)).fetchone() or [backend]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not _works(mine), "every connection has ended")

    def is_back() -> bool:
        try:
            return bool(field.drill_stack.ask("select 1"))
        except psycopg.OperationalError:
            return False

    eventually(is_back, "PostgreSQL has recovered")


def _works(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=2).is_success
    except httpx.HTTPError:
        return False
