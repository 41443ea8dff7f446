"""The transformer encoder that ViViT and TimeSformer are made of, and how it takes over an image ViT.

Dosovitskiy et al. 2021, "An image is worth 16x16 words", arXiv:2010.11929: layer norm before each part,
the part's result added to what came in. N below is the number of tokens, D their width.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.blocks.trunks import image_weights, load_image_weights

NORM_EPSILON = 1e-6
IMAGE_TRANSFORMER = "vit_b_16"  # of torchvision: 12 blocks of 768 with 12 heads, patches of 16
IMAGE_SHAPE = (768, 12, 12, 16)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762): (..., N, D) -> (..., N, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads cannot share a width of {width}; it must divide by them")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.flatten(0, -3).shape
        parts = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (batch, heads, N, D / heads)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(tokens.shape))


def make_mlp(width: int) -> nn.Sequential:
    """(..., D) -> (..., D) through 4 D."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class Block(nn.Module):
    """One layer: every token looks at every other, then each thinks for itself; (..., N, D) -> the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = make_mlp(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Encoder(nn.Module):
    """Layers one upon another, a class token before them if asked, and positions learned for each token.

    (B, N, D) -> (B, N + 1, D), the class token first, or (B, N, D) without one.
    """

    def __init__(self, count: int, width: int, depth: int, heads: int, *, class_token: bool = True) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        self.positions = nn.Parameter(torch.zeros(1, count + class_token, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.norm(self.blocks(tokens + self.positions))


def initialise(model: nn.Module) -> None:
    """Random weights as image transformers start with; zeros stay what is zero on purpose."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Encoder):
            nn.init.trunc_normal_(module.positions, std=0.02)
            if module.class_token is not None:
                nn.init.trunc_normal_(module.class_token, std=0.02)


def image_transformer(
    pretrained: str, size: int, shape: tuple[int, int, int, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A ViT-B/16 trained on images, its tensors under our names.

    Args:
        pretrained: A name of torchvision's, such as "ViT_B_16_Weights.IMAGENET1K_V1", or a file.
        size: Pixels of the frames; the positions are interpolated to it.
        shape: Width, depth, heads and patch of the model that is to take them.

    Returns:
        What an `Encoder` takes ("class_token", "positions", "blocks.0.norm1.weight", ...), and what cuts
        an image into patches ("weight" (D, 3, 16, 16), "bias" (D,)).

    Raises:
        ValueError: The model is none that they fit, or torchvision knows no such weights.
        EncoderUnavailableError: The weights cannot be had, or are not a ViT-B/16's.
    """
    if shape != IMAGE_SHAPE:
        raise ValueError(
            f"ImageNet weights are for width, depth, heads and patch {IMAGE_SHAPE}, got {shape}; "
            "build the model without pretrained"
        )
    from torchvision.models import vision_transformer

    state = image_weights(pretrained, IMAGE_TRANSFORMER)
    network = vision_transformer.vit_b_16(weights=None)
    load_image_weights(network, state, IMAGE_TRANSFORMER, pretrained)
    state = dict(vision_transformer.interpolate_embeddings(size, IMAGE_SHAPE[3], network.state_dict()))
    encoder = {"class_token": state["class_token"], "positions": state["encoder.pos_embedding"]}
    names = {
        "ln_1": "norm1", "ln_2": "norm2", "self_attention.in_proj_": "attention.qkv.",
        "self_attention.out_proj": "attention.out", "mlp.3": "mlp.2",
    }  # fmt: skip
    for key, value in state.items():
        if found := re.fullmatch(r"encoder\.layers\.encoder_layer_(\d+)\.(.+)", key):
            rest = found[2]
            for theirs, ours in names.items():
                rest = rest.replace(theirs, ours)
            encoder[f"blocks.{found[1]}.{rest}"] = value
        elif key.startswith("encoder.ln."):
            encoder[key.replace("encoder.ln.", "norm.")] = value
    return encoder, {"weight": state["conv_proj.weight"], "bias": state["conv_proj.bias"]}
