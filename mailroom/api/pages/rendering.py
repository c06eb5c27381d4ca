"""Templates, and the format of values on a page.

Everything is escaped, except in the frame's template, which takes only sanitised HTML (`sanitising`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from mailroom.api.pages import carried_words
from mailroom.api.pages.batch_progress import segments, settled, tone
from mailroom.api.pages.formats import number, size, when, zone_of
from mailroom.api.pages.letters import answers_elsewhere
from mailroom.api.pages.reader import reader
from mailroom.api.pages.replay_progress import replay_tone
from mailroom.api.pages.short_times import short_time
from mailroom.api.pages.translations import gettext, ngettext, plain, words
from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.delivery.reputation import Trip
from mailroom.domain.delivery.suppression import Cause
from mailroom.domain.delivery.tenant_webhooks import Disabled
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.verdicts import CHECKS, Verdict, Verdicts
from mailroom.domain.mail.urls import readable_host, web_url
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.readable import sender_parts, shown, stamp
from mailroom.domain.texts import Text
from mailroom.ports.inbox_reader import FiledItem
from mailroom.ports.previewer import previewed

FOLDER = Path(__file__).parent


def render(
    template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """Return the template as a page for its reader: in that language, with `holder`, who is signed in."""
    language = reader().language
    body = _templates.get_template(template).render(values, lang=language, holder=reader().holder)
    own = {"Content-Language": language, "Vary": "Accept-Language"}
    return HTMLResponse(body, status, headers=own | dict(headers or {}))


def doubts(verdicts: Verdicts | None) -> Sequence[tuple[str, str]]:
    """Return the verdicts of SES other than PASS, the worst first, each as (CSS class, text)."""
    if verdicts is None:
        return [("unsure", gettext("not checked"))]
    values = [
        (gettext(check) if check in ("spam", "virus") else check.upper(), getattr(verdicts, check)) for check in CHECKS
    ]
    failed: list[tuple[str, str]] = [
        ("bad", gettext("%(check)s failed", check=check)) for check, verdict in values if verdict is Verdict.FAIL
    ]
    others = [(check, verdict) for check, verdict in values if verdict not in (Verdict.PASS, Verdict.FAIL)]
    return failed + [
        ("unsure", gettext("%(check)s %(verdict)s", check=check, verdict=_words(verdict))) for check, verdict in others
    ]


def unscanned(scan: Scan | None) -> bool:
    """Return whether a scan was attempted and failed."""
    return scan is not None and scan.finding is Finding.UNSCANNED


def checks_in_short(filed: FiledItem) -> Markup:
    """Return the outcome of all checks of a mail in one line."""
    found = [words for _, words in doubts(filed.verdicts)]
    if filed.scan is not None and filed.scan.finding is not Finding.CLEAN:
        infected = filed.scan.finding is Finding.INFECTED
        found.append(gettext("scanner found something") if infected else gettext("not scanned"))
    line = Markup(", ").join(found) or gettext("all checks passed")
    return line[:1].upper() + line[1:]


def host(url: str) -> str:
    """Return a link's target in short: the host that a browser opens, or the address of a mailto link."""
    read = web_url(url)
    return read.place if read is not None else unquote(url.partition(":")[2].partition("?")[0])


def in_letters(url: str) -> str:
    """Return the host of a link in its non-ASCII letters, with their script; "" if it is ASCII."""
    read = web_url(url)
    letters, alphabets = readable_host(read.host) if read is not None else ("", ())
    if not letters:
        return ""
    scripts = gettext(" and ").join(words(one) for one in alphabets)
    return gettext("%(letters)s, in %(scripts)s letters", letters=letters, scripts=scripts)


def _words(verdict: Verdict) -> str:
    known = {
        Verdict.GRAY: gettext("uncertain"),
        Verdict.PROCESSING_FAILED: gettext("not checked"),
        Verdict.DISABLED: gettext("not checked"),
    }
    return known.get(verdict, gettext("unknown"))


def _is_text(value: object) -> bool:
    return isinstance(value, Text)


def _part(text: str) -> str:
    return quote(text, safe="")


def _templates_of_this_package() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "when": when, "stamp": stamp, "size": size, "doubts": doubts, "host": host}
    environment.filters |= {"in_letters": in_letters, "number": number, "zone_of": zone_of}
    environment.filters |= {"plain": plain, "words": words, "short_time": short_time, "sender_parts": sender_parts}
    environment.filters |= {"part": _part, "unscanned": unscanned, "tone": tone, "shares": segments, "settled": settled}
    environment.filters |= {
        "inbound_reason": InboundReason.read,
        "outbound_reason": OutboundReason.read,
        "cause": Cause.read,
    }
    environment.filters["replay_tone"] = replay_tone
    environment.filters |= {"trip": Trip.read, "disabled": Disabled.read, "post_fault": PostFault.read}
    environment.filters |= {one.__name__: one for one in carried_words.FILTERS}
    environment.filters |= {
        "checks_in_short": checks_in_short,
        "answers_elsewhere": answers_elsewhere,
        "previewed": previewed,
    }
    environment.tests["text"] = _is_text
    environment.globals |= {"checks": CHECKS, "_": gettext, "ngettext": ngettext}
    return environment


_templates = _templates_of_this_package()
