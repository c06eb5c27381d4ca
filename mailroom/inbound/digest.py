"""The processor `digest`: answers the sender with a receipt for each attachment.

The intent is recorded before anything is sent, one for each e-mail, so no crash and no rerun sends two answers; an e-mail
whose answer may have been sent is never answered again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from mailroom.domain.errors import ConfigurationError, OutcomeUnknown, Refused, TransientError
from mailroom.domain.inbound.auto_replies import ReceiptLine, receipt_mail, why_silent
from mailroom.domain.inbound.routing import normalise, wanted
from mailroom.inbound.processing import FiledMail
from mailroom.ports.inbound import Inbound
from mailroom.ports.processings import Processings
from mailroom.ports.replies import Replies

#: One for each e-mail, shared by its tenants: the sender wrote one mail and gets at most one answer.
_KEY = "digest"
_AT_MOST_ONE_IN = timedelta(hours=1)


def answer(mail: FiledMail, inbound: Inbound) -> Mapping[str, Any]:
    """Send the receipt; the result is its id, or the reason why none was sent."""
    if inbound.answers is None or inbound.processings is None:
        raise ConfigurationError("the processor digest needs a way to send answers")
    silent = why_silent(mail.raw, mail.envelope)
    if silent or mail.envelope is None:
        return {"not_answered": silent}
    sender = normalise(mail.envelope.sender)
    # The directory's spelling; a domain of ours counts as ours, even if no address there receives.
    if any("@" in pattern for pattern in inbound.directory.lookup(wanted([sender], ""))):
        return {"not_answered": "own_address"}
    try:
        raw = _receipt(mail, sender, inbound.processings)
    except ValueError:
        return {"not_answered": "unusable_address"}
    now, digest = datetime.now(UTC), sha256(sender.encode()).hexdigest()
    why_not = inbound.processings.claim(mail.email_id, _KEY, now=now, sender=digest, once_in=_AT_MOST_ONE_IN)
    return {"not_answered": why_not} if why_not else _send(raw, mail, sender, inbound.answers, inbound.processings)


def _send(raw: bytes, mail: FiledMail, sender: str, answers: Replies, processings: Processings) -> Mapping[str, Any]:
    try:
        answer_id = answers.send(raw, sender=mail.routes[0].recipient, recipient=sender)
    except TransientError:
        # Nothing was sent, so the next attempt may claim the answer again.
        processings.release(mail.email_id, _KEY)
        raise
    except (OutcomeUnknown, Refused) as error:
        state = "unknown" if isinstance(error, OutcomeUnknown) else "refused"
        processings.end(mail.email_id, _KEY, state, now=datetime.now(UTC), facts=error.facts)
        return {"not_answered": state}
    processings.end(mail.email_id, _KEY, "done", now=datetime.now(UTC), facts={"answer_id": answer_id})
    return {"answer_id": answer_id}


def _receipt(mail: FiledMail, sender: str, processings: Processings) -> bytes:
    receipts = {part.sha256: mail.receipts.get(part.sha256) for part in mail.parsed.attachments}
    ids = [receipt.archive_id for receipt in receipts.values() if receipt]
    earlier = processings.kept_before(mail.email_id, ids) if ids else set()
    lines, listed = [], set[str]()
    for part in mail.parsed.attachments:
        receipt = receipts[part.sha256]
        if receipt is None:
            lines.append(ReceiptLine(part.filename, "rejected"))
            continue
        again = receipt.archive_id in earlier or part.sha256 in listed
        lines.append(ReceiptLine(part.filename, "duplicate" if again else "archived", receipt.archive_id))
        listed.add(part.sha256)
    return receipt_mail(
        sender=mail.routes[0].recipient,
        recipient=sender,
        subject=mail.parsed.subject,
        message_id=mail.parsed.message_id,
        lines=lines,
    )
