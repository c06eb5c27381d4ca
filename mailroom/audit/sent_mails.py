"""Manifests of sent mails: accepted mails with recipients and attachments. Drills write them, the check compares them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from mailroom.audit.report import Report


@dataclass(frozen=True, slots=True)
class SentMail:
    """One accepted mail: the id in the 250 reply, the recipients that must have an item, and its attachments' digests.

    `attachments` is None where the result of parsing is not defined; `state` is the state in which it must end.
    """

    message_id: str
    recipients: tuple[str, ...]
    attachments: tuple[str, ...] | None
    state: str = "filed"

    def line(self) -> str:
        """Return the mail as a line of a manifest."""
        return json.dumps(asdict(self)) + "\n"


def read_manifest(file: Path) -> Iterator[SentMail]:
    """Yield the mails of a manifest, which has one JSON object per line."""
    with file.open() as lines:
        for line in lines:
            values = json.loads(line)
            yield SentMail(
                values["message_id"], tuple(values["recipients"]), _digests(values["attachments"]), values["state"]
            )


def _digests(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def check_manifest(connection: psycopg.Connection[Any], sent: Iterable[SentMail], report: Report) -> None:
    """Compare each accepted mail with its line and items."""
    for mail in sent:
        report.counts["sent"] += 1
        rows = connection.execute(_BECAME, {"message_id": mail.message_id}).fetchall()
        states = {state for state, _, _ in rows}
        known = mail.attachments is not None
        items = sorted((recipient, tuple(parts) if known else ()) for _, recipient, parts in rows if recipient)
        wanted = sorted((recipient, mail.attachments or ()) for recipient in mail.recipients if mail.state == "filed")
        if not rows:
            report.violate("lost", mail.message_id, "accepted, but not in the database")
        elif states != {mail.state}:
            report.violate("lost", mail.message_id, f"expected {mail.state}, found {', '.join(sorted(states))}")
        elif len(items) > len(wanted):
            report.violate("duplicate item", mail.message_id, f"{len(items)} items, expected {len(wanted)}")
        elif items != wanted:
            report.violate("wrong content", mail.message_id, "its items or attachments differ from what was sent")


_BECAME = """
select e.state, i.recipient,
       array(select p.sha256 from attachment p where p.item_id = i.id order by p.number) as parts
  from inbound_email e left join inbox_item i on i.email_id = e.id
 where e.message_id = %(message_id)s
"""
