"""Refusals of what is not worth opening, in plain words."""

from __future__ import annotations

import os
import stat

from encoders.errors import DamagedVideoError, DecodeError, NotAVideoError, StillPictureError
from search.file_names import os_path

_PLAYLIST_OPENINGS = (b"#EXTM3U", b"ffconcat version", b"[playlist]", b"v=0\r\n", b"v=0\n", b"RTSP")
_PICTURE_OPENINGS = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"8BPS", b"v/1\x01",
)  # fmt: skip
_TEXT_BYTES = frozenset(range(32, 256)) | {9, 10, 12, 13, 27}

STILL_PICTURE = "this is a still picture, and footage is expected here: give a video file"


def check_readable(path: str) -> None:
    """Refuses what is not a readable, regular, non-empty file.

    Raises:
        NotAVideoError: A folder, device, pipe or an empty file.
        DecodeError: Missing, unreadable, or a name that is not valid text.
    """
    path = os_path(path)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise NotAVideoError("this is a folder, expected a video file")
        if not stat.S_ISREG(status.st_mode):
            raise NotAVideoError("this is a device or pipe, expected a video file")
        if status.st_size == 0:
            raise NotAVideoError("the file is empty (0 bytes): copy it again or delete it")
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise DecodeError("there is no such file (moved, deleted or not mounted?)") from None
    except PermissionError:
        raise DecodeError("no permission to read the file: change its mode or owner") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DecodeError(f"the file cannot be read ({reason})") from None


def refusal(path: str, reason: str) -> DecodeError:
    """The error for a file that FFmpeg would not open, told by how the file begins.

    Args:
        path: A readable file.
        reason: What FFmpeg said.
    """
    with open(os_path(path), "rb") as file:
        opening = file.read(4096)
    stripped = opening.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not opening.strip(b"\0"):
        return DamagedVideoError("the file begins with nothing but zeros: copy it again")
    if stripped.startswith(_PLAYLIST_OPENINGS) or b"<MPD" in stripped[:1024]:
        return NotAVideoError("this is a playlist that points at other files: index those instead")
    if stripped.startswith(_PICTURE_OPENINGS) or opening[8:12] == b"WEBP":
        return StillPictureError(STILL_PICTURE)
    if opening[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return DamagedVideoError(
            "the MP4/MOV index (moov) is missing or broken, so the file is truncated or was never "
            "finished: copy it again or repair it"
        )
    if opening[:4] == b"\x1aE\xdf\xa3":
        return DamagedVideoError("the Matroska/WebM header is broken: copy the file again")
    if opening[:4] in (b"RIFF", b"OggS", b"FLV\x01", b"\x00\x00\x01\xba"):
        return DamagedVideoError(f"the video header is broken ({reason}): copy the file again")
    if all(byte in _TEXT_BYTES for byte in opening):
        return NotAVideoError("this is a text file, not a video")
    return NotAVideoError(f"not in any video format that is known here ({reason})")
