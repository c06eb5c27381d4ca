"""The result of a soak from its figures."""

import os
from pathlib import Path
from typing import Any

import pytest

from mailroom.audit.logs import KNOWN as ALWAYS_KNOWN
from mailroom.audit.logs import Known, check_logs, read_known
from mailroom.audit.report import Report
from mailroom.sandbox.drills.drill_archive import ArchiveResult
from mailroom.sandbox.drills.soak import KNOWN
from mailroom.sandbox.drills.soak_memory import EMULATOR, Growth, Memory
from mailroom.sandbox.drills.soak_outcome import SoakOutcome

MB = 1_000_000
CLEAN: dict[str, Any] = {
    "counts": {"mails": 10, "batches": 2},
    "planned": {"postgres": 1},
    "made": {"postgres": 1},
    "scheduled": {"watch": 3},
    "drained_s": 4.0,
    "backlog": {"mails": 0},
    "found": {"clean": True, "wrong": {}, "violations": []},
    "archive": ArchiveResult({"checks": {}, "results": []}, seals=1),
}


def samples(memory: Memory, name: str, held: Any, *, pid: int = 1, since: int = 0, seconds: int = 1800) -> None:
    """Add samples of a process: its MB, a number or a function of the second."""
    for at in range(since, since + seconds, 5):
        memory.series[name, pid].append((float(at), (held(at) if callable(held) else held) * MB))


def growth(memory: Memory, name: str, **restarted: int) -> Growth:
    [found] = [one for one in memory.growths(restarted=restarted, began=0.0) if one.name == name]
    return found


def test_a_soak_whose_bounds_all_hold_is_clean() -> None:
    """Exit code 0 and an empty list of reasons."""
    assert SoakOutcome(30, **CLEAN).reasons() == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"counts": {"mails": 0, "batches": 2}}, "no mails was sent"),
        ({"made": {}}, "postgres was restarted 0 times, 1 were planned"),
        ({"scheduled": {"watch": 0}}, "schedule watch: no run completed"),
        ({"backlog": {"mails": 2}}, "backlog: 2 mails"),
        (
            {"faults": ["worker did not stop within 15 s and was killed"]},
            "worker did not stop within 15 s and was killed",
        ),
        ({"found": {}}, "mailroom check was not run"),
        ({"archive": ArchiveResult()}, "mailroom archive verify was not run"),
        (
            {"found": {"wrong": {"lost": 1}, "violations": [{"kind": "lost", "subject": "m1", "do": "look"}]}},
            "check: lost  m1  look",
        ),
        ({"memory": [Growth("api", 100.0, 111.0, 900.0)]}, "api uses 1.110 times"),
    ],
)
def test_each_bound_that_does_not_hold_is_a_reason(changed: dict[str, Any], reason: str) -> None:
    """A soak that passes silently proves nothing."""
    outcome = SoakOutcome(30, **{**CLEAN, **changed})

    assert not outcome.is_clean
    assert [one for one in outcome.reasons() if one.startswith(reason)]


def test_memory_that_grows_by_more_than_a_tenth_from_the_first_to_the_last_quarter_is_a_leak() -> None:
    """A single step after warm-up is no leak: means of quarters are compared, after three minutes."""
    memory = Memory()
    samples(memory, "leaking", lambda at: 100 + at / 60)
    samples(memory, "warming", lambda at: 50 if at < 170 else 100)

    assert growth(memory, "leaking").fault
    assert growth(memory, "warming").fault == ""
    assert growth(memory, "warming").is_judged


def test_the_longest_run_of_a_restarted_part_is_judged() -> None:
    """A new process starts small: compared with the one before it, any leak would be hidden."""
    memory = Memory()
    samples(memory, "prefect", lambda at: 100 + at / 10, pid=1, seconds=1080)
    samples(memory, "prefect", 50, pid=2, since=1100, seconds=700)

    assert growth(memory, "prefect", prefect=1).watched_s == pytest.approx(900, abs=10)
    assert growth(memory, "prefect", prefect=1).fault


def test_a_process_that_ran_too_briefly_is_reported_as_not_judged() -> None:
    """A soak of three minutes must not look as if it had proved anything about memory."""
    memory = Memory()
    samples(memory, "api", lambda at: 100 + at, seconds=180)
    samples(memory, EMULATOR, lambda at: 100 + at)
    samples(memory, "worker-restarted", 100, seconds=290)
    outcome = SoakOutcome(3, **CLEAN, memory=memory.growths(restarted={"worker-restarted": 5}, began=0.0))

    assert outcome.is_clean
    assert outcome.unjudged == "api"
    assert [line for line in outcome.table() if "memory of api" in line and "not judged" in line]
    assert growth(memory, EMULATOR).fault == ""
    assert growth(memory, "worker-restarted", **{"worker-restarted": 5}).why_not == "restarted too often"


def test_a_process_is_sampled_with_what_it_holds_now() -> None:
    """From /proc: this process, and PostgreSQL as the private memory of all its processes."""
    memory = Memory()
    memory.sample({"api": os.getpid(), "postgres": os.getpid(), "gone": 2**22 + 1}, 1.0)

    held = {name: series[0][1] for (name, _), series in memory.series.items()}

    assert held.keys() == {"api", "postgres"}
    assert 10 * MB < held["api"] < 4000 * MB
    assert held["postgres"] > 1 * MB


def test_a_workers_log_before_its_restart_is_judged_like_the_one_after_it(tmp_path: Path) -> None:
    """`worker.1.log` and `worker-restarted.log` are logs of workers; so is `worker-2.log` of an installation with several."""
    line = "12:00:00 | ERROR | prefect.engine Finished in state Failed('quarantined: virus')\n"
    for name in ("worker", "worker.1", "worker-restarted", "worker-restarted.2"):
        (tmp_path / f"{name}.log").write_text(line)
    report = Report(emit=lambda _: None, progress=lambda _: None)
    known: list[Known] = [*read_known(ALWAYS_KNOWN), *read_known(KNOWN)]

    check_logs(tmp_path, known, report)

    assert report.counts["errors logged"] == 4
    assert report.is_clean
