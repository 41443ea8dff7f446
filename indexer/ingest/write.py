"""Videos on their way into the catalog: encoded, staged as their clips come, published at their end.

Clips are written as they come, so memory does not grow with the length of a video, and become visible in one
transaction. Runs in the thread that called `ingest` and in no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from encoders import Encoder, encode_together
from indexer.ingest.backbone import BackboneWatch
from indexer.ingest.report import IngestReport
from indexer.ingest.types import Change
from indexer.ingest.walk import FoundFile
from indexer.video.types import SampledClip, SamplingOptions, VideoInfo
from search.actions.tagging import Tagger
from search.library import Library
from search.types import EncodedClip

if TYPE_CHECKING:
    from encoders.heads.kinetics import KineticsClassifier

_CLIPS_PER_WRITE = 32
# On a GPU single clips leave it idle; on a CPU larger batches fall out of its caches.
_GPU_FRAMES_PER_BATCH = 128


@dataclass(slots=True)
class OpenVideo:
    """A video while its file is read.

    Attributes:
        file: By the name that the catalog will have.
        info: The file's description of it.
        digest: Of the file's content.
        seconds_done: How far it was decoded.
        length_seconds: How long it proved to be, 0 until its end.
        damage: What was lost of it or left out, if anything.
    """

    file: FoundFile
    info: VideoInfo
    digest: str
    seconds_done: float = 0.0
    length_seconds: float = 0.0
    damage: str | None = None
    staging_id: int | None = None
    clips_written: int = 0
    waiting: list[SampledClip] = field(default_factory=list)
    encoded: list[EncodedClip] = field(default_factory=list)
    watch: BackboneWatch | None = None


class VideoWriter:
    """Encodes videos and writes them to the catalog.

    Args:
        library: With a record.
        encoder: The library's.
        classifier: Names actions, where one is wanted.
        sampling: How the videos are sampled.
        report: Told of what is written.
    """

    def __init__(
        self,
        library: Library,
        encoder: Encoder,
        classifier: KineticsClassifier | None,
        sampling: SamplingOptions,
        report: IngestReport,
    ) -> None:
        self._library = library
        self._tagger = Tagger(library)
        self._encoder = encoder
        self._classifier = classifier
        self._sampling = sampling
        self._report = report
        self._frames_per_batch = 1 if encoder.device.startswith("cpu") else _GPU_FRAMES_PER_BATCH

    def prepare(self) -> None:
        """Reads the heads that tag videos: one that cannot be used is told before anything is decoded."""
        self._tagger.prepare()

    def add_clip(self, video: OpenVideo, clip: SampledClip) -> None:
        """Takes the next clip of a video, to be encoded with others or at once."""
        video.waiting.append(clip)
        if sum(len(one.frames) for one in video.waiting) >= self._frames_per_batch:
            self._encode(video)

    def _encode(self, video: OpenVideo) -> None:
        if self._classifier is not None:
            if video.watch is None:
                video.watch = BackboneWatch(self._classifier, self._sampling)
            for clip in video.waiting:
                video.watch.look(clip)
        video.encoded.extend(_encode_clips(self._encoder, video.waiting))
        video.waiting.clear()
        if len(video.encoded) >= _CLIPS_PER_WRITE:
            self._stage(video)

    def _stage(self, video: OpenVideo) -> None:
        file = video.file
        with self._library.write() as catalog:
            if video.staging_id is None:
                video.staging_id = catalog.stage_video(
                    file.path, file.size_bytes, file.mtime_ns, file.ctime_ns
                )
            catalog.add_clips(video.staging_id, video.clips_written, video.encoded)
        video.clips_written += len(video.encoded)
        video.encoded.clear()

    def publish(self, video: OpenVideo) -> None:
        """Makes a video that was read to its end visible, in place of what was known by its name."""
        self._encode(video)
        self._stage(video)
        info, path, summary = video.info, video.file.path, self._report.summary
        assert video.staging_id is not None
        with self._library.write() as catalog:
            before = catalog.video_by_path(path)
            if before is not None and before.digest != video.digest:
                summary.examples_gone.update(catalog.actions.examples_of_videos([before.id]))
                catalog.actions.remove_examples_of_video(before.id)  # spans of what is no longer there
            video_id = catalog.publish_video(
                video.staging_id,
                digest=video.digest,
                # What was read, not what the header says: it may know no better, or be of another part.
                duration_seconds=video.length_seconds or info.duration_seconds or video.seconds_done,
                width=info.width,
                height=info.height,
                average_fps=info.average_fps,
                base_fps=info.base_fps,
                codec=info.codec,
                sampling=self._sampling.to_json(),
                recorded_at=info.recorded_at,
                timecode=info.timecode,
                recorded_offset_seconds=info.recorded_offset_seconds,
                error=video.damage,
            )
            # In the same transaction: a video is never seen with its clips and without its actions.
            seen = {}
            if self._classifier is not None and video.watch is not None:
                seen[self._classifier.spec] = video.watch.spans()
            self._tagger.tag_video(catalog, video_id, self._encoder.dim, seen)
        summary.indexed += 1
        summary.clips += video.clips_written
        if video.damage is not None:
            summary.damaged.append((path, video.damage))
        is_new = before is None or before.clips == 0
        self._report.change(Change("indexed" if is_new else "changed", path, clips=video.clips_written))

    def discard(self, video: OpenVideo) -> None:
        """Removes what was written of a video that could not be read to its end."""
        if video.staging_id is not None:
            with self._library.write() as catalog:
                catalog.discard_staged(video.staging_id)

    def record_failure(self, file: FoundFile, reason: str) -> None:
        """Keeps a file that cannot be indexed with the reason, so that people find it."""
        with self._library.write() as catalog:
            catalog.record_failure(file.path, file.size_bytes, file.mtime_ns, reason)
        self._report.count_failed(file.path, reason)


def _encode_clips(encoder: Encoder, clips: Sequence[SampledClip]) -> list[EncodedClip]:
    """Encodes clips of one video."""
    features = encode_together(encoder, [clip.frames for clip in clips])
    return [
        EncodedClip(
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            embedding=encoder.pool(rows),
            features=rows.astype(np.float16),
            times_seconds=clip.frames.pts_seconds,
            key_frames=tuple((frame.time_seconds, frame.jpeg) for frame in clip.key_frames),
        )
        for clip, rows in zip(clips, features, strict=True)
    ]
