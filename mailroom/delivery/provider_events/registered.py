"""The webhooks of the providers that the registry lists: what reads each, and what checks what is posted to /hooks/NAME."""

from collections.abc import Mapping
from pkgutil import resolve_name

from mailroom.delivery.provider_events.calls import CallVerifier, Reader
from mailroom.delivery.provider_events.credentials import credentials
from mailroom.domain.outbound.providers import REGISTRY

READERS: Mapping[str, Reader] = {row.name: resolve_name(row.events).read for row in REGISTRY if row.events}
"""What reads each provider's calls."""

HOOKS = tuple(row.name for row in REGISTRY if row.hook)
"""The providers that post to /hooks/NAME and prove their calls themselves; SES's come through SNS."""


def verifiers(settings: Mapping[str, str]) -> dict[str, CallVerifier]:
    """Return what checks the calls of each provider in `HOOKS`, by the credentials that `settings` has for it.

    Raises:
        ConfigurationError: one of them is no credential of this provider's.
    """
    kinds = {row.name: resolve_name(row.events).Verifier for row in REGISTRY if row.hook}
    return {name: kind(credentials(settings.get(name, ""))) for name, kind in kinds.items()}
