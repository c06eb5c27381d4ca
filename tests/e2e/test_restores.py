"""Mails that were filed after a dump come back by themselves when it is restored, to each of their recipients."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.sandbox.stand_ins.verdicts import EICAR
from mailroom.testing.notices import s3_notice, ses_notice
from tests.support.restored_stack import dump, restore
from tests.support.running_stack import Stack, store_as_ses, wait_until

ANNA, BCC, BOB = "anna@restored.test", "bcc@restored.test", "bob@elsewhere.test"

_LINES = """
select e.message_id, e.state, coalesce(e.reason, ''), e.received_at, e.envelope,
       (select coalesce(jsonb_agg(jsonb_build_array(i.tenant, i.recipient, i.received_at) order by i.tenant, i.recipient), '[]')
          from inbox_item i where i.email_id = e.id and i.withdrawn_at is null)
  from inbound_email e where e.message_id = any(%s)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A mail's ledger row and inbox items: everything that must come back."""

    state: str
    reason: str
    received_at: datetime
    envelope: dict[str, Any] | None
    items: list[tuple[str, str, str]]


def said(stack: Stack, mails: Iterable[str]) -> dict[str, Line]:
    """Return the rows and items of these mails; one with two ledger rows is listed under both."""
    rows = stack.ask(_LINES, list(mails))
    assert len({row[0] for row in rows}) == len(rows), "two lines for one mail"
    return {row[0]: Line(row[1], row[2], row[3], _in_order(row[4]), [tuple(item) for item in row[5]]) for row in rows}


def _in_order(envelope: dict[str, Any] | None) -> dict[str, Any] | None:
    return envelope and envelope | {"recipients": sorted(envelope["recipients"])}


def a_mail(to: str, attachment: bytes = b"") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "carl@office.test", to, "Lease"
    mail.set_content("Attached.")
    mail.add_attachment(attachment or os.urandom(200), maintype="application", subtype="pdf", filename="lease.pdf")
    return mail


class Mails:
    """Twenty mails of every kind, and how often each recipient is to have each."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        for address, tenant in ((ANNA, "restored"), (BCC, "restored"), (BOB, "elsewhere")):
            stack.receives(address, tenant=tenant, user=address.partition("@")[0])
        self.ids = [stack.send(a_mail(ANNA), ANNA) for _ in range(5)]

    def send_more(self) -> None:
        """Mail the rest: Bcc only, for two tenants, both, with plus tokens, a virus, without a route, one that S3 alone announces,
        and one that cannot be opened.
        """
        stack, secret = self.stack, "undisclosed-recipients:;"
        self.ids += [stack.send(a_mail(secret), BCC) for _ in range(3)]
        self.ids += [stack.send(a_mail(f"{ANNA}, {BOB}"), ANNA, BOB) for _ in range(4)]
        self.ids += [stack.send(a_mail(ANNA), ANNA, BCC, BOB) for _ in range(2)]
        self.ids += [stack.send(a_mail(secret), f"bcc+{token}@restored.test", BOB) for token in "ab"]
        self.virus = stack.send(a_mail(ANNA, EICAR), ANNA, BOB)
        self.strange = stack.send(a_mail("typo@restored.test"), "typo@restored.test")
        self.lost = "restored" + os.urandom(8).hex()
        store_as_ses(stack, stack["inbound_bucket"], self.lost, b"Subject: x\r\n\r\nHello\r\n", recipient=ANNA)
        self.broken = self._broken()
        self.ids += [self.virus, self.strange, self.lost, self.broken]

    def _broken(self) -> str:
        """Have SES announce an object that it never wrote, for a recipient that nothing else names."""
        ref = ObjectRef(self.stack["inbound_bucket"], "in/broken" + os.urandom(8).hex())
        self.stack.aws("s3").put_object(Bucket=ref.bucket, Key=ref.key, Body=b"no mail")
        body = ses_notice(ref, BCC)
        self.stack.aws("sqs").send_message(QueueUrl=self.stack["inbound_queue_url"], MessageBody=body)
        return ref.message_id

    def closed(self) -> bool:
        found = said(self.stack, self.ids)
        return len(found) == len(self.ids) and all(one.state in ("filed", "quarantined") for one in found.values())

    def announce(self) -> None:
        """Have S3 announce every second mail again, and the sweep find the others."""
        sqs, bucket = self.stack.aws("sqs"), self.stack["inbound_bucket"]
        for mail in self.ids[::2]:
            body = s3_notice(ObjectRef(bucket, f"in/{mail}"))
            sqs.send_message(QueueUrl=self.stack["inbound_queue_url"], MessageBody=body)
        sweep = self.stack.prefect("GET", "/deployments/name/sweep-inbound/sweep-inbound")
        body_of_run = {"parameters": {"older_than_minutes": 0}}
        self.stack.prefect("POST", f"/deployments/{sweep['id']}/create_flow_run", body_of_run)


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of one restore."""

    restored: str
    forgotten: int
    mails: int
    recipients: int
    back: int
    times_kept: int
    duplicates: int

    def __str__(self) -> str:
        back = f"{self.back} of {self.recipients}"
        kept = f"{self.times_kept} of {self.mails}"
        return f"| {self.restored} | {self.mails} | {self.forgotten} | {back} | {kept} | {self.duplicates} |"


HEAD = (
    "| restored | mails | forgotten, named by `mailroom check` at once | recipients back | original time kept | twice |"
)


def row_of(restored: str, forgotten: int, before: dict[str, Line], after: dict[str, Line]) -> Row:
    items = {(mail, *item[:2]) for mail, line in before.items() for item in line.items}
    there = [(mail, *item[:2]) for mail, line in after.items() for item in line.items]
    kept = [mail for mail, line in after.items() if line.received_at == before[mail].received_at]
    kept = [mail for mail in kept if after[mail].items == before[mail].items]
    return Row(
        restored,
        forgotten,
        len(after),
        len(items),
        len(items & set(there)),
        len(kept),
        len(there) - len(set(there)),
    )


def forgotten(stack: Stack, mails: Iterable[str]) -> int:
    """Return how many of these mails `mailroom check` reports at once as missing from the ledger."""
    found = json.loads(stack.mailroom("check", "--json", check=False).stdout)
    named = {one["subject"] for one in found["violations"] if one["kind"] == "forgotten"}
    return len(named & {f"in/{mail}" for mail in mails})


def test_every_mail_comes_back_to_every_recipient_whichever_database_is_restored(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A restored ledger made 14 of 14 mails disappear: their runs were Completed, so they were deleted without filing."""
    # Failed mails of earlier tests are retried after each restore, as they should be; here the queue holds nothing else.
    stack.ask("update inbound_email set reason = 'Cancelled' where state = 'failed' returning 1")
    mails = Mails(stack)
    wait_until(lambda: len(said(stack, mails.ids)) >= 2, "some mails are under way")
    dumps = {name: dump(stack, name, tmp_path) for name in ("prefect", "mailroom")}
    mails.send_more()
    wait_until(mails.closed, "all mails are closed")
    before = said(stack, mails.ids)
    assert (before[mails.virus].state, before[mails.virus].reason) == ("quarantined", "virus")
    assert (before[mails.strange].state, before[mails.strange].reason) == ("quarantined", "no_route")
    assert before[mails.lost].envelope is None
    assert (before[mails.broken].state, before[mails.broken].reason) == ("quarantined", "not_encrypted")
    assert (before[mails.broken].envelope or {})["recipients"] == [BCC]

    rows = []
    for restored in (["mailroom"], ["prefect"], ["mailroom", "prefect"]):
        for name in restored:
            restore(stack, name, dumps[name])
        left = said(stack, mails.ids)
        gone = [mail for mail in mails.ids if mail not in left]
        named = forgotten(stack, gone)
        assert named == len(gone)
        wait_until(lambda: stack.prefect("GET", "/health"), "Prefect answers")
        mails.announce()
        wait_until(lambda: said(stack, mails.ids) == before, f"all is as before {restored}")
        wait_until(lambda: stack.queue_depth(stack["inbound_queue_url"]) == 0, "all is acknowledged")
        rows.append(row_of(" and ".join(restored), named, before, said(stack, mails.ids)))

    with capsys.disabled():
        print("\n" + "\n".join([HEAD, "|---|---|---|---|---|---|", *map(str, rows)]))
    assert [row.forgotten > 10 for row in rows] == [True, False, True]
    assert {(row.mails, row.back, row.times_kept, row.duplicates) for row in rows} == {(20, 27, 20, 0)}
