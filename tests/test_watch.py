"""`indexer watch`: what happens in its folders is in the library soon, and only once it is complete."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from video_factory import moving, write_video

from indexer.ingest.types import Change, IngestOptions
from indexer.keeping.check import check
from indexer.video.types import SamplingOptions
from indexer.watching.notices import file_system_of
from indexer.watching.open_files import find_open_for_writing
from indexer.watching.watcher import Watcher, WatchOptions
from search.file_names import stored_path
from search.library import Library

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60.0  # on a machine with other things to do; the figures are measured elsewhere


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> list[bytes]:
    """The contents of three short videos."""
    folder = tmp_path_factory.mktemp("videos")
    return [
        write_video(folder / f"{number}.mp4", moving(30, seed=number), fps=25).read_bytes()
        for number in range(3)
    ]


class Watched:
    """A watcher on a thread, and what it told."""

    def __init__(self, library: Library, paths: list[Path], **options) -> None:
        self.changes: list[Change] = []
        self.said: list[str] = []
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        options = {"settle_seconds": 0.5, **options}
        self._watcher = Watcher(
            library,
            [str(path) for path in paths],
            WatchOptions(**options),
            on_change=self.changes.append,
            say=self.said.append,
            should_stop=self._stopping.is_set,
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._watcher.run()
        except BaseException as error:
            self._error = error
            raise

    def __enter__(self) -> Watched:
        self._thread.start()
        self.wait(lambda: any(line.startswith("watching") for line in self.said))
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self._error is None and time.monotonic() < deadline, (self.changes, self.said)
            time.sleep(0.05)

    def events(self) -> list[tuple[str, str]]:
        return [(change.kind, Path(change.path).name) for change in self.changes]


@pytest.fixture
def library(tmp_path, offline_encoder) -> Iterator[Library]:
    library = Library(tmp_path / "library", create=True, device="cpu")
    sampling = SamplingOptions().with_frame_size(offline_encoder.frame_size)
    library.create(offline_encoder, pooling="mean", sampling=sampling.to_json())
    yield library
    library.close()


@pytest.fixture
def archive(tmp_path, videos) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "old.mp4").write_bytes(videos[0])
    return folder


@pytest.mark.parametrize("poll_seconds", [None, pytest.param(0.5, marks=pytest.mark.slow)])
def test_new_changed_moved_and_removed_files_follow(library, archive, videos, poll_seconds):
    with Watched(library, [archive], poll_seconds=poll_seconds) as watched:
        assert watched.events() == [("indexed", "old.mp4")]
        (archive / "deep").mkdir()
        (archive / "deep" / "new.mp4").write_bytes(videos[1])
        (archive / "notes.txt").write_text("no video")
        (archive / ".hidden.mp4").write_bytes(videos[2])
        watched.wait(lambda: len(watched.changes) == 2)
        assert watched.events()[1:] == [("indexed", "new.mp4")]
        (archive / "old.mp4").write_bytes(videos[2])
        watched.wait(lambda: len(watched.changes) == 3)
        assert watched.events()[2:] == [("changed", "old.mp4")]
        (archive / "deep").rename(archive / "deeper")
        watched.wait(lambda: len(watched.changes) == 4)
        assert watched.changes[3] == Change(
            "moved", str(archive / "deeper" / "new.mp4"), from_path=str(archive / "deep" / "new.mp4")
        )
        (archive / "bad.mp4").write_text("this is no video")
        watched.wait(lambda: len(watched.changes) == 5)
        assert watched.events()[4:] == [("failed", "bad.mp4")]
        shutil.rmtree(archive / "deeper")
        watched.wait(lambda: len(watched.changes) == 6)
        assert watched.events()[5:] == [("missing", "new.mp4")]
        (archive / "deeper").mkdir()
        (archive / "deeper" / "new.mp4").write_bytes(videos[1])
        watched.wait(lambda: len(watched.changes) == 7)
        assert watched.events()[6:] == [("back", "new.mp4")]
    (archive / "bad.mp4").unlink()
    assert check(library).ok


def test_a_file_is_read_once_it_is_complete(library, archive, videos):
    with Watched(library, [archive]) as watched:
        growing = (archive / "growing.mp4").open("wb")
        for start in range(0, len(videos[1]), len(videos[1]) // 4 + 1):
            growing.write(videos[1][start : start + len(videos[1]) // 4 + 1])
            growing.flush()
            time.sleep(0.4)
        time.sleep(2.0)  # unchanged for long enough, and still open
        assert watched.events() == [("indexed", "old.mp4")]
        growing.close()
        watched.wait(lambda: len(watched.changes) == 2)
        assert watched.events()[1:] == [("indexed", "growing.mp4")]


def test_a_folder_that_goes_away_and_comes_back(library, archive, videos, tmp_path):
    with Watched(library, [archive], ingest=IngestOptions(prune=True)) as watched:
        away = tmp_path / "away"
        archive.rename(away)
        watched.wait(lambda: any("went away" in line for line in watched.said))
        archive.mkdir()  # a place to mount at, with nothing mounted
        time.sleep(2.0)
        assert watched.events() == [("indexed", "old.mp4")]
        with library.read() as catalog:
            assert catalog.count_videos("indexed") == 1
        (away / "new.mp4").write_bytes(videos[1])
        archive.rmdir()
        away.rename(archive)
        watched.wait(lambda: len(watched.changes) == 2)
        assert any("is there again" in line for line in watched.said)
        assert watched.events()[1:] == [("indexed", "new.mp4")]
        (archive / "new.mp4").unlink()  # and it is watched again
        watched.wait(lambda: len(watched.changes) == 3)
        assert watched.events()[2:] == [("removed", "new.mp4")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in a name")
def test_a_name_that_is_no_text_is_indexed_and_seen_to_move(library, archive, videos):
    odd = Path(os.fsdecode(os.fsencode(archive) + b"/\xfe.mp4"))
    odd.write_bytes(videos[1])
    with Watched(library, [archive]) as watched:
        assert sorted(watched.events()) == [("indexed", "old.mp4"), ("indexed", stored_path(odd.name))]
        odd.rename(archive / "good.mp4")
        watched.wait(lambda: len(watched.changes) == 3)
        assert watched.events()[2:] == [("moved", "good.mp4")]


def test_a_name_that_cannot_be_kept_is_told_of_once_and_ends_nothing(library, archive, videos):
    bad = [archive / "\U000fdcfe.mp4", archive / "\U000fdcff.mp4"]  # as if they stood for other names
    bad[0].write_bytes(videos[1])
    with Watched(library, [archive]) as watched:
        assert watched.events() == [("failed", "<U+FDCFE>.mp4"), ("indexed", "old.mp4")]
        for _ in range(2):
            bad[1].write_bytes(videos[1])
            watched.wait(lambda: len(watched.changes) == 3)
        assert watched.events()[2:] == [("failed", "<U+FDCFF>.mp4")]
        assert "rename" in watched.changes[2].reason
        bad[1].rename(archive / "good.mp4")
        watched.wait(lambda: len(watched.changes) == 4)
        assert watched.events()[3:] == [("indexed", "good.mp4")]


def test_links_double_nothing_and_what_is_behind_them_is_followed(library, archive, videos, tmp_path):
    (archive / "sub").mkdir()
    (archive / "old.mp4").rename(archive / "sub" / "old.mp4")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "far.mp4").write_bytes(videos[1])
    with Watched(library, [archive]) as watched:
        for link, target in {"loop": ".", "alias": "sub", "out": outside}.items():
            (archive / link).symlink_to(target)
        watched.wait(lambda: watched.events()[1:] == [("indexed", "far.mp4")])
        assert sum("is a link" in line for line in watched.said) == 1
        (outside / "far.mp4").write_bytes(videos[2])
        watched.wait(lambda: watched.events()[2:] == [("changed", "far.mp4")])
        (outside / "far.mp4").unlink()
        (archive / "sub" / "old.mp4").write_bytes(videos[1])
        watched.wait(lambda: len(watched.changes) == 5)
        assert sorted(watched.events()[3:]) == [("changed", "old.mp4"), ("missing", "far.mp4")]
    with library.read() as catalog:
        paths = [video.path for video in catalog.list_videos(limit=10)]
    assert paths == [str(archive / "out" / "far.mp4"), str(archive / "sub" / "old.mp4")]


@pytest.mark.slow
def test_a_folder_of_a_hundred_thousand_files(library, archive, videos, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE_SECONDS", 300.0)
    for number in range(100):
        folder = archive / "many" / str(number)
        folder.mkdir(parents=True)
        for name in range(1000):
            (folder / f"{name}.{'mp4' if number + name == 0 else 'txt'}").touch()
    with Watched(library, [archive]) as watched:
        assert sorted(watched.events()) == [("failed", "0.mp4"), ("indexed", "old.mp4")]
        time.sleep(2)  # whatever it still has to look at
        before = time.process_time()
        time.sleep(3)
        assert time.process_time() - before < 1, "a folder in which nothing happens costs little"
        (archive / "many" / "50" / "new.mp4").write_bytes(videos[1])
        watched.wait(lambda: watched.events()[-1] == ("indexed", "new.mp4"))


def test_a_path_that_is_not_there_is_told_of(library, tmp_path):
    with Watched(library, [tmp_path / "typo"]) as watched:
        assert watched.said[0] == f"{tmp_path / 'typo'} is not there; waiting for it"


@pytest.mark.slow
def test_a_path_that_is_not_there_yet_and_a_single_file(library, archive, videos, tmp_path):
    later = tmp_path / "later"
    with Watched(library, [archive / "old.mp4", later]) as watched:
        later.mkdir()
        (later / "new.mp4").write_bytes(videos[1])
        watched.wait(lambda: ("indexed", "new.mp4") in watched.events())
        other = tmp_path / "other.mp4"
        other.write_bytes(videos[2])
        other.replace(archive / "old.mp4")
        watched.wait(lambda: ("changed", "old.mp4") in watched.events())
        (archive / "old.mp4").unlink()
        watched.wait(lambda: ("missing", "old.mp4") in watched.events())


def test_what_is_open_for_writing_is_seen(tmp_path):
    written, read = tmp_path / "written", tmp_path / "read"
    read.touch()
    with written.open("wb"), read.open("rb"):
        assert find_open_for_writing([str(written), str(read)]) == {str(written)}
    assert find_open_for_writing([str(written), str(read)]) == set()


def test_the_kind_of_a_file_system_is_told():
    shown = subprocess.run(["stat", "-f", "-c", "%T", "/proc"], capture_output=True, text=True)
    assert file_system_of("/proc/self") == shown.stdout.strip() == "proc"


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_the_command_prints_lines_and_ends_in_order(archive, videos, tmp_path, number):
    program = subprocess.Popen(
        [
            *(sys.executable, "-m", "indexer", "watch", str(archive), "--json", "--settle-seconds", "0.5"),
            *("--encoder", "offline", "--device", "cpu", "--library", str(tmp_path / "library")),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    try:
        first = json.loads(program.stdout.readline())
        assert (first["event"], first["path"], first["clips"]) == ("indexed", str(archive / "old.mp4"), 1)
        os.link(archive / "old.mp4", tmp_path / "kept")
        (archive / "old.mp4").rename(archive / "renamed.mp4")
        second = json.loads(program.stdout.readline())
        assert (second["event"], second["from_path"]) == ("moved", str(archive / "old.mp4"))
        program.send_signal(number)
        rest, said = program.communicate(timeout=PATIENCE_SECONDS)
        assert (program.returncode, rest) == (0, "")
        assert "stopped watching" in said and "Traceback" not in said
    finally:
        program.kill()
        program.wait()
