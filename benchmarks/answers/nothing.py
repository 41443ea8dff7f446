"""Is "nothing here" said when it holds, and "match" when it is one: for 5 to 50,000 clips, narrow and broad.

Archives of photographs in motion are asked for names and general words of what is in them, for what is
not, and for words that no picture shows; for pictures and footage of what is in them, disturbed, and of
what is not; and for names together with pictures. What is there is known from the photographs' synsets,
by WordNet's tree.

The library of 50,000 clips holds the features of one of the archives a hundredfold, each time disturbed
as `fit_bands` does, put straight into a catalog: its search, index and sample are the real ones.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from timm.data import ImageNetInfo

from benchmarks.answers.archive import Archive, Photograph, Shot, build_archive, move, read_photographs
from benchmarks.answers.disturbed import disturb, made_clips
from benchmarks.answers.figures import Measured, measure_share
from benchmarks.answers.kinds import BASIC, GENERAL, MORE_GENERAL, class_numbers, names_of_classes
from benchmarks.answers.setup import Setup
from encoders.heads.platt import expected_calibration_error
from encoders.types import FrameBatch
from search.hits import Hit
from search.library import Library
from search.query.engine import SearchEngine
from search.types import EncodedClip, Query, QueryExample, TextPart

LARGE = 50_000
COPIES = 100  # clips of one photograph in the large library
QUERIES = 60  # of each sort, in each archive
HITS = 10
SHOWN_BY_NOTHING = """profit|monday|regret|astrology|grammar|mortgage|parliament|rhetoric|syllogism|truce
    |tax return
    |a quorum|the gross domestic product|jurisprudence|hope|an apology|next week|loyalty|boredom|a theorem
    |interest rates|copyright|nostalgia|the subjunctive"""


@dataclass
class Tally:
    """What came of the queries of one archive, or of several of a size."""

    nothing: list[bool] = field(default_factory=list)
    matched: list[bool] = field(default_factory=list)
    false_match: list[bool] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    outcomes: list[bool] = field(default_factory=list)

    def add(self, hits: Sequence[Hit], right: Sequence[bool], *, is_there: bool) -> None:
        """Counts one answer.

        Args:
            hits: Best first.
            right: Whether each shows what was asked for.
            is_there: Whether anything in the archive does.
        """
        bands = [band_of(hit) for hit in hits]
        is_silent = all(band == "unlikely" for band in bands)
        if is_there:
            self.nothing.append(is_silent)
            firsts = list(zip(bands, right, strict=True))[:3]
            self.matched.append(any(band == "match" and good for band, good in firsts))
        else:
            self.silent.append(is_silent)
            self.false_match.append("match" in bands)
        self.count_probabilities(hits, right)

    def count_probabilities(self, hits: Sequence[Hit], right: Sequence[bool]) -> None:
        """Counts how probable hits were said to be; versions before bands said nothing of it."""
        if all(hasattr(hit, "probability") for hit in hits):
            self.probabilities += [hit.probability for hit in hits]
            self.outcomes += list(right)

    def figures(self, where: str) -> Iterator[Measured]:
        """The lines of the table."""
        lines: tuple[tuple[str, list[bool], float | None, bool], ...] = (
            ("something there, but nothing said", self.nothing, 0.02, True),
            ("a right match among the first three", self.matched, 0.9, False),
            ("nothing there, but a match", self.false_match, 0.05, True),
            ("nothing there, and nothing said", self.silent, None, False),
        )
        for name, found, goal, at_most in lines:
            if found:
                yield measure_share("nothing", f"{where}: {name}", found, goal, at_most=at_most)
        if self.outcomes:
            yield self._calibration(where)

    def _calibration(self, where: str) -> Measured:
        """The expected calibration error with its bootstrap interval."""
        probabilities, outcomes = np.array(self.probabilities), np.array(self.outcomes)
        error = expected_calibration_error(probabilities, outcomes)
        random = np.random.default_rng(0)
        draws = random.integers(len(outcomes), size=(200, len(outcomes)))
        errors = [expected_calibration_error(probabilities[rows], outcomes[rows]) for rows in draws]
        low, high = np.quantile(errors, (0.025, 0.975))
        name = f"{where}: calibration error"
        return Measured("nothing", name, error, float(low), float(high), len(outcomes), 0.05, at_most=True)


class Asker:
    """Puts the questions; knows which words cover which photographs.

    Args:
        photographs: All of both halves, for the numbers of the classes and for what an archive lacks.
    """

    def __init__(self, photographs: Sequence[Photograph]) -> None:
        self.photographs = photographs
        self._numbers = {synset: number for number, synset in enumerate(ImageNetInfo().label_names())}
        self._words = {name_of(photograph): self.classes(photograph) for photograph in photographs}
        for number, names in enumerate(names_of_classes()):
            for word in names & self._words.keys():
                self._words[word] |= {number}
        self._general = {word: class_numbers(offset) for word, offset in (GENERAL | MORE_GENERAL).items()}
        self._basic = [class_numbers(offset) for offset in BASIC.values()]

    def classes(self, photograph: Photograph) -> frozenset[int]:
        """The classes that a photograph shows."""
        return frozenset(self._numbers[label] for label in photograph.labels)

    def ask_words(self, archive: Archive, tally: Tally, seed: int) -> None:
        """Names and general words, there and not, and words that nothing shows."""
        random = np.random.default_rng(seed)
        shown = frozenset().union(*(self.classes(shot.photograph) for shot in archive.shots))
        for words in (self._words, self._general):
            for is_there in (True, False):
                found = [word for word in words if bool(frozenset(words[word]) & shown) == is_there]
                for word in random.permutation(sorted(found))[:QUERIES]:
                    wanted = frozenset(words[str(word)])
                    self._ask(archive, tally, (TextPart(str(word)),), wanted, is_there=is_there)
        for word in _split(SHOWN_BY_NOTHING):
            self._ask(archive, tally, (TextPart(word),), frozenset(), is_there=False)

    def ask_examples(
        self, archive: Archive, tally: Tally, seed: int, sort: str, others: Sequence[Photograph]
    ) -> None:
        """Pictures, footage or a name with a picture: half of what is there, disturbed, half of what is not.

        Args:
            archive: That is asked.
            tally: Takes the answers.
            seed: Decides which photographs.
            sort: "pictures", "footage" or "mixtures".
            others: Photographs that are not in the archive.
        """
        random = np.random.default_rng(seed)
        inside = [shot.photograph for shot in archive.shots]
        for pool in (inside, list(others)):
            for number in random.permutation(len(pool))[: QUERIES // 2].tolist():
                photograph = pool[number]
                frames = move(photograph.path, 8 if sort == "footage" else 1, random)
                changed = np.stack([disturb(frame, number) for frame in frames])
                batch = FrameBatch(changed, np.arange(len(changed)) * 0.5)
                parts: tuple[TextPart | QueryExample, ...] = (QueryExample((batch,)),)
                classes = self.classes(photograph)
                if sort == "mixtures":
                    parts += (TextPart(name_of(photograph)),)
                    wanted = self._words[name_of(photograph)]
                else:
                    wanted = classes.union(*(kind for kind in self._basic if kind & classes))
                is_there = any(wanted & self.classes(shot.photograph) for shot in archive.shots)
                # With something of the same kind alone, to say nothing is no mistake, and no merit.
                is_counted = pool is inside or not is_there
                self._ask(archive, tally, parts, wanted, is_there=is_there, is_counted=is_counted)

    def _ask(
        self,
        archive: Archive,
        tally: Tally,
        parts: tuple[TextPart | QueryExample, ...],
        wanted: frozenset[int],
        *,
        is_there: bool,
        is_counted: bool = True,
    ) -> None:
        hits = SearchEngine(archive.library).search(Query(parts), limit=HITS).hits
        right = [
            any(
                wanted & self.classes(shot.photograph)
                for shot in archive.shots_in(hit.path, hit.start_seconds, hit.end_seconds)
            )
            for hit in hits
        ]
        if is_counted:
            tally.add(hits, right, is_there=is_there)
        else:
            tally.count_probabilities(hits, right)


def measure(setup: Setup) -> list[Measured]:
    """All sizes and sorts: ten minutes on two busy cores once the archives are made."""
    asker = Asker(read_photographs(setup.photographs))
    pictures = setup.pictures()
    found: list[Measured] = []
    dogs = class_numbers(GENERAL["dog"])
    narrow = [photograph for photograph in pictures if asker.classes(photograph) & dogs]
    sizes = [
        (5, "5 clips", pictures, 4),
        (50, "50 clips", pictures, 1),
        (50, "50 clips, dogs alone", narrow, 1),
        (setup.shots, "500 clips" if setup.is_whole else f"{setup.shots} clips", pictures, 1),
    ]
    sizes = [one for one in sizes if one[0] <= setup.shots and len(one[2]) >= one[0]]
    for size, name, pool, repeats in sizes:
        tally = Tally()
        for seed in range(setup.seeds * repeats):
            asker.ask_words(_archive(setup, pool, name, size, seed), tally, seed)
        found += tally.figures(f"words, {name}")
    mixed = [one for one in sizes if one[2] is pictures and one[0] > 5]
    names = " and ".join(name.removesuffix(" clips") for _, name, _, _ in mixed)
    for sort in ("pictures", "footage", "mixtures"):
        tally = Tally()
        for size, name, _, _ in mixed:
            for seed in range(setup.seeds):
                archive = _archive(setup, pictures, name, size, seed)
                held = {shot.photograph.path for shot in archive.shots}
                others = [one for one in asker.photographs if one.path not in held]
                asker.ask_examples(archive, tally, seed, sort, others)
        found += tally.figures(f"{sort}, {names} clips")
    if setup.is_whole:
        tally = Tally()
        asker.ask_words(grow(setup.archive(0), setup.folder / f"{setup.half}-large"), tally, 0)
        found += tally.figures("words, 50,000 clips")
    return found


def _archive(setup: Setup, pool: Sequence[Photograph], name: str, size: int, seed: int) -> Archive:
    if size == setup.shots:
        return setup.archive(seed)
    folder = setup.folder / f"{setup.half}-{name.replace(' ', '-').replace(',', '')}-{seed}"
    return build_archive(pool, folder, seed=1000 + seed, count=size)


def grow(archive: Archive, folder: Path, clips: int = LARGE) -> Archive:
    """A library of so many clips: those of an archive again and again, each time disturbed anew.

    Args:
        archive: Where features come from.
        folder: For the library; one that is there already is used again.
        clips: How many.
    """
    library = Library(folder, create=True)
    record = archive.library.record()
    encoder = archive.library.encoder()
    library.create(encoder, pooling=record.pooling, sampling=record.sampling)
    features, photographs = _stored(archive, record.dim)
    random = np.random.default_rng(0)
    shots = []
    picture = io.BytesIO()
    Image.new("RGB", (16, 12)).save(picture, "JPEG")
    for number in range(clips // COPIES):
        place = number % len(photographs)
        path = f"/grown/{number:05d}.mp4"
        shots.append(Shot(Path(path), 0.0, 4.0 * COPIES, photographs[place]))
        with library.read() as catalog:
            if catalog.video_by_path(path) is not None:
                continue
        made = made_clips(features[place][None], np.zeros(COPIES, np.int64), random)
        rows = [
            EncodedClip(
                4.0 * one,
                4.0 * one + 4.0,
                made[one],
                made[one][None].astype(np.float16),
                np.array([4.0 * one + 2.0]),
                ((4.0 * one + 2.0, picture.getvalue()),),
            )
            for one in range(COPIES)
        ]
        with library.write() as catalog:
            staged = catalog.stage_video(path, 1, 1)
            catalog.add_clips(staged, 0, rows)
            catalog.publish_video(
                staged, digest=path, duration_seconds=4.0 * COPIES, sampling=record.sampling
            )
    return Archive(library, tuple(shots))


def _stored(archive: Archive, dim: int) -> tuple[list[np.ndarray], list[Photograph]]:
    """Four stored frames (4, D) of each shot."""
    features, photographs = [], []
    with archive.library.read() as catalog:
        ids = {str(shot.path): catalog.video_by_path(str(shot.path)) for shot in archive.shots}
        for shot in archive.shots:
            video = ids[str(shot.path)]
            assert video is not None
            rows, times, _ = catalog.features(video.id, shot.start_seconds, shot.end_seconds, dim)
            inside = np.flatnonzero((times >= shot.start_seconds + 0.2) & (times < shot.end_seconds - 0.2))
            chosen = inside[np.linspace(0, len(inside) - 1, 4).round().astype(int)]
            features.append(rows[chosen])
            photographs.append(shot.photograph)
    return features, photographs


def band_of(hit: Hit) -> str:
    """A hit's band; of a version before bands, a match unless it was marked as weak."""
    return getattr(hit, "band", "unlikely" if hit.weak else "match")


def name_of(photograph: Photograph) -> str:
    """What its file calls the class: n02085620_chihuahua.JPEG is a chihuahua."""
    return photograph.path.stem.partition("_")[2].replace("_", " ")


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.replace("\n", "").split("|")]
