"""What a request accepts, every provider accepts before its call, and so does each stand-in."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings

from mailroom.domain.errors import PermanentError, Refused
from mailroom.domain.outbound.message import LIMITS, Outgoing
from mailroom.outbound.submission import limits_with
from mailroom.ports.provider import ProviderQuota
from mailroom.ports.terms import terms_of
from mailroom.testing.archive import MemoryArchive
from tests.contract.test_providers import Case, opened
from tests.support.requests_to_send import CHANGES, NOW, made, prepared

#: A small limit, so that a mail of that size is fast.
MOST = 20_000
LARGE = {"files": [("a.bin", None, None, bytes(8 * 10**6))]}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Case]]:
    """Every provider with its stand-in; a mail may have 20 kB."""
    with ExitStack() as stack:
        names = ("ses", "smtp", "sendgrid", "postmark", "file")
        made = [opened(name, stack, tmp_path_factory.mktemp(name)) for name in names]
        for case in made:
            case.provider.capabilities = replace(case.provider.capabilities, max_bytes=MOST)
        yield made
        for case in made:
            case.provider.close()


@settings(max_examples=60, deadline=None)
@example({"text": None, "html": '<img src="cid:logo">'})
@example({"text": ""})
@example({"text": "é" * 4_500})
@example({"text": "\x01" * 2_000})
@example({"text": None, "html": "<p>a" * 950})
@example({"headers": {"X-Note": '"' * 1_500, "X-Other": "ü" * 800}, "to": '"' + '\\"' * 200 + '" <ada@users.test>'})
@given(CHANGES)
def test_what_a_request_accepts_no_provider_refuses(cases: list[Case], changes: dict[str, Any]) -> None:
    """202 is a promise to the caller; each provider formats a mail in its own way and checks it again."""
    archive = MemoryArchive()
    for case in cases:
        terms = terms_of(case.provider, ProviderQuota(), now=NOW)
        accepted = prepared(changes, archive, limits=limits_with(terms))
        if not accepted.faults:
            mail = made(accepted, archive, provider_tracks=case.provider.capabilities.tracks)
            assert isinstance(mail, Outgoing), mail
            [result] = case.send(mail)
            assert not isinstance(result, PermanentError), (case.name, result.facts)


def test_what_the_request_cannot_know_is_refused_before_the_call() -> None:
    """Until a worker has published its terms, the API does not know that the provider takes 10 MB and not 25."""
    archive = MemoryArchive()
    with ExitStack() as stack:
        case = opened("postmark", stack, Path())
        mail = made(prepared(LARGE, archive), archive)
        assert isinstance(mail, Outgoing)

        [result] = case.send(mail)

        assert isinstance(result, Refused)
        assert (result.message, result.facts["limit"]) == ("the mail is too large", 10**7)
        assert case.accepted() == []
        limits = limits_with(terms_of(case.provider, ProviderQuota(), now=NOW))
        case.provider.close()
    assert limits.mail < LIMITS.mail
    assert len(prepared(LARGE, archive, limits=limits).faults) == 1
