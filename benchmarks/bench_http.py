"""Searches over real HTTP on loopback, one client and eight, on the libraries of `bench_search`.

    python -m benchmarks.bench_http [--clips 20000] [--clients 1,8] [--photographs FOLDER]

`indexer serve` runs in a program of its own. Each client has a connection that it keeps, and asks again when
it has an answer: words that nobody has asked for yet, stored clips, and both under each filter. Numbers of
clients take turns; of each round the median and the 95th percentile are taken, and of these the median.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.large.archive import Case, cases_of, columns_of
from benchmarks.large.material import add_options, make_material
from benchmarks.large.questions import make_texts
from benchmarks.programs import serving
from benchmarks.report import RESULTS, spread, write_result

READY_SECONDS = 600  # the index may have to be made first
LIMIT = 10
SEED = 12
Body = dict[str, Any]


class Questions:
    """Bodies of requests, none of them twice."""

    def __init__(self, clips: int, cases: list[Case], words: int) -> None:
        self._random = np.random.default_rng(SEED)
        self._texts = iter([text for _, text in make_texts(self._random, words)])
        self._clips, self._cases = clips, cycle(cases[1:])

    def take(self, kind: str, count: int) -> list[Body]:
        """So many of "text", "clip", "text, filtered" and "clip, filtered"."""
        bodies = []
        for _ in range(count):
            if kind.startswith("text"):
                part: Body = {"text": next(self._texts)}
            else:
                part = {"clip_id": int(self._random.integers(self._clips)) + 1}
            body = {"query": [part], "limit": LIMIT}
            bodies.append(body | ({"filters": _filters(next(self._cases))} if "filtered" in kind else {}))
        return bodies


KINDS = ("text", "clip", "text, filtered", "clip, filtered")


def _filters(case: Case) -> Body:
    given = {name: getattr(case.filters, name) for name in case.filters.__slots__}
    if given["recorded_after"] is not None:
        given["recorded_after"] = datetime.fromtimestamp(given["recorded_after"], UTC).isoformat()
    return {name: value for name, value in given.items() if value is not None}


def ask(address: str, bodies: list[Body], clients: int) -> tuple[list[float], float]:
    """Milliseconds of each request, and seconds of all, by so many clients at once.

    Raises:
        RuntimeError: An answer is not 200, or finds nothing.
    """
    shares = [bodies[number::clients] for number in range(clients)]
    times: list[float] = []
    errors: list[str] = []
    start = threading.Barrier(clients + 1)

    def run(share: list[Body]) -> None:
        parts = urlsplit(address)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        connection.connect()
        start.wait()
        for body in share:
            started = time.perf_counter()
            payload, headers = json.dumps(body), {"Content-Type": "application/json"}
            connection.request("POST", "/v1/search", payload, headers)
            answer = connection.getresponse()
            content = answer.read()
            times.append(1000 * (time.perf_counter() - started))
            if answer.status != 200 or not (json.loads(content)["hits"] or "filters" in body):
                errors.append(f"{payload}: {answer.status} {content[:300]!r}")
                break
        connection.close()

    threads = [threading.Thread(target=run, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if errors:
        raise RuntimeError(errors[0])
    return times, time.perf_counter() - started


def _wait_until_ready(address: str) -> None:
    parts = urlsplit(address)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=READY_SECONDS)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == 200:
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server was not ready after {READY_SECONDS} s")


def _used_seconds(server: psutil.Process) -> float:
    times = [one.cpu_times() for one in (server, *server.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _rounds(options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """Clients and kind of each stretch of a run, numbers of clients in one order and then in the other."""
    for number in range(options.rounds):
        for kind in KINDS:
            for clients in options.clients[:: 1 if number % 2 else -1]:
                yield clients, kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--clients", type=lambda text: [int(one) for one in text.split(",")], default=[1, 8])
    parser.add_argument("--requests", type=int, default=48, help="of a kind in a round, by all clients")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="http", help="of the result's file")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where it is written")
    options = parser.parse_args()
    material = make_material(options, options.clips)
    words = 2 * options.rounds * len(options.clients) * options.requests + 4
    questions = Questions(options.clips, cases_of(columns_of(options.clips)), words)
    taken: dict[tuple[int, str], dict[str, list[float]]] = {}
    log = options.folder.absolute() / "server.log"
    with serving(material.library, log) as (program, address):
        _wait_until_ready(address)
        server = psutil.Process(program.pid)
        for kind in KINDS:  # what loads with the first question of a kind is measured elsewhere
            ask(address, questions.take(kind, 1), 1)
        for clients, kind in _rounds(options):
            bodies = questions.take(kind, options.requests)
            cpu_started = _used_seconds(server)
            times, seconds = ask(address, bodies, clients)
            kept = taken.setdefault((clients, kind), {})
            for key, value in (
                ("p50_ms", float(np.percentile(times, 50))),
                ("p95_ms", float(np.percentile(times, 95))),
                ("requests_per_second", len(times) / seconds),
                ("server_cpu_ms", 1000 * (_used_seconds(server) - cpu_started) / len(times)),
            ):
                kept.setdefault(key, []).append(value)
        memory = server.memory_full_info()
    write_result(
        options.name,
        {
            "clips": options.clips,
            "material": material.bank.name,
            "requests_of_a_round": options.requests,
            "rounds": options.rounds,
            "server_rss_mib": round(memory.rss / 2**20, 1),
            "server_own_mib": round(memory.uss / 2**20, 1),
            "clients": {
                str(clients): {
                    kind: {key: spread(each) for key, each in taken[clients, kind].items()} for kind in KINDS
                }
                for clients in options.clients
            },
        },
        options.out,
    )


if __name__ == "__main__":
    main()
