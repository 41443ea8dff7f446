"""From a query to hits: encode, search the index under the filter, align, group, show."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from encoders.errors import InvalidQueryError, NotFoundError, UnsupportedQueryError
from encoders.types import TextReading, normalise
from encoders.words.things import Things, all_things
from search.actions.finding import allowed_clips, find_filtering, segments_by_video
from search.alignment.aligning import EncodedExample, encode_clips, find_leads, match_videos, merged, passes
from search.alignment.insets import find_inset
from search.bands import MATCH_PROBABILITY, MAYBE_PROBABILITY
from search.calibration.probabilities import AskedFor, Level, judge
from search.calibration.together import best_together
from search.catalog.actions.spans import overlaps_enough
from search.catalog.catalog import Catalog
from search.library import Library
from search.query.fitting_frames import order_key_frames
from search.query.grouping import Group, ScoredClip, group_clips
from search.query.timeline import VideoMatches, score_frames
from search.types import (
    MAX_LIMIT,
    ActionTag,
    ClipPart,
    ExamplePart,
    Filters,
    GroupBy,
    Hit,
    Query,
    QueryPart,
    SearchResult,
    Segment,
    SpanPart,
    TextPart,
)

CANDIDATES_PER_EXAMPLE_CLIP = 100
# Where an index does not compare all clips: in how many that it finds by words the things are looked for.
CANDIDATES_BY_WORDS = 1000
CLIPS_AT_ONCE = 1024  # whose embeddings are held in memory
KEPT_TEXTS = 1024  # people page, filter and refine: the same words come again


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query that is ready to be searched for.

    Attributes:
        vectors: float32 (Q, D), searched together.
        excluded: Clips that are left out: those that were asked with.
        asked: The same as its scores are judged by.
        examples: Footage to be laid over videos in time: as it is, mirrored, and what is shown within it.
        understood: What the encoder took its words for.
    """

    vectors: NDArray[np.float32]
    excluded: frozenset[int]
    asked: AskedFor
    examples: tuple[EncodedExample, ...]
    understood: tuple[TextReading, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Words as the encoder has them.

    Attributes:
        vector: float32 (D,), their embedding.
        reading: What they were taken for.
        best_score: What a frame scores that clearly shows one thing which they name.
        things: What they ask for, thing by thing; none where they are one whole.
    """

    vector: NDArray[np.float32]
    reading: TextReading | None
    best_score: float
    things: Things


class SearchEngine:
    """Answers queries on one library; safe to share between threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._texts: OrderedDict[str, EncodedText] = OrderedDict()
        self._texts_lock = threading.Lock()

    def new_texts(self, query: Query) -> list[str]:
        """Those of a query's words that `search` would still have to encode."""
        with self._texts_lock:
            texts = [part.text for part in query.parts if isinstance(part, TextPart)]
            return [text for text in texts if text not in self._texts]

    def encode_text(self, text: str) -> EncodedText:
        """Words as the encoder has them; the last thousand are remembered.

        Raises:
            InvalidQueryError: The text is empty or blank.
            UnsupportedQueryError: The library's encoder cannot encode words.
        """
        with self._texts_lock:
            if text in self._texts:
                self._texts.move_to_end(text)
                return self._texts[text]
        encoder = self._library.encoder()
        if not encoder.has_text:
            raise UnsupportedQueryError(
                f"{encoder.spec} has no text side: search by an image, a clip or a clip id"
            )
        vector = encoder.encode_text([text]).vectors[0]
        encoded = EncodedText(
            vector, encoder.read_text(text), encoder.best_score(vector), encoder.encode_things(text)
        )
        with self._texts_lock:
            self._texts[text] = encoded
            while len(self._texts) > KEPT_TEXTS:
                self._texts.popitem(last=False)
        return encoded

    def search(
        self,
        query: Query | EncodedQuery,
        filters: Filters | None = None,
        *,
        limit: int = 10,
        group_by: GroupBy = "clip",
    ) -> SearchResult:
        """Finds the moments that resemble a query most.

        Args:
            query: What to look for.
            filters: What every hit must satisfy; applied inside the vector search.
            limit: Most hits to return, 1 to 10,000.
            group_by: "clip", "moment" (neighbouring clips merged) or "video" (best clip each).

        Raises:
            InvalidQueryError: The limit is out of range, or parts of the query cancel out.
            NotFoundError: A clip or video that the query names does not exist.
            UnsupportedQueryError: The library's encoder cannot encode such a query.
            UnknownActionError: The filters name an action that nothing knows.
            LibraryError: Nothing has been indexed yet.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidQueryError(f"the limit must be from 1 to {MAX_LIMIT}, got {limit}")
        filters = filters or Filters()
        started = time.perf_counter()
        record = self._library.record()
        encoded = query if isinstance(query, EncodedQuery) else self.encode(query)
        level = judge(encoded.asked, self._library.sample(), record.encoder_id)
        usual = level.score_at(MAYBE_PROBABILITY)
        wanted = find_filtering(self._library, filters)
        allowed = allowed_clips(self._library, filters, wanted)
        while True:
            check_budget()
            groups = self._grouped(encoded, allowed, limit, group_by, usual)
            with self._library.read() as catalog:
                shown = groups if encoded.examples else groups[:limit]
                if catalog.revision() != record.revision and not _all_there(catalog, shown):
                    continue  # a video went away since its clips were found: others take their place
                hits = _hits(catalog, shown, level)
                if encoded.examples:
                    matched = self._matched(catalog, encoded.examples, allowed, level)
                    letting_in = segments_by_video(catalog, [hit.video_id for hit in matched], wanted)
                    matched = [
                        hit for hit in matched if passes(hit, allowed, filters, letting_in[hit.video_id])
                    ]
                    hits = merged(matched, hits, one_per_video=group_by == "video")[:limit]
                letting_in = segments_by_video(catalog, [hit.video_id for hit in hits], wanted)
                hits = _tagged(catalog, hits, letting_in)
                hits = order_key_frames(catalog, hits, encoded.asked.score, record.dim)
                captions = catalog.captions.of_clips([hit.clip_id for hit in hits], filters.caption)
                hits = [replace(hit, caption=captions.get(hit.clip_id)) for hit in hits]
            break
        with self._library.index() as index:
            exact = index.is_exact(None if allowed is None else len(allowed))
        return SearchResult(
            hits=tuple(hits),
            encoder=record.encoder_id,
            exact=exact,
            took_ms=(time.perf_counter() - started) * 1000,
            understood=encoded.understood,
        )

    def matches(self, query: Query | EncodedQuery, video_id: int) -> VideoMatches:
        """How well a query fits each stored frame of a video.

        Raises:
            InvalidQueryError, NotFoundError, UnsupportedQueryError, LibraryError: As `search`.
        """
        record = self._library.record()
        with self._library.read() as catalog:
            catalog.video(video_id)
        encoded = query if isinstance(query, EncodedQuery) else self.encode(query)
        level = judge(encoded.asked, self._library.sample(), record.encoder_id)
        with self._library.read() as catalog:
            catalog.video(video_id)  # it may have gone meanwhile
            times, scores = score_frames(catalog.tracks(video_id, record.dim), encoded.asked.score)
        usual, sure = level.score_at(MAYBE_PROBABILITY), level.score_at(MATCH_PROBABILITY)
        return VideoMatches(video_id, times, scores, usual, sure)

    def _matched(
        self,
        catalog: Catalog,
        examples: Sequence[EncodedExample],
        allowed: NDArray[np.int64] | None,
        level: Level,
    ) -> list[Hit]:
        """Videos that show a part of an example."""
        with self._library.index() as index:
            leads = find_leads(index, catalog, examples, allowed)
        ids = self._library.sample().clip_ids.tolist()
        return match_videos(catalog, examples, leads, ids, level, self._pool)

    # --- encoding --------------------------------------------------------------------------

    def encode(self, query: Query) -> EncodedQuery:
        """What takes longest where a query has examples, apart, so that it can be done elsewhere.

        Raises:
            InvalidQueryError, NotFoundError, UnsupportedQueryError, LibraryError: As `search`.
        """
        excluded: set[int] = set()
        fixed = np.zeros(0, np.float32)
        variants: list[NDArray[np.float32]] = []
        examples: list[EncodedExample] = []
        for part in query.parts:
            if isinstance(part, ExamplePart) and part.weight > 0 and not variants:
                # The clips of an example are alternatives: each is searched beside the other parts.
                examples = self._encode_example(part)
                variants = [part.weight * row for one in examples for row in one.embeddings]
                continue
            vector = part.weight * self._encode_part(part, excluded)
            fixed = vector if not len(fixed) else fixed + vector
        if variants:
            total = np.stack([row + fixed if len(fixed) else row for row in variants])
        else:
            total = fixed[None, :]
        vectors = normalise(total)
        if not np.isfinite(vectors).all() or (np.linalg.norm(vectors, axis=1) < 0.5).any():
            raise InvalidQueryError("the parts of the query cancel each other out: change their weights")
        # With words or a second example beside it, footage is a likeness, not a copy to align.
        alone = len(query.parts) == 1 and isinstance(query.parts[0], ExamplePart)
        footage = alone and query.parts[0].is_footage  # type: ignore[union-attr]
        asked = self._asked_for(query, vectors, float(np.linalg.norm(total, axis=1).mean()))
        texts = [self.encode_text(part.text) for part in query.parts if isinstance(part, TextPart)]
        return EncodedQuery(
            vectors,
            frozenset(excluded),
            asked,
            tuple(examples) if footage else (),
            tuple(text.reading for text in texts if text.reading is not None),
        )

    def _things(self, query: Query) -> tuple[Things | None, tuple[tuple[Things, float], ...]]:
        """What a query of nothing but words asks for, thing by thing, and what it must not show.

        None where the encoder does not tell, or where some words are to count more than others.
        """
        texts = [
            (part.weight, self.encode_text(part.text).things)
            for part in query.parts
            if isinstance(part, TextPart)
        ]
        wanted = [(weight, things) for weight, things in texts if weight > 0]
        against = tuple((things, min(1.0, -weight)) for weight, things in texts if weight < 0)
        is_told = len(texts) == len(query.parts) and all(len(things) for _, things in texts)
        if not is_told or len({weight for weight, _ in wanted}) != 1:
            return None, ()
        return all_things([things for _, things in wanted]), against

    def _asked_for(self, query: Query, vectors: NDArray[np.float32], norm: float) -> AskedFor:
        """What a query asks for: `norm` is that of its vectors before they were scaled to 1."""
        best = known = texts = 0.0
        for part in query.parts:
            if part.weight < 0:
                continue  # what shows none of it has no more and no less of the rest
            if isinstance(part, TextPart):
                encoded = self.encode_text(part.text)
                share = 1.0 if encoded.reading is None else encoded.reading.known_share
                best += part.weight * encoded.best_score
                known += part.weight * share
                texts += part.weight
            else:
                best += part.weight
        whole = sum(part.weight for part in query.parts if part.weight > 0)
        known = known / texts if texts else 1.0
        things, against = self._things(query)
        if things is not None:
            best, norm = best_together(things), 1.0
        return AskedFor(vectors, texts / whole, min(1.0, best / norm), known, things, against)

    def _encode_part(self, part: QueryPart, excluded: set[int]) -> NDArray[np.float32]:
        if isinstance(part, TextPart):
            return self.encode_text(part.text).vector
        if isinstance(part, ExamplePart):
            encoder = self._library.encoder()
            pooled = [encoder.pool(encoder.encode_frames(clip)) for clip in part.clips]
            return normalise(np.mean(pooled, axis=0))
        record = self._library.record()
        with self._library.read() as catalog:
            if isinstance(part, ClipPart):
                if part.weight > 0:
                    excluded.add(part.clip_id)
                return catalog.embeddings([part.clip_id], record.dim)[0]
            return self._encode_span(catalog, part, record.dim, excluded)

    def _encode_span(
        self, catalog: Catalog, part: SpanPart, dim: int, excluded: set[int]
    ) -> NDArray[np.float32]:
        check_budget()
        video = catalog.video(part.video_id)
        if not part.start_seconds < part.end_seconds:
            raise InvalidQueryError(
                f"a span must end after it starts, got {part.start_seconds} to {part.end_seconds} s"
            )
        features, times, ids = catalog.features(part.video_id, part.start_seconds, part.end_seconds, dim)
        if not len(times):
            raise NotFoundError(
                f"video {video.id} has nothing between {part.start_seconds} and {part.end_seconds} s "
                f"(it lasts {video.duration_seconds} s)"
            )
        if part.weight > 0:
            excluded.update(ids.tolist())
        inside = (times >= part.start_seconds) & (times < part.end_seconds)
        if not inside.any():  # a span between two sampled frames
            middle = (part.start_seconds + part.end_seconds) / 2
            inside[np.argmin(np.abs(times - middle))] = True
        return self._pool(features[inside])

    def _pool(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._library.encoder().pool(features)

    def _encode_example(self, part: ExamplePart) -> list[EncodedExample]:
        encoder = self._library.encoder()
        if not part.is_footage:
            return [encode_clips(encoder, part.clips, mirrored=False)]
        inset = find_inset(part.clips)
        shown = [part.clips] if inset is None else [part.clips, tuple(map(inset.cut, part.clips))]
        return [encode_clips(encoder, clips, mirrored=way) for clips in shown for way in (False, True)]

    # --- searching -------------------------------------------------------------------------

    def _grouped(
        self,
        query: EncodedQuery,
        allowed: NDArray[np.int64] | None,
        limit: int,
        group_by: GroupBy,
        background: float,
    ) -> list[Group]:
        """At least `limit` groups where so many exist: looks deeper until there are."""
        depth = limit + len(query.excluded)
        if query.examples:
            depth = max(2 * depth, CANDIDATES_PER_EXAMPLE_CLIP)  # aligned spans swallow some
        elif group_by != "clip":
            depth = max(4 * depth, 64)
        while True:
            check_budget()
            scored, exhausted = self._scored(query, allowed, depth)
            groups = group_clips(scored, group_by, background)
            if len(groups) >= limit or exhausted:
                return groups
            depth *= 4

    def _scored(
        self, query: EncodedQuery, allowed: NDArray[np.int64] | None, depth: int
    ) -> tuple[list[ScoredClip], bool]:
        things = query.asked.things
        if things is not None:
            return self._scored_by_things(query, things, allowed, depth)
        with self._library.index() as index:
            scores, ids = index.search(query.vectors, depth, allowed)
        exhausted = ids.shape[1] < depth
        best: dict[int, float] = {}
        for clip_id, score in zip(ids.ravel().tolist(), scores.ravel().tolist(), strict=True):
            if clip_id not in query.excluded and score > best.get(clip_id, -2.0):
                best[clip_id] = score
        with self._library.read() as catalog:
            found = catalog.clips(list(best))
        scored = [
            ScoredClip(found[clip_id], max(-1.0, min(1.0, score)))
            for clip_id, score in best.items()
            if clip_id in found
        ]
        return _in_order(scored), exhausted

    def _scored_by_things(
        self, query: EncodedQuery, things: Things, allowed: NDArray[np.int64] | None, depth: int
    ) -> tuple[list[ScoredClip], bool]:
        """Those that show all things: among all clips, or what an index in lists finds by the words."""
        with self._library.index() as index:
            if index.is_stored_exactly:
                ids, vectors = index.contents()
                may = np.ones(len(ids), np.bool_) if allowed is None else np.isin(ids, allowed)
                scores = [np.zeros(0, np.float32)]
                for start in range(0, len(ids), CLIPS_AT_ONCE):
                    rows = slice(start, start + CLIPS_AT_ONCE)
                    few = vectors[rows] if may[rows].all() else vectors[rows][may[rows]]
                    scores.append(query.asked.score(few))
                return self._best_of(ids[may], np.concatenate(scores), depth)
            sought = query.vectors
            if len(things) > 1:
                sought = np.concatenate([sought, normalise(things.vectors)])
            at_least = max(depth, CANDIDATES_BY_WORDS // len(things))
            _, found = index.search(sought, at_least, allowed)
        ids = np.unique(found)
        with self._library.read() as catalog:
            ids = np.array(list(catalog.clips(ids[ids >= 0].tolist())), np.int64)
            scores = [np.zeros(0, np.float32)]
            for start in range(0, len(ids), CLIPS_AT_ONCE):
                few = ids[start : start + CLIPS_AT_ONCE].tolist()
                scores.append(query.asked.score(catalog.embeddings(few, query.vectors.shape[1])))
        scored, are_all = self._best_of(ids, np.concatenate(scores), depth)
        return scored, are_all and found.shape[1] < at_least

    def _best_of(
        self, ids: NDArray[np.int64], scores: NDArray[np.float32], depth: int
    ) -> tuple[list[ScoredClip], bool]:
        """The `depth` best of clips, and whether that is all of them."""
        order = np.lexsort((ids, -scores))[:depth]
        best = dict(zip(ids[order].tolist(), np.clip(scores[order], -1.0, 1.0).tolist(), strict=True))
        with self._library.read() as catalog:
            found = catalog.clips(list(best))
        scored = [ScoredClip(found[clip_id], score) for clip_id, score in best.items() if clip_id in found]
        return _in_order(scored), len(ids) <= depth


def _in_order(scored: list[ScoredClip]) -> list[ScoredClip]:
    """The highest scores first, equal ones in order of id, so that the same query gives the same answer."""
    return sorted(scored, key=lambda one: (-one.score, one.clip.id))


def _all_there(catalog: Catalog, groups: list[Group]) -> bool:
    """Whether every clip of the groups still is in the catalog."""
    ids = {one.clip.id for group in groups for one in group.clips}
    return len(catalog.clips(sorted(ids))) == len(ids)


def _hits(catalog: Catalog, groups: list[Group], level: Level) -> list[Hit]:
    shown = [one.clip.id for group in groups for one in group.clips]
    frames = catalog.key_frames(shown)
    return [
        Hit(
            clip_id=group.best.clip.id,
            video_id=group.best.clip.video_id,
            path=group.best.clip.path,
            start_seconds=group.clips[0].clip.start_seconds,
            end_seconds=group.clips[-1].clip.end_seconds,
            score=group.best.score,
            probability=level.probability(group.best.score),
            key_frames=tuple(frame for one in group.clips for frame in frames[one.clip.id]),
        )
        for group in groups
    ]


def _tagged(catalog: Catalog, hits: list[Hit], letting_in: dict[int, list[Segment]]) -> list[Hit]:
    """The hits with what heads saw in their spans, the surest first, each action of a head once.

    Of the action that the filters name, also what is less sure than its head's threshold: it was asked for.
    """
    segments = catalog.actions.segments_of_videos([hit.video_id for hit in hits])
    tagged = []
    for hit in hits:
        best: dict[tuple[str, str], float] = {}
        for segment in [*segments[hit.video_id], *letting_in[hit.video_id]]:
            if _shows(hit, segment):
                name = (segment.action, segment.head)
                best[name] = max(best.get(name, 0.0), segment.confidence)
        actions = (ActionTag(action, confidence, head) for (action, head), confidence in best.items())
        tagged.append(replace(hit, actions=tuple(sorted(actions, key=lambda tag: -tag.confidence))))
    return tagged


def _shows(hit: Hit, segment: Segment) -> bool:
    return overlaps_enough(hit.start_seconds, hit.end_seconds, segment)
