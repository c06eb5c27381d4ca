"""`mailroom send --preview [N]` and `--test-to ADDRESS`: one mail of a batch, shown or sent to its author."""

import json
from typing import Any

import typer
from typer.core import TyperCommand

from mailroom.cli._app import say
from mailroom.domain.readable import size


class OptionalNumber(TyperCommand):
    """A command whose option `--preview` may stand without its number, which is then 1."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Add the number where it is left out."""
        filled = []
        for arg, following in zip(args, [*args[1:], ""], strict=True):
            filled.append(arg)
            if arg == "--preview" and not following.isdecimal():
                filled.append("1")
        return super().parse_args(ctx, filled)


def trial_parameters(preview: int | None, test_to: str | None) -> dict[str, str | int]:
    """Return the parameters of `POST /v1/batches` for one mail."""
    given = {"preview": preview, "test_to": test_to}
    return {name: value for name, value in given.items() if value is not None}


def show_mail(mail: dict[str, Any], row: int, *, as_json: bool) -> None:
    """Print one mail as it would leave."""
    if as_json:
        say(json.dumps(mail))
        return
    lines = {
        "row": f"{row}, recipient {mail['preview']:,} of {mail['recipients']:,}",
        "from": mail["from"],
        "to": mail["to"] + (", suppressed: it would not be sent" if mail["suppressed"] else ""),
        "reply to": mail["reply_to"],
        "subject": mail["subject"],
        "size": size(mail["size"]),
        "unsubscribe": mail["unsubscribe"],
        "tracked": ", ".join(name for name, wanted in mail["tracking"].items() if wanted) or None,
    }
    for name, value in lines.items():
        if value is not None:
            say(f"{name:<12} {value}")
    for file in mail["attachments"]:
        say(f"{'attached':<12} {file['filename']}, {file['content_type']}, {size(file['size'])}")
    say("\nheaders")
    for header in mail["headers"]:
        say(f"  {header['name']}: {header['value']}")
    for part in ("text", "html"):
        if mail[part] is not None:
            say(f"\n{part}\n{mail[part]}")
    say("\npreview: nothing was submitted")
