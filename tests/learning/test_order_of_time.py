"""Made clips of motion: no frame says which class they are of, and a network that knows order does."""

from __future__ import annotations

import numpy as np
import pytest
from video_factory import write_video

from benchmarks.made_motion import (
    DIRECTIONS,
    FIELD,
    FRAMES,
    LABELS,
    SIZE,
    MadeMotion,
    Scene,
    make_scene,
    motion_of,
    render,
)

MIDDLE = FRAMES // 2


def clips(scenes: int, seed: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """All clips of some scenes, uint8 (N, 8, 32, 32, 3), and their labels (N,)."""
    source = MadeMotion(scenes, seed)
    return np.stack([source.read(index, 0)[0] for index in range(len(source))]), np.array(source.targets)


def one_shape(x: float, y: float) -> Scene:
    """A white disc of middling size on black."""
    return Scene(
        places=np.array([[x, y]], np.float32),
        phase=0.5,
        scales=np.ones(1, np.float32),
        kinds=np.array([0]),
        waves=np.zeros((1, 3), np.float32),
        colours=np.full((1, 2, 3), 255, np.float32),
        background=np.zeros((SIZE, SIZE, 3), np.float32),
    )


def centres(frames: np.ndarray) -> np.ndarray:
    """Centre of what is bright in each frame, (T, 2): x, y."""
    weight = frames.astype(np.float64).mean(axis=3)
    rows, columns = np.mgrid[: weight.shape[1], : weight.shape[2]]
    total = weight.sum(axis=(1, 2))
    return (
        np.stack([(weight * columns).sum(axis=(1, 2)), (weight * rows).sum(axis=(1, 2))], 1) / total[:, None]
    )


class TestNoFrameTellsTheClass:
    def test_middle_frames_of_a_scene_are_the_same_in_all_classes(self):
        frames, targets = clips(20)
        assert targets[: len(LABELS)].tolist() == list(range(len(LABELS)))
        scenes = frames[:, MIDDLE].reshape(20, len(LABELS), SIZE, SIZE, 3)
        assert (scenes == scenes[:, :1]).all()
        assert len({scene[0].tobytes() for scene in scenes}) == 20  # the scenes differ
        clips_of_first = frames[: len(LABELS)]
        assert len({clip.tobytes() for clip in clips_of_first}) == len(LABELS)  # and so do the clips

    @pytest.mark.parametrize("moment", [0, FRAMES - 1])
    def test_places_and_sizes_are_uniform_at_any_moment(self, moment):
        from scipy.stats import kstest

        rng = np.random.default_rng(5)
        field = FIELD * SIZE
        for label in LABELS:
            places, phases = [], []
            for _ in range(150):
                scene, motion = make_scene(rng), motion_of(label, rng)
                places += ((scene.places + (moment - MIDDLE) * np.array(motion[:2])) % field).tolist()
                phases.append((scene.phase + (moment - MIDDLE) * motion[2]) % 1)
            for values in (np.array(places)[:, 0] / field, np.array(places)[:, 1] / field, phases):
                assert kstest(values, "uniform").pvalue > 1e-4, label

    @pytest.mark.parametrize("moment", [0, MIDDLE, FRAMES - 1])
    def test_a_classifier_of_single_frames_stays_near_chance(self, moment):
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        learned, targets = clips(100)
        asked, right = clips(100, seed=12)

        def features(frames: np.ndarray) -> np.ndarray:
            """Colours over an 8 x 8 grid, and how much they vary there."""
            blocks = frames[:, moment].reshape(-1, 8, 4, 8, 4, 3).astype(np.float64)
            return np.concatenate([blocks.mean((2, 4)), blocks.std((2, 4))], axis=3).reshape(len(frames), -1)

        scale = StandardScaler().fit(features(learned))
        model = LogisticRegression(C=0.01, max_iter=200).fit(scale.transform(features(learned)), targets)
        accuracy = model.score(scale.transform(features(asked)), right)
        # 800 clips: three standard deviations of chance are 3.5 points.
        assert abs(accuracy - 1 / len(LABELS)) < 0.05


class TestMotion:
    @pytest.mark.parametrize("label", DIRECTIONS)
    def test_a_shape_moves_as_its_class_says(self, label):
        rng = np.random.default_rng(0)
        motion = motion_of(label, rng)
        frames = render(one_shape(16.0, 16.0), motion)[MIDDLE - 2 : MIDDLE + 3]
        moved = np.diff(centres(frames), axis=0)
        assert np.allclose(moved, motion[:2], atol=0.15)
        assert 2.0 <= np.abs(motion[:2]).max() <= 2.5
        assert np.sign(motion[:2]).tolist() == list(DIRECTIONS[label])

    def test_opening_grows_and_closing_is_the_same_backwards(self):
        scene = one_shape(16.0, 16.0)
        opens = render(scene, (0.0, 0.0, 0.1), frames=9)
        assert (render(scene, (0.0, 0.0, -0.1), frames=9) == opens[::-1]).all()
        near = opens[MIDDLE - 2 : MIDDLE + 3].astype(np.float64).sum(axis=(1, 2, 3))
        assert (np.diff(near) > 0).all()

    def test_fast_and_slow_go_the_same_ways_at_three_times_the_speed(self):
        rng = np.random.default_rng(0)
        fast, slow = (np.array([motion_of(label, rng) for _ in range(200)]) for label in ("fast", "slow"))
        for motions in (fast, slow):
            assert np.allclose(np.abs(motions[:, 0]), np.abs(motions[:, 1]))
            assert {tuple(way) for way in np.sign(motions[:, :2])} == {(-1, -1), (-1, 1), (1, -1), (1, 1)}
        assert np.hypot(*fast[:, :2].T).min() > 2.7 > 1.1 > np.hypot(*slow[:, :2].T).max()

    def test_what_leaves_comes_back_on_the_other_side_of_the_field(self):
        field = FIELD * SIZE
        still = (0.0, 0.0, 0.0)
        round_it = render(one_shape(3.0 + field, 5.0 - field), still)
        assert (render(one_shape(3.0, 5.0), still) == round_it).all()

    def test_flow_of_the_clips_goes_where_the_shapes_go(self):
        source = MadeMotion(10, 3, with_flow=True)
        along = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}
        for label, (axis, sign) in along.items():
            flows = [source.read(8 * scene + LABELS.index(label), 0)[1] for scene in range(10)]
            assert all(flow.shape == (FRAMES - 1, SIZE, SIZE, 2) for flow in flows)
            assert sign * np.mean([flow[..., axis].mean() for flow in flows]) > 0.5


class TestSource:
    def test_a_part_has_the_same_clips(self):
        whole = MadeMotion(4, 7)
        part = whole.part(2, with_flow=True)
        assert len(part) == 16 and part.targets == whole.targets[:16]
        assert (part.read(9, 0)[0] == whole.read(9, 3)[0]).all()
        with pytest.raises(ValueError, match="there are 4 scenes"):
            whole.part(5)

    def test_clips_survive_as_video_files(self, tmp_path):
        """The same clips can be ingested: a file each, read back by the decoder of the house."""
        from indexer.video.reading.decode import VideoDecoder

        frames = MadeMotion(1, 7).read(1, 0)[0]
        # Players and encoders want more pixels than 32 x 32.
        large = frames.repeat(4, axis=1).repeat(4, axis=2)
        with VideoDecoder(str(write_video(tmp_path / "right.mp4", large, fps=8))) as decoder:
            read = [frame.rgb(128) for frame in decoder.frames()]
        assert len(read) == FRAMES
        assert np.abs(np.stack(read).astype(float) - large).mean() < 12


@pytest.mark.slow  # a minute
def test_a_3d_network_learns_what_one_over_a_frame_cannot():
    from benchmarks.order_of_time import (
        RECIPES,
        TEST_SEED,
        TRAIN_SEED,
        VALIDATION_SCENES,
        VALIDATION_SEED,
        measure,
    )

    recipes = {recipe.model: recipe for recipe in RECIPES}
    learned, asked = MadeMotion(recipes["i3d_tiny"].scenes, TRAIN_SEED), MadeMotion(50, TEST_SEED)
    chosen = MadeMotion(VALIDATION_SCENES, VALIDATION_SEED)
    blind = measure(recipes["single_frame_tiny"], learned, chosen, asked)
    sighted = measure(recipes["i3d_tiny"], learned, chosen, asked)
    assert blind.accuracy.value < 1 / len(LABELS) + 0.1
    assert sighted.accuracy.value >= 0.9
