"""Query parameters that a route does not know are refused: a misspelled filter filters nothing."""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from api.schemas.problems import MAX_ERRORS


def refuse_unknown(request: Request) -> None:
    """Raises RequestValidationError naming the query parameters that the route's documentation does not."""
    paths = request.app.openapi()["paths"]
    method = "get" if request.method == "HEAD" else request.method.lower()
    described = paths.get(request.scope["route"].path_format, {}).get(method)
    if described is None:
        return  # a file of the page
    known = {one["name"] for one in described.get("parameters", ()) if one["in"] == "query"}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        expected = f"expected one of {', '.join(sorted(known))}" if known else "none is expected"
        raise RequestValidationError(
            [
                {
                    "type": "extra_forbidden",
                    "loc": ("query", name),
                    "msg": f"Unknown query parameter {name!r}; {expected}",
                    "input": request.query_params[name],
                }
                for name in unknown[:MAX_ERRORS]
            ]
        )
