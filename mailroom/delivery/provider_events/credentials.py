"""Credentials of provider webhooks: a topic, a key or a password, each optionally limited to one tenant's account."""

from dataclasses import dataclass

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.tenants import tenant_name

#: Characters of an invalid name that an error message shows; a tenant's name has at most 63.
_SHOWN = 70


@dataclass(frozen=True, slots=True)
class Credential:
    """One account that may send events; with `tenant`, only about that tenant's mail."""

    secret: str
    tenant: str | None = None

    def __repr__(self) -> str:
        return f"Credential(tenant={self.tenant!r})"


def credentials(setting: str) -> tuple[Credential, ...]:
    """Return the credentials of a setting: words separated by white space, each `word` or `tenant=word`.

    Raises:
        ConfigurationError: the part before a `=` is no tenant's name; read as part of the secret, it would let the account
            send events about every tenant's mail.
    """
    return tuple(_credential(word) for word in setting.split())


def _credential(word: str) -> Credential:
    name, _, secret = word.partition("=")
    # Base64 may end with `=`, and a password may contain one: then it follows the colon after the user.
    if not secret.strip("=") or ":" in name:
        return Credential(word)
    try:
        return Credential(secret, tenant_name(name))
    except ValueError as error:
        raise ConfigurationError(f"{name[:_SHOWN]!r} stands before the = of a hook's credential: {error}") from None
