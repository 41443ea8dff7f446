"""Data sets in the layouts people have, read into one form.

| layout | told by | read |
|---|---|---|
| `ucf101` | `classInd.txt`, `trainlist01.txt`, `testlist01.txt` (here or in `ucfTrainTestlist/`) | classes |
| `something` | `*labels.json`, `*train.json`, `*validation.json` | classes |
| `kinetics` | `train.csv` and the like: label, youtube_id, time_start, time_end, or path, label | classes |
| `activitynet` | a JSON file with `database` -> video -> `annotations` (ActivityNet, THUMOS) | spans |
| `folders` | a folder for each class, below `train/`, `val/`, `test/` or not | classes |
| `tvsum`, `summe` | `ydata-tvsum50-anno.tsv` or `.mat`; `GT/*.mat` with `user_score` | importance |

Where a data set has no validation split, a share of the training samples is set aside for it: stratified,
seeded, and by whole groups, so that two pieces of one film are never on both sides. The test split is never
touched: a model chosen on it would flatter itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from encoders.errors import InvalidQueryError, NotFoundError
from indexer.datasets.importance import find_summe, find_tvsum, read_summe, read_tvsum
from indexer.datasets.kinetics import find_kinetics_lists, read_kinetics
from indexer.datasets.labelled import (
    find_something_lists,
    find_ucf101_lists,
    has_class_folders,
    read_class_folders,
    read_something,
    read_ucf101,
)
from indexer.datasets.spans import find_activitynet, read_activitynet
from indexer.datasets.types import (
    Dataset,
    ImportanceDataset,
    ImportanceSample,
    Sample,
    Split,
    missing_note,
    shared_groups,
    split_off,
)

__all__ = [
    "IMPORTANCE_LAYOUTS",
    "LAYOUTS",
    "Dataset",
    "ImportanceDataset",
    "ImportanceSample",
    "Sample",
    "Split",
    "detect_layout",
    "read_dataset",
    "read_importance",
]

# In the order in which they are tried: those with unmistakable files first.
_FOUND: dict[str, Callable[[Path], object]] = {
    "ucf101": find_ucf101_lists,
    "something": find_something_lists,
    "tvsum": find_tvsum,
    "summe": find_summe,
    "activitynet": find_activitynet,
    "kinetics": find_kinetics_lists,
    "folders": has_class_folders,
}
IMPORTANCE_LAYOUTS = ("tvsum", "summe")
LAYOUTS = tuple(name for name in _FOUND if name not in IMPORTANCE_LAYOUTS)


def detect_layout(folder: Path) -> str:
    """The name of the layout of a folder.

    Raises:
        NotFoundError: There is no such folder.
        InvalidQueryError: It has none of the known layouts.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder} to read a data set from")
    for name, finds in _FOUND.items():
        if finds(folder):
            return name
    raise InvalidQueryError(
        f"{folder} has no layout that is known here. Expected one of: a folder for each class, with videos "
        "in it (or train/, val/ and test/ with such folders); classInd.txt with trainlist01.txt (UCF-101); "
        "train.csv with label, youtube_id, time_start, time_end, or with a path and a label a line "
        "(Kinetics); labels.json with train.json (Something-Something); a JSON file with a database of "
        "annotations (ActivityNet, THUMOS); ydata-tvsum50-anno.tsv (TVSum); GT/*.mat (SumMe)"
    )


def read_dataset(
    folder: Path,
    *,
    layout: str = "auto",
    split_number: int = 1,
    val_share: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Reads a data set of labelled videos, or of labelled spans of videos.

    Args:
        folder: Which holds the lists, and below it the videos.
        layout: One of `LAYOUTS`, or "auto" to tell it by the files.
        split_number: Which of the numbered train and test lists (UCF-101).
        val_share: Of the training samples, set aside to validate on where the data set names none; 0 to set
            none aside.
        seed: Of that draw.

    Raises:
        NotFoundError: There is no such folder, or not one of the videos.
        InvalidQueryError: The lists cannot be read so.
    """
    name = _named_layout(folder, layout, LAYOUTS, "labelled videos")
    if name == "ucf101":
        dataset = read_ucf101(folder, split_number)
    else:
        readers = {
            "something": read_something,
            "kinetics": read_kinetics,
            "activitynet": read_activitynet,
            "folders": read_class_folders,
        }
        dataset = readers[name](folder)
    notes = [*missing_note(dataset.missing), *dataset.notes]
    shared = shared_groups(dataset.samples)
    if shared:
        notes.append(
            f"{len(shared)} {'group is' if len(shared) == 1 else 'groups are'} in more than one split, "
            f"{shared[0]} for one: results will flatter"
        )
    samples = dataset.samples
    if not any(sample.split == "train" for sample in samples) and name != "activitynet":
        raise InvalidQueryError(f"{folder} has no training sample: every one is in val or test")
    if val_share and not any(sample.split == "val" for sample in samples):
        samples = split_off(samples, "val", val_share, seed)
        drawn = sum(sample.split == "val" for sample in samples)
        were = "training sample was" if drawn == 1 else "training samples were"
        notes.append(f"{drawn} {were} set aside to validate on (share {val_share:g}, seed {seed})")
    return replace(dataset, samples=samples, notes=tuple(notes))


def read_importance(
    folder: Path, *, layout: str = "auto", val_share: float = 0.2, seed: int = 0
) -> ImportanceDataset:
    """Reads videos whose importance people annotated (SumMe, Gygli et al. 2014; TVSum, Song et al. 2015).

    Neither data set names a split: `val_share` of the videos is drawn, seeded.

    Raises:
        NotFoundError: There is no such folder, or not one of the videos.
        InvalidQueryError: The annotations cannot be read.
    """
    name = _named_layout(folder, layout, IMPORTANCE_LAYOUTS, "annotated importance")
    dataset = read_tvsum(folder) if name == "tvsum" else read_summe(folder)
    # Drawn like labelled samples, by kind of video where that is known.
    kinds = {kind: index for index, kind in enumerate(sorted({s.category or "" for s in dataset.samples}))}
    drawn = split_off(
        [Sample(sample.path, kinds[sample.category or ""]) for sample in dataset.samples],
        "val",
        val_share,
        seed,
    )
    samples = tuple(
        replace(sample, split=like.split) for sample, like in zip(dataset.samples, drawn, strict=True)
    )
    return replace(dataset, samples=samples, notes=(*missing_note(dataset.missing), *dataset.notes))


def _named_layout(folder: Path, layout: str, known: tuple[str, ...], what: str) -> str:
    name = detect_layout(folder) if layout == "auto" else layout
    if name in known:
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {folder} to read a data set from")
        return name
    if name in _FOUND:
        raise InvalidQueryError(f"{folder} has the layout {name}, which does not hold {what}")
    raise InvalidQueryError(f'the layout must be "auto" or one of {", ".join(known)}, got {layout!r}')
