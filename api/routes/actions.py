"""Actions: every segment of one, what is known, corrections."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from api.routes.catalog import Cursor, PageSize, VideoId
from api.schemas.answers import json_response
from api.schemas.cursors import decode_cursor, encode_cursor
from api.schemas.fields import ActionName, Confidence, Id, Length, PathPrefix, RecordedAfter, RecordedBefore
from api.schemas.lessons import FeedbackRequest, TeachRequest
from api.schemas.problems import TOO_FEW_EXAMPLES, problem_response
from api.work.finding import digest_query
from api.work.segment_files import FILE_KINDS, attachment, read_chunks, write_segments
from api.work.services import Services, ServicesOf, reads_much
from api.work.teaching import read_examples
from encoders.errors import InvalidQueryError
from search.actions.correcting import correct_clip, correct_span, remove_example
from search.actions.exporting import ExportFormat
from search.actions.finding import FoundSegments, found_document
from search.actions.heads import remove_action
from search.actions.listing import describe_action, list_actions
from search.actions.naming import KnownActions
from search.actions.suggestions import SUGGESTIONS, suggest
from search.actions.teaching import keep_examples
from search.dates import recorded_bound
from search.documents.actions import (
    ActionDescriptionAnswer,
    ActionsAnswer,
    CorrectionAnswer,
    ForgottenAnswer,
    LeftAnswer,
    SuggestionsAnswer,
)
from search.documents.jobs import JobAnswer, job_document
from search.documents.segments import SegmentsAnswer, VideoSegmentsAnswer, video_segments_document
from search.types import Segment, SegmentQuery

router = APIRouter(prefix="/v1", tags=["actions"])

_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {kind.media_type: {"schema": {"type": "string"}} for kind in FILE_KINDS.values()},
    }
}


def _segment_query(
    action: Annotated[ActionName, Query(examples=["running"])],
    min_confidence: Annotated[Confidence | None, Query(examples=[0.6])] = None,
    min_duration_seconds: Annotated[Length | None, Query(examples=[2.0])] = None,
    path_prefix: Annotated[PathPrefix | None, Query(examples=["/archive/2024/"])] = None,
    video_id: Id | None = None,
    recorded_after: Annotated[RecordedAfter | None, Query(examples=["2024-05-01"])] = None,
    recorded_before: Annotated[RecordedBefore | None, Query(examples=["2024-05-31"])] = None,
) -> SegmentQuery:
    return SegmentQuery(
        (action,),
        min_confidence,
        min_duration_seconds,
        path_prefix,
        video_id,
        recorded_bound(recorded_after, is_end=False),
        recorded_bound(recorded_before, is_end=True),
    )


SegmentQueryOf = Annotated[SegmentQuery, Depends(_segment_query)]


@router.get("/segments", response_model=SegmentsAnswer)
async def segments(
    query: SegmentQueryOf, services: ServicesOf, limit: PageSize = 100, cursor: Cursor = None
) -> Response:
    """Every segment of an action, by path and time; 404 for an action that nothing here knows."""
    after = None if cursor is None else _after(query, cursor)
    found = await services.find_segments(query)
    return await run_sync(_page, services, query, found, after, limit)


def _page(
    services: Services,
    query: SegmentQuery,
    found: FoundSegments,
    after: tuple[str, float, int] | None,
    limit: int,
) -> Response:
    """Reads and serialises, both off the event loop."""
    with services.library.read() as catalog:
        total, listed = found.count(catalog), list(found.segments(catalog, after=after, limit=limit + 1))
    page = listed[:limit]
    document: SegmentsAnswer = {
        **found_document(found, page, total),
        "next_cursor": _cursor_after(query, page[-1]) if len(listed) > limit else None,
    }
    return json_response(SegmentsAnswer, document)


def _cursor_after(query: SegmentQuery, segment: Segment) -> str:
    place = (segment.path, float(segment.start_seconds), segment.id)
    return encode_cursor("segments", *place, digest_query(query))


def _after(query: SegmentQuery, cursor: str) -> tuple[str, float, int]:
    """Raises InvalidQueryError for a cursor of another listing, or of one with other filters."""
    path, start_seconds, segment_id, digest = decode_cursor("segments", cursor)
    if digest != digest_query(query):
        raise InvalidQueryError(
            "the cursor is that of a listing with another action or other filters: leave it out to start "
            "from the beginning"
        )
    return path, start_seconds, segment_id


@router.get("/segments/export", response_class=Response, responses=_FILE)
async def export_segments(
    query: SegmentQueryOf,
    services: ServicesOf,
    format: Annotated[
        ExportFormat,
        Query(description="activitynet is JSON, json the same; vtt holds one video only.", examples=["csv"]),
    ],
) -> Response:
    """Every segment of an action as a file for spreadsheets, evaluations, editors and players."""
    found = await services.find_segments(query)
    file = await run_sync(write_segments, services.library, found, format)
    return StreamingResponse(
        read_chunks(file),
        media_type=FILE_KINDS[format].media_type,
        headers={"Content-Disposition": attachment(found.action, format)},
    )


@router.get("/videos/{video_id}/segments", response_model=VideoSegmentsAnswer)
async def video_segments(
    video_id: VideoId,
    services: ServicesOf,
    action: Annotated[ActionName | None, Query(examples=["running"])] = None,
    min_confidence: Annotated[Confidence | None, Query(examples=[0.6])] = None,
) -> Response:
    """All segments of a video, by time: of one action, or of all that heads saw in it."""
    await run_sync(services.video, video_id)
    found = None
    if action is not None:
        found = await services.find_segments(SegmentQuery((action,), min_confidence, video_id=video_id))
    return await run_sync(_of_video, services, video_id, found, min_confidence)


def _of_video(
    services: Services, video_id: int, found: FoundSegments | None, min_confidence: float | None
) -> Response:
    every = SegmentQuery(min_confidence=min_confidence, video_id=video_id)
    with services.library.read() as catalog:
        listed = catalog.actions.list_segments(every) if found is None else found.segments(catalog)
        document = video_segments_document(video_id, listed)
    return json_response(VideoSegmentsAnswer, document)


@router.get("/actions", response_model=ActionsAnswer)
def actions(services: ServicesOf) -> ActionsAnswer:
    """List the known actions: who taught them, how often they were found."""
    return list_actions(services.library)


@router.post("/actions", status_code=202, response_model=JobAnswer)
def teach(body: TeachRequest, services: ServicesOf, request: Request, response: Response) -> Any:
    """Keeps examples of an action and queues a lesson; `Location` tells where to follow it.

    One span or clip is a lesson, 5 to 20 from as many videos are a good one. A lesson that could not be
    checked, or that did not hold when it was, is a draft: its report says why. Where nothing that is kept
    shows the action, a 409 comes, and what was given is kept.
    """
    library = services.library
    library.record()
    examples = read_examples(library, body.positives, is_positive=True)
    examples += read_examples(library, body.negatives, is_positive=False)
    with library.write() as catalog:
        name = keep_examples(catalog, body.action, examples, replace_examples=not body.keep)
        positive, negative = catalog.actions.count_examples_of(name)
    if not positive:
        return _too_few(name, negative, request.url.path)
    job = services.jobs.submit_lesson(name)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_document(job)


def _too_few(name: str, negative: int, path: str) -> Response:
    detail = (
        f"no example of {name!r} is kept, and 1 more is needed for a lesson: give a span or a clip that "
        "shows it"
    )
    counts: dict[str, Any] = {"action": name, "positive": 0, "negative": negative, "needed": 1}
    return problem_response(TOO_FEW_EXAMPLES, detail, path, **counts)


ActionPath = Annotated[ActionName, Path(description="Exactly as in the listing.", examples=["running"])]


@router.get("/actions/{name:path}/suggestions", response_model=SuggestionsAnswer)
@reads_much
def suggestions(
    name: ActionPath,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = SUGGESTIONS,
) -> SuggestionsAnswer:
    """Clips whose judgement would help a taught action most: the most doubtful ones, none like another."""
    return suggest(services.library, name, limit)


# A name may hold a slash.
@router.get("/actions/{name:path}", response_model=ActionDescriptionAnswer)
@reads_much
def action(name: ActionPath, services: ServicesOf) -> ActionDescriptionAnswer:
    """One action, or one head that knows several: its lesson's report and its examples."""
    return describe_action(services.library, name, with_untaught=True)


@router.delete("/actions/{name:path}/examples/{example_id}", response_model=LeftAnswer)
def remove_one_example(
    name: ActionPath,
    example_id: Annotated[Id, Path(description="From the action's `examples`.", examples=[4])],
    services: ServicesOf,
) -> dict[str, Any]:
    """Takes an example back and queues a lesson without it; what had given way to it stands again.

    Says how many are left.
    """
    left = remove_example(services.library, name, example_id)
    return {**asdict(left), "lesson": _learn_again(services, left.action)}


@router.delete("/actions/{name:path}", response_model=ForgottenAnswer)
def forget(name: ActionPath, services: ServicesOf) -> dict[str, Any]:
    """Forgets an action: its head, its segments and its examples."""
    return asdict(remove_action(services.library, name))


@router.post("/feedback", response_model=CorrectionAnswer)
def feedback(body: FeedbackRequest, services: ServicesOf) -> dict[str, Any]:
    """Keeps whether a clip or a span shows an action, and queues a lesson that learns from it.

    The tag of one that does not goes at once. Earlier corrections of this footage, and an example given as
    this very clip, give way until it is taken back; what else was taught stays.
    """
    library = services.library
    if body.clip_id is not None:
        kept = correct_clip(library, body.clip_id, body.action, is_positive=body.correct)
    else:
        assert body.video_id is not None and body.start_seconds is not None and body.end_seconds is not None
        span = (body.start_seconds, body.end_seconds)
        kept = correct_span(library, body.video_id, span, body.action, is_positive=body.correct)
    return {**asdict(kept), "lesson": _learn_again(services, kept.action)}


def _learn_again(services: Services, action: str) -> str | None:
    """Queues a lesson where the action's head learns from corrections at once; the job's id."""
    with services.library.read() as catalog:
        is_learned_again = KnownActions.read(catalog).is_learned_again(action)
        positive, _ = catalog.actions.count_examples_of(action)
    return services.jobs.submit_lesson(action).id if positive and is_learned_again else None
