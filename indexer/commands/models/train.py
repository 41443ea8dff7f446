"""`indexer train`: parse, call, show."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.errors import InvalidQueryError, ReelseekError
from indexer.commands.models.options import CacheOption, DataOption, LayoutOption, open_cache
from indexer.terminal import show
from indexer.terminal.options import DeviceOption, JsonOption, print_json

if TYPE_CHECKING:
    from encoders.backbones.optical_flow import FlowPreset
    from encoders.training.options import TrainingOptions
    from indexer.datasets.layouts import Dataset
    from indexer.datasets.training_data import ClipDataset
    from indexer.video.clips.array_cache import ArrayCache

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
    from indexer.terminal.show_training import show_trained, show_training

    given = read_options(config) if config is not None else {}
    given |= _read_changes(changes or [])
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
    clips, validation = _training_clips(dataset, options, source_fps, open_cache(cache_gb))
    card = {
        **dataset.summary(),
        "digest": f"{clips.fingerprint} at {source_fps:g} fps",  # another rate shows other frames
        "fps": clips.sampling.fps / clips.sampling.stride,
        "source_fps": source_fps,
    }
    with show_training() if is_first else nullcontext(lambda _: None) as on_progress:
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
        show_trained(document)


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
        cache=open_cache(cache_gb),
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
        from indexer.terminal.show_training import show_trained_importance

        show_trained_importance(document)


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


def _read_changes(changes: list[str]) -> dict[str, Any]:
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


def _named(damaged: dict[int, str], clips: ClipDataset, validation: ClipDataset) -> list[dict[str, str]]:
    """Files that could not be read, each once, with why."""
    found = {}
    for index, reason in damaged.items():
        sample = clips.sample_of(index) if index >= 0 else validation.sample_of(-1 - index)
        found[sample.path] = reason.removeprefix(f"{sample.path}: ")
    return [{"path": path, "reason": reason} for path, reason in sorted(found.items())]
