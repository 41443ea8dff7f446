"""Formats by FFmpeg's names: which are opened, which hold pictures, whose headers and clocks tell what."""

from __future__ import annotations

from collections.abc import Iterable

from indexer.video.containers.joined import has_open_segment

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

# Containers whose header declares how long the video is. Everywhere else FFmpeg estimates the
# duration from the bit rate or the last packet, which proves nothing about truncation.
_DECLARING_FORMATS = ("mov", "matroska", "avi", "flv", "asf", "mxf", "nut")

# Formats besides those that FFmpeg marks (AVFMT_TS_DISCONT) whose stamps may start anew within a file.
_RESTARTING_FORMATS = ("flv", "nut")


def allowed_formats(names: Iterable[str]) -> str:
    """FFmpeg's `format_whitelist` value: every given demuxer that holds video by itself."""
    refused = _REFERENCE_FORMATS | _PICTURE_FORMATS
    return ",".join(n for n in sorted(names) if n not in refused and not n.endswith("_pipe"))


def picture_formats(names: Iterable[str]) -> str:
    """FFmpeg's `format_whitelist` value for still pictures and animations."""
    pictures = [name for name in names if name.endswith("_pipe") and name != "svg_pipe"]
    return ",".join(sorted([*pictures, *_ANIMATION_FORMATS, "mov", "avif"]))


def is_picture_format(container: str, brand: str = "") -> bool:
    """Returns whether a single frame in this format is a still picture rather than a very short video.

    Args:
        container: FFmpeg's name of the format.
        brand: Of an ISO file (ISO/IEC 14496-12), which tells AVIF and HEIC from MP4.
    """
    return container in _ANIMATION_FORMATS or brand.strip().lower() in _PICTURE_BRANDS


def declares_duration(container: str) -> bool:
    """Returns whether the duration that FFmpeg reports comes from this container's header."""
    return container.split(",")[0] in _DECLARING_FORMATS


def may_restart(path: str, container: str) -> bool:
    """Returns whether the stamps in a file of a format whose clock runs on as a rule may start anew in it."""
    if container.startswith("matroska"):
        return has_open_segment(path)
    return container in _RESTARTING_FORMATS


def is_ogg_header(content: bytes) -> bool:
    """Returns whether a packet of an Ogg video says how to decode it (Theora, VP8), and is no picture."""
    return (content[:1] >= b"\x80" and content[1:7] == b"theora") or content[:5] == b"OVP80"
