"""Query parameters under /v1: a route accepts those that it declares, repeated only where declared, and refuses all others.

An ignored `?tenants=acme` would suppress for every tenant, and an ignored `?dryrun=true` would send. The parameters are
read from the route itself, so they are listed once. They are checked before the body is read, and after the key
(`mailroom.api.bodies`): a client without one learns nothing of a route.
"""

from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from mailroom.api.problems import answer_error

#: The most faults that are named, and the most characters of each name.
_MOST, _SHOWN = 20, 50


class KnownQuery(APIRoute):
    """A route of /v1. Pages, public links and hooks accept unknown parameters: mail gateways append some."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that responds 422 to an undeclared parameter, else calls the route."""
        answer, known = super().get_route_handler(), known_parameters(self.dependant)

        async def answer_known(request: Request) -> Response:
            faults = dict(islice(_faults(request.query_params, known), _MOST))
            if not faults:
                return await answer(request)
            errors = [{"where": ["query", name], "what": what} for name, what in faults.items()]
            return answer_error(request, 422, next(iter(faults.values())), errors=errors)

        return answer_known


def known_parameters(dependant: Dependant) -> dict[str, bool]:
    """Return the query parameters of a route and its dependencies, each with whether it may be repeated."""
    parameters: dict[str, bool] = {}
    for one in dependant.query_params:
        parameters |= _named(str(one.validation_alias or one.alias), one.field_info)
    for needed in dependant.dependencies:
        parameters |= known_parameters(needed)
    return parameters


def _named(name: str, field: FieldInfo) -> dict[str, bool]:
    model = field.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {name: _takes_many(model)}
    fields = model.model_fields.items()
    return {str(one.validation_alias or one.alias or own): _takes_many(one.annotation) for own, one in fields}


def _takes_many(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _takes_many(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(_takes_many(one) for one in get_args(annotation))
    return (origin or annotation) in (list, tuple, set, frozenset)


def _faults(given: QueryParams, known: dict[str, bool]) -> Iterator[tuple[str, str]]:
    for name in sorted(set(given)):
        shown = name[:_SHOWN]
        if name not in known:
            yield shown, f"Unknown query parameter {shown!r}; {_words(sorted(known))}."
        elif not known[name] and len(given.getlist(name)) > 1:
            yield shown, f"Query parameter {shown!r} is given more than once; give it once."


def _words(names: list[str]) -> str:
    if not names:
        return "this route has none"
    return f"this route has {', '.join(names)}"
