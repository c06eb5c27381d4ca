"""The page on which a person chooses the language and the time zone of pages and mails, for themselves alone."""

from collections.abc import Mapping
from functools import cache

from babel import Locale
from babel.dates import get_timezone_location
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.auth import PageHolder, from_this_site
from mailroom.api.pages.forms import Form, field
from mailroom.api.pages.reader import reader
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices, Services
from mailroom.api.sign_in import people_of
from mailroom.domain.languages import LANGUAGES, REGIONS, read_language, read_zone, zones
from mailroom.domain.texts import Text, as_text
from mailroom.domain.trail import What
from mailroom.ports.api_keys import Holder

router = APIRouter(prefix="/settings", include_in_schema=False, default_response_class=HTMLResponse)

#: Each language in itself.
OWN_NAMES: Mapping[str, str] = {one: str(Locale.parse(one).get_display_name()).capitalize() for one in LANGUAGES}


@router.get("")
def settings(services: AppServices, holder: PageHolder, saved: bool = False) -> Response:
    """What the person has chosen, and a form to change it."""
    return _page(services, holder, saved=saved)


@router.post("")
def choose(request: Request, services: AppServices, holder: PageHolder, form: Form) -> Response:
    """Store the choice of the form; it counts from the next page on."""
    from_this_site(request)
    people = people_of(services).people
    try:
        language, zone = read_language(field(form, "language")), read_zone(field(form, "zone"))
    except ValueError as error:
        fault = Text("%(sentence)s.", sentence=as_text(error.args[0]))
        return _page(services, holder, status=422, fault=fault)
    people.choose(holder.person_id or "", language=language, zone=zone, entry=holder.entry(What.SETTINGS_CHOSEN))
    return RedirectResponse("/settings?saved=1", 303)


@cache
def zones_in(language: str) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Return the zones by region, each with its name for people: the place in this language, and the zone's own name."""
    found: dict[str, list[tuple[str, str]]] = {region: [] for region in REGIONS}
    for zone in zones():
        region, _, place = zone.partition("/")
        if place:
            found[region].append((zone, _named(zone, place.replace("_", " "), language)))
    return {region: tuple(sorted(named, key=lambda one: one[1])) for region, named in found.items()}


def _named(zone: str, place: str, language: str) -> str:
    city = str(get_timezone_location(zone, locale=language, return_city=True))
    return place if city == place.rpartition("/")[2] else f"{city} ({zone})"


def _page(
    services: Services, holder: Holder, *, status: int = 200, fault: str | None = None, saved: bool = False
) -> HTMLResponse:
    return render(
        "settings.html",
        status=status,
        fault=fault,
        saved=saved,
        languages=OWN_NAMES,
        zones=zones_in(reader().language),
        chosen=holder.zone.key if holder.zone else "",
        ours=services.settings.time_zone,
    )
