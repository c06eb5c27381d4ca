"""Providers in processes of their own: a process that dies loses the outcomes of its calls and nothing else."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailroom.adapters.providers.dkim_signatures import Dkim
from mailroom.adapters.providers.processes import ProviderProcesses
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.errors import MailroomError, OutcomeUnknown, RecipientRefused
from mailroom.operations.loops import wait_until
from mailroom.ports.provider import ProviderReceipt
from mailroom.sandbox.stand_ins.behaviours import Behaviour
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from mailroom.testing.provider import a_mail
from tests.support.loopback_ports import free_port

#: A worker that has a process, says its id, and is killed.
_WORKER = """
import sys, time
from functools import partial
from mailroom.adapters.providers.processes import ProviderProcesses
from mailroom.adapters.providers.smtp import Smtp, Tls
recipe = partial(Smtp, host="127.0.0.1", port=9, tls=Tls.OFF)
provider = ProviderProcesses(recipe(), recipe, busy_from=0)
provider.send([])
while not provider.pids():
    time.sleep(0.01)
print(*provider.pids(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(pipelining=True)


@pytest.fixture
def provider(receiver: Receiver) -> Iterator[ProviderProcesses]:
    """One that already has a process."""
    port = free_port()
    recipe = partial(Smtp, host="127.0.0.1", port=port, tls=Tls.OFF, answer_s=60)
    with receiving(receiver, port=port):
        made = ProviderProcesses(recipe(), recipe, busy_from=0)
        made.send([])
        assert wait_until(lambda: bool(made.pids()), within_s=60, every_s=0.01)
        yield made
        made.close()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_results_come_from_the_process_in_the_order_of_the_mails(
    provider: ProviderProcesses, receiver: Receiver
) -> None:
    """Errors come as themselves, with their facts."""
    receiver.behaviours.extend([Behaviour.GOOD, Behaviour.REFUSES])
    mails = [a_mail() for _ in range(3)]

    results = provider.send(mails)

    assert [type(one) for one in results] == [ProviderReceipt, RecipientRefused, ProviderReceipt]
    assert isinstance(results[1], RecipientRefused)
    assert results[1].facts["provider"] == "smtp"
    assert receiver.accepted == [mails[0].id, mails[2].id]


def test_a_process_that_dies_leaves_its_calls_unknown_and_the_next_are_sent(
    provider: ProviderProcesses, receiver: Receiver
) -> None:
    """As after the death of a worker: the mail may have been accepted. Meanwhile the worker makes the calls."""
    [pid], [child] = provider.pids(), provider._children
    receiver.behaviours.append(Behaviour.HANGS)
    lost, results = a_mail(), list[ProviderReceipt | MailroomError]()
    call = threading.Thread(target=lambda: results.extend(provider.send([lost])))
    call.start()
    assert wait_until(lambda: receiver.accepted == [lost.id], within_s=30, every_s=0.01)

    os.kill(pid, signal.SIGKILL)
    call.join(30)
    assert wait_until(lambda: child.has_ended, within_s=30, every_s=0.01)
    after = a_mail()
    [receipt] = provider.send([after])
    others = list(provider._children)

    assert [type(one) for one in results] == [OutcomeUnknown]
    assert isinstance(results[0], OutcomeUnknown)
    assert results[0].facts == {"provider": "smtp", "kind": "ProcessDied"}
    assert isinstance(receipt, ProviderReceipt)
    assert receiver.accepted == [lost.id, after.id]
    # None is started at once: one that dies at each mail would be started for each.
    assert others == []


def test_after_a_pause_another_process_takes_the_place_of_one_that_died(
    provider: ProviderProcesses, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death by chance, as when memory is short, does not leave large batches slow."""
    monkeypatch.setattr("mailroom.adapters.providers.processes._REST_S", 0.0)
    [pid] = provider.pids()
    os.kill(pid, signal.SIGKILL)

    def is_replaced() -> bool:
        provider.send([])
        return bool(set(provider.pids()) - {pid})

    assert wait_until(is_replaced, within_s=60, every_s=0.05)
    [receipt] = provider.send([a_mail()])
    assert isinstance(receipt, ProviderReceipt)


def test_a_process_dies_with_its_worker() -> None:
    """Nothing may send behind the back of the worker that took its place."""
    with subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        assert not is_gone(pid)

        worker.kill()

    assert wait_until(lambda: is_gone(pid), within_s=30, every_s=0.01)


def test_few_mails_start_no_process(receiver: Receiver) -> None:
    """It costs memory, and a second of a processor."""
    port = free_port()
    recipe = partial(Smtp, host="127.0.0.1", port=port, tls=Tls.OFF)
    with receiving(receiver, port=port):
        made = ProviderProcesses(recipe(), recipe, busy_from=10_000)
        made.send([a_mail() for _ in range(5)])
        children = list(made._children)
        made.close()

    assert children == []
    assert len(receiver.accepted) == 5


def cannot_open() -> Smtp:
    raise ValueError("the password is hunter2")


@pytest.mark.parametrize("recipe", [cannot_open, lambda: None], ids=["fails", "cannot_be_pickled"])
def test_without_a_process_the_worker_makes_the_calls(receiver: Receiver, recipe: Callable[[], Smtp]) -> None:
    """Nothing but speed is lost."""
    port = free_port()
    with receiving(receiver, port=port):
        made = ProviderProcesses(Smtp(host="127.0.0.1", port=port, tls=Tls.OFF), recipe, busy_from=0)
        made.send([])
        [child] = made._children
        assert wait_until(lambda: child.has_died, within_s=60, every_s=0.01)
        [receipt] = made.send([a_mail()])
        made.close()

    assert isinstance(receipt, ProviderReceipt)


def test_an_idle_process_ends_and_is_started_again(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large batches are rare; its memory is given back between them."""
    monkeypatch.setattr("mailroom.adapters.providers.processes._LOOK_S", 0.01)
    recipe = partial(Smtp, host="127.0.0.1", port=free_port(), tls=Tls.OFF)
    provider = ProviderProcesses(recipe(), recipe, busy_from=0, idle_s=0.0)
    provider.send([])
    [child] = provider._children

    assert wait_until(lambda: child.has_ended, within_s=60, every_s=0.01)
    assert not child.has_died
    provider.send([])
    assert provider._children != [child]
    provider.close()


def test_a_provider_with_a_dkim_key_is_opened_in_a_process(receiver: Receiver) -> None:
    """The recipe is pickled, the key with it; it is written nowhere."""
    key = rsa.generate_private_key(65537, 1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    dkim = Dkim(domain="acme.test", selector="m", key_pem=key.decode())
    port = free_port()
    recipe = partial(Smtp, host="127.0.0.1", port=port, tls=Tls.OFF, dkim=dkim)
    with receiving(receiver, port=port):
        made = ProviderProcesses(recipe(), recipe, busy_from=0)
        made.send([])
        assert wait_until(lambda: bool(made.pids()), within_s=60, every_s=0.01)
        [receipt] = made.send([a_mail()])
        made.close()

    assert isinstance(receipt, ProviderReceipt)
