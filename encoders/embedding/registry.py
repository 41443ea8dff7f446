"""From the name of an encoder to the encoder."""

from __future__ import annotations

import difflib
from functools import partial
from pathlib import Path

from encoders.embedding.encoder import Encoder, Pool, Pooling, check_pooling, pool_features
from encoders.embedding.listing import DEFAULT_MODEL, KNOWN_MODELS
from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import TRAINED_PREFIX, is_checkpoint_path
from encoders.weights.hub import HUB_TIMEOUT_SECONDS, cached_file, hub_answers, hub_url

OFFLINE = "offline"
OPENCLIP_PREFIX = "openclip:"
SCHEMAS = ("hf-hub:", "local-dir:")  # architectures that bring their own weights


def open_encoder(spec: str, *, device: str = "auto", pooling: Pooling = "mean") -> Encoder:
    """The encoder of a spec, resolved as `resolve_spec` does.

    Args:
        spec: "auto", "offline", "openclip:<arch>/<tag>", "openclip:<arch>/<checkpoint path>",
            "openclip:hf-hub:<org>/<name>", "openclip:local-dir:<folder>" or "model:<checkpoint>" for
            what `indexer train` made.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        pooling: How the features of a clip become its embedding.

    Raises:
        EncoderUnavailableError: No such encoder or device, or its weights cannot be had here.
        ValueError: No such pooling.
    """
    resolved, _ = resolve_spec(spec)
    if resolved == OFFLINE:
        from encoders.embedding.offline import OfflineEncoder

        return OfflineEncoder(device=device, pooling=pooling)
    if resolved.startswith(TRAINED_PREFIX):
        from encoders.embedding.trained import TrainedEncoder

        return TrainedEncoder(resolved, device=device, pooling=pooling)
    from encoders.embedding.openclip import OpenClipEncoder

    architecture, weights = split_openclip_spec(resolved)
    return OpenClipEncoder(architecture, weights, device=device, pooling=pooling)


def pool_of(spec: str, pooling: str) -> Pool:
    """What the encoder of a resolved spec does in `pool`, without loading its weights.

    Raises:
        ValueError: No such pooling.
    """
    checked = check_pooling(pooling)
    if spec == OFFLINE:
        from encoders.embedding.offline import pool_parts

        return partial(pool_parts, pooling=checked)
    return partial(pool_features, pooling=checked)


def resolve_spec(spec: str, timeout_seconds: float = HUB_TIMEOUT_SECONDS) -> tuple[str, str]:
    """What a spec stands for, and why; imports neither torch nor open_clip.

    Args:
        spec: See `open_encoder`.
        timeout_seconds: How long "auto" waits for the model hub.

    Returns:
        The spec to store with a library ("auto" decided, paths absolute) and the reason in words.

    Raises:
        EncoderUnavailableError: The spec names no encoder.
    """
    spec = spec.strip()
    if spec == "auto":
        return _resolve_auto(timeout_seconds)
    if spec == OFFLINE:
        return OFFLINE, "asked for"
    if spec.startswith(TRAINED_PREFIX):
        from encoders.embedding.trained import resolve_trained

        return resolve_trained(spec), "asked for"
    if not spec.startswith(OPENCLIP_PREFIX):
        known = ["auto", OFFLINE, *(model.spec for model in KNOWN_MODELS)]
        close = difflib.get_close_matches(spec, known, n=3, cutoff=0.4)
        hint = f"; close to it: {', '.join(close)}" if close else ""
        raise EncoderUnavailableError(
            f"no encoder is called {spec!r}; expected auto, offline, openclip:<arch>/<tag or "
            f"checkpoint path> or model:<checkpoint>{hint}. `indexer encoders` lists them"
        )
    architecture, weights = split_openclip_spec(spec)
    if architecture.startswith("local-dir:"):
        folder = Path(architecture.removeprefix("local-dir:")).expanduser().absolute()
        return f"{OPENCLIP_PREFIX}local-dir:{folder}", "asked for"
    if weights is None:
        return f"{OPENCLIP_PREFIX}{architecture}", "asked for"
    if is_checkpoint_path(weights):
        weights = str(Path(weights).expanduser().absolute())
    return f"{OPENCLIP_PREFIX}{architecture}/{weights}", "asked for"


def split_openclip_spec(spec: str) -> tuple[str, str | None]:
    """Splits "openclip:<arch>/<weights>" at the first slash behind the architecture's name.

    Returns:
        Architecture, and tag or path; None for an architecture that brings its own weights.

    Raises:
        EncoderUnavailableError: Architecture or weights are not named.
    """
    rest = spec.removeprefix(OPENCLIP_PREFIX)
    if rest.startswith(SCHEMAS):
        return rest, None
    architecture, _, weights = rest.partition("/")
    if not architecture or not weights:
        raise EncoderUnavailableError(
            f"{spec!r} names no weights; expected openclip:<arch>/<tag or checkpoint path>, such "
            f"as {DEFAULT_MODEL.spec}"
        )
    return architecture, weights


def _resolve_auto(timeout_seconds: float) -> tuple[str, str]:
    if cached_file(DEFAULT_MODEL.repository) is not None:
        return DEFAULT_MODEL.spec, "its weights are in the local cache"
    if hub_answers(timeout_seconds):
        return DEFAULT_MODEL.spec, f"its weights can be had from {hub_url()}"
    return OFFLINE, (
        f"the weights of {DEFAULT_MODEL.spec} are not in the local cache and {hub_url()} did not "
        f"answer within {timeout_seconds:g} seconds"
    )
