"""Mailroom's events in Prefect, `mailroom.*`: emitted where the fact is found. Ids and counts only.

Automations (`deployments/automations.py`) and other subscribers react to them; docs/operations.md has the list.
"""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from prefect.events import emit_event


class EventName(StrEnum):
    """Names of Mailroom's events. Stable: operators' automations use them."""

    DEAD_LETTERS = "mailroom.dead-letters.waiting"
    QUEUE_AGED = "mailroom.queue.aged"
    ZOMBIE = "mailroom.run.zombie"
    WATCHED = "mailroom.watched"
    BATCHES_HELD = "mailroom.batches.held"
    BREAKER_OPENED = "mailroom.breaker.opened"
    DIFFERENCE = "mailroom.reconcile.difference"
    ARCHIVE_DAMAGE = "mailroom.archive.damage"
    ROW_SKIPPED = "mailroom.row.skipped"
    QUARANTINED = "mailroom.email.quarantined"
    SEALS_BEHIND = "mailroom.seals.behind"
    SCHEDULES_SILENT = "mailroom.schedules.silent"


def emit(
    fact: EventName,
    subject: str,
    *,
    facts: Mapping[str, str | int] | None = None,
    run_id: str | None = None,
    once: str | None = None,
) -> None:
    """Emit an event about `subject`, such as `queue.inbound`; the resource is `mailroom.<subject>`.

    `run_id` is a run that it concerns. `once` is the event's UUID: several emitters of one fact use the same, for one event.
    """
    run = {"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.resource.role": "flow-run"}
    emit_event(
        fact.value,
        resource={"prefect.resource.id": f"mailroom.{subject}"},
        related=[run] if run_id else [],
        payload=dict(facts or {}),
        id=UUID(once) if once else None,
    )
