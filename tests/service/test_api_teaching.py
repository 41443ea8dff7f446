"""Teaching over HTTP: examples picked on the page, lessons in the background, what is kept of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from excerpts import mirrored, write_photograph_film
from fastapi.testclient import TestClient
from samples import PHOTOGRAPHS, photograph
from server import asked, assert_problem, wait_for_job

from api.app import create_app
from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library

ACTION = "looking at the cat"
FILM_SECONDS = 6.0
CATS = ("cat.mp4", "cat mirrored.mp4", "cat above.mp4")
OTHERS = {name: path for name, path in PHOTOGRAPHS.items() if name != "cat"}


@dataclass(frozen=True)
class Archive:
    """A library of films that each show one thing throughout."""

    library: Library
    videos: dict[str, int]

    def span(self, name: str, start: float, end: float) -> dict[str, Any]:
        return {"video_id": self.videos[name], "start_seconds": start, "end_seconds": end}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("archive")
    cat = photograph(PHOTOGRAPHS["cat"])
    pictures = dict(zip(CATS, (cat, mirrored(cat), cat[:-40]), strict=True))
    pictures |= {f"{name}.mp4": photograph(path) for name, path in OTHERS.items()}
    for name, picture in pictures.items():
        write_photograph_film(np.ascontiguousarray(picture), folder / name, seconds=FILM_SECONDS, fps=10)
    (folder / "broken.mp4").write_text("this is no video")
    library = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    summary = ingest(library, [str(folder)], IngestOptions(encoder="offline", device="cpu", workers=1))
    assert summary.indexed == len(pictures) and len(summary.failed) == 1
    with library.read() as catalog:
        videos = {Path(video.path).name: video.id for video in catalog.list_videos()}
    yield Archive(library, videos)
    library.close()


@pytest.fixture(scope="module")
def client(archive: Archive) -> Iterator[TestClient]:
    with asked(create_app(archive.library, device="cpu")) as client:
        yield client


def taught(client: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    """What a lesson ended with."""
    response = client.post("/v1/actions", json=body)
    assert response.status_code == 202, response.text
    assert response.json()["kind"] == "teach"
    assert response.headers["location"] == f"/v1/jobs/{response.json()['id']}"
    return wait_for_job(client, response.json()["id"])


def found(client: TestClient, action: str) -> list[dict[str, Any]]:
    response = client.get("/v1/segments", params={"action": action})
    assert response.status_code == 200, response.text
    return response.json()["segments"]


def test_two_spans_teach_a_draft(client: TestClient, archive: Archive) -> None:
    first, second = archive.span(CATS[0], 0.5, 4.0), archive.span(CATS[1], 1.0, 5.0)
    not_it = archive.span("rocket.mp4", 3.5, 4.5)
    problem = assert_problem(
        client.post("/v1/actions", json={"action": f" {ACTION.title()}", "negatives": [not_it]}), 409
    )
    assert problem["type"] == "urn:reelseek:problem:too-few-examples"
    assert (problem["action"], problem["needed"], problem["positive"]) == (ACTION, 1, 0)
    assert "1 more" in problem["detail"]
    untaught = client.get("/v1/actions").json()["untaught"]
    assert untaught == [{"action": ACTION, "positive": 0, "negative": 1}]
    client.delete(f"/v1/actions/{ACTION}")

    job = taught(client, {"action": ACTION, "positives": [first, second]})
    assert (job["status"], job["error"]) == ("done", None), job
    report = job["result"]["report"]
    # Two films of one photograph are one scene.
    assert report["is_draft"] and (report["positives"], report["videos"]) == (2, 1)
    assert "4 or more" in report["reason"]
    assert {one["head"] for one in found(client, ACTION)} == {"draft"}
    assert job["result"]["action"] == ACTION and job["request"] == {"action": ACTION}
    segments = found(client, ACTION)
    assert job["result"]["segments"] == len(segments) > 0
    # One of the films was never shown to the lesson, nor most of the others.
    assert {Path(one["path"]).name for one in segments} == set(CATS)
    seconds = sum(one["end_seconds"] - one["start_seconds"] for one in segments)
    assert 0.6 * FILM_SECONDS * len(CATS) < seconds <= FILM_SECONDS * len(CATS) + 0.1


def test_further_examples_and_corrections_join_a_lesson(client: TestClient, archive: Archive) -> None:
    clip = client.get("/v1/clips", params={"video_id": archive.videos[CATS[2]]}).json()["clips"][0]
    shown = client.get("/v1/clips", params={"video_id": archive.videos["coffee.mp4"]}).json()["clips"][0]
    said = {"clip_id": shown["clip_id"], "action": ACTION, "correct": False}
    assert client.post("/v1/feedback", json=said).json()["negative"] == 1
    not_it = archive.span("rocket.mp4", 1.0, 3.0)
    body = {"action": ACTION, "positives": [{"clip_id": clip["clip_id"]}], "negatives": [not_it]}
    assert taught(client, body)["status"] == "done"
    (row,) = client.get("/v1/actions").json()["actions"]
    assert row["examples"] == {"positive": 3, "negative": 2}
    assert taught(client, {"action": ACTION})["result"]["report"]["negatives"] == 2  # again, of what is kept
    # Without the earlier ones, corrections stay.
    spans = [archive.span(name, 0.5, 5.5) for name in CATS[:2]]
    assert taught(client, {"action": ACTION, "positives": spans, "keep": False})["status"] == "done"
    (row,) = client.get("/v1/actions").json()["actions"]
    assert row["examples"] == {"positive": 2, "negative": 1}


def test_what_cannot_be_told_apart_is_a_draft_and_nothing_else_to_tell_it_from_is_said(
    client: TestClient, archive: Archive
) -> None:
    names = [*CATS, *(f"{name}.mp4" for name in list(OTHERS)[1:])]  # which leaves one film to tell it from
    whole = [archive.span(name, 0, FILM_SECONDS) for name in names]
    job = taught(client, {"action": "anything at all", "positives": whole})
    assert job["status"] == "done" and job["result"]["report"]["is_draft"]
    assert {one["head"] for one in found(client, "anything at all")} <= {"draft"}
    rest = [archive.span(f"{next(iter(OTHERS))}.mp4", 0, FILM_SECONDS)]
    job = taught(client, {"action": "anything at all", "positives": rest})
    assert job["status"] == "failed" and job["result"] is None
    assert "to tell it from" in job["error"]
    (row,) = (
        one for one in client.get("/v1/actions").json()["actions"] if one["action"] == "anything at all"
    )
    assert row["examples"] == {"positive": len(names) + 1, "negative": 0}  # kept all the same
    client.delete("/v1/actions/anything at all")


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"action": ""}, 422, "action"),
        ({"action": "two\nlines"}, 422, "one line"),
        ({"action": "zero-shot"}, 422, "choose another"),
        ({"positives": [{"clip_id": 999_999}]}, 404, "no clip 999999"),
        ({"positives": [{}]}, 422, "clip_id"),
        ({"positives": [{"clip_id": 1, "video_id": 1}]}, 422, "clip_id"),
        ({"positives": [{"clip_id": 1, "start_seconds": 1}]}, 422, "clip_id"),
        ({"positives": [{"clip_id": 0}]}, 422, "clip_id"),
        ({"positives": [("cat.mp4", 2, 2)]}, 422, "must end after"),
        ({"positives": [("cat.mp4", 3, 2)]}, 422, "must end after"),
        ({"positives": [("cat.mp4", 6.5, 9)]}, 422, "from 0.000 to 6.000 s"),
        ({"positives": [("cat.mp4", -4, 0)]}, 422, "from 0.000 to 6.000 s"),
        ({"positives": [("broken.mp4", 0, 1)]}, 404, "nothing of video"),
        ({"negatives": [{"video_id": 9999, "start_seconds": 0, "end_seconds": 1}]}, 404, "no video 9999"),
        ({"positives": [("cat.mp4", 0, 2)], "negatives": [("cat.mp4", 0, 2)]}, 422, "what it is not"),
        ({"keep": "yes"}, 422, "keep"),
        ({"clips": [1]}, 422, "clips"),
    ],
)
def test_a_lesson_that_makes_no_sense_changes_nothing(
    client: TestClient, archive: Archive, changes: dict[str, Any], status: int, said: str
) -> None:
    before = client.get("/v1/actions").json(), client.get("/v1/jobs").json()["total"]
    body = {"action": "waving"} | {
        name: [archive.span(*one) if isinstance(one, tuple) else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in changes.items()
    }
    problem = assert_problem(client.post("/v1/actions", json=body), status)
    assert said in str(problem)
    assert (client.get("/v1/actions").json(), client.get("/v1/jobs").json()["total"]) == before


def test_every_number_of_examples_is_a_lesson_and_says_how_many_videos(
    client: TestClient, archive: Archive
) -> None:
    name, told = "sitting still", []
    for film, start, end in ((CATS[0], 0, 2.5), (CATS[0], 3, 5.5), ("coffee.mp4", 0, 1)):
        body = {"action": name, "positives": [archive.span(film, start, end)]}
        report = taught(client, body)["result"]["report"]
        told.append((report["positives"], report["videos"], report["is_draft"]))
    assert told == [(1, 1, True), (2, 1, True), (3, 2, True)]
    client.delete(f"/v1/actions/{name}")


def test_examples_are_shown_and_taken_back(client: TestClient, archive: Archive) -> None:
    name = "waving / beckoning"
    spans = [archive.span("coffee.mp4", 4.5, 5.0), archive.span("rocket.mp4", 0.5, 1.0)]
    for span, correct in zip(spans, (True, False), strict=True):
        answer = client.post("/v1/feedback", json={**span, "action": name, "correct": correct}).json()
        assert answer["lesson"] is None  # not taught yet
    document = client.get(f"/v1/actions/{name}").json()
    assert (document["action"], document["head"], document["report"], document["segments"]) == (
        *(name, None, None, 0),
    )
    assert [one["positive"] for one in document["examples"]] == [True, False]
    for one, span in zip(document["examples"], spans, strict=True):
        assert {key: one[key] for key in span} == span and one["origin"] == "feedback"
        # Of all key frames of the film, the one nearest to the span.
        frames = client.get(f"/v1/videos/{span['video_id']}/key-frames").json()["key_frames"]
        middle = (span["start_seconds"] + span["end_seconds"]) / 2
        assert one["key_frame_url"] == min(frames, key=lambda f: abs(f["time_seconds"] - middle))["url"]
        assert client.get(one["key_frame_url"]).headers["content-type"] == "image/jpeg"
    first, second = (f"/v1/actions/{name}/examples/{one['id']}" for one in document["examples"])
    assert_problem(client.delete(f"/v1/actions/{ACTION}/examples/{document['examples'][0]['id']}"), 404)
    assert client.delete(first).json() == {"action": name, "positive": 0, "negative": 1, "lesson": None}
    assert_problem(client.delete(first), 404)
    assert client.delete(second).json() == {"action": name, "positive": 0, "negative": 0, "lesson": None}
    assert_problem(client.get(f"/v1/actions/{name}"), 404, "unknown-action")


def test_an_action_is_forgotten(client: TestClient, archive: Archive) -> None:
    name = "push/pull"
    spans = [archive.span(film, 0.5, 5.5) for film in CATS[:2]]
    assert taught(client, {"action": name, "positives": spans})["status"] == "done"
    assert found(client, name) and client.get(f"/v1/actions/{name}").json()["head"] == "draft"
    assert client.delete(f"/v1/actions/{name}").json() == {"action": name, "examples": 2}
    for path in (f"/v1/actions/{name}", f"/v1/segments?action={name}"):
        assert_problem(client.get(path), 404, "unknown-action")
    assert_problem(client.delete(f"/v1/actions/{name}"), 404, "unknown-action")
    # One that was never taught, too.
    client.post("/v1/feedback", json={**spans[0], "action": name, "correct": True})
    assert client.delete(f"/v1/actions/{name}").json() == {"action": name, "examples": 1}
    assert_problem(client.delete(f"/v1/actions/{ACTION}", params={"force": 1}), 422)
    assert client.get(f"/v1/actions/{ACTION}").status_code == 200


def test_a_rejected_segment_goes_whole_and_what_was_taught_stays(
    client: TestClient, archive: Archive
) -> None:
    name = "sitting there"
    spans = [archive.span(CATS[0], *span) for span in ((0.0, 3.0), (3.0, 6.0))]
    assert taught(client, {"action": name, "positives": spans})["status"] == "done"
    (segment,) = [one for one in found(client, name) if one["video_id"] == archive.videos[CATS[0]]]
    whole = {key: segment[key] for key in ("video_id", "start_seconds", "end_seconds")}
    assert whole["end_seconds"] - whole["start_seconds"] > 4  # more than any clip of it
    said = {"action": name, "correct": False}
    answer = client.post("/v1/feedback", json=whole | said).json()
    assert (answer["positive"], answer["negative"], answer["removed"]) == (2, 1, 0)
    assert "2 examples" in answer["note"] and "0.0-3.0 s" in answer["note"]
    assert archive.videos[CATS[0]] not in {one["video_id"] for one in found(client, name)}
    # Taught again it can be, and the rejection holds.
    assert taught(client, {"action": name})["status"] == "done"
    assert archive.videos[CATS[0]] not in {one["video_id"] for one in found(client, name)}
    # On second thoughts about a part, the rest of the rejection stands.
    part = archive.span(CATS[0], 0.0, 4.0)
    answer = client.post("/v1/feedback", json=part | {"action": name, "correct": True}).json()
    assert (answer["positive"], answer["negative"], answer["removed"], answer["note"]) == (3, 1, 1, None)
    kept = client.get(f"/v1/actions/{name}").json()["examples"]
    (rest,) = [one for one in kept if not one["positive"]]
    assert (rest["start_seconds"], rest["end_seconds"]) == (4.0, whole["end_seconds"])
    client.delete(f"/v1/actions/{name}/examples/{rest['id']}")
    client.delete(f"/v1/actions/{name}/examples/{answer['example_id']}")
    (row,) = [one for one in client.get("/v1/actions").json()["actions"] if one["action"] == name]
    assert row["examples"] == {"positive": 2, "negative": 0}
    assert_problem(client.post("/v1/feedback", json=archive.span(CATS[0], 3, 2) | said), 422)
    assert_problem(client.post("/v1/feedback", json={"clip_id": 1, "video_id": 1} | said), 422)
    client.delete(f"/v1/actions/{name}")


def test_a_lesson_that_a_crash_cut_short_is_given_again(archive: Archive, tmp_path: Path) -> None:
    # In a library that no other server runs the jobs of.
    shutil.copytree(archive.library.folder, tmp_path / "copy")
    library, job_id = Library(tmp_path / "copy", device="cpu"), "b" * 32
    with library.write() as catalog:
        catalog.create_job(job_id, {"action": ACTION}, kind="teach")
        catalog.update_job(job_id, status="running")
    with TestClient(create_app(library, device="cpu"), base_url="http://localhost") as client:
        deadline = time.monotonic() + 60
        while (job := client.get(f"/v1/jobs/{job_id}").json())["status"] != "done":
            assert job["status"] in ("queued", "running") and time.monotonic() < deadline, job
            time.sleep(0.05)
        assert job["result"]["segments"] == len(found(client, ACTION))
        total = job["progress"]["videos_total"]
        assert job["progress"]["videos_done"] == total == len(CATS) + len(OTHERS)
    library.close()


def test_an_empty_library_cannot_be_taught(tmp_path: Path) -> None:
    library = Library(tmp_path, create=True)
    with TestClient(create_app(library), base_url="http://localhost") as client:
        assert "ingest" in assert_problem(client.post("/v1/actions", json={"action": "x"}), 409)["detail"]
    library.close()
