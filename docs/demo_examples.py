"""Cuts the demo's two examples out of a library's own first video: a picture and a short excerpt.

    python docs/demo_examples.py LIBRARY PICTURE.jpg EXCERPT.mp4
    python docs/demo_examples.py --pieces FOLDER VIDEO...

The second form cuts videos into short clips, to teach an action with. Everything is scaled to 240
lines and encoded anew, so that finding it is no comparison of bytes.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from indexer.terminal.show import clock
from indexer.video.reading.decode import VideoDecoder
from search.library import Library

EXCERPT_SECONDS, EXCERPT_LINES, EXCERPT_FPS = 3.0, 240, 25
PIECE_SECONDS = 1.25


def main(library_folder: str, picture_path: str, excerpt_path: str) -> None:
    """Writes both examples and says where they are from."""
    library = Library(Path(library_folder))
    with library.read() as catalog:
        found = catalog.list_videos(status="indexed", limit=1)
    library.close()
    if not found:
        sys.exit("nothing was indexed, so there is nothing to search")
    video = found[0]
    middle_seconds = (video.duration_seconds or 0.0) / 2
    with VideoDecoder(video.path) as decoder:
        first_seconds = decoder.info.start_seconds
        start_seconds = first_seconds + max(0.0, middle_seconds - EXCERPT_SECONDS / 2)
        if start_seconds > 60:
            decoder.seek(start_seconds)
        end_seconds = _write_excerpt(decoder, start_seconds, Path(excerpt_path))
    with VideoDecoder(excerpt_path) as decoder:
        frame = next(decoder.frames())
        Image.fromarray(frame.rgb(EXCERPT_LINES)).save(picture_path)
    print(f"{picture_path} is a frame of {video.path}, at {clock(start_seconds)}")
    print(f"{excerpt_path} is {clock(start_seconds)}-{clock(end_seconds)} of it, encoded anew")


def cut_pieces(folder: str, *videos: str) -> None:
    """Cuts videos into pieces of `PIECE_SECONDS`."""
    count = 0
    for video in videos:
        with VideoDecoder(video) as decoder:
            length_seconds = decoder.info.duration_seconds or 0.0
        for number in range(int(length_seconds / PIECE_SECONDS)):
            with VideoDecoder(video) as decoder:
                path = Path(folder) / f"{Path(video).stem}-{number}.mp4"
                _write_excerpt(decoder, number * PIECE_SECONDS, path, seconds=PIECE_SECONDS)
            count += 1
    print(f"{folder} holds {count} short clips of {' and '.join(videos)}, encoded anew")


def _write_excerpt(
    decoder: VideoDecoder, start_seconds: float, path: Path, *, seconds: float = EXCERPT_SECONDS
) -> float:
    """Encodes the frames from `start_seconds` on and returns where they end, in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = -1
    with av.open(str(path), "w") as container:
        stream = None
        for frame in decoder.frames():
            offset_seconds = frame.pts_seconds - start_seconds
            if offset_seconds < 0:
                continue
            if offset_seconds >= seconds:
                break
            picture = frame.rgb(EXCERPT_LINES)
            height, width = (side // 2 * 2 for side in picture.shape[:2])
            if stream is None:
                stream = container.add_stream("mpeg4", EXCERPT_FPS, width=width, height=height)
                stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
            if round(offset_seconds * EXCERPT_FPS) <= number:
                continue  # faster than the excerpt
            number = round(offset_seconds * EXCERPT_FPS)
            encoded = av.VideoFrame.from_ndarray(picture[:height, :width].copy(), "rgb24")
            encoded.pts, encoded.time_base = number, Fraction(1, EXCERPT_FPS)
            container.mux(stream.encode(encoded))
        if stream is None:
            sys.exit(f"there is no frame from {clock(start_seconds)} on")
        container.mux(stream.encode())
    return start_seconds + (number + 1) / EXCERPT_FPS


if __name__ == "__main__":
    if sys.argv[1] == "--pieces":
        cut_pieces(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
