"""Marks of typed answers, from which pydantic checks them and makes OpenAPI, without importing it here.

An answer is a `TypedDict`: the JSON itself, as the command line prints it and the HTTP API sends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Kind = TypeVar("Kind")


class About:
    """Describes a field inside `Annotated`; pydantic calls its methods when it meets one.

    Args:
        text: Its description in OpenAPI.
        default: For a `NotRequired` field: what the HTTP API sends where it is missing.
        bounds: Of a number, ge, gt, le or lt: checked before the HTTP API sends it.
    """

    def __init__(self, text: str | None = None, *, default: object = ..., **bounds: float) -> None:
        self._text = text
        self._default = default
        self._bounds = bounds

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        schema = {**handler(source), **self._bounds}
        if self._default is ...:
            return schema
        return {"type": "default", "schema": schema, "default": self._default}

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(core) if self._text is None else {**handler(core), "description": self._text}


def answer(*, example: dict[str, Any] | None = None) -> Callable[[type[Kind]], type[Kind]]:
    """Marks a `TypedDict` as an answer or a part of one: no field beyond its own; OpenAPI shows `example`."""

    def mark(kind: type[Kind]) -> type[Kind]:
        config: dict[str, Any] = {"extra": "forbid"}
        if example is not None:
            config["json_schema_extra"] = {"examples": [example]}
        kind.__pydantic_config__ = config  # type: ignore[attr-defined]
        return kind

    return mark
