"""Captions by image-to-text models of transformers: BLIP, GIT, and a vision encoder with a text decoder.

BLIP is by Li et al. (2022, arXiv:2201.12086), GIT by Wang et al. (2022, arXiv:2205.14100).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.captioning.captioner import MOST_TOKENS, clean_caption
from encoders.embedding.preprocessing import limit_aspect
from encoders.errors import EncoderUnavailableError
from encoders.weights.device import choose_device, mixed_precision
from encoders.weights.digests import file_digest, first_line, read_model_config
from encoders.weights.hub import Loaded, cached_or_downloaded, from_cache_or_hub
from encoders.weights.quiet import quiet_loading

with quiet_loading():
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

# Others want a prompt, or write of something else than what the picture shows.
KINDS = ("blip", "git", "vision-encoder-decoder")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# What else decides how it sees and what it says.
SETTINGS = (
    "config.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
OTHERWISE = "give the folder of a model that `save_pretrained` wrote, or do without captions"


class TransformersCaptioner:
    """One image-to-text model with its weights, tokenizer and preprocessing.

    How it searches for words (greedily, or how many beams) is its makers' choice, in its own
    `generation_config.json`; chance and endless sentences are ruled out.

    Args:
        spec: "transformers:<folder>" or "transformers:<org>/<name>".
        device: As `choose_device` takes it.

    Raises:
        EncoderUnavailableError: No such model, of another kind, damaged, or not to be had here.
    """

    def __init__(self, spec: str, *, device: str = "auto") -> None:
        self._device = choose_device(device)
        self.spec = spec
        name = spec.partition(":")[2]
        folder = Path(name)
        if folder.is_absolute():
            weights = _weights_of_folder(folder)
        else:
            folder = cached_or_downloaded(name, ("config.json",), "the captioner", OTHERWISE).parent
            weights = [cached_or_downloaded(name, WEIGHT_FILES, "the weights of", OTHERWISE)]
        _check_kind(name, folder / "config.json")
        self._model: Any = _loaded(lambda: _load_model(name), name)
        self._model.to(self._device).eval().requires_grad_(False)
        self._tokenizer: Any = _loaded(lambda: AutoTokenizer.from_pretrained(name), name)
        self._processor: Any = _loaded(lambda: AutoImageProcessor.from_pretrained(name), name)
        _check_tokenizer(name, self._tokenizer, self._model)
        settings = [folder / one for one in SETTINGS if (folder / one).is_file()]
        digests = "".join(file_digest(file) for file in (*weights, *settings))
        public_name = folder.name if Path(name).is_absolute() else name
        self.captioner_id = f"transformers/{public_name}/{hashlib.sha256(digests.encode()).hexdigest()[:16]}"

    @property
    def device(self) -> str:
        """The torch device it runs on, e.g. "cpu" or "cuda:0"."""
        return str(self._device)

    def caption(self, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        """One caption per picture, uint8 (H, W, 3) each; see `Captioner`."""
        step = 64 if self._device.type == "cuda" else 8
        captions: list[str] = []
        for start in range(0, len(images), step):
            pictures = [Image.fromarray(limit_aspect(image)) for image in images[start : start + step]]
            with quiet_loading(), torch.inference_mode(), mixed_precision(self._device):
                pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
                tokens = self._model.generate(
                    pixel_values=pixels.to(self._device), do_sample=False, max_new_tokens=MOST_TOKENS
                )
            texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
            captions += [clean_caption(text) for text in texts]
        return captions


def _weights_of_folder(folder: Path) -> list[Path]:
    """Its weights, in pieces perhaps. Raises EncoderUnavailableError."""
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not weights:
        raise EncoderUnavailableError(
            f"{folder} holds no weights; expected model.safetensors or pytorch_model.bin beside config.json, "
            "as `save_pretrained` writes them"
        )
    return weights


def _check_kind(name: str, config: Path) -> None:
    kind = read_model_config(config).get("model_type")
    if kind not in KINDS:
        raise EncoderUnavailableError(
            f"{name} is a model of the kind {kind!r}, which does not caption pictures by itself; expected "
            f"one of {', '.join(KINDS)}, such as transformers:Salesforce/blip-image-captioning-base"
        )


def _check_tokenizer(name: str, tokenizer: Any, model: Any) -> None:
    """Refuses a tokenizer that lacks its files, of which transformers silently makes an almost empty one."""
    expected = int(model.config.get_text_config(decoder=True).vocab_size)
    if 2 * len(tokenizer) < expected:
        raise EncoderUnavailableError(
            f"the tokenizer of {name} knows {len(tokenizer)} of {expected} pieces of words; expected the "
            "files that belong to the model (tokenizer.json, or vocab.txt and the like) beside its weights"
        )


def _load_model(name: str) -> Any:
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        name, dtype=torch.float32, output_loading_info=True
    )
    model, found = loaded
    # What only pools the picture into one vector is not read here, and often left out.
    missing = sorted(key for key in found["missing_keys"] if ".pooler." not in key)
    if missing:
        raise ValueError(f"the weights lack {len(missing)} tensors, {missing[0]} among them")
    return model


def _loaded(load: Callable[[], Loaded], name: str) -> Loaded:
    try:
        return from_cache_or_hub(load, f"files of the captioner {name}", OTHERWISE)
    except EncoderUnavailableError:
        raise
    except Exception as error:  # each library raises its own kinds on damaged or missing files
        raise EncoderUnavailableError(
            f"the captioner {name} cannot be loaded: {first_line(error)}; expected a whole model as "
            "`save_pretrained` writes it: weights, config.json, tokenizer and preprocessor_config.json. "
            "Fetch it again, or do without captions"
        ) from error
