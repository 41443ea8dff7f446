"""Tiny models of random weights, in folders as open_clip and transformers publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torchvision.models import get_model_weights

KINETICS_NAMES = get_model_weights("r3d_18").KINETICS400_V1.meta["categories"]
TINY_OPENCLIP: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
TINY_TRANSFORMERS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "id2label": dict(enumerate(KINETICS_NAMES)),
}
VIDEO_TRANSFORMERS: dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]] = {
    "videomae_base": (
        "VideoMAEConfig",
        "VideoMAEForVideoClassification",
        "VideoMAEVideoProcessor",
        {"image_size": 32, "num_frames": 4, "intermediate_size": 64, "initializer_range": 0.2},
        {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
    ),
    "timesformer_base": (
        "TimesformerConfig",
        "TimesformerForVideoClassification",
        "TimesformerVideoProcessor",
        {"image_size": 32, "num_frames": 8, "intermediate_size": 64, "initializer_range": 0.2},
        {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}},
    ),
    "vivit_b_16x2": (
        "VivitConfig",
        "VivitForVideoClassification",
        "VivitVideoProcessor",
        {"image_size": 32, "num_frames": 4, "intermediate_size": 64, "initializer_range": 0.2},
        {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}},
    ),
    "vjepa2": (
        "VJEPA2Config",
        "VJEPA2ForVideoClassification",
        "VJEPA2VideoProcessor",
        # Rotary positions share a head among 3 axes: 24 channels per head do.
        {"crop_size": 32, "frames_per_clip": 4, "hidden_size": 48, "pred_hidden_size": 48,
         "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "num_pooler_layers": 1,
         "initializer_range": 0.2},
        {"crop_size": 32},
    ),
}  # fmt: skip


def make_openclip_folder(folder: Path, seed: int = 1, **config: Any) -> Path:
    """A model of random weights as open_clip publishes one; `config` changes its description."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    preprocessing = config.pop("preprocess_cfg", {})
    content = {"model_cfg": {**TINY_OPENCLIP, **config}, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def make_video_folder(folder: Path, name: str, seed: int = 1, **config: Any) -> Path:
    """A tiny model of random weights as transformers publishes one; `config` changes it."""
    import transformers

    config_class, model_class, processor_class, shape, preparation = VIDEO_TRANSFORMERS[name]
    torch.manual_seed(seed)
    described = getattr(transformers, config_class)(**{**TINY_TRANSFORMERS, **shape, **config})
    getattr(transformers, model_class)(described).save_pretrained(folder)
    getattr(transformers, processor_class)(**preparation).save_pretrained(folder)
    return folder
