"""Actions over HTTP: a real library, an action taught for real, the real app."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import opentimelineio as otio
import pytest
import webvtt
from excerpts import mirrored, write_photograph_film
from fastapi.testclient import TestClient
from PIL import Image
from samples import PHOTOGRAPHS, photograph
from server import asked, assert_problem

from api.app import create_app
from encoders.heads.head import ActionSpan
from indexer.examples.lessons import examples_from_clips
from indexer.ingest.pipeline import IngestOptions, ingest
from search.actions import heads as action_heads
from search.actions import teaching, zero_shot
from search.actions.listing import describe_action, list_actions
from search.library import Library
from search.types import SegmentQuery

TAUGHT = "looking at the cat"
CAT_FILMS = ("cat.mp4", "cat mirrored.mp4", "cat above.mp4", "cat aside.mp4")
OTHERS = {name: path for name, path in PHOTOGRAPHS.items() if name != "cat"}
BACKBONE = "kinetics:made"
FPS = 24  # the lowest that other programs know timecodes of


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of a cat, films of other things."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "cats").mkdir()
    (folder / "others").mkdir()
    cat = photograph(PHOTOGRAPHS["cat"])
    pictures = (cat, mirrored(cat), cat[:-40], cat[:, 40:])
    for name, picture in zip(CAT_FILMS, pictures, strict=True):
        write_photograph_film(np.ascontiguousarray(picture), folder / "cats" / name, fps=FPS)
    for name, path in OTHERS.items():
        write_photograph_film(photograph(path), folder / "others" / f"{name}.mp4", fps=FPS)
    return folder


@dataclass(frozen=True)
class Taught:
    """A library in which an action was taught, and a made backbone has said things."""

    library: Library
    videos: dict[str, int]
    cat_clips: list[int]
    backbone: int


@pytest.fixture(scope="module")
def taught(archive: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[Taught]:
    library = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    summary = ingest(library, [str(archive)], IngestOptions(encoder="offline", device="cpu", workers=1))
    assert summary.indexed == len(CAT_FILMS) + len(OTHERS) and not summary.failed
    with library.read() as catalog:
        videos = {Path(video.path).name: video.id for video in catalog.list_videos()}
        cat_clips = [clip.id for name in CAT_FILMS for clip in catalog.clips_of_video(videos[name])]
    shown = examples_from_clips(library, cat_clips[:-2], is_positive=True)  # two are for the head to find
    teaching.teach(library, TAUGHT, shown)
    yield Taught(library, videos, cat_clips, _add_backbone(library, videos))
    library.close()


def _add_backbone(library: Library, videos: dict[str, int]) -> int:
    """A head that has tagged two videos with what the tests below count."""
    with library.write() as catalog:
        head = catalog.actions.add_head(
            kind="kinetics",
            name=BACKBONE,
            encoder_id="made",
            actions=["jogging", "archery", "push/pull"],
            threshold=0.3,
            card={},
            parameters=None,
            is_active=True,
        )
        spans = [ActionSpan("jogging", n / 3, n / 3 + 1, 0.35 + n / 100) for n in range(20)]
        spans += [ActionSpan("jogging", 2.0, 3.5, 0.9), ActionSpan("jogging", 2.0, 2.5, 0.1)]
        catalog.actions.add_segments(videos["rocket.mp4"], head, spans)
        catalog.actions.add_segments(videos["coffee.mp4"], head, [ActionSpan("jogging", 1 / 7, 2.0, 0.5)])
        catalog.actions.add_segments(videos["coffee.mp4"], head, [ActionSpan("archery", 0.0, 2.0, 0.8)])
    return head


@pytest.fixture(scope="module")
def client(taught: Taught) -> Iterator[TestClient]:
    with asked(create_app(taught.library, device="cpu")) as client:
        yield client


def segments(client: TestClient, action: str, **more: Any) -> dict[str, Any]:
    response = client.get("/v1/segments", params={"action": action, **more})
    assert response.status_code == 200, response.text
    return response.json()


# --- finding -------------------------------------------------------------------------------


def test_a_taught_action_is_found_where_it_is_and_nowhere_else(client: TestClient, archive: Path) -> None:
    answer = segments(client, TAUGHT)
    assert answer["total"] == len(answer["segments"]) > 0 and answer["next_cursor"] is None
    assert (answer["action"], answer["names"], answer["how"]) == (TAUGHT, [TAUGHT], "exact")
    # The films show one thing throughout: what is of the cat is the action, all else is not.
    assert {Path(found["path"]).name for found in answer["segments"]} == set(CAT_FILMS)
    seconds = sum(found["end_seconds"] - found["start_seconds"] for found in answer["segments"])
    assert seconds == pytest.approx(8.0 * len(CAT_FILMS), rel=0.15)
    for found in answer["segments"]:
        # Four films of one photograph are one scene, which makes a draft.
        assert found["head"] == "draft" and found["action"] == TAUGHT and 0 <= found["confidence"] <= 1
        assert set(found) == {
            *("video_id", "path", "start_seconds", "end_seconds", "action", "confidence", "head")
        }


def test_what_people_type_is_mapped_to_what_heads_know(client: TestClient) -> None:
    answer = segments(client, "running")
    assert (answer["names"], answer["how"]) == (["jogging"], "synonym")
    assert answer["segments"] == segments(client, "Jogging")["segments"]


def test_segments_come_by_path_and_time_counted_and_paged(client: TestClient, taught: Taught) -> None:
    whole = segments(client, "jogging", limit=1000)
    order = [(found["path"], found["start_seconds"]) for found in whole["segments"]]
    assert order == sorted(order)
    assert whole["total"] == len(order) == 22  # 20 in a row, one beside them, one in another film
    for limit in (1, 4, 21, 22):
        pages, cursor = [], None
        while True:
            page = segments(client, "jogging", limit=limit, **({"cursor": cursor} if cursor else {}))
            assert page["total"] == 22 and 1 <= len(page["segments"]) <= limit
            pages += page["segments"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert pages == whole["segments"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, 22),
        ({"min_confidence": 0}, 23),  # below the head's threshold, too
        ({"min_confidence": 0.495}, 6 - 1 + 2),  # n = 15..19, the one of 0.9, the other film's 0.5
        ({"min_confidence": 1}, 0),
        ({"min_duration_seconds": 1.2}, 2),
        ({"min_duration_seconds": 1.2, "min_confidence": 0.8}, 1),
    ],
)
def test_bounds_hold(client: TestClient, filters: dict[str, float], expected: int) -> None:
    answer = segments(client, "jogging", **filters)
    assert answer["total"] == len(answer["segments"]) == expected


def test_only_some_videos(client: TestClient, taught: Taught, archive: Path) -> None:
    rocket = taught.videos["rocket.mp4"]
    of_rocket = segments(client, "jogging", video_id=rocket)
    assert of_rocket["total"] == 21 and {one["video_id"] for one in of_rocket["segments"]} == {rocket}
    assert segments(client, "jogging", path_prefix=f"{archive}/others/c*")["total"] == 1
    assert segments(client, "jogging", path_prefix=f"{archive}/others/c")["total"] == 0
    assert segments(client, "jogging", path_prefix=f"{archive}/cats")["total"] == 0
    assert segments(client, "jogging", video_id=99_999)["total"] == 0


def test_an_unknown_action_is_404_and_told_what_is_known(client: TestClient) -> None:
    for path, more in (("/v1/segments", {}), ("/v1/segments/export", {"format": "csv"})):
        response = client.get(path, params={"action": "juggling fire", **more})
        problem = assert_problem(response, 404, "unknown-action")
        assert TAUGHT in problem["detail"] and "archery" in problem["detail"]
        assert "indexer actions teach" in problem["detail"]
    assert_problem(client.get("/v1/actions/juggling fire"), 404, "unknown-action")


@pytest.mark.parametrize(
    "bad",
    [
        {"action": ""},
        {"action": "   "},
        {"action": "two\nlines"},
        {"action": "x" * 101},
        {"action": "x" * 2000},
        {"min_confidence": -0.1},
        {"min_confidence": 1.1},
        {"min_confidence": "nan"},
        {"min_duration_seconds": -1},
        {"min_duration_seconds": "inf"},
        {"path_prefix": "/\0"},
        {"video_id": 0},
        {"video_id": 2**70},
        {"limit": 0},
        {"limit": 1001},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(client: TestClient, bad: dict[str, Any]) -> None:
    assert_problem(client.get("/v1/segments", params={"action": "jogging", **bad}), 422)
    if "limit" not in bad:
        params = {"action": "jogging", "format": "csv", **bad}
        assert_problem(client.get("/v1/segments/export", params=params), 422)


def test_an_action_must_be_named(client: TestClient) -> None:
    assert_problem(client.get("/v1/segments"), 422)
    assert_problem(client.get("/v1/segments/export", params={"format": "csv"}), 422)
    assert_problem(client.get("/v1/segments/export", params={"action": "jogging", "format": "mov"}), 422)


def cursor_of(document: str) -> str:
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '["segments"]',
        '["segments", "/a"]',
        '["segments", "/a", 1.0]',
        '["segments", "/a", 1, 1]',
        '["segments", "/a", "1.0", 1]',
        '["segments", "/a", true, 1]',
        '["segments", "/a", NaN, 1]',
        '["segments", "/a", -Infinity, 1]',
        '["segments", "/a", 1e999, 1]',
        '["segments", "/a", 1.0, -1]',
        '["segments", "/a", 1.0, 9223372036854775808]',
        '["segments", "/a", 1.0, 1.5]',
        '["segments", "/a", 1.0, false]',
        '["segments", "/\\u0000", 1.0, 1]',
        '["segments", "/\\ud800", 1.0, 1]',
        '["segments", ["/a"], 1.0, 1]',
        '["segments", "/a", 1.0, 1]',
        '["segments", "/a", 1.0, 1, 1]',
        '["segments", "/a", 1.0, 1, "0123456789abcdef"]',
        '["clips", 1]',
        '["videos", "/a"]',
        "[" * 5000,
        '["segments", "/a", 1.0, ' + "9" * 5000 + "]",
    ],
)
def test_hostile_cursors_are_refused(client: TestClient, document: str) -> None:
    params = {"action": "jogging", "cursor": cursor_of(document)}
    assert_problem(client.get("/v1/segments", params=params), 422)
    for listing in ("clips", "videos"):
        if f'["{listing}"' not in document:
            assert_problem(client.get(f"/v1/{listing}", params={"cursor": cursor_of(document)}), 422)


def test_a_cursor_of_a_segment_that_has_gone_goes_on_behind_it(client: TestClient) -> None:
    whole = segments(client, "jogging")["segments"]
    rocket = whole[-1]["path"]
    given = segments(client, "jogging", limit=1)["next_cursor"]
    *_, digest = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    cursor = cursor_of(json.dumps(["segments", rocket, 2.0, 2**62, digest]))
    rest = segments(client, "jogging", cursor=cursor)["segments"]
    assert rest == [one for one in whole if one["path"] == rocket and one["start_seconds"] > 2.0]


def test_a_cursor_goes_on_with_its_own_question_alone(client: TestClient) -> None:
    cursor = segments(client, "jogging", limit=2, min_confidence=0.1)["next_cursor"]
    assert segments(client, " Jogging", min_confidence=0.1, limit=7, cursor=cursor)["segments"]
    for other in ({"action": "archery"}, {}, {"min_confidence": 0.2}, {"path_prefix": "/"}, {"video_id": 1}):
        params = {"action": "jogging", "min_confidence": 0.1, "cursor": cursor} | other
        if not other:
            del params["min_confidence"]
        answer = assert_problem(client.get("/v1/segments", params=params), 422, "invalid-query")
        assert "leave it out" in answer["detail"]


def test_parameters_that_are_none_are_refused(client: TestClient, taught: Taught) -> None:
    video = taught.videos["coffee.mp4"]
    for path, params in (
        ("segments", {"action": "jogging", "min_confidense": 0.9}),
        ("segments/export", {"action": "jogging", "format": "csv", "limit": 3}),
        (f"videos/{video}/segments", {"path_prefix": "/"}),
        ("actions", {"action": "jogging"}),
    ):
        unknown = list(params)[-1]
        answer = assert_problem(client.get(f"/v1/{path}", params=params), 422, "invalid-request")
        assert unknown in json.dumps(answer), answer
    assert client.get(f"/v1/videos/{video}/segments", params={"min_confidence": 0.9}).status_code == 200


def test_all_that_was_seen_in_a_video(client: TestClient, taught: Taught) -> None:
    coffee = taught.videos["coffee.mp4"]
    answer = client.get(f"/v1/videos/{coffee}/segments").json()
    assert answer["video_id"] == coffee and answer["total"] == 2
    found = [(one["action"], one["start_seconds"], one["head"]) for one in answer["segments"]]
    assert found == [("archery", 0.0, BACKBONE), ("jogging", round(1 / 7, 6), BACKBONE)]
    url = f"/v1/videos/{coffee}/segments"
    for params, actions in (
        ({"action": "running"}, ["jogging"]),
        ({"min_confidence": 0.6}, ["archery"]),
        ({"action": "archery", "min_confidence": 0.9}, []),
        ({"action": TAUGHT}, []),
    ):
        answer = client.get(url, params=params).json()
        assert [one["action"] for one in answer["segments"]] == actions and answer["total"] == len(actions)
    rocket = client.get(f"/v1/videos/{taught.videos['rocket.mp4']}/segments").json()
    starts = [one["start_seconds"] for one in rocket["segments"]]
    assert starts == sorted(starts) and len(starts) == 21
    assert_problem(client.get("/v1/videos/99999/segments"), 404, "not-found")
    assert_problem(client.get(url, params={"action": "juggling fire"}), 404, "unknown-action")
    assert_problem(client.get(url, params={"min_confidence": 2}), 422)


# --- files ---------------------------------------------------------------------------------


def export(client: TestClient, format: str, action: str = "jogging", **more: Any) -> httpx.Response:
    response = client.get("/v1/segments/export", params={"action": action, "format": format, **more})
    assert response.status_code == 200, response.text
    return response


def test_exports_are_read_by_other_programs(client: TestClient, taught: Taught) -> None:
    listed = segments(client, "jogging", limit=1000)["segments"]
    table = export(client, "csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"] == 'attachment; filename="jogging.csv"'
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [(row["path"], float(row["start_seconds"]), float(row["confidence"])) for row in rows] == [
        (one["path"], one["start_seconds"], one["confidence"]) for one in listed
    ]

    results = export(client, "activitynet")
    assert results.headers["content-type"] == "application/json"
    assert results.headers["content-disposition"] == 'attachment; filename="jogging.json"'
    found = results.json()["results"]
    assert {name: len(of) for name, of in found.items()} == {"coffee": 1, "rocket": 21}
    assert found["coffee"][0]["segment"] == [round(1 / 7, 6), 2.0]
    same = export(client, "json")
    assert same.json() == results.json() and same.headers["content-type"] == "application/json"
    assert same.headers["content-disposition"] == 'attachment; filename="jogging.json"'

    timeline = otio.adapters.read_from_string(export(client, "otio").text, "otio_json")
    assert [clip.name for clip in timeline.find_clips()] == [Path(one["path"]).name for one in listed]
    edl = export(client, "edl")
    assert edl.headers["content-type"] == "text/plain; charset=utf-8"
    events = otio.adapters.read_from_string(edl.text, "cmx_3600", rate=FPS)
    assert len(list(events.find_clips())) == len(listed)

    rocket = taught.videos["rocket.mp4"]
    cues = export(client, "vtt", video_id=rocket)
    assert cues.headers["content-type"] == "text/vtt; charset=utf-8"
    assert len(list(webvtt.from_string(cues.text))) == 21
    assert len(list(webvtt.from_string(export(client, "vtt", video_id=rocket, min_confidence=0.6).text))) == 1


def test_subtitles_of_several_videos_are_refused_with_advice(client: TestClient, taught: Taught) -> None:
    response = client.get("/v1/segments/export", params={"action": "jogging", "format": "vtt"})
    problem = assert_problem(response, 422, "invalid-query")
    assert "2" in problem["detail"] and "video_id=" in problem["detail"]
    advised = int(problem["detail"].rsplit("video_id=", 1)[1])
    assert advised in (taught.videos["rocket.mp4"], taught.videos["coffee.mp4"])
    export(client, "vtt", video_id=advised)


@pytest.mark.parametrize("format", ["csv", "activitynet", "otio", "edl", "vtt"])
def test_nothing_found_is_an_empty_file(client: TestClient, format: str) -> None:
    response = export(client, format, min_confidence=1)
    assert response.headers["content-disposition"].startswith('attachment; filename="jogging.')
    assert "rocket" not in response.text


def test_a_file_name_is_plain_ascii(client: TestClient) -> None:
    response = export(client, "csv", action='Push/pull "')
    assert response.headers["content-disposition"] == 'attachment; filename="Push-pull.csv"'


# --- search with an action -----------------------------------------------------------------


def showing(taught: Taught, action: str) -> set[int]:
    """Clips that share half a second or more with a segment of an action, worked out here."""
    with taught.library.read() as catalog:
        found = [one for ones in catalog.actions.segments_of_videos(
                     list(taught.videos.values()), SegmentQuery((action,))).values()
                 for one in ones]  # fmt: skip
        clips = [clip for video_id in taught.videos.values() for clip in catalog.clips_of_video(video_id)]
    return {
        clip.id
        for clip in clips
        for one in found
        if one.video_id == clip.video_id
        and min(clip.end_seconds, one.end_seconds) - max(clip.start_seconds, one.start_seconds) >= 0.5
    }


def test_a_search_gives_only_clips_that_show_the_action(client: TestClient, taught: Taught) -> None:
    expected = showing(taught, TAUGHT)
    assert len(expected) == len(taught.cat_clips)
    # What is asked for is least like the cat, so that only a filter inside the search can fill the answer.
    body = {"query": [{"text": "a rocket"}], "filters": {"action": TAUGHT}, "limit": len(expected)}
    hits = client.post("/v1/search", json=body).json()["hits"]
    assert {hit["clip_id"] for hit in hits} == expected
    for hit in hits:
        tag = hit["actions"][0]
        assert (tag["action"], tag["head"]) == (TAUGHT, "draft") and 0 < tag["confidence"] <= 1
        assert set(tag) == {"action", "confidence", "head"}
    for wanted in (1, 3):
        assert len(client.post("/v1/search", json={**body, "limit": wanted}).json()["hits"]) == wanted
    jogging = {"query": [{"text": "a cat"}], "filters": {"action": "running", "min_confidence": 0.8}}
    hits = client.post("/v1/search", json={**jogging, "limit": 100}).json()["hits"]
    assert [hit["video_id"] for hit in hits] == [taught.videos["rocket.mp4"]]


def test_an_example_is_looked_for_among_clips_that_show_the_action(
    client: TestClient, taught: Taught, archive: Path
) -> None:
    files = {"file": ("x.mp4", (archive / "others" / "flower.mp4").read_bytes())}
    options = json.dumps({"filters": {"action": TAUGHT}, "limit": 4})
    hits = client.post("/v1/search/example", files=files, data={"options": options}).json()["hits"]
    cats = {taught.videos[name] for name in CAT_FILMS}
    assert len(hits) == 4 and {hit["video_id"] for hit in hits} <= cats
    assert all(TAUGHT in [tag["action"] for tag in hit["actions"]] for hit in hits)


@pytest.mark.parametrize(
    ("filters", "status"),
    [
        ({"action": "juggling fire"}, 404),
        ({"min_confidence": 0.5}, 422),
        ({"action": "jogging", "min_confidence": 2}, 422),
        ({"action": ""}, 422),
        ({"action": "two\nlines"}, 422),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(
    client: TestClient, filters: dict[str, Any], status: int
) -> None:
    body = {"query": [{"text": "x"}], "filters": filters}
    assert_problem(client.post("/v1/search", json=body), status)
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    data = {"options": json.dumps({"filters": filters})}
    response = client.post("/v1/search/example", files={"file": ("x.png", picture.getvalue())}, data=data)
    assert_problem(response, status)


# --- what is known -------------------------------------------------------------------------


def test_what_is_known_is_listed_as_on_the_command_line(client: TestClient, taught: Taught) -> None:
    listing = client.get("/v1/actions").json()
    assert listing == {
        "actions": list_actions(taught.library)["actions"],
        "heads": [{"head": BACKBONE, "kind": "kinetics", "names": 3}],
        "untaught": [],
    }
    rows = {row["action"]: row for row in listing["actions"]}
    assert set(rows) == {TAUGHT, "jogging", "archery"}  # push/pull was never found
    assert rows["jogging"]["segments"] == 22 and rows["jogging"]["report"] is None
    assert rows[TAUGHT]["examples"] == {"positive": len(taught.cat_clips) - 2, "negative": 0}
    assert rows[TAUGHT]["report"]["positives"] == len(taught.cat_clips) - 2
    assert rows[TAUGHT]["segments"] == segments(client, TAUGHT)["total"]


def test_one_action_is_described(client: TestClient, taught: Taught) -> None:
    document = client.get(f"/v1/actions/{TAUGHT}").json()
    assert document == describe_action(taught.library, TAUGHT)
    assert len(document["examples"]) == len(taught.cat_clips) - 2
    backbone = client.get(f"/v1/actions/{BACKBONE}").json()
    assert backbone["report"] == {} and backbone["segments"] == 23 and backbone["examples"] == []
    assert_problem(client.get("/v1/actions/push/pull"), 404, "unknown-action")


def test_what_was_taught_elsewhere_tells_of_its_lesson(client: TestClient, taught: Taught) -> None:
    known = taught.library
    action_heads.import_head(known, action_heads.export_head(known, TAUGHT), replace=True)
    (row,) = [row for row in client.get("/v1/actions").json()["actions"] if row["action"] == TAUGHT]
    assert row["report"]["imported"] is True and row["report"]["positives"] == len(taught.cat_clips) - 2
    assert client.get(f"/v1/actions/{TAUGHT}").json() == describe_action(known, TAUGHT)


# --- corrections, removal ------------------------------------------------------------------


def test_feedback_is_kept_and_a_rejected_tag_goes(client: TestClient, taught: Taught) -> None:
    coffee = taught.videos["coffee.mp4"]
    clip = client.get("/v1/clips", params={"video_id": coffee}).json()["clips"][0]
    right = client.post(
        "/v1/feedback", json={"clip_id": clip["clip_id"], "action": " Archery", "correct": True}
    )
    counts = {"action": "archery", "positive": 1, "negative": 0}
    assert right.json() == counts | {
        "removed": 0,
        "note": None,
        "example_id": right.json()["example_id"],
        "lesson": None,
    }
    assert segments(client, "archery")["total"] == 1
    wrong = client.post(
        "/v1/feedback", json={"clip_id": clip["clip_id"], "action": "archery", "correct": False}
    )
    counts = {"action": "archery", "positive": 0, "negative": 1}  # in place of the first
    assert wrong.json().items() >= (counts | {"removed": 1, "note": None}).items()
    assert client.get("/v1/actions").json()["untaught"] == [counts]
    assert segments(client, "archery")["total"] == 0
    assert segments(client, "jogging", video_id=coffee)["total"] == 1
    body = {"query": [{"clip_id": taught.cat_clips[0]}], "filters": {"video_ids": [coffee]}}
    for hit in client.post("/v1/search", json=body).json()["hits"]:
        assert "archery" not in [tag["action"] for tag in hit["actions"]]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"clip_id": 999_999}, 404),
        ({"clip_id": 0}, 422),
        ({"clip_id": 2**64}, 422),
        ({"action": ""}, 422),
        ({"action": "x" * 101}, 422),
        ({"action": "a\0b"}, 422),
        ({"correct": "yes"}, 422),
        ({"correct": None}, 422),
        ({"note": "?"}, 422),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(
    client: TestClient, changes: dict[str, Any], status: int
) -> None:
    body = {"clip_id": 1, "action": "archery", "correct": True} | changes
    assert_problem(client.post("/v1/feedback", json=body), status)


def test_a_deleted_video_takes_its_segments_along(client: TestClient, taught: Taught) -> None:
    gone = taught.videos["rocket.mp4"]
    clip = client.get("/v1/clips", params={"video_id": gone}).json()["clips"][0]
    said = {"clip_id": clip["clip_id"], "action": "polishing", "correct": True}
    assert client.post("/v1/feedback", json=said).status_code == 200
    clips = client.get("/v1/clips", params={"video_id": gone}).json()["total"]
    seen = segments(client, "jogging", video_id=gone)["total"]
    removed = client.delete(f"/v1/videos/{gone}").json()
    assert removed == {"videos": 1, "clips": clips, "segments": seen, "examples": 1}
    left = segments(client, "jogging")
    assert left["total"] == 1 and gone not in {one["video_id"] for one in left["segments"]}
    assert_problem(client.get(f"/v1/videos/{gone}/segments"), 404)
    rows = {row["action"]: row for row in client.get("/v1/actions").json()["actions"]}
    assert rows["jogging"]["segments"] == 1
    assert "rocket" not in export(client, "csv").text


# --- names that no head knows --------------------------------------------------------------


def test_a_library_that_tags_by_name_answers_other_names_too(archive: Path, tmp_path: Path) -> None:
    library = Library(tmp_path, device="cpu", create=True)
    app = create_app(library, device="cpu")
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        response = client.get("/v1/segments", params={"action": "a rocket"})
        assert "ingest" in assert_problem(response, 409)["detail"]
        assert client.get("/v1/actions").json() == {"actions": [], "heads": [], "untaught": []}
        films = [str(archive / "cats"), str(archive / "others" / "motorcycle.mp4")]
        ingest(library, films, IngestOptions(encoder="offline", device="cpu", workers=1))
        problem = assert_problem(client.get("/v1/segments", params={"action": "a cat"}), 404)
        assert "nothing was taught yet" in problem["detail"]
        zero_shot.add_zero_shot(library, ["archery"])
        answer = segments(client, "a cat")
        assert (answer["how"], answer["names"]) == ("zero-shot", ["a cat"])
        assert answer["total"] == len(answer["segments"]) >= len(CAT_FILMS)
        assert {Path(one["path"]).name for one in answer["segments"]} == set(CAT_FILMS)
        assert {one["head"] for one in answer["segments"]} == {"zero-shot"}
        pages: list[dict[str, Any]] = []
        cursor = None
        while cursor is not None or not pages:
            page = segments(client, "a cat", limit=1, **({"cursor": cursor} if cursor else {}))
            pages += page["segments"]
            cursor = page["next_cursor"]
        assert pages == answer["segments"]
        assert len(export(client, "csv", action="a cat").text.splitlines()) == 1 + len(pages)
        # The answer is kept, but not beyond a change of the library.
        gone = pages[0]["video_id"]
        finder, wanted = app.state.services.finder, SegmentQuery(("a cat",))
        assert finder.find(wanted) is finder.find(wanted)
        client.delete(f"/v1/videos/{gone}")
        left = [one for one in pages if one["video_id"] != gone]
        assert segments(client, "a cat")["segments"] == left
        check_that_a_rejected_clip_is_no_hit(client, left)
    library.close()


def check_that_a_rejected_clip_is_no_hit(client: TestClient, before: list[dict[str, Any]]) -> None:
    """What people said of a clip counts for a name on the fly, at once and for its clip alone."""
    video = before[0]["video_id"]
    clip = client.get("/v1/clips", params={"video_id": video}).json()["clips"][0]

    def is_in_clip(one: dict[str, Any]) -> bool:
        shared = min(one["end_seconds"], clip["end_seconds"]) - max(
            one["start_seconds"], clip["start_seconds"]
        )
        return one["video_id"] == video and shared > 1e-6

    body = {"query": [{"text": "a cat"}], "filters": {"action": "a cat"}, "limit": 1000}

    def hits() -> set[int]:
        return {hit["clip_id"] for hit in client.post("/v1/search", json=body).json()["hits"]}

    assert any(map(is_in_clip, before)) and clip["clip_id"] in (hits_before := hits())
    said = {"clip_id": clip["clip_id"], "action": "A cat", "correct": False}
    assert client.post("/v1/feedback", json=said).status_code == 200
    after = segments(client, "a cat")["segments"]
    assert not any(map(is_in_clip, after))
    assert hits() == hits_before - {clip["clip_id"]}
    others = [one for one in before if one["video_id"] != video]
    assert [one for one in after if one["video_id"] != video] == others
