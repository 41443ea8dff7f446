"""TimeSformer: attention divided into time and space, within every layer.

Bertasius et al. 2021, "Is space-time attention all you need for video understanding?",
arXiv:2102.05095, section 3. Frames are cut into n = (S / p)^2 patches. In each layer a patch first looks
at the same place in all frames, then at all places of its own frame.

    clip (B, 3, T, S, S) --patches--> tokens (B, T, n, D), and a class token (B, 1, D)
    each layer, what it finds added to what came in:
        time   (B * n, T, D)      every place on its own; the class token stays out of it
        space  (B * T, 1 + n, D)  every frame on its own, the class token in each; its T answers averaged
        MLP    every token on its own
    features: the class token (B, 1, D); with another pooling, the frames (B, T, D), means over space
    --linear--> logits (B, C)
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from encoders.blocks.transformer import NORM_EPSILON, Attention, image_transformer, initialise, make_mlp
from encoders.models.base import ModelInfo, VideoModel, check_clip, make_pool

RULE = (
    "the T and size that it was built for (positions are learned): T of at least 1, the size a multiple "
    "of the patch"
)
PAPER = "Bertasius et al. 2021, arXiv:2102.05095"


class DividedBlock(nn.Module):
    """One layer: class token (B, 1, D) and patches (B, T, n, D) -> the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.time_attention = Attention(width, heads)
        self.time_out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = make_mlp(width)

    def forward(self, token: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames = patches.shape[:2]
        places = self.time_norm(patches).transpose(1, 2).flatten(0, 1)  # (B * n, T, D)
        over_time = self.time_out(self.time_attention(places))
        patches = patches + over_time.unflatten(0, (batch, -1)).transpose(1, 2)

        each = torch.cat([token.unsqueeze(1).expand(-1, frames, -1, -1), patches], dim=2)
        over_space = self.attention(self.norm1(each).flatten(0, 1)).unflatten(0, (batch, frames))
        token = token + over_space[:, :, 0].mean(dim=1, keepdim=True)
        patches = patches + over_space[:, :, 1:]
        return token + self.mlp(self.norm2(token)), patches + self.mlp(self.norm2(patches))


class TimeSformer(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T, 8 in the paper.
        size: S in pixels, 224 in the paper.
        width, depth, heads: D, layers and heads; 768, 12 and 12 in ViT-B.
        patch: p in pixels.
        pooling: "token" for the class token, or "mean", "max" or "attention" over the frames.
        pretrained: Weights of a ViT-B/16 trained on images, torchvision's name or a file; attention over
            time starts as a copy of the one over space, and is not heard at first.
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
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        patch: int = 16,
        pooling: str = "token",
        pretrained: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.built_for = (frames, size, size)
        check_clip(frames >= 1 and size >= 1 and size % patch == 0, frames, size, size, RULE)
        self.feature_dim = width
        self.embed = nn.Conv2d(3, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, width))
        self.moments = nn.Parameter(torch.zeros(1, frames, 1, width))
        self.blocks = nn.ModuleList(DividedBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.takes_token = pooling == "token"
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)
        initialise(self)
        self.pool = make_pool("mean" if self.takes_token else pooling, width)
        for start in (self.class_token, self.places, self.moments):
            nn.init.trunc_normal_(start, std=0.02)
        if pretrained is not None:
            self._take_over(pretrained, size, (width, depth, heads, patch))

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, S, S) -> (B, 1, D) of the class token, or (B, T, D) of the frames."""
        frames, height, width = clip.shape[2:]
        check_clip((frames, height, width) == self.built_for, frames, height, width, RULE)
        batch = len(clip)
        patches = self.embed(clip.transpose(1, 2).flatten(0, 1)).flatten(2).transpose(1, 2)
        patches = patches.unflatten(0, (batch, frames)) + self.places[:, None, 1:] + self.moments
        token = (self.class_token + self.places[:, :1]).expand(batch, -1, -1)
        for block in self.blocks:
            token, patches = block(token, patches)
        return self.norm(token) if self.takes_token else self.norm(patches).mean(dim=2)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, 1 or T, D) -> (B, C)."""
        return self.classifier(self.dropout(self.pool(features)))

    def _take_over(self, pretrained: str, size: int, shape: tuple[int, int, int, int]) -> None:
        state, patches = image_transformer(pretrained, size, shape)
        self.embed.load_state_dict(patches)
        own = {"places": state.pop("positions"), **state}
        for key in [key for key in own if ".attention." in key or ".norm1." in key]:
            for ours in ((".attention.", ".time_attention."), (".norm1.", ".time_norm.")):
                if ours[0] in key:
                    own[key.replace(*ours)] = own[key].clone()
        self.load_state_dict(own, strict=False)
        with torch.no_grad():
            self.moments.zero_()
            for block in self.blocks:  # so that it starts as the image network, frame by frame
                block.time_out.weight.zero_()  # type: ignore[union-attr,operator]


_tiny = partial(TimeSformer, width=64, depth=4, heads=4, patch=8)
MODELS = (
    ModelInfo("timesformer_b", TimeSformer, PAPER, 8, 224, 32, RULE),
    ModelInfo("timesformer_tiny", _tiny, PAPER, 8, 32, 4, RULE),
)
