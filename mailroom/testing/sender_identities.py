"""A provider's sender identities in memory."""

from mailroom.domain.errors import MailroomError
from mailroom.ports.sender_identities import IdentityState, SenderIdentity, ServedIdentities, with_parents


class MemoryIdentities:
    """The port `SenderIdentities` in memory: what is created is verified at once, as in the emulator.

    `known` has the identities by their names; a test changes them. `error` is raised in place of an answer.
    """

    def __init__(self, *names: str) -> None:
        self.known = {name: _verified(name) for name in names}
        self.error: MailroomError | None = None

    def served(self) -> ServedIdentities | None:
        """Return the verified identities; None while there is an error."""
        if self.error:
            return None
        names = [name for name, identity in self.known.items() if identity.state is IdentityState.VERIFIED]
        return ServedIdentities(
            provider="SES",
            addresses=frozenset(name for name in names if "@" in name),
            domains=frozenset(name for name in names if "@" not in name),
        )

    def find(self, domain: str) -> SenderIdentity | None:
        """Return the identity of a domain, or of the nearest parent that has one."""
        if self.error:
            raise self.error
        return next((self.known[name] for name in with_parents(domain) if name in self.known), None)

    def create(self, domain: str, *, mail_from: str) -> None:
        """Create the identity of a domain if there is none, and set its MAIL FROM domain if one is given."""
        if self.error:
            raise self.error
        if mail_from or domain not in self.known:
            self.known[domain] = _verified(domain, mail_from)


def _verified(domain: str, mail_from: str = "") -> SenderIdentity:
    return SenderIdentity(
        domain=domain,
        state=IdentityState.VERIFIED,
        dkim=IdentityState.VERIFIED,
        dkim_tokens=("aaa", "bbb", "ccc"),
        dkim_zone="dkim.amazonses.com",
        mail_from=mail_from,
        mail_from_state=IdentityState.VERIFIED if mail_from else IdentityState.UNKNOWN,
        region="eu-west-1",
    )
