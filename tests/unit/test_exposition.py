"""The metrics of inbound mail, each by its name: the basis of an operator's alarms."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailroom.api.metrics.inbound import exposition
from mailroom.domain.inbound.received_email import State
from mailroom.ports.inbox_reader import Census, EmailCount, FilingTimes, WorkerLine

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)

CENSUS = Census(
    tallies=(
        EmailCount(State.FILED, None, 5, NOW - timedelta(hours=3), route="exact"),
        EmailCount(State.QUARANTINED, "virus", 2, NOW - timedelta(hours=2), route="domain"),
        EmailCount(State.FAILED, "TransientError", 1, NOW - timedelta(seconds=75), route="exact"),
        EmailCount(State.PROCESSING, None, 1, NOW - timedelta(seconds=5)),
    ),
    items=6,
    times=FilingTimes(counts=(2, 1, *[0] * 9, 2), sum_s=200_001.5),
    workers=(
        WorkerLine("one", NOW - timedelta(seconds=3), 4, None),
        WorkerLine("two", NOW - timedelta(seconds=3), 0, "S3"),
        WorkerLine("dead", NOW - timedelta(minutes=30), 9, None),
    ),
)


def test_backscatter_is_counted_whatever_became_of_it() -> None:
    """Bounces of mail that others sent in our name: quarantined without a route, or filed by a rule for the whole domain."""
    tallies = (
        EmailCount(State.QUARANTINED, "no_route", 3, NOW, route="backscatter"),
        EmailCount(State.FILED, None, 2, NOW, route="backscatter"),
        EmailCount(State.FILED, None, 9, NOW, route="report"),
    )

    assert "mailroom_backscatter_total 5" in exposition(Census(tallies=tallies, items=0), NOW).splitlines()


@pytest.mark.parametrize(
    "sample",
    [
        "mailroom_inbound_received_total 9",
        'mailroom_inbound_emails{state="filed",reason="",route="exact"} 5',
        'mailroom_inbound_emails{state="quarantined",reason="virus",route="domain"} 2',
        'mailroom_inbound_emails{state="failed",reason="TransientError",route="exact"} 1',
        "mailroom_inbound_oldest_waiting_seconds 75",
        'mailroom_inbound_time_to_filed_seconds_bucket{le="0.5"} 2',
        'mailroom_inbound_time_to_filed_seconds_bucket{le="1.0"} 3',
        'mailroom_inbound_time_to_filed_seconds_bucket{le="+Inf"} 5',
        "mailroom_inbound_time_to_filed_seconds_sum 200001.5",
        "mailroom_inbound_time_to_filed_seconds_count 5",
        "mailroom_workers 2",
        'mailroom_worker_in_hand{worker="one"} 4',
        'mailroom_worker_paused{worker="one",by=""} 0',
        'mailroom_worker_paused{worker="two",by="S3"} 1',
    ],
)
def test_received_filed_refused_and_waiting_mails_are_exposed(sample: str) -> None:
    """Received, filed, quarantined and failed by reason and route, the oldest that waits, time to filed, what is in
    flight and who is paused."""
    assert sample in exposition(CENSUS, NOW).splitlines()


def test_the_last_figures_of_a_dead_worker_are_not_repeated() -> None:
    """Other workers have its mails by now."""
    assert '"dead"' not in exposition(CENSUS, NOW)


def test_every_metric_says_once_what_it_is() -> None:
    """Prometheus refuses a page on which a metric has two types."""
    lines = exposition(CENSUS, NOW).splitlines()
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]

    assert len(kinds) == len(set(kinds)) == sum(line.startswith("# HELP") for line in lines)


def test_each_metric_has_a_row_in_the_operations_page_and_each_row_a_metric() -> None:
    """Operators write alarms by that table: a metric that it lacks is not used, a name that is gone never fires."""
    root = Path(__file__).parents[2]
    code = "".join(path.read_text() for path in (root / "mailroom/api/metrics").glob("*.py"))
    table = (root / "docs/operations.md").read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    rows = "".join(line for line in table.splitlines() if line.startswith("|"))
    named = set(re.findall(r'"(mailroom_[a-z_]+)"', code))
    assert len(named) > 20
    assert named == set(re.findall(r"`(mailroom_[a-z_]+)", rows))
