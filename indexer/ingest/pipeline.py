"""Ingest: walk, decode in worker programs, encode here, write to the catalog.

Readers (one thread and one worker program each) put what they decode into one bounded queue; the thread
that called alone encodes, writes and counts, and tells a reader whether a file must be read at all. A
video's clips are written as they come, so memory does not grow with its length, and become visible in one
transaction at its end.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from encoders import Encoder, encode_together, open_encoder, resolve_spec, shared_cores
from encoders.embedding.encoder import check_pooling
from encoders.errors import (
    DamagedVideoError,
    DecodeError,
    EncoderMismatchError,
    InvalidQueryError,
    NotAVideoError,
    NotFoundError,
)
from encoders.heads.action_names import normalise_action
from encoders.heads.kinetics import resolve_classifier
from encoders.weights.digests import CLASSIFIER_PREFIXES
from indexer.ingest.backbone import THRESHOLD, BackboneWatch, window_hint
from indexer.ingest.previews import sweep_previews
from indexer.ingest.walk import FoundFile, content_digest, find_files, is_below
from indexer.video.programs.cost import TOOK_TOO_LONG, Patience
from indexer.video.programs.worker import DecodeWorker, usual_memory_bytes
from indexer.video.types import (
    Damage,
    Length,
    Progress,
    SampledClip,
    SamplingOptions,
    VideoInfo,
    stored_sampling,
)
from search.actions.heads import remove_named_heads
from search.actions.tagging import Tagger
from search.actions.zero_shot import add_zero_shot, recalibrate_zero_shot
from search.file_names import has_other_names, is_same_file, os_path, stored_path
from search.file_state import FileState
from search.library import Library
from search.types import EncodedClip, Video

if TYPE_CHECKING:
    from encoders.heads.kinetics import KineticsClassifier

QUEUED_CLIPS = 8
CLIPS_PER_WRITE = 32
# On a GPU single clips leave it idle; on a CPU larger batches fall out of its caches.
GPU_FRAMES_PER_BATCH = 128


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What to ingest with. None keeps what the library was made with.

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
    stall_seconds: float = 60.0
    patience: float = 1.0
    roots: tuple[str, ...] | None = None
    says_ignored: bool = True


@dataclass(slots=True)
class IngestSummary:
    """What an ingest did.

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
    """What became of one video: `from_path` of a moved one, `clips` of one that was read, or the reason."""

    kind: ChangeKind
    path: str
    from_path: str | None = None
    clips: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is: files done of all, seconds of video done of the files begun.

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


@dataclass(slots=True)
class _Reading:
    """A file while it is being read; by `verdict` its reader learns why not to read on, None to do so."""

    file: FoundFile
    info: VideoInfo | None = None
    digest: str = ""
    staging_id: int | None = None
    clips_written: int = 0
    waiting: list[SampledClip] = field(default_factory=list)
    encoded: list[EncodedClip] = field(default_factory=list)
    seconds_done: float = 0.0
    length_seconds: float = 0.0
    damage: str | None = None
    watch: BackboneWatch | None = None
    verdict: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The last message about a file: `reason` is None when all of it was read."""

    reason: str | None = None
    outcome: str = "indexed"


class _Stopped(Exception):
    """The ingest is being given up; a reader leaves."""


def prepare_library(
    library: Library,
    options: IngestOptions,
    say: Callable[[str], None] = lambda _: None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> tuple[Encoder, SamplingOptions]:
    """Makes the library on the first ingest; afterwards checks that the options fit it.

    Args:
        library: Open, perhaps still empty.
        options: What the user asked for.
        say: Told which encoder was chosen and why.
        on_stage: Told what takes its time.

    Raises:
        EncoderMismatchError: Another encoder than the library's was asked for.
        EncoderUnavailableError: The encoder cannot be loaded here.
    """
    wanted = None if options.actions is None else _read_actions(options.actions)
    with library.read() as catalog:
        record = catalog.library_record()
    if record is None:
        on_stage("choosing an encoder")
        spec, reason = resolve_spec(options.encoder or "auto")
        say(f"encoder {spec}: {reason}")
        pooling = check_pooling(options.pooling or "mean")
        on_stage(f"loading the encoder {spec}")
        encoder = open_encoder(spec, device=options.device, pooling=pooling)
        sampling = (options.sampling or SamplingOptions()).with_frame_size(encoder.frame_size)
        library.create(encoder, pooling=pooling, sampling=sampling.to_json())
        wanted = wanted or _Actions()
        if encoder.tags_by_name and not (wanted.nothing or wanted.by_name):
            wanted = replace(wanted, by_name=(None,))
        return encoder, _with_actions(library, sampling, wanted, say)
    if options.encoder not in (None, "auto"):
        spec, _ = resolve_spec(options.encoder)
        if spec != record.encoder_spec:
            raise EncoderMismatchError(
                f"this library was made with {record.encoder_spec}, not {spec}: its vectors cannot be "
                "compared with those of another encoder; leave --encoder out, or make another "
                "library with --library"
            )
    if options.pooling not in (None, record.pooling):
        raise EncoderMismatchError(
            f"this library pools by {record.pooling}, not {options.pooling}; leave --pooling out, or "
            "make another library with --library"
        )
    on_stage(f"loading the encoder {record.encoder_spec}")
    encoder = library.encoder()
    stored = stored_sampling(record.sampling)
    sampling = (options.sampling or stored).with_frame_size(encoder.frame_size)
    sampling = _with_actions(library, sampling, wanted, say)
    # One with a backbone is kept once that could be loaded: else no later ingest would work either.
    if sampling != stored and sampling.actions is None:
        with library.write() as catalog:
            catalog.set_library(sampling=sampling.to_json())
    return encoder, sampling


@dataclass(frozen=True, slots=True)
class _Actions:
    """What `IngestOptions.actions` asks for: a backbone, lists of names (None: the usual), or nothing."""

    backbone: str | None = None
    by_name: tuple[list[str] | None, ...] = ()
    nothing: bool = False


def _read_actions(chosen: Sequence[str]) -> _Actions:
    """Checks what was asked for before anything is made or changed."""
    backbones = [spec for spec in chosen if spec.startswith(CLASSIFIER_PREFIXES)]
    if len(backbones) > 1:
        raise InvalidQueryError(f"one backbone at a time names actions, got {' and '.join(backbones)}")
    by_name: list[list[str] | None] = []
    for other in chosen:
        if other == "zero-shot" or other.startswith("zero-shot:"):
            by_name.append(_names_in(other.partition(":")[2]))
        elif other != "none" and other not in backbones:
            raise InvalidQueryError(
                f"--actions {other!r} is not known; expected kinetics:<model>, "
                "model:<checkpoint>, zero-shot, zero-shot:<file of names> or none"
            )
    if len(by_name) > 1:
        raise InvalidQueryError("--actions zero-shot was given twice; put all names into one file")
    if "none" in chosen and len(set(chosen)) > 1:
        raise InvalidQueryError("--actions none goes with no other: leave it out, or the others")
    return _Actions(resolve_classifier(backbones[0]) if backbones else None, tuple(by_name), "none" in chosen)


def _with_actions(
    library: Library, sampling: SamplingOptions, wanted: _Actions | None, say: Callable[[str], None]
) -> SamplingOptions:
    """The sampling that the wanted heads need; gives the library those that read stored features."""
    if wanted is None:
        return sampling
    if wanted.backbone is not None and sampling.sampling == "keyframes":
        raise InvalidQueryError(
            f"{wanted.backbone} needs to see movement, and key frames are too far apart for that: ingest "
            "with --sampling uniform, or without --actions kinetics"
        )
    if wanted.nothing:
        remove_named_heads(library)
    if wanted.by_name and not library.encoder().tags_by_name:
        say(
            f"the words of {library.record().encoder_spec} are too weak to name actions: expect many wrong "
            "segments from zero-shot, better teach them (`indexer actions teach`); --actions none takes "
            "zero-shot away again"
        )
    for names in wanted.by_name:
        add_zero_shot(library, names)
    if wanted.backbone is None:
        return sampling.without_actions()
    # The rate is the model's own: set when it is loaded. What counts here is that one is wanted.
    return replace(sampling, actions=wanted.backbone)


def _names_in(path: str) -> list[str] | None:
    if not path:
        return None
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidQueryError(
            f"the names of actions in {path} cannot be read: {error}; expected one name a line"
        ) from error
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise InvalidQueryError(f"{path} holds no name of an action; expected one a line")
    return names


def prepare_backbone(
    library: Library,
    sampling: SamplingOptions,
    device: str,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[SamplingOptions, KineticsClassifier]:
    """Loads the classifier that the sampling names, and enters it as a head of the library.

    The sampling that comes back names its weights. Videos that others have looked at are sampled
    otherwise, so an ingest reads them again; what other weights of this name said is gone at once.

    Args:
        library: With a record.
        sampling: That names a classifier.
        device: As for `open_classifier`.
        say: Told that the weights are others than before.

    Raises:
        EncoderUnavailableError: It cannot be had here.
    """
    from encoders.heads.kinetics import open_classifier

    assert sampling.actions is not None
    classifier = open_classifier(sampling.actions, device=device)
    try:
        sampling = replace(
            sampling,
            actions=classifier.spec,
            classifier_id=classifier.classifier_id,
            dense_fps=float(classifier.fps),
            dense_size=classifier.frame_size,
        )
    except ValueError as error:  # clips too long to hold that many frames of
        raise InvalidQueryError(f"{classifier.spec} cannot watch clips like these: {error}") from error
    with library.write() as catalog:
        catalog.set_library(sampling=sampling.to_json())
        known = {head.name: head for head in catalog.actions.heads()}.get(classifier.spec)
        if known is not None and known.encoder_id != classifier.classifier_id:
            catalog.actions.remove_head(known.id)  # other weights: what it said no longer holds
            say(f"{classifier.spec} has other weights than before: what those said is forgotten")
            known = None
        if known is None:
            catalog.actions.add_head(
                kind=classifier.kind,
                name=classifier.spec,
                encoder_id=classifier.classifier_id,
                actions=[normalise_action(name) for name in classifier.actions],
                threshold=THRESHOLD,
                card={},
                parameters=None,
                is_active=True,
            )
    return sampling, classifier


def ingest(
    library: Library,
    paths: Sequence[str],
    options: IngestOptions | None = None,
    *,
    on_progress: Callable[[IngestProgress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    on_change: Callable[[Change], None] = lambda _: None,
) -> IngestSummary:
    """Brings the library up to date with files and folders.

    Files known by path, size and times of change are left alone; known content at a new path
    is a move; changed files replace what they were; vanished ones are marked missing. Killed at
    any moment, the next call completes the work.

    Args:
        library: Made by this call if it is empty.
        paths: Files and folders.
        options: See `IngestOptions`.
        on_progress: Called often, from this thread.
        say: Called with a line for the user, now and then.
        should_stop: Asked between clips; True ends the ingest early and cleanly.
        on_change: Called from this thread for each video of which something is different now.

    Raises:
        LibraryError, EncoderError: Nothing could be ingested at all; single bad files are in the
            summary instead.
    """
    options = options or IngestOptions()
    with library.ingest_lock(wait=True, on_wait=say, should_stop=should_stop):
        started = time.monotonic()

        def on_stage(stage: str) -> None:
            on_progress(IngestProgress(0, 0, 0.0, time.monotonic() - started, None, stage))

        encoder, sampling = prepare_library(library, options, say, on_stage)
        classifier = None
        if sampling.actions is not None:
            on_stage(f"loading {sampling.actions}")
            sampling, classifier = prepare_backbone(library, sampling, options.device, say)
            hint = window_hint(classifier, sampling)
            if hint is not None and options.actions is not None:
                say(hint)
        library.clear_leftovers()
        with library.write() as catalog:
            catalog.discard_staged()
        run = _Ingest(library, encoder, classifier, sampling, options, on_progress, should_stop, on_change)
        summary = run.run(paths)
        sweep_previews(library)
        if sampling.actions is not None and not summary.stopped:
            _settle_backbones(library, sampling, say)
        return summary


def _settle_backbones(library: Library, sampling: SamplingOptions, say: Callable[[str], None]) -> None:
    """Forgets backbones of which nothing is left; says how many videos this one has not looked at."""
    with library.write() as catalog:
        catalog.actions.remove_empty_backbones(but=sampling.actions or "")
        counts = catalog.count_by_sampling()
    others = 0
    for text, count in counts.items():
        try:
            stored = SamplingOptions.from_json(text)
        except ValueError:  # damaged: `indexer check` says so
            continue
        if (stored.actions, stored.classifier_id) != (sampling.actions, sampling.classifier_id):
            others += count
    if others:
        say(
            f"{others} videos of this library were not looked at by {sampling.actions}: they are not in the "
            "paths given here. Ingest them as well, and they will be"
        )


class _Ingest:
    """One run of `ingest`."""

    def __init__(
        self,
        library: Library,
        encoder: Encoder,
        classifier: KineticsClassifier | None,
        sampling: SamplingOptions,
        options: IngestOptions,
        on_progress: Callable[[IngestProgress], None],
        should_stop: Callable[[], bool],
        on_change: Callable[[Change], None],
    ) -> None:
        self._library = library
        self._tagger = Tagger(library)
        self._encoder = encoder
        self._classifier = classifier
        self._sampling = sampling
        self._options = options
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._on_change = on_change
        self._moved_from: dict[str, str] = {}
        self._newly_missing: set[int] = set()
        self._given: set[str] = set()
        self._ids_by_size_and_time: dict[tuple[int, int], list[int]] | None = None
        self._summary = IngestSummary()
        self._started = time.monotonic()
        self._files_total = 0
        self._files_done = 0
        self._messages: queue.Queue[tuple[_Reading, object]] = queue.Queue(QUEUED_CLIPS)
        self._stopping = threading.Event()
        self._workers: list[DecodeWorker] = []
        self._patience = Patience(options.patience)
        on_cpu = encoder.device.startswith("cpu")
        self._frames_per_batch = 1 if on_cpu else GPU_FRAMES_PER_BATCH

    def run(self, paths: Sequence[str]) -> IngestSummary:
        """Does all of it."""
        self._report(None, "looking for videos")
        if self._options.says_ignored:
            self._given = {stored_path(os.path.abspath(os_path(os.fspath(path)))) for path in paths}
        found = list(self._until_stopped(find_files(paths, self._options.roots)))
        self._files_total = len(found)
        if not self._should_stop():
            self._mark_missing(paths, {file.path for file in found if file.reason is None})
        pending = deque(file for file in self._until_stopped(found) if not self._is_settled(file))
        self._report(None)
        if pending:
            with shared_cores(self._encoder.device):
                self._read_all(pending)
        self._summary.stopped = self._should_stop()
        if not self._summary.stopped:
            self._count_missing(paths)
        self._report(None, "writing the index")
        self._library.index_keeper.save()
        recalibrate_zero_shot(self._library)
        self._summary.wall_seconds = time.monotonic() - self._started
        return self._summary

    def _until_stopped(self, files: Iterable[FoundFile]) -> Iterator[FoundFile]:
        for file in files:
            if self._should_stop():
                return
            yield file

    # --- before reading --------------------------------------------------------------------

    def _mark_missing(self, paths: Sequence[str], present: set[str]) -> None:
        with self._library.write() as catalog:
            for path in paths:
                for video in catalog.videos_below(os.path.abspath(path)):
                    if video.path in present or not _is_gone(video.path):
                        continue
                    if video.clips == 0:
                        catalog.remove_videos([video.id])  # a failure that is no more
                    elif video.status != "missing":
                        catalog.update_video(video.id, status="missing")
                        self._newly_missing.add(video.id)

    def _is_settled(self, file: FoundFile) -> bool:
        """Whether nothing has to be read, going by path, size and times of change."""
        if file.reason is not None:
            # A folder that cannot be read, a name that is no text: nothing to catalogue.
            self._files_done += 1
            if not self._is_known_and_gone(file.path):
                self._summary.failed.append((file.path, file.reason))
            return True
        with self._library.read() as catalog:
            video = catalog.video_by_path(file.path)
        if video is None:
            video = self._by_another_name(file)
        if video is None or not video.file_state.is_same(file.state):
            return False
        if video.status == "failed" and _took_too_long(video) and self._options.patience <= 1:
            self._summary.failed.append((file.path, video.error or ""))
            self._files_done += 1
            return True
        if video.status == "failed" or not self._is_sampled_so(video):
            return False
        if video.status == "missing":
            with self._library.write() as catalog:
                catalog.update_video(video.id, status="indexed", error=_damage(video), ctime_ns=file.ctime_ns)
            self._on_change(Change("back", video.path))
        elif video.ctime_ns is None:  # indexed before it was kept
            with self._library.write() as catalog:
                catalog.update_video(video.id, ctime_ns=file.ctime_ns)
        self._summary.unchanged += 1
        self._files_done += 1
        return True

    def _by_another_name(self, file: FoundFile) -> Video | None:
        """The video of a file that the catalog knows by another of its names, which leads to it still."""
        if not has_other_names(file.path):
            return None
        if self._ids_by_size_and_time is None:
            self._ids_by_size_and_time = {}
            with self._library.read() as catalog:
                for video_id, state in catalog.file_states().items():
                    key = (state.size_bytes, state.mtime_ns)
                    self._ids_by_size_and_time.setdefault(key, []).append(video_id)
        with self._library.read() as catalog:
            for video_id in self._ids_by_size_and_time.get((file.size_bytes, file.mtime_ns), ()):
                with suppress(NotFoundError):  # removed a moment ago
                    video = catalog.video(video_id)
                    if self._keeps_its_name(video, file):
                        return video
        return None

    def _keeps_its_name(self, video: Video, file: FoundFile) -> bool:
        """Whether a video's name leads to a file that was found by another, and may be read by its own."""
        roots = self._options.roots
        return is_same_file(video.path, file.path) and (roots is None or is_below(video.path, roots))

    def _is_known_and_gone(self, path: str) -> bool:
        """Whether a path that was given has vanished: then it is missing, which is no failure."""
        if not _is_gone(path):
            return False
        with self._library.read() as catalog:
            return bool(catalog.videos_below(path))

    def _is_sampled_so(self, video: Video) -> bool:
        try:
            return video.sampling is not None and SamplingOptions.from_json(video.sampling) == self._sampling
        except ValueError:  # damaged: it is read anew
            return False

    # --- reading: threads ------------------------------------------------------------------

    def _read_all(self, pending: deque[FoundFile]) -> None:
        wanted = self._options.workers or max(1, (os.cpu_count() or 2) // 2)
        count = min(wanted, len(pending))
        readers = [
            threading.Thread(target=self._reader, args=(pending,), name=f"reader-{number}")
            for number in range(count)
        ]
        remaining = len(pending)
        for reader in readers:
            reader.start()
        try:
            while remaining:
                if self._should_stop():
                    return
                reading, message = self._messages.get()
                if isinstance(message, BaseException):
                    raise message
                remaining -= self._take(reading, message)
        finally:
            self._stopping.set()
            for worker in self._workers:
                worker.kill()  # a decoder that hangs must not hold up the end
            while any(reader.is_alive() for reader in readers):
                try:  # a reader may be waiting for room in the queue
                    self._messages.get(timeout=0.05)
                except queue.Empty:
                    continue

    def _reader(self, pending: deque[FoundFile]) -> None:
        # What a path leads to may change after it was found: the kernel holds the program to the roots.
        worker = DecodeWorker(stall_seconds=self._options.stall_seconds, reads=self._options.roots)
        worker.memory_bytes = usual_memory_bytes()
        self._workers.append(worker)
        try:
            while True:
                try:
                    file = pending.popleft()
                except IndexError:
                    return
                self._read(worker, _Reading(file))
        except _Stopped:
            pass
        except BaseException as error:  # the main thread must hear of it, or it waits for ever
            self._messages.put((_Reading(FoundFile("", 0, 0, False)), error))
        finally:
            worker.close()

    def _put(self, reading: _Reading, message: object) -> None:
        while not self._stopping.is_set():
            try:
                self._messages.put((reading, message), timeout=0.1)
                return
            except queue.Full:
                continue
        raise _Stopped

    def _wait_for_verdict(self, reading: _Reading) -> str | None:
        while not self._stopping.is_set():
            try:
                return reading.verdict.get(timeout=0.1)
            except queue.Empty:
                continue
        raise _Stopped

    def _read(self, worker: DecodeWorker, reading: _Reading) -> None:
        file = reading.file
        items = worker.decode(file.path, self._sampling)
        spent = Progress(0.0)
        try:
            for item in items:
                if isinstance(item, Progress):
                    spent = item
                    self._patience.check(item.cpu_seconds, item.time_seconds, file.size_bytes)
                if isinstance(item, VideoInfo):
                    reading.digest = content_digest(file.path)
                self._put(reading, item)
                if isinstance(item, VideoInfo):
                    outcome = self._wait_for_verdict(reading)
                    if outcome is not None:
                        items.close()
                        self._put(reading, _Ended(outcome=outcome))
                        return
            _check_unchanged(file, reading.digest)
        except NotAVideoError as error:
            others = "refused" if file.path in self._given else "ignored"
            outcome = "failed" if file.looks_like_video else others
            self._put(reading, _Ended(str(error), outcome))
        except (DecodeError, OSError) as error:
            items.close()
            self._put(reading, _Ended(_reason(error), "failed"))
        else:
            self._put(reading, _Ended())
        finally:
            self._patience.learn(spent.cpu_seconds, spent.time_seconds)

    def _settle_by_digest(self, reading: _Reading) -> str | None:
        """Whether this content is known: "unchanged" (touched), "back", "moved", or None.

        A file that the catalog knows by another name that still leads to it keeps that one.
        """
        file, digest = reading.file, reading.digest
        with self._library.write() as catalog:
            at_path = catalog.video_by_path(file.path)
            seen = {"size_bytes": file.size_bytes, "mtime_ns": file.mtime_ns, "ctime_ns": file.ctime_ns}
            if at_path is not None and at_path.digest == digest and self._is_sampled_so(at_path):
                catalog.update_video(at_path.id, status="indexed", error=_damage(at_path), **seen)
                return "back" if at_path.status == "missing" else "unchanged"
            for video in catalog.videos_by_digest(digest):
                stays = self._keeps_its_name(video, file)
                if not (stays or _is_gone(video.path) or is_same_file(video.path, file.path)):
                    continue
                path = video.path if stays else file.path
                if not self._is_sampled_so(video):
                    if at_path is None:  # to be read anew: what it was goes when that is done
                        catalog.update_video(video.id, path=path, status="indexed", error=None)
                        reading.file = replace(file, path=path)
                        return None
                    continue
                if at_path is not None and at_path.id != video.id:
                    self._summary.examples_gone.update(catalog.actions.examples_of_videos([at_path.id]))
                    catalog.remove_videos([at_path.id])
                catalog.update_video(video.id, path=path, status="indexed", error=_damage(video), **seen)
                if stays:
                    return "back" if video.status == "missing" else "unchanged"
                self._moved_from[file.path] = video.path
                return "moved"
        return None

    # --- encoding and writing: this thread -------------------------------------------------

    def _take(self, reading: _Reading, message: object) -> int:
        """Handles one message; returns how many files it ended."""
        if isinstance(message, VideoInfo):
            reading.info = message
            reading.verdict.put(self._settle_by_digest(reading))
        elif isinstance(message, Progress):
            self._advance(reading, message.time_seconds)
        elif isinstance(message, Damage):
            reading.damage = message.note
        elif isinstance(message, Length):
            reading.length_seconds = message.duration_seconds
        elif isinstance(message, SampledClip):
            reading.waiting.append(message)
            if sum(len(clip.frames) for clip in reading.waiting) >= self._frames_per_batch:
                self._encode(reading)
            self._advance(reading, message.end_seconds)
        elif isinstance(message, _Ended):
            self._end(reading, message)
            self._files_done += 1
            self._report(reading.file.path)
            return 1
        self._report(reading.file.path)
        return 0

    def _advance(self, reading: _Reading, seconds: float) -> None:
        if seconds > reading.seconds_done:
            self._summary.video_seconds += seconds - reading.seconds_done
            reading.seconds_done = seconds

    def _encode(self, reading: _Reading) -> None:
        if self._classifier is not None:
            if reading.watch is None:
                reading.watch = BackboneWatch(self._classifier, self._sampling)
            for clip in reading.waiting:
                reading.watch.look(clip)
        reading.encoded.extend(encode_clips(self._encoder, reading.waiting))
        reading.waiting.clear()
        if len(reading.encoded) >= CLIPS_PER_WRITE:
            self._write(reading)

    def _write(self, reading: _Reading) -> None:
        file = reading.file
        with self._library.write() as catalog:
            if reading.staging_id is None:
                reading.staging_id = catalog.stage_video(
                    file.path, file.size_bytes, file.mtime_ns, file.ctime_ns
                )
            catalog.add_clips(reading.staging_id, reading.clips_written, reading.encoded)
        reading.clips_written += len(reading.encoded)
        reading.encoded.clear()

    def _end(self, reading: _Reading, ended: _Ended) -> None:
        if ended.outcome == "indexed":
            self._encode(reading)
            self._write(reading)
            self._publish(reading)
            return
        if reading.staging_id is not None:
            with self._library.write() as catalog:
                catalog.discard_staged(reading.staging_id)
        if ended.outcome in ("unchanged", "back"):
            self._summary.unchanged += 1
            if ended.outcome == "back":
                self._on_change(Change("back", reading.file.path))
        elif ended.outcome == "moved":
            self._summary.moved += 1
            path = reading.file.path
            self._on_change(Change("moved", path, from_path=self._moved_from.pop(path, None)))
        elif ended.outcome == "ignored":
            self._summary.ignored += 1
        elif ended.outcome == "refused":  # no video, nor called like one: nothing to catalogue
            reason = ended.reason or "no video"
            self._summary.failed.append((reading.file.path, reason))
            self._on_change(Change("failed", reading.file.path, reason=reason))
        else:
            self._fail(reading.file, ended.reason or "no reason was given")

    def _publish(self, reading: _Reading) -> None:
        info = reading.info
        assert info is not None and reading.staging_id is not None
        with self._library.write() as catalog:
            before = catalog.video_by_path(reading.file.path)
            if before is not None and before.digest != reading.digest:
                self._summary.examples_gone.update(catalog.actions.examples_of_videos([before.id]))
                catalog.actions.remove_examples_of_video(before.id)  # spans of what is no longer there
            video_id = catalog.publish_video(
                reading.staging_id,
                digest=reading.digest,
                # What was read, not what the header says: it may know no better, or be of another part.
                duration_seconds=reading.length_seconds or info.duration_seconds or reading.seconds_done,
                width=info.width,
                height=info.height,
                average_fps=info.average_fps,
                base_fps=info.base_fps,
                codec=info.codec,
                sampling=self._sampling.to_json(),
                recorded_at=info.recorded_at,
                timecode=info.timecode,
                recorded_offset_seconds=info.recorded_offset_seconds,
                error=reading.damage,
            )
            # In the same transaction: a video is never seen with its clips and without its actions.
            seen = {}
            if self._classifier is not None and reading.watch is not None:
                seen[self._classifier.spec] = reading.watch.spans()
            self._tagger.tag_video(catalog, video_id, self._encoder.dim, seen)
        self._summary.indexed += 1
        self._summary.clips += reading.clips_written
        if reading.damage is not None:
            self._summary.damaged.append((reading.file.path, reading.damage))
        is_new = before is None or before.clips == 0
        kind: ChangeKind = "indexed" if is_new else "changed"
        self._on_change(Change(kind, reading.file.path, clips=reading.clips_written))

    def _fail(self, file: FoundFile, reason: str) -> None:
        self._summary.failed.append((file.path, reason))
        with self._library.write() as catalog:
            catalog.record_failure(file.path, file.size_bytes, file.mtime_ns, reason)
        self._on_change(Change("failed", file.path, reason=reason))

    def _count_missing(self, paths: Sequence[str]) -> None:
        """After moves have been found: what is still missing, and with `prune` no longer kept."""
        with self._library.write() as catalog:
            gone = {
                video.id: video.path
                for path in paths
                for video in catalog.videos_below(os.path.abspath(path))
                if video.status == "missing"
            }
            if self._options.prune:
                self._summary.examples_gone.update(catalog.actions.examples_of_videos(gone))
                catalog.remove_videos(gone)
                self._summary.pruned = len(gone)
            else:
                self._summary.missing = len(gone)
        kind: ChangeKind = "removed" if self._options.prune else "missing"
        for video_id, path in gone.items():
            if self._options.prune or video_id in self._newly_missing:
                self._on_change(Change(kind, path))

    def _report(self, path: str | None, stage: str | None = None) -> None:
        self._on_progress(
            IngestProgress(
                files_done=self._files_done,
                files_total=self._files_total,
                video_seconds=self._summary.video_seconds,
                wall_seconds=time.monotonic() - self._started,
                path=path,
                stage=stage,
            )
        )


def encode_clips(encoder: Encoder, clips: Sequence[SampledClip]) -> list[EncodedClip]:
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


def _damage(video: Video) -> str | None:
    """What stays true of a video whose content is the same as before."""
    return None if video.status == "failed" else video.error


def _took_too_long(video: Video) -> bool:
    """Whether it was left out for its cost, which it would have again."""
    return video.error is not None and video.error.startswith(TOOK_TOO_LONG)


def _is_gone(path: str) -> bool:
    """Whether there is certainly no such file: one that cannot be looked at now is not gone."""
    try:
        os.lstat(os_path(path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _check_unchanged(file: FoundFile, digest: str) -> None:
    """A new name or mode of a file is a change of its inode as well: then its content is what counts."""
    now = FileState.of(os.stat(os_path(file.path)))
    if now.is_same(file.state):
        return
    if not now.is_same(replace(file.state, ctime_ns=None)) or content_digest(file.path) != digest:
        raise DamagedVideoError("the file changed while it was being read; ingest it again")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
