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

from api.error_handlers import install_handlers
from api.guarding.access import Access
from api.guarding.forwarded import Forwarded
from api.guarding.guard import LOOPBACK_HOSTS, Guard
from api.guarding.keys import COOKIE, Doorkeeper
from api.guarding.oidc import OidcIssuer
from api.guarding.own_socket import OwnSocket, OwnSocketGate
from api.guarding.roles import asked_for
from api.guarding.roots import Roots
from api.guarding.watch import RequestWatch
from api.routes import (
    actions,
    catalog,
    health,
    jobs,
    keys,
    media,
    page,
    search,
    session,
    summaries,
    timeline,
)
from api.schemas import problems
from api.schemas.parameters import refuse_unknown
from api.schemas.queries import ExampleOptions, MatchesOptions
from api.settings import ServerSettings
from api.telemetry.metrics import Metrics
from api.work.services import Services
from search.audit import AuditLog
from search.library import Library

DESCRIPTION = "Finds any moment in a video archive: by words, by a picture, by an example clip."


def create_app(
    library: Library,
    *,
    device: str = "auto",
    hosts: frozenset[str] | None = LOOPBACK_HOSTS,
    is_local: bool = True,
    settings: ServerSettings | None = None,
    own_socket: OwnSocket | None = None,
) -> FastAPI:
    """Makes the app; its lifespan starts and ends the background work.

    Args:
        library: Open; the caller closes it after the app.
        device: For the encoder, should the library's first ingest be one of this server's jobs.
        hosts: Names that requests may call the server by; None means any.
        is_local: Whether only this machine reaches the server: then it is open, unless keys are demanded.
        settings: Limits; None reads them from the environment.
        own_socket: On which commands of the server's own user ask, without a key.

    Raises:
        ReelseekError: A root is no folder, or an OIDC issuer is set without its audience.
    """
    settings = settings or ServerSettings()
    is_open = is_local and not settings.require_keys
    allowed_roots = Roots.of(settings.roots, is_open=is_open)
    doorkeeper = Doorkeeper(library, OidcIssuer.of(settings), is_open=is_open)
    metrics = Metrics(library)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services(library, device, settings, allowed_roots)
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
        redirect_slashes=False,  # it would name whatever host the request did
    )
    for module in (search, actions, catalog, timeline, media, summaries, jobs, keys, session, health, page):
        _answer_head(module.router)
        app.include_router(module.router, dependencies=[] if module is page else [Depends(refuse_unknown)])
    install_handlers(app)
    app.state.doorkeeper = doorkeeper
    app.state.metrics = metrics
    app.add_middleware(Guard, hosts=hosts, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(  # the last that is added is the first that a request passes
        Access,
        doorkeeper=doorkeeper,
        settings=settings,
        allowed_roots=allowed_roots,
        audit=AuditLog(library.folder),
    )
    app.add_middleware(OwnSocketGate, socket=own_socket)
    app.add_middleware(Forwarded, is_open=is_open)
    app.add_middleware(RequestWatch, metrics=metrics, log_paths=settings.log_paths)
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
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes["key"] = {"type": "http", "scheme": "bearer", "description": "A key, or an OIDC token."}
    schemes["cookie"] = {"type": "apiKey", "in": "cookie", "name": COOKIE}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
            role = asked_for(method.upper(), path).role
            operation["security"] = [] if role is None else [{"key": []}, {"cookie": []}]
            if role is not None:
                operation["x-role"] = role.value
    app.openapi_schema = document
    return document
