"""How much work a search and an ingest are: statements, reads of the catalog, frames, batches, bytes.

Seconds depend on the machine and on what else it does; these numbers do not, so that work that creeps in is
seen at once. BOUNDS are what was counted last: more fails, less is a reason to lower them. `pytest -rP` for
this file prints what is counted, as lines of BOUNDS.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from made_library import PICTURE, make_offline_library
from server import serve
from sqlalchemy import event
from video_factory import write_video

from encoders.embedding.encoder import Encoder
from encoders.embedding.offline import OfflineEncoder
from encoders.heads.head import ActionSpan
from encoders.types import FrameBatch, normalise
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.clips.sampling import sample_clips
from indexer.video.programs.worker import DecodeWorker
from indexer.video.reading.decode import VideoDecoder
from indexer.video.reading.tally import Tally
from indexer.video.types import SamplingOptions
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, EncodedClip, Filters, Query, TextPart

VIDEOS, CLIPS = 12, 20
# Statements and reads (transactions) of the catalog by one search that is not the first.
BOUNDS = {
    "text": (5, 1),
    "text again": (5, 1),
    "clip": (7, 2),
    "text, path": (5, 1),
    "text, duration": (5, 1),
    "text, date": (5, 1),
    "text, action": (7, 2),
    "text, caption": (5, 1),
    "clip, path": (7, 2),
    "clip, action": (9, 3),
}
INGEST_STATEMENTS, INGEST_READS = 33, 11  # of one short film
FILTERS = {
    "path": Filters(path_prefix="/archive/one/"),
    "duration": Filters(max_duration_seconds=1.5),
    "date": Filters(recorded_after=4.0),
    "action": Filters(action="fencing"),
    "caption": Filters(caption="walrus"),
}
FPS, SHOT_SECONDS, SHOTS = 25, 5, 4
SIDE = 240


@contextmanager
def counted(library: Library) -> Iterator[Counter[str]]:
    """Counts what is asked of a catalog: "statements", and "reads", the transactions that they are in."""
    count: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        count["reads" if statement.startswith("BEGIN") else "statements"] += 1

    event.listen(library.database.engine, "before_cursor_execute", note)
    try:
        yield count
    finally:
        event.remove(library.database.engine, "before_cursor_execute", note)


def made_clips(random: np.random.Generator) -> list[EncodedClip]:
    """Clips of 1 and of 2 s by turns, of features as the encoder `offline` has them: none below 0."""
    clips = []
    for number in range(CLIPS):
        features = normalise(np.abs(random.normal(size=(2, OfflineEncoder.dim))).astype(np.float32))
        start = 2.0 * number
        picture = PICTURE % int(random.integers(10**12))
        clips.append(
            EncodedClip(
                start,
                start + 1.0 + number % 2,
                normalise(features.mean(axis=0)),
                features.astype(np.float16),
                start + np.array([0.2, 0.8]),
                ((start + 0.2, picture), (start + 0.8, picture)),
            )
        )
    return clips


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, offline_encoder: Encoder) -> Iterator[Library]:
    """A library in which each of the filters lets some clips through."""
    made = make_offline_library(tmp_path_factory.mktemp("counted"), offline_encoder)
    random = np.random.default_rng(0)
    ids = []
    for number in range(VIDEOS):
        folder = ("one", "two", "three")[number % 3]
        with made.write() as catalog:
            staged = catalog.stage_video(f"/archive/{folder}/{number}.mp4", 1, number * 10**9)
            catalog.add_clips(staged, 0, made_clips(random))
            ids.append(catalog.publish_video(staged, digest=str(number), sampling=made.record().sampling))
    with made.write() as catalog:
        head = catalog.actions.add_head(
            kind="kinetics", name="kinetics:made", encoder_id=made.record().encoder_id,
            actions=["fencing", "juggling"], threshold=0.5, card={}, parameters=None, is_active=True,
        )  # fmt: skip
        for video_id in ids[::2]:
            catalog.actions.add_segments(video_id, head, [ActionSpan("fencing", 4.0, 12.0, 0.9)])
        frames = catalog.key_frames([clip.id for clip in catalog.clips_of_video(ids[3])])
        texts = {frame.id: "a walrus on a beach" for of in frames.values() for frame in of}
        catalog.captions.add(texts, "made")
    yield made
    made.close()


def asked(kind: str, words: str) -> tuple[Query, Filters | None]:
    """The query and the filters that a line of BOUNDS names."""
    what, _, by = kind.partition(", ")
    part = TextPart(words) if what.startswith("text") else ClipPart(7)
    return Query((part,)), FILTERS.get(by)


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_search_asks_the_catalog_no_more_than_it_did(library, kind):
    engine = SearchEngine(library)
    engine.search(*asked(kind, "a dog"))
    query, filters = asked(kind, "a dog" if kind == "text again" else "a lighthouse")
    with counted(library) as count:
        hits = engine.search(query, filters).hits
    assert hits, "nothing was found: nothing was counted"
    statements, reads = count["statements"], count["reads"]
    print(f'    "{kind}": ({statements}, {reads}),')
    most_statements, most_reads = BOUNDS[kind]
    assert statements <= most_statements and reads <= most_reads


def test_a_larger_library_asks_the_catalog_as_often(library, offline_encoder, tmp_path):
    """Twice the clips: the same statements, with and without filters."""

    def count_all(one: Library) -> dict[str, Counter[str]]:
        engine = SearchEngine(one)
        found = {}
        for kind in BOUNDS:
            engine.search(*asked(kind, "a dog"))
            with counted(one) as count:
                engine.search(*asked(kind, "a lighthouse"))
            found[kind] = count
        return found

    before = count_all(library)
    random = np.random.default_rng(1)
    for number in range(VIDEOS):
        with library.write() as catalog:
            staged = catalog.stage_video(f"/archive/one/more-{number}.mp4", 1, number * 10**9)
            catalog.add_clips(staged, 0, made_clips(random))
            catalog.publish_video(staged, digest=f"more {number}", sampling=library.record().sampling)
    assert count_all(library) == before


class CountingEncoder(OfflineEncoder):
    """The encoder, and how often it is called with how much."""

    def __init__(self) -> None:
        super().__init__(device="cpu")
        self.count: Counter[str] = Counter()

    def encode_frames(self, batch: FrameBatch) -> Any:
        self.count["batches"] += 1
        self.count["frames"] += len(batch)
        self.count["bytes"] += batch.frames.nbytes
        return super().encode_frames(batch)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds in shots of five, at 25 frames a second, 320x240."""
    random = np.random.default_rng(0)
    frames = []
    for _ in range(SHOTS):
        coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        still = np.repeat(np.repeat(coarse, SIDE // 6, axis=0), 40, axis=1)
        frames += [np.roll(still, number, axis=1) for number in range(FPS * SHOT_SECONDS)]
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", frames, fps=FPS, b_frames=2)


def test_an_ingest_decodes_and_encodes_each_frame_once(film, tmp_path, monkeypatch):
    encoder = CountingEncoder()
    library = make_offline_library(tmp_path / "library", encoder)
    decodes: list[str] = []
    decode = DecodeWorker.decode

    def counting_decode(worker: DecodeWorker, path: str, *rest: Any, **more: Any) -> Any:
        decodes.append(path)
        return decode(worker, path, *rest, **more)

    monkeypatch.setattr(DecodeWorker, "decode", counting_decode)
    with counted(library) as count:
        summary = ingest(library, [str(film)], IngestOptions(device="cpu"))
    options = SamplingOptions.from_json(library.record().sampling)
    library.close()
    assert (summary.indexed, summary.failed) == (1, [])
    print(dict(count), dict(encoder.count), f"{summary.clips} clips")
    seconds = SHOTS * SHOT_SECONDS
    # A shot of 5 s is a clip of 4 s and one of 1 s, or one of both.
    assert SHOTS <= summary.clips <= 2 * SHOTS
    assert decodes == [str(film)], "one pass for each file"
    assert encoder.count["batches"] <= summary.clips, "a batch holds a clip or more"
    assert encoder.count["frames"] <= options.fps * seconds + summary.clips
    # Pixels come at the encoder's size: of 4:3, with the long side rounded up to an even number.
    width = options.frame_size * 4 / 3 + 2
    assert encoder.count["bytes"] <= encoder.count["frames"] * 3 * options.frame_size * width
    assert count["statements"] <= INGEST_STATEMENTS and count["reads"] <= INGEST_READS


def test_an_ingest_of_nothing_new_decodes_nothing(film, tmp_path, monkeypatch):
    encoder = CountingEncoder()
    library = make_offline_library(tmp_path / "library", encoder)
    ingest(library, [str(film)], IngestOptions(device="cpu"))
    encoder.count.clear()
    decode: Callable[..., Any] = DecodeWorker.decode
    asked: list[str] = []
    monkeypatch.setattr(
        DecodeWorker, "decode", lambda worker, path, *rest: asked.append(path) or decode(worker, path, *rest)
    )
    summary = ingest(library, [str(film)], IngestOptions(device="cpu"))
    library.close()
    assert summary.unchanged == 1 and asked == [] and not encoder.count


def test_sampling_takes_each_frame_from_the_codec_once(film, monkeypatch):
    """All that the codec gives out, once: no seeking back, no second pass for shots or key frames."""
    taken: list[float] = []
    note = Tally.note_frame

    def counting_note(tally: Tally, start: float, end: float) -> None:
        taken.append(start)
        note(tally, start, end)

    monkeypatch.setattr(Tally, "note_frame", counting_note)
    with VideoDecoder(str(film), threads=1) as decoder:
        clips = list(sample_clips(decoder, SamplingOptions()))
    frames = FPS * SHOT_SECONDS * SHOTS
    print(f"{len(taken)} of {frames} frames, {len(clips)} clips")
    assert clips and len(taken) <= frames and len(set(taken)) == len(taken)


def test_no_answer_waits_for_an_acknowledgement(library):
    """A packet that waits for the one before it to be acknowledged waits 40 ms, on every system."""
    times = []
    with serve(library.folder) as address, httpx.Client(base_url=address, timeout=60) as client:
        for _ in range(60):
            started = time.monotonic()
            assert client.get("/healthz").status_code == 200
            times.append(time.monotonic() - started)
    # At first Linux acknowledges at once.
    assert min(times[30:]) < 0.02
