"""The decoding program: real files through it, and what happens when it crashes, hangs or is left."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_factory import HEIGHT, moving, read_stamp, scene, write_video

from encoders.errors import (
    DamagedVideoError,
    DecodeError,
    DecoderDiedError,
    NotAVideoError,
    NotFoundError,
)
from indexer.video.clips.sampling import sample_clips
from indexer.video.programs.worker import DecodeWorker
from indexer.video.reading.decode import VideoDecoder
from indexer.video.reading.probing import probe
from indexer.video.types import Progress, SampledClip, SamplingOptions, VideoInfo

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = SamplingOptions(frame_size=HEIGHT)
MANY = SamplingOptions(clip_seconds=1, fps=25, frame_size=HEIGHT)


@pytest.fixture
def worker() -> Iterator[DecodeWorker]:
    with DecodeWorker(stall_seconds=30) as made:
        yield made


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("worker") / "a.mp4", moving(250), b_frames=2)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough that its decoding is still going on when a test interferes."""
    frames = [scene(seed, 480, 360) for seed in range(8)]
    path = tmp_path_factory.mktemp("worker") / "long.mp4"
    return write_video(path, (frames[i // 50 % 8] for i in range(1500)), key_every=50)


def is_alive(pid: int) -> bool:
    """Whether a program runs: neither gone nor a zombie."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(shown.stdout.strip()) and not shown.stdout.strip().startswith("Z")


def wait_until_dead(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


def test_clips_come_out_as_they_do_in_this_program(worker: DecodeWorker, video: Path) -> None:
    items = list(worker.decode(str(video), OPTIONS))
    assert items[0] == probe(str(video))
    clips = [item for item in items if isinstance(item, SampledClip)]
    with VideoDecoder(str(video)) as decoder:
        expected = list(sample_clips(decoder, OPTIONS))
    assert len(clips) == len(expected) == 3
    for clip, other in zip(clips, expected, strict=True):
        assert (clip.start_seconds, clip.end_seconds) == (other.start_seconds, other.end_seconds)
        assert (clip.frames.frames == other.frames.frames).all()
        assert clip.key_frames == other.key_frames


def test_one_program_serves_many_requests(worker: DecodeWorker, video: Path) -> None:
    assert isinstance(worker.probe(str(video)), VideoInfo)
    pid = worker.pid
    jpeg = worker.frame(str(video), 3.0, HEIGHT)
    assert read_stamp(np.asarray(Image.open(io.BytesIO(jpeg)))) == 75
    assert len([i for i in worker.decode(str(video), OPTIONS) if isinstance(i, SampledClip)]) == 3
    assert worker.pid == pid


def test_errors_keep_their_type_and_reason(worker: DecodeWorker, video: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no film today\n")
    with pytest.raises(NotAVideoError, match="text"):
        list(worker.decode(str(text), OPTIONS))
    with pytest.raises(NotFoundError, match="runs from"):
        worker.frame(str(video), 99.0, 100)
    short = tmp_path / "short.mkv"
    content = write_video(tmp_path / "whole.mkv", moving(250)).read_bytes()
    short.write_bytes(content[: len(content) // 2])
    clips: list[object] = []
    with pytest.raises(DamagedVideoError, match="truncated"):
        clips.extend(worker.decode(str(short), OPTIONS.changed(clip_seconds=1.0)))
    assert any(isinstance(item, SampledClip) for item in clips)
    assert isinstance(worker.probe(str(video)), VideoInfo)  # and it lives on


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGSEGV, "crashed .*11"), (signal.SIGKILL, "killed .*9"), (signal.SIGABRT, "crashed")],
)
def test_a_crash_fails_one_file_only(
    worker: DecodeWorker, video: Path, long_video: Path, number: signal.Signals, words: str
) -> None:
    items = worker.decode(str(long_video), MANY)
    assert isinstance(next(items), VideoInfo)
    pid = worker.pid
    assert pid is not None
    os.kill(pid, number)
    with pytest.raises(DecoderDiedError, match=words):
        list(items)
    assert wait_until_dead(pid)
    assert worker.probe(str(video)).codec == "h264"
    assert worker.pid != pid


def test_a_program_that_stops_moving_is_given_up(long_video: Path, video: Path) -> None:
    with DecodeWorker(stall_seconds=1.0) as worker:
        worker.probe(str(video))
        items = worker.decode(str(long_video), MANY)
        next(items)
        pid = worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(DecoderDiedError, match="no progress for 1 s"):
            list(items)
        assert time.monotonic() - started < 10
        assert wait_until_dead(pid)
        assert worker.probe(str(video)).codec == "h264"


def test_a_file_may_take_only_so_long(worker: DecodeWorker, video: Path, long_video: Path) -> None:
    worker.probe(str(video))
    with pytest.raises(DecoderDiedError, match=r"after 0\.3 s, the limit"):
        for _ in worker.decode(str(long_video), MANY, limit_seconds=0.3):
            time.sleep(0.01)


def test_progress_is_told_while_no_clip_is_ready(worker: DecodeWorker, long_video: Path) -> None:
    one_clip = SamplingOptions(clip_seconds=3600, fps=0.01, shots=False, frame_size=2000)
    items = list(worker.decode(str(long_video), one_clip))
    told = [item.time_seconds for item in items if isinstance(item, Progress)]
    assert told == sorted(told)
    assert len([item for item in items if isinstance(item, SampledClip)]) == 1


def test_a_reader_may_leave_early(worker: DecodeWorker, video: Path, long_video: Path) -> None:
    items = worker.decode(str(long_video), MANY)
    next(items)
    next(items)
    started = time.monotonic()
    items.close()
    assert time.monotonic() - started < 5
    clips = [i for i in worker.decode(str(video), OPTIONS) if isinstance(i, SampledClip)]
    assert [read_stamp(clip.frames.frames[0]) for clip in clips] == [6, 106, 206]


def test_only_one_request_at_a_time(worker: DecodeWorker, long_video: Path) -> None:
    items = worker.decode(str(long_video), MANY)
    next(items)
    with pytest.raises(RuntimeError, match="one request at a time"):
        worker.probe(str(long_video))
    items.close()


def test_a_slow_reader_is_no_stall(long_video: Path) -> None:
    with DecodeWorker(stall_seconds=5.0) as worker:
        items = worker.decode(str(long_video), MANY)
        next(items)
        time.sleep(1.5)  # the pipe and the queue are full by now
        assert len([item for item in items if isinstance(item, SampledClip)]) >= 30


def test_closing_leaves_no_program_behind(video: Path) -> None:
    worker = DecodeWorker()
    worker.probe(str(video))
    pid = worker.pid
    assert pid is not None
    worker.close()
    worker.close()
    assert not is_alive(pid)


def test_the_program_ends_with_the_one_that_started_it(long_video: Path) -> None:
    code = f"""
        import os, signal, sys
        from indexer.video.types import SamplingOptions
        from indexer.video.programs.worker import DecodeWorker
        worker = DecodeWorker()
        items = worker.decode({str(long_video)!r}, SamplingOptions(clip_seconds=1, fps=25))
        next(items)
        print(worker.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert wait_until_dead(int(done.stdout))


def test_ctrl_c_is_left_to_the_one_that_started_it(worker: DecodeWorker, video: Path) -> None:
    worker.probe(str(video))
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    assert worker.probe(str(video)).codec == "h264"
    assert worker.pid == pid


def test_a_script_without_a_main_guard_in_any_folder_can_use_it(tmp_path: Path, video: Path) -> None:
    (tmp_path / "av.py").write_text("raise SystemExit('the wrong av')\n")
    (tmp_path / "script.py").write_text(
        textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(ROOT)!r})
            from indexer.video.programs.worker import DecodeWorker
            print("started")
            with DecodeWorker() as worker:
                print(worker.probe({str(video)!r}).codec)
        """)
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["started", "h264"], done.stderr


def test_neither_program_imports_what_it_does_not_need() -> None:
    def modules(code: str) -> set[str]:
        code += "; import sys; print(' '.join(sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    child = modules(
        "import indexer.video.programs.worker_child, indexer.video.reading.decode\n"
        "import indexer.video.clips.sampling"
    )
    assert not {"torch", "faiss", "sqlalchemy", "open_clip"} & child
    assert {"av", "cv2"} <= child
    assert not {"torch", "av", "cv2", "PIL"} & modules("import indexer.video.programs.worker")


def test_a_decoder_that_takes_ever_more_memory_is_one_file_s_failure(tmp_path: Path, video: Path) -> None:
    frames = [scene(seed, 640, 480) for seed in range(4)]
    path = write_video(tmp_path / "large.mp4", (frames[i // 25 % 4] for i in range(600)))
    hoarding = SamplingOptions(clip_seconds=240, fps=25, shots=False, frame_size=480)  # 550 MB of frames
    with DecodeWorker(stall_seconds=60) as worker:
        worker.memory_bytes = 400 * 2**20
        with pytest.raises(DecodeError, match=r"memory|crashed|unexpectedly"):
            list(worker.decode(str(path), hoarding))
        assert worker.probe(str(video)).codec == "h264"
