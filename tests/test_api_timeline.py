"""A video along its time, over HTTP: films whose shots are known because they were made here."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import av
import httpx
import numpy as np
import pytest
import torch
from conftest import assert_problem
from fastapi.testclient import TestClient
from PIL import Image
from video_factory import shift_times, shots, write_video

from api.app import create_app
from encoders.errors import InvalidQueryError
from encoders.heads.head import ActionSpan
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.containers.recorded import recorded_moment
from search.dates import WallTime, recorded_bound
from search.library import Library

FPS = 25
CUTS = (150, 50, 85)  # frames of each shot: the first is longer than a clip
LATE_SECONDS = 10.0
CAT_FRAMES = 75
# When the files were last changed. One of them says itself when it was recorded: earlier.
CHANGED = {
    "cut.mp4": "2024-02-01T00:00:00+00:00",
    "late.mkv": "2021-03-04T05:06:07+00:00",
    "other.mp4": "2021-12-31T23:30:00+00:00",
    "unset clock.mp4": "2022-01-01T00:00:00+00:00",
    "broken.mp4": "2023-01-01T00:00:00+00:00",
}


def dated(source: Path, target: Path, creation_time: str) -> None:
    """Copies a video, and notes in it when it was recorded."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        output.metadata["creation_time"] = creation_time
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)


def photograph(name: str) -> np.ndarray:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / name) as opened:
        return np.asarray(opened.convert("RGB").resize((320, 240)))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("archive")
    write_video(folder / "cut.mp4", shots(CUTS)[0], fps=FPS)
    dated(folder / "cut.mp4", folder / "dated.mp4", "2019-05-12T10:11:12Z")
    dated(folder / "cut.mp4", folder / "unset clock.mp4", "1970-01-01T00:00:00Z")
    (folder / "dated.mp4").rename(folder / "cut.mp4")
    shift_times(folder / "cut.mp4", folder / "late.mkv", LATE_SECONDS)
    pictures = [photograph("chelsea.png")] * CAT_FRAMES + [photograph("coffee.png")] * CAT_FRAMES
    write_video(folder / "other.mp4", pictures, fps=FPS)
    (folder / "broken.mp4").write_text("this is no video")
    for name, changed in CHANGED.items():
        os.utime(folder / name, (0, datetime.fromisoformat(changed).timestamp()))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    summary = ingest(opened, [str(folder)], IngestOptions(encoder="offline", device="cpu", workers=1))
    assert summary.indexed == 4 and len(summary.failed) == 1
    _tag(opened, folder / "cut.mp4")
    yield opened
    opened.close()
    torch.set_num_threads(threads)


def _tag(library: Library, path: Path) -> None:
    """Three segments in one film, by a head that was never loaded."""
    with library.write() as catalog:
        video = catalog.video_by_path(str(path))
        assert video is not None
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
        catalog.actions.add_segments(video.id, head, spans)


@pytest.fixture(scope="module")
def videos(library: Library) -> dict[str, int]:
    with library.read() as catalog:
        return {Path(video.path).name: video.id for video in catalog.list_videos()}


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    app = create_app(library, device="cpu")
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as client:
        yield client


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


def test_segments_lie_on_the_timeline(client: TestClient, videos: dict[str, int]) -> None:
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
        "changed": False,
    }


def test_a_timeline_tells_of_a_changed_file(
    client: TestClient, library: Library, videos: dict[str, int]
) -> None:
    with library.read() as catalog:
        path = Path(catalog.video(videos["other.mp4"]).path)
    stat = path.stat()

    def is_changed() -> bool:
        return client.get(f"/v1/videos/{videos['other.mp4']}/timeline").json()["changed"]

    assert is_changed() is False
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    assert is_changed() is True
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    away = path.rename(path.with_suffix(".away"))
    assert is_changed() is False  # not there: nothing is known
    away.rename(path)


def test_a_timeline_of_nothing_is_404(client: TestClient, videos: dict[str, int]) -> None:
    assert_problem(client.get("/v1/videos/99999/timeline"), 404)
    problem = assert_problem(client.get(f"/v1/videos/{videos['cut.mp4']}/timeline", params={"zoom": 2}), 422)
    assert "zoom" in problem["detail"]


# --- where a query matches -----------------------------------------------------------------


def curve(response: httpx.Response) -> tuple[np.ndarray, np.ndarray, float]:
    assert response.status_code == 200, response.text
    answer = response.json()
    times, scores = np.array(answer["times_seconds"]), np.array(answer["scores"])
    assert len(times) == len(scores) and (np.diff(times) > 0).all() and (np.abs(scores) <= 1).all()
    return times, scores, answer["usual"]


def test_words_match_where_the_film_shows_them(client: TestClient, videos: dict[str, int]) -> None:
    url, cut = f"/v1/videos/{videos['other.mp4']}/matches", CAT_FRAMES / FPS
    for text, is_first in (("a cat", True), ("a cup of coffee", False)):
        times, scores, usual = curve(client.post(url, json={"query": [{"text": text}]}))
        assert len(times) == pytest.approx(2 * 2 * cut, abs=1)  # two frames of each second are stored
        shown = (times < cut) == is_first
        assert scores[shown].min() > scores[~shown].max()
        assert (scores[shown] > usual).all()


def test_a_score_is_the_cosine_of_frame_and_query(
    client: TestClient, library: Library, videos: dict[str, int]
) -> None:
    with library.read() as catalog:
        clip = catalog.clips_of_video(videos["other.mp4"])[0]
        dim = library.record().dim
        query = catalog.embeddings([clip.id], dim)[0]
        features, stored, _ = catalog.features(videos["cut.mp4"], -1e9, 1e9, dim)
    url = f"/v1/videos/{videos['cut.mp4']}/matches"
    times, scores, _ = curve(client.post(url, json={"query": [{"clip_id": clip.id}]}))
    cosines = [float(row @ query / np.linalg.norm(row) / np.linalg.norm(query)) for row in features]
    np.testing.assert_allclose(scores, cosines, atol=2e-4)
    np.testing.assert_allclose(times, stored, atol=1e-6)


def test_a_span_matches_itself_best(client: TestClient, videos: dict[str, int]) -> None:
    first, second = CUTS[0] / FPS, (CUTS[0] + CUTS[1]) / FPS
    span = {"video_id": videos["cut.mp4"], "start_seconds": first, "end_seconds": second}
    for name, start in (("cut.mp4", 0.0), ("late.mkv", LATE_SECONDS)):
        response = client.post(f"/v1/videos/{videos[name]}/matches", json={"query": [span]})
        times, scores, _ = curve(response)
        inside = (times >= start + first) & (times < start + second)
        assert scores[inside].min() > scores[~inside].max()


def test_an_uploaded_picture_matches_where_it_is_shown(client: TestClient, videos: dict[str, int]) -> None:
    content = io.BytesIO()
    Image.fromarray(photograph("coffee.png")).save(content, "PNG")
    url = f"/v1/videos/{videos['other.mp4']}/matches/example"
    files = {"file": ("coffee.png", content.getvalue())}
    times, scores, usual = curve(client.post(url, files=files))
    shown = times >= CAT_FRAMES / FPS
    assert scores[shown].min() > max(0.8, scores[~shown].max()) and scores[shown].min() > usual
    options = {"query": [{"text": "a cat", "weight": -0.5}]}
    _, without, _ = curve(client.post(url, files=files, data={"options": json.dumps(options)}))
    assert (without[~shown] < scores[~shown]).all()


def test_matches_that_make_no_sense_are_refused(client: TestClient, videos: dict[str, int]) -> None:
    url = f"/v1/videos/{videos['cut.mp4']}/matches"
    for body in ({}, {"query": []}, {"query": [{"text": "x"}], "limit": 3}, {"query": [{"text": " "}]}):
        assert_problem(client.post(url, json=body), 422)
    assert_problem(client.post(url, json={"query": [{"clip_id": 99_999}]}), 404)
    assert_problem(client.post("/v1/videos/99999/matches", json={"query": [{"text": "x"}]}), 404)
    assert_problem(client.post("/v1/videos/99999/matches/example", files={"file": b"x"}), 404)
    problem = assert_problem(client.post(f"{url}/example", files={"file": ("x.mp4", b"no picture")}), 415)
    assert problem["title"]
    data = {"options": json.dumps({"limit": 3})}
    problem = assert_problem(client.post(f"{url}/example", files={"file": ("x", b"x")}, data=data), 422)
    assert problem["errors"][0]["location"] == ["body", "options", "limit"]
    broken = f"/v1/videos/{videos['broken.mp4']}/matches"
    assert len(curve(client.post(broken, json={"query": [{"text": "x"}]}))[0]) == 0


def test_an_example_may_be_larger_than_other_bodies(client: TestClient, videos: dict[str, int]) -> None:
    url = f"/v1/videos/{videos['cut.mp4']}/matches"
    large = bytes(2**21)  # twice what a body of JSON may have
    assert_problem(client.post(url, content=large), 413)
    problem = assert_problem(client.post(f"{url}/example", files={"file": ("x.mp4", large)}), 422)
    assert "zeros" in problem["detail"]  # it was read


# --- when it was recorded ------------------------------------------------------------------


def test_a_video_was_recorded_when_it_says_or_else_when_its_file_was_changed(client: TestClient) -> None:
    videos = client.get("/v1/videos").json()["videos"]
    recorded = {Path(video["path"]).name: video["recorded_at"] for video in videos}
    expected = {name: changed.replace("+00:00", ".000Z") for name, changed in CHANGED.items()}
    assert recorded == expected | {"cut.mp4": "2019-05-12T10:11:12.000Z"}


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"recorded_after": "2021-03-04"}, {"late.mkv", "other.mp4", "unset clock.mp4"}),
        ({"recorded_after": "2021-03-05"}, {"other.mp4", "unset clock.mp4"}),
        ({"recorded_after": "2021-03-04T05:06:07Z"}, {"late.mkv", "other.mp4", "unset clock.mp4"}),
        ({"recorded_after": "2021-03-04T05:06:08Z"}, {"other.mp4", "unset clock.mp4"}),
        ({"recorded_before": "2019-05-11"}, set()),
        ({"recorded_before": "2019-05-12"}, {"cut.mp4"}),
        ({"recorded_before": "2019-05-12T10:11:11"}, set()),
        ({"recorded_before": "2019-05-12T12:11:12+02:00"}, {"cut.mp4"}),
        # The day ends, the next one begins.
        ({"recorded_after": "2021-12-31", "recorded_before": "2021-12-31"}, {"other.mp4"}),
        ({"recorded_after": "2022-01-01", "recorded_before": "2022-01-01"}, {"unset clock.mp4"}),
    ],
)
def test_hits_and_clips_are_of_videos_recorded_then(
    client: TestClient, in_utc: None, bounds: dict[str, str], expected: set[str]
) -> None:
    clips = client.get("/v1/clips", params={**bounds, "limit": 1000}).json()
    assert {Path(clip["path"]).name for clip in clips["clips"]} == expected
    body = {"query": [{"text": "a cat"}], "filters": bounds, "limit": 1000}
    hits = client.post("/v1/search", json=body).json()["hits"]
    assert {hit["clip_id"] for hit in hits} == {clip["clip_id"] for clip in clips["clips"]}


def test_segments_are_of_videos_recorded_then(client: TestClient, in_utc: None) -> None:
    # The film of 2019 is the only one that was tagged.
    for bounds, total in (({"recorded_before": "2019-05-12"}, 2), ({"recorded_after": "2019-05-13"}, 0)):
        answer = client.get("/v1/segments", params={"action": "jogging", **bounds}).json()
        assert answer["total"] == len(answer["segments"]) == total
        body = {"query": [{"text": "a cat"}], "filters": {"action": "jogging", **bounds}}
        assert bool(client.post("/v1/search", json=body).json()["hits"]) == bool(total)


def test_the_command_line_takes_dates_too(library: Library) -> None:
    def printed(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "indexer", *arguments, "--json", "-L", str(library.folder)]
        environment = {**os.environ, "TZ": "UTC"}
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, env=environment)
        return json.loads(done.stdout)

    arguments = ["find", "--action", "jog", "-L", str(library.folder)]
    done = subprocess.run([sys.executable, "-m", "indexer", *arguments], capture_output=True, timeout=60)
    assert done.returncode == 0 and b"jog -> jogging" in done.stderr  # it is another form, and says so
    dates = ("--after", "2019-05-12", "--before", "2019-05-12")
    assert printed("find", "--action", "jogging", *dates)["total"] == 2
    assert printed("find", "--action", "jogging", "--after", "2019-05-13")["total"] == 0
    hits = printed("search", "a cat", "--device", "cpu", *dates)["hits"]
    assert hits and {Path(hit["path"]).name for hit in hits} == {"cut.mp4"}


@pytest.mark.parametrize(
    "bounds",
    [
        {"recorded_after": "yesterday"},
        {"recorded_after": ""},
        {"recorded_before": "2024-02-30"},
        {"recorded_before": "2024-13-01"},
        {"recorded_after": "2024-05-02", "recorded_before": "2024-05-01"},
        {"recorded_after": "9" * 65},
    ],
)
def test_dates_that_are_none_are_refused(client: TestClient, bounds: dict[str, str]) -> None:
    body = {"query": [{"text": "x"}], "filters": bounds}
    assert_problem(client.post("/v1/search", json=body), 422)
    assert_problem(client.get("/v1/clips", params=bounds), 422)
    assert_problem(client.get("/v1/segments", params={"action": "jogging", **bounds}), 422)


def test_a_day_is_that_of_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        # Clocks go forward at two: the day begins at UTC-5, ends at UTC-4, and has 23 hours.
        start, end = (recorded_bound("2024-03-10", is_end=is_end) for is_end in (False, True))
        assert isinstance(start, WallTime) and isinstance(end, WallTime)
        assert start.seconds == datetime.fromisoformat("2024-03-10T05:00:00+00:00").timestamp()
        assert end.seconds < start.seconds + 23 * 3600
        assert end.seconds == pytest.approx(start.seconds + 23 * 3600, abs=1e-3)
        # On the clock of another place that day may have all of its hours.
        assert start.wall_seconds == datetime.fromisoformat("2024-03-10T00:00:00+00:00").timestamp()
        assert end.wall_seconds < start.wall_seconds + 24 * 3600
        assert end.wall_seconds == pytest.approx(start.wall_seconds + 24 * 3600, abs=1e-3)
        moment = recorded_bound("2024-03-10T12:00", is_end=True)
        assert isinstance(moment, WallTime)
        assert moment.seconds == datetime.fromisoformat("2024-03-10T16:00:00+00:00").timestamp()
        exact = recorded_bound("2024-03-10T12:00Z", is_end=True)
        assert exact == datetime.fromisoformat("2024-03-10T12:00:00+00:00").timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()
    with pytest.raises(InvalidQueryError, match="no date"):
        recorded_bound("soon", is_end=False)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["2019-05-12T10:11:12.000000Z"], "2019-05-12T10:11:12+00:00"),
        (["2019-05-12T10:11:12"], "2019-05-12T10:11:12+00:00"),
        (["2019-05-12T10:11:12+02:00"], "2019-05-12T08:11:12+00:00"),
        ([None, "2019-05-12"], "2019-05-12T00:00:00+00:00"),
        (["1904-01-01T00:00:00Z", "2001-01-01T00:00:00Z"], "2001-01-01T00:00:00+00:00"),
        (["2026-01-01T23:00:00Z"], "2026-01-01T23:00:00+00:00"),  # "now" is noon of that day
        (["2026-01-02T12:00:01Z"], None),
        (["1970-01-01T00:00:00Z"], None),
        (["0000-00-00", "", None], None),
        ([], None),
    ],
)
def test_only_sane_clocks_are_believed(tags: list[str | None], expected: str | None) -> None:
    now = datetime.fromisoformat("2026-01-01T12:00:00+00:00").timestamp()
    found, _ = recorded_moment([{} if tag is None else {"creation_time": tag} for tag in tags], now)
    assert found == (None if expected is None else datetime.fromisoformat(expected).timestamp())


@pytest.mark.parametrize(
    ("file", "stream", "expected"),
    [
        # An export sets creation_time anew; what the camera wrote stays, in the zone where it was.
        (
            {"creation_time": "2024-08-01T12:00:00Z",
             "com.apple.quicktime.creationdate": "2019-05-03T23:30:00+0200"},
            {"creation_time": "2024-08-01T12:00:00Z"},
            "2019-05-03T21:30:00+00:00",
        ),
        ({"DATE_RECORDED": "2019-05-03T23:30:00-05:00"}, {}, "2019-05-04T04:30:00+00:00"),
        ({}, {"DateTimeOriginal": "2019:05:03 23:30:00"}, "2019-05-03T23:30:00+00:00"),
        ({"IDIT": "Fri May 03 23:30:00 2019"}, {}, "2019-05-03T23:30:00+00:00"),
        ({"date": "2019-05-03T23:30:00+0200"}, {}, "2019-05-03T21:30:00+00:00"),
        ({"date": "1968"}, {"creation_time": "2019-05-03T00:00:00Z"}, "2019-05-03T00:00:00+00:00"),
        ({"date": "1982-06-25"}, {}, None),
    ],
)  # fmt: skip
def test_the_camera_is_believed_before_the_export(
    file: dict[str, str], stream: dict[str, str], expected: str | None
) -> None:
    now = datetime.fromisoformat("2026-01-01T12:00:00+00:00").timestamp()
    found, _ = recorded_moment([file, stream], now)
    assert found == (None if expected is None else datetime.fromisoformat(expected).timestamp())


@pytest.mark.parametrize(
    ("tags", "hours"),
    [
        ({"com.apple.quicktime.creationdate": "2018-07-04T23:30:00-0700"}, -7),
        ({"DATE_RECORDED": "2019-05-03T23:30:00+05:30"}, 5.5),
        ({"date": "2019-05-03T23:30:00+0000"}, 0),
        ({"IDIT": "Fri May 03 23:30:00 2019"}, 0),  # what the clock of the camera showed
        ({"creation_time": "2019-05-03T23:30:00.000000Z"}, None),
        ({}, None),
    ],
)
def test_the_zone_of_the_camera_is_kept(tags: dict[str, str], hours: float | None) -> None:
    _, offset = recorded_moment([tags], datetime.fromisoformat("2026-01-01T12:00:00+00:00").timestamp())
    assert offset == (None if hours is None else hours * 3600)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "Pacific/Honolulu"])
def test_a_day_is_that_of_where_a_video_was_recorded(
    tmp_path: Path, offline_encoder: Any, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """The evening of 4 July in California is 5 July in UTC; of the other file only the moment is known."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    archive = tmp_path / "archive"
    archive.mkdir()
    tags = {"there": ("com.apple.quicktime.creationdate", "2018-07-04T23:30:00-0700"),
            "moment": ("creation_time", "2018-07-05T06:30:00Z")}  # fmt: skip
    for name, (tag, value) in tags.items():
        with av.open(str(archive / f"{name}.mov"), "w", options={"movflags": "use_metadata_tags"}) as output:
            output.metadata[tag] = value
            stream = output.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(30):
                picture = np.full((48, 64, 3), number * 8, np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(stream.encode())
    library = Library(tmp_path / "library", create=True, device="cpu")
    try:
        ingest(library, [str(archive)], IngestOptions(encoder="offline", device="cpu"))

        def days(name: str) -> list[str]:
            found = []
            for day in ("2018-07-03", "2018-07-04", "2018-07-05", "2018-07-06"):
                bounds = {"recorded_after": day, "recorded_before": day}
                clips = client.get("/v1/clips", params=bounds).json()["clips"]
                if any(Path(clip["path"]).stem == name for clip in clips):
                    found.append(day)
            return found

        with TestClient(create_app(library), base_url="http://localhost") as client:
            videos = client.get("/v1/videos").json()["videos"]
            assert {Path(video["path"]).stem: video["recorded_at"] for video in videos} == {
                "there": "2018-07-04T23:30:00.000-07:00",
                "moment": "2018-07-05T06:30:00.000Z",
            }
            moment = datetime.fromisoformat("2018-07-05T06:30:00+00:00")
            assert days("there") == ["2018-07-04"]
            assert days("moment") == [moment.astimezone(ZoneInfo(zone)).date().isoformat()]
            for bounds, names in (
                ({"recorded_after": "2018-07-05T06:30:00Z"}, {"there", "moment"}),
                ({"recorded_after": "2018-07-05T06:30:01Z"}, set()),
                ({"recorded_before": "2018-07-04T23:30:00-07:00"}, {"there", "moment"}),
            ):
                clips = client.get("/v1/clips", params=bounds).json()["clips"]
                assert {Path(clip["path"]).stem for clip in clips} == names
    finally:
        library.close()
        monkeypatch.undo()
        time.tzset()
