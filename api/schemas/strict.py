"""The base of every request's body: no field that it does not know."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from api.schemas.problems import MAX_ERRORS


def examples(*bodies: dict[str, Any]) -> ConfigDict:
    """Configures a request to have examples in OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": list(bodies)})


class StrictRequest(BaseModel):
    """A body with these fields and no others, each of its own type: "5" and true are no numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_unknown_names(cls, value: Any) -> Any:
        """One error instead of very many, of which each costs time."""
        if isinstance(value, dict) and len(value) > len(cls.model_fields) + MAX_ERRORS:
            expected = ", ".join(cls.model_fields)
            raise ValueError(f"{len(value)} fields where at most these are expected: {expected}")
        return value
