"""Endpoints of the providers of outbound mail, read from the Prefect server's blocks over REST, for `mailroom status`."""

from typing import Any

from mailroom.adapters.aws.clients import client
from mailroom.adapters.prefect.http import http_client, translated
from mailroom.domain.operations.regions import Allowed, Resource
from mailroom.settings import Settings


def providers_by_endpoint(settings: Settings, allowed: Allowed, *, name: str = "outbound") -> list[Resource]:
    """Return the endpoints of the providers of the outbound block `name`; none if there is no such block.

    Raises:
        TransientError, PermanentError: the server cannot be reached, or does not serve this.
    """
    outbound = _block(settings, "mailroom-outbound", name)
    chosen = [outbound.get("provider") or "", outbound.get("second") or ""]
    resources = []
    for block in filter(None, chosen):
        slug, _, its_name = block.partition("/")
        endpoint = _endpoint(settings, _block(settings, slug, its_name))
        if endpoint:
            resources.append(allowed.judge_endpoint(f"provider of block {block},", endpoint))
    return resources


def _endpoint(settings: Settings, block: dict[str, Any]) -> str:
    if "credentials" not in block:
        return str(block.get("host") or block.get("url") or "")
    credentials = block["credentials"]
    named = (credentials.get("aws_client_parameters") or {}).get("endpoint_url")
    region = credentials.get("region_name") or settings.region
    return str(named or client("sesv2", region=region).meta.endpoint_url)


def _block(settings: Settings, slug: str, name: str) -> dict[str, Any]:
    with translated(), http_client(settings.prefect_api_url) as http:
        answer = http.get(f"/block_types/slug/{slug}/block_documents/name/{name}")
        if answer.status_code == 404:
            return {}
        data: dict[str, Any] = answer.raise_for_status().json()["data"]
        return data
