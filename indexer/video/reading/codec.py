"""The codec of a film: packets to the engine's pictures, and what is to be done to see them upright."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from indexer.video.bounds import check_pixels, max_pixels
from indexer.video.containers.crop import read_crop
from indexer.video.engine import EngineError, PictureType, VideoReformatter, make_packet, open_decoder
from indexer.video.packets.disposable import needed_bytes_test
from indexer.video.pictures.filters import Cropper
from indexer.video.pictures.frame import PictureGeometry
from indexer.video.pictures.orientation import orientation_of
from indexer.video.reading.film import Film, is_set_up_on_the_way

Skip = Literal["none", "nonref", "nonkey"]

_PROGRESSIVE = (0, 1)  # AV_FIELD_UNKNOWN, AV_FIELD_PROGRESSIVE
_ALPHA_CODECS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders leave the alpha out
# Containers whose header has a word on the shape of pixels; elsewhere the codec's holds, and may change.
KEEPING_ASPECT = ("mov", "matroska", "mxf", "asf", "avi", "gxf", "nut", "dv")


class FilmCodec:
    """Decodes the packets of one film.

    Args:
        film: Just opened.
        path: Of its file.
        threads: Of the codec; None lets FFmpeg choose by the cores it sees.

    Attributes:
        context: The engine's.

    Raises:
        DecodeError: Its pictures have more pixels than are taken.
    """

    def __init__(self, film: Film, path: str, threads: int | None) -> None:
        number = film.container.streams.video.index(film.stream)
        edges = read_crop(path, film.format_name, number, film.begin_byte)
        self._cropper = Cropper(edges) if edges else None
        self._film = film
        context: Any = film.stream.codec_context
        check_pixels(context.width, context.height)
        self._with_alpha = _alpha_codec(film.stream)
        self.context: Any = self._with_alpha or context
        self.context.options = {"max_pixels": str(max_pixels())}  # they may change on the way
        self.context.thread_type = "NONE" if is_set_up_on_the_way(self.context) else "AUTO"
        if threads is not None:
            self.context.thread_count = threads
        self._skip: Skip = "none"
        self._needed_bytes = needed_bytes_test(self.name, context.extradata)

    @property
    def name(self) -> str:
        """FFmpeg's name of the codec, e.g. "h264"."""
        return str(self.context.codec.canonical_name)

    @property
    def reorders(self) -> bool:
        """Returns whether frames may be shown in another order than they are decoded in."""
        return bool(getattr(self.context, "has_b_frames", False))

    @property
    def aspect(self) -> float:
        """The aspect of a pixel that the codec knows of now, width to height; 0 for none."""
        return float(self.context.sample_aspect_ratio or 0.0)

    def skip_frames(self, skip: Skip) -> None:
        """Chooses the frames to leave out from now on; those that no other needs, the caller leaves out."""
        self._skip = skip
        self.context.skip_frame = "NONKEY" if skip == "nonkey" else "DEFAULT"

    def needed_of(self, packet: Any) -> Any:
        """What other pictures need of a packet: itself, a shorter one, or None."""
        if self._needed_bytes is None or int(self.context.field_order) not in _PROGRESSIVE:
            return packet  # of a pair of fields, each is a packet
        content = bytes(packet)
        needed = self._needed_bytes(content)
        if needed == len(content):
            return packet
        return make_packet(content[:needed], packet) if needed else None

    def flush(self) -> None:
        """Forgets what was decoded, where seeking in the container does not."""
        if self._with_alpha is not None:
            self._with_alpha.flush_buffers()

    @property
    def takes_key_frames_alone(self) -> bool:
        """Returns whether it must be given key frames only, since libvpx leaves nothing out by itself.

        It does not mark the pictures of these as such.
        """
        return self._with_alpha is not None and self._skip == "nonkey"

    def decode(self, packet: Any) -> list[Any]:
        """The pictures that a packet makes the codec give out. Raises EngineError, MemoryError, EOFError."""
        decoded: list[Any] = self.context.decode(packet)
        return decoded

    def crop(self, pictures: list[Any]) -> Iterable[Any]:
        """The pictures without what the container says is not to be shown."""
        return pictures if self._cropper is None else map(self._cropper, pictures)

    def read_geometry(self, first: Any) -> PictureGeometry:
        """The geometry of the film, given its first picture."""
        aspect = self._film.stream.sample_aspect_ratio or self.context.sample_aspect_ratio
        return PictureGeometry(sane_aspect(float(aspect or 1.0)), orientation_of(first), VideoReformatter, {})


def is_made_up(picture: Any) -> bool:
    """Returns whether a picture has no kind, as one that a codec puts in the place of one that it lacks."""
    return bool(picture.pict_type == PictureType.NONE)


def sane_aspect(aspect: float) -> float:
    """The aspect of a pixel, width to height; 1 in place of one that cannot be."""
    return aspect if 0.1 <= aspect <= 10.0 else 1.0


def _alpha_codec(stream: Any) -> Any:
    """A decoder of both the picture and the alpha that WebM keeps beside it; None where there is none."""
    context = stream.codec_context
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    name = _ALPHA_CODECS.get(context.codec.canonical_name)
    if name is None or tags.get("alpha_mode") != "1":
        return None
    try:
        made: Any = open_decoder(name)
    except (EngineError, ValueError):  # FFmpeg was built without libvpx
        return None
    made.extradata = context.extradata
    return made
