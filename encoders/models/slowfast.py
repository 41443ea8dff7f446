"""SlowFast: one pathway sees what there is, another how it moves.

Feichtenhofer et al. 2019, "SlowFast networks for video recognition", arXiv:1812.03982.
The slow pathway sees every alpha-th frame with many channels, the fast one every frame with a share
`beta` of the channels and no stride in time. After the stem and after res2, res3 and res4 a lateral
connection gives the slow pathway what the fast one has: a convolution over time (k x 1 x 1) with stride
alpha to twice the fast channels, laid beside the slow ones (section 3.4, "time-strided convolution").
Its output t is centred on frame t * alpha, the very frame that the slow pathway sees at t.

Shapes, for ResNet-50, a clip (B, 3, T, H, W), alpha and beta = 1/8; in brackets, what the lateral
connection adds to the slow channels (the paper's table 1):

              slow pathway                             fast pathway
    frames    (B, 3, T/alpha, H, W)                    (B, 3, T, H, W)
    stem      1x7x7  (B, 64 [+16], T/alpha, H/4, W/4)  5x7x7  (B, 8, T, H/4, W/4)
    res2      1x1x1  (B, 256 [+64], ..., H/4, W/4)     3x1x1  (B, 32, T, H/4, W/4)
    res3      1x1x1  (B, 512 [+128], ..., H/8, W/8)    3x1x1  (B, 64, T, H/8, W/8)
    res4      3x1x1  (B, 1024 [+256], ..., H/16, W/16) 3x1x1  (B, 128, T, H/16, W/16)
    res5      3x1x1  (B, 2048, T/alpha, H/32, W/32)    3x1x1  (B, 256, T, H/32, W/32)
    features  mean over places; the fast ones also over the alpha frames of a slow one:
              (B, T/alpha, 2048 + 256)

The kernel named is that of a bottleneck's first convolution; 1x3x3 and 1x1x1 follow. The mean of the
features over time is what the paper pools: the mean of either pathway over all of its frames.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from encoders.models.base import ModelInfo, VideoModel, check_clip, make_pool

SLOW_KERNELS = (1, 1, 3, 3)  # frames that the blocks of res2 to res5 span
FAST_KERNELS = (3, 3, 3, 3)
SLOW_STEM, FAST_STEM = 1, 5
EXPANSION = 4  # channels that leave a bottleneck for each within
LATERAL_RATIO = 2  # channels of a lateral connection for each of the fast pathway
SMALLEST = 32  # pixels: the network halves the size five times
FRAME_RULE = "a multiple of alpha frames, at least 32 pixels high and wide"


class Bottleneck(nn.Module):
    """k x 1 x 1, 1 x 3 x 3, 1 x 1 x 1 convolutions and a shortcut.

    (B, C, T, H, W) -> (B, 4 * inner, T, H / stride, W / stride).
    """

    def __init__(self, channels: int, inner: int, time_kernel: int, stride: int) -> None:
        super().__init__()
        out = EXPANSION * inner
        self.branch = nn.Sequential(
            *_convolution(channels, inner, (time_kernel, 1, 1)),
            nn.ReLU(inplace=True),
            *_convolution(inner, inner, (1, 3, 3), stride),
            nn.ReLU(inplace=True),
            *_convolution(inner, out, (1, 1, 1)),
        )
        has_shape = channels == out and stride == 1
        self.shortcut = (
            nn.Identity() if has_shape else nn.Sequential(*_convolution(channels, out, (1, 1, 1), stride))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        return self.relu(self.shortcut(maps) + self.branch(maps))


class Lateral(nn.Module):
    """Fast maps (B, C, T, H, W) -> (B, 2 * C, T / alpha, H, W) for the slow pathway."""

    def __init__(self, channels: int, alpha: int, time_kernel: int) -> None:
        super().__init__()
        out = LATERAL_RATIO * channels
        self.convolution = nn.Conv3d(
            channels,
            out,
            (time_kernel, 1, 1),
            stride=(alpha, 1, 1),
            padding=(time_kernel // 2, 0, 0),
            bias=False,
        )
        self.norm = nn.BatchNorm3d(out)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, fast: Tensor) -> Tensor:
        return self.relu(self.norm(self.convolution(fast)))


class SlowFast(VideoModel):
    """See this file's docstring.

    Args:
        num_classes: C.
        frames: T of the fast pathway that it will see; any other multiple of alpha is taken too.
        size: Height and width that it will see, likewise.
        alpha: Frames of the fast pathway for each of the slow one.
        beta: Channels of the fast pathway for each of the slow one; at least one is left.
        width: Channels of the slow pathway's stem, 64 in a ResNet.
        depth: Bottlenecks in res2 to res5: (3, 4, 6, 3) in a ResNet-50; a number for each the same.
        lateral_kernel: Frames that a lateral connection spans, odd: 5 in the paper, 7 in the published
            8 x 8 model.
        zero_init_residual: Whether every bottleneck starts as its shortcut (Goyal et al. 2017,
            arXiv:1706.02677), as in the published models. A short training is faster without.
        pooling: Over time: "mean" (the paper's), "max" or "attention".
        dropout: Share of the pooled features that is dropped in training.

    Raises:
        ValueError: An option or a T or size that it does not take.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int = 32,
        size: int = 224,
        *,
        alpha: int = 8,
        beta: float = 1 / 8,
        width: int = 64,
        depth: tuple[int, int, int, int] | list[int] | int = (3, 4, 6, 3),
        lateral_kernel: int = 5,
        zero_init_residual: bool = True,
        pooling: str = "mean",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if alpha < 1 or not 0 < beta <= 1 or width < 1:
            raise ValueError(
                f"SlowFast needs alpha and width of 1 or more and 0 < beta <= 1, got {alpha}, {width}, {beta}"
            )
        if lateral_kernel < 1 or lateral_kernel % 2 == 0:
            raise ValueError(f"a lateral connection spans an odd number of frames, got {lateral_kernel}")
        depths = (depth,) * 4 if isinstance(depth, int) else tuple(depth)
        if len(depths) != 4 or min(depths) < 1:
            raise ValueError(f"res2 to res5 need 1 or more bottlenecks each, got {depth}")
        self.alpha = alpha
        self._check(frames, size, size)
        fast_width = max(1, round(width * beta))
        slow_channels, fast_channels = width, fast_width
        self.slow_stem = _stem(width, SLOW_STEM)
        self.fast_stem = _stem(fast_width, FAST_STEM)
        self.laterals = nn.ModuleList()
        self.slow_stages = nn.ModuleList()
        self.fast_stages = nn.ModuleList()
        for stage, blocks in enumerate(depths):
            self.laterals.append(Lateral(fast_channels, alpha, lateral_kernel))
            slow_channels += LATERAL_RATIO * fast_channels
            inner, fast_inner = width * 2**stage, fast_width * 2**stage
            stride = 1 if stage == 0 else 2
            self.slow_stages.append(_stage(slow_channels, inner, blocks, SLOW_KERNELS[stage], stride))
            self.fast_stages.append(_stage(fast_channels, fast_inner, blocks, FAST_KERNELS[stage], stride))
            slow_channels, fast_channels = EXPANSION * inner, EXPANSION * fast_inner
        self.feature_dim = slow_channels + fast_channels
        self.pool = make_pool(pooling, self.feature_dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.feature_dim, num_classes)
        self._initialise(zero_init_residual)

    def forward_pathways(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """The output of res5 on either pathway.

        Args:
            clip: float32 (B, 3, T, H, W).

        Returns:
            Slow (B, D_slow, T / alpha, H / 32, W / 32) and fast (B, D_fast, T, H / 32, W / 32).
        """
        self._check(*clip.shape[2:])
        slow, fast = self.slow_stem(clip[:, :, :: self.alpha]), self.fast_stem(clip)
        for lateral, slow_stage, fast_stage in zip(
            self.laterals, self.slow_stages, self.fast_stages, strict=True
        ):
            slow = slow_stage(torch.cat([slow, lateral(fast)], dim=1))
            fast = fast_stage(fast)
        return slow, fast

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """(B, 3, T, H, W) -> (B, T / alpha, D_slow + D_fast)."""
        slow, fast = self.forward_pathways(clip)
        fast = fast.mean(dim=(3, 4)).unflatten(2, (-1, self.alpha)).mean(dim=3)
        return torch.cat([slow.mean(dim=(3, 4)), fast], dim=1).transpose(1, 2)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pool(features)))

    def _initialise(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck) and zero_init_residual:
                nn.init.zeros_(module.branch[-1].weight)  # type: ignore[arg-type]
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def _check(self, frames: int, height: int, width: int) -> None:
        fits = frames >= self.alpha and frames % self.alpha == 0 and min(height, width) >= SMALLEST
        check_clip(fits, frames, height, width, f"{FRAME_RULE}; alpha is {self.alpha}")


def _convolution(
    channels: int, out: int, kernel: tuple[int, int, int], stride: int = 1
) -> tuple[nn.Conv3d, nn.BatchNorm3d]:
    """A convolution that keeps T, and what normalises it."""
    padding = tuple(side // 2 for side in kernel)
    convolution = nn.Conv3d(channels, out, kernel, (1, stride, stride), padding, bias=False)  # type: ignore[arg-type]
    return convolution, nn.BatchNorm3d(out)


def _stem(out: int, time_kernel: int) -> nn.Sequential:
    """(B, 3, T, H, W) -> (B, out, T, H / 4, W / 4)."""
    return nn.Sequential(
        *_convolution(3, out, (time_kernel, 7, 7), stride=2),
        nn.ReLU(inplace=True),
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
    )


def _stage(channels: int, inner: int, blocks: int, time_kernel: int, stride: int) -> nn.Sequential:
    """Bottlenecks in a row; the first takes the stride and changes the channels."""
    first = Bottleneck(channels, inner, time_kernel, stride)
    rest = (Bottleneck(EXPANSION * inner, inner, time_kernel, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


_PAPER = "Feichtenhofer et al. 2019, arXiv:1812.03982"

MODELS: tuple[ModelInfo, ...] = (
    # 4 x 16: the slow pathway sees 4 frames, each 16th; the fast one 32, each 2nd.
    ModelInfo("slowfast_r50", SlowFast, _PAPER, frames=32, size=224, stride=2, frame_rule=FRAME_RULE),
    ModelInfo(
        "slowfast_r50_8x8",
        partial(SlowFast, alpha=4, lateral_kernel=7),
        _PAPER,
        frames=32,
        size=224,
        stride=2,
        frame_rule=FRAME_RULE,
    ),
    ModelInfo(
        "slowfast_tiny",
        partial(SlowFast, alpha=4, beta=2 / 3, width=12, depth=1, zero_init_residual=False, dropout=0.0),
        _PAPER,
        frames=8,
        size=32,
        stride=4,
        frame_rule=FRAME_RULE,
    ),
)
