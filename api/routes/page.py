"""The page and its files, out of the package."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

# What else lies in the folders is not served.
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _read_files(folder: Traversable, below: str = "") -> dict[str, tuple[bytes, str, str]]:
    """Content, media type and ETag of each file by its path below the page's folder."""
    files: dict[str, tuple[bytes, str, str]] = {}
    for file in folder.iterdir():
        media_type = _MEDIA_TYPES.get(PurePosixPath(file.name).suffix)
        if file.is_dir():
            files |= _read_files(file, f"{below}{file.name}/")
        elif media_type is not None:
            content = file.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            files[below + file.name] = (content, media_type, etag)
    return files


_FILES = _read_files(resources.files("api") / "page")
_PAGES = ("index.html", "login.html", "nothing.html")  # not under their names


def _answer(request: Request, name: str) -> Response:
    content, media_type, etag = _FILES[name]
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


@router.head("/")
@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html")


@router.head("/login")
@router.get("/login")
async def login(request: Request) -> Response:
    """The form that asks for a key."""
    return _answer(request, "login.html")


def _add(name: str) -> None:
    async def page_file(request: Request) -> Response:
        return _answer(request, name)

    router.add_api_route(f"/{name}", page_file, methods=["GET", "HEAD"])


for _name in sorted(_FILES):
    if _name not in _PAGES:
        _add(_name)


def nothing_here() -> Response:
    """Makes the page that a browser shows at an address that nothing is at."""
    content, media_type, _ = _FILES["nothing.html"]
    return Response(content, 404, {"Cache-Control": "no-cache"}, media_type)
