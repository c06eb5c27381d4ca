"""An inbox in memory or in PostgreSQL, whose mails are filed as the flow files them, behind the HTTP service."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Engine, text
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.api.app import create_app
from mailroom.archive.depositing import deposit_all
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef
from mailroom.domain.inbound.routing import Address, Route
from mailroom.domain.parsing import parse_email
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import RoutingDecision
from mailroom.testing.api import NOW, Memory, TestClient
from tests.support.filed_mail import inbound_on

ROUTE = Route("ann@acme.test", "acme", "ann", "exact")


@dataclass(frozen=True, slots=True)
class Case:
    """The service, its archive, and how a mail is filed in acme's inbox or withdrawn."""

    client: TestClient
    memory: Memory
    file: Callable[[bytes], str]
    withdraw: Callable[[str], None]

    def lose(self, content: bytes) -> None:
        del self.memory.archive.contents[f"acme/{hashlib.sha256(content).hexdigest()}"]

    def alter(self, content: bytes) -> None:
        self.memory.archive.contents[f"acme/{hashlib.sha256(content).hexdigest()}"] = b"other"


def case_in_memory(memory: Memory) -> Case:
    def file(raw: bytes) -> str:
        parsed, decision = parse_email(raw), RoutingDecision((ROUTE,), ("acme",))
        receipts = [
            memory.archive.deposit("acme", one) for one in (raw, *(part.content for part in parsed.attachments))
        ]
        [item] = items_for(parsed, raw, decision, {("acme", one.sha256): one for one in receipts})
        return memory.file(item).id

    def withdraw(item_id: str) -> None:
        memory.reader.filed = [replace(one, withdrawn="virus") for one in memory.reader.filed if one.id == item_id]

    return Case(TestClient(create_app(memory.services()), base_url="http://mail.example"), memory, file, withdraw)


def case_in_postgres(memory: Memory, engine: Engine) -> Case:
    SqlDirectory(engine).add(Address(ROUTE.recipient, ROUTE.tenant, ROUTE.user, ROUTE.processor))
    ledger, number = inbound_on(engine).ledger, iter(range(100))

    def file(raw: bytes) -> str:
        envelope = Envelope((ROUTE.recipient,), "carl@sender.test", NOW)
        entry = ledger.register(Arrival(ObjectRef("inbound", f"in/{next(number)}"), envelope), now=NOW)
        assert entry is not None
        parsed, decision = parse_email(raw), RoutingDecision((ROUTE,), ("acme",))
        contents = [raw, *(part.content for part in parsed.attachments)]
        kept = deposit_all(entry, ["acme"], contents, archive=memory.archive, ledger=ledger, now=NOW)
        rows = [asdict(receipt) | {"deposited_at": NOW} for receipt in kept.values()]
        with engine.begin() as connection:
            connection.execute(insert(table(DepositRow)).on_conflict_do_nothing(), rows)
        return SqlInbox(engine).file(entry.id, items_for(parsed, raw, decision, kept), now=NOW)[0]

    def withdraw(item_id: str) -> None:
        statement = text("update inbox_item set withdrawn_at = :now, withdrawn_reason = 'virus' where id = :id")
        with engine.begin() as connection:
            connection.execute(statement, {"now": NOW, "id": item_id})

    services = replace(memory.services(), reader=SqlInboxReader(engine), ledger=ledger)
    return Case(TestClient(create_app(services), base_url="http://mail.example"), memory, file, withdraw)
