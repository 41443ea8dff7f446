"""Segments as other programs read them: CSV, WebVTT, ActivityNet JSON, OpenTimelineIO, EDL.

Times are presentation times as the file states them. Players and editors count from the beginning of a
file, so that for the few files whose clock does not begin at 0 the exports for them take `origins`.
No text can leave its field: line breaks and other control characters become spaces, and each format's
own marks are escaped.
"""

from __future__ import annotations

import csv
import functools
import html
import io
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

from encoders.errors import InvalidQueryError
from search.file_names import os_path
from search.types import Segment, Video

# What editors take a file for that does not say its rate.
DEFAULT_FPS = 25.0
# Where a spreadsheet takes what begins so for a formula, and runs it: also behind what some of them take for
# the separator.
_FORMULA_STARTS = re.compile("^(?=[=+\\-@\t\r\n＝＋－＠])|(?<=[;\t|])(?=[=+\\-@＝＋－＠])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ROWS_AT_ONCE = 1000
_CSV_COLUMNS = tuple(field.name for field in fields(Segment))
# Two digits of frames are all that a timecode has; above this editors count every second frame.
_HIGHEST_TIMECODE_FPS = 60
_TELEVISION_SLACK = 0.002  # 29.97 is 30 less one thousandth
_HOURS_PER_DAY = 24
_USUAL_FPS = (24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60, 100, 120)
_EVEN_SLACK = 0.01
_HIGHEST_BASE_FPS = 240.0  # above, it is the tick of a clock (Matroska's is a millisecond) and no rate
_RECORD_START_HOURS = 1  # where timelines customarily begin
_NO_ORIGINS: Mapping[int, float] = {}


def to_csv(segments: Iterable[Segment]) -> Iterator[str]:
    """A table (RFC 4180, UTF-8 without byte order mark), headed by the names that the JSON has too.

    Text that a spreadsheet would run as a formula gets an apostrophe in front: it begins with = + - @ or the
    wide ones, in a cell or behind a semicolon, a tab or a bar, which may be a separator there.
    """
    rows: Iterator[Iterable[Any]] = (
        (
            segment.id,
            segment.video_id,
            _cell(segment.path),
            round(segment.start_seconds, 6),
            round(segment.end_seconds, 6),
            _cell(segment.action),
            round(segment.confidence, 6),
            _cell(segment.head),
        )
        for segment in segments
    )
    rows = itertools.chain([_CSV_COLUMNS], rows)
    while batch := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        text = io.StringIO(newline="")
        csv.writer(text).writerows(batch)
        yield text.getvalue()


def to_webvtt(segments: Iterable[Segment], *, origin_seconds: float = 0.0) -> str:
    """Subtitles (WebVTT) that name the actions of one video while it plays.

    Args:
        segments: Of one video, in any order.
        origin_seconds: The time that a player shows as 0: the video's first presentation time. What
            lies before it is cut off, since a cue cannot have a negative time.

    Raises:
        ValueError: The segments are of several videos.
    """
    ordered = sorted(segments, key=lambda segment: (segment.start_seconds, segment.end_seconds, segment.id))
    if len({segment.video_id for segment in ordered}) > 1:
        raise ValueError("WebVTT describes one video, got segments of several")
    cues = ["WEBVTT\n"]
    for segment in ordered:
        start = max(0, round((segment.start_seconds - origin_seconds) * 1000))
        end = round((segment.end_seconds - origin_seconds) * 1000)
        if end <= 0:
            continue
        # A cue's payload ends at a blank line and must not hold "-->"; one escaped line cannot.
        payload = html.escape(_label(segment), quote=False)
        times = f"{_clock(start)} --> {_clock(max(end, start + 1))}"
        cues.append(f"segment-{segment.id}\n{times}\n{payload}\n")
    return "\n".join(cues)


def to_activitynet(segments: Iterable[Segment], videos: Iterable[Video]) -> Iterator[str]:
    """Predictions as ActivityNet's evaluation reads them (Heilbron et al. 2015), as JSON.

    A video's key is its file's name without the suffix, as in the data set. Where two share it, both
    get as much of their path as tells them apart. A video without segments has an empty list.

    Args:
        segments: Those of one video one after another.
        videos: All that the segments are of.

    Raises:
        ValueError: The segments of a video do not come one after another, or it is not in `videos`.
    """
    keys = _video_keys({video.id: video.path for video in videos})
    yield '{"version": "VERSION 1.3", "external_data": {}, "results": {'
    separator = ""
    for video_id, group in itertools.groupby(segments, lambda segment: segment.video_id):
        if video_id not in keys:
            raise ValueError(f"video {video_id} is not among those given, or its segments are scattered")
        found = [
            {
                "label": _line(segment.action),
                "score": round(segment.confidence, 6),
                "segment": [round(segment.start_seconds, 6), round(segment.end_seconds, 6)],
            }
            for segment in group
        ]
        yield f"{separator}{json.dumps(keys.pop(video_id))}: {json.dumps(found)}"
        separator = ", "
    for key in keys.values():
        yield f"{separator}{json.dumps(key)}: []"
        separator = ", "
    yield "}}\n"


def to_otio(
    segments: Iterable[Segment],
    videos: Iterable[Video],
    *,
    name: str = "Reelseek",
    origins: Mapping[int, float] = _NO_ORIGINS,
) -> Iterator[str]:
    """A timeline (OpenTimelineIO, JSON) on which the segments follow one another, with a marker each.

    Times are whole frames at the file's own mean rate, from its own time code on, by which editors find their
    place in a file; 29.97 and its like are the exact fractions. A file without a time code begins at 0, one
    without a known rate counts as 25 frames per second. Where frames do not come evenly, times are counted in
    the step that all of them share (60 per second where that is finer than any camera's), and the markers say
    so.

    Args:
        segments: In the order that they shall have on the timeline.
        videos: All that the segments are of.
        name: Of the timeline.
        origins: Video id -> presentation time in seconds of its first frame, where that is not 0.

    Raises:
        ValueError: A segment's video is not among `videos`.
    """
    known = {video.id: video for video in videos}
    track = json.dumps({"OTIO_SCHEMA": "Track.1", "name": "Actions", "kind": "Video", "metadata": {}})
    stack = json.dumps({"OTIO_SCHEMA": "Stack.1", "name": "tracks", "metadata": {}})
    timeline = json.dumps({"OTIO_SCHEMA": "Timeline.1", "name": _line(name), "metadata": {}})
    # The innermost list is left open, to be filled while it is written.
    yield f'{timeline[:-1]}, "tracks": {stack[:-1]}, "children": [{track[:-1]}, "children": ['
    separator = "\n"
    for segment in segments:
        clip = _otio_clip(segment, _video_of(segment, known), origins.get(segment.video_id, 0.0))
        yield separator + json.dumps(clip)
        separator = ",\n"
    yield "\n]}]}}\n"


def to_edl(
    segments: Iterable[Segment],
    videos: Iterable[Video],
    *,
    name: str = "Reelseek",
    origins: Mapping[int, float] = _NO_ORIGINS,
) -> str:
    """An edit decision list (CMX 3600) of the segments in this order, with a locator each.

    The format has one rate, here the whole number next to that of most segments. In files of that rate, or of
    its television form, timecode counts frames, as editors do (29.97 at 30), and in files of other rates
    seconds. A file's own time code is where its source times begin, written as it is there: with a semicolon
    before the frames where it drops frames (SMPTE 12M). The list drops frames where most segments' files do;
    where none do, an hour of timecode at 29.97 lasts 3.6 seconds longer than one of the clock.
    Files whose frames do not come evenly count in the step that all of their frames share, which a comment
    says.
    Reels are named after the video's id; the file's name and path are in comments.

    Args:
        segments: In the order that they shall have on the timeline.
        videos: All that the segments are of.
        name: The list's title.
        origins: Video id -> presentation time in seconds of its first frame, where that is not 0.

    Raises:
        InvalidQueryError: More than a timecode's 24 hours.
        ValueError: A segment's video is not among `videos`.
    """
    rows = list(segments)
    known = {video.id: video for video in videos}
    rates = Counter(_nominal(_rate(_video_of(segment, known))) for segment in rows)
    fps = rates.most_common(1)[0][0] if rates else round(DEFAULT_FPS)
    drops = 2 * sum(_drops_frames(known[segment.video_id], fps) for segment in rows) > len(rows)
    lines = [f"TITLE: {_line(name)[:70]}", f"FCM: {'DROP' if drops else 'NON-DROP'} FRAME", ""]
    record = _count_frames(f"{_RECORD_START_HOURS:02d}:00:00{';' if drops else ':'}00", fps)
    for number, segment in enumerate(rows, start=1):
        video = known[segment.video_id]
        rate = _rate(video)
        counted = rate if abs(rate / fps - 1) < _TELEVISION_SLACK else Fraction(fps)
        first, length = _frames(segment, counted, origins.get(segment.video_id, 0.0))
        source_drops = _drops_frames(video, fps)
        first += _start_frame(video, fps)
        day = _count_frames(f"{_HOURS_PER_DAY}:00:00{';' if source_drops else ':'}00", fps)
        # A recording may go on past midnight; a list may not.
        times = [_timecode(frame % day, fps, drops=source_drops) for frame in (first, first + length)]
        times += [_timecode(frame, fps, drops=drops) for frame in (record, record + length)]
        lines += [
            f"{number:03d}  {_reel(video.id)} V     C        {' '.join(times)}",
            f"* FROM CLIP NAME: {_line(PurePath(video.path).name)}",
            f"* SOURCE FILE: {_line(video.path)}",
            f"* LOC: {times[2]} GREEN   {_label(segment)}",
            *([f"* VARIABLE FRAME RATE: COUNTED AT {float(rate):g} FPS"] if _is_uneven(video) else []),
            "",
        ]
        record += length
    return "\n".join(lines)


def _label(segment: Segment) -> str:
    return f"{_line(segment.action)} {segment.confidence:.0%} ({_line(segment.head)})"


def _otio_clip(segment: Segment, video: Video, origin_seconds: float) -> dict[str, Any]:
    rate = _rate(video)
    first, length = _frames(segment, rate, origin_seconds)
    available = max(first + length, round((video.duration_seconds or 0.0) * rate))
    start = _start_frame(video, max(1, round(rate)))
    span = _otio_range(start + first, length, rate)
    metadata = {
        "reelseek": {
            "segment_id": segment.id,
            "video_id": segment.video_id,
            "action": _line(segment.action),
            "confidence": round(segment.confidence, 6),
            "head": _line(segment.head),
            "start_seconds": round(segment.start_seconds, 6),
            "end_seconds": round(segment.end_seconds, 6),
            **({"variable_frame_rate_counted_at": float(rate)} if _is_uneven(video) else {}),
        }
    }
    return {
        "OTIO_SCHEMA": "Clip.1",  # older editors read it too
        "name": _line(PurePath(video.path).name),
        "metadata": {},
        "source_range": span,
        "media_reference": {
            "OTIO_SCHEMA": "ExternalReference.1",
            "name": _line(PurePath(video.path).name),
            "metadata": {},
            "target_url": _file_url(video.path),
            "available_range": _otio_range(start, available, rate),
        },
        "markers": [
            {
                "OTIO_SCHEMA": "Marker.2",
                "name": _line(segment.action),
                "color": "GREEN",
                "marked_range": span,
                "metadata": metadata,
            }
        ],
        "effects": [],
    }


@functools.lru_cache(maxsize=1024)
def _file_url(path: str) -> str:
    return Path(os_path(path)).absolute().as_uri()


def _otio_range(first: int, length: int, rate: Fraction) -> dict[str, Any]:
    start, duration = (
        {"OTIO_SCHEMA": "RationalTime.1", "value": float(frames), "rate": float(rate)}
        for frames in (first, length)
    )
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": start, "duration": duration}


def _frames(segment: Segment, rate: Fraction, origin_seconds: float) -> tuple[int, int]:
    """First frame and number of frames, at least one; nothing lies before the file's beginning."""
    first = max(0, round((segment.start_seconds - origin_seconds) * rate))
    stop = round((segment.end_seconds - origin_seconds) * rate)
    return first, max(1, stop - first)


def _rate(video: Video) -> Fraction:
    """Frames per second to count in; those of American television as the exact fractions that they are."""
    fps = _mean_fps(video)
    if _is_uneven(video):
        assert video.base_fps is not None
        fps = video.base_fps if video.base_fps <= _HIGHEST_BASE_FPS else _HIGHEST_TIMECODE_FPS
    television = Fraction(round(fps) * 1000, 1001)
    if television and abs(fps - television) < 1e-4 * fps:
        return television
    return Fraction(fps).limit_denominator(1000) or Fraction(fps)


def _mean_fps(video: Video) -> float:
    fps = video.average_fps
    return DEFAULT_FPS if fps is None or not math.isfinite(fps) or fps <= 0 else fps


def _is_uneven(video: Video) -> bool:
    """Whether frames do not come at their mean rate, in which an editor could not name the place of each.

    Not where the mean is a rate that cameras have, nor where the container counts fields, two a frame.
    """
    mean, base = _mean_fps(video), video.base_fps
    if base is None or not math.isfinite(base) or any(abs(mean / fps - 1) < 5e-4 for fps in _USUAL_FPS):
        return False
    return base > mean * (1 + _EVEN_SLACK) and abs(base / (2 * mean) - 1) > _EVEN_SLACK


def _nominal(rate: Fraction) -> int:
    """The whole number of frames that a second of timecode has."""
    fps = max(1, round(rate))
    while fps > _HIGHEST_TIMECODE_FPS:
        fps = math.ceil(fps / 2)
    return fps


def _drops_frames(video: Video, fps: int) -> bool:
    """Whether the numbers of a file's frames skip some, so that they keep up with the clock."""
    is_television = fps % 30 == 0 and abs(_rate(video) - Fraction(fps * 1000, 1001)) < Fraction(1, 1000)
    return is_television and ";" in (video.timecode or "")


def _start_frame(video: Video, fps: int) -> int:
    """The number of a file's first frame, counted from midnight at a whole rate."""
    if video.timecode is None:
        return 0
    own = _nominal(_rate(video))
    if len(re.split("[:;]", video.timecode)[-1]) > 2:  # above 100, where not every second one is counted
        own = max(1, round(_rate(video)))
    if own == fps:
        drops = _drops_frames(video, fps)
        return _count_frames(video.timecode if drops else video.timecode.replace(";", ":"), fps)
    return round(Fraction(_count_frames(video.timecode.replace(";", ":"), own) * fps, own))


def _count_frames(timecode: str, fps: int) -> int:
    """Frames from midnight to a time code; ";" leaves out two numbers (at 30) a minute but in each tenth."""
    hours, minutes, seconds, frames = (int(part) for part in timecode.replace(";", ":").split(":"))
    minutes += 60 * hours
    count = (60 * minutes + seconds) * fps + frames
    return count - (fps // 15) * (minutes - minutes // 10) if ";" in timecode else count


def _timecode(frame: int, fps: int, *, drops: bool) -> str:
    if drops:
        left_out = fps // 15  # a minute, but not of every tenth
        tens, rest = divmod(frame, 600 * fps - 9 * left_out)
        frame += 9 * left_out * tens
        if rest >= 60 * fps:  # the first minute of ten is whole
            frame += left_out * ((rest - 60 * fps) // (60 * fps - left_out) + 1)
    seconds, frames = divmod(frame, fps)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= _HOURS_PER_DAY:
        raise InvalidQueryError(
            f"an EDL ends at {_HOURS_PER_DAY} hours, this one reaches {hours}; ask for fewer segments, or "
            "export OpenTimelineIO instead"
        )
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if drops else ':'}{frames:02d}"


def _clock(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"


def _reel(video_id: int) -> str:
    """Eight characters, all that the format has for it; different for the first 10 million videos."""
    return f"V{video_id % 10_000_000:07d}"


def _video_keys(paths: dict[int, str]) -> dict[int, str]:
    """For each video as little of its path as makes all keys different: first the bare name."""
    parts = {video_id: PurePath(_line(path)).parts for video_id, path in paths.items()}
    wanted = dict.fromkeys(paths, 0)  # how many parts of the path, 0 for the name without suffix
    while True:
        keys = {
            video_id: PurePath(*parts[video_id][-count:]).as_posix()
            if count
            else PurePath(parts[video_id][-1]).stem
            for video_id, count in wanted.items()
        }
        times = Counter(keys.values())
        longer = [
            video_id
            for video_id, key in keys.items()
            if times[key] > 1 and wanted[video_id] < len(parts[video_id])
        ]
        if not longer:
            # What was made a line can end up equal; ids never do.
            return {id_: key if times[key] == 1 else f"{key}#{id_}" for id_, key in keys.items()}
        for video_id in longer:
            wanted[video_id] += 1


def _video_of(segment: Segment, known: Mapping[int, Video]) -> Video:
    try:
        return known[segment.video_id]
    except KeyError:
        raise ValueError(f"video {segment.video_id} is not among those given") from None


def _cell(text: str) -> str:
    return _FORMULA_STARTS.sub("'", _valid(text))


def _line(text: str) -> str:
    """On one line, without control characters: no text can begin a line of its own."""
    return _CONTROLS.sub(" ", _valid(text)).strip() or "?"


def _valid(text: str) -> str:
    """Valid Unicode: names of files need not be."""
    return os_path(text).encode("utf-8", "replace").decode("utf-8")
