"""Creates what must exist on the Prefect server: work pool, blocks, deployments, automations. Safe to run at every start.

`python -m deployments.ensure`. The deployments themselves are listed in `prefect.yaml` and registered by Prefect's own
`prefect deploy --all`, which costs a new interpreter; it is skipped while the file is the one registered last.
"""

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import yaml
from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.exceptions import ObjectNotFound
from prefect.filesystems import LocalFileSystem
from prefect.settings import get_current_settings
from prefect.variables import Variable
from prefect_aws import AwsCredentials
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

from blocks import InboundMail, JournalSeals, LegalArchive, MailroomDatabase, MailroomWatch, OutboundMail
from blocks.provider_ses import SesProvider
from deployments.automations import ensure_automations
from deployments.worker.pool_worker import MailroomWorker
from deployments.worker.process import POOL
from deployments.worker.runs import BULK
from mailroom.adapters.aws.clients import client_settings
from mailroom.settings import CHECKOUT, Settings, load_settings

Saved = TypeVar("Saved", bound=Block)

_REGISTERED = "mailroom_deployments"

#: The block in which Prefect stores results, such as exceptions of failed runs (PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK).
_RESULTS = "mailroom-results"

#: Fields of blocks that have no setting: an operator's values stay.
_OPERATORS: dict[type[Block], tuple[str, ...]] = {
    OutboundMail: ("provider", "second", "per_second"),
    JournalSeals: ("witness_credentials",),
    InboundMail: (
        "rules",
        "client_prefixes",
        "client_context",
        "legacy_encryption",
        "master_key",
        "sse_kms_prefixes",
        "plain_prefixes",
        "private_webhooks",
    ),
}


@contextmanager
def _each_type_once() -> Iterator[None]:
    """Register each block type once: saving a block registers all types in it, one after the other, wherever they stand."""
    register: Any = Block.__dict__["aregister_type_and_schema"]
    done: set[type[Block]] = set()

    async def once(cls: type[Block], client: PrefectClient | None = None) -> None:
        if cls not in done:
            await register.__get__(None, cls)(client=client)
            done.add(cls)

    Block.aregister_type_and_schema = classmethod(once)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Block.aregister_type_and_schema = register  # type: ignore[method-assign]


async def ensure(settings: Settings) -> None:
    """Create or update everything that differs from the settings."""
    async with get_client() as client:
        await ensure_pool(client)
        with _each_type_once():
            await _ensure_blocks(settings)
        await _ensure_deployments(client)
        for name in await ensure_automations(client):
            print(f"created, changed or removed automation {name}")


async def ensure_pool(client: PrefectClient) -> None:
    """Create the pool and its queue of bulk batches, unless they are there."""
    try:
        await client.read_work_pool(POOL)
    except ObjectNotFound:
        template = MailroomWorker.get_default_base_job_template()
        await client.create_work_pool(
            WorkPoolCreate(
                name=POOL,
                type=MailroomWorker.type,
                base_job_template=template,
                description="Runs in the Mailroom worker, which also receives from the inbound queue.",
            )
        )
        print(f"created work pool {POOL}")
    try:
        await client.read_work_queue_by_name(BULK, work_pool_name=POOL)
    except ObjectNotFound:
        # Made by the first bulk runs otherwise, and two of them at once refuse each other.
        await client.create_work_queue(BULK, work_pool_name=POOL)
        print(f"created work queue {BULK}")


async def _profile(settings: Settings, who: str) -> AwsCredentials | None:
    """Return the saved credentials of the archive's copy, auditor or eliminator; None if no profile is set."""
    profile = getattr(settings, f"archive_{who}_profile")
    if not profile:
        return None
    parameters = AwsClientParameters(config=client_settings())
    made = AwsCredentials(region_name=settings.region, profile_name=profile, aws_client_parameters=parameters)
    return await _ensure_block(made, f"mailroom-archive-{who}")


async def _ensure_blocks(settings: Settings) -> None:
    credentials = AwsCredentials(
        region_name=settings.region,
        aws_client_parameters=AwsClientParameters(config=client_settings()),
    )
    await _ensure_block(LocalFileSystem(basepath=str(get_current_settings().results.local_storage_path)), _RESULTS)
    credentials = await _ensure_block(credentials, "mailroom", keep=True)
    database = MailroomDatabase(url=SecretStr(settings.database_url.get_secret_value()))
    database = await _ensure_block(database, "mailroom")
    archive = LegalArchive(
        credentials=credentials,
        database=database,
        bucket=settings.archive_bucket,
        account=settings.owner_of_archive,
        region=settings.archive_region or settings.storage_region,
        lock_mode=settings.archive_lock_mode,
        audit_mb=settings.archive_audit_mb,
        copy_bucket=settings.archive_copy_bucket,
        copy_account=settings.archive_copy_account,
        copy_region=settings.archive_copy_region,
        copy_credentials=await _profile(settings, "copy"),
        auditor=await _profile(settings, "auditor"),
        eliminator=await _profile(settings, "eliminator"),
    )
    archive = await _ensure_block(archive, "archive")
    inbound = InboundMail(
        credentials=credentials,
        account_id=settings.account_id,
        kms_key_arn=settings.kms_key_arn,
        scanner=settings.scanner,
        webhook_ports=settings.webhook_ports,
        archive=archive,
        database=database,
        bucket=settings.inbound_bucket,
        bucket_account=settings.owner_of_buckets,
        prefix=settings.inbound_prefix,
        prefixes=settings.inbound_prefixes.split(),
        queue_url=settings.inbound_queue_url,
        storage_region=settings.storage_region,
        api_url=settings.api_url,
    )
    await _ensure_block(inbound, "inbound")
    seals = JournalSeals(
        archive=archive,
        authorities=settings.time_stamping,
        witness_credentials=credentials,
        witness_bucket=settings.witness_bucket,
        witness_account=settings.owner_of_witness,
        witness_region=settings.region_of_witness,
    )
    await _ensure_block(seals, "archive")
    watched = MailroomWatch(
        credentials=credentials,
        database=database,
        is_stamped=bool(settings.time_stamping),
        is_witnessed=bool(settings.witness_bucket),
        queues=_queues(settings),
        storage_region=settings.storage_region,
    )
    await _ensure_block(watched, "mailroom")
    ses = SesProvider(
        credentials=credentials, account_id=settings.account_id, configuration_set=settings.configuration_set or None
    )
    await _ensure_block(ses, "default", keep=True)
    outbound = OutboundMail(
        archive=archive,
        database=database,
        public_url=settings.link_url,
        tracking_url=settings.tracking_url,
        unsubscribe_key=settings.unsubscribe_key,
        per_second=settings.per_second,
        recipient_retry_hours=settings.recipient_retry_hours,
    )
    await _ensure_block(outbound, "outbound")


def _queues(settings: Settings) -> dict[str, str]:
    return {
        "inbound": settings.inbound_queue_url,
        "mailbox": settings.mailbox_queue_url,
        "tracking": settings.tracking_queue_url,
    }


async def _ensure_block(block: Saved, name: str, *, keep: bool = False) -> Saved:
    """Save `block` under `name` unless the server has it with the same values; fields that only an operator sets are kept.

    Returns the server's block, so that saving it within another stores a reference and later changes by an operator
    count there too; a copy would not follow them.
    """
    known: Any
    try:
        known = await type(block).aload(name)
    except ValueError:
        known = None
    if known is not None and keep:
        return cast(Saved, known)
    for field in _OPERATORS.get(type(block), ()) if known is not None else ():
        setattr(block, field, getattr(known, field))
    if known is not None and _values(known) == _values(block):
        return cast(Saved, known)
    await block.asave(name, overwrite=True)
    print(f"saved block {block.get_block_type_slug()}/{name}")
    return block


def _values(block: Block) -> Any:
    """Return the fields of a block, without those that the server adds."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items() if name != "block_type_slug"}
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    return plain(block.model_dump())


async def _ensure_deployments(client: PrefectClient) -> None:
    listed = (CHECKOUT / "prefect.yaml").read_bytes()
    digest = hashlib.sha256(listed).hexdigest()
    names = {one["name"] for one in yaml.safe_load(listed)["deployments"]}
    registered: Any = await Variable.aget(_REGISTERED)
    if registered == digest and await _are_registered(client, names):
        return
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    ended = await asyncio.to_thread(
        subprocess.run, command, cwd=CHECKOUT, capture_output=True, text=True, timeout=280, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"prefect deploy --all failed:\n{ended.stdout}\n{ended.stderr}")
    await Variable.aset(_REGISTERED, digest, overwrite=True)
    print("registered the deployments of prefect.yaml")


async def _are_registered(client: PrefectClient, names: set[str]) -> bool:
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=sorted(names)))
    return names == {one.name for one in await client.read_deployments(deployment_filter=wanted)}


def main() -> None:
    """Ensure everything on the server of PREFECT_API_URL."""
    asyncio.run(ensure(load_settings()))


if __name__ == "__main__":
    main()
