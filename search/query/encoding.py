"""Encodes queries: words, examples and stored clips become the vectors that are searched for."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from encoders.budget import check_budget
from encoders.errors import InvalidQueryError, NotFoundError, UnsupportedQueryError
from encoders.types import TextReading, normalise
from encoders.words.things import Things, all_things
from search.alignment.aligning import EncodedExample, encode_clips
from search.alignment.insets import find_inset
from search.calibration.probabilities import AskedFor
from search.calibration.together import best_together
from search.catalog.catalog import Catalog
from search.catalog.record import open_record
from search.library import Library
from search.types import Query, QueryExample, QueryPart, SpanPart, TextPart

KEPT_TEXTS = 1024  # people page, filter and refine: the same words come again


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query that is ready for the index.

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
    """An encoded text.

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


class QueryEncoder:
    """Encodes queries for one library; safe to share between threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._texts: LRUCache[str, EncodedText] = LRUCache(KEPT_TEXTS)
        self._texts_lock = threading.Lock()

    def new_texts(self, query: Query) -> list[str]:
        """Texts of a query that are not yet in the cache."""
        with self._texts_lock:
            texts = [part.text for part in query.parts if isinstance(part, TextPart)]
            return [text for text in texts if text not in self._texts]

    def encode_text(self, text: str) -> EncodedText:
        """Encodes words; the last thousand texts are remembered.

        Raises:
            InvalidQueryError: The text is empty or blank.
            UnsupportedQueryError: The library's encoder cannot encode words.
        """
        with self._texts_lock:
            known = self._texts.get(text)
        if known is not None:
            return known
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
        return encoded

    def encode(self, query: Query) -> EncodedQuery:
        """Encodes a query ahead of `SearchEngine.search`, so that it can run elsewhere.

        Raises:
            InvalidQueryError, NotFoundError, UnsupportedQueryError, LibraryError: As `SearchEngine.search`.
        """
        excluded: set[int] = set()
        fixed = np.zeros(0, np.float32)
        variants: list[NDArray[np.float32]] = []
        examples: list[EncodedExample] = []
        for part in query.parts:
            if isinstance(part, QueryExample) and part.weight > 0 and not variants:
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
        alone = len(query.parts) == 1 and isinstance(query.parts[0], QueryExample)
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
        """The things that a query of nothing but words asks for, and those that it must not show.

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
        """The query as its scores are judged by; `norm` is of its vectors before they were scaled to 1."""
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
        if isinstance(part, QueryExample):
            encoder = self._library.encoder()
            pooled = [encoder.pool(encoder.encode_frames(clip)) for clip in part.clips]
            return normalise(np.mean(pooled, axis=0))
        with self._library.read() as catalog:
            dim = open_record(catalog).dim
            if isinstance(part, SpanPart):
                return self._encode_span(catalog, part, dim, excluded)
            if part.weight > 0:
                excluded.add(part.clip_id)
            return catalog.embeddings([part.clip_id], dim)[0]

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
        return self._library.encoder().pool(features[inside])

    def _encode_example(self, part: QueryExample) -> list[EncodedExample]:
        encoder = self._library.encoder()
        if not part.is_footage:
            return [encode_clips(encoder, part.clips, mirrored=False)]
        inset = find_inset(part.clips)
        shown = [part.clips] if inset is None else [part.clips, tuple(map(inset.cut, part.clips))]
        return [encode_clips(encoder, clips, mirrored=way) for clips in shown for way in (False, True)]
