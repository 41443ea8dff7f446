"""The benchmarks at size: vectors are the encoder's, filters and right answers are right, and they run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import ROOT
from video_factory import moving

from benchmarks.growth_plot import draw
from benchmarks.large.archive import cases_of, clips_per_video, columns_of
from benchmarks.large.bank import Bank, look_at
from benchmarks.large.clips import DIM, mix
from benchmarks.large.filling import create, fill
from benchmarks.large.questions import Question, by_vector, make_texts
from benchmarks.large.truth import find_truth
from benchmarks.performance_page import filled, read_results
from encoders.embedding.encoder import Encoder
from encoders.embedding.offline import join_parts
from encoders.types import FrameBatch, normalise
from indexer.keeping.check import check
from search.actions.finding import find_allowed_clips, find_filtering
from search.library import Library
from search.query.encoding import EncodedQuery, QueryEncoder
from search.query.engine import SearchEngine
from search.types import Query, TextPart

CLIPS = 2500


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """float16 (N, D): both parts of a feature none below 0, as the encoder's are."""
    random = np.random.default_rng(0)
    visual, semantic = np.split(np.abs(random.normal(size=(CLIPS, DIM))).astype(np.float32), [1280], axis=1)
    semantic[:, -1] = 0  # "unknown", which nothing shows
    return join_parts(visual, semantic).astype(np.float16)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Iterator[Library]:
    made = Library(tmp_path_factory.mktemp("large"), create=True, device="cpu")
    create(made)
    fill(made, vectors, 0, clips_per_video(CLIPS))
    yield made
    made.close()


def test_a_crop_mixed_with_itself_is_what_the_encoder_makes_of_it(offline_encoder: Encoder) -> None:
    frame = moving(1, seed=3)[0]
    picture = np.asarray(Image.fromarray(frame).resize((224, 224), Image.Resampling.BICUBIC))
    activations, logits = look_at(iter([picture]))
    bank = Bank("one", activations.astype(np.float32), logits.astype(np.float32), np.zeros(1, bool))
    features = offline_encoder.encode_frames(FrameBatch(frame[None], np.zeros(1)))
    # The bank is kept in half precision.
    assert mix(bank, 3, (0, 0)) == pytest.approx(np.repeat(features, 3, axis=0), abs=1e-3)


def test_filters_let_through_what_the_archive_was_made_with(library: Library) -> None:
    shares = {}
    for case in cases_of(columns_of(CLIPS))[1:]:
        with library.view() as view:
            allowed = find_allowed_clips(view, case.filters, find_filtering(library, case.filters))
        assert allowed is not None
        assert (allowed - 1).tolist() == np.flatnonzero(case.passes).tolist(), case.name
        shares[case.name] = case.passes.mean()
    for name, share in shares.items():
        assert share == pytest.approx(float(name.split()[1].rstrip("%")) / 100, rel=0.5, abs=0.002), name


def test_a_filled_catalog_is_a_whole_one(library: Library) -> None:
    wrong = {one.name: one.wrong for one in check(library).findings if one.wrong}
    assert set(wrong) <= {"files there"}, "made videos have no files, and nothing else is wrong"


def test_an_exact_search_has_a_recall_of_one(library: Library, vectors: np.ndarray) -> None:
    random = np.random.default_rng(1)
    encoder, engine = QueryEncoder(library), SearchEngine(library)
    questions, queries = [], []
    for sort, text in make_texts(random, 5):
        encoded = encoder.encode(Query((TextPart(text),)))
        questions.append(Question("text", sort, encoded.vectors[0], encoded.asked, text))
        queries.append(encoded)
    vector = normalise(vectors[7].astype(np.float32) + vectors[8])
    questions.append(Question("picture", "picture", vector, by_vector(vector)))
    queries.append(EncodedQuery(vector[None], frozenset(), by_vector(vector), ()))
    cases = cases_of(columns_of(CLIPS))
    truth = find_truth(vectors, questions, [one.passes for one in cases], by_cosine=False)
    for number, query in enumerate(queries):
        for place, case in enumerate(cases):
            hits = engine.search(query, case.filters, limit=100).hits
            rows = [hit.clip_id - 1 for hit in hits]
            assert truth.recall(number, place, rows, 100) in (1.0, None), (questions[number].text, case.name)
            if len(rows) > 1:
                assert truth.recall(number, place, rows[1:], 100) < 1.0, "one is missing"
    # A clip is no answer to itself.
    own = Question(
        "clip", "clip", vectors[7].astype(np.float32), by_vector(vectors[7].astype(np.float32)), row=7
    )
    truth = find_truth(vectors, [own], [cases[0].passes], by_cosine=True)
    assert truth.recall(0, 0, [7], 10) == 0.1 and truth.best[0, 0, 0] < 0.999


def test_the_page_has_what_was_measured_and_nothing_else(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    empty = filled(page, read_results(tmp_path))
    assert "|--:|" not in empty and empty == filled(empty, read_results(tmp_path))
    spread = {"median": 0.2, "least": 0.1, "most": 0.3}
    sizes = {
        str(size): {
            "work": {"add": {"seconds": spread}},
            "build": {"seconds": 2.0},
            "index": "exact (cpu)",
            "index_mib": 9.0,
            "library_mib": 20.0,
        }
        for size in (1000, 10_000)
    }
    machine = {"processor": "P", "cores": 2, "memory_gib": 8.0, "load": [0.5]}
    result = {"commit": "c", "measured_at": "2030-01-01T00:00:00Z", "machine": machine, "material": "m"}
    (tmp_path / "growth.json").write_text(json.dumps({**result, "sizes": sizes}))
    written = filled(empty, read_results(tmp_path))
    assert "| 10,000 | 0.2 | 2 | 9 | 20 | exact (cpu) |" in written
    assert filled(written, read_results(tmp_path / "nothing")) == empty
    draw(sizes, ["add"], tmp_path / "growth.svg")
    assert (tmp_path / "growth.svg").read_text().count("<circle") == 2


@pytest.mark.slow
def test_all_of_it_runs(tmp_path: Path) -> None:
    """On frames of the sample footage, in small."""
    common = ("--folder", str(tmp_path / "kept"), "--out", str(tmp_path))
    search = (
        "--clips",
        "2000",
        "--questions",
        "10",
        "--filtered",
        "2",
        "--rounds",
        "1",
        "--peers",
        "hnswlib",
    )
    found = {}
    for name, *options in (
        ("bench_search", *search),
        ("bench_http", "--clips", "2000", "--rounds", "1", "--requests", "8"),
        ("growth", "--sizes", "1000,2000", "--rounds", "1", "--plot", str(tmp_path / "growth.svg")),
    ):
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, *common]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-4000:]
        kept = tmp_path / f"{name.removeprefix('bench_')}.json"
        found[name] = json.loads(kept.read_text())
    ours, floor = (found["bench_search"]["engines"][name] for name in ("ours", "faiss-flat"))
    assert all(
        value == 1.0 for kinds in floor["recall"].values() for value in kinds.values() if value == value
    )
    assert ours["times"]["text"]["p50_ms"]["median"] > 0
    assert found["bench_search"]["engines"]["hnswlib"].keys() & {"times", "left_out"}
    assert found["bench_http"]["clients"]["8"]["text"]["p50_ms"]["median"] > 0
    assert set(found["growth"]["sizes"]) == {"1000", "2000"}
