"""Captions by CoCa (Yu et al. 2022, arXiv:2205.01917) as open_clip builds it, word by likeliest word."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.captioning.captioner import DEFAULT_CAPTIONER, MOST_TOKENS, clean_caption
from encoders.captioning.coca_decoding import CocaDecoder, is_plain
from encoders.embedding.openclip import OpenClipPreprocessing, find_source, load_model, load_tokenizer
from encoders.embedding.openclip_models import SCHEMAS
from encoders.errors import EncoderError, EncoderUnavailableError
from encoders.weights.device import choose_device, mixed_precision
from encoders.weights.digests import file_digest

LEAST_TOKENS = 5  # before a caption may end, as open_clip has it
OTHERWISE = "give the path of a checkpoint or a folder of transformers, or do without captions"


class CocaCaptioner:
    """One CoCa model with its weights, tokenizer and preprocessing.

    open_clip's own `generate` needs a beam search that transformers 5 no longer has, so the words are chosen
    here: greedily, over the same network.

    Args:
        spec: "coca:<arch>/<tag or path>", "coca:hf-hub:<org>/<name>" or "coca:local-dir:<folder>".
        device: As `choose_device` takes it.

    Raises:
        EncoderUnavailableError: No such architecture, tag or file; the weights do not fit, hold
            code, or cannot be had here; or the model is no CoCa.
    """

    def __init__(self, spec: str, *, device: str = "auto") -> None:
        self._device = choose_device(device)
        self.spec = spec
        architecture, weights = _split(spec)
        source = find_source(architecture, weights, OTHERWISE)
        if "multimodal_cfg" not in source.config:
            raise EncoderUnavailableError(_no_coca(architecture))
        self._tokenizer: Any = load_tokenizer(architecture)
        if not hasattr(self._tokenizer, "sot_token_id"):
            raise EncoderUnavailableError(
                f"{architecture} has another tokenizer than open_clip's own, with which captions cannot be "
                f"written; choose {DEFAULT_CAPTIONER}"
            )
        model: Any = load_model(source)
        if not is_plain(model):
            raise EncoderUnavailableError(
                f"{architecture} is a CoCa of other blocks than open_clip's own, which cannot write here; "
                f"choose {DEFAULT_CAPTIONER}"
            )
        self._model = model.to(self._device)
        self._preprocessing = OpenClipPreprocessing(self._model, self._device)
        self._most_tokens = min(MOST_TOKENS, int(model.context_length))
        how = json.dumps([source.config, source.quick_gelu, vars(self._preprocessing.config)], sort_keys=True)
        self.captioner_id = (
            f"coca/{source.public_name}/{file_digest(source.file)[:16]}"
            f"/{hashlib.sha256(how.encode()).hexdigest()[:8]}"
        )

    @property
    def device(self) -> str:
        """The torch device it runs on, e.g. "cpu" or "cuda:0"."""
        return str(self._device)

    def caption(self, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        """One caption per picture, uint8 (H, W, 3) each; see `Captioner`."""
        step = 64 if self._device.type == "cuda" else 8
        captions = []
        for start in range(0, len(images), step):
            for tokens in self._generate(self._preprocessing(images[start : start + step])).tolist():
                captions.append(self._text(tokens))
        return captions

    def _generate(self, images: torch.Tensor) -> torch.Tensor:
        """Images float32 (N, 3, S, S) -> token ids int64 (N, L), the mark of the beginning first."""
        begin, end = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        tokens = torch.full((len(images), 1), begin, device=self._device)
        is_done = torch.zeros(len(images), dtype=torch.bool, device=self._device)
        with torch.inference_mode(), mixed_precision(self._device):
            decoder = CocaDecoder(self._model, self._model(images)["image_embs"])
            while tokens.shape[1] < self._most_tokens - 1 and not is_done.all():
                # Some architectures have more outputs than the tokenizer has words.
                logits = decoder.step(tokens[:, -1])[:, : self._tokenizer.vocab_size].float()
                if not torch.isfinite(logits).all():
                    raise EncoderError(
                        f"{self.spec} gave numbers that are none; its weights are broken, or half precision "
                        "is too little for it: try --device cpu"
                    )
                if tokens.shape[1] < LEAST_TOKENS:
                    logits[:, end] = -torch.inf
                chosen = logits.argmax(dim=-1).masked_fill(is_done, end)
                is_done |= chosen == end
                tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        return tokens

    def _text(self, tokens: list[int]) -> str:
        marks = (self._tokenizer.sot_token_id, self._tokenizer.eot_token_id)
        end = tokens.index(marks[1]) if marks[1] in tokens else len(tokens)
        return clean_caption(self._tokenizer.decode([token for token in tokens[:end] if token not in marks]))


def _split(spec: str) -> tuple[str, str | None]:
    """Architecture and weights of a spec; refuses what is no CoCa before anything is fetched."""
    rest = spec.partition(":")[2]
    if rest.startswith(SCHEMAS):
        return rest, None
    architecture, _, weights = rest.partition("/")
    if "coca" not in architecture.lower():
        raise EncoderUnavailableError(_no_coca(architecture))
    return architecture, weights or None


def _no_coca(architecture: str) -> str:
    return (
        f"{architecture} is no CoCa model and writes no captions; expected coca_ViT-B-32, coca_ViT-L-14 or "
        f"another with a multimodal_cfg, such as {DEFAULT_CAPTIONER}"
    )
