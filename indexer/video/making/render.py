"""Makes renditions: decodes a video and writes pieces of it to a file.

Runs in the decoding program (`DecodeWorker.render`), never in a server.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

from encoders.errors import DecodeError, NotFoundError
from indexer.video.making.encode import Mp4Writer
from indexer.video.making.renditions import Rendition, Spans
from indexer.video.making.sound import SoundReader
from indexer.video.pictures.frame import DecodedFrame
from indexer.video.reading.decode import VideoDecoder

_LONGEST_SIDE = 4096  # what decoders of H.264 in hardware take
_FEWER_CRF = 7  # added when a file came out too large
_ATTEMPTS = 4
_SAME_SECONDS = 0.001
_GIF_FPS, _GIF_FRAMES, _GIF_COLOURS, _GIF_SIDE = 8.0, 120, 128, 200


def render(
    path: str, target: str, rendition: Rendition, on_progress: Callable[[float], None] = lambda _: None
) -> None:
    """Writes a rendition of a video to a file.

    Args:
        path: The video.
        target: What to write; what is there is replaced, and may be half-made after an error.
        rendition: What to write.
        on_progress: Called at least for every packet that is read, with the time reached.

    Raises:
        NotFoundError: The video shows nothing in the spans.
        DecodeError: It cannot be decoded, or the result not be made small enough.
    """
    if rendition.kind == "gif":
        return _render_gif(path, target, rendition, on_progress)
    for attempt in range(_ATTEMPTS):
        _render_mp4(path, target, rendition, on_progress)
        if rendition.most_bytes is None or os.path.getsize(target) <= rendition.most_bytes:
            return None
        rate = rendition.most_bits_per_second
        rendition = replace(
            rendition,
            crf=min(51, rendition.crf + _FEWER_CRF),
            most_bits_per_second=rate and rate // 2,
            max_fps=min(rendition.max_fps or 30.0, 15.0) if attempt else rendition.max_fps,
        )
    raise DecodeError(f"the piece cannot be made smaller than {rendition.most_bytes} bytes")


def _render_mp4(path: str, target: str, rendition: Rendition, on_progress: Callable[[float], None]) -> None:
    with ExitStack() as stack:
        decoder = stack.enter_context(VideoDecoder(path, on_progress=on_progress))
        sound = stack.enter_context(SoundReader(decoder, rendition.spans)) if rendition.sound else None
        rate = sound.rate if sound is not None else None
        width, height = even_size(decoder.info.width, decoder.info.height, rendition.short_side)
        writer = stack.enter_context(
            Mp4Writer(
                target, width, height, crf=rendition.crf, preset=rendition.preset,
                most_bits_per_second=rendition.most_bits_per_second, sound_rate=rate,
            )
        )  # fmt: skip
        written = 0.0
        for start, end in rendition.spans:
            start = max(start, decoder.info.start_seconds)
            if start >= end:
                continue
            chunks = sound.chunks(start, end) if sound is not None and rate else iter(())
            heard, last = 0.0, start
            for frame, begins, ends in frames_between(decoder, start, end, rendition.max_fps):
                writer.add_picture(frame, written + begins - start, written + ends - start)
                last = ends
                while rate and heard < ends - start and (chunk := next(chunks, None)) is not None:
                    writer.add_sound(chunk)
                    heard += chunk.shape[1] / rate
            written += last - start
            if last < end - _SAME_SECONDS and last > start:
                break  # the video ends here, and so does what is made of it
        if not written:
            raise _shows_nothing(decoder, rendition.spans)


def _shows_nothing(decoder: VideoDecoder, spans: Spans) -> NotFoundError:
    info = decoder.info
    ends = f" to {info.start_seconds + info.duration_seconds:.3f}" if info.duration_seconds else ""
    return NotFoundError(
        f"the video shows nothing between {spans[0][0]:.3f} and {spans[-1][1]:.3f} s: it runs from "
        f"{info.start_seconds:.3f}{ends} s"
    )


def frames_between(
    decoder: VideoDecoder, start_seconds: float, end_seconds: float, max_fps: float | None = None
) -> Iterator[tuple[DecodedFrame, float, float]]:
    """The frames on screen in [start, end), each with the part of it in which it is.

    The first one may have come on screen before; where the video begins later, so do they.
    """
    frames = _from(decoder, start_seconds)
    held: tuple[DecodedFrame, float] | None = None
    until = start_seconds
    step = 1.0 / max_fps - _SAME_SECONDS if max_fps else 0.0
    for frame in frames:
        if frame.pts_seconds >= end_seconds - decoder.grace_seconds:
            until = end_seconds
            break
        begins = max(frame.pts_seconds, start_seconds)
        until = min(end_seconds, frame.pts_seconds + decoder.shown_seconds(frame))
        # By when they come on screen, not by the part that is shown: the first may be about to go.
        if held is not None and frame.pts_seconds - held[0].pts_seconds < step:
            continue
        if held is not None and begins - held[1] >= _SAME_SECONDS:
            yield held[0], held[1], begins
        held = frame, begins
    if held is not None and until - held[1] >= _SAME_SECONDS / 2:
        yield held[0], held[1], until


def _from(decoder: VideoDecoder, start_seconds: float) -> Iterator[DecodedFrame]:
    """Frames from the one on screen at a time; further back where the file's index leads past it."""
    for back_seconds in (0.0, 10.0, math.inf):
        decoder.seek(max(decoder.info.start_seconds, start_seconds - back_seconds))
        shown: DecodedFrame | None = None
        frames = decoder.frames()
        for frame in frames:
            if frame.pts_seconds <= start_seconds + decoder.grace_seconds:
                shown = frame
                continue
            early = start_seconds <= decoder.info.start_seconds
            if shown is None and not early and back_seconds < math.inf:
                break
            if shown is not None:
                yield shown
            yield frame
            yield from frames
            return
        else:
            if shown is not None:
                yield shown
                return


def even_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """The size to encode in: not larger than the source nor than asked for, both sides even."""
    scale = min(1.0, (short_side or math.inf) / min(width, height), _LONGEST_SIDE / max(width, height))
    return max(2, int(width * scale + 1e-6) // 2 * 2), max(2, int(height * scale + 1e-6) // 2 * 2)


def _render_gif(path: str, target: str, rendition: Rendition, on_progress: Callable[[float], None]) -> None:
    """An endless loop of at most 120 pictures in their own time."""
    from PIL import Image

    from indexer.video.making.storyboard import write_gif

    fps = min(rendition.max_fps or _GIF_FPS, _GIF_FRAMES / rendition.seconds)
    pictures: list[Image.Image] = []
    lasting: list[float] = []
    with VideoDecoder(path, on_progress=on_progress) as decoder:
        for start, end in rendition.spans:
            for frame, begins, ends in frames_between(decoder, start, end, fps):
                picture = Image.fromarray(frame.rgb(rendition.short_side or _GIF_SIDE))
                pictures.append(picture.quantize(_GIF_COLOURS, Image.Quantize.MEDIANCUT))
                lasting.append(ends - begins)
        if not pictures:
            raise _shows_nothing(decoder, rendition.spans)
    write_gif(target, pictures, lasting)
