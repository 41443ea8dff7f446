"""Which files are worth opening at all, and plain words for those that are not."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

from encoders.errors import DamagedVideoError, DecodeError, NotAVideoError, StillPictureError
from indexer.video.reading.parts import find_openings, has_open_segment
from search.file_names import os_path

# Formats that point at other files or hosts, or read files beside their own. Reading one would let a small
# text file make the indexer open whatever it names.
_REFERENCE_FORMATS = {
    "avisynth", "concat", "dash", "dvdvideo", "hls", "imf", "ivr", "mlv", "rtp", "rtsp", "sap", "sdp",
    "vapoursynth", "vobsub", "webm_dash_manifest",
}  # fmt: skip
# Pictures, text drawn as pictures, devices and headerless formats: "decoding" any file as one of
# them gives nonsense rather than an error.
_PICTURE_FORMATS = {
    "alias_pix", "brender_pix", "ico", "image2", "image2pipe", "fits", "iff", "txd", "pp_bnk",
    "alsa", "fbdev", "kmsgrab", "lavfi", "oss", "video4linux2,v4l2", "x11grab", "data",
    "adf", "bin", "idf", "tty", "xbin", "rawvideo", "bitpacked", "v210", "v210x", "codec2raw",
}  # fmt: skip
# Formats in which a stream of one frame is a picture and a stream of more is an animation.
_ANIMATION_FORMATS = {"apng", "gif", "jpegxl_anim", "webp", "mjpeg", "mjpeg_2000"}

# Of AVIF, HEIF and their kin (MP4 registration authority; ISO/IEC 23008-12, annex B).
_PICTURE_BRANDS = frozenset(
    """avif avis avio mif1 mif2 mif3 msf1 miaf heic heix heim heis hevc hevx hevm hevs avci avcs vvic vvis
    jpeg jpgs j2ki j2is""".split()  # noqa: SIM905
)

_PLAYLIST_OPENINGS = (b"#EXTM3U", b"ffconcat version", b"[playlist]", b"v=0\r\n", b"v=0\n", b"RTSP")
_PICTURE_OPENINGS = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"8BPS", b"v/1\x01",
)  # fmt: skip
_TEXT_BYTES = frozenset(range(32, 256)) | {9, 10, 12, 13, 27}

# Containers whose header declares how long the video is. Everywhere else FFmpeg estimates the
# duration from the bit rate or the last packet, which proves nothing about truncation.
_DECLARING_FORMATS = ("mov", "matroska", "avi", "flv", "asf", "mxf", "nut")

# Formats besides those that FFmpeg marks (AVFMT_TS_DISCONT) whose stamps may start anew within a file.
_RESTARTING_FORMATS = ("flv", "nut")

# How files begin of which FFmpeg reads the first alone where several were joined end to end.
_OPENINGS = {
    "mov": re.compile(rb"\0\0[\0-\x0f].ftyp[ -~]{4}", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\0-\x05]\0\0\0\x09\0\0\0\0"),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
    "wtv": re.compile(re.escape(bytes.fromhex("b7d800203749da11a64e0007e95ead8d"))),
    "apng": re.compile(re.escape(b"\x89PNG\r\n\x1a\n")),
}

STILL_PICTURE = "this is a still picture, and footage is expected here: give a video file"


def allowed_formats(names: Iterable[str]) -> str:
    """FFmpeg's `format_whitelist` value: every given demuxer that holds video by itself."""
    refused = _REFERENCE_FORMATS | _PICTURE_FORMATS
    return ",".join(n for n in sorted(names) if n not in refused and not n.endswith("_pipe"))


def picture_formats(names: Iterable[str]) -> str:
    """FFmpeg's `format_whitelist` value for still pictures and animations."""
    pictures = [name for name in names if name.endswith("_pipe") and name != "svg_pipe"]
    return ",".join(sorted([*pictures, *_ANIMATION_FORMATS, "mov", "avif"]))


def is_picture_format(container: str, brand: str = "") -> bool:
    """Whether a single frame in this format is a still picture rather than a very short video.

    Args:
        container: FFmpeg's name of the format.
        brand: Of an ISO file (ISO/IEC 14496-12), which tells AVIF and HEIC from MP4.
    """
    return container in _ANIMATION_FORMATS or brand.strip().lower() in _PICTURE_BRANDS


def declares_duration(container: str) -> bool:
    """Whether the duration that FFmpeg reports comes from this container's header."""
    return container.split(",")[0] in _DECLARING_FORMATS


def may_restart(path: str, container: str) -> bool:
    """Whether the stamps in a file of a format whose clock runs on as a rule may start anew in it."""
    if container.startswith("matroska"):
        return has_open_segment(path)
    return container in _RESTARTING_FORMATS


def is_ogg_header(content: bytes) -> bool:
    """Whether a packet of an Ogg stream of video says how to decode it (Theora, VP8), and is no picture."""
    return (content[:1] >= b"\x80" and content[1:7] == b"theora") or content[:5] == b"OVP80"


def next_opening(path: str, container: str, from_byte: int) -> int | None:
    """Where another file begins that was joined on to one of a format of which FFmpeg reads but the first.

    Args:
        path: Of the file.
        container: FFmpeg's name of the format.
        from_byte: Where to look from on.
    """
    opening = _OPENINGS.get(container.split(",")[0])
    if opening is None:
        return None
    with open(os_path(path), "rb") as file:
        return next(find_openings(file, opening, from_byte), None)


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
