"""Files and requests that mean harm: refused soon, memory flat, and nothing of them is kept."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_files
import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from programs import ROOT, run_python
from video_factory import moving, write_video

from api.app import create_app
from api.settings import ServerSettings
from api.work import uploads
from encoders.errors import DecodeError, NotAVideoError, ReelseekError
from indexer.examples.queries import read_example
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.limits import WorkerLimits
from indexer.video.programs.worker import DecodeWorker
from indexer.video.types import SampledClip, SamplingOptions, VideoInfo
from search.library import Library

MEMORY_GROWTH_BYTES = 350 * 2**20
CPU_SECONDS = 2.0
SAMPLING = SamplingOptions(frame_size=64)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", moving(36), fps=12)


@pytest.fixture(scope="module")
def worker(film: Path) -> Iterator[DecodeWorker]:
    """A program as it decodes uploads, warmed up."""
    with DecodeWorker(stall_seconds=15, threads=2, limits=WorkerLimits()) as found:
        assert clips_of(found, film)
        yield found


def clips_of(worker: DecodeWorker, path: Path, limit_seconds: float = 20.0) -> list[SampledClip]:
    items = worker.decode(str(path), SAMPLING, limit_seconds)
    return [item for item in items if isinstance(item, SampledClip)]


def spent(pid: int | None) -> tuple[float, int]:
    """CPU seconds of a program so far, and the most memory that it ever had in bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return seconds, next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def outcome(worker: DecodeWorker, path: Path) -> str:
    """What an upload of this file comes to: "refused" or "read"; in time and memory bounds either way."""
    if worker.pid is None:  # the one before ended the program
        worker.probe(str(path.parent / "film.mp4"))
    pid = worker.pid
    seconds, memory = spent(pid)
    try:
        try:
            info = worker.probe(str(path))
            assert isinstance(info, VideoInfo)
            clips = clips_of(worker, path)
            for clip in clips:
                assert np.isfinite([clip.start_seconds, clip.end_seconds]).all()
                assert clip.start_seconds < clip.end_seconds and np.isfinite(clip.frames.pts_seconds).all()
            result = "read" if clips else "refused"
        except NotAVideoError:
            worker.picture(str(path), 64)
            result = "read"
    except DecodeError as error:
        assert str(error) and str(path) not in str(error)
        result = "refused"
    if worker.pid == pid:
        after, most = spent(pid)
        assert after - seconds < CPU_SECONDS, f"{path.name} took {after - seconds:.1f} s"
        assert most - memory < MEMORY_GROWTH_BYTES, f"{path.name} took {(most - memory) >> 20} MiB"
    return result


def hostile() -> Iterator[Any]:
    for kind in (
        hostile_files.absurd_sizes,
        hostile_files.bombs,
        hostile_files.absurd_times,
        hostile_files.nests,
    ):
        for name, content in kind():
            yield pytest.param(name, content, id=name)


# Those that are odd but can be read: the claims are ignored, what is there is shown at finite times.
READABLE = {
    *("no rate.y4m", "negative rate.y4m", "nan.mkv", "infinite.mkv", "late.mkv", "edits.mp4"),
    *("no scale.mp4", "nested.mkv", "negative.mkv"),
}


@pytest.mark.parametrize(("name", "content"), list(hostile()))
def test_a_hostile_file_is_refused_soon_and_costs_little(
    worker: DecodeWorker, film: Path, name: str, content: bytes
) -> None:
    path = film.parent / name
    path.write_bytes(content)
    started = time.monotonic()
    result = outcome(worker, path)
    assert result == "refused" or name in READABLE
    assert time.monotonic() - started < 20, "however busy the machine"
    path.unlink()
    assert clips_of(worker, film), "the next upload is read as ever"


def test_times_that_no_recording_has_are_refused(tmp_path: Path, indexer: Any) -> None:
    """Ten frames that last a thousand million seconds each, and ten that last ten days but one."""
    (tmp_path / "slow.y4m").write_bytes(hostile_files.y4m(16, 16, "1:1000000000"))
    (tmp_path / "lapse.y4m").write_bytes(hostile_files.y4m(16, 16, "1:777600"))
    library = tmp_path / "library"
    done = indexer(
        "ingest",
        tmp_path,
        "--encoder",
        "offline",
        "--device",
        "cpu",
        "--json",
        "--workers",
        1,
        library=library,
    )
    failed = json.loads(done.out)["failed"]
    assert done.code == 1 and [entry["path"] for entry in failed] == [str(tmp_path / "slow.y4m")]
    assert re.search("span 11574 days or more, and more than 100", failed[0]["reason"])
    videos = json.loads(indexer("videos", "--json", library=library).out)["videos"]
    lapse = next(video for video in videos if video["path"].endswith("lapse.y4m"))
    assert lapse["status"] == "indexed" and lapse["duration_seconds"] == 90 * 86400


def test_a_file_that_is_two_things_is_read_as_a_film_or_not_at_all(worker: DecodeWorker, film: Path) -> None:
    honest = clips_of(worker, film)
    for name, content in hostile_files.chimeras(film.read_bytes()):
        path = film.parent / name
        path.write_bytes(content)
        if outcome(worker, path) == "read":
            found = clips_of(worker, path)
            assert len(found) == len(honest) and (found[0].frames.frames == honest[0].frames.frames).all()
        path.unlink()
    appended = film.parent / "film and zip.mp4"
    appended.write_bytes(film.read_bytes() + hostile_files.zipped(b"x"))
    assert outcome(worker, appended) == "read", "what follows a film is not looked at"
    appended.unlink()


# --- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (WorkerLimits(max_pixels=192 * 144 - 1), "27648 pixels|192 x 144"),
        (WorkerLimits(max_seconds=2.5), "3 s of footage are longer than the 2.5 s"),
        (WorkerLimits(max_frames=35), "36 frames, more than the 35"),
        (WorkerLimits(max_fps=11.0), "12 frames a second"),
    ],
)
def test_limits_hold_where_a_file_says_what_it_is(film: Path, limits: WorkerLimits, words: str) -> None:
    with DecodeWorker(limits=limits) as worker, pytest.raises(DecodeError, match=words):
        worker.probe(str(film))


def test_limits_hold_where_a_file_says_nothing(film: Path) -> None:
    """A raw stream names neither its length nor its frames: they are counted as they come."""
    raw = write_video(film.parent / "raw.h264", moving(100), fps=25, container="h264")
    for limits, words in (
        (WorkerLimits(max_frames=50), "50 frames"),
        (WorkerLimits(max_seconds=1.0), "1 s of footage"),
    ):
        with DecodeWorker(limits=limits) as worker, pytest.raises(DecodeError, match=words):
            clips_of(worker, raw)
    with DecodeWorker(limits=WorkerLimits(max_frames=100, max_seconds=5.0)) as worker:
        assert clips_of(worker, raw)
    raw.unlink()


def limited(code: str, **limits: Any) -> subprocess.CompletedProcess[str]:
    """A program that holds itself to limits and then tries something."""
    start = f"from indexer.video.limits import WorkerLimits; WorkerLimits(**{limits!r}).apply()\n"
    return run_python(start + code)


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems' limits differ")
def test_the_kernel_holds_the_program_to_its_limits(tmp_path: Path) -> None:
    memory = limited("bytearray(2**28)", memory_bytes=2**27)
    assert "MemoryError" in memory.stderr
    assert limited("bytearray(2**26)", memory_bytes=2**27).returncode == 0
    code = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); open({!r}, 'wb', 0).write(b'x')"
    written = limited(code.format(str(tmp_path / "x")))
    assert "File too large" in written.stderr and (tmp_path / "x").read_bytes() == b""
    opened = limited("kept = [open('/dev/null') for _ in range(100)]")
    assert "Too many open files" in opened.stderr
    started = time.monotonic()
    burnt = limited("while True: pass", cpu_seconds=0.5)
    assert burnt.returncode < 0 and time.monotonic() - started < 30


def test_a_program_that_takes_too_long_is_killed(film: Path, tmp_path: Path) -> None:
    long = write_video(tmp_path / "long.mp4", moving(3000), fps=25)  # seconds of decoding, on any machine
    started = time.monotonic()
    worker = DecodeWorker(limits=WorkerLimits())
    worker.probe(str(film))
    with worker, pytest.raises(DecodeError, match="limit for one file"):
        clips_of(worker, long, limit_seconds=0.05)
    assert worker.pid is None and time.monotonic() - started < 20


# --- over HTTP -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    ingest(opened, [str(film)], IngestOptions(encoder="offline", device="cpu"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    settings = ServerSettings(max_upload_bytes=2**22, max_upload_seconds=10, max_upload_pixels=10**6)
    app = create_app(library, device="cpu", settings=settings)
    with TestClient(app, base_url="http://localhost") as found:
        yield found


def test_uploads_are_refused_and_leave_nothing(
    client: TestClient, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = spent(os.getpid())[1]
    made = dict([*hostile_files.absurd_sizes(), *hostile_files.bombs(), *hostile_files.absurd_times()])
    for name in ("huge.png", "huge.mkv", "samples bomb.mp4", "rate.y4m", "bomb.png"):
        answer = client.post("/v1/search/example", files={"file": (name, made[name])})
        assert answer.status_code in (413, 415, 422), (name, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert list(tmp_path.iterdir()) == []
    large = client.post("/v1/search/example", files={"file": ("x.mp4", bytes(2**22 + 1))})
    assert large.status_code == 413 and list(tmp_path.iterdir()) == []
    assert client.post("/v1/search/example", files={"file": ("x.mp4", film.read_bytes())}).status_code == 200
    assert list(tmp_path.iterdir()) == []
    assert spent(os.getpid())[1] - before < 300 * 2**20, "the server itself decodes nothing"


def test_example_sizes_are_the_settings(client: TestClient) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (1100, 1000)).save(picture, "PNG")
    answer = client.post("/v1/search/example", files={"file": ("x.png", picture.getvalue())})
    assert answer.status_code == 422 and "1000000 pixels" in answer.json()["detail"], answer.text


def test_what_a_killed_server_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    dead = tmp_path / f"{uploads.PREFIX}{ended.stdout.strip()}-abc"
    alive = tmp_path / f"{uploads.PREFIX}{os.getpid()}-abc"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "example.mp4").write_bytes(b"x")
    (tmp_path / f"{uploads.PREFIX}x-y").mkdir()
    uploads.remove_leftovers()
    assert not dead.exists() and alive.exists()


@pytest.mark.parametrize("pause_seconds", [5.0, 0.1], ids=["nothing", "a byte now and then"])
def test_a_client_that_sends_hardly_anything_is_not_waited_for(
    client: TestClient, library: Library, monkeypatch: pytest.MonkeyPatch, pause_seconds: float
) -> None:
    monkeypatch.setattr(uploads, "IDLE_SECONDS", 0.3)
    import asyncio

    app = create_app(library, device="cpu")

    async def send() -> httpx.Response:
        async def body() -> Any:
            yield b"--x\r\n"
            for _ in range(round(5 / pause_seconds)):
                await asyncio.sleep(pause_seconds)
                yield b"-"

        transport = httpx.ASGITransport(app=app)
        headers = {"content-type": "multipart/form-data; boundary=x"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as asynchronous,
        ):
            return await asynchronous.post("/v1/search/example", content=body(), headers=headers)

    started = time.monotonic()
    assert asyncio.run(send()).status_code == 408
    assert time.monotonic() - started < 4.5


def test_one_upload_does_not_keep_others_from_searching(client: TestClient, film: Path) -> None:
    """Ten hostile uploads at once: searches beside them are answered."""
    bomb = dict(hostile_files.bombs())["samples bomb.mp4"]
    statuses: list[int] = []

    def send() -> None:
        answer = client.post("/v1/search/example", files={"file": ("x.mp4", bomb)})
        statuses.append(answer.status_code)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    assert client.get("/v1/videos").status_code == 200
    assert client.post("/v1/search", json={"query": [{"text": "x"}]}).status_code == 200
    for sender in senders:
        sender.join()
    assert set(statuses) <= {415, 422}


def test_an_example_of_ones_own_has_no_such_limits(film: Path) -> None:
    part = read_example(str(film), SAMPLING.to_json(), 64, limits=None)
    assert part.clips
    with pytest.raises(DecodeError, match="more than the 5"):
        read_example(str(film), SAMPLING.to_json(), 64, limits=WorkerLimits(max_frames=5))


# --- checkpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
def test_a_pickle_bomb_does_not_go_off(tmp_path: Path, suffix: str) -> None:
    import torch

    from encoders import open_encoder
    from encoders.heads.kinetics import open_classifier
    from encoders.training.checkpoints import load_checkpoint
    from encoders.weights.state_dicts import read_state_dict

    gone_off = tmp_path / "gone off"
    zipped, plain = tmp_path / f"zipped{suffix}", tmp_path / f"plain{suffix}"
    torch.save({"state_dict": hostile_files.Bomb(gone_off)}, zipped)
    plain.write_bytes(pickle.dumps(hostile_files.Bomb(gone_off)))
    for path in (zipped, plain):
        for load in (
            read_state_dict,
            load_checkpoint,
            lambda path: open_classifier(f"kinetics:s3d/{path}", device="cpu"),
            lambda path: open_classifier(f"model:{path}", device="cpu"),
            lambda path: open_encoder(f"openclip:ViT-B-32/{path}", device="cpu"),
        ):
            with pytest.raises((ReelseekError, ValueError)):
                load(path)
            assert not gone_off.exists()
    assert pickle.loads(plain.read_bytes()) is None and gone_off.exists(), "it does go off where it may"


def test_nothing_of_ours_unpickles_what_others_wrote() -> None:
    """`torch.load` names weights_only, `np.load` allows no pickles, and pickle itself is for nobody."""
    for folder in ("api", "encoders", "indexer", "search"):
        for path in (ROOT / folder).rglob("*.py"):
            name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
            for line in text.splitlines():
                assert "torch.load(" not in line or "weights_only=True" in line, name
                assert "np.load(" not in line or "allow_pickle=False" in line, name
                assert "pickle.load" not in line, name
                assert "yaml.load(" not in line and not re.search(r"(?<![\w.])(eval|exec)\(", line), name


def test_documents_of_ours_are_json() -> None:
    assert json.loads(WorkerLimits().to_json())["memory_bytes"] == 2**30
    assert WorkerLimits.from_json(WorkerLimits(max_fps=5.0).to_json()) == WorkerLimits(max_fps=5.0)
