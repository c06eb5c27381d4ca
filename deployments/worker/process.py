"""The warm worker: one process that listens to the inbound and mailbox queues and polls its pool. `python -m deployments.worker`.

The event loop runs outside the main thread: Prefect's engine installs a SIGTERM handler of its own for each run in a
main thread, which would turn a graceful stop into crashed runs.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from blocks.inbound import open_inbound
from blocks.outbound import refuse_providers_outside
from deployments.worker.cancelling import Cancelling
from deployments.worker.client import RunClient, run_client_context
from deployments.worker.decisions import Decisions
from deployments.worker.executor import WarmExecutor
from deployments.worker.gates import Gate, Gates, LimitShare
from deployments.worker.health import Health
from deployments.worker.lanes import Lanes
from deployments.worker.listener import Listener
from deployments.worker.mailbox import open_mailbox
from deployments.worker.pool_worker import MailroomWorker
from deployments.worker.probes import inbound_probes
from deployments.worker.queue_listener import Timing
from deployments.worker.runs import InboundRuns
from deployments.worker.scheduler_watch import SchedulerWatch
from deployments.worker.schema_watch import SchemaWatch
from deployments.worker.tracking import TrackingThread
from mailroom import wiring
from mailroom.adapters.aws.regions import refuse_outside, warn_of_short_lived_queues
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.adapters.postgres.schema_upgrade import refuse_start
from mailroom.adapters.prefect.http import RECEIVE_EMAIL, SEND_BATCH, refuse_if_open
from mailroom.domain.errors import ConfigurationError
from mailroom.inbound.lease import heartbeat_s, lease_at, worker_name
from mailroom.operations.logs import log_to_stderr
from mailroom.settings import Settings, load_settings, use_stack_environment
from mailroom.wiring import Installation, Store

logger = logging.getLogger("mailroom.worker")

POOL = "mailroom"

_STOP_PATIENCE_S = 5.0

#: Orchestrators kill after ten seconds. Unfinished mails then come back by their visibility timeout, as after any end.
_STOPPED_WITHIN_S = 8.5
_POLL_AGAIN_S = 5.0


class WarmWorker:
    """Listeners and pool worker around one executor, started and stopped together."""

    def __init__(self, settings: Settings, *, limit: int, timing: Timing | None = None) -> None:
        self._settings = settings
        self._limit = limit
        self._timing = timing or Timing.of(heartbeat_s())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._asked_at: float | None = None
        self.failed = False

    def run(self) -> None:
        """Work until `stop`; blocks. `failed` is true if it ended otherwise."""
        try:
            asyncio.run(self._run())
        except ConfigurationError as error:
            self.failed = True
            print(f"mailroom worker: {error}", file=sys.stderr, flush=True)
        except Exception:
            self.failed = True
            logger.exception("the worker stopped after an unexpected error")

    def stop(self) -> None:
        """Stop gracefully; may be called from any thread."""
        self._asked_at = self._asked_at or time.monotonic()
        if self._loop is None:
            self._stop.set()  # The loop has not started.
        else:
            self._loop.call_soon_threadsafe(self._stop.set)

    def is_late(self) -> bool:
        """Return whether a stop was requested too long ago."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > _STOPPED_WITHIN_S

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(5 * self._limit + 8, thread_name_prefix="mailroom"))
        # Prefect's heartbeats would cost a thread and an event for each run; the ledger's heartbeats show which workers live.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            await self._work()

    async def _work(self) -> None:
        async with run_client_context() as context:
            client = cast(RunClient, context.client)
            name = worker_name()
            installation = Installation(self._settings, budget=wiring.LISTENERS)
            engine, store, manifests = installation.engine, installation.store, installation.manifests
            gates = Gates(client, pool=POOL, share=partial(share_of, store.roster, name))
            executor = WarmExecutor(client, limit=self._limit, gates=gates)
            runs = InboundRuns(client)
            # Before anything is received: waiting messages of a restored database are held first.
            await asyncio.to_thread(installation.restores.start)
            lanes = Lanes(executor, store.ledger, manifests, client, worker=name)
            health = Health(inbound_probes(client, engine))
            decisions = _decisions(client, store)
            listener = self._listener(lanes, runs, installation, health, gates.gate(RECEIVE_EMAIL))
            mailbox = open_mailbox(
                *(installation, client, executor),
                limit=2 * self._limit,
                timing=self._timing,
                gate=gates.gate(SEND_BATCH),
                decisions=decisions,
            )
            await asyncio.gather(
                executor.preload(await runs.deployment_id()), open_inbound(), refuse_providers_outside()
            )
            listening = asyncio.create_task(listener.run())
            sending = asyncio.create_task(mailbox.run())
            schema = SchemaWatch(engine, [health, mailbox.health], every_s=self._timing.beat_s)
            scheduler = SchedulerWatch(installation.scheduler)
            cancelling = Cancelling(client, lanes, decisions, pool=POOL)
            loops = schema.run(), scheduler.run(), cancelling.run(), self._poll(lanes, schema, name, gates)
            always = [asyncio.create_task(loop) for loop in loops]
            tracking = TrackingThread(installation)
            tracking.start()
            _signal_ready()
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait({listening, sending, stopped}, return_when=asyncio.FIRST_COMPLETED)
            logger.info("stopping")
            self._stop.set()
            listener.stop()
            mailbox.stop()
            await asyncio.gather(
                listening,
                sending,
                lanes.stop(patience_s=_STOP_PATIENCE_S),
                tracking.stop(patience_s=_STOP_PATIENCE_S),
            )
            for task in always:
                task.cancel()
            await asyncio.gather(*always, return_exceptions=True)

    async def _poll(self, lanes: Lanes, schema: SchemaWatch, name: str, gates: Gates) -> None:
        """Poll the work pool, except while the schema does not fit: due runs wait there.

        Prefect's loop gives up after a long outage of the server; this one starts it again.
        """
        while True:
            worker = MailroomWorker(work_pool_name=POOL, name=name, limit=self._limit)
            worker.lanes, worker.gates = lanes, gates
            worker.is_stopping = lambda: self._stop.is_set() or not schema.fits
            try:
                await worker.start(printer=logger.info)
            except Exception as error:  # noqa: BLE001 - an outage of the server must not end the worker
                logger.warning("polling of work pool %s failed and is restarted: %s", POOL, type(error).__name__)
            await asyncio.sleep(_POLL_AGAIN_S)

    def _listener(
        self, lanes: Lanes, runs: InboundRuns, installation: Installation, health: Health, gate: Gate
    ) -> Listener:
        store, queue = installation.store, installation.queue(self._settings.inbound_queue_url)
        parts = queue, store.ledger, runs, lanes, health, store.roster, installation.manifests
        options: dict[str, Any] = {"limit": self._limit, "timing": self._timing, "gate": gate}
        return Listener(*parts, worker=worker_name(), other_notices=store.other_notices, **options)


def share_of(roster: SqlRoster, worker: str) -> LimitShare:
    """Return this worker's share of limits, by the roster of living workers."""
    return LimitShare(*roster.number(worker, since=lease_at(datetime.now(UTC)).stale_before))


def _decisions(client: RunClient, store: Store) -> Decisions:
    return Decisions(client, outbox=store.outbox, runs=store.order_runs, ledger=store.ledger)


def _signal_ready() -> None:
    ready = os.environ.get("MAILROOM_READY_FILE")
    if ready:
        Path(ready).touch()
    logger.info("worker ready")


def main(timing: Timing | None = None) -> None:
    """Run until SIGTERM or SIGINT, then give unfinished mails back to the queue and end within 10 s."""
    log_to_stderr()
    # The end of a task is in its state already; logging it adds eight rows for each mail.
    logging.getLogger("prefect.task_runs").setLevel(logging.WARNING)
    try:
        use_stack_environment()
        settings = load_settings()
        password = PREFECT_API_AUTH_STRING.value() or PREFECT_API_KEY.value()
        refuse_if_open(PREFECT_API_URL.value() or settings.prefect_api_url, password=password)
        refuse_start(settings.database_url.get_secret_value())
        refuse_outside(settings)
        wiring.keep_to(wiring.WORKER)
        wiring.Installation(settings).refuse_unfit_archive()
    except ConfigurationError as error:
        sys.exit(f"mailroom worker: {error}")
    warn_of_short_lived_queues(settings)
    worker = WarmWorker(settings, limit=int(os.environ.get("MAILROOM_WORKER_LIMIT", "8")), timing=timing)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: worker.stop())
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.5)
        if worker.is_late():
            logger.error("not stopped after %.1f s; unfinished messages return to the queue", _STOPPED_WITHIN_S)
            os._exit(0)
    sys.exit(1 if worker.failed else 0)


if __name__ == "__main__":
    main()
