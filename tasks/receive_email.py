"""The steps of an inbound e-mail, in order. Each may be killed at any point and run again."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mailroom.archive import mail_manifests
from mailroom.archive.depositing import DepositReceipts, deposit_all
from mailroom.archive.mail_manifests import describe, with_attachments
from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.domain.inbound.envelope_encryption import Binding, unseal
from mailroom.domain.inbound.received_email import Entry, Item, State
from mailroom.domain.parsing import ParsedAttachment, ParsedEmail
from mailroom.inbound import mail_reports
from mailroom.inbound.fetching import fetch_within
from mailroom.inbound.processing import Action, FiledMail
from mailroom.inbound.rebuilding import recall
from mailroom.inbound.routing import RoutingDecision, decide_routing
from mailroom.ports.inbound import Inbound
from mailroom.ports.mail_store import StoredObject
from mailroom.ports.manifests import KeptManifests
from tasks.support.steps import blocking, step


@step("fetch")
async def fetch(entry: Entry, inbound: Inbound) -> StoredObject:
    """Read the raw object as SES stored it, if its key is where received mail may be; no other object is read."""
    return await blocking(fetch_within, entry, mails=inbound.mails, scope=inbound.scope)


@step("decrypt")
async def decrypt(entry: Entry, sealed: StoredObject, inbound: Inbound) -> bytes:
    """Decrypt the object, after checking that it belongs to this message."""
    binding = Binding(inbound.account_id, entry.ref.message_id, inbound.rules, key=entry.ref.key)
    ours = sealed.sse_kms_key is not None and sealed.sse_kms_key == inbound.kms_key_arn
    body, metadata = sealed.body, sealed.metadata
    return await blocking(
        unseal, body, metadata, keys=inbound.keys, binding=binding, forms=inbound.forms, server_side=ours
    )


@step("recall envelope")
async def recall_envelope(entry: Entry, raw: bytes | None, inbound: Inbound) -> Entry:
    """Find the envelope of a mail without a notification in the archive's manifests, and record it in the ledger."""

    def recalled() -> Entry:
        sha256 = mail_manifests.digest_of(raw) if raw is not None else None
        manifests, ledger = inbound.manifests, inbound.ledger
        return mail_manifests.recall_envelope(entry, sha256, manifests=manifests, ledger=ledger, now=_now())

    return await blocking(recalled)


@step("reopen")
async def reopen_filed(entry: Entry, inbound: Inbound) -> Entry:
    """Open a filed line again where the archive has an envelope that the ledger lacks."""
    return await blocking(
        mail_manifests.reopen_filed, entry, manifests=inbound.manifests, ledger=inbound.ledger, now=_now()
    )


@step("keep envelope")
async def keep_envelope(entry: Entry, reason: str, inbound: Inbound) -> None:
    """Archive the envelope of a mail that cannot be decrypted; its message will be acknowledged."""
    is_first = entry.attempts == 1
    await blocking(mail_manifests.keep_unopened, entry, reason, manifests=inbound.manifests, is_first=is_first)


@step("route")
async def route(entry: Entry, raw: bytes, inbound: Inbound) -> RoutingDecision:
    """Decide whose mail this is, and record why."""
    directory, ledger, scanner = inbound.directory, inbound.ledger, inbound.scanner
    reports = None
    if inbound.bounce_domain and inbound.return_paths is not None:
        reports = mail_reports.ReportReader(inbound.bounce_domain, inbound.return_paths, inbound.parser)
    return await blocking(
        decide_routing,
        entry,
        raw,
        directory=directory,
        ledger=ledger,
        now=_now(),
        scanner=scanner,
        reports=reports,
        sender_limit=inbound.sender_limit,
    )


@step("archive")
async def archive(
    entry: Entry,
    routing: RoutingDecision,
    of: bytes | Sequence[ParsedAttachment],
    inbound: Inbound,
    *,
    described: KeptManifests,
) -> DepositReceipts:
    """Deposit the raw e-mail, or its attachments, for each tenant; the same content again gives the same deposit receipt.

    Each tenant's manifest of the mail is stored at the same time, in `described` too: with the raw e-mail the first, which
    its attachments renew.
    """

    def deposited() -> DepositReceipts:
        if isinstance(of, bytes):
            contents, manifested = [of], describe(entry, routing, of)
        else:
            contents, manifested = [one.content for one in of], with_attachments(described.values(), of)
        archive, manifests, ledger = inbound.archive, inbound.manifests, inbound.ledger
        return deposit_all(
            entry,
            routing.tenants,
            contents,
            archive=archive,
            ledger=ledger,
            now=_now(),
            described=manifested,
            manifests=manifests,
            retention=routing.retention_class,
            kept=described,
        )

    return await blocking(deposited)


@step("record report")
async def record_report(event: DeliveryEvent, inbound: Inbound) -> Mapping[str, Any]:
    """Record what a mail reports of one of our messages, once; return the facts for the ledger."""
    return await blocking(mail_reports.record_report, event, events=inbound.events, now=_now())


@step("parse")
async def parse(raw: bytes, inbound: Inbound) -> ParsedEmail:
    """Parse the e-mail within the limits. A mail that breaks the parser is quarantined; others are not affected."""
    return await blocking(inbound.parser.parse, raw)


@step("create inbox item")
async def create_inbox_item(entry: Entry, items: Sequence[Item], inbound: Inbound) -> list[str]:
    """File one item for each recipient, all or none; existing items stay."""
    return await blocking(inbound.inbox.file, entry.id, items, now=_now(), attempt=entry.attempts)


@step("recall")
async def recall_filed(entry: Entry, failed: Sequence[str], inbound: Inbound) -> list[FiledMail]:
    """Return the filed mail for each failed processor, as it was the first time."""

    def recalled() -> list[FiledMail]:
        ledger, archive, parser = inbound.ledger, inbound.archive, inbound.parser
        return list(recall(entry, failed, ledger=ledger, archive=archive, parser=parser))

    return await blocking(recalled)


def processing(name: str) -> Callable[[FiledMail, Action, Inbound], Coroutine[Any, Any, Mapping[str, Any]]]:
    """Return the task for one step of a processor; the facts that it returns are recorded."""

    @step(name)
    async def process(mail: FiledMail, action: Action, inbound: Inbound) -> Mapping[str, Any]:
        return await blocking(action, mail, inbound) or {}

    return process


@step("acknowledge")
async def acknowledge(entry: Entry, inbound: Inbound, *, facts: Mapping[str, Any] | None = None) -> State:
    """Close the ledger's line. From here on the queue's message may be deleted; the listener does so after the run."""
    close = inbound.ledger.close
    return await blocking(close, entry.id, State.FILED, now=_now(), facts=facts, attempt=entry.attempts)


def _now() -> datetime:
    return datetime.now(UTC)
