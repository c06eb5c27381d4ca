"""SES's identities: as the emulator has them, as SES documents other answers, and where it cannot be asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import boto3
import pytest
from botocore.stub import Stubber

from mailroom.adapters.providers.ses_identities import SesIdentities, ses_identities
from mailroom.domain.errors import PermanentError
from mailroom.ports.sender_identities import IdentityState, SenderIdentities, SenderIdentity
from mailroom.sandbox.stack.environment import ACCOUNT
from mailroom.testing.sender_identities import MemoryIdentities


@pytest.fixture(params=["memory", "ses"])
def identities(request: pytest.FixtureRequest, aws: str) -> SenderIdentities:
    """The port, with a verified domain and a verified address: in memory, and on the emulator."""
    sesv2, sts = (cast("Any", boto3).client(name) for name in ("sesv2", "sts"))
    made = MemoryIdentities() if request.param == "memory" else SesIdentities(sesv2, sts, account_id=ACCOUNT)
    for name in ("verified.test", "desk@address.test"):
        made.create(name, mail_from="")
    return made


@contextmanager
def stubbed(account: str = ACCOUNT) -> Iterator[tuple[SesIdentities, Stubber]]:
    """SES as its documentation says that it answers, each answer checked against botocore's model."""
    names = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
    sesv2, sts = (cast("Any", boto3).client(name, **names) for name in ("sesv2", "sts"))
    with Stubber(sesv2) as of_ses, Stubber(sts) as of_sts:
        for _ in range(5):
            of_sts.add_response("get_caller_identity", {"Account": account})
        yield SesIdentities(sesv2, sts, account_id=ACCOUNT), of_ses


def test_verified_identities_of_the_emulator(identities: SenderIdentities) -> None:
    """The embedded stack answers as SES does, so that a refused sender is seen on a laptop."""
    served = identities.served()

    assert served is not None
    assert served.covering("any@mail.verified.test") == "verified.test"
    assert served.covering("desk@address.test") == "desk@address.test"
    assert served.covering("ceo@address.test") is None


def test_identity_is_created_once_and_found_for_its_subdomains(identities: SenderIdentities) -> None:
    """The command may be repeated; a MAIL FROM domain is set by the same call."""
    assert identities.find("created.test") is None
    for _ in range(2):
        identities.create("created.test", mail_from="bounces.created.test")

    found = identities.find("a.b.created.test")

    assert found is not None
    assert (found.domain, found.state, found.dkim) == ("created.test", IdentityState.VERIFIED, IdentityState.VERIFIED)
    assert (len(found.dkim_tokens), found.dkim_zone) == (3, "dkim.amazonses.com")
    assert (found.mail_from, found.region) == ("bounces.created.test", "eu-west-1")


@pytest.mark.parametrize(
    ("row", "covers"),
    [
        ({"SendingEnabled": True, "VerificationStatus": "SUCCESS"}, True),
        ({"SendingEnabled": True, "VerificationStatus": "TEMPORARY_FAILURE"}, True),
        ({"SendingEnabled": False, "VerificationStatus": "SUCCESS"}, False),
        ({"SendingEnabled": False, "VerificationStatus": "PENDING"}, False),
        ({"SendingEnabled": False, "VerificationStatus": "FAILED"}, False),
        ({"VerificationStatus": "SUCCESS"}, True),
        ({"VerificationStatus": "NOT_STARTED"}, False),
        ({}, False),
    ],
)
def test_only_an_identity_that_ses_sends_from_is_served(row: dict[str, Any], covers: bool) -> None:
    """Verified and sending: a pending or failed one refuses each mail."""
    with stubbed() as (identities, answers):
        rows = [{"IdentityType": "DOMAIN", "IdentityName": "Acme.test"} | row]
        answers.add_response("list_email_identities", {"EmailIdentities": rows})
        served = identities.served()

    assert served is not None
    assert (served.covering("desk@acme.test") is not None) is covers


def test_a_list_of_several_pages_is_read_to_its_end() -> None:
    """The last domain counts as much as the first."""
    with stubbed() as (identities, answers):
        for page in range(3):
            rows = [{"IdentityType": "DOMAIN", "IdentityName": f"d{page}.test", "SendingEnabled": True}]
            token = {"NextToken": "more"} if page < 2 else {}
            answers.add_response("list_email_identities", {"EmailIdentities": rows, **token})
        served = identities.served()

    assert served is not None
    assert served.domains == {"d0.test", "d1.test", "d2.test"}


def test_a_list_that_never_ends_is_no_answer() -> None:
    """What is not in a part of a list may be in the rest."""
    with stubbed() as (identities, answers):
        for _ in range(10):
            answers.add_response("list_email_identities", {"EmailIdentities": [], "NextToken": "more"})

        assert identities.served() is None


@pytest.mark.parametrize("code", ["AccessDeniedException", "TooManyRequestsException", "InternalFailure"])
def test_missing_permission_and_outage_are_not_known(code: str) -> None:
    """Unknown, so that no batch is refused."""
    with stubbed() as (identities, answers):
        answers.add_client_error("list_email_identities", code)

        assert identities.served() is None


def test_identities_of_another_account_are_not_used() -> None:
    """The HTTP service may have other credentials than the block that sends: its list would refuse everything."""
    with stubbed(account="999999999999") as (identities, answers):
        assert identities.served() is None
        with pytest.raises(PermanentError):
            identities.find("acme.test")
        answers.assert_no_pending_responses()


def test_clients_are_those_of_the_account_and_region(aws: str) -> None:
    """By the environment's endpoint, so that a laptop asks the emulator."""
    made = ses_identities(ACCOUNT, "eu-west-1")
    made.create("made.test", mail_from="")

    found = made.find("made.test")

    assert found is not None
    assert found.region == "eu-west-1"
    assert ses_identities("999999999999", "eu-west-1").served() is None


def test_no_connection_is_not_known() -> None:
    """SES away, or no network."""
    nowhere = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
    sesv2, sts = (
        cast("Any", boto3).client(name, endpoint_url="http://127.0.0.1:9", **nowhere) for name in ("sesv2", "sts")
    )

    assert SesIdentities(sesv2, sts, account_id=ACCOUNT).served() is None


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (
            {"VerifiedForSendingStatus": False, "VerificationStatus": "PENDING"},
            SenderIdentity(domain="acme.test", state=IdentityState.PENDING, region="eu-west-1"),
        ),
        (
            {"VerifiedForSendingStatus": False, "VerificationStatus": "FAILED"},
            SenderIdentity(domain="acme.test", state=IdentityState.FAILED, region="eu-west-1"),
        ),
        (
            {"VerifiedForSendingStatus": False, "VerificationStatus": "TEMPORARY_FAILURE"},
            SenderIdentity(domain="acme.test", state=IdentityState.PENDING, region="eu-west-1"),
        ),
        (
            {
                "VerifiedForSendingStatus": True,
                "DkimAttributes": {
                    "Status": "SUCCESS",
                    "Tokens": ["mine"],
                    "SigningAttributesOrigin": "EXTERNAL",
                    "SigningHostedZone": "x.dkim.eu-west-1.amazonses.com",
                },
                "MailFromAttributes": {
                    "MailFromDomain": "b.acme.test",
                    "MailFromDomainStatus": "FAILED",
                    "BehaviorOnMxFailure": "USE_DEFAULT_VALUE",
                },
            },
            SenderIdentity(
                domain="acme.test",
                state=IdentityState.VERIFIED,
                dkim=IdentityState.VERIFIED,
                dkim_tokens=("mine",),
                own_key=True,
                mail_from="b.acme.test",
                mail_from_state=IdentityState.FAILED,
                region="eu-west-1",
            ),
        ),
    ],
)
def test_states_of_an_identity(values: dict[str, Any], found: SenderIdentity) -> None:
    """SES's words become ours; the zone of its keys is the one that it names."""
    with stubbed() as (identities, answers):
        answers.add_response("get_email_identity", values)
        known = identities.find("acme.test")

    assert known is not None
    zone = values.get("DkimAttributes", {}).get("SigningHostedZone", "dkim.amazonses.com")
    assert known.dkim_zone == zone
    assert {name: getattr(known, name) for name in ("state", "dkim", "dkim_tokens", "own_key", "mail_from")} == {
        name: getattr(found, name) for name in ("state", "dkim", "dkim_tokens", "own_key", "mail_from")
    }
    assert known.mail_from_state is found.mail_from_state


def test_refusals_are_errors_of_the_tree() -> None:
    """The command names the permission."""
    with stubbed() as (identities, answers):
        answers.add_client_error("get_email_identity", "AccessDeniedException")
        with pytest.raises(PermanentError) as found:
            identities.find("acme.test")
        answers.add_client_error("create_email_identity", "AccessDeniedException")
        with pytest.raises(PermanentError):
            identities.create("acme.test", mail_from="")

    assert found.value.facts["code"] == "AccessDeniedException"
