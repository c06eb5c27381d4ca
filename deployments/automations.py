"""The alarms, as automations of the Prefect server: created and updated at every start by `deployments.ensure`.

Each reacts to an event of Mailroom (`flows/support/events.py`) or of Prefect about our runs. An alarm needs no
configuration: it runs `raise-alarm`, which shows what it means and what to do; some repair the fault first.
A notification block named `mailroom-alarms` (Slack, mail, webhook: Prefect has many), where one exists, is used too.
docs/operations.md says what to do about each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import BlockDocument, StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.support.events import EventName

RAISE_ALARM = "raise-alarm/raise-alarm"

#: The name of a notification block that an operator may create.
NOTIFICATION = "mailroom-alarms"

_PREFIX = "mailroom: "
_SETS = frozenset({"after", "expect", "for_each"})
_TAG = "mailroom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An event to react to. `flows` are the flows whose runs it concerns; `times` within `within` raise it once.

    `absent` inverts it: the alarm is raised when the event does not come. `mends` runs before any notification.
    """

    name: str
    about: str
    events: frozenset[str]
    flows: tuple[str, ...] = ()
    times: int = 1
    within: timedelta = timedelta(0)
    absent: bool = False
    mends: Sequence[ActionTypes] = field(default=())


_CRASHED = frozenset({"prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"})
_FAILED = frozenset({"prefect.flow-run.Failed"})
_NOBODY = "Running, but no worker is processing it"

ALARMS = (
    Alarm(
        name="receive-email crashes",
        about="Three runs of received e-mail crashed within ten minutes. A single crash is retried automatically.",
        events=_CRASHED,
        flows=("receive-email",),
        times=3,
        within=timedelta(minutes=10),
    ),
    Alarm(
        name="receive-email fails",
        about="Twenty runs of received e-mail failed within ten minutes. A single failure is a quarantined e-mail.",
        events=_FAILED,
        flows=("receive-email",),
        times=20,
        within=timedelta(minutes=10),
    ),
    Alarm(
        name="send-batch failed or crashed",
        about="A run that sends a batch stopped. Retry it: messages that were sent are not sent again.",
        events=_CRASHED | _FAILED,
        flows=("send-batch",),
    ),
    Alarm(
        name="dead letters",
        about="A queue has dead letters, which are not retried automatically. Find the cause, then redrive them.",
        events=frozenset({EventName.DEAD_LETTERS}),
    ),
    Alarm(
        name="zombie",
        about="A run was Running, but no worker was processing it. It is set to Crashed, so that Retry or the queue "
        "can continue it.",
        events=frozenset({EventName.ZOMBIE}),
        mends=(ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=_NOBODY, force=True),),
    ),
    Alarm(
        name="queue age",
        about="Messages have waited too long in a queue. No worker is running, or the workers are too slow.",
        events=frozenset({EventName.QUEUE_AGED}),
    ),
    Alarm(
        name="breaker opened",
        about="A batch or a tenant was stopped after too many bounces or complaints. Close the breaker to resume it.",
        events=frozenset({EventName.BREAKER_OPENED}),
    ),
    Alarm(
        name="batches held",
        about="Batches are held: the database was restored, or their flow runs were deleted. They are not sent until "
        "you resume or cancel them: mailroom batch list --held.",
        events=frozenset({EventName.BATCHES_HELD}),
    ),
    Alarm(
        name="reconcile difference",
        about="An e-mail or message is missing, or its state does not match its history. See the artifact of the "
        "flow reconcile.",
        events=frozenset({EventName.DIFFERENCE}),
    ),
    Alarm(
        name="archive damage",
        about="A document of the archive is damaged or missing and no other copy of it is good, or its records were altered. "
        "The resource names it: run mailroom archive verify ID, and see docs/archive.md for what to do.",
        events=frozenset({EventName.ARCHIVE_DAMAGE}),
    ),
    Alarm(
        name="row skipped",
        about="A loop cannot read some rows of the database and skips them, so they are not processed. Repair them.",
        events=frozenset({EventName.ROW_SKIPPED}),
    ),
    Alarm(
        name="seals behind",
        about="Entries of the archive's journals have had no seal for hours, or seals no token or no witness. See the last "
        "run of the flow seal: its message names the journal and the reason.",
        events=frozenset({EventName.SEALS_BEHIND}),
    ),
    Alarm(
        name="quarantine wave",
        about="Fifty e-mails were quarantined within ten minutes: a spam campaign, or a wrong setting.",
        events=frozenset({EventName.QUARANTINED}),
        times=50,
        within=timedelta(minutes=10),
    ),
    Alarm(
        name="schedules silent",
        about="Prefect's scheduler has stopped: scheduled flows (watch, sweeps, reconcile, recurring sends) do not "
        "start.",
        events=frozenset({EventName.SCHEDULES_SILENT}),
    ),
    Alarm(
        name="nobody watches",
        about="The flow watch has not run for twenty minutes, so other alarms may be missing.",
        events=frozenset({EventName.WATCHED}),
        within=timedelta(minutes=20),
        absent=True,
    ),
)


async def ensure_automations(client: PrefectClient, alarms: Sequence[Alarm] = ALARMS) -> list[str]:
    """Create or update every alarm, delete those no longer listed, and return the names of the changed ones.

    One that an operator disabled stays disabled.
    """
    raising = (await client.read_deployment_by_name(RAISE_ALARM)).id
    notifications = await _notification_blocks(client)
    known = {one.name: one for one in await client.read_automations() if one.name.startswith(_PREFIX)}
    changed = []
    for alarm in alarms:
        wanted, there = automation(alarm, raising, notifications), known.pop(_PREFIX + alarm.name, None)
        if there is None:
            await client.create_automation(wanted)
        elif _values(there) != _values(wanted):
            await client.update_automation(there.id, wanted.model_copy(update={"enabled": there.enabled}))
        else:
            continue
        changed.append(wanted.name)
    for name, gone in known.items():
        await client.delete_automation(gone.id)
        changed.append(name)
    return changed


def automation(alarm: Alarm, raising: UUID, notifications: Sequence[UUID]) -> AutomationCore:
    """Return the automation of one alarm."""
    posture: Any = Posture.Proactive if alarm.absent else Posture.Reactive
    trigger = EventTrigger(
        expect=set(alarm.events),
        match_related=_runs_of(alarm.flows),
        posture=posture,
        threshold=alarm.times,
        within=alarm.within,
    )
    # An absent event has no resource, and Prefect starts no run with a parameter that it cannot fill in.
    resource = "" if alarm.absent else "{{ event.resource.id }}"
    parameters = {"alarm": alarm.name, "about": alarm.about, "resource": resource}
    report: list[ActionTypes] = [
        RunDeployment(source="selected", deployment_id=raising, parameters=parameters, job_variables=None)
    ]
    body = "\n\n".join(filter(None, [alarm.about, resource, "What to do: see docs/operations.md"]))
    report += [
        SendNotification(block_document_id=block, subject=f"Mailroom: {alarm.name}", body=body)
        for block in notifications
    ]
    return AutomationCore(
        name=_PREFIX + alarm.name,
        description=alarm.about,
        tags=[_TAG],
        trigger=trigger,
        actions=[*alarm.mends, *report],
    )


def _runs_of(flows: Sequence[str]) -> dict[str, str | list[str]]:
    return {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)} if flows else {}


def _values(one: AutomationCore) -> Any:
    """Return the automation's values but for `enabled`. The order of sets differs between processes."""
    core = AutomationCore.model_validate(one.model_dump(mode="json"))
    values = core.model_dump(mode="json", exclude={"enabled", "owner_resource"})
    trigger = {name: sorted(value) if name in _SETS else value for name, value in values["trigger"].items()}
    return values | {"trigger": trigger}


async def _notification_blocks(client: PrefectClient) -> list[UUID]:
    documents = await client.read_block_documents(include_secrets=False)
    return [one.id for one in documents if one.name == NOTIFICATION and _can_notify(one)]


def _can_notify(block: BlockDocument) -> bool:
    return block.block_schema is not None and "notify" in block.block_schema.capabilities
