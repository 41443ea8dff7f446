"""Summaries: key frames by importance, storyboards, sprites to scrub through, previews and cuts."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import FileResponse

from api.routes.catalog import VideoId
from api.routes.media import FootageResponse
from api.schemas.fields import Id
from api.schemas.parameters import refuse_unknown
from api.work.services import Services, ServicesOf, reads_much
from encoders.errors import NotFoundError
from indexer.ingest.previews import Preview
from indexer.keeping.summaries import stored_key_frames
from indexer.video.making.renditions import clip_preview, cut, span_preview
from indexer.video.making.storyboard import (
    MAX_FRAMES,
    SpriteCell,
    StillPicture,
    sprite_cells,
    sprite_cues,
    sprite_sheet,
    sprite_size,
    storyboard_jpeg,
)
from search.catalog.catalog import Catalog
from search.documents.summaries import KeyFramesAnswer, key_frames_document
from search.summary.budget import Budget
from search.types import KeyFrame, Video

router = APIRouter(prefix="/v1", tags=["summaries"], dependencies=[Depends(refuse_unknown)])

CLIP_LIMIT_SECONDS = 60.0
SPAN_LIMIT_SECONDS = 300.0
CUT_LIMIT_SECONDS = 1800.0
STORYBOARD_FRAMES = 12

_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "As it was"},
}
_VTT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/vtt": {"schema": {"type": "string"}}}},
    304: {"description": "As it was"},
}
_MP4: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "The asked-for bytes", "content": {"video/mp4": {}}},
    304: {"description": "As it was"},
}

Most = Annotated[int, Query(alias="max", ge=1, le=MAX_FRAMES, description="Most key frames.")]
Threshold = Annotated[
    float | None, Query(ge=0, le=1, description="Only frames of more importance.", examples=[0.5])
]
PerShot = Annotated[bool, Query(description="One of every shot first, even where two look alike.")]
Seconds = Annotated[
    float, Query(ge=-1e9, le=1e9, allow_inf_nan=False, description="Presentation time.", examples=[12.5])
]


@router.get("/videos/{video_id}/key-frames")
@reads_much
def key_frames(
    video_id: VideoId,
    services: ServicesOf,
    most: Annotated[
        int | None, Query(alias="max", ge=1, le=10_000, description="Most key frames, no two alike.")
    ] = None,
    threshold: Threshold = None,
    per_shot: PerShot = False,
) -> KeyFramesAnswer:
    """A video's key frames in order of time, with their importance.

    All that are stored; with any parameter the ones to show: important, sharp, no two alike.
    """
    with services.library.read() as catalog:
        wants_all = most is None and threshold is None and not per_shot
        if wants_all or catalog.video(video_id).clips == 0:
            return key_frames_document(video_id, *services.summaries.all_key_frames(catalog, video_id))
        found = services.summaries.summarize(catalog, video_id, Budget(None, most, threshold, per_shot))
    chosen = ((frame.key_frame, frame.importance) for frame in found.frames)
    return key_frames_document(video_id, chosen, found.by)


@router.get("/videos/{video_id}/storyboard", response_class=Response, responses=_JPEG)
@reads_much
def storyboard(
    video_id: VideoId,
    services: ServicesOf,
    request: Request,
    most: Most = STORYBOARD_FRAMES,
    columns: Annotated[int, Query(ge=1, le=20, description="Beside each other.")] = 4,
    threshold: Threshold = None,
    per_shot: PerShot = False,
) -> Response:
    """The key frames to show, with their times, as one JPEG; made of stored ones, without the file."""
    with services.library.read() as catalog:
        found = services.summaries.summarize(catalog, video_id, Budget(None, most, threshold, per_shot))
        frames = [frame.key_frame for frame in found.frames]
        if not frames:
            raise NotFoundError(f"{'; '.join(found.notes)}: ask for a lower threshold")
        etag = _etag("storyboard", columns, *(frame.id for frame in frames))
        if _has(request, etag):
            return _unchanged(etag)
        stills = [StillPicture(frame.time_seconds, catalog.key_frame_jpeg(frame.id)) for frame in frames]
    jpeg = storyboard_jpeg(stills, columns=columns, origin_seconds=found.start_seconds)
    return Response(jpeg, media_type="image/jpeg", headers=_fresh(etag))


@router.get("/videos/{video_id}/sprites.jpg", response_class=Response, responses=_JPEG)
@reads_much
def sprites(video_id: VideoId, services: ServicesOf, request: Request) -> Response:
    """Up to 100 small pictures of the whole video on one sheet, ten in a row, 160 pixels wide each."""
    with services.library.read() as catalog:
        cells, frames = _sprite_cells(catalog, video_id)
        etag = _etag("sprites", *(frame.id for frame in frames))
        if _has(request, etag):
            return _unchanged(etag)
        jpegs = [catalog.key_frame_jpeg(frames[cell.number].id) for cell in cells]
    sheet = sprite_sheet(jpegs, sprite_size(jpegs[0]))
    return Response(sheet, media_type="image/jpeg", headers=_fresh(etag))


@router.get("/videos/{video_id}/sprites.vtt", response_class=Response, responses=_VTT)
@reads_much
def sprite_times(video_id: VideoId, services: ServicesOf, request: Request) -> Response:
    """Maps parts of the video to parts of `sprites.jpg`, as WebVTT."""
    with services.library.read() as catalog:
        cells, frames = _sprite_cells(catalog, video_id)
        first = catalog.key_frame_jpeg(frames[cells[0].number].id)
    text = sprite_cues(cells, sprite_size(first), "sprites.jpg")
    etag = _etag(text)
    if _has(request, etag):
        return _unchanged(etag)
    return Response(text, media_type="text/vtt", headers=_fresh(etag))


def _sprite_cells(catalog: Catalog, video_id: int) -> tuple[list[SpriteCell], list[KeyFrame]]:
    video = catalog.video(video_id)
    frames = stored_key_frames(catalog, video_id)
    extent = catalog.extent(video_id)
    if not frames or extent is None:
        why = f": {video.error}" if video.error else ""
        raise NotFoundError(f"nothing of {video.path} is indexed, so there is nothing to show of it{why}")
    length = extent[1] - extent[0]
    declared = video.duration_seconds or 0.0
    duration = declared if declared >= 0.9 * length else length
    spans = {clip.id: (clip.start_seconds, clip.end_seconds) for clip in catalog.clips_of_video(video_id)}
    times = [frame.time_seconds for frame in frames]
    return sprite_cells(times, [spans[frame.clip_id] for frame in frames], duration, extent[0]), frames


@router.get("/clips/{clip_id}/preview", response_class=FileResponse, responses=_MP4)
async def preview_clip(
    clip_id: Annotated[Id, Path(description="From a hit.")], services: ServicesOf, request: Request
) -> Response:
    """The clip as a short silent loop: H.264, at most 4 s and 1 MB; made when first asked for."""
    video, span = await run_sync(_clip, services, clip_id)
    make, rendition = services.renditions.make, clip_preview(*span)
    made = await services.making_clip_preview.run(make, video, rendition, CLIP_LIMIT_SECONDS)
    return _footage(request, made)


def _clip(services: Services, clip_id: int) -> tuple[Video, tuple[float, float]]:
    with services.library.read() as catalog:
        clip = catalog.clips([clip_id]).get(clip_id)
        if clip is None:
            raise NotFoundError(f"there is no clip {clip_id} in this library")
        return catalog.video(clip.video_id), (clip.start_seconds, clip.end_seconds)


@router.get("/videos/{video_id}/preview", response_class=FileResponse, responses=_MP4)
async def preview_span(
    video_id: VideoId, services: ServicesOf, request: Request, start_seconds: Seconds, end_seconds: Seconds
) -> Response:
    """At most 120 s for browsers that cannot play the file: H.264 and AAC, short side at most 480."""
    video = await run_sync(services.video, video_id)
    make, rendition = services.renditions.make, span_preview(start_seconds, end_seconds)
    made = await services.making_span_preview.run(make, video, rendition, SPAN_LIMIT_SECONDS)
    return _footage(request, made)


@router.get("/videos/{video_id}/cut", response_class=FileResponse, responses=_MP4)
async def cut_span(
    video_id: VideoId, services: ServicesOf, request: Request, start_seconds: Seconds, end_seconds: Seconds
) -> Response:
    """Exactly [start, end), at most 600 s, in the size of the source and with its sound, to be kept."""
    video = await run_sync(services.video, video_id)
    make, rendition = services.renditions.make, cut(start_seconds, end_seconds)
    made = await services.making_cut.run(make, video, rendition, CUT_LIMIT_SECONDS)
    name = f"{PurePosixPath(video.path).stem}_{start_seconds:.3f}-{end_seconds:.3f}.mp4"
    return _footage(request, made, name)


class RenditionResponse(FootageResponse):
    """A made file, whole or by Range."""

    def __init__(self, made: Preview, name: str | None) -> None:
        FileResponse.__init__(
            self,
            made.path,
            media_type="video/mp4",
            filename=name,
            content_disposition_type="attachment",
            headers=_fresh(made.etag),
        )


def _footage(request: Request, made: Preview, name: str | None = None) -> Response:
    if _has(request, made.etag) and "range" not in request.headers:
        return _unchanged(made.etag)
    return RenditionResponse(made, name)


def _etag(*parts: object) -> str:
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def _has(request: Request, etag: str) -> bool:
    """Tells whether the client holds this version already."""
    held = request.headers.get("if-none-match", "")
    return etag in [one.strip().removeprefix("W/") for one in held.split(",")]


def _fresh(etag: str) -> dict[str, str]:
    # Kept, but asked about each time: a video may be removed, and its file changed.
    return {"ETag": etag, "Cache-Control": "private, no-cache"}


def _unchanged(etag: str) -> Response:
    return Response(status_code=304, headers=_fresh(etag))
