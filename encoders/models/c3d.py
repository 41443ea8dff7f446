"""C3D, a 3D CNN: space and time shrink together, layer by layer ("slow fusion").

Tran et al. 2015, "Learning spatiotemporal features with 3D convolutional networks", arXiv:1412.0767,
section 3.2. Eight 3x3x3 convolutions, five max-poolings (the first leaves time alone, so that motion is
not merged too early), two fully connected layers of 4096. At the paper's 16 frames of 112 x 112:

    clip         (B,   3, 16, 112, 112)
    conv1a       (B,  64, 16, 112, 112)   pool1 (B,  64, 16, 56, 56)
    conv2a       (B, 128, 16,  56,  56)   pool2 (B, 128,  8, 28, 28)
    conv3a, 3b   (B, 256,  8,  28,  28)   pool3 (B, 256,  4, 14, 14)
    conv4a, 4b   (B, 512,  4,  14,  14)   pool4 (B, 512,  2,  7,  7)
    conv5a, 5b   (B, 512,  2,   7,   7)   pool5 (B, 512,  1,  4,  4), as the last pooling rounds up
    fc6          (B, 4096)                fc7   (B, 4096)               logits (B, C)

What is taken as a clip's feature is fc6, as in the paper's section 4.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from encoders.models.base import ModelInfo, VideoModel, check_clip

CONVOLUTIONS = (1, 1, 2, 2, 2)  # in each stage
WIDTHS = (1, 2, 4, 8, 8)  # of each stage, times the first one's
RULE = "the T and size that it was built for (fc6 fixes both): at least 2 frames and 32 pixels"
PAPER = "Tran et al. 2015, arXiv:1412.0767"


class C3D(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T, 16 in the paper.
        size: Pixels, 112 in the paper.
        width: Channels of the first stage.
        depth: Stages, 5 in the paper; each but the first halves T, each halves the size.
        hidden: Width of fc6 and fc7.
        batch_norm: Normalises after each convolution (Ioffe & Szegedy 2015, arXiv:1502.03167). The
            paper does not; from random weights it learns many times faster with it.
        dropout: Share dropped after fc6 and fc7, in training.

    Raises:
        ValueError: An option, T or size is not as stated.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        width: int = 64,
        depth: int = 5,
        hidden: int = 4096,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if not 1 <= depth <= len(WIDTHS):
            raise ValueError(f"C3D has 1 to {len(WIDTHS)} stages, got {depth}")
        self.built_for = (frames, size, size)
        self._check(frames, size, size)
        self.feature_dim = hidden
        stages: list[nn.Module] = []
        channels = 3
        for stage in range(depth):
            wider = width * WIDTHS[stage]
            for _ in range(CONVOLUTIONS[stage]):
                stages += _convolution(channels, wider, batch_norm)
                channels = wider
            pool = (2 if stage else 1, 2, 2)
            stages.append(nn.MaxPool3d(pool, stride=pool, ceil_mode=True))
            frames, size = -(-frames // pool[0]), -(-size // 2)
        self.stages = nn.Sequential(*stages)
        self.fc6 = nn.Linear(channels * frames * size * size, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.classifier = nn.Linear(hidden, num_classes)
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) -> fc6 after its ReLU, (B, 1, hidden)."""
        self._check(*clip.shape[2:])
        return self.fc6(self.stages(clip).flatten(1)).relu().unsqueeze(1)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, 1, hidden) -> (B, C)."""
        seventh = self.fc7(self.dropout(features.mean(dim=1))).relu()
        return self.classifier(self.dropout(seventh))

    def _check(self, frames: int, height: int, width: int) -> None:
        fits = (frames, height, width) == self.built_for and frames >= 2 and min(height, width) >= 32
        check_clip(fits, frames, height, width, RULE)


def _convolution(channels: int, wider: int, batch_norm: bool) -> list[nn.Module]:
    convolution = nn.Conv3d(channels, wider, 3, padding=1, bias=not batch_norm)
    if batch_norm:
        return [convolution, nn.BatchNorm3d(wider), nn.ReLU(inplace=True)]
    return [convolution, nn.ReLU(inplace=True)]


MODELS = (
    ModelInfo("c3d", C3D, PAPER, 16, 112, 1, RULE),
    ModelInfo(
        "c3d_tiny",
        partial(C3D, width=8, depth=4, hidden=128, batch_norm=True, dropout=0.2),
        PAPER,
        8,
        32,
        4,
        RULE,
    ),
)
