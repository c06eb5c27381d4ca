"""Posted forms of the pages."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request

_MOST_FORM, _MOST_FIELDS = 16_000, 50


async def _form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a posted form; empty fields are left out.

    Raises:
        HTTPException: 413 or 422, it is too long to be ours.
    """
    body = await request.body()
    if len(body) > _MOST_FORM:
        raise HTTPException(413, "The form is too long; use the API or the `mailroom` command.")
    try:
        return parse_qs(body.decode("ascii", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(422, "The form has too many fields; use the API or the `mailroom` command.") from None


Form = Annotated[dict[str, list[str]], Depends(_form)]


def one(form: Mapping[str, list[str]], name: str) -> str:
    """Return a field without spaces around it; "" if it is empty or missing."""
    return form.get(name, [""])[0].strip()
