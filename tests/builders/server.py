"""Servers in programs of their own, and the answers of servers: refusals, keys, jobs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.testclient import TestClient
from programs import ROOT

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI


def assert_problem(response: httpx.Response, status: int, kind: str | None = None) -> dict[str, Any]:
    """The problem details (RFC 9457) of a refusal, of a kind where one is given."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(problem)
    assert problem["status"] == status
    assert problem["instance"] == response.request.url.path
    assert "Traceback" not in response.text
    assert kind is None or problem["type"] == f"urn:reelseek:problem:{kind}"
    return problem


@contextmanager
def serve(folder: Path, before: str = "") -> Iterator[str]:
    """A server of this library in a program of its own, which runs a line `before`; and its address."""
    arguments = ["serve", "--port", "0", "--device", "cpu", "-L", str(folder)]
    code = f"{before}\nfrom indexer.commands.app import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            yield server.stderr.readline().strip().removeprefix("serving ")
        finally:
            server.terminate()


def bearer(token: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {token}"}


def wait_for_job(client: httpx.Client, job_id: str, seconds: float = 60) -> dict[str, Any]:
    """A job as it is when it has ended; asks for it until then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
        if job["status"] in ("done", "failed"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {job}")


@contextmanager
def asked(app: FastAPI) -> Iterator[TestClient]:
    """A client of an app in this program, who gets what browsers on this machine get, failures included."""
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as client:
        yield client
