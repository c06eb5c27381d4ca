"""Prefect's REST API, for the parts of Mailroom that do not import Prefect."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from mailroom.domain.errors import ConfigurationError, PermanentError, TransientError
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.operations.loopback import names_this_machine
from mailroom.ports.runs import Run

RECEIVE_EMAIL = "receive-email/receive-email"
SEND_BATCH = "send-batch/send-batch"


def idempotency_key(ref: ObjectRef) -> str:
    """Return the idempotency key of an object's run, so that it is created once."""
    return f"{ref.bucket}/{ref.key}@{ref.version}"


def http_client(api_url: str) -> httpx.Client:
    """Return a client for Prefect's REST API, with the password that Prefect itself would use."""
    auth, key = os.environ.get("PREFECT_API_AUTH_STRING"), os.environ.get("PREFECT_API_KEY")
    user, _, password = (auth or "").partition(":")
    shown = {"Authorization": f"Bearer {key}"} if key and not auth else {}
    return httpx.Client(
        base_url=api_url.rstrip("/"), timeout=15, headers=shown, auth=(user, password) if auth else None
    )


def password() -> str | None:
    """Return this process's password or key for Prefect's API, or None."""
    return os.environ.get("PREFECT_API_AUTH_STRING") or os.environ.get("PREFECT_API_KEY")


def refuse_if_open(api_url: str, *, password: str | None) -> None:
    """Return if Prefect's API is on this machine, or a password for it is set: its users can have workers run code.

    Raises:
        ConfigurationError: it is not on this machine, and no password is set.
    """
    if not password and not names_this_machine(urlsplit(api_url).netloc.rpartition("@")[2]):
        raise ConfigurationError(
            "Prefect's API is on another machine and has no password: set PREFECT_SERVER_API_AUTH_STRING on the "
            "server and PREFECT_API_AUTH_STRING here (docs/operations.md)"
        )


class PrefectRuns:
    """The port `RunStarter` on a Prefect 3 server."""

    def __init__(self, *, api_url: str, ui_url: str, deployment: str = RECEIVE_EMAIL) -> None:
        self._ui_url = ui_url.rstrip("/")
        self._deployment = deployment
        self._http = http_client(api_url)

    def start(self, ref: ObjectRef) -> Run:
        """Return the run for this object, created and scheduled if there is none."""
        deployment = self._get(f"/deployments/name/{self._deployment}")
        if deployment is None:
            raise PermanentError("the deployment is not registered; run `prefect deploy --all`", name=self._deployment)
        body = {
            "name": ref.message_id,
            "parameters": {"bucket": ref.bucket, "key": ref.key, "version": ref.version},
            "idempotency_key": idempotency_key(ref),
            "state": _scheduled_now("Scheduled"),
        }
        return self._run(self._post(f"/deployments/{deployment['id']}/create_flow_run", body))

    def retry(self, run_id: str) -> Run:
        """Schedule this run again under its own id, as Retry in the UI does."""
        state = _scheduled_now("AwaitingRetry") | {"message": "Replayed by Mailroom"}
        run = self.find(run_id)
        # A person requests it: a cancelled run, or one whose cancellation did not finish, may run again.
        force = run is not None and run.state in ("Cancelling", "Cancelled")
        answer = self._post(f"/flow_runs/{run_id}/set_state", {"state": state, "force": force})
        if answer is None:
            raise LookupError("Prefect has no such run")
        if answer["status"] != "ACCEPT":
            raise PermanentError("Prefect refused to run it again", status=answer["status"])
        run = self.find(run_id)
        if run is None:
            raise LookupError("Prefect has no such run")
        return run

    def resume(self, run_id: str) -> bool:
        """Resume a suspended run, as Resume in the UI does; False when there is none or Prefect rejects it."""
        # For a missing run, Prefect 3.8 answers this request with 500.
        if self.find(run_id) is None:
            return False
        answer = self._post(f"/flow_runs/{run_id}/resume", {})
        return answer is not None and answer["status"] == "ACCEPT"

    def find(self, run_id: str) -> Run | None:
        """Return the run, or None."""
        flow_run = self._get(f"/flow_runs/{run_id}")
        return self._run(flow_run) if flow_run else None

    def tasks(self, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield name and state of each task of a run, in the order of their expected start."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        for task in self._post("/task_runs/filter", body) or []:
            yield task["name"], task["state_name"] or task["state_type"] or "Pending"

    def _run(self, flow_run: Any) -> Run:
        state = (flow_run.get("state") or {}).get("name") or "Unknown"
        return Run(flow_run["id"], flow_run["name"], state, f"{self._ui_url}/runs/flow-run/{flow_run['id']}")

    def _get(self, path: str) -> Any:
        with translated():
            return _content(self._http.get(path))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        with translated():
            return _content(self._http.post(path, json=body))


def _scheduled_now(name: str) -> dict[str, Any]:
    # Without a time, a scheduled run is never due, and no worker gets it.
    return {"type": "SCHEDULED", "name": name, "state_details": {"scheduled_time": datetime.now(UTC).isoformat()}}


def _content(answer: httpx.Response) -> Any:
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    answer.raise_for_status()
    return answer.json()


@contextmanager
def translated() -> Iterator[None]:
    """Translate httpx's errors into Mailroom's."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        kind = TransientError if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS else PermanentError
        raise kind("Prefect did not process the request", status=status) from None
    except httpx.HTTPError as error:
        raise TransientError("Prefect cannot be reached", kind=type(error).__name__) from None
    except ValueError as error:
        # A proxy's page in place of an answer.
        raise TransientError("Prefect's response cannot be read", kind=type(error).__name__) from None
