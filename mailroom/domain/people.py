"""People: their roles, what a role allows, and the form of the secrets by which they sign in.

    member          reads the inboxes that were given to this person
    archivist       reads the archived documents of the tenant, with their receipts
    administrator   everything of the tenant: its people, keys, addresses, mail
    operator        everything of the installation; the only role without a tenant

A role is a list of scopes (`mailroom.domain.api_keys`), so that a person and a key are admitted by the same rules.
"""

import secrets
from collections.abc import Iterable
from enum import StrEnum

from mailroom.domain.api_keys import ADMINISTER, ARCHIVE, INBOX, MOST_SCOPES, inboxes_of, key_digest, read_scopes
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.tenants import tenant_name

_BYTES = 32


class Role(StrEnum):
    """What a person is in a tenant, or in the installation."""

    MEMBER = "member"
    ARCHIVIST = "archivist"
    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"

    @property
    def is_of_a_tenant(self) -> bool:
        """Return whether people with this role belong to a tenant."""
        return self is not Role.OPERATOR


ROLES = ", ".join(Role)


def scopes_of(role: Role, inboxes: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the scopes of a person with this role; `inboxes` count for members only."""
    if role is Role.MEMBER:
        return tuple(f"{INBOX}{address}" for address in inboxes)
    return (ARCHIVE,) if role is Role.ARCHIVIST else (ADMINISTER,)


def read_role(written: str) -> Role:
    """Return the role that this word names.

    Raises:
        ValueError: it names none; the message is a sentence for people.
    """
    try:
        return Role(written.strip().lower())
    except ValueError:
        raise ValueError(f"a role is one of {ROLES}") from None


def person_address(written: str) -> str:
    """Return the address by which a person signs in, as it is stored and compared.

    Raises:
        ValueError: it is none, or a pattern; the message is a sentence for people.
    """
    try:
        address = normalise(written)
    except ValueError:
        raise ValueError("a person's address looks like ada@acme.test") from None
    if "*" in address or not address.isprintable():
        raise ValueError("a person's address looks like ada@acme.test")
    return address


def read_inboxes(written: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses and patterns of inboxes, sorted, each once, as they are stored.

    Raises:
        ValueError: one is neither, or there are too many; the message is a sentence for people.
    """
    scopes = {scope for address in written for scope in read_scopes([f"{INBOX}{address.strip()}"])}
    if len(scopes) > MOST_SCOPES:
        raise ValueError(f"a person has at most {MOST_SCOPES} inboxes; use @domain for the inboxes of a domain")
    return tuple(sorted(inboxes_of(scopes)))


def role_in(role: Role, tenant: str | None) -> str | None:
    """Return the tenant of a person with this role.

    Raises:
        ValueError: the role needs a tenant and there is none, or has none; the message is a sentence for people.
    """
    if role.is_of_a_tenant and not tenant:
        raise ValueError(f"{'an' if role[0] == 'a' else 'a'} {role} belongs to a tenant; name one")
    if not role.is_of_a_tenant and tenant:
        raise ValueError("an operator is of the installation and belongs to no tenant; leave the tenant out")
    return tenant_name(tenant) if tenant else None


def new_secret() -> str:
    """Return a new secret of a session or a sign-in link: 32 random bytes in base64url."""
    return secrets.token_urlsafe(_BYTES)


def secret_digest(secret: str) -> str:
    """Return the SHA-256 of a secret in lower-case hex, which alone is stored."""
    return key_digest(secret)
