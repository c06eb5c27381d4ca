"""Manifests of a mail: written so that it can be filed again if the ledger loses it, and read back for that."""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from mailroom.domain.archive.manifests import Manifest, Part, RetentionClass, Source, recalled
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.filing_policy import DEFAULT_POLICY
from mailroom.domain.inbound.received_email import Entry, Envelope
from mailroom.domain.inbound.routing import Route, candidates
from mailroom.domain.parsing import ParsedAttachment
from mailroom.domain.tenants import NOBODY
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.ledger import Ledger
from mailroom.ports.manifests import KeptManifest, Manifests


def describe(entry: Entry, routing: RoutingDecision, raw: bytes) -> list[Manifest]:
    """Return a manifest for each tenant of the mail, naming that tenant's recipients only.

    Recipients without an address here go into the installation's own manifest: the address may be added later, and the
    mail replayed.
    """
    by_tenant = _recipients_by_tenant(routing)
    tenants, mail = dict.fromkeys((*routing.tenants, *by_tenant)), part_of(raw, 0, content_type="message/rfc822")
    named_by = Source.SES if entry.envelope else Source.HEADERS if routing.recipients else Source.NOBODY
    sender, sent_at = (
        (entry.envelope.sender, entry.envelope.received_at) if entry.envelope else ("", _received_at(entry))
    )
    return [
        Manifest(
            tenant=tenant,
            ref=entry.ref,
            received_at=_received_at(entry),
            envelope=Envelope(tuple(by_tenant.get(tenant, ())), sender, sent_at, routing.verdicts),
            named_by=named_by,
            attempt=entry.attempts,
            retention=routing.retention_class(tenant),
            routes=tuple(replace(to, policy=DEFAULT_POLICY) for to in routing.routes if to.tenant == tenant),
            reason=str(reason) if (reason := routing.reason_of(tenant)) else None,
            sha256=mail.sha256,
            size=mail.size,
            email_id=entry.id,
            parts=(mail,) if tenant in routing.tenants else (),
            scan=routing.scan,
            is_released=tenant in entry.released,
            salt=secrets.token_hex(32),
        )
        for tenant in tenants
    ]


def with_attachments(kept: Iterable[KeptManifest], attachments: Sequence[ParsedAttachment]) -> list[Manifest]:
    """Return the manifests of a parsed mail that has deposits, each with the mail's attachments among its parts."""
    parts = tuple(
        part_of(
            one.content,
            number,
            content_type=one.content_type,
            detected_type=one.detected_type,
            filename=one.display_name,
        )
        for number, one in enumerate(attachments, start=1)
    )
    return [replace(one.manifest, parts=(*one.manifest.parts[:1], *parts)) for one in kept if one.manifest.parts]


def part_of(content: bytes, number: int, **names: Any) -> Part:
    """Return the part of a mail that has this content."""
    sha256, sha512 = digest_of(content), hashlib.sha512(content).hexdigest()
    return Part(number=number, sha256=sha256, sha512=sha512, size=len(content), **names)


def keep_unopened(entry: Entry, reason: str, *, manifests: Manifests, is_first: bool = False) -> None:
    """Write a manifest with the envelope of a mail that ends before it is routed, unless earlier manifests cover it.

    In the first attempt at a mail with an envelope no earlier manifest is expected, and none is looked up.
    """
    envelope = entry.envelope or Envelope((), "", _received_at(entry))
    if not is_first or entry.envelope is None:
        known = [one for one in manifests.find(entry.ref) if one.is_of(entry.ref, None)]
        if entry.envelope is not None:
            known = [one for one in known if one.named_by is Source.SES]
        named = {name for one in known for name in one.envelope.recipients}
        if known and named.issuperset(envelope.recipients):
            return
    manifests.keep(
        Manifest(
            tenant=NOBODY,
            ref=entry.ref,
            received_at=_received_at(entry),
            envelope=envelope,
            named_by=Source.SES if entry.envelope else Source.NOBODY,
            attempt=entry.attempts,
            retention=RetentionClass.QUARANTINED,
            email_id=entry.id,
            reason=str(reason),
        )
    )


def recall_envelope(entry: Entry, sha256: str | None, *, manifests: Manifests, ledger: Ledger, now: datetime) -> Entry:
    """Return `entry` with the envelope and the time of receipt from its manifests; both are recorded in the ledger too.

    For a mail whose notification is not known: lost, late, or missing from a restored ledger. Manifests of other bytes
    under the same key are ignored, by the digest of the raw e-mail.
    """
    manifest = recalled(one for one in manifests.find(entry.ref) if one.is_of(entry.ref, sha256))
    if manifest is None or (manifest.envelope is None and manifest.received_at == entry.received_at):
        return entry
    return ledger.recall(entry.id, envelope=manifest.envelope, received_at=manifest.received_at, now=now)


def reopen_filed(entry: Entry, *, manifests: Manifests, ledger: Ledger, now: datetime) -> Entry:
    """Return a filed line without envelope, reopened if the archive has the envelope.

    Such a line was filed by its headers, then for more recipients once its notification came; then the database was
    restored to a state between the two.
    """
    items = ledger.trace(entry.id)["items"]
    sha256 = items[0]["raw_archive_id"].rpartition("/")[2] if items else None
    return recall_envelope(entry, sha256, manifests=manifests, ledger=ledger, now=now)


def digest_of(raw: bytes) -> str:
    """Return the SHA-256 of a raw e-mail, which distinguishes it from others under the same key."""
    return hashlib.sha256(raw).hexdigest()


def _recipients_by_tenant(routing: RoutingDecision) -> dict[str, list[str]]:
    """Return each tenant's recipients, spelled as in the envelope."""
    recipients: dict[str, list[str]] = {}
    for recipient in routing.recipients:
        for tenant in _tenants(recipient, routing.routes) or [NOBODY]:
            recipients.setdefault(tenant, []).append(recipient)
    return recipients


def _tenants(recipient: str, routes: Iterable[Route]) -> list[str]:
    try:
        spellings = candidates(recipient)
    except ValueError:
        return []
    tenant_lists = ([to.tenant for to in routes if to.recipient == spelling] for spelling in spellings)
    return next((tenants for tenants in tenant_lists if tenants), [])


def _received_at(entry: Entry) -> datetime:
    if entry.received_at is None:
        raise ConfigurationError("an e-mail in the ledger has no time of receipt")
    return entry.received_at
