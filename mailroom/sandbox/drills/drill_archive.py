"""The archive of a drill: a second copy of each deposit, a witness, time stamps; sealed by its flow, verified at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mailroom.operations.loops import wait_until
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stand_ins.time_stamping import Authority, serving

_BUCKETS = {
    "MAILROOM_ARCHIVE_COPY_BUCKET": "mailroom-archive-copies",
    "MAILROOM_WITNESS_BUCKET": "mailroom-archive-witness",
}
_PATIENCE_S, _LOOK_AGAIN_S = 120.0, 0.5
#: A seal of `life` is an entry of `operations`; an entry that a worker appends meanwhile is sealed by the next run.
_TRIES = 3

#: Journals with entries that no seal covers, and seals without a token or a copy for the witness.
_OPEN = """
select tenant || '/' || stream from journal_head
where seq > coalesce((select max(size) from seal where (seal.tenant, seal.stream) = (journal_head.tenant, journal_head.stream)), 0)
union all
select tenant || '/' || stream || '/' || number from seal
where (tenant, stream, number) not in (select tenant, stream, number from seal_token)
    or (tenant, stream, number) not in (select tenant, stream, number from seal_witness)
"""


@contextmanager
def archive_of_drill(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a time stamping authority for the duration of a block, and yield the environment of a stack with all of the archive."""
    authority, roots = Authority(), folder / "time-stamping.pem"
    roots.write_text(authority.roots)
    with serving(authority.answer) as url:
        yield {**_BUCKETS, "MAILROOM_TIME_STAMPING": f"{roots}={url}"}


def start_seal(prefect_api_url: str) -> str:
    """Start a run of the flow `seal`, as Quick run does, and return its id."""
    with httpx.Client(base_url=prefect_api_url, timeout=_PATIENCE_S) as http:
        deployment = http.get("/deployments/name/seal/seal").raise_for_status().json()
        run = http.post(f"/deployments/{deployment['id']}/create_flow_run", json={"state": {"type": "SCHEDULED"}})
        return str(run.raise_for_status().json()["id"])


def seal(prefect_api_url: str, ask: Any) -> None:
    """Have workers seal all journals; returns when each entry is sealed, stamped and witnessed.

    Raises:
        StackError: a run failed, or did not end in time.
    """
    for _ in range(_TRIES):
        _end(prefect_api_url, start_seal(prefect_api_url))
        if not (left := [one for (one,) in ask(_OPEN)]):
            return
    raise StackError(f"not sealed, stamped or witnessed: {', '.join(left)}")


def _end(prefect_api_url: str, run_id: str) -> None:
    states: list[dict[str, Any]] = [{}]

    def has_ended() -> bool:
        answer = httpx.get(f"{prefect_api_url}/flow_runs/{run_id}", timeout=_PATIENCE_S).raise_for_status()
        states.append(answer.json()["state"])
        return states[-1]["type"] not in ("SCHEDULED", "PENDING", "RUNNING")

    wait_until(has_ended, within_s=_PATIENCE_S, every_s=_LOOK_AGAIN_S)
    if states[-1].get("type") != "COMPLETED":
        raise StackError(f"the flow seal ended {states[-1].get('type')}: {states[-1].get('message')}")


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """What `mailroom archive verify` found after a drill."""

    report: dict[str, Any] = field(default_factory=dict)
    seals: int = 0

    @property
    def passed(self) -> int:
        """How many single checks passed."""
        return self._counted("PASS")

    @property
    def unsealed(self) -> int:
        """How many checks wait for a seal, a time stamp or the witness."""
        return self._counted("NOT_YET_SEALED")

    @property
    def wrong(self) -> list[str]:
        """A line for each check that did not pass; what is not sealed yet is named, but is no fault of the archive."""
        return [
            f"{one['outcome']}  {one['check']}  {one['subject']}"
            for one in self.report.get("results", [])
            if one["outcome"] not in ("PASS", "NOT_YET_SEALED")
        ]

    @property
    def reasons(self) -> list[str]:
        """A sentence for each bound that does not hold."""
        if not self.report:
            return ["mailroom archive verify was not run"]
        silent = [] if self.seals else ["no seal was made"]
        return [*silent, *(f"archive: {one}" for one in self.wrong)]

    def sentence(self) -> str:
        """Return the figures for people."""
        return f"{self.passed:,} checks passed, {len(self.wrong)} did not, {self.unsealed} not sealed yet; {self.seals} seals"

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "passed": self.passed,
            "not_yet_sealed": self.unsealed,
            "seals": self.seals,
            "wrong": self.wrong,
            "checks": self.report.get("checks", {}),
        }

    def _counted(self, outcome: str) -> int:
        families = self.report.get("checks", {}).values()
        return sum(counts.get(outcome, 0) for family in families for counts in family.values())
