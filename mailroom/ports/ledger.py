"""The ledger of received e-mails: their states, leases and activities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mailroom.domain.errors import Reason
from mailroom.domain.inbound.filing_policy import Scan
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Route
from mailroom.ports.manifests import KeptManifest


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's lease request; leases without a heartbeat since `stale_before` have expired."""

    worker: str
    stale_before: datetime


class Ledger(Protocol):
    """The ledger of received e-mails: one line for each, with its activities in order."""

    def register(self, arrival: Arrival, *, now: datetime, claim: Lease | None = None) -> Entry | None:
        """Return the line for this arrival, created by the first notification; a later one adds its envelope.

        An e-mail that was closed without its envelope is reopened: it may have more recipients, or a virus. So is, a
        limited number of times, one whose object was missing: the notification may have come before the object.
        With `claim`, the e-mail is leased as well; None: another live worker holds the lease.
        """

    def release(self, email_id: str, *, worker: str) -> None:
        """Release the lease of `worker`, so that any worker may lease the e-mail at once.

        Processing that it began and did not close is open again, and does not count as a death of the worker.
        """

    def begin(self, ref: ObjectRef, *, now: datetime, run_id: str | None = None, claim: Lease | None = None) -> Entry:
        """Record that processing starts (again); an unregistered object gets its line now.

        With `claim`, the e-mail is leased as well. The entry's `attempts` is the fencing token (`attempt`) for `close` and
        `Inbox.file`.

        Raises:
            TakenOver: another live worker, or another run in this one, holds the lease.
        """

    def heartbeat(self, email_ids: Sequence[str], *, worker: str, now: datetime) -> None:
        """Record a heartbeat of `worker` for its leases of these e-mails."""

    def deposited(
        self,
        email_id: str,
        *,
        archive_ids: Sequence[str],
        now: datetime,
        manifests: Sequence[str] = (),
        archived: Sequence[KeptManifest] = (),
    ) -> None:
        """Record further deposits of this e-mail; `manifests` names the tenants whose manifests are deposited.

        Of `archived`, the manifests as they are stored, each version is an entry `archived` of its tenant's journal once.
        """

    def recall(self, email_id: str, *, envelope: Envelope | None, received_at: datetime, now: datetime) -> Entry:
        """Record what the archive's manifest says of this e-mail, and return its line, reopened as by `register`.

        An envelope that is known already is kept.
        """

    def routed(
        self,
        email_id: str,
        routes: Sequence[Route],
        *,
        now: datetime,
        scan: Scan | None = None,
        held: Mapping[str, Reason] | None = None,
        word: str | None = None,
        unrouted: Sequence[str] | None = None,
    ) -> None:
        """Record the routes of this e-mail, the scanner's verdict, and the tenants for which it is quarantined (`held`).

        `unrouted` are the recipients without a route, beside others; None: not known.

        `word` is its type of route for lists and metrics; by default that of its first route.
        """

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
        """Record how processing ended and return the resulting state: a filed e-mail stays filed.

        If it is quarantined after it was filed, because more became known of it, its items are withdrawn.

        Raises:
            TakenOver: a later attempt than `attempt` has leased the e-mail.
        """

    def record_death(self, email_id: str, *, now: datetime, facts: Mapping[str, Any]) -> State:
        """Record that the process that worked on the e-mail died of it, and return the resulting state.

        The e-mail is failed, and quarantined as poison after `MOST_DEATHS`. `register` and `begin` count deaths that were
        not observed: work begun by another worker whose heartbeats stopped.
        """

    def find(self, any_id: str) -> Entry | None:
        """Return the line by its own id, SES's message id, an item's id or a run's id; None if there is none."""

    def select(self, *, states: Sequence[State], reason: str | None, since: datetime | None, limit: int) -> list[Entry]:
        """Return lines in these states, oldest first."""

    def silent(self, *, before: datetime, limit: int) -> list[Entry]:
        """Return open lines without a heartbeat since `before`, oldest first.

        Failed lines of before a restore count as open, unless an operator cancelled them.
        """

    def blind(self, *, before: datetime | None, limit: int) -> list[Entry]:
        """Return lines filed or quarantined without an envelope before a restore, newest first; with `before`, earlier ones."""

    def restored_at(self) -> datetime | None:
        """Return when the database was last recognised as restored, or None."""

    def known(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """Return which of these objects have a line or can have none: keys that no notification may contain are recorded and skipped."""

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return everything recorded about one e-mail: line, activities, items, attachments, deposits."""
