"""What the tests of the page look at: a real library, a real server, a real browser."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from excerpts import mirrored, write_photograph_film
from samples import footage, photograph
from video_factory import write_video

from encoders.weights.tensors import read_card, with_card
from indexer.examples.lessons import examples_from_clips
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.clips.sampling import SamplingOptions
from search.actions import heads as action_heads
from search.actions import teaching
from search.library import Library

TAUGHT = "looking at the cat"
CLIP_SECONDS = 0.5  # short, so that a few videos have more than 50 clips


@dataclass(frozen=True)
class Shown:
    """A served library and the folders it is made of."""

    address: str
    archive: Path
    folder: Path
    videos: dict[str, int]


def make_archive(archive: Path) -> None:
    """Street, rabbit, car and cat; a file that no browser plays and one that nothing reads."""
    shutil.copy(footage("bikes.mp4"), archive / "street.mp4")
    shutil.copy(footage("bigbuckbunny.mp4"), archive / "rabbit.mp4")
    shutil.copy(footage("carphone_pristine.mp4"), archive / "car.mp4")
    cat = photograph("skimage/data/chelsea.png")
    write_photograph_film(cat, archive / "cat.mp4", seconds=6, fps=12)
    write_photograph_film(mirrored(cat), archive / "cat mirrored.mp4", seconds=6, fps=12)
    coffee = photograph("skimage/data/coffee.png")
    pan = [np.ascontiguousarray(coffee[80:320, 2 * step : 2 * step + 320]) for step in range(60)]
    write_video(archive / "coffee.avi", pan, fps=10, codec="mpeg4")  # MPEG-4 Part 2: browsers do not play it
    (archive / "broken.mp4").write_bytes((footage("bikes.mp4")).read_bytes()[:20_000])


def make_library(archive: Path, folder: Path) -> dict[str, int]:
    """Indexes the archive and teaches an action; afterwards the car's file is gone."""
    make_archive(archive)
    library = Library(folder, device="cpu", create=True)
    sampling = SamplingOptions(clip_seconds=CLIP_SECONDS)
    options = IngestOptions(encoder="offline", device="cpu", workers=1, sampling=sampling)
    ingest(library, [str(archive)], options)
    with library.read() as catalog:
        videos = {Path(video.path).name: video.id for video in catalog.list_videos()}
        cats = catalog.clips_of_video(videos["cat.mp4"])
    teaching.teach(
        library, TAUGHT, examples_from_clips(library, [clip.id for clip in cats], is_positive=True)
    )
    # Of one video it is a draft, which is shown where it is reviewed alone: taken in as one that was checked.
    head = action_heads.export_head(library, TAUGHT)
    report = {**read_card(head)["report"], "is_draft": False, "reason": ""}
    action_heads.import_head(library, with_card(head, report=report), replace=True)
    library.close()
    (archive / "car.mp4").unlink()
    return videos


def wait_until(page: Any, condition: str) -> None:
    """Waits for a condition in the page; Playwright's own wait evaluates text, which our policy forbids."""
    for _ in range(300):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never became true: {condition}")


def faults_of(page: Any, address: str) -> list[str]:
    """Grows with every script error, policy violation and request elsewhere."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if "Content Security" in line.text else None)
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "blob:")) else faults.append(request.url),
    )
    return faults
