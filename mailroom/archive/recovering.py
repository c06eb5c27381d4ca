"""Puts the sealed entries that a restored, older database lacks back from the archive, and the e-mails that they name.

An older database has fewer entries than its seals, so nothing is sealed until they are back. They are all in the archive, and
signed. Items that were withdrawn since are withdrawn again. Entries that the database has in their place follow them, marked and counted in an entry `recovered`: a journal that
somebody altered is not made respectable, because what was sealed stands again where it was, and `mailroom archive verify` has a
line about each recovery for good. Each step may be killed and run again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailroom.archive.rebuilding import STREAMS, Progress, Rebuilding, Rebuilt, put_journal, put_mails
from mailroom.domain.archive.journal import OperationsKind
from mailroom.ports.rebuilding import PutBack


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was put back of each journal, and the e-mails that were."""

    journals: Mapping[str, PutBack]
    mails: Rebuilt = field(default_factory=Rebuilt)


def recover(
    ports: Rebuilding, *, now: Callable[[], datetime], dry_run: bool = False, progress: Progress = lambda _: None
) -> Recovered:
    """Put back the entries and e-mails that the database lacks, or with `dry_run` say which entries."""
    journals = dict[str, PutBack]()
    for tenant in ports.objects.tenants():
        for stream in STREAMS:
            put = put_journal(ports, tenant, stream, kind=OperationsKind.RECOVERED, dry_run=dry_run)
            if put is not None:
                journals[f"{tenant}/{stream}"] = put
                progress(f"journal {tenant}/{stream}: entries {put.first:,} to {put.last:,}")
    done = Recovered(journals)
    if not dry_run:
        ports.rows.withdraw_again()
        put_mails(ports, done.mails, now=now, progress=progress)
    return done
