"""What a server lets out and in: roots, paths, addresses, headers, limits, logs. Attacks are really tried."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from video_factory import moving, write_video

from api.app import create_app
from api.guarding.limits import Concurrency, TokenBuckets
from api.settings import ServerSettings
from api.telemetry import logs
from encoders.errors import DecodeError, ReelseekError
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.pictures.still import decode_picture
from indexer.video.programs.confinement import landlock_version
from indexer.video.reading.decode import VideoDecoder
from search.audit import AuditLog
from search.catalog.keys import Keys, Role
from search.library import Library

SECRET_WORDS = "a very private query"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive").resolve()
    write_video(folder / 'a "quoted"\r\nX-Evil: 1 ünï.mp4', moving(12), fps=12)
    write_video(folder / "plain.mp4", moving(12, seed=3), fps=12)
    return folder


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside").resolve()
    write_video(folder / "secret.mp4", moving(12, seed=9), fps=12)
    return folder


@pytest.fixture(scope="module")
def library(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    summary = ingest(opened, [str(archive)], IngestOptions(encoder="offline", device="cpu"))
    assert summary.indexed == 2 and not summary.failed
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def tokens(library: Library) -> dict[str, str]:
    with library.database.write() as connection:
        return {role.value: Keys(connection).create(role)[1] for role in Role}


@contextmanager
def serving(library: Library, *, token: str | None = None, **settings: Any) -> Iterator[TestClient]:
    """A server that others reach, asked by whoever has this key."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    app = create_app(library, device="cpu", hosts=None, is_local=False, settings=ServerSettings(**settings))
    with TestClient(app, base_url="http://archive.example", headers=headers) as client:
        yield client


def wait_for_job(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = client.get(f"/v1/jobs/{job['id']}").json()
        if found["status"] in ("done", "failed"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {found}")


def video_of(library: Library, name: str) -> Any:
    with library.read() as catalog:
        return next(video for video in catalog.list_videos(limit=50) if video.path.endswith(name))


# --- roots -----------------------------------------------------------------------------------------


def test_without_roots_others_index_nothing(library: Library, tokens: dict[str, str], archive: Path) -> None:
    with serving(library, token=tokens["admin"]) as client:
        for path in (str(archive), "/etc", "/", "../../etc/passwd"):
            refused = client.post("/v1/ingest", json={"paths": [path]})
            expected = 403 if path.startswith("/") else 422  # only whole paths are taken at all
            assert refused.status_code == expected, refused.text
            assert expected != 403 or "--root" in refused.json()["detail"]


def test_only_what_lies_below_the_roots_is_indexed(
    tmp_path: Path, archive: Path, outside: Path, offline_encoder: Any
) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    shutil.copy(archive / "plain.mp4", root / "inner" / "own.mp4")
    (root / "linked.mp4").symlink_to(outside / "secret.mp4")
    (root / "linked folder").symlink_to(outside)
    (tmp_path / "door").symlink_to(root)  # a root may be named by a link
    (tmp_path / "root two").mkdir()  # begins like a root, and is none
    shutil.copy(outside / "secret.mp4", tmp_path / "root two" / "secret.mp4")
    opened = Library(tmp_path / "library", device="cpu", create=True)
    with opened.database.write() as connection:
        token = Keys(connection).create(Role.write)[1]
    ingest(opened, [str(root / "inner")], IngestOptions(encoder="offline", device="cpu"))
    with serving(opened, token=token, roots=(str(tmp_path / "door"),)) as client:
        for path in (
            *(outside, tmp_path, tmp_path / "root two", "/etc/passwd", "/", root / ".." / "root two"),
            *(root / "linked.mp4", root / "linked folder", root / "inner" / ".." / ".." / "root two"),
        ):
            refused = client.post("/v1/ingest", json={"paths": [str(root / "inner"), str(path)]})
            assert refused.status_code == 403, path
            assert "secret" not in refused.text and str(outside) not in refused.text
        job = client.post("/v1/ingest", json={"paths": [str(root)]})
        assert job.status_code == 202
        done = wait_for_job(client, job.json())
        assert done["status"] == "done" and done["result"]["unchanged"] == 1
        reasons = {entry["path"]: entry["reason"] for entry in done["result"]["failed"]}
        assert set(reasons) == {str(root / "linked.mp4"), str(root / "linked folder")}
        assert all("outside the folders" in reason for reason in reasons.values())
        assert client.get("/v1/videos").json()["total"] == 1
    opened.close()


def test_a_catalogued_path_that_became_a_link_out_of_the_roots_is_refused(
    tmp_path: Path, outside: Path, archive: Path, offline_encoder: Any
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(archive / "plain.mp4", root / "own.mp4")
    opened = Library(tmp_path / "library", device="cpu", create=True)
    with opened.database.write() as connection:
        token = Keys(connection).create(Role.read)[1]
    ingest(opened, [str(root)], IngestOptions(encoder="offline", device="cpu"))
    video = video_of(opened, "own.mp4")
    addresses = (f"/v1/videos/{video.id}/file", f"/v1/frames/{video.id}?t=0.1&size=64")
    servers = ({"roots": (str(root),)}, {"roots": ()})
    for settings in servers:
        with serving(opened, token=token, **settings) as client:
            assert [client.get(address).status_code for address in addresses] == [200, 200]
    (root / "own.mp4").unlink()
    (root / "own.mp4").symlink_to(outside / "secret.mp4")
    for settings in servers:
        with serving(opened, token=token, **settings) as client:
            for address in addresses:
                refused = client.get(address)
                assert refused.status_code == 404 and "link" in refused.json()["detail"]
                assert str(outside) not in refused.text
            key_frame = client.get(f"/v1/videos/{video.id}/key-frames").json()["key_frames"][0]
            assert client.get(key_frame["url"]).status_code == 200, "what was indexed is still there"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with serving(opened, token=token, roots=(str(elsewhere),)) as client:
        assert client.get(addresses[0]).status_code == 404, "catalogued, and not below a root"
    with pytest.raises(ReelseekError, match="no folder"):
        create_app(opened, is_local=False, settings=ServerSettings(roots=(str(root / "own.mp4"),)))
    opened.close()


def _frames_of(path: Path) -> list[np.ndarray]:
    with VideoDecoder(str(path)) as decoder:
        return [frame.rgb(720) for frame in decoder.frames()]


def _farness(jpeg: bytes, frames: list[np.ndarray]) -> float:
    """Mean difference in grey levels of a picture from the frame that is most like it."""
    shown = np.asarray(Image.open(io.BytesIO(jpeg)), np.float64)
    return min(float(np.abs(shown - frame).mean()) for frame in frames)


def test_a_link_that_flips_never_leads_out_of_the_roots(
    tmp_path: Path, outside: Path, archive: Path, offline_encoder: Any
) -> None:
    """What was checked is what is sent, whatever stands under the name a moment later."""
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(archive / "plain.mp4", root / "real.mp4")
    shutil.copy(archive / "plain.mp4", root / "own.mp4")
    opened = Library(tmp_path / "library", device="cpu", create=True)
    with opened.database.write() as connection:
        token = Keys(connection).create(Role.read)[1]
    ingest(opened, [str(root / "own.mp4")], IngestOptions(encoder="offline", device="cpu"))
    video = video_of(opened, "own.mp4")
    good, secret = (root / "real.mp4").read_bytes(), (outside / "secret.mp4").read_bytes()
    assert good != secret
    stopping = threading.Event()
    pauses = np.random.default_rng(0)

    def flip() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            link = root / f"link-{number % 2}"
            link.unlink(missing_ok=True)
            link.symlink_to(outside / "secret.mp4" if number % 2 else root / "real.mp4")
            os.replace(link, root / "own.mp4")
            time.sleep(pauses.random() * 0.01)

    with serving(opened, token=token, roots=(str(root),)) as client:
        flipping = threading.Thread(target=flip)
        flipping.start()
        try:
            answers = [client.get(f"/v1/videos/{video.id}/file") for _ in range(300)]
            frames = [client.get(f"/v1/frames/{video.id}", params={"t": n / 400}) for n in range(150)]
        finally:
            stopping.set()
            flipping.join()
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 404}, statuses
    assert all(answer.content == good for answer in answers if answer.status_code == 200)
    # The programs that decode are held to the roots by the kernel, where it can: the films differ throughout.
    if landlock_version():
        statuses = Counter(answer.status_code for answer in frames)
        assert statuses[200] and set(statuses) <= {200, 404, 422}, statuses
        own, foreign = _frames_of(archive / "plain.mp4"), _frames_of(outside / "secret.mp4")
        shown = [answer.content for answer in frames if answer.status_code == 200]
        assert all(_farness(jpeg, own) < 5 < _farness(jpeg, foreign) for jpeg in shown)
    opened.close()


def test_roots_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSEEK_ROOTS", f"/archive/a{os.pathsep}/archive/b")
    assert ServerSettings().roots == ("/archive/a", "/archive/b")


# --- traversal -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("/../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd"),
        *(
            "/page.js/../../settings.py",
            "/..%5c..%5cetc%5cpasswd",
            "//etc/passwd",
            "/%00",
            "/x%0d%0aX-Evil:1.css",
        ),
        *("/v1/videos/..%2f..%2fetc%2fpasswd/file", "/v1/videos/1%2f..%2f..%2fx/file", "/v1/frames/1%00?t=0"),
        *("/v1/videos/%2fetc%2fpasswd", "/v1/key-frames/..", "/v1/jobs/..%2f..%2f..%2fcatalog.sqlite3"),
        *("/v1/actions/..%2f..%2fcatalog.sqlite3", "/settings.py.css", "/catalog.sqlite3", "/audit.jsonl"),
    ],
)
def test_no_address_leads_to_a_file(library: Library, tokens: dict[str, str], address: str) -> None:
    with serving(library, token=tokens["admin"]) as client:
        answer = client.get(address)
        assert answer.status_code in (404, 422), answer.text
        assert "root:" not in answer.text and "SQLite format" not in answer.text
        assert "x-evil" not in answer.headers


# --- other files and hosts -------------------------------------------------------------------------


class Bait:
    """A server on this machine that notes who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        bait = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bait.asked.append(self.path)
                self.send_response(404)
                self.end_headers()

            do_POST = do_HEAD = do_OPTIONS = do_DESCRIBE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def bait() -> Iterator[Bait]:
    found = Bait()
    yield found
    found.server.shutdown()
    found.server.server_close()


def references(secret: Path, host: str) -> dict[str, bytes]:
    """Files that ask whoever reads them to open another one, or an address."""
    segment = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    found = {}
    for name, target in {
        "file": str(secret),
        "url": f"http://{host}/hls.ts",
        "concat": f"concat:{secret}|{secret}",
        "subfile": f"subfile,,start,0,end,0,,:{secret}",
        "crypto": f"crypto+file:{secret}",
        "data": "data:video/mp4;base64,AAAA",
        "tcp": f"tcp://{host}",
        "async": f"async:file:{secret}",
    }.items():
        found[f"hls {name}.m3u8"] = segment.format(target).encode()
        found[f"hls {name} as.mp4"] = segment.format(target).encode()
        found[f"concat {name}.ffconcat"] = f"ffconcat version 1.0\nfile '{target}'\n".encode()
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="http://{host}/key"\n'
    found["hls key.m3u8"] = segment.format(str(secret)).replace("#EXTINF", key + "#EXTINF").encode()
    sdp = f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 {host.split(':')[0]}\r\nt=0 0\r\n"
    found["stream.sdp"] = (sdp + "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n").encode()
    found["redirect.rtsp"] = f"RTSPtext\r\nrtsp://{host}/x\r\n".encode()
    mpd = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        f'mediaPresentationDuration="PT9S"><BaseURL>http://{host}/</BaseURL><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>dash.mp4</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    found["dash.mpd"] = found["dash as.mp4"] = mpd.encode()
    found["list.asx"] = f'<asx version="3.0"><entry><ref href="http://{host}/x"/></entry></asx>'.encode()
    found["picture.svg"] = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink" width="9">'
        f'<image x:href="http://{host}/svg.png" width="9" height="9"/></svg>'
    ).encode()
    found["movie %03d.png"] = b"\x89PNG\r\n\x1a\n" + bytes(100)
    found["reference.mov"] = reference_movie(f"http://{host}/mov.mp4")
    found["data reference.mov"] = data_reference(secret)
    return found


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def reference_movie(url: str) -> bytes:
    """A QuickTime movie that says "the movie is over there"."""
    target = url.encode() + b"\0"
    rdrf = box(b"rdrf", bytes(4) + b"url " + len(target).to_bytes(4, "big") + target)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", rdrf)))


def data_reference(secret: Path) -> bytes:
    """A film whose samples lie "in another file": every `url ` that says "in this one" is turned."""
    content = secret.read_bytes()
    own = box(b"url ", b"\0\0\0\1")
    assert own in content
    target = f"file://{secret}".encode() + b"\0"
    # Of the same length, so that nothing else moves: the flag is cleared, the name starts in what follows.
    return content.replace(own, box(b"url ", b"\0\0\0\0")).replace(b"isom", b"qt  ", 1) + target


def test_a_file_that_points_elsewhere_gets_nothing(tmp_path: Path, outside: Path, bait: Bait) -> None:
    secret = outside / "secret.mp4"
    (tmp_path / "movie 001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name, content in references(secret, bait.host).items():
        path = tmp_path / name
        path.write_bytes(content)
        if name == "data reference.mov":
            continue  # the samples are in it after all, and FFmpeg reads those: see below
        for read in (VideoDecoder, decode_picture):
            with pytest.raises(DecodeError):
                read(str(path))
    assert bait.asked == []


def test_samples_in_another_file_are_not_fetched(tmp_path: Path, outside: Path) -> None:
    """A film without samples, whose data reference names a file that has them."""
    content = data_reference(outside / "secret.mp4")
    start = content.index(b"mdat") + 4
    size = int.from_bytes(content[start - 8 : start - 4], "big")
    emptied = content[:start] + bytes(size - 8) + content[start + size - 8 :]
    path = tmp_path / "emptied.mov"
    path.write_bytes(emptied)
    with pytest.raises(DecodeError):
        VideoDecoder(str(path))


def test_uploads_and_ingest_do_not_follow_them_either(
    tmp_path: Path, outside: Path, bait: Bait, library: Library
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    chosen = (
        "hls url as.mp4",
        "hls file.m3u8",
        "concat file.ffconcat",
        "stream.sdp",
        "dash.mpd",
        "picture.svg",
    )
    made = references(outside / "secret.mp4", bait.host)
    for name in chosen:
        (archive / name).write_bytes(made[name])
    before = video_total(library)
    summary = ingest(library, [str(archive)], IngestOptions(device="cpu"))
    assert summary.indexed == 0 and len(summary.failed) + summary.ignored == len(chosen)
    with TestClient(create_app(library, device="cpu"), base_url="http://localhost") as client:
        for name in chosen:
            answer = client.post("/v1/search/example", files={"file": (name, made[name])})
            assert answer.status_code in (415, 422), answer.text
    assert bait.asked == [] and video_total(library) == before


def video_total(library: Library) -> int:
    with library.read() as catalog:
        return catalog.count_videos("indexed")


# --- headers and logs ------------------------------------------------------------------------------


def test_names_and_words_do_not_become_headers(library: Library, tokens: dict[str, str]) -> None:
    video = video_of(library, "ünï.mp4")
    assert "\r\n" in video.path
    with serving(library, token=tokens["admin"]) as client:
        answer = client.get(f"/v1/videos/{video.id}/file")
        assert answer.status_code == 200 and "x-evil" not in answer.headers
        disposition = answer.headers["content-disposition"]
        assert "\r" not in disposition and "\n" not in disposition
        for sent in ("good-1.2_3", "x" * 65, "a b", "a\tb", 'a"b', "ü"):
            found = client.get("/healthz", headers={"X-Request-ID": sent.encode()}).headers["x-request-id"]
            assert (found == sent) is (sent == "good-1.2_3")
        words = "wave\r\nX-Evil: 1"
        answer = client.get("/v1/segments/export", params={"action": words, "format": "csv"})
        assert "x-evil" not in answer.headers


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a server writes at info level."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonLines())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    others = {name: logging.getLogger(name).level for name in ("httpx", "httpx2", "httpcore")}
    for name in others:  # the client's own
        logging.getLogger(name).setLevel(logging.WARNING)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)
    for name, before in others.items():
        logging.getLogger(name).setLevel(before)


def attack(client: TestClient, video_id: int) -> None:
    client.post("/v1/search", json={"query": [{"text": SECRET_WORDS}]})
    client.get("/v1/segments", params={"action": SECRET_WORDS})
    client.get("/v1/clips", params={"path_prefix": "/archive/secret/"})
    client.get(f"/v1/videos/{video_id}/file")
    client.get('/v1/nothing%0a{"level":"info","message":"forged"}')
    client.get("/healthz", headers={"X-Request-ID": 'x\n{"message":"forged"}', "User-Agent": "forged\nline"})


def test_logs_hold_no_paths_or_words_and_cannot_be_forged(
    library: Library, tokens: dict[str, str], log: io.StringIO
) -> None:
    video = video_of(library, "plain.mp4")
    with serving(library, token=tokens["read"]) as client:
        attack(client, video.id)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert len(requests) == 6 and "forged" not in {line["message"] for line in lines}
    for line in requests:
        assert {"request_id", "method", "route", "status", "milliseconds"} <= set(line)
        assert "path" not in line and "query" not in line
    assert "/v1/videos/{video_id}/file" in {line["route"] for line in requests}
    key_id = tokens["read"].split("_")[1]
    assert requests[0]["key"] == key_id and tokens["read"] not in log.getvalue()
    for word in ("private", "secret", "plain.mp4", "forged"):
        assert word not in log.getvalue()


def test_logs_hold_paths_where_they_are_asked_for(
    library: Library, tokens: dict[str, str], log: io.StringIO
) -> None:
    with serving(library, token=tokens["read"], log_paths=True) as client:
        attack(client, 1)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert any(line.get("path") == "/v1/clips" and "secret" in line["query"] for line in lines)
    assert "forged" not in {line["message"] for line in lines}, "still one line a request"
    assert len([line for line in lines if line["message"] == "request"]) == 6


def test_the_audit_log_says_who_changed_what(library: Library, tokens: dict[str, str], archive: Path) -> None:
    AuditLog(library.folder).path.unlink(missing_ok=True)
    with serving(library, token=tokens["admin"], roots=(str(archive),)) as client:
        client.post("/v1/search", json={"query": [{"text": SECRET_WORDS}]})
        client.get("/v1/videos")
        job = client.post("/v1/ingest", json={"paths": [str(archive)]}, headers={"X-Request-ID": "r1"}).json()
        wait_for_job(client, job)
        client.delete("/v1/videos/999", headers={"X-Request-ID": "r2"})
        client.delete("/v1/videos/999", headers={"Authorization": "Bearer wrong"})
        client.delete("/v1/videos/999", headers={"Authorization": f"Bearer {tokens['read']}"})
    text = AuditLog(library.folder).path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    key_id = tokens["admin"].split("_")[1]
    assert [(line["what"], line["by"], line["status"]) for line in lines] == [
        ("POST /v1/ingest", key_id, 202),
        ("DELETE /v1/videos/{video_id}", key_id, 404),
        ("DELETE /v1/videos/{video_id}", "nobody", 401),
        ("DELETE /v1/videos/{video_id}", tokens["read"].split("_")[1], 403),
    ]
    assert (
        lines[0]["request_id"] == "r1"
        and lines[0]["job"] == job["id"]
        and lines[1]["of"] == {"video_id": "999"}
    )
    assert "private" not in text and tokens["admin"] not in text


def test_an_audit_log_that_cannot_be_written_goes_to_the_log(tmp_path: Path, caplog: Any) -> None:
    AuditLog(tmp_path / "gone").write("DELETE /v1/videos/{video_id}", by="me", status=200)
    assert "DELETE /v1/videos/{video_id}" in caplog.text
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "other")
    AuditLog(tmp_path).write("x", by="me")
    assert not (tmp_path / "other").exists(), "a link is not followed"


# --- other sites -----------------------------------------------------------------------------------


def test_other_sites_get_nothing(library: Library, tokens: dict[str, str]) -> None:
    with serving(library, token=tokens["read"]) as client:
        origin = {"Origin": "https://evil.example"}
        preflight = {**origin, "Access-Control-Request-Method": "POST"}
        answers = [
            client.options("/v1/search", headers=preflight),
            client.get("/v1/videos", headers=origin),
            client.post("/v1/search", json={"query": [{"text": "x"}]}, headers=origin),
            client.get("/", headers=origin),
        ]
        for answer in answers:
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answers[0].status_code in (403, 405) and answers[2].status_code == 403


@pytest.mark.parametrize("address", ["/", "/login", "/page.js", "/v1/videos", "/nothing", "/v1/videos/x"])
def test_every_answer_carries_what_keeps_browsers_careful(
    library: Library, tokens: dict[str, str], address: str
) -> None:
    with serving(library, token=tokens["read"]) as client:
        headers = client.get(address).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'" and policy["object-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'" and policy["base-uri"] == "'none'"
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer" and headers["x-request-id"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


# --- limits ----------------------------------------------------------------------------------------


def test_token_buckets_by_arithmetic() -> None:
    now = [0.0]
    buckets = TokenBuckets(2.0, 3, lambda: now[0])
    assert [buckets.take("a") for _ in range(5)] == [None, None, None, 1, 1]
    assert buckets.take("b") is None, "another client has its own"
    now[0] = 0.5  # one token came back
    assert [buckets.take("a"), buckets.take("a")] == [None, 1]
    now[0] = 100.0  # never more than the burst
    assert [buckets.take("a") for _ in range(4)] == [None, None, None, 1]
    slow = TokenBuckets(0.1, 1, lambda: now[0])
    assert [slow.take("a"), slow.take("a")] == [None, 10]
    assert [TokenBuckets(0, 1).take("a") for _ in range(9)] == [None] * 9
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._buckets) == 10_000


def test_concurrency_by_counting() -> None:
    limit = Concurrency(2, 3)
    assert limit.enter("a") is limit.enter("a") is None
    assert "2 requests of yours" in (limit.enter("a") or "")
    assert limit.enter("b") is None and "busy" in (limit.enter("c") or "")
    limit.leave("a")
    assert limit.enter("c") is None
    for client in ("a", "b", "c"):
        limit.leave(client)
    assert limit.count == 0 and limit._under_way == {}


def test_too_many_requests_are_told_when_to_come_back(library: Library, tokens: dict[str, str]) -> None:
    with serving(library, token=tokens["read"], rate_per_second=0.5, rate_burst=5) as client:
        answers = [client.get("/v1/videos") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert answers[-1].headers["retry-after"] == "2"
        assert answers[-1].headers["content-type"] == "application/problem+json"
        other = client.get("/v1/videos", headers={"Authorization": f"Bearer {tokens['write']}"})
        assert other.status_code == 200, "another key has its own bucket"


def test_too_many_requests_at_once_are_refused(library: Library, tokens: dict[str, str]) -> None:
    settings = ServerSettings(requests_at_once=2)
    app = create_app(library, device="cpu", hosts=None, is_local=False, settings=settings)
    statuses = asyncio.run(_at_once(app, {"Authorization": f"Bearer {tokens['read']}"}))
    assert statuses == [422, 422, 429, 200, 200]


async def _at_once(app: FastAPI, headers: dict[str, str]) -> list[int]:
    """Two requests that do not end, one beside them, one of another kind, one after them."""
    finish = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"query": '
        await finish.wait()
        yield b"[]}"

    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://archive.example", headers=headers) as client,
    ):
        json_headers = {"Content-Type": "application/json"}
        slow_ones = [
            asyncio.create_task(client.post("/v1/search", content=slow(), headers=json_headers))
            for _ in range(2)
        ]
        await asyncio.sleep(0.5)
        beside = await client.get("/v1/videos")
        probe = await client.get("/healthz")
        finish.set()
        ended = [(await one).status_code for one in slow_ones]
        after = await client.get("/v1/videos")
    assert int(beside.headers["retry-after"]) >= 1
    return [*ended, beside.status_code, probe.status_code, after.status_code]


def test_bodies_have_a_limit_announced_or_not(library: Library, tokens: dict[str, str]) -> None:
    with serving(library, token=tokens["read"], max_body_bytes=1000, max_upload_bytes=5000) as client:
        chunks = (b"x" * 100 for _ in range(20))
        kind = {"Content-Type": "application/json"}
        assert client.post("/v1/search", content=b"x" * 1001, headers=kind).status_code == 413
        assert client.post("/v1/search", content=chunks, headers=kind).status_code == 413
        assert client.post("/v1/session", content=b"x" * 1001, headers=kind).status_code == 413
        many = {"file": ("x.mp4", b"x" * 6000)}
        assert client.post("/v1/search/example", files=many).status_code == 413
        # A route that takes no body does not read one either.
        assert client.request("GET", "/v1/videos", content=b"x" * 900).status_code == 200


def test_pictures_that_are_fine_still_search(library: Library, tokens: dict[str, str]) -> None:
    made = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(made, "PNG")
    with serving(library, token=tokens["read"]) as client:
        answer = client.post("/v1/search/example", files={"file": ("x.png", made.getvalue())})
        assert answer.status_code == 200 and answer.json()["hits"]


# --- proxies and other users -----------------------------------------------------------------------


def proxied(library: Library, **changes: Any) -> TestClient:
    """A client that comes from this machine, as a proxy does, to a server on loopback that demands keys."""
    app = create_app(library, device="cpu", hosts=None, settings=ServerSettings(require_keys=True, **changes))
    return TestClient(app, base_url="http://video.example", client=("127.0.0.1", 50000))


def documented_headers(scheme: str, address: str) -> dict[str, str]:
    """What the nginx of docs/operations.md sends on, for a browser at an address."""
    text = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
    sent = dict(re.findall(r"proxy_set_header (\S+) (\S+);", text))
    values = {"$host": "video.example", "$remote_addr": address, "$scheme": scheme, "$request_id": "r" * 32}
    return {name: values[value] for name, value in sent.items()}


def last_audited(library: Library) -> Any:
    return json.loads(AuditLog(library.folder).path.read_text().splitlines()[-1])


def test_the_documented_proxy_and_unit_make_a_server_that_asks_for_keys(
    library: Library, tokens: dict[str, str]
) -> None:
    browser = {**documented_headers("https", "203.0.113.7"), "Origin": "https://video.example"}
    with proxied(library) as client:
        assert client.delete("/v1/videos/424242", headers=browser).status_code == 401
        wrong = client.post(
            "/v1/session", json={"key": tokens["admin"]}, headers={**browser, "Host": "127.0.0.1"}
        )
        assert wrong.status_code == 403, "what was asked for under another name is another site"
        answer = client.post("/v1/session", json={"key": tokens["admin"]}, headers=browser)
        assert answer.status_code == 200 and "Secure" in answer.headers["set-cookie"]
        cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        assert client.delete("/v1/videos/424242", headers={**browser, **cookie}).status_code == 404
    assert last_audited(library)["address"] == "203.0.113.7"
    text = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
    served = re.findall(r"indexer (serve .*)", text)
    assert served and all("--require-keys" in line and "--root" in line for line in served)


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("198.51.100.4", "198.51.100.4"),
        ("2001:DB8::4", "2001:db8::4"),
        ("1.2.3.4, 198.51.100.4", "198.51.100.4"),
        ("any words at all, 198.51.100.4", "198.51.100.4"),
        ("any words at all", "127.0.0.1"),
        ("fe80::1%any words", "127.0.0.1"),
        ("198.51.100.4, any words", "127.0.0.1"),
    ],
)
def test_what_is_no_address_is_not_believed(
    library: Library, tokens: dict[str, str], sent: str, address: str
) -> None:
    with proxied(library) as client:
        refused = client.delete("/v1/videos/424242", headers={"X-Forwarded-For": sent})
        assert refused.status_code == 401
    assert last_audited(library)["address"] == address
    assert "words" not in AuditLog(library.folder).path.read_text().splitlines()[-1]


def test_an_open_server_lets_nobody_in_by_way_of_a_proxy(library: Library) -> None:
    with TestClient(create_app(library), base_url="http://localhost") as client:
        for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP"):
            for address in ("/v1/videos", "/"):
                refused = client.get(address, headers={name: "for=203.0.113.7"})
                assert refused.status_code == 403 and "--require-keys" in refused.json()["detail"]
                assert refused.headers["x-content-type-options"] == "nosniff"
        assert client.get("/v1/videos").status_code == 200


def test_pages_of_others_have_nothing_made(library: Library) -> None:
    clip = {"start_seconds": 0, "end_seconds": 0.5}
    video = video_of(library, "plain.mp4").id
    cut, file = f"/v1/videos/{video}/cut", f"/v1/videos/{video}/file"
    image, link = {"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Mode": "navigate"}
    with TestClient(create_app(library), base_url="http://localhost") as client:
        for site in ("cross-site", "same-site"):
            foreign = {"Sec-Fetch-Site": site}
            for mode in ({}, image, link):
                for address in (cut, f"{cut}%0a", f"/v1/videos/{video}/preview"):
                    refused = client.get(address, params=clip, headers={**foreign, **mode})
                    assert refused.status_code == 403, (site, mode, address)
            assert client.get("/v1/clips/1/preview", headers={**foreign, **link}).status_code == 403
            assert client.get(f"/v1/frames/{video}?t=0", headers={**foreign, **image}).status_code == 403
            assert client.get(file, headers={**foreign, **link}).status_code == 200, (
                "somebody followed a link"
            )
            assert client.get("/", headers={**foreign, **link}).status_code == 200
        assert not (library.folder / "previews").exists()
        for own in ({"Sec-Fetch-Site": "same-origin", **image}, {"Sec-Fetch-Site": "none", **link}, {}):
            assert client.get(cut, params=clip, headers=own).status_code == 200
    assert (library.folder / "previews").stat().st_mode & 0o777 == 0o700


def test_pruning_takes_an_admin(library: Library, tokens: dict[str, str], archive: Path) -> None:
    asked = {"paths": [str(archive)], "prune": True}
    with serving(library, token=tokens["write"], roots=(str(archive),)) as client:
        before = client.get("/v1/jobs").json()["total"]
        refused = client.post("/v1/ingest", json=asked)
        assert refused.status_code == 403 and "role admin" in refused.json()["detail"]
        assert client.get("/v1/jobs").json()["total"] == before
        allowed = client.post(
            "/v1/ingest", json=asked, headers={"Authorization": f"Bearer {tokens['admin']}"}
        )
        assert allowed.status_code == 202
        assert wait_for_job(client, allowed.json())["result"]["pruned"] == 0


def test_a_job_is_held_to_the_roots_of_the_server_that_was_asked(
    tmp_path: Path, archive: Path, outside: Path, offline_encoder: Any
) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    shutil.copy(archive / "plain.mp4", root / "inner" / "own.mp4")
    (root / "link").symlink_to(outside)
    opened = Library(tmp_path / "library", device="cpu", create=True)
    ingest(opened, [str(root / "inner")], IngestOptions(encoder="offline", device="cpu"))
    with opened.database.write() as connection:
        token = Keys(connection).create(Role.write)[1]
    with (
        TestClient(create_app(opened, device="cpu"), base_url="http://localhost") as runner,
        serving(opened, token=token, roots=(str(root),)) as asked,
    ):
        time.sleep(0.2)  # the open one, which came first, runs the jobs
        job = asked.post("/v1/ingest", json={"paths": [str(root)]}).json()
        assert job["request"] == {"paths": [str(root)], "prune": False, "patience": 1.0}
        failed = wait_for_job(asked, job)["result"]["failed"]
        assert [entry["path"] for entry in failed] == [str(root / "link")]
        assert "outside the folders" in failed[0]["reason"]
        assert runner.get("/v1/videos").json()["total"] == 1
    with (
        serving(opened, token=token, roots=(str(root / "inner"),)) as runner,
        serving(opened, token=token, roots=(str(root),)) as asked,
    ):
        time.sleep(0.2)
        shutil.copy(outside / "secret.mp4", root / "beside.mp4")
        done = wait_for_job(asked, asked.post("/v1/ingest", json={"paths": [str(root)]}).json())
        assert [entry["path"] for entry in done["result"]["failed"]] == [str(root)], "to both"
        done = wait_for_job(asked, asked.post("/v1/ingest", json={"paths": [str(root / "inner")]}).json())
        assert done["result"]["unchanged"] == 1 and not done["result"]["failed"]
    opened.close()


def test_a_file_is_indexed_by_its_own_name(library: Library, tokens: dict[str, str], archive: Path) -> None:
    with serving(library, token=tokens["write"], roots=(str(archive),)) as client:
        for path in (f"/proc/self/root{archive}", f"/proc/../proc/1/root{archive}", f"/{archive}", "/proc"):
            refused = client.post("/v1/ingest", json={"paths": [path]})
            assert refused.status_code == 422, path
    assert video_total(library) == 2


def test_what_is_made_is_for_its_owner_alone_and_what_was_there_keeps_its_mode(
    tmp_path: Path, indexer: Any
) -> None:
    video = write_video(tmp_path / "video.mp4", moving(12), fps=12)
    made, shared, kept = (tmp_path / name for name in ("made", "shared", "kept"))
    before = os.umask(0)
    try:
        for folder in (shared, kept):
            folder.mkdir(mode=0o755)
        for library in (made, shared):
            done = indexer("ingest", video, "--encoder", "offline", "--device", "cpu", library=library)
            assert done.code == 0, done.err
        for folder in (tmp_path / "backup", kept):
            assert indexer("backup", folder, library=made).code == 0
        assert indexer("restore", tmp_path / "backup", library=tmp_path / "restored").code == 0
    finally:
        os.umask(before)

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    private = [made, made / "index", shared / "index", tmp_path / "backup", tmp_path / "restored"]
    assert {str(path): oct(mode(path)) for path in private} == {str(path): "0o700" for path in private}
    assert mode(shared) == mode(kept) == 0o755
    files = [
        *(library / name for library in (made, shared) for name in ("catalog.sqlite3", "ingest.lock")),
        *(made / "index" / "save.lock", tmp_path / "restored" / "catalog.sqlite3"),
        *(
            folder / name
            for folder in (tmp_path / "backup", kept)
            for name in ("catalog.sqlite3", "backup.json")
        ),
    ]
    assert {str(path): oct(mode(path)) for path in files} == {str(path): "0o600" for path in files}
    (made / "catalog.sqlite3").chmod(0o640)
    assert indexer("keys", "create", "--role", "read", library=made).code == 0
    assert mode(made / "catalog.sqlite3") == 0o640
