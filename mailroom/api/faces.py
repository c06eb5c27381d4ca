"""The two faces of the service: public, for the internet; private, for operators, users and programs.

    public     /u /c /o /hooks                                   recipients, mail gateways, providers
    private    /v1 /docs /openapi.json /readyz /metrics, pages
    both       /healthz, and /static: the style of the page behind /u

One port can serve both faces. With a separate port the public face is a separate application on the same services: paths
of the private face do not exist there, so no filter is needed that a spelling of a path could bypass.
"""

from collections.abc import Mapping
from enum import StrEnum

from starlette.types import ASGIApp, Receive, Scope, Send


class Face(StrEnum):
    """The face that a router belongs to, or that an application serves."""

    PUBLIC = "public"
    PRIVATE = "private"
    BOTH = "both"

    def shows(self, other: "Face") -> bool:
        """Return whether routes of the face `other` are served on this one."""
        return self is other or Face.BOTH in (self, other)


class ByPort:
    """An ASGI application that selects one by port: the connection's, which no client can forge."""

    def __init__(self, applications: Mapping[int, ASGIApp]) -> None:
        """Take the application of each port; the first one gets the lifespan events."""
        self._applications = dict(applications)
        self._first = next(iter(self._applications.values()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self._first if scope["type"] == "lifespan" else self._applications[scope["server"][1]]
        await application(scope, receive, send)
