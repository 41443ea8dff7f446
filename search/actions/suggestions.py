"""Clips that a person should judge next, so that a lesson learns most from the answers.

By turns the most doubtful one (uncertainty sampling, Lewis and Gale 1994) and the likeliest one, and none
like another: each is the clip whose doubt or confidence, times its distance to the nearest one chosen before,
is greatest (farthest-first traversal, Gonzalez 1985). What a small lesson lacks is examples of the action,
and doubtful clips hardly ever are: after 3 examples and 3 of other things 20 of them held 0.6 of the action,
20 by turns 7 (photographs of even classes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from encoders.errors import InvalidQueryError
from encoders.heads.taught import LEAST_CONFIDENCE, TaughtHead
from search.actions.examples import group_spans, shares_footage
from search.actions.gathering import read_span_track
from search.actions.naming import read_known_actions
from search.actions.tagging import Tagger
from search.documents.actions import SuggestionAnswer, SuggestionsAnswer
from search.documents.hits import key_frame_url
from search.types import Clip, Filters, SegmentQuery

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library

CLIPS_LOOKED_AT = 1000
SUGGESTIONS = 20


def suggest(library: Library, action: str, count: int = SUGGESTIONS) -> SuggestionsAnswer:
    """Chooses clips that nobody has judged yet, the most useful first.

    Of a large library a part is looked at: clips in which something was found, surely or not, and others from
    all over.

    Args:
        library: With the action taught.
        action: Its name, exactly.
        count: How many at most.

    Raises:
        UnknownActionError: It is not taught.
        InvalidQueryError: Its head learned borders, or knows several actions: it cannot judge a clip alone.
    """
    record = read_known_actions(library).find_head(action)
    dim = library.record().dim
    with library.read() as catalog:
        head = None
        if record.is_taught:
            head = Tagger(library).load([record], catalog)[record.id]
        if not isinstance(head, TaughtHead):
            raise InvalidQueryError(
                f"{record.name!r} was not learned from clips: there are no clips to suggest for it"
            )
        judged = group_spans(catalog.actions.examples(record.name))
        clips, confidences = [], []
        for clip in catalog.clips(_choose_looked_at(catalog, record.name)).values():
            check_budget()
            span = (clip.start_seconds, clip.end_seconds)
            if shares_footage(clip.video_id, span, judged):
                continue
            track = read_span_track(catalog, clip.video_id, span, dim)
            if track is not None and len(track):
                clips.append(clip)
                confidences.append(head.classify(track))
        if not clips:
            return {"action": record.name, "suggestions": []}
        vectors = catalog.embeddings([clip.id for clip in clips], dim)
        places = choose(np.array(confidences), vectors, count)
        rows = [_describe(catalog, clips[place], confidences[place]) for place in places]
        return {"action": record.name, "suggestions": rows}


def _choose_looked_at(catalog: Catalog, action: str) -> list[int]:
    random, half = np.random.default_rng(0), CLIPS_LOOKED_AT // 2
    surely, tagged = (
        random.permutation(catalog.clip_ids(Filters(), SegmentQuery((action,), least)))
        for least in (LEAST_CONFIDENCE, 0.0)
    )
    everywhere = random.permutation(catalog.clip_ids(Filters()))
    # Faint ones are many: they must not crowd out the likely ones.
    tagged = np.concatenate([surely, tagged[~np.isin(tagged, surely)]])
    return np.union1d(tagged[:half], everywhere[:half]).tolist()


def choose(confidences: NDArray[np.floating], vectors: NDArray[np.floating], count: int) -> list[int]:
    """Chooses places of the most doubtful and of the likeliest by turns, all diverse, the first one first.

    Args:
        confidences: float (N,), 0..1.
        vectors: float (N, D), each of L2 norm 1.
        count: How many at most.
    """
    likely = np.asarray(confidences, np.float64)
    doubt = likely * (1.0 - likely)
    distance, is_left, chosen = np.ones(len(doubt)), np.ones(len(doubt), bool), []
    for turn in range(min(count, len(doubt))):
        worth = likely if turn % 2 else doubt
        place = int(np.argmax(np.where(is_left, worth * distance, -1.0)))
        chosen.append(place)
        is_left[place] = False
        distance = np.minimum(distance, np.clip(1.0 - vectors @ vectors[place], 0.0, 1.0))
    return chosen


def _describe(catalog: Catalog, clip: Clip, confidence: float) -> SuggestionAnswer:
    frame = catalog.key_frame_near(clip.video_id, (clip.start_seconds + clip.end_seconds) / 2)
    return {
        "clip_id": clip.id,
        "video_id": clip.video_id,
        "path": clip.path,
        "start_seconds": clip.start_seconds,
        "end_seconds": clip.end_seconds,
        "confidence": round(confidence, 4),
        "key_frame_url": None if frame is None else key_frame_url(frame),
    }
