"""Whether everything is well, as the HTTP service of the stack says it."""

from typing import Any

import httpx

_PATIENCE_S = 5


def look(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Return the sentence and what needs a person, from the stack's HTTP service; None if it does not serve."""
    if not {"api_url", "api_key"} <= set(facts):
        return None
    headers = {"Authorization": f"Bearer {facts['api_key']}"}
    try:
        answer = httpx.get(f"{facts['api_url']}/v1/status", headers=headers, timeout=_PATIENCE_S)
        answer.raise_for_status()
        said = answer.json()
        needs = [row for row in said["rows"] if row["level"] != "good"]
        return {"well": said["well"], "sentence": said["sentence"], "needs": needs}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def lines(seen: dict[str, Any] | None) -> list[str]:
    """Return the lines of `mailroom status`."""
    if seen is None:
        return []
    needs = [f"{'':<12} {row['name']}: {row['value']}" for row in seen["needs"]]
    return [f"{'well':<12} {seen['sentence']}", *needs]
