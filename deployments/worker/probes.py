"""Probes that run after a failure, with the clients and credentials of the work itself.

A probe needs no permission beyond those of the work, and changes nothing.
"""

from collections.abc import Callable
from functools import partial

from prefect.client.orchestration import PrefectClient
from sqlalchemy import Engine

from blocks.inbound import check_inbound
from blocks.outbound import check_outbound
from mailroom.adapters.postgres.engine import reach, refuse_unfit
from mailroom.adapters.prefect.http import RECEIVE_EMAIL, SEND_BATCH

Probe = Callable[[], object]

#: The value of `paused_by` while the schema does not fit this code.
SCHEMA = "the schema"


def inbound_probes(client: PrefectClient, engine: Engine) -> dict[str, Probe]:
    """Return the inbound listener's probes: `client` creates the runs, `engine` is its database; the block has the rest."""
    return {
        **_own(client, engine, RECEIVE_EMAIL),
        "the database of the block inbound": partial(check_inbound, "database"),
        "S3": partial(check_inbound, "mails"),
        "the archive": partial(check_inbound, "archive"),
        "KMS": partial(check_inbound, "keys"),
    }


def outbound_probes(client: PrefectClient, engine: Engine) -> dict[str, Probe]:
    """Return the mailbox listener's probes, likewise."""
    return {
        **_own(client, engine, SEND_BATCH),
        "the database of the block outbound": partial(check_outbound, "database"),
    }


def _own(client: PrefectClient, engine: Engine, deployment: str) -> dict[str, Probe]:
    # Not /health, which answers without a password: each run is created from this deployment.
    return {
        "Prefect": partial(client.read_deployment_by_name, deployment),
        "PostgreSQL": partial(reach, engine),
        SCHEMA: partial(refuse_unfit, engine),
    }
