"""The readers and verifiers of the providers in the registry."""

from collections.abc import Mapping
from pkgutil import resolve_name

from mailroom.delivery.provider_events.calls import CallVerifier, Reader
from mailroom.delivery.provider_events.credentials import credentials
from mailroom.domain.outbound.providers import REGISTRY

READERS: Mapping[str, Reader] = {row.name: resolve_name(row.events).read for row in REGISTRY if row.events}
"""Reader of each provider's calls, by provider."""

HOOKS = tuple(row.name for row in REGISTRY if row.hook)
"""Providers that post to /hooks/NAME and authenticate each call; SES is not among them: it posts through SNS."""


def verifiers(settings: Mapping[str, str]) -> dict[str, CallVerifier]:
    """Return a verifier for each provider in `HOOKS`, made from the provider's credentials in `settings`.

    Raises:
        ConfigurationError: a word is not a credential of its provider.
    """
    kinds = {row.name: resolve_name(row.events).Verifier for row in REGISTRY if row.hook}
    return {name: kind(credentials(settings.get(name, ""))) for name, kind in kinds.items()}
