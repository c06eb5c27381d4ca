"""Fetching the raw object of an e-mail, only from where received mail may be stored."""

import logging

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.received_email import Entry
from mailroom.domain.references import ObjectScope
from mailroom.ports.mail_store import MailStore, StoredObject

logger = logging.getLogger("mailroom.inbound")


def fetch_within(entry: Entry, *, mails: MailStore, scope: ObjectScope) -> StoredObject:
    """Return the object that an e-mail's reference names; an object outside `scope` is never requested from S3.

    Raises:
        Quarantined: `foreign_object`, before any call to S3; else as `MailStore.fetch` documents.
    """
    fault = scope.fault(entry.ref.bucket, entry.ref.key)
    if fault is not None:
        logger.warning(
            "e-mail %s refers to an object outside the configured %s; the object is not read", entry.id, fault
        )
        raise Quarantined(Reason.FOREIGN_OBJECT, step=fault)
    return mails.fetch(entry.ref)
