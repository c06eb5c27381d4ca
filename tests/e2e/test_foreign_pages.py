"""What a page of somebody else, in the browser of whoever runs the stack, gets from its Prefect server."""

import httpx

from tests.e2e.driving import Stack


def test_foreign_page_can_neither_read_the_prefect_server_nor_post_json_to_it(stack: Stack) -> None:
    """It has no password on a laptop: that it listens on loopback, and what it answers browsers, is what keeps pages out."""
    foreign = {"Origin": "https://evil.test"}
    asked = foreign | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    read = httpx.get(f"{stack['prefect_api_url']}/variables/name/system-health", headers=foreign)
    preflight = httpx.options(f"{stack['prefect_api_url']}/flow_runs/filter", headers=asked)
    ours = httpx.get(f"{stack['prefect_api_url']}/health", headers={"Origin": stack["prefect_url"]})

    assert "access-control-allow-origin" not in read.headers
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert ours.headers["access-control-allow-origin"] == stack["prefect_url"]
