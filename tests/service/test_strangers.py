"""What somebody without a key might do to a server: fill its disk, stop it, keep others out. All is tried."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from made_library import add_video, make_library
from server import assert_problem, bearer, serve

from api.app import create_app
from api.guarding import access, guard, oidc
from api.settings import ServerSettings
from api.telemetry import logs
from api.work import jobs, summaries
from encoders.budget import check_budget
from encoders.errors import ReelseekError
from search.audit import AuditLog
from search.catalog.keys import Keys, Role
from search.library import Library

SECRET = "secret-words-here"
SENT_TO = "http://archive.example"


@pytest.fixture
def audit(library: Library) -> Iterator[AuditLog]:
    """The library's audit log, empty."""
    found = AuditLog(library.folder)
    found.path.unlink(missing_ok=True)
    yield found


def lines_of(audit: AuditLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit.path.read_text().splitlines()]


def served(library: Library, **settings: Any) -> FastAPI:
    """A server that others reach."""
    return create_app(library, hosts=None, is_local=False, settings=ServerSettings(**settings))


def stranger(library: Library, **settings: Any) -> TestClient:
    return TestClient(served(library, **settings), base_url=SENT_TO)


# --- the disk --------------------------------------------------------------------------------------


def test_a_stranger_does_not_fill_the_audit_log(
    library: Library, audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "REFUSALS_BURST", 20)
    monkeypatch.setattr(access, "REFUSALS_PER_SECOND", 2.0)
    with stranger(library, rate_per_second=0) as client:
        for method in ("POST", "PUT", "DELETE", f"{SECRET}-{'X' * 5000}"):
            assert client.request(method, f"/{SECRET}").status_code == 401
        assert not audit.path.exists(), "what is not there is not changed"
        for number in range(80):
            path = f"/v1/videos/{SECRET}" if number % 2 else "/v1/videos/17"
            assert client.delete(path).status_code == 401
        written = len(lines_of(audit))
        assert 20 <= written < 40
        time.sleep(0.6)
        client.delete("/v1/videos/18")
    last = lines_of(audit)[-1]
    assert last["left_out"] == 80 - written and last["of"] == {"video_id": "18"}
    assert SECRET not in audit.path.read_text().lower()


def test_strangers_have_a_rate_and_keys_another(library: Library, tokens: dict[str, str]) -> None:
    with stranger(library, rate_per_second=0.5, rate_burst=5) as client:
        statuses = [client.post("/v1/videos").status_code for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        assert client.get("/login").status_code == 429
        assert client.get("/healthz").status_code == 200
        for path in ("/v1/videos", "/login", "/v1/session"):
            known = client.get(path, headers=bearer(tokens["read"]))
            assert known.status_code == 200, "from the same address, as behind a proxy"


def test_half_an_address_of_ipv6_is_one_stranger(library: Library) -> None:
    app = served(library, rate_per_second=0.5, rate_burst=2)
    statuses = []
    with TestClient(app):
        for host in ("2001:db8::1", "2001:db8::2:3", "2001:db8::4", "2001:db8:0:1::1", "::ffff:7.7.7.7"):
            client = TestClient(app, base_url=SENT_TO, client=(host, 1))
            statuses.append(client.get("/v1/videos").status_code)
    assert statuses == [401, 401, 429, 401, 401]


# --- the event loop --------------------------------------------------------------------------------


def test_bodies_of_very_many_names_cost_little(library: Library, tokens: dict[str, str]) -> None:
    many = {str(number): 1 for number in range(95_000)}
    with stranger(library) as client:
        assert_problem(client.post("/v1/session", json=many), 413)
        known = bearer(tokens["write"])
        for path, body in (
            ("/v1/search", many),
            ("/v1/search", {"query": [{"text": "x"}], "filters": {"video_ids": ["x"] * 10_000}}),
            ("/v1/search", {"query": [many]}),
            ("/v1/actions", {"action": "x", "positives": [{"a": 1}] * 1000}),
            ("/v1/ingest", {"paths": [1] * 1000}),
        ):
            problem = assert_problem(client.post(path, json=body, headers=known), 422, "invalid-request")
            assert len(problem["errors"]) <= 20 and len(json.dumps(problem)) < 5000
        refused = client.get("/v1/videos", params=dict.fromkeys(map(str, range(5000)), "1"), headers=known)
        assert len(assert_problem(refused, 422)["errors"]) == 20


def test_an_answer_holds_only_so_much_of_what_was_sent(library: Library, tokens: dict[str, str]) -> None:
    with stranger(library) as client:
        client.headers.update(bearer(tokens["admin"]))
        for answer in (
            client.get(f"/v1/{'x' * 60_000}"),
            client.get(f"/v1/videos?{'x' * 60_000}=1"),
            client.request("X" * 60_000, "/v1/videos"),
            client.post("/v1/search", json={"query": [{"text": "x"}], "y" * 60_000: 1}),
        ):
            assert answer.status_code in (404, 405, 422) and len(answer.content) < 5000
        assert client.get("/v1/videos", headers={"X": "x" * 70_000}).status_code == 431


# --- keeping others out ----------------------------------------------------------------------------


def test_slow_bodies_have_an_end_and_keep_no_key_waiting(
    library: Library, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 1.5)
    monkeypatch.setattr(access, "STRANGERS_AT_ONCE", 4)
    app = served(library, requests_at_once=3, all_requests_at_once=3)
    statuses = asyncio.run(_beside_slow_ones(app, bearer(tokens["read"])))
    assert statuses["slow"] == [408, 408, 408, 429, 408, 429], "three of one address, four of all"
    assert statuses["/login"] == 429
    assert statuses["/healthz"] == statuses["/readyz"] == statuses["known"] == 200
    assert statuses["after"] == 200 and statuses["slow search"] == 408


async def _beside_slow_ones(app: FastAPI, known: dict[str, str]) -> dict[str, Any]:
    """What is answered while strangers of two addresses send bodies that do not end."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    kind = {"Content-Type": "application/json"}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        proxy, other = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app=app, client=(address, 1)), base_url=SENT_TO
                )
            )
            for address in ("10.0.0.1", "10.0.0.2")
        ]
        sent = []
        for client in (proxy, proxy, proxy, proxy, other, other):
            sent.append(asyncio.create_task(client.post("/v1/session", content=slow(), headers=kind)))
            await asyncio.sleep(0.05)
        found: dict[str, Any] = {}
        for path in ("/login", "/healthz", "/readyz"):
            answer = await proxy.get(path)
            while path == "/readyz" and answer.status_code == 503:  # it is starting
                await asyncio.sleep(0.05)
                answer = await proxy.get(path)
            found[path] = answer.status_code
        found["known"] = (await proxy.get("/v1/videos", headers=known)).status_code
        search = await proxy.post("/v1/search", content=slow(), headers={**kind, **known})
        found["slow search"] = search.status_code
        found["slow"] = [(await one).status_code for one in sent]
        found["after"] = (await proxy.get("/login")).status_code
    return found


def test_many_summaries_of_one_caller_keep_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make_library(tmp_path)
    add_video(library, "/v/long.mp4", count=3)
    with library.database.write() as connection:
        tokens = {role.value: Keys(connection).create(role)[1] for role in (Role.read, Role.write)}
    monkeypatch.setattr(Library, "encoder", lambda self: None)  # the made library's does not exist
    monkeypatch.setattr(Library, "sample", lambda self: None)
    at_once, most = 0, 0

    def slow(*_: object) -> None:
        nonlocal at_once, most
        at_once, most = at_once + 1, max(most, at_once + 1)
        for _ in range(100):
            time.sleep(0.02)
            check_budget()
        at_once -= 1

    monkeypatch.setattr(summaries, "summarize", slow)

    async def scene() -> float:
        app = served(library, rate_per_second=0)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app=app, client=("10.0.0.1", 1))
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=SENT_TO))
            asked = [
                asyncio.create_task(
                    client.get(f"/v1/videos/1/storyboard?max={n + 1}", headers=bearer(tokens["read"]))
                )
                for n in range(60)
            ]
            await asyncio.sleep(0.5)
            started = time.monotonic()
            assert (await client.get("/v1/videos", headers=bearer(tokens["write"]))).status_code == 200
            took = time.monotonic() - started
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            return took

    assert asyncio.run(scene()) < 1.5
    assert most == 1
    library.close()


def test_a_queue_of_jobs_has_an_end(
    library: Library, tokens: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_QUEUED", 3)
    monkeypatch.setattr(jobs.JobRunner, "start", lambda self: None)
    (tmp_path / "film.mp4").write_bytes(b"x")
    with stranger(library, roots=(str(tmp_path),)) as client:
        body = {"paths": [str(tmp_path / "film.mp4")]}
        answers = [client.post("/v1/ingest", json=body, headers=bearer(tokens["write"])) for _ in range(5)]
    assert [one.status_code for one in answers] == [202] * 3 + [429] * 2
    assert answers[-1].headers["Retry-After"] == "60" and "3 jobs are waiting" in answers[-1].json()["detail"]


def test_wrong_keys_are_slowed_down_where_the_page_asks_who_it_is(
    library: Library, tokens: dict[str, str]
) -> None:
    with stranger(library) as client:
        for sent in ({"Authorization": "Bearer wrong"}, {"Cookie": "reelseek_key=wrong"}):
            statuses = [client.get("/v1/session", headers=sent).status_code for _ in range(30)]
            assert statuses[-1] == 429
        assert client.get("/v1/session").json()["role"] is None, "without a key, nothing was guessed"
        assert client.get("/v1/session", headers={"Cookie": "other=1"}).status_code == 200
        assert client.get("/v1/session", headers=bearer(tokens["read"])).json()["role"] == "read"


# --- an issuer that is away ------------------------------------------------------------------------


class Broken(ThreadingHTTPServer):
    """An issuer that answers with an error, or hangs until it is released."""

    def __init__(self, *, hangs: bool) -> None:
        self.asked = 0
        self.release = threading.Event()
        broken = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                broken.asked += 1
                if hangs:
                    broken.release.wait(20)
                self.send_response(500)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def broken_issuer(*, hangs: bool) -> Iterator[Broken]:
    found = Broken(hangs=hangs)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        found.release.set()
        found.shutdown()
        found.server_close()


def made_up(number: int) -> str:
    return jwt.encode({"sub": "x"}, "a secret of thirty-two characters", headers={"kid": str(number)})


def test_an_issuer_that_hangs_keeps_no_key_waiting(library: Library, tokens: dict[str, str]) -> None:
    with (
        broken_issuer(hangs=True) as issuer,
        stranger(library, oidc_issuer=issuer.url, oidc_audience="reelseek") as client,
        ThreadPoolExecutor(8) as threads,
    ):
        strangers = [
            threads.submit(client.get, "/v1/videos", headers=bearer(made_up(number))) for number in range(8)
        ]
        deadline = time.monotonic() + 5
        while not issuer.asked and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        started = time.monotonic()
        assert client.get("/v1/videos", headers=bearer(tokens["read"])).status_code == 200
        assert time.monotonic() - started < 2 and not any(one.done() for one in strangers)
        issuer.release.set()
        assert [one.result(20).status_code for one in strangers] == [401] * 8
        assert issuer.asked == 1, "who waited does not ask again"


def test_an_issuer_that_fails_is_not_asked_by_every_token(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        broken_issuer(hangs=False) as issuer,
        stranger(library, oidc_issuer=issuer.url, oidc_audience="reelseek") as client,
    ):
        for number in range(15):
            assert client.get("/v1/videos", headers=bearer(made_up(number))).status_code == 401
        assert issuer.asked == 1
        monkeypatch.setattr(oidc, "REFETCH_SECONDS", 0.0)
        client.get("/v1/videos", headers=bearer(made_up(15)))
        assert issuer.asked == 2, "later on it is"


@pytest.mark.parametrize("issuer", ["notaurl", " ", "https://", "ftp://id.example"])
def test_an_issuer_that_is_no_address_is_refused(
    library: Library, monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    monkeypatch.setenv("REELSEEK_OIDC_ISSUER", issuer)
    monkeypatch.setenv("REELSEEK_OIDC_AUDIENCE", "reelseek")
    with pytest.raises(ReelseekError, match="REELSEEK_OIDC_ISSUER"):
        create_app(library, hosts=None, is_local=False)
    monkeypatch.setenv("REELSEEK_OIDC_ISSUER", "https://id.example")
    monkeypatch.setenv("REELSEEK_OIDC_AUDIENCE", " ")
    with pytest.raises(ReelseekError, match="REELSEEK_OIDC_AUDIENCE"):
        create_app(library, hosts=None, is_local=False)


# --- what is written down --------------------------------------------------------------------------


def test_whatever_refuses_a_change_it_is_in_the_audit_log(
    library: Library, tokens: dict[str, str], audit: AuditLog
) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonLines())
    requests = logging.getLogger("api.requests")
    level = requests.level
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
    try:
        with stranger(library) as client:
            client.delete("/v1/videos/1", headers={"Origin": "http://evil", **bearer(tokens["admin"])})
            client.delete("/v1/videos/2", headers=bearer(tokens["read"]))
            client.delete(f"/v1/keys/{tokens['read']}", headers=bearer(tokens["admin"]))
        with TestClient(create_app(library), base_url="http://localhost") as client:
            client.delete("/v1/videos/3", headers={"Host": "evil"})
    finally:
        requests.removeHandler(handler)
        requests.setLevel(level)
    admin, read = tokens["admin"].split("_")[1], tokens["read"].split("_")[1]
    assert [(line["status"], line["by"], line["of"]) for line in lines_of(audit)] == [
        (403, admin, {"video_id": "1"}),
        (403, read, {"video_id": "2"}),
        (422, admin, {"key_id": "?"}),
        (421, "local", {"video_id": "3"}),
    ]
    logged = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["key"] for line in logged] == [admin, read, admin, "local"]


# --- what is no request ----------------------------------------------------------------------------


def test_what_is_no_request_is_answered_with_care(tmp_path: Path) -> None:
    Library(tmp_path, create=True).close()
    heads = {
        "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "control characters": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        "no HTTP": b"hello\r\n\r\n",
    }
    with serve(tmp_path) as address:
        for name, head in heads.items():
            answer = sent_raw(address, head)
            assert answer.startswith(b"HTTP/1.1 400 "), name
            content = answer.partition(b"\r\n\r\n")[2]
            assert json.loads(content)["type"] == "urn:reelseek:problem:bad-request", name
            for header in (
                b"content-security-policy: default-src 'self'",
                b"x-content-type-options: nosniff",
            ):
                assert header in answer.lower(), name
        # Two requests in one, for a proxy that goes by the length and a server that goes by the chunks.
        smuggled = (
            b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        answer = sent_raw(address, smuggled)
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer.lower()
        long = b"GET /v1/" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = sent_raw(address, long)
        assert answer.split(b" ", 2)[1] in (b"400", b"431") and len(answer) < 5000


def test_slow_heads_have_an_end(tmp_path: Path) -> None:
    Library(tmp_path, create=True).close()
    with serve(tmp_path, "import api.server; api.server.HEAD_SECONDS = 1.0") as address:
        started = time.monotonic()
        # One that says nothing; one that sends a byte now and then; the same after a whole request.
        nothing, begun, again = (connected(address) for _ in range(3))
        assert_is_well(again)
        for piece in (b"GET /healthz HTTP/1.1\r\n", b"X", b"X"):  # bytes that come do not put the end off
            begun.sendall(piece)
            again.sendall(piece)
            time.sleep(0.3)
        answers = [read_all(connection) for connection in (nothing, begun, again)]
        assert time.monotonic() - started < 10
        assert answers[0] == b""
        for answer in answers[1:]:
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and b"within 1 s" in answer
        # A slow answer is no slow head, nor is a connection that waits for its next request.
        with connected(address) as kept:
            for pause in (0.0, 1.5):
                time.sleep(pause)
                assert_is_well(kept)


def connected(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def assert_is_well(connection: socket.socket) -> None:
    """Asks for the server's health on a connection that stays open."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b'{"status":"ok"}'):
        received = connection.recv(65_536)
        assert received, answer
        answer += received


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes a connection."""
    with connection:
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def sent_raw(address: str, head: bytes) -> bytes:
    connection = connected(address)
    connection.sendall(head)
    connection.shutdown(socket.SHUT_WR)
    return read_all(connection)


def test_no_answer_leads_to_another_host(library: Library, tokens: dict[str, str]) -> None:
    with stranger(library) as client:
        headers = {"Host": "evil.example", **bearer(tokens["admin"])}
        answer = client.get("/v1/videos/", headers=headers, follow_redirects=False)
        assert answer.status_code == 404 and "location" not in answer.headers
