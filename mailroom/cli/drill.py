"""Kill workers at every crash point and at random while mails arrive, and prove that none is lost or filed twice.

With `--outbound`, kills workers while batches are sent to a counting server: none is lost, and none is received twice.

The drill starts a separate embedded stack and deletes it at the end; your own stack is not affected. The proof is
`mailroom check`, and for received mail `mailroom archive verify`: they share no code with what they check. The seed of an earlier drill repeats its kills at the same
moments. A drill fails if no random kill hit a mail in progress, for it proves nothing.
"""

import json
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from mailroom.cli._app import AsJson, say
from mailroom.sandbox.drills.drill import Drill, Outcome
from mailroom.sandbox.drills.drill_batches import open_drill_batches
from mailroom.sandbox.drills.drill_stack import DrillStack, open_drill_stack
from mailroom.sandbox.drills.send_drill import SendDrill, SendOutcome
from mailroom.sandbox.drills.workers import ForkServer
from mailroom.sandbox.stack.ports import any_free_port
from mailroom.sandbox.stand_ins.behaviours import Behaviour
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)

#: Default numbers of mails under way, inbound and outbound; batches are sent at `_PER_SECOND` messages a second.
_ARRIVING, _SENDING = 30, 1500
_PER_SECOND = 60.0


@app.command()
def drill(
    outbound: Annotated[bool, typer.Option("--outbound", help="Send batches, and count the mails received.")] = False,
    kills: Annotated[int, typer.Option(help="Number of random kills.", min=0)] = 500,
    minutes: Annotated[float, typer.Option(help="Random kills last at most this many minutes.", min=0)] = 30,
    workers: Annotated[int, typer.Option(help="Number of workers at a time.", min=1)] = 1,
    in_hand: Annotated[
        int | None,
        typer.Option(
            help=f"Mails in progress at any time; by default {_ARRIVING}, or {_SENDING} with --outbound.", min=1
        ),
    ] = None,
    points: Annotated[bool, typer.Option(help="Kill at every crash point first.")] = True,
    seed: Annotated[int | None, typer.Option(help="Repeat the drill with this seed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Kill workers at every crash point and at random while mails arrive or batches are sent; prove that none is lost or duplicated."""
    chosen = seed if seed is not None else secrets.randbelow(1_000_000)
    _print_line(f"seed {chosen}")
    how: dict[str, Any] = {"kills": kills, "seconds": minutes * 60, "workers": workers}
    how["in_hand"] = in_hand or (_SENDING if outbound else _ARRIVING)
    hold = _send if outbound else _receive
    with (
        tempfile.TemporaryDirectory(prefix="mailroom-drill-") as folder,
        open_drill_stack(Path(folder) / "stack", seed=chosen, archived=True) as drill_stack,
        ForkServer(drill_stack.environment(), drill_stack.folder / "drill") as fork_server,
    ):
        outcome = hold(drill_stack, fork_server, chosen, points, **how)
    say(json.dumps(outcome.as_json(), indent=1)) if as_json else _show(outcome)
    if not outcome.is_clean:
        raise typer.Exit(1)


def _receive(
    drill_stack: DrillStack, fork_server: ForkServer, seed: int, points: bool, *, workers: int, **how: Any
) -> Outcome:
    held = Drill(drill_stack, fork_server, seed=seed, say=_print_line)
    if points:
        held.kill_at_points(mails=5)
        held.settle(workers=workers)
    held.kill_at_random(workers=workers, **how)
    return held.prove(workers=workers)


def _send(
    drill_stack: DrillStack, fork_server: ForkServer, seed: int, points: bool, *, workers: int, **how: Any
) -> SendOutcome:
    receiver, port = Receiver(pipelining=True), any_free_port()
    with (
        receiving(receiver, port=port),
        open_drill_batches(drill_stack, fork_server, lambda: list(receiver.accepted)) as drill_batches,
    ):
        drill_batches.use(port, per_second=_PER_SECOND)
        drill_batches.serve()
        held = SendDrill(
            drill_batches, seed=seed, say=_print_line, throttle=lambda: receiver.behaviours.append(Behaviour.DAILY)
        )
        if points:
            held.kill_at_points(mails=3)
            held.settle(workers=workers)
        held.kill_while_sending(workers=workers, **how)
        return held.prove(workers=workers)


def _show(outcome: Outcome | SendOutcome) -> None:
    values = outcome.as_json()
    say(f"kills        {values['kills']}, {values['crash_points']} of them at crash points, the others at random;")
    say(f"             {values['kills_at_work']} of the random ones hit a mail in progress")
    for name in ("mails", "accepted", "received", "lost", "duplicates", "unknown"):
        if name in values:
            say(f"{name:<12} {values[name]}")
    if isinstance(outcome, Outcome):
        say(f"archive      {outcome.archive.sentence()}")
    drained = "timed out" if values["drained_s"] is None else f"{values['drained_s']} s after the last kill"
    say(f"drained      {drained}")
    say(f"seed         {values['seed']}")
    if outcome.proves_nothing:
        say(
            "No random kill hit a mail in progress, so this drill proves nothing. Repeat it with more --minutes, or "
            "on an idle machine."
        )
    if isinstance(outcome, Outcome):
        for reason in outcome.archive.reasons:
            say(reason)
    for violation in values["check"]["violations"]:
        say(f"{violation['kind']}  {violation['subject']}  {violation['do']}")


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
