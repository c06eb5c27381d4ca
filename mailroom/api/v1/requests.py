"""JSON requests of the routes of outbound mail: only their shape; the content is validated when a batch is prepared."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from mailroom.outbound.batch_body import _RequestModel
from mailroom.outbound.json_time import Time


class NewTime(_RequestModel):
    """The new time to send at."""

    send_at: Time


class NewSuppression(_RequestModel):
    """Addresses to suppress."""

    addresses: Annotated[list[str], Field(min_length=1, max_length=1_000)]
    reason: Annotated[str, Field(pattern=r"^[a-z_]{1,50}$")] = "manual"
    expires_at: Time | None = None
    stream: str | None = Field(
        default=None, max_length=63, description="Suppress them for this stream of the tenant alone"
    )


class NewSender(_RequestModel):
    """An address or `@domain` to send from."""

    pattern: Annotated[str, Field(max_length=320)]


class NewAllowance(_RequestModel):
    """Sending quota of a tenant; null means no limit."""

    hour: Annotated[int, Field(ge=0, le=10**9)] | None = None
    day: Annotated[int, Field(ge=0, le=10**9)] | None = None
    month: Annotated[int, Field(ge=0, le=10**9)] | None = None


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description, without references, of a request body that a route reads by itself."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})
    inlined = _inlined(schema, parts)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined}}}}


def _inlined(schema: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {name: _inlined(value, parts) for name, value in schema.items()}
