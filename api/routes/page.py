"""The page and its files, out of the package."""

from __future__ import annotations

import hashlib
from importlib import resources

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

_MEDIA_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "results.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def _read(name: str) -> tuple[bytes, str]:
    content = (resources.files("api") / "page" / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


_FILES = {name: _read(name) for name in _MEDIA_TYPES}


def _answer(request: Request, name: str) -> Response:
    content, etag = _FILES[name]
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_MEDIA_TYPES[name], headers=headers)


@router.head("/")
@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html")


def _add(name: str) -> None:
    async def page_file(request: Request) -> Response:
        return _answer(request, name)

    router.add_api_route(f"/{name}", page_file, methods=["GET", "HEAD"])


for _name in _MEDIA_TYPES:
    if _name != "index.html":
        _add(_name)
