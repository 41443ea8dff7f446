"""Training and evaluation of importance heads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoders.embedding.registry import open_encoder
from encoders.errors import EncoderMismatchError, InvalidQueryError
from encoders.evaluation.spans import evaluate_summaries
from encoders.heads.importance import open_importance
from encoders.lessons.importance import (
    ImportanceOptions,
    ImportanceReport,
    ImportanceVideo,
    train_importance,
)
from encoders.training.run_folder import run_lock
from indexer.datasets.importance_data import (
    SummarySample,
    encode_samples,
    read_summary_data,
    to_judge,
    to_learn,
)
from indexer.datasets.types import Split
from indexer.video.types import SamplingOptions
from search.summary.looks import representativeness

if TYPE_CHECKING:
    from encoders.evaluation.reports import EvaluationReport
    from indexer.video.clips.array_cache import ArrayCache

Counting = Callable[[str], Any]  # a context that gives (done, total) -> None


@dataclass(frozen=True, slots=True)
class TrainedImportance:
    """The outcome of a run: the head, and the videos that could not be read (path and reason)."""

    report: ImportanceReport
    damaged: dict[str, str]


def train_on_folder(
    folder: Path,
    out: Path,
    options: ImportanceOptions,
    *,
    encoder_spec: str,
    device: str,
    layout: str,
    cache: ArrayCache | None,
    counting: Counting,
    say: Callable[[str], None],
) -> TrainedImportance:
    """Encodes the videos of a data set and learns an importance head from them.

    Args:
        folder: Of the data set.
        out: For the head, `best.safetensors`.
        options: Of the run.
        encoder_spec: Of the library that the head is for.
        device: For the encoder.
        layout: As for `read_summary_data`.
        cache: For the features; a run that is stopped goes on with those that are there.
        counting: Makes progress bars.
        say: Told what people should know.

    Raises:
        InvalidQueryError: There is nothing to learn from, or not what the loss needs.
        RunBusyError: Another training writes to the folder.
    """
    data = read_summary_data(folder, layout=layout, seed=options.seed)
    for line in data.notes:
        say(line)
    with run_lock(out):
        encoder = open_encoder(encoder_spec, device=device)
        sampling = SamplingOptions(frame_size=encoder.frame_size)
        with counting("videos encoded") as on_progress:
            wanted = [sample for sample in data.samples if sample.split != "test"]
            tracks, damaged = encode_samples(wanted, encoder, sampling, cache, on_progress=on_progress)

        def learned_from(split: Split) -> list[ImportanceVideo]:
            return [to_learn(sample, track) for sample, track in tracks if sample.split == split]

        card = {
            "name": out.resolve().name,
            "encoder_spec": encoder.spec,
            "encoder_id": encoder.encoder_id,
            "sampling": json.loads(sampling.to_json()),
            "dataset": {"layout": data.layout, "videos": len(tracks), "classes": list(data.classes)},
        }
        with counting("epochs") as on_progress:
            report = train_importance(
                learned_from("train"), learned_from("val"), options, out,
                card=card, classes=len(data.classes), on_progress=on_progress,
            )  # fmt: skip
    return TrainedImportance(report, damaged)


def evaluate_importance(
    checkpoint: Path | None,
    folder: Path,
    *,
    encoder_spec: str | None,
    split: Split,
    layout: str,
    device: str,
    cache: ArrayCache | None,
    counting: Counting,
    say: Callable[[str], None],
) -> EvaluationReport:
    """F1 and rank correlation with people, on videos of SumMe's or TVSum's layout.

    Args:
        checkpoint: Of an importance head; None judges representativeness, which nothing was learned for.
        folder: Of the data.
        encoder_spec: Whose features representativeness reads; None means the best there is. A head knows.
        split: Which videos; where none are set apart for tests, a head is judged on those that chose its best
            epoch, and representativeness on all.
        layout: As for `read_summary_data`.
        device: For the encoder.
        cache: For the features.
        counting: Makes progress bars.
        say: Told what people should know.

    Raises:
        InvalidQueryError: Nobody scored these videos, or none of them can be read.
        EncoderMismatchError: The encoder that the head was trained with has other weights now.
    """
    head = None if checkpoint is None else open_importance(checkpoint)
    if head is not None and encoder_spec is not None:
        raise InvalidQueryError(
            f"--encoder goes with representativeness; this head reads {head.encoder_spec}"
        )
    seed = 0 if head is None else head.card.get("config", {}).get("seed", 0)
    data = read_summary_data(folder, layout=layout, seed=seed)
    for line in data.notes:
        say(line)
    chosen = _of_split(data.samples, split, head is not None, say)
    encoder = open_encoder(encoder_spec or "auto" if head is None else head.encoder_spec, device=device)
    if head is not None and encoder.encoder_id != head.encoder_id:
        raise EncoderMismatchError(
            f"the importance head {head.name} was trained with {head.encoder_id}, and {head.encoder_spec} is "
            f"{encoder.encoder_id} here: train it again"
        )
    sampling = SamplingOptions(frame_size=encoder.frame_size) if head is None else _sampling(head.card)
    with counting("videos encoded") as on_progress:
        tracks, damaged = encode_samples(chosen, encoder, sampling, cache, on_progress=on_progress)
    cases = [
        to_judge(
            sample, track, representativeness(track) if head is None else head.importance(track.features)
        )
        for sample, track in tracks
    ]
    if not cases:
        raise InvalidQueryError(
            f"none of the {len(chosen)} videos could be read: {next(iter(damaged.values()))}"
        )
    return evaluate_summaries(cases, over="mean" if data.layout == "tvsum" else "max", skipped=damaged)


def _of_split(
    samples: tuple[SummarySample, ...], split: Split, is_learned: bool, say: Callable[[str], None]
) -> list[SummarySample]:
    if all(sample.people is None for sample in samples):
        raise InvalidQueryError(
            "nobody scored the moments of these videos, so there is nothing to judge importance by; expected "
            "SumMe's or TVSum's layout"
        )
    found = [sample for sample in samples if sample.split == split]
    if not found and split == "test":
        if not is_learned:
            say(f"nothing was learned from these videos: judging all {len(samples)}")
            return list(samples)
        say("no test split here; judging val")
        found = [sample for sample in samples if sample.split == "val"]
    if not found:
        raise InvalidQueryError(f"there is no {split} video in the data; expected --split train or val")
    return found


def _sampling(card: Mapping[str, Any]) -> SamplingOptions:
    try:
        return SamplingOptions.from_json(json.dumps(card["sampling"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidQueryError(
            f"the importance head's card has no sampling ({error}); train it again"
        ) from error
