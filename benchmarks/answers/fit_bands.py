"""Learns the weights of `search.calibration` for the encoder `offline`, and prints them.

    python -m benchmarks.answers.fit_bands --photographs DIR --everyday DIR --cache FILE

From distributions, not from one library: hundreds of made libraries of 5 to 5,000 clips, broad ones (any
of the photographs), small selections, narrow ones (one kind of thing alone) and narrow ones with a little
else. Their clips are photographs in motion, of which every further clip of the same photograph is
disturbed anew. Each library is asked for words that name something in it, words for what is not in it,
words that the encoder knows nothing of; and for pictures of what it holds (the same
photograph, cropped, mirrored, dimmed or with a bar across it) and of what it does not. The five best hits
of each are labelled by what the photographs are known to show, and a logistic model is fitted to them.

By `--half choosing` (the default: classes of even number, train2017) the weights in the code were made;
with `--half judging` and `--judge` the same questions are put to the other photographs, and the weights
in the code are held against them: calibration error by size of library.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.answers.archive import Half, Photograph, move, read_everyday, read_photographs
from benchmarks.answers.disturbed import FRAMES, disturb, made_clips
from benchmarks.answers.kinds import BASIC, GENERAL, class_numbers
from benchmarks.answers.words import paste_side_by_side
from encoders.embedding.encoder import Encoder
from encoders.embedding.offline import OfflineEncoder
from encoders.heads.platt import expected_calibration_error
from encoders.types import FrameBatch, normalise
from encoders.words.class_names import class_names
from encoders.words.table import word_table
from search.bands import MATCH_PROBABILITY, MAYBE_PROBABILITY
from search.calibration.probabilities import AskedFor, Evidence, judge
from search.calibration.sample import SAMPLE_CLIPS, measure_sample
from search.calibration.together import best_together

SIZES = (5, 15, 50, 150, 500, 1500, 5000)
KINDS = ("broad", "few", "narrow", "narrow and more")
HITS = 5
WORDS_A_LIBRARY = 24
BESIDE = 200  # photographs of two others side by side
EVERYDAY_SHARE = {"words": 0.25, "together": 0.5}  # of the libraries
PICTURES_A_LIBRARY = 16
DEEDS = """quarterly|earnings|yesterday|democracy|arguing|thinking|jealousy|invoice|inflation|philosophy
    |algebra|tomorrow|friendship|whispering|marriage|gravity|election|freedom|budget|deadline|strategy
    |password|silence|victory|rumour|justice|debt|insurance|theory|tuesday"""


@dataclass(frozen=True, slots=True)
class Footage:
    """Features of photographs in motion, and what they show.

    Attributes:
        features: float32 (P, FRAMES, D).
        pictures: float32 (P, D), of each photograph disturbed as examples are.
        shows: For each, the class numbers or names of things in it.
    """

    features: NDArray[np.float32]
    pictures: NDArray[np.float32]
    shows: tuple[frozenset[int | str], ...]


def main() -> None:
    """Fits, or judges what was fitted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--everyday", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="an .npz of features, made where it is not")
    parser.add_argument("--half", choices=("choosing", "judging"), default="choosing")
    parser.add_argument("--libraries", type=int, default=150)
    parser.add_argument("--judge", action="store_true", help="judge the weights in the code, fit none")
    arguments = parser.parse_args()
    encoder = OfflineEncoder(device="cpu")
    footage = read_footage(
        encoder, arguments.photographs, arguments.everyday, arguments.half, arguments.cache
    )
    asking = Asking(encoder, footage)
    for name in ("words", "together", "examples"):
        found = [
            row
            for number in range(arguments.libraries)
            for row in asking.rows(name, np.random.default_rng(number), SIZES[number % len(SIZES)])
        ]
        report(name, found) if arguments.judge else fit(name, found)


@dataclass(frozen=True, slots=True)
class Row:
    """A hit: what speaks for it, what the weights in the code say, whether it shows what was asked for."""

    evidence: Evidence
    known_share: float
    probability: float
    is_right: bool
    rank: int
    clips: int
    kind: str
    is_there: bool


class Asking:
    """Makes libraries of footage and asks them."""

    def __init__(self, encoder: OfflineEncoder, footage: tuple[Footage, Footage, Footage]) -> None:
        self._encoder = encoder
        self._classes, self._everyday, self._beside = footage
        table = word_table()
        names = [name for name in table.words() if (kind := table.kind(name)) and kind.exact]
        self._general = [name for name in names if len(table.kind(name).classes) > 1]  # type: ignore[union-attr]
        self._names = list(class_names())
        self._unknown = [word.strip() for word in DEEDS.replace("\n", "").split("|")]
        self._basic = [class_numbers(offset) for offset in BASIC.values()]
        self._texts: dict[str, AskedFor] = {}

    def rows(self, name: str, random: np.random.Generator, size: int) -> Iterator[Row]:
        """The first hits of the queries of one made library."""
        is_everyday = name != "examples" and random.random() < EVERYDAY_SHARE[name]
        footage = self._everyday if is_everyday else self._beside if name == "together" else self._classes
        kind = "broad" if is_everyday else str(random.choice(KINDS))
        members = self._members(footage, kind, size, random)
        embeddings = made_clips(footage.features, members, random)
        chosen = np.sort(random.permutation(size)[:SAMPLE_CLIPS])
        sample = measure_sample("made", 0, size, chosen, embeddings[chosen], None)
        if name == "words":
            queries = self._words(footage, members, is_everyday, random)
        elif name == "together":
            queries = self._together(footage, members, is_everyday, random)
        else:
            queries = self._pictures(footage, members, random)
        for asked, is_right in queries:
            level = judge(asked, sample, self._encoder.encoder_id)
            scores = asked.score(embeddings)
            right = np.array([is_right(one) for one in members.tolist()])
            for rank, place in enumerate(np.argsort(-scores)[:HITS].tolist()):
                score = float(scores[place])
                yield Row(
                    level.evidence(score),
                    asked.known_share,
                    level.probability(score),
                    bool(right[place]),
                    rank,
                    size,
                    kind,
                    bool(right.any()),
                )

    def _members(
        self, footage: Footage, kind: str, size: int, random: np.random.Generator
    ) -> NDArray[np.int64]:
        """The photographs of a library's clips."""
        pool = np.arange(len(footage.shows))
        if kind == "few":
            pool = random.permutation(pool)[: random.integers(3, 120)]
        elif kind != "broad":
            table = word_table()
            while True:
                found = table.kind(str(random.choice(self._general)))
                inside = [n for n, shown in enumerate(footage.shows) if found and shown & set(found.classes)]
                if 4 <= len(inside) <= 80:
                    break
            more = random.permutation(pool)[: max(1, len(inside) // 8)] if kind != "narrow" else pool[:0]
            pool = np.concatenate([inside, more])
        return random.choice(pool, size, replace=size > len(pool)).astype(np.int64)

    def _words(
        self, footage: Footage, members: NDArray[np.int64], is_everyday: bool, random: np.random.Generator
    ) -> Iterator[tuple[AskedFor, Callable[[int], bool]]]:
        """Half of them for what is there, half for what is not; and some that say nothing of pictures."""
        if is_everyday:
            words = sorted({str(name) for shown in footage.shows for name in shown})
            wanted: dict[str, frozenset[int | str]] = {word: frozenset({word}) for word in words}
        else:
            table = word_table()
            words = [str(word) for word in random.choice(self._general, 400)]
            words += [self._names[number] for number in random.permutation(len(self._names))[:300]]
            wanted = {}
            for word in words:
                found = table.kind(word.lower())
                classes = (
                    found.classes if found else (self._names.index(word),) if word in self._names else ()
                )
                wanted[word] = frozenset(classes)
        shown = frozenset().union(*(footage.shows[one] for one in set(members.tolist())))
        there = [word for word in wanted if wanted[word] & shown]
        absent = [word for word in wanted if not wanted[word] & shown]
        half = WORDS_A_LIBRARY // 2
        for word in [*random.permutation(there)[:half], *random.permutation(absent)[:half]]:
            known = wanted[str(word)]
            yield self._asked(str(word)), lambda one, known=known: bool(known & footage.shows[one])  # type: ignore[misc]
        for word in random.permutation(self._unknown)[: half // 3]:
            yield self._asked(str(word)), lambda one: False

    def _together(
        self, footage: Footage, members: NDArray[np.int64], is_everyday: bool, random: np.random.Generator
    ) -> Iterator[tuple[AskedFor, Callable[[int], bool]]]:
        """Two things each: a third of what some clip shows, a third of what clips show one by one."""
        if is_everyday:
            names = sorted({str(name) for shown in footage.shows for name in shown})
            wanted: list[frozenset[int | str]] = [frozenset({name}) for name in names]
        else:
            names = list(GENERAL)
            wanted = [frozenset(class_numbers(offset)) for offset in GENERAL.values()]
        shows = np.array(
            [[bool(one & footage.shows[member]) for one in wanted] for member in set(members.tolist())]
        )
        both = shows.T.astype(int) @ shows
        apart = np.outer(shows.any(axis=0), shows.any(axis=0)) & (both == 0)
        is_pair = np.array(
            [
                [one < two and not wanted[one] & wanted[two] for two in range(len(names))]
                for one in range(len(names))
            ]
        )
        for chosen in (both > 0, apart, (both == 0) & ~apart):
            pairs = np.argwhere(chosen & is_pair)
            for one, two in random.permutation(pairs)[: WORDS_A_LIBRARY // 3].tolist():
                first, second = wanted[one], wanted[two]
                asked = self._asked(f"a {names[one]} and a {names[two]}")
                yield (
                    asked,
                    lambda at, first=first, second=second: bool(  # type: ignore[misc]
                        first & footage.shows[at] and second & footage.shows[at]
                    ),
                )

    def _asked(self, text: str) -> AskedFor:
        if text not in self._texts:
            vector = self._encoder.encode_text([text]).vectors
            reading = self._encoder.read_text(text)
            known = 1.0 if reading is None else reading.known_share
            things = self._encoder.encode_things(text) or None
            best = best_together(things) if things else self._encoder.best_score(vector[0])
            self._texts[text] = AskedFor(vector, 1.0, best, known, things)
        return self._texts[text]

    def _pictures(
        self, footage: Footage, members: NDArray[np.int64], random: np.random.Generator
    ) -> Iterator[tuple[AskedFor, Callable[[int], bool]]]:
        """Half of them of what is there, disturbed."""
        half = PICTURES_A_LIBRARY // 2
        for asked in [*random.choice(members, half), *random.choice(len(footage.shows), half)]:
            kinds = [kind for kind in self._basic if kind & footage.shows[asked]]

            def is_right(one: int, asked: int = asked, kinds: list[frozenset[int]] = kinds) -> bool:
                return one == asked or any(kind & footage.shows[one] for kind in kinds)

            yield AskedFor(footage.pictures[asked][None], 0.0), is_right


def fit(name: str, rows: Sequence[Row]) -> None:
    """Fits weights to hits and prints them as they stand in the code."""
    used = {
        "words": ("fit", "log_fit", "deviations", "clips"),
        "together": ("fit", "log_fit", "deviations", "clips"),
        "examples": ("score", "alike", "deviations", "clips"),
    }
    columns = used[name]
    # What words that are understood in part promise is a share of that, by argument.
    rows = [row for row in rows if row.known_share == 1.0]
    values = np.array([[getattr(row.evidence, column) for column in columns] for row in rows])
    labels = np.array([row.is_right for row in rows])
    while True:
        model = LogisticRegression(C=100.0, max_iter=1000).fit(values, labels)
        # More deviations never speak against a hit.
        if "deviations" not in columns or model.coef_[0][columns.index("deviations")] >= 0:
            break
        values = np.delete(values, columns.index("deviations"), axis=1)
        columns = tuple(column for column in columns if column != "deviations")
    weights = ", ".join(
        f"{column}={value:.3g}" for column, value in zip(columns, model.coef_[0], strict=True)
    )
    print(f"{name}: Weights({model.intercept_[0]:.3g}, {weights})  # {len(rows)} hits")
    report(name, rows, model.predict_proba(values)[:, 1])


def report(name: str, rows: Sequence[Row], probabilities: NDArray[np.float64] | None = None) -> None:
    """Prints calibration errors and shares of bands by size of library."""
    found = np.array([row.probability for row in rows]) if probabilities is None else probabilities
    right = np.array([row.is_right for row in rows])
    first = np.array([row.rank == 0 for row in rows])
    there = np.array([row.is_there for row in rows])
    groups = {str(size): [row.clips == size for row in rows] for size in SIZES}
    groups |= {kind: [row.kind == kind for row in rows] for kind in KINDS}
    for group, chosen in {"all": np.ones(len(rows), bool), **groups}.items():
        inside = np.array(chosen)
        if not inside.any():
            continue
        error = expected_calibration_error(found[inside], right[inside])
        matched = found[inside & first & ~there]
        missed = found[inside & first & there]
        false, silent = (matched >= MATCH_PROBABILITY).mean(), (missed < MAYBE_PROBABILITY).mean()
        print(
            f"  {name:8s} {group:16s} calibration error {error:.3f}, absent called match {false:.3f}, "
            f"there but nothing {silent:.3f}"
        )


def read_footage(
    encoder: Encoder, photographs: Path, everyday: Path, half: Half, cache: Path
) -> tuple[Footage, Footage, Footage]:
    """Features of photographs of classes, of everyday ones, and of the first with some side by side."""
    numbers = {}
    for number, photograph in enumerate(read_photographs(photographs)):
        numbers[photograph.path] = frozenset({number})
    classes, ordinary = read_photographs(photographs, half), read_everyday(everyday, half)
    random = np.random.default_rng(0)
    pairs = [random.choice(len(classes), 2, replace=False).tolist() for _ in range(BESIDE)]
    if not cache.exists():
        arrays = {}
        with tempfile.TemporaryDirectory() as folder:
            made = []
            for number, (one, two) in enumerate(pairs):
                made.append(Photograph(Path(folder) / f"{number}.png", frozenset()))
                paste_side_by_side([classes[one], classes[two]], made[-1].path)
            for name, found in (("classes", classes), ("everyday", ordinary), ("beside", made)):
                encoded = [_encode(encoder, photograph, seed) for seed, photograph in enumerate(found)]
                arrays[name] = np.stack([rows for rows, _ in encoded]).astype(np.float16)
                arrays[f"{name}_pictures"] = np.stack([row for _, row in encoded]).astype(np.float16)
        np.savez(cache, **arrays)
    stored = np.load(cache)
    shows: dict[str, tuple[frozenset[int | str], ...]] = {
        "classes": tuple(numbers[photograph.path] for photograph in classes),
        "everyday": tuple(photograph.labels for photograph in ordinary),
        "beside": tuple(numbers[classes[one].path] | numbers[classes[two].path] for one, two in pairs),
    }
    read = {
        name: Footage(
            stored[name].astype(np.float32), normalise(stored[f"{name}_pictures"].astype(np.float32)), shown
        )
        for name, shown in shows.items()
    }
    with_single = Footage(
        np.concatenate([read["beside"].features, read["classes"].features]),
        np.concatenate([read["beside"].pictures, read["classes"].pictures]),
        shows["beside"] + shows["classes"],
    )
    return read["classes"], read["everyday"], with_single


def _encode(
    encoder: Encoder, photograph: Photograph, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features of a photograph in motion (FRAMES, D), and of it disturbed (D,)."""
    random = np.random.default_rng(seed)
    frames = np.stack(move(photograph.path, FRAMES, random))
    picture = disturb(move(photograph.path, 1, random)[0], seed)
    batch = FrameBatch(np.concatenate([frames, picture[None]]), np.arange(FRAMES + 1.0))
    features = encoder.encode_frames(batch)
    return features[:-1], features[-1]


if __name__ == "__main__":
    main()
