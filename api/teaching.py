"""Lessons over HTTP: what a request names as examples, checked against the library."""

from __future__ import annotations

from collections.abc import Sequence

from api.action_schemas import ExampleRequest
from encoders.errors import InvalidQueryError, NotFoundError
from indexer.lessons import examples_from_clips
from search.action_catalog import ActionExample
from search.catalog import Catalog
from search.library import Library


def read_examples(
    library: Library, given: Sequence[ExampleRequest], *, is_positive: bool
) -> list[ActionExample]:
    """Stored clips and spans of catalogued videos as examples, in the order given.

    Raises:
        NotFoundError: There is no such clip or video, or nothing of the video is indexed.
        InvalidQueryError: A span is empty or lies beyond its video.
    """
    clip_ids = [one.clip_id for one in given if one.clip_id is not None]
    clips = dict(
        zip(
            dict.fromkeys(clip_ids),
            examples_from_clips(library, clip_ids, is_positive=is_positive),
            strict=True,
        )
    )
    with library.read() as catalog:
        return [
            _of_span(catalog, one, is_positive) if one.clip_id is None else clips[one.clip_id]
            for one in given
        ]


def _of_span(catalog: Catalog, given: ExampleRequest, is_positive: bool) -> ActionExample:
    assert given.video_id is not None
    assert given.start_seconds is not None and given.end_seconds is not None
    video = catalog.video(given.video_id)
    if not given.start_seconds < given.end_seconds:
        raise InvalidQueryError(
            f"a span must end after it starts, got {given.start_seconds:g} to {given.end_seconds:g} s of "
            f"video {video.id}"
        )
    extent = catalog.actions.extent(video.id)
    if extent is None:
        raise NotFoundError(
            f"nothing of video {video.id} is indexed{f' ({video.error})' if video.error else ''}: there is "
            "nothing to learn from in it"
        )
    start, end = max(given.start_seconds, extent[0]), min(given.end_seconds, extent[1])
    if start >= end:
        raise InvalidQueryError(
            f"the span of {given.start_seconds:g} to {given.end_seconds:g} s lies beyond video {video.id}, "
            f"which runs from {extent[0]:.3f} to {extent[1]:.3f} s"
        )
    return ActionExample(is_positive, f"{start:.3f}-{end:.3f} s of video {video.id}", video.id, (start, end))
