"""What a webhook proves itself with: a topic, a key or a password, each perhaps of one tenant's own account."""

import re
from dataclasses import dataclass

_OF_TENANT = re.compile(r"(?P<tenant>[a-z0-9][a-z0-9-]{0,62})=(?P<secret>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Credential:
    """One account that may tell us of mail; with `tenant`, only of that tenant's."""

    secret: str
    tenant: str | None = None

    def __repr__(self) -> str:
        return f"Credential(tenant={self.tenant!r})"


def credentials(setting: str) -> tuple[Credential, ...]:
    """Return the credentials of a setting: words with white space between, each perhaps as `tenant=word`."""
    return tuple(_credential(word) for word in setting.split())


def _credential(word: str) -> Credential:
    found = _OF_TENANT.fullmatch(word)
    return Credential(found["secret"], found["tenant"]) if found else Credential(word)
