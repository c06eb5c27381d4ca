"""Checks the regions of a block when it is opened: from names and endpoints only, without a network call."""

from collections.abc import Iterable
from typing import Any

from mailroom.domain.operations.regions import Resource, database_hosts, refuse
from mailroom.settings import allowed_regions


def refuse_block_outside(
    block: str,
    *,
    clients: Iterable[Any] = (),
    named: Iterable[str] = (),
    providers: Iterable[str] = (),
    database_url: str = "",
) -> None:
    """Return if data may be stored in everything that the block names; empty names and endpoints pass.

    `clients` are boto3 clients, `named` URLs of queues and ARNs, `providers` URLs or host names.

    Raises:
        ConfigurationError: one is outside the allowed regions, or does not name its region; the message names it.
    """
    allowed, of = allowed_regions(), f"of block {block},"
    resources: list[Resource] = []
    for client in clients:
        what = f"{client.meta.service_model.service_name} endpoint {of}"
        resources.append(allowed.judge_endpoint(what, str(client.meta.endpoint_url)))
    resources += [allowed.judge_named(f"resource {of}", where) for where in named if where]
    resources += [allowed.judge_endpoint(f"provider {of}", where) for where in providers if where]
    resources += [allowed.judge_if_said(f"database {of}", host) for host in database_hosts(database_url)]
    refuse(resources, allowed)
