"""Lessons: actions taught from shots of an archive, and judged by what `find` then says of all other shots.

Which shots show a category comes from WordNet's own database, not from the table that the encoder uses. The
examples are drawn from the archive itself; half of what the action is not is near to it (other animals for
dogs). Settings were chosen by the photographs of even classes; the default half judges by the odd ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers.archive import Archive, Shot
from benchmarks.answers.figures import Measured, measure_mean, measure_share
from benchmarks.answers.kinds import synsets_below
from benchmarks.answers.setup import Setup
from encoders.errors import NotFoundError, TeachingError, UnknownActionError
from encoders.heads.platt import expected_calibration_error
from search.actions.correcting import correct_clip, make_span_example
from search.actions.finding import find_segments
from search.actions.heads import remove_action
from search.actions.teaching import teach
from search.catalog.actions.lesson_examples import LessonExample
from search.types import SegmentQuery

try:
    from search.actions.suggestions import suggest
except ImportError:  # a version before suggestions
    suggest = None  # type: ignore[assignment]

# A category, its synset, and that of what is near to it.
CATEGORIES = {
    "dog": ("02084071", "00015388"), "bird": ("01503061", "00015388"), "insect": ("02159955", "00015388"),
    "fish": ("02512053", "00015388"), "snake": ("01726692", "00015388"),
    "monkey": ("02484322", "00015388"), "vehicle": ("04524313", "03575240"),
    "musical instrument": ("03800933", "03575240"), "food": ("00021265", "03575240"),
    "clothing": ("03051540", "03575240"), "boat": ("02858304", "03575240"),
    "furniture": ("03405725", "03575240"), "building": ("02913152", "03575240"),
}  # fmt: skip
MADE_UP = "zorp"
DRAWS = 5
POSITIVES, NEGATIVES = 8, 16
LEAST_LEFT = 3  # shots that show it and are no examples
FEW = (2, 2)  # examples of a lesson that is to be helped
ANSWERS = 20
ROOM = 0.9  # of average precision: above, there is little to raise


@dataclass(frozen=True, slots=True)
class Draw:
    """Examples of a category from an archive: rows of its shots, and which of all shows it."""

    category: str
    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    shows: NDArray[np.bool_]


def measure(setup: Setup) -> list[Measured]:
    """The section "lessons"."""
    found: dict[str, list[float]] = {}
    drafts: dict[str, list[bool]] = {}
    for number in range(DRAWS):
        archive = setup.archive(number % setup.seeds)
        for draw in draw_examples(archive, number):
            for kind, name in (("named", draw.category), ("made-up", MADE_UP)):
                is_learned, precision, error, seconds = _lesson(archive, name, draw)
                found.setdefault(f"{kind} precision", []).append(precision)
                found.setdefault("error", []).append(error)
                found.setdefault("seconds", []).append(seconds)
                drafts.setdefault("good", []).append(is_learned)
            for kind, bad in _bad(archive, draw, number).items():
                drafts.setdefault(kind, []).append(not _teach(archive, MADE_UP, bad))
                _forget(archive, MADE_UP)
            if suggest is None:
                continue
            before, answered, more = _answered(archive, draw, number)
            found.setdefault("raised", []).append(answered - before)
            if before < ROOM:
                found.setdefault("raised where low", []).append(answered - before)
            found.setdefault("beyond more examples", []).append(answered - more)
    of = f"from {POSITIVES} and {NEGATIVES}"
    few = f"{FEW[0]} and {FEW[1]} examples"
    measured = [
        measure_mean(
            "lessons", f"{of}, average precision, a name that is known", found["named precision"], 0.90
        ),
        measure_mean("lessons", f"{of}, average precision, a made-up name", found["made-up precision"], 0.85),
        measure_share("lessons", f"{of}, learned and no draft", drafts["good"]),
        measure_mean("lessons", f"{of}, calibration error", found["error"], 0.05, at_most=True),
        measure_mean("lessons", "seconds of a lesson", found["seconds"], 5.0, at_most=True),
        measure_share("lessons", "from one scene: a draft", drafts["one scene"], 1.0),
        measure_share("lessons", "from mixed examples: a draft", drafts["mixed"], 1.0),
        measure_share("lessons", "a quarter mislabelled: a draft", drafts["mislabelled"], 1.0),
    ]
    if "raised" in found:
        raised = f"{ANSWERS} answers after {few} raise average precision"
        low = f"the same where it was below {ROOM:g} before"
        beyond = f"{ANSWERS // 2} answers beyond as many more examples"
        measured += [
            measure_mean("lessons", raised, found["raised"], 0.05),
            measure_mean("lessons", low, found.get("raised where low", [0.0]), 0.05),
            measure_mean("lessons", beyond, found["beyond more examples"]),
        ]
    return measured


def draw_examples(archive: Archive, seed: int) -> list[Draw]:
    """A lesson's examples for each category of which the archive shows enough."""
    random = np.random.default_rng(seed)
    found = []
    for category, (offset, near) in CATEGORIES.items():
        shows, is_near = (_showing(archive.shots, one) for one in (offset, near))
        if shows.sum() < POSITIVES + LEAST_LEFT:
            continue
        positives = random.permutation(np.flatnonzero(shows))[:POSITIVES]
        close = random.permutation(np.flatnonzero(is_near & ~shows))[: NEGATIVES // 2]
        rest = np.setdiff1d(np.flatnonzero(~shows), close)
        far = random.permutation(rest)[: NEGATIVES - len(close)]
        found.append(Draw(category, tuple(positives.tolist()), (*close.tolist(), *far.tolist()), shows))
    return found


def _showing(shots: Sequence[Shot], offset: str) -> NDArray[np.bool_]:
    synsets = synsets_below(offset)
    return np.array([bool(shot.photograph.labels & synsets) for shot in shots])


def _teach(archive: Archive, name: str, examples: Sequence[LessonExample]) -> bool:
    """Teaches; whether it was learned, and neither kept as a draft nor refused."""
    try:
        report = teach(archive.library, name, examples)
    except TeachingError:
        return False
    return not report.get("is_draft", False)


def _forget(archive: Archive, name: str) -> None:
    with suppress(NotFoundError):  # what was refused
        remove_action(archive.library, name)


def _lesson(archive: Archive, name: str, draw: Draw) -> tuple[bool, float, float, float]:
    """Whether it was learned, average precision and calibration error over all shots that are no examples,
    and how many seconds it took."""
    examples = _examples(archive, draw.positives, draw.negatives)
    started = time.perf_counter()
    is_learned = _teach(archive, name, examples)
    seconds = time.perf_counter() - started
    precision, error = _judged(archive, name, draw, (*draw.positives, *draw.negatives))
    _forget(archive, name)
    return is_learned, precision, error, seconds


def _judged(archive: Archive, name: str, draw: Draw, given: Sequence[int]) -> tuple[float, float]:
    from sklearn.metrics import average_precision_score

    left = np.setdiff1d(np.arange(len(archive.shots)), given)
    confidences = _confidences(archive, name)[left]
    shows = draw.shows[left]
    return float(average_precision_score(shows, confidences)), expected_calibration_error(confidences, shows)


def _confidences(archive: Archive, name: str) -> NDArray[np.float64]:
    """How surely `find` says that each shot shows the action, 0 where it says nothing."""
    confidences = np.zeros(len(archive.shots))
    try:
        found = find_segments(archive.library, SegmentQuery((name,), min_confidence=0.0))
    except UnknownActionError:  # the lesson was refused
        return confidences
    places: dict[str, list[int]] = {}
    for row, shot in enumerate(archive.shots):
        places.setdefault(str(shot.path), []).append(row)
    with archive.library.read() as catalog:
        segments = list(found.segments(catalog))
    for segment in segments:
        for row in places.get(segment.path, ()):
            shot = archive.shots[row]
            shared = min(shot.end_seconds, segment.end_seconds) - max(
                shot.start_seconds, segment.start_seconds
            )
            if 2 * shared >= min(
                shot.end_seconds - shot.start_seconds, segment.end_seconds - segment.start_seconds
            ):
                confidences[row] = max(confidences[row], segment.confidence)
    return confidences


def _examples(archive: Archive, positives: Sequence[int], negatives: Sequence[int]) -> list[LessonExample]:
    spans = [(row, True) for row in positives] + [(row, False) for row in negatives]
    shots = [(archive.shots[row], is_positive) for row, is_positive in spans]
    return [
        _example(archive, shot, (shot.start_seconds, shot.end_seconds), is_positive)
        for shot, is_positive in shots
    ]


def _example(archive: Archive, shot: Shot, span: tuple[float, float], is_positive: bool) -> LessonExample:
    with archive.library.read() as catalog:
        video = catalog.video_by_path(str(shot.path))
        assert video is not None
        return make_span_example(catalog, video.id, span, is_positive=is_positive)


def _bad(archive: Archive, draw: Draw, seed: int) -> dict[str, list[LessonExample]]:
    """Bad lessons: of one scene, of anything, and with a quarter on the wrong side."""
    random = np.random.default_rng(seed)
    shot = archive.shots[draw.positives[0]]
    borders = np.linspace(shot.start_seconds, shot.end_seconds, 7).tolist()
    scene = [_example(archive, shot, span, True) for span in pairwise(borders)]
    mixed = random.permutation(np.flatnonzero(~draw.shows))[:POSITIVES].tolist()
    others = [row for row in draw.negatives if row not in mixed]
    wrong, moved = draw.negatives[: POSITIVES // 4], draw.positives[: POSITIVES // 4]
    positives = (*draw.positives[POSITIVES // 4 :], *wrong)
    spare = [row for row in np.flatnonzero(draw.shows).tolist() if row not in draw.positives]
    more = spare[: NEGATIVES // 4 - len(moved)]
    negatives = (*draw.negatives[POSITIVES // 4 : NEGATIVES - len(more)], *moved, *more)
    return {
        "one scene": scene,
        "mixed": _examples(archive, mixed, others),
        "mislabelled": _examples(archive, positives, negatives),
    }


def _answered(archive: Archive, draw: Draw, seed: int) -> tuple[float, float, float]:
    """Average precision of a small lesson; after answers; and after half as many more examples instead.

    All three are judged by the same shots: those of half of the videos that no example is from. Nothing is
    asked about these, else the answers would take away what is easily found and leave the rest to judge by.
    """
    library, random = archive.library, np.random.default_rng(100 + seed)
    with library.read() as catalog:
        known = {video.path for video in catalog.list_videos()}
    if not known & {str(shot.path) for shot in archive.shots}:
        raise ValueError(f"{archive.shots[0].path} is not in the library: make a moved archive anew")
    given = (*draw.positives[: FEW[0]], *draw.negatives[: FEW[1]])
    few = _examples(archive, given[: FEW[0]], given[FEW[0] :])
    judging = _judging(archive, draw, given, random)
    askable = np.setdiff1d(np.flatnonzero(~judging), given)
    others = random.permutation(askable)[: ANSWERS // 2].tolist()

    def judged(answer: Callable[[], object]) -> float:
        from sklearn.metrics import average_precision_score

        teach(library, MADE_UP, few)
        answer()
        confidences = _confidences(archive, MADE_UP)
        remove_action(library, MADE_UP)
        return float(average_precision_score(draw.shows[judging], confidences[judging]))

    def by_suggestions() -> None:
        answered = 0
        for one in suggest(library, MADE_UP, len(archive.shots))["suggestions"]:
            shots = archive.shots_in(one["path"], one["start_seconds"], one["end_seconds"])
            places = [archive.shots.index(shot) for shot in shots]
            if judging[places].any():
                continue
            is_positive = bool(draw.shows[places].any())
            correct_clip(library, one["clip_id"], MADE_UP, is_positive=is_positive)
            answered += 1
            if answered == ANSWERS:
                break
        teach(library, MADE_UP)

    def by_chance() -> None:
        shows = draw.shows[others]
        rows = np.array(others)
        more = _examples(archive, rows[shows].tolist(), rows[~shows].tolist())
        teach(library, MADE_UP, more)

    return judged(lambda: None), judged(by_suggestions), judged(by_chance)


def _judging(
    archive: Archive, draw: Draw, given: Sequence[int], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Which shots judge, bool: of half of the videos without an example, one of the category among them."""
    paths = np.array([str(shot.path) for shot in archive.shots])
    free = np.setdiff1d(np.unique(paths), paths[list(given)])
    showing = np.unique(paths[draw.shows])
    held: list[str] = []
    # Either kind is dealt by itself, so that both halves have their share of what shows it.
    for group in (np.intersect1d(free, showing), np.setdiff1d(free, showing)):
        held += random.permutation(group)[: (len(group) + 1) // 2].tolist()
    judging: NDArray[np.bool_] = np.isin(paths, held)
    return judging
