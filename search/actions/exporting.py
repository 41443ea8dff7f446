"""Segments in the formats of other programs, out of a catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from encoders.errors import InvalidQueryError
from search.documents.exports.activitynet import to_activitynet
from search.documents.exports.csv_table import to_csv
from search.documents.exports.edl import to_edl
from search.documents.exports.otio import to_otio
from search.documents.exports.webvtt import to_webvtt

if TYPE_CHECKING:
    from search.actions.finding import FoundSegments
    from search.catalog.catalog import Catalog
    from search.types import Video

ExportFormat = Literal["csv", "activitynet", "json", "otio", "edl", "vtt"]


def export_segments(
    catalog: Catalog, found: FoundSegments, format: ExportFormat, narrow: Callable[[list[Video]], str]
) -> Iterable[str]:
    """Writes an answer's segments in a format, as pieces of a text; reads them while it is read.

    Args:
        catalog: Open until the text is read to its end.
        found: The answer.
        format: Of the text; "json" is ActivityNet's.
        narrow: Says how to ask for one of several videos, for the error.

    Raises:
        InvalidQueryError: The format describes one video, and these are segments of several.
    """
    if format == "csv":
        return to_csv(found.segments(catalog))
    ids = sorted({segment.video_id for segment in found.segments(catalog)})
    videos = [catalog.video(video_id) for video_id in ids]
    origins = {video_id: start for video_id, (start, _) in catalog.extents(ids).items()}
    if format == "vtt":
        if len(videos) > 1:
            raise InvalidQueryError(
                f"WebVTT describes one video, and these are segments of {len(videos)}: narrow it with "
                f"{narrow(videos)}"
            )
        origin = origins.get(ids[0], 0.0) if ids else 0.0
        return [to_webvtt(found.segments(catalog), origin_seconds=origin)]
    segments = found.segments(catalog)
    if format == "otio":
        return to_otio(segments, videos, name=found.action, origins=origins)
    if format == "edl":
        return [to_edl(segments, videos, name=found.action, origins=origins)]
    return to_activitynet(segments, videos)
