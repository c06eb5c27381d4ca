"""SES's identities: which domains and addresses an account may send from, and the DNS records of a domain.

A verified domain covers its subdomains. An account's list is only used if the credentials are that account's: those of this
process may differ from those of the block that sends.

Source: Amazon SES API v2 reference, ListEmailIdentities, GetEmailIdentity, CreateEmailIdentity; developer guide, "Creating
and verifying identities", "Using a custom MAIL FROM domain" (2026).
"""

import logging
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import client_settings, error_code, translated
from mailroom.domain.errors import MailroomError, PermanentError
from mailroom.ports.sender_identities import IdentityState, SenderIdentity, ServedIdentities, with_parents

log = logging.getLogger(__name__)

#: As many identities as an account has by default, in pages.
_PAGE, _MOST_PAGES = 1000, 10
#: A submission may wait for the answers.
_TIMEOUT_S = 3.0
_ZONE = "dkim.amazonses.com"
_STATES = {
    "SUCCESS": IdentityState.VERIFIED,
    "PENDING": IdentityState.PENDING,
    "NOT_STARTED": IdentityState.PENDING,
    "FAILED": IdentityState.FAILED,
    # SES cannot check it now; what was verified before stays so.
    "TEMPORARY_FAILURE": IdentityState.UNKNOWN,
}


def ses_identities(account_id: str, region: str) -> "SesIdentities":
    """Return the identities of an account in a region, with clients that wait only seconds."""
    session: Any = boto3.session.Session()
    config = Config(**client_settings(tries=1, timeout_s=_TIMEOUT_S))
    sesv2, sts = (session.client(name, region_name=region, config=config) for name in ("sesv2", "sts"))
    return SesIdentities(sesv2, sts, account_id=account_id)


class SesIdentities:
    """The port `SenderIdentities` on SES; `sesv2` and `sts` are boto3 clients with short timeouts."""

    def __init__(self, sesv2: Any, sts: Any, *, account_id: str) -> None:
        self._sesv2, self._sts, self._account_id = sesv2, sts, account_id
        self._region = str(sesv2.meta.region_name)

    def served(self) -> ServedIdentities | None:
        """Return the verified identities; None without the permission, while SES is away, or if it is another account."""
        try:
            self._check_account()
            rows = self._rows()
        except MailroomError as error:
            log.warning("SES was not asked which senders it has verified: %s", error)
            return None
        if rows is None:
            return None
        names = [(str(row.get("IdentityName", "")).lower(), row.get("IdentityType")) for row in rows if _sends(row)]
        return ServedIdentities(
            provider="SES",
            addresses=frozenset(name for name, kind in names if kind == "EMAIL_ADDRESS"),
            domains=frozenset(name for name, kind in names if kind != "EMAIL_ADDRESS"),
        )

    def find(self, domain: str) -> SenderIdentity | None:
        """Return the identity of a domain, or of the nearest parent that has one."""
        self._check_account()
        for name in with_parents(domain):
            if (values := self._get(name)) is not None:
                return _identity(name, values, self._region)
        return None

    def create(self, domain: str, *, mail_from: str) -> None:
        """Create the identity of a domain if there is none, and set its MAIL FROM domain if one is given."""
        self._check_account()
        with translated("ses"):
            try:
                self._sesv2.create_email_identity(EmailIdentity=domain)
            except ClientError as error:
                if error_code(error) != "AlreadyExistsException":
                    raise
            if mail_from:
                self._sesv2.put_email_identity_mail_from_attributes(
                    EmailIdentity=domain, MailFromDomain=mail_from, BehaviorOnMxFailure="USE_DEFAULT_VALUE"
                )

    def _check_account(self) -> None:
        with translated("sts"):
            account = str(self._sts.get_caller_identity()["Account"])
        if account != self._account_id:
            raise PermanentError("these credentials are of another AWS account than the one that sends", service="sts")

    def _rows(self) -> list[Mapping[str, Any]] | None:
        """Return the rows of all identities; None if there are more than fit."""
        rows: list[Mapping[str, Any]] = []
        place: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            with translated("ses"):
                page = self._sesv2.list_email_identities(PageSize=_PAGE, **place)
            rows += page.get("EmailIdentities", [])
            if not page.get("NextToken"):
                return rows
            place = {"NextToken": page["NextToken"]}
        return None

    def _get(self, name: str) -> Mapping[str, Any] | None:
        with translated("ses"):
            try:
                values: Mapping[str, Any] = self._sesv2.get_email_identity(EmailIdentity=name)
            except ClientError as error:
                if error_code(error) == "NotFoundException":
                    return None
                raise
        return values


def _sends(row: Mapping[str, Any]) -> bool:
    """Return whether SES sends from this identity now; without its word for that, by the verification."""
    sends = row.get("SendingEnabled")
    return bool(sends) if sends is not None else row.get("VerificationStatus") in ("SUCCESS", "TEMPORARY_FAILURE")


def _identity(name: str, values: Mapping[str, Any], region: str) -> SenderIdentity:
    dkim, mail_from = values.get("DkimAttributes") or {}, values.get("MailFromAttributes") or {}
    state = (
        IdentityState.VERIFIED if values.get("VerifiedForSendingStatus") else _state(values.get("VerificationStatus"))
    )
    return SenderIdentity(
        domain=name,
        state=state if state is not IdentityState.UNKNOWN else IdentityState.PENDING,
        dkim=_state(dkim.get("Status")),
        dkim_tokens=tuple(str(token) for token in dkim.get("Tokens") or ()),
        dkim_zone=str(dkim.get("SigningHostedZone") or _ZONE),
        own_key=dkim.get("SigningAttributesOrigin") == "EXTERNAL",
        mail_from=str(mail_from.get("MailFromDomain") or ""),
        mail_from_state=_state(mail_from.get("MailFromDomainStatus")),
        region=region,
    )


def _state(word: object) -> IdentityState:
    return _STATES.get(str(word), IdentityState.UNKNOWN)
