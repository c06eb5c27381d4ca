"""The base of JSON models that are built from the attributes of a value."""

from pydantic import BaseModel, ConfigDict


class JsonModel(BaseModel):
    """A JSON model, built from the attributes of a domain value."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)
