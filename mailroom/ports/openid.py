"""The provider by which people sign in with OpenID Connect."""

from typing import Protocol

from mailroom.domain.openid import Attempt, VouchedFor


class OpenIdProvider(Protocol):
    """One provider of identities (OpenID Connect Core 1.0, authorization code flow with PKCE)."""

    @property
    def name(self) -> str:
        """The provider's name, as on the button."""

    def sign_in_url(self, attempt: Attempt) -> str:
        """Return the URL at the provider to which a browser goes.

        Raises:
            TransientError: the provider cannot be reached, or is busy.
            PermanentError: what it publishes of itself cannot be used; the message says why.
        """

    def vouch(self, attempt: Attempt, *, code: str, issuer: str | None) -> VouchedFor:
        """Return who signed in, by the code of the provider's answer and the issuer that it named (RFC 9207).

        Raises:
            TransientError: as above.
            Refused: nobody is signed in; the fact `step` is an `OpenIdFault`, `detail` a constant word for the log.
            PermanentError: as above, or the provider does not accept this installation's id and secret.
        """
