"""Examples for a lesson: from files and folders, from clips of the library, from lists of spans."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from encoders.embedding.encoder import Encoder
from encoders.errors import DecodeError, InvalidQueryError, NotFoundError
from encoders.heads.action_names import find_names, normalise_action
from encoders.heads.head import FeatureTrack
from indexer.examples.span_files import SpanFile, SpanRow, VideoNames, read_spans
from indexer.ingest.walk import FoundFile, content_digest, find_files
from indexer.video.programs.worker import DecodeWorker
from indexer.video.types import SampledClip, SamplingOptions, stored_sampling
from search.actions.examples import group_spans, shares_footage
from search.catalog.actions.lesson_examples import LessonExample, name_span
from search.catalog.catalog import Catalog
from search.catalog.tracks import shot_window_of, track_of_clips
from search.library import Library

LIMIT_SECONDS = 300.0
LONGEST_EXAMPLE_SECONDS = 120.0
SPAN_SLACK_SECONDS = 1.0  # by which a labelled span may end after its video does
NOTHING_SECONDS = 60.0  # of a video that shows nothing of an action, as one example of what it is not
SHOWN_MISSING = 3
SHOWN_LABELS = 12


def examples_from_files(
    library: Library,
    paths: Sequence[str],
    *,
    is_positive: bool,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda _: None,
) -> list[LessonExample]:
    """Decodes and encodes example clips as the library's own were.

    Args:
        library: Whose encoder and sampling to use.
        paths: Files and folders; what is no video in a folder is passed over.
        is_positive: Whether they show the action.
        on_progress: Told how many of how many files are done.
        say: Told which files could not be used, and why.

    Raises:
        NotFoundError: A path does not exist, or no video is among them.
    """
    for path in paths:
        if not Path(path).exists():
            raise NotFoundError(f"there is no file or folder {path} to take examples from")
    files, digests = _without_copies([file for file in find_files(paths) if file.reason is None], say)
    sampling = _plain_sampling(library)
    encoder = library.encoder()
    examples = []
    with DecodeWorker() as worker:
        for number, file in enumerate(files):
            on_progress(number, len(files))
            try:
                track = encoded_track(
                    worker, file.path, encoder, sampling,
                    limit_seconds=LIMIT_SECONDS, longest_seconds=LONGEST_EXAMPLE_SECONDS,
                )  # fmt: skip
            except DecodeError as error:
                if file.looks_like_video or len(files) == 1:
                    say(f"{file.path} is left out: {error}")
                continue
            length = float(track.borders_seconds[-1] - track.borders_seconds[0])
            if length > LONGEST_EXAMPLE_SECONDS:
                say(
                    f"{file.path} is left out: it lasts {length:.0f} s, and an example shows the action from "
                    f"end to end, in {LONGEST_EXAMPLE_SECONDS:.0f} s at most; cut it, or list spans of it "
                    "with --spans"
                )
                continue
            source = os.path.abspath(file.path)
            examples.append(LessonExample(is_positive, source, track=track, digest=digests[file.path]))
    on_progress(len(files), len(files))
    if not examples:
        raise NotFoundError(f"no video that could be used as an example is in {', '.join(paths)}")
    return examples


def _without_copies(
    files: Sequence[FoundFile], say: Callable[[str], None]
) -> tuple[list[FoundFile], dict[str, str | None]]:
    """Returns the first of files with the same content, and digests by path, None where one is unreadable."""
    kept: list[FoundFile] = []
    digests: dict[str, str | None] = {}
    seen: set[str] = set()
    for file in files:
        try:
            digest = content_digest(file.path)
        except OSError:  # for the decoder to say why
            kept.append(file)
            digests[file.path] = None
            continue
        if digest not in seen:
            kept.append(file)
            digests[file.path] = digest
        seen.add(digest)
    copies = len(files) - len(kept)
    if copies:
        say(f"{copies} of {len(files)} files {'is a copy' if copies == 1 else 'are copies'} of others")
    return kept, digests


def _plain_sampling(library: Library) -> SamplingOptions:
    from dataclasses import replace

    stored = stored_sampling(library.record().sampling)
    return replace(stored.without_actions(), sampling="exact", frame_size=library.encoder().frame_size)


def encoded_track(
    worker: DecodeWorker,
    path: str,
    encoder: Encoder,
    sampling: SamplingOptions,
    *,
    limit_seconds: float | None = None,
    longest_seconds: float = math.inf,
) -> FeatureTrack:
    """Encodes the features of a whole file, sampled as an ingest samples it.

    Args:
        worker: Decodes.
        path: Of the file.
        encoder: Encodes.
        sampling: Which frames are taken.
        limit_seconds: Wall time that decoding may take; None leaves it to the worker.
        longest_seconds: What is beyond this much of the video is left out.

    Raises:
        DecodeError: It cannot be decoded.
    """
    rows = []
    for item in worker.decode(path, sampling, limit_seconds):
        if isinstance(item, SampledClip):
            rows.append(
                SimpleNamespace(
                    start_seconds=item.start_seconds,
                    end_seconds=item.end_seconds,
                    times=item.frames.pts_seconds.tobytes(),
                    features=encoder.encode_frames(item.frames).astype(np.float16).tobytes(),
                )
            )
            if item.end_seconds - rows[0].start_seconds > longest_seconds:
                break
    if not rows:
        raise DecodeError("no frame could be decoded")
    return track_of_clips(rows, encoder.dim, shot_window_of(sampling.to_json()))


def examples_from_clips(
    library: Library, clip_ids: Iterable[int], *, is_positive: bool
) -> list[LessonExample]:
    """Makes examples of stored clips. Raises NotFoundError."""
    wanted = list(dict.fromkeys(clip_ids))
    with library.read() as catalog:
        found = catalog.clips(wanted)
    missing = [clip_id for clip_id in wanted if clip_id not in found]
    if missing:
        raise NotFoundError(f"there is no clip {missing[0]} in this library; `indexer search` shows clip ids")
    return [
        LessonExample(
            is_positive,
            f"clip {clip.id} of {clip.path}",
            clip.video_id,
            (clip.start_seconds, clip.end_seconds),
        )
        for clip in (found[clip_id] for clip_id in wanted)
    ]


def examples_from_spans(
    library: Library, file: Path, action: str, *, say: Callable[[str], None] = lambda _: None
) -> list[LessonExample]:
    """Makes examples of labelled spans of catalogued videos: those of the action, and those of others.

    The file is taken to label all of the action in every video that it names. A span of another label in
    which the action is labelled as well is no example of what the action is not. A video that is named
    without any span is an example of what it is not from end to end.

    Args:
        library: Which must hold the videos.
        file: CSV with a header (path or video_id, start_seconds, end_seconds, action), or JSON: a list of
            such objects, what `indexer find --json` prints, or ActivityNet's annotations.
        action: Which label is the one to learn.
        say: Told which videos of ActivityNet's annotations are not here, and the labels of a file that has
            none of the action.

    Raises:
        InvalidQueryError: The file cannot be read so, or a span lies beyond its video.
        NotFoundError: It names a video that the library does not hold; of ActivityNet's annotations, none
            that it holds.
    """
    found = read_spans(file)
    name = normalise_action(action)
    examples, labels = [], set()
    with library.read() as catalog:
        named = VideoNames(catalog, file)
        missing = {video: None for video in (*(row.name for row in found.rows), *found.empty) if video}
        missing = {video: None for video in missing if not named.holds(video)}
        for row in found.rows:
            if row.name in missing:
                continue
            video_id, span, label = _labelled(catalog, row, file, named, action)
            labels.add(label)
            # A particular label is an example of the general action, not the other way round.
            is_positive = label == name or label in find_names(name, [label], more_general=False).names
            source = name_span(video_id, span)
            examples.append(LessonExample(is_positive, source, video_id, span, origin="spans"))
        for video in found.empty:
            if video not in missing:
                examples += _of_nothing(catalog, named.video_id(video))
    _say_missing(file, list(missing), found, say)
    if not examples:
        raise InvalidQueryError(f"{file} holds no span")
    if labels and not any(one.is_positive for one in examples):
        shown = sorted(labels)[:SHOWN_LABELS]
        more = f" and {len(labels) - len(shown)} more" if len(labels) > len(shown) else ""
        say(f"{file} labels no {name!r}; its labels are: {', '.join(shown)}{more}")
    footage = group_spans([example for example in examples if example.is_positive])
    return [one for one in examples if one.is_positive or not shares_footage(one.video_id, one.span, footage)]


def _labelled(
    catalog: Catalog, row: SpanRow, file: Path, named: VideoNames, action: str
) -> tuple[int, tuple[float, float], str]:
    """Reads a row's video, span and label. Raises InvalidQueryError or NotFoundError."""
    try:
        video_id = named.video_of(row)
        start, end = row.seconds("start_seconds"), row.seconds("end_seconds")
        label = normalise_action(str(row.get("action") or row.get("label") or action))
        if not 0 <= end - start < math.inf or start == end:
            raise ValueError(f"a span must end after it starts, got {start} to {end}")
    except (KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidQueryError(
            f"{row.place}: {what}; expected path (or video_id), start_seconds, end_seconds and action"
        ) from error
    _check_inside(catalog, row, video_id, (start, end))
    return video_id, (start, end), label


def _check_inside(catalog: Catalog, row: SpanRow, video_id: int, span: tuple[float, float]) -> None:
    """Raises InvalidQueryError where a span is not of its video."""
    extent = catalog.extent(video_id)
    if extent is None:
        return
    video = catalog.video(video_id)
    first, last = extent[0], max(extent[1], extent[0] + (video.duration_seconds or 0.0))
    if span[0] >= last or span[1] > last + SPAN_SLACK_SECONDS or span[1] <= first:
        begins = f", from {first:.1f} to {last:.1f} s" if abs(first) >= 0.05 else ""
        raise InvalidQueryError(
            f"{row.place}: the span of {span[0]:g} to {span[1]:g} s lies beyond {video.path}, which lasts "
            f"{last - first:.1f} s{begins}"
        )


def _of_nothing(catalog: Catalog, video_id: int) -> list[LessonExample]:
    """Makes examples of a whole video as what an action is not, in pieces: looked at all over."""
    extent = catalog.extent(video_id)
    if extent is None:
        return []
    first, last = extent
    count = max(1, round((last - first) / NOTHING_SECONDS))
    borders = [first + (last - first) * number / count for number in range(count + 1)]
    return [
        LessonExample(False, name_span(video_id, span), video_id, span, origin="spans")
        for span in itertools.pairwise(borders)
    ]


def _say_missing(file: Path, missing: Sequence[str], found: SpanFile, say: Callable[[str], None]) -> None:
    """Raises NotFoundError where no video is left."""
    if not missing:
        return
    named = {row.name for row in found.rows} | set(found.empty)
    shown = ", ".join(missing[:SHOWN_MISSING]) + (", ..." if len(missing) > SHOWN_MISSING else "")
    if len(missing) == len(named):
        raise NotFoundError(f"none of the videos of {file} is in this library ({shown}): ingest them first")
    verb = "is" if len(missing) == 1 else "are"
    say(f"{len(missing)} of {len(named)} videos of {file} {verb} not in this library, left out: {shown}")
