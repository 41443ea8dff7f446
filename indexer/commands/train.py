"""`indexer train`, `evaluate` and `predict`: parse, call, show."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.errors import InvalidQueryError, ReelseekError
from indexer.commands.options import DeviceOption, JsonOption, print_json
from indexer.terminal import show, show_training

if TYPE_CHECKING:
    from encoders.backbones.optical_flow import FlowPreset
    from encoders.evaluation.reports import EvaluationReport
    from encoders.training.options import TrainingOptions
    from indexer.datasets.layouts import Dataset, Split
    from indexer.datasets.training_data import ClipDataset
    from indexer.video.clips.array_cache import ArrayCache

DataOption = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Folder per class, UCF-101, Kinetics, ..."),
]
LayoutOption = Annotated[
    str, typer.Option(metavar="NAME", help="Of the data: folders, ucf101, kinetics, something, activitynet.")
]
CacheOption = Annotated[
    float, typer.Option(min=0, help="Decoded frames and flow kept on disk, in GB at most; 0 for none.")
]
FLOW_POSITIONS = 4  # places of a training clip, with flow: few, that what was computed is used again


def train(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="See `indexer models`; or importance, for summaries.")
    ],
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="For checkpoints; a run in it goes on.")],
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Options as TOML or JSON."),
    ] = None,
    layout: LayoutOption = "auto",
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips a step, on each device.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0)] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="T; default: the model's.")] = None,
    size: Annotated[int | None, typer.Option(min=8, help="Crop in pixels; default: the model's.")] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Source frames from one to the next.")] = None,
    source_fps: Annotated[float, typer.Option(help="That the stride counts in.")] = 30.0,
    workers: Annotated[int | None, typer.Option(min=0, help="Programs that decode.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any other option: --set optimiser=sgd; repeatable."
        ),
    ] = None,
    cache_gb: CacheOption = 4.0,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Importance: the library's encoder whose features it reads."),
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a video model; stopped, the same command goes on where it was.

    Several GPUs: `torchrun --nproc-per-node 4 -m indexer train ...`.
    """
    from encoders.training.options import TrainingOptions, read_options
    from encoders.training.run_folder import make_run_folder
    from indexer.datasets.layouts import read_dataset

    given = read_options(config) if config is not None else {}
    given |= _settings(changes or [])
    named = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "frames": frames,
        "size": size, "stride": stride, "workers": workers,
    }  # fmt: skip
    given |= {name: value for name, value in named.items() if value is not None}
    given.pop("model", None)
    if model == "importance":
        _train_importance(data, out.expanduser(), given, encoder, device, layout, cache_gb, as_json)
        return
    if encoder is not None or device is not None:
        raise InvalidQueryError(
            f"--encoder and --device go with importance; {model} is trained from pixels, on the GPUs that "
            "CUDA_VISIBLE_DEVICES names"
        )
    options = TrainingOptions(model).changed(given)
    out = out.expanduser()
    is_new = make_run_folder(out)
    with show.status("loading PyTorch"):
        from encoders.training.checks import check_model
        from encoders.training.run import train as run
    try:
        check_model(options)  # before the data are looked at, which may take minutes
        dataset = read_dataset(data, layout=layout, seed=options.seed)
    except ReelseekError:
        if is_new:
            with suppress(OSError):
                out.rmdir()  # a typing error leaves nothing behind
        raise
    is_first = os.environ.get("RANK", "0") == "0"  # of the programs that torchrun starts: it speaks for all
    for line in dataset.notes if is_first else ():
        show.note(line)
    clips, validation = _training_clips(dataset, options, source_fps, _cache(cache_gb))
    card = {
        **dataset.summary(),
        "digest": f"{clips.fingerprint} at {source_fps:g} fps",  # another rate shows other frames
        "fps": clips.sampling.fps / clips.sampling.stride,
        "source_fps": source_fps,
    }
    with show_training.training() if is_first else nullcontext(lambda _: None) as on_progress:
        report = run(clips, validation, options, out, dataset=card, on_progress=on_progress, say=show.note)
    if not is_first:
        return
    damaged = _named(report.damaged, clips, validation)
    document = {
        "best": str(report.best), "last": str(report.last), "top1": round(report.top1, 4),
        "epochs": report.epochs, "seconds": round(report.seconds, 1), "damaged": damaged,
    }  # fmt: skip
    if as_json:
        print_json(document)
    else:
        show_training.trained(document)


def _train_importance(
    data: Path,
    out: Path,
    given: dict[str, Any],
    encoder: str | None,
    device: str | None,
    layout: str,
    cache_gb: float,
    as_json: bool,
) -> None:
    with show.status("loading PyTorch"):
        from encoders.lessons.importance import ImportanceOptions
        from indexer.datasets.importance_training import train_on_folder

    run = train_on_folder(
        data,
        out,
        ImportanceOptions().changed(given),
        encoder_spec=encoder or "auto",
        device=device or "auto",
        layout=layout,
        cache=_cache(cache_gb),
        counting=show.counting,
        say=show.note,
    )
    report = run.report
    document = {
        "best": str(report.best), "loss": report.loss, "figure": report.figure,
        "value": round(report.value, 4), "epoch": report.epoch,
        "damaged": [{"path": path, "reason": reason} for path, reason in run.damaged.items()],
    }  # fmt: skip
    if as_json:
        print_json(document)
    else:
        show_training.trained_importance(document)


def _training_clips(
    dataset: Dataset, options: TrainingOptions, source_fps: float, cache: ArrayCache | None
) -> tuple[ClipDataset, ClipDataset]:
    from encoders.models.registry import known_model
    from indexer.datasets.training_data import ClipDataset
    from indexer.video.clips.clip_sampling import ClipSampling

    try:
        info = known_model(options.model)
        size = options.size or info.size
        sampling = ClipSampling(
            frames=options.frames or info.frames,
            stride=options.stride or info.stride,
            fps=source_fps,
            size=max(16, round(size * 8 / 7)),  # room to cut from, as 256 is to 224
        )
    except ValueError as error:
        raise InvalidQueryError(str(error)) from error
    flow: FlowPreset | None = "medium" if info.needs_flow else None
    train = ClipDataset(
        dataset.of("train"),
        dataset.labels,
        sampling,
        training=True,
        seed=options.seed,
        positions=FLOW_POSITIONS if flow else None,
        flow=flow,
        cache=cache,
    )
    validation = ClipDataset(
        dataset.of("val"), dataset.labels, sampling, training=False, flow=flow, cache=cache
    )
    return train, validation


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
    """How good a trained model is: top-1, top-5, each class, who is taken for whom; or retrieval.

    A file of results is judged too: localised actions against ActivityNet's or THUMOS' annotations (mAP
    at temporal overlaps), importance against SumMe's or TVSum's (F1, Kendall, Spearman). Every figure
    comes with its 95 % interval (bootstrap; Wilson's where all or none are right).
    """
    if checkpoint.suffix.lower() == ".json":
        from indexer.datasets.results_evaluation import evaluate_results

        judged = evaluate_results(
            checkpoint, data, layout=layout, split=_split(split), protocol=protocol, say=show.note
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
            split=_split(split),
            layout=layout,
            device=device or "auto",
            cache=_cache(cache_gb),
            counting=show.counting,
            say=show.note,
        )
        _show_report(judged, as_json)
        return
    if encoder is not None:
        raise InvalidQueryError(f"--encoder goes with {UNTRAINED}; a checkpoint names its own")
    report = evaluate_checkpoint(
        checkpoint, data, layout=layout, split=_split(split), clips=clips, crops=crops, retrieval=retrieval,
        batch_size=batch_size, workers=workers, device=device or "auto", cache=_cache(cache_gb),
        counting=show.counting, say=show.note,
    )  # fmt: skip
    if confusion is not None:
        _draw(report, confusion)
    _show_report(report, as_json)


def _show_report(report: EvaluationReport, as_json: bool) -> None:
    if as_json:
        print_json(report.to_document())
    else:
        show_training.evaluation(report)


def _split(name: str) -> Split:
    from indexer.datasets.types import SPLITS

    if name not in SPLITS:
        raise InvalidQueryError(f"the split must be one of {', '.join(SPLITS)}, got {name!r}")
    return name


def _draw(report: Any, file: Path) -> None:
    from encoders.evaluation.confusion_picture import confusion_picture

    if report.confusion is None:
        raise InvalidQueryError("--confusion goes with classes, not with --retrieval")
    try:
        file.write_bytes(confusion_picture(report.confusion, report.labels))
    except OSError as error:
        raise InvalidQueryError(f"the picture cannot be written to {file}: {error.strerror}") from error


def predict(
    video: Annotated[Path, typer.Argument(metavar="VIDEO")],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="SPEC", help="A checkpoint, the folder of a run, or kinetics:<model>."
        ),
    ],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, max=1000)] = 5,
    crops: Annotated[int, typer.Option(help="1 or 3.")] = 1,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a model says of one video: its classes, the surest first."""
    from indexer.datasets.prediction import predict_video

    if crops not in (1, 3):
        raise InvalidQueryError(f"crops must be 1 or 3, got {crops}")
    document = predict_video(video, model, top_k=top_k, crops=crops, device=device or "auto")
    if as_json:
        print_json(document)
    else:
        show_training.predictions(document)


def models(as_json: JsonOption = False) -> None:
    """The models that can be trained."""
    from encoders.models.registry import MODELS

    rows = [
        {
            "model": info.name, "frames": info.frames, "size": info.size, "stride": info.stride,
            "flow": info.needs_flow, "takes": info.frame_rule, "paper": info.paper,
        }
        for info in MODELS.values()
    ]  # fmt: skip
    if as_json:
        print_json({"models": rows})
    else:
        show_training.models(rows)


def _settings(changes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise InvalidQueryError(f"--set takes NAME=VALUE, got {change!r}")
        try:
            found[name.strip().replace("-", "_")] = json.loads(value)
        except ValueError:
            found[name.strip().replace("-", "_")] = value  # a word
    return found


def _cache(gigabytes: float) -> ArrayCache | None:
    from platformdirs import user_cache_path

    from indexer.video.clips.array_cache import ArrayCache

    if not gigabytes:
        return None
    folder = Path(os.environ.get("REELSEEK_CACHE") or user_cache_path("reelseek")) / "training"
    try:
        return ArrayCache(folder, int(gigabytes * 1e9))
    except OSError as error:
        raise InvalidQueryError(
            f"decoded clips cannot be kept in {folder}: {error.strerror}; set REELSEEK_CACHE, or --cache-gb 0"
        ) from error


def _named(damaged: dict[int, str], clips: ClipDataset, validation: ClipDataset) -> list[dict[str, str]]:
    """Files that could not be read, each once, with why."""
    found = {}
    for index, reason in damaged.items():
        sample = clips.sample_of(index) if index >= 0 else validation.sample_of(-1 - index)
        found[sample.path] = reason.removeprefix(f"{sample.path}: ")
    return [{"path": path, "reason": reason} for path, reason in sorted(found.items())]
