"""R8, R11, R12, R24: notifications come three times, too early or for missing objects; hostile mails among good ones."""

import json
import os
import random

from mailroom.audit.sent_mails import SentMail
from mailroom.sandbox.stand_ins.verdicts import EICAR
from tests.support.faulty_stack import Range, eventually


def test_r8_each_message_three_times_in_any_order_to_two_workers_is_one_filing(field: Range) -> None:
    """SQS promises at least once and no order; two workers may have the same notice at the same moment."""
    sent = field.drill_stack.send(15)
    bodies = field.take_messages() * 3
    random.Random(8).shuffle(bodies)
    field.post_messages(bodies)

    field.ready()
    field.ready()

    field.proves(sent)


def test_r11_a_notice_of_an_object_that_is_gone_is_quarantined_and_not_looped(field: Range) -> None:
    """The bucket was emptied, or the notification is forged: a person must see it, and it must not return to the queue."""
    sent = field.drill_stack.send(3, state="quarantined")
    for mail in sent:
        field.drill_stack.aws("s3").delete_object(**_object(field, mail.message_id))

    field.ready()

    field.proves(sent)
    reasons = field.drill_stack.ask(
        "select reason from inbound_email where message_id = any(%s)", [mail.message_id for mail in sent]
    )
    assert {reason for (reason,) in reasons} == {"gone"}


def test_r11_a_mail_whose_notice_comes_before_its_object_is_filed(field: Range) -> None:
    """S3's own notification, which comes with the object, makes the worker look for it again."""
    s3, sent = field.drill_stack.aws("s3"), field.drill_stack.send(2)
    early = [body for body in field.take_messages() if "notificationType" in body]
    objects = [(_object(field, mail.message_id), s3.get_object(**_object(field, mail.message_id))) for mail in sent]
    for where, _ in objects:
        s3.delete_object(**where)
    field.post_messages(early)
    field.ready()
    ids = [mail.message_id for mail in sent]
    gone = "select 1 from inbound_email where message_id = any(%s) and reason = 'gone'"
    eventually(lambda: len(field.drill_stack.ask(gone, ids)) == len(ids), "they are quarantined")

    for where, stored in objects:
        s3.put_object(**where, Body=stored["Body"].read(), Metadata=stored["Metadata"])

    field.proves(sent)


def test_r12_hostile_mails_are_quarantined_once_and_good_ones_among_them_are_filed(field: Range) -> None:
    """One bad mail in ten must not delay or fail the others."""
    good = field.drill_stack.send(10)
    virus = field.drill_stack.send(1, mail=_with_virus(), state="quarantined")
    good += field.drill_stack.send(10)
    nested = field.drill_stack.send(1, mail=_nested(2000), state="filed")
    forged = _forged(field)
    good += field.drill_stack.send(10)

    field.ready()

    field.proves([*good, *virus, *nested, *forged])


def test_r24_old_and_new_work_together_while_schema_and_notices_change(field: Range) -> None:
    """A migration runs before the new workers start: rows and notifications of the old form are still there."""
    sent = field.drill_stack.send(6)
    bodies = field.take_messages()
    # The bucket's notices once came by SNS too, which put each in a wrapper; and a killed worker left two lines open.
    field.post_messages([_wrapped(body) if "Records" in json.loads(body) else body for body in bodies])
    for mail in sent[:2]:
        field.drill_stack.ask(_LEFT_BY_OLD_CODE, *_object(field, mail.message_id).values(), mail.message_id)
    field.ready()
    field.drill_stack.ask("alter table inbound_email add column coming text not null default 'x'")
    [(revision,)] = field.drill_stack.ask("select version_num from alembic_version")
    field.drill_stack.ask("update alembic_version set version_num = 'ahead'")
    sent += field.drill_stack.send(6)
    field.ready()

    field.proves(sent)
    field.drill_stack.ask("alter table inbound_email drop column coming")
    field.drill_stack.ask("update alembic_version set version_num = %s", revision)


def _wrapped(body: str) -> str:
    return json.dumps({"Type": "Notification", "Message": body})


#: A ledger row of a version without heartbeats and routes: in progress, and leased by no worker.
_LEFT_BY_OLD_CODE = """
insert into inbound_email (id, bucket, key, version, message_id, state, facts, attempts, archive_ids, tenants, received_at)
values (gen_random_uuid(), %s, %s, '', %s, 'processing', '{}', 1, '{}', '{}', now())
"""


def _object(field: Range, message_id: str) -> dict[str, str]:
    return {"Bucket": field.drill_stack.facts["inbound_bucket"], "Key": f"in/{message_id}"}


def _with_virus() -> bytes:
    return b"From: a@office.test\r\nSubject: bill\r\n\r\n" + EICAR + b"\r\n"


def _nested(depth: int) -> bytes:
    """Return a message of many multiparts, each within the one before."""
    opened = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level) for level in range(depth)
    )
    return b"From: a@office.test\r\nSubject: deep\r\nMIME-Version: 1.0\r\n" + opened + b"\r\nfound me\r\n"


def _forged(field: Range) -> list[SentMail]:
    """Store objects that no SES wrote: another mail's envelope under a new name, and noise."""
    [original] = field.drill_stack.send(1)
    s3 = field.drill_stack.aws("s3")
    names = [f"{kind}{os.urandom(8).hex()}" for kind in ("copied", "noise")]
    s3.copy_object(**_object(field, names[0]), CopySource=_object(field, original.message_id))
    s3.put_object(**_object(field, names[1]), Body=os.urandom(500))
    forged = [SentMail(name, (), (), "quarantined") for name in names]
    field.drill_stack.note(forged)
    return [original, *forged]
