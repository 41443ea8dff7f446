"""Which of several video streams is the film, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from video_factory import HEIGHT, WIDTH, moving, read_stamp, scene, write_programmes

from encoders.errors import NotAVideoError
from indexer.ingest.pipeline import ingest
from indexer.video.reading.decode import VideoDecoder
from indexer.video.types import SamplingOptions
from search.library import Library

DEFAULT, STILL_IMAGE = 0x0001, 0x100000  # AV_DISPOSITION_*


def small(count: int, first: int = 0) -> list[np.ndarray]:
    return [frame[: HEIGHT // 2, : WIDTH // 2] for frame in moving(count, first=first)]


def read(path: Path) -> tuple[list[int], str | None]:
    with VideoDecoder(str(path)) as decoder:
        numbers = [read_stamp(frame.rgb(HEIGHT)) for frame in decoder.frames()]
        return numbers, decoder.damage


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
@pytest.mark.parametrize("size", [(64, 48), (640, 480)])
def test_a_cover_with_the_default_flag_is_no_film(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    cover = scene(7, *size)
    path = write_programmes(
        tmp_path / name,
        [[cover], moving(60, first=100)],
        codecs=["mjpeg", "libx264"],
        flags=[DEFAULT, 0],
    )
    assert read(path) == (list(range(100, 160)), None)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_short_preview_with_the_default_flag_is_not_the_film(tmp_path: Path, name: str) -> None:
    path = write_programmes(tmp_path / name, [moving(20), moving(90, seed=2, first=100)], flags=[DEFAULT, 0])
    numbers, note = read(path)
    assert numbers == list(range(100, 190))
    assert note == "stream 0 (192x144, 0.8 s) is another film and is not indexed"


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mkv", {}), ("a.mkv", {"live": "1"}), ("a.ts", {}), ("a.mp4", {})],
    ids=["declared", "undeclared", "ts", "mp4"],
)
def test_one_picture_of_a_film_s_codec_with_the_default_flag_is_no_film(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = write_programmes(
        tmp_path / name,
        [[scene(7, 640, 480)], moving(90, first=100)],
        flags=[DEFAULT, 0],
        container_options=options,
    )
    assert read(path) == (list(range(100, 190)), None)


def test_a_small_copy_with_the_default_flag_is_not_the_film(tmp_path: Path) -> None:
    path = write_programmes(
        tmp_path / "a.mkv", [small(60), moving(60, seed=2, first=100)], flags=[DEFAULT, 0]
    )
    assert read(path)[0] == list(range(100, 160))


def test_between_equals_the_flag_decides(tmp_path: Path) -> None:
    path = write_programmes(
        tmp_path / "a.mkv", [moving(60), moving(60, seed=2, first=100)], flags=[0, DEFAULT]
    )
    numbers, note = read(path)
    assert numbers == list(range(100, 160))
    assert note is not None and note.startswith("stream 0 (192x144, 2.4 s) is another film")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_a_second_film_is_named(tmp_path: Path, name: str) -> None:
    path = write_programmes(tmp_path / name, [moving(60), moving(60, seed=2, first=100)])
    numbers, note = read(path)
    assert numbers == list(range(60))
    assert note == "stream 1 (192x144, 2.4 s) is another film and is not indexed"


def test_a_picture_beside_sound_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "song.mkv"
    write_programmes(path, [moving(30)], codecs=["mjpeg"], tones_hertz=[440.0])
    numbers, _ = read(path)
    assert len(numbers) == 30
    import av

    with av.open(str(path)) as given, av.open(str(tmp_path / "cover.mkv"), "w") as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        is_pictured = False
        for packet in given.demux():
            if packet.dts is None or (packet.stream.type == "video" and is_pictured):
                continue
            is_pictured |= packet.stream.type == "video"
            packet.stream = copies[packet.stream_index]
            output.mux(packet)
    with pytest.raises(NotAVideoError, match="audio with cover art only"):
        read(tmp_path / "cover.mkv")


def test_ingest_names_what_it_leaves_out(tmp_path: Path, offline_encoder) -> None:
    path = write_programmes(tmp_path / "two.mp4", [moving(60), moving(60, seed=2)])
    library = Library(tmp_path / "library", create=True, device="cpu")
    try:
        sampling = SamplingOptions().with_frame_size(offline_encoder.frame_size)
        library.create(offline_encoder, pooling="mean", sampling=sampling.to_json())
        summary = ingest(library, [str(path)])
        note = "stream 1 (192x144, 2.4 s) is another film and is not indexed"
        assert (summary.indexed, summary.damaged) == (1, [(str(path), note)])
        with library.read() as catalog:
            video = catalog.video_by_path(str(path))
        assert video is not None and (video.status, video.error) == ("indexed", note)
    finally:
        library.close()
