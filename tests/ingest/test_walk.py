"""Walking folders: order, loops, hidden files, names and what cannot be read."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from pathlib import Path

import pytest

from indexer.ingest.walk import FoundFile, content_digest, find_files, looks_like_video
from search.file_names import os_path


def names(found: list[FoundFile], root: Path) -> list[str]:
    return [os.path.relpath(file.path, root) for file in found if file.reason is None]


def test_files_come_in_order_with_their_size_and_time(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/z.mkv", "a/c/d.mov", "a.mp4", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    found = list(find_files([tmp_path]))
    assert names(found, tmp_path) == ["a/c/d.mov", "a/z.mkv", "a.mp4", "b.mp4", "notes.txt"]
    assert [f.size_bytes for f in found] == [9, 7, 5, 5, 9]
    assert found[2].mtime_ns == (tmp_path / "a.mp4").stat().st_mtime_ns
    assert [f.looks_like_video for f in found] == [True, True, True, True, False]
    assert found == list(find_files([str(tmp_path)]))


def test_hidden_files_below_are_left_out_but_not_those_asked_for(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    for name in (".hidden.mp4", ".cache/a.mp4", "seen.mp4"):
        (tmp_path / name).write_bytes(b"x")
    assert names(list(find_files([tmp_path])), tmp_path) == ["seen.mp4"]
    asked = find_files([tmp_path / ".cache", tmp_path / ".hidden.mp4"])
    assert names(list(asked), tmp_path) == [".cache/a.mp4", ".hidden.mp4"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    archive, outside = tmp_path / "archive", tmp_path / "outside"
    (archive / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "x.mp4").write_bytes(b"x")
    (archive / "a.mp4").write_bytes(b"a")
    (archive / "deep" / "loop").symlink_to(archive, target_is_directory=True)
    (archive / "self").symlink_to("self")
    (archive / "nowhere.mp4").symlink_to(tmp_path / "none.mp4")
    (archive / "outside").symlink_to(outside, target_is_directory=True)
    (archive / "z.mp4").symlink_to(archive / "a.mp4")
    found = list(find_files([archive]))
    assert names(found, archive) == ["a.mp4", "outside/x.mp4"]  # the link's name is kept
    assert [os.path.relpath(f.path, archive) for f in found if f.reason] == ["self"]


def test_links_come_last_and_take_no_names(tmp_path: Path) -> None:
    for name in ("b/x.mp4", "c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    links = {"a": "b", "a.mp4": "c.mp4", "loop": ".", "nowhere": "none"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    told: list[str] = []
    found = list(find_files([tmp_path], on_link=told.append))
    assert names(found, tmp_path) == ["b/x.mp4", "c.mp4"]
    assert told == [str(tmp_path / link) for link in links]


def test_overlapping_paths_list_a_file_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a")
    os.link(tmp_path / "a.mp4", tmp_path / "b.mp4")
    found = find_files([tmp_path / "a.mp4", tmp_path, tmp_path])
    assert names(list(found), tmp_path) == ["a.mp4"]


def test_odd_names(tmp_path: Path) -> None:
    odd = ["a b.mp4", "new\nline.mp4", "🦜.mp4", "üñí.mp4"]
    for name in odd:
        (tmp_path / name).write_bytes(b"x")
    assert names(list(find_files([tmp_path])), tmp_path) == sorted(odd, key=os.fsencode)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in a name")
def test_a_name_that_is_no_text_is_found_and_leads_back(tmp_path: Path) -> None:
    places = [os.fsencode(tmp_path) + b"/" + name for name in (b"\xff.txt", b"\xff\xfe.mp4")]
    for place in places:
        Path(os.fsdecode(place)).write_bytes(b"x")
    found = list(find_files([tmp_path]))
    assert [os.fsencode(os_path(one.path)) for one in found] == places
    assert [one.reason for one in found] == [None, None]
    for one in found:
        one.path.encode("utf-8")


def test_a_name_that_would_be_taken_for_another_is_a_failure(tmp_path: Path) -> None:
    for name in ("\U000fdcff.mp4", "\U000fdcff.txt"):
        (tmp_path / name).write_bytes(b"x")
    (found,) = find_files([tmp_path])
    assert "rename" in (found.reason or "") and found.looks_like_video


def test_what_cannot_be_walked_is_told(tmp_path: Path) -> None:
    missing = list(find_files([tmp_path / "none"]))
    assert len(missing) == 1
    assert "no such" in (missing[0].reason or "")
    locked = tmp_path / "locked"
    locked.mkdir()
    (tmp_path / "a.mp4").write_bytes(b"a")
    locked.chmod(0)
    try:
        found = list(find_files([tmp_path]))
    finally:
        locked.chmod(0o755)
    assert names(found, tmp_path) == ["a.mp4"]
    if os.geteuid() != 0:
        assert ["permission" in (f.reason or "") for f in found if f.reason] == [True]


def test_pipes_and_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # socket names may not be long
    os.mkfifo("pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")
        assert list(find_files(["."])) == []


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a")
    monkeypatch.chdir(tmp_path)
    assert [f.path for f in find_files(["a.mp4"])] == [str(tmp_path / "a.mp4")]


def test_deep_folders_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "a.mp4").write_bytes(b"a")
    assert len(list(find_files([tmp_path]))) == 1


def test_video_names() -> None:
    for name in ("a.MP4", "b.mkv", "c.webm", "d.MTS", "e.mov", "f.avi", "g.wmv", "h.3gp"):
        assert looks_like_video(name)
    for name in ("a.txt", "b.jpg", "c.mp3", "mp4", ".mp4", "d.srt", "e"):
        assert not looks_like_video(name)


def test_content_digest(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(b"")
    assert content_digest(str(tmp_path / "a")) == hashlib.sha256(content).hexdigest()
    assert content_digest(str(tmp_path / "b")) == hashlib.sha256(b"").hexdigest()
