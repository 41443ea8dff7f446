"""Layouts with a label for each video: class folders, UCF-101 and Something-Something."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encoders.errors import InvalidQueryError
from indexer.datasets.types import SPLIT_NAMES, Dataset, Sample, Split, VideoFiles, check_found
from indexer.ingest.walk import looks_like_video

# UCF-101 and HMDB name pieces of one film v_Class_g01_c02.
_GROUPED = re.compile(r"^(.*_g\d+)_c\d+$")
_TRIMMED = re.compile(r"^(.+)_\d{6}_\d{6}$")  # Kinetics: <youtube id>_<start>_<end>
LIST_FOLDERS = (".", "annotations", "lists", "labels", "csv")


def group_in_name(path: str) -> str:
    """The film that a file's name says it was cut from, empty where it says none."""
    stem = os.path.splitext(os.path.basename(path))[0]
    for pattern in (_GROUPED, _TRIMMED):
        if found := pattern.match(stem):
            return found[1]
    return ""


def read_text(file: Path) -> str:
    """A list's text. Raises InvalidQueryError: It cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise InvalidQueryError(f"{file} cannot be read: {error}") from error


def read_json(file: Path) -> Any:
    """A list's document. Raises InvalidQueryError: It is no JSON."""
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise InvalidQueryError(f"{file} is no JSON: {error}") from error


def list_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Files with a suffix in the folders where data sets keep their lists, in the order of names."""
    for name in LIST_FOLDERS:
        if (folder / name).is_dir():
            yield from sorted(
                p for p in (folder / name).iterdir() if p.suffix.lower() == suffix and p.is_file()
            )


def split_in_name(file: Path) -> Split | None:
    """The split that a list's name says it is for: "kinetics-400_validate" is for "val"."""
    words = re.split(r"[^a-z]+", file.stem.lower())
    found = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


# Class folders


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _has_video(folder: Path) -> bool:
    """Returns whether a video is in the folder or below; stops at the first."""
    return any(looks_like_video(name) for _, _, names in os.walk(folder, followlinks=True) for name in names)


def _split_folders(folder: Path) -> dict[Path, Split]:
    return {
        sub: SPLIT_NAMES[sub.name.lower()] for sub in _subfolders(folder) if sub.name.lower() in SPLIT_NAMES
    }


def has_class_folders(folder: Path) -> bool:
    """Returns whether videos lie in folders named after classes."""
    return any(_has_video(sub) for root in _split_folders(folder) or [folder] for sub in _subfolders(root))


def read_class_folders(folder: Path) -> Dataset:
    """A folder for each class, with videos at any depth, below train/, val/ and test/ or directly."""
    splits = _split_folders(folder) or {folder: "train"}
    files = VideoFiles(folder)
    found: list[tuple[str, str, Split]] = []
    notes, loose = [], 0
    roots = {str(root.absolute()): split for root, split in splits.items()}
    # Links to nowhere are read like the others, which says what is wrong with them.
    for path in (*files.paths, *_dead_links(folder)):
        for root, split in roots.items():
            inside = os.path.relpath(path, root).split(os.sep)
            if inside[0] == "..":
                continue
            if len(inside) == 1:
                loose += 1
            else:
                found.append((path, inside[0], split))
            break
    check_found(len(found), (), folder, "a folder for each class, with videos in it")
    if loose:
        have = "video beside the class folders has" if loose == 1 else "videos beside the class folders have"
        are = "is" if loose == 1 else "are"
        notes.append(f"{loose} {have} no class and {are} left out")
    labels = tuple(sorted({label for _, label, _ in found}))
    index = {label: number for number, label in enumerate(labels)}
    samples = tuple(
        Sample(path, index[label], split=split, group=group_in_name(path)) for path, label, split in found
    )
    return Dataset(samples, labels, "folders", notes=tuple(notes))


def _dead_links(folder: Path) -> list[str]:
    """Links named like videos that lead nowhere, below a folder; hidden ones are left out."""
    found = []
    for place, folders, names in os.walk(folder.absolute()):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [os.path.join(place, name) for name in sorted(names) if not name.startswith(".")]
        found += [
            path
            for path in paths
            if looks_like_video(path) and os.path.islink(path) and not os.path.exists(path)
        ]
    return found


# UCF-101


def find_ucf101_lists(folder: Path) -> Path | None:
    """The folder that holds classInd.txt."""
    places = [folder, *_subfolders(folder)] if folder.is_dir() else []
    return next((place for place in places if (place / "classInd.txt").is_file()), None)


def read_ucf101(folder: Path, split_number: int = 1) -> Dataset:
    """UCF-101 (Soomro et al. 2012, arXiv:1212.0402): numbered lists of whole groups."""
    place = find_ucf101_lists(folder)
    if place is None:
        raise InvalidQueryError(f"there is no classInd.txt in {folder} or a folder below; UCF-101 has one")
    labels: dict[str, int] = {}
    for number, line in _lines(place / "classInd.txt"):
        parts = line.split(maxsplit=1)
        if len(parts) != 2 or not parts[0].isdigit():
            raise InvalidQueryError(
                f'{place / "classInd.txt"}, line {number}: expected "1 Name", got {line!r}'
            )
        labels[parts[1]] = len(labels)
    files, samples, missing = VideoFiles(folder), [], []
    for kind, split in (("train", "train"), ("test", "test")):
        file = place / f"{kind}list{split_number:02d}.txt"
        if not file.is_file():
            numbers = sorted(p.stem.removeprefix("trainlist") for p in place.glob("trainlist*.txt"))
            raise InvalidQueryError(f"there is no {file}; the splits here are {', '.join(numbers) or 'none'}")
        for number, line in _lines(file):
            name = re.sub(r"\s+\d+$", "", line)  # training lists repeat the number of the class
            label = labels.get(name.replace("\\", "/").split("/")[0])
            if label is None:
                raise InvalidQueryError(
                    f"{file}, line {number}: expected Class/name.avi, a class of classInd.txt, got {line!r}"
                )
            path = files.named(name)
            if path is None:
                missing.append(name)
            else:
                samples.append(Sample(path, label, split=SPLIT_NAMES[split], group=group_in_name(name)))
    check_found(len(samples), missing, folder, "UCF-101's videos by the names in its lists")
    return Dataset(tuple(samples), tuple(labels), "ucf101", tuple(missing))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


# Something-Something


def find_something_lists(folder: Path) -> dict[str, Path] | None:
    """The files of labels, training and validation, by those names."""
    found: dict[str, Path] = {}
    for file in list_files(folder, ".json"):
        stem = file.stem.lower()
        for kind in ("labels", "train", "validation"):
            if stem == kind or stem.endswith(f"-{kind}"):
                found.setdefault(kind, file)
    return found if {"labels", "train"} <= found.keys() else None


def read_something(folder: Path) -> Dataset:
    """Something-Something (Goyal et al. 2017, arXiv:1706.04261): templates as labels, <id>.webm."""
    lists = find_something_lists(folder)
    if lists is None:
        raise InvalidQueryError(
            f"expected labels.json and train.json (or something-something-v2-labels.json ...) in {folder} or "
            "its labels/"
        )
    table = read_json(lists["labels"])
    try:
        names = sorted(table, key=lambda name: int(table[name])) if isinstance(table, dict) else list(table)
        index = {_plain(name): number for number, name in enumerate(names)}
    except (TypeError, ValueError) as error:
        raise InvalidQueryError(f"{lists['labels']} must map each label to its number: {error!r}") from error
    files, samples, missing = VideoFiles(folder), [], []
    for kind in ("train", "validation"):
        if kind not in lists:
            continue
        for number, entry in enumerate(_entries(lists[kind]), start=1):
            try:
                video, label = str(entry["id"]), index[_plain(entry.get("template") or entry["label"])]
            except (AttributeError, KeyError, TypeError) as error:
                raise InvalidQueryError(
                    f"{lists[kind]}, entry {number}: expected id and a template of {lists['labels'].name}, "
                    f"got {entry!r}"
                ) from error
            path = files.named(f"{video}.webm")
            if path is None:
                missing.append(f"{video}.webm")
            else:
                samples.append(Sample(path, label, split=SPLIT_NAMES[kind]))
    check_found(len(samples), missing, folder, "<id>.webm for each id in the lists")
    return Dataset(tuple(samples), tuple(names), "something", tuple(missing))


def _entries(file: Path) -> list[Any]:
    entries = read_json(file)
    if not isinstance(entries, list):
        raise InvalidQueryError(f"{file} must hold a list of videos, got {type(entries).__name__}")
    return entries


def _plain(template: str) -> str:
    """A template without the brackets around its placeholders, which the labels lack."""
    return template.replace("[", "").replace("]", "")
