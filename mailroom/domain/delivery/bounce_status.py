"""What a returned mail says of its recipient: by the enhanced status and the words of the receiving server.

The status outranks the type that a provider gives the bounce: `Transient` with 5.1.1 is an address that takes no mail, and
`Permanent` with 5.7.1 is a policy, which says nothing of the address.

Source: RFC 3463, RFC 5248, RFC 7505, RFC 7372 and IANA's registry of enhanced status codes (2024-12).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from mailroom.domain.delivery.events import Kind


class BounceFault(StrEnum):
    """Whose fault it is that a mail came back, was refused or is delayed. Stable words: the fact `fault` of an activity."""

    #: The address or its mailbox. Soft bounces of this kind alone count towards a suppression.
    RECIPIENT = "recipient"
    #: This mail's content, size or attachments.
    CONTENT = "content"
    #: A rule of the receiving side about sender, reputation or authentication.
    POLICY = "policy"
    #: The sender's account at the provider, or its settings: a person must look.
    ACCOUNT = "account"
    #: A quota of the account is used up: the mail can be sent again once there is room.
    QUOTA = "quota"
    UNKNOWN = "unknown"


#: The name of the fact, and of the fact that a mail can be sent again as it is once its cause is gone.
FAULT, SEND_AGAIN = "fault", "send_again"


@dataclass(frozen=True, slots=True)
class BounceMeaning:
    """The kind of event that a bounce is, and whose fault it is."""

    kind: Kind
    fault: BounceFault


#: Subject and detail of statuses of an address that takes no mail.
_NO_SUCH_ADDRESS = frozenset({"1.1", "1.3", "1.6", "1.10"})
#: These mean so only where the words say that the domain does not exist.
_NO_SUCH_DOMAIN = frozenset({"1.2", "4.4"})
#: A mailbox that is disabled; the same status is used for one that gets mail too fast.
_DISABLED = "2.1"
_FULL = "2.2"
_EXPIRED = frozenset({"4.6", "4.7"})
_OF_THE_RECIPIENT = frozenset(
    {"1.0", "1.2", "1.4", "2.0", "2.1", "2.2", "2.4", "3.0", "3.2", "4.0", "4.1", "4.2", "4.3"}
)
_OF_THE_RECIPIENT |= {"4.4", *_EXPIRED, *_NO_SUCH_ADDRESS}
_OF_THE_CONTENT = frozenset({"2.3", "3.4"})
_OF_THE_ACCOUNT = frozenset({"1.7", "1.8", "3.3", "3.5", "4.5", "5.0", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6"})
#: Authentication of the sender (SPF, DKIM, DMARC, PTR), and TLS or credentials.
_OF_THE_ACCOUNT |= {
    f"7.{detail}" for detail in (3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15, 30, 20, 21, 22, 23, 24, 25, 26, 27, 29)
}
#: What outranks a provider's word that a bounce is permanent: it is about this mail or its sender, or passes.
_OUTRANKS_PERMANENT = frozenset({"1.7", "1.8", _FULL, "2.3", "3.4", "4.5", "5.3", *_EXPIRED})

_STATUS = re.compile(r"(?<![0-9.])([245])\.(\d{1,3})\.(\d{1,3})(?![0-9.]*[0-9])")
_REPLY_CODE = re.compile(r"\b[45]\d\d\b")
_DOMAIN_WORDS = re.compile(
    r"nx ?domain|(?:no such|invalid|unknown|non-?existent|bad) (?:destination )?(?:domain|host)"
    r"|(?:domain|host)(?: or domain)?(?: name)? (?:is )?(?:not found|unknown|invalid|does not exist|doesn't exist)"
)
_FAST_WORDS = re.compile(r"\brate\b|quickly|too (?:many|much|fast|often)|limit")
_MOST_READ = 2000


def meaning_of_bounce(status: object, answer: object, *, permanent: bool, otherwise: BounceFault) -> BounceMeaning:
    """Return what a bounce means.

    Args:
        status: The enhanced status that the provider reports, such as `5.1.1`; anything else is no status.
        answer: The receiving server's answer; read where there is no status, or one that says nothing (`5.0.0`).
        permanent: Whether the provider calls the bounce permanent; it stands unless the status says otherwise.
        otherwise: Whose fault a bounce without any status is.
    """
    words = answer[:_MOST_READ].lower() if isinstance(answer, str) else ""
    # Several lines of one answer differ in blanks only.
    words = " ".join(words.split())
    degree, detail = _status(status, words)
    fault = _fault(detail) if detail else otherwise
    if degree == "5" and _takes_no_mail(detail, words):
        return BounceMeaning(Kind.BOUNCED_HARD, BounceFault.RECIPIENT)
    if permanent and not (degree == "5" and (detail in _OUTRANKS_PERMANENT or detail.partition(".")[0] in ("6", "7"))):
        return BounceMeaning(Kind.BOUNCED_HARD, BounceFault.RECIPIENT)
    if not detail and _REPLY_CODE.search(words):
        fault = BounceFault.RECIPIENT
    return BounceMeaning(Kind.BOUNCED_SOFT, fault)


def _status(status: object, words: str) -> tuple[str, str]:
    """Return the degree (`5`) and the subject with its detail (`1.1`), or empty texts."""
    found = [
        match for text in (status, words) if isinstance(text, str) and (match := _STATUS.search(text[:_MOST_READ]))
    ]
    telling = next((match for match in found if match[2] != "0"), found[0] if found else None)
    return (telling[1], f"{int(telling[2])}.{int(telling[3])}") if telling else ("", "")


def _takes_no_mail(detail: str, words: str) -> bool:
    if detail in _NO_SUCH_DOMAIN:
        return bool(_DOMAIN_WORDS.search(words)) and "try again" not in words
    return detail in _NO_SUCH_ADDRESS or (detail == _DISABLED and not _FAST_WORDS.search(words))


def _fault(detail: str) -> BounceFault:
    subject = detail.partition(".")[0]
    if detail in _OF_THE_ACCOUNT:
        return BounceFault.ACCOUNT
    if detail in _OF_THE_RECIPIENT:
        return BounceFault.RECIPIENT
    if detail in _OF_THE_CONTENT or (subject == "6" and detail != "6.7"):
        return BounceFault.CONTENT
    return BounceFault.POLICY if subject == "7" else BounceFault.UNKNOWN
