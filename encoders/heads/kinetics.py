"""Actions by networks that watch several frames at a time, trained on Kinetics-400.

The data set is described by Kay et al. (2017, arXiv:1705.06950). A clip is seen through windows of
T frames at the rate that the network was trained on, each perhaps in several crops, as the networks'
papers evaluate them (multi-clip, multi-crop). Importing this module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.backbones.kinetics_weights import (
    CONFIG_FILE,
    HUB_PREFIX,
    PREFIX,
    PROCESSOR_FILES,
    WEIGHT_FILES,
    ClassifierInfo,
    check_local,
    find_in_folder,
    find_on_hub,
    find_torchvision_file,
    known_classifier,
    split_classifier_spec,
)
from encoders.embedding.preprocessing import limit_aspect
from encoders.embedding.trained import load_trained, resolve_trained
from encoders.errors import EncoderError
from encoders.types import FrameBatch
from encoders.weights.device import batch_frames, check_device_name, choose_device, mixed_precision
from encoders.weights.digests import TRAINED_PREFIX

if TYPE_CHECKING:
    import torch

    from encoders.backbones.kinetics_backbones import Backbone

OVERLAP = 0.5
# The coarsest clock of a common container rounds to a millisecond; sampling allows for as much.
_CLOCK_SECONDS = 0.001 + 1e-6


class KineticsClassifier:
    """One network with its weights; `open_classifier` makes it.

    Attributes:
        spec: What it was opened by, with an absolute path.
        classifier_id: Names everything that changes its answers: architecture, digest of the
            weights, preprocessing, frame rate.
        actions: Names of its classes, by the weights' own metadata.
        clip_frames: T, frames that it sees at a time.
        fps: Rate of these frames, per second.
        frame_size: Short side in pixels of the frames that it wants; larger ones are scaled down.
    """

    kind = "kinetics"

    def __init__(self, spec: str, backbone: Backbone, device: torch.device) -> None:
        self.spec = spec
        family = "model" if spec.startswith(TRAINED_PREFIX) else "kinetics"
        self.classifier_id = f"{family}/{backbone.identity}"
        self.actions = backbone.actions
        self.clip_frames = backbone.clip_frames
        self.fps = backbone.fps
        self.frame_size = backbone.frame_size
        self._backbone = backbone
        self._device = device
        backbone.network.to(device)

    @property
    def device(self) -> str:
        """The torch device it runs on, e.g. "cpu" or "cuda:0"."""
        return str(self._device)

    @property
    def window_seconds(self) -> float:
        """The length of a video that one window covers."""
        return self.clip_frames / self.fps

    def classify(
        self, frames: FrameBatch, crops: int = 1, *, overlap: float = OVERLAP
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """The actions in each of the windows that slide over the frames of one clip.

        Args:
            frames: Dense frames of one shot; at best at `fps` or more, of short side `frame_size`.
                At each time of the network's grid the frame on screen is taken.
            crops: 1 for the centre, 3 for the start, centre and end of the longer side, whose
                probabilities are averaged.
            overlap: Share of a window that the next one sees again, 0..1 without 1.

        Returns:
            times_seconds, float64 (N,), ascending: the middle of what each window sees. Then
            probabilities, float32 (N, A), whose rows sum to 1.

        Raises:
            EncoderError: The network gives no numbers.
            ValueError: `crops` or `overlap` is out of range.
        """
        if crops not in (1, 3):
            raise ValueError(f"crops must be 1 or 3, got {crops}")
        times, windows = window_frames(frames.pts_seconds, self.clip_frames, self.fps, overlap)
        batch = max(1, batch_frames(self._device) // (self.clip_frames * crops))
        rows = list(self._scores(frames, windows, crops, batch))
        probabilities = np.concatenate(rows)
        if not np.isfinite(probabilities).all():
            raise EncoderError(
                f"{self.spec} gave probabilities that are no numbers; its weights are broken, or half "
                "precision is too little for it: try --device cpu"
            )
        return times, probabilities

    def _scores(
        self, frames: FrameBatch, windows: NDArray[np.int64], crops: int, batch: int
    ) -> Iterator[NDArray[np.float32]]:
        """Probabilities, a few windows at a time; a frame is prepared once, and kept while needed."""
        import torch

        prepared: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for start in range(0, len(windows), batch):
                chosen = windows[start : start + batch]
                wanted = np.unique(chosen)
                prepared = {index: prepared[index] for index in wanted.tolist() if index in prepared}
                missing = [index for index in wanted.tolist() if index not in prepared]
                if missing:
                    prepared.update(zip(missing, self._prepare(frames, missing, crops), strict=True))
                pixels = torch.stack([prepared[index] for index in chosen.ravel().tolist()])
                # (B * T, crops, ...) to (B * crops, T, ...): the crops of a window side by side.
                pixels = pixels.unflatten(0, chosen.shape).transpose(1, 2)
                with mixed_precision(self._device):
                    logits = self._backbone.forward(pixels.flatten(0, 1).contiguous())
                shares = logits.float().softmax(dim=1).unflatten(0, (len(chosen), -1)).mean(dim=1)
                yield shares.cpu().numpy()

    def _prepare(self, frames: FrameBatch, indices: list[int], crops: int) -> torch.Tensor:
        import torch

        pictures = np.stack([limit_aspect(frames.frames[index]) for index in indices])
        images = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).contiguous()
        return self._backbone.prepare(images, crops)


def resolve_classifier(spec: str) -> str:
    """Checks the name of a classifier and that a local file or folder is there; loads nothing.

    Args:
        spec: "kinetics:<name>", "kinetics:<name>/<checkpoint or folder>" or
            "kinetics:hf:<org>/<name>", or "model:<checkpoint>" for what `indexer train` made.

    Returns:
        The spec to store, with an absolute path.

    Raises:
        EncoderUnavailableError: No such classifier, file or folder.
    """
    if spec.strip().startswith(TRAINED_PREFIX):
        return resolve_trained(spec.strip())
    name, path = split_classifier_spec(spec)
    if path is None:
        return PREFIX + name
    return f"{PREFIX}{name}/{check_local(known_classifier(name), path)}"


def open_classifier(spec: str, *, device: str = "auto") -> KineticsClassifier:
    """Loads a classifier.

    Args:
        spec: As `resolve_classifier` takes it.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        EncoderUnavailableError: No such classifier or device, or its weights cannot be had here.
    """
    check_device_name(device)
    spec = resolve_classifier(spec)
    if spec.startswith(TRAINED_PREFIX):
        backbone = load_trained(Path(spec.removeprefix(TRAINED_PREFIX)))
    else:
        backbone = _load(*split_classifier_spec(spec))
    return KineticsClassifier(spec, backbone, choose_device(device))


def _load(name: str, path: str | None) -> Backbone:
    """Finds the files, before torch is imported wherever that can be, then loads them."""
    files: tuple[Path, Path, Path]
    family = None
    if name.startswith(HUB_PREFIX):
        repository = name.removeprefix(HUB_PREFIX)
    else:
        info = known_classifier(name)
        if info.library == "torchvision":
            return _load_torchvision(info, path)
        repository, family = info.weights, info.family
    if path is not None:
        folder = check_local(info, path)
        files = (
            find_in_folder(folder, WEIGHT_FILES),
            find_in_folder(folder, (CONFIG_FILE,)),
            find_in_folder(folder, PROCESSOR_FILES),
        )
    else:
        files = (
            find_on_hub(repository, WEIGHT_FILES),
            find_on_hub(repository, (CONFIG_FILE,)),
            find_on_hub(repository, PROCESSOR_FILES),
        )
    from encoders.backbones.kinetics_backbones import load_transformers

    return load_transformers(*files, family)


def _load_torchvision(info: ClassifierInfo, path: str | None) -> Backbone:
    import torch

    from encoders.backbones.kinetics_backbones import load_torchvision

    if path is not None:
        return load_torchvision(info, check_local(info, path))
    return load_torchvision(info, find_torchvision_file(info, Path(torch.hub.get_dir()) / "checkpoints"))


def window_frames(
    pts_seconds: NDArray[np.float64], clip_frames: int, fps: float, overlap: float = OVERLAP
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Spreads windows over a clip, and picks the frames that each sees.

    The frames are put on a grid of constant rate that begins with the first: at each of its times,
    the last frame shown by then. It ends as soon as the last frame is seen. Windows are spread
    evenly over it. What is shorter than a window is one window, with its last frame repeated.

    Args:
        pts_seconds: float64 (F,), ascending, F >= 1.
        clip_frames: T, of a window.
        fps: Of the grid.
        overlap: At least this share of a window is seen by the next, 0..1 without 1.

    Returns:
        times_seconds, float64 (N,): the middle between the first and the last grid time of each
        window. Then indices into the frames, int64 (N, T).

    Raises:
        ValueError: `overlap` is out of range.
    """
    if not 0.0 <= overlap < 1.0:
        raise ValueError(f"overlap must be from 0 to less than 1, got {overlap}")
    first, span = float(pts_seconds[0]), float(pts_seconds[-1] - pts_seconds[0])
    count = max(0, math.ceil((span - _CLOCK_SECONDS) * fps)) + 1
    grid = first + np.arange(count) / fps
    shown = np.searchsorted(pts_seconds, grid + _CLOCK_SECONDS, side="right") - 1
    spare = max(0, count - clip_frames)
    stride = max(1, math.floor(clip_frames * (1.0 - overlap)))
    starts = np.linspace(0, spare, math.ceil(spare / stride) + 1).round().astype(np.int64)
    indices = np.minimum(starts[:, None] + np.arange(clip_frames), count - 1)
    lasts = np.minimum(starts + clip_frames, count) - 1
    return first + (starts + lasts) / 2 / fps, shown[indices].astype(np.int64)


def average(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """One answer for a clip or a whole video out of those for its windows: their mean.

    Args:
        probabilities: float32 (N, A), N >= 1.

    Returns:
        float32 (A,), summing to 1.
    """
    return probabilities.mean(axis=0, dtype=np.float64).astype(np.float32)
