"""What is asked after something went wrong: by the clients and with the credentials that the work itself uses.

A probe asks for no more than the work may do, and leaves nothing behind.
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

#: Shown as `paused_by` while the schema does not fit this code.
SCHEMA = "the schema"


def inbound_probes(client: PrefectClient, engine: Engine) -> dict[str, Probe]:
    """Return what the listener needs: `client` creates the runs, `engine` is its own; all else is the block's."""
    return {
        **_own(client, engine, RECEIVE_EMAIL),
        "the database of the block inbound": partial(check_inbound, "database"),
        "S3": partial(check_inbound, "mails"),
        "the archive": partial(check_inbound, "archive"),
        "KMS": partial(check_inbound, "keys"),
    }


def outbound_probes(client: PrefectClient, engine: Engine) -> dict[str, Probe]:
    """Return what the mailbox listener needs, likewise."""
    return {
        **_own(client, engine, SEND_BATCH),
        "the database of the block outbound": partial(check_outbound, "database"),
    }


def _own(client: PrefectClient, engine: Engine, deployment: str) -> dict[str, Probe]:
    # Not /health, which answers without a password too: the deployment is what each run is made of.
    return {
        "Prefect": partial(client.read_deployment_by_name, deployment),
        "PostgreSQL": partial(reach, engine),
        SCHEMA: partial(refuse_unfit, engine),
    }
