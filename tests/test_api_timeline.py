"""A video along its time, over HTTP: films whose shots are known because they were made here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from fastapi.testclient import TestClient
from video_factory import moving, shift_times, shots, write_video

from api.app import create_app
from encoders.heads import ActionSpan
from indexer.pipeline import IngestOptions, ingest
from search.library import Library

FPS = 25
CUTS = (150, 50, 85)  # frames of each shot: the first is longer than a clip
LATE_SECONDS = 10.0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("archive")
    write_video(folder / "cut.mp4", shots(CUTS)[0], fps=FPS)
    shift_times(folder / "cut.mp4", folder / "late.mkv", LATE_SECONDS)
    write_video(folder / "other.mp4", moving(100, seed=90), fps=FPS)
    (folder / "broken.mp4").write_text("this is no video")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    summary = ingest(opened, [str(folder)], IngestOptions(encoder="offline", device="cpu", workers=1))
    assert summary.indexed == 3 and len(summary.failed) == 1
    yield opened
    opened.close()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def videos(library: Library) -> dict[str, int]:
    with library.read() as catalog:
        return {Path(video.path).name: video.id for video in catalog.list_videos()}


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    app = create_app(library, device="cpu")
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as client:
        yield client


def assert_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()


# --- shots and segments --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "start"), [("cut.mp4", 0.0), ("late.mkv", LATE_SECONDS)])
def test_shots_are_where_the_film_was_cut(
    client: TestClient, videos: dict[str, int], name: str, start: float
) -> None:
    answer = client.get(f"/v1/videos/{videos[name]}/timeline").json()
    assert answer["video_id"] == videos[name]
    assert answer["start_seconds"] == pytest.approx(start, abs=0.05)
    assert answer["duration_seconds"] == pytest.approx(sum(CUTS) / FPS, abs=0.05)
    borders = [start + sum(CUTS[:count]) / FPS for count in range(len(CUTS) + 1)]
    found = [(shot["start_seconds"], shot["end_seconds"]) for shot in answer["shots"]]
    expected = list(pairwise(borders))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=0.05)


def test_segments_lie_on_the_timeline(client: TestClient, library: Library, videos: dict[str, int]) -> None:
    with library.write() as catalog:
        head = catalog.actions.add_head(
            kind="kinetics",
            name="kinetics:made",
            encoder_id="made",
            actions=["jogging"],
            threshold=0.3,
            card={},
            parameters=None,
            is_active=True,
        )
        spans = [ActionSpan("jogging", 3.0, 4.5, 0.9), ActionSpan("jogging", 1.0, 2.0, 0.4)]
        spans.append(ActionSpan("jogging", 6.0, 7.0, 0.2))  # less sure than the head's threshold
        catalog.actions.add_segments(videos["cut.mp4"], head, spans)
    url = f"/v1/videos/{videos['cut.mp4']}"
    found = client.get(f"{url}/timeline").json()["segments"]
    assert [(one["start_seconds"], one["confidence"]) for one in found] == [(1.0, 0.4), (3.0, 0.9)]
    assert found == client.get(f"{url}/segments").json()["segments"]
    assert client.get(f"/v1/videos/{videos['other.mp4']}/timeline").json()["segments"] == []


def test_a_file_that_could_not_be_read_has_an_empty_timeline(
    client: TestClient, videos: dict[str, int]
) -> None:
    answer = client.get(f"/v1/videos/{videos['broken.mp4']}/timeline").json()
    assert answer == {
        "video_id": videos["broken.mp4"],
        "duration_seconds": None,
        "start_seconds": 0.0,
        "shots": [],
        "segments": [],
    }


def test_a_timeline_of_nothing_is_404(client: TestClient, videos: dict[str, int]) -> None:
    assert_problem(client.get("/v1/videos/99999/timeline"), 404)
    problem = assert_problem(client.get(f"/v1/videos/{videos['cut.mp4']}/timeline", params={"zoom": 2}), 422)
    assert "zoom" in problem["detail"]
