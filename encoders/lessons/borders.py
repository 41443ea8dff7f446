"""Learning a localiser (`encoders.heads.localisation`) from videos in which all of an action is labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.errors import TeachingError
from encoders.heads.head import ActionSpan, FeatureTrack
from encoders.heads.localisation import Localiser
from encoders.heads.localisation_network import (
    Network,
    Reduction,
    cell_points,
    one_thread,
    pad_videos,
)

CALIBRATION_VIDEOS = 10
# Samples from a point to the farther border that each level is for; they overlap so that none is lost.
REACHES = ((0.0, 12.0), (6.0, 24.0), (12.0, 48.0), (24.0, float("inf")))
CENTRE_RADIUS = 1.5  # in strides
WINDOW = 256  # samples of one video in a training step, at most
BATCH = 8
LEARNING_RATE = 4e-3
FEWEST_STEPS, EPOCHS = 120, 30
DROPPED = 0.3  # of the inputs, in a training step
Progress = Callable[[int, int], None]


@one_thread()
def train_localiser(
    tracks: Sequence[FeatureTrack],
    labels: Sequence[Sequence[ActionSpan]],
    actions: tuple[str, ...],
    *,
    encoder_id: str,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Localiser:
    """Learns where in time actions happen.

    From ten videos on, a first network is trained on four fifths of them; on the last fifth its
    confidences are calibrated and its mAP taken. The network that is kept is then trained on all.

    Args:
        tracks: Features of whole videos: what is not labelled counts as showing none of the actions.
        labels: The labelled spans of each; their confidence is not looked at.
        actions: The names to learn.
        encoder_id: Whose features these are.
        seed: The same seed and videos give the same head (on the same machine).
        on_progress: Called with steps done and steps in all.

    Raises:
        ValueError: Tracks, labels and actions do not fit each other.
        TeachingError: An action has no labelled span inside a track.
    """
    _check_training(tracks, labels, actions)
    full = [(track, spans) for track, spans in zip(tracks, labels, strict=True) if len(track)]
    order = torch.randperm(len(full), generator=torch.Generator().manual_seed(seed)).tolist()
    held_out = order[: len(order) // 5] if len(order) >= CALIBRATION_VIDEOS else []
    rest = [full[index] for index in order[len(held_out) :]]
    total = step_count(len(full)) + (step_count(len(rest)) if held_out else 0)
    done = 0

    def on_step() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    def fitted(videos: Sequence[tuple[FeatureTrack, Sequence[ActionSpan]]]) -> Localiser:
        shown, wanted = [track for track, _ in videos], [spans for _, spans in videos]
        return fit_localiser(shown, wanted, actions, encoder_id=encoder_id, seed=seed, on_step=on_step)

    judge = None
    if held_out:
        judge = fitted(rest).calibrate_on(
            [full[index][0] for index in held_out], [full[index][1] for index in held_out]
        )
    head = fitted(full)
    return head if judge is None else head.adopt_calibration(judge)


@one_thread()
def fit_localiser(
    tracks: Sequence[FeatureTrack],
    labels: Sequence[Sequence[ActionSpan]],
    actions: tuple[str, ...],
    *,
    encoder_id: str,
    seed: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> Localiser:
    """Trains as `train_localiser` does, but on all videos: nothing is held out, nothing is calibrated.

    Tracks must hold a sample or more each.
    """
    reduction = Reduction.fit(tracks, torch.Generator().manual_seed(seed))
    videos = [_video(track, spans, actions, reduction) for track, spans in zip(tracks, labels, strict=True)]
    return Localiser(fit_network(videos, len(actions), seed, on_step), reduction, actions, encoder_id)


def _check_training(
    tracks: Sequence[FeatureTrack], labels: Sequence[Sequence[ActionSpan]], actions: tuple[str, ...]
) -> None:
    if len(tracks) != len(labels):
        raise ValueError(f"expected the labels of {len(tracks)} tracks, got those of {len(labels)}")
    widths = {track.features.shape[1] for track in tracks}
    if len(widths) > 1:
        raise ValueError(f"all tracks must be of one encoder, got features of {sorted(widths)} dimensions")
    unknown = {span.action for spans in labels for span in spans} - set(actions)
    if unknown or len(set(actions)) != len(actions):
        raise ValueError(f"labels name {sorted(unknown)}, which are not among the actions {actions}")
    shown = {
        span.action
        for track, spans in zip(tracks, labels, strict=True)
        for span in spans
        if len(track)
        and span.start_seconds < track.borders_seconds[-1]
        and track.borders_seconds[0] < span.end_seconds
    }
    if missing := [action for action in actions if action not in shown]:
        raise TeachingError(f"no labelled span shows {', '.join(missing)}; label at least one of each action")
    if not actions:
        raise TeachingError("there is no action to learn; label at least one span")


def _video(
    track: FeatureTrack, spans: Sequence[ActionSpan], actions: tuple[str, ...], reduction: Reduction
) -> TrainingVideo:
    bounds = np.array([(span.start_seconds, span.end_seconds) for span in spans]).reshape(-1, 2)
    places = np.interp(bounds, track.borders_seconds, np.arange(len(track) + 1))
    inside = places[:, 0] < places[:, 1]
    indices = np.array([actions.index(span.action) for span in spans], dtype=np.int64)
    return TrainingVideo(reduction(track.features), places[inside], indices[inside])


@dataclass(frozen=True, slots=True)
class TrainingVideo:
    """One training video: reduced features (T, width), spans (N, 2) in samples, their actions (N,)."""

    features: Tensor
    spans: NDArray[np.float64]
    actions: NDArray[np.int64]

    def window(self, start: int) -> TrainingVideo:
        end = min(start + WINDOW, len(self.features))
        spans = (self.spans - start).clip(0, end - start)
        # What is cut to less than half would teach borders that are none.
        whole = np.diff(spans)[:, 0] >= 0.5 * np.diff(self.spans)[:, 0]
        return TrainingVideo(self.features[start:end], spans[whole], self.actions[whole])


def _targets(
    video: TrainingVideo, samples: int, actions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Training targets of the points: classes (P, A), and borders (P, 2) in samples, NaN where none is asked.

    Only points near a span's middle speak for it (centre sampling), of the levels that its length is for.
    """
    points, strides, levels = cell_points(samples)
    classes = np.zeros((len(points), actions), dtype=np.float32)
    borders = np.full((len(points), 2), np.nan, dtype=np.float32)
    reach = np.array(REACHES)[levels]
    for index in np.argsort(-np.diff(video.spans)[:, 0], kind="stable"):  # the shortest has the last word
        start, end = video.spans[index]
        far = np.maximum(points - start, end - points)
        off_centre = np.abs(points - (start + end) / 2)
        inside = (points >= start) & (points < end) & (off_centre <= CENTRE_RADIUS * strides)
        inside |= (levels == 0) & (off_centre <= 0.5)  # a span that lies between two points has one too
        mine = inside & (far >= reach[:, 0]) & (far <= reach[:, 1])
        classes[mine, video.actions[index]] = 1.0
        borders[mine] = (start, end)
    return classes, borders


def _focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Lin et al. 2017, arXiv:1708.02002, gamma 2, alpha 0.25 of the positives; summed."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    chance = torch.sigmoid(logits)
    missed = wanted * (1 - chance) + (1 - wanted) * chance
    return ((0.25 * wanted + 0.75 * (1 - wanted)) * missed.square() * cross_entropy).sum()


def _distance_iou_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Zheng et al. 2019, arXiv:1911.08287, in one dimension: (N, 2) starts and ends; summed."""
    shared = torch.minimum(found[:, 1], wanted[:, 1]) - torch.maximum(found[:, 0], wanted[:, 0])
    hull = torch.maximum(found[:, 1], wanted[:, 1]) - torch.minimum(found[:, 0], wanted[:, 0])
    shared, hull = shared.clamp(min=0), hull.clamp(min=1e-6)
    union = (found[:, 1] - found[:, 0] + wanted[:, 1] - wanted[:, 0] - shared).clamp(min=1e-6)
    apart = (found.mean(dim=1) - wanted.mean(dim=1)) / hull
    return (1 - shared / union + apart.square()).sum()


def _loss(network: Network, videos: Sequence[TrainingVideo], generator: torch.Generator) -> Tensor:
    batch, lengths = pad_videos([video.features for video in videos])
    kept = torch.rand(len(videos), 1, batch.shape[2], generator=generator) > DROPPED
    logits, distances, mask = network(batch * kept, lengths)
    targets = [_targets(video, batch.shape[1], logits.shape[2]) for video in videos]
    classes = torch.from_numpy(np.stack([classes for classes, _ in targets]))
    borders = torch.from_numpy(np.stack([borders for _, borders in targets]))
    asked = mask & ~borders[..., 0].isnan()
    points = torch.from_numpy(cell_points(batch.shape[1])[0]).float().expand(len(videos), -1)[asked]
    offsets = distances[asked] * torch.tensor([-1.0, 1.0])
    regression = _distance_iou_loss(points[:, None] + offsets, borders[asked])
    return (_focal_loss(logits[mask], classes[mask]) + regression) / max(1, int(asked.sum()))


def fit_network(
    videos: Sequence[TrainingVideo], actions: int, seed: int, on_step: Callable[[], None] = lambda: None
) -> Network:
    """Trains a network; the same videos and seed give the same one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(videos[0].features.shape[1], actions)
    steps = step_count(len(videos))
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    for _, batch in zip(range(steps), _batches(videos, generator), strict=False):
        optimiser.zero_grad()
        _loss(network, batch, generator).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        on_step()
    return network.eval().requires_grad_(False)


def step_count(videos: int) -> int:
    """Steps of training for so many videos."""
    return max(FEWEST_STEPS, EPOCHS * videos // BATCH)


def _batches(videos: Sequence[TrainingVideo], generator: torch.Generator) -> Iterator[list[TrainingVideo]]:
    """A window of each video, eight videos at a time, in a new order each time round; without end."""
    queue: list[int] = []
    while True:
        while len(queue) < min(BATCH, len(videos)):
            queue += torch.randperm(len(videos), generator=generator).tolist()
        batch = []
        for index in queue[:BATCH]:
            last = max(0, len(videos[index].features) - WINDOW)
            batch.append(videos[index].window(int(torch.randint(last + 1, (), generator=generator))))
        del queue[:BATCH]
        yield batch
