"""A video along its time: shots, segments, how well a query fits."""

from __future__ import annotations

from functools import partial

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from api.routes.catalog import VideoId
from api.schemas.answers import json_response
from api.schemas.queries import MatchesOptions, MatchesRequest
from api.work.examples import example_form, received_example
from api.work.services import Services, ServicesOf
from search.documents.timelines import MatchesAnswer, TimelineAnswer
from search.query.encoding import EncodedQuery
from search.query.timeline import matches_document, read_timeline
from search.types import Query

router = APIRouter(prefix="/v1/videos", tags=["timeline"])


@router.get("/{video_id}/timeline")
def timeline(video_id: VideoId, services: ServicesOf) -> TimelineAnswer:
    """Lists a video's shots, and what heads saw in it."""
    with services.library.read() as catalog:
        return read_timeline(catalog, video_id)


@router.post("/{video_id}/matches", response_model=MatchesAnswer)
async def matches(video_id: VideoId, body: MatchesRequest, services: ServicesOf) -> Response:
    """Scores each stored frame of a video by how well a query fits it."""
    query = body.to_query()
    return await services.search(query, partial(_matches, services, video_id))


@router.post(
    "/{video_id}/matches/example",
    response_model=MatchesAnswer,
    openapi_extra=example_form("MatchesOptions", '{"query": [{"text": "in the snow", "weight": 0.5}]}'),
)
async def matches_with_example(video_id: VideoId, request: Request, services: ServicesOf) -> Response:
    """Scores each stored frame of a video by how well an uploaded picture or clip fits it."""
    await run_sync(services.video, video_id)
    example, options = await received_example(request, services, MatchesOptions)
    return await services.search(options.to_query(example), partial(_matches, services, video_id))


def _matches(services: Services, video_id: int, query: Query | EncodedQuery) -> Response:
    """Compares and serialises, both off the event loop."""
    return json_response(MatchesAnswer, matches_document(services.engine.matches(query, video_id)))
