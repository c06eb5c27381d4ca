"""Depositing what an e-mail brought, once for each tenant that receives it."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from mailroom.domain.inbound import Entry
from mailroom.ports import Archive, Deposit, Ledger

#: The receipts by tenant and SHA-256.
Kept = dict[tuple[str, str], Deposit]

#: Deposits of one mail that are under way at once.
_ABREAST = 4


def deposit_all(
    entry: Entry,
    tenants: Sequence[str],
    contents: Sequence[bytes],
    *,
    archive: Archive,
    ledger: Ledger,
    now: datetime,
) -> Kept:
    """Deposit every content for every tenant and return the receipts; equal contents are one deposit.

    Raises what `Archive.deposit` raises: one part that cannot be kept fails the mail, for a missing part is a failure.
    """
    distinct = {hashlib.sha256(content).hexdigest(): content for content in contents}
    wanted = [(tenant, digest) for tenant in tenants for digest in distinct]
    if len(wanted) == 1:
        receipts = [archive.deposit(tenant, distinct[digest]) for tenant, digest in wanted]
    else:
        with ThreadPoolExecutor(_ABREAST) as pool:
            receipts = list(pool.map(lambda one: archive.deposit(one[0], distinct[one[1]]), wanted))
    ledger.deposited(entry.id, archive_ids=[receipt.archive_id for receipt in receipts], now=now)
    return dict(zip(wanted, receipts, strict=True))
