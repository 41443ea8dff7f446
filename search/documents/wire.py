"""The JSON shapes that the command line prints and the HTTP API returns: one place for both."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from encoders.types import TextReading
from search.catalog.catalog import Job
from search.types import Clip, Hit, KeyFrame, Match, SearchResult, Segment, Video

if TYPE_CHECKING:
    from search.actions.actions import FoundSegments
    from search.query.timeline import Timeline, VideoMatches


def key_frame_document(frame: KeyFrame) -> dict[str, Any]:
    """A key frame: its picture is behind `url` on a server."""
    return {
        "id": frame.id,
        "time_seconds": _seconds(frame.time_seconds),
        "url": f"/v1/key-frames/{frame.id}",
    }


def summary_frame_document(frame: KeyFrame, importance: float) -> dict[str, Any]:
    """A key frame with its importance, 0..1."""
    return {**key_frame_document(frame), "importance": round(importance, 6)}


def key_frames_document(video_id: int, frames: Iterable[tuple[KeyFrame, float]], by: str) -> dict[str, Any]:
    """Key frames of a video with their importance; `by` is what decided on it."""
    found = [summary_frame_document(frame, importance) for frame, importance in frames]
    return {"video_id": video_id, "key_frames": found, "by": by}


def match_document(match: Match) -> dict[str, Any]:
    """A piece of an example and where it lies in the video."""
    return {
        "query_start_seconds": _seconds(match.query_start_seconds),
        "query_end_seconds": _seconds(match.query_end_seconds),
        "start_seconds": _seconds(match.start_seconds),
        "end_seconds": _seconds(match.end_seconds),
        "speed": round(match.speed, 3),
        "mirrored": match.mirrored,
        "reversed": match.reversed,
    }


def hit_document(hit: Hit) -> dict[str, Any]:
    """One hit, its key frames best first; `match` and `matches` are there for footage asked alone."""
    return {
        "clip_id": hit.clip_id,
        "video_id": hit.video_id,
        "path": hit.path,
        "start_seconds": _seconds(hit.start_seconds),
        "end_seconds": _seconds(hit.end_seconds),
        "score": round(hit.score, 6),
        "probability": round(hit.probability, 4),
        "band": hit.band,
        "weak": hit.weak,
        "actions": [
            {"action": tag.action, "confidence": round(tag.confidence, 6), "head": tag.head}
            for tag in hit.actions
        ],
        "key_frames": [key_frame_document(frame) for frame in hit.key_frames],
        "match": None if hit.match is None else match_document(hit.match),
        "matches": [match_document(match) for match in hit.matches],
        "caption": hit.caption,
    }


def result_document(result: SearchResult) -> dict[str, Any]:
    """A whole answer."""
    return {
        "hits": [hit_document(hit) for hit in result.hits],
        "encoder": result.encoder,
        "exact": result.exact,
        "took_ms": round(result.took_ms, 3),
        "understood": [reading_document(reading) for reading in result.understood],
    }


def reading_document(reading: TextReading) -> dict[str, Any]:
    """What was understood of the words of one part of a query."""
    return {
        "text": reading.text,
        "concepts": [
            {"words": one.words, "meaning": one.meaning, "kinds": one.kinds} for one in reading.concepts
        ],
        "unknown": list(reading.unknown),
        "known_share": round(reading.known_share, 4),
    }


def video_document(video: Video) -> dict[str, Any]:
    """A catalogued file."""
    return {
        "id": video.id,
        "path": video.path,
        "status": video.status,
        "error": video.error,
        "duration_seconds": video.duration_seconds,
        "width": video.width,
        "height": video.height,
        "average_fps": video.average_fps,
        "codec": video.codec,
        "size_bytes": video.size_bytes,
        "digest": video.digest,
        "clips": video.clips,
        "recorded_at": moment(video.recorded_at, video.recorded_offset_seconds),
        "timecode": video.timecode,
    }


def clip_document(clip: Clip, frames: list[KeyFrame]) -> dict[str, Any]:
    """A stored clip with its key frames."""
    return {
        "clip_id": clip.id,
        "video_id": clip.video_id,
        "path": clip.path,
        "start_seconds": _seconds(clip.start_seconds),
        "end_seconds": _seconds(clip.end_seconds),
        "key_frames": [key_frame_document(frame) for frame in frames],
    }


def segment_document(segment: Segment) -> dict[str, Any]:
    """A localised action."""
    return {
        "video_id": segment.video_id,
        "path": segment.path,
        "start_seconds": _seconds(segment.start_seconds),
        "end_seconds": _seconds(segment.end_seconds),
        "action": segment.action,
        "confidence": round(segment.confidence, 6),
        "head": segment.head,
    }


def found_document(found: FoundSegments, segments: Iterable[Segment], total: int) -> dict[str, Any]:
    """An answer to "every segment of this action": `names` is what heads call it, `how` why."""
    return {
        "segments": [segment_document(segment) for segment in segments],
        "total": total,
        "action": found.action,
        "names": list(found.names),
        "how": found.how,
    }


def video_segments_document(video_id: int, segments: Iterable[Segment]) -> dict[str, Any]:
    """All segments of one video, by time."""
    found = [segment_document(segment) for segment in segments]
    return {"video_id": video_id, "segments": found, "total": len(found)}


def timeline_document(timeline: Timeline) -> dict[str, Any]:
    """A video's shots and segments, in order of time."""
    known = timeline.duration_seconds
    return {
        "video_id": timeline.video_id,
        "duration_seconds": None if known is None else _seconds(known),
        "start_seconds": _seconds(timeline.start_seconds),
        "shots": [
            {"start_seconds": _seconds(start), "end_seconds": _seconds(end)} for start, end in timeline.shots
        ],
        "segments": [segment_document(segment) for segment in timeline.segments],
        "changed": timeline.changed,
    }


def matches_document(matches: VideoMatches) -> dict[str, Any]:
    """How well a query fits each stored frame of a video."""
    return {
        "video_id": matches.video_id,
        "times_seconds": [_seconds(value) for value in matches.times_seconds.tolist()],
        "scores": [round(value, 4) for value in matches.scores.tolist()],
        "usual": round(matches.usual, 4),
        "sure": round(matches.sure, 4),
    }


def job_document(job: Job) -> dict[str, Any]:
    """Work in the background: `result` is what the command of that name prints with `--json`."""
    # What it is held to is between servers.
    request = {name: value for name, value in job.request.items() if name != "roots"}
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "request": request,
        "progress": job.progress,
        "result": job.result,
        "error": job.error,
        "created_at": moment(job.created_at),
        "finished_at": moment(job.finished_at),
    }


def moment(seconds: float | None, offset_seconds: int | None = None) -> str | None:
    """Seconds since 1970 as ISO 8601, in UTC or so far ahead of it; None for what no calendar holds."""
    if seconds is None:
        return None
    try:
        found = datetime.fromtimestamp(seconds, timezone(timedelta(seconds=offset_seconds or 0)))
    except (ValueError, OverflowError, OSError):
        return None
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(value: float) -> float:
    return round(value, 6)
