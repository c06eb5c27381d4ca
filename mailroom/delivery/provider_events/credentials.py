"""What a webhook proves itself with: a topic, a key or a password, each perhaps of one tenant's own account."""

from dataclasses import dataclass

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.tenants import tenant_name

#: So much is shown of a name that is none; a whole one has 63.
_SHOWN = 70


@dataclass(frozen=True, slots=True)
class Credential:
    """One account that may tell us of mail; with `tenant`, only of that tenant's."""

    secret: str
    tenant: str | None = None

    def __repr__(self) -> str:
        return f"Credential(tenant={self.tenant!r})"


def credentials(setting: str) -> tuple[Credential, ...]:
    """Return the credentials of a setting: words with white space between, each perhaps as `tenant=word`.

    Raises:
        ConfigurationError: what stands before a `=` is no tenant's name; taken for a part of the secret, the account could
            tell of every tenant's mail.
    """
    return tuple(_credential(word) for word in setting.split())


def _credential(word: str) -> Credential:
    name, _, secret = word.partition("=")
    # Base64 ends with `=`, and a password may hold one: that is behind the colon of its user.
    if not secret.strip("=") or ":" in name:
        return Credential(word)
    try:
        return Credential(secret, tenant_name(name))
    except ValueError as error:
        raise ConfigurationError(f"{name[:_SHOWN]!r} stands before the = of a hook's credential: {error}") from None
