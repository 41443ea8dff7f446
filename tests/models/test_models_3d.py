"""I3D, non-local blocks and SlowFast: what their papers say of them holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model
from torchvision.models.resnet import ResNet
from torchvision.ops import FrozenBatchNorm2d

from encoders.blocks.inflation import inflate_resnet, make_resnet, resnet_names
from encoders.errors import EncoderUnavailableError
from encoders.models import i3d, non_local, slowfast
from encoders.models.base import VideoModel
from encoders.models.c3d import C3D
from encoders.models.i3d import I3D, TwoStreamI3D
from encoders.models.non_local import KINDS, NonLocalBlock, NonLocalI3D, insert_non_local
from encoders.models.slowfast import SlowFast

INFOS = {info.name: info for module in (i3d, non_local, slowfast) for info in module.MODELS}
TINY = [name for name in INFOS if name.endswith("_tiny")]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def lived_in(network: nn.Module) -> nn.Module:
    """Gives every batch norm the statistics and scales of a network that has seen something."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def tiny(name: str, classes: int = 3, **options: object) -> VideoModel:
    info = INFOS[name]
    return info.build(classes, info.frames, info.size, **options)


def inputs(
    name: str, batch: int = 2, frames: int | None = None, size: int | None = None
) -> tuple[Tensor, ...]:
    info = INFOS[name]
    frames, size = frames or info.frames, size or info.size
    clip = torch.randn(batch, 3, frames, size, size)
    return (clip, torch.rand(batch, 2, frames - 1, size, size) * 2 - 1) if info.needs_flow else (clip,)


def flat_features(network: ResNet, images: Tensor) -> Tensor:
    """The features that torchvision's network classifies: (B, 3, H, W) -> (B, D)."""
    return nn.Sequential(*list(network.children())[:-1])(images).flatten(1)


def still(images: Tensor, frames: int) -> Tensor:
    return images.unsqueeze(2).repeat(1, 1, frames, 1, 1)


# Inflation


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("frames", [2, 5, 8])
@torch.no_grad()
def test_i3d_on_a_still_gives_the_features_of_the_2d_network(name: str, frames: int, tmp_path: Path) -> None:
    flat = lived_in(get_model(name, weights=None))
    save_file(flat.state_dict(), tmp_path / "flat.safetensors")
    inflated = I3D(5, resnet=name, pretrained=str(tmp_path / "flat.safetensors")).eval()
    images = torch.randn(2, 3, 32, 64)
    expected = flat_features(flat, images)
    features = inflated.forward_features(still(images, frames))
    assert features.shape == (2, frames // 2, expected.shape[1])
    assert expected.std() > 0.1  # or else the tolerance would say nothing
    torch.testing.assert_close(features, expected[:, None].expand_as(features), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["resnet34", "resnext50_32x4d"])
@torch.no_grad()
def test_any_resnet_inflates_whole(name: str) -> None:
    flat = lived_in(get_model(name, weights=None, num_classes=7))
    images = torch.randn(1, 3, 64, 64)
    logits = flat(images)
    inflated = inflate_resnet(flat)
    torch.testing.assert_close(
        inflated(still(images, 4)), logits, atol=1e-4 * float(logits.abs().max()), rtol=0
    )
    assert torch.equal(flat(images), logits)  # the 2D network is left as it was


def test_dilated_and_differently_normalised_networks_inflate_or_say_why_not() -> None:
    dilated = lived_in(get_model("resnet50", replace_stride_with_dilation=[False, True, True]))
    grouped = get_model("resnet18", norm_layer=lambda channels: nn.GroupNorm(8, channels)).eval()
    images = torch.randn(1, 3, 64, 64)
    for flat in (dilated, grouped):
        with torch.no_grad():
            logits = flat(images)
            got = inflate_resnet(flat)(still(images, 3))
        torch.testing.assert_close(got, logits, atol=1e-4 * max(1.0, float(logits.abs().max())), rtol=0)
    with pytest.raises(ValueError, match="FrozenBatchNorm2d"):
        inflate_resnet(get_model("resnet18", norm_layer=FrozenBatchNorm2d))


@torch.no_grad()
def test_zeros_in_time_keep_the_features_in_the_middle_alone() -> None:
    """A kernel of 5 and eight of 3 reach 2 + 8 frames: farther than that from the ends all is well."""
    flat = lived_in(get_model("resnet18", weights=None))
    images = torch.randn(1, 3, 32, 32)
    network = inflate_resnet(flat, stage_kernels=((3,), (3,), (3,), (3,)), time_padding="zeros")
    maps = network.relu(network.bn1(network.conv1(still(images, 23))))
    for stage in (network.maxpool, network.layer1, network.layer2, network.layer3, network.layer4):
        maps = stage(maps)
    off = (maps.mean(dim=(3, 4)) - flat_features(flat, images)[:, :, None]).abs().amax(dim=(0, 1))
    assert off[10:-10].max() < 1e-4
    assert min(off[0], off[-1]) > 0.1
    assert min(off[3], off[-4]) > 1e-3  # it spreads inwards


def test_random_kernels_are_another_at_each_frame() -> None:
    """Or else the network would see the same backwards as forwards at the start."""
    model = tiny("i3d_tiny").eval()
    (clip,) = inputs("i3d_tiny")
    stem = model.stem[0].weight  # type: ignore[index]
    assert not torch.allclose(stem[:, :, 0], stem[:, :, 4])
    with torch.no_grad():
        forwards, backwards = (model.forward_features(seen).mean(dim=1) for seen in (clip, clip.flip(2)))
    assert (forwards - backwards).abs().max() > 1e-3


@torch.no_grad()
def test_weights_are_repeated_and_divided_by_the_span() -> None:
    flat = get_model("resnet50", weights=None)
    network = inflate_resnet(flat)
    assert network.conv1.weight.shape == (64, 3, 5, 7, 7)
    for step in range(5):
        torch.testing.assert_close(network.conv1.weight[:, :, step] * 5, flat.conv1.weight)
    spans = [
        [block.conv1.kernel_size[0] for block in stage]
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4)
    ]
    assert spans == [[3, 3, 3], [3, 1, 3, 1], [3, 1, 3, 1, 3, 1], [1, 3, 1]]
    others = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv3d) and not name.endswith("conv1")
    ]
    assert {module.kernel_size[0] for module in others} == {1}


def test_what_cannot_be_inflated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="odd number of frames, got 4"):
        inflate_resnet(get_model("resnet18"), stem_kernel=4)
    with pytest.raises(ValueError, match="no padding 'mirror'"):
        I3D(3, resnet="small", time_padding="mirror")
    with pytest.raises(ValueError, match="no ResNet 'vgg11'"):
        I3D(3, resnet="vgg11")
    with pytest.raises(ValueError, match="no ImageNet weights"):
        I3D(3, resnet="small", pretrained="ResNet18_Weights.IMAGENET1K_V1")
    with pytest.raises(ValueError, match=r"ResNet18_Weights\.IMAGENET1K_V1"):
        I3D(3, resnet="resnet18", pretrained="ResNet18_Weights.IMAGENET22K")
    save_file(get_model("resnet34").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(EncoderUnavailableError, match="resnet18"):
        I3D(3, resnet="resnet18", pretrained=str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="width and a depth"):
        make_resnet("small", depth=0)


def test_all_resnets_of_torchvision_are_known() -> None:
    assert {"resnet18", "resnet50", "resnet152", "resnext101_64x4d", "wide_resnet101_2"} <= set(
        resnet_names()
    )
    assert not {"regnet_y_400mf", "vgg11", "r3d_18"} & set(resnet_names())


# Two streams


@torch.no_grad()
def test_two_stream_i3d_averages_what_its_streams_would_say_alone() -> None:
    model = lived_in(tiny("i3d_two_stream_tiny", 4))
    assert isinstance(model, TwoStreamI3D)
    nn.init.normal_(model.rgb.classifier.weight)
    nn.init.normal_(model.motion.classifier.weight)
    clip, flow = inputs("i3d_two_stream_tiny")
    rgb = model.rgb(clip).softmax(dim=1)
    motion = model.motion(torch.cat([flow, flow[:, :, -1:]], dim=2)).softmax(dim=1)
    assert (rgb - motion).abs().max() > 0.1
    torch.testing.assert_close(model(clip, flow).softmax(dim=1), (rgb + motion) / 2)
    model.fusion = "logits"
    torch.testing.assert_close(model(clip, flow).softmax(dim=1), (rgb * motion).sqrt().log().softmax(dim=1))


def test_two_stream_i3d_wants_flow_that_belongs_to_the_clip() -> None:
    model = tiny("i3d_two_stream_tiny")
    clip, flow = inputs("i3d_two_stream_tiny")
    assert model.needs_flow
    with pytest.raises(ValueError, match="optical flow"):
        model(clip)
    with pytest.raises(ValueError, match="optical flow"):
        model(clip, flow[:, :, :-1])
    with pytest.raises(ValueError, match="no fusion 'sum'"):
        tiny("i3d_two_stream_tiny", fusion="sum")
    model(clip, flow).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_the_flow_stream_knows_the_mean_of_the_colours(tmp_path: Path) -> None:
    flat = get_model("resnet18", weights=None)
    save_file(flat.state_dict(), tmp_path / "flat.safetensors")
    model = TwoStreamI3D(3, resnet="resnet18", pretrained=str(tmp_path / "flat.safetensors"))
    grey = flat.conv1.weight.mean(dim=1)
    got = model.motion.stem[0].weight.sum(dim=2)  # over time
    for channel in range(2):
        ratio = got[:, channel] / grey
        torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio), atol=1e-3, rtol=1e-3)


# Non-local


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", [True, False])
def test_a_non_local_block_starts_as_nothing_and_learns(kind: str, norm: bool) -> None:
    block = NonLocalBlock(8, kind=kind, norm=norm)
    maps = torch.randn(2, 8, 3, 5, 4).relu()
    assert torch.equal(block(maps), maps)
    target = maps.flip(dims=(2,))
    optimiser = torch.optim.SGD(block.parameters(), lr=1.0)
    for step in range(3):
        optimiser.zero_grad()
        functional.mse_loss(block(maps), target).backward()
        last = block.norm.weight if norm else block.w_z.weight
        assert last.grad is not None
        assert last.grad.abs().sum() > 0
        if step:  # once the last layer is no longer zero, what lies before it learns
            assert block.g.weight.grad is not None
            assert block.g.weight.grad.abs().sum() > 0
        optimiser.step()
    assert not torch.equal(block(maps), maps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("subsample", [True, False])
@torch.no_grad()
def test_a_non_local_block_is_equation_1(kind: str, subsample: bool) -> None:
    """Written out position by position, in float64."""
    block = NonLocalBlock(4, kind=kind, subsample=subsample).double().eval()
    for module in (block.theta, block.phi, block.g, block.w_z):
        if isinstance(module, nn.Conv3d):
            nn.init.normal_(module.weight)
    nn.init.normal_(block.norm.weight)
    maps = torch.randn(1, 4, 2, 3, 3, dtype=torch.float64)

    queries = block.theta(maps).flatten(2)[0].T
    rows = (slice(0, 2), slice(2, 3))

    def pooled(module: nn.Module) -> Tensor:
        embedded = module(maps)[0]
        if not subsample:
            return embedded.flatten(1).T
        # Rows and columns 0 and 1, and what is left.
        cells = [embedded[:, t, y, x].amax(dim=(1, 2)) for t in range(2) for y in rows for x in rows]
        return torch.stack(cells)

    keys, values = pooled(block.phi), pooled(block.g)
    y = torch.zeros(len(queries), values.shape[1], dtype=torch.float64)
    for i, query in enumerate(queries):
        if kind == "dot_product":
            weights = torch.stack([query @ key for key in keys]) / len(keys)
        else:
            powers = torch.stack([torch.exp(query @ key / len(key) ** 0.5) for key in keys])
            weights = powers / powers.sum()
        y[i] = sum(weight * value for weight, value in zip(weights, values, strict=True))
    z = maps + block.norm(block.w_z(y.T.reshape(1, -1, 2, 3, 3)))
    torch.testing.assert_close(block(maps), z)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_put_into_a_trained_i3d_change_nothing_to_the_bit(kind: str) -> None:
    model = tiny("i3d_tiny", depth=2)
    lived_in(model)
    (clip,) = inputs("i3d_tiny")
    with torch.no_grad():
        before = model(clip)
        blocks = insert_non_local(model, ("res3.1", "res4.0"), kind=kind)
        assert torch.equal(model(clip), before)
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        functional.cross_entropy(model(clip), torch.tensor([0, 1])).backward()
        optimiser.step()
    for block in blocks:
        assert block.norm.weight.abs().sum() > 0
        assert block.g.weight.grad is not None
        assert block.g.weight.grad.abs().sum() > 0
    maps = torch.rand(1, blocks[0].w_z.out_channels, 2, 4, 4)
    assert not torch.equal(blocks[0](maps), maps)


def test_blocks_go_into_a_c3d() -> None:
    model = C3D(3, 8, 32, width=4, depth=3, hidden=16).eval()
    clip = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        before = model(clip)
        pools = [name for name, module in model.named_modules() if isinstance(module, nn.MaxPool3d)]
        blocks = insert_non_local(model, pools[1:])
        assert torch.equal(model(clip), before)
    assert [block.w_z.out_channels for block in blocks] == [8, 16]
    model(clip).sum().backward()
    assert all(block.norm.weight.grad.abs().sum() > 0 for block in blocks)  # type: ignore[union-attr]


def test_places_that_do_not_exist_are_refused() -> None:
    model = tiny("i3d_tiny")
    with pytest.raises(ValueError, match=r"no module 'res3\.7'"):
        insert_non_local(model, ("res3.7",))
    with pytest.raises(ValueError, match="no place"):
        NonLocalI3D(3, 8, 32, resnet="small", depth=1, step=2)
    with pytest.raises(ValueError, match="1 or more residual blocks, got 0"):
        NonLocalI3D(3, 8, 32, resnet="small", step=0)
    with pytest.raises(ValueError, match="no non-local block 'concat'"):
        NonLocalBlock(8, kind="concat")
    with pytest.raises(ValueError, match="no 3D convolution"):
        insert_non_local(nn.Sequential(nn.ReLU()), ("0",))


def test_resnet50_gets_the_papers_5_or_10_blocks() -> None:
    with torch.device("meta"):
        five, ten = NonLocalI3D(3), NonLocalI3D(3, step=1)
    places = [name for name, module in five.named_modules() if isinstance(module, NonLocalBlock)]
    assert places == ["res3.1.1", "res3.3.1", "res4.1.1", "res4.3.1", "res4.5.1"]
    assert sum(isinstance(module, NonLocalBlock) for module in ten.modules()) == 10


# SlowFast


def test_lateral_connections_carry_gradient_from_the_slow_pathway_to_the_fast_one() -> None:
    model = tiny("slowfast_tiny")
    assert isinstance(model, SlowFast)
    lived_in(model).train()  # scales that are not zero, as after the first steps of training
    (clip,) = inputs("slowfast_tiny")
    slow, _ = model.forward_pathways(clip)
    slow.square().mean().backward()
    carried = [
        *model.fast_stem.parameters(),
        *model.laterals.parameters(),
        *model.fast_stages[:3].parameters(),
    ]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in carried if p.ndim > 1)
    # Nothing leads from the fast pathway's res5 to the slow one.
    assert all(parameter.grad is None for parameter in model.fast_stages[3].parameters())


@torch.no_grad()
def test_the_slow_pathway_sees_each_alphath_frame_and_laterals_are_centred_on_it() -> None:
    """One frame is changed: which steps of the slow pathway's first input notice?"""
    model = lived_in(SlowFast(3, 16, 32, alpha=4, beta=1 / 4, width=8, depth=1, lateral_kernel=5))
    clip = torch.randn(1, 3, 16, 32, 32)

    def slow_inputs(clip: Tensor) -> list[Tensor]:
        seen: list[Tensor] = []
        hooks = [
            module.register_forward_hook(lambda _, __, output: seen.append(output))
            for module in (model.slow_stem, model.laterals[0])
        ]
        model(clip)
        for hook in hooks:
            hook.remove()
        return seen

    before, lateral_before = slow_inputs(clip)
    changed = clip.clone()
    changed[:, :, 8] += 1
    after, lateral_after = slow_inputs(changed)
    assert ((after - before).abs().amax(dim=(0, 1, 3, 4)) > 0).tolist() == [False, False, True, False]
    # The stem of 5 and the connection of 5 reach 4 frames to either side: steps on frames 4, 8 and 12.
    noticed = (lateral_after - lateral_before).abs().amax(dim=(0, 1, 3, 4)) > 0
    assert noticed.tolist() == [False, True, True, True]


@torch.no_grad()
def test_slowfast_pools_either_pathway_over_all_its_frames() -> None:
    model = lived_in(tiny("slowfast_tiny"))
    assert isinstance(model, SlowFast)
    (clip,) = inputs("slowfast_tiny", frames=16)
    slow, fast = model.forward_pathways(clip)
    assert (slow.shape[2], fast.shape[2]) == (4, 16)
    pooled = torch.cat([slow.mean(dim=(2, 3, 4)), fast.mean(dim=(2, 3, 4))], dim=1)
    torch.testing.assert_close(model(clip), model.classifier(pooled))


def test_a_bottleneck_starts_as_its_shortcut() -> None:
    model = SlowFast(3, 8, 32, width=8, depth=2).eval()
    block = model.slow_stages[0][1]  # type: ignore[index]
    maps = torch.rand(1, 32, 2, 4, 4)
    assert torch.equal(block(maps), maps)
    eager = tiny("slowfast_tiny", depth=2).eval()  # type: ignore[assignment]
    maps = torch.rand(1, 48, 2, 4, 4)
    assert not torch.equal(eager.slow_stages[0][1](maps), maps)  # type: ignore[index,operator]


# All of them


# Published GFLOPs (multiply-adds of one clip at 256 x 256) and millions of parameters for 400 classes.
# SlowFast: table 2 of arXiv:1812.03982 (36.1 and 65.7) and PyTorchVideo's model zoo
# (docs/source/model_zoo.md: parameters 34.48 and 34.57, operations 36.69 and 65.71). I3D: the same model
# zoo, I3D R50 8x8. Non-local: 35.3 M for "Nonlocal R50" in table 2 of arXiv:1812.03982.
@pytest.mark.parametrize(
    ("name", "giga_operations", "million_parameters"),
    [
        ("slowfast_r50", 36.1, 34.48),
        ("slowfast_r50_8x8", 65.7, 34.57),
        ("i3d_r50", 37.53, 28.04),
        ("i3d_r50_nl", None, 35.3),
    ],
)
def test_size_and_cost_are_the_published_ones(
    name: str, giga_operations: float | None, million_parameters: float
) -> None:
    info = INFOS[name]
    with torch.device("meta"):
        model = info.build(400, info.frames, 256).eval()
        clip = torch.empty(1, 3, info.frames, 256, 256)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(clip)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters / 1e6 == pytest.approx(million_parameters, rel=0.02)
    if giga_operations is not None:  # a multiply-add is two operations to the counter
        assert counter.get_total_flops() / 2e9 == pytest.approx(giga_operations, rel=0.02)


@pytest.mark.parametrize("name", sorted(INFOS))
def test_features_have_the_promised_shape(name: str) -> None:
    info = INFOS[name]
    with torch.device("meta"):
        model = info.build(11, info.frames, info.size).eval()
        clip = torch.empty(2, 3, info.frames, info.size, info.size)
        flow = torch.empty(2, 2, info.frames - 1, info.size, info.size) if info.needs_flow else None
        features = model.forward_features(clip, flow)
        logits = model.forward_head(features)
    steps = info.frames // (model.alpha if isinstance(model, SlowFast) else 2)
    assert features.shape == (2, steps, model.feature_dim)
    assert logits.shape == (2, 11)
    assert model.needs_flow == info.needs_flow


@pytest.mark.parametrize("name", TINY)
def test_tiny_models_take_other_lengths_and_shapes_and_learn(name: str) -> None:
    model = tiny(name)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    alike = inputs(name, batch=3, frames=12, size=48)
    alike = tuple(part[..., :40] for part in alike)  # 48 high, 40 wide
    assert model(*alike).shape == (3, 3)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    seen, labels = inputs(name, batch=3), torch.arange(3)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = functional.cross_entropy(model(*seen), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_every_pooling_over_time(name: str, pooling: str) -> None:
    assert tiny(name, pooling=pooling)(*inputs(name)).shape == (2, 3)


@pytest.mark.parametrize("name", sorted(INFOS))
def test_clips_that_break_the_rule_are_refused_with_the_rule(name: str) -> None:
    info = INFOS[name]
    with torch.device("meta"):
        model = info.build(3, info.frames, info.size)
        too_short = model.alpha + 1 if isinstance(model, SlowFast) else 1
        for frames, size in ((too_short, info.size), (info.frames, 31)):
            with pytest.raises(ValueError, match=info.frame_rule):
                info.build(3, frames, size)
            clip = torch.empty(1, 3, frames, size, size)
            flow = torch.empty(1, 2, frames - 1, size, size)
            with pytest.raises(ValueError, match=info.frame_rule):
                model(clip, flow if info.needs_flow else None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha and width of 1 or more"),
        ({"beta": 1.5}, "0 < beta <= 1"),
        ({"lateral_kernel": 4}, "odd number of frames, got 4"),
        ({"depth": (1, 1, 1)}, "1 or more bottlenecks each"),
        ({"pooling": "median"}, "no pooling 'median'"),
    ],
)
def test_slowfast_refuses_what_makes_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny("slowfast_tiny", **options)
