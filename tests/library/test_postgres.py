"""One library on PostgreSQL from end to end: what it answers is what the same library on SQLite answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from programs import run_indexer
from video_factory import shots, write_video

from api.app import create_app
from api.settings import ServerSettings
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.keeping.check import check
from indexer.video.types import SamplingOptions
from search.actions import finding, zero_shot
from search.actions.listing import list_actions
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, Filters, Query, SegmentQuery, TextPart


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for number in range(3):
        write_video(folder / f"{number}.mp4", shots([50, 75, 100])[0][number * 10 :], fps=25)
    return folder


def answers(library: Library, archive: Path, encoder: Any) -> dict[str, Any]:
    """Ingests, names actions, searches, removes and checks; everything that was answered on the way."""
    sampling = SamplingOptions().with_frame_size(encoder.frame_size)
    library.create(encoder, pooling="mean", sampling=sampling.to_json())
    summary = ingest(library, [str(archive)], IngestOptions())
    assert (summary.indexed, summary.failed) == (3, [])
    zero_shot.add_zero_shot(library, ["a landscape", "a person", "a machine"])
    engine = SearchEngine(library)
    found: dict[str, Any] = {}
    with library.read() as catalog:
        clip = catalog.list_clips(Filters(), limit=1)[0]
    queries = {
        "words": Query((TextPart("colours"),)),
        "clip": Query((ClipPart(clip.id), TextPart("sky", -0.5))),
    }
    for name, query in queries.items():
        for filters in (
            Filters(),
            Filters(path_prefix=str(archive / "1")),
            Filters(min_duration_seconds=3.0),
        ):
            result = engine.search(query, filters, limit=20)
            key = f"{name} {filters.path_prefix} {filters.min_duration_seconds}"
            found[key] = [
                (hit.path, hit.start_seconds, hit.end_seconds, round(hit.score, 5), hit.weak, hit.actions)
                for hit in result.hits
            ]
    segments = finding.find_segments(library, SegmentQuery(("landscape",)))
    with library.read() as catalog:
        listed = list(segments.segments(catalog))
    found["segments"] = [
        (segment.path, segment.start_seconds, segment.end_seconds, round(segment.confidence, 5))
        for segment in listed
    ]
    found["actions"] = [(row["action"], row["segments"]) for row in list_actions(library)["actions"]]
    app = create_app(library, device="cpu", settings=ServerSettings())
    with TestClient(app, base_url="http://localhost:8000") as client:
        answer = client.post("/v1/search", json={"query": [{"text": "colours"}], "limit": 2}).json()
        found["api"] = [(hit["path"], round(hit["score"], 5)) for hit in answer["hits"]]
        video = client.get("/v1/videos").json()["videos"][0]
        assert client.delete(f"/v1/videos/{video['id']}").status_code in (200, 204)
        after = client.post("/v1/search", json={"query": [{"text": "colours"}]}).json()
        assert video["path"] not in {hit["path"] for hit in after["hits"]}
        found["after"] = [(hit["path"], round(hit["score"], 5)) for hit in after["hits"]]
    report = check(library, digests=True)
    assert report.ok, report.as_json()
    return found


def test_both_engines_answer_alike(tmp_path, archive, offline_encoder, postgres_url):
    found = []
    for name, url in (("sqlite", None), ("postgresql", postgres_url)):
        library = Library(tmp_path / name, database_url=url, create=True, device="cpu")
        found.append(answers(library, archive, offline_encoder))
        library.close()
    assert found[0] == found[1]
    assert found[0]["words None None"] and found[0]["api"]


@pytest.mark.slow
def test_the_commands_on_postgresql(tmp_path, archive, new_postgres_url: Callable[[], str]):
    url = new_postgres_url().replace("postgresql+psycopg", "postgresql")
    environment = os.environ | {"REELSEEK_DATABASE_URL": url, "REELSEEK_LIBRARY": str(tmp_path / "library")}

    def indexer(*arguments: object, **more: str) -> subprocess.CompletedProcess:
        return run_indexer(*arguments, env=environment | more)

    done = indexer("ingest", archive, "--encoder", "offline", "--device", "cpu", "--actions", "zero-shot")
    assert done.returncode == 0, done.stderr
    hits = json.loads(indexer("search", "colours", "--json").stdout)["hits"]
    assert {Path(hit["path"]).parent for hit in hits} == {archive}
    assert json.loads(indexer("check", "--digests", "--json").stdout)["ok"]
    assert indexer("backup", tmp_path / "backup").returncode == 0
    assert indexer("remove", archive / "0.mp4").returncode == 0
    left = json.loads(indexer("search", "colours", "--json").stdout)["hits"]
    assert str(archive / "0.mp4") not in {hit["path"] for hit in left}
    refused = indexer("restore", tmp_path / "backup")
    assert refused.returncode == 1 and "--force" in refused.stderr
    assert indexer("restore", tmp_path / "backup", "--force").returncode == 0
    assert json.loads(indexer("search", "colours", "--json").stdout)["hits"] == hits
    elsewhere = {"REELSEEK_DATABASE_URL": "", "REELSEEK_LIBRARY": str(tmp_path / "b")}
    other = indexer("restore", tmp_path / "backup", **elsewhere)
    assert other.returncode == 0
    on_sqlite = indexer("search", "colours", "--json", **elsewhere)
    assert json.loads(on_sqlite.stdout)["hits"] == hits
    assert indexer("check", "--json").returncode == 0
