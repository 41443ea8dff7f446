"""The family `openclip`: its specs, and the models of open_clip that are worth choosing.

Any other model of open_clip works too. Importing this module imports neither torch nor open_clip.
"""

from __future__ import annotations

from pathlib import Path

from encoders.embedding.encoder import Encoder, Pooling
from encoders.embedding.family import EncoderFamily, KnownModel
from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import is_checkpoint_path

PREFIX = "openclip:"
SCHEMAS = ("hf-hub:", "local-dir:")  # architectures that bring their own weights

_LAION = "Cherti et al. 2022, arXiv:2212.07143"
_DATACOMP = "Gadre et al. 2023, arXiv:2304.14108"
_SIGLIP2 = "Tschannen et al. 2025, arXiv:2502.14786"
_PERCEPTION = "Bolya et al. 2025, arXiv:2504.13181"
_MOBILE = "Faghri et al. 2025, arXiv:2508.20691"
# Sizes are those of the float32 parameters.
KNOWN_MODELS = tuple(
    KnownModel(PREFIX + name, dim, licence, size_bytes, paper, repository, packages=("open_clip_torch",))
    for name, dim, repository, licence, size_bytes, paper in (
        ("ViT-B-32-256/datacomp_s34b_b86k", 512, "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", "MIT",
         605_155_332, _DATACOMP),
        ("ViT-B-32/laion2b_s34b_b79k", 512, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "MIT",
         605_109_252, _LAION),
        ("ViT-B-16/laion2b_s34b_b88k", 512, "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "MIT",
         598_482_948, _LAION),
        ("ViT-L-14/datacomp_xl_s13b_b90k", 768, "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", "MIT",
         1_710_466_052, _DATACOMP),
        ("ViT-B-32-SigLIP2-256/webli", 768, "timm/ViT-B-32-SigLIP2-256", "Apache-2.0",
         1_507_424_264, _SIGLIP2),
        ("ViT-B-16-SigLIP2-256/webli", 768, "timm/ViT-B-16-SigLIP2-256", "Apache-2.0",
         1_500_936_200, _SIGLIP2),
        ("ViT-SO400M-14-SigLIP2-378/webli", 1152, "timm/ViT-SO400M-14-SigLIP2-378", "Apache-2.0",
         4_544_033_992, _SIGLIP2),
        ("PE-Core-S-16-384/meta", 512, "timm/PE-Core-S-16-384", "Apache-2.0", 348_752_900, _PERCEPTION),
        ("PE-Core-B-16/meta", 1024, "timm/PE-Core-B-16", "Apache-2.0", 1_790_642_180, _PERCEPTION),
        ("PE-Core-L-14-336/meta", 1024, "timm/PE-Core-L-14-336", "Apache-2.0", 2_684_555_268, _PERCEPTION),
        ("MobileCLIP2-S0/dfndr2b", 512, "timm/MobileCLIP2-S0-OpenCLIP", "apple-amlr (research only)",
         299_340_292, _MOBILE),
        ("MobileCLIP2-S4/dfndr2b", 768, "timm/MobileCLIP2-S4-OpenCLIP", "apple-amlr (research only)",
         1_781_740_548, _MOBILE),
    )
)  # fmt: skip
# What "auto" takes when it can. Among the models whose weights may be used for anything, which need
# no tokenizer beside them and which encode a frame at the cost of ViT-B/32 (11.5 GFLOP; B/16 takes
# 35, which makes a CPU slower than the video plays), it is the best by open_clip's own tables:
# ImageNet zero-shot 72.8 % and COCO text-to-image recall@1 39.9 %, against 66.6 % and 39.3 % of
# laion2b_s34b_b79k at 8.8 GFLOP. On a GPU, PE-Core-B-16 is worth choosing instead.
DEFAULT_MODEL = KNOWN_MODELS[0]


def split_openclip_spec(spec: str) -> tuple[str, str | None]:
    """Splits "openclip:<arch>/<weights>" at the first slash behind the architecture's name.

    Returns:
        Architecture, and tag or path; None for an architecture that brings its own weights.

    Raises:
        EncoderUnavailableError: Architecture or weights are not named.
    """
    rest = spec.removeprefix(PREFIX)
    if rest.startswith(SCHEMAS):
        return rest, None
    architecture, _, weights = rest.partition("/")
    if not architecture or not weights:
        raise EncoderUnavailableError(
            f"{spec!r} names no weights; expected openclip:<arch>/<tag or checkpoint path>, such "
            f"as {DEFAULT_MODEL.spec}"
        )
    return architecture, weights


def resolve_openclip(spec: str) -> str:
    """A spec with absolute paths. Raises EncoderUnavailableError."""
    architecture, weights = split_openclip_spec(spec)
    if architecture.startswith("local-dir:"):
        folder = Path(architecture.removeprefix("local-dir:")).expanduser().absolute()
        return f"{PREFIX}local-dir:{folder}"
    if weights is None:
        return PREFIX + architecture
    if is_checkpoint_path(weights):
        weights = str(Path(weights).expanduser().absolute())
    return f"{PREFIX}{architecture}/{weights}"


def _open(spec: str, *, device: str, pooling: Pooling) -> Encoder:
    from encoders.embedding.openclip import OpenClipEncoder

    return OpenClipEncoder(*split_openclip_spec(spec), device=device, pooling=pooling)


OPENCLIP = EncoderFamily(
    name="openclip",
    forms=("openclip:<arch>/<tag or checkpoint path>",),
    open=_open,
    resolve=resolve_openclip,
    models=KNOWN_MODELS,
)
