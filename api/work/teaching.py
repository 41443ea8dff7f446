"""Lessons over HTTP: the examples that a request names, checked against the library."""

from __future__ import annotations

from collections.abc import Sequence

from api.schemas.lessons import ExampleRequest
from indexer.examples.lessons import examples_from_clips
from search.actions.correcting import make_span_example
from search.catalog.actions.lesson_examples import LessonExample
from search.catalog.catalog import Catalog
from search.library import Library


def read_examples(
    library: Library, given: Sequence[ExampleRequest], *, is_positive: bool
) -> list[LessonExample]:
    """Makes examples of stored clips and spans of catalogued videos, in the order given.

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


def _of_span(catalog: Catalog, given: ExampleRequest, is_positive: bool) -> LessonExample:
    assert given.video_id is not None
    assert given.start_seconds is not None and given.end_seconds is not None
    span = (given.start_seconds, given.end_seconds)
    return make_span_example(catalog, given.video_id, span, is_positive=is_positive)
