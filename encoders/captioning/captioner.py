"""The seam between pictures and sentences about them: `Captioner`.

Captions are optional: nothing else needs them, and where a captioner's weights cannot be had there are none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from encoders.specs import check_forms

if TYPE_CHECKING:  # the command line reads the name of the usual captioner here
    import numpy as np
    from numpy.typing import NDArray

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


class OpenCaptioner(Protocol):
    """Opens a captioner, as most of their classes do."""

    def __call__(self, spec: str, *, device: str) -> Captioner: ...


@dataclass(frozen=True, slots=True)
class CaptionerFamily:
    """One kind of captioner. The module that holds the record imports no torch and loads no weights.

    Attributes:
        name: What its specs begin with: "coca".
        forms: Its specs in the words of an error text and of a command's help: "coca:<arch>/<tag>".
        example: A spec to try.
        open: Opens the captioner of a resolved spec on a device.
        resolve: Checks a spec and completes it (paths become absolute) without loading anything; raises
            EncoderUnavailableError.

    Raises:
        ValueError: A form or the example does not begin with the name.
    """

    name: str
    forms: tuple[str, ...]
    example: str
    open: OpenCaptioner
    resolve: Callable[[str], str] = str

    def __post_init__(self) -> None:
        check_forms(self.name, self.forms)
        check_forms(self.name, [self.example])


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
