"""A message's status after its events: the whole table, and what must hold for any order."""

import re
from functools import reduce
from itertools import permutations, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.delivery.events import Actor, DeliveryEvent, Kind, advance, counts_as
from mailroom.domain.outbound.message import Status
from mailroom.testing.notices import an_event

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "delivery.md"
OURS = (
    Status.ACCEPTED,
    Status.QUEUED,
    Status.SCHEDULED,
    Status.SENDING,
    Status.UNKNOWN,
    Status.HELD,
    Status.FAILED,
    Status.CANCELLED,
    Status.EXPIRED,
)


def table() -> str:
    """Return the whole table as it stands in the document."""
    head = ["status", *Kind]
    rows = [
        [status, *("" if (then := advance(status, kind)) is status else then for kind in Kind)] for status in Status
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def folded(status: Status, kinds: tuple[Kind, ...] | list[Kind]) -> Status:
    return reduce(advance, kinds, status)


@pytest.mark.parametrize(("status", "kind"), list(product(Status, Kind)))
def test_every_event_is_answered_in_every_status(status: Status, kind: Kind) -> None:
    """A missing pair would block the events behind it; a repeated event changes nothing."""
    after = advance(status, kind)

    assert advance(after, kind) is after


@pytest.mark.parametrize(("status", "kind"), list(product(OURS, Kind)))
def test_any_event_settles_a_status_that_only_we_recorded(status: Status, kind: Kind) -> None:
    """An event proves that the provider has the message: one whose answer was lost is not sent again."""
    assert advance(status, kind) not in OURS


@pytest.mark.parametrize("first", Kind)
def test_order_never_matters(first: Kind) -> None:
    """Events before the send returns, in reverse, or 72 hours late: the same end, for any three of them."""
    for others in product(Kind, repeat=2):
        orders = permutations([first, *others])

        ends = {folded(status, order) for order in orders for status in (Status.SENDING, Status.UNKNOWN)}

        assert len(ends) == 1


@given(st.lists(st.sampled_from(Kind), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_any_number_in_any_order_comes_to_the_same(kinds: list[Kind], chance: object) -> None:
    """A provider may emit a dozen events for one message."""
    shuffled = list(kinds)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert folded(Status.SENDING, kinds) is folded(Status.SENDING, shuffled + kinds)


@pytest.mark.parametrize(
    ("status", "kind", "then"),
    [
        (Status.DELIVERED, Kind.BOUNCED_HARD, Status.BOUNCED),
        (Status.OPENED, Kind.BOUNCED_SOFT, Status.BOUNCED),
        (Status.BOUNCED, Kind.DELIVERED, Status.BOUNCED),
        (Status.COMPLAINED, Kind.OPENED, Status.COMPLAINED),
        (Status.COMPLAINED, Kind.BOUNCED_HARD, Status.COMPLAINED),
        (Status.CLICKED, Kind.OPENED, Status.CLICKED),
        (Status.DELIVERED, Kind.SENT, Status.DELIVERED),
        (Status.DELIVERED, Kind.DELAYED, Status.DELIVERED),
        (Status.DISPATCHED, Kind.DELAYED, Status.DEFERRED),
        (Status.UNKNOWN, Kind.SENT, Status.DISPATCHED),
        (Status.SENDING, Kind.DELIVERED, Status.DELIVERED),
        (Status.CANCELLED, Kind.DELIVERED, Status.DELIVERED),
        (Status.DISPATCHED, Kind.UNSUBSCRIBED, Status.DELIVERED),
    ],
)
def test_what_weighs_more(status: Status, kind: Kind, then: Status) -> None:
    """A late bounce overrides delivered, an open never undoes a complaint, and nothing goes back."""
    assert advance(status, kind) is then


@pytest.mark.parametrize("kind", [Kind.OPENED, Kind.CLICKED])
def test_machine_that_looks_proves_delivery_and_no_more(kind: Kind) -> None:
    """Scanners open and click everything; a mail that only they opened was not read by a person."""
    machine, human, unknown = (an_event(kind, actor=actor) for actor in (Actor.MACHINE, Actor.HUMAN, Actor.UNKNOWN))

    assert counts_as(machine) is Kind.DELIVERED
    assert counts_as(human) is counts_as(unknown) is kind


def test_machine_says_nothing_else_less() -> None:
    """Only opens and clicks may come from machines instead of people; a bounce is always a machine's."""
    event: DeliveryEvent = an_event(Kind.BOUNCED_HARD, actor=Actor.MACHINE)

    assert counts_as(event) is Kind.BOUNCED_HARD


def test_document_shows_the_table_that_is_run() -> None:
    """Readers rely on the document; where it differs, paste what this test prints."""
    shown = re.search(r"<!-- table -->\n(.*?)\n<!-- end -->", DOCUMENT.read_text(), re.DOTALL)

    assert shown is not None
    assert shown[1] == table()
