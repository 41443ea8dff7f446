"""Kinetics, and any other list of videos with a label each, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from encoders.errors import InvalidQueryError
from indexer.datasets.labelled import LIST_FOLDERS, group_in_name, list_files, read_text, split_in_name
from indexer.datasets.types import SPLIT_NAMES, Dataset, Sample, Split, VideoFiles, check_found


def find_kinetics_lists(folder: Path) -> list[Path]:
    """CSV files whose names say which split they are for, or that have a column for it."""
    found = []
    for file in [*list_files(folder, ".csv"), *list_files(folder, ".txt")]:
        if split_in_name(file) is not None:
            found.append(file)
        elif file.suffix.lower() == ".csv":
            with file.open(encoding="utf-8-sig", errors="replace") as opened:
                header = opened.readline().lower().replace(" ", "").strip().split(",")
            if "split" in header and ("path" in header or "youtube_id" in header):
                found.append(file)
    return found


def read_kinetics(folder: Path) -> Dataset:
    """Kinetics (Kay et al. 2017, arXiv:1705.06950), or any CSV of videos and labels.

    Rows are `label,youtube_id,time_start,time_end,split` under a header, with files named
    <id>_<start:06d>_<end:06d>.mp4 or, uncut, <id>.mp4; or `path,label` with a header (start_seconds,
    end_seconds and split may follow); or a path and a label a line without one, as training codes list them.
    """
    lists = find_kinetics_lists(folder)
    if not lists:
        raise InvalidQueryError(f"there is no train.csv or the like in {folder} or its annotations/")
    files, missing, unlabelled = VideoFiles(folder), [], 0
    rows: list[tuple[str, str, tuple[float | None, float | None], Split, str]] = []
    for file in lists:
        for where, row in _rows(file):
            split = SPLIT_NAMES.get((row.get("split") or "").strip().lower()) or split_in_name(file)
            label = (row.get("label") or "").strip()
            if split is None:
                raise InvalidQueryError(f"{where}: expected a split of train, val or test, got {row!r}")
            if not label:  # Kinetics' own test list came without
                unlabelled += 1
                continue
            name, path, span = _located(files, row, where)
            if path is None:
                missing.append(name)
            else:
                group = (row.get("youtube_id") or "").strip() or group_in_name(path)
                rows.append((path, label, span, split, group))
    check_found(len(rows), missing, folder, "videos by the names in the lists")
    labels = _sorted_labels(label for _, label, _, _, _ in rows)
    index = {label: number for number, label in enumerate(labels)}
    samples = tuple(
        Sample(path, index[label], span[0], span[1], split, group) for path, label, span, split, group in rows
    )
    notes = (f"{unlabelled} rows without a label are left out",) if unlabelled else ()
    return Dataset(samples, _class_names(folder, labels), "kinetics", tuple(missing), notes)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row with its place; columns without a header are a path and a label."""
    lines = read_text(file).splitlines()
    first = next((line for line in lines if line.strip()), "")
    names = [name.strip().lower() for name in first.split(",")]
    if "youtube_id" in names or "path" in names:
        reader = csv.DictReader(io.StringIO("\n".join(lines)), fieldnames=None)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        for row in reader:
            yield f"{file}, line {reader.line_num}", row
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parts = (
            line.rsplit(",", 1) if "," in line else line.split("\t") if "\t" in line else line.rsplit(" ", 1)
        )
        if len(parts) != 2:
            raise InvalidQueryError(f'{file}, line {number}: expected "path,label", got {line!r}')
        yield (
            f"{file}, line {number}",
            {"path": parts[0].strip().strip('"'), "label": parts[1].strip().strip('"')},
        )


def _located(
    files: VideoFiles, row: dict[str, str], where: str
) -> tuple[str, str | None, tuple[float | None, float | None]]:
    """A row's name, its file if that is there, and the span of it where the file is not cut already."""
    try:
        if row.get("path"):
            start, end = (row.get("start_seconds") or "").strip(), (row.get("end_seconds") or "").strip()
            return (
                row["path"],
                files.named(row["path"], strict=True),
                (float(start), float(end)) if start and end else (None, None),
            )
        video = row["youtube_id"].strip()
        begin, end_seconds = (float(row[field]) for field in ("time_start", "time_end"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidQueryError(
            f"{where}: expected path and label, or label, youtube_id, time_start and time_end, got {row!r}"
        ) from error
    name = f"{video}_{round(begin):06d}_{round(end_seconds):06d}"
    cut = files.named(f"{name}.mp4")
    if cut is not None:
        return f"{name}.mp4", cut, (None, None)
    return f"{name}.mp4", files.named(f"{video}.mp4"), (begin, end_seconds)


def _sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of letters; numbers, which are indices already, in the order of numbers."""
    distinct = set(labels)
    if all(label.isdecimal() for label in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))


def _class_names(folder: Path, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Names for labels that are numbers, from a file with one a line, where there is one."""
    if not all(label.isdecimal() for label in labels):
        return labels
    for place in LIST_FOLDERS:
        for name in ("classes.txt", "labels.txt", "label_map.txt"):
            file = folder / place / name
            if file.is_file():
                names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
                if max(map(int, labels)) < len(names):
                    return tuple(names[int(label)] for label in labels)
    return labels
