"""The report of an inbound e-mail's run in the Prefect UI: tags and a short text. Ids, sizes and counts only."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.runtime import flow_run

from flows.support.events import EventName, emit
from mailroom.archive.depositing import DepositReceipts
from mailroom.crash_points import crash_point
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import Entry, State
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.inbound import Inbound
from mailroom.ports.manifests import KeptManifests
from tasks.support.steps import blocking


@dataclass(slots=True)
class Progress:
    """Progress of one e-mail in this run; `failed` are the processors that failed, as `<processor>/<tenant>`."""

    entry: Entry
    routing: RoutingDecision | None = None
    kept: DepositReceipts = field(default_factory=dict)
    manifests: KeptManifests = field(default_factory=dict)
    items: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    outcome: State = State.PROCESSING
    reason: str | None = None

    async def close(self, state: State, inbound: Inbound, *, reason: str, facts: Mapping[str, Any]) -> None:
        """Record in the ledger that the e-mail was not filed."""
        self.reason = reason
        self.outcome = await blocking(
            inbound.ledger.close,
            self.entry.id,
            state,
            now=datetime.now(UTC),
            reason=reason,
            facts=facts,
            attempt=self.entry.attempts,
        )


async def report(mail: Progress, inbound: Inbound) -> None:
    """Give the run its name and tags, and attach the report."""
    run_id = UUID(str(flow_run.get_id()))
    # Prefect's own function looks for tasks, keys and clients first, at twice the cost.
    values = ArtifactCreate(
        type="markdown", data=_markdown(mail, inbound.pages_url), description="One received e-mail", flow_run_id=run_id
    )
    crash_point("before", "report")
    async with get_client() as client:
        await asyncio.gather(
            client.update_flow_run(run_id, name=mail.entry.ref.message_id, tags=_tags(mail)),
            client.create_artifact(values),
        )
    if mail.outcome is State.QUARANTINED:
        emit(EventName.QUARANTINED, f"email.{mail.entry.id}", facts={"reason": mail.reason or ""}, run_id=str(run_id))
    crash_point("after", "report")


async def done_now(keys: Collection[str]) -> None:
    """Remove the failure tags of processors that have now succeeded."""
    run_id, over = UUID(str(flow_run.get_id())), {_failed_tag(key) for key in keys}
    async with get_client() as client:
        known = (await client.read_flow_run(run_id)).tags
        await client.update_flow_run(run_id, tags=[tag for tag in known if tag not in over])


def _failed_tag(key: str) -> str:
    return f"failed:{key}"


def _tags(mail: Progress) -> list[str]:
    tags = {f"outcome:{mail.outcome}", f"prefix:{mail.entry.ref.prefix}"}
    if mail.reason:
        tags |= {f"reason:{word}" for word in (mail.reason, InboundReason.old_word(mail.reason))}
    tags |= {_failed_tag(key) for key in mail.failed}
    if mail.routing:
        tags |= {f"tenant:{tenant}" for tenant in mail.routing.tenants}
        tags |= {f"route:{route.why}" for route in mail.routing.routes}
    return sorted(tags)


def _markdown(mail: Progress, pages_url: str) -> str:
    known = InboundReason.read(mail.reason)
    lines = [
        f"**{mail.outcome}**" + (f": {mail.reason}" if mail.reason else ""),
        "",
        *([f"{known.sentence}. What to do: {known.remedy}.", ""] if known else []),
        f"- e-mail `{mail.entry.id}`, attempt {mail.entry.attempts}",
        f"- object `{mail.entry.ref.bucket}/{mail.entry.ref.key}`",
        f"- items: {len(mail.items)}"
        + "".join(f" [{at}]({pages_url}/items/{item})" for at, item in enumerate(mail.items, 1)),
    ]
    if mail.routing and mail.routing.report:
        lines.append(f"- report of message `{mail.routing.report.message_id}`: {mail.routing.report.kind}")
    lines += [f"- failed: `{key}`; repeat it with `mailroom replay {mail.entry.id}`" for key in mail.failed]
    if mail.kept:
        lines += ["", "| deposit | bytes | version | locked until |", "|---|---|---|---|"]
        lines += [
            f"| `{kept.tenant}/{kept.sha256[:12]}` | {kept.size} | `{kept.version[:12]}` | "
            f"{kept.retain_until:%Y-%m-%d} |"
            for kept in mail.kept.values()
        ]
    return "\n".join(lines)
