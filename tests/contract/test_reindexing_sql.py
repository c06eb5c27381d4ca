"""Items of the release before are indexed again in short steps, while it may still be filing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres import engine as engine_module
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.skipped_rows import skipped_now
from mailroom.inbound.indexing import index_again
from tests.support.inboxes import SqlInstallation

#: What 0.1.0 stored: the words in one field, with their letters as they were.
OF_OLD = "update inbox_item set words = to_tsvector('simple', 'faktura jørgensen łodz'), words_version = default where id = :id"


@pytest.fixture
def installation(engine: Engine) -> SqlInstallation:
    return SqlInstallation(engine)


@pytest.fixture
def old(installation: SqlInstallation) -> Callable[[], str]:
    """File an item as 0.1.0 did, and return its id."""

    def filed() -> str:
        item_id = installation.letter(subject="Faktura", from_="Jørgensen", text="Łódź", files=("scan.pdf",))
        with installation.engine.begin() as connection:
            connection.execute(text(OF_OLD), {"id": item_id})
        return item_id

    return filed


def finds(installation: SqlInstallation, question: str) -> int:
    return len(installation.reader.items("acme", "ann@acme.test", question=question, after=None, limit=99).lines)


def test_old_items_are_found_as_before_until_they_are_indexed_again(
    installation: SqlInstallation, old: Callable[[], str]
) -> None:
    """An upgrade takes nothing away, not for an hour either."""
    old()

    for question in ("jørgensen", "JØRGENSEN łódź", "faktura -lod", '"jørgensen łódź"', "faktur"):
        assert finds(installation, question) == 1, question
    assert finds(installation, "faktura -jørgensen") == 0
    assert finds(installation, "from:jorgensen") == 0

    assert index_again(SqlInbox(installation.engine)) == 1

    for question in ("jørgensen", "jorgensen lodz", "from:jorgensen", "filename:scan", "has:attachment"):
        assert finds(installation, question) == 1, question
    assert finds(installation, "faktura -jorgensen") == 0


def test_each_step_is_bounded_and_the_last_finds_none(installation: SqlInstallation, old: Callable[[], str]) -> None:
    """A sweep that is cut off has done what it did; the next goes on."""
    for _ in range(5):
        old()
    inbox = SqlInbox(installation.engine)

    assert [inbox.index_again(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    old()
    assert index_again(inbox, longest_s=0.0) == 0
    assert index_again(inbox) == 1


def test_an_item_that_another_has_locked_is_left_for_later(
    installation: SqlInstallation, old: Callable[[], str]
) -> None:
    """Nobody waits for the sweep, and the sweep waits for nobody."""
    item_id = old()
    inbox = SqlInbox(installation.engine)

    with installation.engine.begin() as other:
        other.execute(text("select from inbox_item where id = :id for update"), {"id": item_id})
        assert inbox.index_again(limit=9) == 0
    assert inbox.index_again(limit=9) == 1


def test_an_item_that_cannot_be_read_stops_neither_the_others_nor_the_sweep(
    installation: SqlInstallation, old: Callable[[], str]
) -> None:
    """It is named as skipped, and tried again when it may be repaired."""
    items = [old() for _ in range(3)]
    with installation.engine.begin() as connection:
        connection.execute(text("update inbox_item set reports = '7' where id = :id"), {"id": items[0]})
        connection.execute(text("update attachment set members = '{}' where item_id = :id"), {"id": items[1]})
    inbox = SqlInbox(installation.engine)

    assert sum(inbox.index_again(limit=3) for _ in range(2)) == 1
    named = {name for one in skipped_now(installation.engine) for name, _ in one.named}
    assert {f"item {one}" for one in items[:2]} == named
    assert inbox.index_again(limit=3) == 0


def test_what_is_left_is_found_by_its_index(engine: Engine) -> None:
    """When all are indexed, the sweep's look costs nothing, however many there are."""
    with engine.begin() as connection:
        connection.execute(text("set local enable_seqscan = off"))
        plan = connection.execute(
            text("explain select id from inbox_item where words_version < 1 limit 50 for update skip locked")
        )

        assert "ix_inbox_item_old_words" in "".join(row[0] for row in plan)


def test_the_migration_rewrites_no_table() -> None:
    """A column with a volatile default would: the default comes in a statement of its own."""
    versions = Path(engine_module.__file__).parent / "migrations" / "versions"
    source = (versions / "0028_findable.py").read_text()

    assert 'op.alter_column("inbox_item", "listed_at", server_default' in source
    assert 'sa.Column("listed_at", sa.DateTime(timezone=True), nullable=True))' in source
