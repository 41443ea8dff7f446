"""ViViT: a transformer over tubelets, small blocks of space and time.

Arnab et al. 2021, "ViViT: a video vision transformer", arXiv:2103.15691. A clip is cut into tubelets of
t x p x p pixels (section 3.2), each mapped to a token. Two ways to attend (section 3.3), with n = (S / p)^2:

    clip (B, 3, T, S, S) --tubelets--> tokens (B, T' = T / t, n, D)

    "joint", model 1: all tokens look at all others.
        class token and tokens (B, 1 + T' n, D) --encoder--> (B, 1 + T' n, D)
    "factorised", model 2, the factorised encoder: first within each moment, then between the moments.
        class token and tokens of a moment (B * T', 1 + n, D) --spatial encoder--> class tokens (B, T', D)
        class token and moments (B, 1 + T', D) --temporal encoder--> (B, 1 + T', D)

    features: the class token (B, 1, D); with another pooling, the moments (B, T', D), means over space
    --linear--> logits (B, C)
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from encoders.blocks.transformer import Encoder, image_transformer, initialise
from encoders.models.base import ModelInfo, VideoModel, check_clip, make_pool

ATTENTIONS = ("joint", "factorised")
RULE = (
    "the T and size that it was built for (positions are learned): T a multiple of the tubelet's frames, "
    "the size a multiple of its pixels"
)
PAPER = "Arnab et al. 2021, arXiv:2103.15691"


class ViViT(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T, 32 in the paper.
        size: S in pixels, 224 in the paper.
        attention: "joint" or "factorised".
        width, depth, heads: D, layers and heads of the (spatial) encoder; 768, 12 and 12 in ViT-B.
        temporal_depth: Layers of the temporal encoder where attention is factorised.
        patch: p, pixels of a tubelet.
        tubelet: t, frames of a tubelet.
        pooling: "token" for a class token, or "mean", "max" or "attention" over the moments.
        pretrained: Weights of a ViT-B/16 trained on images, torchvision's name or a file: tubelets see
            what it saw in their middle frame, positions repeat over time (section 3.4).
        dropout: Share of features dropped before the classifier, in training.

    Raises:
        ValueError: An option, T or size is not as stated.
        EncoderUnavailableError: The weights cannot be had, or do not fit.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        attention: str = "factorised",
        width: int = 768,
        depth: int = 12,
        temporal_depth: int = 4,
        heads: int = 12,
        patch: int = 16,
        tubelet: int = 2,
        pooling: str = "token",
        pretrained: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(f"attention is {' or '.join(ATTENTIONS)}, got {attention!r}")
        self.built_for = (frames, size, size)
        divides = frames >= 1 and size >= 1 and frames % tubelet == 0 and size % patch == 0
        check_clip(divides, frames, size, size, RULE)
        self.moments, self.places = frames // tubelet, (size // patch) ** 2
        self.feature_dim = width
        self.embed = nn.Conv3d(3, width, (tubelet, patch, patch), stride=(tubelet, patch, patch))
        token = pooling == "token"
        self.temporal: Encoder | None = None
        if attention == "joint":
            self.encoder = Encoder(self.moments * self.places, width, depth, heads, class_token=token)
        else:
            self.encoder = Encoder(self.places, width, depth, heads)
            self.temporal = Encoder(self.moments, width, temporal_depth, heads, class_token=token)
        self.takes_token = token
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)
        initialise(self)
        self.pool = make_pool("mean" if token else pooling, width)
        if pretrained is not None:
            self._take_over(pretrained, size, (width, depth, heads, patch))

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, S, S) -> (B, 1, D) of the class token, or (B, T', D) of the moments."""
        frames, height, width = clip.shape[2:]
        check_clip((frames, height, width) == self.built_for, frames, height, width, RULE)
        tokens = self.embed(clip).flatten(3).permute(0, 2, 3, 1)  # (B, T', n, D)
        if self.temporal is None:
            seen = self.encoder(tokens.flatten(1, 2))
            if self.takes_token:
                return seen[:, :1]
            return seen.unflatten(1, (self.moments, self.places)).mean(dim=2)
        moments = self.encoder(tokens.flatten(0, 1))[:, 0].unflatten(0, (-1, self.moments))
        seen = self.temporal(moments)
        return seen[:, :1] if self.takes_token else seen

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, 1 or T', D) -> (B, C)."""
        return self.classifier(self.dropout(self.pool(features)))

    def _take_over(self, pretrained: str, size: int, shape: tuple[int, int, int, int]) -> None:
        state, patches = image_transformer(pretrained, size, shape)
        if self.encoder.class_token is None:
            del state["class_token"]
            state["positions"] = state["positions"][:, 1:]
        if self.temporal is None:
            first = 0 if self.encoder.class_token is None else 1
            repeated = state["positions"][:, first:].repeat(1, self.moments, 1)
            state["positions"] = torch.cat([state["positions"][:, :first], repeated], dim=1)
        self.encoder.load_state_dict(state, strict=True)
        with torch.no_grad():
            self.embed.weight.zero_()
            self.embed.weight[:, :, self.embed.kernel_size[0] // 2] = patches["weight"]
            self.embed.bias.copy_(patches["bias"])  # type: ignore[union-attr]


_tiny = partial(ViViT, width=64, depth=4, temporal_depth=2, heads=4, patch=8)
MODELS = (
    ModelInfo("vivit_b_16x2", partial(ViViT, attention="joint"), PAPER, 32, 224, 2, RULE),
    ModelInfo("vivit_b_16x2_fe", ViViT, PAPER, 32, 224, 2, RULE),
    ModelInfo("vivit_tiny", partial(_tiny, attention="joint"), PAPER, 8, 32, 4, RULE),
    ModelInfo("vivit_fe_tiny", _tiny, PAPER, 8, 32, 4, RULE),
)
