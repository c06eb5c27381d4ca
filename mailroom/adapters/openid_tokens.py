"""ID tokens: the algorithms that count, the key of a token, and the claims (OpenID Connect Core 1.0, 3.1.3.7)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from mailroom.domain.errors import Refused
from mailroom.domain.openid import OpenIdFault

#: Signatures with a private key of the provider's. `none` and the HMACs are not among them: anybody could make these.
_KINDS = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
_CURVES = {"ES256": "P-256", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
_LEEWAY_S = 60
_SMALLEST_RSA = 2048
_MOST_TOKEN = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCheck:
    """What an ID token must say."""

    issuer: str
    client_id: str
    nonce: str
    now: int

    def claims(
        self, token: Any, key_of: Callable[[dict[str, Any]], Any], *, access_token: str | None
    ) -> dict[str, Any]:
        """Return the claims of a token that the provider signed for this attempt.

        Raises:
            Refused: it did not; the fact `detail` is the part that does not fit.
        """
        if not isinstance(token, str) or len(token) > _MOST_TOKEN:
            raise _unusable("id_token")
        try:
            header = dict(jws.extract_compact(token.encode()).headers())
            if header.get("alg") not in _KINDS:
                raise _unusable("alg")
            registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
            found = jwt.decode(token, key_of(header), registry=registry)
            self._checked(found.header, found.claims, access_token)
        except Refused:
            raise
        except JoseError as error:
            raise _unusable(str(getattr(error, "claim", "") or error.error)[:40]) from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise _unusable("malformed") from None
        return dict(found.claims)

    def _checked(self, header: dict[str, Any], claims: dict[str, Any], access_token: str | None) -> None:
        wanted = {"iss": self.issuer, "aud": self.client_id}
        options: dict[str, Any] = {name: {"essential": True, "value": value} for name, value in wanted.items()}
        options |= {name: {"essential": True} for name in ("exp", "iat", "sub", "nonce")}
        # Of EdDSA the standard does not name the hash of `at_hash`, which may be left out in this flow.
        hashed = access_token if header["alg"] in ("RS256", "ES256") else None
        params = {"nonce": self.nonce, "client_id": self.client_id, "access_token": hashed}
        CodeIDToken(claims, header, options, params).validate(now=self.now, leeway=_LEEWAY_S)
        if not isinstance(claims["nonce"], str) or not claims["sub"]:
            raise _unusable("sub")


def usable_keys(published: list[Any], header: dict[str, Any]) -> list[Key]:
    """Return the keys that may have signed a token with this header: of its id, or without an id any of its kind."""
    kid, alg = header.get("kid"), header["alg"]
    fitting = [one for one in published if isinstance(one, dict) and _fits(one, alg)]
    if kid is not None:
        fitting = [one for one in fitting if one.get("kid") == kid]
    return [key for one in fitting if (key := _imported(one)) is not None]


def _fits(key: dict[str, Any], alg: str) -> bool:
    if key.get("kty") != _KINDS[alg] or key.get("use", "sig") != "sig":
        return False
    if alg in _CURVES and key.get("crv") != _CURVES[alg]:
        return False
    return key.get("alg", alg) == alg or {key.get("alg"), alg} == {"EdDSA", "Ed25519"}


def _imported(key: dict[str, Any]) -> Key | None:
    """Return a published key; None for one that cannot be read, or is too short."""
    public = {name: value for name, value in key.items() if name in ("kty", "crv", "x", "y", "n", "e", "kid")}
    try:
        found = JWKRegistry.import_key(public)
        size = found.public_key.key_size if key["kty"] == "RSA" else _SMALLEST_RSA  # type: ignore[union-attr]
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if size >= _SMALLEST_RSA else None


def _unusable(detail: str) -> Refused:
    return Refused("the token cannot be used", step=OpenIdFault.UNUSABLE_TOKEN.value, detail=detail)
