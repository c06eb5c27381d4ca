"""Answers of HTTP APIs by their status alone, for providers without their own codes and for unknown codes."""

from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    CONTENT,
    SLOWER,
    UNKNOWN,
    Answer,
    Question,
    Rule,
    decided,
)

HTTP = (
    Rule(name="http_rate", five=SLOWER, codes="429", source="RFC 6585"),
    Rule(name="http_content", five=CONTENT, codes="400 413 422", source="RFC 9110: this request"),
    Rule(name="http_timeout", five=UNKNOWN, codes="408", source="RFC 9110: the server waited for more of the request"),
    # A wrong key, permission or address of the API must not fail mails: they all wait for a person.
    Rule(name="http_account", five=ACCOUNT, codes="3* 4*", source="RFC 9110: key, permission, address of the API"),
    Rule(name="http_unknown", five=UNKNOWN, source="nothing promises that it was not taken"),
)


def classify_http(status: int, *, after_s: int | None = None) -> Answer:
    """Return what an unsuccessful response with this HTTP status means; `after_s` is its `Retry-After`, in seconds."""
    return decided(HTTP, Question(code=str(status)), after_s=after_s)
