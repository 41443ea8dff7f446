"""A video along its time: shots, segments."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from api.action_schemas import TimelineAnswer
from api.parameters import refuse_unknown
from api.routes.catalog import VideoId
from api.services import ServicesOf
from search.timeline import read_timeline
from search.wire import timeline_document

router = APIRouter(prefix="/v1/videos", tags=["timeline"], dependencies=[Depends(refuse_unknown)])


@router.get("/{video_id}/timeline", response_model=TimelineAnswer)
def timeline(video_id: VideoId, services: ServicesOf) -> dict[str, Any]:
    """Where a video's shots begin and end, and what heads saw in it."""
    with services.library.read() as catalog:
        return timeline_document(read_timeline(catalog, video_id))
