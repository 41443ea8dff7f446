"""`indexer evaluate`: parse, call, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.errors import InvalidQueryError
from indexer.commands.models.options import CacheOption, DataOption, LayoutOption, open_cache, read_split
from indexer.terminal import show
from indexer.terminal.options import DeviceOption, JsonOption, print_json

if TYPE_CHECKING:
    from encoders.evaluation.reports import EvaluationReport


def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT|RESULTS.json",
            help="A trained model or its folder, results to judge, or representativeness (untrained).",
        ),
    ],
    data: DataOption,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    layout: LayoutOption = "auto",
    clips: Annotated[int, typer.Option(min=1, max=100, help="Of each video, evenly spaced.")] = 10,
    crops: Annotated[int, typer.Option(help="1: the centre; 3: both ends of the longer side too.")] = 1,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Judge the features: does a video find others of its class?")
    ] = False,
    confusion: Annotated[Path | None, typer.Option(metavar="FILE.png", help="A picture of it.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    workers: Annotated[int, typer.Option(min=0)] = 0,
    protocol: Annotated[str, typer.Option(help="Of mAP: activitynet or thumos.")] = "activitynet",
    encoder: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Of representativeness: whose features it reads.")
    ] = None,
    device: DeviceOption = None,
    cache_gb: CacheOption = 4.0,
    as_json: JsonOption = False,
) -> None:
    """Judge a trained model: top-1, top-5, each class, who is taken for whom; or retrieval.

    A file of results is judged too: localised actions against ActivityNet's or THUMOS' annotations (mAP
    at temporal overlaps), importance against SumMe's or TVSum's (F1, Kendall, Spearman). Every figure
    comes with its 95 % interval (bootstrap; Wilson's where all or none are right).
    """
    if checkpoint.suffix.lower() == ".json":
        from indexer.datasets.results_evaluation import evaluate_results

        judged = evaluate_results(
            checkpoint, data, layout=layout, split=read_split(split), protocol=protocol, say=show.note
        )
        _show_report(judged, as_json)
        return
    if crops not in (1, 3):
        raise InvalidQueryError(f"crops must be 1 or 3, got {crops}")
    checkpoint = checkpoint.expanduser()
    with show.status("loading PyTorch"):
        from encoders.heads.importance import is_importance
        from indexer.datasets.checkpoint_evaluation import evaluate_checkpoint
        from search.summary.choosing import UNTRAINED
    untrained = str(checkpoint) == UNTRAINED
    if untrained or is_importance(checkpoint):
        from indexer.datasets.importance_training import evaluate_importance

        judged = evaluate_importance(
            None if untrained else checkpoint,
            data,
            encoder_spec=encoder,
            split=read_split(split),
            layout=layout,
            device=device or "auto",
            cache=open_cache(cache_gb),
            counting=show.counting,
            say=show.note,
        )
        _show_report(judged, as_json)
        return
    if encoder is not None:
        raise InvalidQueryError(f"--encoder goes with {UNTRAINED}; a checkpoint names its own")
    report = evaluate_checkpoint(
        checkpoint, data, layout=layout, split=read_split(split), clips=clips, crops=crops,
        retrieval=retrieval, batch_size=batch_size, workers=workers, device=device or "auto",
        cache=open_cache(cache_gb), counting=show.counting, say=show.note,
    )  # fmt: skip
    if confusion is not None:
        _draw(report, confusion)
    _show_report(report, as_json)


def _show_report(report: EvaluationReport, as_json: bool) -> None:
    if as_json:
        print_json(report.to_document())
    else:
        from indexer.terminal.show_training import show_evaluation

        show_evaluation(report)


def _draw(report: Any, file: Path) -> None:
    from encoders.evaluation.confusion_picture import confusion_picture

    if report.confusion is None:
        raise InvalidQueryError("--confusion goes with classes, not with --retrieval")
    try:
        file.write_bytes(confusion_picture(report.confusion, report.labels))
    except OSError as error:
        raise InvalidQueryError(f"the picture cannot be written to {file}: {error.strerror}") from error
