"""Every route of the application, found in the application itself, so that a new one is walked too."""

import re
from collections.abc import Iterator, Mapping

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route; of a folder of files its first, as a path."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, Mount):
            yield "GET", f"{route.path}/mailroom.css"
            yield "GET", f"{route.path}/keys.js"
            continue
        for method in sorted(route.methods or ()):
            yield method, str(route.path)


def filled(path: str, values: Mapping[str, str] | None = None) -> str:
    """Return the path with a value for each of its parameters, 1 where none is given."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda one: (values or {}).get(one[1], "1"), path)
