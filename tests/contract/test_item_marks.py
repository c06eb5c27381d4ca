"""Lists of several inboxes and marks of items, in memory and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailroom.domain.inbox.marks import MarkFilter, Marking, Show
from mailroom.ports.inbox_reader import MOST_COUNTED, Beside, UnreadCount
from tests.support.inboxes import Installation, MemoryInstallation, SqlInstallation

ANN, BOB, ZOE = "ann@acme.test", "bob@acme.test", "zoe@lyon.acme.test"
T = TypeVar("T")
TODO, UNREAD, DONE = Show.TODO.filter, Show.UNREAD.filter, Show.DONE.filter


@pytest.fixture(params=["memory", "sql"])
def installation(request: pytest.FixtureRequest) -> Installation:
    if request.param == "memory":
        return MemoryInstallation()
    return SqlInstallation(request.getfixturevalue("engine"))


def there(found: T | None) -> T:
    assert found is not None
    return found


def listed(
    installation: Installation,
    only: tuple[str, ...] | None,
    marks: MarkFilter = Show.ALL.filter,
    *,
    tenant: str | None = "acme",
    limit: int = 2,
    question: str = "",
) -> list[str]:
    """Return the ids of a list, read in pages."""
    found, after = [], None
    while True:
        page = installation.reader.mail(tenant, only=only, after=after, limit=limit, question=question, marks=marks)
        found += [line.id for line in page.lines]
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("question", ["", "hello"])
def test_several_inboxes_are_one_list_newest_first(installation: Installation, question: str) -> None:
    """Named, by patterns or all: the same order, in pages that join, and nothing of other inboxes or tenants."""
    ids = {}
    for minutes, (tenant, address) in enumerate(
        [("acme", ANN), ("acme", BOB), ("other", ANN), ("acme", ZOE), ("acme", ANN), ("acme", ANN), ("acme", BOB)]
    ):
        ids[minutes] = installation.letter(minutes=minutes, tenant=tenant, recipient=address)
    gone = installation.letter(tenant="acme", recipient=BOB)
    installation.withdraw(gone, reason="virus")

    def of(*minutes: int) -> list[str]:
        return [ids[one] for one in minutes]

    for limit in (1, 2, 3, 9):
        assert listed(installation, (ANN, BOB), limit=limit, question=question) == of(0, 1, 4, 5, 6)
        assert listed(installation, (ANN, "none@acme.test"), limit=limit, question=question) == of(0, 4, 5)
        assert listed(installation, (BOB,), limit=limit, question=question) == of(1, 6)
        assert listed(installation, ("@acme.test",), limit=limit, question=question) == of(0, 1, 4, 5, 6)
        assert listed(installation, ("z*@*.acme.test", BOB), limit=limit, question=question) == of(1, 3, 6)
        assert listed(installation, None, limit=limit, question=question) == of(0, 1, 3, 4, 5, 6)
        assert listed(installation, (), limit=limit, question=question) == []
        assert listed(installation, (ANN, BOB), tenant="nobody", limit=limit, question=question) == []
    assert len(listed(installation, (ANN, BOB), tenant=None)) == 6
    assert len(listed(installation, None, tenant=None)) == 7


def test_items_of_the_same_moment_are_listed_once(installation: Installation) -> None:
    """In several inboxes: the id decides, also where a page ends."""
    same = {installation.file("acme", address, minutes=3) for address in (ANN, BOB) for _ in range(4)}
    newest = installation.file("acme", BOB)

    found = listed(installation, (ANN, BOB))

    assert (found[0], set(found[1:]), len(found)) == (newest, same, 9)
    for at, item_id in enumerate(found):
        beside = installation.reader.beside("acme", item_id, only=(ANN, BOB))
        assert beside == Beside(found[at - 1] if at else None, found[at + 1] if at < 8 else None)


def test_a_line_says_how_the_letter_begins_and_names_its_files(installation: Installation) -> None:
    """Of text, or of HTML where there is no text; pictures that the mail draws are no files."""
    html = "<html><head><style>p { color: red }</style></head><body><!-- x --><p>Dear&nbsp;<b>Ann</b>,</p>we write"
    of_text = installation.letter(
        text="  Dear Ann,\r\n\r\n \u202eyour invoice " + "x" * 500, html=html, files=("b.pdf", "a.pdf")
    )
    of_html = installation.letter(text=" \r\n", html=html, minutes=1)
    none = installation.letter(text=None, minutes=2)
    drawn = installation.file("acme", ANN, files=4, minutes=3)

    lines = installation.reader.mail("acme", only=(ANN,), after=None, limit=9).lines

    assert [line.id for line in lines] == [of_text, of_html, none, drawn]
    assert lines[0].snippet.startswith("Dear Ann, your invoice xxx")
    assert (len(lines[0].snippet), lines[0].snippet[-1]) == (120, "…")
    assert [line.snippet for line in lines[1:]] == ["Dear Ann, we write", "", "Hi"]
    assert (lines[0].files, lines[0].attachments) == (("b.pdf", "a.pdf"), 2)
    assert (lines[3].files, lines[3].attachments) == (("1.pdf", "2.pdf", "3.pdf"), 4)
    assert installation.reader.items("acme", ANN, after=None, limit=9).lines == lines


def test_the_first_who_marks_an_item_wins(installation: Installation) -> None:
    """The second changes nothing, and sees who was first; undone is in the history."""
    item_id, marks = installation.file("acme", ANN), installation.marks

    opened, again = (there(marks.open("acme", item_id, by=by)) for by in ("ann@acme.test", "bob@acme.test"))
    done, late = (there(marks.done("acme", item_id, by=by)) for by in ("bob@acme.test", "ann@acme.test"))
    undone, twice = (there(marks.undo("acme", item_id, by=by)) for by in ("carl", "bob@acme.test"))

    assert [one.changed for one in (opened, again, done, late, undone, twice)] == [True, False] * 3
    assert [there(one.read).by for one in (opened, again)] == ["ann@acme.test"] * 2
    assert [there(one.done).by for one in (done, late)] == ["bob@acme.test"] * 2
    assert (late.done, undone.done, undone.read) == (done.done, None, opened.read)
    assert [(line.kind, line.by) for line in marks.history("acme", item_id)] == [
        (Marking.READ, "ann@acme.test"),
        (Marking.DONE, "bob@acme.test"),
        (Marking.UNDONE, "carl"),
    ]
    filed = there(installation.reader.item("acme", item_id))
    assert (filed.read, filed.done) == (opened.read, None)


def test_two_at_once_are_one_first_and_one_second(installation: Installation) -> None:
    """Of two requests in the same moment one changes the item, and both name the same person."""
    item_id = installation.file("acme", ANN)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda by: installation.marks.done("acme", item_id, by=by), ("ann", "bob")))

    assert sorted(one.changed for one in both if one) == [False, True]
    assert len({one.done for one in both if one}) == 1
    assert len(installation.marks.history("acme", item_id)) == 1


def test_done_without_being_opened_counts_as_read(installation: Installation) -> None:
    """Else a program that works through an inbox would leave it full of unread mail."""
    item_id = installation.file("acme", ANN)

    marked = there(installation.marks.done("acme", item_id, by="a program"))

    assert marked.read == marked.done
    assert listed(installation, (ANN,), UNREAD) == []


def test_nothing_of_others_and_nothing_withdrawn_is_marked(installation: Installation) -> None:
    """By its id, which leaks; a malformed id is no item."""
    item_id, gone = installation.file("acme", ANN), installation.file("acme", ANN)
    installation.withdraw(gone, reason="virus")
    marks = installation.marks

    for mark in (marks.open, marks.done, marks.undo):
        assert mark("other", item_id, by="x") is None
        assert mark("acme", gone, by="x") is None
        for no_id in (str(uuid4()), "", "x", "\x00"):
            assert mark(None, no_id, by="x") is None
    assert (marks.history("other", item_id), marks.history("acme", "x")) == ([], [])
    assert marks.history("acme", item_id) == []
    filed = there(installation.reader.item("acme", item_id))
    assert (filed.read, filed.done) == (None, None)


def test_unread_items_are_counted_by_inbox(installation: Installation) -> None:
    """Up to a hundred; inboxes that are named are there before their first mail, others with it."""
    first, _ = (installation.file("acme", ANN) for _ in range(2))
    for _ in range(MOST_COUNTED + 1):
        installation.file("acme", BOB)
    installation.withdraw(installation.file("acme", ZOE), reason="virus")
    installation.file("other", "eve@other.test")
    installation.marks.open("acme", first, by="ann")

    def unread(*only: str, limit: int = 9) -> list[UnreadCount]:
        return installation.reader.unread("acme", only=only, limit=limit)

    ann, bob, new = UnreadCount(ANN, 1), UnreadCount(BOB, MOST_COUNTED), UnreadCount("new@acme.test", 0)
    assert unread(ANN, "new@acme.test", "eve@other.test") == [ann, UnreadCount("eve@other.test", 0), new]
    assert unread("@acme.test") == [ann, bob]
    assert unread("*@*.acme.test", "new@acme.test") == [new]
    assert installation.reader.unread("acme", only=None, limit=9) == [ann, bob]
    assert installation.reader.unread("acme", only=None, limit=1) == [ann]
    assert unread() == []


def test_pages_join_while_items_are_done(installation: Installation) -> None:
    """An item that leaves the list takes no other with it."""
    ids = [installation.file("acme", ANN, minutes=minutes) for minutes in range(6)]
    first = installation.reader.items("acme", ANN, after=None, limit=2, marks=TODO)

    for item_id in (ids[0], ids[1], ids[3]):
        installation.marks.done("acme", item_id, by="ann")
    second = installation.reader.items("acme", ANN, after=first.next, limit=2, marks=TODO)

    assert [line.id for line in first.lines + second.lines] == [ids[0], ids[1], ids[2], ids[4]]
    assert [line.id for line in installation.reader.items("acme", ANN, after=None, limit=9, marks=DONE).lines] == [
        ids[0],
        ids[1],
        ids[3],
    ]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "done", "undo", "withdraw", "release"]),
        st.integers(0, 3),
        st.sampled_from(["ann", "bob"]),
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_lists_and_counts_agree_with_a_model(installation: Installation, steps: list[tuple[str, int, str]]) -> None:
    """Whatever two people do, in whichever order, with items that are withdrawn and released meanwhile."""
    tenant = f"t{uuid4()}"
    ids = new_items(installation, tenant)
    read: dict[int, str] = {}
    done: dict[int, str] = {}
    gone: set[int] = set()
    history: dict[int, list[tuple[str, str]]] = {at: [] for at in range(4)}
    for what, at, who in steps:
        if what in ("withdraw", "release"):
            installation.withdraw(ids[at], reason="virus" if what == "withdraw" else None)
            (gone.add if what == "withdraw" else gone.discard)(at)
            continue
        marked = getattr(installation.marks, what)(tenant, ids[at], by=who)
        assert (marked is None) == (at in gone)
        if at in gone:
            continue
        new = {"open": at not in read, "done": at not in done, "undo": at in done}[what]
        assert marked.changed == new
        if new:
            history[at].append(({"open": "read", "done": "done", "undo": "undone"}[what], who))
        if what == "undo":
            done.pop(at, None)
        else:
            if what == "done":
                done.setdefault(at, who)
            if new:
                read.setdefault(at, who)
        assert (marked.read.by if marked.read else None) == read.get(at)
        assert (marked.done.by if marked.done else None) == done.get(at)

    shown = [at for at in range(4) if at not in gone]
    model = {
        Show.ALL: shown,
        Show.TODO: [at for at in shown if at not in done],
        Show.DONE: [at for at in shown if at in done],
        Show.UNREAD: [at for at in shown if at not in read],
    }
    for show, expected in model.items():
        for only in ((ANN, BOB), ("@acme.test",), None):
            assert listed(installation, only, show.filter, tenant=tenant) == [ids[at] for at in expected], (show, only)
    for at, address in enumerate((ANN, BOB)):
        mine = [one for one in model[Show.UNREAD] if one % 2 == at]
        page = installation.reader.items(tenant, address, after=None, limit=9, marks=UNREAD)
        assert [line.id for line in page.lines] == [ids[one] for one in mine]
        assert installation.reader.unread(tenant, only=(address,), limit=9) == [UnreadCount(address, len(mine))]
    for at in range(4):
        assert [(line.kind, line.by) for line in installation.marks.history(tenant, ids[at])] == history[at]


def new_items(installation: Installation, tenant: str) -> list[str]:
    """File four items of a new tenant, in turn for Ann and Bob."""
    installation.tenant(tenant)
    return [installation.file(tenant, (ANN, BOB)[at % 2], minutes=at) for at in range(4)]
