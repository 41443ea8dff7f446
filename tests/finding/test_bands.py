"""How probable a hit is: three bands, in libraries of every size, and what is said when nothing fits.

Films of the photographs that scikit-image and scikit-learn bring, by the offline encoder; none of them was
used to choose a weight. What no photograph can show is shown on made vectors, known by arithmetic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from excerpts import write_photograph_film
from made_library import DIM, PICTURE, add_video, make_library
from PIL import Image
from samples import shipped

from encoders.heads.platt import expected_calibration_error
from encoders.types import FrameBatch, normalise
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.types import SamplingOptions
from search.bands import MATCH_PROBABILITY, MAYBE_PROBABILITY, Band, band_of
from search.calibration.sample import SAMPLE_CLIPS, choose_clips
from search.documents.hits import result_document
from search.hits import SearchResult
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, EncodedClip, Query, QueryExample, TextPart

PHOTOGRAPHS = {  # what the classifier behind the offline encoder knows -> file
    "cat": shipped("skimage/data/chelsea.png"),
    "cup": shipped("skimage/data/coffee.png"),
    "missile": shipped("skimage/data/rocket.jpg"),
    "motorcycle": shipped("skimage/data/motorcycle_left.png"),
    "flower": shipped("sklearn/datasets/images/flower.jpg"),
    "palace": shipped("sklearn/datasets/images/china.jpg"),
}
NOT_THERE = [
    *("dog", "horse", "penguin", "violin", "sailing boat", "bulldozer", "pizza", "elephant", "lighthouse"),
    *("accordion", "zebra", "submarine", "strawberry", "parachute", "football helmet", "piano", "shark"),
    *("school bus", "umbrella", "hammer", "tomorrow", "interest rates"),
]


def best_band(result: SearchResult) -> Band:
    """The band of the surest of some hits."""
    return band_of(max(hit.probability for hit in result.hits))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


@dataclass
class Made:
    library: Library
    engine: SearchEngine
    shown: dict[str, str]  # path of a film -> what it shows

    def words(self, text: str, limit: int = 5) -> SearchResult:
        return self.engine.search(Query((TextPart(text),)), limit=limit)


def make(folder: Path, encoder, films: list[tuple[str, np.ndarray]], seconds: float = 2.0) -> Made:
    shown = {}
    for number, (words, picture) in enumerate(films):
        path = folder / "films" / f"{number}-{words}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_photograph_film(picture, path, seconds=seconds)
        shown[str(path)] = words
    library = Library(folder / "library", create=True, device="cpu")
    sampling = SamplingOptions().with_frame_size(encoder.frame_size)
    library.create(encoder, pooling="mean", sampling=sampling.to_json())
    assert not ingest(library, list(shown), IngestOptions()).failed
    return Made(library, SearchEngine(library), shown)


@pytest.fixture(scope="module")
def broad(tmp_path_factory, offline_encoder) -> Made:
    """One film of each photograph, six clips in all."""
    films = [(words, read(path)) for words, path in PHOTOGRAPHS.items()]
    return make(tmp_path_factory.mktemp("broad"), offline_encoder, films)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, offline_encoder) -> Made:
    """Cats alone: one photograph, whole, mirrored, dimmed, and pieces of it."""
    cat = read(PHOTOGRAPHS["cat"])
    views = [cat, cat[:, ::-1], (cat * 0.6).astype(np.uint8), cat[:, 60:], cat[:-60], cat[:-50, :-80]]
    films = [("cat", np.ascontiguousarray(view)) for view in views]
    return make(tmp_path_factory.mktemp("narrow"), offline_encoder, films)


# --- what the bands mean -------------------------------------------------------------------


def test_a_band_is_a_range_of_probabilities():
    assert 0 < MAYBE_PROBABILITY < MATCH_PROBABILITY < 1
    edges = [
        0.0,
        MAYBE_PROBABILITY - 1e-9,
        MAYBE_PROBABILITY,
        MATCH_PROBABILITY - 1e-9,
        MATCH_PROBABILITY,
        1.0,
    ]
    found = [band_of(edge) for edge in edges]
    assert found == ["unlikely", "unlikely", "maybe", "maybe", "match", "match"] and set(found) == set(
        get_args(Band)
    )


def test_every_hit_has_the_band_of_its_probability_and_surer_hits_come_first(broad):
    for text in ("a cat", "a violin", "tomorrow"):
        hits = broad.words(text, limit=99).hits
        assert [hit.band for hit in hits] == [band_of(hit.probability) for hit in hits]
        assert [hit.weak for hit in hits] == [hit.band != "match" for hit in hits]
        chances = [hit.probability for hit in hits]
        assert chances == sorted(chances, reverse=True)


@pytest.mark.parametrize("words", PHOTOGRAPHS)
def test_what_is_there_is_found_and_nothing_else_is_a_match(broad, words):
    hits = broad.words(words, limit=99).hits
    assert broad.shown[hits[0].path] == words
    # The classifier is not sure of the flower (a daisy with 0.18) nor of the palace (0.06; a bell cote with
    # 0.3): they are the closest results.
    assert hits[0].band == ("maybe" if words in ("flower", "palace") else "match")
    assert {broad.shown[hit.path] for hit in hits if hit.band == hits[0].band} == {words}


def test_what_is_not_there_is_no_match_and_mostly_nothing(broad, narrow):
    for made in (broad, narrow):
        results = [made.words(words) for words in NOT_THERE]
        assert not [result.hits[0].path for result in results if best_band(result) == "match"]
        assert sum(best_band(result) == "unlikely" for result in results) >= 0.8 * len(results)


def test_probabilities_are_shares_of_what_is_right(broad, narrow):
    probabilities, outcomes = [], []
    for made in (broad, narrow):
        for words in [*PHOTOGRAPHS, *NOT_THERE]:
            for hit in made.words(words).hits:
                probabilities.append(hit.probability)
                outcomes.append(made.shown[hit.path] == words)
    assert len(outcomes) > 200 and np.sum(outcomes) >= 10
    assert expected_calibration_error(np.array(probabilities), np.array(outcomes)) <= 0.05


# --- narrow archives, pictures, mixtures ---------------------------------------------------


def test_an_archive_of_one_thing_matches_it_throughout(narrow):
    result = narrow.words("a cat", limit=99)
    assert len(result.hits) >= 6
    assert all(hit.band == "match" for hit in result.hits)


def picture(path: Path) -> QueryExample:
    return QueryExample((FrameBatch(read(path)[None], np.zeros(1)),))


def test_a_picture_of_what_is_there_is_a_match(broad, narrow):
    for words, path in PHOTOGRAPHS.items():
        hits = broad.engine.search(Query((picture(path),)), limit=99).hits
        assert {broad.shown[hit.path] for hit in hits if hit.band == "match"} == {words}
        best = narrow.engine.search(Query((picture(path),))).hits[0]
        assert (best.band == "match") == (words == "cat")


def test_mixtures_of_words_and_pictures_are_judged_by_both(broad, narrow):
    def best(made: Made, words: str, pictured: str):
        parts = (TextPart(words), picture(PHOTOGRAPHS[pictured]))
        return made.engine.search(Query(parts)).hits[0]

    for words in PHOTOGRAPHS:
        hit = best(broad, words, words)
        assert broad.shown[hit.path] == words and hit.band == "match"
        assert best(broad, "a violin", words).probability < hit.probability
    assert best(narrow, "a violin", "motorcycle").band == "unlikely"


def test_words_in_several_parts_ask_for_all_and_what_counts_against_is_not_shown(broad):
    def found(*parts: tuple[str, float]):
        query = Query(tuple(TextPart(text, weight=weight) for text, weight in parts))
        return {broad.shown[hit.path]: hit for hit in broad.engine.search(query, limit=99).hits}

    both = found(("cat", 1.0), ("motorcycle", 1.0))
    assert not [words for words, hit in both.items() if hit.band == "match"], "none shows both"
    together = {broad.shown[hit.path]: hit for hit in broad.words("a cat and a motorcycle", limit=99).hits}
    assert list(both) == list(together) and set(list(both)[:2]) == {"cat", "motorcycle"}
    assert [hit.band for hit in both.values()] == [hit.band for hit in together.values()]
    animals = found(("animal", 1.0))
    assert next(iter(animals)) == "cat" and animals["cat"].band == "match"
    without = found(("animal", 1.0), ("cat", -1.0))
    new = [words for words, hit in without.items() if hit.probability > animals[words].probability + 0.02]
    assert new == [], "what is taken away makes nothing else an animal"
    assert without["cat"].band != "match" and without["cat"].probability < 0.2 * animals["cat"].probability
    # What counts against and is not shown takes nothing away.
    other = found(("animal", 1.0), ("motorcycle", -1.0))
    assert other["cat"].band == "match" and next(iter(other)) == "cat"


# --- what was understood -------------------------------------------------------------------


def test_an_answer_says_what_was_understood(broad):
    result = broad.words("a dog and quarterly earnings")
    (reading,) = result_document(result)["understood"]
    assert reading["text"] == "a dog and quarterly earnings"
    (dog,) = [concept for concept in reading["concepts"] if concept["words"] == "dog"]
    assert dog["kinds"] == 118  # of ImageNet's thousand classes, by WordNet: n02084071 and below
    assert set(reading["unknown"]) == {"quarterly", "earnings"} and reading["known_share"] < 1
    assert broad.engine.search(Query((picture(PHOTOGRAPHS["cat"]),))).understood == ()


def test_words_that_are_not_understood_lower_the_promise(broad):
    sure, less, least = (
        broad.words(text).hits[0]
        for text in ("a cat", "a cat invoice", "quarterly earnings of a cat invoice")
    )
    assert broad.shown[sure.path] == broad.shown[less.path] == "cat"
    assert sure.probability > less.probability > least.probability


def test_the_command_says_how_sure_it_is(broad, indexer):
    folder = broad.library.folder
    ran = indexer("search", "a cat", "-k", 4, library=folder)
    assert "cat: " in ran.out and "kinds" in ran.out
    lines = [line for line in ran.out.splitlines() if ".mp4" in line]
    assert "match" in lines[0] and "nothing here" not in ran.out and "closest" not in ran.out
    assert all("match" not in line for line in lines[1:])
    nothing = indexer("search", "quarterly earnings", library=folder)
    assert "knows nothing of: quarterly, earnings" in nothing.out
    assert "nothing here looks like that" in nothing.out
    # A word that says nothing leaves no empty line.
    silent = indexer("search", "a", library=folder)
    assert silent.out.splitlines()[0] == "a: says nothing by itself"
    document = json.loads(indexer("search", "a cat", "--json", library=folder).out)
    first = document["hits"][0]
    assert first["band"] == "match" and not first["weak"] and first["probability"] >= MATCH_PROBABILITY


def test_between_match_and_nothing_the_closest_results_are_shown(broad, indexer):
    # Nothing knows whether the cat is an invoice: more than nothing, less than a match.
    text = next(
        text
        for text in ("a cat invoice", "a cat and an invoice and a budget", "a cat budget invoice tomorrow")
        if best_band(broad.words(text)) == "maybe"
    )
    ran = indexer("search", text, library=broad.library.folder)
    assert "no sure match; closest results:" in ran.out and "nothing here" not in ran.out


# --- libraries that grow, and those of an older version ---------------------------------------


def test_the_sample_changes_by_one_clip_at_a_time():
    random = np.random.default_rng(0)
    ids = random.permutation(100_000)[:3000].astype(np.int64)
    before = set(choose_clips(ids[:SAMPLE_CLIPS]).tolist())
    assert len(before) == SAMPLE_CLIPS
    changes = 0
    for count in range(SAMPLE_CLIPS + 1, 2000):
        after = set(choose_clips(ids[:count]).tolist())
        assert len(after) == SAMPLE_CLIPS and len(after - before) <= 1
        changes += len(after - before)
        before = after
    # Of a fair sample of n the next one is a member with probability S / (n + 1).
    expected = sum(SAMPLE_CLIPS / count for count in range(SAMPLE_CLIPS + 1, 2000))
    assert changes == pytest.approx(expected, rel=0.15)


def test_probabilities_do_not_jump_as_a_library_grows(tmp_path):
    library = make_library(tmp_path)
    engine = SearchEngine(library)
    add_video(library, "/first.mp4", 4, 0)
    with library.read() as catalog:
        asked = catalog.embeddings([1], DIM)[0]
    # A clip of cosine 0.85 with the first: neither sure nor unlikely, so that every step shows.
    aside = np.random.default_rng(9).normal(size=DIM)
    aside = normalise(aside - (aside @ asked) * asked)
    like = normalise(0.85 * asked + np.sqrt(1 - 0.85**2) * aside)
    clip = EncodedClip(0.0, 4.0, like, like[None].astype(np.float16), np.array([1.0]), ((1.0, PICTURE % 77),))
    with library.write() as catalog:
        staged = catalog.stage_video("/like.mp4", 1, 1)
        catalog.add_clips(staged, 0, [clip])
        catalog.publish_video(staged, digest="like", duration_seconds=4.0, sampling="{}")
    known = []
    for number in range(60):
        add_video(library, f"/{number}.mp4", 1, 100 + number)
        best = engine.search(Query((ClipPart(1),))).hits[0]
        assert best.path == "/like.mp4"
        known.append(best.probability)
    assert min(known) > 0.05 and max(known) < 0.95
    steps = np.abs(np.diff(known))
    assert steps.max() < 0.15 and steps[30:].max() < 0.05


@pytest.mark.parametrize("count", [5, 50, 500])
def test_with_an_unknown_encoder_a_match_stands_out_from_as_many_as_there_are(tmp_path, count):
    library = make_library(tmp_path)
    add_video(library, "/noise.mp4", count, 7)
    engine = SearchEngine(library)
    # Random vectors: each is asked for, and none of the others shows it.
    asked = [ClipPart(one) for one in range(1, min(count, 40) + 1)]
    bands = [best_band(engine.search(Query((part,)))) for part in asked]
    assert sum(band == "match" for band in bands) <= 0.05 * len(bands)
    # The same footage in another file is found out among all of them.
    add_video(library, "/copy.mp4", 1, 7)
    hits = engine.search(Query((ClipPart(1),)), limit=99).hits
    assert hits[0].path == "/copy.mp4" and hits[0].band == "match"
    assert sum(hit.band == "match" for hit in hits) == 1


def test_what_an_older_version_left_beside_the_index_is_not_read(broad, tmp_path):
    before = broad.words("a cat").hits
    path = broad.library.index_keeper.folder / "calibration.json"
    path.write_text('{"clips": 6, "text": {"usual": 0.9, "score": 2, "lead": 2}}')
    try:
        with_old = SearchEngine(Library(broad.library.folder, device="cpu"))
        hits = with_old.search(Query((TextPart("a cat"),)), limit=5).hits
    finally:
        path.unlink()
    assert [(hit.clip_id, hit.probability) for hit in hits] == [
        (hit.clip_id, hit.probability) for hit in before
    ]


# --- the picture that is shown ---------------------------------------------------------------


def test_the_key_frame_that_fits_best_comes_first(tmp_path):
    library = make_library(tmp_path)
    random = np.random.default_rng(0)
    rows = normalise(random.normal(size=(3, 8, DIM)))
    times = np.arange(8) * 0.5
    shown = (1.0, 2.5, 3.5)  # those of frames 2, 5 and 7
    clips = [
        EncodedClip(
            4.0 * number,
            4.0 * number + 4.0,
            normalise(features.mean(axis=0)),
            features.astype(np.float16),
            4.0 * number + times,
            tuple(
                (4.0 * number + time + 0.05, PICTURE % (10 * number + place))
                for place, time in enumerate(shown)
            ),
        )
        for number, features in enumerate(rows)
    ]
    with library.write() as catalog:
        staged = catalog.stage_video("/one.mp4", 1, 1)
        catalog.add_clips(staged, 0, clips)
    with library.write() as catalog:
        catalog.publish_video(staged, digest="made", duration_seconds=12.0, sampling="{}")
    hits = SearchEngine(library).search(Query((ClipPart(1),))).hits
    assert len(hits) == 2
    asked, in_time = normalise(rows[0].mean(axis=0)), []
    for hit in hits:
        number = round(hit.start_seconds / 4)
        fits = rows[number][[2, 5, 7]] @ asked
        order = [4.0 * number + shown[place] + 0.05 for place in np.argsort(-fits)]
        assert [frame.time_seconds for frame in hit.key_frames] == pytest.approx(order)
        in_time.append(order == sorted(order))
    assert not all(in_time)


# --- several things ----------------------------------------------------------------------------


def test_a_clip_of_one_of_two_things_is_not_said_to_show_both(broad):
    """No film shows two of these, so that the mean probability is the calibration error."""
    words = [*PHOTOGRAPHS, "man", "street", "boat", "lake", "bicycle", "bottle", "dog"]
    pairs = [(one, two) for number, one in enumerate(words) for two in words[number + 1 :]]
    results = [broad.words(f"a {one} and a {two}") for one, two in pairs]
    chances = [hit.probability for result in results for hit in result.hits]
    assert np.mean(chances) <= 0.05
    assert sum(best_band(result) == "match" for result in results) <= 0.05 * len(results)


def test_of_two_things_the_clip_that_shows_both_is_the_likeliest(tmp_path, offline_encoder):
    for one, two in (("cat", "motorcycle"), ("cat", "cup")):
        sides = [Image.fromarray(read(PHOTOGRAPHS[name])).resize((240, 360)) for name in (one, two)]
        films = [("both", np.hstack([np.asarray(side) for side in sides]))]
        films += [(name, read(PHOTOGRAPHS[name])) for name in (one, two)]
        folder = tmp_path / f"{one}-{two}"
        folder.mkdir()
        made = make(folder, offline_encoder, films)
        best, *others = made.words(f"a {one} and a {two}").hits
        assert made.shown[best.path] == "both" and best.band != "unlikely"
        assert all(hit.band != "match" and hit.probability < best.probability for hit in others)
