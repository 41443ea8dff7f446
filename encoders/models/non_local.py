"""Non-local blocks: every place and moment looks at every other (Wang et al. 2018, arXiv:1711.07971).

    y_i = 1 / C(x) * sum_j f(x_i, x_j) g(x_j)          (the paper's equation 1)
    z_i = W_z y_i + x_i                                (equation 6)

over all positions i, j of a feature map (B, C, T, H, W), N = T * H * W of them. The three forms of f:

    gaussian            f = exp(x_i . x_j),                C(x) = sum_j f: a softmax over j
    embedded_gaussian   f = exp(theta(x_i) . phi(x_j)),    C(x) = sum_j f: a softmax over j
    dot_product         f = theta(x_i) . phi(x_j),         C(x) = N

theta, phi and g are 1x1x1 convolutions to half the channels (the bottleneck). The exponent is divided
by the square root of the channels, as the authors' code has it, or the softmax of a wide layer would
saturate. With `subsample`, phi and g are halved in height and width by a max pooling: a quarter of the
pairs. W_z is a 1x1x1 convolution with a batch norm behind it whose scale starts at zero, so that a
block changes nothing when it is put into a network that has learned already (section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from encoders.models.base import ModelInfo
from encoders.models.i3d import FRAME_RULE, I3D

KINDS = ("embedded_gaussian", "gaussian", "dot_product")


class NonLocalBlock(nn.Module):
    """(B, C, T, H, W) -> the same shape; at the start the identity, to the bit.

    Args:
        channels: C.
        kind: Form of f: "embedded_gaussian", "gaussian" or "dot_product".
        bottleneck: Channels of theta, phi and g; by default C / 2.
        subsample: Whether phi and g are max-pooled 1x2x2.
        norm: Whether a batch norm follows W_z; without it W_z itself starts at zero.

    Raises:
        ValueError: No such form, or no channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        kind: str = "embedded_gaussian",
        bottleneck: int | None = None,
        subsample: bool = True,
        norm: bool = True,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"there is no non-local block {kind!r}; expected one of {', '.join(KINDS)}")
        inner = max(channels // 2, 1) if bottleneck is None else bottleneck
        if channels < 1 or inner < 1:
            raise ValueError(f"a non-local block needs channels, got {channels} and {inner} within")
        self.kind = kind
        embeds = kind != "gaussian"
        self.theta = nn.Conv3d(channels, inner, 1) if embeds else nn.Identity()
        self.phi = nn.Conv3d(channels, inner, 1) if embeds else nn.Identity()
        self.g = nn.Conv3d(channels, inner, 1)
        # Rounded up, so that a map of one pixel is still a map.
        self.pool = nn.MaxPool3d((1, 2, 2), ceil_mode=True) if subsample else nn.Identity()
        self.w_z = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels) if norm else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.norm.weight if isinstance(self.norm, nn.BatchNorm3d) else self.w_z.weight)

    def forward(self, maps: Tensor) -> Tensor:
        queries = self.theta(maps).flatten(2).transpose(1, 2)  # (B, N, C')
        keys = self.pool(self.phi(maps)).flatten(2).transpose(1, 2)  # (B, N', C')
        values = self.pool(self.g(maps)).flatten(2).transpose(1, 2)  # (B, N', C / 2)
        if self.kind == "dot_product":
            # (theta phi^T) g = theta (phi^T g): the second takes N * C'^2 operations instead of N * N' * C'.
            seen = queries @ (keys.transpose(1, 2) @ values) / keys.shape[1]
        else:
            seen = functional.scaled_dot_product_attention(queries, keys, values)
        seen = seen.transpose(1, 2).unflatten(2, maps.shape[2:])  # (B, C / 2, T, H, W)
        return maps + self.norm(self.w_z(seen))


def insert_non_local(model: nn.Module, places: Sequence[str], **options: Any) -> list[NonLocalBlock]:
    """Puts a non-local block behind modules of any 3D CNN, which then computes the same as before.

    Args:
        model: Changed in place. The module at a place becomes a sequence of itself and the block: build
            the model and load weights into it first.
        places: Names of submodules, as `named_modules` has them, that give (B, C, T, H, W), such as
            ("res3.1", "res4.1") of an `I3D` or ("stages.5",), a pooling, of a `C3D`. C is that of the
            last 3D convolution in the module, or else before it.
        options: What `NonLocalBlock` takes beside the channels.

    Returns:
        The blocks, in the order of the places.

    Raises:
        ValueError: There is no module at a place, no 3D convolution up to it, or no place.
    """
    if not places:
        raise ValueError("no place for a non-local block was named, or the network is too shallow for one")
    blocks = {place: NonLocalBlock(_channels_at(model, place), **options) for place in places}
    for place, block in blocks.items():
        before = model.get_submodule(place)
        weight = next(model.parameters())
        block.to(weight.device, weight.dtype).train(before.training)
        model.set_submodule(place, nn.Sequential(before, block))
    return list(blocks.values())


def _channels_at(model: nn.Module, place: str) -> int:
    """Channels of the last 3D convolution within a module, or of the one that was defined before it."""
    modules = dict(model.named_modules())
    if place not in modules:
        raise ValueError(f"the model has no module {place!r} to put a non-local block behind")
    channels = 0
    inside = False
    for name, module in modules.items():
        if inside and not f"{name}.".startswith(f"{place}."):
            break
        inside = inside or name == place
        if isinstance(module, nn.Conv3d):
            channels = module.out_channels
    if channels == 0:
        raise ValueError(f"there is no 3D convolution up to {place!r}; name a layer or block of a 3D CNN")
    return channels


def every_block(model: I3D, step: int = 2) -> tuple[str, ...]:
    """Places behind every `step`-th residual block of res3 and res4.

    In ResNet-50 a step of 2 is the paper's network of 5 blocks, a step of 1 that of 10.
    """
    return tuple(
        f"{stage}.{index}"
        for stage in ("res3", "res4")
        for index in range(step - 1, len(model.get_submodule(stage)), step)  # type: ignore[arg-type]
    )


class NonLocalI3D(I3D):
    """An I3D with non-local blocks in res3 and res4; shapes as in `encoders.models.i3d`.

    Args:
        num_classes: C.
        frames: T that it will see.
        size: Height and width that it will see.
        step: A block behind every so many residual blocks of res3 and res4: 2 gives ResNet-50 the
            paper's 5 blocks, 1 its 10.
        kind: Form of f, see `NonLocalBlock`.
        subsample: Whether phi and g are max-pooled 1x2x2.
        resnet, pretrained, width, depth, time_padding, pooling, dropout: See `I3D`.

    Raises:
        ValueError: An option or a T or size that it does not take.
        EncoderUnavailableError: The weights cannot be had.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int = 8,
        size: int = 224,
        *,
        step: int = 2,
        kind: str = "embedded_gaussian",
        subsample: bool = True,
        resnet: str = "resnet50",
        pretrained: str | None = None,
        width: int = 16,
        depth: int = 1,
        time_padding: str = "replicate",
        pooling: str = "mean",
        dropout: float = 0.5,
    ) -> None:
        super().__init__(
            num_classes,
            frames,
            size,
            resnet=resnet,
            pretrained=pretrained,
            width=width,
            depth=depth,
            time_padding=time_padding,
            pooling=pooling,
            dropout=dropout,
        )
        if step < 1:
            raise ValueError(f"non-local blocks come behind every 1 or more residual blocks, got {step}")
        insert_non_local(self, every_block(self, step), kind=kind, subsample=subsample)


_PAPER = "Wang et al. 2018, arXiv:1711.07971"

MODELS: tuple[ModelInfo, ...] = (
    ModelInfo("i3d_r50_nl", NonLocalI3D, _PAPER, frames=8, size=224, stride=8, frame_rule=FRAME_RULE),
    ModelInfo(
        "i3d_nl_tiny",
        partial(NonLocalI3D, resnet="small", width=16, depth=1, dropout=0.0, step=1),
        _PAPER,
        frames=8,
        size=32,
        stride=4,
        frame_rule=FRAME_RULE,
    ),
)
