"""Search on a real PostgreSQL: what matches, what does not, and that no query and no mail breaks it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine
from sqlmodel import Session

from mailroom.adapters.postgres import engine as engine_module
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.models import DepositRow, InboundEmailRow, TenantRow
from mailroom.adapters.postgres.roles import grant_roles
from mailroom.domain.inbound.received_email import Attachment, Item, State

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
DIGEST = "0" * 64


@pytest.fixture
def reader(engine: Engine) -> SqlInboxReader:
    """A reader on a database with two tenants, acme and other, and one deposit that all mails here share."""
    place = {"bucket": "archive", "key": DIGEST, "version": "v1", "lock_mode": "GOVERNANCE"}
    times = {"retain_until": NOW, "deposited_at": NOW}
    deposit = DepositRow(archive_id=f"acme/{DIGEST}", tenant="acme", sha256=DIGEST, size=5, **place, **times)
    with Session(engine) as session:
        session.add_all([TenantRow(id="acme", created_at=NOW), TenantRow(id="other", created_at=NOW), deposit])
        session.commit()
    return SqlInboxReader(engine)


@pytest.fixture
def inbox(engine: Engine, reader: SqlInboxReader) -> Callable[..., str]:
    """File an item in Ann's inbox as the worker does, and return its id."""

    def filed(*, minutes: int = 0, files: Sequence[str] = (), **changes: Any) -> str:
        email = InboundEmailRow(bucket="inbound", key=f"in/{uuid4()}", message_id="m-1", state=State.FILED.value)
        email.received_at = NOW - timedelta(minutes=minutes)
        with Session(engine, expire_on_commit=False) as session:
            session.add(email)
            session.commit()
        parts = [
            Attachment(number, name, "application/pdf", None, 5, DIGEST, False, None, f"acme/{DIGEST}")
            for number, name in enumerate(files, start=1)
        ]
        values = {"subject": "Hello", "from_": "Carl <carl@x.test>", "text": "Hi", "html": None} | changes
        who = {"tenant": "acme", "recipient": "ann@acme.test", "user": "ann", "message_id": None, "date": None}
        rest = {"to": (), "cc": (), "raw_archive_id": f"acme/{DIGEST}", "attachments": tuple(parts)}
        [item_id] = SqlInbox(engine).file(str(email.id), [Item(**who | rest | values)], now=NOW)  # type: ignore[arg-type]
        return item_id

    return filed


@pytest.mark.parametrize(
    "text",
    [
        " ".join(chr(0x20000 + number) for number in range(0xA000)) * 3,
        " ".join(f"{number:x}" for number in range(150_000)),
        "\ufdfa " * 150_000,
        "x" * 300_000,
        "<" * 300_000,
        "a" + "\u0315\u0300" * 100_000,
    ],
)
@pytest.mark.parametrize("field", ["text", "html"])
def test_a_mail_of_ever_new_words_is_filed(
    reader: SqlInboxReader, inbox: Callable[..., str], text: str, field: str
) -> None:
    """PostgreSQL refuses a row with more than 1 MiB of lexemes; the search must never prevent filing a mail."""
    inbox(subject="found", **{"text": None, field: text})

    assert reader.items("acme", "ann@acme.test", question="found", after=None, limit=9).lines


def test_items_filed_before_the_search_are_found_too(
    reader: SqlInboxReader, owner_url: str, owner_engine: Engine, inbox: Callable[..., str]
) -> None:
    """An upgraded installation has old mail; its words come from SQL."""
    old = inbox(subject="Old invoice", text=None, html="<p>five <b>thousand</b></p>", files=["scan_1.pdf"])
    config = Config()
    config.set_main_option("script_location", str(Path(engine_module.__file__).parent / "migrations"))
    config.attributes["engine"] = owner_engine

    command.downgrade(config, "0003")
    command.upgrade(config, "head")
    grant_roles(owner_url)

    for question in ("invoice", "thousand", "scan 1 pdf", "carl"):
        page = reader.items("acme", "ann@acme.test", question=question, after=None, limit=9)
        assert [line.id for line in page.lines] == [old], question
