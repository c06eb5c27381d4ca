"""The fields of posted forms."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request

_MOST_BYTES, _MOST_FIELDS = 16_000, 120


async def _form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a posted form; empty fields are left out.

    Raises:
        HTTPException: 413 or 422, it is too long to be ours.
    """
    body = await request.body()
    if len(body) > _MOST_BYTES:
        raise HTTPException(413, "The form is too long; use the API or the `mailroom` command.")
    try:
        return parse_qs(body.decode("ascii", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(422, "The form has too many fields; use the API or the `mailroom` command.") from None


Form = Annotated[dict[str, list[str]], Depends(_form)]


def field(form: Mapping[str, list[str]], name: str) -> str:
    """Return a field's first value without surrounding spaces; "" if it is missing."""
    return form.get(name, [""])[0].strip()
