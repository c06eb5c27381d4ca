"""R1, R2, R3, R9, R20: workers are killed, stopped or frozen at any point. No mail is lost, none is filed twice."""

import ast
import time
from itertools import pairwise
from signal import SIGSTOP, SIGTERM

import pytest

from mailroom.crash_points import EFFECTS, POINTS, RARE, SEALING, SENDING, SENDING_POINTS
from mailroom.sandbox.drills.drill import Drill
from mailroom.settings import CHECKOUT
from tests.support.faulty_stack import Range, eventually
from tests.support.patience import PATIENCE_S

#: Where a mail is in a task, or between two.
IN_TASKS = tuple(
    f"before {effect}"
    for effect in (
        "fetch",
        "unwrap",
        "commit of routed",
        "put",
        "commit of record",
        "commit of file",
        "commit of close",
    )
)

#: Where a worker may freeze, and go on when another has taken over.
FREEZING = ("before put", "before commit of record", "before commit of file", "before commit of close", "before delete")


def test_every_effect_has_its_two_crash_points_in_the_code() -> None:
    """The walk over all points proves something only if the list is exactly what the code has."""
    named: set[str] = set()
    for folder in ("deployments", "flows", "tasks", "mailroom"):
        for file in (CHECKOUT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text())):
                named |= _effects_of(call) if isinstance(call, ast.Call) else set()

    assert named == {*EFFECTS, *SENDING, *SEALING, *RARE}


@pytest.mark.timeout(600)
@pytest.mark.long
def test_r1_a_worker_killed_at_any_crash_point_loses_and_repeats_nothing(field: Range) -> None:
    """SIGKILL before and after every side effect and every commit; the drill fails for a point that nothing reaches."""
    drill = Drill(field.drill_stack, field.fork_server, seed=1, say=print)

    drill.kill_at_points(mails=1)
    outcome = drill.prove()

    assert set(outcome.points) == set(POINTS)
    assert outcome.is_clean, outcome.as_json()


@pytest.mark.long
@pytest.mark.parametrize(("workers", "kills"), [(1, 12), (3, 18)], ids=["r2-one-worker", "r3-three-workers"])
def test_random_kills_lose_and_repeat_nothing(field: Range, workers: int, kills: int) -> None:
    """The short form of R2 and R3; `make drill` is the long one."""
    drill = Drill(field.drill_stack, field.fork_server, seed=workers, say=print)

    drill.kill_at_random(kills=kills, seconds=300, workers=workers, in_hand=6)
    outcome = drill.prove(workers=workers)

    assert outcome.kills >= kills
    assert outcome.is_clean, outcome.as_json()


@pytest.mark.long
def test_r9_a_worker_that_froze_and_goes_on_after_another_took_over_changes_nothing(field: Range) -> None:
    """A paused machine does not know that its lease expired: its late writes must not count a second time."""
    sent, frozen = [], []
    for number, point in enumerate(FREEZING, start=len(_struck(field)) + 1):
        sent += field.drill_stack.send(1)
        frozen.append(field.fork(crash=point, blow=SIGSTOP, limit=1))
        eventually(lambda number=number: len(_struck(field)) >= number, f"a worker froze {point}")
    field.ready()
    field.drill_stack.drain(sent, within_s=PATIENCE_S)

    for worker in frozen:
        worker.wake()
    for worker in frozen:
        worker.stop()

    assert all(worker.wait(within_s=PATIENCE_S) for worker in frozen)
    field.proves(sent)


@pytest.mark.long
def test_r20_a_worker_stopped_in_any_task_ends_in_time_and_releases_its_mails(field: Range) -> None:
    """Deployments stop workers all day; orchestrators allow ten seconds."""
    sent = field.drill_stack.send(2)
    for number, point in enumerate(IN_TASKS, start=len(_struck(field)) + 1):
        sent += field.drill_stack.send(1)
        worker = field.fork(crash=point, blow=SIGTERM)
        assert worker.wait_ready(within_s=PATIENCE_S)
        eventually(lambda number=number: len(_struck(field)) >= number, f"a worker is stopped {point}")
        assert worker.wait(within_s=10), f"it did not stop within 10 s after SIGTERM {point}"

    field.ready()

    field.proves(sent)


def test_r20_a_worker_stopped_while_it_starts_ends_too(field: Range) -> None:
    """A deployment that is rolled back at once must not leave a worker behind."""
    for pause_s in (0.0, 0.2, 0.4):
        worker = field.fork()
        time.sleep(pause_s)
        worker.stop()
        assert worker.wait(within_s=30), f"it did not stop after SIGTERM {pause_s} s after its start"


def _struck(field: Range) -> list[str]:
    return field.fork_server.deaths()


def _effects_of(call: ast.Call) -> set[str]:
    """Return the effect that a call of crash_point or a transaction names; a crash point must come as a pair, before and after."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    words = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    if name in ("transaction", "statement", "within", "transact") and words:
        return {words[0]}
    return {words[1]} if name == "crash_point" and len(words) == 2 else set()


def test_crash_points_come_in_pairs() -> None:
    """Dying before an effect and dying after it leave different states."""
    assert [
        (one.removeprefix("before "), other.removeprefix("after "))
        for one, other in list(pairwise(POINTS + SENDING_POINTS))[::2]
    ] == [(effect, effect) for effect in EFFECTS + SENDING]
