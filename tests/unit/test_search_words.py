"""The search words of a mail and of a query: both sides are normalised in the same way."""

from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.inbound.received_email import Item
from mailroom.domain.inbox.search_words import MOST, html_text, words_asked, words_of


def an_item(**changes: object) -> Item:
    """Return an item without attachments."""
    values = {"tenant": "acme", "recipient": "ann@acme.test", "user": "ann", "message_id": None, "date": None}
    empty = {"subject": None, "from_": None, "to": (), "cc": (), "text": None, "html": None}
    return Item(**values | empty | {"raw_archive_id": "acme/0", "attachments": ()} | changes)  # type: ignore[arg-type]


@given(st.text(max_size=60).filter(lambda text: '"' not in text and "-" not in text))
def test_a_query_copied_from_a_mail_has_its_words(text: str) -> None:
    """In every script: a query copied from a mail finds that mail."""
    assert words_asked(text) == words_of(an_item(text=text))


def test_only_quotes_and_a_leading_minus_mean_something_in_a_query() -> None:
    """All other operators of PostgreSQL's query language are removed."""
    assert words_asked("""a&b|c !d (e) f:* <g> 'h' -i j-k "l m" -"n" --o""") == 'a b c d e f g h -i j k "l m" -"n" o'


def test_html_is_searched_by_what_is_seen_of_it() -> None:
    """Style sheets and scripts are longer than the text, and no one searches for them."""
    seen = html_text(
        "<title>No</title><STYLE type=x>.no{}</Style ><p>Yes &eacute;t&eacute;<script>no()</script><br>1 < 2"
    )

    assert words_asked(seen) == "yes ete 1 2"


def test_the_heading_is_found_however_long_the_text() -> None:
    """What is cut off is the end of the text."""
    found = words_of(an_item(subject="Facture 7", text="word " * MOST))

    assert found.startswith("facture 7 word")
    assert len(found) <= MOST
