"""The manifest of a received e-mail: what is needed besides its bytes to file it again, one for each tenant.

It is stored in the archive beside the raw e-mail, at `<tenant>/aip/<id>.json`, before anything is acknowledged. The id is
derived from the raw object alone, so that a mail announced again without its notification finds its envelope. No tenant's
manifest names another tenant's recipients; all of a mail's manifests together make up its envelope.

It describes the mail as an archival information package (AIP): its parts are the raw e-mail and, once it has been parsed, its
attachments. Of version 1, which had no parts, everything else is read.

The form is canonical JSON (RFC 8785, for text and integers): sorted names, no white space, UTF-8. Unknown values are left
out. Readers ignore names that they do not know, so later versions may add some. Nothing is ever removed: a renewed manifest
is a new version of the object, and names at least the recipients of the older ones.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from mailroom.domain.archive.retention import RetentionClass as RetentionClass
from mailroom.domain.archive.retention import RetentionRule
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.received_email import Envelope, ObjectRef
from mailroom.domain.inbound.routing import INBOX, Route
from mailroom.domain.inbound.verdicts import CHECKS, Verdicts, stored_checks

FORMAT, VERSION = "mailroom.aip", 2

#: Folder of the manifests in a tenant's part of the archive.
FOLDER = "aip"


class Source(StrEnum):
    """Source of recipients and verdicts: SES's notification, the headers that SES wrote into the mail, or none."""

    SES = "ses"
    HEADERS = "headers"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A deposit of a mail: the raw e-mail, which is number 0, or the attachment of this number.

    `content_type` is as declared, `detected_type` that of the first bytes, if known.
    """

    number: int
    sha256: str
    sha512: str
    size: int
    content_type: str
    detected_type: str | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One tenant's manifest of a mail.

    `received_at` is the ledger's time of receipt, which inboxes show; the envelope has SES's own. `attempt` is the attempt
    that wrote it: a ledger with fewer attempts is older than the manifest. `sha256` and `size` are those of the raw e-mail,
    None if it could not be opened. `email_id` is the id of the ledger's line; `scan` is the scanner's result and `is_released`
    says that a person released the mail. `salt` (hex) makes the digests of its items in the journal unguessable; it is dropped
    with the manifest. `rule` (as `document/1`), `written_at` and `retain_until` are set by the
    store.
    """

    tenant: str
    ref: ObjectRef
    received_at: datetime
    envelope: Envelope
    named_by: Source
    attempt: int
    retention: RetentionClass
    routes: tuple[Route, ...] = ()
    reason: str | None = None
    sha256: str | None = None
    size: int | None = None
    email_id: str | None = None
    parts: tuple[Part, ...] = ()
    scan: Scan | None = None
    is_released: bool = False
    salt: str | None = None
    rule: str | None = field(default=None, compare=False)
    written_at: datetime | None = None
    retain_until: datetime | None = None

    @property
    def key(self) -> str:
        """Its key in the archive."""
        return key_of(self.tenant, self.ref)

    def is_of(self, ref: ObjectRef, sha256: str | None) -> bool:
        """Return whether it describes this object, and not another version under the same key.

        The digest of the raw e-mail decides if both sides have it, else the version if both have that.
        """
        if self.sha256 and sha256:
            return self.sha256 == sha256
        return not (self.ref.version and ref.version) or self.ref.version == ref.version

    def renewing(self, older: Iterable["Manifest"]) -> "Manifest":
        """Return this manifest merged with `older` ones of the same tenant and mail, oldest first."""
        others = [one for one in older if one.is_of(self.ref, self.sha256)]
        if not others:
            return self
        by_ses = [one for one in others if one.named_by is Source.SES]
        first = by_ses[-1] if by_ses and self.named_by is not Source.SES else self
        named = [name for one in (*others, self) for name in one.envelope.recipients]
        kept = {RetentionClass.DOCUMENT, RetentionClass.WITHDRAWN} & {one.retention for one in others}
        withdrawn = bool(kept) and self.retention is not RetentionClass.DOCUMENT
        newest_first = (self, *reversed(others))
        opened = next((one for one in newest_first if one.sha256), self)
        named_version = next((one for one in newest_first if one.ref.version), self)
        # An attempt knows the attachments once it has parsed the mail; until then those of an earlier one are the mail's.
        described = max(newest_first, key=lambda one: len(one.parts))
        return replace(
            self,
            ref=named_version.ref,
            received_at=min(one.received_at for one in (*others, self)),
            envelope=replace(first.envelope, recipients=tuple(dict.fromkeys(named))),
            named_by=first.named_by,
            retention=RetentionClass.WITHDRAWN if withdrawn else self.retention,
            sha256=opened.sha256,
            size=opened.size,
            parts=described.parts,
            salt=next((one.salt for one in (*others, self) if one.salt), None),
        )

    def says_no_more_than(self, older: "Manifest") -> bool:
        """Return whether `older` has the same content, apart from the attempt and the times of writing."""
        return replace(self, attempt=0, written_at=None, retain_until=None) == replace(
            older, attempt=0, written_at=None, retain_until=None
        )


@dataclass(frozen=True, slots=True)
class Recalled:
    """The merged content of a mail's manifests; `envelope` is None if none of them is from SES's notification."""

    received_at: datetime
    envelope: Envelope | None


def recalled(manifests: Iterable[Manifest]) -> Recalled | None:
    """Return the merged content of one mail's manifests, oldest first: the newest envelope with every recipient ever named."""
    known = list(manifests)
    if not known:
        return None
    by_ses = [one for one in known if one.named_by is Source.SES]
    envelope = None
    if by_ses:
        named = dict.fromkeys(name for one in by_ses for name in one.envelope.recipients)
        envelope = replace(by_ses[-1].envelope, recipients=tuple(named))
    return Recalled(min(one.received_at for one in known), envelope)


def id_of(ref: ObjectRef) -> str:
    """Return the id of an object's manifests; it does not depend on the version, which SES's notification does not contain."""
    return hashlib.sha256(f"{ref.bucket}/{ref.key}".encode()).hexdigest()


def key_of(tenant: str, ref: ObjectRef) -> str:
    """Return the key of a tenant's manifest of an object in the archive."""
    return f"{tenant}/{FOLDER}/{id_of(ref)}.json"


def canonical(value: Any) -> bytes:
    """Return `value` as canonical JSON (RFC 8785): text, integers, lists, and mappings with ASCII names."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def write(manifest: Manifest, *, lock_mode: str, rule: RetentionRule) -> bytes:
    """Return a manifest's stored bytes, with the rule of its lock."""
    if manifest.retain_until is None or manifest.written_at is None:
        raise ConfigurationError("a manifest is written with its times")
    envelope = manifest.envelope
    raw = {"sha256": manifest.sha256, "size": manifest.size} if manifest.sha256 else None
    return canonical(
        _known(
            format=FORMAT,
            version=VERSION,
            tenant=manifest.tenant,
            source={
                "bucket": manifest.ref.bucket,
                "key": manifest.ref.key,
                "version": manifest.ref.version,
                "message_id": manifest.ref.message_id,
            },
            received_at=_text(manifest.received_at),
            envelope={
                "named_by": manifest.named_by.value,
                "recipients": list(envelope.recipients),
                "sender": envelope.sender,
                "received_at": _text(envelope.received_at),
                "verdicts": _known(
                    **{check: getattr(envelope.verdicts, check).value for check in CHECKS},
                    dmarc_policy=envelope.verdicts.dmarc_policy,
                ),
            },
            routing=_known(
                routes=[_route(to) for to in manifest.routes],
                reason=manifest.reason,
                scan=_scan(manifest.scan) if manifest.scan else None,
                released=manifest.is_released or None,
            ),
            raw=raw,
            email_id=manifest.email_id,
            parts=[_known(**asdict(part)) for part in manifest.parts] or None,
            salt=manifest.salt,
            retention={
                "class": manifest.retention.value,
                "rule": rule.label,
                "days": rule.days,
                "until": _text(manifest.retain_until),
                "lock_mode": lock_mode,
            },
            attempt=manifest.attempt,
            written_at=_text(manifest.written_at),
        )
    )


def read(stored: bytes) -> Manifest:
    """Return the manifest in stored bytes.

    Raises:
        ValueError: the bytes are not a manifest.
    """
    try:
        return _read(json.loads(stored))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, ConfigurationError) as error:
        raise ValueError("no manifest") from error


def _read(facts: Mapping[str, Any]) -> Manifest:
    if facts["format"] != FORMAT:
        raise ValueError("no manifest")
    source, envelope, raw = facts["source"], facts["envelope"], facts.get("raw", {})
    verdicts = envelope["verdicts"]
    return Manifest(
        tenant=str(facts["tenant"]),
        ref=ObjectRef(source["bucket"], source["key"], source["version"]),
        received_at=_time(facts["received_at"]),
        envelope=Envelope(
            recipients=tuple(_storable(name) for name in envelope["recipients"]),
            sender=_storable(envelope["sender"]),
            received_at=_time(envelope["received_at"]),
            verdicts=Verdicts(**stored_checks(verdicts), dmarc_policy=verdicts.get("dmarc_policy")),
        ),
        named_by=Source(envelope["named_by"]),
        attempt=int(facts["attempt"]),
        retention=_class_of(facts["retention"]["class"]),
        routes=tuple(_route_of(facts["tenant"], to) for to in facts["routing"]["routes"]),
        reason=facts["routing"].get("reason"),
        sha256=raw.get("sha256"),
        size=raw.get("size"),
        email_id=facts.get("email_id"),
        parts=_parts_of(facts.get("parts", ())),
        scan=_scan_of(facts["routing"].get("scan")),
        is_released=bool(facts["routing"].get("released")),
        salt=facts.get("salt"),
        rule=facts["retention"].get("rule"),
        written_at=_time(facts["written_at"]),
        retain_until=_time(facts["retention"]["until"]),
    )


def _route(to: Route) -> dict[str, Any]:
    more = list(to.more_tokens) or None
    return _known(
        recipient=to.recipient, user=to.user, why=to.why, plus=to.plus_token, processor=to.processor, more_plus=more
    )


def _route_of(tenant: str, facts: Mapping[str, Any]) -> Route:
    return Route(
        facts["recipient"],
        tenant,
        facts["user"],
        facts["why"],
        facts.get("plus"),
        facts.get("processor", INBOX),
        more_tokens=tuple(facts.get("more_plus", ())),
    )


def _parts_of(parts: Iterable[Mapping[str, Any]]) -> tuple[Part, ...]:
    """Return the parts, or none if one of them cannot be read: the envelope counts more."""
    try:
        return tuple(
            Part(
                number=part["number"],
                sha256=part["sha256"],
                sha512=part["sha512"],
                size=part["size"],
                content_type=part["content_type"],
                detected_type=part.get("detected_type"),
                filename=part.get("filename"),
            )
            for part in parts
        )
    except (KeyError, TypeError, AttributeError):
        return ()


def _scan(scan: Scan) -> dict[str, str]:
    of = _text(scan.signatures_of) if scan.signatures_of else None
    return _known(finding=scan.finding.value, engine=scan.engine, why=scan.why, signatures_of=of)


def _scan_of(facts: Mapping[str, str] | None) -> Scan | None:
    if facts is None:
        return None
    of = facts.get("signatures_of")
    return Scan(Finding(facts["finding"]), facts["engine"], facts.get("why"), _time(of) if of else None)


def _storable(text: str) -> str:
    """Return `text` if the database can store it, else raise `ValueError`; a foreign manifest must not stop the mail."""
    if "\0" in text:
        raise ValueError("no manifest")
    text.encode()
    return text


def _class_of(word: str) -> RetentionClass:
    """Return the class of this name; an unknown one, from a later version, counts as the class that is kept longest."""
    return RetentionClass(word) if word in RetentionClass.__members__.values() else RetentionClass.DOCUMENT


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no manifest")
    return moment.astimezone(UTC)
