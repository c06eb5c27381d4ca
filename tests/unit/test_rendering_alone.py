"""Each message is rendered by itself: one that breaks the renderer does not affect the others of its permit."""

from datetime import UTC, datetime
from typing import Any

from mailroom.domain.errors import PermanentError
from mailroom.domain.outbound.message import Batch, Content, Draft, Outgoing, Party
from mailroom.outbound.rendering import outgoing
from mailroom.ports.dispatch import Claimed

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
BATCH = Batch(id="b", tenant="acme", from_=Party("desk@acme.test"))
CONTENT = Content(subject="Hello", text="{{ name }}", html=None, template=True)


def claimed(number: int, name: Any) -> Claimed:
    draft = Draft(id=f"m{number}", number=number, to=Party(f"u{number}@users.test"), content=0, data={"name": name})
    return Claimed(batch=BATCH, draft=draft, content=CONTENT, attempt=1, handed_at=NOW)


def test_data_that_breaks_the_renderer_fails_its_own_message_alone() -> None:
    """Failed is final: all messages of a permit once failed for one recipient's data."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    nobody: Any = None

    mails = outgoing([claimed(0, "Ada"), claimed(1, deep), claimed(2, "Bob")], dispatch=nobody, archive=nobody)

    assert [mail.text for mail in mails if isinstance(mail, Outgoing)] == ["Ada", "Bob"]
    assert isinstance(mails[1], PermanentError)
