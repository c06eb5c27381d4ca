"""JSON that is read from the attributes of a value."""

from pydantic import BaseModel, ConfigDict


class JsonModel(BaseModel):
    """Read from the attributes of a domain value."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)
