"""Layouts with labelled spans of long videos: the JSON of ActivityNet, in which THUMOS comes as well."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from encoders.errors import InvalidQueryError
from indexer.datasets.labelled import list_files, read_json
from indexer.datasets.types import SPLIT_NAMES, Dataset, Sample, Split, VideoFiles, check_found

_SNIFFED_BYTES = 1 << 16


def find_activitynet(folder: Path) -> list[Path]:
    """JSON files that hold a database of annotations."""
    return [file for file in list_files(folder, ".json") if _looks_so(file)]


def _looks_so(file: Path) -> bool:
    """By the beginning of the file, since taxonomies come before the database in some."""
    try:
        with file.open("rb") as opened:
            if b'"database"' in opened.read(_SNIFFED_BYTES):
                return True
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "database" in document


def read_activitynet(folder: Path, *, train_on_validation: bool = True) -> Dataset:
    """ActivityNet (Heilbron et al. 2015) and THUMOS'14 (Idrees et al. 2017, arXiv:1604.06182).

    One sample for each annotated span, and one without a label for a video that has none. THUMOS has no
    untrimmed training videos: where no video is for training, those for validation train, as the papers do.
    """
    lists = find_activitynet(folder)
    if not lists:
        raise InvalidQueryError(f"there is no JSON file with a database of annotations in {folder}")
    files, missing = VideoFiles(folder), []
    found: list[tuple[str, str | None, float | None, float | None, Split]] = []
    broken = 0
    for file in lists:
        database = read_json(file).get("database")
        if not isinstance(database, dict):
            raise InvalidQueryError(
                f"{file}: expected database -> video -> annotations, got {database!r:.80}"
            )
        for name, entry in database.items():
            split, spans, wrong = _spans(entry, f"{file}, video {name}")
            broken += wrong
            path = files.named(f"{name}.mp4", f"v_{name}.mp4", name)
            if path is None:
                missing.append(name)
            elif not spans:
                found.append((path, None, None, None, split))
            else:
                found += [(path, label, start, end, split) for label, start, end in spans]
    check_found(len(found), missing, folder, "<name>.mp4 or v_<name>.mp4 for each video in the database")
    notes = [f"{broken} spans that do not end after they begin are left out"] if broken else []
    if train_on_validation and not any(split == "train" for *_, split in found):
        found = [(*rest, "train" if split == "val" else split) for *rest, split in found]  # type: ignore[misc]
        notes.append("no video is for training: those for validation are trained on")
    labels = tuple(sorted({label for _, label, *_ in found if label is not None}))
    index = {label: number for number, label in enumerate(labels)}
    samples = tuple(
        Sample(path, None if label is None else index[label], start, end, split, group=path)
        for path, label, start, end, split in found
    )
    return Dataset(samples, labels, "activitynet", tuple(missing), tuple(notes))


def _spans(entry: Any, where: str) -> tuple[Split, list[tuple[str, float, float]], int]:
    """A video's split, its spans, and how many were left out."""
    try:
        subset = str(entry["subset"]).lower()
        spans = [
            (str(item["label"]), float(item["segment"][0]), float(item["segment"][1]))
            for item in entry.get("annotations") or ()
        ]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidQueryError(
            f"{where}: expected subset and annotations with segment and label, but {error!r}"
        ) from error
    if subset not in SPLIT_NAMES:
        raise InvalidQueryError(
            f"{where}: expected a subset of training, validation or testing, got {subset!r}"
        )
    good = [(label, max(0.0, start), end) for label, start, end in spans if end > max(0.0, start)]
    return SPLIT_NAMES[subset], list(dict.fromkeys(good)), len(spans) - len(good)


def videos_of(dataset: Dataset, split: Split) -> dict[str, list[Sample]]:
    """The spans of each video of a split, in order of time; a video without spans has an empty list."""
    samples = sorted(dataset.of(split, labelled=False), key=lambda s: (s.path, s.start_seconds or 0.0))
    return {
        path: [sample for sample in group if sample.label is not None]
        for path, group in itertools.groupby(samples, key=lambda s: s.path)
    }
