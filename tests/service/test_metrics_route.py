"""Metrics, readiness and the end of a server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from programs import ROOT
from prometheus_client.parser import text_string_to_metric_families
from video_factory import moving, write_video

from api.app import create_app
from api.settings import ServerSettings
from api.telemetry.metrics import reason_label
from encoders.weights import gpu_memory
from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    whole = write_video(folder / "whole.mp4", moving(24), fps=12).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "words.mp4").write_text("no video")
    (folder / "empty.mp4").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def library(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    summary = ingest(opened, [str(archive)], IngestOptions(encoder="offline", device="cpu"))
    assert summary.indexed == 1 and len(summary.failed) == 3
    yield opened
    opened.close()


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample by its name and label values, read by the reference parser."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def wait_until_ready(client: TestClient) -> None:
    deadline = time.monotonic() + 60
    while client.get("/readyz").status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.05)


def test_what_is_counted_is_what_there_is(library: Library) -> None:
    with TestClient(create_app(library, device="cpu"), base_url="http://localhost") as client:
        wait_until_ready(client)
        for _ in range(3):
            client.get("/v1/videos/1")
        client.get("/v1/videos/999")
        client.get("/no/such/place")
        client.get("/no/other/place")
        found = samples(client)
        route = "/v1/videos/{video_id}"
        assert found["reelseek_requests_total", "GET", route, "200"] == 3
        assert found["reelseek_requests_total", "GET", route, "404"] == 1
        assert found["reelseek_requests_total", "GET", "(none)", "404"] == 2, "clients name no series"
        assert found["reelseek_request_seconds_count", route] == 4
        assert 0 < found["reelseek_request_seconds_sum", route] < 10
        assert found["reelseek_requests_in_flight",] == 1, "this one"
        status = client.get("/v1/status").json()
        assert found["reelseek_videos", "indexed"] == status["videos"]["indexed"] == 1
        assert found["reelseek_videos", "failed"] == 3 and found["reelseek_videos", "missing"] == 0
        assert found["reelseek_clips",] == found["reelseek_index_clips",] == status["clips"] > 0
        assert found["reelseek_video_seconds",] == pytest.approx(2.0, abs=0.1)
        assert found["reelseek_decode_failures", "truncated"] == 1
        assert found["reelseek_decode_failures", "not a video"] == 1
        assert found["reelseek_decode_failures", "empty"] == 1
        assert found["reelseek_index_loaded",] == 1 and found["reelseek_index_lag_revisions",] == 0
        assert found["reelseek_catalog_up",] == 1
        assert found["reelseek_jobs", "queued"] == found["reelseek_jobs", "running"] == 0
        assert found["reelseek_process_resident_memory_bytes",] > 10 * 2**20
        assert found["reelseek_ingest_video_seconds_per_second",] == 0


def test_the_index_lags_until_somebody_searches(library: Library, tmp_path: Path, archive: Path) -> None:
    with TestClient(create_app(library, device="cpu"), base_url="http://localhost") as client:
        wait_until_ready(client)
        other = Library(library.folder, device="cpu")  # another program
        with other.write() as catalog:
            job = "0" * 32
            catalog.create_job(job, {"paths": [], "prune": False})
            progress = {"files_done": 1, "files_total": 5, "video_seconds": 30.0, "wall_seconds": 10.0}
            catalog.update_job(job, status="running", progress=progress)
            staged = catalog.stage_video("/elsewhere.mp4", 1, 1)
            catalog.publish_video(staged, digest="x", duration_seconds=1.0)
        other.close()
        found = samples(client)
        assert found["reelseek_index_lag_revisions",] == 1
        assert found["reelseek_ingest_video_seconds_per_second",] == pytest.approx(3.0)
        assert found["reelseek_ingest_files_left",] == 4 and found["reelseek_jobs", "running"] == 1
        assert client.post("/v1/search", json={"query": [{"text": "x"}]}).status_code == 200
        assert samples(client)["reelseek_index_lag_revisions",] == 0
    with library.write() as catalog:
        catalog.update_job(job, status="failed")
        catalog.remove_videos([video.id for video in catalog.videos_below("/elsewhere.mp4")])


def test_reasons_of_ours_have_a_label() -> None:
    for reason, label in {
        "truncated: 1.0 s of 9.0 s could be decoded; copy the file again or repair it": "truncated",
        "the MP4/MOV index (moov) is missing or broken, so the file is truncated": "truncated",
        "no video stream: the file holds audio only": "not a video",
        "the file is empty (0 bytes): copy it again or delete it": "empty",
        "no permission to read the file: change its mode or owner": "unreadable",
        "the decoder crashed (signal 11, SIGSEGV)": "decoder crashed",
        "the decoder was killed (signal 9, SIGKILL), perhaps for want of memory": "out of memory",
        "the decoder ran out of memory": "out of memory",
        "the decoder made no progress for 60 s and was stopped": "too slow",
        "the decoder was stopped after 120 s, the limit for one file": "too slow",
        "damaged: 9 of 10 packets are broken; copy the file again": "damaged",
        "the header claims 100000 x 100000 pixels: it is broken": "too large",
        "this leads outside the folders that may be indexed here": "outside the roots",
        "the file changed while it was being read; ingest it again": "changed",
        "hm": "other",
    }.items():
        assert reason_label(reason) == label


def test_without_a_gpu_there_is_no_gpu_to_tell_of() -> None:
    for one in gpu_memory.gpu_memory():
        assert 0 <= one.allocated_bytes <= one.used_bytes <= one.total_bytes


@pytest.mark.gpu
def test_memory_of_a_gpu_is_what_a_tensor_takes() -> None:
    import torch

    held = torch.zeros(64, 2**20, device="cuda")
    found = gpu_memory.gpu_memory()[0]
    assert found.allocated_bytes >= held.nbytes == 2**28
    assert found.total_bytes == torch.cuda.get_device_properties(0).total_memory


def test_ready_is_said_when_it_is_true_and_not_before(library: Library) -> None:
    fresh = Library(library.folder, device="cpu")
    loading = threading.Event()
    loaded = threading.Event()

    def hold() -> None:  # as if the index took long to load
        with fresh.index_keeper.lock.exclusive():
            loading.set()
            loaded.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    loading.wait(10)
    app = create_app(fresh, device="cpu")
    with TestClient(app, base_url="http://localhost") as client:
        time.sleep(0.3)
        answer = client.get("/readyz")
        assert answer.status_code == 503 and answer.json()["index_loaded"] is False
        assert samples(client)["reelseek_index_loaded",] == 0
        assert client.get("/healthz").status_code == 200, "it lives all the same"
        loaded.set()
        holder.join()
        wait_until_ready(client)
        assert client.get("/readyz").json() == {
            "ready": True,
            "index_loaded": True,
            "encoder_loaded": True,
            "reason": None,
        }
        app.state.services.begin_stop()
        stopping = client.get("/readyz")
        assert stopping.status_code == 503 and "stopping" in stopping.json()["reason"]
        assert client.get("/v1/videos").status_code == 200, "requests under way are still answered"
    fresh.close()


def test_others_learn_no_reasons_from_readyz(tmp_path: Path) -> None:
    opened = Library(tmp_path, create=True)
    app = create_app(opened, hosts=None, is_local=False, settings=ServerSettings())
    with TestClient(app) as client:
        app.state.services.begin_stop()
        assert client.get("/readyz").json()["reason"] == "see the server's log"
        assert client.get("/metrics").status_code == 401
    opened.close()


# --- the end ---------------------------------------------------------------------------------------


class Served:
    """`indexer serve` in a program of its own."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        code = "from indexer.commands.app import main; main()"
        command = [sys.executable, "-c", code, "serve", "--port", "0", "--device", "cpu", "-L", str(folder)]
        self.log = (folder / "server.log").open("w+")
        environment = {**os.environ, **{f"REELSEEK_{name.upper()}": text for name, text in settings.items()}}
        self.program = subprocess.Popen([*command, *arguments], cwd=ROOT, stderr=self.log, env=environment)
        self.address = self._address()

    def _address(self) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.program.poll() is None:
            for line in self.said().splitlines():
                if line.startswith("serving http://"):
                    return line.removeprefix("serving ")
            time.sleep(0.05)
        self.program.kill()
        raise AssertionError(f"the server did not start: {self.said()}")

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def stop(self, seconds: float = 60.0) -> int:
        self.program.send_signal(signal.SIGTERM)
        try:
            return self.program.wait(seconds)
        finally:
            self.program.kill()
            self.program.wait()
            self.log.close()


def in_flight(served: Served) -> int:
    """How many requests are under way beside the one that asks."""
    metrics = httpx.get(f"{served.address}/metrics").text
    found = re.search(r"^reelseek_requests_in_flight (\S+)$", metrics, re.MULTILINE)
    assert found is not None, metrics
    return round(float(found.group(1))) - 1


def test_stopped_mid_search_it_answers_and_parks_its_job(tmp_path: Path, library: Library) -> None:
    """Searches under way are answered, a job goes back to the queue, and no traceback is written."""
    folder = tmp_path / "library"
    opened = Library(folder, device="cpu", create=True)
    source = tmp_path / "archive"
    source.mkdir()
    write_video(source / "first.mp4", moving(12), fps=12)
    ingest(opened, [str(source)], IngestOptions(encoder="offline", device="cpu"))
    for number in range(40):
        write_video(source / f"{number}.mp4", moving(36, seed=number), fps=12)
    served = Served(folder, "--log-level", "info")
    answers: list[httpx.Response | Exception] = []

    def search() -> None:
        try:
            query = {"query": [{"text": "a private wish"}], "limit": 50}
            answers.append(httpx.post(f"{served.address}/v1/search", json=query, timeout=60))
        except Exception as error:
            answers.append(error)

    job = httpx.post(f"{served.address}/v1/ingest", json={"paths": [str(source)]}).json()
    searches = [threading.Thread(target=search) for _ in range(4)]
    for thread in searches:
        thread.start()
    until = time.monotonic() + 30
    # All have arrived; the encoder is still loading, so that hardly any is answered yet.
    while len(answers) + in_flight(served) < len(searches):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert served.stop() == 0
    for thread in searches:
        thread.join()
    said = served.said()
    assert [getattr(answer, "status_code", answer) for answer in answers] == [200] * 4, said
    with opened.read() as catalog:
        assert catalog.job(job["id"]).status == "queued"
    assert "Traceback" not in said and "private" not in said and str(source) not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [line["route"] for line in lines if line["message"] == "request"].count("/v1/search") == 4
    opened.close()


def test_what_takes_too_long_is_given_up_without_a_traceback(tmp_path: Path) -> None:
    served = Served(tmp_path, grace_seconds="1")
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as hanging:
        hanging.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.5)
        started = time.monotonic()
        assert served.stop(30) == 0
        assert time.monotonic() - started < 15
    assert "Traceback" not in served.said()
