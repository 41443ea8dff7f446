"""Encoders of open_clip: any of its architectures, with any weights that fit.

The models follow Radford et al. (2021, arXiv:2103.00020); open_clip is described by Cherti et al.
(2022, arXiv:2212.07143). This is the only module that imports it. How frames are scaled, cropped
and normalised belongs to the weights and comes with them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import pickle
import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.embedding.encoder import Encoder, Pooling, check_pooling, clean_texts, pool_features
from encoders.embedding.openclip_weights import CONFIG_FILE, OTHERWISE, WeightsSource, find_weights
from encoders.embedding.preprocessing import limit_aspect
from encoders.errors import EncoderError, EncoderUnavailableError
from encoders.types import EmbeddingBatch, FrameBatch, normalise
from encoders.weights.device import choose_device, frame_batches, mixed_precision
from encoders.weights.digests import file_digest, first_line
from encoders.weights.hub import from_cache_or_hub
from encoders.weights.quiet import quiet_loading

with quiet_loading():
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from open_clip.zero_shot_metadata import SIMPLE_IMAGENET_TEMPLATES

BATCH_TEXTS = 256
MAX_NAME_WORDS = 3
_CAPTION_WORDS = frozenset(
    ("a", "an", "the", "of", "in", "on", "at", "with", "and", "or", "to", "from", "by", "no")
)
PREPROCESSING_KEYS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


class OpenClipPreprocessing:
    """Scales, crops and normalises frames for a model, as belongs to its weights.

    Args:
        model: Made by open_clip.
        device: Where it runs.

    Attributes:
        config: open_clip's record of it.
        frame_size: Longer side of what the model takes, pixels.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self.config = PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
        self.frame_size = max(self.config.input_size[1:])
        # The last two steps make a tensor of one image and normalise it: done for a batch instead.
        self._geometry = image_transform_v2(self.config, is_train=False).transforms[:-2]
        self._device = device
        self._mean, self._std = (
            torch.tensor(values, device=device).reshape(1, 3, 1, 1) * 255.0
            for values in (self.config.mean, self.config.std)
        )

    def __call__(self, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> torch.Tensor:
        """Frames uint8 (H, W, 3), of any sizes, as one tensor: float32 (N, 3, S, S)."""
        pixels = np.stack([self._scale(frame) for frame in frames])
        images = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float()
        return images.sub_(self._mean).div_(self._std)

    def _scale(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image: Any = Image.fromarray(limit_aspect(frame))
        for transform in self._geometry:
            image = transform(image)
        return np.asarray(image)


class OpenClipEncoder(Encoder):
    """One open_clip model with its weights, tokenizer and preprocessing.

    Args:
        architecture: As open_clip names it, or "hf-hub:<org>/<name>" or "local-dir:<folder>".
        weights: Tag or path of a checkpoint; None with "hf-hub:" and "local-dir:".
        device: As `choose_device` takes it.
        pooling: How features become one embedding.

    Raises:
        EncoderUnavailableError: No such architecture, tag or file; the weights do not fit, hold
            code, or cannot be had here.
    """

    has_text = True
    tags_by_name = True

    def __init__(
        self,
        architecture: str,
        weights: str | None,
        *,
        device: str = "auto",
        pooling: Pooling = "mean",
    ) -> None:
        self._pooling = check_pooling(pooling)
        self._device = choose_device(device)
        self.spec = f"openclip:{architecture}" + (f"/{weights}" if weights else "")
        self._architecture = architecture
        source = find_source(architecture, weights)
        self._model: Any = load_model(source).to(self._device)
        self._preprocessing = OpenClipPreprocessing(self._model, self._device)
        self.dim = int(source.config["embed_dim"])
        scale: Any = self._model.logit_scale
        # Training keeps it at most 100 (Radford et al. 2021, section 2.4); other models may go beyond.
        self.logit_scale = float(np.clip(np.exp(scale.item()), 1.0, 200.0))
        self.frame_size = self._preprocessing.frame_size
        how = json.dumps([source.config, source.quick_gelu, vars(self._preprocessing.config)], sort_keys=True)
        self.encoder_id = (
            f"openclip/{source.public_name}/{file_digest(source.file)[:16]}"
            f"/{hashlib.sha256(how.encode()).hexdigest()[:8]}/{pooling}"
        )
        self._tokenizer: Any = None
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """The torch device it runs on, e.g. "cpu" or "cuda:0"."""
        return str(self._device)

    def encode_frames(self, batch: FrameBatch) -> NDArray[np.float32]:
        """Features h_t: float32 (T, D), each of L2 norm 1."""
        parts = []
        with torch.inference_mode():
            for stretch in frame_batches(len(batch), self._device):
                images = self._preprocessing(batch.frames[stretch])
                with mixed_precision(self._device):
                    features = self._model.encode_image(images, normalize=True)
                parts.append(features.float().cpu().numpy())
        return _unit_vectors(np.concatenate(parts))

    def pool(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """One embedding for a clip: (T, D), T >= 1 -> float32 (D,), of L2 norm 1."""
        return pool_features(features, self._pooling)

    def encode_text(self, texts: list[str]) -> EmbeddingBatch:
        """One embedding per text; what exceeds the model's context is cut off.

        A bare name ("dog", "fire engine") is put into the seven sentences that open_clip's authors keep for
        names, and the embeddings are averaged, as they do to classify (Radford et al. 2021, section 3.1.4);
        anything longer is a caption, such as the model was trained with, and stays as it is. Stored frames
        are the same either way, so `encoder_id` does not name this.

        Raises:
            InvalidQueryError: A text is empty or blank.
            EncoderUnavailableError: The model's tokenizer cannot be had here.
        """
        sentences = [sentences_of(text) for text in clean_texts(texts)]
        encoded = self._encode_sentences([one for of_text in sentences for one in of_text])
        starts = np.cumsum([0, *map(len, sentences)])[:-1]
        sums = np.add.reduceat(encoded, starts) if texts else encoded
        return EmbeddingBatch(_unit_vectors(sums), self.encoder_id)

    def _encode_sentences(self, sentences: list[str]) -> NDArray[np.float32]:
        """Each sentence as it is: float32 (N, D), of L2 norm 1."""
        parts = [np.empty((0, self.dim), dtype=np.float32)]
        tokenizer = self._load_tokenizer()
        with torch.inference_mode(), mixed_precision(self._device):
            for start in range(0, len(sentences), BATCH_TEXTS):
                tokens = tokenizer(sentences[start : start + BATCH_TEXTS]).to(self._device)
                features = self._model.encode_text(tokens, normalize=True)
                parts.append(features.float().cpu().numpy())
        return _unit_vectors(np.concatenate(parts))

    def _load_tokenizer(self) -> Any:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = load_tokenizer(self._architecture)
            return self._tokenizer


def sentences_of(text: str) -> list[str]:
    """The sentences that are encoded for a text: itself, or for a bare name, open_clip's sentences about it.

    A bare name is one to three words, none of them an article, a preposition or the like, without
    punctuation.
    """
    words = text.casefold().split()
    is_name = len(words) <= MAX_NAME_WORDS and _CAPTION_WORDS.isdisjoint(words)
    if is_name and all(re.fullmatch(r"[\w'’-]+", word) for word in words):
        return [sentence(text) for sentence in SIMPLE_IMAGENET_TEMPLATES]
    return [text]


def load_tokenizer(architecture: str) -> Any:
    """An architecture's tokenizer. Raises EncoderUnavailableError."""
    try:
        return from_cache_or_hub(
            lambda: open_clip.get_tokenizer(architecture), f"the tokenizer files of {architecture}"
        )
    except EncoderUnavailableError:
        raise
    except Exception as error:  # the tokenizer libraries raise kinds of their own
        raise EncoderUnavailableError(
            f"the tokenizer of {architecture} cannot be loaded: {first_line(error)}; delete it "
            "from the local cache to have it downloaded again, or choose the encoder `offline`"
        ) from error


def find_source(architecture: str, weights: str | None, otherwise: str = OTHERWISE) -> WeightsSource:
    """Checks names against open_clip's lists, then has the files found.

    Args:
        architecture, weights: As `OpenClipEncoder` takes them.
        otherwise: What people can do without the hub.

    Raises:
        EncoderUnavailableError: No such architecture or tag, or its files cannot be had here.
    """
    if architecture.startswith(("hf-hub:", "local-dir:")):
        return find_weights(architecture, None, {}, {}, otherwise)
    config = open_clip.get_model_config(architecture)
    if config is None:
        close = difflib.get_close_matches(architecture, open_clip.list_models(), n=4)
        raise EncoderUnavailableError(
            f"open_clip has no architecture {architecture!r}; "
            + (f"close to it: {', '.join(close)}" if close else "`indexer encoders` lists some")
        )
    tags = {
        tag: open_clip.get_pretrained_cfg(architecture, tag)
        for tag in open_clip.list_pretrained_tags_by_model(architecture)
    }
    return find_weights(architecture, weights, config, tags, otherwise)


def load_model(source: WeightsSource) -> torch.nn.Module:
    """The model with its weights, on the CPU, ready for inference. Raises EncoderUnavailableError."""

    def create() -> torch.nn.Module:
        return open_clip.create_model(
            source.load_name,
            load_weights=False,
            pretrained_text=False,
            force_quick_gelu=source.quick_gelu,
            force_preprocess_cfg={
                key: source.preprocessing[key] for key in PREPROCESSING_KEYS if key in source.preprocessing
            },
        )

    try:
        model = from_cache_or_hub(create, f"files that {source.public_name} is made of")
    except EncoderUnavailableError:
        raise
    except Exception as error:  # whatever a configuration makes the network's constructors raise
        raise EncoderUnavailableError(
            f"open_clip cannot build {source.public_name}: {first_line(error)}; check "
            f"{CONFIG_FILE}, or choose another model"
        ) from error
    try:
        with quiet_loading():
            open_clip.load_checkpoint(model, str(source.file), strict=True, weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise EncoderUnavailableError(
            f"the checkpoint {source.file} holds {found[1] if found else 'something'} beside its "
            "tensors; expected: weights alone, since anything else can run code. It was not run; "
            "have whoever made the file save its state dict as safetensors"
        ) from error
    except Exception as error:  # each library raises its own kinds on damaged files
        raise EncoderUnavailableError(
            f"the checkpoint {source.file} does not load into {source.public_name}; got: "
            f"{first_line(error)}; expected: a complete file with the weights of this "
            "architecture. Name the architecture that it was trained with, or fetch it again"
        ) from error
    return model.eval().requires_grad_(False)


def _unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(vectors).all():
        raise EncoderError(
            "the model gave features that are no numbers; its weights are broken, or half "
            "precision is too little for it: try --device cpu"
        )
    return normalise(vectors)
