"""The FastAPI app over one library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api import problems
from api.guard import LOOPBACK_HOSTS, Guard
from api.parameters import refuse_unknown
from api.routes import actions, catalog, health, jobs, media, page, search, summaries, timeline
from api.schemas import ExampleOptions, MatchesOptions
from api.services import Services
from api.settings import ServerSettings
from search.library import Library

DESCRIPTION = "Finds any moment in a video archive: by words, by a picture, by an example clip."


def create_app(
    library: Library,
    *,
    device: str = "auto",
    hosts: frozenset[str] | None = LOOPBACK_HOSTS,
    settings: ServerSettings | None = None,
) -> FastAPI:
    """Makes the app; its lifespan starts and ends the background work.

    Args:
        library: Open; the caller closes it after the app.
        device: For the encoder, should the library's first ingest be one of this server's jobs.
        hosts: Names that requests may call the server by; None means any.
        settings: Limits; None reads them from the environment.
    """
    settings = settings or ServerSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services(library, device, settings)
        app.state.services = services
        services.start()
        await run_sync(app.openapi)  # here, because it takes a while: requests are checked against it
        try:
            yield
        finally:
            await run_sync(services.close)

    app = FastAPI(
        title="Reelseek",
        version=_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
    )
    for module in (search, actions, catalog, timeline, media, summaries, jobs, health, page):
        _answer_head(module.router)
        app.include_router(module.router, dependencies=[] if module is page else [Depends(refuse_unknown)])
    problems.install_handlers(app)
    app.add_middleware(Guard, hosts=hosts, max_body_bytes=settings.max_body_bytes)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _answer_head(router: APIRouter) -> None:
    """Makes what can be got answer HEAD as well, as it must (RFC 9110, section 9.3.2)."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    known = {route.path for route in routes if "HEAD" in (route.methods or ())}
    for route in routes:
        if "GET" in (route.methods or ()) and route.path not in known:
            head = APIRoute(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                response_model=route.response_model,
                response_class=route.response_class,
                dependencies=route.dependencies,
                include_in_schema=False,
            )
            router.routes.append(head)


def _version() -> str:
    try:
        return version("reelseek")
    except PackageNotFoundError:  # a checkout that was not installed
        return "0"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema, with problem details as what every operation answers when it fails."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = problems.problem_schema()
    _, options = models_json_schema(
        [(ExampleOptions, "validation"), (MatchesOptions, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    schemas.update(options["$defs"])
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    problem = {"description": "Problem", "content": {problems.MEDIA_TYPE: reference}}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
    app.openapi_schema = document
    return document
