"""Actions: every segment of one, what is known, corrections."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from api.routes.catalog import Cursor, PageSize, VideoId
from api.schemas.actions import (
    ActionDescriptionAnswer,
    ActionsAnswer,
    CorrectionAnswer,
    FeedbackRequest,
    ForgottenAnswer,
    LeftAnswer,
    SegmentsAnswer,
    SuggestionsAnswer,
    TeachRequest,
    VideoSegmentsAnswer,
)
from api.schemas.cursors import decode_cursor, encode_cursor
from api.schemas.problems import TOO_FEW_EXAMPLES, problem_response
from api.schemas.schemas import (
    ActionName,
    Confidence,
    Id,
    JobAnswer,
    Length,
    PathPrefix,
    RecordedAfter,
    RecordedBefore,
)
from api.work.finding import Wanted, all_segments
from api.work.segment_files import FILE_KINDS, ExportFormat, attachment, read_chunks, write_segments
from api.work.services import Services, ServicesOf
from api.work.teaching import read_examples
from encoders.errors import InvalidQueryError, UnknownActionError
from search.actions.actions import FoundSegments
from search.actions.kept_examples import describe_untaught, keep_examples, remove_example
from search.actions.suggestions import SUGGESTIONS, suggestions_document
from search.actions.teaching import is_learned_again
from search.catalog.actions import SegmentFilters
from search.dates import recorded_bound
from search.documents.wire import found_document, job_document, video_segments_document
from search.types import Segment

router = APIRouter(prefix="/v1", tags=["actions"])

_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {kind.media_type: {"schema": {"type": "string"}} for kind in FILE_KINDS.values()},
    }
}


def _wanted(
    action: Annotated[ActionName, Query(examples=["running"])],
    min_confidence: Annotated[Confidence | None, Query(examples=[0.6])] = None,
    min_duration_seconds: Annotated[Length | None, Query(examples=[2.0])] = None,
    path_prefix: Annotated[PathPrefix | None, Query(examples=["/archive/2024/"])] = None,
    video_id: Id | None = None,
    recorded_after: Annotated[RecordedAfter | None, Query(examples=["2024-05-01"])] = None,
    recorded_before: Annotated[RecordedBefore | None, Query(examples=["2024-05-31"])] = None,
) -> Wanted:
    return Wanted(
        action,
        min_confidence,
        min_duration_seconds,
        path_prefix,
        video_id,
        recorded_bound(recorded_after, is_end=False),
        recorded_bound(recorded_before, is_end=True),
    )


WantedOf = Annotated[Wanted, Depends(_wanted)]


@router.get("/segments", response_model=SegmentsAnswer)
async def segments(
    wanted: WantedOf, services: ServicesOf, limit: PageSize = 100, cursor: Cursor = None
) -> Response:
    """Every segment of an action, by path and time; 404 for an action that nothing here knows."""
    after = None if cursor is None else _after(wanted, cursor)
    found = await services.find_segments(wanted)
    return await run_sync(_page, services, wanted, found, after, limit)


def _page(
    services: Services,
    wanted: Wanted,
    found: FoundSegments,
    after: tuple[str, float, int] | None,
    limit: int,
) -> Response:
    """Reads and serialises, both off the event loop."""
    total, listed = services.finder.page(found, after, limit + 1)
    page = listed[:limit]
    answer = SegmentsAnswer.model_validate(
        {
            **found_document(found, page, total),
            "next_cursor": _cursor_after(wanted, page[-1]) if len(listed) > limit else None,
        }
    )
    return Response(answer.model_dump_json(), media_type="application/json")


def _cursor_after(wanted: Wanted, segment: Segment) -> str:
    place = (segment.path, float(segment.start_seconds), segment.id)
    return encode_cursor("segments", *place, wanted.digest())


def _after(wanted: Wanted, cursor: str) -> tuple[str, float, int]:
    """Raises InvalidQueryError for a cursor of another listing, or of one with other filters."""
    path, start_seconds, segment_id, digest = decode_cursor("segments", cursor)
    if digest != wanted.digest():
        raise InvalidQueryError(
            "the cursor is that of a listing with another action or other filters: leave it out to start "
            "from the beginning"
        )
    return path, start_seconds, segment_id


@router.get("/segments/export", response_class=Response, responses=_FILE)
async def export_segments(
    wanted: WantedOf,
    services: ServicesOf,
    format: Annotated[
        ExportFormat,
        Query(description="activitynet is JSON, json the same; vtt holds one video only.", examples=["csv"]),
    ],
) -> Response:
    """Every segment of an action as a file for spreadsheets, evaluations, editors and players."""
    found = await services.find_segments(wanted)
    file = await run_sync(write_segments, services.library, found, format)
    return StreamingResponse(
        read_chunks(file),
        media_type=FILE_KINDS[format].media_type,
        headers={"Content-Disposition": attachment(wanted.action, format)},
    )


@router.get("/videos/{video_id}/segments", response_model=VideoSegmentsAnswer)
async def video_segments(
    video_id: VideoId,
    services: ServicesOf,
    action: Annotated[ActionName | None, Query(examples=["running"])] = None,
    min_confidence: Annotated[Confidence | None, Query(examples=[0.6])] = None,
) -> Response:
    """All segments of a video, by time: of one action, or of all that heads saw in it."""
    await run_sync(_check_video, services, video_id)
    found = None
    if action is not None:
        found = await services.find_segments(Wanted(action, min_confidence, video_id=video_id))
    return await run_sync(_of_video, services, video_id, found, min_confidence)


def _check_video(services: Services, video_id: int) -> None:
    with services.library.read() as catalog:
        catalog.video(video_id)


def _of_video(
    services: Services, video_id: int, found: FoundSegments | None, min_confidence: float | None
) -> Response:
    filters = SegmentFilters(min_confidence=min_confidence, video_id=video_id)
    with services.library.read() as catalog:
        listed = catalog.actions.list_segments(filters) if found is None else all_segments(catalog, found)
        document = video_segments_document(video_id, listed)
    answer = VideoSegmentsAnswer.model_validate(document)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/actions", response_model=ActionsAnswer)
def actions(services: ServicesOf) -> dict[str, Any]:
    """What is known here: which actions, who taught them, how often they were found."""
    known = services.library.actions
    return {
        "actions": known.listing(),
        "heads": known.heads_listing(),
        "untaught": known.untaught(),
    }


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
    name = keep_examples(library, body.action, examples, replace_examples=not body.keep)
    with library.read() as catalog:
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
async def suggestions(
    name: ActionPath,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = SUGGESTIONS,
) -> dict[str, Any]:
    """Clips whose judgement would help a taught action most: the most doubtful ones, none like another."""
    return await services.choosing.run(suggestions_document, services.library, name, limit)


# A name may hold a slash.
@router.get("/actions/{name:path}", response_model=ActionDescriptionAnswer)
async def action(name: ActionPath, services: ServicesOf) -> dict[str, Any]:
    """One action, or one head that knows several: its lesson's report and its examples."""

    def describe() -> dict[str, Any]:
        try:
            return services.library.actions.describe(name)
        except UnknownActionError:
            document = describe_untaught(services.library, name)
            if document is None:
                raise
            return document

    return await services.choosing.run(describe)


@router.delete("/actions/{name:path}/examples/{example_id}", response_model=LeftAnswer)
def remove_one_example(
    name: ActionPath,
    example_id: Annotated[Id, Path(description="From the action's `examples`.", examples=[4])],
    services: ServicesOf,
) -> dict[str, Any]:
    """Takes an example back and queues a lesson without it; what had given way to it stands again.

    Says how many are left.
    """
    document = remove_example(services.library, name, example_id)
    return {**document, "lesson": _learn_again(services, document["action"])}


@router.delete("/actions/{name:path}", response_model=ForgottenAnswer)
def forget(name: ActionPath, services: ServicesOf) -> dict[str, Any]:
    """Forgets an action: its head, its segments and its examples."""
    return services.library.actions.remove(name)


@router.post("/feedback", response_model=CorrectionAnswer)
def feedback(body: FeedbackRequest, services: ServicesOf) -> dict[str, Any]:
    """Keeps whether a clip or a span shows an action, and queues a lesson that learns from it.

    The tag of one that does not goes at once. Earlier corrections of this footage, and an example given as
    this very clip, give way until it is taken back; what else was taught stays.
    """
    known = services.library.actions
    if body.clip_id is not None:
        document = known.correct(body.clip_id, body.action, is_positive=body.correct)
    else:
        assert body.video_id is not None and body.start_seconds is not None and body.end_seconds is not None
        span = (body.start_seconds, body.end_seconds)
        document = known.correct_span(body.video_id, span, body.action, is_positive=body.correct)
    return {**document, "lesson": _learn_again(services, document["action"])}


def _learn_again(services: Services, action: str) -> str | None:
    """Queues a lesson where the action's head learns from corrections at once; the job's id."""
    with services.library.read() as catalog:
        heads = [head for head in catalog.actions.heads() if head.name == action]
        positive, _ = catalog.actions.count_examples_of(action)
    if not positive or not any(map(is_learned_again, heads)):
        return None
    return services.jobs.submit_lesson(action).id
