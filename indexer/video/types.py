"""Values that decoding hands on: light ones, that need neither FFmpeg nor a codec to import."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from encoders.errors import LibraryError
from encoders.types import FrameBatch

MAX_CLIP_FRAMES = 7200  # an hour at the usual rate: 2.5 GB of frames at 256 pixels
MAX_DENSE_FRAMES = 1024  # of one clip: they are held in memory all at once

Sampling = Literal["exact", "fast", "keyframes"]
DEFAULT_SAMPLING: Sampling = "exact"
_FORMER_NAMES = {"uniform": "exact"}
_FAST_SHARE = 0.25  # of a sampling step, that may lie between frames
_FAST_SECONDS = 0.125  # and no more than this: else cuts are missed


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The description of a video by its file.

    Attributes:
        duration_seconds: Of the video stream, else of the file; None where neither says.
        width: Upright, in square pixels.
        height: Upright.
        average_fps: Mean frame rate, None where unknown.
        codec: FFmpeg's name, e.g. "h264".
        container: FFmpeg's name, e.g. "mov,mp4,m4a,3gp,3g2,mj2".
        start_seconds: Presentation time of the first frame.
        recorded_at: When it was recorded, in seconds since 1970; None where the container does not say.
        timecode: Of the first frame, "01:00:00:00", with a semicolon before the frames where it drops frames
            (SMPTE 12M); None where the container has none.
        recorded_offset_seconds: How far the clock there was ahead of UTC; None where that is not known.
        base_fps: The lowest rate of which all frames' times are whole numbers; None where unknown.
    """

    duration_seconds: float | None
    width: int
    height: int
    average_fps: float | None
    codec: str
    container: str
    start_seconds: float
    recorded_at: float | None = None
    timecode: str | None = None
    recorded_offset_seconds: int | None = None
    base_fps: float | None = None


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """The sampling of a video: what is taken from it.

    Attributes:
        clip_seconds: Length of a window, > 0.
        fps: Sampled frames per second, > 0.
        sampling: "exact" decodes everything; "fast" leaves out frames that no other needs, as long as
            those left are at most `apart_seconds` apart; "keyframes" decodes only key frames, much
            faster, without shots.
        shots: Whether to look for shot boundaries, which no clip then straddles.
        frame_size: Short side of sampled frames in pixels; smaller sources stay as they are.
        key_frame_size: Short side of key frame JPEGs in pixels.
        crop_borders: Whether black bars that hold over a whole clip are cut off its sampled frames
            (never off its key frames).
        actions: Spec of the action classifier that looks at the dense frames, None for none.
        classifier_id: Its id, which tells its weights from others at the same place; None until it
            is loaded, and without one.
        dense_fps: Dense frames per second, for networks that need to see movement; 0 for none.
        dense_size: Short side of dense frames in pixels.

    Raises:
        ValueError: A value is out of range, or two contradict each other.
    """

    clip_seconds: float = 4.0
    fps: float = 2.0
    sampling: Sampling = DEFAULT_SAMPLING
    shots: bool = True
    frame_size: int = 256
    key_frame_size: int = 360
    crop_borders: bool = True
    actions: str | None = None
    dense_fps: float = 0.0
    dense_size: int = 256
    classifier_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("clip_seconds", "fps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.01 <= value <= 3600):
                raise ValueError(f"{name} must be from 0.01 to 3600, got {value}")
        for name in ("frame_size", "key_frame_size", "dense_size"):
            value = getattr(self, name)
            if not 16 <= value <= 4096:
                raise ValueError(f"{name} must be from 16 to 4096 pixels, got {value}")
        if self.sampling not in get_args(Sampling):
            raise ValueError(f'sampling must be "exact", "fast" or "keyframes", got {self.sampling!r}')
        # A clip is in memory as a whole while it is encoded.
        if self.fps * self.clip_seconds > MAX_CLIP_FRAMES:
            raise ValueError(
                f"fps x clip_seconds must be at most {MAX_CLIP_FRAMES} frames, got {self.fps:g} x "
                f"{self.clip_seconds:g}; make the clips shorter"
            )
        self._check_dense()

    def _check_dense(self) -> None:
        if not (self.dense_fps == 0 or 0.01 <= self.dense_fps <= 240):
            raise ValueError(f"dense_fps must be 0 or from 0.01 to 240, got {self.dense_fps}")
        if self.dense_fps * self.clip_seconds > MAX_DENSE_FRAMES:
            raise ValueError(
                f"dense_fps x clip_seconds must be at most {MAX_DENSE_FRAMES} frames, got "
                f"{self.dense_fps:g} x {self.clip_seconds:g}; make the clips shorter"
            )
        if self.sampling == "keyframes" and (self.dense_fps or self.actions is not None):
            raise ValueError(
                'sampling must be "exact" or "fast" for dense frames and action classifiers, got '
                '"keyframes": key frames are too far apart to show movement'
            )

    @property
    def apart_seconds(self) -> float:
        """The longest between two frames where "fast" leaves out one in between.

        A quarter of the step between samples, dense ones too, and an eighth of a second at most.
        """
        return min(_FAST_SECONDS, _FAST_SHARE / max(self.fps, self.dense_fps))

    def to_json(self) -> str:
        """The options as text; equal options give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The options out of `to_json`; those it does not name have their default.

        Raises:
            ValueError: Not such text, or a value is out of range.
        """
        known = {item.name for item in fields(cls)}
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError(f"expected an object, got {type(document).__name__}")
        former = document.get("sampling")
        if isinstance(former, str):
            document["sampling"] = _FORMER_NAMES.get(former, former)
        try:
            return cls(**{name: value for name, value in document.items() if name in known})
        except (TypeError, OverflowError) as error:
            raise ValueError(f"an option is of the wrong type: {error}") from error

    def changed(self, **values: Any) -> Self:
        """These options with the given ones in place of theirs; None changes nothing."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})

    def without_actions(self) -> Self:
        """These options with no classifier, and no frames for one."""
        return replace(self, actions=None, classifier_id=None, dense_fps=0.0)

    def with_frame_size(self, frame_size: int) -> Self:
        """These options for an encoder that wants frames of this short side in pixels."""
        return replace(self, frame_size=frame_size)


def stored_sampling(text: str) -> SamplingOptions:
    """The options that a library was made with. Raises LibraryError where they cannot be read."""
    try:
        return SamplingOptions.from_json(text)
    except ValueError as error:
        raise LibraryError(
            f"what the library stores of its sampling cannot be read ({error}): `indexer check --repair` "
            "sets it right"
        ) from error


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A picture that stands for a clip.

    Attributes:
        time_seconds: When it is shown, within the clip.
        jpeg: The upright frame with its borders, as JPEG.
    """

    time_seconds: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class SampledClip:
    """One clip: [start_seconds, end_seconds), its sampled frames and 1 to 3 key frames.

    A frame that was on screen already when the clip began counts as shown at `start_seconds`.
    `dense` holds the frames on screen at a constant rate, each once, where they were asked for.
    """

    start_seconds: float
    end_seconds: float
    frames: FrameBatch
    key_frames: tuple[KeyFrame, ...]
    dense: FrameBatch | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """A note of what was lost of a file that could be read all the same, or left out; after its last clip."""

    note: str


@dataclass(frozen=True, slots=True)
class Length:
    """The length that the video proved to have, whatever its header says; after its last clip."""

    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the decoder, also when no clip is finished yet.

    Attributes:
        time_seconds: Time of the last decoded frame.
        cpu_seconds: Processor time of the decoding program since the request came.
    """

    time_seconds: float
    cpu_seconds: float = 0.0
