"""Lessons from videos that are labelled throughout: is a head worth it that learns the borders too?

A head taught on windows (`encoders.lessons.lesson`) says how sure it is at every moment, and segments are
groups of such moments: it cannot tell one leap from the next. The localiser (`encoders.heads.localisation`)
learns where an action begins and ends, but needs videos in which all of it is labelled. Both are taught on
the same videos here and judged on the same others; the simpler one stays unless the other finds clearly
more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.errors import TeachingError
from encoders.heads.head import ActionSpan, FeatureTrack
from encoders.heads.taught import TaughtHead
from encoders.lessons.lesson import Footage, TeachReport, teach
from encoders.words.concepts import Concepts

if TYPE_CHECKING:
    from encoders.heads.localisation import Localiser

MIN_VIDEOS = 10
MIN_SHOWING = 5  # of them, with the action
HELD_OUT_SHARE = 5  # one in so many
LEAST_HELD_OUT = 2  # with the action
CLEARLY_BETTER = 0.02  # in mAP at overlap 0.5
Labelled = tuple[FeatureTrack, list[ActionSpan]]


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """A video in which the action is labelled wherever it happens.

    Attributes:
        source: As that of examples from it.
        tracks: Its features, of a long video in several pieces.
        spans: Where the action is; may be empty.
    """

    source: str
    tracks: tuple[FeatureTrack, ...]
    spans: tuple[ActionSpan, ...]

    def pieces(self) -> list[Labelled]:
        """Each piece that holds a sample, with its labels; what lies in it by less than half is not one."""
        return [(track, _inside(self.spans, track)) for track in self.tracks if len(track)]


@dataclass(frozen=True, slots=True)
class LocaliserReport:
    """The comparison of the two heads.

    Attributes:
        videos: That are labelled throughout.
        held_out_map: mAP at overlap 0.5 of the localiser on every fifth video, held out.
        grouping_held_out_map: The same of a head taught on windows; None where the videos that are not
            held out are too few to teach one.
        kept: Whether the localiser is the head that stays.
    """

    videos: int
    held_out_map: float | None
    grouping_held_out_map: float | None
    kept: bool


def learn_borders(
    action: str,
    videos: Sequence[LabelledVideo],
    positives: Sequence[Footage],
    negatives: Sequence[Footage],
    background: Sequence[Footage],
    *,
    encoder_id: str,
    concepts: Concepts | None = None,
    name: NDArray[np.floating] | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> tuple[Localiser | None, LocaliserReport | None]:
    """Trains a localiser where there is enough to learn from, and keeps it where it is the better head.

    Args:
        action: Its name, and that of all spans.
        videos: Labelled throughout.
        positives, negatives, background: What the head on windows was taught with.
        encoder_id: Of the encoder that all features come from.
        concepts, name: As `teach` of a lesson on windows takes them.
        on_progress: Told what is being done.

    Returns:
        The localiser, or None where the head on windows does as well; and the report, or None where
        fewer than `MIN_VIDEOS` videos are labelled, or fewer than `MIN_SHOWING` show the action.
    """
    videos = [video for video in videos if video.pieces()]
    showing = sum(any(spans for _, spans in video.pieces()) for video in videos)
    if len(videos) < MIN_VIDEOS or showing < MIN_SHOWING:
        return None, None
    from encoders.lessons.borders import fit_localiser

    held_out = _held_out(videos)
    unseen = _pieces([videos[index] for index in held_out])
    seen = _pieces([video for index, video in enumerate(videos) if index not in held_out])
    sources = {videos[index].source for index in held_out}
    on_progress("comparing with what is learned without borders")
    grouping = _grouping_map(
        action,
        [[one for one in side if one.source not in sources] for side in (positives, negatives, background)],
        unseen,
        partial(teach, encoder_id=encoder_id, concepts=concepts, name=name),
    )
    on_progress("learning where it begins and ends")
    judge = fit_localiser(*_columns(seen), (action,), encoder_id=encoder_id).calibrate_on(*_columns(unseen))
    kept = (
        judge.held_out_map is not None
        and grouping is not None
        and judge.held_out_map >= grouping + CLEARLY_BETTER
    )
    report = LocaliserReport(len(videos), judge.held_out_map, grouping, kept)
    if not kept:
        return None, report
    final = fit_localiser(*_columns(_pieces(videos)), (action,), encoder_id=encoder_id)
    return final.adopt_calibration(judge), report


def _held_out(videos: Sequence[LabelledVideo]) -> set[int]:
    """A fifth of the videos with the action, and of those without: indices, the same every time."""
    random = np.random.default_rng(0)
    chosen: set[int] = set()
    for shows, least in ((True, LEAST_HELD_OUT), (False, 0)):
        side = [
            index for index, video in enumerate(videos) if any(spans for _, spans in video.pieces()) == shows
        ]
        random.shuffle(side)
        chosen.update(side[: max(least, len(side) // HELD_OUT_SHARE)])
    return chosen


def _grouping_map(
    action: str,
    sides: Sequence[Sequence[Footage]],
    unseen: Sequence[Labelled],
    learn: Callable[..., tuple[TaughtHead, TeachReport]],
) -> float | None:
    from encoders.heads.localisation_scores import map_at_half

    try:
        head, _ = learn(action, *sides)
    except TeachingError:
        return None
    return map_at_half([head.localise(track) for track, _ in unseen], [spans for _, spans in unseen])


def _inside(spans: Sequence[ActionSpan], track: FeatureTrack) -> list[ActionSpan]:
    first, last = float(track.borders_seconds[0]), float(track.borders_seconds[-1])
    found = []
    for span in spans:
        start, end = max(span.start_seconds, first), min(span.end_seconds, last)
        if start < end and end - start >= 0.5 * (span.end_seconds - span.start_seconds):
            found.append(ActionSpan(span.action, start, end, 1.0))
    return found


def _pieces(videos: Sequence[LabelledVideo]) -> list[Labelled]:
    return [piece for video in videos for piece in video.pieces()]


def _columns(pieces: Sequence[Labelled]) -> tuple[list[FeatureTrack], list[list[ActionSpan]]]:
    return [track for track, _ in pieces], [spans for _, spans in pieces]
