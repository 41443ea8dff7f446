"""Layouts with annotated importance: TVSum and SumMe, from text or from MATLAB's files."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InvalidQueryError
from indexer.datasets.labelled import read_text
from indexer.datasets.types import ImportanceDataset, ImportanceSample, VideoFiles, check_found

_HDF5_OPENING = b"\x89HDF\r\n\x1a\n"


def find_tvsum(folder: Path) -> Path | None:
    """TVSum's annotations: the text where it is there, else the MATLAB file."""
    for suffix in ("tsv", "mat"):
        found = sorted(folder.glob(f"**/*tvsum*anno*.{suffix}")) or sorted(
            folder.glob(f"**/*tvsum50.{suffix}")
        )
        if found:
            return found[0]
    return None


def find_summe(folder: Path) -> list[Path]:
    """SumMe's annotations, a MATLAB file for each video."""
    return [file for name in ("GT", "gt") for file in sorted((folder / name).glob("*.mat"))]


def read_tvsum(folder: Path) -> ImportanceDataset:
    """TVSum (Song et al. 2015): 20 people's scores of 1 to 5 for every frame, here scaled to 0..1."""
    file = find_tvsum(folder)
    if file is None:
        raise InvalidQueryError(f"there is no ydata-tvsum50-anno.tsv or ydata-tvsum50.mat below {folder}")
    rows = _tvsum_text(file) if file.suffix == ".tsv" else _tvsum_matlab(file)
    files, samples, missing = VideoFiles(folder), [], []
    for name, (category, scores) in rows.items():
        path = files.named(f"{name}.mp4")
        if path is None:
            missing.append(f"{name}.mp4")
        else:
            samples.append(ImportanceSample(path, ((scores - 1) / 4).astype(np.float32), category=category))
    check_found(len(samples), missing, folder, "<video id>.mp4 for each annotated video")
    return ImportanceDataset(tuple(samples), "tvsum", tuple(missing))


def _tvsum_text(file: Path) -> dict[str, tuple[str, NDArray[np.float32]]]:
    """Rows of video id, category and one person's scores, parted by tabs and commas."""
    people: dict[str, tuple[str, list[NDArray[np.float32]]]] = {}
    csv.field_size_limit(1 << 27)
    for number, row in enumerate(csv.reader(read_text(file).splitlines(), delimiter="\t"), start=1):
        if not row:
            continue
        try:
            name, category, text = row
            scores = np.array(text.split(","), np.float32)
        except ValueError as error:
            raise InvalidQueryError(
                f"{file}, line {number}: expected a video id, a category and scores (1,2,...), but {error}"
            ) from error
        _check_scores(scores, 1, 5, f"{file}, line {number}")
        people.setdefault(name, (category, []))[1].append(scores)
    for name, (_, rows) in people.items():
        if len({len(scores) for scores in rows}) > 1:
            raise InvalidQueryError(f"{file}: the people who scored {name} saw different numbers of frames")
    return {name: (category, np.stack(rows)) for name, (category, rows) in people.items()}


def _tvsum_matlab(file: Path) -> dict[str, tuple[str, NDArray[np.float32]]]:
    """The struct array `tvsum50`, which TVSum wrote as MATLAB 7.3, so HDF5."""
    if not _is_hdf5(file):
        table = np.atleast_1d(_matlab(file, "tvsum50")["tvsum50"])
        return {
            str(row["video"]): (str(row["category"]), _people(row["user_anno"], 1, 5, file))
            for row in table.flat
        }
    with _open_hdf5(file) as opened:

        def field(name: str, number: int) -> Any:
            return opened[opened["tvsum50"][name][()].flat[number]][()]

        try:
            return {
                _letters(field("video", number)): (
                    _letters(field("category", number)),
                    # HDF5 holds MATLAB's columns as rows: (people, frames) already.
                    _people(field("user_anno", number).T, 1, 5, file),
                )
                for number in range(opened["tvsum50"]["video"].size)
            }
        except (KeyError, AttributeError, TypeError, IndexError) as error:
            raise InvalidQueryError(f"{file} is not laid out as TVSum's: {error!r}") from error


def read_summe(folder: Path) -> ImportanceDataset:
    """SumMe (Gygli et al. 2014): for every frame, whether each of 15 to 18 people kept it."""
    files, samples, missing = VideoFiles(folder), [], []
    annotations = find_summe(folder)
    if not annotations:
        raise InvalidQueryError(f"there is no GT/*.mat in {folder}; SumMe has one for each video")
    for file in annotations:
        if _is_hdf5(file):
            with _open_hdf5(file) as opened:
                if "user_score" not in opened:
                    raise InvalidQueryError(f"{file} has no user_score; SumMe's files do")
                marks = np.asarray(opened["user_score"][()]).T
        else:
            marks = _matlab(file, "user_score")["user_score"]
        # A mark is the rank of the kept piece, so anything above 0 is "kept".
        kept = _people(np.asarray(marks, np.float64) > 0, 0, 1, file)
        path = files.named(f"{file.stem}.mp4", f"{file.stem}.webm", file.stem)
        if path is None:
            missing.append(file.stem)
        else:
            samples.append(ImportanceSample(path, kept))
    check_found(len(samples), missing, folder, "a video named like each file in GT/")
    return ImportanceDataset(tuple(samples), "summe", tuple(missing))


def _people(scores: Any, low: float, high: float, file: Path) -> NDArray[np.float32]:
    """MATLAB's (frames, people) as float32 (people, frames), checked."""
    array = np.asarray(scores)
    if array.ndim != 2 or not array.size:
        raise InvalidQueryError(f"{file}: expected scores of frames by people, got the shape {array.shape}")
    people = np.ascontiguousarray(array.T, np.float32)
    _check_scores(people, low, high, str(file))
    return people


def _check_scores(scores: NDArray[np.float32], low: float, high: float, where: str) -> None:
    if not (np.isfinite(scores).all() and scores.min() >= low and scores.max() <= high):
        raise InvalidQueryError(f"{where}: expected scores from {low:g} to {high:g}")


def _matlab(file: Path, wanted: str) -> Mapping[str, Any]:
    """The variables of a MATLAB file up to version 7."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(file, variable_names=[wanted], squeeze_me=wanted != "user_score")
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise InvalidQueryError(f"{file} cannot be read as a MATLAB file: {error}") from error
    if wanted not in found:
        raise InvalidQueryError(f"{file} has no {wanted}")
    return found


def _is_hdf5(file: Path) -> bool:
    """MATLAB 7.3 is HDF5 behind a header of 512 bytes."""
    try:
        with file.open("rb") as opened:
            head = opened.read(520)
    except OSError as error:
        raise InvalidQueryError(f"{file} cannot be read: {error}") from error
    return head.startswith(_HDF5_OPENING) or head[512:520] == _HDF5_OPENING


def _open_hdf5(file: Path) -> Any:
    try:
        h5py = importlib.import_module("h5py")  # optional, so no dependency of ours
    except ImportError as error:
        raise InvalidQueryError(
            f"{file} is a MATLAB 7.3 file, which needs the package h5py, and that is not installed: "
            "pip install h5py (TVSum's ydata-tvsum50-anno.tsv says the same and needs nothing)"
        ) from error
    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise InvalidQueryError(f"{file} cannot be read as a MATLAB 7.3 file: {error}") from error


def _letters(codes: NDArray[Any]) -> str:
    """Text that MATLAB wrote as numbers of characters."""
    return "".join(chr(int(code)) for code in np.asarray(codes).ravel())
