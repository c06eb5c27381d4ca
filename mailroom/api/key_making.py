"""Adding and rotating API keys for the JSON routes and the page: what a key may give to another, and the new secret."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from fastapi import HTTPException

from mailroom.api.services import Services
from mailroom.domain.api_keys import ADMINISTER, EVERYTHING, covers, first_characters, key_digest, key_name, new_key
from mailroom.domain.api_keys import read_scopes as known_scopes
from mailroom.domain.errors import Conflict
from mailroom.domain.texts import Text, as_text
from mailroom.domain.trail import What
from mailroom.ports.api_keys import LONGEST_OVERLAP, Holder, KeyLine, NewKey


class Unusable(HTTPException):
    """A field of a request for a key is not valid: 422."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(422, Text("%(where)s: %(what)s.", where=where, what=as_text(what)))
        self.members: dict[str, Any] = {"errors": [{"where": ["body", where], "what": what}]}


def add_key(
    services: Services,
    holder: Holder,
    *,
    name: str,
    scopes: Iterable[str],
    tenant: str | None,
    ends_at: datetime | None,
) -> tuple[KeyLine, str]:
    """Add a key of a tenant, or of the installation (None); return it and its secret, which is not stored.

    Raises:
        HTTPException: 422, a field is not valid; 403, it would do more or last longer than the holder's own key; 409, there are
            too many.
    """
    named, wanted = _checked("name", key_name, name), _checked("scopes", known_scopes, scopes)
    if tenant is None and wanted != EVERYTHING:
        what = Text("a key of the installation has %(scope)s alone; name a tenant for a narrower one", scope=ADMINISTER)
        raise Unusable("scopes", what)
    if ends_at is not None and ends_at <= services.now():
        raise Unusable("ends_at", Text("the time is over; use a later one"))
    _refuse_more(holder, tenant, wanted, ends_at)
    secret = new_key()
    new = NewKey(named, tenant, wanted, ends_at, key_digest(secret), first_characters(secret), holder.name)
    entry = holder.entry(What.KEY_ADDED) if services.trail is not None else None
    try:
        line = services.keys.add(new, entry)
    except Conflict as error:
        raise HTTPException(409, Text("No key was added: %(why)s.", why=error.message)) from None
    return line, secret


def rotate_key(services: Services, holder: Holder, key_id: str, overlap: timedelta) -> tuple[KeyLine, KeyLine, str]:
    """Add a key like this one, and end this one after `overlap`; return the new one, this one and the new secret.

    Raises:
        HTTPException: 404, there is none; 403 as `add_key`; 409, it is not active or was rotated before.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise Unusable("overlap", Text("it lasts at most %(days)s days", days=LONGEST_OVERLAP.days))
    line = services.keys.find(holder.tenant, key_id)
    if line is None:
        raise unknown_key()
    lasts_until = services.now() + (line.ends_at - line.created_at) if line.ends_at else None
    _refuse_more(holder, line.tenant, line.scopes, lasts_until, remedy="rotate it with a key that does")
    secret = new_key()
    try:
        rotated = services.keys.rotate(
            holder.tenant,
            key_id,
            sha256=key_digest(secret),
            starts=first_characters(secret),
            overlap=overlap,
            by=holder.name,
        )
    except Conflict as error:
        raise HTTPException(409, Text("Nothing was changed: %(why)s.", why=error.message)) from None
    if rotated is None:
        raise unknown_key()
    return (*rotated, secret)


def unknown_key() -> HTTPException:
    """Return the error for an unknown key, or another tenant's."""
    return HTTPException(404, "Key not found.")


def _refuse_more(
    holder: Holder, tenant: str | None, scopes: Iterable[str], ends_at: datetime | None, remedy: str = "use ends_at"
) -> None:
    """Return if a key like this does no more and lasts no longer than the holder's.

    Raises:
        HTTPException: 403.
    """
    if holder.tenant is not None and tenant != holder.tenant:
        raise HTTPException(403, "A tenant's key makes keys of this tenant only.")
    if more := [scope for scope in scopes if not covers(holder.scopes, scope)]:
        raise HTTPException(
            403,
            Text(
                "This key cannot make a key with more than its own scopes: it has no %(scopes)s.",
                scopes=", ".join(more),
            ),
        )
    if holder.ends_at is not None and (ends_at is None or ends_at > holder.ends_at):
        raise HTTPException(
            403,
            Text(
                "This key ends at %(time)s and makes no key that lasts longer; %(remedy)s.",
                time=holder.ends_at.isoformat(),
                remedy=Text(remedy),
            ),
        )


def _checked(where: str, read: Any, written: Any) -> Any:
    try:
        return read(written)
    except ValueError as error:
        raise Unusable(where, error.args[0]) from None
