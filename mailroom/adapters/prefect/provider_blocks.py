"""The provider that the outbound block names, read from Prefect's REST API, for the parts that do not import Prefect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from mailroom.adapters.prefect.http import http_client, translated

_OUTBOUND, _NAME = "mailroom-outbound", "outbound"
_PREFIX = "mailroom-provider-"
#: Seconds for one request: a submission may wait for it.
_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class ProviderBlock:
    """A provider's block: its provider, such as `ses`, and its fields; secret ones only if they were asked for."""

    provider: str
    fields: Mapping[str, Any] = field(repr=False)


class ProviderBlocks:
    """Reads the blocks of providers."""

    def __init__(self, *, api_url: str) -> None:
        self._http = http_client(api_url)
        self._http.timeout = httpx.Timeout(_TIMEOUT_S)

    def first(self, *, with_secrets: bool = False) -> ProviderBlock | None:
        """Return the block of the first provider of outbound mail; None if there is none.

        Raises:
            TransientError, PermanentError: Prefect does not answer, or refuses.
        """
        return self._block("provider", with_secrets=with_secrets)

    def second(self) -> ProviderBlock | None:
        """Return the block of the second provider, without secrets; None if there is none.

        Raises:
            TransientError, PermanentError: Prefect does not answer, or refuses.
        """
        return self._block("second")

    def _block(self, field_name: str, *, with_secrets: bool = False) -> ProviderBlock | None:
        outbound = self._fields(_OUTBOUND, _NAME)
        slug, _, name = str((outbound or {}).get(field_name, "")).partition("/")
        if not slug.startswith(_PREFIX) or not name:
            return None
        fields = self._fields(slug, name, with_secrets=with_secrets)
        return None if fields is None else ProviderBlock(slug.removeprefix(_PREFIX), fields)

    def _fields(self, slug: str, name: str, *, with_secrets: bool = False) -> Mapping[str, Any] | None:
        path = f"/block_types/slug/{quote(slug, safe='')}/block_documents/name/{quote(name, safe='')}"
        with translated():
            answer = self._http.get(path, params={"include_secrets": str(with_secrets).lower()})
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            answer.raise_for_status()
            document = answer.json()
        fields = document.get("data") if isinstance(document, dict) else None
        return fields if isinstance(fields, dict) else None
