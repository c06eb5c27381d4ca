"""Searches with operators, in memory and on PostgreSQL: both find the same mails, for searches of any kind."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from mailroom.domain.inbox.search_query import UnreadableSearch
from mailroom.ports.inbox_reader import Window
from tests.support.inboxes import NOW, Installation, MemoryInstallation, SqlInstallation


@pytest.fixture(params=["memory", "sql"])
def installation(request: pytest.FixtureRequest) -> Installation:
    if request.param == "memory":
        return MemoryInstallation()
    return SqlInstallation(request.getfixturevalue("engine"))


def fill(installation: Installation) -> dict[str, str]:
    """File four mails, and return the names of their items by id."""
    mails = {
        "offer": installation.letter(
            minutes=60 * 24 * 20,
            subject="Angebot für Jørgen",
            from_="Łukasz Æsir <lukasz@sub.banque.test>",
            text="Straße 7, from carl",
            to=("ann@acme.test", "Zoë Ørn <zoe@x.test>"),
            files=("scan_2024-03.pdf", "Übersicht.xlsx"),
        ),
        "reply": installation.letter(
            minutes=60, subject="Re: offer", from_="Carl <carl@x.test>", text="scan, see banque"
        ),
        "noticed": installation.letter(
            minutes=1, subject="Notice", from_="Bob (Carl's) <bob@carl.test>", cc=("carl@x.test",)
        ),
        "old": installation.letter(
            minutes=60 * 24 * 400, subject="Jorgensen", from_="Jo <jo@x.test>", files=("plan.pdf",)
        ),
    }
    return {item_id: name for name, item_id in mails.items()}


SEARCHES = [
    ("jorgen", "offer old"), ("JØRGEN x", ""), ('"jørgen"', "offer"), ("strasse", "offer"), ("STRAẞE", "offer"), ("lukasz", "offer"),
    ("from:lukasz", "offer"), ("from:aesir", "offer"), ("from:carl", "reply noticed"), ("from:carl@x.test", "reply"),
    ("from:@banque.test", "offer"), ("from:banque.test from:lukasz", "offer"), ('from:"x Carl"', ""), ("carl", "offer reply noticed"),
    ("carl -from:carl", "offer"), ("-from:carl", "offer old"), ("from:car", "reply noticed"), ('from:"car"', ""), ("from:ca", ""),
    ("to:zoe", "offer"), ("to:orn", "offer"), ("to:carl", "noticed"), ("to:ann@acme.test", "offer reply noticed old"),
    ('to:"ann@acme.test Zoë"', ""), ("subject:angebot", "offer"), ("subject:offer", "reply"), ('subject:"re offer"', "reply"),
    ("subject:re:offer", "reply"), ("filename:scan", "offer"), ("filename:pdf", "offer old"), ("filename:ubersicht.xlsx", "offer"),
    ('filename:"pdf Übersicht"', ""), ("filename:.pdf -subject:jorgensen", "offer"), ("has:attachment", "offer old"),
    ("-has:attachment", "reply noticed"), ("has:attachment or from:bob", "offer noticed old"), ("after:2026-03", "reply noticed"),
    ("before:2026-03-14", "offer old"), ("after:2026 before:2026-03", "offer"), ("after:2026-03-14 subject:re", "reply"),
    ("before:2024", ""), ("after:2027", ""), ("after:2026-02 or from:lukasz", "offer"), ("after:2026-03 or from:lukasz", ""), ("foo:bar", ""), ("from:nobody", ""),
]  # fmt: skip


def test_a_mail_is_found_by_its_fields_and_dates(installation: Installation) -> None:
    """Sender, recipients, subject, file names, files and time, with what people in other countries type."""
    names = fill(installation)

    for question, expected in SEARCHES:
        found = installation.reader.items("acme", "ann@acme.test", question=question, after=None, limit=9).lines
        assert sorted(names[line.id] for line in found) == sorted(expected.split()), question
        assert not installation.reader.items("other", "ann@acme.test", question=question, after=None, limit=9).lines


def test_a_wrong_date_is_a_problem(installation: Installation) -> None:
    """It would otherwise find nothing, which looks like an answer."""
    with pytest.raises(UnreadableSearch, match="after:2026-03-14"):
        installation.reader.items("acme", "ann@acme.test", question="after:yesterday", after=None, limit=9)


def test_postgresql_and_memory_find_the_same(engine: Engine) -> None:
    """Random searches: the double stands in for PostgreSQL in the tests of the pages and the API."""
    memory, sql = MemoryInstallation(), SqlInstallation(engine)
    in_memory, in_sql = fill(memory), fill(sql)
    pieces = [
        "from:",
        "to:",
        "subject:",
        "filename:",
        "-",
        '"',
        '"',
        " ",
        " ",
        " or ",
        "has:attachment",
        "after:2026-03",
        "x",
        "pdf",
    ]
    pieces += [
        "carl",
        "jø",
        "ørn",
        "zoe",
        "scan",
        "re",
        "@",
        "banque",
        "acme",
        "test",
        "(",
        "'",
        ":",
        "\\",
        "&",
        "a",
        "Ł",
        "🂡",
    ]
    chance = random.Random(7)

    for _ in range(300):
        question = "".join(chance.choices(pieces, k=chance.randint(1, 7)))
        try:
            lines = memory.reader.items("acme", "ann@acme.test", question=question, after=None, limit=9).lines
        except UnreadableSearch:
            continue
        found = sql.reader.items("acme", "ann@acme.test", question=question, after=None, limit=9).lines
        assert [in_sql[line.id] for line in found] == [in_memory[line.id] for line in lines], question


def test_a_window_of_what_is_new_is_searched_too(installation: Installation) -> None:
    """As any list."""
    names = fill(installation)
    window = Window(NOW - timedelta(days=9), installation.reader.listed_until())
    found = installation.reader.items(
        "acme", "ann@acme.test", question="from:lukasz", after=None, limit=9, window=window
    )

    assert [names[line.id] for line in found.lines] == ["offer"]
