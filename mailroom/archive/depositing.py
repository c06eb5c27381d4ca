"""Deposits an e-mail and its attachments, once for each tenant that receives it."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.archive.retention import RetentionClass
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.received_email import Entry
from mailroom.ports.archive import Archive, Content, Deposit
from mailroom.ports.ledger import Ledger
from mailroom.ports.manifests import KeptManifest, KeptManifests, Manifests

#: Deposit receipts by tenant and SHA-256.
DepositReceipts = dict[tuple[str, str], Deposit]

#: Concurrent deposits of one mail.
CONCURRENT = 4


def deposit_all(
    entry: Entry,
    tenants: Sequence[str],
    contents: Sequence[bytes],
    *,
    archive: Archive,
    ledger: Ledger,
    now: datetime,
    described: Sequence[Manifest] = (),
    manifests: Manifests | None = None,
    retention: Callable[[str], RetentionClass] = lambda _tenant: RetentionClass.DOCUMENT,
    kept: KeptManifests | None = None,
) -> DepositReceipts:
    """Deposit every content for every tenant and return the receipts; equal contents are one deposit.

    The manifests in `described` are written at the same time, and added to `kept`; those that are in it already are renewed.
    Raises what `Archive.deposit` and `Manifests.keep` raise: a part that cannot be deposited fails the whole mail. `retention`
    is the class of the contents for each tenant.
    """
    kept = {} if kept is None else kept

    def describe(one: Manifest) -> KeptManifest:
        if manifests is None:
            raise ConfigurationError("no store for manifests is configured")
        return manifests.renew(kept[one.tenant], one) if one.tenant in kept else manifests.keep(one)

    distinct = {hashlib.sha256(content).hexdigest(): content for content in contents}
    wanted = [(tenant, digest) for tenant in tenants for digest in distinct]

    known = {part.sha256: part.sha512 for one in described for part in one.parts}
    given = [Content(tenant, distinct[one], retention(tenant), one, known.get(one)) for tenant, one in wanted]
    if len(given) == 1 and not described:
        receipts = [archive.deposit(one.tenant, one.content, retention=one.retention) for one in given]
    else:
        with ThreadPoolExecutor(CONCURRENT) as pool:
            writes = [pool.submit(describe, one) for one in described]
            receipts = archive.deposit_all(given, pool=pool)
            kept |= {one.manifest.tenant: one for one in [write.result() for write in writes]}
    ids, names = [receipt.archive_id for receipt in receipts], [one.tenant for one in described]
    ledger.deposited(entry.id, archive_ids=ids, now=now, manifests=names, archived=[kept[name] for name in names])
    return dict(zip(wanted, receipts, strict=True))
