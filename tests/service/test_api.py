"""The HTTP API over a real library: real footage, real weights, the real app."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from programs import ROOT, run_indexer, start_indexer
from samples import footage
from server import asked, assert_problem, wait_for_job

from api.app import create_app
from api.guarding.guard import host_name
from api.schemas.problems import KINDS, kind_of
from api.settings import ServerSettings
from encoders import errors
from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library

MAX_UPLOAD_BYTES = 3 * 2**20


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    (folder / "animals").mkdir()
    shutil.copy(footage("bikes.mp4"), folder / "bikes.mp4")
    shutil.copy(footage("bigbuckbunny.mp4"), folder / "animals" / "big buck bünny.mp4")
    (folder / "notes.mp4").write_text("this is no video")
    return folder


@pytest.fixture(scope="module")
def library(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    summary = ingest(opened, [str(archive)], IngestOptions(encoder="offline", device="cpu"))
    assert summary.indexed == 2 and len(summary.failed) == 1
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def app(library: Library) -> FastAPI:
    return create_app(
        library,
        device="cpu",
        settings=ServerSettings(max_upload_bytes=MAX_UPLOAD_BYTES, max_body_bytes=100_000),
    )


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with asked(app) as client:
        yield client


@pytest.fixture(scope="module")
def bikes(client: TestClient) -> dict[str, Any]:
    videos = client.get("/v1/videos").json()["videos"]
    return next(video for video in videos if video["path"].endswith("/bikes.mp4"))


def words(text: str, **body: Any) -> dict[str, Any]:
    return {"query": [{"text": text}], **body}


# --- search --------------------------------------------------------------------------------


def test_words_find_the_video_that_shows_them(client: TestClient, bikes: dict[str, Any]) -> None:
    answer = client.post("/v1/search", json=words("a mountain bike", group_by="video")).json()
    assert answer["hits"][0]["video_id"] == bikes["id"]
    assert len(answer["hits"]) == 2
    assert answer["exact"] is True


def test_the_answer_has_the_keys_that_the_command_line_prints(client: TestClient, library: Library) -> None:
    answer = client.post("/v1/search", json=words("a rabbit", limit=1)).json()
    printed = run_indexer(
        *("search", "a rabbit", "-k", "1", "--json", "--device", "cpu"), library=library.folder, timeout=60
    )
    assert printed.returncode == 0, printed.stderr
    document = json.loads(printed.stdout)
    assert set(answer) == set(document) == {"hits", "encoder", "exact", "took_ms", "understood"}
    assert answer["hits"] == document["hits"]
    judged = {"score", "probability", "band", "weak"}
    assert judged | {"clip_id", "path", "start_seconds", "actions", "key_frames"} <= set(answer["hits"][0])


def test_parts_combine_and_a_stored_clip_is_not_its_own_answer(client: TestClient) -> None:
    first, second = client.get("/v1/clips").json()["clips"][:2]
    body = {"query": [{"clip_id": first["clip_id"]}, {"text": "a rabbit", "weight": -0.5}]}
    hits = client.post("/v1/search", json=body).json()["hits"]
    assert hits and first["clip_id"] not in [hit["clip_id"] for hit in hits]
    span = {name: second[name] for name in ("video_id", "start_seconds", "end_seconds")}
    hits = client.post("/v1/search", json={"query": [span]}).json()["hits"]
    assert hits and second["clip_id"] not in [hit["clip_id"] for hit in hits]


def test_filters_hold_for_every_hit(client: TestClient, archive: Path) -> None:
    prefix = str(archive / "animals") + "/"
    body = words("a mountain bike", filters={"path_prefix": prefix}, limit=1000)
    hits = client.post("/v1/search", json=body).json()["hits"]
    assert hits and all(hit["path"].startswith(prefix) for hit in hits)
    body = words("a mountain bike", filters={"min_duration_seconds": 3600})
    assert client.post("/v1/search", json=body).json()["hits"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": []},
        {"query": [{}]},
        {"query": [{"text": ""}]},
        {"query": [{"text": "   "}]},
        {"query": [{"text": "x", "weight": 0}]},
        {"query": [{"text": "x", "weight": -1}]},
        {"query": [{"text": "x" * 1001}]},
        {"query": [{"text": "x", "clip_id": 1}]},
        {"query": [{"video_id": 1, "start_seconds": 0}]},
        {"query": [{"video_id": 1, "start_seconds": 2, "end_seconds": 1}]},
        {"query": [{"clip_id": 0}]},
        {"query": [{"clip_id": 2**70}]},
        {"query": [{"text": "x"}] * 33},
        words("x", limit=0),
        words("x", limit=10_001),
        words("x", group_by="shot"),
        words("x", filters={"min_duration_seconds": -1}),
        words("x", filters={"path_prefix": "/\0"}),
        words("x", filters={"colour": "red"}),
        words("x", offset=3),
        [1],
    ],
)
def test_a_query_that_makes_no_sense_is_refused(client: TestClient, body: Any) -> None:
    problem = assert_problem(client.post("/v1/search", json=body), 422)
    assert problem["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"query": [{"text": "x", "weight": NaN}]}',
        b'{"query": [{"text": "x", "weight": 1e999}]}',
        b'{"query": [{"text": "\\ud800"}]}',
        b'{"query": [{"text": "x"}], "filters": {"path_prefix": "\\ud800"}}',
        b'{"query": [{"text": "x"}], "limit": ' + b"9" * 5000 + b"}",
        b"[" * 50_000,
        b"\xff\xfe",
    ],
)
def test_hostile_json_is_refused(client: TestClient, content: bytes) -> None:
    response = client.post("/v1/search", content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert_problem(response, response.status_code)


def test_what_is_not_there_is_404(client: TestClient) -> None:
    assert_problem(client.post("/v1/search", json={"query": [{"clip_id": 999_999}]}), 404)
    for path in ("/v1/videos/999", "/v1/videos/999/file", "/v1/videos/999/key-frames"):
        assert_problem(client.get(path), 404)
    for path in ("/v1/frames/999?t=0", "/v1/key-frames/999999", f"/v1/jobs/{'0' * 32}", "/v2", "/docs"):
        assert_problem(client.get(path), 404)
    assert_problem(client.delete("/v1/videos/999"), 404)


# --- search by example ---------------------------------------------------------------------


def example(client: TestClient, content: bytes, name: str, **options: Any) -> httpx.Response:
    files = {"file": (name, content)}
    return client.post("/v1/search/example", files=files, data={"options": json.dumps(options)})


def test_footage_is_found_where_it_lies(client: TestClient, bikes: dict[str, Any]) -> None:
    response = example(client, footage("bikes.mp4").read_bytes(), "x.mp4", limit=3)
    best = response.json()["hits"][0]
    assert best["video_id"] == bikes["id"]
    assert best["match"] is not None and not best["match"]["mirrored"]
    assert best["start_seconds"] == pytest.approx(0, abs=1)
    assert best["end_seconds"] == pytest.approx(bikes["duration_seconds"], abs=1)


def test_a_picture_finds_its_video(client: TestClient, bikes: dict[str, Any]) -> None:
    picture = client.get(f"/v1/frames/{bikes['id']}", params={"t": 1.0}).content
    for options in ({}, {"query": [{"text": "a mountain bike", "weight": 0.2}], "group_by": "video"}):
        hits = example(client, picture, "still.jpg", **options).json()["hits"]
        assert hits[0]["video_id"] == bikes["id"]
        assert hits[0]["match"] is None


def test_a_bad_upload_is_a_problem_and_leaves_nothing(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    good = picture.getvalue()
    for content in (b"", b"not a picture", os.urandom(5000), footage("bikes.mp4").read_bytes()[:2000]):
        response = example(client, content, "clip.mp4")
        assert response.status_code in (415, 422)
        assert_problem(response, response.status_code)
    problem = assert_problem(example(client, good[:60], "x.png"), 422)
    assert "picture" in problem["detail"] and "not a video" not in problem["detail"]
    problem = assert_problem(example(client, good, "x.png", limit=-1), 422)
    assert problem["errors"][0]["location"] == ["body", "options", "limit"]
    assert_problem(client.post("/v1/search/example", files={"file": good}, data={"options": "{"}), 422)
    assert_problem(client.post("/v1/search/example", files={"picture": good}), 422)
    assert_problem(client.post("/v1/search/example", files=[("file", good), ("file", good)]), 422)
    assert_problem(client.post("/v1/search/example", json={}), 415)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for body in (
        b"",
        b"garbage",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nab',
    ):
        assert_problem(client.post("/v1/search/example", content=body, headers=headers), 400)
    assert_problem(example(client, bytes(MAX_UPLOAD_BYTES + 1), "large.mp4"), 413)

    def unannounced() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(MAX_UPLOAD_BYTES // 2**16 + 1):
            yield bytes(2**16)

    assert_problem(client.post("/v1/search/example", content=unannounced(), headers=headers), 413)
    assert list(tmp_path.iterdir()) == []


# --- the library ---------------------------------------------------------------------------


def test_listings_page_through_everything(client: TestClient, archive: Path) -> None:
    videos, cursor = [], None
    while True:
        page = client.get("/v1/videos", params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        assert page["total"] == 3
        videos += page["videos"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [video["path"] for video in videos] == sorted(str(path) for path in archive.rglob("*.mp4"))
    failed = client.get("/v1/videos", params={"status": "failed"}).json()
    assert failed["total"] == 1 and failed["videos"][0]["path"].endswith("notes.mp4")
    assert failed["videos"][0]["error"]
    everything = client.get("/v1/clips").json()
    assert everything["total"] == len(everything["clips"]) == sum(video["clips"] for video in videos)
    first = client.get("/v1/clips", params={"limit": 1}).json()
    rest = client.get("/v1/clips", params={"cursor": first["next_cursor"]}).json()
    assert first["clips"] + rest["clips"] == everything["clips"]


def test_clips_are_filtered(client: TestClient, bikes: dict[str, Any], archive: Path) -> None:
    own = client.get("/v1/clips", params={"video_id": bikes["id"]}).json()
    assert own["total"] == bikes["clips"]
    assert {clip["video_id"] for clip in own["clips"]} == {bikes["id"]}
    animals = client.get("/v1/clips", params={"path_prefix": f"{archive}/animals"}).json()
    assert own["total"] + animals["total"] == client.get("/v1/clips").json()["total"]
    assert client.get("/v1/clips", params={"min_duration_seconds": 1000}).json()["total"] == 0
    for bad in ({"cursor": "x"}, {"cursor": "AAAA"}, {"limit": 0}, {"min_duration_seconds": "nan"}):
        assert_problem(client.get("/v1/clips", params=bad), 422)
    other = client.get("/v1/videos", params={"limit": 1}).json()["next_cursor"]
    assert_problem(client.get("/v1/clips", params={"cursor": other}), 422)


def test_answers_are_kept_by_nobody(client: TestClient) -> None:
    for path in ("/v1/status", "/v1/videos", "/v1/openapi.json", "/v1/jobs/none"):
        assert client.get(path).headers["cache-control"] == "no-store", path
    assert client.post("/v1/search", json=words("a dog")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("limit", ["5", True, 5.5, [5], None])
def test_a_limit_is_a_number(client: TestClient, limit: Any) -> None:
    assert_problem(client.post("/v1/search", json=words("a dog", limit=limit)), 422)


def test_two_origins_are_none_of_ours(client: TestClient) -> None:
    headers = [("Origin", "http://localhost:8000"), ("Origin", "https://evil.example")]
    assert client.post("/v1/search", json=words("a dog"), headers=headers[:1]).status_code == 200
    assert_problem(client.post("/v1/search", json=words("a dog"), headers=headers), 403)


def test_key_frames_are_pictures_in_order_of_time(client: TestClient, bikes: dict[str, Any]) -> None:
    frames = client.get(f"/v1/videos/{bikes['id']}/key-frames").json()["key_frames"]
    times = [frame["time_seconds"] for frame in frames]
    assert times == sorted(times) and len(times) >= bikes["clips"]
    some = client.get(f"/v1/videos/{bikes['id']}/key-frames", params={"max": 2}).json()["key_frames"]
    assert len(some) == 2 and all(frame in frames for frame in some)
    response = client.get(frames[0]["url"])
    assert response.headers["cache-control"] == "private, no-cache"  # it may have been removed since
    again = client.get(frames[0]["url"], headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304 and not again.content
    picture = Image.open(io.BytesIO(response.content))
    assert picture.format == "JPEG"
    assert picture.width / picture.height == pytest.approx(bikes["width"] / bikes["height"], rel=0.02)


def test_a_frame_is_decoded_at_its_time(client: TestClient, bikes: dict[str, Any]) -> None:
    response = client.get(f"/v1/frames/{bikes['id']}", params={"t": 1.0, "size": 90})
    picture = Image.open(io.BytesIO(response.content))
    assert response.headers["content-type"] == "image/jpeg" and min(picture.size) == 90
    again = client.get(f"/v1/frames/{bikes['id']}", params={"t": 1.0, "size": 90})
    assert again.content == response.content
    problem = assert_problem(client.get(f"/v1/frames/{bikes['id']}", params={"t": 1e6}), 404)
    assert "runs from" in problem["detail"]
    for bad in ({}, {"t": "nan"}, {"t": "inf"}, {"t": 1, "size": 100_000}):
        assert_problem(client.get(f"/v1/frames/{bikes['id']}", params=bad), 422)


# --- files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=1000-", 1000, None), ("bytes=-500", -500, None), ("bytes=5-5", 5, 5)],
)
def test_ranges_are_the_bytes_on_disk(
    client: TestClient, bikes: dict[str, Any], asked: str, first: int, last: int | None
) -> None:
    content = Path(bikes["path"]).read_bytes()
    response = client.get(f"/v1/videos/{bikes['id']}/file", headers={"Range": asked})
    expected = content[first:] if last is None else content[first : last + 1]
    assert response.status_code == 206 and response.content == expected
    start = first % len(content)
    span = f"bytes {start}-{start + len(expected) - 1}/{len(content)}"
    assert response.headers["content-range"] == span


def test_a_file_is_served_whole_and_by_its_rules(client: TestClient, bikes: dict[str, Any]) -> None:
    url, content = f"/v1/videos/{bikes['id']}/file", Path(bikes["path"]).read_bytes()
    whole = client.get(url)
    assert whole.status_code == 200 and whole.content == content
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes" and whole.headers["x-content-type-options"] == "nosniff"
    head = client.head(url)
    assert head.content == b"" and head.headers["content-length"] == str(len(content))
    for validator in ("etag", "last-modified"):
        fresh = {"Range": "bytes=0-1", "If-Range": whole.headers[validator]}
        assert client.get(url, headers=fresh).status_code == 206
    stale = client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert stale.status_code == 200 and stale.content == content
    several = client.get(url, headers={"Range": "bytes=0-9,100-109"})
    assert several.status_code == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert content[:10] in several.content and content[100:110] in several.content
    assert client.get(url, headers={"Range": "seconds=0-1"}).status_code == 200
    beyond = client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert_problem(beyond, 416)
    assert beyond.headers["content-range"] == f"bytes */{len(content)}"
    assert_problem(client.get(url, headers={"Range": "bytes=9-5"}), 400)


# --- jobs, removal -------------------------------------------------------------------------


def test_ingest_then_move_away_then_delete(client: TestClient, archive: Path) -> None:
    before = client.get("/v1/status").json()
    path = archive / "later" / "carphone.mp4"
    path.parent.mkdir()
    shutil.copy(footage("carphone_pristine.mp4"), path)
    before_job = datetime.now(UTC) - timedelta(milliseconds=1)  # to which times are rounded
    response = client.post("/v1/ingest", json={"paths": [str(path.parent)]})
    assert response.status_code == 202
    job = wait_for_job(client, response.headers["location"].rpartition("/")[2])
    assert job["id"] == response.json()["id"] and job["status"] == "done", job
    assert job["result"]["indexed"] == 1 and job["result"]["failed"] == []
    assert job["progress"]["files_done"] == job["progress"]["files_total"] == 1
    assert (job["kind"], job["request"]) == (
        "ingest",
        {"paths": [str(path.parent)], "prune": False, "patience": 1.0},
    )
    assert (
        before_job <= datetime.fromisoformat(job["created_at"]) <= datetime.fromisoformat(job["finished_at"])
    )

    body = words("a man in a car", filters={"path_prefix": str(path.parent)})
    hits = client.post("/v1/search", json=body).json()["hits"]
    video_id = hits[0]["video_id"]
    key_frame_url = hits[0]["key_frames"][0]["url"]
    assert len(hits) == job["result"]["clips"]

    path.rename(archive / "carphone.away")
    problem = assert_problem(client.get(f"/v1/videos/{video_id}/file"), 404)
    assert "missing" in problem["detail"] and f"/v1/videos/{video_id}/key-frames" in problem["detail"]
    problem = assert_problem(client.get(f"/v1/frames/{video_id}", params={"t": 0}), 404)
    assert f"/v1/videos/{video_id}/key-frames" in problem["detail"]
    assert client.get(key_frame_url).status_code == 200

    removed = client.delete(f"/v1/videos/{video_id}").json()
    assert removed == {"videos": 1, "clips": job["result"]["clips"], "segments": 0, "examples": 0}
    assert_problem(client.get(f"/v1/videos/{video_id}"), 404)
    assert_problem(client.get(key_frame_url), 404)
    assert client.post("/v1/search", json=body).json()["hits"] == []
    everywhere = client.post("/v1/search", json=words("a man in a car", limit=1000)).json()["hits"]
    assert video_id not in {hit["video_id"] for hit in everywhere}
    after = client.get("/v1/status").json()
    assert after["videos"] == before["videos"] and after["clips"] == before["clips"]
    (archive / "carphone.away").unlink()


def test_jobs_are_listed_newest_first(tmp_path: Path) -> None:
    library = Library(tmp_path, create=True)
    app = create_app(library)
    with library.write() as catalog:
        for number in range(3):
            catalog.create_job(f"{number:032x}", {"paths": [f"/none/{number}"], "prune": False})
            catalog.update_job(f"{number:032x}", status="done", result={"indexed": number}, finished_at=1e9)
    with TestClient(app, base_url="http://localhost") as client:
        whole = client.get("/v1/jobs").json()
        assert [job["result"]["indexed"] for job in whole["jobs"]] == [2, 1, 0] and whole["total"] == 3
        assert whole["jobs"][0] == client.get(f"/v1/jobs/{2:032x}").json()
        assert whole["jobs"][0]["finished_at"] == "2001-09-09T01:46:40.000Z"  # a billion seconds
        some = client.get("/v1/jobs", params={"limit": 2}).json()
        assert some == {"jobs": whole["jobs"][:2], "total": 3}
        for bad in ({"limit": 0}, {"limit": 1001}, {"state": "done"}):
            assert_problem(client.get("/v1/jobs", params=bad), 422)
    library.close()


def test_ingest_refuses_paths_that_are_not_there(client: TestClient) -> None:
    for paths in (["relative"], ["/no/such/folder"], [], [""], ["/a\0b"]):
        assert_problem(client.post("/v1/ingest", json={"paths": paths}), 422)


def test_what_a_stop_or_a_crash_leaves_is_run_again(archive: Path, tmp_path: Path) -> None:
    library = Library(tmp_path, device="cpu", create=True)
    ingest(library, [str(archive / "notes.mp4")], IngestOptions(encoder="offline", device="cpu"))
    with TestClient(create_app(library, device="cpu"), base_url="http://127.0.0.1") as client:
        body = {"paths": [str(archive / "animals"), str(archive / "bikes.mp4")]}
        stopped = client.post("/v1/ingest", json=body).headers["location"]
        while client.get(stopped).json()["status"] == "queued":
            time.sleep(0.01)
    with library.write() as catalog:
        assert [job.status for job in catalog.jobs_with_status("queued", "done", "failed")] == ["queued"]
        catalog.create_job("a" * 32, {"paths": [str(archive / "bikes.mp4")], "prune": False})
        catalog.update_job("a" * 32, status="running")
    with TestClient(create_app(library, device="cpu"), base_url="http://127.0.0.1") as client:
        parked, crashed = wait_for_job(client, stopped.rpartition("/")[2]), wait_for_job(client, "a" * 32)
        assert client.get("/v1/status").json()["videos"]["indexed"] == 2
    library.close()
    assert parked["status"] == crashed["status"] == "done"
    assert parked["result"]["indexed"] + parked["result"]["unchanged"] == 2
    assert crashed["result"]["unchanged"] == 1


# --- behaviour of the server ---------------------------------------------------------------


def test_an_empty_library_says_so(tmp_path: Path) -> None:
    library = Library(tmp_path, create=True)
    with TestClient(create_app(library), base_url="http://localhost") as client:
        problem = assert_problem(client.post("/v1/search", json=words("x")), 409)
        assert "ingest" in problem["detail"]
        assert_problem(example(client, b"x", "x.png"), 409)
        assert client.get("/v1/clips").json() == {"clips": [], "total": 0, "next_cursor": None}
    library.close()


def test_health_answers_while_an_example_is_encoded(library: Library) -> None:
    content = footage("bikes.mp4").read_bytes()
    app = create_app(library, device="cpu")

    async def both() -> tuple[list[float], float]:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as asynchronous,
        ):
            started = time.monotonic()
            searches = [
                asyncio.create_task(
                    asynchronous.post("/v1/search/example", files={"file": ("x.mp4", content)})
                )
                for _ in range(2)
            ]
            waits = []
            while not all(search.done() for search in searches):
                before = time.monotonic()
                assert (await asynchronous.get("/healthz")).json() == {"status": "ok"}
                waits.append(time.monotonic() - before)
                await asyncio.sleep(0.01)
            assert all(search.result().status_code == 200 for search in searches)
            return waits, time.monotonic() - started

    waits, total = asyncio.run(both())
    assert len(waits) > 5 and total > 0.2
    # A busy machine takes longer over all of it; a loop that is held up waits for a whole search.
    assert sorted(waits)[len(waits) // 2] < 0.05 and max(waits) < max(0.5, total / 4)


def test_ready_when_the_index_is_loaded(client: TestClient) -> None:
    deadline = time.monotonic() + 30
    while (response := client.get("/readyz")).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert response.json() == {"ready": True, "index_loaded": True, "encoder_loaded": True, "reason": None}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "example.org"}, 421),
        ({"Host": "localhost.example.org:8000"}, 421),
        ({"Host": "127.0.0.1:9"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "[::1"}, 421),
        ({"Host": ""}, 421),
    ],
)
def test_foreign_pages_and_hosts_are_refused(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    response = client.post("/v1/search", json=words("x"), headers=headers)
    assert response.status_code == status
    if status != 200:
        assert_problem(response, status)


def test_host_names_are_read_strictly() -> None:
    assert host_name("LOCALHOST:80") == "localhost"
    assert host_name("[::1]:80") == "::1"
    for bad in ("localhost:x", "user@localhost", "localhost/x", "localhost?x"):
        assert host_name(bad) is None


def gettable(client: TestClient, bikes: dict[str, Any]) -> Iterator[str]:
    """An address of every route that can be got, one that is there, by the schema."""
    frames = client.get(f"/v1/videos/{bikes['id']}/key-frames").json()["key_frames"]
    values = {"video_id": bikes["id"], "key_frame_id": frames[0]["id"]}
    needed = {"/v1/frames/{video_id}": "?t=1"}
    for path, operations in client.get("/v1/openapi.json").json()["paths"].items():
        if "get" in operations and not {"name", "job_id"} & set(path.replace("}", "{").split("{")):
            for name, value in values.items():
                path = path.replace("{" + name + "}", str(value))
            yield path + needed.get(path.replace(f"/{bikes['id']}", "/{video_id}"), "")


def test_parameters_that_no_route_knows_are_refused(client: TestClient, bikes: dict[str, Any]) -> None:
    addresses = list(gettable(client, bikes))
    assert len(addresses) > 10
    for address in addresses:
        separator = "&" if "?" in address else "?"
        problem = assert_problem(client.get(f"{address}{separator}colour=red"), 422)
        assert "colour" in problem["detail"]
    assert_problem(client.post("/v1/search?limit=3", json=words("x")), 422)
    assert_problem(client.delete("/v1/videos/999?force=1"), 422)
    assert client.get("/?colour=red").status_code == 200  # the page reads its own address


def test_head_is_get_without_the_body(client: TestClient, bikes: dict[str, Any]) -> None:
    for address in ["/", "/page.js", *gettable(client, bikes)]:
        got, head = client.get(address), client.head(address)
        assert head.status_code == got.status_code and head.content == b"", address
        if address == "/metrics":  # its counts have gone on
            continue
        for name in ("content-type", "content-length", "etag", "cache-control"):
            assert head.headers.get(name) == got.headers.get(name), (address, name)
    assert client.head(f"/v1/videos/{bikes['id']}?colour=red").status_code == 422
    assert client.head("/v1/videos/999").status_code == 404


def test_methods_sizes_and_failures_are_problems(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = client.put("/v1/search")
    assert_problem(response, 405)
    assert response.headers["allow"] == "POST"
    paths = client.get("/v1/openapi.json").json()["paths"]
    for path in paths:
        address = re.sub(r"{[^}]*}", "1", path)
        answer = client.request("TRACE", address)
        assert_problem(answer, 405)
        # An action's name may hold slashes, so that what stands below it may be one, too.
        patterns = {one: re.sub(r"{[^}]*}", ".+" if "actions/" in one else "[^/]+", one) for one in paths}
        answered = {
            method.upper() for one in paths if re.fullmatch(patterns[one], address) for method in paths[one]
        }
        answered |= {"HEAD"} if "GET" in answered else set()
        assert set(answer.headers["allow"].split(", ")) == answered, path
    large = json.dumps(words("x", filters={"path_prefix": "y" * 200_000})).encode()
    assert_problem(client.post("/v1/search", content=large), 413)
    pieces = iter([large[:50_000], large[50_000:]])
    assert_problem(
        client.post("/v1/search", content=pieces, headers={"content-type": "application/json"}), 413
    )
    # A fault of ours, by taking away what every route needs.
    services = app.state.services
    monkeypatch.setattr(app.state, "services", None, raising=False)
    assert_problem(client.get("/v1/status"), 500)
    app.state.services = services


def test_every_error_of_ours_has_a_status() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert len(classes) > 10
    for one in classes:
        assert 400 <= kind_of(one("x")).status < 600
    assert set(KINDS) <= set(classes)


def test_the_schema_describes_every_route_and_its_problems(client: TestClient) -> None:
    schema = client.get("/v1/openapi.json").json()
    paths = set(schema["paths"])
    for path in (
        *("/v1/search", "/v1/search/example", "/v1/clips", "/v1/videos", "/v1/videos/{video_id}"),
        *("/v1/videos/{video_id}/key-frames", "/v1/videos/{video_id}/file", "/v1/frames/{video_id}"),
        *("/v1/ingest", "/v1/jobs", "/v1/jobs/{job_id}", "/healthz", "/readyz"),
        *("/v1/videos/{video_id}/timeline", "/v1/videos/{video_id}/matches"),
        "/v1/videos/{video_id}/matches/example",
        *("/v1/segments", "/v1/segments/export", "/v1/videos/{video_id}/segments", "/v1/feedback"),
        *("/v1/actions", "/v1/actions/{name}"),
    ):
        assert path in paths
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert schema["components"]["schemas"]["SearchRequest"]["examples"]
    text = json.dumps(schema)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schema["components"]["schemas"]


def test_the_page_asks_for_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("base.css", "page.js", "api.js", "player.js", "login.js", "icon.svg"):
        response = client.get(f"/{name}")
        assert response.status_code == 200
        outside = response.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in outside and "https://" not in outside
        again = client.get(f"/{name}", headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304


def test_every_file_of_the_page_is_served_and_names_only_files_that_are(client: TestClient) -> None:
    folder = ROOT / "api" / "page"
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
    for file in (path for path in folder.rglob("*") if path.is_file()):
        address = {"index.html": "/", "login.html": "/login"}.get(
            file.name, f"/{file.relative_to(folder).as_posix()}"
        )
        response = client.get(address, headers={"accept": "text/html"})
        assert response.content == file.read_bytes(), address
        assert response.status_code == (404 if file.name == "nothing.html" else 200), address
        assert response.headers["content-type"].startswith(kinds[file.suffix]), address
        assert "default-src 'self'" in response.headers["content-security-policy"]
        text = response.text
        named = [file.parent / name for name in re.findall(r'(?:from|import)[ (]"(\.[^"]+)"', text)]
        named += [folder / name for name in re.findall(r'(?:src|href)="/([\w/]+\.\w+)"', text)]
        assert all(one.resolve().is_file() for one in named), (address, named)
        assert "import " not in text or named, address


def test_serve_says_where_and_ends_in_order(library: Library) -> None:
    options = ("--device", "cpu")
    with start_indexer(
        "serve", "--port", "0", *options, library=library.folder, stderr=subprocess.PIPE
    ) as program:
        stop = threading.Timer(60, program.kill)
        stop.start()
        assert program.stderr is not None
        line = program.stderr.readline().strip()
        assert line.startswith("serving http://127.0.0.1:")
        address = line.removeprefix("serving ")
        assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{address}/v1/videos", params={"status": "failed"}).json()["total"] == 1
        port = address.rsplit(":", 1)[1]
        taken = run_indexer("serve", "--port", port, *options, library=library.folder, timeout=60)
        assert taken.returncode == 1 and "--port" in taken.stderr and "Traceback" not in taken.stderr
        program.send_signal(signal.SIGTERM)
        rest = program.stderr.read()
        assert program.wait(30) == 0
        stop.cancel()
    assert rest == ""
