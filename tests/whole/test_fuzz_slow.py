"""The long runs: every operation of the OpenAPI with made-up requests, and a thousand damaged real films."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from samples import footage
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
)
from video_factory import write_video

from api.app import create_app
from api.settings import ServerSettings
from indexer.ingest.pipeline import IngestOptions, ingest
from search.catalog.keys import Keys, Role
from search.library import Library
from search.query.engine import SearchEngine
from search.types import Query, TextPart

pytestmark = pytest.mark.slow

EXAMPLES = 40  # of each operation and kind of request
CHECKS = (
    response_schema_conformance,
    content_type_conformance,
    response_headers_conformance,
    unsupported_method,
)
FILES = 1000
LIMIT_SECONDS = 240.0
STALL_SECONDS = 10.0


def excerpt(name: str, seconds: float, skip: int = 0) -> list[Any]:
    """Real footage, small: every third frame of a sample clip."""
    with av.open(str(footage(name))) as opened:
        frames = []
        for number, frame in enumerate(opened.decode(video=0)):
            if number >= skip and number % 3 == 0:
                frames.append(frame.reformat(160, 120, "rgb24").to_ndarray())
            if len(frames) >= seconds * 10:
                break
    return frames


# --- the whole OpenAPI -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A server on this machine that asks for keys: its address, a key that may do everything, its folder."""
    archive = tmp_path_factory.mktemp("archive").resolve()
    write_video(archive / "bikes.mp4", excerpt("bikes.mp4", 2.0), fps=10)
    write_video(archive / "bunny.mkv", excerpt("bigbuckbunny.mp4", 2.0), fps=10)
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    assert ingest(opened, [str(archive)], IngestOptions(encoder="offline", device="cpu")).indexed == 2
    with opened.database.write() as connection:
        token = Keys(connection).create(Role.admin)[1]
    limits = ServerSettings(rate_per_second=0, requests_at_once=1000, roots=(str(archive),))
    app = create_app(opened, device="cpu", hosts=None, is_local=False, settings=limits)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, http="h11"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    while httpx.get(f"{address}/readyz").status_code == 503:
        time.sleep(0.1)
    yield address, token, archive
    server.should_exit = True
    thread.join(60)
    opened.close()


def test_no_request_makes_the_server_fail(served: tuple[str, str, Path]) -> None:
    """Made-up requests to every operation, valid and not; the server itself is asked, by sockets."""
    address, token, _ = served
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json", headers=headers)
    counted: collections.Counter[tuple[str, int]] = collections.Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            try_operation(operation, mode, headers, counted)
    statuses: collections.Counter[int] = collections.Counter()
    for (_, status), count in counted.items():
        statuses[status] += count
    dropped = statuses.pop(0, 0)
    assert dropped < 0.05 * sum(statuses.values())
    print(sum(counted.values()), "requests to", len({name for name, _ in counted}), "operations:", statuses)
    assert len({name for name, _ in counted}) > 15 and sum(counted.values()) > 800
    assert statuses[200] > 50 and statuses[422] > 50, "both kinds of requests were tried"
    assert httpx.get(f"{address}/readyz").status_code == 200


def try_operation(
    operation: Any, mode: Any, headers: dict[str, str], counted: collections.Counter[tuple[str, int]]
) -> None:
    """Sends some requests of one kind to one operation."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        try:
            answer = case.call(headers=headers, timeout=60)
        except requests.exceptions.RequestException:
            # A head of more than 64 KiB is refused and the connection closed, perhaps before it was sent.
            counted["dropped", 0] += 1
            return
        counted[operation.label, answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code < 500, (answer.status_code, answer.text)
        if answer.status_code >= 400:
            kinds = answer.headers["content-type"]
            if answer.text == "Invalid HTTP request received.":
                return  # too long a line, refused before the app sees it
            assert kinds == ["application/problem+json"], (operation.label, kinds, answer.text)

    with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be sent anything wrong
        ask()


# --- damaged films ---------------------------------------------------------------------------------


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A film that was damaged in one of the ways in which films are."""
    changed = bytearray(content)
    size = len(changed)
    kind = chance.randrange(7)
    if kind == 0:  # cut off
        return bytes(changed[: chance.randrange(1, size)])
    if kind == 1:  # a hole of zeros, as a download leaves it
        start = chance.randrange(size)
        length = chance.randrange(1, max(2, size // 4))
        changed[start : start + length] = bytes(len(changed[start : start + length]))
    elif kind == 2:  # single bits
        for _ in range(chance.choice((1, 5, 50))):
            changed[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif kind == 3:  # numbers in the header
        for _ in range(chance.choice((1, 3))):
            place = chance.randrange(min(size - 4, 2048))
            changed[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)))
    elif kind == 4:  # a piece twice
        start = chance.randrange(size)
        changed[start:start] = changed[start : start + chance.randrange(1, 4096)]
    elif kind == 5:  # a piece missing
        start = chance.randrange(size)
        del changed[start : start + chance.randrange(1, 4096)]
    else:  # pieces in the wrong order
        middle = chance.randrange(size)
        changed = changed[middle:] + changed[:middle]
    return bytes(changed)


def test_a_thousand_damaged_films_do_not_stop_an_ingest(tmp_path: Path) -> None:
    """Each is indexed or named with its reason, none holds up the run, and what is indexed can be found."""
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("mp4", {}),
        ("mp4", {"b_frames": 2, "sound_seconds": 0.8}),
        ("mkv", {"codec": "mpeg4"}),
        ("avi", {"codec": "mpeg4"}),
        ("ts", {}),
        ("mov", {"codec": "mpeg4"}),
        ("webm", {"codec": "libvpx"}),
        ("mkv", {"codec": "libx265"}),
    )
    clips = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
    films = []
    for number, (suffix, options) in enumerate(kinds):
        path = seeds / f"{number}.{suffix}"
        films.append(write_video(path, excerpt(clips[number % 3], 0.8, 9 * number), fps=10, **options))
    archive = tmp_path / "archive"
    archive.mkdir()
    chance = random.Random(int(os.environ.get("REELSEEK_FUZZ_SEED", "6")))
    for number in range(FILES):
        film = films[number % len(films)]
        (archive / f"{number:04}{film.suffix}").write_bytes(mutated(film.read_bytes(), chance))
    shutil.copy(films[0], archive / "whole.mp4")
    opened = Library(tmp_path / "library", device="cpu", create=True)
    ingest(opened, [str(films[0])], IngestOptions(encoder="offline", device="cpu"))
    started = time.monotonic()
    options = IngestOptions(device="cpu", workers=2, stall_seconds=STALL_SECONDS)
    summary = ingest(
        opened, [str(archive)], options, should_stop=lambda: time.monotonic() - started > LIMIT_SECONDS
    )
    assert not summary.stopped, f"more than {LIMIT_SECONDS:g} s"
    known = summary.indexed + summary.unchanged + summary.moved + summary.ignored + len(summary.failed)
    assert known == FILES + 1
    assert summary.indexed > FILES / 20 and len(summary.failed) > FILES / 10
    reasons = collections.Counter(reason.split(":")[0].split("(")[0][:50] for _, reason in summary.failed)
    assert all(reason for _, reason in summary.failed)
    hung = [path for path, reason in summary.failed if "no progress" in reason]
    crashed = [
        path for path, reason in summary.failed if "crashed" in reason or "ended unexpectedly" in reason
    ]
    print(f"{summary.wall_seconds:.0f} s, {summary.indexed} indexed, {len(summary.failed)} failed;", reasons)
    assert not hung and not crashed, (hung, crashed)
    with opened.read() as catalog:
        assert catalog.count_videos("staging") == 0
        assert catalog.count_videos("indexed") == summary.indexed + 1
        clip_count = catalog.count_clips()
    with opened.index() as index:
        assert len(index) == clip_count > 0
    found = SearchEngine(opened).search(Query((TextPart("a mountain bike"),)), limit=5)
    assert len(found.hits) == 5
    opened.close()
