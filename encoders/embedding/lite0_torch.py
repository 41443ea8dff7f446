"""EfficientNet-Lite0 in torch: on graphics cards, and where ONNX Runtime cannot be had."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.embedding.lite0 import CLASS_COUNT, SIDE, VISUAL_DIM, FoldedLayer, Lite0Weights, quarters
from encoders.embedding.preprocessing import squash
from encoders.weights.device import core_count, frame_batches, mixed_precision


class TorchLite0:
    """The network on a device."""

    def __init__(self, weights: Lite0Weights, device: torch.device) -> None:
        self._network = Lite0Network(weights).to(device)
        self._device = device
        if device.type == "cpu":
            torch.set_num_threads(core_count())  # of this thread, which may share the cores

    def __call__(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean activations and logits; see `encoders.embedding.lite0`."""
        visual = np.empty((len(frames), VISUAL_DIM), np.float32)
        logits = np.empty((len(frames), 5, CLASS_COUNT), np.float32)
        with torch.inference_mode():
            for stretch in frame_batches(len(frames), self._device):
                pixels = np.stack([squash(frame, SIDE) for frame in frames[stretch]])
                images = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float()
                with mixed_precision(self._device, torch.float16):  # ReLU6 keeps it in half's range
                    found = self._network(images.mul_(2.0 / 255.0).sub_(1.0))
                visual[stretch], logits[stretch] = (one.float().cpu().numpy() for one in found)
        return visual, logits


class Lite0Network(nn.Module):
    """Layers and their order, for inference."""

    def __init__(self, weights: Lite0Weights) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(*map(_FoldedConvolution, layers)) for layers, _ in weights.blocks
        )
        self.residual = tuple(residual for _, residual in weights.blocks)
        self.classifier = nn.Linear(VISUAL_DIM, CLASS_COUNT)
        with torch.no_grad():
            for own, given in zip(self.classifier.parameters(), weights.classifier, strict=True):
                own.copy_(torch.tensor(given))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean activations (T, 1280) and logits (T, 5, 1000).

        Args:
            images: float (T, 3, S, S), normalised with mean 0.5 and standard deviation 0.5.
        """
        for block, residual in zip(self.blocks, self.residual, strict=True):
            images = block(images).add_(images) if residual else block(images)
        features = images.mean(dim=(2, 3))
        parts = [images[:, :, rows, columns].mean(dim=(2, 3)) for rows, columns in quarters(images.shape[2])]
        return features, self.classifier(torch.stack([features, *parts], dim=1))


class _FoldedConvolution(nn.Module):
    """A layer; see `FoldedLayer`.

    Convolutions pad evenly, and padding by hand copies every activation (a fifth of the whole run time). So
    at stride 2 the kernel grows a leading row and column of zeros instead: it then starts one pixel earlier,
    and even padding does the same.
    """

    def __init__(self, folded: FoldedLayer) -> None:
        super().__init__()
        layer, weight = folded.layer, torch.tensor(folded.weight)
        if layer.stride == 2:
            weight = functional.pad(weight, (1, 0, 1, 0))
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(torch.tensor(folded.bias), requires_grad=False)
        self.padding, self.stride = layer.kernel // 2, layer.stride
        self.groups = layer.channels_in if layer.depthwise else 1
        self.clamped = layer.clamped

    def forward(self, images: Tensor) -> Tensor:
        images = functional.conv2d(
            images, self.weight, self.bias, self.stride, self.padding, groups=self.groups
        )
        return images.clamp_(0.0, 6.0) if self.clamped else images
