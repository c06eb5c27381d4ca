"""What blocks hold, checked where they are opened: names and endpoints only, so that it costs no call."""

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
    """Return if all that the block leads to may hold data; an empty name or endpoint leads nowhere.

    `clients` are boto3 clients, `named` URLs of queues and ARNs, `providers` URLs or host names.

    Raises:
        ConfigurationError: something may not, or does not say where it is; the message names it.
    """
    allowed, of = allowed_regions(), f"of block {block},"
    found: list[Resource] = []
    for client in clients:
        what = f"{client.meta.service_model.service_name} endpoint {of}"
        found.append(allowed.judge_endpoint(what, str(client.meta.endpoint_url)))
    found += [allowed.judge_named(f"resource {of}", where) for where in named if where]
    found += [allowed.judge_endpoint(f"provider {of}", where) for where in providers if where]
    found += [allowed.judge_if_said(f"database {of}", host) for host in database_hosts(database_url)]
    refuse(found, allowed)
