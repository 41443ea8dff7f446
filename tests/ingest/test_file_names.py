"""Names of files and folders as people have them, and files that took the place of others."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from video_factory import moving, read_stamp, write_video

from api.app import create_app
from indexer.ingest.pipeline import IngestOptions, IngestSummary, ingest
from indexer.keeping.check import check
from indexer.video.types import SamplingOptions
from search.file_names import is_ambiguous, os_path, shown_path, stored_path
from search.file_state import FileState
from search.library import Library
from search.types import Filters

SECONDS = 2


def run(library: Library, *paths: Path | str) -> IngestSummary:
    return ingest(library, [str(path) for path in paths], IngestOptions())


def film(path: Path | str, seed: int = 0) -> Path:
    return write_video(path, moving(25 * SECONDS, seed=seed), fps=25)


def listed(indexer, library: Library, *words: object) -> list[str]:
    ran = indexer("videos", *words, "--json", library=library.folder)
    return [video["path"] for video in json.loads(ran.out)["videos"]] if ran.code == 0 else []


def test_a_folder_is_found_in_every_spelling(library, indexer, tmp_path):
    as_a_mac = tmp_path / unicodedata.normalize("NFD", "Übung")
    as_typed = tmp_path / unicodedata.normalize("NFC", "Übung")
    as_a_mac.mkdir()
    film(as_a_mac / "one.mp4")
    assert run(library, as_a_mac).indexed == 1
    for name in (as_a_mac, as_typed):
        assert listed(indexer, library, name) == [str(as_a_mac / "one.mp4")]
        for ending in ("", "/", "*"):
            ran = indexer("search", "a person", "--json", "--path-prefix", f"{name}{ending}",
                          library=library.folder)  # fmt: skip
            assert len(json.loads(ran.out)["hits"]) == 1


def test_a_folder_does_not_take_another_that_begins_so(library, indexer, tmp_path):
    for name in ("football", "football2"):
        (tmp_path / name).mkdir()
        film(tmp_path / name / "match.mp4", seed=len(name))
    run(library, tmp_path / "football", tmp_path / "football2")

    def found(prefix: str) -> set[str]:
        ran = indexer("search", "a person", "--json", "--path-prefix", prefix, library=library.folder)
        return {Path(hit["path"]).parent.name for hit in json.loads(ran.out)["hits"]}

    assert found(str(tmp_path / "football")) == {"football"}
    assert found(f"{tmp_path}/foot*") == {"football", "football2"}
    assert found(f"{tmp_path}/foot") == set()


def test_a_name_that_is_no_utf8_is_indexed_shown_and_served(library, indexer, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    film(folder / "plain.mp4", seed=3)
    os.rename(folder / "plain.mp4", os.fsencode(folder) + b"/caf\xe9.mp4")
    raw = f"{folder}/caf\udce9.mp4"
    summary = run(library, folder)
    assert (summary.indexed, summary.failed) == (1, [])
    (path,) = listed(indexer, library)
    path.encode("utf-8")
    assert path == stored_path(raw) and os_path(path) == raw and shown_path(path).endswith("caf\\xe9.mp4")
    assert listed(indexer, library, raw) == listed(indexer, library, path) == [path]
    assert "caf\\xe9.mp4" in indexer("videos", library=library.folder).out
    assert run(library, folder).unchanged == 1
    with library.read() as catalog:
        (video,) = catalog.list_videos()
    with TestClient(create_app(library), base_url="http://localhost") as client:
        assert client.get(f"/v1/frames/{video.id}", params={"t": 1.0}).status_code == 200
        assert client.get(f"/v1/videos/{video.id}/file").content == Path(raw).read_bytes()
        assert client.get("/v1/videos").json()["videos"][0]["path"] == path
    ran = indexer("remove", raw, library=library.folder)
    assert ran.code == 0 and listed(indexer, library) == []


def test_what_is_shown_of_a_name_is_no_other_name(library, indexer, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    names = {"new\nline.mp4": "new\\nline.mp4", r"new\nline.mp4": r"new\\nline.mp4"}
    for number, name in enumerate(names):
        film(folder / name, seed=number)
    film(folder / "\U000fdc80private.mp4", seed=5)
    ran = indexer("ingest", folder, "--device", "cpu", library=library.folder)
    assert ran.code == 1 and "2 indexed, 0 unchanged, 1 failed" in ran.err
    (line,) = [line for line in ran.err.splitlines() if "failed" in line and "private.mp4" in line]
    assert "\\x80" not in line and "/<U+FDC80>private.mp4: " in line
    ran = indexer("videos", library=library.folder)
    shown = [line.rpartition("/")[2] for line in ran.out.splitlines() if ".mp4" in line]
    assert sorted(shown) == sorted(names.values())


@pytest.mark.parametrize("path", ["/a/b.mp4", "/ä/\U0010ffff.mp4", "/caf\udce9\udc80\udcff", "/\U0001f3ac"])
def test_stored_names_lead_back(path):
    assert not is_ambiguous(path)
    assert os_path(stored_path(path)) == path
    stored_path(path).encode("utf-8")


def indexed_with_other_names(library, tmp_path):
    """A film that is indexed, its folder, and another that links to it; `tmp_path / "link"` is the folder."""
    archive, others = tmp_path / "archive", tmp_path / "others"
    archive.mkdir(), others.mkdir()
    path = film(archive / "one.mp4")
    run(library, archive)
    os.link(path, others / "hard.mp4")
    (others / "soft.mp4").symlink_to(path)
    (tmp_path / "link").symlink_to(archive)
    return path, archive, others


def test_a_file_is_found_by_each_of_its_names(library, indexer, tmp_path):
    path, _, others = indexed_with_other_names(library, tmp_path)
    for name in (others / "hard.mp4", others / "soft.mp4", tmp_path / "link", tmp_path / "link" / "one.mp4"):
        assert listed(indexer, library, name) == [str(path)]
    assert listed(indexer, library, others) == []
    ran = indexer("search", "a person", "--json", "--path-prefix", tmp_path / "link", library=library.folder)
    assert len(json.loads(ran.out)["hits"]) == 1


def test_a_file_keeps_its_name_where_it_is_found_by_another(library, indexer, tmp_path):
    path, archive, others = indexed_with_other_names(library, tmp_path)
    names = [others / "hard.mp4", others / "soft.mp4", tmp_path / "link", archive]
    for name in [*names, *names]:  # the second time nothing is read
        summary = run(library, name)
        assert (summary.unchanged, summary.moved, summary.indexed, summary.missing) == (1, 0, 0, 0)
        assert listed(indexer, library) == [str(path)]
    path.unlink()
    assert run(library, archive).missing == 1
    assert run(library, others / "hard.mp4").moved == 1
    assert listed(indexer, library) == [str(others / "hard.mp4")]


def test_a_file_found_by_another_name_is_read_anew_by_its_own(library, indexer, tmp_path):
    path = film(tmp_path / "one.mp4")
    run(library, path)
    os.link(path, tmp_path / "other.mp4")
    sampling = SamplingOptions.from_json(library.record().sampling).changed(fps=4.0)
    assert ingest(library, [str(tmp_path / "other.mp4")], IngestOptions(sampling=sampling)).indexed == 1
    assert listed(indexer, library) == [str(path)]


def test_filters_follow_links_as_look_ups_do(library, indexer, tmp_path):
    archive, others = tmp_path / "archive", tmp_path / "others"
    archive.mkdir(), others.mkdir()
    path = film(archive / "one.mp4", seed=1)
    film(archive / "two.mp4", seed=2)
    run(library, archive)
    os.link(path, others / "hard.mp4")
    (others / "soft.mp4").symlink_to(path)
    (tmp_path / "link").symlink_to(archive)
    wanted = {
        others / "hard.mp4": {"one"},
        others / "soft.mp4": {"one"},
        tmp_path / "link": {"one", "two"},
        f"{tmp_path}/link/": {"one", "two"},
        f"{tmp_path}/link/o*": {"one"},
        tmp_path / "link" / "two.mp4": {"two"},
        others: set(),
        tmp_path / "nowhere": set(),
        f"{others}/*": set(),
    }
    with TestClient(create_app(library), base_url="http://localhost") as client:
        for prefix, names in wanted.items():
            ran = indexer("search", "a person", "--json", "--path-prefix", prefix, library=library.folder)
            assert {Path(hit["path"]).stem for hit in json.loads(ran.out)["hits"]} == names, prefix
            found = client.get("/v1/clips", params={"path_prefix": str(prefix)}).json()
            assert {Path(clip["path"]).stem for clip in found["clips"]} == names, prefix
            body = {"query": [{"text": "a person"}], "filters": {"path_prefix": str(prefix)}}
            hits = client.post("/v1/search", json=body).json()["hits"]
            assert {Path(hit["path"]).stem for hit in hits} == names, prefix


def test_swapped_names_are_noticed(library, tmp_path):
    one, two = film(tmp_path / "one.mp4", seed=1), film(tmp_path / "two.mp4", seed=2)
    size = max(one.stat().st_size, two.stat().st_size) + 64
    for path in (one, two):  # a `free` box makes both of one size
        rest = size - path.stat().st_size
        path.write_bytes(path.read_bytes() + rest.to_bytes(4, "big") + b"free" + bytes(rest - 8))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    run(library, tmp_path)
    before = embeddings(library)
    for source, target in (("one", "three"), ("two", "one"), ("three", "two")):
        os.rename(tmp_path / f"{source}.mp4", tmp_path / f"{target}.mp4")
    assert one.stat().st_size == two.stat().st_size and one.stat().st_mtime == two.stat().st_mtime
    run(library, tmp_path)
    after = embeddings(library)
    assert np.array_equal(after["one.mp4"], before["two.mp4"])
    assert np.array_equal(after["two.mp4"], before["one.mp4"])


def embeddings(library: Library) -> dict[str, np.ndarray]:
    with library.read() as catalog:
        clips = catalog.clips(catalog.clip_ids(Filters()).tolist()).values()
        dim = library.record().dim
        return {Path(clip.path).name: catalog.embeddings([clip.id], dim)[0] for clip in clips}


def test_a_file_replaced_under_the_same_size_and_time_is_noticed(library, tmp_path):
    path, other = film(tmp_path / "one.mp4", seed=1), film(tmp_path / "other.mp4", seed=2)
    size = max(path.stat().st_size, other.stat().st_size) + 64
    for file in (path, other):
        rest = size - file.stat().st_size
        file.write_bytes(file.read_bytes() + rest.to_bytes(4, "big") + b"free" + bytes(rest - 8))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    run(library, path)
    path.write_bytes(other.read_bytes())
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert run(library, path).indexed == 1


def of_equal_size(*paths: Path) -> None:
    """A `free` box makes the files of one size and of one modification time, and keeps what they show."""
    size = max(path.stat().st_size for path in paths) + 64
    for path in paths:
        rest = size - path.stat().st_size
        path.write_bytes(path.read_bytes() + rest.to_bytes(4, "big") + b"free" + bytes(rest - 8))
        os.utime(path, (1_700_000_000, 1_700_000_000))


def test_nothing_of_a_file_that_was_replaced_is_served_again(library, tmp_path):
    """Same size, modification time and inode: frame n of the first is stamped n, of the second 200 + n."""
    path = write_video(tmp_path / "one.mp4", moving(50, seed=1), fps=25)
    other = write_video(tmp_path / "other.mp4", moving(50, seed=2, first=200), fps=25)
    of_equal_size(path, other)
    run(library, path)
    before = path.stat()
    with library.read() as catalog:
        (video,) = catalog.list_videos()
    with TestClient(create_app(library), base_url="http://localhost") as client:

        def look() -> tuple[int, list[int], list[int], set[str]]:
            still = client.get(f"/v1/frames/{video.id}", params={"t": 0.48, "size": 144})
            numbers, etags = [], set()
            for kind in ("preview", "cut"):
                params = {"start_seconds": 0.48, "end_seconds": 1.0}
                made = client.get(f"/v1/videos/{video.id}/{kind}", params=params)
                assert made.status_code == 200, made.text
                etags.add(made.headers["etag"])
                with av.open(io.BytesIO(made.content)) as opened:
                    frame = next(opened.decode(video=0)).reformat(192, 144, "rgb24")
                    numbers.append(read_stamp(frame.to_ndarray()))
            picture = np.asarray(Image.open(io.BytesIO(still.content)).resize((192, 144)))
            return read_stamp(picture), numbers, etags, kept()

        def kept() -> set[str]:
            return {folder.name for folder in (library.folder / "previews" / str(video.id)).iterdir()}

        def is_changed() -> bool:
            return client.get(f"/v1/videos/{video.id}/timeline").json()["changed"]

        still, numbers, etags, states = look()
        assert (still, numbers, is_changed()) == (12, [12, 12], False)
        with path.open("r+b") as file:
            file.write(other.read_bytes())
        os.utime(path, (1_700_000_000, 1_700_000_000))
        after = path.stat()
        assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
            before.st_size, before.st_mtime_ns, before.st_ino)  # fmt: skip
        assert is_changed()
        assert next(one for one in check(library).findings if one.name == "files unchanged").wrong == 1
        assert run(library, path).indexed == 1
        assert kept() == set() and not is_changed() and check(library).ok
        still, numbers, new_etags, new_states = look()
        assert (still, numbers) == (212, [212, 212])
        assert not etags & new_etags and not states & new_states and len(new_states) == 1


def test_a_state_of_a_file_counts_what_is_known_of_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    state = FileState.of(path.stat())
    older = FileState(state.size_bytes, state.mtime_ns)
    assert state.size_bytes == 3 and state.is_same(older) and older.is_same(state)
    assert older.is_named(state.key) and state.is_named(state.key) and not state.is_named(older.key)
    os.chmod(path, 0o600)
    touched = FileState.of(path.stat())
    assert not touched.is_same(state) and touched.is_same(older) and not state.is_named(touched.key)


def test_a_file_that_was_only_touched_is_not_indexed_again(library, tmp_path):
    path = film(tmp_path / "one.mp4")
    assert run(library, path).indexed == 1
    path.chmod(0o600)  # changes its inode, not its content
    summary = run(library, path)
    assert (summary.indexed, summary.unchanged) == (0, 1)
    with library.read() as catalog:
        assert catalog.list_videos()[0].ctime_ns == path.stat().st_ctime_ns


@pytest.mark.parametrize(
    ("name", "rate", "timecode"),
    [
        ("drop.mov", "30000/1001", "01:00:00;00"),
        ("plain.mov", "25", "10:00:00:00"),
        ("none.mov", "25", None),
        ("fast.mov", "120", "00:00:10:029"),
        ("stream.mkv", "25", "04:00:00:12"),
        ("file.mkv", "25", "04:00:00:12"),
    ],
)
def test_the_time_code_of_a_file_comes_to_the_editor(library, tmp_path, indexer, name, rate, timecode):
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if timecode:
            (output if name == "file.mkv" else stream).metadata["timecode"] = timecode
        for picture in moving(30, seed=1):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            output.mux(stream.encode(frame.reformat(64, 48, "yuv420p")))
        output.mux(stream.encode())
    run(library, path)
    (video,) = json.loads(indexer("videos", "--json", library=library.folder).out)["videos"]
    assert video["timecode"] == timecode


def test_footage_that_comes_unevenly_is_counted_in_its_finest_step(library, tmp_path, indexer):
    """Frames at whole 25ths of a second, most of them a second or more apart."""
    places = [0, 1, 2, 30, 31, 32, 33, 80, 120, 121, 150, 200, 230, 231, 233, 260, 300, 301, 340, 375]
    path = write_video(
        tmp_path / "screen.mp4",
        moving(len(places)),
        times=[place / 25 for place in places],
        tick=Fraction(1, 12800),
    )
    run(library, path)
    with library.read() as catalog:
        (video,) = catalog.list_videos()
    assert video.average_fps is not None and video.average_fps < 3 and video.base_fps == 25.0
