"""2D networks that look at one frame at a time: torchvision's ResNets, and a small one of our own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import check_checkpoint, first_line, is_checkpoint_path

TRUNKS = ("resnet18", "resnet50", "small")
GRID = 4  # places a side that the small network tells apart
SMALLEST = 32  # pixels; every trunk halves the size up to five times


class SmallTrunk(nn.Module):
    """A few 3x3 convolutions, each halving the size and doubling the width, then a linear layer.

    (B, C, H, W) -> (B, width * 2^depth). The linear layer reads means over a grid of 4 x 4 places, as the
    fully connected layers of the networks of 2014 did: a mean over all places would forget where things
    are, and with it, from frame to frame, that they move.
    """

    def __init__(self, in_channels: int = 3, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage in range(depth):
            wider = width * 2**stage
            layers += [
                nn.Conv2d(channels, wider, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wider),
                nn.ReLU(inplace=True),
            ]
            channels = wider
        self.stages = nn.Sequential(*layers)
        self.grid = nn.AdaptiveAvgPool2d(GRID)
        self.dim = 2 * channels
        self.linear = nn.Linear(channels * GRID**2, self.dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        return self.linear(self.grid(self.stages(frames)).flatten(1)).relu()


class ResNetTrunk(nn.Module):
    """torchvision's ResNet without its classifier (He et al. 2016, arXiv:1512.03385).

    (B, C, H, W) -> (B, 512) for resnet18, (B, 2048) for resnet50.
    """

    def __init__(self, name: str, in_channels: int = 3, pretrained: str | None = None) -> None:
        super().__init__()
        from torchvision.models import get_model

        network = get_model(name, weights=None)
        self.dim = int(network.fc.in_features)
        if pretrained is not None:
            state = image_weights(pretrained, name)
            load_image_weights(network, state, name, pretrained)
        if in_channels != 3:
            network.conv1 = _with_channels(network.conv1, in_channels, keep=pretrained is not None)
        network.fc = nn.Identity()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        return self.network(frames)


def make_trunk(
    name: str, *, in_channels: int = 3, pretrained: str | None = None, width: int = 16, depth: int = 3
) -> SmallTrunk | ResNetTrunk:
    """A 2D network from images (B, in_channels, H, W) to features (B, dim).

    Args:
        name: "resnet18", "resnet50" or "small".
        in_channels: Channels of an image: 3, or more where frames or flow are stacked.
        pretrained: ImageNet weights for a ResNet: a name of torchvision's ("ResNet18_Weights.IMAGENET1K_V1")
            or a file. With other than 3 channels, the first convolution's weights are averaged over RGB
            and repeated (Wang et al. 2016, arXiv:1608.00859, section 3.3), scaled to keep their sum.
        width: Channels of the small network's first stage.
        depth: Stages of the small network, each halving the size, at most 5.

    Raises:
        ValueError: No such trunk, or weights of another one.
        EncoderUnavailableError: The weights cannot be had or are damaged.
    """
    if name not in TRUNKS:
        raise ValueError(f"there is no trunk {name!r}; expected one of {', '.join(TRUNKS)}")
    if name != "small":
        return ResNetTrunk(name, in_channels, pretrained)
    if pretrained is not None:
        raise ValueError("there are no ImageNet weights for the trunk 'small'; use resnet18 or resnet50")
    if not 1 <= depth <= 5:
        raise ValueError(f"the trunk 'small' has 1 to 5 stages, got {depth}")
    return SmallTrunk(in_channels, width, depth)


def image_weights(pretrained: str, architecture: str) -> dict[str, Tensor]:
    """The state dict of an image network, from torchvision or from a file.

    Args:
        pretrained: A name of torchvision's, such as "ResNet50_Weights.IMAGENET1K_V2", or a path.
        architecture: torchvision's name of the network that they are for, such as "resnet50".

    Raises:
        ValueError: torchvision knows no such weights, or they are another network's.
        EncoderUnavailableError: The file is missing or damaged, or the weights cannot be fetched.
    """
    if is_checkpoint_path(pretrained):
        from encoders.weights.state_dicts import read_state_dict

        return read_state_dict(check_checkpoint(Path(pretrained)))
    from torchvision.models import get_model_weights, get_weight

    known = [str(weights) for weights in get_model_weights(architecture)]
    if pretrained not in known:
        raise ValueError(
            f"{pretrained!r} names no weights of {architecture}; expected a file or one of {', '.join(known)}"
        )
    try:
        return dict(get_weight(pretrained).get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network, or not what was promised
        raise EncoderUnavailableError(
            f"the weights {pretrained} cannot be fetched: {first_line(error)}; fetch them where there is a "
            "network and give the path of the file"
        ) from error


def load_image_weights(network: nn.Module, state: dict[str, Tensor], architecture: str, source: str) -> None:
    """Fills a 2D network with ImageNet weights; a classifier for other than its classes is left out.

    Raises:
        EncoderUnavailableError: The weights do not fit.
    """
    own = network.state_dict()
    head = [key for key in own if key.startswith(("fc.", "heads."))]
    state = {key: own[key] if key in head else value for key, value in state.items()}
    state.update({key: own[key] for key in head})
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EncoderUnavailableError(
            f"the weights {source} do not fit {architecture}: {first_line(error)}; name those of this network"
        ) from error


def _with_channels(first: nn.Conv2d, channels: int, *, keep: bool) -> nn.Conv2d:
    """The same convolution over other channels; `keep` carries over what it has learned."""
    wider = nn.Conv2d(channels, first.out_channels, 7, stride=2, padding=3, bias=False)
    with torch.no_grad():
        if keep:
            # As many channels as there are now share what three did: the sum stays what it was.
            mean = first.weight.mean(dim=1, keepdim=True) * (3 / channels)
            wider.weight.copy_(mean.expand_as(wider.weight))
        else:
            nn.init.kaiming_normal_(wider.weight, mode="fan_out", nonlinearity="relu")
    return wider


def over_frames(trunk: nn.Module, clip: Tensor) -> Tensor:
    """A 2D network over every frame of a clip: (B, C, T, H, W) -> (B, T, D)."""
    batch, _, frames = clip.shape[:3]
    return trunk(clip.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, frames))
