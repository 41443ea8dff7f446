"""What words name, for `offline`: WordNet's tree over the classes, everyday words, phrases, queries."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from programs import run_python
from surroundings import lacking

from encoders.embedding.encoder import Encoder
from encoders.embedding.offline import VISUAL_DIM, join_parts
from encoders.types import normalise
from encoders.words.class_names import class_names
from encoders.words.everyday import COMPANIONS, SAME
from encoders.words.languages import CHINESE_PATH, LANGUAGES_PATH
from encoders.words.phrases import find_named, read_phrase
from encoders.words.spelling import split_words
from encoders.words.table import TABLE_PATH, word_table
from encoders.words.vectors import class_vector, query_vector
from search.calibration.together import score_together
from search.library import Library
from search.query.engine import SearchEngine
from search.types import EncodedClip, Filters, Query, TextPart

# Where the kinds stand in ImageNet's list, which is sorted by synset; wolves and foxes follow the dogs.
DOGS = range(151, 269)
CATS = range(281, 288)
BIRDS = [*range(7, 25), *range(80, 101), *range(127, 147)]
SNAKES = range(52, 69)
BEARS = range(294, 298)


@pytest.fixture(scope="session")
def wordnet_folder() -> Path:
    """WordNet's database: $REELSEEK_WORDNET, else where Debian's package `wordnet-base` puts it."""
    folder = Path(os.environ.get("REELSEEK_WORDNET") or "/usr/share/wordnet")
    if not (folder / "data.noun").is_file():
        lacking("wordnet", f"there is no WordNet database at {folder}; REELSEEK_WORDNET names one")
    return folder


def classes_of(words: str) -> list[int]:
    named = find_named(words)
    assert named is not None, words
    return list(named.classes)


class TestTable:
    def test_is_what_the_script_makes_of_wordnet(self, wordnet_folder: Path) -> None:
        from encoders.words.make_table import imagenet_classes, make_table, pack

        text = make_table(wordnet_folder, imagenet_classes(), class_names())
        assert gzip.decompress(TABLE_PATH.read_bytes()).decode() == text
        assert pack(text) == pack(text)

    def test_kinds_follow_the_pointers_of_the_database(self, wordnet_folder: Path) -> None:
        """Hypernyms read here, line by line: each class of a word has the word's synset above it."""
        from timm.data import ImageNetInfo

        above: dict[str, list[str]] = {}
        words: dict[str, set[str]] = {}
        for line in (wordnet_folder / "data.noun").read_text().splitlines():
            if not line.startswith("  "):
                fields = line.partition("|")[0].split()
                above[fields[0]] = [b for a, b in pairwise(fields) if a in ("@", "@i")]
                count = int(fields[3], 16)
                words[fields[0]] = {word.lower() for word in fields[4 : 4 + 2 * count : 2]}

        def is_below(offset: str, word: str) -> bool:
            return word in words[offset] or any(is_below(one, word) for one in above[offset])

        offsets = [label[1:] for label in ImageNetInfo("imagenet-1k").label_names()]
        for word in ("dog", "bird", "fish", "insect", "monkey", "fruit", "furniture", "hat", "vehicle"):
            expected = [number for number, offset in enumerate(offsets) if is_below(offset, word)]
            assert classes_of(word) == expected, word

    def test_is_small_and_carries_its_notice(self) -> None:
        assert TABLE_PATH.stat().st_size < 500_000
        notice = TABLE_PATH.with_name("WORDNET-LICENSE.txt").read_text(encoding="utf-8")
        assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in notice
        assert "THIS SOFTWARE AND DATABASE IS PROVIDED" in notice

    def test_every_class_is_found_by_its_name(self) -> None:
        for number, name in enumerate(class_names()):
            assert number in classes_of(" ".join(split_words(name))), name

    def test_everyday_words_lead_to_the_table(self) -> None:
        table = word_table()
        wanted = {*SAME.values(), *(name for names in COMPANIONS.values() for name in names)}
        missing = [name for name in wanted if table.kind(" ".join(split_words(name))) is None]
        assert not missing

    def test_reads_in_no_time_and_without_a_model(self) -> None:
        ran = run_python(
            "import sys, time\n"
            "from encoders.words.phrases import read_phrase\n"
            "started = time.perf_counter()\n"
            "read_phrase('a dog running on the beach')\n"
            "assert time.perf_counter() - started < 0.3\n"
            "print(sorted({'torch', 'torchvision', 'timm', 'tokenizers'} & set(sys.modules)))"
        )
        assert (ran.stdout, ran.stderr) == ("[]\n", "")


class TestNames:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("dog", DOGS),
            ("Canis familiaris", DOGS),
            ("cat", CATS),
            ("bird", BIRDS),
            ("snake", SNAKES),
            ("bear", BEARS),
        ],
    )
    def test_a_general_word_is_all_its_kinds(self, words: str, expected: Sequence[int]) -> None:
        assert classes_of(words.lower()) == list(expected)

    @pytest.mark.parametrize(
        ("text", "meaning"),
        [
            ("Dogs", "dog"),
            ("THE MICE", "mouse"),
            ("wolves", "wolf"),
            ("two churches", "church"),
            ("a hot dog", "hotdog"),
            ("race car", "racer"),
            ("fire-engine", "fire engine"),
            ("polar bears", "ice bear"),
            ("the dog's", "dog"),
            ("TV", "television"),
            ("people", "person"),
            ("jack-o’-lantern", "jack-o'-lantern"),
        ],
    )
    def test_number_case_and_articles_do_not_matter(self, text: str, meaning: str) -> None:
        phrase = read_phrase(text)
        assert [one.meaning for one in phrase.named] == [meaning]
        assert phrase.known_share >= 0.6

    def test_the_ordinary_sense_is_meant(self) -> None:
        names = class_names()
        assert names.index("birdhouse") not in classes_of("birds")
        assert [names[number] for number in classes_of("beach")] == ["seashore"]
        assert {names[number] for number in classes_of("crane")} == {"crane", "crane bird"}
        assert find_named("head") is None  # a headland, rarely
        assert find_named("wood") is None  # the woodwinds
        assert [names[number] for number in classes_of("mouse")] == ["mouse"]

    @pytest.mark.parametrize(
        ("typed", "meaning"),
        [
            ("cockatooo", "cockatoo"),
            ("cokatoo", "cockatoo"),
            ("umbrlela", "umbrella"),
            ("fire engin", "fire engine"),
        ],
    )
    def test_one_wrong_letter_is_forgiven_and_said(self, typed: str, meaning: str) -> None:
        named = read_phrase(typed).named
        assert [(one.words, one.meaning) for one in named] == [(typed, meaning)]

    @pytest.mark.parametrize("word", ["heart", "strict", "quarterly", "earnings", "running", "猞"])
    def test_other_words_are_not_bent_into_names(self, word: str) -> None:
        phrase = read_phrase(word)
        assert (phrase.named, phrase.unknown) == ((), (word,))

    def test_a_kind_that_has_no_class_is_half_understood(self) -> None:
        phrase = read_phrase("a golden eagle")
        assert [one.meaning for one in phrase.named] == ["eagle"]
        assert [class_names()[number] for number in phrase.named[0].classes] == ["bald eagle"]
        assert phrase.known_share == 0.5


class TestPhrases:
    @pytest.mark.parametrize(
        ("text", "named", "unknown"),
        [
            ("a dog running on the beach", ["dog", "seashore"], ["running"]),
            ("two men arm wrestling", ["person"], ["two", "arm", "wrestling"]),
            ("a red car at night", ["car"], ["red", "night"]),
            ("an orange car", ["car"], ["orange"]),
            ("an orange", ["orange"], []),
            ("a trash can in a street", ["ashcan", "street"], []),
            ("can opener", ["can opener"], []),
            ("what can be seen of dogs", ["dog"], []),
            ("quarterly earnings", [], ["quarterly", "earnings"]),
            ("video of a cat and a cat", ["cat"], []),
            ("a video", [], ["video"]),
            ("the of", [], []),
            ("die Frau am Strand", ["person", "seashore"], []),
            ("les chevaux", ["horse"], []),
            ("no people", [], ["no people"]),
            ("a hat without people", ["hat"], ["without people"]),
            ("a person not wearing a hat", ["person"], ["not wearing hat"]),
            ("a bird, no dogs or cats", ["bird"], ["no dogs", "no cats"]),
            ("a man without a hat and a dog", ["person", "dog"], ["without hat"]),
            ("a dog or a cat on a beach", ["dog or cat", "seashore"], []),
            ("\U0001f600", [], ["\U0001f600"]),
        ],
    )
    def test_takes_apart(self, text: str, named: list[str], unknown: list[str]) -> None:
        phrase = read_phrase(text)
        assert ([one.meaning for one in phrase.named], list(phrase.unknown)) == (named, unknown)

    def test_either_is_both_kinds(self) -> None:
        (either,) = read_phrase("cats or dogs").named
        one, other = read_phrase("cats and dogs").named
        assert set(either.classes) == {*one.classes, *other.classes}

    def test_known_share(self) -> None:
        """Two things known, one word about them not: 2 of 2.5."""
        assert read_phrase("a dog running on the beach").known_share == pytest.approx(2 / 2.5)
        assert read_phrase("dog").known_share == 1.0
        assert read_phrase("quarterly earnings").known_share == 0.0
        assert read_phrase("a kitchen").known_share == 0.5

    def test_many_words_take_no_time(self) -> None:
        started = time.perf_counter()
        read_phrase("zzyzxq dog " * 500)
        assert time.perf_counter() - started < 5.0


class TestLanguages:
    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("Hund", ["dog"]),
            ("Katzen", ["cat"]),
            ("ein Hund am Strand", ["dog", "seashore"]),
            ("un chien sur la plage", ["dog", "seashore"]),
            ("une voiture", ["car"]),
            ("un perro en la playa", ["dog", "seashore"]),
            ("una mujer", ["person"]),
            ("一只狗在海滩上", ["dog", "seashore"]),
            ("汽车", ["car"]),
        ],
    )
    def test_everyday_nouns(self, text: str, named: list[str]) -> None:
        phrase = read_phrase(text)
        assert ([one.meaning for one in phrase.named], phrase.unknown) == (named, ())

    @pytest.mark.parametrize("text", ["chat", "I am in pain", "a strand"])
    def test_english_words_stay_english(self, text: str) -> None:
        assert read_phrase(text).named == ()

    def test_boots_are_no_boats(self) -> None:
        assert [one.meaning for one in read_phrase("boot").named] == ["boot"]

    @pytest.mark.parametrize(("path", "notice"), [(LANGUAGES_PATH, "LANGUAGES"), (CHINESE_PATH, "CHINESE")])
    def test_each_word_means_something_and_the_licence_is_there(self, path: Path, notice: str) -> None:
        lines = gzip.decompress(path.read_bytes()).decode().split("\n")
        assert len(lines) > 1000
        assert [line for line in lines if find_named(line.split("\t")[1]) is None] == []
        assert path.stat().st_size < 100_000
        assert "icen" in path.with_name(f"{notice}-LICENSE.txt").read_text(encoding="utf-8")


class TestVectors:
    def test_a_picture_of_anything_scores_nothing(self) -> None:
        anything = np.full(1000, 1000**-0.5)
        for words in ("dog", "cockatoo", "person", "kitchen", "animal"):
            named = find_named(words)
            assert named is not None
            vector = class_vector(named)
            assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
            assert vector @ anything == pytest.approx(0.0, abs=1e-5)

    def test_a_sure_dog_beats_a_picture_of_anything(self) -> None:
        named = find_named("dog")
        assert named is not None
        sure = np.zeros(1000)
        sure[200] = 1.0
        assert class_vector(named) @ sure > 0.05

    def test_both_score_more_than_one_alone(self) -> None:
        named = read_phrase("a goldfish and a church").named
        vector = query_vector(named, 1.0)[:1000]
        names = class_names()
        one, both = np.zeros(1000), np.zeros(1000)
        one[names.index("church")] = 1.0
        both[[names.index("church"), names.index("goldfish")]] = 0.5**0.5  # half of the probability each
        assert vector @ both == pytest.approx(2**0.5 * (vector @ one), rel=0.01)

    def test_what_is_not_understood_lowers_all_scores_alike(self) -> None:
        named = read_phrase("dog").named
        whole, half = query_vector(named, 1.0), query_vector(named, 0.5)
        assert np.linalg.norm(half) == pytest.approx(1.0, abs=1e-5)
        np.testing.assert_allclose(half[:1000], 0.5**0.5 * whole[:1000], atol=1e-6)


class TestEncoder:
    def test_reading(self, offline_encoder: Encoder) -> None:
        reading = offline_encoder.read_text("A Dog running on the beach")
        assert reading is not None
        assert [(one.words, one.meaning, one.kinds) for one in reading.concepts] == [
            ("dog", "dog", 118),
            ("beach", "seashore", 1),
        ]
        assert (reading.unknown, reading.known_share) == (("running",), pytest.approx(0.8))

    def test_nothing_known(self, offline_encoder: Encoder) -> None:
        reading = offline_encoder.read_text("quarterly earnings")
        assert reading is not None
        assert (reading.concepts, reading.unknown, reading.known_share) == (
            (),
            ("quarterly", "earnings"),
            0.0,
        )

    def test_things_of_a_phrase_one_by_one(self, offline_encoder: Encoder) -> None:
        whole = offline_encoder.encode_text(["a dog running on the beach"]).vectors[0]
        things = offline_encoder.encode_things("a dog running on the beach")
        parts = things.vectors
        np.testing.assert_allclose(parts.sum(axis=0)[:-1], whole[:-1], atol=1e-6)
        alone = offline_encoder.encode_text(["dog", "beach"]).vectors
        np.testing.assert_allclose(normalise(parts), alone, atol=1e-6)
        assert len(offline_encoder.encode_things("quarterly earnings")) == 0
        masks = offline_encoder.concept_classes("a dog running on the beach")  # type: ignore[attr-defined]
        assert np.flatnonzero(masks[0]).tolist() == list(DOGS)
        assert [class_names()[number] for number in np.flatnonzero(masks[1])] == ["seashore"]

    def test_words_of_the_tree_load_no_model(self) -> None:
        ran = run_python(
            "import sys, encoders\n"
            "vectors = encoders.open_encoder('offline').encode_text(['a dog']).vectors\n"
            f"assert vectors[0, {VISUAL_DIM} + 200] > 0\n"
            "slow = {'torch', 'torchvision', 'tokenizers', 'encoders.words.minilm'}\n"
            "print(sorted(slow & set(sys.modules)))"
        )
        assert (ran.stdout, ran.stderr) == ("['encoders.words.minilm']\n", "")


def made_library(encoder: Encoder, folder: Path, shown: Sequence[np.ndarray]) -> Library:
    """Clips of one frame each, in a video of their own: of these class probabilities, (1000,) each."""
    library = Library(folder, create=True)
    library.create(encoder, pooling="mean", sampling="{}")
    for number, probabilities in enumerate(shown):
        visual = np.random.default_rng(number).normal(size=VISUAL_DIM)
        roots = np.append(np.sqrt(probabilities), 0.0)
        features = join_parts(visual[None], roots[None]).astype(np.float16)
        clip = EncodedClip(0.0, 4.0, features[0].astype(np.float32), features, np.ones(1), ((0.0, b"x"),))
        with library.write() as catalog:
            staged = catalog.stage_video(f"/{number}.mp4", 1, 1)
            catalog.add_clips(staged, 0, [clip])
            catalog.publish_video(staged, digest=str(number), duration_seconds=4.0)
    return library


def shares(**named: float) -> np.ndarray:
    """Class probabilities (1000,): these, and what is left evenly over all; _ stands for a space."""
    probabilities = np.zeros(1000)
    names = class_names()
    for name, share in named.items():
        probabilities[names.index(name.replace("_", " "))] = share
    return probabilities + (1.0 - probabilities.sum()) / 1000


class TestSearch:
    @pytest.fixture
    def engine(self, offline_encoder: Encoder, tmp_path: Path) -> Iterator[SearchEngine]:
        """A library of made clips: a goldfish, a church, both by half, both a little, and anything."""
        shown = [shares(goldfish=1.0), shares(church=1.0), shares(goldfish=0.5, church=0.5)]
        shown += [shares(goldfish=0.2, church=0.1, tench=0.7), shares()]
        library = made_library(offline_encoder, tmp_path / "library", shown)
        yield SearchEngine(library)
        library.close()

    def test_all_things_come_before_one_alone(self, engine: SearchEngine) -> None:
        hits = engine.search(Query((TextPart("a goldfish and a church"),))).hits
        assert [hit.path for hit in hits[:2]] == ["/2.mp4", "/3.mp4"]
        alone = engine.search(Query((TextPart("a goldfish"),))).hits
        assert [hit.path for hit in alone[:3]] == ["/0.mp4", "/2.mp4", "/3.mp4"]

    def test_score_is_the_sums_where_both_are_alike(self, engine: SearchEngine) -> None:
        """Half each: sqrt(1/2) of the highest possible score twice, over sqrt(2) for two things."""
        both = engine.search(Query((TextPart("a goldfish and a church"),))).hits[0]
        assert both.score == pytest.approx(0.5, abs=0.005)


@pytest.fixture(scope="module")
def shown() -> list[np.ndarray]:
    """A borzoi; dogs of every kind by 0.7 together; two dogs by 0.3 each; then 60 of anything."""
    spread = np.full(1000, 0.3 / 882)
    spread[DOGS] = 0.7 / 118
    random = np.random.default_rng(0)
    anything = random.dirichlet(np.full(1000, 0.02), size=60)
    return [shares(borzoi=1.0), spread, shares(borzoi=0.3, beagle=0.3, tench=0.4), *anything]


@pytest.fixture(scope="module")
def dogs(
    offline_encoder: Encoder, shown: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchEngine]:
    library = made_library(offline_encoder, tmp_path_factory.mktemp("dogs") / "library", shown)
    yield SearchEngine(library)
    library.close()


class TestSumsOfProbabilities:
    """A general word finds what surely is one of its kinds, not what could be a bit of each."""

    def test_scores_are_half_the_root_of_the_sum(self, dogs: SearchEngine, shown: list[np.ndarray]) -> None:
        hits = dogs.search(Query((TextPart("a dog"),)), limit=100).hits
        expected = {f"/{number}.mp4": 0.5 * one[DOGS].sum() ** 0.5 for number, one in enumerate(shown)}
        assert len(hits) == len(shown)
        for hit in hits:
            assert hit.score == pytest.approx(expected[hit.path], abs=2e-3)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert hits[0].path == "/0.mp4"
        # By the dot product with all kinds, what could be any dog would come first.
        vector = dogs.encoder.encode_text("a dog").vector[VISUAL_DIM:-1]
        assert np.argmax([vector @ np.sqrt(one) for one in shown]) == 1

    def test_filters_hold(self, dogs: SearchEngine, shown: list[np.ndarray]) -> None:
        hits = dogs.search(Query((TextPart("dog"),)), Filters(video_ids=(2, 3, 4)), limit=100).hits
        assert {hit.video_id for hit in hits} == {2, 3, 4}
        assert hits[0].path == "/1.mp4"

    def test_frames_are_scored_as_clips_are(self, dogs: SearchEngine) -> None:
        query = Query((TextPart("a dog and a tench"),))
        hits = dogs.search(query, limit=3).hits
        assert hits[0].path == "/2.mp4"
        for hit in hits:
            found = dogs.matches(query, hit.video_id)
            assert found.scores.tolist() == [pytest.approx(hit.score, abs=1e-4)]
            assert (hit.score >= found.sure) == (hit.band == "match")

    def test_the_index_in_lists_answers_alike(
        self, offline_encoder: Encoder, shown: list[np.ndarray], dogs: SearchEngine, tmp_path: Path
    ) -> None:
        query = Query((TextPart("a dog"),))
        exact = dogs.search(query, limit=20)
        library = made_library(offline_encoder, tmp_path / "library", shown)
        with library.index() as index:
            index._exact_limit_numbers = 1  # type: ignore[attr-defined]
        library.index_keeper.save()
        with library.index() as index:
            assert index.kind.startswith("compact")
        found = SearchEngine(library).search(query, limit=20)
        library.close()
        assert [hit.path for hit in found.hits] == [hit.path for hit in exact.hits]

    def test_companions_add_to_a_thing(self, offline_encoder: Encoder) -> None:
        """A car, and of the 10 kinds that go with it one: by half each."""
        things = offline_encoder.encode_things("car")
        named = read_phrase("car").named[0]
        assert (len(named.classes), len(named.companions)) == (10, 10)
        roots = np.zeros((2, offline_encoder.dim), np.float32)
        roots[:, VISUAL_DIM + named.classes[0]] = 0.5 * 0.5**0.5
        roots[1, VISUAL_DIM + named.companions[0]] = 0.5 * 0.5**0.5
        first = 0.5 * 0.5**0.5
        expected = [first, first + 0.5 / 10**0.25 * first]
        np.testing.assert_allclose(things.parts(roots)[0], expected, atol=1e-5)
        np.testing.assert_allclose(things.best, [0.5], atol=1e-6)


def test_geometric_mean_by_hand() -> None:
    parts = np.array([[0.4, 0.1, 0.8, 0.2], [0.4, 0.4, 0.0, -0.3]])
    means = np.array([0.8, 2 * 0.04**0.5, 2 * (0.8 * 1e-4) ** 0.5, -0.1])  # of the last no more than the sum
    expected = 0.9 * means + 0.1 * np.array([0.8, 0.5, 0.8, -0.1])
    np.testing.assert_allclose(score_together(parts), expected, atol=1e-6)
