"""Every model of the registry: shapes, rules, gradients, state; what each architecture promises besides.

What is run for real is the small form of each; the papers' sizes are built without memory for their
weights (on the device "meta"), which tells shapes and counts all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from encoders.blocks.transformer import Block
from encoders.blocks.trunks import make_trunk
from encoders.errors import EncoderUnavailableError
from encoders.models.base import AttentionPool, make_pool
from encoders.models.registry import MODELS, VideoModel, build_model

TINY = sorted(name for name in MODELS if name.endswith("_tiny"))
CLASSES = 4
ODD_CLIPS = [(1, 32, 32), (2, 32, 32), (7, 32, 32), (8, 40, 56), (8, 31, 32), (8, 32, 8), (12, 64, 64)]


def made_clip(name: str, frames: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """Two clips of noise, and two flows in -1..1 where the model wants them."""
    generator = torch.Generator().manual_seed(seed)
    clip = torch.randn(2, 3, frames, height, width, generator=generator)
    if not MODELS[name].needs_flow:
        return clip, None
    return clip, torch.rand(2, 2, max(frames - 1, 0), height, width, generator=generator) * 2 - 1


def own_clip(name: str, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    info = MODELS[name]
    return made_clip(name, info.frames, info.size, info.size, seed)


def made_model(name: str, **options: Any) -> VideoModel:
    """Random weights, every one different from 0: what starts at 0 on purpose would hide the rest."""
    torch.manual_seed(1)
    model = build_model(name, CLASSES, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model


def meta_model(name: str, classes: int) -> tuple[VideoModel, Tensor, Tensor | None]:
    """A model of the paper's size and its clip, without numbers."""
    info = MODELS[name]
    with torch.device("meta"):
        clip = torch.empty(1, 3, info.frames, info.size, info.size)
        flow = torch.empty(1, 2, info.frames - 1, info.size, info.size) if info.needs_flow else None
        return build_model(name, classes).eval(), clip, flow


class TestRegistry:
    def test_every_architecture_is_there_and_has_a_small_form(self) -> None:
        expected = {
            "single_frame", "frame_average", "late_fusion", "early_fusion", "c3d", "two_stream", "lstm",
            "gru", "vivit", "timesformer", "i3d", "i3d_nl", "i3d_two_stream", "slowfast",
        }  # fmt: skip
        assert expected <= {name.removesuffix("_tiny") for name in TINY}

    def test_an_unknown_name_tells_the_close_ones(self) -> None:
        with pytest.raises(ValueError, match=r"no model 'vivit_tyni'; did you mean .*vivit_tiny"):
            build_model("vivit_tyni", CLASSES)

    def test_an_unknown_option_tells_the_known_ones(self) -> None:
        with pytest.raises(ValueError, match=r"takes no option colour; it takes .*flow_weight"):
            build_model("two_stream_tiny", CLASSES, colour="red")

    def test_no_classes(self) -> None:
        with pytest.raises(ValueError, match="at least one class, got 0"):
            build_model("c3d_tiny", 0)

    @pytest.mark.parametrize("name", TINY)
    def test_the_small_forms_are_small(self, name: str) -> None:
        with torch.device("meta"):
            model = build_model(name, CLASSES)
        assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000


@pytest.mark.parametrize("name", MODELS)
def test_shapes_at_the_papers_size(name: str) -> None:
    model, clip, flow = meta_model(name, 7)
    features = model.forward_features(clip, flow)
    assert features.ndim == 3 and features.shape[0] == 1 and features.shape[2] == model.feature_dim
    assert 1 <= features.shape[1] <= MODELS[name].frames
    assert model.forward_head(features).shape == (1, 7)
    assert model.needs_flow == MODELS[name].needs_flow


@pytest.mark.parametrize("name", TINY)
class TestEverySmallModel:
    def test_gradient_reaches_every_parameter(self, name: str) -> None:
        model = made_model(name).train()
        clip, flow = own_clip(name)
        loss = nn.functional.cross_entropy(model(clip, flow), torch.tensor([0, 3]))
        loss.backward()
        unmoved = [
            key
            for key, parameter in model.named_parameters()
            if parameter.grad is None or not parameter.grad.any() or not parameter.grad.isfinite().all()
        ]
        assert not unmoved

    def test_answers_the_same_again_when_it_does_not_train(self, name: str) -> None:
        model = made_model(name).eval()
        clip, flow = own_clip(name)
        with torch.no_grad():
            first, again = model(clip, flow), model(clip, flow)
            alone = model(clip[:1], None if flow is None else flow[:1])
        assert torch.equal(first, again)
        torch.testing.assert_close(alone, first[:1], atol=1e-4, rtol=1e-4)  # no clip knows of its neighbour

    def test_head_of_features_is_the_whole(self, name: str) -> None:
        model = made_model(name).eval()
        clip, flow = own_clip(name)
        with torch.no_grad():
            torch.testing.assert_close(
                model.forward_head(model.forward_features(clip, flow)), model(clip, flow)
            )

    def test_state_makes_the_same_model(self, name: str) -> None:
        model = made_model(name).train()
        clip, flow = own_clip(name)
        model(clip, flow)  # batch normalisation has seen something
        twin = build_model(name, CLASSES)
        twin.load_state_dict(model.state_dict(), strict=True)
        with torch.no_grad():
            assert torch.equal(twin.eval()(clip, flow), model.eval()(clip, flow))

    def test_any_clip_is_taken_or_refused_by_the_rule(self, name: str) -> None:
        model = made_model(name).eval()
        refused = 0
        for shape in ODD_CLIPS:
            clip, flow = made_clip(name, *shape)
            try:
                with torch.no_grad():
                    logits = model(clip, flow)
            except ValueError as error:
                assert MODELS[name].frame_rule in str(error)
                refused += 1
            else:
                assert logits.shape == (2, CLASSES) and logits.isfinite().all()
        assert refused >= 2  # sides of 31 and of 8 pixels are for none

    @pytest.mark.parametrize(("frames", "size"), [(0, 32), (-8, 32), (8, 0), (8, 7)])
    def test_cannot_be_built_for_what_is_no_clip(self, name: str, frames: int, size: int) -> None:
        try:
            model = build_model(name, CLASSES, frames=frames, size=size)
        except ValueError:
            return
        with pytest.raises(ValueError):
            model(*made_clip(name, max(frames, 0), size, size))


@pytest.mark.parametrize("name", [name for name in TINY if MODELS[name].needs_flow])
def test_lacking_flow(name: str) -> None:
    clip, flow = own_clip(name)
    assert flow is not None
    model = build_model(name, CLASSES)
    for wrong in (None, flow[:, :, :-1], flow[..., :-1]):
        with pytest.raises(ValueError, match=r"needs optical flow of shape \(2, 2, 7, 32, 32\)"):
            model(clip, wrong)


@pytest.mark.parametrize(
    ("name", "frames", "size", "takes"),
    [
        ("single_frame_tiny", 1, 32, True),
        ("frame_average_tiny", 3, 45, True),
        ("late_fusion_tiny", 1, 40, True),
        ("early_fusion_tiny", 5, 33, True),
        ("early_fusion_tiny", 0, 32, False),
        ("two_stream_tiny", 2, 33, True),
        ("two_stream_tiny", 1, 32, False),
        ("gru_tiny", 5, 31, False),
        ("lstm_tiny", 21, 33, True),
        ("c3d_tiny", 16, 112, True),
        ("c3d_tiny", 5, 40, True),
        ("c3d_tiny", 1, 32, False),
        ("vivit_tiny", 4, 48, True),
        ("vivit_tiny", 7, 32, False),
        ("vivit_fe_tiny", 8, 36, False),
        ("vivit_fe_tiny", 2, 8, True),
        ("timesformer_tiny", 7, 24, True),
        ("timesformer_tiny", 8, 36, False),
    ],
)
def test_built_for_other_clips(name: str, frames: int, size: int, takes: bool) -> None:
    if takes:
        model = build_model(name, CLASSES, frames=frames, size=size)
        assert model(*made_clip(name, frames, size, size)).shape == (2, CLASSES)
    else:
        with pytest.raises(ValueError, match=f"{frames} frames of {size} x {size} pixels does not fit"):
            build_model(name, CLASSES, frames=frames, size=size)


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "multiply_adds"),
    [
        # 3x3x3 kernels and 16 frames of 112 x 112: 78.4 M parameters and 38.5 G in mmaction2's table of
        # C3D on UCF-101 (configs/recognition/c3d); the paper itself gives no count.
        ("c3d", 101, 78.4e6, 38.5e9),
        # Arnab et al. 2021, arXiv:2103.15691, table 2: models 1 and 2 on Kinetics-400.
        ("vivit_b_16x2", 400, 88.9e6, 455.2e9),
        ("vivit_b_16x2_fe", 400, 115.1e6, 284.4e9),
        # Bertasius et al. 2021, arXiv:2102.05095, tables 1 and 2: 0.59 T over 3 crops.
        ("timesformer_b", 400, 121.4e6, 0.59e12 / 3),
    ],
)
def test_parameters_and_multiply_adds_of_the_papers(
    name: str, classes: int, parameters: float, multiply_adds: float
) -> None:
    model, clip, flow = meta_model(name, classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(parameters, rel=0.02)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(clip, flow)
    # The counter takes a multiplication and an addition for two, the papers for one.
    assert counter.get_total_flops() / 2 == pytest.approx(multiply_adds, rel=0.02)


class TestPooling:
    def test_by_arithmetic(self) -> None:
        features = torch.tensor([[[1.0, 5.0], [3.0, -1.0]]])
        assert make_pool("mean", 2)(features).tolist() == [[2.0, 2.0]]
        assert make_pool("max", 2)(features).tolist() == [[3.0, 5.0]]

    def test_attention_begins_as_the_mean(self) -> None:
        features = torch.randn(2, 6, 8)
        torch.testing.assert_close(make_pool("attention", 8)(features), features.mean(dim=1))

    def test_attention_can_look_at_one_moment(self) -> None:
        """Scores of 100 tanh(x): the one moment whose first feature is large takes all the weight."""
        pool = AttentionPool(2, hidden=1)
        with torch.no_grad():
            pool.inner.weight.copy_(torch.tensor([[1.0, 0.0]]))
            pool.inner.bias.zero_()
            pool.score.weight.fill_(100.0)
        features = torch.tensor([[[0.0, 7.0], [2.0, 8.0], [-2.0, 9.0]]])
        torch.testing.assert_close(pool(features), torch.tensor([[2.0, 8.0]]))
        assert pool.weights(features).sum(dim=1).item() == pytest.approx(1.0)

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match="mean, max, attention"):
            make_pool("median", 2)

    @pytest.mark.parametrize("name", ["frame_average_tiny", "late_fusion_tiny", "gru_tiny", "vivit_tiny",
                                      "vivit_fe_tiny", "timesformer_tiny"])  # fmt: skip
    @pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
    def test_features_that_keep_time_are_pooled(self, name: str, pooling: str) -> None:
        options = {"fusion": "pool"} if name == "late_fusion_tiny" else {}
        model = made_model(name, pooling=pooling, **options).eval()
        features = model.forward_features(own_clip(name)[0])
        assert features.shape[1] == (4 if "vivit" in name else 8)
        pooled = model.get_submodule("fuse" if options else "pool")(features)
        assert pooled.shape == (2, model.feature_dim)
        logits = model.forward_head(features)
        torch.testing.assert_close(model.get_submodule("classifier")(pooled), logits)


class TestOrderOfTime:
    @pytest.mark.parametrize(
        ("name", "options"), [("frame_average_tiny", {}), ("late_fusion_tiny", {"fusion": "pool"})]
    )
    def test_pooled_frames_have_none(self, name: str, options: dict[str, str]) -> None:
        model = made_model(name, **options).eval()
        clip, _ = own_clip(name)
        torch.testing.assert_close(model(clip.flip(2)), model(clip), atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize(
        "name",
        [name for name in TINY if name not in ("frame_average_tiny", "single_frame_tiny")],
    )
    def test_all_others_know_it(self, name: str) -> None:
        model = made_model(name).eval()
        clip, flow = own_clip(name)
        backwards = None if flow is None else -flow.flip(2)
        assert (model(clip.flip(2), backwards) - model(clip, flow)).abs().max() > 1e-4

    def test_a_single_frame_is_the_middle_one(self) -> None:
        model = made_model("single_frame_tiny").eval()
        clip, _ = own_clip("single_frame_tiny")
        other = torch.randn_like(clip)
        other[:, :, 4] = clip[:, :, 4]
        assert torch.equal(model(other), model(clip))

    @pytest.mark.parametrize("name", ["gru_tiny", "lstm_tiny"])
    def test_recurrent_features_know_only_the_past(self, name: str) -> None:
        model = made_model(name).eval()
        clip, _ = own_clip(name)
        other = clip.clone()
        other[:, :, 5:] = torch.randn_like(other[:, :, 5:])
        seen, changed = model.forward_features(clip), model.forward_features(other)
        assert torch.equal(seen[:, :5], changed[:, :5])
        assert not torch.isclose(seen[:, 5], changed[:, 5]).all()

    def test_recurrent_says_the_mean_of_what_it_says_of_each_frame(self) -> None:
        model = made_model("lstm_tiny").eval()
        features = model.forward_features(own_clip("lstm_tiny")[0])
        each = torch.stack([model.forward_head(features[:, t : t + 1]) for t in range(8)])
        torch.testing.assert_close(model.forward_head(features), each.mean(dim=0))

    def test_recurrent_can_listen_to_the_last_frame_alone(self) -> None:
        model = made_model("gru_tiny", pooling="last").eval()
        features = model.forward_features(own_clip("gru_tiny")[0])
        torch.testing.assert_close(model.forward_head(features), model.forward_head(features[:, -1:]))


class TestC3D:
    def test_shapes_of_the_paper(self) -> None:
        """What the five poolings leave (arXiv:1412.0767, figure 3); 512 * 4 * 4 numbers go into fc6."""
        model, clip, _ = meta_model("c3d", 487)
        seen: list[tuple[int, ...]] = []
        for module in model.modules():
            if isinstance(module, nn.MaxPool3d):
                module.register_forward_hook(lambda _module, _given, made: seen.append(tuple(made.shape[1:])))
        model(clip)
        assert seen == [(64, 16, 56, 56), (128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7), (512, 1, 4, 4)]
        kernels = [module.kernel_size for module in model.modules() if isinstance(module, nn.Conv3d)]
        assert kernels == [(3, 3, 3)] * 8

    def test_parameters_one_by_one(self) -> None:
        model, _, _ = meta_model("c3d", 101)
        pairs = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
        expected = sum(27 * before * after + after for before, after in pairs)
        expected += sum(before * after + after for before, after in [(8192, 4096), (4096, 4096), (4096, 101)])
        assert sum(parameter.numel() for parameter in model.parameters()) == expected

    def test_depth(self) -> None:
        with pytest.raises(ValueError, match="1 to 5 stages, got 6"):
            build_model("c3d_tiny", CLASSES, depth=6)


class TestTwoStream:
    @pytest.mark.parametrize("flow_weight", [0.5, 0.8])
    def test_probabilities_are_the_weighted_mean_of_the_streams(self, flow_weight: float) -> None:
        model = made_model("two_stream_tiny", flow_weight=flow_weight).eval()
        features = model.forward_features(*own_clip("two_stream_tiny"))
        seen, moved = (logits.softmax(dim=1) for logits in model.forward_streams(features))  # type: ignore[operator]
        expected = (1 - flow_weight) * seen + flow_weight * moved
        torch.testing.assert_close(model.forward_head(features).softmax(dim=1), expected)

    def test_flow_is_stacked_x_and_y_in_turn(self) -> None:
        model = made_model("two_stream_tiny").eval()
        clip, flow = own_clip("two_stream_tiny")
        assert flow is not None
        given: list[Tensor] = []
        model.get_submodule("motion").register_forward_pre_hook(lambda _module, args: given.append(args[0]))
        model(clip, flow)
        assert given[0].shape == (2, 14, 32, 32)
        for pair in range(7):
            assert torch.equal(given[0][:, 2 * pair], flow[:, 0, pair])
            assert torch.equal(given[0][:, 2 * pair + 1], flow[:, 1, pair])

    def test_a_moving_camera_is_taken_off(self) -> None:
        model = made_model("two_stream_tiny", subtract_mean=True).eval()
        clip, flow = own_clip("two_stream_tiny")
        assert flow is not None
        pan = torch.randn(2, 2, 7, 1, 1)
        torch.testing.assert_close(model(clip, flow + pan), model(clip, flow), atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("flow_weight", [0.0, 1.0, -0.5])
    def test_both_streams_are_heard(self, flow_weight: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            build_model("two_stream_tiny", CLASSES, flow_weight=flow_weight)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("single_frame_tiny", {"use": "first"}, "middle or average, got 'first'"),
        ("late_fusion_tiny", {"fusion": "sum"}, "pool, concat, mlp; got 'sum'"),
        ("gru_tiny", {"cell": "rnn"}, "gru or lstm, got 'rnn'"),
        ("gru_tiny", {"pooling": "median"}, "attention or last"),
        ("vivit_tiny", {"attention": "axial"}, "joint or factorised, got 'axial'"),
        ("vivit_tiny", {"heads": 5}, "5 heads cannot share a width of 64"),
        ("vivit_tiny", {"pretrained": "ViT_B_16_Weights.IMAGENET1K_V1"}, "build the model without"),
        ("single_frame_tiny", {"trunk": "vgg"}, "resnet18, resnet50, small"),
        ("single_frame_tiny", {"depth": 6}, "1 to 5 stages, got 6"),
        ("single_frame_tiny", {"pretrained": "ResNet18_Weights.IMAGENET1K_V1"}, "no ImageNet weights for"),
        (
            "single_frame_r18",
            {"pretrained": "ResNet50_Weights.IMAGENET1K_V2"},
            "ResNet18_Weights.IMAGENET1K_V1",
        ),
    ],
)
def test_options_that_make_no_sense(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(name, CLASSES, **options)


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """torchvision's ResNet-18, its random weights in a file; without its classifier here."""
    from torchvision.models import resnet18

    torch.manual_seed(5)
    network = resnet18(weights=None).eval()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    network.fc = nn.Identity()  # type: ignore[assignment]
    return network, path


class TestImageWeights:
    def test_features_are_torchvisions(self, resnet_file: tuple[nn.Module, Path]) -> None:
        network, path = resnet_file
        model = build_model("frame_average_r18", CLASSES, size=64, pretrained=str(path)).eval()
        clip = torch.randn(1, 3, 3, 64, 64)
        with torch.no_grad():
            expected = network(clip[0].transpose(0, 1))
            torch.testing.assert_close(model.forward_features(clip)[0], expected, atol=1e-5, rtol=1e-4)

    def test_stacked_frames_of_a_grey_still_are_one_frame(self, resnet_file: tuple[nn.Module, Path]) -> None:
        network, path = resnet_file
        model = build_model("early_fusion_r18", CLASSES, frames=5, size=64, pretrained=str(path)).eval()
        grey = torch.randn(2, 1, 64, 64)
        still = grey[:, :, None].expand(2, 3, 5, 64, 64)
        with torch.no_grad():
            expected = network(grey.expand(2, 3, 64, 64))
            torch.testing.assert_close(model.forward_features(still)[:, 0], expected, atol=1e-4, rtol=1e-3)

    def test_weights_of_another_network(self, resnet_file: tuple[nn.Module, Path]) -> None:
        with pytest.raises(EncoderUnavailableError, match=r"resnet18\.pth do not fit resnet50"):
            make_trunk("resnet50", pretrained=str(resnet_file[1]))

    def test_damaged_and_missing_files(self, tmp_path: Path) -> None:
        damaged = tmp_path / "weights.pth"
        damaged.write_bytes(b"not weights")
        for path in (damaged, tmp_path / "missing.pth"):
            with pytest.raises(EncoderUnavailableError, match=path.name):
                make_trunk("resnet18", pretrained=str(path))


class TestTransformers:
    def test_a_layer_is_torchvisions(self) -> None:
        from torchvision.models.vision_transformer import EncoderBlock

        torch.manual_seed(2)
        theirs = EncoderBlock(4, 32, 128, dropout=0.0, attention_dropout=0.0).eval()
        ours = Block(32, 4).eval()
        names = {"norm1": "ln_1", "norm2": "ln_2", "attention.out": "self_attention.out_proj",
                 "attention.qkv.": "self_attention.in_proj_", "mlp.2": "mlp.3"}  # fmt: skip
        state = {}
        for key in ours.state_dict():
            old = key
            for own, their in names.items():
                old = old.replace(own, their)
            state[key] = theirs.state_dict()[old]
        ours.load_state_dict(state)
        tokens = torch.randn(2, 9, 32)
        with torch.no_grad():
            torch.testing.assert_close(ours(tokens), theirs(tokens), atol=1e-5, rtol=1e-4)

    def test_factorised_moments_meet_only_in_the_temporal_encoder(self) -> None:
        """One moment changed leaves what the spatial encoder says of the others."""
        model = made_model("vivit_fe_tiny").eval()
        clip, _ = own_clip("vivit_fe_tiny")
        other = clip.clone()
        other[:, :, 2:4] = 0
        said: list[Tensor] = []
        model.get_submodule("encoder").register_forward_hook(lambda _module, _given, made: said.append(made))
        assert not torch.equal(model(clip), model(other))
        first, second = (tokens.unflatten(0, (2, 4)) for tokens in said)
        assert torch.equal(first[:, [0, 2, 3]], second[:, [0, 2, 3]])
        assert not torch.equal(first[:, 1], second[:, 1])

    def test_divided_attention_over_time_stays_in_its_place(self) -> None:
        """In one layer without its spatial half, a patch hears only from its place in other frames."""
        model = made_model("timesformer_tiny", depth=1)
        block = model.get_submodule("blocks.0")
        with torch.no_grad():
            for part in ("attention.out", "mlp.2"):
                nn.init.zeros_(block.get_submodule(part).weight)  # type: ignore[arg-type]
        token, patches = torch.randn(1, 1, 64), torch.randn(1, 8, 16, 64)
        changed = patches.clone()
        changed[:, 3, 5] = torch.randn(64)
        with torch.no_grad():
            moved = (block(token, changed)[1] - block(token, patches)[1]).abs().amax(dim=(0, 3)) > 1e-7
        expected = torch.zeros(8, 16, dtype=torch.bool)
        expected[:, 5] = True
        assert torch.equal(moved, expected)

    @pytest.mark.slow
    def test_an_image_transformer_is_taken_over(self, tmp_path: Path) -> None:
        """ViViT's spatial encoder, and TimeSformer on a still, say what torchvision's ViT-B/16 says."""
        from safetensors.torch import save_file
        from torchvision.models import vit_b_16

        torch.manual_seed(6)
        network = vit_b_16(weights=None).eval()
        path = tmp_path / "vit.safetensors"
        save_file(network.state_dict(), path)
        network.heads = nn.Identity()  # type: ignore[assignment]
        clip = torch.randn(1, 3, 4, 224, 224)
        with torch.no_grad():
            middle = network(clip[0].transpose(0, 1)[1::2])  # of two frames, the second is the middle one
            model = build_model("vivit_b_16x2_fe", CLASSES, frames=4, pretrained=str(path)).eval()
            said: list[Tensor] = []
            model.get_submodule("encoder").register_forward_hook(lambda _m, _given, made: said.append(made))
            model(clip)
            torch.testing.assert_close(said[0][:, 0], middle, atol=1e-4, rtol=1e-3)

            still = clip[:, :, :1].expand(1, 3, 2, 224, 224)
            model = build_model("timesformer_b", CLASSES, frames=2, pretrained=str(path)).eval()
            torch.testing.assert_close(
                model.forward_features(still)[:, 0], network(still[:, :, 0]), atol=1e-4, rtol=1e-3
            )
            joint = build_model("vivit_b_16x2", CLASSES, frames=4, pretrained=str(path))
            positions = network.encoder.pos_embedding
            assert joint.get_parameter("encoder.positions").shape == (1, 1 + 2 * 196, 768)
            assert torch.equal(joint.get_parameter("encoder.positions")[:, 197:], positions[:, 1:])
