"""One drill stack for all fault tests: no worker of its own, a proxy before each service, and a fork server."""

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from mailroom.sandbox.drills.drill_stack import open_drill_stack
from mailroom.sandbox.drills.workers import ForkServer
from mailroom.sandbox.stand_ins.fault_proxy import LOOPBACK, FaultProxies
from tests.support.faulty_stack import Range, change_block


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave tests that need the drill stack to `make drill`: it takes minutes."""
    for item in items:
        if "firing_range" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def firing_range(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    """The drill stack, its proxies and its fork server, for the whole session."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the fault tests: {seed}")
    with open_drill_stack(tmp_path_factory.mktemp("range") / "stack", seed=seed, archived=True) as drill_stack:
        drill_stack.known = Path(__file__).with_name("expected_logs.toml")
        aws, prefect, database = (
            urlsplit(drill_stack.facts[name]).port or 0 for name in ("aws_endpoint", "prefect_url", "database_url")
        )
        services = {"s3": ("s3", aws), "sqs": ("json", aws), "kms": ("json", aws), "sesv2": ("rest", aws)}
        with FaultProxies(**services, prefect=("prefect", prefect), sql=("postgres", database)) as proxies:
            parts = urlsplit(drill_stack.facts["database_url"])
            proxied = urlunsplit(parts._replace(netloc=parts.netloc.replace(str(database), str(proxies["sql"].port))))
            change_block(drill_stack, "mailroom-database", {"url": proxied})
            # A call that hangs is given up after a second here, after a minute in production.
            quick = {"config": {"retries": {"mode": "standard", "total_max_attempts": 3}, "read_timeout": 1}}
            change_block(drill_stack, "aws-credentials", {"aws_client_parameters": quick})
            through = {
                f"AWS_ENDPOINT_URL_{name.upper()}": f"http://{LOOPBACK}:{proxies[name].port}" for name in services
            }
            api_url = f"http://{LOOPBACK}:{proxies['prefect'].port}/api"
            # Prefect's client tries five times, after 2, 4, 8, ... s; the failure is to reach our code sooner here.
            through |= {
                "PREFECT_API_URL": api_url,
                "MAILROOM_PREFECT_API_URL": api_url,
                "PREFECT_CLIENT_MAX_RETRIES": "1",
            }
            environment = drill_stack.environment() | through | {"MAILROOM_DATABASE_URL": proxied}
            with ForkServer(environment, drill_stack.folder / "drill") as fork_server:
                yield Range(drill_stack, proxies, fork_server)


@pytest.fixture
def field(firing_range: Range) -> Iterator[Range]:
    """The same, quiet at the start and at the end: no worker, no fault, nothing unfinished."""
    firing_range.drill_stack.drills += 1
    yield firing_range
    firing_range.clear()
