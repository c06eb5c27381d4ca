"""The cost of poison mails for others: the rate of good mails alone, and beside mails in the isolated lane.

`python -m benchmarks.poison`, part of `make bench-endurance`. One mail in ten counts as having killed a process before, so
that the worker runs it in a child of its own, one after the other; the good ones wait for the same worker. Rounds
alternate, for the machine's own pace wanders.
"""

import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.inbound import paused, report, running_stack, send, wait_filed
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.domain.inbound.received_email import Arrival, ObjectRef

GOOD, POISON, ROUNDS = 100, 10, 2


def main() -> None:
    """Measure both, and print the rates and their ratio."""
    with running_stack() as stack:
        wait_filed(stack, send(stack, 20))
        rounds = [(pace(stack, poison=0), pace(stack, poison=POISON)) for _ in range(ROUNDS)]
    alone, beside = (sum(one) / ROUNDS for one in zip(*rounds, strict=True))
    print(f"\n{f'{GOOD} good mails waiting':<42}{'mails/s':>10}\n{'alone':<42}{alone:>10.2f}")
    print(f"{f'beside {POISON} in the isolated lane':<42}{beside:>10.2f}\nratio {beside / alone:.2f}")


def pace(stack: dict[str, Any], *, poison: int) -> float:
    """Return the good mails filed per second, from the worker's resumption to the last of them."""
    with paused(int(next(part["pid"] for part in stack["parts"] if part["name"] == "worker"))):
        dangerous = send(stack, poison)
        _mark(stack, list(dangerous))
        good = send(stack, GOOD)
    start = time.time()
    rate = GOOD / (max(wait_filed(stack, good).values()) - start)
    left = len(dangerous) - sum(at < start + GOOD / rate for at in wait_filed(stack, dangerous).values())
    report(f"good mails/s beside {poison}, {left} of which were still isolated at the end", rate)
    return rate


def _mark(stack: dict[str, Any], message_ids: list[str]) -> None:
    """Record for each that a process has died of it."""
    engine = make_engine(stack["database_url"], pool_size=1)
    ledger, now = SqlLedger(engine), datetime.now(UTC)
    for message_id in message_ids:
        entry = ledger.register(Arrival(ObjectRef(stack["inbound_bucket"], f"in/{message_id}")), now=now)
        assert entry is not None, "the lease was refused"
        ledger.record_death(entry.id, now=now, facts={"died": "benchmark"})
    engine.dispose()


if __name__ == "__main__":
    main()
