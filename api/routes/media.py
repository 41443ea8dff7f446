"""Pictures and footage: key frames, decoded frames, the files themselves."""

from __future__ import annotations

import io
import os
import re
from contextlib import nullcontext
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from api.routes.catalog import VideoId
from api.schemas.fields import Id
from api.work.frames import open_file
from api.work.services import Services, ServicesOf
from encoders.errors import NotFoundError
from search.file_names import shown_path
from search.types import Video

router = APIRouter(prefix="/v1", tags=["media"])
# Where a system shows a program its own open files.
_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"

_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
_FOOTAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "The asked-for bytes", "content": {"video/*": {}}},
}
# By extension, and only these: a name never makes a browser take a file for a page.
_MEDIA_TYPES = {
    ".avi": "video/x-msvideo",
    ".gif": "image/gif",
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpeg",
    ".mts": "video/mp2t",
    ".ogv": "video/ogg",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
}


@router.get("/key-frames/{key_frame_id}", response_class=Response, responses=_JPEG)
def key_frame(
    key_frame_id: Annotated[Id, Path(description="From a hit's `key_frames`.")],
    services: ServicesOf,
    request: Request,
) -> Response:
    """A stored key frame, as JPEG; there even when the archive is offline."""
    with services.library.read() as catalog:
        jpeg = catalog.key_frame_jpeg(key_frame_id)
    # Ids are never used twice, so what an id shows never changes; but it may be gone: browsers have to ask.
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"key-frame-{key_frame_id}"'}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    return Response(jpeg, media_type="image/jpeg", headers=headers)


@router.get("/frames/{video_id}", response_class=Response, responses=_JPEG)
async def frame(
    video_id: VideoId,
    services: ServicesOf,
    t: Annotated[
        float, Query(ge=-1e9, le=1e9, allow_inf_nan=False, description="Time in seconds.", examples=[12.5])
    ],
    size: Annotated[int, Query(ge=16, le=2160, description="Short side in pixels, at most.")] = 720,
) -> Response:
    """The frame that is shown at a time, decoded from the file, as JPEG."""
    jpeg = await services.decoding_frame.run(_decoded, services, video_id, t, size)
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})


def _decoded(services: Services, video_id: int, time_seconds: float, size: int) -> bytes:
    return services.frames.jpeg(services.video(video_id), time_seconds, size)


@router.get("/videos/{video_id}/file", response_class=FileResponse, responses=_FOOTAGE)
def file(video_id: VideoId, services: ServicesOf) -> Response:
    """The file itself, whole or by Range."""
    video = services.video(video_id)
    opened = open_file(video)
    if os.fstat(opened.fileno()).st_size == 0:
        opened.close()
        why = f" ({video.error})" if video.error else ""
        raise NotFoundError(f"{video.path} is empty, 0 bytes long, so there is nothing to play{why}")
    return FootageResponse(video, opened)


class FootageResponse(FileResponse):
    """A file by Range, as Starlette serves it, with refusals as problem details.

    It is read by its descriptor, and closed at the end: the path may lead elsewhere by then.
    """

    _opened: io.FileIO | None = None

    def __init__(self, video: Video, opened: io.FileIO) -> None:
        path = PurePosixPath(video.path)
        self._opened = opened
        super().__init__(
            f"{_DESCRIPTORS}/{opened.fileno()}",
            media_type=_MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream"),
            filename=shown_path(path.name),
            stat_result=os.fstat(opened.fileno()),
            content_disposition_type="inline",
            headers={"Cache-Control": "private, no-cache"},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file, or the part of it that was asked for."""

        async def send_file(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                headers = {key.decode(): value.decode() for key, value in message["headers"]}
                kept = {key: value for key, value in headers.items() if key == "content-range"}
                detail = "the Range header cannot be satisfied: expected bytes=FIRST-LAST inside the file"
                raise HTTPException(message["status"], detail, kept)
            await send(message)

        with self._opened or nullcontext():
            await super().__call__(_with_known_range_unit(scope), receive, send_file)


def _with_known_range_unit(scope: Scope) -> Scope:
    """Without a Range header of another unit than bytes, which has to be ignored (RFC 9110)."""
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name != b"range" or re.match(rb"\s*bytes\s*=", value, re.IGNORECASE)
    ]
    return {**scope, "headers": headers}
