"""The embedded stack as a whole: up, down, and what runs where."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from mailroom.operations.loops import wait_until
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.environment import ACCOUNT, REGION, aws_environment, process_environment
from mailroom.sandbox.stack.folder import DataFolder, HeldError, read_json, write_json
from mailroom.sandbox.stack.healing import given_up
from mailroom.sandbox.stack.leftovers import end_leftovers
from mailroom.sandbox.stack.parts import Part, only, stack_parts
from mailroom.sandbox.stack.ports import LOOPBACK, answers, choose_ports
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.sandbox.stack.prefect_settings import client_settings, server_settings
from mailroom.sandbox.stack.processes import ProcessId
from mailroom.sandbox.stack.running import State
from mailroom.sandbox.stack.steps import ADMIN_KEY
from mailroom.sandbox.stack.supervisor import Say, Supervisor
from mailroom.settings import CHECKOUT, Settings, data_folder

_DOWN_PATIENCE_S = 60.0


class Stack:
    """One installation of the embedded stack: its folder, ports and secrets, and the settings derived from them."""

    def __init__(self, folder: DataFolder, ports: Mapping[str, int]) -> None:
        self.folder, self.ports = folder, ports
        application = folder.secret("postgres-application")
        self.postgres = Postgres(folder.path, ports["postgres"], folder.secret("postgres"), True, application)
        self._urls = {part: f"http://{LOOPBACK}:{port}" for part, port in ports.items()}
        self._prefect_home = folder.path / "prefect"

    def parts(self) -> list[Part]:
        """Return the parts, each kind with its own environment: only Prefect's server gets its database's password."""
        database = self.postgres.socket_url
        own: dict[str, Callable[[], Mapping[str, str]]] = {
            "server": lambda: server_settings(
                home=self._prefect_home,
                host=LOOPBACK,
                port=self.ports["prefect"],
                database_url=database("prefect", driver="asyncpg"),
            ),
            "client": lambda: client_settings(home=self._prefect_home, url=self._urls["prefect"]) | self.settings(),
            "mailroom": self.settings,
            "owner": lambda: {"MAILROOM_DATABASE_OWNER_URL": self.postgres.url("mailroom")} | self.settings(),
        }
        return stack_parts(data=self.folder.path, ports=self.ports, postgres=self.postgres, own=own)

    def environment(self) -> dict[str, str]:
        """Return the environment that all parts share."""
        return process_environment(os.environ, self.folder.path) | aws_environment(self._urls["aws"])

    def settings(self) -> dict[str, str]:
        """Return Mailroom's settings as environment variables, as far as they are known at this stage of the start."""
        known = self.description()
        if "inbound_bucket" not in known:
            return {"MAILROOM_DATABASE_URL": known["database_url"]}
        of_all = [name for name in Settings.model_fields if name in known and name != "database_owner_url"]
        return Settings(**{name: known[name] for name in of_all}).environment()

    def description(self) -> dict[str, Any]:
        """Return the addresses of all services: the object of `mailroom status --json`, without the state of the parts."""
        provisioned = read_json(self.folder.aws_file) or {}
        return {
            "region": REGION,
            "account_id": ACCOUNT,
            **provisioned,
            "aws_endpoint": self._urls["aws"],
            "smtp_host": LOOPBACK,
            "smtp_port": self.ports["door"],
            "api_url": self._urls["api"],
            "api_key": self.folder.secret(ADMIN_KEY),
            "prefect_url": self._urls["prefect"],
            "prefect_api_url": f"{self._urls['prefect']}/api",
            "database_url": self.postgres.application_url("mailroom"),
            "database_owner_url": self.postgres.url("mailroom"),
            "private_webhooks": True,
            "sender": "mailroom@mailroom.test",
            "bounce_domain": "bounces.mailroom.test",
            # The emulator reports no rate.
            "per_second": 200.0,
            # Links in mails are https; the same paths are served at api_url.
            "public_url": "https://mailroom.test",
            "unsubscribe_key": self.folder.secret("unsubscribe-key"),
            "seal_key": self.folder.secret("seal-key"),
            "data": str(self.folder.path),
        }


def up(say: Say, *, names: list[str] | None = None) -> None:
    """Start the stack, or the named parts and those that they need, and run until a signal ends it.

    Raises:
        StackError: it runs already, cannot start, or a part ended by itself.
    """
    folder = DataFolder(data_folder())
    folder.make()
    try:
        with folder.held():
            for stale in (folder.stack_file, folder.aws_file):
                stale.unlink(missing_ok=True)
            left = end_leftovers(folder)
            if left:
                say(f"stopped {left} processes that an earlier start had left")
            stack = Stack(folder, choose_ports(folder.path / "ports.json"))
            supervise(only(stack.parts(), names or []), folder=folder, say=say, stack=stack)
    except HeldError as held:
        pid = f", process {held.holder.pid}" if held.holder else ""
        raise StackError(f"a stack is already running in {folder.path}{pid}; see `mailroom status`") from None


def supervise(parts: list[Part], *, folder: DataFolder, say: Say, stack: Stack | None = None) -> None:
    """Run `parts` in a locked folder, and keep `stack.json` current while they run."""
    begun = time.monotonic()
    env = stack.environment() if stack else dict(os.environ)
    supervisor = Supervisor(parts, folder=folder, env=env, home=CHECKOUT, say=say)

    def write(state: State, **more: Any) -> None:
        described = stack.description() if stack else {}
        own = {"state": str(state), "pid": os.getpid(), "parts": supervisor.parts_json()}
        write_json(folder.stack_file, described | own | more)

    def when_ready() -> None:
        write(State.READY)
        say(f"ready after {time.monotonic() - begun:.1f} s")
        if stack:
            for line in _where(stack, {part.name for part in parts}):
                say(line)

    try:
        supervisor.run(when_ready)
    except Exception as error:
        write(State.FAILED, reason=str(error))
        raise
    else:
        folder.stack_file.unlink(missing_ok=True)
        say("stopped; no processes are left running")
    finally:
        folder.run_file.unlink(missing_ok=True)


def _where(stack: Stack, started: set[str]) -> list[str]:
    known = stack.description()
    places = {
        "api": ("inbox pages and API", known["api_url"]),
        "prefect": ("Prefect", known["prefect_url"]),
        "door": ("SMTP server", f"{known['smtp_host']}:{known['smtp_port']}"),
        "aws": ("AWS emulator", known["aws_endpoint"]),
        "postgres": ("PostgreSQL", f"{LOOPBACK}:{stack.ports['postgres']}"),
    }
    lines = [f"  {name:<20} {where}" for part, (name, where) in places.items() if part in started]
    lines.append(f"  {'data':<20} {known['data']}")
    if "api" in started:
        lines.append(
            "Sign in to the pages: mailroom user add ops@mail.test --role operator; mailroom user link ops@mail.test"
        )
    if "aws" in started:
        lines.append(
            "The AWS emulator keeps objects, queues and keys in memory only: a stop deletes them. "
            "Everything else is kept."
        )
    return lines


def down(say: Say, *, wipe: bool = False) -> None:
    """Stop the stack and wait for its end; end leftovers of a killed one; with `wipe`, delete its data.

    Raises:
        StackError: another process is starting it at this moment.
    """
    folder = DataFolder(data_folder())
    if not folder.path.exists():
        say(f"no stack is running in {folder.path}")
        return
    holder = folder.holder()
    if holder:
        _end(holder)
    folder.make()
    try:
        with folder.held():
            left = end_leftovers(folder)
            folder.stack_file.unlink(missing_ok=True)
            if wipe:
                folder.wipe()
    except HeldError:
        raise StackError(f"a stack is starting in {folder.path}; try again in a few seconds") from None
    say("stopped" if holder else f"stopped {left} processes" if left else "no stack was running")
    if wipe:
        say(f"deleted the data in {folder.path}")


def _end(supervisor: ProcessId) -> None:
    supervisor.signal(signal.SIGTERM)
    wait_until(lambda: not supervisor.is_alive(), within_s=_DOWN_PATIENCE_S, every_s=0.05)
    supervisor.signal(signal.SIGKILL)


def status() -> dict[str, Any]:
    """Return the current state of all services: `state` is `stopped` if nothing was started here.

    A part is `ready` only if its process lives and its port answers; the stack is `ready` only if all parts are, and
    `starting` from the first moment of a start, even if files of an earlier one are left.

    Raises:
        StackError: the data folder cannot be read.
    """
    folder = DataFolder(data_folder())
    if folder.path.exists() and not folder.path.is_dir():
        raise StackError(f"{folder.path} is not a folder; check MAILROOM_DATA")
    try:
        holder, run, described = folder.holder(), folder.run(), read_json(folder.stack_file)
    except OSError as error:
        raise StackError(f"{folder.path} cannot be read: {error.strerror}") from None
    unknown: dict[str, Any] = {"data": str(folder.path), "parts": []}
    described = unknown | (described if isinstance(described, dict) else {})
    if holder is None and run is None:
        # The last state of a failed stack is kept for reading.
        return described if described.get("state") == State.FAILED else unknown | {"state": str(State.STOPPED)}
    if holder is not None and (run is None or run.get("supervisor") != holder.as_json()):
        return unknown | {"state": str(State.STARTING)}
    assert run is not None
    written = run.get("state", State.FAILED)
    healing = holder is not None and written == State.READY
    parts = [part | {"state": _look(part, healing=healing)} for part in run["parts"]]
    whole = _whole(written, parts) if holder else State.FAILED
    reason = (
        _reason(parts if healing else [])
        if holder
        else "its supervisor has died; run `mailroom up` to clean up and restart the stack"
    )
    return described | {"state": str(whole), "parts": parts} | ({"reason": reason} if reason else {})


def _reason(parts: list[dict[str, Any]]) -> str:
    """Return the sentence about the first part that is not restarted; empty if there is none."""
    for part in parts:
        if part["state"] == State.GIVEN_UP:
            return f"{part['name']} {part['last_death']}, and {given_up(part['log'])}"
    silent = [part for part in parts if part["state"] == State.FAILED]
    return f"{silent[0]['name']} does not respond; see {silent[0]['log']}" if silent else ""


def _look(part: dict[str, Any], *, healing: bool) -> str:
    if part["state"] != State.READY:
        return str(part["state"])
    if not ProcessId.from_json(part).is_alive():
        return str(State.RESTARTING if healing and part.get("heals") else State.FAILED)
    return str(part["state"] if part["port"] is None or answers(part["port"]) else State.FAILED)


def _whole(written: str, parts: list[dict[str, Any]]) -> State:
    states = {part["state"] for part in parts}
    if written != State.READY or states <= {State.READY, State.DONE}:
        return State(written)
    return State.FAILED if states & {State.FAILED, State.GIVEN_UP} else State.RESTARTING
