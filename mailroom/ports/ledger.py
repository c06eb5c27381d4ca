"""The book of received e-mails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mailroom.domain.errors import Reason
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Route
from mailroom.domain.inbound.trust import Scan


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's wish to have an e-mail in hand; whoever gave no sign of life since `stale_before` has lost it."""

    worker: str
    stale_before: datetime


class Ledger(Protocol):
    """The book of received e-mails: one line for each, and every fact about it in order."""

    def register(self, arrival: Arrival, *, now: datetime, claim: Lease | None = None) -> Entry | None:
        """Return the line for this arrival, made now if it is the first notice; a later notice adds its envelope.

        An e-mail that was closed without its envelope is open again: it may have more recipients, or a virus.
        So is one whose object was not there, for some times: the notice may have come before its object.
        With a claim, the e-mail is taken in hand as well, and None says that another living worker has it.
        """

    def release(self, email_id: str, *, worker: str) -> None:
        """Give up the claim of `worker`, so that any worker may take the e-mail in hand at once.

        What it began and did not close is open again: its worker lives, so this is no death.
        """

    def begin(self, ref: ObjectRef, *, now: datetime, run_id: str | None = None, claim: Lease | None = None) -> Entry:
        """Note that processing starts (again); the line is made if nobody registered the object.

        With a claim, the e-mail is taken in hand as well. The entry's `attempts` is the token that `close` and
        `Inbox.file` ask for.

        Raises:
            TakenOver: another living worker, or another run in this one, has the e-mail in hand.
        """

    def heartbeat(self, email_ids: Sequence[str], *, worker: str, now: datetime) -> None:
        """Note that `worker` is alive and has these e-mails in hand."""

    def deposited(
        self, email_id: str, *, archive_ids: Sequence[str], now: datetime, manifests: Sequence[str] = ()
    ) -> None:
        """Note what the archive keeps of this e-mail, besides what is noted already; `manifests` names their tenants."""

    def recall(self, email_id: str, *, envelope: Envelope | None, received_at: datetime, now: datetime) -> Entry:
        """Note what the archive remembers of this e-mail, and return its line, open again as with `register`; an envelope that is known stays."""

    def routed(
        self,
        email_id: str,
        routes: Sequence[Route],
        *,
        now: datetime,
        scan: Scan | None = None,
        held: Mapping[str, Reason] | None = None,
    ) -> None:
        """Note for whom this e-mail is and why, what the scanner said, and which tenants' policies hold it back."""

    def close(
        self,
        email_id: str,
        state: State,
        *,
        now: datetime,
        reason: str | None = None,
        facts: Mapping[str, Any] | None = None,
        attempt: int | None = None,
    ) -> State:
        """Note how processing ended and return the state that stands: a filed e-mail stays filed.

        A quarantined one that had been filed before more was known of it has its items withdrawn.

        Raises:
            TakenOver: a later attempt than `attempt` has the e-mail in hand.
        """

    def record_death(self, email_id: str, *, now: datetime, facts: Mapping[str, Any]) -> State:
        """Note that the process in which the e-mail was worked on has died of it, and return the state that stands.

        It is failed, and quarantined as poison once `MOST_DEATHS` have died. `register` and `begin` count the deaths
        that nobody saw: work begun by another worker that gives no sign of life.
        """

    def find(self, any_id: str) -> Entry | None:
        """Return the line by its own id, SES's message id, an item's id or a run's id; None when there is none."""

    def select(self, *, states: Sequence[State], reason: str | None, since: datetime | None, limit: int) -> list[Entry]:
        """Return lines in these states, oldest first."""

    def silent(self, *, before: datetime, limit: int) -> list[Entry]:
        """Return open lines without a sign of life since `before`, oldest first; of failed ones those of before a restore, unless a person cancelled them."""

    def blind(self, *, before: datetime | None, limit: int) -> list[Entry]:
        """Return lines filed or quarantined without an envelope before a restore, newest first; with `before`, received earlier than that."""

    def restored_at(self) -> datetime | None:
        """Return when the database was last recognised as restored; None: never."""

    def known(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """Return which of these objects have a line, or can have none: a key that no notification may hold is named and stepped over."""

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return everything recorded on one e-mail: line, activities, items, attachments, deposits."""
