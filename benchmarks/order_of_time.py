"""Which models see the order of time: each family trained on clips whose classes differ only in motion.

    python -m benchmarks.order_of_time [--models i3d_tiny,gru_tiny] [--threads 2]

One network of each family, small enough for two cores, on the made clips of `benchmarks.made_motion`. No
single frame says anything about the class there: a network that looks at one stays at chance, whatever it
learns. Without `--models`, writes the table and the plot of `docs/` and `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.made_motion import FRAMES, LABELS, PAIRS, SIZE, MadeMotion
from benchmarks.report import RESULTS, write_result
from encoders.evaluation.intervals import Figure
from encoders.evaluation.reports import evaluate_classification
from encoders.models.registry import MODELS, build_model
from encoders.training.options import TrainingOptions
from encoders.training.prediction import predict_clips
from encoders.training.run import Progress, train

TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3  # of scenes: the three sets have none in common
VALIDATION_SCENES, TEST_SCENES = 25, 125
GOAL, GOAL_SECONDS = 0.9, 600.0
# Nothing is mirrored: the labels speak of left and right, and up and down. Clips are as varied as they are.
SETTINGS: Mapping[str, Any] = {
    "frames": FRAMES, "size": SIZE, "batch_size": 16, "optimiser": "adamw", "learning_rate": 2e-3,
    "warmup_epochs": 0.1, "crop_scale": 1.0, "flip": False, "jitter": 0.0, "workers": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is trained here.

    Attributes:
        model: A name of `encoders.models.registry.MODELS`.
        family: What the lectures call it.
        scenes: How many are learned from, eight clips each.
        epochs: How often each clip is seen.
        sees_order: Whether it can know which frame came first; a network that cannot is a control.
        changes: Of `SETTINGS`.
    """

    model: str
    family: str
    scenes: int
    epochs: int
    sees_order: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)


# The last state has seen all. Two stages keep places finer than three; and what a convolution over time has
# in its first layer, a recurrent network must learn from many more clips.
RECURRENT: Mapping[str, Any] = {
    "model_options": {"pooling": "last", "depth": 2, "hidden": 192}, "learning_rate": 3e-3,
}  # fmt: skip
# Its gates and its memory learn at a slower pace than the GRU's, and are thrown off by a fast start.
LSTM: Mapping[str, Any] = {
    **RECURRENT, "learning_rate": 2e-3, "warmup_epochs": 1.0, "clip_norm": 1.0, "weight_decay": 0.0,
}  # fmt: skip

RECIPES = (
    Recipe("single_frame_tiny", "single frame", 500, 1, sees_order=False),
    Recipe("frame_average_tiny", "mean over frames", 500, 1, sees_order=False),
    Recipe("two_stream_tiny", "two-stream", 1250, 2),
    Recipe("c3d_tiny", "3D CNN (C3D)", 1250, 1),
    Recipe("i3d_tiny", "I3D", 1000, 1),
    Recipe("i3d_nl_tiny", "I3D, non-local", 1000, 1),
    Recipe("slowfast_tiny", "SlowFast", 1000, 1),
    # Tubelets of half a clip: the fewer the tokens, the sooner it finds what moves.
    Recipe("vivit_tiny", "ViViT", 1000, 2, changes={"model_options": {"tubelet": 4}, "learning_rate": 1e-3}),
    Recipe("gru_tiny", "recurrent, GRU", 1250, 7, changes=RECURRENT),
    Recipe("lstm_tiny", "recurrent, LSTM", 1250, 9, changes=LSTM),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model.

    Attributes:
        model, family, sees_order: Of its recipe.
        parameters: How many it has.
        clips: How many it was shown, each as often as it was.
        seconds: Wall time of the training, with choosing the best epoch.
        cpu_seconds: Time of all cores in it.
        clips_per_second: Shown, by wall time.
        accuracy: Of the test clips, among eight classes; the interval draws whole scenes.
        pairs: The same of the clips of each pair, such as "left/right".
        recall: Of each class.
        settings: What was changed of `SETTINGS`.
    """

    model: str
    family: str
    sees_order: bool
    parameters: int
    clips: int
    seconds: float
    cpu_seconds: float
    clips_per_second: float
    accuracy: Figure
    pairs: Mapping[str, float]
    recall: Mapping[str, float]
    settings: Mapping[str, Any]

    @property
    def is_as_expected(self) -> bool:
        """90 % where the order can be seen; within 10 points of chance where it cannot."""
        value = self.accuracy.value
        return value >= GOAL if self.sees_order else value <= 1 / len(LABELS) + 0.1


def measure(
    recipe: Recipe, clips: MadeMotion, validation: MadeMotion, test: MadeMotion, seed: int = 0
) -> Outcome:
    """Trains one model and tests the epoch that did best on the validation clips."""
    needs_flow = MODELS[recipe.model].needs_flow
    part = clips.part(recipe.scenes, with_flow=needs_flow)
    settings = {**SETTINGS, **recipe.changes, "epochs": recipe.epochs, "seed": seed}
    options = TrainingOptions(model=recipe.model, **settings)
    with tempfile.TemporaryDirectory() as folder:
        started, of_cores = time.perf_counter(), time.process_time()
        chosen = validation.part(VALIDATION_SCENES, with_flow=needs_flow)
        report = train(part, chosen, options, Path(folder), on_progress=_told(recipe.model))
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - of_cores
        tested = test.part(len(test) // len(LABELS), with_flow=needs_flow)
        found, _ = predict_clips(report.best, tested, device="cpu", batch_size=64)
    targets = np.asarray(tested.targets)[found.indices]
    scenes = (found.indices // len(LABELS)).tolist()
    evaluated = evaluate_classification(found.probabilities, targets, LABELS, groups=scenes)
    recall = {label: figure.value for label, figure in evaluated.per_class.items()}
    shown = len(part) * recipe.epochs
    model = build_model(recipe.model, len(LABELS), frames=FRAMES, size=SIZE, **options.model_options)
    return Outcome(
        model=recipe.model,
        family=recipe.family,
        sees_order=recipe.sees_order,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        clips=shown,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        clips_per_second=shown / seconds,
        accuracy=evaluated.figures["top-1 accuracy"],
        pairs={"/".join(pair): float(np.mean([recall[label] for label in pair])) for pair in PAIRS},
        recall=recall,
        settings=dict(recipe.changes),
    )


def _told(model: str) -> Any:
    console = Console(stderr=True)

    def tell(progress: Progress) -> None:
        if progress.top1 is not None or progress.step % 50 == 0:
            checked = (
                "" if progress.top1 is None else f", {100 * progress.top1:.1f} % of the validation clips"
            )
            console.print(
                f"{model}: epoch {progress.epoch + 1} of {progress.epochs}, step {progress.step} of "
                f"{progress.steps}, loss {progress.loss:.2f}{checked}",
                highlight=False,
            )

    return tell


Outcomes = tuple[list[Outcome], dict[str, float]]


def run(recipes: Sequence[Recipe]) -> Iterator[Outcomes]:
    """Makes the clips, then trains one model after another.

    Yields:
        After each model, what became of those so far, and the seconds of making the clips: wall time, and
        of all cores.
    """
    started, of_cores = time.perf_counter(), time.process_time()
    clips = MadeMotion(max(recipe.scenes for recipe in recipes), TRAIN_SEED)
    validation, test = MadeMotion(VALIDATION_SCENES, VALIDATION_SEED), MadeMotion(TEST_SCENES, TEST_SEED)
    for source in (clips, validation, test):
        for index in range(len(source)):
            source.read(index, 0)
    times = {
        "making_clips_seconds": time.perf_counter() - started,
        "making_clips_cpu_seconds": time.process_time() - of_cores,
    }
    outcomes: list[Outcome] = []
    for recipe in recipes:
        outcomes.append(measure(recipe, clips, validation, test))
        Console(stderr=True).print(_line(outcomes[-1]), highlight=False)
        yield outcomes, times


COLUMNS = ("model", "family", "parameters", "clips", "seconds", "CPU seconds", "clips/s", "accuracy", "95 %")


def _row(outcome: Outcome) -> list[str]:
    accuracy = outcome.accuracy
    return [
        outcome.model,
        outcome.family,
        f"{outcome.parameters:,}",
        f"{outcome.clips:,}",
        f"{outcome.seconds:.0f}",
        f"{outcome.cpu_seconds:.0f}",
        f"{outcome.clips_per_second:.0f}",
        f"{100 * accuracy.value:.1f} %",
        f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}",
        *(f"{100 * value:.0f}" for value in outcome.pairs.values()),
    ]


def _line(outcome: Outcome) -> str:
    row = _row(outcome)
    return f"{row[0]}: {row[7]} ({row[8]}) after {row[4]} s, {row[5]} CPU s; {', '.join(row[9:])}"


def _headings() -> list[str]:
    return [*COLUMNS, *("/".join(pair) for pair in PAIRS)]


def show(outcomes: Sequence[Outcome], times: Mapping[str, float]) -> None:
    """The table, on the terminal."""
    table = Table(*_headings())
    for outcome in outcomes:
        table.add_row(*_row(outcome))
    console = Console(width=170)
    console.print(table)
    console.print(summary(outcomes, times), highlight=False)


def summary(outcomes: Sequence[Outcome], times: Mapping[str, float]) -> str:
    """What came out, in words."""
    short = [outcome.model for outcome in outcomes if not outcome.is_as_expected]
    verdict = "Every model did as expected" if not short else f"Not as expected: {', '.join(short)}"
    if absent := [recipe.model for recipe in RECIPES if recipe.model not in {one.model for one in outcomes}]:
        verdict += f" (not measured: {', '.join(absent)})"
    total = _totals(outcomes, times)
    return (
        f"{verdict}: at least {GOAL:.0%} where the network can know the order of the frames, within ten "
        f"points of chance ({1 / len(LABELS):.1%}) where it cannot. Making the clips and training all took "
        f"{total['seconds']:.0f} s with {torch.get_num_threads()} thread(s), {total['cpu_seconds']:.0f} s of "
        f"CPU time; the goal is {GOAL_SECONDS:.0f} s."
    )


def _totals(outcomes: Sequence[Outcome], times: Mapping[str, float]) -> dict[str, float]:
    """Seconds of making the clips and of all trainings, whenever they were: wall time, and of all cores."""
    wall = times["making_clips_seconds"] + sum(one.seconds for one in outcomes)
    cpu = times["making_clips_cpu_seconds"] + sum(one.cpu_seconds for one in outcomes)
    return {"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}


def to_markdown(outcomes: Sequence[Outcome], times: Mapping[str, float]) -> str:
    """The page of `docs/`."""
    headings = _headings()
    lines = [
        "# The order of time",
        "",
        "Which networks know in what order frames came? Written by `python -m benchmarks.order_of_time`.",
        "",
        "![Accuracy of each model](images/order-of-time.png)",
        "",
        f"Clips of {FRAMES} frames of {SIZE} x {SIZE} pixels, of eight classes in four pairs: "
        f"{', '.join(' and '.join(pair) for pair in PAIRS)}. Shapes, textures and backgrounds are random; "
        "what a clip looks like has nothing to do with its class. Places and sizes go round: the n-th "
        "frames of all classes have one distribution, for every n; and the eight clips of a scene, one of "
        "each class, have the same middle frame, to the pixel. A network that looks at that frame alone "
        f"can do no better than chance, {1 / len(LABELS):.1%}: it answers the same for all eight, and is "
        "right once.",
        "",
        "Each is one network that tells all eight classes apart, trained from random weights. The "
        f"{TEST_SCENES * len(LABELS):,} test clips are of scenes that were not learned from; intervals are a "
        "95 % bootstrap over whole scenes. The last columns are the accuracy, in percent, on the clips of "
        "each pair, still among all eight classes.",
        "",
        "| " + " | ".join(headings) + " |",
        "|" + "|".join("---" if number < 2 else "---:" for number in range(len(headings))) + "|",
        *("| " + " | ".join(_row(outcome)) + " |" for outcome in outcomes),
        "",
        summary(outcomes, times),
        "",
        "`mean over frames` sees all eight frames and averages what it says of each: it is the same network "
        "played forwards or backwards. The two-stream network sees one frame and real optical flow (DIS), "
        "whose measuring is part of its seconds. Wall time depends on what else the machine does, CPU time "
        "less so.",
        "",
        "Settings: " + ", ".join(f"{name} {value}" for name, value in SETTINGS.items()) + ". "
        "Changed for " + ("; ".join(_changed(outcomes)) or "none") + ".",
        "",
    ]
    return "\n".join(lines)


def _changed(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{one.model}: {', '.join(f'{name} {value}' for name, value in one.settings.items())}"
        for one in outcomes
        if one.settings
    ]


def main() -> None:
    """Measures, shows, writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", help="some of them, with commas between: the others keep their figures")
    parser.add_argument("--threads", type=int, default=2, help="cores to use")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    known = {recipe.model: recipe for recipe in RECIPES}
    names = arguments.models.split(",") if arguments.models else list(known)
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"there is no recipe for {unknown[0]}; expected some of {', '.join(known)}")
    kept = read() if arguments.models else {}
    for measured, times in run([known[name] for name in names]):
        found = {**kept, **{one.model: one for one in measured}}
        # A run that is stopped leaves what it has.
        write([found[name] for name in known if name in found], times, arguments.threads)
    show([found[name] for name in known if name in found], times)


def read() -> dict[str, Outcome]:
    """What was measured before, by model."""
    file = RESULTS / "order_of_time.json"
    if not file.exists():
        return {}
    models = json.loads(file.read_text(encoding="utf-8"))["models"]
    return {one["model"]: Outcome(**{**one, "accuracy": Figure(**one["accuracy"])}) for one in models}


def write(outcomes: Sequence[Outcome], times: Mapping[str, float], threads: int) -> None:
    """The page, the plot and the figures."""
    from benchmarks.order_of_time_plot import draw

    docs = Path(__file__).parent.parent / "docs"
    (docs / "order-of-time.md").write_text(to_markdown(outcomes, times), encoding="utf-8")
    draw(outcomes, docs / "images" / "order-of-time.png")
    document = {
        "threads": threads,
        **times,
        **_totals(outcomes, times),
        "models": [asdict(one) for one in outcomes],
    }
    with redirect_stdout(StringIO()):  # it would print all of it
        write_result("order_of_time", document)


if __name__ == "__main__":
    main()
