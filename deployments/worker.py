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
from datetime import timedelta
from pathlib import Path
from typing import cast

import httpx
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from sqlalchemy import Engine, text

from blocks.inbound import open_inbound
from deployments.client import RunClient, run_client_context
from deployments.executor import WarmExecutor
from deployments.health import Health
from deployments.lanes import Lanes
from deployments.listener import Listener, Timing
from deployments.logs import log_to_stderr
from deployments.mailbox import open_mailbox
from deployments.pool_worker import MailroomWorker
from deployments.runs import InboundRuns
from deployments.tracking import TrackingThread
from mailroom.adapters import aws
from mailroom.adapters.kms import KmsKeys
from mailroom.adapters.manifests_s3 import S3Manifests
from mailroom.adapters.prefect_http import refuse_if_open
from mailroom.adapters.sql.engine import make_engine
from mailroom.adapters.sql.ledger import SqlLedger
from mailroom.adapters.sql.roster import SqlRoster
from mailroom.adapters.sqs import SqsQueue
from mailroom.domain.envelope import ses_context
from mailroom.domain.errors import ConfigurationError
from mailroom.inbound.holding import beat_s, worker_name
from mailroom.ports import Manifests
from mailroom.settings import Settings, load_settings

logger = logging.getLogger("mailroom.worker")

POOL = "mailroom"

_STOP_PATIENCE_S = 5.0

#: Orchestrators kill after ten seconds. What is in hand then comes back by itself, as after any other end.
_STOPPED_WITHIN_S = 8.5
_POLL_AGAIN_S = 5.0


class WarmWorker:
    """Listener and pool worker around one executor, started and stopped together."""

    def __init__(self, settings: Settings, *, limit: int, timing: Timing | None = None) -> None:
        self._settings = settings
        self._limit = limit
        self._timing = timing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._asked_at: float | None = None
        self.failed = False

    def run(self) -> None:
        """Work until `stop`; blocks. `failed` says whether it ended otherwise."""
        try:
            asyncio.run(self._run())
        except Exception:
            self.failed = True
            logger.exception("the worker cannot go on")

    def stop(self) -> None:
        """Stop gracefully; may be called from any thread."""
        self._asked_at = self._asked_at or time.monotonic()
        if self._loop is None:
            self._stop.set()  # Nobody waits for it yet.
        else:
            self._loop.call_soon_threadsafe(self._stop.set)

    def is_late(self) -> bool:
        """Tell whether it was told to stop too long ago."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > _STOPPED_WITHIN_S

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(5 * self._limit + 8, thread_name_prefix="mailroom"))
        # Prefect's heartbeats would cost a thread and an event for each run; the ledger's beats say who is alive.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            await self._work()

    async def _work(self) -> None:
        async with run_client_context() as context:
            client = cast(RunClient, context.client)
            name = worker_name()
            executor = WarmExecutor(client, limit=self._limit)
            runs = InboundRuns(client)
            engine = make_engine(self._settings.database_url.get_secret_value())
            manifests = self._manifests()
            lanes = Lanes(executor, SqlLedger(engine), manifests, client, worker=name)
            timing = self._timing or Timing.of(beat_s())
            listener = self._listener(lanes, runs, engine, manifests, name, timing)
            mailbox = open_mailbox(self._settings, client, executor, limit=2 * self._limit, timing=timing)
            await asyncio.gather(executor.preload(await runs.deployment_id()), open_inbound())
            listening = asyncio.create_task(listener.run())
            sending = asyncio.create_task(mailbox.run())
            polling = asyncio.create_task(self._poll(lanes, name))
            tracking = TrackingThread(self._settings)
            tracking.start()
            _tell_ready()
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
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)

    async def _poll(self, lanes: Lanes, name: str) -> None:
        """Poll the work pool. Prefect's loop gives up after a long outage of the server; this one begins again."""
        while True:
            worker = MailroomWorker(work_pool_name=POOL, name=name, limit=self._limit)
            worker.lanes, worker.is_stopping = lanes, self._stop.is_set
            try:
                await worker.start(printer=logger.info)
            except Exception as error:  # noqa: BLE001 - an outage of the server must not end the worker
                logger.warning("polling of pool %s ended: %s; it begins again", POOL, type(error).__name__)
            await asyncio.sleep(_POLL_AGAIN_S)

    def _manifests(self) -> S3Manifests:
        settings = self._settings
        return S3Manifests(
            aws.client("s3", region=settings.region),
            bucket=settings.archive_bucket,
            lock_mode=settings.archive_lock_mode,
            retention=timedelta(days=settings.archive_retention_days),
        )

    def _listener(
        self, lanes: Lanes, runs: InboundRuns, engine: Engine, manifests: Manifests, name: str, timing: Timing
    ) -> Listener:
        settings = self._settings
        s3, kms = aws.client("s3", region=settings.region), aws.client("kms", region=settings.region)

        def ask_database() -> None:
            with engine.connect() as connection:
                connection.execute(text("select 1"))

        keys = KmsKeys(kms, key_arn=settings.kms_key_arn)
        # Key policies may ask for a context like SES's.
        like_ses = ses_context(
            message_id="probe", rule="probe", account_id=settings.account_id, key_id=settings.kms_key_arn
        )
        health = Health(
            {
                "Prefect": lambda: httpx.get(f"{settings.prefect_api_url}/health", timeout=5).raise_for_status(),
                "PostgreSQL": ask_database,
                "S3": lambda: s3.head_bucket(Bucket=settings.inbound_bucket),
                "the archive": lambda: s3.head_bucket(Bucket=settings.archive_bucket),
                "KMS": lambda: keys.check(like_ses),
            }
        )
        queue = SqsQueue(aws.client("sqs", region=settings.region), url=settings.inbound_queue_url)
        ledger, roster = SqlLedger(engine), SqlRoster(engine)
        return Listener(
            queue, ledger, runs, lanes, health, roster, manifests, worker=name, limit=self._limit, timing=timing
        )


def _tell_ready() -> None:
    ready = os.environ.get("MAILROOM_READY_FILE")
    if ready:
        Path(ready).touch()
    logger.info("worker ready")


def main(timing: Timing | None = None) -> None:
    """Run until SIGTERM or SIGINT, then give unfinished mails back to the queue and end within 10 s."""
    log_to_stderr()
    # That a task has ended is in its state; said again in the log it is eight rows for each mail.
    logging.getLogger("prefect.task_runs").setLevel(logging.WARNING)
    try:
        settings = load_settings()
        password = PREFECT_API_AUTH_STRING.value() or PREFECT_API_KEY.value()
        refuse_if_open(PREFECT_API_URL.value() or settings.prefect_api_url, password=password)
    except ConfigurationError as error:
        sys.exit(f"mailroom worker: {error}")
    worker = WarmWorker(settings, limit=int(os.environ.get("MAILROOM_WORKER_LIMIT", "8")), timing=timing)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: worker.stop())
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.5)
        if worker.is_late():
            logger.error("not stopped after %.1f s; what is in hand comes back by itself", _STOPPED_WITHIN_S)
            os._exit(0)
    sys.exit(1 if worker.failed else 0)


if __name__ == "__main__":
    main()
