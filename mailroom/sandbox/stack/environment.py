"""The environment of the embedded stack's processes: the user's, without variables that would redirect them."""

import os
from collections.abc import Mapping
from pathlib import Path

from mailroom.settings import CHECKOUT, Settings

REGION = "eu-west-1"
ACCOUNT = "123456789012"

#: The user's own settings for these would connect a part to another Prefect, AWS or PostgreSQL.
_FOREIGN = ("PREFECT_", "AWS_", "PG")
_OWN_ENDPOINT = "AWS_ENDPOINT_URL_"
#: Settings that a user may choose for the embedded stack.
_CHOSEN = "archive_", "sender_hourly_limit", "time_stamping", "witness_"
_DECIDED_HERE = frozenset(f"MAILROOM_{name.upper()}" for name in Settings.model_fields if not name.startswith(_CHOSEN))
#: For drills and benchmarks: they send thousands of mails from one sender.
NO_SENDER_LIMIT = {"MAILROOM_SENDER_HOURLY_LIMIT": "0"}


def kept(outer: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the user's environment that a part may have.

    `AWS_ENDPOINT_URL_<SERVICE>` stays: it points a service at another emulator, and boto3 prefers it to the endpoint for all.
    """
    return {name: value for name, value in outer.items() if _may_stay(name)}


def _may_stay(name: str) -> bool:
    if name.startswith(_OWN_ENDPOINT):
        return True
    return not name.startswith(_FOREIGN) and name not in _DECIDED_HERE


def aws_environment(endpoint: str) -> dict[str, str]:
    """Return variables that make boto3 use the emulator at `endpoint`, without the user's AWS configuration."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_EC2_METADATA_DISABLED": "true",
        # A profile in ~/.aws could name other endpoints and regions.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def process_environment(outer: Mapping[str, str], data: Path) -> dict[str, str]:
    """Return the variables of every part: the user's environment, cleaned, and the folders of data and checkout."""
    no_proxy = ",".join(filter(None, [outer.get("NO_PROXY") or outer.get("no_proxy"), "127.0.0.1", "localhost"]))
    return kept(outer) | {
        "PYTHONUNBUFFERED": "1",
        "MAILROOM_DATA": str(data),
        "MAILROOM_HOME": str(CHECKOUT),
        # Through a user's proxy the parts would not reach each other.
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }
