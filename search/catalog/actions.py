"""The catalog's part about actions: heads, their segments, and the examples they were taught with."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    tuple_,
    update,
)

from encoders.errors import NotFoundError
from encoders.heads.head import ActionSpan, FeatureTrack
from search.catalog.conditions import larger, path_prefix_condition, recorded_conditions, smaller
from search.catalog.giving_way import LEAST_OVERLAP_SECONDS, standing, without
from search.catalog.tables import (
    action_examples,
    checksum,
    clip_vectors,
    clips,
    heads,
    library,
    segments,
    videos,
)
from search.catalog.tracks import (
    check_stored,
    file_track_from_bytes,
    shot_window_of,
    track_of_clips,
    track_to_bytes,
)
from search.dates import RecordedBound
from search.types import Segment

SAMPLES_PER_PIECE = 20_000  # of a long video, in memory at once

HeadKind = Literal["taught", "localiser", "draft", "zero-shot", "kinetics"]
DRAFT: Literal["draft"] = (
    "draft"  # of a lesson that could not be checked, or did not hold: found only where it is named
)
# What a lesson gives: by windows of clips, by labelled spans, or not enough yet.
TAUGHT_KINDS = ("taught", "localiser", DRAFT)
Origin = Literal["teach", "spans", "feedback"]


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """A head without its parameters.

    Attributes:
        card: What is known about it: the report of its lesson, say.
        threshold: The confidence from which its segments count.
    """

    id: int
    kind: HeadKind
    name: str
    is_active: bool
    encoder_id: str
    actions: tuple[str, ...]
    threshold: float
    card: Mapping[str, Any]
    created_at: float

    @property
    def label(self) -> str:
        """How a segment names it: "taught", "draft", or the name of what knows many actions."""
        if self.is_draft:
            return DRAFT
        return "taught" if self.is_taught else self.name

    @property
    def is_draft(self) -> bool:
        """Whether it is of a lesson that could not be checked, or did not hold."""
        return self.kind == DRAFT

    @property
    def is_taught(self) -> bool:
        """Whether it was taught its one action here or elsewhere, by examples."""
        return self.kind in TAUGHT_KINDS


@dataclass(frozen=True, slots=True)
class ActionExample:
    """An example of an action, or of what it is not: a span of a catalogued video, or features of its own.

    Attributes:
        source: Where it is from, to show and to tell examples apart.
        span: [start, end) in seconds, with `video_id`.
        track: For footage that is not in the catalog.
        digest: SHA-256 of the file that the track is from, if that is known.
        origin: Given for a lesson; given so by somebody who labelled all of the action in the video, so
            that what is not labelled there is not it; or a correction.
        id: Of one that is kept.
    """

    is_positive: bool
    source: str
    video_id: int | None = None
    span: tuple[float, float] | None = None
    track: FeatureTrack | None = None
    origin: Origin = "teach"
    digest: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class SegmentFilters:
    """Which segments are wanted.

    Attributes:
        actions: Names as heads know them; None means all but those of drafts.
        min_confidence: None leaves it to each head's threshold.
        video_id, path_prefix, min_duration_seconds, recorded_after, recorded_before: As elsewhere.
    """

    actions: tuple[str, ...] | None = None
    min_confidence: float | None = None
    min_duration_seconds: float | None = None
    path_prefix: str | None = None
    video_id: int | None = None
    recorded_after: RecordedBound | None = None
    recorded_before: RecordedBound | None = None


class ActionCatalog:
    """Reads and writes actions over the connection of a `Catalog`; never commits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- heads -----------------------------------------------------------------------------

    def add_head(
        self,
        *,
        kind: HeadKind,
        name: str,
        encoder_id: str,
        actions: Sequence[str],
        threshold: float,
        card: Mapping[str, Any],
        parameters: bytes | None,
        is_active: bool,
    ) -> int:
        """Adds a head, active or still at work on the library; returns its id."""
        self.hold_videos()  # a video is published before, and seen by the head, or after, and tagged by it
        result = self._connection.execute(
            insert(heads).values(
                kind=kind,
                name=name,
                is_active=is_active,
                encoder_id=encoder_id,
                actions=json.dumps(list(actions), ensure_ascii=False),
                threshold=threshold,
                card=json.dumps(dict(card), ensure_ascii=False),
                parameters=parameters,
                created_at=time.time(),
            )
        )
        return int(result.inserted_primary_key[0])  # type: ignore[index]

    def heads(self, *, active: bool | None = True) -> list[HeadRecord]:
        """Heads by name; with `active=None` also those that are still at work."""
        columns = [column for column in heads.c if column.name not in ("parameters", "crc32")]
        query = select(*columns).order_by(heads.c.name, heads.c.id)
        if active is not None:
            query = query.where(heads.c.is_active == active)
        return [
            HeadRecord(
                **{
                    **row._mapping,
                    "actions": tuple(json.loads(row.actions)),
                    "card": json.loads(row.card),
                }
            )
            for row in self._connection.execute(query)
        ]

    def head_parameters(self, head_id: int) -> bytes | None:
        """A head's safetensors; None for a backbone. Raises NotFoundError."""
        row = self._connection.execute(select(heads.c.parameters).where(heads.c.id == head_id)).first()
        if row is None:
            raise NotFoundError(f"there is no head {head_id} any more")
        return None if row.parameters is None else bytes(row.parameters)

    def activate_head(self, head_id: int) -> None:
        """Puts a head that has done its work in the place of the one of its name.

        Older ones of that name that never got so far go too: their program was stopped, or is late.

        Raises:
            NotFoundError: It is gone: a newer one was quicker.
        """
        name = self._connection.execute(select(heads.c.name).where(heads.c.id == head_id)).scalar()
        if name is None:
            raise NotFoundError("this head was replaced by a newer one while it was tagging the library")
        is_older = heads.c.id < head_id
        self._connection.execute(
            delete(heads).where(heads.c.name == name, heads.c.id != head_id, or_(heads.c.is_active, is_older))
        )
        self._connection.execute(update(heads).where(heads.c.id == head_id).values(is_active=True))

    def remove_head(self, head_id: int) -> None:
        """Removes a head and its segments."""
        self._connection.execute(delete(heads).where(heads.c.id == head_id))

    def remove_empty_backbones(self, *, but: str) -> None:
        """Removes the backbones that have no segment, except for one by its name."""
        empty = ~select(segments.c.id).where(segments.c.head_id == heads.c.id).exists()
        self._connection.execute(delete(heads).where(heads.c.kind == "kinetics", heads.c.name != but, empty))

    def rename(self, head_id: int, old: str, new: str, parameters: bytes) -> None:
        """Gives a taught action another name, with its segments and examples."""
        actions = json.dumps([new], ensure_ascii=False)
        self._connection.execute(
            update(heads)
            .where(heads.c.id == head_id)
            .values(name=new, actions=actions, parameters=parameters, crc32=checksum(parameters))
        )
        self._connection.execute(update(segments).where(segments.c.head_id == head_id).values(action=new))
        self._connection.execute(
            update(action_examples).where(action_examples.c.action == old).values(action=new)
        )

    def hold_videos(self) -> None:
        """No other transaction publishes or removes a video until this one ends.

        They all begin by changing the library's row. On SQLite there is but one writer anyway.
        """
        self._connection.execute(select(library.c.id).with_for_update())

    # --- segments --------------------------------------------------------------------------

    def add_segments(self, video_id: int, head_id: int, spans: Iterable[ActionSpan]) -> None:
        """Adds what a head found in a video."""
        rows = [
            {
                "video_id": video_id,
                "head_id": head_id,
                "action": span.action,
                "start_seconds": span.start_seconds,
                "end_seconds": span.end_seconds,
                "confidence": span.confidence,
            }
            for span in spans
        ]
        if rows:
            self._connection.execute(insert(segments), rows)

    def clear_segments(self, video_id: int, head_ids: Sequence[int] | None = None) -> None:
        """Removes a video's segments: all, or those of some heads."""
        condition = segments.c.video_id == video_id
        if head_ids is not None:
            condition = and_(condition, segments.c.head_id.in_(head_ids))
        self._connection.execute(delete(segments).where(condition))

    def drop_rejected(self, video_id: int) -> None:
        """Cuts the spans of which people have said that they are not what they are called out of segments.

        What is left of a segment beside such a span keeps its confidence, as one segment or two. A rest of
        no more than `LEAST_OVERLAP_SECONDS` goes too: it is the blur of the border that was refuted.
        """
        rejected = self.rejected(video_id)
        if not rejected:
            return
        tagged = select(segments).where(
            segments.c.video_id == video_id, segments.c.action.in_(list(rejected))
        )
        for row in self._connection.execute(tagged).all():
            whole = (row.start_seconds, row.end_seconds)
            rests = without(whole, rejected[row.action])
            if rests == [whole]:
                continue
            self._connection.execute(delete(segments).where(segments.c.id == row.id))
            spans = [ActionSpan(row.action, start, end, row.confidence) for start, end in rests]
            self.add_segments(video_id, row.head_id, spans)

    def rejected(self, video_id: int) -> dict[str, list[tuple[float, float]]]:
        """By action: the spans of a video of which people have said that they are not it."""
        found: dict[str, list[tuple[float, float]]] = {}
        for action, examples in self._standing(action_examples.c.video_id == video_id).items():
            spans = [
                one.span for one in examples if one.origin == "feedback" and not one.is_positive and one.span
            ]
            if spans:
                found[action] = spans
        return found

    def count_segments(self, filters: SegmentFilters) -> int:
        """How many segments pass."""
        query = select(func.count()).select_from(_joined()).where(*_segment_conditions(filters))
        return self._connection.execute(query).scalar_one()

    def list_segments(
        self,
        filters: SegmentFilters,
        *,
        after: tuple[str, float, int] | None = None,
        limit: int | None = None,
    ) -> Iterator[Segment]:
        """Segments that pass, by path and time.

        Args:
            filters: Which.
            after: Path, start and id of the segment to continue after.
            limit: None means all of them, streamed.
        """
        order = (videos.c.path, segments.c.start_seconds, segments.c.id)
        query = _segment_select().where(*_segment_conditions(filters)).order_by(*order)
        if after is not None:
            query = query.where(tuple_(*order) > tuple_(*after))
        if limit is not None:
            query = query.limit(limit)
        for row in self._connection.execute(query).yield_per(2000):
            yield _segment(row)

    def segments_of_videos(
        self, video_ids: Sequence[int], filters: SegmentFilters | None = None
    ) -> dict[int, list[Segment]]:
        """Segments of some videos in order of time: those that pass, else that reach their thresholds."""
        found: dict[int, list[Segment]] = {video_id: [] for video_id in video_ids}
        ids = list(found)
        conditions = _segment_conditions(filters or SegmentFilters())
        for start in range(0, len(ids), 500):
            query = _segment_select().where(segments.c.video_id.in_(ids[start : start + 500]), *conditions)
            for row in self._connection.execute(query.order_by(segments.c.start_seconds, segments.c.id)):
                found[row.video_id].append(_segment(row))
        return found

    def counts(self) -> dict[tuple[int, str], tuple[int, float]]:
        """By head id and action: how many segments reach the threshold, and their seconds in all."""
        length = func.sum(segments.c.end_seconds - segments.c.start_seconds)
        query = (
            select(segments.c.head_id, segments.c.action, func.count(), length)
            .select_from(_joined())
            .where(*_segment_conditions(SegmentFilters(), with_drafts=True))
            .group_by(segments.c.head_id, segments.c.action)
        )
        return {(row[0], row[1]): (row[2], float(row[3])) for row in self._connection.execute(query)}

    # --- examples --------------------------------------------------------------------------

    def add_example(self, action: str, example: ActionExample) -> int:
        """Keeps an example, in place of those of the same footage; returns its id.

        A correction deletes nothing: `search.catalog.giving_way` knows what gives way to it.
        """
        start, end = example.span or (None, None)
        if example.origin != "feedback":
            same = action_examples.c.source == example.source
            if start is not None and end is not None:
                same = and_(
                    action_examples.c.video_id == example.video_id,
                    action_examples.c.start_seconds < end - 1e-6,
                    action_examples.c.end_seconds > start + 1e-6,
                )
            self._connection.execute(delete(action_examples).where(action_examples.c.action == action, same))
        result = self._connection.execute(
            insert(action_examples).values(
                action=action,
                is_positive=example.is_positive,
                origin=example.origin,
                source=example.source,
                video_id=example.video_id,
                start_seconds=start,
                end_seconds=end,
                track=None if example.track is None else track_to_bytes(example.track, example.digest),
                created_at=time.time(),
            )
        )
        return int(result.inserted_primary_key[0])  # type: ignore[index]

    def examples(self, action: str) -> list[ActionExample]:
        """An action's examples that stand, in the order in which they were given."""
        query = select(action_examples).where(action_examples.c.action == action)
        return standing(
            [_example(row) for row in self._connection.execute(query.order_by(action_examples.c.id))]
        )

    def count_examples(self) -> dict[str, tuple[int, int]]:
        """By action: how many examples of it stand, and how many of what it is not."""
        return {action: _sides(examples) for action, examples in self._standing().items()}

    def count_examples_of(self, action: str) -> tuple[int, int]:
        """How many examples of an action stand, and how many of what it is not."""
        return _sides(self._standing(action_examples.c.action == action).get(action, []))

    def _standing(self, *conditions: ColumnElement[bool]) -> dict[str, list[ActionExample]]:
        """By action, the examples that stand, without their tracks.

        Args:
            conditions: Each takes all of a video or none of it.
        """
        columns = [column for column in action_examples.c if column.name not in ("track", "crc32")]
        query = select(*columns, null().label("track")).where(*conditions).order_by(action_examples.c.id)
        kept: dict[str, list[ActionExample]] = {}
        for row in self._connection.execute(query):
            kept.setdefault(row.action, []).append(_example(row))
        return {action: left for action, examples in kept.items() if (left := standing(examples))}

    def examples_state(self) -> tuple[int, int]:
        """Changes whenever an example or a correction is added or taken away."""
        query = select(func.count(), func.coalesce(func.max(action_examples.c.id), 0))
        count, last = self._connection.execute(query).one()
        return int(count), int(last)

    def remove_examples(self, action: str, *, origin: Origin | None = None) -> int:
        """Forgets an action's examples, or those of one origin; returns how many of them stood."""
        condition = action_examples.c.action == action
        stood = self._standing(condition).get(action, [])
        if origin is not None:
            condition = and_(condition, action_examples.c.origin == origin)
            stood = [one for one in stood if one.origin == origin]
        self._connection.execute(delete(action_examples).where(condition))
        return len(stood)

    def remove_example(self, action: str, example_id: int) -> None:
        """Forgets one example; what had given way to it stands again.

        Raises:
            NotFoundError: The action has none of this id.
        """
        condition = and_(action_examples.c.action == action, action_examples.c.id == example_id)
        if not self._connection.execute(delete(action_examples).where(condition)).rowcount:
            raise NotFoundError(f"{action!r} has no example {example_id}")

    def examples_of_videos(self, video_ids: Iterable[int]) -> Counter[str]:
        """By action: how many examples, of it or of what it is not, are spans of these videos."""
        found: Counter[str] = Counter()
        ids = list(video_ids)
        for start in range(0, len(ids), 500):
            chunk = self._standing(action_examples.c.video_id.in_(ids[start : start + 500]))
            found.update({action: len(examples) for action, examples in chunk.items()})
        return found

    def remove_examples_of_video(self, video_id: int) -> None:
        """Forgets the spans of a video, whose content is another now."""
        self._connection.execute(delete(action_examples).where(action_examples.c.video_id == video_id))

    # --- features --------------------------------------------------------------------------

    def video_ids(self) -> list[int]:
        """Videos with visible clips, ascending."""
        query = select(clips.c.video_id).where(clips.c.revision.is_not(None)).distinct()
        return sorted(self._connection.execute(query).scalars())

    def count_by_sampling(self) -> dict[str, int]:
        """By the sampling that they were indexed with, as it is stored: how many videos are indexed."""
        query = (
            select(videos.c.sampling, func.count())
            .where(videos.c.status == "indexed", videos.c.sampling.is_not(None))
            .group_by(videos.c.sampling)
        )
        return {row[0]: row[1] for row in self._connection.execute(query)}

    def first_times(self, video_ids: Sequence[int]) -> dict[int, float]:
        """When the first clip of each video begins, in seconds: what a player shows as 0."""
        found: dict[int, float] = {}
        for start in range(0, len(video_ids), 500):
            query = (
                select(clips.c.video_id, func.min(clips.c.start_seconds))
                .where(clips.c.video_id.in_(video_ids[start : start + 500]), clips.c.revision.is_not(None))
                .group_by(clips.c.video_id)
            )
            found.update((row[0], float(row[1])) for row in self._connection.execute(query))
        return found

    def extent(self, video_id: int) -> tuple[float, float] | None:
        """When a video's first clip begins and its last one ends, in seconds; None without clips."""
        query = select(func.min(clips.c.start_seconds), func.max(clips.c.end_seconds)).where(
            clips.c.video_id == video_id, clips.c.revision.is_not(None)
        )
        first, last = self._connection.execute(query).one()
        return None if first is None else (float(first), float(last))

    def video_revision(self, video_id: int) -> int | None:
        """Changes whenever the video's clips are replaced; None when it has none."""
        query = select(func.max(clips.c.revision)).where(clips.c.video_id == video_id)
        return self._connection.execute(query).scalar()

    def tracks(
        self, video_id: int, dim: int, span: tuple[float, float] | None = None
    ) -> Iterator[FeatureTrack]:
        """A video's features in order of time, in pieces of at most some 20,000 samples.

        Args:
            video_id: Of a published video.
            dim: D.
            span: Only the clips that overlap [start, end) in seconds.

        Raises:
            LibraryError: What is stored of a clip is damaged.
        """
        video = self._connection.execute(
            select(videos.c.sampling, videos.c.path).where(videos.c.id == video_id)
        ).first()
        if video is None:
            return
        shot_window = shot_window_of(video.sampling)
        columns = (clips.c.id, clips.c.start_seconds, clips.c.end_seconds)
        query = (
            select(*columns, clip_vectors.c.times, clip_vectors.c.features)
            .join(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
            .where(clips.c.video_id == video_id, clips.c.revision.is_not(None))
            .order_by(clips.c.ordinal)
        )
        if span is not None:
            query = query.where(clips.c.start_seconds < span[1], clips.c.end_seconds > span[0])
        rows, samples = [], 0
        for row in self._connection.execute(query).yield_per(256):
            check_stored(row, dim, video.path)
            rows.append(row)
            samples += len(row.times) // 8
            if samples >= SAMPLES_PER_PIECE:
                yield track_of_clips(rows, dim, shot_window)
                rows, samples = [], 0
        if rows:
            yield track_of_clips(rows, dim, shot_window)


def clips_with_action(filters: SegmentFilters) -> Select[Any]:
    """Ids of the clips that show one of the actions."""
    shared = smaller(segments.c.end_seconds, clips.c.end_seconds) - larger(
        segments.c.start_seconds, clips.c.start_seconds
    )
    enough = or_(
        shared >= LEAST_OVERLAP_SECONDS,
        2 * shared >= clips.c.end_seconds - clips.c.start_seconds,
        2 * shared >= segments.c.end_seconds - segments.c.start_seconds,
    )
    return (
        select(clips.c.id)
        .select_from(segments)
        .join(heads, heads.c.id == segments.c.head_id)
        .join(clips, clips.c.video_id == segments.c.video_id)
        .where(
            clips.c.start_seconds < segments.c.end_seconds,
            clips.c.end_seconds > segments.c.start_seconds,
            enough,
            *_segment_conditions(filters, with_videos=False),
        )
    )


def overlaps_enough(start: float, end: float, segment: Segment) -> bool:
    """Whether a span shows a segment's action: as `clips_with_action` decides it."""
    shared = min(end, segment.end_seconds) - max(start, segment.start_seconds)
    if shared <= 0:
        return False
    return (
        shared >= LEAST_OVERLAP_SECONDS
        or 2 * shared >= end - start
        or 2 * shared >= segment.end_seconds - segment.start_seconds
    )


def _joined() -> Any:
    return segments.join(heads, heads.c.id == segments.c.head_id).join(
        videos, videos.c.id == segments.c.video_id
    )


def _segment_select() -> Select[Any]:
    return select(
        segments.c.id,
        segments.c.video_id,
        videos.c.path,
        segments.c.start_seconds,
        segments.c.end_seconds,
        segments.c.action,
        segments.c.confidence,
        case(
            (heads.c.kind == DRAFT, DRAFT),
            (heads.c.kind.in_(TAUGHT_KINDS), "taught"),
            else_=heads.c.name,
        ).label("head"),
    ).select_from(_joined())


def _example(row: Any) -> ActionExample:
    track, digest = (None, None) if row.track is None else file_track_from_bytes(row.track)
    return ActionExample(
        is_positive=row.is_positive,
        source=row.source,
        video_id=row.video_id,
        span=None if row.start_seconds is None else (row.start_seconds, row.end_seconds),
        track=track,
        origin=row.origin,
        digest=digest,
        id=row.id,
    )


def _sides(examples: Sequence[ActionExample]) -> tuple[int, int]:
    positive = sum(one.is_positive for one in examples)
    return positive, len(examples) - positive


def _segment(row: Any) -> Segment:
    return Segment(**row._mapping)


def _segment_conditions(
    filters: SegmentFilters, *, with_videos: bool = True, with_drafts: bool = False
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [heads.c.is_active]
    if with_videos:
        conditions.append(videos.c.status != "staging")
    if filters.actions is not None:
        conditions.append(segments.c.action.in_(filters.actions))
    elif not with_drafts:
        conditions.append(heads.c.kind != DRAFT)
    if filters.min_confidence is None:
        conditions.append(segments.c.confidence >= heads.c.threshold)
    else:
        conditions.append(segments.c.confidence >= filters.min_confidence)
    if filters.min_duration_seconds is not None:
        length = segments.c.end_seconds - segments.c.start_seconds
        conditions.append(length >= filters.min_duration_seconds - 1e-6)
    if filters.path_prefix is not None:
        named = path_prefix_condition(filters.path_prefix)
        # Without the videos in the statement, naming their table would pair each with every segment.
        inside = segments.c.video_id.in_(select(videos.c.id).where(named))
        conditions.append(named if with_videos else inside)
    if recorded := recorded_conditions(filters.recorded_after, filters.recorded_before):
        # As with the path.
        within = segments.c.video_id.in_(select(videos.c.id).where(*recorded))
        conditions += recorded if with_videos else [within]
    if filters.video_id is not None:
        conditions.append(segments.c.video_id == filters.video_id)
    return conditions
