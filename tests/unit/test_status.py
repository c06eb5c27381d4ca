"""`mailroom status` before there is a stack, while it starts, and where its files are not whole: a line and a code, no traceback."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mailroom.cli import _app
from mailroom.sandbox.stack.folder import DataFolder, write_json
from mailroom.sandbox.stack.processes import ProcessId

HERE = ProcessId.of(os.getpid()).as_json()
DEAD = {"pid": 2**22 - 1, "started": 1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """The data folder that the command uses; this machine's own stack and installation are hidden."""
    for name in [name for name in os.environ if name.startswith("MAILROOM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MAILROOM_DATA", str(tmp_path / "data"))
    return DataFolder(tmp_path / "data")


def status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    """Return exit code, JSON and the last line on stderr of the command; the text for people must come as well."""
    ended = []
    for words in (["status"], ["status", "--json"]):
        monkeypatch.setattr("sys.argv", ["mailroom", *words])
        with pytest.raises(SystemExit) as exited:
            _app.main()
        ended.append(exited.value.code)
        output = capsys.readouterr()
    assert ended[0] == ended[1]
    return int(ended[1] or 0), json.loads(output.out), output.err


def part(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "port": None, "log": f"/logs/{name}.log", "stop_signal": 15} | HERE | more


def run(state: str, *parts: dict[str, Any], supervisor: dict[str, int] | None = None) -> dict[str, Any]:
    return {"state": state, "word": "w", "supervisor": supervisor or HERE, "parts": list(parts)}


def test_where_nothing_was_ever_started_it_says_how(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, line = status(monkeypatch, capsys)

    assert (code, found["state"], found["parts"]) == (4, "stopped", [])
    assert line == f"mailroom: no stack is running in {folder.path}; start it with `mailroom up`\n"
    assert not folder.path.exists()


def test_a_start_that_has_written_nothing_yet_is_a_start(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It chooses ports, or ends processes that a killed supervisor left; the files are still the old ones."""
    folder.make()
    for left in (None, run("ready", part("api", "ready"), supervisor=DEAD), {}, [], "half"):
        folder.run_file.unlink(missing_ok=True)
        if left is not None:
            write_json(folder.run_file, left)
        with folder.held():
            code, found, line = status(monkeypatch, capsys)

        assert (code, found["state"], found["parts"]) == (3, "starting", [])
        assert line == "mailroom: the stack is starting; try again in a few seconds\n"


def test_a_start_names_the_parts_that_are_not_ready_yet(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """stack.json is written last: until then the database's address is unknown, though it is ready."""
    folder.make()
    ready = [part(name, "ready") for name in ("postgres", "aws", "prefect")]
    write_json(folder.run_file, run("starting", *ready, part("worker", "starting"), part("api", "waiting", pid=0)))

    with folder.held():
        code, found, line = status(monkeypatch, capsys)

    assert (code, found["state"]) == (3, "starting")
    assert [one["state"] for one in found["parts"]] == ["ready", "ready", "ready", "starting", "waiting"]
    assert "the stack is starting (worker, api)" in line


@pytest.mark.parametrize("half", ["", "{", '{"state": "rea', "[]", "null", '"ready"', "\x00", '{"state": "ready"}'])
def test_files_that_are_not_whole_are_none(
    folder: DataFolder, half: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk, a machine that lost its power; a stack that does not run is not ready, even if its file says so."""
    folder.make()
    for file in (folder.stack_file, folder.run_file, folder.path / "mailroom.lock"):
        file.write_text(half)

    code, found, line = status(monkeypatch, capsys)

    assert (code, found["state"]) == (4, "stopped")
    assert "start it with `mailroom up`" in line


def test_a_database_that_does_not_answer_yet_is_no_fault_of_the_command(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.make()
    nowhere = {"database_url": "postgresql://m:m@127.0.0.1:9/mailroom", "prefect_api_url": "http://127.0.0.1:9/api"}
    write_json(folder.stack_file, nowhere)
    write_json(folder.run_file, run("ready", part("postgres", "ready"), part("prefect", "ready")))

    with folder.held():
        code, found, _ = status(monkeypatch, capsys)

    assert code == 0
    assert (found["state"], found["workers"], found["scheduler"], found["held"]) == ("ready", [], None, [])


def test_a_part_that_heals_is_shown_with_its_last_death(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in the quarter of a second before its supervisor notices."""
    folder.make()
    death = {
        "heals": True,
        "restarts": 1,
        "last_death_at": "2026-11-29T10:00:00+00:00",
        "last_death": "was killed by SIGKILL",
    }
    parts = part("api", "restarting", pid=0, started=0, **death), part("door", "ready", heals=True, **DEAD)
    write_json(folder.run_file, run("ready", *parts))

    with folder.held():
        code, found, line = status(monkeypatch, capsys)
        monkeypatch.setattr("sys.argv", ["mailroom", "status"])
        with pytest.raises(SystemExit):
            _app.main()

    assert (code, found["state"]) == (3, "restarting")
    assert [one["state"] for one in found["parts"]] == ["restarting", "restarting"]
    assert line == "mailroom: the stack is restarting (api, door); try again in a few seconds\n"
    output = capsys.readouterr().out
    assert "restarted 1 times; last exit 2026-11-29T10:00:00+00:00: was killed by SIGKILL" in output


def test_a_part_that_was_given_up_fails_with_what_to_do(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.make()
    death = {
        "heals": True,
        "restarts": 5,
        "last_death_at": "2026-11-29T10:00:00+00:00",
        "last_death": "ended with exit code 2",
    }
    parts = part("api", "given_up", pid=0, started=0, **death), part("door", "ready")
    write_json(folder.run_file, run("ready", *parts))

    with folder.held():
        code, found, line = status(monkeypatch, capsys)

    assert (code, found["state"]) == (1, "failed")
    assert line.startswith(
        "mailroom: the stack is failed: api ended with exit code 2, and is not restarted after 6 exits"
    )
    assert "`mailroom down`, `mailroom up`" in line


def test_a_stack_whose_supervisor_was_killed_says_how_to_go_on(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.make()
    write_json(folder.run_file, run("ready", part("api", "ready", **DEAD), supervisor=DEAD))
    write_json(folder.path / "mailroom.lock", DEAD)

    code, found, line = status(monkeypatch, capsys)

    assert (code, found["state"]) == (1, "failed")
    assert "its supervisor has died; run `mailroom up`" in line


def test_a_data_folder_that_is_none_is_said_in_one_line(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.path.write_text("a file")
    for words in (["status"], ["up"], ["down"]):
        monkeypatch.setattr("sys.argv", ["mailroom", *words])
        with pytest.raises(SystemExit) as exited:
            _app.main()

        assert exited.value.code == 1
        assert capsys.readouterr().err.startswith(f"mailroom: {folder.path} ")


def test_the_help_lists_the_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["mailroom", "status", "--help"])
    with pytest.raises(SystemExit):
        _app.main()

    output = capsys.readouterr().out
    assert "Exit codes" in output
    assert "starting, restarting or stopping" in output
