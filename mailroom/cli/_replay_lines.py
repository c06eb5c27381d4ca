"""The lines of `mailroom replay`: one for each e-mail, the reasons, and what a replay would touch."""

import json
import sys
from collections.abc import Iterable, Sequence

from mailroom.cli._app import say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import MailroomError
from mailroom.domain.inbound.filing_policy import RELEASABLE
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import Entry, State
from mailroom.domain.inbound.replaying import ReplayState
from mailroom.inbound.replay_preview import preview
from mailroom.inbound.replaying import Step
from mailroom.ports.replays import ReasonGroup, ReplayedMail, ReplayOrder
from mailroom.ports.runs import Run


class Shown:
    """The lines of the chosen e-mails; each is printed once. `refused` is how many runs could not be scheduled."""

    def __init__(self, opened: Opened, entries: Sequence[Entry], *, as_json: bool) -> None:
        self._opened, self._as_json = opened, as_json
        self._left = {entry.id: entry for entry in entries}
        self.refused = 0

    def nothing(self) -> None:
        """Say that no e-mail was chosen."""
        if not self._as_json:
            say("nothing to replay")

    def all(self) -> None:
        """Print what would be replayed."""
        for entry in self._left.values():
            self._line(entry, None, self._failed(entry), would=True)

    def steps(self, steps: Iterable[Step]) -> None:
        """Print what became of e-mails at their turn."""
        for step in steps:
            if step.state is ReplayState.WAITING or (entry := self._left.pop(step.mail.email_id, None)) is None:
                continue
            if step.state is ReplayState.REFUSED:
                self._refused(entry, step.error)
            else:
                self._line(entry, step.run, list(step.left), is_done=step.state is not ReplayState.SKIPPED)

    def others(self, mails: Sequence[ReplayedMail]) -> None:
        """Print e-mails that another process replayed."""
        for mail in mails:
            entry = self._left.get(mail.email_id)
            if entry is None or mail.state is ReplayState.WAITING:
                continue
            del self._left[mail.email_id]
            if mail.state is ReplayState.REFUSED:
                self._refused(entry, None)
            else:
                run = self._opened.runs.find(mail.run_id) if mail.run_id else None
                is_done = mail.state is not ReplayState.SKIPPED
                self._line(entry, run, self._failed(entry) if not is_done else [], is_done=is_done)
        for entry in self._left.values():
            print(f"{entry.ref.message_id}  waits for its turn", file=sys.stderr)

    def _failed(self, entry: Entry) -> list[str]:
        return self._opened.processings.failed(entry.id) if entry.state is State.FILED else []

    def _refused(self, entry: Entry, error: MailroomError | None) -> None:
        self.refused += 1
        why = f": {error}" if error else ""
        print(f"{entry.ref.message_id}  could not be replayed{why}", file=sys.stderr)

    def _line(
        self, entry: Entry, run: Run | None, left: list[str], *, would: bool = False, is_done: bool = False
    ) -> None:
        explained = InboundReason.explain(entry.reason)
        what = f"{', '.join(left)} failed" if left else explained["reason_code"] or "held for some of its tenants"
        nothing = not is_done and entry.state is State.FILED and not left and not (would and entry.reason)
        if self._as_json:
            facts: dict[str, str | None] = {"id": entry.id, "message_id": entry.ref.message_id, "state": entry.state}
            facts |= {"reason": InboundReason.old_word(entry.reason), **explained}
            say(json.dumps(facts | {"failed": left, "replayed": is_done, "run_url": run.url if run else None}))
        elif nothing:
            say(f"{entry.ref.message_id}  already filed; nothing to do")
        elif would:
            say(f"{entry.ref.message_id}  {entry.state} ({what}) would be replayed")
        elif is_done:
            say(f"{entry.ref.message_id}  {entry.state} ({what}) replayed{f': {run.url}' if run else ''}")
        else:
            say(f"{entry.ref.message_id}  {entry.state} ({what}) is not held; nothing to do")


def list_reasons(groups: Sequence[ReasonGroup], *, as_json: bool) -> None:
    """Print why e-mails were not filed, with how many each has."""
    for one in groups:
        explained = InboundReason.explain(one.reason)
        if as_json:
            counts = {"mails": one.mails, "partly": one.partly, "releasable": one.reason in RELEASABLE}
            say(json.dumps({**explained, **counts, "oldest": one.oldest.isoformat(), "newest": one.newest.isoformat()}))
            continue
        say(f"{one.mails:>7}  {explained['reason_code'] or 'no reason'}  oldest {one.oldest:%Y-%m-%d %H:%M} UTC")
        if one.partly:
            say(f"{'':>9}{one.partly} of them filed for others, and held for some")
        if explained["why"]:
            say(f"{'':>9}{explained['why']}")
            say(f"{'':>9}{explained['what_to_do']}")
    if not groups and not as_json:
        say("the quarantine is empty")


def say_preview(opened: Opened, order: ReplayOrder) -> None:
    """Print on stderr, beside the list, what a replay would touch."""
    seen = preview(opened.store.replays, opened.directory, None, order)
    counted, runs = seen.selected, ", ".join(f"{name} {count} times" for name, count in seen.processors.items())
    of_first = f" (of the first {seen.examined})" if seen.examined < counted.mails else ""
    lines = [
        f"{counted.mails} e-mails; {counted.with_run} runs again, {counted.mails - counted.with_run} new runs",
        f"at most {seen.new_items} new inbox items, {seen.items_there} stay{of_first}",
        f"processors: {runs or 'none'}; {seen.webhooks} calls of webhooks",
    ]
    lines += [f"{seen.no_route} without an address"] if seen.no_route else []
    lines += [f"{seen.held_again} held again by their policies"] if seen.held_again else []
    lines += [f"{counted.elsewhere} in another replay"] if counted.elsewhere else []
    for line in lines:
        print(f"would touch: {line}", file=sys.stderr)
