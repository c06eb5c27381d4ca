"""The raw object of a mail, read only where received mail may lie."""

import logging

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.received_email import Entry
from mailroom.domain.references import ObjectScope
from mailroom.ports.mail_store import MailStore, StoredObject

logger = logging.getLogger("mailroom.inbound")


def fetch_within(entry: Entry, *, mails: MailStore, scope: ObjectScope) -> StoredObject:
    """Return the object that a mail's reference names; S3 is asked only for one within `scope`.

    Raises:
        Quarantined: `foreign_object`, whatever its form and before any call; else as `MailStore.fetch` says.
    """
    fault = scope.fault(entry.ref.bucket, entry.ref.key)
    if fault is not None:
        logger.warning(
            "e-mail %s refers to an object outside the configured %s; the object is not read", entry.id, fault
        )
        raise Quarantined(Reason.FOREIGN_OBJECT, step=fault)
    return mails.fetch(entry.ref)
