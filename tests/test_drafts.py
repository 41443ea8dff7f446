"""Drafts: lessons that could not be checked, what would help them, and answers that are learned at once."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from excerpts import write_photograph_film
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

from api.app import create_app
from encoders.errors import HeadFileError
from encoders.heads.taught import TaughtHead
from encoders.words.concepts import Concepts, Generalisation
from indexer.examples.lessons import examples_from_clips
from indexer.ingest.pipeline import IngestOptions, ingest
from search.actions import teaching
from search.actions.suggestions import choose
from search.library import Library

ACTION = "zorp"  # a name that says nothing
PICTURES = {
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "rocket": "skimage/data/rocket.jpg",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "palace": "sklearn/datasets/images/china.jpg",
    "flower": "sklearn/datasets/images/flower.jpg",
}


def photograph(path: str) -> np.ndarray:
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    with Image.open(Path(spec.origin).parent / rest) as opened:
        return np.asarray(opened.convert("RGB"))


@dataclass(frozen=True)
class Archive:
    library: Library
    videos: dict[str, int]

    def clips(self, name: str) -> list[int]:
        with self.library.read() as catalog:
            return [clip.id for clip in catalog.clips_of_video(self.videos[name])]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """A film of each photograph, and a draft from the cat's alone."""
    (tmp_path / "films").mkdir()
    for name, path in PICTURES.items():
        write_photograph_film(photograph(path), tmp_path / "films" / f"{name}.mp4", seconds=6, fps=10)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    library = Library(tmp_path / "library", device="cpu", create=True)
    summary = ingest(
        library, [str(tmp_path / "films")], IngestOptions(encoder="offline", device="cpu", workers=1)
    )
    assert summary.indexed == len(PICTURES)
    with library.read() as catalog:
        videos = {Path(video.path).stem: video.id for video in catalog.list_videos()}
    made = Archive(library, videos)
    teaching.teach(library, ACTION, examples_from_clips(library, made.clips("cat"), is_positive=True))
    yield made
    library.close()
    torch.set_num_threads(threads)


@pytest.fixture
def client(archive: Archive) -> Iterator[TestClient]:
    app = create_app(archive.library, device="cpu")
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as client:
        yield client


def ended(client: TestClient, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = client.get(f"/v1/jobs/{job_id}").json()
        if job["status"] in ("done", "failed"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"the lesson did not end: {job}")


def test_one_scene_is_a_draft_that_is_named_so_and_painted_nowhere(
    archive: Archive, client: TestClient
) -> None:
    (row,) = client.get("/v1/actions").json()["actions"]
    assert (row["action"], row["head"]) == (ACTION, "draft")
    report = row["report"]
    assert report["is_draft"] and report["videos"] == 1 and "one video or scene" in report["reason"]
    found = client.get("/v1/segments", params={"action": ACTION}).json()
    assert {(Path(one["path"]).stem, one["head"]) for one in found["segments"]} == {("cat", "draft")}
    # Nobody asked for it here.
    cat = archive.videos["cat"]
    body = {"query": [{"clip_id": archive.clips("cat")[0]}], "limit": 20}
    hits = client.post("/v1/search", json=body).json()["hits"]
    assert any(hit["video_id"] == cat for hit in hits) and not any(hit["actions"] for hit in hits)
    assert client.get(f"/v1/videos/{cat}/timeline").json()["segments"] == []
    assert client.get(f"/v1/videos/{cat}/segments").json()["segments"] == []
    # And here it was.
    hits = client.post("/v1/search", json=body | {"filters": {"action": ACTION}}).json()["hits"]
    assert {tag["head"] for hit in hits for tag in hit["actions"]} == {"draft"}
    # No interval from one video says much, and none is a bare certainty.
    for name in ("precision", "recall"):
        if report[name] is not None:
            assert report[f"{name}_high"] - report[f"{name}_low"] > 0.7


def test_suggestions_are_clips_that_nobody_judged_each_of_another_film(
    archive: Archive, client: TestClient
) -> None:
    document = client.get(f"/v1/actions/{ACTION}/suggestions", params={"limit": 5}).json()
    rows = document["suggestions"]
    assert document["action"] == ACTION and len(rows) == 5
    assert {Path(row["path"]).stem for row in rows} == set(PICTURES) - {"cat"}
    assert all(client.get(row["key_frame_url"]).status_code == 200 for row in rows)
    answer = {"clip_id": rows[0]["clip_id"], "action": ACTION, "correct": False}
    job = ended(client, client.post("/v1/feedback", json=answer).json()["lesson"])
    assert job["status"] == "done" and job["result"]["report"]["negatives"] == 1
    again = client.get(f"/v1/actions/{ACTION}/suggestions", params={"limit": 100}).json()["suggestions"]
    assert rows[0]["clip_id"] not in {row["clip_id"] for row in again}
    assert client.get("/v1/actions/never heard of/suggestions").status_code == 404
    assert client.get(f"/v1/actions/{ACTION}/suggestions", params={"limit": 0}).status_code == 422


def test_a_rejection_is_learned_at_once_and_taken_back_is_as_before(
    archive: Archive, client: TestClient
) -> None:
    def segments() -> list[tuple[int, float, float]]:
        found = client.get("/v1/segments", params={"action": ACTION}).json()["segments"]
        return [(one["video_id"], one["start_seconds"], one["end_seconds"]) for one in found]

    before = segments()
    shown = archive.clips("coffee")[0]
    said = client.post("/v1/feedback", json={"clip_id": shown, "action": ACTION, "correct": True}).json()
    job = ended(client, said["lesson"])
    assert job["result"]["report"]["positives"] == len(archive.clips("cat")) + 1
    assert job["result"]["report"]["videos"] == 2
    back = client.delete(f"/v1/actions/{ACTION}/examples/{said['example_id']}").json()
    assert ended(client, back["lesson"])["status"] == "done"
    assert segments() == before


def test_what_gave_way_to_a_correction_comes_back_and_the_lesson_is_the_same(
    archive: Archive, client: TestClient
) -> None:
    """The clip was an example itself: rejected, confirmed, and both taken back."""

    def kept() -> Any:
        with archive.library.read() as catalog:
            (head,) = catalog.actions.heads()
            learned = catalog.actions.head_parameters(head.id)
        document = client.get(f"/v1/actions/{ACTION}").json()
        return document["examples"], document["threshold"], learned

    def said(*, correct: bool) -> dict[str, Any]:
        body = {"clip_id": archive.clips("cat")[0], "action": ACTION, "correct": correct}
        answer = client.post("/v1/feedback", json=body).json()
        assert ended(client, answer["lesson"])["status"] == "done"
        return answer

    def taken_back(answer: dict[str, Any]) -> None:
        back = client.delete(f"/v1/actions/{ACTION}/examples/{answer['example_id']}").json()
        assert ended(client, back["lesson"])["status"] == "done"

    given, as_taught = len(archive.clips("cat")), kept()
    rejected = said(correct=False)
    assert (rejected["positive"], rejected["negative"], rejected["removed"]) == (given - 1, 1, 1)
    as_rejected = kept()
    assert as_rejected[2] != as_taught[2]
    confirmed = said(correct=True)
    assert (confirmed["positive"], confirmed["negative"], confirmed["removed"]) == (given, 0, 1)
    taken_back(confirmed)
    assert kept() == as_rejected
    taken_back(rejected)
    assert kept() == as_taught


def test_the_commands_suggest_correct_and_undo(archive: Archive) -> None:
    from indexer.commands.app import make_app

    folder = str(archive.library.folder)

    def ran(*words: str) -> Any:
        return CliRunner().invoke(make_app(), ["actions", *words, "-L", folder])

    suggested = json.loads(ran("suggest", ACTION, "-k", "3", "--json").stdout)["suggestions"]
    assert len(suggested) == 3
    assert str(suggested[0]["clip_id"]) in ran("suggest", ACTION, "-k", "3").stdout
    rejected = json.loads(ran("reject", str(suggested[0]["clip_id"]), ACTION, "--json").stdout)
    assert rejected["negative"] == 1 and rejected["report"]["negatives"] == 1
    listed = ran("list").stdout
    assert "draft" in listed
    named = CliRunner().invoke(
        make_app(), ["search", "--action", ACTION, "a cat", "-L", folder], env={"COLUMNS": "200"}
    )
    assert re.search(rf"{ACTION} \d\.\d\d \(draft\)", named.stdout), named.stdout
    # No figure stands without its interval and what it is from.
    shown, report = ran("show", ACTION).stdout, rejected["report"]
    low, high = report["precision_low"], report["precision_high"]
    assert f"precision {report['precision']:.2f} (likely {low:.2f} to {high:.2f}), recall" in shown
    assert "precision:" not in shown and f"from {report['videos']} video" in shown
    undone = json.loads(ran("undo", ACTION, "--json").stdout)
    assert (undone["negative"], undone["report"]["negatives"]) == (0, 0)
    assert ran("undo", ACTION).exit_code != 0
    # An example that was given as the clip which is rejected comes back with it.
    given = len(archive.clips("cat"))
    rejected = json.loads(ran("reject", str(archive.clips("cat")[0]), ACTION, "--json").stdout)
    assert (rejected["positive"], rejected["negative"], rejected["removed"]) == (given - 1, 1, 1)
    assert CliRunner().invoke(make_app(), ["check", "-L", folder]).exit_code == 0
    undone = json.loads(ran("undo", ACTION, "--json").stdout)
    assert (undone["positive"], undone["negative"]) == (given, 0)
    assert (undone["report"]["positives"], undone["report"]["negatives"]) == (given, 0)
    assert ran("undo", ACTION).exit_code != 0


# --- what they rest on ---------------------------------------------------------------------------------


def test_the_smallest_set_that_holds_all_examples_and_no_other_counts_most() -> None:
    """Eight things; sets {0}, {0,1}, {0..3}, all. A feature's squares are the shares of things in it."""
    sets = np.zeros((4, 8), np.float32)
    for row, size in enumerate((1, 2, 4, 8)):
        sets[row, :size] = 1
    things = np.eye(8, dtype=np.float32)
    tracks = [things[[place]] for place in (0, 1, 2, 5)]
    learner = Generalisation(Concepts(sets), list(tracks), np.ones(4))
    shown, not_shown = np.array([1, 1, 1, 0], bool), np.array([0, 0, 0, 1], bool)
    weights = learner.learn(shown, not_shown, with_name=False)
    assert weights[3] > 0.8 > 0.2 > weights[4]  # 3 was never shown: it is of the same set
    # By hand: likelihood of an example (0.9 [in] + 0.1 size) / size, of what it is not 0.9 [out] + 0.1.
    sizes, inside = np.array([1, 2, 4, 8]) / 8, np.array([1, 2, 3, 3])
    worth = ((0.9 + 0.1 * sizes) / sizes) ** inside * 0.1 ** (3 - inside) * np.array([1, 1, 1, 0.1])
    np.testing.assert_allclose(weights[3], worth[2:].sum() / worth.sum(), rtol=1e-4)


def test_a_name_makes_its_set_likelier() -> None:
    sets = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.float32)
    features = [np.eye(4, dtype=np.float32)[[0]]]
    name = np.array([1, 1, 1, 1], np.float32) / 2
    learner = Generalisation(Concepts(sets), features, np.ones(1), name)
    one = np.array([True])
    assert learner.learn(one, ~one, with_name=True)[3] > learner.learn(one, ~one, with_name=False)[3]


def test_the_most_doubtful_comes_first_and_its_copy_last() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert choose(np.array([0.5, 0.49, 0.95]), vectors, 3) == [0, 2, 1]


def test_the_likeliest_takes_turns_with_the_most_doubtful() -> None:
    vectors = np.eye(6, dtype=np.float32)
    assert choose(np.array([0.02, 0.9, 0.5, 0.97, 0.4, 0.01]), vectors, 4) == [2, 3, 4, 1]


def test_a_head_by_kinds_is_the_same_after_its_file_and_one_without_is_written_as_before() -> None:
    weights, kinds = np.arange(24, dtype=np.float32), np.array([0.5, 4.0], np.float32)
    head = TaughtHead("wave", "made", weights, 0.5, 0.4, kinds, 1.5)
    again = TaughtHead.from_bytes(head.to_bytes())
    assert again.kinds is not None and again.kinds_gain == 1.5
    np.testing.assert_array_equal(again.kinds, kinds)
    plain = TaughtHead.from_bytes(TaughtHead("wave", "made", weights, 0.5, 0.4).to_bytes())
    assert plain.kinds is None and plain.kinds_gain == 0
    for wrong in (np.array([1.0], np.float32), np.array([-1.0, 1.0], np.float32)):
        with pytest.raises(HeadFileError, match="kinds"):
            TaughtHead.from_bytes(TaughtHead("wave", "made", weights, 0.5, 0.4, wrong, 1.0).to_bytes())
