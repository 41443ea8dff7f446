"""Judges results that are in a file: localised actions by mAP, importance by F1 and rank correlation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import DecodeError, InvalidQueryError
from encoders.heads.action_names import normalise_action
from indexer.datasets.layouts import IMPORTANCE_LAYOUTS, detect_layout, read_importance
from indexer.datasets.spans import read_activitynet
from indexer.datasets.types import Split, missing_note

if TYPE_CHECKING:
    from encoders.evaluation.reports import EvaluationReport
    from indexer.datasets.types import ImportanceSample

PIECE_SECONDS = 2.0  # of a summary, where no shots are given: as TVSum's were (Song et al. 2015)


def evaluate_results(
    file: Path,
    folder: Path,
    *,
    layout: str = "auto",
    split: Split = "test",
    protocol: str = "activitynet",
    say: Callable[[str], None] = lambda _: None,
) -> EvaluationReport:
    """A report on what is in a file of results, against the annotations in a folder.

    Args:
        file: For ActivityNet and THUMOS `{"results": {video: [{"label", "score", "segment"}]}}`, as
            `indexer find --export found.json` writes it; for SumMe and TVSum `{"importance": {video:
            {"scores": [...], "borders": [...]}}}`: numbers at equal distances, and the shots' borders in
            seconds from the first frame (without: pieces of `PIECE_SECONDS`); a bare list is the scores.
            Videos are named by their file without suffix.
        folder: Annotations and videos.
        layout: As for `read_dataset`.
        split: Of the annotations with spans.
        protocol: "activitynet" or "thumos".
        say: Told what people should know of how the annotations were read.

    Raises:
        InvalidQueryError: The file holds no such results, or none for these videos.
    """
    document = _read(file)
    name = detect_layout(folder) if layout == "auto" else layout
    if name in IMPORTANCE_LAYOUTS:
        return _importance(_part(document, "importance", file), file, folder, name, say)
    return _detection(_part(document, "results", file), file, folder, name, split, protocol, say)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidQueryError(f"the results in {file} cannot be read: {error}; expected JSON") from error
    if not isinstance(document, dict):
        raise InvalidQueryError(f"{file} holds {_kind(document)}, expected an object with results")
    return document


def _part(document: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    found = document.get(key)
    if not isinstance(found, dict):
        raise InvalidQueryError(
            f'{file} holds no results for this data: expected {{"{key}": {{video: ...}}}}'
        )
    return found


def _detection(
    results: dict[str, Any],
    file: Path,
    folder: Path,
    layout: str,
    split: Split,
    protocol: str,
    say: Callable[[str], None],
) -> EvaluationReport:
    from encoders.evaluation.detection import FoundSpan, TrueSpan
    from encoders.evaluation.spans import evaluate_detection

    if protocol not in ("activitynet", "thumos"):
        raise InvalidQueryError(f"the protocol must be activitynet or thumos, got {protocol!r}")
    if layout != "activitynet":
        raise InvalidQueryError(
            f"{folder} has the layout {layout}, which labels no spans; expected annotations as ActivityNet's"
        )
    dataset = read_activitynet(folder, train_on_validation=False)
    for line in (*missing_note(dataset.missing), *dataset.notes):
        say(line)
    if split == "test" and not dataset.of("test") and dataset.of("val"):
        say("the test videos have no labels here: those for validation are judged")
        split = "val"
    samples = dataset.of(split, labelled=False)
    truth = [
        TrueSpan(
            Path(one.path).stem,
            normalise_action(dataset.labels[one.label]),
            one.start_seconds,
            one.end_seconds,
        )
        for one in samples
        if one.label is not None and one.start_seconds is not None and one.end_seconds is not None
    ]
    if not truth:
        raise InvalidQueryError(f"there is no labelled span in the {split} part of {folder}")
    judged = {Path(one.path).stem for one in samples}
    found = []
    for video, spans in results.items():
        # Data sets call a file v_<name>.mp4 or <name>.mp4.
        known = video if video in judged else f"v_{video}"
        if known not in judged:
            continue
        try:
            for label, score, start, end in map(_span, _list(spans, "the results")):
                found.append(FoundSpan(known, normalise_action(label), start, end, score))
        except ValueError as error:
            raise InvalidQueryError(
                f'{file}, video {video}: {error}; expected [{{"label": name, "score": number, "segment": '
                "[start, end]}]"
            ) from error
    if not found:
        raise InvalidQueryError(f"{file} holds no result for the {len(judged)} {split} videos of {folder}")
    return evaluate_detection(truth, found, protocol=protocol)  # type: ignore[arg-type]


def _importance(
    results: dict[str, Any], file: Path, folder: Path, layout: str, say: Callable[[str], None]
) -> EvaluationReport:
    from encoders.evaluation.spans import evaluate_summaries

    dataset = read_importance(folder, layout=layout)
    for line in dataset.notes:
        say(line)
    cases, skipped = [], {}
    for sample in dataset.samples:
        name = Path(sample.path).stem
        if name not in results:
            skipped[name] = f"{file.name} has no importance for it"
            continue
        try:
            cases.append(_case(name, results[name], sample))
        except DecodeError as error:
            skipped[name] = str(error)
        except ValueError as error:
            raise InvalidQueryError(
                f'{file}, video {name}: {error}; expected [numbers], or {{"scores": [numbers], "borders": '
                "[seconds]}"
            ) from error
    if not cases:
        raise InvalidQueryError(f"{file} holds no importance for the videos of {folder}")
    over = "mean" if layout == "tvsum" else "max"
    return evaluate_summaries(cases, over=over, skipped=skipped)  # type: ignore[arg-type]


def _case(name: str, given: Any, sample: ImportanceSample) -> Any:
    from encoders.evaluation.spans import SummaryCase
    from indexer.video.reading.probing import probe

    users = np.asarray(sample.scores)
    parts = users.shape[1]
    if isinstance(given, list):
        given = {"scores": given}
    if not isinstance(given, dict) or "scores" not in given:
        raise ValueError("there are no scores")
    scores = _numbers(given["scores"], "the scores")
    if not len(scores):
        raise ValueError("the list of scores is empty")
    seconds = probe(sample.path).duration_seconds
    borders = given.get("borders")
    if borders is None:
        borders = np.arange(0.0, seconds or 1.0, PIECE_SECONDS).tolist()
    shares = _numbers(borders, "the borders") / (seconds or 1.0)
    spread = scores[np.arange(parts) * len(scores) // parts]
    return SummaryCase.of_people(name, spread, shares, users)


def _span(span: Any) -> tuple[str, float, float, float]:
    """Label, score, start and end of one result. Raises ValueError: It has not all of them."""
    if not isinstance(span, dict):
        raise ValueError(f"a result is {_kind(span)}, no object")
    for key in ("label", "score", "segment"):
        if key not in span:
            raise ValueError(f"a result has no {key}")
    if not isinstance(span["label"], str):
        raise ValueError(f"a label is {_kind(span['label'])}")
    segment = _numbers(span["segment"], "a segment").tolist()
    if len(segment) != 2:
        raise ValueError(f"a segment has {len(segment)} numbers, not a start and an end")
    (score,) = _numbers([span["score"]], "a score").tolist()
    return span["label"], score, segment[0], segment[1]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} are {_kind(value)}, no list")
    return value


def _numbers(value: Any, what: str) -> NDArray[np.float64]:
    """A list of finite numbers, float64 (N,). Raises ValueError: It is none."""
    if not isinstance(value, list):
        raise ValueError(f"{what}: {_kind(value)} in place of a list of numbers")
    for one in value:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise ValueError(f"{what}: {_kind(one)} in place of a number")
        if not math.isfinite(one):
            raise ValueError(f"{what}: a number that is none")
    return np.array(value, np.float64)


def _kind(value: Any) -> str:
    """The name that JSON has for the type of a value."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"
