"""One-time steps of a start, each in a separate process: `python -m mailroom.sandbox.stack.steps database|provision`."""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from mailroom.domain.errors import MailroomError
from mailroom.sandbox.stack.folder import DataFolder, write_json

ADMIN_KEY = "api-key"


def database(environment: Mapping[str, str]) -> None:
    """Run the migrations, as `mailroom migrate` does, and register the sandbox's admin key."""
    from mailroom.adapters.postgres.schema_upgrade import upgrade

    url = environment["MAILROOM_DATABASE_URL"]
    done = upgrade(environment["MAILROOM_DATABASE_OWNER_URL"], url)
    print(f"the schema is at {done.ended_at}; {len(done.applied)} migrations applied")
    admit(url, DataFolder(Path(environment["MAILROOM_DATA"])).secret(ADMIN_KEY))


def admit(url: str, key: str) -> None:
    """Register `key` as an administrator's key of the API, unless it is registered."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO api_key (sha256, name, tenant, created_at) VALUES (%s, 'sandbox', NULL, now())"
            " ON CONFLICT DO NOTHING",
            (digest,),
        )


def provision(environment: Mapping[str, str]) -> None:
    """Create buckets, queues, topic and key in the emulator, and write their names for the parts that follow."""
    from mailroom.sandbox.stack.aws import Names
    from mailroom.sandbox.stack.aws import provision as make

    copies, witness = (environment.get(f"MAILROOM_{name}_BUCKET", "") for name in ("ARCHIVE_COPY", "WITNESS"))
    names = Names(archive_copy_bucket=copies, witness_bucket=witness)
    write_json(DataFolder(Path(environment["MAILROOM_DATA"])).aws_file, make(names))


_STEPS: dict[str, Callable[[Mapping[str, str]], None]] = {"database": database, "provision": provision}

if __name__ == "__main__":
    try:
        _STEPS[sys.argv[1]](os.environ)
    except MailroomError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
