"""Which frames are chosen: made features whose repeats and rare events are known; Pillow's pictures."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import webvtt
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage import data

from encoders.errors import InvalidQueryError
from encoders.heads.head import FeatureTrack
from indexer.keeping.summaries import picture_sharpness
from indexer.video.making.storyboard import (
    StillPicture,
    player_time,
    sprite_cells,
    sprite_cues,
    sprite_sheet,
    sprite_size,
    storyboard,
    storyboard_jpeg,
)
from search.summary.budget import Budget, spans_of
from search.summary.choosing import choose
from search.summary.looks import measure_likeness, representativeness, unit_features

STEP = 0.5
RARE = 99


def made_track(
    scenes: list[int],
    samples: int = 10,
    *,
    dim: int = 64,
    noise: float = 0.15,
    offset: float = 0.0,
    seed: int = 0,
) -> tuple[FeatureTrack, NDArray[np.int64]]:
    """A shot for each number, what has one number looks alike; and the scene of each sample.

    Args:
        scenes: Numbers; RARE lasts 3 samples only.
        noise: Norm of what differs between frames of a scene, beside 1 of what does not.
        offset: What all scenes share, as in encoders whose vectors all point one way.
    """
    random = np.random.default_rng(seed)
    looks = {scene: random.normal(size=dim) / np.sqrt(dim) for scene in sorted(set(scenes))}
    common = offset * random.normal(size=dim) / np.sqrt(dim)
    rows, numbers, shots = [], [], []
    for shot, scene in enumerate(scenes):
        for _ in range(3 if scene == RARE else samples):
            rows.append(looks[scene] + common + noise * random.normal(size=dim) / np.sqrt(dim))
            numbers.append(scene)
            shots.append(shot)
    count = len(rows)
    times = (np.arange(count) + 0.5) * STEP
    return (
        FeatureTrack(np.float32(rows), times, np.arange(count + 1) * STEP, np.array(shots)),
        np.array(numbers),
    )


def picked(track: FeatureTrack, budget: Budget, **more: object) -> tuple[int, ...]:
    return choose(track, representativeness(track), np.arange(len(track)), budget, **more).picks


# --- the rare event and the repeats ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("offset", [0.0, 1.5], ids=["apart", "narrow"])
@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_five_percent_hold_the_rare_event_and_nothing_twice(seed: int, offset: float, noise: float) -> None:
    scenes = [0, 1, 2, 3, 4] * 2 + [RARE] + [0, 1, 2, 3, 4] * 2
    track, numbers = made_track(scenes, 12, noise=noise, offset=offset, seed=seed)
    budget = Budget(share=0.05)
    shown = numbers[list(picked(track, budget))].tolist()
    assert RARE in shown
    assert len(shown) == len(set(shown)) == 6  # of 121.5 s 6 s, a second each: all there is, once
    spans = spans_of(track, track.times_seconds[list(picked(track, budget))], budget)
    assert sum(end - start for start, end in spans) <= 0.05 * 121.5 + 1e-6


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_rare_event_comes_first(frames: int) -> None:
    track, numbers = made_track([0, 1, 2, 0, 1, 2, RARE, 0, 1, 2, 0, 1, 2])
    shown = numbers[list(picked(track, Budget(frames=frames)))].tolist()
    assert RARE in shown and len(set(shown)) == frames


def test_importance_is_that_of_the_average_frame_at_one_half() -> None:
    track, numbers = made_track([0, 1, 2, 0, 1, 2, RARE, 0, 1, 2, 0, 1, 2])
    importance = representativeness(track)
    assert importance.dtype == np.float32 and importance.shape == (len(track),)
    assert importance.min() >= 0 and importance.max() <= 1
    assert importance[numbers == RARE].min() > 0.8
    assert 0.3 < importance[numbers != RARE].mean() < 0.55
    assert (importance[numbers == RARE].min() > importance[numbers != RARE]).all()


def test_a_spoilt_frame_is_less_important_than_its_neighbours() -> None:
    track, _ = made_track([0, 1, 2])
    spoilt = track.features.copy()
    spoilt[15] = np.random.default_rng(9).normal(size=64) / 8
    importance = representativeness(
        FeatureTrack(spoilt, track.times_seconds, track.borders_seconds, track.shots)
    )
    assert importance[15] < importance[[12, 13, 17, 18]].min()


@pytest.mark.parametrize("torn", [1, 3])
def test_an_interruption_of_a_shot_is_not_what_stands_for_it(torn: int) -> None:
    """A flash, or a picture that froze torn: unlike all else, as a rare event is, which moves."""
    track, numbers = made_track([0, 0, 0, RARE, 0, 0, 0], noise=0.3)
    features = np.array(track.features)
    features[15 : 15 + torn] = np.random.default_rng(5).normal(size=features.shape[1]) * 3
    spoilt = FeatureTrack(features, track.times_seconds, track.borders_seconds, track.shots * 0)
    importance = representativeness(spoilt)
    assert importance[15 : 15 + torn].max() < 0.35 < importance[numbers == RARE].min()
    assert numbers[list(choose(spoilt, importance, np.arange(len(track)), Budget(frames=1)).picks)] == [RARE]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_frames_that_are_all_alike_are_all_average_and_one_is_shown(count: int) -> None:
    row = np.ones((1, 32), np.float32)
    track = FeatureTrack(
        np.repeat(row, count, 0), (np.arange(count) + 0.5), np.arange(count + 1.0), np.zeros(count, np.int64)
    )
    assert representativeness(track).tolist() == [0.5] * count
    chosen = choose(track, representativeness(track), np.arange(count), Budget(frames=5))
    assert len(chosen.picks) == 1
    assert chosen.notes == ("1 of 5 frames: the video shows no more that are unlike the chosen ones",)
    assert picked(track, Budget(share=0.01)) and not picked(track, Budget(threshold=0.5))


def test_features_of_zeros_are_no_reason_to_stop() -> None:
    track = FeatureTrack(np.zeros((4, 8), np.float32), np.arange(4.0), np.arange(5.0), np.zeros(4, np.int64))
    assert np.isfinite(representativeness(track)).all()
    assert picked(track, Budget(frames=2))


def test_no_two_chosen_are_alike_whatever_the_features() -> None:
    random = np.random.default_rng(4)
    walk = np.cumsum(random.normal(size=(300, 32)), axis=0).astype(np.float32)
    track = FeatureTrack(walk, np.arange(300) + 0.5, np.arange(301.0), np.arange(300) // 40)
    units = unit_features(walk)
    alike = measure_likeness(units, track.shots).alike
    rows = units[list(picked(track, Budget(frames=20)))]
    cosines = rows @ rows.T
    # Chosen by features that are mixed with their neighbours', so that these may be a little closer.
    assert cosines[~np.eye(len(rows), dtype=bool)].max() < alike + 0.05


# --- budgets ---------------------------------------------------------------------------------------


def test_one_of_every_shot_on_request() -> None:
    scenes = [0, 1, 0, 2, 1]
    track, _ = made_track(scenes)
    chosen = picked(track, Budget(frames=12, per_shot=True))
    assert sorted(set(track.shots[list(chosen)].tolist())) == [0, 1, 2, 3, 4] and len(chosen) == 5
    few = choose(track, representativeness(track), np.arange(len(track)), Budget(frames=3, per_shot=True))
    assert len(few.picks) == 3 and len(set(track.shots[list(few.picks)].tolist())) == 3
    assert few.notes == ("5 shots, but 3 frames asked for: 3 shots are shown",)


def test_a_threshold_is_kept_by_every_frame() -> None:
    track, _ = made_track([0, 1, 2, 0, 1, 2, RARE, 0, 1, 2])
    importance = representativeness(track)
    for budget in (
        Budget(threshold=0.45),
        Budget(threshold=0.45, frames=2),
        Budget(threshold=0.45, per_shot=True),
    ):
        chosen = picked(track, budget)
        assert chosen and (importance[list(chosen)] > 0.45).all()
        assert len(chosen) <= (budget.frames or 100)
    none = choose(track, importance, np.arange(len(track)), Budget(threshold=1.0))
    assert (
        none.picks == () and "no frame is more important than 1; the most important has 0." in none.notes[0]
    )


def test_another_importance_decides() -> None:
    track, numbers = made_track([0, 1, 2, 3])
    for scene in range(4):
        importance = np.where(numbers == scene, 1.0, 0.0)
        chosen = choose(track, importance, np.arange(len(track)), Budget(frames=1))
        assert numbers[list(chosen.picks)].tolist() == [scene]


@pytest.mark.parametrize(
    "values",
    [
        {"share": 0.0}, {"share": 1.1}, {"share": float("nan")}, {"frames": 0}, {"threshold": -0.1},
        {"threshold": 1.1}, {"share": 0.1, "frames": 3}, {"share": 0.1, "threshold": 0.5},
    ],
)  # fmt: skip
def test_budgets_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidQueryError):
        Budget(**values)  # type: ignore[arg-type]


def test_pieces_lie_in_their_shots_and_fill_the_budget() -> None:
    track, _ = made_track([0, RARE, 1, 2])  # shots of 5, 1.5, 5 and 5 s
    times = [2.0, 5.5, 8.0, 14.0]
    spans = spans_of(track, times, Budget(share=0.5))
    assert sum(end - start for start, end in spans) == pytest.approx(8.25)
    assert spans[1] == pytest.approx((5.0, 6.5))  # all of its shot; what is left goes to the others
    lengths = [end - start for start, end in spans]
    assert lengths[0] == lengths[2] == lengths[3] == pytest.approx(2.25)
    for time, (start, end) in zip(times, spans, strict=True):
        assert start <= time <= end
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
    close = spans_of(track, [1.0, 1.5], Budget(frames=2))
    assert close == [pytest.approx((0.0, 1.25)), pytest.approx((1.25, 3.25))]  # they share the shot


# --- sharp frames ----------------------------------------------------------------------------------


def test_the_sharpest_of_alike_neighbours_is_shown_and_black_ones_are_not() -> None:
    track, _ = made_track([0, 1, 2], noise=0.02)
    sharpness = np.full(len(track), 10.0)
    sharpness[[3, 14]] = 50.0
    sharpness[20:] = 0.0
    chosen = choose(track, representativeness(track), np.arange(30), Budget(frames=9), sharpness.__getitem__)
    assert chosen.picks == (3, 14)
    dark = choose(track, representativeness(track), np.arange(30), Budget(frames=9), lambda _: 0.0)
    assert len(dark.picks) == 1 and dark.notes[0] == "every frame is black or of one colour"


def jpeg_of(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def test_sharpness_falls_with_blur_and_is_none_for_plain_pictures() -> None:
    photo = Image.fromarray(data.chelsea()).resize((480, 360))
    values = [
        picture_sharpness(jpeg_of(photo.filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 1, 2, 4)
    ]
    assert values == sorted(values, reverse=True) and values[0] > 4 * values[3] > 0
    for colour in ("black", "white", (30, 90, 200)):
        assert picture_sharpness(jpeg_of(Image.new("RGB", (480, 360), colour))) == 0
    assert picture_sharpness(jpeg_of(Image.new("RGB", (1, 1)))) == 0


# --- storyboards and sprites -----------------------------------------------------------------------


def stills(count: int, width: int = 480, height: int = 270) -> list[StillPicture]:
    colours = [
        (40 + 37 * number % 200, 90 + 53 * number % 160, 200 - 41 * number % 190) for number in range(count)
    ]
    return [
        StillPicture(7.0 * number, jpeg_of(Image.new("RGB", (width, height), colour)))
        for number, colour in enumerate(colours)
    ]


@pytest.mark.parametrize(
    ("count", "columns", "across", "down"),
    [(1, 4, 1, 1), (4, 4, 4, 1), (5, 4, 3, 2), (12, 4, 4, 3), (3, 1, 1, 3)],
)
def test_a_storyboard_has_a_tile_for_each_frame(count: int, columns: int, across: int, down: int) -> None:
    made = stills(count)
    sheet = storyboard(made, columns=columns)
    assert sheet.size == (across * 326 + 6, down * 186 + 6)  # 320 x 180 and margins of 6
    for number, still in enumerate(made):
        row, column = divmod(number, across)
        shown = sheet.getpixel((6 + column * 326 + 160, 6 + row * 186 + 40))
        with Image.open(io.BytesIO(still.jpeg)) as picture:
            assert np.abs(np.subtract(shown, picture.getpixel((240, 40)))).max() <= 4
        corner = np.asarray(
            sheet.crop((6 + column * 326, 6 + row * 186 + 155, 46 + column * 326, 186 + row * 186))
        )
        assert corner.max() > 230 and corner.min() < 90  # light letters on a dark plate
    with Image.open(io.BytesIO(storyboard_jpeg(made, columns=columns))) as opened:
        assert opened.format == "JPEG" and opened.size == sheet.size


@pytest.mark.parametrize(("width", "height"), [(270, 480), (2000, 20), (20, 2000), (1, 1)])
def test_pictures_of_any_shape_fit(width: int, height: int) -> None:
    assert storyboard(stills(3, width, height)).width < 1300
    size = sprite_size(stills(1, width, height)[0].jpeg)
    assert size[0] == 160 and 16 <= size[1] <= 320
    with Image.open(
        io.BytesIO(sprite_sheet([still.jpeg for still in stills(3, width, height)], size))
    ) as sheet:
        assert sheet.size == (3 * size[0], size[1])


def test_a_storyboard_of_nothing_or_too_much_is_refused() -> None:
    for count in (0, 101):
        with pytest.raises(ValueError, match="1 to 100"):
            storyboard(stills(1) * count)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (6.99, "0:06"), (75, "1:15"), (3723.5, "1:02:03"), (-1, "0:00")]
)
def test_times_are_those_of_players(seconds: float, shown: str) -> None:
    assert player_time(seconds) == shown


@pytest.mark.parametrize(("count", "cells"), [(1, 1), (7, 7), (100, 100), (457, 100)])
def test_sprites_cover_the_video(count: int, cells: int) -> None:
    duration, origin = 61.7, 5.0
    times = (origin + (np.arange(count) + 0.5) * duration / count).tolist()
    found = sprite_cells(times, [(origin, origin + duration)] * count, duration, origin)
    assert len(found) == cells
    cues = list(webvtt.from_buffer(io.StringIO(sprite_cues(found, (160, 90), "sprites.jpg"))))
    assert cues[0].start_in_seconds == 0 and cues[-1].end == "00:01:01.700"
    for number, (cue, cell) in enumerate(zip(cues, found, strict=True)):
        left, top = 160 * (number % 10), 90 * (number // 10)
        assert cue.text == f"sprites.jpg#xywh={left},{top},160,90"
        middle = origin + (number + 0.5) * duration / cells
        nearest = min(range(count), key=lambda one: abs(times[one] - middle))
        assert abs(times[cell.number] - middle) == pytest.approx(abs(times[nearest] - middle))
        assert number == 0 or cue.start == cues[number - 1].end


def test_a_sprite_shows_its_own_side_of_a_cut() -> None:
    times, spans = [0.5, 4.9, 9.0], [(0.0, 5.0), (0.0, 5.0), (5.0, 10.0)]
    # Cells of 10 / 3 s have their middles at 1.7, 5 and 8.3 s: 4.9 is nearest to the second, and over.
    assert [cell.number for cell in sprite_cells(times, spans, 10.0, 0.0)] == [0, 2, 2]
