"""Results that are read back from Prefect's storage, where an attacker may have written."""

import asyncio
import base64
import json
import lzma
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from prefect import flow, states
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

import flows.support.results  # noqa: F401 - what is tested
from mailroom.domain.errors import PermanentError
from mailroom.settings import CHECKOUT


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[list[str]]]:
        return subprocess.call, (["touch", str(self.file)],)


def pickled(file: Path) -> bytes:
    return base64.encodebytes(cloudpickle.dumps(Bomb(file)))


def compressed(result: bytes) -> bytes:
    return base64.encodebytes(lzma.compress(result))


def calling(file: Path) -> bytes:
    """What Prefect's own JSON would make of a dict that names a function: its result."""
    return json.dumps({"__class__": "subprocess.call", "data": [["touch", str(file)]]}).encode()


def command(file: Path) -> bytes:
    return json.dumps({"touch": 1, str(file): 2}).encode()


PICKLED = "a pickled result is not read"
UNKNOWN = "is not available in this environment"

REFUSED: dict[str, tuple[dict[str, Any] | None, Callable[[Path], bytes], str]] = {
    "pickle": ({"type": "pickle"}, pickled, PICKLED),
    "no serializer named": (None, pickled, PICKLED),
    "a module to import": ({"type": "pickle", "picklelib": "prefect.__main__"}, pickled, PICKLED),
    "compressed pickle": ({"type": "compressed/pickle"}, lambda file: compressed(pickled(file)), UNKNOWN),
    "pickle, compressed": (
        {"type": "compressed", "serializer": "pickle"},
        lambda file: compressed(pickled(file)),
        UNKNOWN,
    ),
    "compressed JSON": ({"type": "compressed/json"}, lambda file: compressed(calling(file)), UNKNOWN),
}

PLAIN: dict[str, tuple[dict[str, Any], Callable[[Path], bytes]]] = {
    "a function named in it": ({"type": "json"}, calling),
    "a function named to read it": ({"type": "json", "object_decoder": "subprocess.call"}, command),
    "a module named to read it": ({"type": "json", "jsonlib": "prefect.__main__"}, command),
}


@pytest.fixture(autouse=True)
def storage(server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where results of this test go; Prefect asks ten times for one that it cannot read, here without waiting."""
    monkeypatch.setattr(states, "RESULT_READ_RETRY_DELAY", 0)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        yield tmp_path / "results"


@flow(persist_result=True, result_serializer="json")
async def count_letters(*, fails: bool = False) -> dict[str, int]:
    """Leave a result, or an error."""
    if fails:
        raise PermanentError("the letters are gone", letters=3)
    return {"letters": 3}


def ended(*, fails: bool = False) -> State[Any]:
    """Return how a run ended, as the server reports it."""

    async def run() -> State[Any]:
        last = await count_letters(fails=fails, return_state=True)  # type: ignore[call-overload]
        async with get_client() as client:
            return (await client.read_flow_run(last.state_details.flow_run_id)).state

    return asyncio.run(run())


def plant(storage: Path, state: State[Any], serializer: dict[str, Any] | None, result: bytes) -> None:
    """Write another record in the place of the run's own."""
    named = {} if serializer is None else {"serializer": serializer}
    (storage / state.data.storage_key).write_text(json.dumps({"metadata": named, "result": result.decode()}))


@pytest.mark.parametrize("case", REFUSED)
def test_a_planted_record_that_would_run_code_is_refused(storage: Path, tmp_path: Path, case: str) -> None:
    """Each record names the serializer that it is to be read with, regardless of our settings."""
    serializer, made, why = REFUSED[case]
    state = ended()
    plant(storage, state, serializer, made(tmp_path / "burst"))

    with pytest.raises((PermanentError, RuntimeError), match=why):
        asyncio.run(state.aresult())

    assert not (tmp_path / "burst").exists()


@pytest.mark.parametrize("case", PLAIN)
def test_a_planted_record_of_json_is_nothing_but_json(storage: Path, tmp_path: Path, case: str) -> None:
    """Prefect's own way of reading JSON calls the functions that it names."""
    serializer, made = PLAIN[case]
    state = ended()
    plant(storage, state, serializer, made(tmp_path / "burst"))

    read = asyncio.run(state.aresult())

    assert read == json.loads(made(tmp_path / "burst"))
    assert not (tmp_path / "burst").exists()


def test_results_and_errors_are_read_as_they_were_left() -> None:
    """An error comes back by its kind and message: rebuilding it would mean to import what a record names."""
    whole, broken = ended(), ended(fails=True)

    result = asyncio.run(whole.aresult())
    error = asyncio.run(broken.aresult(raise_on_failure=False))

    assert result == {"letters": 3}
    assert str(error) == "mailroom.domain.errors.PermanentError: the letters are gone (letters=3)"


def test_what_prefect_imports_of_ours_brings_the_guard() -> None:
    """`prefect worker start`, and anything else that loads our collection; the flows load it themselves."""
    imported = [
        sys.executable,
        "-c",
        "import deployments.worker.pool_worker, sys; print('flows.support.results' in sys.modules)",
    ]

    output = subprocess.run(imported, capture_output=True, text=True, check=True, cwd=CHECKOUT)

    assert output.stdout.split() == ["True"]
