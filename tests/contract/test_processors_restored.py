"""The processor `digest` after a restore: a mail that comes back is not answered a second time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailroom.adapters.postgres.operations.dumps import dump
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.testing.counter import MemoryCounter
from tests.contract.test_processors import NOW, Desk, processing_setup
from tests.support.tampering import restored

__all__ = ["processing_setup"]


def test_a_mail_that_comes_back_after_a_restore_is_not_answered_again(
    processing_setup: Desk, database_url: str, tmp_path: Path
) -> None:
    """The answer was sent after the dump; the restored database has neither the e-mail nor its answer."""
    restores = SqlRestores(processing_setup.engine, MemoryCounter())
    restores.start()
    waiting = processing_setup.mail("waiting")
    dump(database_url, tmp_path / "dump")
    processing_setup.answer(waiting)
    processing_setup.answer(processing_setup.mail("forgotten", sender="dora@sender.test"))
    assert len(processing_setup.answers.sent) == 2

    restored(database_url, tmp_path / "dump")
    assert restores.look() is not None

    assert processing_setup.answer(waiting) == {"not_answered": "restored"}
    assert processing_setup.answer(processing_setup.mail("forgotten", sender="dora@sender.test")) == {
        "not_answered": "restored"
    }
    assert len(processing_setup.answers.sent) == 2
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert "answer_id" in processing_setup.answer(
        processing_setup.mail("new", sender="eva@sender.test", received_at=later)
    )


def test_a_mail_that_the_archive_gave_back_is_not_answered_again(processing_setup: Desk) -> None:
    """Also before the restore is recognised."""
    mail = processing_setup.mail()
    processing_setup.ledger.recall(mail.email_id, envelope=mail.envelope, received_at=NOW, now=NOW)

    assert processing_setup.answer(mail) == {"not_answered": "restored"}
