"""Models that `indexer train` made, at work: as an encoder of clips, and as a classifier of actions.

Importing this module does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.encoder import Encoder, Pooling, check_pooling, pool_features
from encoders.embedding.family import EncoderFamily
from encoders.errors import EncoderError, UnsupportedQueryError
from encoders.types import EmbeddingBatch, FrameBatch, normalise
from encoders.weights.device import check_device_name, choose_device, mixed_precision
from encoders.weights.digests import TRAINED_PREFIX, file_digest

if TYPE_CHECKING:
    import torch

    from encoders.backbones.kinetics_backbones import Backbone


def resolve_trained(spec: str) -> str:
    """Checks "model:<checkpoint>"; returns it with an absolute path, and loads no weights.

    Raises:
        EncoderUnavailableError: There is no such file, or it is no trained model.
    """
    from encoders.training.checkpoints import find_checkpoint, read_model_card

    path = find_checkpoint(Path(spec.removeprefix(TRAINED_PREFIX)).expanduser()).absolute()
    read_model_card(path)
    return f"{TRAINED_PREFIX}{path}"


class _Model:
    """A checkpoint, with frames made ready for it as they were for its evaluation."""

    def __init__(self, file: Path) -> None:
        from encoders.training.checkpoints import load_checkpoint

        self.network, card = load_checkpoint(file)
        self.identity = f"{card['model']}/{file_digest(file)[:16]}"
        self.labels = tuple(card["labels"])
        self.frames, self.size, self.fps = int(card["frames"]), int(card["size"]), float(card["fps"])
        self._mean, self._std = card["mean"], card["std"]

    def prepare(self, frames: torch.Tensor, crops: int) -> torch.Tensor:
        """uint8 (F, 3, H, W) and 1 or 3 crops -> float (F, crops, 3, size, size), normalised."""
        from torchvision.transforms.v2 import functional

        from encoders.backbones.kinetics_backbones import cut_crops

        frames = functional.resize(frames, [self.size], antialias=True)
        cut = cut_crops(frames, (self.size, self.size), crops, centre=lambda spare: spare // 2)
        return functional.normalize(cut.float() / 255, self._mean, self._std)

    def inputs(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """float (B, T, 3, h, w) -> what the network takes: clip (B, 3, T, h, w), and perhaps flow."""
        if not self.network.needs_flow:
            return windows.transpose(1, 2), None
        from encoders.training.augment import flow_of_windows

        return windows.transpose(1, 2), flow_of_windows(windows, self._mean, self._std)


def load_trained(file: Path) -> Backbone:
    """A trained model as what classifies windows of frames.

    Raises:
        EncoderUnavailableError: The file is no trained model, or damaged.
    """
    from encoders.backbones.kinetics_backbones import Backbone

    model = _Model(file)
    return Backbone(
        network=model.network,
        identity=model.identity,
        actions=model.labels,
        clip_frames=model.frames,
        fps=model.fps,
        frame_size=model.size,
        prepare=model.prepare,
        forward=lambda windows: model.network(*model.inputs(windows)),
    )


class TrainedEncoder(Encoder):
    """A trained model as the encoder of a library: its features before they become classes.

    It watches T frames at a time, so a frame's feature is that of the time around it. Clips are seen at
    the rate at which the library samples them: movement looks as it did in training where that is the
    card's `fps` (`indexer ingest --fps`).
    """

    has_text = False
    tags_by_name = False
    logit_scale = 1.0

    def __init__(self, spec: str, *, device: str = "auto", pooling: Pooling = "mean") -> None:
        """Loads it. Raises EncoderUnavailableError."""
        check_device_name(device)
        self._pooling = check_pooling(pooling)
        self.spec = resolve_trained(spec)
        self._model = _Model(Path(self.spec.removeprefix(TRAINED_PREFIX)))
        self._device = choose_device(device)
        self._model.network.to(self._device)
        self.encoder_id = f"model/{self._model.identity}/{pooling}"
        self.frame_size, self.fps = self._model.size, self._model.fps
        self.dim = self._model.network.feature_dim

    @property
    def device(self) -> str:
        """The torch device, e.g. "cpu" or "cuda:0"."""
        return str(self._device)

    def encode_frames(self, batch: FrameBatch) -> NDArray[np.float32]:
        """Features, one per frame: float32 (T, D), each of L2 norm 1. Raises EncoderError."""
        import torch

        frames, steps = len(batch.frames), self._model.frames
        features = np.zeros((frames, self.dim), np.float32)
        with torch.inference_mode(), mixed_precision(self._device):
            images = torch.from_numpy(np.array(batch.frames)).to(self._device).permute(0, 3, 1, 2)
            pixels = self._model.prepare(images, 1)[:, 0]
            for start in range(0, frames, steps):
                # The last window ends with the last frame; what is shorter than a window is held.
                first = max(0, min(start, frames - steps))
                chosen = torch.arange(first, first + steps, device=self._device).clamp(max=frames - 1)
                clip, flow = self._model.inputs(pixels[chosen][None])
                found = self._model.network.forward_features(clip, flow)[0].float().cpu().numpy()
                end = min(first + steps, frames)
                features[first:end] = _at_frames(found, steps)[: end - first]
        if not np.isfinite(features).all():
            raise EncoderError(f"{self.spec} gave features that are no numbers; its weights are broken")
        return normalise(features)

    def pool(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """One embedding for a clip: float (T, D) -> float32 (D,) of L2 norm 1."""
        return pool_features(features, self._pooling)

    def encode_text(self, texts: list[str]) -> EmbeddingBatch:
        """Raises UnsupportedQueryError: a model trained on clips knows no words."""
        raise UnsupportedQueryError(
            f"this library's encoder is a trained model ({self.spec}), which knows no words: search by "
            "picture, clip or stored clip, or ingest with an encoder that reads text"
        )


def _at_frames(features: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Features at T' times as features at T: of T' steps, the one in which each frame lies."""
    return features[np.arange(frames) * len(features) // frames]


TRAINED = EncoderFamily(
    name="model", forms=("model:<checkpoint>",), open=TrainedEncoder, resolve=resolve_trained
)
