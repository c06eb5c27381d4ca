"""The catalogues of pages: every text in every language, which language a reader gets, and values as the reader writes them."""

import html
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mailroom.api.pages.formats import day, number, size, when, zone_of
from mailroom.api.pages.reader import LANGUAGES, language_of, read_as, read_by, reader
from mailroom.api.pages.translations import gettext, ngettext, plain, translation, words
from mailroom.domain.inbox.notices import notices_of
from mailroom.domain.outbound.advice import SENDERS_DOMAIN, advice
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.texts import Octets, Text
from mailroom.ports.api_keys import Holder
from tests.support.page_texts import REASONS, Message, all_texts, catalogue, of_the_domain

OTHERS = LANGUAGES[1:]
NOON = datetime(2026, 7, 1, 12, 5, 9, tzinfo=UTC)


def entries(language: str) -> Iterator[tuple[Message, Message]]:
    for one in catalogue(language):
        if one.id:
            assert not one.fuzzy, f"{language}: {one.id}"
            yield (one.id if isinstance(one.id, str) else (one.id[0], one.id[1])), one.string  # type: ignore[misc]


def forms(message: Message) -> tuple[str, ...]:
    return (message,) if isinstance(message, str) else tuple(message)


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_of_pages_is_translated(language: str) -> None:
    """A text in English between two in French is worse than a page in English; one that no page has is left over."""
    found = dict(entries(language))
    wanted = set(all_texts().values())

    assert len(wanted) > 800
    assert wanted - found.keys() == set()
    assert found.keys() - wanted == set()
    assert [text for text, translated in found.items() if not all(one.strip() for one in forms(translated))] == []
    assert [text for text, translated in found.items() if len(forms(text)) != len(forms(translated))] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_reason_and_notice_of_the_domain_is_translated(language: str) -> None:
    """They say what happened and what to do: a new one is forgotten most easily, for no template has it."""
    texts = translation(language)._texts
    found = set(of_the_domain())

    assert sum(len(reasons) for reasons in REASONS) > 90
    assert [text for text in found if forms(text)[0] not in texts] == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_placeholders_and_commands_of_its_text(language: str) -> None:
    """One that is misspelt would fail in front of the reader, one that is missing would leave out the name of the sender; a
    command that was translated would not run."""
    for text, translated in entries(language):
        for one, other in zip(forms(text), forms(translated), strict=True):
            assert placeholders(one) == placeholders(other), text
            assert sorted(re.findall("`[^`]*`", one)) == sorted(re.findall("`[^`]*`", other)), text


def placeholders(text: str) -> list[str]:
    return sorted(set(re.findall(r"%\(\w+\)s", text)))


@pytest.mark.parametrize("language", OTHERS)
def test_a_text_without_values_has_no_placeholder_of_another(language: str) -> None:
    """A lone `%` is one of a text without values; where there are values it would be read as a placeholder."""
    for text, translated in entries(language):
        for one in (*forms(text), *forms(translated)):
            if placeholders(one):
                assert one % dict.fromkeys((name[2:-2] for name in placeholders(one)), "x"), text


@pytest.mark.parametrize("language", OTHERS)
def test_the_sentence_that_names_a_domain_has_the_words_before_it(language: str) -> None:
    """The domain is put after "sender's domain"; a sentence that says it otherwise would not name it."""
    find = translation(language).find
    texts = [text for reason in OutboundReason for text in (reason.sentence, reason.remedy) if SENDERS_DOMAIN in text]

    assert texts
    assert [text for text in texts if find(SENDERS_DOMAIN) not in find(text)] == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("DE-at", "de"),
        ("en;q=0.1, de;q=0.5", "de"),
        ("ja, fr;q=0.2", "fr"),
        ("de;q=0, fr", "fr"),
        ("*", "en"),
        ("de;q=nan, fr;q=0.1", "fr"),
        ("de;q=9", "en"),
        (";;;,,,q=1,-", "en"),
        ("x" * 100_000 + ",de", "en"),
        ("de_DE", "en"),
    ],
)
def test_a_reader_gets_the_language_that_the_browser_asks_for(accepted: str | None, language: str) -> None:
    """Anything may stand in a header; what cannot be read is passed over."""
    assert language_of(accepted) == language


def test_a_holders_own_language_comes_before_the_browsers() -> None:
    """The browser of a shared machine may ask for another; a language that is none of ours is passed over."""
    with read_by("de", "UTC"):
        read_as(Holder("eve", language="../../etc/passwd"))
        assert (reader().language, reader().zone) == ("de", "UTC")
        read_as(Holder("ada", language="fr", zone=ZoneInfo("Europe/Paris")))
        assert (reader().language, reader().zone) == ("fr", "Europe/Paris")
    assert reader().language == "en"


def test_times_are_in_the_readers_zone_and_language() -> None:
    """Summer time is that of the day shown, and the zone is said where it is not UTC."""
    winter = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    with read_by("de", "Europe/Berlin"):
        assert when(NOON) == "1. Juli 2026, 14:05"
        assert when("2026-07-01T12:05:09+00:00", seconds=True) == "1. Juli 2026, 14:05:09"
        assert when(winter) == "1. Jan. 2027, 00:30"
        assert (zone_of(NOON), zone_of(winter)) == ("Europe/Berlin, UTC+02:00", "Europe/Berlin, UTC+01:00")
        assert day(date(2026, 3, 14), weekday=True) == "Sa. 14. März 2026"
    with read_by("fr", "Asia/Kathmandu"):
        assert when(NOON) == "1 juil. 2026, 17:50"
        assert zone_of(NOON) == "Asia/Kathmandu, UTC+05:45"
    with read_by(None, "UTC"):
        assert when(NOON) == "1 Jul 2026, 12:05 UTC"


def test_numbers_and_sizes_are_written_as_the_reader_does() -> None:
    """1.234 is a thousand to some and one to others."""
    with read_by("de", "UTC"):
        assert (number(1234567), size(1234567), size(12), size(0)) == ("1.234.567", "1,2 MB", "12 B", "0 B")
    with read_by("fr", "UTC"):
        assert (number(1234567), size(1234567), size(12)) == ("1\u202f234\u202f567", "1,2 Mo", "12 o")
    with read_by("en", "UTC"):
        assert (number(1234567), size(1234567), size(999)) == ("1,234,567", "1.2 MB", "999 B")


def test_each_language_has_its_own_plural() -> None:
    """None is one in French, and several elsewhere."""
    texts = ("%(count)s event", "%(count)s events")
    with read_by("fr", "UTC"):
        assert [str(ngettext(*texts, count)) for count in (0, 1, 2)] == ["0 événement", "1 événement", "2 événements"]
        assert str(ngettext(*texts, 1_000_000)).endswith("événements")
    with read_by("de", "UTC"):
        assert [str(ngettext(*texts, count)) for count in (0, 1, 2)] == ["0 Ereignisse", "1 Ereignis", "2 Ereignisse"]
    assert [str(ngettext(*texts, count)) for count in (0, 1, 2)] == ["0 events", "1 event", "2 events"]


def test_values_are_escaped_and_a_text_without_translation_is_english() -> None:
    """A sender's name is the tenant's, and stands in the sentence as text."""
    german = translation("de")

    assert german("Unsubscribe from %(sender)s?", sender="<b>%s") == "Von &lt;b&gt;%s abmelden?"
    assert german("<nobody wrote this>") == "&lt;nobody wrote this&gt;"


@given(
    st.sampled_from(LANGUAGES),
    st.sampled_from(sorted(all_texts())),
    st.text(st.sampled_from("<>&\"'`%(s)a{}$\x00\u202e")),
)
def test_no_value_of_any_text_is_more_than_text(language: str, one: str, hostile: str) -> None:
    """Translators write sentences, callers and senders write values: neither makes an element, nor a placeholder."""
    message = all_texts()[one]
    own = set() if isinstance(message, str) else {"count"}
    names = {name[2:-2] for form in forms(message) for name in placeholders(form)} - own
    values = dict.fromkeys(names, hostile)
    with read_by(language, "UTC"):
        made = gettext(message, **values) if isinstance(message, str) else ngettext(*message, 3, **values)
        bare = gettext(hostile)

    assert isinstance(made, Markup)
    for found in (made, bare):
        assert re.sub(r"</?code>", "", str(found)).count("<") == 0
        assert '"' not in re.sub(r"</?code>", "", str(found))
    assert str(made).count("<code>") == str(made).count("</code>") == forms(message)[-1].count("`") // 2
    if hostile:
        assert html.unescape(str(made)).count(hostile) >= len(names)


def test_a_text_of_the_domain_is_english_for_programs_and_translated_for_people() -> None:
    """Its values are put in after it was looked up, in the language too; texts inside texts as well."""
    text = Text.counted("%(count)s file", "%(count)s files", 1234)
    outer = Text(
        "%(sentence)s %(left_out)s: %(amounts)s.",
        sentence=Text("The mail is empty."),
        left_out=Text("Left out"),
        amounts=text,
    )

    assert outer == "The mail is empty. Left out: 1,234 files."
    assert isinstance(outer, str)
    with read_by("de", "UTC"):
        assert gettext(outer) == "Die Mail ist leer. Ausgelassen: 1.234 Dateien."
        assert plain(outer) == "Die Mail ist leer. Ausgelassen: 1.234 Dateien."
        assert (
            gettext(Text("%(first)s, %(second)s", first=Octets(1_200_000), second=NOON))
            == "1,2 MB, 1. Juli 2026, 12:05 UTC"
        )


def test_a_notice_with_amounts_is_translated_as_a_whole() -> None:
    """The number of files that are left out is what its reader has to know."""
    [notice] = notices_of(["too_many_files"], {"too_many_files": {"count": 1, "bytes": 2_500_000}})

    assert notice.sentence == "The mail has more files than are listed. Left out: 1 file, 2.5 MB."
    with read_by("fr", "UTC"):
        assert gettext(notice.sentence) == (
            "Le courrier a plus de fichiers que ce qui est listé. Omis\u00a0: 1 fichier, 2,5 Mo."
        )


def test_advice_names_ids_and_domain_in_the_readers_language() -> None:
    """A command that is copied from the page has to run."""
    about = advice("sender_refused", message_id="m-1", batch_id="b-1", sender="a@acme.test")
    unknown = advice("outcome_unknown", message_id="m-1", batch_id="b-1", sender="a@acme.test")

    assert about is not None
    assert unknown is not None
    assert about.sentence == "the provider does not send for the sender's domain acme.test"
    with read_by("de", "UTC"):
        assert gettext(about.sentence) == "Der Anbieter sendet nicht für die Domain des Absenders acme.test"
        assert "<code>mailroom sender verify acme.test</code>" in gettext(about.remedy)
        assert "<code>mailroom resend m-1 --may-duplicate</code>" in gettext(unknown.remedy)


def test_a_stored_word_that_no_language_knows_is_shown_as_it_is() -> None:
    """A provider's own word, or a tenant's."""
    with read_by("de", "UTC"):
        assert words("bounced_hard") == "endgültig zurückgekommen"
        assert words("<own>_word") == "&lt;own&gt; word"


def test_the_catalogues_are_installed_with_the_package() -> None:
    """A wheel without them would answer 500 to the reader who wants to leave."""
    assert "locales/*.po" in Path("pyproject.toml").read_text()
