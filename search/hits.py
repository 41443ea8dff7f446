"""Hits: answers to a query, with what was seen in them and where an example lies in them."""

from __future__ import annotations

from dataclasses import dataclass

from encoders.types import TextReading
from search.bands import Band, band_of
from search.types import KeyFrame


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of an example and where it lies in a video.

    Attributes:
        query_start_seconds, query_end_seconds: [start, end) of the example.
        speed: Seconds of the video per second of the example, above 0.
        mirrored: Whether the example shows it with left and right exchanged.
        reversed: Whether the example shows it backwards.
        start_seconds, end_seconds: [start, end) of the video.
    """

    query_start_seconds: float
    query_end_seconds: float
    speed: float
    mirrored: bool
    reversed: bool
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class ActionTag:
    """An action that a head saw in a hit, with its confidence 0..1."""

    action: str
    confidence: float
    head: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.

    Attributes:
        clip_id: The clip, or the best clip of the moment or video.
        start_seconds, end_seconds: The clip's span; the merged span when grouped by moment; when `match`
            is given, that where most of the example lies: of its piece, and of others that meet it.
        score: Cosine with the query, or what takes its place for words (`encoders.words.things`), -1..1.
        probability: That it shows what was asked for, 0..1; see `search/bands.py`.
        key_frames: Of the clips in the span; of a search's hit the one that fits the query best comes first.
        actions: What heads saw in the span, most confident first.
        match: For queries by footage that is in this video, its best piece.
        matches: All of its pieces, in order of the example, wherever in the video they lie.
        caption: What a captioner said of the clip, or of the best one; None where none has.
    """

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    score: float
    probability: float
    key_frames: tuple[KeyFrame, ...] = ()
    actions: tuple[ActionTag, ...] = ()
    match: Match | None = None
    caption: str | None = None
    matches: tuple[Match, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"a probability must be from 0 to 1, got {self.probability}")

    @property
    def band(self) -> Band:
        """The band of its probability: "match", "maybe" or "unlikely"."""
        return band_of(self.probability)

    @property
    def weak(self) -> bool:
        """True where it is no match."""
        return self.band != "match"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and how they were found.

    Attributes:
        encoder: The encoder's id.
        exact: Whether every allowed clip was compared (no approximation).
        took_ms: Wall time from query to hits, encoding included.
        understood: What the encoder took the query's words for, part by part; none where it takes them as a
            whole.
    """

    hits: tuple[Hit, ...]
    encoder: str
    exact: bool
    took_ms: float
    understood: tuple[TextReading, ...] = ()
