"""For tests of an operator's decisions: a mailbox listener that asks Prefect, and the REST API as the UI uses it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL

from deployments.worker.cancelling import Cancelling
from deployments.worker.client import RunClient, run_client_context
from deployments.worker.decisions import Decisions
from deployments.worker.executor import WarmExecutor
from deployments.worker.gates import Gates
from deployments.worker.lanes import Lanes
from deployments.worker.process import POOL
from flows import sweep_outbound as sweeping
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.prefect.http import SEND_BATCH
from mailroom.testing.manifests import MemoryManifests
from tests.support.mailbox_listener import Desk, deployed
from tests.support.patience import PATIENCE_S


class OperatedDesk(Desk):
    """A mailbox listener that asks what an operator decided, five times a second."""

    def executor(self, client: RunClient) -> WarmExecutor:
        self.gates = Gates(client, pool=POOL, fresh_s=0.2)
        return WarmExecutor(client, limit=self.slots, gates=self.gates)

    def more(self, client: RunClient, executor: WarmExecutor) -> dict[str, Any]:
        decisions = self.decisions(client)
        lanes = Lanes(executor, SqlLedger(self.office.engine), MemoryManifests(), client, worker="this")
        self.cancelling = asyncio.create_task(Cancelling(client, lanes, decisions, pool=POOL, every_s=0.2).run())
        return {"gate": self.gates.gate(SEND_BATCH), "decisions": decisions}

    def decisions(self, client: RunClient) -> Decisions:
        engine = self.office.engine
        return Decisions(client, outbox=SqlOutbox(engine), runs=SqlOrderRuns(engine), ledger=SqlLedger(engine))

    def look(self) -> None:
        """Check the states of runs, as the listener does every ten seconds."""

        async def look() -> None:
            async with run_client_context() as context:
                client: Any = context.client
                await self.decisions(client).look()

        asyncio.run(look())

    def later(self, count: int = 3) -> tuple[str, datetime]:
        """Make a batch that is due in two hours, with its scheduled run."""
        due_at = now() + timedelta(hours=2)
        batch_id = self.office.batch(count, now=now(), send_at=due_at)
        self.order(batch_id, due_at)
        self.listen(self.empty)
        return batch_id, due_at


async def deploy() -> None:
    async with get_client() as client:
        await deployed(client)


def now() -> datetime:
    return datetime.now(UTC)


def api(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Do what the UI does."""
    answer = httpx.request(method, f"{PREFECT_API_URL.value()}{path}", json=body, timeout=PATIENCE_S)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def change_deployment(**changes: Any) -> None:
    deployment = api("GET", f"/deployments/name/{SEND_BATCH}")
    api("PATCH", f"/deployments/{deployment['id']}", changes)


def run_of(batch_id: str) -> FlowRun:
    [run] = api("POST", "/flow_runs/filter", {"flow_runs": {"name": {"any_": [batch_id]}}})
    return FlowRun.model_validate(run)


def state_of(run: FlowRun) -> str:
    return str(api("GET", f"/flow_runs/{run.id}")["state_name"])


def cancel(run_id: UUID) -> None:
    api("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})


def swept() -> Any:
    return asyncio.run(sweeping.sweep_outbound(older_than_minutes=0, return_state=True))  # type: ignore[call-overload]
