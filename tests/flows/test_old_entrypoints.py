"""Names from before files were moved work for one release: entrypoints, programs, imports of other packages."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, get_current_settings

from deployments.worker.client import run_client_context
from deployments.worker.executor import WarmExecutor
from deployments.worker.pool_worker import MailroomWorker
from deployments.worker.process import POOL

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / "tests" / "data" / "prefect_before_rooms.yaml"
LISTED: list[dict[str, Any]] = yaml.safe_load(OLD.read_text())["deployments"]
NOW: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.fixture(scope="module")
def registered(server: None) -> None:
    """The deployments of the release before, registered as it did."""
    environment = {**get_current_settings().to_environment_variables(), "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    for command in (
        ["work-pool", "create", POOL, "--type", MailroomWorker.type],
        ["deploy", "--all", "--prefect-file", OLD],
    ):
        ended = subprocess.run(
            [*prefect, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_registered_entrypoint_leads_to_the_flow_of_its_name(registered: None) -> None:
    """A worker of this release takes runs of deployments that were not registered again."""

    async def flows() -> dict[str, str]:
        async with run_client_context() as context:
            client: Any = context.client
            executor, found = WarmExecutor(client, limit=1), {}
            for one in await client.read_deployments():
                flow = await executor._flow_at(str(one.entrypoint))
                found[str(one.entrypoint)] = flow.name
        return found

    loaded, entrypoints = asyncio.run(flows()), [one["entrypoint"] for one in LISTED]

    assert sorted(loaded) == sorted(entrypoints)
    assert {loaded[at] for at in entrypoints} == {_flow_named(one["entrypoint"]) for one in LISTED}


def test_a_run_of_an_old_entrypoint_comes_to_its_end(registered: None) -> None:
    """It is not only found, it runs."""

    async def run() -> State | None:
        async with run_client_context() as context:
            client: Any = context.client
            deployment = await client.read_deployment_by_name("raise-alarm/raise-alarm")
            made = await client.create_flow_run_from_deployment(
                deployment.id, parameters={"alarm": "a test", "about": "old entrypoints"}
            )
            return await WarmExecutor(client, limit=1).execute(made)

    ended = asyncio.run(run())

    assert ended is not None
    assert ended.is_completed()


def test_the_new_list_has_the_deployments_of_the_old() -> None:
    """Others were added. Names, schedules and parameters are stable; entrypoints moved, and descriptions are sentences for people."""
    now = {one["name"]: one for one in NOW}
    apart = [{**one, "entrypoint": "", "description": ""} for one in LISTED]

    assert apart == [{**now[one["name"]], "entrypoint": "", "description": ""} for one in LISTED]
    assert all(one["entrypoint"] != now[one["name"]]["entrypoint"] for one in LISTED)


@pytest.mark.parametrize(
    "code",
    [
        "from mailroom.ports import Inbound",
        "from mailroom.cli import main",
        "from blocks.sending import OutboundMail; from blocks.watching import MailroomWatch",
        "from deployments.pool_worker import MailroomWorker",
        "import importlib; importlib.import_module('deployments.ensure').main",
        "import importlib; importlib.import_module('deployments.server').main",
        "import importlib.util; assert importlib.util.find_spec('deployments.worker.__main__')",
    ],
)
def test_names_that_others_import_are_there(code: str) -> None:
    """Processors of other packages, installed entry points and services of operators name these."""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr


def _flow_named(entrypoint: str) -> str:
    """Return the name of the flow that an entrypoint leads to: its function's, with dashes."""
    return entrypoint.rpartition(".")[2].replace("_", "-")
