"""Kill workers at every crash point and at random while mails arrive, and prove that none is lost or filed twice.

It starts an embedded stack of its own and forgets it at the end; a stack of yours is not touched. The proof is
`mailroom check`, which shares no code with what it checks. With the seed of a drill, its kills come again at the same
moments of the workers' lives.
"""

import json
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mailroom.cli import AsJson, say
from mailroom.sandbox.drill import Drill, Outcome
from mailroom.sandbox.ground import drill_ground
from mailroom.sandbox.workers import Zygote

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def drill(
    kills: Annotated[int, typer.Option(help="Kill at random this often.", min=0)] = 500,
    minutes: Annotated[float, typer.Option(help="Kill at random for at most this long.", min=0)] = 30,
    workers: Annotated[int, typer.Option(help="Workers at once.", min=1)] = 1,
    in_hand: Annotated[int, typer.Option(help="Mails that are always under way.", min=1)] = 30,
    points: Annotated[bool, typer.Option(help="First kill at every crash point.")] = True,
    seed: Annotated[int | None, typer.Option(help="The seed of an earlier drill.")] = None,
    as_json: AsJson = False,
) -> None:
    """Kill workers at every crash point and at random while mails arrive, and prove that none is lost or filed twice."""
    chosen = seed if seed is not None else secrets.randbelow(1_000_000)
    _tell(f"seed {chosen}")
    with (
        tempfile.TemporaryDirectory(prefix="mailroom-drill-") as folder,
        drill_ground(Path(folder) / "stack", seed=chosen) as ground,
        Zygote(ground.environment(), ground.folder / "drill") as zygote,
    ):
        held = Drill(ground, zygote, seed=chosen, say=_tell)
        if points:
            held.kill_at_points(mails=5)
            held.settle(workers=workers)
        held.kill_at_random(kills=kills, seconds=minutes * 60, workers=workers, in_hand=in_hand)
        outcome = held.prove(workers=workers)
    say(json.dumps(outcome.as_json(), indent=1)) if as_json else _show(outcome)
    if not outcome.is_clean:
        raise typer.Exit(1)


def _show(outcome: Outcome) -> None:
    told = outcome.as_json()
    say(f"kills        {told['kills']}, {told['crash_points']} of them at crash points, others at random;")
    say(f"             {told['kills_at_work']} of those at random met a mail under way")
    say(f"mails        {told['mails']}")
    say(f"lost         {told['lost']}")
    say(f"duplicates   {told['duplicates']}")
    say(
        f"drained      {'not in time' if told['drained_s'] is None else str(told['drained_s']) + ' s after the last kill'}"
    )
    say(f"seed         {told['seed']}")
    for found in told["check"]["violations"]:
        say(f"{found['kind']}  {found['subject']}  {found['do']}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
