"""`indexer summarize` and the routes of summaries, on made videos with known repeats, by the real encoder."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
import webvtt
from fastapi.testclient import TestClient
from PIL import Image
from programs import MODEL_LIBRARIES, Ran, modules_after
from server import asked, assert_problem
from skimage import data
from video_factory import moving, shift_times, write_video

from api.app import create_app
from api.settings import ServerSettings
from encoders.errors import EncoderMismatchError
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.ingest.previews import sweep_previews
from indexer.keeping.summaries import scores_of, summarize
from search.library import Library
from search.summary.budget import Budget

FPS = 8
SHOT_SECONDS, RARE_SECONDS = 3.75, 2.0
SECONDS = 16 * SHOT_SECONDS + RARE_SECONDS
PHOTOS = ("chelsea", "coffee", "rocket", "brick")
RARE = "astronaut"
ORDER = [*PHOTOS, *PHOTOS, RARE, *PHOTOS, *PHOTOS]
WIDTH, HEIGHT = 208, 156


def panned(name: str, seconds: float, seed: int) -> list[np.ndarray]:
    """A camera's look at a photograph: it moves, and no two frames are the same."""
    photo = Image.fromarray(getattr(data, name)()).convert("RGB")
    random = np.random.default_rng(seed)
    zoom = (1.15 + 0.1 * random.random()) * max(WIDTH / photo.width, HEIGHT / photo.height)
    wide = np.asarray(photo.resize((round(photo.width * zoom), round(photo.height * zoom))))
    frames = []
    for number in range(round(seconds * FPS)):
        left = min(number // 2, wide.shape[1] - WIDTH)
        frame = wide[:HEIGHT, left : left + WIDTH].astype(np.int16)
        grain = random.integers(-4, 5, frame.shape, dtype=np.int16)
        frames.append((frame + grain).clip(0, 255).astype(np.uint8))
    return frames


def scene_at(seconds: float) -> str:
    """What the made video shows at a time."""
    begins = 0.0
    for name in ORDER:
        begins += RARE_SECONDS if name == RARE else SHOT_SECONDS
        if seconds < begins:
            return name
    raise AssertionError(f"the video is over at {seconds}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("archive")
    frames = []
    for number, name in enumerate(ORDER):
        frames += panned(name, RARE_SECONDS if name == RARE else SHOT_SECONDS, number)
    write_video(made / "repeats.mp4", frames, fps=FPS, key_every=FPS, sound_seconds=SECONDS)
    write_video(made / "black.mp4", [np.zeros((90, 120, 3), np.uint8)] * 24, fps=FPS)
    write_video(made / "one.mp4", moving(1))
    write_video(made / "tall.mp4", [frame[:, :98] for frame in panned("coffee", 3, 1)], fps=FPS, key_every=8)
    write_video(made / "early.mkv", moving(75), key_every=25)
    shift_times(made / "early.mkv", made / "late.mkv", 7.0)
    (made / "early.mkv").unlink()
    (made / "text.mp4").write_text("no film")
    shutil.copy(made / "one.mp4", made / "gone.mp4")
    return made


@pytest.fixture(scope="module")
def library(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    opened = Library(tmp_path_factory.mktemp("library"), device="cpu", create=True)
    write_video(folder / "gone.mp4", panned("rocket", 4, 5), fps=FPS, sound_seconds=4.0)
    summary = ingest(opened, [str(folder)], IngestOptions(encoder="offline", device="cpu"))
    assert summary.indexed == 6 and len(summary.failed) == 1
    (folder / "gone.mp4").rename(folder / "elsewhere.avi")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def ids(library: Library) -> dict[str, int]:
    with library.read() as catalog:
        return {Path(video.path).stem: video.id for video in catalog.list_videos()}


# --- the choice, on features of the real encoder ---------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.08, 0.15])
def test_a_summary_holds_the_rare_event_and_nothing_twice(
    library: Library, ids: dict[str, int], share: float
) -> None:
    with library.read() as catalog:
        found = summarize(catalog, ids["repeats"], Budget(share=share))
    shown = [scene_at(frame.key_frame.time_seconds) for frame in found.frames]
    assert RARE in shown
    assert len(shown) == len(set(shown)) >= 3
    assert found.shown_seconds <= share * SECONDS + 1e-6
    for frame in found.frames:
        middle = (frame.start_seconds + frame.end_seconds) / 2
        assert scene_at(frame.start_seconds + 1e-6) == scene_at(middle) == scene_at(frame.end_seconds - 1e-6)
        assert 0 <= frame.importance <= 1
    top = max(found.frames, key=lambda frame: frame.importance)
    assert scene_at(top.key_frame.time_seconds) == RARE and top.importance > 0.8


def test_every_scene_is_shown_once_where_there_is_room(library: Library, ids: dict[str, int]) -> None:
    with library.read() as catalog:
        found = summarize(catalog, ids["repeats"], Budget(frames=12))
        every_shot = summarize(catalog, ids["repeats"], Budget(frames=40, per_shot=True))
    shown = [scene_at(frame.key_frame.time_seconds) for frame in found.frames]
    assert sorted(shown) == sorted({*PHOTOS, RARE})
    assert found.notes == ("5 of 12 frames: the video shows no more that are unlike the chosen ones",)
    times = [frame.key_frame.time_seconds for frame in every_shot.frames]
    assert [scene_at(time) for time in times] == ORDER


class Brightness:
    """An importance head of another kind: it wants the frames that are least like a given one."""

    name = "made"

    def __init__(self, encoder_id: str, wanted: np.ndarray) -> None:
        self.encoder_id = encoder_id
        self.wanted = wanted

    def importance(self, features: np.ndarray) -> np.ndarray:
        assert features.dtype == np.float32
        return np.clip(features @ self.wanted, 0, 1).astype(np.float32)


def test_a_trained_head_decides_where_there_is_one(library: Library, ids: dict[str, int]) -> None:
    with library.read() as catalog:
        record = library.record()
        (track,) = catalog.tracks(ids["repeats"], record.dim)
        coffee = int(np.searchsorted(track.times_seconds, SHOT_SECONDS + 1))
        wanted = np.float32(track.features[coffee]) / np.linalg.norm(np.float32(track.features[coffee]))
        found = summarize(catalog, ids["repeats"], Budget(frames=1), Brightness(record.encoder_id, wanted))
        assert found.by == "made"
        assert scene_at(found.frames[0].key_frame.time_seconds) == "coffee"
        with pytest.raises(EncoderMismatchError, match="reads features of another"):
            scores_of(catalog, track, Brightness("another", wanted))


# --- the command -----------------------------------------------------------------------------------


@pytest.fixture
def summarizer(indexer: Callable[..., Ran], library: Library) -> Callable[..., Ran]:
    """The command on the library of this file."""
    return partial(indexer, library=library.folder)


def test_the_command_shows_a_table_and_writes_what_is_asked_for(
    summarizer: Callable[..., Ran], folder: Path, ids: dict[str, int], tmp_path: Path
) -> None:
    board, gif, film = tmp_path / "board.jpg", tmp_path / "film.gif", tmp_path / "film.mp4"
    words = ["--budget", "9%", "--storyboard", board, "--gif", gif, "--video", film]
    ran = summarizer("summarize", folder / "repeats.mp4", *words, "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["video_id"] == ids["repeats"] and document["by"] == "representativeness"
    assert document["duration_seconds"] == pytest.approx(SECONDS)
    assert document["written"] == [str(board), str(gif), str(film)]
    shown = document["key_frames"]
    assert {scene_at(frame["time_seconds"]) for frame in shown} == {*PHOTOS, RARE}
    seconds = sum(frame["end_seconds"] - frame["start_seconds"] for frame in shown)
    assert document["shown_seconds"] == pytest.approx(seconds, abs=1e-4)
    with av.open(str(film)) as opened:
        video = opened.streams.video[0]
        assert [stream.codec_context.name for stream in opened.streams] == ["h264", "aac"]
        assert float(video.duration * video.time_base) == pytest.approx(seconds, abs=0.01)
    with Image.open(gif) as picture:
        lasting = 0
        for number in range(picture.n_frames):
            picture.seek(number)
            lasting += picture.info["duration"]
    assert lasting / 1000 == pytest.approx(seconds, abs=0.3)
    with Image.open(board) as picture:
        assert picture.size == (3 * 326 + 6, 2 * 246 + 6)  # five tiles of 320 x 240
    table = summarizer("summarize", ids["repeats"], "--frames", "3")
    assert table.code == 0 and "3 key frames of" in table.out and "representativeness" in table.out
    assert len(table.out.splitlines()) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board.jpg", "film.gif", "film.mp4"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere.mp4",), 1, "not in this library"),
        (("nowhere.mp4",), 1, "`indexer videos` lists"),
        (("99999",), 1, "no video 99999"),
        (("repeats", "--budget", "much"), 2, "such as 15%"),
        (("repeats", "--budget", "0%"), 2, "above 0 %"),
        (("repeats", "--budget", "200%"), 2, "at most 100 %"),
        (("repeats", "--budget", "10%", "--frames", "3"), 2, "one budget"),
        (("repeats", "--threshold", "1"), 2, "no frame is more important than 1; the most important has"),
        (("repeats", "--storyboard", "a.mp4"), 2, "should end in .jpg"),
        (("repeats", "--video", "no/such/folder/a.mp4"), 2, "there is no folder"),
        (("text",), 1, "nothing of"),
        (("gone", "--video", "a.mp4"), 1, "--storyboard and --gif work"),
        (("repeats", "--importance", __file__), 1, ""),
    ],
)
def test_what_cannot_be_done_is_said(
    summarizer: Callable[..., Ran], ids: dict[str, int], words: tuple[str, ...], code: int, said: str
) -> None:
    if "--importance" in words:
        pytest.importorskip("encoders.heads.importance")
    ran = summarizer("summarize", ids.get(words[0], words[0]), *words[1:])
    assert ran.code == code and said in ran.err and "error:" in ran.err
    assert not Path("a.mp4").exists()


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_footage_is_never_written_onto(
    summarizer: Callable[..., Ran], folder: Path, tmp_path: Path, link: Callable[[Path, Path], None] | None
) -> None:
    whole = (folder / "one.mp4").read_bytes()
    target = folder / "." / "one.mp4"
    if link is not None:
        target = tmp_path / "other name.mp4"
        link(folder / "one.mp4", target)
    for source in ("one.mp4", "repeats.mp4"):
        ran = summarizer("summarize", folder / source, "--frames", "1", "--video", target)
        assert ran.code == 2 and "would destroy it" in ran.err
        assert (folder / "one.mp4").read_bytes() == whole
    ran = summarizer("summarize", folder / "one.mp4", "--frames", "1", "--video", folder / "gone.mp4")
    assert ran.code == 2 and not (folder / "gone.mp4").exists()  # offline only: its place is its own
    other = tmp_path / "film.mp4"
    other.write_text("an older film")
    ran = summarizer("summarize", folder / "one.mp4", "--frames", "1", "--video", other)
    assert ran.code == 0 and other.read_bytes()[4:8] == b"ftyp"


def test_videos_are_listed_with_the_ids_that_commands_take(
    summarizer: Callable[..., Ran], folder: Path, ids: dict[str, int]
) -> None:
    lines = summarizer("videos").out.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [
        [str(number), "failed" if name == "text" else "indexed"] for name, number in sorted(ids.items())
    ]
    (whole,) = [line for line in lines if "repeats" in line]
    assert whole.split()[2:] == ["1:02.0", *str(folder / "repeats.mp4").split()]  # however long
    listed = json.loads(summarizer("videos", folder / "tall.mp4", "--json").out)["videos"]
    assert [(one["id"], one["duration_seconds"]) for one in listed] == [(ids["tall"], 3.0)]
    assert summarizer("videos", folder / "ta").code == 1  # a folder or a file, not a beginning of names
    assert str(summarizer("status").out).count("…") == 0


def test_a_backwards_span_and_a_long_one_are_told_apart(client: TestClient, ids: dict[str, int]) -> None:
    for kind in ("cut", "preview"):
        url = f"/v1/videos/{ids['repeats']}/{kind}"
        said = refusal(client.get(url, params={"start_seconds": 3, "end_seconds": 1}), 422)
        assert "must end after it starts" in said and "shorter" not in said
        said = refusal(client.get(url, params={"start_seconds": 0, "end_seconds": 700}), 422)
        assert "ask for a shorter one" in said


def test_an_emptied_file_is_not_a_range_that_is_wrong(
    client: TestClient, folder: Path, ids: dict[str, int]
) -> None:
    url, content = f"/v1/videos/{ids['text']}/file", (folder / "text.mp4").read_bytes()
    beyond = client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert beyond.status_code == 416
    (folder / "text.mp4").write_bytes(b"")
    said = refusal(client.get(url, headers={"Range": "bytes=0-"}), 404)
    assert "0 bytes long" in said
    (folder / "text.mp4").write_bytes(content)


def test_bounds_that_no_clip_can_meet_are_refused(client: TestClient) -> None:
    bounds = {"min_duration_seconds": 5, "max_duration_seconds": 2}
    assert "5 s or more and 2 s or less" in refusal(client.get("/v1/clips", params=bounds), 422)
    body = {"query": [{"text": "a cat"}], "filters": bounds}
    refusal(client.post("/v1/search", json=body), 422)


def test_a_budget_that_was_not_met_is_said(summarizer: Callable[..., Ran], ids: dict[str, int]) -> None:
    ran = summarizer("summarize", ids["black"], "--frames", "5")
    assert ran.code == 0
    assert "every frame is black" in ran.err and "1 of 5 frames" in ran.err
    ran = summarizer("summarize", ids["one"])
    assert ran.code == 0 and "1 key frame of" in ran.out


def test_without_the_file_the_stored_key_frames_are_shown(
    summarizer: Callable[..., Ran], ids: dict[str, int], tmp_path: Path
) -> None:
    ran = summarizer(
        "summarize", ids["gone"], "--gif", tmp_path / "a.gif", "--storyboard", tmp_path / "a.png"
    )
    assert ran.code == 0 and "the GIF shows stored key frames" in ran.err
    for name in ("a.gif", "a.png"):
        with Image.open(tmp_path / name) as picture:
            picture.load()


def test_a_choice_loads_no_model(library: Library, ids: dict[str, int]) -> None:
    loaded = modules_after("summarize", str(ids["repeats"]), "--library", str(library.folder))
    assert "search" in loaded and not loaded & (MODEL_LIBRARIES | {"av", "cv2", "scipy", "fastapi"})


# --- over HTTP -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    with asked(
        create_app(library, device="cpu", settings=ServerSettings(preview_cache_bytes=20_000_000))
    ) as client:
        yield client


def refusal(response: httpx.Response, status: int) -> str:
    """What a problem says."""
    return str(assert_problem(response, status)["detail"])


def test_key_frames_come_with_their_importance(client: TestClient, ids: dict[str, int]) -> None:
    url = f"/v1/videos/{ids['repeats']}/key-frames"
    every = client.get(url).json()
    assert every["by"] == "representativeness" and every["video_id"] == ids["repeats"]
    times = [frame["time_seconds"] for frame in every["key_frames"]]
    assert times == sorted(times) and len(times) > len(ORDER)
    for frame in every["key_frames"]:
        assert set(frame) == {"id", "time_seconds", "url", "importance"} and 0 <= frame["importance"] <= 1
        assert (frame["importance"] > 0.7) == (scene_at(frame["time_seconds"]) == RARE)
    some = client.get(url, params={"max": 5}).json()["key_frames"]
    assert {scene_at(frame["time_seconds"]) for frame in some} == {*PHOTOS, RARE}
    assert all(frame in every["key_frames"] for frame in some)
    above = client.get(url, params={"threshold": 0.7}).json()["key_frames"]
    assert [scene_at(frame["time_seconds"]) for frame in above] == [RARE]
    shots = client.get(url, params={"max": 50, "per_shot": True}).json()["key_frames"]
    assert [scene_at(frame["time_seconds"]) for frame in shots] == ORDER
    assert client.get(url, params={"threshold": 1}).json()["key_frames"] == []
    assert client.get(f"/v1/videos/{ids['text']}/key-frames", params={"max": 3}).json()["key_frames"] == []


@pytest.mark.parametrize(
    "path",
    [
        "videos/{id}/key-frames?max=0", "videos/{id}/key-frames?threshold=2", "videos/{id}/key-frames?most=3",
        "videos/{id}/storyboard?max=101", "videos/{id}/storyboard?columns=0", "videos/{id}/storyboard?x=1",
        "videos/{id}/sprites.jpg?x=1", "videos/{id}/preview", "videos/{id}/preview?start_seconds=0",
        "videos/{id}/preview?start_seconds=0&end_seconds=121",
        "videos/{id}/cut?start_seconds=2&end_seconds=1",
        "videos/{id}/cut?start_seconds=0&end_seconds=601", "videos/{id}/cut?start_seconds=nan&end_seconds=1",
        "clips/1/preview?size=3",
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(client: TestClient, ids: dict[str, int], path: str) -> None:
    refusal(client.get(f"/v1/{path.format(id=ids['repeats'])}"), 422)


def test_what_is_not_there_is_404(client: TestClient, ids: dict[str, int]) -> None:
    for path in (
        "key-frames",
        "storyboard",
        "sprites.jpg",
        "sprites.vtt",
        "cut?start_seconds=0&end_seconds=1",
    ):
        assert "no video 99999" in refusal(client.get(f"/v1/videos/99999/{path}"), 404)
    assert "no clip 99999" in refusal(client.get("/v1/clips/99999/preview"), 404)
    for path in ("storyboard", "sprites.jpg", "sprites.vtt"):
        assert "nothing of" in refusal(client.get(f"/v1/videos/{ids['text']}/{path}"), 404)
    span = {"start_seconds": 500, "end_seconds": 501}
    assert "it runs from" in refusal(client.get(f"/v1/videos/{ids['repeats']}/cut", params=span), 404)
    url = f"/v1/videos/{ids['repeats']}/storyboard"
    assert "the most important has" in refusal(client.get(url, params={"threshold": 1}), 404)


def test_a_storyboard_is_a_picture_that_is_asked_about_again(client: TestClient, ids: dict[str, int]) -> None:
    url = f"/v1/videos/{ids['repeats']}/storyboard"
    response = client.get(url, params={"max": 4, "columns": 2})
    assert response.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.size == (2 * 326 + 6, 2 * 246 + 6)
    etag = response.headers["etag"]
    assert response.headers["cache-control"] == "private, no-cache"
    again = client.get(url, params={"max": 4, "columns": 2}, headers={"If-None-Match": etag})
    assert again.status_code == 304 and again.content == b""
    assert client.get(url, params={"max": 3}).headers["etag"] != etag


@pytest.mark.parametrize("name", ["repeats", "black", "one", "tall", "late", "gone"])
def test_sprites_fit_their_cues(client: TestClient, ids: dict[str, int], name: str) -> None:
    video = client.get(f"/v1/videos/{ids[name]}").json()
    sheet = client.get(f"/v1/videos/{ids[name]}/sprites.jpg")
    text = client.get(f"/v1/videos/{ids[name]}/sprites.vtt")
    assert text.headers["content-type"].startswith("text/vtt")
    cues = list(webvtt.from_buffer(io.StringIO(text.text)))
    assert 1 <= len(cues) <= 100
    assert cues[0].start_in_seconds == 0
    assert (
        cues[-1].end
        == f"00:{int(video['duration_seconds'] // 60):02d}:{video['duration_seconds'] % 60:06.3f}"
    )
    with Image.open(io.BytesIO(sheet.content)) as picture:
        width, height = picture.size
        for cue in cues:
            address, _, box = cue.text.partition("#xywh=")
            left, top, wide, high = map(int, box.split(","))
            assert address == "sprites.jpg" and wide == 160
            assert high == pytest.approx(160 * video["height"] / video["width"], abs=1)
            assert 0 <= left <= width - wide and 0 <= top <= height - high
    for response in (sheet, text):
        held = {"If-None-Match": response.headers["etag"]}
        assert client.get(response.request.url.path, headers=held).status_code == 304


def test_sprites_show_what_is_there_at_their_time(client: TestClient, ids: dict[str, int]) -> None:
    sheet = client.get(f"/v1/videos/{ids['repeats']}/sprites.jpg")
    cues = webvtt.from_buffer(io.StringIO(client.get(f"/v1/videos/{ids['repeats']}/sprites.vtt").text))
    looks = {
        name: np.asarray(Image.fromarray(panned(name, 1, 0)[0]).resize((160, 120))).mean((0, 1))
        for name in {*PHOTOS, RARE}
    }
    right = 0
    with Image.open(io.BytesIO(sheet.content)) as picture:
        for cue in cues:
            left, top, wide, high = map(int, cue.text.partition("=")[2].split(","))
            colour = np.asarray(picture.crop((left, top, left + wide, top + high))).mean((0, 1))
            nearest = min(looks, key=lambda name: float(np.abs(looks[name] - colour).sum()))
            right += nearest == scene_at((cue.start_in_seconds + cue.end_in_seconds) / 2)
    assert right >= 0.9 * len(cues)  # a cell beside a cut may show its other side


def played(response: httpx.Response, tmp_path: Path) -> tuple[list[str], float, tuple[int, int]]:
    path = tmp_path / "played.mp4"
    path.write_bytes(response.content)
    with av.open(str(path)) as opened:
        video = opened.streams.video[0]
        kinds = [stream.codec_context.name for stream in opened.streams]
        return kinds, float(video.duration * video.time_base), (video.width, video.height)


def test_a_clip_is_previewed_silently_and_by_range(
    client: TestClient, ids: dict[str, int], tmp_path: Path
) -> None:
    clip = client.get("/v1/clips", params={"video_id": ids["repeats"]}).json()["clips"][0]
    url = f"/v1/clips/{clip['clip_id']}/preview"
    response = client.get(url)
    assert response.status_code == 200 and response.headers["content-type"] == "video/mp4"
    length = min(4.0, clip["end_seconds"] - clip["start_seconds"])
    kinds, seconds, size = played(response, tmp_path)
    assert kinds == ["h264"] and seconds == pytest.approx(length, abs=0.001) and size == (WIDTH, HEIGHT)
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == response.content[10:20]
    assert part.headers["etag"] == response.headers["etag"]
    same = client.get(url, headers={"Range": "bytes=0-9", "If-Range": response.headers["etag"]})
    assert same.status_code == 206
    assert client.get(url, headers={"If-None-Match": response.headers["etag"]}).status_code == 304
    refusal(client.get(url, headers={"Range": "bytes=99999999-"}), 416)


def test_spans_are_previewed_and_cut_with_sound(
    client: TestClient, ids: dict[str, int], tmp_path: Path
) -> None:
    span = {"start_seconds": 9.25, "end_seconds": 11.5}
    preview = client.get(f"/v1/videos/{ids['repeats']}/preview", params=span)
    assert "content-disposition" not in preview.headers
    made = client.get(f"/v1/videos/{ids['repeats']}/cut", params=span)
    assert made.headers["content-disposition"] == 'attachment; filename="repeats_9.250-11.500.mp4"'
    for response in (preview, made):
        kinds, seconds, size = played(response, tmp_path)
        assert kinds == ["h264", "aac"] and seconds == pytest.approx(2.25, abs=0.001)
        assert size == (WIDTH, HEIGHT)
    late = client.get(f"/v1/videos/{ids['late']}/preview", params={"start_seconds": 8, "end_seconds": 9})
    assert played(late, tmp_path)[:2] == (["h264"], pytest.approx(1.0, abs=0.001))


def test_what_is_gone_cannot_be_previewed_but_has_a_storyboard(
    client: TestClient, ids: dict[str, int]
) -> None:
    clip = client.get("/v1/clips", params={"video_id": ids["gone"]}).json()["clips"][0]
    span = {"start_seconds": 0, "end_seconds": 1}
    for response in (
        client.get(f"/v1/clips/{clip['clip_id']}/preview"),
        client.get(f"/v1/videos/{ids['gone']}/preview", params=span),
        client.get(f"/v1/videos/{ids['gone']}/cut", params=span),
    ):
        detail = refusal(response, 404)
        assert "is missing" in detail and f"/v1/videos/{ids['gone']}/key-frames" in detail
    for path in ("storyboard", "sprites.jpg", "sprites.vtt"):
        assert client.get(f"/v1/videos/{ids['gone']}/{path}").status_code == 200


def test_many_ask_for_one_preview_at_once(client: TestClient, library: Library, ids: dict[str, int]) -> None:
    clip = client.get("/v1/clips", params={"video_id": ids["repeats"]}).json()["clips"][3]
    found: list[bytes] = []

    def ask() -> None:
        found.append(client.get(f"/v1/clips/{clip['clip_id']}/preview").content)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 6 and len(set(found)) == 1 and found[0]
    assert not list((library.folder / "previews").rglob("*.part"))


# --- previews go with their video: last, since these take videos away -------------------------------


def previews_of(library: Library, video_id: int) -> list[Path]:
    return [path for path in (library.folder / "previews" / str(video_id)).rglob("*") if path.is_file()]


def test_previews_go_when_the_file_changes(
    client: TestClient, library: Library, ids: dict[str, int], folder: Path
) -> None:
    span = {"start_seconds": 0, "end_seconds": 1}
    url = f"/v1/videos/{ids['tall']}/preview"
    first = client.get(url, params=span)
    (old,) = previews_of(library, ids["tall"])
    path = folder / "tall.mp4"
    write_video(path, [frame[:, :98] for frame in panned("rocket", 3, 1)], fps=FPS, key_every=8)
    second = client.get(url, params=span)
    assert second.headers["etag"] != first.headers["etag"] and second.content != first.content
    (new,) = previews_of(library, ids["tall"])
    assert new != old
    os.utime(path, ns=(1, 1))
    sweep_previews(library)  # the catalog knows the file as it was indexed
    assert previews_of(library, ids["tall"]) == []


def test_previews_go_when_the_video_is_deleted(
    client: TestClient, library: Library, ids: dict[str, int], summarizer: Callable[..., Ran]
) -> None:
    span = {"start_seconds": 0, "end_seconds": 0.5}
    for name in ("black", "one", "late"):
        begin = 7.0 if name == "late" else 0.0
        shifted = {key: value + begin for key, value in span.items()}
        assert client.get(f"/v1/videos/{ids[name]}/preview", params=shifted).status_code == 200
        assert previews_of(library, ids[name])
    assert client.delete(f"/v1/videos/{ids['black']}").status_code == 200
    assert summarizer("remove", ids["one"]).code == 0
    with library.write() as catalog:  # by a program that knows nothing of previews
        catalog.remove_videos([ids["late"]])
    sweep_previews(library)
    for name in ("black", "one", "late"):
        assert previews_of(library, ids[name]) == []
        assert not (library.folder / "previews" / str(ids[name])).exists()
    assert previews_of(library, ids["repeats"])


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not on PATH")
def test_ffprobe_finds_nothing_wrong(client: TestClient, ids: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    span = {"start_seconds": 1, "end_seconds": 3}
    path.write_bytes(client.get(f"/v1/videos/{ids['repeats']}/cut", params=span).content)
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-count_frames", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    video = json.loads(found.stdout)["streams"][0]
    assert found.stderr == "" and int(video["nb_read_frames"]) == 2 * FPS
    assert (video["width"], video["height"], video["pix_fmt"]) == (WIDTH, HEIGHT, "yuv420p")
