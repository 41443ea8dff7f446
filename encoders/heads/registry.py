"""The kinds of heads that read stored features: ours, and those of plug-ins.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from encoders.errors import HeadFileError, ReelseekError
from encoders.heads.head import ActionSpan, Found, Head, HeadFamily
from encoders.heads.taught import TAUGHT
from encoders.plug_ins import Registry
from encoders.weights.tensors import read_card


def _read_localiser(content: bytes) -> Head:
    from encoders.heads.localisation import Localiser

    return Localiser.from_bytes(content)


def _torch_of_one_thread() -> AbstractContextManager[None]:
    from encoders.heads.localisation_network import one_thread

    return one_thread()


def _read_zero_shot(content: bytes) -> Head:
    from encoders.heads.zero_shot import ZeroShotHead

    return ZeroShotHead.from_bytes(content)


HEADS = Registry(
    "reelseek.heads",
    (
        TAUGHT,
        HeadFamily(name="localiser", read=_read_localiser, one_thread=_torch_of_one_thread),
        HeadFamily(name="zero-shot", read=_read_zero_shot, is_carried=False),
    ),
    kind=HeadFamily,
    noun="kind of head",
    error=HeadFileError,
)


def read_head(content: bytes) -> Head:
    """A head of any kind that reads stored features. Raises HeadFileError."""
    kind = read_card(content).get("kind")
    family = HEADS.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise HeadFileError(
            f"the file holds something of kind {kind!r}, expected a head of actions; where a plug-in made "
            "it, install that first"
        )
    try:
        head = family.read(content)
        if head.kind != kind:
            raise HeadFileError(f"what reads heads of kind {kind!r} gave one of kind {head.kind!r}")
    except ReelseekError:
        raise
    except Exception as error:
        if family in HEADS.ours:
            raise
        raise HeadFileError(
            f"the head of kind {kind!r} cannot be read ({type(error).__name__}: {error}): export it again, "
            "or install the version of the plug-in that made it"
        ) from error
    return head


def check_found(heads: Sequence[Head], found: Found) -> None:
    """Checks what heads of a plug-in found.

    Raises:
        HeadFileError: There is not one list for each head, or one names an action that its head lacks.
    """
    if len(found) != len(heads):
        raise HeadFileError(f"{len(heads)} heads of one kind gave {len(found)} lists of segments")
    for head, spans in zip(heads, found, strict=True):
        for span in spans:
            if not isinstance(span, ActionSpan) or span.action not in head.actions:
                expected = ", ".join(head.actions)
                raise HeadFileError(f"a head found {span!r:.200}, expected an ActionSpan of {expected}")
