"""Small files that once went wrong, each held against its right value: a line "right" or "wrong" for each.

    python -m benchmarks.cases DIR

The folder's README says how each file was made, and with it what is right.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from operator import eq
from pathlib import Path

import numpy as np

from encoders.errors import ReelseekError
from indexer.examples.queries import read_example
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.reading.probing import frame_at, probe
from search.library import Library
from search.query.engine import SearchEngine
from search.types import Filters, Query, Video

Check = tuple[str, Callable[[], object], Callable[[object], bool]]


def main() -> None:
    """Prints a line for each case, and exits with 1 where one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cases", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        cases = Cases(folder, Path(scratch))
        for name, look, is_right in cases.checks():
            try:
                found = look()
            except ReelseekError as error:
                found = f"{type(error).__name__}: {error}"
            right = is_right(found)
            wrong += not right
            print(f"{'right' if right else 'wrong'}  {name}: {found}", flush=True)
    raise SystemExit(1 if wrong else 0)


class Cases:
    """The files, in a library of their own."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        archive = scratch / "archive"
        archive.mkdir()
        for path in folder.iterdir():
            if path.suffix not in (".md", ".py") and not path.stem.startswith(("intro_black", "other2s")):
                shutil.copy2(path, archive)
        spelled = archive / unicodedata.normalize("NFD", "Übung")
        spelled.mkdir()
        shutil.copy2(folder / "intro_film.mp4", spelled / "film.mp4")
        self.archive = archive
        self.library = Library(scratch / "library", create=True)
        self.summary = ingest(self.library, [str(archive)], IngestOptions(encoder="offline"))
        self.engine = SearchEngine(self.library)

    def checks(self) -> Iterator[Check]:
        """Every case: its name, what is looked at, and whether that is right."""
        for name, greys in (
            ("short_long.ts", {4.5: 74, 5.5: 86, 9.5: 132, 14.5: 190}),
            ("long_short.ts", {0.5: 74, 4.5: 120}),
        ):
            yield f"1 {name} lasts", partial(self.seconds, name), near(16, 0.1)
            for time, grey in greys.items():
                yield f"1 {name} at {time}", partial(self.grey, name, time), near(grey, 6)
        for time, grey in {1.4: 132, 2.64: 237, 0.0: 27}.items():
            name = "shots_at_1.4_and_2.64.mp4"
            yield f"2 {name} at {time}", partial(self.grey, name, time), near(grey, 3)
        # Of the cover's 600 x 400 nothing; the film in it is 160 pixels wide.
        yield "3 cover_is_default.mkv", partial(self.size, "cover_is_default.mkv"), is_160_wide
        yield "3 cover_is_default.mkv lasts", partial(self.seconds, "cover_is_default.mkv"), near(6, 0.1)
        for name in ("two_films.mp4", "two_programs.ts"):
            yield f"3 {name}", partial(self.size, name), partial(eq, (160, 90))
        for name in ("two_films.mp4", "two_programs.ts"):
            yield f"3 {name} names what is left", partial(self.note, name), bool
        yield "4 intro_black3s", lambda: self.span("intro_black3s_then_film2-5.mp4"), near_span(2, 5, 3, 6)
        yield "4 other2s", lambda: self.span("other2s_then_film4-7.mp4"), near_span(4, 7, 2, 5)
        for name in ("hdr_pq.mp4", "hdr_hlg.mp4"):
            yield f"5 {name}", partial(self.likeness, name, "sdr_same_picture.mp4"), at_least(0.95)
        for name in ("alpha_prores.mov", "alpha_vp9.webm"):
            yield f"5 {name}, red on the right", partial(self.red_on_the_right, name), at_most(40)
        yield "5 interlaced.mpg, combs", lambda: self.combs("interlaced.mpg"), at_most(1.0)
        yield "6 mkv_pixelcrop.mkv", lambda: self.size("mkv_pixelcrop.mkv"), lambda found: found == (160, 90)
        yield "7 photo.avif", lambda: self.refusal("photo.avif"), lambda found: "picture" in str(found)
        yield "7 anim.webp", lambda: self.video("anim.webp").duration_seconds, near(2, 0.11)
        for name, timecode in (("tc_010000_00_df.mov", "01:00:00;00"), ("tc_10000000.mxf", "10:00:00:00")):
            yield f"8 {name}", partial(self.timecode, name), partial(eq, timecode)
        yield "8 ntsc.dv", lambda: probe(str(self.folder / "ntsc.dv")).average_fps, near(29.97, 0.01)
        recorded = datetime(2019, 5, 3, 21, 30, tzinfo=UTC).timestamp()
        name = "creationdate_2019_exported_2024.mov"
        yield f"9 {name}", lambda: self.video(name).recorded_at, near(recorded, 1)
        for name in ("sliver_2000x4.mkv", "sliver_4x2000.mkv"):
            yield f"9 {name}", partial(self.outcome, name), lambda found: "division" not in str(found)
        prefix = str(self.archive / unicodedata.normalize("NFC", "Übung"))
        yield "9 a folder of a Mac", lambda: self.clips_below(prefix), at_least(1)

    def video(self, name: str) -> Video:
        with self.library.read() as catalog:
            found = catalog.video_by_path(str(self.archive / name))
        if found is None:
            raise ReelseekError(f"{name} is not in the catalog")
        return found

    def seconds(self, name: str) -> float | None:
        return self.video(name).duration_seconds

    def note(self, name: str) -> str | None:
        return self.video(name).error

    def timecode(self, name: str) -> str | None:
        return self.video(name).timecode

    def size(self, name: str) -> tuple[int | None, int | None]:
        video = self.video(name)
        return video.width, video.height

    def outcome(self, name: str) -> str:
        video = self.video(name)
        return f"{video.status} {video.error or ''}"

    def refusal(self, name: str) -> str:
        failed = {Path(path).name: reason for path, reason in self.summary.failed}
        if name in failed:
            return failed[name]
        return "a picture, passed over" if not self.clips_below(str(self.archive / name)) else "indexed"

    def clips_below(self, prefix: str) -> int:
        with self.library.read() as catalog:
            return len(catalog.clip_ids(Filters(path_prefix=prefix)))

    def pixels(self, name: str, time_seconds: float) -> np.ndarray:
        return frame_at(str(self.folder / name), time_seconds).rgb(1080).astype(np.float64)

    def grey(self, name: str, time_seconds: float) -> float:
        return round(float(self.pixels(name, time_seconds)[..., 1].mean()), 1)

    def red_on_the_right(self, name: str) -> float:
        pixels = self.pixels(name, 0.0)
        return round(float(pixels[:, pixels.shape[1] * 5 // 8 :, 0].mean()), 1)

    def combs(self, name: str) -> float:
        """How much rows differ from their neighbours, against those two away; about 2 where fields mix."""
        picture = self.pixels(name, 0.5).mean(axis=2)
        near_rows = np.abs(np.diff(picture, axis=0)).mean()
        return round(float(near_rows / max(np.abs(picture[2:] - picture[:-2]).mean(), 1e-9)), 2)

    def likeness(self, name: str, other: str) -> float:
        with self.library.read() as catalog:
            dim = self.library.record().dim
            one, two = (
                catalog.embeddings([catalog.clips_of_video(self.video(n).id)[0].id], dim)[0]
                for n in (name, other)
            )
        return round(float(one @ two), 3)

    def span(self, name: str) -> tuple[str, float, float, float, float]:
        encoder, sampling = self.library.encoder(), self.library.record().sampling
        part = read_example(str(self.folder / name), sampling, encoder.frame_size)
        hit = self.engine.search(Query((part,)), limit=1).hits[0]
        if hit.match is None:
            return Path(hit.path).name, 0.0, 0.0, 0.0, 0.0
        match = hit.match
        asked = match.query_start_seconds, match.query_end_seconds
        return Path(hit.path).name, hit.start_seconds, hit.end_seconds, *asked


def is_160_wide(found: object) -> bool:
    return isinstance(found, tuple) and found[0] == 160


def near(value: float, tolerance: float) -> Callable[[object], bool]:
    return lambda found: isinstance(found, int | float) and abs(found - value) <= tolerance


def at_least(value: float) -> Callable[[object], bool]:
    return lambda found: isinstance(found, int | float) and found >= value


def at_most(value: float) -> Callable[[object], bool]:
    return lambda found: isinstance(found, int | float) and found <= value


def near_span(*seconds: float) -> Callable[[object], bool]:
    """Whether a film's span and an example's are right to half a second; the film is there in copies."""

    def is_right(found: object) -> bool:
        copies = ("intro_film", "film", "cover_is_default", "two_films", "two_programs")
        if not isinstance(found, tuple) or not str(found[0]).startswith(copies):
            return False
        return all(abs(one - other) <= 0.5 for one, other in zip(found[1:], seconds, strict=True))

    return is_right


if __name__ == "__main__":
    main()
