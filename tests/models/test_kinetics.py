"""Action classifiers: the same numbers as their libraries, the right frames, nothing but weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import transformers
from hostile_files import Bomb
from huggingface_hub import constants as hub_constants
from made_frames import make_batch
from model_folders import KINETICS_NAMES, VIDEO_TRANSFORMERS, make_video_folder
from programs import run_python
from safetensors.torch import load_file, save_file
from torchvision.models import get_model, get_model_weights

from encoders.backbones import kinetics_weights
from encoders.backbones.kinetics_weights import KNOWN_CLASSIFIERS
from encoders.errors import EncoderError, EncoderUnavailableError
from encoders.heads.kinetics import (
    KineticsClassifier,
    average,
    open_classifier,
    resolve_classifier,
    window_frames,
)
from encoders.types import FrameBatch


def make_checkpoint(path: Path, architecture: str, seed: int = 1, suffix: str = ".safetensors") -> Path:
    """Random weights of one of torchvision's classifiers, scaled so that its answers differ by class."""
    torch.manual_seed(seed)
    network = get_model(architecture, weights=None)
    file = path / f"{architecture}{suffix}"
    if suffix == ".safetensors":
        save_file(network.state_dict(), file)
    else:
        torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in network.state_dict().items()}}, file)
    return file


def clip_of(classifier: KineticsClassifier, height: int = 150, width: int = 260) -> FrameBatch:
    """Exactly one window of frames."""
    count = classifier.clip_frames
    frames = make_batch(count, height, width, seed=5).frames
    return FrameBatch(frames, np.arange(count) / classifier.fps)


def torchvision_says(file: Path, architecture: str, frames: np.ndarray) -> np.ndarray:
    """Probabilities by torchvision alone."""
    network = get_model(architecture, weights=None).eval()
    network.load_state_dict(load_file(file))
    preset = get_model_weights(architecture).KINETICS400_V1.transforms()
    with torch.inference_mode():
        video = torch.from_numpy(frames).permute(0, 3, 1, 2)
        return network(preset(video)[None]).double().softmax(dim=1)[0].numpy()


def transformers_says(folder: Path, name: str, frames: np.ndarray) -> np.ndarray:
    """Probabilities by transformers alone."""
    network = getattr(transformers, VIDEO_TRANSFORMERS[name][1]).from_pretrained(folder).eval()
    processor = transformers.AutoVideoProcessor.from_pretrained(folder)
    with torch.inference_mode():
        logits = network(**processor(list(frames), return_tensors="pt")).logits
    return logits.double().softmax(dim=1)[0].numpy()


@pytest.fixture(scope="session")
def mc3_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("mc3"), "mc3_18")


@pytest.fixture(scope="session")
def mc3(mc3_file: Path) -> KineticsClassifier:
    return open_classifier(f"kinetics:mc3_18/{mc3_file}", device="cpu")


@pytest.fixture(scope="session")
def videomae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video_folder(tmp_path_factory.mktemp("videomae"), "videomae_base")


@pytest.fixture(scope="session")
def videomae(videomae_folder: Path) -> KineticsClassifier:
    return open_classifier(f"kinetics:videomae_base/{videomae_folder}", device="cpu")


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in the local caches, and nobody answers at the servers' addresses."""
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)  # it is to be found out
    monkeypatch.setattr(kinetics_weights, "TORCHVISION_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class TestSameNumbersAsTheLibrary:
    @pytest.mark.parametrize("architecture", ["r3d_18", "mvit_v2_s"])
    def test_torchvision(self, tmp_path: Path, architecture: str) -> None:
        file = make_checkpoint(tmp_path, architecture)
        classifier = open_classifier(f"kinetics:{architecture}/{file}", device="cpu")
        batch = clip_of(classifier)
        times, got = classifier.classify(batch)
        expected = torchvision_says(file, architecture, batch.frames)
        assert (got.shape, got.dtype, times.dtype) == ((1, 400), np.float32, np.float64)
        np.testing.assert_allclose(got[0], expected, atol=1e-4 / 400)
        assert got[0].sum() == pytest.approx(1.0, abs=1e-5)
        assert classifier.actions == tuple(KINETICS_NAMES)

    @pytest.mark.parametrize(("height", "width"), [(300, 200), (64, 64)])
    def test_frames_of_other_shapes(
        self, mc3: KineticsClassifier, mc3_file: Path, height: int, width: int
    ) -> None:
        batch = clip_of(mc3, height, width)
        expected = torchvision_says(mc3_file, "mc3_18", batch.frames)
        np.testing.assert_allclose(mc3.classify(batch)[1][0], expected, atol=1e-4 / 400)

    @pytest.mark.parametrize("name", VIDEO_TRANSFORMERS)
    def test_transformers(self, tmp_path: Path, name: str) -> None:
        folder = make_video_folder(tmp_path, name)
        classifier = open_classifier(f"kinetics:{name}/{folder}", device="cpu")
        for height, width in ((41, 90), (61, 40)):
            batch = clip_of(classifier, height, width)
            expected = transformers_says(folder, name, batch.frames)
            np.testing.assert_allclose(classifier.classify(batch)[1][0], expected, atol=1e-4 / 40)
        assert expected.max() > 1.5 / 400  # so that nothing passes by being all alike
        assert classifier.actions == tuple(KINETICS_NAMES)
        assert classifier.clip_frames == VIDEO_TRANSFORMERS[name][3].get("num_frames", 4)

    def test_names_of_biases_as_videomae_publishes_them(self, tmp_path: Path, videomae_folder: Path) -> None:
        """Its checkpoints say q_bias and v_bias (huggingface/transformers pull request 48675)."""
        folder = shutil.copytree(videomae_folder, tmp_path / "old")
        state = load_file(folder / "model.safetensors")
        seeded = torch.Generator().manual_seed(3)
        published = {key for key in state if key.endswith((".q_bias", ".v_bias"))}
        assert len(published) == 4
        for key in published:
            state[key] = torch.randn(state[key].shape, generator=seeded)
        renamed = {k.replace("q_bias", "query.bias").replace("v_bias", "value.bias"): state[k] for k in state}
        for names in (state, renamed):
            save_file(names, folder / "model.safetensors", metadata={"format": "pt"})
            classifier = open_classifier(f"kinetics:videomae_base/{folder}", device="cpu")
            batch = clip_of(classifier)
            expected = transformers_says(folder, "videomae_base", batch.frames)
            np.testing.assert_allclose(classifier.classify(batch)[1][0], expected, atol=1e-4 / 40)
        with_zeros = transformers_says(videomae_folder, "videomae_base", batch.frames)
        assert np.abs(expected - with_zeros).max() > 1e-3

    def test_three_crops_are_those_of_three_cut_videos(self, mc3: KineticsClassifier, mc3_file: Path) -> None:
        """At the network's own size nothing is scaled: the crops can be cut beforehand."""
        batch = clip_of(mc3, 128, 171)
        parts = [batch.frames[:, 8:120, left : left + 112] for left in (0, 30, 59)]
        shown = [np.pad(part, ((0, 0), (8, 8), (30, 29), (0, 0))) for part in parts]
        expected = np.mean([torchvision_says(mc3_file, "mc3_18", video) for video in shown], axis=0)
        np.testing.assert_allclose(mc3.classify(batch, crops=3)[1][0], expected, atol=1e-4 / 400)

    def test_three_crops_of_an_upright_video(
        self, videomae: KineticsClassifier, videomae_folder: Path
    ) -> None:
        batch = clip_of(videomae, 75, 32)  # of the size that it would be scaled to
        parts = [np.ascontiguousarray(batch.frames[:, top : top + 32]) for top in (0, 21, 43)]
        answers = [transformers_says(videomae_folder, "videomae_base", part) for part in parts]
        got = videomae.classify(batch, crops=3)[1][0]
        np.testing.assert_allclose(got, np.mean(answers, axis=0), atol=1e-4 / 40)
        np.testing.assert_allclose(videomae.classify(batch)[1][0], answers[1], atol=1e-4 / 40)

    @pytest.mark.gpu
    def test_half_precision_on_a_gpu_is_close(self, mc3: KineticsClassifier) -> None:
        on_gpu = open_classifier(mc3.spec, device="cuda")
        batch = clip_of(mc3)
        np.testing.assert_allclose(on_gpu.classify(batch)[1], mc3.classify(batch)[1], rtol=0.1)


class TestWindows:
    def test_each_window_is_a_video_of_its_own(
        self, videomae: KineticsClassifier, videomae_folder: Path
    ) -> None:
        """4 frames at 7.5 a second; 11 of them make windows from frames 0, 2, 4, 5 and 7 on, by
        hand: 7 to spare in steps of at most 2 is 5 windows at 0, 1.75, 3.5, 5.25, 7, rounded."""
        frames = make_batch(11, 40, 60, seed=2).frames
        times, got = videomae.classify(FrameBatch(frames, 10 + np.arange(11) / 7.5))
        assert times == pytest.approx(10 + (np.array([0, 2, 4, 5, 7]) + 1.5) / 7.5)
        for row, start in zip(got, (0, 2, 4, 5, 7), strict=True):
            expected = transformers_says(videomae_folder, "videomae_base", frames[start : start + 4])
            np.testing.assert_allclose(row, expected, atol=1e-4 / 40)
        np.testing.assert_allclose(average(got), got.astype(float).mean(axis=0), atol=1e-7)
        sparse, _ = videomae.classify(FrameBatch(frames, 10 + np.arange(11) / 7.5), overlap=0.0)
        assert sparse == pytest.approx(10 + (np.array([0, 4, 7]) + 1.5) / 7.5)

    @pytest.mark.parametrize("count", [1, 3])
    def test_what_is_short_ends_on_its_last_frame(
        self, videomae: KineticsClassifier, videomae_folder: Path, count: int
    ) -> None:
        frames = make_batch(count, 40, 60).frames
        padded = np.concatenate([frames] + [frames[-1:]] * (4 - count))
        times, got = videomae.classify(FrameBatch(frames, np.arange(count) / 7.5))
        expected = transformers_says(videomae_folder, "videomae_base", padded)
        np.testing.assert_allclose(got[0], expected, atol=1e-4 / 40)
        assert times == pytest.approx([(count - 1) / 2 / 7.5])

    def test_frames_at_another_rate_are_those_on_screen(self) -> None:
        # 25 a second seen at 10: the last frame at or before 0, 0.1, 0.2, ... is floor(2.5 k).
        _, windows = window_frames(np.arange(26) / 25, 4, 10.0)
        assert sorted(set(windows.ravel())) == [int(2.5 * k) for k in range(11)]
        # What was on screen at 0, 1/7.5, 2/7.5, ... in 4 s of 25 a second: those 30 frames, each once.
        taken = np.array([int(25 * k / 7.5 + 1e-9) for k in range(30)])
        _, windows = window_frames(taken / 25, 30, 7.5)
        assert windows.tolist() == [list(range(30))]
        # 5 a second seen at 10: each twice.
        _, windows = window_frames(np.arange(3) / 5, 5, 10.0)
        assert windows.tolist() == [[0, 0, 1, 1, 2]]
        # Uneven, with a clock of milliseconds: 0.067 counts as shown at 1/15.
        _, windows = window_frames(np.array([0.0, 0.067, 0.133, 0.2, 0.4]), 7, 15.0)
        assert windows.tolist() == [[0, 1, 2, 3, 3, 3, 4]]

    def test_windows_reach_from_the_first_frame_to_the_last(self) -> None:
        for count in (1, 15, 16, 17, 24, 100):
            for overlap in (0.0, 0.5, 0.75):
                times, windows = window_frames(np.arange(count) / 7.5, 16, 7.5, overlap)
                assert windows[0, 0] == 0
                assert windows[-1, -1] == count - 1
                assert set(windows.ravel()) == set(range(count))
                assert (np.diff(times) > 0).all()
                assert (np.diff(windows[:, 0]) <= 16 * (1 - overlap)).all()

    def test_frames_in_reverse_give_another_answer(self, videomae: KineticsClassifier) -> None:
        batch = clip_of(videomae)
        reverse = FrameBatch(np.ascontiguousarray(batch.frames[::-1]), batch.pts_seconds)
        assert np.abs(videomae.classify(batch)[1] - videomae.classify(reverse)[1]).max() > 1e-5

    def test_wrong_numbers_are_refused(self, videomae: KineticsClassifier) -> None:
        with pytest.raises(ValueError, match="crops"):
            videomae.classify(clip_of(videomae), crops=2)
        with pytest.raises(ValueError, match="overlap"):
            videomae.classify(clip_of(videomae), overlap=1.0)


class TestNames:
    def test_facts_are_those_that_torchvision_documents(self) -> None:
        listed = [info for info in KNOWN_CLASSIFIERS if info.library == "torchvision"]
        published = {
            weights.url: (architecture, weights)
            for architecture in torchvision.models.list_models(module=torchvision.models.video)
            for weights in get_model_weights(architecture)
        }
        assert {f"https://download.pytorch.org/models/{info.weights}" for info in listed} == set(published)
        for info in listed:
            architecture, weights = published[f"https://download.pytorch.org/models/{info.weights}"]
            documented = dict(re.findall(r"`(\w+)=([\d.]+)`", weights.meta["_docs"]))
            assert info.family == architecture
            assert (info.fps, info.clip_frames) == (
                float(documented["frame_rate"]),
                int(documented["clip_len"]),
            )
            assert info.frame_size == min(weights.transforms().resize_size)
            assert info.parameters == weights.meta["num_params"]
            assert len(weights.meta["categories"]) == 400

    def test_facts_are_those_that_a_loaded_classifier_has(
        self, mc3: KineticsClassifier, tmp_path: Path
    ) -> None:
        info = next(info for info in KNOWN_CLASSIFIERS if info.name == "mc3_18")
        assert (mc3.clip_frames, mc3.fps, mc3.frame_size) == (info.clip_frames, info.fps, info.frame_size)
        assert mc3.window_seconds == pytest.approx(16 / 15)
        folder = make_video_folder(tmp_path, "timesformer_base")
        timesformer = open_classifier(f"kinetics:timesformer_base/{folder}", device="cpu")
        assert (timesformer.clip_frames, timesformer.fps, timesformer.frame_size) == (8, 0.9375, 36)

    def test_id_names_weights_and_preprocessing_but_no_path(self, tmp_path: Path) -> None:
        folders = {
            "first": make_video_folder(tmp_path / "first", "videomae_base"),
            "copy": make_video_folder(tmp_path / "copy", "videomae_base"),
            "weights": make_video_folder(tmp_path / "weights", "videomae_base", seed=2),
            "mean": make_video_folder(tmp_path / "mean", "videomae_base"),
        }
        described = next(folders["mean"].glob("*preprocessor_config.json"))
        content = json.loads(described.read_text())
        described.write_text(json.dumps({**content, "image_mean": [0.1, 0.2, 0.3]}))
        ids = {
            name: open_classifier(f"kinetics:videomae_base/{folder}", device="cpu").classifier_id
            for name, folder in folders.items()
        }
        assert ids["first"] == ids["copy"]
        assert len(set(ids.values())) == 3
        assert all(i.startswith("kinetics/videomae/") and str(tmp_path) not in i for i in ids.values())

    def test_a_spec_is_stored_with_its_whole_path(
        self, mc3_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(mc3_file.parent)
        assert resolve_classifier(f"kinetics:mc3_18/{mc3_file.name}") == f"kinetics:mc3_18/{mc3_file}"
        assert resolve_classifier(f"kinetics:mc3_18/{mc3_file}") == f"kinetics:mc3_18/{mc3_file}"
        assert resolve_classifier(" kinetics:s3d ") == "kinetics:s3d"
        assert resolve_classifier("kinetics:hf:org/name") == "kinetics:hf:org/name"

    @pytest.mark.parametrize(
        ("spec", "hint"),
        [
            ("kinetics:mvit_v2_b", "kinetics:mvit_v2_s"),
            ("kinetics:MViT-v2-S", "kinetics:mvit_v2_s"),
            ("kinetics:videomae", "kinetics:videomae_base"),
            ("mvit_v2_s", "kinetics:mvit_v2_s"),
            ("kinetics:", "there are: kinetics:mvit_v2_s"),
            ("kinetics:nonsense", "there are: kinetics:mvit_v2_s"),
            ("kinetics:r3d_18/", "names no file"),
            ("kinetics:hf:videomae", "kinetics:hf:<org>/<name>"),
            ("kinetics:vjepa2", "kinetics:vjepa2/<folder>"),
            ("kinetics:r3d_18/none.pt", "there is no checkpoint"),
            ("kinetics:vjepa2/nowhere", "there is no folder"),
        ],
    )
    def test_unknown_names(self, spec: str, hint: str) -> None:
        for refuse in (resolve_classifier, open_classifier):
            with pytest.raises(EncoderUnavailableError, match=re.escape(hint)):
                refuse(spec)

    def test_names_are_checked_without_torch_and_loading_says_nothing(self, videomae_folder: Path) -> None:
        ran = run_python(
            "import sys, numpy\n"
            "from encoders import FrameBatch\n"
            "from encoders.backbones.kinetics_weights import KNOWN_CLASSIFIERS\n"
            "from encoders.heads.kinetics import open_classifier, resolve_classifier\n"
            f"spec = resolve_classifier('kinetics:videomae_base/{videomae_folder}')\n"
            "[(info.spec, info.source, info.size_bytes, info.is_cached) for info in KNOWN_CLASSIFIERS]\n"
            "assert not {'torch', 'torchvision', 'transformers'} & set(sys.modules)\n"
            "frames = FrameBatch(numpy.zeros((1, 40, 40, 3), numpy.uint8), numpy.zeros(1))\n"
            "open_classifier(spec, device='cpu').classify(frames)\n"
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    def test_no_such_device(self) -> None:
        with pytest.raises(EncoderUnavailableError, match="no device"):
            open_classifier("kinetics:r3d_18", device="gpu")


class TestWeightFiles:
    def test_a_training_checkpoint_is_unwrapped(
        self, tmp_path: Path, mc3: KineticsClassifier, mc3_file: Path
    ) -> None:
        file = make_checkpoint(tmp_path, "mc3_18", suffix=".pth")  # {"model": {"module.x": ...}}
        wrapped = open_classifier(f"kinetics:mc3_18/{file}", device="cpu")
        batch = clip_of(mc3)
        # Some processors add up in another order where the same weights lie elsewhere in memory.
        np.testing.assert_allclose(wrapped.classify(batch)[1], mc3.classify(batch)[1], rtol=1e-5)

    def test_torchvision_finds_its_file_in_torchs_cache(
        self, tmp_path: Path, mc3_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        info = next(info for info in KNOWN_CLASSIFIERS if info.name == "mc3_18")
        place = tmp_path / "torch/hub/checkpoints" / info.weights
        place.parent.mkdir(parents=True)
        assert not info.is_cached
        shutil.copy(mc3_file, place)
        assert info.is_cached
        with pytest.raises(EncoderUnavailableError, match="SHA-256 does not begin with a90a0ba3"):
            open_classifier("kinetics:mc3_18", device="cpu")

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "file.pth"])
    def test_pickle_with_code(self, tmp_path: Path, videomae_folder: Path, name: str) -> None:
        folder, target = shutil.copytree(videomae_folder, tmp_path / "model"), tmp_path / "exploded"
        (folder / "model.safetensors").unlink()
        torch.save({"state_dict": {"classifier.weight": Bomb(target)}}, folder / name)
        spec = f"mc3_18/{folder / name}" if name == "file.pth" else f"videomae_base/{folder}"
        with pytest.raises(EncoderUnavailableError) as caught:
            open_classifier(f"kinetics:{spec}", device="cpu")
        assert not target.exists()
        if name != "model.safetensors":  # which can hold no code in the first place
            assert f"{os.mkdir.__module__}.mkdir" in str(caught.value)
            assert "save its state dict as safetensors" in str(caught.value)

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_truncated_file(self, tmp_path: Path, mc3_file: Path, suffix: str) -> None:
        file = tmp_path / f"cut{suffix}"
        if suffix == ".pth":
            torch.save({"fc.weight": torch.zeros(400, 512)}, file)
        else:
            shutil.copy(mc3_file, file)
        os.truncate(file, file.stat().st_size // 2)
        with pytest.raises(EncoderUnavailableError, match=r"cannot be read; got: .*; expected: a complete"):
            open_classifier(f"kinetics:mc3_18/{file}", device="cpu")

    def test_weights_of_another_architecture(self, mc3_file: Path) -> None:
        with pytest.raises(EncoderUnavailableError) as caught:
            open_classifier(f"kinetics:r3d_18/{mc3_file}", device="cpu")
        assert "does not load into r3d_18" in str(caught.value)
        assert str(mc3_file) in str(caught.value)
        assert len(str(caught.value)) < 700

    def test_text_or_no_state_dict_instead_of_weights(self, tmp_path: Path) -> None:
        for name in ("page.pth", "page.safetensors"):
            (tmp_path / name).write_text("<html>404 not found</html>")
            with pytest.raises(EncoderUnavailableError, match="cannot be read"):
                open_classifier(f"kinetics:r3d_18/{tmp_path / name}")
        torch.save([torch.zeros(3)], tmp_path / "list.pt")
        with pytest.raises(EncoderUnavailableError, match="holds a list"):
            open_classifier(f"kinetics:r3d_18/{tmp_path / 'list.pt'}")
        (tmp_path / "weights.npz").touch()
        with pytest.raises(EncoderUnavailableError, match=r"suffix \.npz"):
            resolve_classifier(f"kinetics:r3d_18/{tmp_path / 'weights.npz'}")

    def test_a_model_without_a_classifier_is_not_made_one_up(
        self, tmp_path: Path, videomae_folder: Path
    ) -> None:
        """transformers fills what is missing with random numbers, and would answer by them."""
        folder = shutil.copytree(videomae_folder, tmp_path / "model")
        state = load_file(folder / "model.safetensors")
        for wrong in ({"classifier.weight": None}, {"classifier.weight": torch.zeros(7, 32)}):
            changed = {k: v for k, v in {**state, **wrong}.items() if v is not None}
            save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
            with pytest.raises(EncoderUnavailableError, match=r"do not fit, such as classifier\.weight"):
                open_classifier(f"kinetics:videomae_base/{folder}", device="cpu")

    def test_folders_that_are_no_such_model(self, tmp_path: Path, videomae_folder: Path) -> None:
        with pytest.raises(EncoderUnavailableError, match="of the type 'videomae'; expected vivit"):
            open_classifier(f"kinetics:vivit_b_16x2/{videomae_folder}", device="cpu")
        for name in ("config.json", "model.safetensors", "video_preprocessor_config.json"):
            folder = shutil.copytree(videomae_folder, tmp_path / name)
            (folder / name).unlink()
            with pytest.raises(EncoderUnavailableError, match="holds no .*" + re.escape(name)):
                resolve_classifier(f"kinetics:videomae_base/{folder}")
        folder = shutil.copytree(videomae_folder, tmp_path / "broken")
        content = json.loads((folder / "config.json").read_text())
        nameless = {key: value for key, value in content.items() if key != "id2label"}
        odd = {**content, "hidden_size": 33}
        other = {**content, "model_type": "bert"}
        foreign = {**content, "model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}
        for text in ("{", "[]", "{}", *map(json.dumps, (nameless, odd, other, foreign))):
            (folder / "config.json").write_text(text)
            with pytest.raises(EncoderUnavailableError):
                open_classifier(f"kinetics:videomae_base/{folder}", device="cpu")

    def test_classes_without_names(self, tmp_path: Path) -> None:
        folder = make_video_folder(tmp_path, "videomae_base", id2label=None, num_labels=5)
        with pytest.raises(EncoderUnavailableError, match="does not name its classes"):
            open_classifier(f"kinetics:videomae_base/{folder}", device="cpu")

    @pytest.mark.parametrize("spec", ["kinetics:r3d_18", "kinetics:videomae_base", "kinetics:hf:org/name"])
    def test_weights_that_cannot_be_had_are_refused_at_once(self, spec: str) -> None:
        started = time.monotonic()
        with pytest.raises(EncoderUnavailableError, match="does not answer"):
            open_classifier(spec, device="cpu")
        assert time.monotonic() - started < 4.0

    def test_cached_repository_loads_without_network(self, tmp_path: Path, videomae_folder: Path) -> None:
        snapshot = tmp_path / "hub/models--org--tiny/snapshots" / ("e" * 40)
        shutil.copytree(videomae_folder, snapshot)
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("e" * 40)
        classifier = open_classifier("kinetics:hf:org/tiny", device="cpu")
        assert classifier.spec == "kinetics:hf:org/tiny"
        assert classifier.classify(clip_of(classifier))[1].shape == (1, 400)

    def test_weights_that_give_no_numbers(self, tmp_path: Path, videomae_folder: Path) -> None:
        folder = shutil.copytree(videomae_folder, tmp_path / "model")
        state = {k: v * float("nan") for k, v in load_file(folder / "model.safetensors").items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        classifier = open_classifier(f"kinetics:videomae_base/{folder}", device="cpu")
        with pytest.raises(EncoderError, match="no numbers"):
            classifier.classify(clip_of(classifier))
