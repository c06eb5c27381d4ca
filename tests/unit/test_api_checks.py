"""What the pages show of a mail's checks, and that a withdrawn mail shows nothing."""

import pytest

from mailroom.api.app import create_app
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.testing.api import Memory, TestClient, an_item, two_tenants
from tests.support.signed_in import signed_in


@pytest.fixture
def memory() -> Memory:
    """One tenant with one empty inbox, and another tenant's."""
    return two_tenants()


@pytest.fixture
def pages(memory: Memory) -> TestClient:
    """An operator's browser."""
    return signed_in(create_app(memory.services()))


def test_page_of_a_withdrawn_item_shows_its_reason_and_nothing_of_the_mail(memory: Memory, pages: TestClient) -> None:
    """A virus that was reported late: the page, its frame and its attachments are gone together."""
    filed = memory.file(an_item(subject="the secret subject"), withdrawn="virus")

    answers = [pages.get(f"/items/{filed.id}{rest}", headers={"Accept": "text/html"}) for rest in ("", "/html")]

    assert [answer.status_code for answer in answers] == [410, 410]
    assert all("withdrawn: virus" in answer.text and "secret subject" not in answer.text for answer in answers)
    assert pages.get(f"/items/{filed.id}/attachments/1").status_code == 404


def test_page_shows_every_check_and_what_the_scanner_said(memory: Memory, pages: TestClient) -> None:
    """A reader sees every check of a mail; a failed scan is a mark beside the subject."""
    verdicts = Verdicts(*[Verdict.PASS] * 4, dmarc=Verdict.FAIL, dmarc_policy="reject")
    filed = memory.file(an_item(), verdicts=verdicts, scan=Scan(Finding.UNSCANNED, "ClamAV", "<b>down"))

    page = pages.get(f"/items/{filed.id}").text

    assert "its domain asks for <code>reject</code>" in page
    assert "not scanned" in page
    assert "(<bdi>&lt;b&gt;down</bdi>)" in page
