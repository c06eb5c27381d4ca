"""The two faces of the service: what the internet may reach, and what only operators, users and programs of ours do.

    public     /u /c /o /hooks                                   recipients, mail gateways, providers
    private    /v1 /docs /openapi.json /readyz /metrics, pages
    both       /healthz, and /static: the style of the page behind /u

One port shows both faces. With a port of its own the public face is an application of its own, on the same services: a path
of the other face is not there, so nothing has to be filtered, and no spelling of a path gets past a filter.
"""

from collections.abc import Mapping
from enum import StrEnum

from starlette.types import ASGIApp, Receive, Scope, Send


class Face(StrEnum):
    """Which side of the service a router is on, or an application shows."""

    PUBLIC = "public"
    PRIVATE = "private"
    BOTH = "both"

    def shows(self, other: "Face") -> bool:
        """Return whether what is on the side `other` is seen from this one."""
        return self is other or Face.BOTH in (self, other)


class ByPort:
    """An ASGI application that is another one on each port; the port is the connection's, which no caller can write."""

    def __init__(self, applications: Mapping[int, ASGIApp]) -> None:
        """Take the application of each port; of the first of them are start and end of the process."""
        self._applications = dict(applications)
        self._first = next(iter(self._applications.values()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self._first if scope["type"] == "lifespan" else self._applications[scope["server"][1]]
        await application(scope, receive, send)
