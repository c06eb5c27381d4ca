"""Replays and releases of e-mails, one or many: by the pages, the API and the command.

A replay is stored with all its e-mails before any of them is touched, so it goes on after the end of the process that began
it: every HTTP service does what is due, and a command does its own at once. An e-mail whose process ended between the request
of its run and the record of it is looked at before it is requested again.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from mailroom.domain.errors import MailroomError, TransientError
from mailroom.domain.inbound.reasons import InboundReason, inbound_reason
from mailroom.domain.inbound.received_email import Entry, State
from mailroom.domain.inbound.replaying import ReplayAction, ReplayState, is_not_released
from mailroom.inbound.lease import stale_s
from mailroom.operations.loops import Backoff, SteadyLoop
from mailroom.ports.replays import Replays, TakenMail
from mailroom.ports.runs import Run, RunStarter

log = logging.getLogger(__name__)

_MOST = 20
#: A taken e-mail whose end is not recorded within this time is taken again; longer than all requests of one step.
_TAKEN_FOR = timedelta(minutes=5)
#: When an e-mail that a worker processes now, and one whose run could not be requested, are tried again.
_LEASED_FOR, _AGAIN_AFTER = timedelta(seconds=10), timedelta(seconds=15)
_PAUSE_S, _IDLE_S = 0.5, 2.0
#: States of a run that is going to run, or runs.
_UNDER_WAY = frozenset(
    {"Scheduled", "AwaitingRetry", "Late", "Pending", "Running", "Retrying", "AwaitingConcurrencySlot"}
)


class EntryFinder(Protocol):
    """The part of the port `Ledger` that a replay needs."""

    def find(self, any_id: str) -> Entry | None: ...


class FailedProcessors(Protocol):
    """The part of the port `Processings` that a replay needs."""

    def failed(self, email_id: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one e-mail at its turn; `run` is None if none was requested, `left` the processors that run again."""

    mail: TakenMail
    entry: Entry | None
    state: ReplayState
    run: Run | None = None
    left: Sequence[str] = ()
    error: MailroomError | None = None


@dataclass(frozen=True, slots=True)
class Replayer:
    """Requests the runs of replays, e-mail by e-mail."""

    replays: Replays
    ledger: EntryFinder
    runs: RunStarter
    processings: FailedProcessors

    def advance(self, *, now: datetime, replay_id: str | None = None, limit: int = _MOST) -> list[Step]:
        """Do what is due of all replays, or of one, and return it; a failure of one e-mail does not stop the others.

        Raises:
            TransientError: Prefect or the database does not answer; what is left waits for it.
        """
        self.replays.settle(now=now)
        stale = now - timedelta(seconds=stale_s())
        taken = self.replays.take(now=now, until=now + _TAKEN_FOR, stale_before=stale, limit=limit, replay_id=replay_id)
        steps = []
        for at, mail in enumerate(taken):
            try:
                steps.append(self._one(mail, now))
            except TransientError:
                # The others come before it: the outage may be of its run alone.
                self.replays.postpone([mail], until=now + _AGAIN_AFTER)
                self.replays.postpone(taken[at + 1 :], until=now)
                raise
            except MailroomError as error:
                self.replays.end(mail, ReplayState.REFUSED, reason=inbound_reason(error).value)
                steps.append(Step(mail, None, ReplayState.REFUSED, error=error))
            except Exception as error:  # noqa: BLE001 - one e-mail must not stop the others
                log.error("an e-mail could not be replayed: %s", type(error).__name__)
                self.replays.end(mail, ReplayState.REFUSED, reason=InboundReason.UNFORESEEN.value)
                steps.append(Step(mail, None, ReplayState.REFUSED))
        return steps

    def once(self, entry: Entry, *, tenant: str | None, by: str, now: datetime) -> Run:
        """Schedule the run of one e-mail now; of a filed one, what is held of it is processed again.

        Raises:
            TransientError, PermanentError: Prefect did not schedule it.
        """
        mail = TakenMail(None, entry.id, ReplayAction.REPLAY, tenant, by, entry.attempts, again=False, is_leased=False)
        self.replays.prepare(mail, now=now)
        return run_again(self.runs, entry, look=False)

    def _one(self, mail: TakenMail, now: datetime) -> Step:
        if mail.is_leased:
            # Its attempt may have read the rules already.
            self.replays.postpone([mail], until=now + _LEASED_FOR)
            return Step(mail, None, ReplayState.WAITING)
        changed = self.replays.prepare(mail, now=now)
        entry = self.ledger.find(mail.email_id)
        if entry is None:
            return self._ended(mail, None, ReplayState.SKIPPED)
        if not changed and entry.attempts > mail.attempts:
            # It was processed since it was selected: by its run, or by another hand.
            self.replays.requested(mail, now=now)
            return Step(mail, entry, ReplayState.REQUESTED)
        left = self._left(mail, entry)
        if _is_nothing_to_do(mail, entry, left):
            return self._ended(mail, entry, ReplayState.SKIPPED)
        run = run_again(self.runs, entry, look=mail.again)
        if left:
            return self._ended(mail, entry, ReplayState.AGAIN, run, left)
        self.replays.requested(mail, now=now)
        return Step(mail, entry, ReplayState.REQUESTED, run)

    def _left(self, mail: TakenMail, entry: Entry) -> list[str]:
        """Return the processors of a filed e-mail that failed; for a tenant its own."""
        failed = self.processings.failed(entry.id) if entry.state is State.FILED else []
        return [name for name in failed if mail.tenant in (None, name.partition("/")[2])]

    def _ended(
        self, mail: TakenMail, entry: Entry | None, state: ReplayState, run: Run | None = None, left: Sequence[str] = ()
    ) -> Step:
        self.replays.end(mail, state)
        return Step(mail, entry, state, run, left)


def run_again(runs: RunStarter, entry: Entry, *, look: bool = False) -> Run:
    """Schedule the e-mail's run; with `look`, unless it is under way already. If Prefect no longer has it, a new one.

    Raises:
        TransientError, PermanentError: Prefect did not schedule it.
    """
    if entry.run_id is not None:
        there = runs.find(entry.run_id) if look else None
        if there is not None and there.state in _UNDER_WAY:
            return there
        try:
            return runs.retry(entry.run_id)
        except LookupError:
            pass
    run = runs.start(entry.ref)
    # Getting a run that exists and never ran does not schedule it.
    return run if run.state in _UNDER_WAY else runs.retry(run.id)


def _is_nothing_to_do(mail: TakenMail, entry: Entry, left: Sequence[str]) -> bool:
    """Return whether the e-mail is filed in full, or asked to be released and not held."""
    if entry.state in (State.FILED, State.DUPLICATE):
        return not left or mail.action is ReplayAction.RELEASE
    return mail.action is ReplayAction.RELEASE and is_not_released(entry.state, entry.reason)


def run_replays(
    replayer: Replayer, stop: threading.Event, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Do what is due of all replays until `stop` is set; outages of the database or Prefect are waited out."""
    idle = Backoff(_PAUSE_S, _IDLE_S)

    def step() -> float:
        done = replayer.advance(now=clock())
        if done:
            log.info("replayed %d e-mails", len(done))
        return 0 if done else idle.grow()

    failing, working = "replays wait: %s", "replays go on"
    SteadyLoop(step, log=log, failing=failing, again=working).run(stop)
