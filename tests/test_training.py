"""Training: the same result however often it is stopped, damaged clips named, checkpoints that serve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from video_factory import moving, write_video

from encoders.embedding.encoder import Encoder
from encoders.embedding.registry import open_encoder
from encoders.errors import (
    DecodeError,
    EncoderUnavailableError,
    InvalidQueryError,
    RunBusyError,
    UnsupportedQueryError,
)
from encoders.heads.kinetics import open_classifier
from encoders.models.registry import build_model
from encoders.training.augment import Augmentation, prepare_evaluation_clips, speaks_of_sides
from encoders.training.batches import evaluation_batches, training_batches
from encoders.training.checkpoints import find_checkpoint, load_checkpoint, read_model_card, save_checkpoint
from encoders.training.checks import check_model
from encoders.training.options import TrainingOptions, read_options
from encoders.training.run import BEST, LAST, Progress, train
from encoders.training.run_folder import make_run_folder, run_lock
from encoders.types import FrameBatch
from indexer.datasets.layouts import read_dataset
from indexer.datasets.training_data import ClipDataset, ClipSampling
from indexer.datasets.types import Sample

ROOT = Path(__file__).resolve().parent.parent
SIZE, FRAMES = 32, 8


class MadeClips:
    """Bright clips and dark ones; some cannot be read."""

    labels = ("bright", "dark")

    def __init__(self, count: int, damaged: tuple[int, ...] = ()) -> None:
        self.targets = [index % 2 for index in range(count)]
        self._damaged = damaged

    def __len__(self) -> int:
        return len(self.targets)

    def read(self, index: int, epoch: int) -> tuple[np.ndarray, None]:
        if index in self._damaged:
            raise DecodeError(f"clip {index}: broken on purpose")
        random = np.random.default_rng((index, epoch))
        low = 20 if self.targets[index] else 150
        return random.integers(low, low + 90, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8), None


class Stopped(Exception):
    pass


def options(**changes: object) -> TrainingOptions:
    base = {"epochs": 3, "batch_size": 4, "workers": 0, "frames": FRAMES, "size": SIZE, "learning_rate": 3e-3}
    return TrainingOptions("c3d_tiny").changed(base | changes)


def weights(folder: Path, name: str = LAST) -> dict[str, torch.Tensor]:
    return load_file(folder / name)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- runs ----------------------------------------------------------------------------------------------


def test_what_is_easy_is_learned_and_the_best_is_kept(tmp_path):
    report = train(MadeClips(16), MadeClips(8), options(epochs=6, mixup=0.2, class_weights=True), tmp_path)
    assert report.top1 == 1.0 and report.epochs == 6 and report.damaged == {}
    model, card = load_checkpoint(report.best)
    assert card["labels"] == ["bright", "dark"] and card["metrics"]["top1"] == 1.0
    assert card["config"]["mixup"] == 0.2 and card["frames"] == FRAMES
    bright = np.full((FRAMES, SIZE, SIZE, 3), 200, np.uint8)
    clip, _ = prepare_evaluation_clips(bright, None, SIZE)[0]
    assert model(clip[None]).argmax() == 0
    assert list((tmp_path / "events").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("stop", [(0, 3), (1, 1), (2, 4)])
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    chosen = options(save_minutes=0, mixup=0.3, accumulate=2)
    train(MadeClips(17), MadeClips(4), chosen, whole)

    def stopping(progress: Progress) -> None:
        if progress.top1 is None and (progress.epoch, progress.step) == stop:
            raise Stopped

    with pytest.raises(Stopped):
        train(MadeClips(17), MadeClips(4), chosen, parts, on_progress=stopping)
    assert not same(weights(parts), weights(whole)) if (parts / LAST).exists() else True
    steps = []
    train(
        MadeClips(17),
        MadeClips(4),
        chosen,
        parts,
        on_progress=lambda progress: steps.append((progress.epoch, progress.step)),
    )
    assert same(weights(parts), weights(whole))
    assert same(weights(parts, BEST), weights(whole, BEST))
    assert steps[0] >= (stop[0], 0) and steps[0] > (0, 1)  # it went on, it did not begin anew


def test_a_run_that_has_ended_stays_as_it_is(tmp_path):
    train(MadeClips(8), MadeClips(4), options(epochs=1), tmp_path)
    before = (tmp_path / LAST).read_bytes()
    report = train(MadeClips(8), MadeClips(4), options(epochs=1), tmp_path)
    assert (tmp_path / LAST).read_bytes() == before and report.epochs == 1


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 2}, {"optimiser": "sgd"}])
def test_another_run_does_not_go_on_with_this_one(tmp_path, change):
    train(MadeClips(8), MadeClips(4), options(epochs=1), tmp_path)
    with pytest.raises(InvalidQueryError, match="another folder"):
        train(MadeClips(8), MadeClips(4), options(epochs=2, **change), tmp_path)


def test_damaged_clips_are_passed_over_and_named(tmp_path):
    # Of batches of four, one holds nothing but damaged clips sooner or later.
    report = train(MadeClips(10, damaged=(1, 2, 5, 7, 8)), MadeClips(4, damaged=(3,)), options(), tmp_path)
    assert set(report.damaged) == {1, 2, 5, 7, 8, -1 - 3}
    assert report.damaged[5] == "clip 5: broken on purpose"
    with pytest.raises(InvalidQueryError, match="none of the validation clips"):
        train(MadeClips(4), MadeClips(1, damaged=(0,)), options(), tmp_path / "other")


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(InvalidQueryError, match="learning rate"):
        train(MadeClips(8), MadeClips(4), options(learning_rate=100, optimiser="sgd", clip_norm=0), tmp_path)


def test_a_run_on_other_data_of_equal_names_does_not_go_on(tmp_path):
    def run(epochs: int, card: dict[str, object] | None) -> int:
        return train(MadeClips(8), MadeClips(4), options(epochs=epochs), tmp_path, dataset=card).epochs

    run(1, {"digest": "one"})
    with pytest.raises(InvalidQueryError, match="holds a run on other data"):
        run(2, {"digest": "other"})
    assert run(2, {"digest": "one"}) == 2
    assert run(3, None) == 3  # nobody knows


def test_a_fingerprint_tells_paths_labels_and_spans_but_not_the_place_or_the_order():
    def print_of(*samples: Sample, labels: tuple[str, ...] = ("a", "b")) -> str:
        return ClipDataset(samples, labels, ClipSampling(8, 1, 30, 32), training=True).fingerprint

    one, two = Sample("/x/a/1.mp4", 0), Sample("/x/b/2.mp4", 1, 1.0, 2.0)
    whole = print_of(one, two)
    assert len(whole) == 64 and print_of(two, one) == whole
    assert print_of(Sample("/y/z/a/1.mp4", 0), Sample("/y/z/b/2.mp4", 1, 1.0, 2.0)) == whole
    assert print_of(one, two, labels=("a", "c")) != whole
    others = (
        Sample("/x/b/3.mp4", 1, 1.0, 2.0),
        Sample("/x/b/2.mp4", 0, 1.0, 2.0),
        Sample("/x/b/2.mp4", 1, 1.0, 2.5),
        Sample("/x/b/2.mp4", 1),
    )
    assert len({whole, print_of(one), *(print_of(one, other) for other in others)}) == 6


def test_two_trainings_do_not_share_a_folder(tmp_path):
    refused = []

    def beside(progress: Progress) -> None:
        if not refused:
            with pytest.raises(RunBusyError, match="another training is writing") as error:
                train(MadeClips(8), MadeClips(4), options(epochs=1), tmp_path)
            refused.append(error)

    train(MadeClips(8), MadeClips(4), options(epochs=1), tmp_path, on_progress=beside)
    assert refused
    train(MadeClips(8), MadeClips(4), options(epochs=1), tmp_path)  # ended: the folder is free


def test_a_folder_that_cannot_hold_a_run_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidQueryError, match="is a file"):
            make_run_folder(folder)
    if os.geteuid():  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(InvalidQueryError, match="closed"):
            make_run_folder(tmp_path / "closed")
        with pytest.raises(InvalidQueryError, match="closed"):
            make_run_folder(tmp_path / "closed" / "below")


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("c3d_tiny", {"size": 8}),
        ("slowfast_tiny", {"frames": 3}),
        ("c3d_tiny", {"model_options": {"nonsense": 1}}),
        ("c4d", {}),
    ],
)
def test_what_a_model_does_not_take_is_known_before_the_data(tmp_path, model, change):
    chosen = TrainingOptions(model).changed(change)
    with pytest.raises(InvalidQueryError):
        check_model(chosen)
    if model != "c4d":
        check_model(TrainingOptions(model))
        with pytest.raises(InvalidQueryError):
            train(MadeClips(4), MadeClips(4), chosen, tmp_path)


def test_a_run_says_what_it_goes_on_with_and_what_the_data_lack(tmp_path):
    said: list[str] = []

    def run(epochs: int, clips: MadeClips | None = None, **more: object) -> None:
        said.clear()
        train(clips or MadeClips(8), MadeClips(4), options(epochs=epochs), tmp_path, say=said.append, **more)

    def stopping(progress: Progress) -> None:
        if progress.epoch == 1:
            raise Stopped

    with pytest.raises(Stopped):
        run(3, on_progress=stopping)
    assert said == []
    run(3)
    assert said == ["going on after epoch 1 of 3"]
    run(3)
    assert said == ["this run has ended (3 epochs); give more --epochs to go on"]
    # Saved after each step of the four of an epoch, so stopped after the third it goes on from the second.
    often = options(epochs=2, save_minutes=0, batch_size=2)

    def at_third(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (1, 3):
            raise Stopped

    with pytest.raises(Stopped):
        train(MadeClips(8), MadeClips(4), often, tmp_path / "often", on_progress=at_third)
    train(MadeClips(8), MadeClips(4), often, tmp_path / "often", say=said.append)
    assert said[-1] == "going on in epoch 2 of 2, after step 2 of 4"
    bright = MadeClips(1)
    train(MadeClips(4), bright, options(epochs=1), tmp_path / "bright", say=said.append)
    assert said[-1] == "no clip to check with of dark"


def test_one_class_is_nothing_to_tell_apart(tmp_path):
    class OneClass(MadeClips):
        labels = ("bright",)

    with pytest.raises(InvalidQueryError, match=r"one class only \(bright\)"):
        train(OneClass(1), OneClass(1), options(), tmp_path)


# --- order, options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size", "ranks"), [(17, 4, 1), (17, 4, 2), (3, 4, 2), (16, 4, 4), (1, 8, 1)]
)
def test_batches_hold_every_clip_and_every_device_has_as_many(count, size, ranks):
    parts = [training_batches(count, size, 0, 7, rank, ranks) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    drawn = [index for part in parts for batch in part for index in batch]
    assert set(drawn) == set(range(count)) and len(drawn) < count + size * ranks
    assert training_batches(count, size, 0, 7, 0, ranks) == parts[0]
    if count > 3:
        assert training_batches(count, size, 1, 7, 0, ranks) != parts[0]
    seen = [
        index
        for rank in range(ranks)
        for batch in evaluation_batches(count, size, rank, ranks)
        for index in batch
    ]
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"optimiser": "lion"},
        {"loss": "hinge"},
        {"batch_size": True},
        {"nonsense": 1},
        {"crop_scale": 0},
        {"seed": -1},
        {"learning_rate": "fast"},
    ],
)
def test_options_out_of_range_are_refused(change):
    with pytest.raises(InvalidQueryError, match=next(iter(change))):
        TrainingOptions("c3d_tiny").changed(change)


def test_options_come_from_toml_and_json(tmp_path):
    (tmp_path / "run.toml").write_text('epochs = 3\noptimiser = "sgd"\n[model_options]\nwidth = 8\n')
    (tmp_path / "run.json").write_text('{"epochs": 3, "optimiser": "sgd", "model_options": {"width": 8}}')
    found = [read_options(tmp_path / name) for name in ("run.toml", "run.json")]
    assert found[0] == found[1] == {"epochs": 3, "optimiser": "sgd", "model_options": {"width": 8}}
    for name, text in (("a.toml", "epochs ="), ("b.json", "[1]"), ("c.json", "{")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidQueryError, match="configuration"):
            read_options(tmp_path / name)
    with pytest.raises(InvalidQueryError, match="cannot be read"):
        read_options(tmp_path / "missing.toml")


# --- augmentation --------------------------------------------------------------------------------------


def test_all_frames_are_cut_alike_and_flow_is_mirrored_with_them():
    random = np.random.default_rng(0)
    still = np.broadcast_to(random.integers(0, 256, (40, 60, 3), dtype=np.uint8), (4, 40, 60, 3))
    flow = np.broadcast_to(np.float32([2.0, 1.0]), (3, 40, 60, 2))
    changed = Augmentation(size=20, crop_scale=0.3, flip=True, jitter=0.4)
    signs = set()
    for seed in range(20):
        clip, moved = changed(still, flow, torch.Generator().manual_seed(seed))
        assert clip.shape == (3, 4, 20, 20) and moved.shape == (2, 3, 20, 20)
        assert torch.allclose(clip[:, :1].expand_as(clip), clip)
        assert bool((moved[1] > 0).all()) and moved[1].std() < 1e-6
        signs.add(float(moved[0].mean().sign()))
        again, _ = changed(still, flow, torch.Generator().manual_seed(seed))
        assert torch.equal(clip, again)
    assert signs == {-1.0, 1.0}


def test_a_plain_clip_is_scaled_by_mean_and_deviation_alone():
    frames = np.full((2, 30, 30, 3), 51, np.uint8)
    clip, moved = prepare_evaluation_clips(frames, np.full((1, 30, 30, 2), 30, np.float32), 15)[0]
    assert torch.allclose(clip, torch.tensor((51 / 255 - 0.45) / 0.225), atol=1e-5)
    assert torch.allclose(moved, torch.tensor(30 * 0.5 / 20))  # half the size, half the pixels; 20 is one
    wide = np.zeros((1, 10, 30, 3), np.uint8)
    wide[:, :, 20:] = 255
    dark = [float(view[0].mean()) for view in prepare_evaluation_clips(wide, None, 10, crops=3)]
    assert dark[0] == dark[1] < dark[2]


def test_labels_that_speak_of_sides_forbid_mirroring():
    assert speaks_of_sides(["turn LEFT", "sit"]) and not speaks_of_sides(
        ["leftovers".replace("left", "over"), "run"]
    )
    assert not Augmentation.of(options(), 8, ["moving right"]).flip
    assert (
        Augmentation.of(options(flip=True), 8, ["moving right"]).flip
        and Augmentation.of(options(), 8, ["run"]).flip
    )


# --- checkpoints ---------------------------------------------------------------------------------------

CARD = {
    "model": "c3d_tiny", "options": {}, "labels": ["a", "b", "c"], "frames": FRAMES, "size": SIZE,
    "stride": 1, "fps": 15.0, "mean": [0.45] * 3, "std": [0.225] * 3,
}  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / BEST, build_model("c3d_tiny", 3, frames=FRAMES, size=SIZE), CARD)
    return tmp_path / BEST


def test_a_checkpoint_gives_back_the_same_model(checkpoint):
    torch.manual_seed(0)
    made = build_model("c3d_tiny", 3, frames=FRAMES, size=SIZE).eval()
    model, card = load_checkpoint(checkpoint)
    clip = torch.randn(2, 3, FRAMES, SIZE, SIZE)
    assert torch.equal(model(clip), made(clip)) and card["labels"] == ["a", "b", "c"]


def test_the_folder_of_a_run_is_its_best_checkpoint(checkpoint, tmp_path, monkeypatch):
    assert find_checkpoint(tmp_path) == find_checkpoint(checkpoint) == checkpoint
    assert read_model_card(tmp_path)["labels"] == ["a", "b", "c"]
    assert open_classifier(f"model:{tmp_path}", device="cpu").spec == f"model:{checkpoint}"
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderUnavailableError, match=r"no best\.safetensors"):
        find_checkpoint(tmp_path / "empty")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderUnavailableError, match="is not trained yet: indexer train c3d_tiny"):
        open_classifier("model:c3d_tiny", device="cpu")


def test_a_checkpoint_has_the_mode_of_other_new_files(checkpoint, tmp_path):
    (tmp_path / "plain").touch()
    assert checkpoint.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "damage",
    ["truncated", "no card", "pickle", "other labels", "unknown model", "missing"],
)
def test_what_is_no_checkpoint_of_ours_is_refused(checkpoint, damage, tmp_path):
    content = checkpoint.read_bytes()
    if damage == "truncated":
        checkpoint.write_bytes(content[: len(content) // 2])
    elif damage == "pickle":
        torch.save({"a": torch.zeros(1)}, checkpoint)
    elif damage == "missing":
        checkpoint.unlink()
    else:
        from safetensors.torch import save_file

        card = {"kind": "model", **CARD}
        card |= {"other labels": {"labels": ["a"]}, "unknown model": {"model": "c4d"}}.get(damage, {})
        metadata = None if damage == "no card" else {"reelseek": json.dumps(card)}
        save_file(load_file(checkpoint), checkpoint, metadata=metadata)
    with pytest.raises(EncoderUnavailableError, match=str(checkpoint)):
        load_checkpoint(checkpoint)


def test_a_checkpoint_is_an_encoder(checkpoint):
    encoder: Encoder = open_encoder(f"model:{checkpoint}", device="cpu")
    random = np.random.default_rng(0)
    model, _ = load_checkpoint(checkpoint)
    for count in (3, FRAMES, 20):
        frames = random.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
        features = encoder.encode_frames(FrameBatch(frames, np.arange(count) / 15))
        assert features.shape == (count, encoder.dim)
        assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
        if count == FRAMES:
            clip, _ = prepare_evaluation_clips(frames, None, SIZE)[0]
            steps = model.forward_features(clip[None])[0].detach().numpy()
            steps = np.repeat(steps, FRAMES // len(steps), axis=0)
            expected = steps / np.linalg.norm(steps, axis=1, keepdims=True)
            assert np.allclose(features, expected, atol=1e-4)
    assert not encoder.has_text and encoder.encoder_id.startswith("model/c3d_tiny/")
    with pytest.raises(UnsupportedQueryError, match="knows no words"):
        encoder.encode_text(["a dog"])
    with pytest.raises(EncoderUnavailableError, match="no checkpoint"):
        open_encoder("model:/nowhere.safetensors")


def test_a_checkpoint_names_actions(checkpoint):
    classifier = open_classifier(f"model:{checkpoint}", device="cpu")
    assert classifier.actions == ("a", "b", "c") and classifier.window_seconds == FRAMES / 15
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    _, probabilities = classifier.classify(FrameBatch(frames, np.arange(FRAMES) / 15))
    model, _ = load_checkpoint(checkpoint)
    clip, _ = prepare_evaluation_clips(frames, None, SIZE)[0]
    assert np.allclose(probabilities, model(clip[None]).softmax(1).detach().numpy(), atol=1e-4)


# --- from one end to the other -------------------------------------------------------------------------


def command(*arguments: str | Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "indexer", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert not ok or ran.returncode == 0, ran.stderr
    return ran


def test_the_command_says_at_once_what_does_not_fit(tmp_path):
    (tmp_path / "file").write_text("")
    rest = ("--data", tmp_path / "nowhere", "--out")  # not looked at
    for arguments, words in (
        (("train", "c3d_tiny", *rest, tmp_path / "file"), "is a file"),
        (("train", "c3d_tiny", *rest, tmp_path / "out", "--size", "8"), "error:"),
    ):
        ran = command(*arguments, ok=False)
        assert ran.returncode == 2 and words in ran.stderr, ran.stderr
        assert "TRACEBACK" not in ran.stderr and "nowhere" not in ran.stderr


def test_data_without_a_test_split_and_links_to_nowhere(tmp_path, checkpoint):
    for name in ("a", "b"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for number in range(4):
            write_video(tmp_path / "clips" / name / f"{number}.mp4", moving(12, seed=number), fps=12)
    (tmp_path / "clips" / "a" / "lost.mp4").symlink_to(tmp_path / "gone.mp4")
    dataset = read_dataset(tmp_path / "clips")
    assert [Path(one.path).name for one in dataset.samples].count("lost.mp4") == 1
    ran = command("evaluate", tmp_path, "--data", tmp_path / "clips", "--clips", "1", "--json")
    assert "no test split here; judging val" in ran.stderr
    assert "does not know" not in ran.stderr
    # The checkpoint is of a, b and c: the set-aside share of two classes of four and five clips.
    report = json.loads(ran.stdout)
    assert report["samples"] + report["skipped"]["count"] == len(dataset.of("val")) > 0
    training = (
        "train",
        "c3d_tiny",
        "--data",
        tmp_path / "clips",
        "--out",
        tmp_path / "run",
        "--workers",
        "0",
    )
    with run_lock(tmp_path / "run"):
        ran = command(*training, ok=False)
    assert ran.returncode == 1 and "another training is writing" in ran.stderr
    trained = json.loads(command(*training, "--epochs", "1", "--json").stdout)
    assert [row["path"] for row in trained["damaged"]] == [str(tmp_path / "clips" / "a" / "lost.mp4")]


@pytest.fixture(scope="module")
def ucf(tmp_path_factory) -> Path:
    """Four classes told apart by how the picture moves, in the shape of UCF-101."""
    folder = tmp_path_factory.mktemp("ucf")
    train_list, test_list = [], []
    speeds = {"PanLeft": -6, "PanRight": 6, "PanFast": 18, "Still": 0}
    for name, speed in speeds.items():
        (folder / name).mkdir()
        for group in range(1, 9):
            for clip in (1, 2):
                path = f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"
                seed = group * 100 + clip
                write_video(folder / path, moving(30, seed=seed, speed=speed), fps=15)
                if group <= 2:
                    test_list.append(path)
                else:
                    train_list.append(f"{path} {sorted(speeds).index(name) + 1}")
    (folder / "classInd.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(sorted(speeds), 1)))
    (folder / "trainlist01.txt").write_text("\n".join(train_list) + "\n")
    (folder / "testlist01.txt").write_text("\n".join(test_list) + "\n")
    (folder / "Still" / "v_Still_g03_c01.avi").write_bytes(b"RIFF but no more")
    return folder


@pytest.mark.slow
def test_train_kill_resume_evaluate_predict_ingest_search(ucf, tmp_path):
    def training(out: Path) -> list[str | Path]:
        return [
            "train", "c3d_tiny", "--data", ucf, "--out", out, "--epochs", "6", "--batch-size", "8",
            "--stride", "2", "--source-fps", "15", "--workers", "0", "--set", "save_minutes=0",
            "--set", "crop_scale=0.8", "--json",
        ]  # fmt: skip

    whole = json.loads(command(*training(tmp_path / "whole")).stdout)
    assert [Path(row["path"]).name for row in whole["damaged"]] == ["v_Still_g03_c01.avi"]

    # Killed as soon as something is saved, somewhere in an epoch; then the same command again.
    running = subprocess.Popen(
        [sys.executable, "-m", "indexer", *map(str, training(tmp_path / "killed"))],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "killed" / "last.state.pt").exists():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    command(*training(tmp_path / "killed"))
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))

    best = tmp_path / "whole" / BEST
    assert read_model_card(best)["labels"] == ["PanFast", "PanLeft", "PanRight", "Still"]
    report = json.loads(
        command("evaluate", best, "--data", ucf, "--clips", "2", "--crops", "3", "--json").stdout
    )
    assert report["samples"] == 16
    picture = tmp_path / "confusion.png"
    command("evaluate", best, "--data", ucf, "--clips", "1", "--confusion", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    retrieval = json.loads(command("evaluate", best, "--data", ucf, "--retrieval", "--json").stdout)
    assert retrieval["task"] == "retrieval"

    video = ucf / "Still" / "v_Still_g01_c01.avi"
    answer = json.loads(command("predict", video, "--model", best, "--top-k", "2", "--json").stdout)
    assert (
        len(answer["classes"]) == 2
        and answer["classes"][0]["probability"] >= answer["classes"][1]["probability"]
    )

    archive = tmp_path / "archive"
    archive.mkdir()
    for name in ("PanLeft", "Still"):
        (archive / f"{name}.avi").write_bytes((ucf / name / f"v_{name}_g01_c01.avi").read_bytes())
    library = tmp_path / "library"
    spec = f"model:{best}"
    command("ingest", archive, "--library", library, "--encoder", spec, "--actions", spec, "--fps", "7.5")
    found = json.loads(
        command("search", "--clip", archive / "Still.avi", "--library", library, "--json").stdout
    )
    assert found["hits"][0]["path"] == str(archive / "Still.avi") and found["hits"][0]["score"] > 0.99
    words = command("search", "a red car", "--library", library, ok=False)
    assert words.returncode != 0 and "no text side" in words.stderr
    tags = json.loads(
        command("find", "--action", "still", "--min-confidence", "0.2", "--library", library, "--json").stdout
    )
    assert all(row["head"] == f"model:{best}" for row in tags["segments"])
