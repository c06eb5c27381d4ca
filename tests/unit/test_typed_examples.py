"""What README, docs and `--help` let people type: every example is run, and every command and option that they name exists."""

import re
import shlex

import pytest

from tests.support.typed_examples import ELSEWHERE, ROOT, RUN, commands, examples, helps

COMMANDS = dict(commands())
#: Commands in running text, such as `mailroom batch resume ID`.
_MENTION = re.compile(r"`(?:\.venv/bin/)?mailroom ([a-z][^`]*)`")


def test_every_example_is_run_on_the_sandbox_or_says_which_test_runs_it() -> None:
    """An example that nobody types here fails for the first person who types it."""
    typed = {example.command for example in examples()}

    assert typed == RUN.keys() | ELSEWHERE.keys()
    assert not RUN.keys() & ELSEWHERE.keys()
    assert all((ROOT / place).is_file() for place in ELSEWHERE.values())


def mentions() -> list[str]:
    """Return every command that running text names."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages] + [text for _, text in helps()]
    named = {" ".join(match.split()) for text in texts for match in _MENTION.findall(text)}
    return sorted(
        named | {example.command.removeprefix("mailroom ") for example in examples() if "curl" not in example.command}
    )


@pytest.mark.parametrize("mention", mentions())
def test_a_named_command_and_its_options_exist(mention: str) -> None:
    """A renamed command or option stays in some page for ever."""
    if mention == "--version":
        return
    words = shlex.split(mention.replace("...", ""))
    path = ""
    while words and (below := f"{path} {words[0]}".strip()) in COMMANDS:
        path = below
        words.pop(0)
    assert path, mention
    command = COMMANDS[path]
    options = {"--help"} | {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    if hasattr(command, "list_commands"):
        # `mailroom address remove|import FILE` and `mailroom batch` name a group; a word after it must be one of its commands.
        assert not words or words[0].startswith("-") or words[0].isupper(), mention
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, mention
