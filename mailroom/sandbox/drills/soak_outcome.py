"""The outcome of a soak: its figures, and the sentences that say why it failed."""

from dataclasses import dataclass, field
from typing import Any

from mailroom.sandbox.drills.drill import Outcome
from mailroom.sandbox.drills.drill_archive import ArchiveResult
from mailroom.sandbox.drills.kill_loop import wrong
from mailroom.sandbox.drills.send_drill import SendOutcome
from mailroom.sandbox.drills.soak_memory import Growth

#: The kinds of violations of `mailroom check` for lost mails, and for mails that exist twice.
_GONE = frozenset((*Outcome.gone, *SendOutcome.gone, "missing message"))
_TWICE = frozenset((*Outcome.twofold, *SendOutcome.twofold))
_LOGGED = "logged", "logged too often"


@dataclass(slots=True)
class SoakOutcome:
    """The figures of one soak. `planned` and `made` are restarts by part; `scheduled` is completed runs by schedule."""

    minutes: float
    counts: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    #: The longest downtime of a part in a restart, in seconds.
    away_s: dict[str, float] = field(default_factory=dict)
    kill_met_work: bool | None = None
    scheduled: dict[str, int] = field(default_factory=dict)
    failed_runs: dict[str, int] = field(default_factory=dict)
    memory: list[Growth] = field(default_factory=list)
    drained_s: float | None = None
    backlog: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    archive: ArchiveResult = field(default_factory=ArchiveResult)

    @property
    def lost(self) -> int:
        """The number of lost mails or parts of mails."""
        return wrong(self.found, _GONE)

    @property
    def twice(self) -> int:
        """The number of mails or parts of mails that exist more than once."""
        return wrong(self.found, _TWICE)

    @property
    def logged(self) -> int:
        """The number of kinds of ERROR or traceback that are unknown or too frequent."""
        return wrong(self.found, _LOGGED)

    @property
    def unjudged(self) -> str:
        """What this soak was too short to judge; empty if nothing."""
        return ", ".join(one.name for one in self.memory if one.is_too_short)

    def reasons(self) -> list[str]:
        """Return a sentence for each bound that does not hold; none where the soak is clean."""
        reasons = list(self.faults)
        reasons += [f"no {what} was sent" for what in ("mails", "batches") if not self.counts.get(what)]
        reasons += [
            f"{part} was restarted {self.made.get(part, 0)} times, {times} were planned"
            for part, times in self.planned.items()
            if self.made.get(part, 0) != times
        ]
        reasons += [f"schedule {name}: no run completed" for name, runs in self.scheduled.items() if not runs]
        reasons += [one.fault for one in self.memory if one.fault]
        reasons += [f"backlog: {left} {what}" for what, left in self.backlog.items() if left]
        if not self.found:
            reasons.append("mailroom check was not run")
        reasons += [f"check: {one['kind']}  {one['subject']}  {one['do']}" for one in self.found.get("violations", [])]
        return reasons + self.archive.reasons

    @property
    def is_clean(self) -> bool:
        """Whether every bound holds."""
        return not self.reasons()

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "clean": self.is_clean,
            "reasons": self.reasons(),
            "minutes": self.minutes,
            "counts": self.counts,
            "statuses": self.statuses,
            "restarts": self.made,
            "away_s": {part: round(seconds, 1) for part, seconds in self.away_s.items()},
            "kill_met_work": self.kill_met_work,
            "scheduled_runs": self.scheduled,
            "failed_runs": self.failed_runs,
            "memory": [one.as_json() for one in self.memory],
            "memory_not_judged": self.unjudged,
            "drained_s": None if self.drained_s is None else round(self.drained_s, 1),
            "backlog": self.backlog,
            "lost": self.lost,
            "twice": self.twice,
            "log_lines_unknown": self.logged,
            "check": self.found,
            "archive": self.archive.as_json(),
        }

    def table(self) -> list[str]:
        """Return the figures for people, a Markdown table as in docs/fault-tests.md."""
        kill = {None: "", True: ", one by SIGKILL with mail in its leases", False: ", one by SIGKILL with no mail"}
        restarts = ", ".join(
            f"{part} {times} (down {self.away_s.get(part, 0):.1f} s)" for part, times in self.made.items()
        )
        rows = [
            ("load", f"{self.minutes:g} minutes: {_listed(self.counts)}"),
            ("messages at the end", _listed(self.statuses)),
            ("lost, duplicates", f"{self.lost}, {self.twice}"),
            ("restarts", (restarts or "none") + kill[self.kill_met_work]),
            ("scheduled runs", _listed(self.scheduled)),
            ("runs that failed or crashed", _listed(self.failed_runs)),
            ("backlog", f"{sum(self.backlog.values())}{self._drained()}"),
            ("unknown log lines", str(self.logged)),
            ("archive", self.archive.sentence()),
        ]
        for one in sorted(self.memory, key=lambda growth: not growth.is_judged):
            held = f"{one.first / 1e6:.0f} MB, {one.last / 1e6:.0f} MB: {one.ratio:.2f}"
            rows.append((f"memory of {one.name}", held + ("" if one.is_judged else f"; not judged, {one.why_not}")))
        return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]

    def _drained(self) -> str:
        return "; timed out" if self.drained_s is None else f"; {self.drained_s:.0f} s after the last mail"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
