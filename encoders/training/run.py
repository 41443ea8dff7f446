"""Training of video models: what every paper's recipe has in common.

SGD with momentum or AdamW, warm-up and cosine (Loshchilov and Hutter 2017, arXiv:1608.03983), mixup,
mixed precision, several GPUs under `torchrun`. A run that was killed goes on where it was last saved and
ends with the same weights: order, crops and dropout follow from the seed and the number of the step, not
from what happened before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.errors import InvalidQueryError
from encoders.models.base import MEAN, STD, VideoModel
from encoders.models.registry import MODELS
from encoders.training.augment import Augmentation
from encoders.training.batches import (
    Batch,
    ClipSource,
    ReadClips,
    evaluation_batches,
    mixed,
    read_batches,
    training_batches,
)
from encoders.training.checkpoints import BEST, LAST, save_checkpoint
from encoders.training.checks import build_chosen, unseen_classes
from encoders.training.losses import make_loss
from encoders.training.options import TrainingOptions
from encoders.training.recipe import class_weights, learning_rate, make_optimiser, mix_clips, precision
from encoders.training.run_folder import run_lock
from encoders.training.state import Events, read_state, same_run, write_state


@dataclass(slots=True)
class Progress:
    """The state of a run, told after every step.

    Attributes:
        epoch, epochs: From 0.
        step, steps: Of this epoch.
        loss: Of the step.
        learning_rate: At the step.
        top1: On the validation clips, after an epoch; None before.
        clips_per_second: In this epoch, since this program works on it.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    learning_rate: float
    top1: float | None = None
    clips_per_second: float = 0.0


@dataclass(slots=True)
class TrainReport:
    """The outcome of a run.

    Attributes:
        best: The checkpoint that did best on the validation clips.
        last: The one at the end.
        top1: Of the best.
        epochs: How many were run, those before a stop included.
        seconds: Wall time, of this program only.
        damaged: Clips that could not be read: index and reason.
    """

    best: Path
    last: Path
    top1: float
    epochs: int
    seconds: float
    damaged: dict[int, str] = field(default_factory=dict)


def train(
    clips: ClipSource,
    validation: ClipSource,
    options: TrainingOptions,
    folder: Path,
    *,
    dataset: dict[str, Any] | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> TrainReport:
    """Trains a model; goes on with a run that the folder holds unfinished.

    Args:
        clips: To learn from.
        validation: To choose the best epoch by; not learned from.
        options: Of the run.
        folder: For `best.safetensors`, `last.safetensors`, the state to go on from, TensorBoard's events.
        dataset: What the clips are, for the card; its "digest" tells these clips from others.
        on_progress: Told after every step.
        say: Told what people should know: that a run goes on, what is missing in the data.

    Raises:
        InvalidQueryError: There is nothing to learn from, the model does not take the options, or the folder
            holds another run or cannot be written to.
        RunBusyError: Another training writes to the folder.
    """
    if len(clips.labels) < 2:
        raise InvalidQueryError(
            f"there is one class only ({', '.join(clips.labels)}), so nothing to tell apart; expected two "
            "or more"
        )
    if len(clips) == 0 or len(validation) == 0:
        raise InvalidQueryError(
            f"there are {len(clips)} clips to learn from and {len(validation)} to check with; expected some "
            "of each"
        )
    is_first = int(os.environ.get("RANK", "0")) == 0  # of several programs one holds the folder for all
    with run_lock(folder) if is_first else nullcontext():
        run = _Run(clips, validation, options, folder, dataset or {}, on_progress, say if is_first else None)
        return run.train()


class _Run:
    def __init__(
        self,
        clips: ClipSource,
        validation: ClipSource,
        options: TrainingOptions,
        folder: Path,
        dataset: dict[str, Any],
        on_progress: Callable[[Progress], None],
        say: Callable[[str], None] | None,
    ) -> None:
        from accelerate import Accelerator

        self._clips, self._validation, self._options = clips, validation, options
        self._folder, self._dataset, self._on_progress = folder, dataset, on_progress
        self._say = say or (lambda line: None)
        self._accelerator = Accelerator(mixed_precision=precision(options))
        torch.manual_seed(options.seed)
        extra = dict(options.model_options)
        if options.pretrained is not None:
            extra["pretrained"] = options.pretrained
        self._model = build_chosen(options, len(clips.labels), extra)
        info = MODELS[options.model]
        self._frames = options.frames or info.frames
        self._size = options.size or info.size
        self._stride = options.stride or info.stride
        self._augmentation = Augmentation.of(options, self._size, clips.labels)
        self._damaged: dict[int, str] = {}
        self._best = -1.0
        self._optimiser = make_optimiser(self._model, options)
        self._loss = make_loss(
            options.loss,
            gamma=options.focal_gamma,
            label_smoothing=options.label_smoothing,
            class_weights=class_weights(clips) if options.class_weights else None,
        ).to(self._accelerator.device)
        per_step = training_batches(len(clips), options.batch_size, 0, options.seed, 0, self._ranks)
        self._steps = len(per_step)
        self._network, self._prepared = self._accelerator.prepare(self._model, self._optimiser)
        if options.compile:
            self._network = torch.compile(self._network)

    @property
    def _ranks(self) -> int:
        return self._accelerator.num_processes

    def train(self) -> TrainReport:
        started = time.perf_counter()
        for line in unseen_classes(self._clips, self._validation):
            self._say(line)
        epoch, step = self._resume()
        with Events(self._folder, self._accelerator.is_main_process) as write:
            while epoch < self._options.epochs:
                self._train_epoch(epoch, step, write)
                step = 0
                top1, loss = self._validate()
                self._share_damaged()
                write("validation/top1", top1, (epoch + 1) * self._steps)
                write("validation/loss", loss, (epoch + 1) * self._steps)
                epoch += 1
                is_best = top1 > self._best
                self._best = max(self._best, top1)
                self._save(epoch, 0, {"top1": round(top1, 4), "loss": round(loss, 4)}, is_best)
                self._on_progress(
                    Progress(epoch - 1, self._options.epochs, self._steps, self._steps, loss, 0.0, top1)
                )
        return TrainReport(
            best=self._folder / BEST,
            last=self._folder / LAST,
            top1=self._best,
            epochs=epoch,
            seconds=time.perf_counter() - started,
            damaged=dict(sorted(self._damaged.items())),
        )

    def _train_epoch(self, epoch: int, first: int, write: Callable[[str, float, int], None]) -> None:
        options, device = self._options, self._accelerator.device
        batches = training_batches(
            len(self._clips),
            options.batch_size,
            epoch,
            options.seed,
            self._accelerator.process_index,
            self._ranks,
        )
        source = ReadClips(self._clips, batches, epoch, self._size, self._augmentation, options.seed)
        self._network.train()
        saved = told = time.perf_counter()
        clips = 0
        for step, batch in enumerate(read_batches(source, self._workers(), first), start=first):
            self._damaged.update(batch.damaged)
            number = epoch * self._steps + step
            torch.manual_seed(mixed(options.seed, number, self._accelerator.process_index))
            rate = learning_rate(options, number, self._steps)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            is_update = (step + 1) % options.accumulate == 0 or step + 1 == self._steps
            loss = self._step(batch, device, number, is_update)
            clips += len(batch.targets)
            now = time.perf_counter()
            self._on_progress(
                Progress(
                    epoch, options.epochs, step + 1, self._steps, loss, rate,
                    clips_per_second=clips * self._ranks / max(1e-9, now - told),
                )
            )  # fmt: skip
            write("train/loss", loss, number)
            write("train/learning_rate", rate, number)
            if is_update and now - saved > 60 * options.save_minutes and step + 1 < self._steps:
                self._save(epoch, step + 1, {}, is_best=False)
                saved = time.perf_counter()

    def _step(self, batch: Batch, device: torch.device, number: int, is_update: bool) -> float:
        options = self._options
        if not len(batch.targets):  # all damaged: the other devices wait for this one all the same
            batch = self._blank()
            weight = 0.0
        else:
            weight = 1.0
        clips, targets = batch.clips.to(device), batch.targets.to(device)
        flow = None if batch.flow is None else batch.flow.to(device)
        goal: Tensor = targets
        if options.mixup:
            clips, flow, goal = mix_clips(clips, flow, targets, len(self._clips.labels), options, number)
        with self._accelerator.autocast():
            logits = self._network(clips, flow)
            loss = self._loss(logits.float(), goal)
        if not torch.isfinite(loss):
            raise InvalidQueryError(
                f"the loss is no number any more at step {number}; lower the learning rate "
                f"({options.rate}), or use --precision no. The last saved state is whole"
            )
        self._accelerator.backward(weight * loss / options.accumulate)
        if is_update:
            if options.clip_norm:
                self._accelerator.clip_grad_norm_(self._network.parameters(), options.clip_norm)
            self._prepared.step()
            self._prepared.zero_grad()
        return float(loss.detach())

    def _blank(self) -> Batch:
        shape = (1, 3, self._frames, self._size, self._size)
        flow = torch.zeros(1, 2, self._frames - 1, self._size, self._size) if self._model.needs_flow else None
        return Batch(torch.zeros(shape), flow, torch.zeros(1, dtype=torch.int64), torch.zeros(1), ())

    def _validate(self) -> tuple[float, float]:
        """Top-1 accuracy and mean loss on the validation clips, all devices together."""
        device = self._accelerator.device
        sums = torch.zeros(3, device=device)
        for batch, logits in predict_batches(
            self._network, self._validation, self._size, self._options.batch_size, self._workers(), device,
            self._accelerator.process_index, self._ranks,
        ):  # fmt: skip
            self._damaged_validation(batch)
            if len(batch.targets):
                targets = batch.targets.to(device)
                right = (logits.argmax(dim=1) == targets).sum()
                loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
                sums += torch.stack([right, loss, torch.tensor(len(targets), device=device)])
        sums = self._accelerator.reduce(sums)
        if not sums[2]:
            raise InvalidQueryError("none of the validation clips could be read")
        return float(sums[0] / sums[2]), float(sums[1] / sums[2])

    def _share_damaged(self) -> None:
        """Each device knows what it met; the first speaks for all."""
        if self._ranks > 1:
            from accelerate.utils import gather_object

            self._damaged = dict(gather_object(list(self._damaged.items())))

    def _damaged_validation(self, batch: Batch) -> None:
        # Told apart from those to learn from by numbers below zero.
        self._damaged.update({-1 - index: reason for index, reason in batch.damaged})

    def _workers(self) -> int:
        if self._options.workers is not None:
            return self._options.workers
        return max(0, (os.cpu_count() or 1) // max(1, self._ranks) - 1)

    # --- saving and going on ---------------------------------------------------------------

    def _save(self, epoch: int, step: int, metrics: dict[str, float], is_best: bool) -> None:
        if not self._accelerator.is_main_process:
            return
        model: VideoModel = self._accelerator.unwrap_model(self._network, keep_torch_compile=False)
        card = {
            "model": self._options.model,
            "options": dict(self._options.model_options),
            "labels": list(self._clips.labels),
            "frames": self._frames,
            "size": self._size,
            "stride": self._stride,
            "fps": self._dataset.get("fps", 30.0 / self._stride),
            "mean": list(MEAN),
            "std": list(STD),
            "metrics": {**metrics, "epoch": epoch},
            "dataset": self._dataset,
            "config": self._options.to_document(),
        }
        scaler = getattr(self._accelerator, "scaler", None)
        state = {
            "epoch": epoch,
            "step": step,
            "best": self._best,
            "model": model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "damaged": dict(self._damaged),
            "run": same_run(self._options),
            "labels": list(self._clips.labels),
            "digest": self._dataset.get("digest"),
        }
        if is_best:
            save_checkpoint(self._folder / BEST, model, card)
        save_checkpoint(self._folder / LAST, model, card)
        write_state(self._folder, state)  # last of all: by it a run goes on

    def _resume(self) -> tuple[int, int]:
        """The epoch and the step to go on with."""
        state = read_state(self._folder, self._options, self._clips.labels, self._dataset.get("digest"))
        if state is None:
            return 0, 0
        self._accelerator.unwrap_model(self._network).load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        if state["scaler"] is not None and getattr(self._accelerator, "scaler", None) is not None:
            self._accelerator.scaler.load_state_dict(state["scaler"])
        self._best, self._damaged = state["best"], dict(state["damaged"])
        epoch, step, epochs = state["epoch"], state["step"], self._options.epochs
        if epoch >= epochs:
            ended = "1 epoch" if epoch == 1 else f"{epoch} epochs"
            self._say(f"this run has ended ({ended}); give more --epochs to go on")
        elif step:
            self._say(f"going on in epoch {epoch + 1} of {epochs}, after step {step} of {self._steps}")
        else:
            self._say(f"going on after epoch {epoch} of {epochs}")
        return epoch, step


def predict_batches(
    model: torch.nn.Module,
    clips: ClipSource,
    size: int,
    batch_size: int,
    workers: int,
    device: torch.device,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[tuple[Batch, Tensor]]:
    """Batches in order with the logits of a model, float32 (B, C); each clip's centre is looked at."""
    source = ReadClips(clips, evaluation_batches(len(clips), batch_size, rank, ranks), 0, size, None, 0)
    model.eval()
    for batch in read_batches(source, workers):
        if not len(batch.targets):
            yield batch, torch.zeros(0)
            continue
        with torch.inference_mode():
            flow = None if batch.flow is None else batch.flow.to(device)
            logits = model(batch.clips.to(device), flow)
        yield batch, logits.float()
