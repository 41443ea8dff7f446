"""The library made ready for an ingest: its encoder, its sampling, and what names actions in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from encoders import Encoder, open_encoder, resolve_spec
from encoders.embedding.encoder import check_pooling
from encoders.errors import EncoderMismatchError, InvalidQueryError
from encoders.heads.kinetics import resolve_classifier
from encoders.weights.digests import CLASSIFIER_PREFIXES
from indexer.ingest.types import IngestOptions
from indexer.video.types import SamplingOptions, stored_sampling
from search.actions.heads import remove_named_heads
from search.actions.zero_shot import add_zero_shot
from search.library import Library


def prepare_library(
    library: Library,
    options: IngestOptions,
    say: Callable[[str], None] = lambda _: None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> tuple[Encoder, SamplingOptions]:
    """Makes the library on the first ingest; afterwards checks that the options fit it.

    Args:
        library: Open, perhaps still empty.
        options: What the user asked for.
        say: Told which encoder was chosen and why.
        on_stage: Told what takes its time.

    Raises:
        EncoderMismatchError: Another encoder than the library's was asked for.
        EncoderUnavailableError: The encoder cannot be loaded here.
    """
    wanted = None if options.actions is None else _read_actions(options.actions)
    with library.read() as catalog:
        record = catalog.library_record()
    if record is None:
        on_stage("choosing an encoder")
        spec, reason = resolve_spec(options.encoder or "auto")
        say(f"encoder {spec}: {reason}")
        pooling = check_pooling(options.pooling or "mean")
        on_stage(f"loading the encoder {spec}")
        encoder = open_encoder(spec, device=options.device, pooling=pooling)
        sampling = (options.sampling or SamplingOptions()).with_frame_size(encoder.frame_size)
        library.create(encoder, pooling=pooling, sampling=sampling.to_json())
        wanted = wanted or WantedActions()
        if encoder.tags_by_name and not (wanted.nothing or wanted.by_name):
            wanted = replace(wanted, by_name=(None,))
        return encoder, _with_actions(library, sampling, wanted, say)
    if options.encoder not in (None, "auto"):
        spec, _ = resolve_spec(options.encoder)
        if spec != record.encoder_spec:
            raise EncoderMismatchError(
                f"this library was made with {record.encoder_spec}, not {spec}: its vectors cannot be "
                "compared with those of another encoder; leave --encoder out, or make another "
                "library with --library"
            )
    if options.pooling not in (None, record.pooling):
        raise EncoderMismatchError(
            f"this library pools by {record.pooling}, not {options.pooling}; leave --pooling out, or "
            "make another library with --library"
        )
    on_stage(f"loading the encoder {record.encoder_spec}")
    encoder = library.encoder()
    stored = stored_sampling(record.sampling)
    sampling = (options.sampling or stored).with_frame_size(encoder.frame_size)
    sampling = _with_actions(library, sampling, wanted, say)
    # One with a backbone is kept once that could be loaded: else no later ingest would work either.
    if sampling != stored and sampling.actions is None:
        with library.write() as catalog:
            catalog.set_library(sampling=sampling.to_json())
    return encoder, sampling


@dataclass(frozen=True, slots=True)
class WantedActions:
    """The wish for what names actions: a backbone, lists of names (None: the usual), or nothing."""

    backbone: str | None = None
    by_name: tuple[list[str] | None, ...] = ()
    nothing: bool = False


def _read_actions(chosen: Sequence[str]) -> WantedActions:
    """Checks what was asked for before anything is made or changed."""
    backbones = [spec for spec in chosen if spec.startswith(CLASSIFIER_PREFIXES)]
    if len(backbones) > 1:
        raise InvalidQueryError(f"one backbone at a time names actions, got {' and '.join(backbones)}")
    by_name: list[list[str] | None] = []
    for other in chosen:
        if other == "zero-shot" or other.startswith("zero-shot:"):
            by_name.append(_names_in(other.partition(":")[2]))
        elif other != "none" and other not in backbones:
            raise InvalidQueryError(
                f"--actions {other!r} is not known; expected kinetics:<model>, "
                "model:<checkpoint>, zero-shot, zero-shot:<file of names> or none"
            )
    if len(by_name) > 1:
        raise InvalidQueryError("--actions zero-shot was given twice; put all names into one file")
    if "none" in chosen and len(set(chosen)) > 1:
        raise InvalidQueryError("--actions none goes with no other: leave it out, or the others")
    return WantedActions(
        resolve_classifier(backbones[0]) if backbones else None, tuple(by_name), "none" in chosen
    )


def _with_actions(
    library: Library, sampling: SamplingOptions, wanted: WantedActions | None, say: Callable[[str], None]
) -> SamplingOptions:
    """The sampling that the wanted heads need; gives the library those that read stored features."""
    if wanted is None:
        return sampling
    if wanted.backbone is not None and sampling.sampling == "keyframes":
        raise InvalidQueryError(
            f"{wanted.backbone} needs to see movement, and key frames are too far apart for that: ingest "
            "with --sampling exact, or without --actions kinetics"
        )
    if wanted.nothing:
        remove_named_heads(library)
    if wanted.by_name and not library.encoder().tags_by_name:
        say(
            f"the words of {library.record().encoder_spec} are too weak to name actions: expect many wrong "
            "segments from zero-shot, better teach them (`indexer actions teach`); --actions none takes "
            "zero-shot away again"
        )
    for names in wanted.by_name:
        add_zero_shot(library, names)
    if wanted.backbone is None:
        return sampling.without_actions()
    # The rate is the model's own: set when it is loaded. What counts here is that one is wanted.
    return replace(sampling, actions=wanted.backbone)


def _names_in(path: str) -> list[str] | None:
    if not path:
        return None
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidQueryError(
            f"the names of actions in {path} cannot be read: {error}; expected one name a line"
        ) from error
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise InvalidQueryError(f"{path} holds no name of an action; expected one a line")
    return names
