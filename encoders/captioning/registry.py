"""From the name of a captioner to the captioner: our families of captioners, and those of plug-ins.

Importing this module imports no model library.
"""

from __future__ import annotations

import re
from pathlib import Path

from encoders.captioning.captioner import DEFAULT_CAPTIONER, Captioner, CaptionerFamily
from encoders.errors import EncoderUnavailableError
from encoders.plug_ins import Registry
from encoders.specs import fits_forms
from encoders.weights.device import check_device_name
from encoders.weights.digests import is_checkpoint_path

COCA_PREFIX, TRANSFORMERS_PREFIX = "coca:", "transformers:"


def _open_coca(spec: str, *, device: str) -> Captioner:
    from encoders.captioning.coca import CocaCaptioner

    return CocaCaptioner(spec, device=device)


def _resolve_coca(spec: str) -> str:
    rest = spec.removeprefix(COCA_PREFIX)
    if rest.startswith("local-dir:"):
        return f"{COCA_PREFIX}local-dir:{Path(rest.removeprefix('local-dir:')).expanduser().absolute()}"
    architecture, _, weights = rest.partition("/")
    if rest.startswith("hf-hub:") or not is_checkpoint_path(weights):
        return spec
    return f"{COCA_PREFIX}{architecture}/{Path(weights).expanduser().absolute()}"


def _open_transformers(spec: str, *, device: str) -> Captioner:
    from encoders.captioning.transformers_captioner import TransformersCaptioner

    return TransformersCaptioner(spec, device=device)


def _resolve_transformers(spec: str) -> str:
    rest = spec.removeprefix(TRANSFORMERS_PREFIX)
    folder = Path(rest).expanduser()
    if folder.is_dir() or rest.startswith(("/", ".", "~")):
        return TRANSFORMERS_PREFIX + str(folder.absolute())
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", rest):
        raise EncoderUnavailableError(
            f"{rest!r} is neither a folder here nor a name on the hub; expected transformers:<folder> or "
            "transformers:<org>/<name>"
        )
    return spec


CAPTIONERS = Registry(
    "reelseek.captioners",
    (
        CaptionerFamily(
            name="coca",
            forms=("coca:<arch>/<tag or checkpoint path>",),
            example=DEFAULT_CAPTIONER,
            open=_open_coca,
            resolve=_resolve_coca,
        ),
        CaptionerFamily(
            name="transformers",
            forms=("transformers:<folder or name on the hub>",),
            example="transformers:Salesforce/blip-image-captioning-base",
            open=_open_transformers,
            resolve=_resolve_transformers,
        ),
    ),
    kind=CaptionerFamily,
    noun="captioner",
    error=EncoderUnavailableError,
)


def open_captioner(spec: str = DEFAULT_CAPTIONER, *, device: str = "auto") -> Captioner:
    """The captioner of a spec; looks into the local cache first and waits for the hub for 3 s at most.

    Args:
        spec: "coca:<arch>/<tag or checkpoint path>", "coca:hf-hub:<org>/<name>", "coca:local-dir:<folder>",
            "transformers:<folder>", "transformers:<org>/<name>", or a spec of a plug-in.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        EncoderUnavailableError: No such captioner or device, or its weights cannot be had here.
    """
    check_device_name(device)
    resolved = resolve_captioner(spec)
    family = _family_of(resolved)
    return family.open(resolved, device=device)


def resolve_captioner(spec: str) -> str:
    """A spec with absolute paths; imports no model library.

    Raises:
        EncoderUnavailableError: It names no captioner.
    """
    spec = spec.strip()
    return _family_of(spec).resolve(spec)


def _family_of(spec: str) -> CaptionerFamily:
    """The family of a spec. Raises EncoderUnavailableError."""
    family = CAPTIONERS.get(spec.partition(":")[0])
    if family is not None and fits_forms(spec, family.forms) and not spec.endswith(":"):
        return family
    families, _ = CAPTIONERS.list_usable()
    expected = [f"{form}, such as {one.example}" for one in families for form in one.forms]
    raise EncoderUnavailableError(f"no captioner is called {spec!r}; expected {', or '.join(expected)}")
