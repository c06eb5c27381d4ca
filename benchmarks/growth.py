"""The same figures on a new installation and on one with years of data. `make bench-growth`.

One stack of its own, measured twice: with a few mails in it, and after 100,000 e-mails were put into Mailroom's tables
and 20,000 finished runs into Prefect's. A page's time is a client's on the same machine, one request after the other.
"""

import statistics
import sys
import time
from typing import Any

import httpx

from benchmarks import inbound
from benchmarks.inbound import TO, ask, report, running_stack, send, wait_filed
from benchmarks.seeding import TENANT_KEY, seed_mail, seed_runs

EMAILS, RUNS = 100_000, 20_000
_TIMES = 40

#: The figures of one measurement by name: p50 and p95 in milliseconds.
Pages = dict[str, tuple[float, float]]


def main() -> None:
    """Measure, seed, measure again, and print one table."""
    with running_stack() as stack:
        measure(stack)


def measure(stack: dict[str, Any]) -> None:
    """Print pages and pace, before and after."""
    wait_filed(stack, send(stack, 5))
    time.sleep(5)  # Prefect's recorders write a few seconds late; what they have not written is not copied.
    before, pace_before = pages(stack), pace(stack)
    start = time.perf_counter()
    seed_mail(stack["database_owner_url"], count=EMAILS, to=TO)
    report(f"{EMAILS} e-mails seeded: s", time.perf_counter() - start)
    start = time.perf_counter()
    seed_runs(stack["database_owner_url"].rpartition("/")[0] + "/prefect", count=RUNS)
    report(f"{RUNS} runs seeded: s", time.perf_counter() - start)
    after, pace_after = pages(stack), pace(stack)
    show(before, after)
    print(f"\n{'':<44}{'before':>10}{'after':>10}")
    for name, figure in pace_before.items():
        print(f"{name:<44}{figure:>10.2f}{pace_after[name]:>10.2f}")


def pace(stack: dict[str, Any]) -> dict[str, float]:
    """Return the speed of filing mail: one mail a second, and a backlog."""
    worker = next(part["pid"] for part in stack["parts"] if part["name"] == "worker")
    p50, p95 = report("one mail a second: p50, p95", inbound.paced(stack))
    waiting = report(f"{inbound.BACKLOG} mails waiting: mails/s", inbound.backlog(stack, worker))
    return {"one mail a second, p50 s": p50, "p95 s": p95, f"{inbound.BACKLOG} mails waiting, e-mails/s": waiting}


def pages(stack: dict[str, Any]) -> Pages:
    """Return how long each page takes."""
    figures: Pages = {}
    with httpx.Client(base_url=stack["api_url"], timeout=60) as browser:
        for name, (path, key) in _questions(stack).items():
            headers = {"Authorization": f"Bearer {key or stack['api_key']}"}
            took = sorted(_timed(browser, path, headers) for _ in range(_TIMES))
            figures[name] = statistics.median(took), took[round(0.95 * (len(took) - 1))]
    return figures


def _questions(stack: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the requests by name: path and key; key None is an administrator's."""
    rows = ask(stack, "select id, received_at from inbox_item where recipient = %s order by received_at limit 1", TO)
    item, oldest = str(rows[0][0]), rows[0][1].isoformat().replace("+", "%2B")
    inbox, items = f"/inboxes/{TO}", f"/v1/inboxes/{TO}/items"
    seeded = bool(ask(stack, "select from tenant where id = 'bench-1'"))
    asked = {
        "/": "/",
        "an inbox": inbox,
        "an inbox, to do": f"{inbox}?show=todo",
        "all inboxes": "/?show=all",
        "all inboxes, to do": "/?show=todo",
        "all inboxes, done": "/?show=done",
        "all inboxes, search in every mail": "/?show=all&q=scan",
        "an item": f"/items/{item}",
        "/quarantine": "/quarantine",
        "/metrics": "/metrics",
        "search: in every mail": f"{items}?q=scan",
        "search: in few": f"{items}?q=word2990",
        "search: half a word": f"{items}?q=wor",
        "search: two words": f"{items}?q=word1+word2500",
        "search: in none": f"{items}?q=zebra",
        "search: all but": f"{items}?q=-scan",
        "search, page": f"{inbox}?q=word299",
        "/v1/inbound": "/v1/inbound?limit=200",
        "/v1/inbound, quarantined": "/v1/inbound?state=quarantined&reason=virus",
        "/v1/inbound, filed": "/v1/inbound?state=filed&state=failed",
        "/v1/inbound, a reason nothing has": "/v1/inbound?reason=too_large",
        "/v1/inbound, since the beginning": f"/v1/inbound?since={oldest}",
    }
    figures = {name: (path, "") for name, path in asked.items()}
    if seeded:
        figures |= {
            "/, a tenant's": ("/", TENANT_KEY),
            "/quarantine, a tenant's": ("/quarantine", TENANT_KEY),
            "/v1/inbound, a tenant's, rare": ("/v1/inbound?reason=too_large", TENANT_KEY),
            "/v1/inbound, a tenant's": ("/v1/inbound", TENANT_KEY),
        }
    return figures


def _timed(browser: httpx.Client, path: str, headers: dict[str, str]) -> float:
    start = time.perf_counter()
    answer = browser.get(path, headers=headers)
    took = time.perf_counter() - start
    if answer.status_code != 200:
        sys.exit(f"{path} answered {answer.status_code}")
    return 1000 * took


def show(before: Pages, after: Pages) -> None:
    """Print the pages' table."""
    print(f"\n{'milliseconds':<44}{'before: p50':>12}{'p95':>8}{'after: p50':>12}{'p95':>8}")
    for name, (p50, p95) in after.items():
        old = f"{before[name][0]:>12.0f}{before[name][1]:>8.0f}" if name in before else f"{'':>20}"
        print(f"{name:<44}{old}{p50:>12.0f}{p95:>8.0f}")


if __name__ == "__main__":
    main()
