"""Manifests as they are stored, in SQL: a row and an entry `archived` of the tenant's journal for each version, once.

Both are in the statement that records the e-mail's deposits.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from mailroom.adapters.postgres.inbound.ledger_statements import DEPOSIT
from mailroom.domain.archive.journal import JournalEntry, Kind
from mailroom.ports.manifests import KeptManifest

# The sort keeps the append to the end, behind the rows that this statement locks.
_ARCHIVE = text("""
with changed as (
    update inbound_email set archive_ids = array_cat(archive_ids,
        array(select one from unnest(cast(:kept as text[])) as one where one <> all(archive_ids)))
    where id = :which returning id
), noted as (
    insert into inbound_activity (email_id, at, kind, facts) select id, :now, 'archived', :details from changed
), given as (
    select * from unnest(cast(:tenants as text[]), cast(:keys as text[]), cast(:versions as text[]),
        cast(:digests as text[]), cast(:rules as text[]), cast(:payloads as text[]))
        as given(tenant, key, version, sha256, rule, payload)
), made as (
    insert into archived_mail (tenant, email_id, key, version, sha256, rule, archived_at)
    select tenant, changed.id, key, version, sha256, rule, :now from given cross join changed
    on conflict do nothing returning tenant, key, version
), entered as (
    select journal_append(one.tenant, 'life', one.payload) as seq
    from (select tenant, payload from given join made using (tenant, key, version) order by tenant) as one
)
select id, (select count(seq) from entered) from changed
""").bindparams(bindparam("details", type_=JSONB))


def record_deposits(connection: Connection, deposited: dict[str, Any], archived: Sequence[KeptManifest]) -> None:
    """Record deposits of an e-mail, with the parameters of the ledger's `DEPOSIT`, and its manifests."""
    values = _arrays(str(deposited["which"]), archived) if archived else {}
    connection.execute(_ARCHIVE if archived else DEPOSIT, deposited | values).one()


def _arrays(email_id: str, archived: Sequence[KeptManifest]) -> dict[str, list[str]]:
    return {
        "tenants": [one.manifest.tenant for one in archived],
        "keys": [one.manifest.key for one in archived],
        "versions": [one.version for one in archived],
        "digests": [one.sha256 for one in archived],
        "rules": [_rule(one) for one in archived],
        "payloads": [_entry(email_id, one).payload for one in archived],
    }


def _entry(email_id: str, kept: KeptManifest) -> JournalEntry:
    manifest = kept.manifest
    parts = list(dict.fromkeys(part.sha256 for part in manifest.parts))
    facts = {"manifest": kept.sha256, "key": manifest.key, "version": kept.version, "parts": parts}
    return JournalEntry(manifest.tenant, Kind.ARCHIVED, email_id, facts | {"rule": _rule(kept)})


def _rule(kept: KeptManifest) -> str:
    """Return the rule and its version, or the class if the store has none."""
    return kept.manifest.rule or kept.manifest.retention.value
