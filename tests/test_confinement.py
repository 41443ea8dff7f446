"""A decoding program that was taken over: what it sends, and what it can reach."""

from __future__ import annotations

import json
import os
import pickle
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import lacking
from hypothesis import given, settings
from hypothesis import strategies as st
from video_factory import moving, write_video

from encoders.errors import DecoderDiedError
from encoders.types import FrameBatch
from indexer.video.limits import WorkerLimits
from indexer.video.making.renditions import Rendition
from indexer.video.programs import worker as worker_module
from indexer.video.programs.confinement import describe_confinement, landlock_version
from indexer.video.programs.messages import (
    Answer,
    Failure,
    MessageError,
    Picture,
    RenderRequest,
    pack_message,
    unpack_answer,
    unpack_request,
)
from indexer.video.programs.worker import DecodeWorker
from indexer.video.types import KeyFrame, SampledClip, SamplingOptions, VideoInfo

ROOT = Path(__file__).resolve().parent.parent
CLIP = SampledClip(
    1.0,
    5.0,
    FrameBatch(np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3), np.array([1.5, 2.0])),
    (KeyFrame(1.5, b"\xff\xd8 \x00 \xff\xd9"),),
)


def equal(one: Any, other: Any) -> bool:
    return bool(pack_message(one) == pack_message(other))


@pytest.mark.parametrize(
    "message",
    [
        CLIP,
        VideoInfo(None, 4, 4, 25.0, "h264", "mov", 0.0),
        Failure("DecodeError", "caf\udce9"),
        Picture(CLIP.frames.frames[0]),
    ],
)
def test_what_is_sent_arrives(message: Any) -> None:
    assert equal(unpack_answer(pack_message(message)), message)


def test_a_request_arrives() -> None:
    request = RenderRequest("/a/\udcff.mp4", "/b.mp4", Rendition(spans=((0.0, 1.0), (2.0, 3.0)), sound=True))
    assert unpack_request(pack_message(request)) == request


def header_of(content: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", content)
    return json.loads(content[4 : 4 + length])  # type: ignore[no-any-return]


def with_header(content: bytes, header: Any) -> bytes:
    (length,) = struct.unpack_from("<I", content)
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + content[4 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h | {"kind": "DecodeRequest"},
        lambda h: h | {"kind": "os.system"},
        lambda h: h | {"kind": 5},
        lambda h: h | {"buffers": [-1, 2**62]},
        lambda h: h | {"buffers": h["buffers"] + [0.5]},
        lambda h: h | {"value": h["value"] | {"start_seconds": "1"}},
        lambda h: h | {"value": h["value"] | {"start_seconds": True}},
        lambda h: h | {"value": h["value"] | {"more": 1}},
        lambda h: h | {"value": {name: v for name, v in h["value"].items() if name != "frames"}},
        lambda h: h | {"value": h["value"] | {"key_frames": [[1.0, {"buffer": 0}]]}},
        lambda h: _deep(h, ("value", "frames", "frames", "dtype"), "object"),
        lambda h: _deep(h, ("value", "frames", "frames", "dtype"), "float64"),
        lambda h: _deep(h, ("value", "frames", "frames", "shape"), [2**40, 4, 4, 3]),
        lambda h: _deep(h, ("value", "frames", "frames", "shape"), [-2, -4, 4, 3]),
        lambda h: _deep(h, ("value", "frames", "frames", "buffer"), 99),
        lambda h: _deep(h, ("value", "frames", "pts_seconds", "shape"), [1, 2]),
        lambda h: [h],
        lambda h: None,
    ],
)
def test_what_is_mistyped_is_refused(change: Any) -> None:
    content = pack_message(CLIP)
    with pytest.raises(MessageError):
        unpack_answer(with_header(content, change(header_of(content))))


def _deep(header: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    place = header
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return header


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 600), st.booleans())
def test_no_bytes_are_more_than_an_error(noise: bytes, place: int, keeps: bool) -> None:
    whole = pack_message(CLIP)
    content = whole[:place] + noise + whole[place + len(noise) :] if keeps else noise
    try:
        found = unpack_answer(content)
    except MessageError:
        return
    assert isinstance(found, Answer)


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._folder),)


@pytest.mark.parametrize("kind", ["pickle", "noise", "oversized", "endless header"])
def test_a_program_that_was_taken_over_sends_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """In the program's place stands one that answers every request with what it likes."""
    gone_off = tmp_path / "gone_off"
    content = {
        "pickle": pickle.dumps(Bomb(gone_off)),
        "noise": bytes(range(256)),
        "endless header": struct.pack("<I", 2**31),
        "oversized": b"",
    }[kind]
    message = tmp_path / "message"
    message.write_bytes(content)
    size = 2**33 if kind == "oversized" else len(content)
    monkeypatch.setattr(
        worker_module,
        "_BOOT",
        "import os, struct, sys; fd = int(sys.argv[2]); os.read(fd, 65536); "
        f"size = {size}; head = struct.pack('!i', size) if size < 2**31 else struct.pack('!iQ', -1, size); "
        f"os.write(fd, head + open({str(message)!r}, 'rb').read()); import time; time.sleep(30)",
    )
    with DecodeWorker(limits=WorkerLimits()) as worker, pytest.raises(DecoderDiedError):
        worker.probe(str(tmp_path / "a.mp4"))
    assert not gone_off.exists()


TRIES = """
import os, socket, subprocess, sys, json
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from indexer.video.programs.confinement import Rules, confine
allowed, secret, folder, port, parent = sys.argv[2:7]
confine(Rules(None, (allowed,), ()))
def outcome(work):
    try:
        return f"done: {work()!r}"[:60]
    except (OSError, subprocess.SubprocessError) as error:
        return type(error).__name__
tries = {
    "read what it may": lambda: len(open(allowed, "rb").read()),
    "read a secret": lambda: open(secret).read(),
    "list the folder": lambda: os.listdir(folder),
    "make a file": lambda: open(folder + "/new", "w"),
    "truncate": lambda: os.truncate(secret, 0),
    "delete": lambda: os.unlink(secret),
    "rename": lambda: os.rename(secret, folder + "/other"),
    "hard link": lambda: os.link(secret, folder + "/linked"),
    "symbolic link": lambda: os.symlink(secret, folder + "/soft"),
    "change mode": lambda: os.chmod(secret, 0o777),
    "change time": lambda: os.utime(secret, (1, 1)),
    "TCP": lambda: socket.create_connection(("127.0.0.1", int(port)), 2),
    "UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "UNIX socket": lambda: socket.socket(socket.AF_UNIX),
    "start a program": lambda: subprocess.run(["/bin/true"], check=True),
    "signal the parent": lambda: os.kill(int(parent), 0),
    "read the parent's memory": lambda: open(f"/proc/{parent}/environ", "rb").read(),
}
print(json.dumps({name: outcome(work) for name, work in tries.items()}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")
def test_a_program_that_was_taken_over_reaches_nothing(tmp_path: Path) -> None:
    if landlock_version() < 3 or "seccomp" not in describe_confinement():
        lacking("confinement", f"this kernel confines programs by {describe_confinement()}")
    allowed, folder = tmp_path / "film.mp4", tmp_path / "library"
    allowed.write_bytes(b"film")
    folder.mkdir()
    secret = folder / "catalog.sqlite3"
    secret.write_text("secret")
    before = secret.stat()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ran = subprocess.run(
            [sys.executable, "-P", "-c", TRIES, str(ROOT), str(allowed), str(secret), str(folder),
             str(server.getsockname()[1]), str(os.getpid())],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    outcomes = json.loads(ran.stdout)
    assert outcomes.pop("read what it may") == "done: 4"
    assert {name: said for name, said in outcomes.items() if said.startswith("done")} == {}
    assert sorted(path.name for path in folder.iterdir()) == ["catalog.sqlite3"]
    after = secret.stat()
    assert (secret.read_text(), after.st_mode, after.st_mtime) == ("secret", before.st_mode, before.st_mtime)


def test_the_program_decodes_and_renders_where_it_may(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", moving(50, seed=1), fps=25)
    other = write_video(tmp_path / "other.mp4", moving(50, seed=2), fps=25)
    target = tmp_path / "out"
    target.mkdir()
    with DecodeWorker(limits=WorkerLimits(), reads=(str(film),)) as worker:
        clips = [one for one in worker.decode(str(film), SamplingOptions()) if isinstance(one, SampledClip)]
        assert clips[-1].end_seconds == pytest.approx(2.0)
        if landlock_version():
            with pytest.raises(Exception, match="no permission to read"):
                worker.probe(str(other))
    with DecodeWorker() as worker:
        rendition = Rendition(spans=((0.0, 1.0),))
        worker.render(str(film), str(target / "cut.mp4"), rendition)
        assert worker.probe(str(target / "cut.mp4")).duration_seconds == pytest.approx(1.0, abs=0.05)


def test_the_program_does_not_know_the_servers_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELSEEK_DATABASE_URL", "postgresql://somebody:password@localhost/db")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    film = write_video(tmp_path / "film.mp4", moving(25, seed=1), fps=25)
    with DecodeWorker() as worker:
        worker.probe(str(film))
        known = Path(f"/proc/{worker.pid}/environ")
        if known.exists():
            assert b"password" not in known.read_bytes() and b"secret" not in known.read_bytes()
