"""Search for received e-mails by reason: rows may have its present word or the word of versions up to 0.1.0."""

from typing import Any

from sqlalchemy import ColumnElement, and_, or_, true

from mailroom.domain.inbound.reasons import CLASS_NAME, InboundReason


def has_reason(column: Any, word: str | None) -> ColumnElement[bool]:
    """Return the condition that `column` has the reason of this word, in any stored spelling; None is any reason or none."""
    if word is None:
        return true()
    known = InboundReason.read(word)
    if known is None or word not in known.spellings:
        return column == word  # type: ignore[no-any-return]
    named: ColumnElement[bool] = column.in_(sorted(known.spellings))
    if known is not InboundReason.UNFORESEEN:
        return named
    others = [reason.old for reason in InboundReason]
    return or_(named, and_(column.regexp_match(f"^{CLASS_NAME}$"), column.not_in(others)))
