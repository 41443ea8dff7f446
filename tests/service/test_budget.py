"""What one question may cause: so much work, so many frames, and none when nobody waits any more."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import made_library
import numpy as np
import pytest
from fastapi.testclient import TestClient
from server import assert_problem

from api.app import create_app
from api.settings import ServerSettings
from encoders.budget import Budget, check_budget
from encoders.errors import AbandonedError, BudgetError, TookTooLongError
from encoders.types import normalise
from indexer.examples.queries import MAX_EXAMPLE_BYTES, MAX_EXAMPLE_FRAMES, read_example
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.programs.cost import Patience
from indexer.video.types import SamplingOptions
from search.alignment.aligning import EncodedExample, match_videos
from search.calibration.probabilities import DEFAULT, Level
from search.library import Library

CUTS = 3000
PICTURES = 7  # that follow each other again and again


def make_montage(path: Path, cuts: int = CUTS, size: tuple[int, int] = (64, 48)) -> Path:
    """A file with a hard cut at every second, two frames each."""
    chance = np.random.default_rng(0)
    width, height = size
    coarse = chance.integers(0, 255, (PICTURES, 3, 4, 3), np.uint8)
    pictures = [one.repeat(height // 3, 0).repeat(width // 4, 1) for one in coarse]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=2, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 2)
        for number in range(2 * cuts):
            frame = av.VideoFrame.from_ndarray(pictures[number // 2 % PICTURES], format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def montage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_montage(tmp_path_factory.mktemp("montage") / "montage.mp4")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    film = make_montage(tmp_path_factory.mktemp("film") / "film.mp4", cuts=12)
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    ingest(opened, [str(film)], IngestOptions(encoder="offline", device="cpu"))
    yield opened
    opened.close()


def test_work_is_counted_and_waiting_is_not() -> None:
    budget = Budget(0.4, "send less")
    time.sleep(0.3)
    with budget.work():
        check_budget()
        time.sleep(0.25)
        check_budget()
    time.sleep(0.3)
    with budget.work():
        left = budget.left_seconds
        assert left is not None and 0.0 < left <= 0.15
        time.sleep(0.2)
        with pytest.raises(BudgetError, match=r"more than 0.4 s .* send less"):
            check_budget()
    assert Budget().left_seconds is None
    check_budget()


def test_who_cancels_from_another_thread_ends_the_work() -> None:
    budget = Budget()
    threading.Timer(0.1, budget.cancel).start()
    started = time.monotonic()
    with budget.work(), pytest.raises(AbandonedError):
        while time.monotonic() < started + 5:
            check_budget()
            time.sleep(0.01)
    assert time.monotonic() - started < 2


def test_a_cut_at_every_second_gives_no_more_frames_than_other_footage(montage: Path) -> None:
    part = read_example(str(montage), SamplingOptions().to_json(), 224)
    times = np.concatenate([clip.pts_seconds for clip in part.clips])
    assert MAX_EXAMPLE_FRAMES / 4 <= len(times) <= MAX_EXAMPLE_FRAMES
    # From all over it: of 3,000 seconds no stretch is left out that is much longer than others.
    gaps = np.diff(np.concatenate([[0.0], times, [CUTS]]))
    assert gaps.max() <= 4 * CUTS / len(times)


def test_very_long_strips_are_fewer(tmp_path: Path) -> None:
    strip = make_montage(tmp_path / "strip.mp4", cuts=60, size=(8188, 255 // 3 * 3 + 3))
    part = read_example(str(strip), SamplingOptions().to_json(), 224)
    assert 1 < sum(clip.frames.nbytes for clip in part.clips) <= MAX_EXAMPLE_BYTES


def test_the_montage_is_answered_soon_and_another_is_refused_with_what_to_do(
    montage: Path, library: Library
) -> None:
    with TestClient(create_app(library, device="cpu"), base_url="http://localhost") as client:
        before = time.process_time()
        with montage.open("rb") as file:
            answer = client.post("/v1/search/example", files={"file": ("montage.mp4", file)})
        assert answer.status_code == 200, answer.text
        assert time.process_time() - before < 60, "of this process's processor time; it was 233 s and more"
    settings = ServerSettings(upload_limit_seconds=0.2)
    app = create_app(library, device="cpu", settings=settings)
    with TestClient(app, base_url="http://localhost") as client, montage.open("rb") as file:
        answer = client.post("/v1/search/example", files={"file": ("montage.mp4", file)})
        problem = assert_problem(answer, 422, "too-much-work")
        assert "0.2 s" in problem["detail"] and "REELSEEK_UPLOAD_LIMIT_SECONDS" in problem["detail"]


@pytest.mark.parametrize("wait_seconds", [0.0, 2.0])
def test_work_ends_when_the_client_hangs_up(montage: Path, library: Library, wait_seconds: float) -> None:
    """At once, and in the middle of it."""
    app = create_app(library, device="cpu")
    body = b"".join(
        [
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="m.mp4"\r\n\r\n',
            montage.read_bytes(),
            b"\r\n--x--\r\n",
        ]
    )
    taken: dict[str, Any] = {}

    async def ask() -> None:
        async with app.router.lifespan_context(app):
            sent = asyncio.Event()

            async def receive() -> dict[str, Any]:
                if not sent.is_set():
                    sent.set()
                    taken["since"] = time.monotonic()
                    return {"type": "http.request", "body": body, "more_body": False}
                if (left := taken["since"] + wait_seconds - time.monotonic()) > 0:
                    await asyncio.sleep(left)
                return {"type": "http.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                taken.setdefault("status", message.get("status"))

            headers = [
                (b"host", b"localhost"),
                (b"content-type", b"multipart/form-data; boundary=x"),
                (b"content-length", str(len(body)).encode()),
            ]
            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
                "path": "/v1/search/example", "raw_path": b"/v1/search/example", "query_string": b"",
                "root_path": "", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 1),
                "server": ("localhost", 80), "state": {},
            }  # fmt: skip
            await app(scope, receive, send)
            taken["seconds"] = time.monotonic() - taken["since"]

    asyncio.run(ask())
    assert taken["status"] == 499
    assert taken["seconds"] < wait_seconds + 3, "an answer takes longer, and nobody waits for it"


# --- ingest --------------------------------------------------------------------------------


def gif_of(frames: int, side: int = 4000) -> bytes:
    """A GIF (89a) whose frames, of one pixel each, are shown on a large canvas: 23 bytes a frame."""
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    content = [b"GIF89a", screen]
    for number in range(frames):
        control = b"\x21\xf9\x04\x04" + struct.pack("<H", 10) + b"\0\0"
        where = b"\x2c" + struct.pack("<HHHHB", number % side, number // side, 1, 1, 0)
        content += [control, where, b"\x02\x02\x4c\x01\x00"]  # one pixel of colour 1, by LZW
    return b"".join([*content, b"\x3b"])


def test_a_file_that_costs_far_more_than_others_is_left_out_and_the_queue_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "a.gif").write_bytes(gif_of(130))
    make_montage(folder / "b.mp4", cuts=8)
    with closing(Library(tmp_path / "library", device="cpu", create=True)) as library:
        options = IngestOptions(encoder="offline", device="cpu", patience=0.03)  # 2 s, not 60
        summary = ingest(library, [str(folder)], options)
        assert summary.indexed == 1
        [(path, reason)] = summary.failed
        assert path.endswith("a.gif") and reason.startswith("took too long") and "--patience" in reason
        # It is not read again, nor forgotten; and it is once somebody insists.
        started = time.process_time()
        again = ingest(library, [str(folder)], options)
        assert again.failed == summary.failed and again.unchanged == 1
        assert time.process_time() - started < 5
        insisted = ingest(library, [str(folder / "a.gif")], replace(options, patience=1.5))
        assert insisted.indexed == 1 and not insisted.failed


def test_what_a_file_may_take_by_arithmetic() -> None:
    patience = Patience()
    patience.check(59.0, 0.0, 0)  # anything may
    with pytest.raises(TookTooLongError, match="61 s of processor time for 0 s"):
        patience.check(61.0, 0.0, 0)
    patience.check(60 + 30 * 10 + 0.25 * 100, 100.0, 10_000_000)
    with pytest.raises(TookTooLongError):
        patience.check(60 + 30 * 10 + 0.25 * 100 + 1, 100.0, 10_000_000)
    # Where others take 0.5 s a second of footage, four times that is allowed.
    for rate in (0.4, 0.5, 0.9):
        patience.learn(rate * 10, 10.0)
    patience.check(60 + 30 + 2.0 * 100, 100.0, 1_000_000)
    with pytest.raises(TookTooLongError):
        patience.check(60 + 30 + 2.0 * 100 + 1, 100.0, 1_000_000)
    # A second of footage in less than a kilobyte is no whole second.
    patience.check(60 + 3 + 2.0 * 100, 1e6, 100_000)
    with pytest.raises(TookTooLongError):
        patience.check(60 + 3 + 2.0 * 100 + 1, 1e6, 100_000)
    Patience(10).check(599.0, 0.0, 0)


def test_a_film_of_many_hours_is_laid_part_by_part(tmp_path, monkeypatch):
    """Twelve hours, and an example of one across a border of parts: it is found, in bounded memory."""
    monkeypatch.setattr(made_library, "DIM", 1024)
    library = made_library.make_library(tmp_path / "library")
    video_id = made_library.add_video(library, "/v/long.mp4", count=12 * 900)
    start, end = 12_600.0, 16_200.0
    with library.read() as catalog:
        features, times, _ = catalog.features(video_id, start, end, 1024)
        chosen = np.linspace(0, len(times) - 1, 160).astype(int)  # as a long example is thinned
        example = EncodedExample(
            features[chosen], times[chosen] - start, np.zeros(160, bool), features[chosen][:9], False
        )
        leads = catalog.clips_of_video(video_id)[::40]  # all over the film
        whole = 12 * 3600 * features.itemsize * 1024  # a frame a second
        tracemalloc.start()

        def pooled(rows):
            return normalise(rows.mean(axis=0))

        level = Level(DEFAULT.words, DEFAULT.examples, 0.0, 1.0, 1.0, clips=12 * 900, mean=0.0, deviation=0.1)
        (hit,) = match_videos(
            catalog, [example], [leads], [], level, lambda rows: normalise(rows.mean(axis=0))
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    library.close()
    assert abs(hit.start_seconds - start) < 30 and abs(hit.end_seconds - end) < 30
    assert peak < whole
