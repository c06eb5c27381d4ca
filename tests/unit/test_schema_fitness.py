"""Schema and code: which work together, and what every migration must declare."""

from typing import Any

import pytest

from mailroom.adapters.postgres.schema import GENERATION, MIGRATIONS, Code, Schema, fault, migrations, this_code

#: Generation 3, which knows four revisions and does not need the last one.
CODE = Code(3, ("0001", "0002", "0003", "0004"), needs="0003")
#: The first migration that says which code its schema serves; those before it are served by all.
FIRST = "0011"


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (Schema(None), "run `mailroom migrate`"),
        (Schema("0001", 1), "older than this version needs; run `mailroom migrate`"),
        (Schema("0002", 3), "older"),
        (Schema("0003", 1), None),
        (Schema("0004", 3), None),
        (Schema("0004", None), None),
        (Schema("0004", 4), "no longer compatible"),
        (Schema("0005", 1), None),
        (Schema("0005", 3), None),
        (Schema("0005", 4), "no longer compatible with this version"),
        (Schema("0005", None), "no longer compatible"),
        (Schema("0004", 3, ("inbox_item.cc", "inbox_item.id")), "lacks parts of its revision"),
        (Schema("0005", 3, ("inbox_item.cc",)), "lacks"),
    ],
)
def test_code_works_on_what_it_needs_or_on_what_says_that_it_serves_it(schema: Schema, says: str | None) -> None:
    """A rolling deploy has old workers on the new schema: they go on for as long as it serves them, and no longer."""
    found = fault(schema, CODE)

    assert (found is None) == (says is None)
    assert says is None or says in str(found)


def test_every_refusal_names_the_command() -> None:
    """An operator who reads the line at night must know what to type."""
    unfit = [Schema(None), Schema("0001", 1), Schema("0009", 9), Schema("0004", 3, ("inbox_item.cc",))]

    assert all("`mailroom migrate" in str(fault(schema, CODE)) for schema in unfit)


def saying() -> list[Any]:
    scripts = migrations()
    at = [script.revision for script in scripts].index(FIRST)
    return scripts[at:]


@pytest.mark.parametrize("script", saying(), ids=lambda script: script.revision)
def test_every_migration_says_which_code_it_serves_and_whether_this_code_needs_it(script: Any) -> None:
    """Without it old workers would go on where they fail. script.py.mako says what to write."""
    oldest_code = getattr(script.module, "oldest_code", None)

    assert isinstance(oldest_code, int), "write `oldest_code = N`: see migrations/script.py.mako"
    assert 1 <= oldest_code <= GENERATION, "the code that this migration comes with must be served"
    assert isinstance(getattr(script.module, "needed", None), bool), "write `needed = True`, or False for a mere index"


def test_no_migration_serves_again_what_an_earlier_one_stopped_serving() -> None:
    """A lower number would let code go on that uses what is gone."""
    said = [script.module.oldest_code for script in saying()]

    assert said == sorted(said)


def test_the_chain_of_migrations_has_one_end() -> None:
    """With two heads it would be left to chance which one a schema is at."""
    scripts = migrations()

    assert [script.down_revision for script in scripts[1:]] == [script.revision for script in scripts[:-1]]
    assert this_code().newest == scripts[-1].revision


def test_the_template_of_migrations_says_what_to_write() -> None:
    """Authors copy the template; a value left out is no number, and fails the test above."""
    template = (MIGRATIONS / "script.py.mako").read_text()

    assert "\noldest_code = None\n" in template
    assert "\nneeded = True\n" in template
    assert "0012-schema-fitness.md" in template
