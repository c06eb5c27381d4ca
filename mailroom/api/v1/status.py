"""The JSON route that says whether everything is well; of operators alone."""

from datetime import datetime

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from mailroom.api.auth import ApiHolder
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices, Services
from mailroom.api.v1.known_query import KnownQuery
from mailroom.operations.status import Level, Status
from mailroom.outbound.json_model import JsonModel
from mailroom.ports.api_keys import Holder

router = APIRouter(prefix="/v1", tags=["operations"], responses=PROBLEM, route_class=KnownQuery)


class StatusRowResponse(JsonModel):
    """One thing that was looked at."""

    group: str
    name: str
    level: Level = Field(
        description="good; look: a person should look; bad; unknown: it could not be found out in time"
    )
    value: str
    since: datetime | None
    what_to_do: str | None
    link: str | None


class StatusResponse(BaseModel):
    """The whole installation in one look."""

    well: bool
    sentence: str
    at: datetime
    rows: list[StatusRowResponse]


@router.get("/status")
def show_status(services: AppServices, holder: ApiHolder) -> StatusResponse:
    """Say whether everything is well, within two seconds whatever hangs. For administrators of the installation: 404 for a tenant's key."""
    found = status_for(services, holder)
    rows = [StatusRowResponse.model_validate(row) for row in found.rows]
    return StatusResponse(well=found.is_well, sentence=found.sentence, at=found.at, rows=rows)


def status_for(services: Services, holder: Holder) -> Status:
    """Return the status.

    Raises:
        HTTPException: 404, the holder is a tenant's, or the installation has none.
    """
    if holder.tenant is not None or services.status is None:
        raise HTTPException(404, "Not found.")
    return services.status.look(now=services.now())
