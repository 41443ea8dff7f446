"""Kinds of values in requests: their bounds, and what OpenAPI says of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from search.types import MAX_LIMIT

Id = Annotated[int, Field(ge=1, lt=2**63)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LeastLength = Annotated[Length, Field(description="Only clips that last this long or longer, in seconds.")]
MostLength = Annotated[
    Length,
    Field(
        description="Only clips that last this long or less, in seconds. It is the length of clips: moments "
        "merge neighbouring clips into longer spans."
    ),
]
Weight = Annotated[
    float,
    Field(
        ge=-100,
        le=100,
        allow_inf_nan=False,
        description="How much this part counts; a negative weight pushes away. Not 0.",
    ),
]
PathPrefix = Annotated[
    str,
    Field(
        max_length=4096,
        description="Only this file, or what lies in this folder, by absolute path; with a star at the end "
        "whatever begins so. Spelled in any form of Unicode.",
    ),
]
# How long a name may be is for `normalise_action` to say; this bounds the work until then.
ActionName = Annotated[
    str, Field(min_length=1, max_length=1000, description="What is done, as people say it: running.")
]
Confidence = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Least confidence that it is done. Without it, the threshold of each head counts.",
    ),
]
RecordedAfter = Annotated[
    str,
    Field(
        max_length=64,
        description="Only videos recorded at this moment or later: an ISO 8601 day or date-time. Without an "
        "offset, it is on the clock of where the video was recorded, or in the server's time zone where that "
        "is not known.",
    ),
]
RecordedBefore = Annotated[
    str,
    Field(
        max_length=64, description="Only videos recorded at this moment or earlier; of a day, its end counts."
    ),
]
CaptionWords = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        description="Words that one caption of a clip must hold, all of them, whatever their case and order.",
    ),
]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Most hits to return.")]
GroupBy = Annotated[
    Literal["clip", "moment", "video"],
    Field(
        description="moment merges neighbouring clips of one video; video gives one hit a video. Filters "
        "are of the clips, so a merged span may be longer than they say."
    ),
]
