"""What the server says and logs while its catalog cannot be used, and when it can again."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from made_library import add_video, make_library
from postgres_server import PostgresServer, new_postgres
from server import assert_problem

from api.app import create_app
from api.settings import ServerSettings
from api.work import jobs, services
from search.library import Library


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long here."""
    for module, name in ((services, "PROBE_SECONDS"), (jobs, "RETRY_SECONDS"), (jobs, "QUEUE_SECONDS")):
        monkeypatch.setattr(module, name, 0.1)
    # The made library's encoder does not exist.
    monkeypatch.setattr(Library, "encoder", lambda self: None)
    monkeypatch.setattr(Library, "sample", lambda self: None)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be stopped."""
    with new_postgres() as server:
        yield server


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_ready(client: TestClient) -> bool:
    return client.get("/readyz").status_code == 200


def lines(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("asks_for_keys", [False, True])
def test_without_its_database_the_server_is_not_ready_and_tells_nobody_where_it_is(
    server, tmp_path, caplog, asks_for_keys
):
    url = server.url(server.create_database())
    library = make_library(tmp_path, url)
    add_video(library, "/films/one.mp4")
    app = create_app(library, settings=ServerSettings(require_keys=asks_for_keys))
    with TestClient(app, base_url="http://localhost") as client:
        until(lambda: is_ready(client))
        caplog.clear()
        server.stop()
        until(lambda: not is_ready(client))
        answers = [client.get("/readyz")]
        headers = {"Authorization": "Bearer abc"}
        assert int(answers[0].headers["Retry-After"]) > 0
        for path in ("/v1/videos", "/v1/clips", "/v1/status"):
            answer = client.get(path, headers=headers if asks_for_keys else {})
            assert_problem(answer, 503, "catalog-unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            answers.append(answer)
        for answer in answers:
            assert not any(
                word in answer.text for word in ("postgres", "reelseek@", "reelseek-pg", str(tmp_path))
            )
        assert "reelseek-pg" in caplog.text
        until(lambda: lines(caplog, "the job queue cannot be served") == 1)
        time.sleep(0.5)
        assert lines(caplog, "the job queue cannot be served") == 1
        assert lines(caplog, "not ready") <= 2, "what it says first, and that nobody answers"
        assert "Traceback" not in caplog.text
        server.start()
        until(lambda: is_ready(client) and lines(caplog, "the job queue is served again") == 1)
        assert lines(caplog, "ready again") == 1
        assert asks_for_keys or client.get("/v1/videos").status_code == 200
    library.close()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_with_its_file_cut_off_the_server_is_not_ready(tmp_path, share):
    library = make_library(tmp_path)
    for number in range(20):
        add_video(library, f"/films/{number}.mp4", count=20, seed=number)
    with TestClient(create_app(library), base_url="http://localhost") as client:
        until(lambda: is_ready(client))
        assert client.get("/v1/videos").status_code == 200
        library.database.wipe()
        path = tmp_path / "catalog.sqlite3"
        os.truncate(path, int(path.stat().st_size * share) // 4096 * 4096)
        until(lambda: not is_ready(client))
        assert client.get("/readyz").json()["reason"].startswith("the catalog cannot be used")
        if not share:
            assert_problem(client.get("/v1/videos"), 503, "catalog-unavailable")


def test_where_nothing_can_be_written_the_log_says_so_once(tmp_path, caplog):
    library = make_library(tmp_path)
    lock = tmp_path / "jobs.lock"
    lock.mkdir()  # it cannot be written to, by root neither
    caplog.set_level(logging.INFO)
    with TestClient(create_app(library), base_url="http://localhost") as client:
        until(lambda: is_ready(client))
        time.sleep(0.7)
        assert lines(caplog, "the job queue cannot be served") == 1
        assert "Traceback" not in caplog.text
        shutil.rmtree(lock)
        until(lambda: lines(caplog, "the job queue is served again") == 1)
        time.sleep(0.5)
        assert lines(caplog, "the job queue") == 2
    library.close()
