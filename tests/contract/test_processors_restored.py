"""The processor `digest` after a restore: a mail that comes back is not answered a second time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailroom.adapters.postgres.operations.dumps import dump, restore
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.testing.counter import MemoryCounter
from tests.contract.test_processors import NOW, Desk, desk

__all__ = ["desk"]


def test_a_mail_that_comes_back_after_a_restore_is_not_answered_again(
    desk: Desk, database_url: str, tmp_path: Path
) -> None:
    """The answer was sent after the dump; the restored database has neither the e-mail nor its answer."""
    restores = SqlRestores(desk.engine, MemoryCounter())
    restores.start()
    waiting = desk.mail("waiting")
    dump(database_url, tmp_path / "dump")
    desk.answer(waiting)
    desk.answer(desk.mail("forgotten", sender="dora@sender.test"))
    assert len(desk.answers.sent) == 2

    restore(database_url, tmp_path / "dump")
    assert restores.look() is not None

    assert desk.answer(waiting) == {"not_answered": "restored"}
    assert desk.answer(desk.mail("forgotten", sender="dora@sender.test")) == {"not_answered": "restored"}
    assert len(desk.answers.sent) == 2
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert "answer_id" in desk.answer(desk.mail("new", sender="eva@sender.test", received_at=later))


def test_a_mail_that_the_archive_gave_back_is_not_answered_again(desk: Desk) -> None:
    """Also before the restore is recognised."""
    mail = desk.mail()
    desk.ledger.recall(mail.email_id, envelope=mail.envelope, received_at=NOW, now=NOW)

    assert desk.answer(mail) == {"not_answered": "restored"}
