"""The bare provider loop: mails a second without any other work, the upper bound for batches.

    python -m benchmarks.providers [MAILS]

The other side runs in a separate process: Debian's `smtp-sink` where it is installed, else our receiver; for SES its stand-in.
"""

import multiprocessing
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import boto3
from botocore.config import Config
from rich.console import Console
from rich.table import Table

from mailroom.adapters.providers.ses import Ses, once
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.outbound.message import Outgoing, Party
from mailroom.ports.provider import MailProvider, ProviderReceipt
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from mailroom.sandbox.stand_ins.ses import SesStandIn
from mailroom.sandbox.stand_ins.vendors import serving
from tests.support.loopback_ports import free_port
from tests.support.smtp_sink import SMTP_SINK, smtp_sink

BODY = "Dear customer,\nyour invoice is ready. " + "It has several lines of plain text. " * 40


def make_mails(most: int) -> list[Outgoing]:
    """Return this many mails of about 4 kB, text and HTML, each to another recipient."""
    return [
        Outgoing(
            id=str(uuid4()),
            batch_id="bench",
            tenant="bench",
            from_=Party("billing@acme.example", "Acme Billing"),
            to=Party(f"customer{number}@example.com", f"Customer {number}"),
            subject=f"Invoice {number}",
            text=BODY,
            html=f"<p>{BODY}</p>",
            unsubscribe=f"https://mail.acme.example/u/{number}",
        )
        for number in range(most)
    ]


def measure(provider: MailProvider, mails: Sequence[Outgoing], *, threads: int) -> float:
    """Return mails a second, sent in calls of the provider's batch size from this many threads."""
    size = min(provider.capabilities.batch, -(-len(mails) // threads))
    calls = [mails[at : at + size] for at in range(0, len(mails), size)]
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        results = [result for call in pool.map(provider.send, calls) for result in call]
    took = time.perf_counter() - start
    lost = [result for result in results if not isinstance(result, ProviderReceipt)]
    if lost:
        raise SystemExit(f"{len(lost)} of {len(mails)} mails were not taken: {lost[0]}")
    return len(mails) / took


@contextmanager
def smtp_server() -> Iterator[tuple[str, Smtp]]:
    """Return the receiving end and the provider that sends to it."""
    with ExitStack() as stack:
        if SMTP_SINK:
            port = stack.enter_context(smtp_sink())
        else:
            port = free_port()
            stack.enter_context(running(_receive, port))
        provider = stack.enter_context(Smtp(host="127.0.0.1", port=port, tls=Tls.OFF))
        yield ("smtp-sink" if SMTP_SINK else "aiosmtpd"), provider


@contextmanager
def ses_server() -> Iterator[Ses]:
    """Return SES on its stand-in."""
    port = free_port()
    with running(_stand_in_for_ses, port):
        yield ses_at(port)


def ses_at(port: int) -> Ses:
    """Return the SES provider for the stand-in's URL."""
    client = boto3.client(
        "sesv2",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
        config=Config(**once()),
    )
    return Ses(client, account_id="123456789012")


def main() -> None:
    """Measure both with 1, 4 and 16 threads and print one table."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    mails = make_mails(most)
    table = Table("provider", "other side", "threads", "mails/s", title=f"{most} mails")
    with smtp_server() as (side, smtp), ses_server() as ses:
        for threads in (1, 4, 16):
            table.add_row("smtp", side, str(threads), f"{measure(smtp, mails, threads=threads):.0f}")
        for threads in (1, 4, 16):
            table.add_row("ses", "stand-in", str(threads), f"{measure(ses, mails[:500], threads=threads):.0f}")
    Console().print(table)


def _receive(port: int) -> None:
    with receiving(Receiver(pipelining=True), port=port):
        time.sleep(3600)


def _stand_in_for_ses(port: int) -> None:
    with serving(SesStandIn(), port=port):
        time.sleep(3600)


@contextmanager
def running(server: Callable[[int], None], port: int) -> Iterator[None]:
    """Run a server on this port in a separate process."""
    child = multiprocessing.get_context("spawn").Process(target=server, args=(port,), daemon=True)
    child.start()
    try:
        deadline = time.monotonic() + 30
        while not _listens(port):
            if time.monotonic() > deadline:
                raise SystemExit("the other side did not start")
            time.sleep(0.05)
        yield
    finally:
        child.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
