"""Hits: the answers to a search, and to "how well does it fit each frame of this video"."""

from __future__ import annotations

from typing import Annotated

from typing_extensions import TypedDict

from encoders.types import TextReading
from search.bands import MATCH_PROBABILITY, MAYBE_PROBABILITY, Band
from search.documents.about import About, answer
from search.hits import Hit, Match, SearchResult
from search.types import KeyFrame


@answer()
class KeyFrameAnswer(TypedDict):
    """A stored key frame; `url` gives its JPEG."""

    id: int
    time_seconds: float
    url: str


def key_frame_document(frame: KeyFrame) -> KeyFrameAnswer:
    """Describes a key frame; its picture is behind `url` on a server."""
    return {"id": frame.id, "time_seconds": round(frame.time_seconds, 6), "url": key_frame_url(frame)}


def key_frame_url(frame: KeyFrame) -> str:
    """Returns the address of a key frame's picture on a server."""
    return f"/v1/key-frames/{frame.id}"


@answer()
class MatchAnswer(TypedDict):
    """A piece of the example and where it lies in the video."""

    query_start_seconds: float
    query_end_seconds: float
    start_seconds: float
    end_seconds: float
    speed: Annotated[float, About("Seconds of the video per second of the example.", gt=0)]
    mirrored: bool
    reversed: Annotated[bool, About("Whether the example shows it backwards.")]


def match_document(match: Match) -> MatchAnswer:
    """Describes a piece of an example and where it lies in the video."""
    return {
        "query_start_seconds": round(match.query_start_seconds, 6),
        "query_end_seconds": round(match.query_end_seconds, 6),
        "start_seconds": round(match.start_seconds, 6),
        "end_seconds": round(match.end_seconds, 6),
        "speed": round(match.speed, 3),
        "mirrored": match.mirrored,
        "reversed": match.reversed,
    }


@answer()
class ActionTagAnswer(TypedDict):
    """An action that a head saw in a hit's span."""

    action: str
    confidence: Annotated[float, About(ge=0, le=1)]
    head: Annotated[str, About('As of a segment: "draft" where the lesson could not be checked.')]


@answer()
class HitAnswer(TypedDict):
    """A moment that was found, and how probable it is that it shows what was asked for."""

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    score: Annotated[float, About("Cosine with the query; of words, what takes its place.", ge=-1, le=1)]
    probability: Annotated[float, About("That it shows what was asked for.", ge=0, le=1)]
    band: Annotated[
        Band, About(f"Of the probability: match from {MATCH_PROBABILITY}, maybe from {MAYBE_PROBABILITY}.")
    ]
    weak: Annotated[bool, About("Whether the band is not match.")]
    actions: list[ActionTagAnswer]
    key_frames: Annotated[list[KeyFrameAnswer], About("The one that fits the query best comes first.")]
    match: Annotated[
        MatchAnswer | None,
        About(
            "Of a query by one piece of footage and nothing else, its best piece in this video; null "
            "where nothing of it is there."
        ),
    ]
    matches: Annotated[list[MatchAnswer], About("All its pieces in this video, in order of the example.")]
    caption: Annotated[str | None, About("What a captioner said of the clip; null where none has.")]


def hit_document(hit: Hit) -> HitAnswer:
    """Describes a hit, its key frames best first."""
    return {
        "clip_id": hit.clip_id,
        "video_id": hit.video_id,
        "path": hit.path,
        "start_seconds": round(hit.start_seconds, 6),
        "end_seconds": round(hit.end_seconds, 6),
        "score": round(hit.score, 6),
        "probability": round(hit.probability, 4),
        "band": hit.band,
        "weak": hit.weak,
        "actions": [
            {"action": tag.action, "confidence": round(tag.confidence, 6), "head": tag.head}
            for tag in hit.actions
        ],
        "key_frames": [key_frame_document(frame) for frame in hit.key_frames],
        "match": None if hit.match is None else match_document(hit.match),
        "matches": [match_document(match) for match in hit.matches],
        "caption": hit.caption,
    }


@answer()
class ConceptAnswer(TypedDict):
    """One thing that words name; of 0 kinds where they were only compared with names and definitions."""

    words: str
    meaning: str
    kinds: Annotated[int, About(ge=0)]


@answer()
class ReadingAnswer(TypedDict):
    """The words of one part of the query as the encoder understood them."""

    text: str
    concepts: list[ConceptAnswer]
    unknown: Annotated[list[str], About("Words that it knows nothing of.")]
    known_share: Annotated[float, About(ge=0, le=1)]


def reading_document(reading: TextReading) -> ReadingAnswer:
    """Describes how the words of one part of a query were understood."""
    return {
        "text": reading.text,
        "concepts": [
            {"words": one.words, "meaning": one.meaning, "kinds": one.kinds} for one in reading.concepts
        ],
        "unknown": list(reading.unknown),
        "known_share": round(reading.known_share, 4),
    }


@answer()
class SearchAnswer(TypedDict):
    """Hits, best first; `exact` when every allowed clip was compared."""

    hits: list[HitAnswer]
    encoder: str
    exact: bool
    took_ms: float
    understood: Annotated[
        list[ReadingAnswer], About("Of each part in words; empty for encoders that take words as a whole.")
    ]


def result_document(result: SearchResult) -> SearchAnswer:
    """Describes a whole answer to a search."""
    return {
        "hits": [hit_document(hit) for hit in result.hits],
        "encoder": result.encoder,
        "exact": result.exact,
        "took_ms": round(result.took_ms, 3),
        "understood": [reading_document(reading) for reading in result.understood],
    }
