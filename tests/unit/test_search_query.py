"""The parser of searches: operators, phrases, exclusions and dates; everything else is text."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.adapters.postgres.inbox.search_index import tsquery_of, tsvector_of
from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.inbox.search_query import UnreadableSearch, parse_search
from mailroom.testing.api import an_item

QUERIES = [
    ("from:carl", "(('f/carl':*))"),
    ("FROM:Carl@X.test", "(('f/carl' <-> 'f/x' <-> 'f/test':*))"),
    ("from: Carl", "(('f/carl':*))"),
    ('from:"Carl Dupont"', "(('f/carl' <-> 'f/dupont'))"),
    ('-from:"Carl Dupont"', "(!('f/carl' <-> 'f/dupont'))"),
    ("-from:carl", "(!('f/carl'))"),
    ("to:ann subject:Łódź filename:scan_1.pdf", "(('t/ann':*) & ('s/lodz':*) & ('n/scan' <-> 'n/1' <-> 'n/pdf':*))"),
    ("has:attachment has:Attachments -has:attachment", "(('h/attachment') & ('h/attachment') & !('h/attachment'))"),
    ("from:carl or subject:offer new", "(('f/carl':*)) | (('s/offer':*) & ('new':*))"),
    ("(from:carl)", "(('f/carl'))"),
    # What looks like an operator and is none.
    ('"see from:carl"', "(('see' <-> 'from' <-> 'carl'))"),
    ("http://acme.test", "(('http') & ('acme') & ('test':*))"),
    ("foo:bar", "(('foo') & ('bar':*))"),
    ("mailto:ann@acme.test x", "(('mailto') & ('ann') & ('acme') & ('test') & ('x'))"),
    ("xfrom:carl x", "(('xfrom') & ('carl') & ('x'))"),
    ("from:", "(('from':*))"),
    ('subject:"" x', "(('subject') & ('x'))"),
    ("12:30 x", "(('12') & ('30') & ('x'))"),
    ('"before" x', "(('before') & ('x'))"),
    # As before.
    ("-dupont@banque.test x", "(!('dupont' <-> 'banque' <-> 'test') & ('x'))"),
    ("or", "(('or'))"),
    ("or gold or", "(('gold'))"),
    ("--x y", "(('x') & ('y'))"),
    # Rows of the release before have the letters unfolded.
    ("jørgen x", "((('jorgen') | ('jørgen')) & ('x'))"),
    ("-ørn x", "(!(('orn') | ('ørn')) & ('x'))"),
]


@pytest.mark.parametrize(("question", "query"), QUERIES)
def test_a_search_means_what_it_says(question: str, query: str) -> None:
    """One parser for the box and the API."""
    assert tsquery_of(parse_search(question)) == query


@pytest.mark.parametrize(
    ("question", "after", "before"),
    [
        ("after:2026-03-14", (2026, 3, 14), None),
        ("after:2026-03", (2026, 3, 1), None),
        ("before:2026", None, (2026, 1, 1)),
        ("before:2026/3/9", None, (2026, 3, 9)),
        ("after:2025 before:2026-03 after:2026-02 before:2027", (2026, 2, 1), (2026, 3, 1)),
        ("-before:2026-03", (2026, 3, 1), None),
        ('After: "2026-03"', (2026, 3, 1), None),
        ("a or after:2026 b", (2026, 1, 1), None),
    ],
)
def test_dates_are_utc_and_include_the_first_day(
    question: str, after: tuple[int, int, int] | None, before: tuple[int, int, int] | None
) -> None:
    """`after:2026-03 before:2026-04` is March."""
    search = parse_search(question)

    assert search.after == (datetime(*after, tzinfo=UTC) if after else None)
    assert search.before == (datetime(*before, tzinfo=UTC) if before else None)
    assert not search.finds_nothing


@pytest.mark.parametrize(
    "date", ["x", "2026-13", "2026-02-30", "0000", "26", "14.03.2026", "2026-3-", "٢٠٢٦", "2026-03-14T09:00Z"]
)
@pytest.mark.parametrize("name", ["before", "after", "-after"])
def test_a_date_that_cannot_be_read_says_what_to_write(name: str, date: str) -> None:
    """Searching it as text would find nothing, without a reason."""
    with pytest.raises(UnreadableSearch, match=r"such as (before|after):2026-03-14, (before|after):2026-03 or"):
        parse_search(f"offer {name}:{date}")


def test_what_an_item_cannot_have_says_what_to_write() -> None:
    """People write the kind of file there."""
    with pytest.raises(UnreadableSearch, match="filename:pdf"):
        parse_search("has:pdf")


PIECES = st.lists(
    st.sampled_from(
        [
            "from:",
            "-",
            '"',
            " ",
            "has:attachment",
            "before:2026",
            "or",
            "(",
            "a",
            "Łódź",
            "ﷺ",
            "'",
            ":",
            "subject:x",
            "\\",
            "&",
            "*",
        ]
    )
    | st.text(max_size=4)
)


@given(PIECES.map("".join))
def test_every_text_is_a_search_or_a_clear_problem(question: str) -> None:
    """It comes from the browser's address line. What it becomes has no character of PostgreSQL's syntax but ours."""
    try:
        search = parse_search(question)
    except UnreadableSearch:
        return

    for way in search.ways:
        for term in way:
            assert term.words
            assert all(word and not set(word) & set("'\\:&|!()<*\0 ") for word in (*term.words, *term.unfolded))
    assert search.asked is bool(question.strip())


def test_the_words_of_fields_are_bounded() -> None:
    """PostgreSQL refuses a row with more than 1 MiB of words; a mail with thousands of recipients and files is filed."""
    files = tuple(Attachment(n, f"{n:x}é.pdf", "a/b", None, 1, "0", False, None, "a/0") for n in range(1, 9_000))
    people = tuple(f"user{number}@acme.test" for number in range(9_000))
    item = an_item(
        subject="s" * 90_000, from_="f " * 90_000, to=people, cc=people, attachments=files, text="x " * 200_000
    )

    words = tsvector_of(item).split(" ")

    assert sum(len(word.partition(":")[0].encode()) for word in words) < 300_000
    assert max(word.count(",") for word in words) < 255
    assert all(len(word.partition("'")[2].partition("'")[0].encode()) <= 2_046 for word in words)
    assert {"'f/f'", "'t/user0'", "'n/1e'", "'h/attachment'"} <= {word.partition(":")[0] for word in words}
