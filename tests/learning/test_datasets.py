"""Data sets in the layouts people have: written as their authors write them, read into one form."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from video_factory import moving, write_video

from encoders.errors import InvalidQueryError, NotFoundError
from indexer.datasets.layouts import detect_layout, read_dataset, read_importance
from indexer.datasets.spans import videos_of
from indexer.datasets.training_data import ClipDataset, ClipSampling
from indexer.datasets.types import SPLITS, Dataset, Sample, split_off


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", moving(10))


class Folder:
    """A folder in the making."""

    def __init__(self, root: Path, video: Path) -> None:
        self.root, self._video = root, video

    def videos(self, *names: str) -> None:
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._video, path)

    def text(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def json(self, name: str, value: object) -> None:
        self.text(name, json.dumps(value))


@pytest.fixture
def folder(tmp_path: Path, video: Path) -> Folder:
    return Folder(tmp_path / "set", video)


def shown(dataset: Dataset) -> set[tuple[str, str | None, str]]:
    """Name of the file, name of the class, split."""
    return {
        (Path(s.path).name, None if s.label is None else dataset.labels[s.label], s.split)
        for s in dataset.samples
    }


# Class folders


def test_class_folders_below_splits(folder: Folder) -> None:
    folder.videos("train/walk/a.mp4", "train/run/b.webm", "valid/run/c.mp4", "Test/walk/deep/d.avi")
    folder.text("train/walk/readme.txt", "no video")
    folder.videos("train/loose.mp4")
    assert detect_layout(folder.root) == "folders"
    found = read_dataset(folder.root)
    assert found.labels == ("run", "walk")
    assert shown(found) == {
        ("a.mp4", "walk", "train"),
        ("b.webm", "run", "train"),
        ("c.mp4", "run", "val"),
        ("d.avi", "walk", "test"),
    }
    assert "1 video beside the class folders" in found.notes[0]
    assert found.summary()["samples"] == {"train": 2, "val": 1, "test": 1}


def test_one_level_is_split_by_a_seeded_stratified_share(folder: Folder) -> None:
    folder.videos(*(f"{name}/{name}{n}.mp4" for name, count in (("a", 20), ("b", 10)) for n in range(count)))
    folder.videos("only/one.mp4")

    def drawn(seed: int) -> set[str]:
        return {Path(s.path).name for s in read_dataset(folder.root, val_share=0.3, seed=seed).of("val")}

    first = drawn(0)
    assert Counter(name[0] for name in first) == {"a": 6, "b": 3}  # and none of the class of one
    assert drawn(0) == first
    assert drawn(1) != first
    folder.root.rename(folder.root.with_name("moved"))
    folder.root = folder.root.with_name("moved")
    assert drawn(0) == first  # the place of the folder has no part in it
    assert not read_dataset(folder.root, val_share=0).of("val")


def test_pieces_of_one_film_stay_together(folder: Folder) -> None:
    folder.videos(
        *(
            f"{name}/v_{name}_g{g:02d}_c{c:02d}.avi"
            for name in "AB"
            for g in range(1, 11)
            for c in range(1, 4)
        )
    )
    found = read_dataset(folder.root, val_share=0.2)
    groups = {split: {Path(s.path).stem[:-4] for s in found.of(split)} for split in ("train", "val")}
    assert not groups["train"] & groups["val"]
    assert Counter(found.labels[s.label] for s in found.of("val") if s.label is not None) == {"A": 6, "B": 6}


def test_a_group_of_several_classes_is_drawn_once() -> None:
    samples = [Sample(f"/v/{n}.mp4", label, 0, 1, group=f"film {n}") for n in range(10) for label in (0, 1)]
    found = split_off(samples, "val", 0.3, 0)
    splits = [{s.split for s in found if s.group == f"film {n}"} for n in range(10)]
    assert all(len(split) == 1 for split in splits)
    assert sum(split == {"val"} for split in splits) == 3


# UCF-101


def ucf(folder: Folder, place: str = "ucfTrainTestlist") -> None:
    folder.text(f"{place}/classInd.txt", "1 ApplyEyeMakeup\r\n2 YoYo\r\n")
    folder.text(
        f"{place}/trainlist01.txt",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\nApplyEyeMakeup/v_ApplyEyeMakeup_g09_c01.avi 1\r\n"
        "YoYo/v_YoYo_g08_c01.avi 2\r\nYoYo/v_YoYo_g25_c02.avi 2\r\nYoYo/v_YoYo_g25_c03.avi 2\r\n",
    )
    folder.text(f"{place}/testlist01.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\n")


def test_ucf101(folder: Folder) -> None:
    ucf(folder)
    folder.videos(
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
        "UCF-101/YoYo/v_YoYo_g25_c02.avi",
        "UCF-101/YoYo/v_YoYo_g25_c03.avi",
        "UCF-101/YoYo/v_YoYo_g08_c01.mp4",  # written anew in another container
    )
    assert detect_layout(folder.root) == "ucf101"
    found = read_dataset(folder.root, val_share=0)
    assert found.labels == ("ApplyEyeMakeup", "YoYo")
    assert shown(found) == {
        ("v_ApplyEyeMakeup_g08_c01.avi", "ApplyEyeMakeup", "train"),
        ("v_YoYo_g08_c01.mp4", "YoYo", "train"),
        ("v_YoYo_g25_c02.avi", "YoYo", "train"),
        ("v_YoYo_g25_c03.avi", "YoYo", "train"),
        ("v_ApplyEyeMakeup_g01_c01.avi", "ApplyEyeMakeup", "test"),
    }
    assert found.missing == ("ApplyEyeMakeup/v_ApplyEyeMakeup_g09_c01.avi",)
    assert found.notes[0].startswith("1 video that the lists name is not there")
    assert "v_ApplyEyeMakeup_g09_c01.avi" in found.notes[0]
    drawn = read_dataset(folder.root, val_share=0.5)
    together = {s.split for s in drawn.samples if s.group == "v_YoYo_g25"}
    assert len(together) == 1
    assert len(drawn.of("test")) == 1


def test_ucf101_says_what_is_wrong(folder: Folder) -> None:
    ucf(folder, ".")
    with pytest.raises(NotFoundError, match=r"none of the 6 videos that the lists name.*UCF-101's videos"):
        read_dataset(folder.root)
    folder.videos("v_ApplyEyeMakeup_g08_c01.avi")
    with pytest.raises(InvalidQueryError, match=r"trainlist03\.txt; the splits here are 01"):
        read_dataset(folder.root, split_number=3)
    folder.text("testlist01.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi\n")
    assert "1 group is in more than one split" in " ".join(read_dataset(folder.root).notes)
    folder.text("testlist01.txt", "Cooking/v_Cooking_g01_c01.avi\n")
    with pytest.raises(InvalidQueryError, match=r"testlist01\.txt, line 1: .*classInd"):
        read_dataset(folder.root)


# Kinetics and lists


def test_kinetics(folder: Folder) -> None:
    header = "label,youtube_id,time_start,time_end,split\n"
    folder.text(
        "annotations/train.csv",
        header + 'abseiling,-3B32lodo2M,59,69,train\n"shaking, hands",_a-b_cdefgh,0,10,train\n'
        "abseiling,uncutAbcdef,5,15,train\nabseiling,goneAbcdefg,1,11,train\n",
    )
    folder.text("annotations/validate.csv", header + '"shaking, hands",kkkkkkkkkkk,3,13,validate\n')
    folder.text("annotations/test.csv", "youtube_id,time_start,time_end,split\nzzzzzzzzzzz,3,13,test\n")
    folder.videos(
        "train/-3B32lodo2M_000059_000069.mp4",
        "replacement/-3B32lodo2M_000059_000069.mp4",
        "train/shaking hands/_a-b_cdefgh_000000_000010.mkv",
        "whole/uncutAbcdef.mp4",
        "val/kkkkkkkkkkk_000003_000013.mp4",
    )
    assert detect_layout(folder.root) == "kinetics"
    found = read_dataset(folder.root)
    assert found.labels == ("abseiling", "shaking, hands")
    assert shown(found) == {
        ("-3B32lodo2M_000059_000069.mp4", "abseiling", "train"),
        ("_a-b_cdefgh_000000_000010.mkv", "shaking, hands", "train"),
        ("uncutAbcdef.mp4", "abseiling", "train"),
        ("kkkkkkkkkkk_000003_000013.mp4", "shaking, hands", "val"),
    }
    assert found.missing == ("goneAbcdefg_000001_000011.mp4",)
    assert "1 rows without a label are left out" in found.notes
    by_name = {Path(s.path).name: s for s in found.samples}
    assert "replacement" in by_name["-3B32lodo2M_000059_000069.mp4"].path
    uncut = by_name["uncutAbcdef.mp4"]
    assert (uncut.start_seconds, uncut.end_seconds, uncut.group) == (5.0, 15.0, "uncutAbcdef")
    assert by_name["-3B32lodo2M_000059_000069.mp4"].start_seconds is None


@pytest.mark.parametrize("separator", [" ", ",", "\t", ", "])
def test_lists_of_paths_and_numbers(folder: Folder, separator: str) -> None:
    folder.text("train.csv", f"a/001.mp4{separator}10\nb b/001.mp4{separator}2\nc/001.mp4{separator}0\n")
    folder.text("val.csv", f"{folder.root / 'b b' / '002.mp4'}{separator}2\n")
    folder.videos("a/001.mp4", "b b/001.mp4", "b b/002.mp4")
    found = read_dataset(folder.root, layout="kinetics")
    assert found.labels == ("2", "10")
    assert {(s.path, s.label, s.split) for s in found.samples} == {
        (str(folder.root / "a/001.mp4"), 1, "train"),
        (str(folder.root / "b b/001.mp4"), 0, "train"),
        (str(folder.root / "b b/002.mp4"), 0, "val"),
    }
    assert found.missing == ("c/001.mp4",)  # the 001.mp4 of another folder is another video
    folder.text("classes.txt", "\n".join(f"name {n}" for n in range(11)))
    assert read_dataset(folder.root, layout="kinetics").labels == ("name 2", "name 10")


def test_list_with_spans_and_splits(folder: Folder) -> None:
    folder.videos("films/a.mp4", "films/b.mp4")
    folder.text(
        "clips.csv",
        "path,label,start_seconds,end_seconds,split\nfilms/a.mp4,run,1.5,4,train\nfilms/a.mp4,walk,4,6.5,training\n"
        "films/b.mp4,run,,,test\n",
    )
    found = read_dataset(folder.root)
    assert found.layout == "kinetics"
    assert [(s.start_seconds, s.end_seconds, s.split) for s in found.samples] == [
        (1.5, 4.0, "train"),
        (4.0, 6.5, "train"),
        (None, None, "test"),
    ]
    folder.text("clips.csv", "path,label,start_seconds,end_seconds,split\nfilms/a.mp4,run,4,1,train\n")
    with pytest.raises(InvalidQueryError, match="begins at 0 s or later and ends after that"):
        read_dataset(folder.root)
    folder.text("clips.csv", "path,label,split\nfilms/a.mp4,run,never\n")
    with pytest.raises(InvalidQueryError, match=r"clips\.csv, line 2: expected a split of train, val"):
        read_dataset(folder.root)


# Something-Something


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_something(folder: Folder, prefix: str) -> None:
    labels = {"Holding something": "1", "Dropping something behind something": "0"}
    folder.json(f"labels/{prefix}labels.json", labels)
    folder.json(
        f"labels/{prefix}train.json",
        [
            {"id": "78687", "label": "holding potato", "template": "Holding [something]"},
            {
                "id": "42326",
                "label": "dropping a card behind a cup",
                "template": "Dropping [something] behind [something]",
            },
            {"id": "99", "label": "holding air", "template": "Holding [something]"},
        ],
    )
    folder.json(f"labels/{prefix}validation.json", [{"id": 7, "template": "Holding [something]"}])
    folder.json(f"labels/{prefix}test.json", [{"id": "8"}])
    folder.videos(*(f"20bn-something-something-v2/{n}.webm" for n in (78687, 42326, 7, 8)))
    assert detect_layout(folder.root) == "something"
    found = read_dataset(folder.root)
    assert found.labels == ("Dropping something behind something", "Holding something")
    assert shown(found) == {
        ("78687.webm", "Holding something", "train"),
        ("42326.webm", "Dropping something behind something", "train"),
        ("7.webm", "Holding something", "val"),
    }
    assert found.missing == ("99.webm",)
    folder.json(f"labels/{prefix}train.json", [{"id": "78687", "template": "Eating [something]"}])
    with pytest.raises(InvalidQueryError, match="entry 1: expected id and a template"):
        read_dataset(folder.root)


# Spans


def test_activitynet(folder: Folder) -> None:
    def span(start: float, end: float, label: str) -> dict[str, object]:
        return {"segment": [start, end], "label": label}

    folder.json(
        "activity_net.v1-3.min.json",
        {
            "version": "VERSION 1.3",
            "taxonomy": [{"nodeName": "Root"}],
            "database": {
                "sJbgrVHj": {
                    "subset": "training",
                    "duration": 30.0,
                    "annotations": [span(9, 12.5, "Surfing"), span(1, 2, "Archery"), span(5, 5, "Archery")],
                },
                "quiet": {"subset": "validation", "duration": 9.0, "annotations": []},
                "secret": {"subset": "testing", "duration": 9.0, "annotations": []},
                "gone": {"subset": "training", "duration": 9.0, "annotations": [span(0, 1, "Surfing")]},
            },
        },
    )
    folder.videos("v1-3/v_sJbgrVHj.mp4", "v1-3/quiet.mkv", "v1-3/v_secret.mp4")
    assert detect_layout(folder.root) == "activitynet"
    found = read_dataset(folder.root)
    assert found.labels == ("Archery", "Surfing")
    assert [(s.label, s.start_seconds, s.end_seconds) for s in found.of("train")] == [
        (1, 9.0, 12.5),
        (0, 1.0, 2.0),
    ]
    assert found.missing == ("gone",)
    assert any("1 spans that do not end after they begin" in note for note in found.notes)
    quiet = videos_of(found, "val")
    assert [Path(path).name for path in quiet] == ["quiet.mkv"]
    assert list(quiet.values()) == [[]]
    (spans,) = videos_of(found, "train").values()
    assert [s.start_seconds for s in spans] == [1.0, 9.0]


def test_thumos_trains_on_its_validation_videos(folder: Folder) -> None:
    folder.json(
        "annotations/thumos14.json",
        {
            "database": {
                f"video_{subset.lower()}_000000{n}": {
                    "subset": subset,
                    "annotations": [{"label": "Diving", "segment": [n, n + 1.5], "segment(frames)": [0, 9]}],
                }
                for subset in ("Validation", "Test")
                for n in range(5)
            }
        },
    )
    folder.videos(*(f"v/video_{kind}_000000{n}.mp4" for kind in ("validation", "test") for n in range(5)))
    found = read_dataset(folder.root)
    assert Counter(s.split for s in found.samples) == {"train": 4, "val": 1, "test": 5}
    assert all("video_test" in s.path for s in found.of("test"))


# Importance


def test_tvsum_text(folder: Folder) -> None:
    rows = [[1, 1, 5, 5, 3], [2, 2, 4, 4, 1]]
    lines = [f"AwmHb44_ouw\tVT\t{','.join(map(str, row))}" for row in rows]
    lines += [f"gone1234567\tVU\t{','.join(map(str, row))}" for row in rows]
    folder.text("ydata-tvsum50-v1_1/data/ydata-tvsum50-anno.tsv", "\n".join(lines) + "\n")
    folder.videos("ydata-tvsum50-v1_1/video/AwmHb44_ouw.mp4")
    assert detect_layout(folder.root) == "tvsum"
    found = read_importance(folder.root)
    (sample,) = found.samples
    np.testing.assert_allclose(sample.scores, [[0, 0, 1, 1, 0.5], [0.25, 0.25, 0.75, 0.75, 0]])
    assert sample.scores.dtype == np.float32
    assert (sample.category, found.missing) == ("VT", ("gone1234567.mp4",))
    # Five parts of a video of 10 s: 2 s each.
    at = sample.scores_at(np.array([0, 1.9, 2, 9.9, 12.0]), 10.0)
    np.testing.assert_allclose(at[0], [0, 0, 0, 0.5, 0.5])
    with pytest.raises(InvalidQueryError, match="tvsum, which does not hold labelled videos"):
        read_dataset(folder.root)


@pytest.mark.parametrize("row", ["1,2", "a\tb", "a\tb\t1,x", "a\tb\t1,7"])
def test_tvsum_text_says_which_line_is_wrong(folder: Folder, row: str) -> None:
    folder.text("ydata-tvsum50-anno.tsv", f"AwmHb44_ouw\tVT\t1,2\n{row}\n")
    with pytest.raises(InvalidQueryError, match="line 2: expected"):
        read_importance(folder.root)


def test_summe(folder: Folder) -> None:
    names = [f"Film {n}" for n in range(10)]
    folder.videos(*(f"videos/{name}.mp4" for name in names[:-1]), f"videos/{names[-1]}.webm")
    marks = np.array([[0, 2], [1, 0], [1, 0]], np.float64)  # frames by people
    for name in [*names, "Gone"]:
        file = folder.root / "GT" / f"{name}.mat"
        file.parent.mkdir(exist_ok=True)
        savemat(file, {"user_score": marks, "nFrames": 3, "FPS": 25.0, "gt_score": marks.mean(axis=1)})
    assert detect_layout(folder.root) == "summe"
    found = read_importance(folder.root, val_share=0.2)
    assert found.missing == ("Gone",)
    assert len(found.samples) == 10
    np.testing.assert_array_equal(found.samples[0].scores, [[0, 1, 1], [1, 0, 0]])
    assert [len(found.of(split)) for split in SPLITS] == [8, 2, 0]
    (folder.root / "GT" / "Film 3.mat").write_bytes(b"no matrix" * 100)
    with pytest.raises(InvalidQueryError, match=r"Film 3\.mat cannot be read as a MATLAB file"):
        read_importance(folder.root)


def test_matlab_73_without_h5py_is_said_plainly(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)  # as where it is not installed
    folder.videos("video/AwmHb44_ouw.mp4")
    (folder.root / "ydata-tvsum50.mat").write_bytes(bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert detect_layout(folder.root) == "tvsum"
    with pytest.raises(InvalidQueryError, match=r"needs the package h5py, .* pip install h5py"):
        read_importance(folder.root)


def test_matlab_73_with_h5py(folder: Folder) -> None:
    h5py = pytest.importorskip("h5py")
    folder.videos("video/AwmHb44_ouw.mp4")
    with h5py.File(folder.root / "ydata-tvsum50.mat", "w", userblock_size=512) as file:
        group = file.create_group("tvsum50")

        def column(name: str, values: np.ndarray) -> None:
            stored = file.create_dataset(f"#refs#/{name}", data=values)
            group.create_dataset(name, data=np.array([[stored.ref]], dtype=h5py.ref_dtype))

        column("video", np.array([[ord(letter)] for letter in "AwmHb44_ouw"], np.uint16))
        column("category", np.array([[ord("V")], [ord("T")]], np.uint16))
        column("user_anno", np.array([[1, 5, 3], [2, 4, 1]], np.uint8))  # people by frames, as HDF5 has it
    (sample,) = read_importance(folder.root).samples
    np.testing.assert_allclose(sample.scores, [[0, 1, 0.5], [0.25, 0.75, 0]])
    assert sample.category == "VT"


# In general


def test_no_known_layout(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidQueryError, match="a folder for each class"):
        read_dataset(tmp_path)
    for layout in ("folders", "kinetics", "ucf101", "something", "activitynet"):
        with pytest.raises((InvalidQueryError, NotFoundError)):
            read_dataset(tmp_path, layout=layout)
    with pytest.raises(InvalidQueryError, match='"auto" or one of ucf101'):
        read_dataset(tmp_path, layout="imagenet")


def test_lists_that_are_no_lists(folder: Folder) -> None:
    folder.videos("a/b.mp4")
    folder.json("labels.json", {"a": "x"})
    folder.text("train.json", "[")
    with pytest.raises(InvalidQueryError, match="must map each label to its number"):
        read_dataset(folder.root)
    folder.json("labels.json", {"a": "0"})
    with pytest.raises(InvalidQueryError, match=r"train\.json is no JSON"):
        read_dataset(folder.root)
    folder.json("train.json", {"id": 1})
    with pytest.raises(InvalidQueryError, match="must hold a list"):
        read_dataset(folder.root)


def test_a_data_set_is_read_into_clips(folder: Folder) -> None:
    folder.videos(*(f"{name}/{n}.mp4" for name in ("run", "walk") for n in range(5)))
    found = read_dataset(folder.root)
    clips = ClipDataset(found.of("train"), found.labels, ClipSampling(4, 2, size=32), training=True)
    assert sorted(clips.targets) == [0] * 4 + [1] * 4
    frames, flow = clips.read(0, 0)
    assert frames.shape == (4, 32, 43, 3) and flow is None
    assert clips.labels[clips.targets[0]] == "run"
