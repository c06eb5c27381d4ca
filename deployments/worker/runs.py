"""The flow run of one e-mail or batch: found or created, and whether this worker should run it now."""

import logging
from datetime import UTC, datetime, timedelta
from enum import Enum
from http import HTTPStatus
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Completed, Failed, Pending, Running, Scheduled

from deployments.worker.client import RunClient
from mailroom.adapters.prefect.http import RECEIVE_EMAIL, SEND_BATCH, idempotency_key
from mailroom.crash_points import crash_point
from mailroom.domain.inbound.received_email import Entry
from mailroom.domain.inbound.received_email import State as EmailState
from mailroom.domain.outbound.message import Lane
from mailroom.outbound.mailbox import BatchOrder

logger = logging.getLogger("mailroom.listener")

#: The work queue of bulk batches' runs, however they are started, so that they have separate slots everywhere.
#: The server creates it with the first of them; all other runs are in the queue of their deployment.
BULK = "bulk"


class NextStep(Enum):
    """What to do with an e-mail, by the state of its run."""

    RUN = "run"
    DONE = "done"
    LEAVE = "leave"
    DROP = "drop"


def next_step(state: State | None) -> NextStep:
    """Return what to do with the run of an e-mail that this worker has leased.

    With the lease no other living worker has it, so Pending and Running are left over from a dead one. Scheduled is left
    to the pool's worker, which will find it. A cancelled run is a person's decision: it is recorded, and the queue need
    not redeliver the mail; `mailroom replay` runs it again.
    """
    if state is None or state.type in (StateType.PENDING, StateType.RUNNING, StateType.FAILED, StateType.CRASHED):
        return NextStep.RUN
    if state.type in (StateType.CANCELLING, StateType.CANCELLED):
        return NextStep.DROP
    return NextStep.DONE if state.type is StateType.COMPLETED else NextStep.LEAVE


class _Runs:
    """The runs of one deployment."""

    def __init__(self, client: PrefectClient, *, deployment: str) -> None:
        self._client = client
        self._deployment = deployment
        self._deployment_id: UUID | None = None

    async def deployment_id(self) -> UUID:
        """Return the deployment's id on the server."""
        if self._deployment_id is None:
            self._deployment_id = (await self._client.read_deployment_by_name(self._deployment)).id
        return self._deployment_id

    async def _create(self, **how: Any) -> FlowRun:
        """Create a run; after the deployment was replaced (registered again, or Prefect restored), of the new one."""
        try:
            return await self._client.create_flow_run_from_deployment(await self.deployment_id(), **how)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            self._deployment_id = None
            return await self._client.create_flow_run_from_deployment(await self.deployment_id(), **how)


class InboundRuns(_Runs):
    """The runs of `receive-email`: one for each object, however often it is requested."""

    def __init__(self, client: RunClient, *, deployment: str = RECEIVE_EMAIL) -> None:
        super().__init__(client, deployment=deployment)
        self._engines = client

    async def get_or_create(self, entry: Entry) -> FlowRun:
        """Return the e-mail's run. A new one is created Running: it is run here and now, and no poller takes it as well.

        A run that the ledger names is the e-mail's, also where its object's version became known only later.

        The run gets its tags at its end: a tag at the start adds one row for each of its twenty events.
        """
        ref = entry.ref
        if entry.run_id is not None:
            try:
                return await self._ended(await self._client.read_flow_run(UUID(entry.run_id)))
            except ObjectNotFound:
                logger.warning("run %s was deleted from Prefect; its e-mail gets a new run", entry.run_id)
        crash_point("before", "create run")
        run = await self._create(
            name=ref.message_id,
            parameters={"bucket": ref.bucket, "key": ref.key, "version": ref.version},
            state=Running(),
            idempotency_key=idempotency_key(ref),
        )
        crash_point("after", "create run")
        if entry.attempts == 0 and run.state is not None and run.state.is_running():
            self._engines.begun(run.id)
        return await self._ended(run)

    async def settle(self, entry: Entry, *, stale_s: float) -> None:
        """End the run of a closed e-mail as the ledger says, where its worker stopped or died before it could.

        Args:
            stale_s: A closed e-mail's run that has been Running for longer than this has no worker.
        """
        try:
            run = await self._client.read_flow_run(UUID(str(entry.run_id)))
        except (ValueError, ObjectNotFound):
            return
        if run.state is not None and _is_left(run.state, stale_s):
            end = Completed if entry.state is EmailState.FILED else Failed
            message = f"{entry.state}: {entry.reason}" if entry.reason else str(entry.state)
            await self._client.set_flow_run_state(run.id, end(message=message), force=True)
            logger.info("run %s is %s, as its e-mail is %s", run.id, end.__name__, entry.state)

    async def _ended(self, run: FlowRun) -> FlowRun:
        """End a Cancelling run: this worker has the e-mail's lease, so no other worker ends it."""
        if run.state is not None and run.state.type is StateType.CANCELLING:
            await self._client.set_flow_run_state(run.id, Cancelled(), force=True)
        return run


def _is_left(state: State, stale_s: float) -> bool:
    """Return whether the worker of a closed e-mail's run is gone, by the run's state."""
    age = datetime.now(UTC) - state.timestamp
    return state.is_crashed() or (state.is_running() and age > timedelta(seconds=stale_s))


#: An order due this soon is run here and now; the run waits until it is due.
_SOON = timedelta(seconds=5)


def is_later(order: BatchOrder) -> bool:
    """Return whether an order is due so late that its run waits in the pool."""
    return order.due_at - datetime.now(UTC) > _SOON


def queue_of(order: BatchOrder) -> str | None:
    """Return the work queue of an order's run; None: its deployment's."""
    return BULK if order.lane is Lane.BULK else None


class BatchRuns(_Runs):
    """The runs of `send-batch`: one for each batch and scheduled time, however often it is ordered."""

    def __init__(self, client: PrefectClient, *, deployment: str = SEND_BATCH) -> None:
        super().__init__(client, deployment=deployment)

    async def get_or_create(self, order: BatchOrder, *, since: datetime | None = None) -> FlowRun:
        """Return the run of an order. A new one is Pending, or Scheduled in the pool where it is due later.

        With `since` it differs from the run of an earlier order for the same time.
        """
        due_at = order.due_at.isoformat()
        key = f"{order.batch_id}@{due_at}" + (f" since {since.isoformat()}" if since else "")
        crash_point("before", "create run")
        run = await self._create(
            name=order.batch_id,
            parameters={"batch_id": order.batch_id, "due_at": due_at},
            state=Scheduled(scheduled_time=order.due_at) if is_later(order) else Pending(),
            idempotency_key=key,
            work_queue_name=queue_of(order),
        )
        crash_point("after", "create run")
        return run

    async def find(self, run_id: str) -> FlowRun | None:
        """Return the run, None if the server no longer has it."""
        try:
            return await self._client.read_flow_run(UUID(run_id))
        except ObjectNotFound:
            return None
