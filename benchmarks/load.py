"""Many clients at once, while videos are taken in and deleted: is every answer right, and how soon?

    python -m benchmarks.load [--clients 50] [--minutes 5] [--videos 48] [--out FOLDER]
    python -m benchmarks.load --clients 8 --minutes 60 --think-seconds 4 --ingest-seconds 60   # a soak

Starts `indexer serve` in a program of its own over a library of short pieces of sample footage. Clients
on loopback mix searches by words, clips, pictures and footage, with and without filters, with frames, key
frames, previews, storyboards, lists and the page, while ingest jobs follow each other and a video is
deleted every few seconds. Every search is compared with an exact oracle (see `oracle.py`). Exit status 1:
a server error, a transport error, a wrong answer, or memory, open files or threads that grow.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.load_clients import Client, Example, Material, Record
from benchmarks.made_videos import Piece, sample_footage, write_copy, write_excerpt, write_pieces
from benchmarks.oracle import Oracle
from benchmarks.programs import Sampler, figures, load_of_machine, serving
from benchmarks.report import RESULTS, write_result
from indexer.examples.lessons import examples_from_clips
from indexer.examples.queries import read_example
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.keeping.check import check
from indexer.video.types import SamplingOptions
from search.actions.teaching import teach
from search.catalog.actions.spans import overlaps_enough
from search.library import Library
from search.query.engine import SearchEngine
from search.types import Clip, Query

TEXTS = (
    *("a bicycle", "people in the street", "a rabbit in a meadow", "a man in a car", "trees and grass"),
    *("a face", "somebody riding a bike", "a cartoon animal", "a window", "something red", "flowers"),
)
PLACES = ("", "by a river", "in winter", "at night", "in a town", "on a hill", "seen from above", "close by")
LOOKS = ("", "small", "in black and white", "in the sun", "old", "far away", "in a hurry", "standing still")
ACTION = "cycling"
CLIP_SECONDS = 1.0
EXCERPT_SECONDS = 1.5
BATCH = 6
WARM_SECONDS = 60.0
WINDOW_SECONDS = 30.0
# What may be added between the end of the first minute and the end of the run.
MEMORY_GROWTH = 0.10
MEMORY_ALLOWANCE_MIB = 32
COUNT_ALLOWANCE = 10


def make_library(folder: Path, archive: Path, videos: int) -> tuple[Library, list[Piece]]:
    """Pieces of the sample footage in two folders, indexed, with an action taught."""
    footage = sample_footage()
    pieces = write_pieces(footage, archive / "one", videos - videos // 3)
    for piece in write_pieces(footage, archive / "two", videos // 3, seed=1):
        path = piece.path.rename(piece.path.with_name(f"other-{piece.path.name}"))
        pieces.append(Piece(path, piece.source, piece.start_seconds, piece.end_seconds))
    library = Library(folder, device="cpu", create=True)
    sampling = SamplingOptions(clip_seconds=CLIP_SECONDS)
    summary = ingest(
        library, [str(archive)], IngestOptions(encoder="offline", device="cpu", workers=1, sampling=sampling)
    )
    if summary.failed:
        raise SystemExit(f"the sample footage could not be indexed: {summary.failed}")
    sources = {str(piece.path): piece.source for piece in pieces}
    shown: dict[bool, list[int]] = {True: [], False: []}
    with library.read() as catalog:
        for video in catalog.list_videos(limit=videos):
            first = catalog.clips_of_video(video.id)[0].id
            shown[sources[video.path] == "bikes.mp4"].append(first)
    examples = [
        one
        for positive, clip_ids in shown.items()
        for one in examples_from_clips(library, clip_ids[:12], is_positive=positive)
    ]
    teach(library, ACTION, examples)
    return library, pieces


def make_material(library: Library, pieces: list[Piece], archive: Path, work: Path) -> Material:
    """What the clients ask with, encoded here, beside the server."""
    encoder, record, engine = library.encoder(), library.record(), SearchEngine(library)
    footage = sample_footage()
    examples = []
    for number, piece in enumerate(pieces[:6]):
        path = work / f"excerpt-{number}.mp4"
        shown = write_excerpt(footage, path, piece, EXCERPT_SECONDS)
        picture = io.BytesIO()
        frames = footage[piece.source]
        at = round((piece.start_seconds + piece.end_seconds) / 2 * len(frames) / _seconds(frames))
        Image.fromarray(frames[at]).save(picture, "JPEG", quality=80)
        still = work / f"picture-{number}.jpg"
        still.write_bytes(picture.getvalue())
        for source, known in ((path, shown), (still, None)):
            part = read_example(str(source), record.sampling, encoder.frame_size)
            vectors = engine.encoder.encode(Query((part,))).vectors
            examples.append(Example(source.read_bytes(), source.name, vectors, known))
    # Words that many ask for, and words that hardly anybody has asked for before.
    rare = [f"{text} {look} {place}".strip() for text in TEXTS for look in LOOKS for place in PLACES]
    texts = list(dict.fromkeys([*TEXTS, *rare]))
    vectors = encoder.encode_text(texts).vectors
    things = {text: encoder.encode_things(text) for text in texts}
    folder = Path(str(resources.files("api") / "page"))
    oracle = Oracle(library)
    oracle.refresh()
    return Material(
        oracle,
        dict(zip(texts, vectors, strict=True)),
        list(TEXTS),
        examples,
        {piece.path.name: piece for piece in pieces},
        [f"{archive}/one/", f"{archive}/two/", f"{archive}/later/"],
        ACTION,
        _showing(library, oracle),
        [
            file.relative_to(folder).as_posix()
            for file in folder.rglob("*.*")
            if file.suffix in (".js", ".css")
        ],
        {text: rows for text, rows in things.items() if len(rows)},
    )


def _seconds(frames: list[Any]) -> float:
    return len(frames) / 12


def _showing(library: Library, oracle: Oracle) -> Callable[[Clip], bool | None]:
    """Whether a clip shows the action, by the segments that are there now; None for later videos."""
    ids = sorted({clip.video_id for clip in oracle.clips()})
    with library.read() as catalog:
        found = catalog.actions.segments_of_videos(ids)
    spans = {number: [one for one in found[number] if one.action == ACTION] for number in ids}
    if not any(spans.values()):
        raise SystemExit(f"the lesson found no {ACTION} in the sample footage")

    def shows(clip: Clip) -> bool | None:
        if clip.video_id not in spans:
            return None
        return any(overlaps_enough(clip.start_seconds, clip.end_seconds, one) for one in spans[clip.video_id])

    return shows


class Changes:
    """Takes videos in and deletes others, as long as the load lasts."""

    def __init__(self, client: Client, material: Material, record: Record, archive: Path) -> None:
        self._client = client
        self._of = material
        self._record = record
        self._archive = archive
        self._random = np.random.default_rng(0)
        self._target = len({clip.video_id for clip in material.oracle.clips()})
        self._sources = [piece.path for piece in material.pieces.values()]
        self.jobs, self.taken_in, self.deleted = 0, 0, 0

    async def take_in(self, until: float, pause_seconds: float) -> None:
        """One ingest job after the other, each of a folder of new files, with a pause between."""
        kind = "ingest"
        while time.monotonic() < until:
            folder = self._archive / "later" / str(self.jobs)
            await asyncio.to_thread(self._write_batch, folder)
            answer, _, _ = await self._client.request(
                kind, "POST", "/v1/ingest", json={"paths": [str(folder)]}
            )
            if answer is None:
                await asyncio.sleep(1)
                continue
            self.jobs += 1
            while await self._is_under_way(answer.json()["id"]):
                await asyncio.sleep(0.5)
            self.taken_in += BATCH
            await asyncio.sleep(pause_seconds)

    def _write_batch(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for number in range(BATCH):
            source = self._sources[int(self._random.integers(len(self._sources)))]
            target = folder / f"{self.jobs}-{number}-{source.name}"
            write_copy(source, target, self.jobs * BATCH + number)
            shown = self._of.pieces[source.name]
            self._of.pieces[target.name] = Piece(target, shown.source, shown.start_seconds, shown.end_seconds)

    async def _is_under_way(self, job_id: str) -> bool:
        answer, _, _ = await self._client.request("a job", "GET", "/v1/jobs?limit=100")
        if answer is None:
            return True
        found = [job for job in answer.json()["jobs"] if job["id"] == job_id]
        if not found:  # a job that is done goes with the videos that it names
            return False
        job = found[0]
        failed = job["status"] == "failed" or (job["result"] or {}).get("failed")
        if failed:
            self._record.fault("ingest", str(job)[:500])
        return job["status"] in ("queued", "running")

    async def delete(self, until: float, every_seconds: float) -> None:
        """A video every few seconds, and as many more as keep the library's size."""
        oracle = self._of.oracle
        while time.monotonic() < until:
            await asyncio.sleep(every_seconds)
            await asyncio.to_thread(oracle.refresh)
            there = sorted({clip.video_id for clip in oracle.clips()})
            count = max(1, len(there) - self._target) if len(there) > self._target // 2 else 0
            for video_id in self._random.choice(there, count, replace=False).tolist():
                await self._delete(video_id)

    async def _delete(self, video_id: int) -> None:
        self._of.oracle.asked_at[video_id] = time.monotonic()
        answer, _, received = await self._client.request("delete", "DELETE", f"/v1/videos/{video_id}")
        if answer is not None:
            self._of.oracle.acknowledged_at[video_id] = received
            self.deleted += 1

    async def look(self, until: float) -> None:
        """Keeps the oracle up to date."""
        while time.monotonic() < until:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(self._of.oracle.refresh)


async def run_clients(
    address: str, material: Material, record: Record, archive: Path, options: argparse.Namespace
) -> Changes:
    """Everything at once, for as long as it was asked for."""
    async with httpx.AsyncClient(base_url=address, trust_env=False, verify=False) as http:
        deadline = time.monotonic() + 120
        while True:
            with suppress(httpx.HTTPError):
                if (await http.get("/readyz")).status_code == 200:
                    break
            if time.monotonic() > deadline:
                raise SystemExit("the server did not become ready within two minutes")
            await asyncio.sleep(0.1)
    until = time.monotonic() + 60 * options.minutes
    clients = [Client(address, material, record, seed) for seed in range(options.clients)]
    changes = Changes(Client(address, material, record, -1 % 2**32), material, record, archive)
    await asyncio.gather(
        *(client.run(until, options.think_seconds) for client in clients),
        changes.take_in(until, options.ingest_seconds),
        changes.delete(until, options.delete_seconds),
        changes.look(until),
    )
    return changes


def latencies(record: Record) -> dict[str, dict[str, float]]:
    """By kind of request: how many, and how long they took."""
    return {
        kind: {
            "count": len(times),
            **{f"p{share}_ms": round(float(np.percentile(times, share)), 1) for share in (50, 95, 99)},
            "worst_ms": round(max(times), 1),
        }
        for kind, times in sorted(record.times_ms.items())
    }


def growth_faults(sampler: Sampler, seconds: float) -> list[str]:
    """What has grown between the end of the first minute and the end; nothing where that is one window."""
    if seconds < WARM_SECONDS + 2 * WINDOW_SECONDS:
        return []
    early = figures(sampler.between(WARM_SECONDS, WARM_SECONDS + WINDOW_SECONDS))
    late = figures(sampler.between(seconds - WINDOW_SECONDS, seconds))
    if early is None or late is None:
        return ["nothing was sampled"]
    faults = []
    for name in ("rss_mib", "tree_rss_mib"):
        if late[name] > early[name] * (1 + MEMORY_GROWTH) + MEMORY_ALLOWANCE_MIB:
            faults.append(f"memory grows: {name} was {early[name]} after a minute and is {late[name]}")
    for name in ("open_files", "threads"):
        if late[name] > early[name] + COUNT_ALLOWANCE:
            faults.append(f"{name} grow: {early[name]} after a minute, {late[name]} at the end")
    return faults


def measure(options: argparse.Namespace, work: Path) -> tuple[dict[str, Any], list[str]]:
    """The figures, and everything that must not be."""
    archive, log = work / "archive", work / "server.log"
    library, pieces = make_library(work / "library", archive, options.videos)
    material = make_material(library, pieces, archive, work)
    record = Record()
    machine_before = load_of_machine()
    with serving(library.folder, log) as (server, address):
        sampler = Sampler(server.pid)
        started, first_seconds = time.monotonic(), sampler.now()
        changes = asyncio.run(run_clients(address, material, record, archive, options))
        seconds, last_seconds = time.monotonic() - started, sampler.now()
        time.sleep(min(12.0, options.minutes * 12))  # idle threads and connections go by themselves
        idle = figures(sampler.between(sampler.now() - 2.0, np.inf))
        sampler.stop()
    faults = list(record.faults) + growth_faults(sampler, last_seconds)
    if "Traceback" in log.read_text():
        faults.append(f"the server wrote a traceback: {log.read_text()[-3000:]}")
    report = check(library)
    if not report.ok:
        faults.append(f"`indexer check` finds faults: {report}")
    library.close()
    if not changes.jobs or not changes.deleted:
        faults.append(f"{changes.jobs} ingests and {changes.deleted} deletes: the run was too short")
    count = sum(map(len, record.times_ms.values()))
    slope = sampler.slope_mib_per_minute(first_seconds + WARM_SECONDS)
    return {
        "clients": options.clients,
        "seconds": round(seconds, 1),
        "think_seconds": options.think_seconds,
        "load_of_machine": {"before": machine_before, "after": load_of_machine()},
        "videos_at_start": options.videos,
        "videos_taken_in": changes.taken_in,
        "videos_deleted": changes.deleted,
        "requests": count,
        "requests_per_second": round(count / seconds, 1),
        "statuses": dict(sorted(record.statuses.items())),
        "too_many_requests": record.too_many,
        "server_errors": record.server_errors,
        "transport_errors": record.transport_errors,
        "answers_checked": record.checked,
        "faults": record.fault_count,
        "latencies": latencies(record),
        "server": {
            "at_start": figures(sampler.samples[:1]),
            "after_first_minute": figures(sampler.between(WARM_SECONDS, WARM_SECONDS + WINDOW_SECONDS)),
            "at_end": figures(sampler.between(last_seconds - WINDOW_SECONDS, last_seconds)),
            "idle_afterwards": idle,
            "by_tenths_of_the_time": [
                figures(sampler.between(*(first_seconds + seconds * (tenth + end) / 10 for end in (0, 1))))
                for tenth in range(10)
            ],
            "most_rss_mib": round(max(one.tree_rss_bytes for one in sampler.samples) / 2**20, 1),
            "slope_mib_per_minute_after_first": None if slope is None else round(slope, 2),
        },
    }, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--videos", type=int, default=48, help="in the library at the start")
    parser.add_argument("--think-seconds", type=float, default=0.5, help="a client's pause, on average")
    parser.add_argument("--ingest-seconds", type=float, default=0.0, help="between ingest jobs")
    parser.add_argument("--delete-seconds", type=float, default=3.0, help="between deletes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where load.json is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelseek-load-") as work:
        found, faults = measure(options, Path(work))
    write_result("load", found, options.out)
    for fault in faults[:50]:
        print(f"WRONG: {fault}", file=sys.stderr)
    if faults or found["faults"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
