"""Every text that pages show, in English: of templates, of marked Python, and of the domain's reasons, notices and words.

python -m tests.support.page_texts       prints, as a catalogue, the texts that a language lacks
"""

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from http import HTTPStatus
from typing import TypeAlias

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po, write_po

from mailroom.api.pages import carried_words, endpoints, keys, people, status
from mailroom.api.pages.reader import LANGUAGES
from mailroom.api.pages.translations import LOCALES
from mailroom.domain.api_keys import SCOPES
from mailroom.domain.delivery.events import Actor, Kind
from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.delivery.reputation import Trip
from mailroom.domain.delivery.suppression import Cause
from mailroom.domain.delivery.tenant_webhooks import Disabled
from mailroom.domain.delivery.webhook_targets import TargetFault
from mailroom.domain.inbound.filing_policy import Finding
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import State
from mailroom.domain.inbound.replaying import ReplayState
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.domain.inbox.marks import Show
from mailroom.domain.inbox.notices import TEXTS
from mailroom.domain.languages import REGIONS
from mailroom.domain.openid import OpenIdFault
from mailroom.domain.outbound.advice import SENDERS_DOMAIN
from mailroom.domain.outbound.message import Lane, ResendPolicy, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.outbound.resending import NotResent
from mailroom.domain.people import Role
from mailroom.domain.tenants import WHAT_A_NAME_IS
from mailroom.domain.times import HOW, OUT_OF_BOUNDS
from mailroom.domain.trail import What
from mailroom.outbound.sender_records import _NO_MAIL_FROM
from mailroom.outbound.sent_content import ContentState
from mailroom.ports.api_keys import KeyState
from mailroom.ports.holds import HoldReason
from mailroom.ports.previewer import NoPreview
from mailroom.ports.sender_identities import IdentityState

#: A text, or two of one thing and of several.
Message: TypeAlias = str | tuple[str, str]

PACKAGE = LOCALES.parents[2]
TEMPLATES = LOCALES.parent / "templates"
IN_TEMPLATES = {"_": None, "ngettext": (1, 2)}
#: `counted` is that of `Text`.
MARKED = {"gettext": None, "ngettext": (1, 2), "Text": None, "counted": (1, 2)}
#: Errors that a browser is answered with; routes under /v1 are for programs.
ERRORS = {"HTTPException": (2,), "Unusable": (2,), "answer_error": (3,)}
_FOR_PROGRAMS = ("v1", "hooks", "metrics")

#: Reasons: each member has a sentence and what to do.
REASONS = (InboundReason, OutboundReason, NotResent, Cause, Trip, Disabled, PostFault, HoldReason)
#: Words that are stored and shown.
WORDS = (
    *REASONS,
    Status,
    Kind,
    Actor,
    Lane,
    ResendPolicy,
    KeyState,
    IdentityState,
    TargetFault,
    Role,
    Finding,
    ReplayState,
    State,
)
#: Further kinds of steps, facts of steps, and words of calendars that pages show.
OTHER_WORDS = (
    "rescheduled", "resumed", "sent again", "not verified",
    "attempt", "by", "code", "reason", "due at", "fault", "list", "until", "provider", "answer", "phase", "status",
    "accepted", "declined", "tentative", "delegated", "needs action", "cancelled", "completed", "in process",
    "received", "notified", "started", "routed", "archived", "withdrawn", "reopened", "recalled", "died", "processed",
    "replayed", "released", "deposits", "recipients", "items", "worker", "processor", "outcome", "no reason recorded",
    "filed, held in part",
    "spam", "virus", "Cyrillic", "Greek", "Latin",
)  # fmt: skip
#: The titles of error pages.
STATUSES = (400, 401, 403, 404, 405, 408, 409, 410, 413, 421, 422, 429, 500, 502, 503)


def of_templates() -> Iterator[Message]:
    """Yield the texts of templates."""
    found = extract_from_dir(
        str(TEMPLATES), method_map=[("**.html", "jinja2.ext:babel_extract")], keywords=IN_TEMPLATES, comment_tags=()
    )
    yield from (_message(message) for _, _, message, _, _ in found)


def of_python() -> Iterator[Message]:
    """Yield the texts that Python marks, and the errors that browsers are answered with."""
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).parts
        answers = inside[0] == "api" and inside[1] not in _FOR_PROGRAMS
        keywords = MARKED | ERRORS if answers else MARKED
        yield from (_message(one[1]) for one in extract_from_file("python", path, keywords=keywords))


def of_the_domain() -> Iterator[Message]:
    """Yield the sentences and words of enumerations."""
    for reasons in REASONS:
        for reason in reasons:
            yield from (reason.sentence, reason.remedy)
    for words in WORDS:
        yield from (word.value.replace("_", " ") for word in words)
    yield from (one.sentence for faults in (TargetFault, ContentState, What, NoPreview, ReplayState) for one in faults)
    yield from (text for fault in OpenIdFault for text in (fault.sentence, fault.remedy))
    for text in TEXTS.values():
        yield from (text.sentence, text.what, *filter(None, (text.remedy, text.of)))
    yield from OTHER_WORDS
    yield from REGIONS
    yield from ("choose a language of the list", "choose a time zone of the list")
    yield from (verdict.value.lower().replace("_", " ") for verdict in Verdict)
    yield from (show.words for show in Show)
    yield from (SENDERS_DOMAIN, _NO_MAIL_FROM, WHAT_A_NAME_IS, HOW, OUT_OF_BOUNDS, f"unknown scope; use {SCOPES}")


def of_pages() -> Iterator[Message]:
    """Yield texts that the modules of pages keep in tables."""
    yield from (HTTPStatus(status).phrase for status in STATUSES)
    yield from people.ROLES.values()
    yield from (word for _, word in status._BADGES.values())
    yield "Inbox"
    yield from (*keys.OVERLAPS.values(), *endpoints.AGAIN.values())
    yield from (text for both in carried_words.PROTECTIONS.values() for text in both)
    yield from (*carried_words.REPORTS.values(), *carried_words.COMPONENTS.values(), *carried_words.ACTIONS.values())
    yield from carried_words.LEFT_OUT.values()
    yield from (carried_words._OTHER, "Report", "Entry")


@cache
def all_texts() -> dict[str, Message]:
    """Return every text by its singular."""
    found: dict[str, Message] = {}
    for source in (of_templates(), of_python(), of_the_domain(), of_pages()):
        for message in source:
            one = message if isinstance(message, str) else message[0]
            if one and not (isinstance(found.get(one), tuple) and isinstance(message, str)):
                found[one] = message
    return found


def catalogue(language: str) -> Catalog:
    """Return the catalogue of a language."""
    with (LOCALES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def missing(language: str) -> list[Message]:
    """Return the texts that a language lacks."""
    known = {one.id if isinstance(one.id, str) else one.id[0] for one in catalogue(language)}
    return [message for one, message in all_texts().items() if one not in known]


def _message(found: str | Iterable[str | None]) -> Message:
    if isinstance(found, str):
        return found
    texts = [one for one in found if one]
    return (texts[0], texts[1]) if len(texts) > 1 else texts[0]


def main() -> None:
    """Print what each language lacks, to be filled in and added to its file."""
    for language in LANGUAGES[1:]:
        lacks = Catalog(language)
        for message in missing(language):
            lacks.add(message)
        write_po(sys.stdout.buffer, lacks, omit_header=True, width=0)


if __name__ == "__main__":
    main()
