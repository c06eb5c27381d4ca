"""The scope of suppressions in SQL: which rows withhold the mail of a stream, and tenants' policies as they are stored."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, any_, case, exists, func, select
from sqlalchemy.dialects.postgresql import array

from mailroom.adapters.postgres.delivery.models import SuppressionRow
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.outbound.models import BatchRow, ContentRow
from mailroom.domain.delivery.streams import (
    BULK,
    TRANSACTIONAL,
    Scope,
    UnsubscribePolicy,
    is_stream,
    scope_key,
)
from mailroom.domain.outbound.message import Batch

_suppression, _tenant, _content = table(SuppressionRow).c, table(TenantRow).c, table(ContentRow).c
_batches = table(BatchRow)
_batch = _batches.c

_OFFERS = select(_content.number).where(_content.batch_id == _batch.id, _content.unsubscribe.is_not(None))
#: The stream of a batch. One of an earlier release names none, and has that of `default_stream`: its lane's, unless it can be left.
STREAM: ColumnElement[str] = func.coalesce(
    _batch.stream, case((exists(_OFFERS.correlate(_batches)), BULK), else_=_batch.lane)
)


def withholding(tenant: str, stream: str) -> ColumnElement[Any]:
    """Return the scopes, as they are stored, whose suppressions withhold mail of this stream of the tenant: an array in SQL."""
    everything = array([Scope.ALL.value])
    if stream == TRANSACTIONAL:
        return everything
    listed = exists(
        select(_tenant.id).where(_tenant.id == tenant, _tenant.unsubscribe["transactional"].has_key(stream))
    )
    all_scopes = array([Scope.ALL.value, Scope.NOT_TRANSACTIONAL.value, scope_key(Scope.STREAM, stream)])
    return case((listed, everything), else_=all_scopes)


def covers(tenant: str, stream: str) -> ColumnElement[bool]:
    """Return the condition that a suppression withholds mail of this stream of the tenant."""
    return _suppression.scope == any_(withholding(tenant, stream))


def with_stream(connection: Connection, batch: Batch) -> Batch:
    """Return a stored batch with its stream (`STREAM`)."""
    if batch.stream is not None:
        return batch
    stream = connection.execute(select(STREAM).where(_batch.id == UUID(batch.id))).scalar_one_or_none()
    return replace(batch, stream=stream)


def stored_policy(connection: Connection, tenant: str) -> UnsubscribePolicy:
    """Return a tenant's policy."""
    return policy_of(connection.execute(select(_tenant.unsubscribe).where(_tenant.id == tenant)).scalar())


def policy_values(policy: UnsubscribePolicy) -> dict[str, Any]:
    """Return a policy as it is stored: what differs from the default."""
    values: dict[str, Any] = {
        "covers": "" if policy.covers is Scope.STREAM else policy.covers.value,
        "transactional": list(policy.transactional),
        "name": policy.name,
        "text": policy.text,
        "groups": dict(policy.groups),
    }
    return {name: value for name, value in values.items() if value}


def policy_of(stored: Any) -> UnsubscribePolicy:
    """Return the policy that was stored; a part that cannot be read is the default's."""
    values = stored if isinstance(stored, dict) else {}
    listed, groups = values.get("transactional"), values.get("groups")
    known: Mapping[Any, Any] = groups if isinstance(groups, dict) else {}
    return UnsubscribePolicy(
        covers=Scope.NOT_TRANSACTIONAL if values.get("covers") == Scope.NOT_TRANSACTIONAL else Scope.STREAM,
        transactional=tuple(filter(is_stream, listed)) if isinstance(listed, list) else (),
        name=_text(values.get("name")),
        text=_text(values.get("text")),
        groups={str(group): stream for group, stream in known.items() if is_stream(stream)},
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
