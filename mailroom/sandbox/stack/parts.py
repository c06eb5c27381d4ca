"""The parts of the embedded stack: what each waits for, how it is started and when it is ready.

    postgres ──┬── prefect ────┐
               └── database ───┼── deployments ── worker
    aws ────────── provision ──┘
                   └──────────── with database: door, api

`database`, `provision` and `deployments` run once and end; the others keep running. Parts that wait for none start
together, and those that import Prefect do that early, so that a start takes little longer than its slowest part.
Those that keep running are restarted if they die, except `aws`.
"""

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mailroom.sandbox.stack.ports import LOOPBACK, is_free
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.sandbox.stack.probes import exists, greets, page_answers

_PYTHON = (sys.executable, "-m")


def _nothing() -> None:
    """Prepare nothing."""


def _empty() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the stack.

    `env` is called when the part starts, so that it can name what earlier parts created; it adds to the environment
    that all parts share. A part with `once` is ready when it ended with exit code 0; any other is ready when `ready`
    returns True, and must keep running. One with a `gate` is started early and waits for that file (see `preload`);
    the environment in the file adds to the one it was started with. A part has `patience_s` to get ready, and `grace_s` to end before it is killed.
    One that `heals` is started again when it dies after the start; the death of any other ends the stack, and `loss` says why.
    `stopping` returns whether a live one has begun to end, which a closed port alone does not show.
    """

    name: str
    argv: Callable[[], list[str]] | list[str]
    after: tuple[str, ...] = ()
    env: Callable[[], Mapping[str, str]] = field(default=_empty)
    ready: Callable[[], bool] = field(default=lambda: True)
    once: bool = False
    gate: Path | None = None
    port: int | None = None
    prepare: Callable[[], None] = field(default=_nothing)
    stop_signal: signal.Signals = signal.SIGTERM
    patience_s: float = 300
    grace_s: float = 10
    heals: bool = False
    loss: str = ""
    stopping: Callable[[], bool] = field(default=lambda: False)

    def is_leaving(self) -> bool:
        """Return whether it lives but no longer serves: something else asked it to stop, and it may never end."""
        return self.stopping() or (self.port is not None and is_free(self.port))

    def command(self) -> list[str]:
        """Return its command line."""
        return self.argv() if callable(self.argv) else self.argv


def stack_parts(
    *, data: Path, ports: Mapping[str, int], postgres: Postgres, own: Mapping[str, Callable[[], Mapping[str, str]]]
) -> list[Part]:
    """Return the parts of the whole stack; `own` has the environment of each kind of part: server, client, mailroom, owner."""
    server, client, mailroom = own["server"], own["client"], own["mailroom"]
    ready_file = data / "worker.ready"
    return [
        Part(
            name="postgres",
            argv=postgres.argv,
            prepare=postgres.initialise,
            ready=postgres.is_ready,
            port=postgres.port,
            heals=True,
            stopping=postgres.is_stopping,
            # SIGTERM would wait for every client to disconnect; SIGINT is its fast shutdown, and loses nothing.
            stop_signal=signal.SIGINT,
        ),
        Part(
            name="aws",
            argv=[*_PYTHON, "mailroom.sandbox.stand_ins.emulator", "-H", LOOPBACK, "-p", str(ports["aws"])],
            ready=partial(page_answers, ports["aws"], "/moto-api/data.json"),
            port=ports["aws"],
            loss="the AWS emulator kept buckets, queues and keys in memory only, so the stack stops; start it again "
            "with `mailroom up`",
        ),
        Part(
            name="prefect",
            argv=[*_PYTHON, "deployments.server"],
            after=("postgres",),
            env=server,
            ready=partial(page_answers, ports["prefect"], "/api/health"),
            port=ports["prefect"],
            heals=True,
        ),
        _step("database", after=("postgres",), env=own["owner"]),
        _step("provision", after=("aws",), env=mailroom),
        Part(
            name="deployments",
            argv=[*_PYTHON, "mailroom.sandbox.stack.preload", "deployments.ensure", str(data / "deployments.gate")],
            gate=data / "deployments.gate",
            after=("prefect", "database", "provision"),
            env=client,
            once=True,
        ),
        Part(
            name="worker",
            argv=[*_PYTHON, "mailroom.sandbox.stack.preload", "deployments.worker.process", str(data / "worker.gate")],
            gate=data / "worker.gate",
            after=("deployments",),
            env=lambda: {**client(), "MAILROOM_READY_FILE": str(ready_file)},
            prepare=lambda: ready_file.unlink(missing_ok=True),
            ready=partial(exists, ready_file),
            heals=True,
            # It returns unfinished mails to the queue, and takes up to ten seconds for that.
            grace_s=15,
        ),
        Part(
            name="api",
            argv=[*_PYTHON, "mailroom.api.serve", "--port", str(ports["api"])],
            after=("database", "provision"),
            env=client,
            ready=partial(page_answers, ports["api"], "/healthz"),
            port=ports["api"],
            heals=True,
        ),
        Part(
            name="door",
            argv=[*_PYTHON, "mailroom.sandbox.stand_ins.door", "--port", str(ports["door"])],
            after=("database", "provision"),
            env=mailroom,
            ready=partial(greets, ports["door"], b"220"),
            port=ports["door"],
            heals=True,
        ),
    ]


def _step(name: str, *, after: tuple[str, ...], env: Callable[[], Mapping[str, str]]) -> Part:
    return Part(name=name, argv=[*_PYTHON, "mailroom.sandbox.stack.steps", name], after=after, env=env, once=True)


def only(parts: list[Part], names: list[str]) -> list[Part]:
    """Return the named parts and those that they wait for, in order; all of them if none is named."""
    if not names:
        return parts
    wanted = set(names)
    for part in reversed(parts):
        if part.name in wanted:
            wanted.update(part.after)
    return [part for part in parts if part.name in wanted]
