"""Metrics of inbound mail."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from mailroom.api.metrics.installation import alive_workers, worker_metrics
from mailroom.api.metrics.text_format import as_text, head, metric, sample
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import OPEN
from mailroom.ports.inbox_reader import TIMES_S, Census, FilingTimes


def exposition(census: Census, now: datetime) -> str:
    """Return every metric of this installation."""
    waiting = [tally.oldest for tally in census.tallies if tally.state in OPEN]
    oldest_s = (now - min(waiting)).total_seconds() if waiting else 0.0
    labelled = [
        ({"state": tally.state, "reason": tally.reason or "", "route": tally.route or ""}, float(tally.emails))
        for tally in census.tallies
    ]
    reasons = Counter[tuple[str, str]]()
    for tally in census.tallies:
        if code := InboundReason.explain(tally.reason)["reason_code"]:
            reasons[tally.state, code] += tally.emails
    explained = [({"state": state, "reason_code": code}, float(count)) for (state, code), count in reasons.items()]
    unprocessed = [({"processor": name}, float(mails)) for name, mails in sorted(census.unprocessed.items())]
    others = [({"kind": kind}, float(count)) for kind, count in sorted(census.other_notices.items())]
    total = sum(tally.emails for tally in census.tallies)
    lines = [
        *metric("mailroom_inbound_received_total", "counter", "E-mails received in total.", [({}, total)]),
        *metric("mailroom_inbound_emails", "gauge", "Received e-mails by state, reason and type of route.", labelled),
        *metric(
            "mailroom_inbound_reasons", "gauge", "E-mails that were not filed by state and stable reason.", explained
        ),
        *metric(
            "mailroom_backscatter_total",
            "counter",
            "E-mails for return paths without a valid token.",
            [({}, sum(tally.emails for tally in census.tallies if tally.route == "backscatter"))],
        ),
        *metric("mailroom_inbox_items", "gauge", "Inbox items in total.", [({}, census.items)]),
        *metric(
            "mailroom_inbound_oldest_waiting_seconds",
            "gauge",
            "Age of the oldest e-mail in progress, 0 if none.",
            [({}, round(max(oldest_s, 0.0), 3))],
        ),
        *metric("mailroom_processing_failed", "gauge", "Filed e-mails for which a processor failed.", unprocessed),
        *metric(
            "mailroom_inbound_other_notices_total",
            "counter",
            "Messages of the inbound queue that announced no e-mail and were acknowledged, by kind.",
            others,
        ),
        *_histogram(census.times),
        *worker_metrics(alive_workers(census.workers, now)),
    ]
    return as_text(lines)


def _histogram(times: FilingTimes) -> Iterator[str]:
    name = "mailroom_inbound_time_to_filed_seconds"
    yield from head(name, "histogram", "Seconds from the receipt of an e-mail to its inbox items.")
    within = 0
    for bound, count in zip((*TIMES_S, "+Inf"), times.counts, strict=True):
        within += count
        yield sample(f"{name}_bucket", {"le": str(bound)}, within)
    yield sample(f"{name}_sum", {}, round(times.sum_s, 3))
    yield sample(f"{name}_count", {}, within)
