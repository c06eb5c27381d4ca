"""What a mail that came back reports of the message whose return path it was sent to.

    a part for programs, of a complaint        RFC 5965     complained
    a part for programs, of a delivery         RFC 3464     bounced, delayed, delivered
    a part for programs, of a reading          RFC 8098     other
    null sender, X-Failed-Recipients           Exim         bounced softly, at most
    marks of an automatic reply                RFC 3834     autoresponded
    null sender, a 5xx code in the text        qmail        bounced softly, at most
    anything else                              a person's mail: no report

In this order: Exim marks its delivery reports as automatic replies too, and automatic replies may have a null sender. Whose
report it is, the token in its recipient says, never the mail: `Final-Recipient` may be an address to which ours forwards.
Everything here is the sender's word. Facts are codes and words of these standards, never text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mailroom.domain.delivery.bounce_status import FAULT, BounceFault, BounceMeaning, meaning_of_bounce
from mailroom.domain.delivery.events import Kind
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.parsing.model import ParsedEmail, Report


@dataclass(frozen=True, slots=True)
class MailReport:
    """What happened to the message, with codes as facts."""

    kind: Kind
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


#: From what proves least to what proves most: of several recipients of one report the mildest outcome counts, because the
#: message had one recipient, and these are the addresses behind it.
_MILDEST_FIRST = (Kind.DELIVERED, Kind.OTHER, Kind.DELAYED, Kind.BOUNCED_SOFT, Kind.BOUNCED_HARD)
_ACTIONS = {"delivered": Kind.DELIVERED, "relayed": Kind.OTHER, "expanded": Kind.OTHER, "delayed": Kind.DELAYED}
#: The actions that have a fault.
_UNDELIVERED = frozenset({"failed", "delayed"})
#: RFC 5965 section 3.1, RFC 6430 and 6591; an unknown type is to be read as `other`.
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure", "dmarc"})
_COMPLAINT = frozenset({"abuse", "fraud", "virus", "other"})

#: Words that say that the address is not what was wrong.
_OTHER_FAULT = re.compile(
    r"\b(?:spam|blocked|block ?list(?:ed)?|black ?list(?:ed)?|reputation|throttl\w*|rate limit\w*|too (?:many|fast)|policy"
    r"|sender (?:denied|rejected|address rejected))\b"
)
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CODE = re.compile(r"(?<![\d.])([245]\d\d)(?=[ -]|$)")
#: What a text without parts for programs must have to be a bounce.
_REFUSAL = re.compile(r"(?<![\d.])(?:55[0-6][ -]|5\.\d{1,3}\.\d{1,3}(?![\d.]))")
_MOST_TEXT = 20_000
_MOST_VALUE = 4_000

_REPLY_HEADERS = frozenset({"x-autoreply", "x-autorespond", "x-autoresponder"})
_REPLY_SUBJECT = re.compile(
    r"\s*(?:auto(?:matic)?[ -]?(?:reply|response)|out of (?:the )?office|automatische antwort|abwesenheits(?:notiz|meldung)"
    r"|r[eé]ponse automatique|respuesta autom[aá]tica|risposta automatica|automatisch antwoord)\b",
    re.IGNORECASE,
)


def read_report(
    mail: ParsedEmail, headers: Mapping[str, Sequence[str]], *, is_null_sender: bool, recipient: str
) -> MailReport | None:
    """Return what the mail reports of a message to `recipient`, or None where it is a person's mail.

    `headers` are the mail's own, by lower-case name.
    """
    for kind, read in (("abuse", _complaint), ("delivery", _delivery), ("disposition", _reading)):
        found = [report for report in mail.reports if report.kind == kind]
        if found and (report := read(found[0], recipient)) is not None:
            return report
    if is_null_sender and "x-failed-recipients" in headers:
        return MailReport(Kind.BOUNCED_SOFT, {"report": "text"} | _codes_in(mail.text))
    if _is_automatic(mail, headers):
        return MailReport(Kind.AUTORESPONDED, {"report": "automatic_reply"})
    if is_null_sender and _REFUSAL.search((mail.text or "")[:_MOST_TEXT]):
        return MailReport(Kind.BOUNCED_SOFT, {"report": "text"} | _codes_in(mail.text))
    return None


def is_automatic_reply(subject: str | None, headers: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a mail has the marks of an absence note or another automatic reply; a machine's other mail has not.

    `X-Auto-Response-Suppress` asks others not to answer; people's mail has it too.
    """
    if "auto-replied" in _first_words(headers, "auto-submitted") or headers.keys() & _REPLY_HEADERS:
        return True
    return "auto_reply" in _first_words(headers, "precedence") or bool(_REPLY_SUBJECT.match(subject or ""))


def _complaint(report: Report, _recipient: str) -> MailReport | None:
    word = report.fields.get("feedback-type", "").strip().lower()
    facts = {"report": "complaint", "complaint_type": word if word in _COMPLAINT | _NO_COMPLAINT else "other"}
    return MailReport(Kind.OTHER if word in _NO_COMPLAINT else Kind.COMPLAINED, facts)


def _reading(_report: Report, _recipient: str) -> MailReport | None:
    return MailReport(Kind.OTHER, {"report": "disposition"})


def _delivery(report: Report, recipient: str) -> MailReport | None:
    """Return the outcome for our recipient where the report names it, else the mildest of all; None where it has none."""
    # Some servers leave out the blank line between the fields on the whole and those on a recipient.
    groups = [one for one in (report.fields, *report.items) if _kind(one) is not None]
    ours = [one for one in groups if _is_of(one, recipient)]
    ranked = sorted(ours or groups, key=lambda one: _MILDEST_FIRST.index(_kind(one) or Kind.BOUNCED_HARD))
    if not ranked:
        return None
    mildest, kind = ranked[0], _kind(ranked[0])
    assert kind is not None
    return MailReport(kind, {"report": "delivery"} | _facts(mildest))


def _is_of(group: Mapping[str, str], recipient: str) -> bool:
    return any(_address(group.get(name, "")) == recipient for name in ("original-recipient", "final-recipient"))


def _address(value: str) -> str | None:
    """Return the address of a field such as `rfc822; anna@users.test`, normalised."""
    try:
        return normalise(value[:_MOST_VALUE].partition(";")[2].strip().strip("<>"))
    except ValueError:
        return None


def _kind(group: Mapping[str, str]) -> Kind | None:
    """Return the outcome of one recipient; None for fields on the whole, and for an action that there is not."""
    action = _action(group)
    return _meaning(_statuses(group), _said(group)).kind if action == "failed" else _ACTIONS.get(action)


def _action(group: Mapping[str, str]) -> str:
    # RFC 3464 section 2.3.3; some servers add a comment or a full stop.
    return re.split(r"[^a-z]", group.get("action", "").strip().lower(), maxsplit=1)[0]


def _meaning(statuses: Sequence[str], said: str) -> BounceMeaning:
    """Return what a failure or a delay means: a hard bounce only where all that is said is that this address takes no mail.

    `5.0.0` says nothing. Where the status, the answer and its words differ, the recipient is not at fault.
    """
    statuses = [status for status in statuses if not status.endswith(".0.0")]
    meanings = [_meaning_of(status, said) for status in statuses or [""]]
    faults = [one.fault for one in meanings]
    if _OTHER_FAULT.search(said):
        faults.append(BounceFault.POLICY)
    elif statuses and all(one.kind is Kind.BOUNCED_HARD for one in meanings):
        return meanings[0]
    fault = next((one for one in faults if one is not BounceFault.RECIPIENT), BounceFault.RECIPIENT)
    return BounceMeaning(Kind.BOUNCED_SOFT, fault)


def _meaning_of(status: str, said: str) -> BounceMeaning:
    return meaning_of_bounce(status, said, permanent=False, otherwise=BounceFault.UNKNOWN)


def _statuses(group: Mapping[str, str]) -> list[str]:
    """Return the status, and the one in the answer of the server, as far as there are any."""
    found = (_STATUS.search(text) for text in (group.get("status", "")[:_MOST_VALUE], _said(group)))
    return [one[1] for one in found if one]


def _said(group: Mapping[str, str]) -> str:
    return group.get("diagnostic-code", "")[:_MOST_VALUE].lower()


def _facts(group: Mapping[str, str]) -> dict[str, str]:
    facts = {"action": _action(group)}
    if facts["action"] in _UNDELIVERED:
        facts[FAULT] = _meaning(_statuses(group), _said(group)).fault.value
    if statuses := _statuses(group):
        telling = [status for status in statuses if not status.endswith(".0.0")]
        facts["status"] = (telling or statuses)[0]
    if code := _CODE.search(_said(group)):
        facts["smtp_code"] = code[1]
    return facts


def _codes_in(text: str | None) -> dict[str, str]:
    said = (text or "")[:_MOST_TEXT]
    found = _STATUS.search(said)
    codes = {"status": found[1]} if found else {}
    return codes | {FAULT: _meaning(list(codes.values()), said[:_MOST_VALUE].lower()).fault.value}


def _is_automatic(mail: ParsedEmail, headers: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a machine answered (RFC 3834 section 5, and older marks)."""
    return any(word != "no" for word in _first_words(headers, "auto-submitted")) or is_automatic_reply(
        mail.subject, headers
    )


def _first_words(headers: Mapping[str, Sequence[str]], name: str) -> Iterable[str]:
    return [re.split(r"[;\s(]", value.lower(), maxsplit=1)[0] for value in headers.get(name, ())]
