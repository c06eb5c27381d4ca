"""Every read of archived content is an entry of its tenant's journal, and what cannot be entered is not served."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mailroom.api.app import create_app
from mailroom.archive.access import JournalledArchive, JournalledManifests, Reader
from mailroom.domain.archive.journal import JournalEntry
from mailroom.domain.errors import TransientError
from mailroom.testing.api import BROWSER, Memory, TestClient, two_tenants
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.journal import MemoryJournal
from mailroom.testing.manifests import MemoryManifests
from tests.support.filed_documents import Case, case_in_memory
from tests.support.plain_manifest import MANIFEST

ACME, ADMIN = ({"Authorization": f"Bearer {key}"} for key in ("acme", "admin"))
FILES = {"a.pdf": b"%PDF-1.7 one", "b.csv": b"a;b"}


def mail() -> bytes:
    parts = [b'Content-Type: text/html\r\n\r\n<p>Hi</p><img src="cid:logo">']
    parts += [
        b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="%s"\r\n\r\n%s'
        % (name.encode(), content)
        for name, content in FILES.items()
    ]
    top = b"From: Carl <carl@x.test>\r\nTo: ann@acme.test\r\nSubject: Secret\r\nMIME-Version: 1.0\r\n"
    top += b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    return top + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


class Deaf(MemoryJournal):
    """A journal that cannot be written."""

    def append_all(self, entries: Sequence[JournalEntry]) -> None:
        if entries:
            raise TransientError("the database cannot serve now")


def archive_id(content: bytes) -> str:
    return f"acme/{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def memory() -> Memory:
    return two_tenants()


@pytest.fixture
def case(memory: Memory) -> Case:
    return case_in_memory(memory)


RAW, PDF, CSV = archive_id(mail()), *map(archive_id, FILES.values())
LOOKS = {
    "/v1/items/{id}": ("item_opened", [RAW]),
    "/items/{id}": ("item_opened", [RAW]),
    "/items/{id}/print": ("item_opened", [RAW]),
    "/items/{id}/html": ("html_shown", [RAW]),
    "/items/{id}/source": ("source_shown", [RAW]),
    "/v1/items/{id}/raw": ("raw_downloaded", [RAW]),
    "/items/{id}/raw": ("raw_downloaded", [RAW]),
    "/v1/items/{id}/attachments/1": ("file_downloaded", [PDF]),
    "/items/{id}/attachments/1": ("file_downloaded", [PDF]),
    "/items/{id}/attachments/2/preview": ("file_shown", [CSV]),
    "/v1/items/{id}/files.zip": ("zip_downloaded", [PDF, CSV]),
    "/items/{id}/files.zip": ("zip_downloaded", [PDF, CSV]),
}


@pytest.mark.parametrize("path", LOOKS)
def test_each_look_is_one_entry_for_each_document(case: Case, memory: Memory, path: str) -> None:
    """By a pseudonym, with a word for what for: no name, no subject, no address."""
    item_id = case.file(mail())
    purpose, documents = LOOKS[path]

    answer = case.client.get(path.format(id=item_id), headers=ACME | (BROWSER if path.startswith("/items") else {}))

    assert answer.status_code == 200
    assert sorted(one.subject or "" for one in memory.journal.entries) == sorted(documents)
    [facts] = {tuple(sorted(one.facts.items())) for one in memory.journal.entries}
    assert dict(facts)["purpose"] == purpose
    assert dict(facts)["actor"].startswith("key:")
    assert {one.tenant for one in memory.journal.entries} == {"acme"}


@pytest.mark.parametrize("path", LOOKS)
def test_what_cannot_be_entered_is_not_served(memory: Memory, path: str) -> None:
    """The journal is the evidence of who read what; a reader who switches it off would read unseen."""
    memory.journal = Deaf()
    case = case_in_memory(memory)
    item_id = case.file(mail())

    answer = case.client.get(path.format(id=item_id), headers=ADMIN | (BROWSER if path.startswith("/items") else {}))

    assert answer.status_code == 503
    assert b"Hi" not in answer.content
    assert b"PDF" not in answer.content


def test_what_the_browser_has_and_what_is_not_there_is_no_look(case: Case, memory: Memory) -> None:
    """Nothing is shown, so nothing is entered; a change of an item shows no content either."""
    item_id = case.file(mail())
    etag = case.client.get(f"/v1/items/{item_id}/raw", headers=ACME).headers["ETag"]
    memory.journal.entries.clear()

    again = case.client.get(f"/v1/items/{item_id}/raw", headers=ACME | {"If-None-Match": etag})
    missing = case.client.get(f"/v1/items/{item_id}/attachments/9", headers=ACME)
    done = case.client.patch(f"/v1/items/{item_id}", headers=ACME, json={"done": True})

    assert (again.status_code, missing.status_code, done.status_code) == (304, 404, 200)
    assert memory.journal.entries == []


def test_a_worker_reads_as_the_worker() -> None:
    """It reads an attachment to send it, or a mail to process it again; each time is an entry."""
    stored, journal = MemoryArchive(), MemoryJournal()
    archive = JournalledArchive(stored, journal, Reader("worker", "send"))
    kept = archive.deposit("acme", b"contract")

    archive.read(kept.archive_id)
    archive.copy(kept.archive_id, io.BytesIO())

    assert [one.payload for one in journal.entries] == [
        f'{{"actor":"worker","kind":"access","purpose":"send","subject":"{kept.archive_id}"}}'
    ] * 2
    assert archive.find(kept.archive_id) == kept
    with pytest.raises(TransientError):
        JournalledArchive(stored, Deaf(), Reader("worker", "send")).read(kept.archive_id)


def test_a_service_without_a_journal_shows_mail(memory: Memory) -> None:
    """Tests of pages have none; an installation always has."""
    case = case_in_memory(memory)
    item_id = case.file(mail())
    client = TestClient(create_app(replace(memory.services(), journal=None)), base_url="http://mail.example")

    assert client.get(f"/v1/items/{item_id}", headers=ACME).status_code == 200


def test_a_manifest_that_is_read_to_process_a_mail_again_is_entered_before_it_is_used() -> None:
    """It has the mail's addresses. Each tenant's is an entry of its journal; what cannot be entered is not returned."""
    stored, journal = MemoryManifests(), MemoryJournal()
    manifests = JournalledManifests(stored, journal, Reader("worker", "process"))
    for tenant in ("acme", "other", "unrouted"):
        manifests.keep(replace(MANIFEST, tenant=tenant))
        manifests.keep(replace(MANIFEST, tenant=tenant, attempt=2, reason="again"))
    assert journal.entries == []

    found = manifests.find(MANIFEST.ref)

    keys = sorted({one.key for one in found})
    assert [(one.tenant, one.kind, one.subject) for one in journal.entries] == [
        (key.partition("/")[0], "access", key) for key in keys
    ]
    assert len(keys) == 3
    assert {(one.facts["actor"], one.facts["purpose"]) for one in journal.entries} == {("worker", "process")}
    with pytest.raises(TransientError):
        JournalledManifests(stored, Deaf(), Reader("worker", "process")).find(MANIFEST.ref)


def test_a_manifest_that_a_stranger_put_for_no_tenant_stops_no_mail() -> None:
    stored, journal = MemoryManifests(), MemoryJournal()
    stored.keep(replace(MANIFEST, tenant="No Tenant"))

    found = JournalledManifests(stored, journal, Reader("worker", "process")).find(MANIFEST.ref)

    assert (len(found), journal.entries) == (1, [])
