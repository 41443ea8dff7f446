"""The seam between pictures and sentences about them: `Captioner`.

Captions are optional: nothing else needs them, and where a captioner's weights cannot be had there are none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from encoders.errors import EncoderUnavailableError
from encoders.weights.device import check_device_name
from encoders.weights.digests import is_checkpoint_path

if TYPE_CHECKING:  # the command line reads the name of the usual captioner here
    import numpy as np
    from numpy.typing import NDArray

COCA_PREFIX = "coca:"
TRANSFORMERS_PREFIX = "transformers:"
DEFAULT_CAPTIONER = "coca:coca_ViT-B-32/mscoco_finetuned_laion2b_s13b_b90k"
LONGEST_CAPTION = 300  # characters: captioners say one sentence
MOST_TOKENS = 30  # of one caption, its marks of beginning and end included


class Captioner(Protocol):
    """Says in words what pictures show, the same words for the same picture every time.

    Attributes:
        captioner_id: Names everything that changes its words: family, architecture, digest of the weights.
        spec: What `open_captioner` was called with, paths absolute.
        device: The torch device it runs on, e.g. "cpu", "cuda:0".
    """

    captioner_id: str
    spec: str

    @property
    def device(self) -> str: ...

    def caption(self, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        """One caption per picture, "" where the model says nothing.

        Args:
            images: uint8 (H, W, 3), RGB, of any sizes; captioned in batches.

        Returns:
            Texts of one line and at most `LONGEST_CAPTION` characters.
        """
        ...


def open_captioner(spec: str = DEFAULT_CAPTIONER, *, device: str = "auto") -> Captioner:
    """The captioner of a spec; looks into the local cache first and waits for the hub for 3 s at most.

    Args:
        spec: "coca:<arch>/<tag or checkpoint path>", "coca:hf-hub:<org>/<name>", "coca:local-dir:<folder>",
            "transformers:<folder>" or "transformers:<org>/<name>".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        EncoderUnavailableError: No such captioner or device, or its weights cannot be had here.
    """
    check_device_name(device)
    resolved = resolve_captioner(spec)
    if resolved.startswith(COCA_PREFIX):
        from encoders.captioning.coca import CocaCaptioner

        return CocaCaptioner(resolved, device=device)
    from encoders.captioning.transformers_captioner import TransformersCaptioner

    return TransformersCaptioner(resolved, device=device)


def resolve_captioner(spec: str) -> str:
    """A spec with absolute paths; imports no model library.

    Raises:
        EncoderUnavailableError: It names no captioner.
    """
    spec = spec.strip()
    prefix, _, rest = spec.partition(":")
    if f"{prefix}:" not in (COCA_PREFIX, TRANSFORMERS_PREFIX) or not rest:
        raise EncoderUnavailableError(
            f"no captioner is called {spec!r}; expected coca:<arch>/<tag or checkpoint path>, such as "
            f"{DEFAULT_CAPTIONER}, or transformers:<folder or name on the hub>, such as "
            "transformers:Salesforce/blip-image-captioning-base"
        )
    if f"{prefix}:" == TRANSFORMERS_PREFIX:
        folder = Path(rest).expanduser()
        if folder.is_dir() or rest.startswith(("/", ".", "~")):
            return f"{prefix}:{folder.absolute()}"
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", rest):
            raise EncoderUnavailableError(
                f"{rest!r} is neither a folder here nor a name on the hub; expected transformers:<folder> or "
                "transformers:<org>/<name>"
            )
        return spec
    if rest.startswith("local-dir:"):
        return f"{prefix}:local-dir:{Path(rest.removeprefix('local-dir:')).expanduser().absolute()}"
    architecture, _, weights = rest.partition("/")
    if rest.startswith("hf-hub:") or not is_checkpoint_path(weights):
        return spec
    return f"{prefix}:{architecture}/{Path(weights).expanduser().absolute()}"


def clean_caption(text: str) -> str:
    """A model's words as one line of text: no control characters, no doubled spaces, of bounded length."""
    spaced = "".join(
        " " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character
        for character in unicodedata.normalize("NFC", text)
    )
    line = " ".join(spaced.split())
    if len(line) <= LONGEST_CAPTION:
        return line
    cut = line[:LONGEST_CAPTION]
    return cut.rpartition(" ")[0] or cut
