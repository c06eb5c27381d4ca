"""The worker loses a permission on the archive while mail arrives: it pauses and names the permission; no mail fails."""

import pytest

from tests.support.faulty_stack import Range, eventually
from tests.support.patience import PATIENCE_S

#: Before the pause and after it; a message whose heartbeat came late may be received once more.
MOST_RECEIVES = 3


@pytest.mark.long
def test_mail_waits_while_locks_may_not_be_read(field: Range) -> None:
    """Each mail has the shared attachment; without its lock no deposit receipt is written, and each would end as a dead letter."""
    worker = field.ready()
    sent = field.drill_stack.send(2)
    field.drill_stack.drain(sent, within_s=PATIENCE_S)
    field.proxies["s3"].hides_locks = True
    sent += field.drill_stack.send(4)

    def paused_by() -> str:
        return str(field.drill_stack.ask("select paused_by from worker order by beat_at desc limit 1")[0][0])

    eventually(lambda: "s3:GetObjectRetention is not granted" in paused_by(), "the worker says what it waits for")
    quarantined = field.drill_stack.ask("select count(*) from inbound_email where state = 'quarantined'")
    receives = max(field.receives_of(sent))
    field.proxies["s3"].hides_locks = False

    field.proves(sent)
    assert quarantined == [(0,)]
    assert receives <= MOST_RECEIVES
    assert worker.is_alive()
