"""A server among clocks that are set, examples as large as they may be, and clients that hardly read."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from page_library import make_library
from server import bearer, serve, wait_for_job
from surroundings import lacking
from video_factory import moving, write_video

from search.catalog.keys import Keys, Role
from search.library import Library

MIB = 2**20
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The page's archive and its library."""
    place = tmp_path_factory.mktemp("wide")
    (place / "archive").mkdir()
    make_library(place / "archive", place / "library")
    return place / "archive", place / "library"


@pytest.mark.slow
def test_the_clock_is_set_back_and_forward_under_a_server(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour and a year back, 29 and 400 days on: all is answered, and a key ends when its time is over."""
    if not FAKETIME:
        lacking("faketime", "libfaketime is not installed")
    archive, folder = made
    library = Library(folder)
    with library.database.write() as connection:
        lasting = Keys(connection).create(Role.admin)[1]
        ending = Keys(connection).create(Role.admin, expires_days=30)[1]
    library.close()
    clock = tmp_path / "clock"
    clock.write_text("+0")
    for name, value in {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with serve(folder) as address:
        for number, (shift, is_over) in enumerate(
            {"+0": False, "-1h": False, "-1y": False, "+29d": False, "+400d": True, "+1": False}.items()
        ):
            clock.write_text(shift)
            time.sleep(0.5)
            new = write_video(archive / f"later-{number}.mp4", moving(20, seed=50 + number), fps=10)
            with httpx.Client(base_url=address, timeout=60, headers=bearer(lasting)) as client:
                assert client.post("/v1/search", json={"query": [{"text": "cat"}]}).json()["hits"], shift
                sent = client.post("/v1/search/example", files={"file": ("new.mp4", new.read_bytes())})
                assert sent.status_code == 200, (shift, sent.text)
                job = client.post("/v1/ingest", json={"paths": [str(new)]}).json()
                assert wait_for_job(client, job["id"])["status"] == "done", shift
                videos = client.get("/v1/videos").json()["videos"]
                video = next(one["id"] for one in videos if one["path"] == str(new))
                assert client.get(f"/v1/frames/{video}", params={"t": 0.5}).status_code == 200
                known = client.get("/v1/videos", headers=bearer(ending)).status_code
                assert known == (401 if is_over else 200), shift


@pytest.mark.slow
def test_an_example_may_be_as_large_as_is_said(made: tuple[Path, Path], tmp_path: Path) -> None:
    archive, folder = made
    small = (archive / "cat.mp4").read_bytes()
    with serve(folder) as address, httpx.Client(base_url=address, timeout=120) as client:
        for size, expected in ((511 * MIB, 200), (513 * MIB, 413)):
            large = tmp_path / "large.mp4"
            with large.open("wb") as file:  # a box of an MP4 that says nothing
                file.write(small)
                file.write((size - len(small)).to_bytes(4, "big") + b"free")
                file.truncate(size)
            with ThreadPoolExecutor(1) as pool, large.open("rb") as file:
                sending = pool.submit(client.post, "/v1/search/example", files={"file": file})
                worst = 0.0
                while not sending.done():
                    asked = time.monotonic()
                    assert client.post("/v1/search", json={"query": [{"text": "cat"}]}).status_code == 200
                    worst = max(worst, time.monotonic() - asked)
                answer = sending.result()
            assert answer.status_code == expected, answer.text
            assert worst < 10, "others are answered meanwhile"
        hits = client.post("/v1/search/example", files={"file": ("cat.mp4", small)}).json()["hits"]
        assert Path(hits[0]["path"]).name in ("cat.mp4", "cat mirrored.mp4")


@pytest.mark.slow
def test_who_hardly_reads_keeps_nobody_waiting(made: tuple[Path, Path]) -> None:
    """Forty clients ask for what is large and then read a byte now and then."""
    _, folder = made
    with serve(folder) as address, httpx.Client(base_url=address, timeout=60) as client:
        videos = {Path(one["path"]).name: one["id"] for one in client.get("/v1/videos").json()["videos"]}
        cat = videos["cat.mp4"]
        of, frame = f"/v1/videos/{cat}", f"/v1/frames/{cat}"
        routes = (f"{of}/file", f"{of}/cut?start=0&end=5", f"{frame}?t=1", "/v1/segments", "/")
        slow = []
        for number in range(40):
            connection = connected(address)
            connection.sendall(f"GET {routes[number % 5]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            slow.append(connection)
        for _ in range(10):
            asked = time.monotonic()
            assert client.post("/v1/search", json={"query": [{"text": "cat"}]}).json()["hits"]
            assert client.get(frame, params={"t": 0.5}).status_code == 200
            assert time.monotonic() - asked < 10
            for connection in slow:
                assert connection.recv(1)
        for connection in slow:
            connection.close()


def connected(address: str) -> socket.socket:
    """With little room for what it has not read yet."""
    parts = urlsplit(address)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((parts.hostname, parts.port))
    return connection
