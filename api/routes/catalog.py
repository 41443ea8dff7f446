"""Contents of the library: status, videos, clips."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from api.schemas.cursors import decode_cursor, encode_cursor
from api.schemas.fields import (
    CaptionWords,
    Id,
    LeastLength,
    MostLength,
    PathPrefix,
    RecordedAfter,
    RecordedBefore,
)
from api.work.services import ServicesOf
from indexer.ingest.previews import forget_previews
from indexer.video.programs.confinement import describe_confinement
from search.dates import recorded_bound
from search.documents.videos import (
    ClipsAnswer,
    RemovedAnswer,
    StatusAnswer,
    VideoAnswer,
    VideosAnswer,
    clip_document,
    video_document,
)
from search.types import Filters, SegmentQuery

router = APIRouter(prefix="/v1", tags=["library"])

PageSize = Annotated[int, Query(ge=1, le=1000, description="Most entries in this page.")]
Cursor = Annotated[
    str | None, Query(max_length=40_000, description="`next_cursor` of the page before this one.")
]
VideoId = Annotated[Id, Path(description="A video's id.", examples=[3])]


@router.get("/status")
def status(services: ServicesOf) -> StatusAnswer:
    """Counts and names, as `indexer status --json`."""
    return {**services.library.status(), "confinement": describe_confinement()}


@router.get("/clips")
def clips(
    services: ServicesOf,
    path_prefix: Annotated[PathPrefix | None, Query(examples=["/archive/2024/"])] = None,
    min_duration_seconds: Annotated[LeastLength | None, Query(examples=[1.5])] = None,
    max_duration_seconds: MostLength | None = None,
    video_id: Id | None = None,
    recorded_after: Annotated[RecordedAfter | None, Query(examples=["2024-05-01"])] = None,
    recorded_before: Annotated[RecordedBefore | None, Query(examples=["2024-05-31"])] = None,
    caption: Annotated[CaptionWords | None, Query(examples=["red car"])] = None,
    limit: PageSize = 100,
    cursor: Cursor = None,
) -> ClipsAnswer:
    """Stored clips that pass all filters, by id."""
    filters = Filters(
        path_prefix=path_prefix,
        min_duration_seconds=min_duration_seconds,
        max_duration_seconds=max_duration_seconds,
        video_ids=None if video_id is None else (video_id,),
        recorded_after=recorded_bound(recorded_after, is_end=False),
        recorded_before=recorded_bound(recorded_before, is_end=True),
        caption=caption,
    )
    (after,) = (0,) if cursor is None else decode_cursor("clips", cursor)
    with services.library.read() as catalog:
        total = catalog.visible_clips() if filters.is_empty else catalog.count_clips(filters)
        found = catalog.list_clips(filters, after_id=after, limit=limit + 1)
        page = found[:limit]
        frames = catalog.key_frames([clip.id for clip in page])
    return {
        "clips": [clip_document(clip, frames[clip.id]) for clip in page],
        "total": total,
        "next_cursor": encode_cursor("clips", page[-1].id) if len(found) > limit else None,
    }


@router.get("/videos")
def videos(
    services: ServicesOf,
    status: Literal["indexed", "failed", "missing"] | None = None,
    limit: PageSize = 100,
    cursor: Cursor = None,
) -> VideosAnswer:
    """Catalogued files, by path; those that failed say why."""
    (after,) = (None,) if cursor is None else decode_cursor("videos", cursor)
    with services.library.read() as catalog:
        total = catalog.count_videos(status)
        found = catalog.list_videos(status=status, after=after, limit=limit + 1)
    page = found[:limit]
    return {
        "videos": [video_document(video) for video in page],
        "total": total,
        "next_cursor": encode_cursor("videos", page[-1].path) if len(found) > limit else None,
    }


@router.get("/videos/{video_id}")
def video(video_id: VideoId, services: ServicesOf) -> VideoAnswer:
    """One catalogued file."""
    return video_document(services.video(video_id))


@router.delete("/videos/{video_id}")
def remove_video(video_id: VideoId, services: ServicesOf) -> RemovedAnswer:
    """Forgets a video with all that was made of it, previews too. The file itself is not touched."""
    with services.library.write() as catalog:
        catalog.video(video_id)
        segments = catalog.actions.count_segments(SegmentQuery(video_id=video_id))
        examples = catalog.actions.examples_of_videos([video_id])
        clips = catalog.remove_videos([video_id])
        record = catalog.library_record()
    services.frames.forget(video_id)
    forget_previews(services.library, [video_id])
    if record is not None:
        services.library.index_keeper.save()
    return {"videos": 1, "clips": clips, "segments": segments, "examples": examples.total()}
