"""When footage was recorded, and at which time code it begins, as its container tells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

DAY_SECONDS = 86_400.0
# The first that is there counts. Apple's own says when the camera ran, in the camera's zone, and survives an
# export, which sets `creation_time` anew; the rest are what cameras and Matroska's muxers write.
_TAGS = (
    "com.apple.quicktime.creationdate",
    "com.apple.proapps.shootdate",
    "date_recorded",
    "datetimeoriginal",
    "date_digitized",
    "creation_time",
    "idit",
    "date",
    "creation_date",
)
# Exif's "2019:05:03 23:30:00", RIFF's "Fri May 03 23:30:00 2019".
_EXIF = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d:\d\d:\d\d.*)")
_RIFF_FORMAT = "%a %b %d %H:%M:%S %Y"
_TIMECODE = re.compile(r"\s*(\d\d):(\d\d):(\d\d)([:;.])(\d{2,3})\s*")


def recorded_moment(tags: Iterable[Mapping[str, str]], now_seconds: float) -> tuple[float | None, int | None]:
    """The first date and time that a clock can have shown, and how far that clock was ahead of UTC.

    Cameras whose clock was never set write 1904 or 1970; one that runs in another time zone may be ahead by
    a day, but not by more. A plain `date` without a time of day is that of a release, not of a recording.

    Args:
        tags: Of the file, then of its streams; names in any case. Values are ISO 8601, Exif's or RIFF's;
            without an offset, which is how cameras write what their clock shows, they count as UTC.
        now_seconds: The present, in seconds since 1970.

    Returns:
        Seconds since 1970, and seconds ahead of UTC; None for each that is not known. "Z" is how the moment
        was written down, and tells of no zone.
    """
    named = [{name.lower(): value for name, value in one.items()} for one in tags]
    for name in _TAGS:
        for one in named:
            value = one.get(name, "")
            moment = _moment(value) if ":" in value or name != "date" else None
            if moment is None or not 0 < moment.timestamp() < now_seconds + DAY_SECONDS:
                continue
            offset = moment.utcoffset() or timedelta()
            is_known = not value.strip().upper().endswith("Z")
            return moment.timestamp(), int(offset.total_seconds()) if is_known else None
    return None, None


def _moment(text: str) -> datetime | None:
    text = text.strip()
    if found := _EXIF.fullmatch(text):
        text = f"{found[1]}-{found[2]}-{found[3]}T{found[4].replace(' ', '')}"
    for read in (datetime.fromisoformat, lambda value: datetime.strptime(value, _RIFF_FORMAT)):
        try:
            moment = read(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            moment.timestamp()
            return moment
        except (ValueError, OverflowError):
            continue
    return None


def first_timecode(tags: Iterable[Mapping[str, str]]) -> str | None:
    """The first time code of some tags (SMPTE 12M): "hh:mm:ss:ff", or "hh:mm:ss;ff" where frames are dropped.

    Above 100 frames per second they have three digits.

    Args:
        tags: Of the picture's stream, of the other streams, of the file; names in any case, as Matroska
            shouts them.
    """
    for one in tags:
        text = next((value for name, value in one.items() if name.lower() == "timecode"), "")
        found = _TIMECODE.fullmatch(text)
        if found and int(found[1]) < 24 and int(found[2]) < 60 and int(found[3]) < 60:
            return f"{found[1]}:{found[2]}:{found[3]}{':' if found[4] == ':' else ';'}{found[5]}"
    return None
