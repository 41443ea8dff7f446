"""Models that torchvision and transformers have: what they say is what those libraries say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from torchvision.models import get_model, get_model_weights

from encoders.errors import EncoderUnavailableError
from encoders.models.base import MEAN, STD
from encoders.models.registry import build_model

CLASSES = 5


def picture_clip(frames: int, size: int) -> Tensor:
    """Pixels in 0..1: (1, 3, T, H, W)."""
    return torch.rand(1, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def normalised(pixels: Tensor, mean: Any, std: Any) -> Tensor:
    centre, spread = (torch.tensor(values).view(3, 1, 1, 1) for values in (mean, std))
    return (pixels - centre) / spread


def stirred(network: torch.nn.Module) -> torch.nn.Module:
    """Every weight another one, so that none at 0 or 1 hides a mistake."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [("r3d_18", 4, 48), ("r2plus1d_18", 4, 48), ("mc3_18", 4, 48), ("swin3d_t", 4, 64),
     pytest.param("s3d", 16, 224, marks=pytest.mark.slow),
     pytest.param("mvit_v2_s", 16, 224, marks=pytest.mark.slow)],
)  # fmt: skip
def test_torchvisions(name: str, frames: int, size: int, tmp_path: Path) -> None:
    network = stirred(get_model(name, weights=None, num_classes=CLASSES))
    file = tmp_path / "weights.pt"
    torch.save(network.state_dict(), file)
    model = build_model(name, CLASSES, frames=frames, size=size, pretrained=str(file)).eval()
    pixels = picture_clip(frames, size)
    preset = get_model_weights(name)["KINETICS400_V1"].transforms()
    with torch.no_grad():
        expected = network(normalised(pixels, preset.mean, preset.std))
        found = model(normalised(pixels, MEAN, STD))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    # For other classes the classifier is new, and the rest is kept.
    other = build_model(name, 3, frames=frames, size=size, pretrained=str(file)).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            other.forward_features(normalised(pixels, MEAN, STD)),
            model.forward_features(normalised(pixels, MEAN, STD)),
        )
    assert other.forward_head(torch.zeros(1, 1, other.feature_dim)).shape == (1, 3)


SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "patch_size": 8,
}  # fmt: skip
FOLDERS: dict[str, tuple[str, str, str, dict[str, Any], tuple[Any, Any]]] = {
    "videomae_b": (
        "VideoMAEConfig", "VideoMAEForVideoClassification", "num_frames", {"image_size": 32},
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ),
    "vjepa2_l": (
        "VJEPA2Config", "VJEPA2ForVideoClassification", "frames_per_clip",
        {"crop_size": 32, "num_pooler_layers": 1, "pred_hidden_size": 16, "pred_num_hidden_layers": 1,
         "pred_num_attention_heads": 2},
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ),
    "timesformer_hf_b": (
        "TimesformerConfig", "TimesformerForVideoClassification", "num_frames", {"image_size": 32},
        ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
    ),
    "vivit_hf_b": (
        "VivitConfig", "VivitForVideoClassification", "num_frames",
        {"image_size": 32, "tubelet_size": [2, 8, 8]}, ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ),
}  # fmt: skip


def saved(folder: Path, name: str) -> tuple[torch.nn.Module, dict[str, Any]]:
    """A small model of random weights as transformers saves one, and the options that build the like."""
    config_class, model_class, frames_field, shape, _ = FOLDERS[name]
    options = {**SMALL, **shape}
    if name in ("vjepa2_l", "vivit_hf_b"):
        del options["intermediate_size" if name == "vjepa2_l" else "patch_size"]
    config = getattr(transformers, config_class)(**{**options, frames_field: 4, "num_labels": CLASSES})
    network = stirred(getattr(transformers, model_class)(config))
    network.save_pretrained(folder)
    return network, {key: value for key, value in options.items() if key not in ("image_size", "crop_size")}


@pytest.mark.parametrize("name", FOLDERS)
def test_transformers(name: str, tmp_path: Path) -> None:
    network, options = saved(tmp_path, name)
    model = build_model(name, CLASSES, frames=4, size=32, pretrained=str(tmp_path), **options).eval()
    pixels = picture_clip(4, 32)
    with torch.no_grad():
        frames = normalised(pixels, *FOLDERS[name][4]).transpose(1, 2)
        expected = network(**{network.main_input_name: frames}).logits  # type: ignore[operator]
        torch.testing.assert_close(model(normalised(pixels, MEAN, STD)), expected, atol=1e-4, rtol=1e-4)
    fresh = build_model(name, 3, frames=4, size=32, pretrained=str(tmp_path), **options).eval()
    with torch.no_grad():
        assert fresh(normalised(pixels, MEAN, STD)).shape == (1, 3)


class TestWeightsThatDoNotFit:
    def test_of_another_network(self, tmp_path: Path) -> None:
        torch.save(get_model("mc3_18", weights=None).state_dict(), tmp_path / "mc3.pt")
        with pytest.raises(EncoderUnavailableError, match=r"do not fit: \d+ tensors .* name weights of this"):
            build_model("r3d_18", CLASSES, pretrained=str(tmp_path / "mc3.pt"))

    def test_of_another_size(self, tmp_path: Path) -> None:
        _, options = saved(tmp_path, "videomae_b")
        with pytest.raises(ValueError, match="has the hidden_size 32, and the model asked for 768"):
            build_model("videomae_b", CLASSES, pretrained=str(tmp_path))
        with pytest.raises(ValueError, match="is a 'videomae'; expected a 'vivit'"):
            build_model("vivit_hf_b", CLASSES, pretrained=str(tmp_path))
        with pytest.raises(EncoderUnavailableError, match="do not fit"):
            (tmp_path / "model.safetensors").unlink()
            torch.save({}, tmp_path / "pytorch_model.bin")
            build_model("videomae_b", CLASSES, frames=4, size=32, pretrained=str(tmp_path), **options)

    def test_that_are_nowhere(self) -> None:
        with pytest.raises(EncoderUnavailableError, match="there is no folder nowhere; give the folder"):
            build_model("videomae_b", CLASSES, pretrained="nowhere")
        with pytest.raises(ValueError, match="names no weights of r3d_18"):
            build_model("r3d_18", CLASSES, pretrained="R3D")
