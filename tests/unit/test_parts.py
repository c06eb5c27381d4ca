"""Parts of the embedded stack: ports, environment, secrets, and start order."""

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.environment import aws_environment, kept, process_environment
from mailroom.sandbox.stack.folder import DataFolder, write_private
from mailroom.sandbox.stack.parts import only
from mailroom.sandbox.stack.ports import PREFERRED, any_free_port, choose_apart, choose_ports, is_free
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.sandbox.stack.stack import Stack

PORTS = {"postgres": 15401, "aws": 15402, "prefect": 15403, "api": 15404, "door": 15405}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder that exists."""
    made = DataFolder(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which another process listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def asked(**ports: int) -> dict[str, str]:
    """The environment that asks for these ports, and for free ones elsewhere: no two parts get the same one."""
    free: dict[str, int] = {}
    for part in PREFERRED:
        free[part] = any_free_port(taken=free.values())
    return {f"MAILROOM_PORT_{part.upper()}": str(port) for part, port in (free | ports).items()}


def test_the_environment_chooses_ports(tmp_path: Path) -> None:
    environment = asked()

    chosen = choose_ports(tmp_path / "ports.json", environment)

    assert {f"MAILROOM_PORT_{part.upper()}": str(port) for part, port in chosen.items()} == environment


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path, taken_port: int) -> None:
    """Other programs use the named port; choosing another would fail silently."""
    with pytest.raises(StackError, match=f"MAILROOM_PORT_API={taken_port}"):
        choose_ports(tmp_path / "ports.json", asked(api=taken_port))


@pytest.mark.parametrize("nonsense", ["http", "0", "65536", "-1"])
def test_a_port_that_is_no_port_is_an_error(tmp_path: Path, nonsense: str) -> None:
    with pytest.raises(StackError, match="is not a free port"):
        choose_ports(tmp_path / "ports.json", asked() | {"MAILROOM_PORT_API": nonsense})


def test_a_restart_takes_the_ports_of_last_time(tmp_path: Path) -> None:
    """Links to runs and items in a browser's history stay good."""
    first = choose_ports(tmp_path / "ports.json", asked())

    assert choose_ports(tmp_path / "ports.json", {}) == first


def test_a_taken_port_gives_way_to_another(tmp_path: Path, taken_port: int) -> None:
    remembered = tmp_path / "ports.json"
    remembered.write_text(json.dumps({"prefect": taken_port}))
    environment = asked()
    del environment["MAILROOM_PORT_PREFECT"]

    chosen = choose_ports(remembered, environment)

    assert chosen["prefect"] != taken_port
    assert is_free(chosen["prefect"])


def test_a_free_port_is_outside_the_range_of_outgoing_connections() -> None:
    """Seconds pass between the choice and the server; meanwhile the machine connects to itself hundreds of times."""
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    chosen = {any_free_port() for _ in range(20)}

    assert max(chosen) < outgoing
    assert min(chosen) >= 1024


def test_a_stack_that_chooses_apart_takes_none_of_the_preferred_ports(tmp_path: Path) -> None:
    """Two that start at one moment both see the preferred ports free, and one of them then finds them in use."""
    choose_apart(tmp_path / "ports.json")

    chosen = choose_ports(tmp_path / "ports.json", {})

    assert not set(chosen.values()) & set(PREFERRED.values())


def test_no_two_parts_share_a_port(tmp_path: Path) -> None:
    remembered = tmp_path / "ports.json"
    remembered.write_text(json.dumps(dict.fromkeys(PREFERRED, 15400)))

    assert len(set(choose_ports(remembered, {}).values())) == len(PREFERRED)


@pytest.mark.parametrize("name", ["PREFECT_API_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "PGHOST"])
def test_foreign_settings_do_not_reach_the_parts(name: str) -> None:
    """A laptop may be configured for production; a sandbox on it must not use that."""
    assert kept({name: "production"}) == {}


def test_a_foreign_database_does_not_reach_the_parts() -> None:
    assert kept({"MAILROOM_DATABASE_URL": "postgresql://production/mailroom"}) == {}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "MAILROOM_ARCHIVE_LOCK_MODE", "HOME"])
def test_what_the_user_decides_reaches_the_parts(name: str) -> None:
    """Single services may live in another emulator."""
    assert kept({name: "x"}) == {name: "x"}


def test_parts_reach_each_other_past_a_proxy(tmp_path: Path) -> None:
    environment = process_environment({"NO_PROXY": "intranet", "HTTPS_PROXY": "http://proxy:3128"}, tmp_path)

    assert environment["NO_PROXY"] == environment["no_proxy"] == "intranet,127.0.0.1,localhost"


def test_boto3_gets_the_emulator_and_no_profile() -> None:
    environment = aws_environment("http://127.0.0.1:5566")

    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5566"
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"


def test_secrets_are_for_their_owner_only(folder: DataFolder) -> None:
    folder.secret("postgres")

    assert stat.S_IMODE((folder.path / "secrets" / "postgres").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_secret_is_random_and_stays(folder: DataFolder) -> None:
    assert folder.secret("api-key") == folder.secret("api-key")
    assert folder.secret("api-key") != folder.secret("postgres")
    assert len(folder.secret("api-key")) == 43


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    file.write_text("old, and readable by all")

    write_private(file, "new")

    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_wiping_leaves_what_was_there_before_and_what_is_not_ours(tmp_path: Path) -> None:
    """MAILROOM_DATA may point, by mistake, at a folder that holds something else."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "theirs.log").write_text("x")
    folder = DataFolder(tmp_path)
    folder.make()
    folder.secret("postgres")
    (tmp_path / "notes.txt").write_text("x")

    folder.wipe()

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["logs", "notes.txt"]
    assert (tmp_path / "logs" / "theirs.log").exists()


def test_wiping_removes_an_empty_folder(folder: DataFolder) -> None:
    folder.wipe()

    assert not folder.path.exists()


def test_every_part_waits_only_for_parts_before_it(folder: DataFolder) -> None:
    """A part that waits for a later one, or for none that exists, would never start."""
    known: set[str] = set()
    for part in Stack(folder, PORTS).parts():
        assert set(part.after) <= known
        known.add(part.name)


def test_a_chosen_part_brings_what_it_waits_for(folder: DataFolder) -> None:
    parts = Stack(folder, PORTS).parts()

    assert [part.name for part in only(parts, ["door"])] == ["postgres", "aws", "database", "provision", "door"]
    assert only(parts, []) == parts


def test_only_the_prefect_server_learns_its_databases_password(folder: DataFolder) -> None:
    parts = {part.name: dict(part.env()) for part in Stack(folder, PORTS).parts()}

    knowing = {name for name, env in parts.items() if "PREFECT_SERVER_DATABASE_CONNECTION_URL" in env}

    assert knowing == {"prefect"}
    assert parts["worker"]["PREFECT_API_URL"] == "http://127.0.0.1:15403/api"


def test_every_part_that_stays_heals_but_the_emulator(folder: DataFolder) -> None:
    """The emulator's data is in memory; for a new part the choice must be made on purpose."""
    staying = {part.name: (part.heals, bool(part.loss)) for part in Stack(folder, PORTS).parts() if not part.once}

    assert staying.pop("aws") == (False, True)
    assert set(staying) == {"postgres", "prefect", "worker", "api", "door"}
    assert set(staying.values()) == {(True, False)}


def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    """A unix socket's path ends after 107 bytes, and data folders of test runs are longer than that."""
    deep = tmp_path / ("x" * 110)
    deep.mkdir()
    server = Postgres(deep, 5433, "secret")

    server._make_socket_folder()

    assert len(str(server.socket_folder())) < 80
    assert str(server.socket_folder()) in server.socket_url("prefect", driver="asyncpg")
    DataFolder(deep).wipe()
    assert not server.socket_folder().exists()
