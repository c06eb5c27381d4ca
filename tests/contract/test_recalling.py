"""Processors that failed are repeated: the failure is recorded, and the mail is rebuilt as they had it."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.domain.errors import PermanentError
from mailroom.domain.parsing import parse_email
from mailroom.inbound.processing import FiledMail, filed_mails
from mailroom.inbound.rebuilding import recall
from mailroom.testing.parser import MemoryParser
from tests.support.filed_mail import BOB, NOW, RAW, WAY, Filed


def recalled(filed: Filed, *keys: str) -> list[FiledMail]:
    return list(recall(filed.entry, keys, ledger=filed.ledger, archive=filed.archive, parser=MemoryParser()))


@pytest.fixture
def filed(engine: Engine) -> Filed:
    return Filed(engine)


def test_a_filed_mail_is_recalled_as_its_processors_had_it(filed: Filed) -> None:
    """Whatever the addresses say by now, it is the same mail for the same recipients, from the archive alone."""
    parsed = parse_email(RAW)
    first = {mail.key: mail for mail in filed_mails(filed.entry, WAY, parsed, RAW, items=filed.items, kept=filed.kept)}

    [again] = recalled(filed, "webhook/other")

    assert again == first["webhook/other"]
    assert (again.routes, again.items) == ((BOB,), (filed.items[1],))
    assert recalled(filed, "stamp/other") == []


def test_a_mail_that_the_archive_lost_is_not_recalled(filed: Filed) -> None:
    """No notification may name an attachment that is not stored."""
    filed.archive.contents.clear()

    with pytest.raises(PermanentError, match="no longer"):
        recalled(filed, "digest/acme")


def test_what_failed_is_known_until_it_is_done(filed: Filed, engine: Engine) -> None:
    """By e-mail, by processor, and as a number for an alarm."""
    processings, email_id = SqlProcessings(engine), filed.entry.id
    before = processings.failed(email_id), processings.failed_emails("webhook", since=None, limit=10)
    for key, state in (("webhook/other", "failed"), ("webhook/acme", "failed"), ("digest/acme", "done")):
        processings.end(email_id, key, state, now=NOW)

    there = processings.failed(email_id), processings.failed_emails("webhook", since=NOW, limit=10)
    counted = SqlInboxReader(engine).census().unprocessed
    processings.end(email_id, "webhook/acme", "done", now=NOW)

    assert before == ([], [])
    assert there == (["webhook/acme", "webhook/other"], [email_id])
    assert counted == {"webhook": 2}
    assert processings.failed(email_id) == ["webhook/other"]
    assert processings.failed_emails("webhook", since=NOW + timedelta(hours=1), limit=10) == []
    assert processings.failed_emails("digest", since=None, limit=10) == []
