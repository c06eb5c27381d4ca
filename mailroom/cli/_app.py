"""The command line. Each command takes `--json` for programs, and fails with one clear line on stderr.

Commands are the modules of `mailroom/cli/`: a file `demo.py` with a Typer named `app` is the command `demo`, and
its docstring's first line is what `mailroom --help` says of it. A module is imported only when its command runs.
"""

import ast
import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mailroom.domain.errors import ConfigurationError, MailroomError

if TYPE_CHECKING:
    from mailroom.wiring import Store

_COMMANDS = Path(__file__).parent


class _Lazy(TyperGroup):
    """The commands of this module, and those in `mailroom/cli/`, which are imported only when one runs."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return [*super().list_commands(ctx), *(name for name in _summaries() if name not in self.commands)]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name in self.commands or cmd_name not in _summaries():
            return super().get_command(ctx, cmd_name)
        from importlib import import_module

        try:
            module = import_module(f"mailroom.cli.{cmd_name.replace('-', '_')}")
        except ModuleNotFoundError as missing:
            if not missing.name or missing.name.startswith("mailroom"):
                raise
            raise ConfigurationError(
                f"`mailroom {cmd_name}` needs {missing.name}, which is not installed; install mailroom[sandbox]"
            ) from None
        return typer.main.get_command(module.app)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        here = {name: command.get_short_help_str(100) for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(list((here | _summaries()).items()))


def _summaries() -> dict[str, str]:
    """Return the first docstring line of each command module."""
    summaries = {}
    for file in sorted(_COMMANDS.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(file.read_text())) or ""
        summaries[file.stem.replace("_", "-")] = text.partition("\n")[0]
    return summaries


app = typer.Typer(
    cls=_Lazy,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from mailroom.cli._commit import version

        say(f"mailroom {version()}")
        raise typer.Exit


@app.callback()
def _mailroom(
    version: Annotated[
        bool, typer.Option("--version", help="Print version and commit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Receives e-mail, archives and files it; sends batches, each message once, and shows what became of each.

    First steps:

    \b
      mailroom up --detach                     start everything on this machine
      mailroom address add ada@mailroom.test   an address that receives
      mailroom status                          where the inbox, Prefect and the SMTP server are
      mailroom down                            stop it; --wipe deletes its data
    """


def say(line: str) -> None:
    """Print a line and flush it; a closed pipe (`| head`) must not stop a stack half way."""
    with suppress(BrokenPipeError):
        print(line, flush=True)


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; return when everything is ready.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Start only this part and what it needs; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start the embedded stack and print where its parts run; Ctrl-C stops it."""
    from mailroom.sandbox.stack import background, stack

    progress = _to_stderr if as_json else say
    if detach:
        background.up_detached(progress, names=only)
        if as_json:
            say(json.dumps(stack.status(), indent=1))
    else:
        stack.up(progress, names=only)


#: Exit codes of `mailroom status` while the stack starts, stops or restarts a part, and where none runs.
_UNDER_WAY, _NOT_RUNNING = 3, 4


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show each part of the stack; fails unless every part is ready and all data is in an allowed region.

    A part that exits is restarted automatically: its state is restarting, with the number of restarts and the last exit.

    \b
    Exit codes:
      0  everything is ready
      1  a part failed and is no longer restarted, or data is outside the allowed regions; the last line says what to do
      3  starting, restarting or stopping: try again in a few seconds
      4  no stack is running here: start it with mailroom up
    """
    from mailroom.cli import _well
    from mailroom.cli._regions import region_lines, regions_of
    from mailroom.sandbox.stack import stack

    facts = stack.status()
    facts["workers"], facts["regions"] = _on_duty(facts), regions_of(facts)
    facts["scheduler"] = _scheduler(facts)
    facts["held"], facts["well"] = _held(facts), _well.look(facts)
    if as_json:
        say(json.dumps(facts, indent=1))
    else:
        for part in facts["parts"]:
            say(_part_line(part))
        for worker in facts["workers"]:
            paused = f", paused: {worker['paused_by']} is unavailable" if worker["paused_by"] else ""
            paused += f", held: {worker['held_by']}" if worker["held_by"] else ""
            say(
                f"{'worker':<12} {worker['name']}, {worker['silent_s']} s ago{paused}; {len(worker['holds'])} e-mails "
                "in progress"
            )
            for message_id in worker["holds"]:
                say(f"{'':<12} {message_id}")
        if facts["scheduler"]:
            say(f"{'schedules':<12} {facts['scheduler']['says']}")
        for line in region_lines(facts["regions"]):
            say(line)
        for one in facts["held"]:
            say(f"{'held':<12} {one['batches']} batches, {one['messages']} messages: {one['why']}")
            say(f"{'':<12} decide with `mailroom batch list --held`")
        for line in _well.lines(facts["well"]):
            say(line)
        for name in ("api_url", "prefect_url", "aws_endpoint", "data"):
            if name in facts:
                say(f"{name:<12} {facts[name]}")
    _end_as(facts)


def _part_line(part: dict[str, Any]) -> str:
    port = f"127.0.0.1:{part['port']}" if part["port"] else ""
    pid = f"pid {part['pid']}" if part["pid"] else ""
    line = f"{part['name']:<12} {part['state'].replace('_', ' '):<10} {port:<16} {pid}"
    if part.get("last_death"):
        line += f"  restarted {part['restarts']} times; last exit {part['last_death_at']}: {part['last_death']}"
    return line.rstrip()


def _end_as(facts: dict[str, Any]) -> None:
    """Exit with the code of the stack's state, and print what is wrong."""
    state, why = facts["state"], facts.get("reason")
    if faults := [one for one in facts["regions"]["resources"] if one["fault"]]:
        raise ConfigurationError(
            f"{len(faults)} resources are outside the regions of MAILROOM_REGIONS_ALLOWED; see above"
        )
    if state == "ready":
        return
    if state == "stopped":
        _to_stderr(f"mailroom: no stack is running in {facts['data']}; start it with `mailroom up`")
        raise typer.Exit(_NOT_RUNNING)
    if state in ("starting", "restarting", "stopping"):
        down = [part["name"] for part in facts["parts"] if part["state"] not in ("ready", "done")]
        which = f" ({', '.join(down)})" if down else ""
        _to_stderr(f"mailroom: the stack is {state}{which}; try again in a few seconds")
        raise typer.Exit(_UNDER_WAY)
    raise ConfigurationError(f"the stack is {state}" + (f": {why}" if why else ""))


def _serves(facts: dict[str, Any], part: str) -> bool:
    """Return whether a part serves at a known address; at the stack's first start it does not."""
    is_ready = any(one["name"] == part and one["state"] == "ready" for one in facts["parts"])
    return is_ready and {"database_url", "prefect_api_url"} <= set(facts)


def _on_duty(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the workers and their work; none if the database does not serve."""
    if not _serves(facts, "postgres"):
        return []
    now = datetime.now(UTC)
    try:
        workers = _store(facts).roster.live_workers()
    except MailroomError:
        return []
    return [
        {
            "name": worker.name,
            "silent_s": round(max((now - worker.beat_at).total_seconds(), 0)),
            "paused_by": worker.paused_by,
            "held_by": worker.held_by,
            "holds": list(worker.holds),
        }
        for worker in workers
    ]


def _store(facts: dict[str, Any]) -> "Store":
    from mailroom import wiring

    return wiring.Store(wiring.engine_of(facts["database_url"], wiring.COMMAND))


def _scheduler(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Return when Prefect's scheduler last worked; None if Prefect does not serve."""
    from mailroom import wiring

    if not _serves(facts, "prefect"):
        return None
    now = datetime.now(UTC)
    try:
        seen = wiring.scheduler(facts["prefect_api_url"]).look()
    except MailroomError:
        return None
    worked = seen.last_worked_at
    sentence = f"last scheduled {round((now - worked).total_seconds())} s ago" if worked else "nothing scheduled yet"
    if seen.is_silent(now):
        without = f": no runs ahead for {', '.join(seen.idle)}" if seen.idle else ""
        sentence += f"; SILENT{without}; see prefect.log (normal in the first minute after `mailroom up`)"
    return {**seen.as_json(now), "says": sentence}


def _held(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is held until a person decides, by reason; empty if the database does not serve."""
    if not _serves(facts, "postgres"):
        return []
    try:
        counts = _store(facts).outbox.held_count()
    except MailroomError:
        return []
    return [
        {
            "reason": reason.value,
            "why": reason.sentence,
            "what_to_do": reason.remedy,
            "batches": count.batches,
            "messages": count.messages,
        }
        for reason, count in counts.items()
    ]


@app.command()
def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete its data too.")] = False, as_json: AsJson = False
) -> None:
    """Stop the embedded stack; --wipe deletes its data."""
    from mailroom.sandbox.stack import stack

    stack.down(_to_stderr if as_json else say, wipe=wipe)
    if as_json:
        say(json.dumps({"state": "stopped", "wiped": wipe}))


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run the command line; a configuration error or an error with a mail is one line on stderr and exit code 1."""
    try:
        app(prog_name="mailroom")
    except (ConfigurationError, MailroomError) as error:
        print(f"mailroom: {error}", file=sys.stderr)
        sys.exit(1)
