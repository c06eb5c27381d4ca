"""The client for tenants' webhooks, in memory."""

from collections.abc import Mapping

from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.errors import Refused, TransientError


class MemoryWebhooks:
    """The port `Webhooks` that records its posts. `answers` are used first, one each: a status, or an error to raise."""

    def __init__(self, *answers: Exception | int) -> None:
        self.posts: list[tuple[str, bytes, dict[str, str]]] = []
        self.answers = list(answers)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Record the post, and respond."""
        self.posts.append((url, body, dict(headers)))
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        if answer >= 500 or answer in (408, 409, 425, 429):
            raise TransientError("the webhook asks to retry later", step=PostFault.ASKED_TO_WAIT.value, status=answer)
        if not 200 <= answer < 300:
            raise Refused("the webhook URL is not allowed", step="status", status=answer)
        return answer
