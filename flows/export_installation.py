"""The export of the installation: every hour, what the archive's manifests and journals do not have, if it changed."""

from typing import cast

from prefect import flow
from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed

from blocks.archive import LegalArchive
from tasks.export_installation import export
from tasks.support.steps import blocking


@flow(name="export-installation", persist_result=False)
async def export_installation() -> RunState:
    """Write tenants, addresses, people, hashes of keys, senders, suppressions and rules to the archive, signed and locked.

    `mailroom archive rebuild` reads the newest one after the database was lost. It is written when it differs from the last
    one, and once a day; without MAILROOM_SEAL_KEY nothing is written.
    """
    block = cast(LegalArchive, await LegalArchive.aload("archive"))
    ports = await blocking(block.open_exporting)
    if ports.signer is None:
        return Completed(message="nothing exported: there is no MAILROOM_SEAL_KEY to sign it")
    kept = await export(ports)
    return Completed(message=f"exported to {kept.key}" if kept else "unchanged")
