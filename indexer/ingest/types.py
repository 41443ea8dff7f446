"""Options, progress and outcome of an ingest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from indexer.video.limits import STALL_SECONDS
from indexer.video.types import SamplingOptions


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Options of an ingest. None keeps what the library was made with.

    Attributes:
        sampling: How to cut and sample; given, it becomes the library's and re-indexes videos
            that were sampled otherwise.
        encoder: A spec as for `open_encoder`, or "auto".
        actions: What names actions while indexing: "kinetics:<model>", "zero-shot", "zero-shot:<file of
            names>", or "none". Given, it becomes the library's.
        prune: Remove videos whose file has vanished.
        workers: Worker programs; None means one for every two cores.
        stall_seconds: How long a decoder may make no progress.
        patience: Of the processor time that a file may usually take, this many times.
        roots: Resolved folders below which every file must lie, its links resolved; None for no limit.
        says_ignored: Whether a file that is given by itself and is no video counts as failed, whatever its
            name; below folders nobody misses one that is not called like a video.
    """

    sampling: SamplingOptions | None = None
    encoder: str | None = None
    actions: Sequence[str] | None = None
    pooling: str | None = None
    device: str = "auto"
    prune: bool = False
    workers: int | None = None
    stall_seconds: float = STALL_SECONDS
    patience: float = 1.0
    roots: tuple[str, ...] | None = None
    says_ignored: bool = True


@dataclass(slots=True)
class IngestSummary:
    """The outcome of an ingest.

    Attributes:
        failed: (path, reason) of each.
        damaged: (path, what was lost) of those that were indexed as far as they can be read.
        stopped: It was ended early.
        examples_gone: By action, how many examples were spans of what is there no longer.
    """

    indexed: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    pruned: int = 0
    ignored: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    clips: int = 0
    video_seconds: float = 0.0
    wall_seconds: float = 0.0
    stopped: bool = False
    examples_gone: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, object]:
        """The document that `indexer ingest --json` prints."""
        return {
            "indexed": self.indexed,
            "unchanged": self.unchanged,
            "moved": self.moved,
            "missing": self.missing,
            "pruned": self.pruned,
            "failed": [{"path": path, "reason": reason} for path, reason in self.failed],
            "damaged": [{"path": path, "reason": reason} for path, reason in self.damaged],
            "clips": self.clips,
            "video_seconds": round(self.video_seconds, 3),
            "wall_seconds": round(self.wall_seconds, 3),
        }


ChangeKind = Literal["indexed", "changed", "moved", "back", "missing", "removed", "failed"]


@dataclass(frozen=True, slots=True)
class Change:
    """A video of which something is different now.

    Attributes:
        from_path: Of one that moved.
        clips: Of one that was read.
        reason: Why it failed.
    """

    kind: ChangeKind
    path: str
    from_path: str | None = None
    clips: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """Progress of an ingest: files done of all, seconds of video done of the files begun.

    Attributes:
        path: Of the file that is read; None while none is.
        stage: What is done where that is not to read files: "loading the encoder lite0", say.
    """

    files_done: int
    files_total: int
    video_seconds: float
    wall_seconds: float
    path: str | None
    stage: str | None = None
