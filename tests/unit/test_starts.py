"""The journal of operations: starts, and permissions that S3 refuses."""

import pytest
from pydantic import SecretStr

from mailroom.archive.access import JournalledArchive, Reader
from mailroom.domain.errors import NotPermitted
from mailroom.operations.starts import configuration_digest, journal_start
from mailroom.testing.api import settings
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.journal import MemoryJournal


def test_a_start_has_its_version_and_the_digest_of_its_settings() -> None:
    """A changed setting is seen, a changed secret is not: an auditor may guess it from a digest."""
    journal, before = MemoryJournal(), settings()

    journal_start(journal, "worker", version="1.2", configuration=configuration_digest(before)).join(timeout=60)

    [started] = journal.entries
    assert started.payload.startswith('{"configuration":"')
    assert started.payload.endswith('","kind":"started","part":"worker","version":"1.2"}')
    other = before.model_copy(update={"database_url": SecretStr("postgresql://elsewhere")})
    assert configuration_digest(other) == configuration_digest(before)
    assert configuration_digest(before.model_copy(update={"archive_retention_days": 1})) != configuration_digest(before)


class Refusing(MemoryArchive):
    """An archive without the permission to extend locks, until it is granted."""

    granted = False

    def deposit(self, *_: object, **__: object) -> None:  # type: ignore[override]
        self.check()

    def check(self) -> None:
        if not self.granted:
            raise NotPermitted(
                "no permission to extend the archive's locks", permission="s3:PutObjectRetention", key="k"
            )


def test_a_permission_that_is_refused_is_one_entry_until_it_is_granted() -> None:
    """Every mail meets it; a hundred entries say no more than one, and the key of a deposit is none of theirs."""
    stored, journal = Refusing(), MemoryJournal()
    archive = JournalledArchive(stored, journal, Reader("worker", "process"))

    for _ in range(3):
        with pytest.raises(NotPermitted):
            archive.deposit("acme", b"x")
    with pytest.raises(NotPermitted):
        archive.check()
    stored.granted = True
    archive.check()
    stored.granted = False
    with pytest.raises(NotPermitted):
        archive.check()

    assert [one.payload for one in journal.entries] == ['{"kind":"refused","permission":"s3:PutObjectRetention"}'] * 2
