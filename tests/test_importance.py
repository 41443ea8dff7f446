"""Importance heads: what they learn from people, from classes, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau
from typer.testing import CliRunner
from video_factory import scene, stamp, write_video

from encoders.embedding.encoder import Encoder
from encoders.errors import EncoderMismatchError, EncoderUnavailableError, HeadFileError, InvalidQueryError
from encoders.heads.head import FeatureTrack
from encoders.heads.importance import is_importance, open_importance
from encoders.lessons.importance import (
    ImportanceOptions,
    ImportanceVideo,
    train_importance,
)
from indexer.commands.app import make_app
from indexer.datasets.importance_data import SummarySample, piece_borders, to_judge
from indexer.datasets.types import ImportanceSample

DIM = 32
CARD = {"name": "made", "encoder_spec": "made", "encoder_id": "made/1"}


def videos(count: int, seed: int, *, scored: bool = True) -> list[ImportanceVideo]:
    """Videos of noise whose moments matter by one hidden direction of their features, and by nothing else."""
    random = np.random.default_rng(seed)
    direction = np.random.default_rng(0).normal(size=DIM)
    direction /= np.linalg.norm(direction)
    found = []
    for number in range(count):
        features = random.normal(size=(80, DIM)).astype(np.float32)
        level = 1 / (1 + np.exp(-3 * features @ direction))
        people = np.clip(level + random.normal(scale=0.1, size=(5, 80)), 0, 1).astype(np.float32)
        found.append(ImportanceVideo(f"video {number}", features, people if scored else None))
    return found


def test_what_people_find_important_is_learned(tmp_path: Path) -> None:
    report = train_importance(videos(20, 1), videos(5, 2), ImportanceOptions(epochs=25), tmp_path, card=CARD)
    head = open_importance(tmp_path)
    assert (head.name, head.encoder_id, report.loss, report.figure) == (
        "made",
        "made/1",
        "scores",
        "Kendall tau",
    )
    unseen = videos(5, 3)
    taus = []
    for video in unseen:
        said = head.importance(video.features)
        assert said.dtype == np.float32 and said.shape == (80,) and 0 <= said.min() <= said.max() <= 1
        assert video.scores is not None
        taus.append(kendalltau(said, video.scores.mean(axis=0)).statistic)
    assert np.mean(taus) > 0.7  # the people themselves differ


def test_the_same_seed_gives_the_same_head(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        train_importance(videos(4, 1), videos(2, 2), ImportanceOptions(epochs=3), tmp_path / name, card=CARD)
    assert (tmp_path / "one/best.safetensors").read_bytes() == (
        tmp_path / "two/best.safetensors"
    ).read_bytes()


def test_classes_of_whole_videos_say_which_moments_matter(tmp_path: Path) -> None:
    """Three classes; one moment in five shows the class, the others are noise: nobody says which."""
    random = np.random.default_rng(0)
    kinds = random.normal(size=(3, DIM)) * 2

    def made(count: int) -> tuple[list[ImportanceVideo], list[np.ndarray]]:
        found, shows = [], []
        for number in range(count):
            shown = random.random(60) < 0.2
            features = random.normal(size=(60, DIM)) + shown[:, None] * kinds[number % 3]
            found.append(ImportanceVideo(f"video {number}", features.astype(np.float32), None, number % 3))
            shows.append(shown)
        return found, shows

    learn, _ = made(30)
    check, _ = made(6)
    report = train_importance(learn, check, ImportanceOptions(epochs=30), tmp_path, card=CARD, classes=3)
    assert report.loss == "summary"
    head = open_importance(tmp_path)
    unseen, shows = made(9)
    # The chance that a moment of the class is scored above one of noise.
    wins = [
        np.mean(scores[shown][:, None] > scores[~shown][None])
        for scores, shown in ((head.importance(v.features), s) for v, s in zip(unseen, shows, strict=True))
    ]
    assert np.mean(wins) > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "auto, scores or summary"),
        ({"epochs": 0}, "epochs must be a whole number from 1"),
        ({"frames": 8}, "no option 'frames'; expected: loss, epochs"),
        ({"dropout": "much"}, "dropout must be a number"),
    ],
)
def test_options_that_make_no_sense(changes: dict, message: str) -> None:
    with pytest.raises(InvalidQueryError, match=message):
        ImportanceOptions().changed(changes)


def test_what_the_loss_needs(tmp_path: Path) -> None:
    plain = videos(3, 1, scored=False)
    with pytest.raises(InvalidQueryError, match="nobody scored"):
        train_importance(plain, plain, ImportanceOptions(loss="scores"), tmp_path, card=CARD)
    with pytest.raises(InvalidQueryError, match="classes of whole videos"):
        train_importance(plain, plain, ImportanceOptions(), tmp_path, card=CARD)
    with pytest.raises(InvalidQueryError, match="3 videos to learn importance from and 0"):
        train_importance(plain, [], ImportanceOptions(), tmp_path, card=CARD)


def test_files_that_are_no_head(tmp_path: Path) -> None:
    train_importance(videos(3, 1), videos(2, 2), ImportanceOptions(epochs=1), tmp_path, card=CARD)
    file = tmp_path / "best.safetensors"
    assert is_importance(file) and is_importance(tmp_path) and not is_importance(tmp_path / "none")
    with pytest.raises(EncoderMismatchError, match=r"made, \(T, 32\); got \(4, 8\)"):
        open_importance(file).importance(np.zeros((4, 8), np.float32))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:-8] + bytes(8))
    with pytest.raises(HeadFileError, match="damaged"):
        open_importance(damaged)
    with pytest.raises(EncoderUnavailableError, match="no checkpoint"):
        open_importance(tmp_path / "none.safetensors")
    from encoders.training.checkpoints import read_model_card

    with pytest.raises(EncoderUnavailableError, match="is an importance head"):
        read_model_card(file)


def test_importance_is_spread_over_the_parts_that_people_scored() -> None:
    """Four moments of 2 s, ten parts of 0.8 s: part p's centre (p + 0.5) * 0.8 lies in moment centre // 2."""
    borders = np.array([10.0, 12, 14, 16, 18])
    track = FeatureTrack(np.zeros((4, 2), np.float32), borders[:-1] + 1, borders, np.array([0, 0, 0, 1]))
    people = ImportanceSample("a.mp4", np.linspace(0, 1, 20, dtype=np.float32).reshape(2, 10))
    case = to_judge(SummarySample("a.mp4", "val", people, None), track, np.array([0.1, 0.2, 0.3, 0.4]))
    expected = [[0.1, 0.2, 0.3, 0.4][int((part + 0.5) * 0.8 // 2)] for part in range(10)]
    assert case.importance.tolist() == expected
    # The first shot lasts 6 s: two pieces of 3 s, of about 4.
    assert piece_borders(track).tolist() == [0, 3, 6, 8]
    assert case.borders.tolist() == [0, 4, 8, 10]  # 3 / 0.8 = 3.75, 6 / 0.8 = 7.5 (to even: 8)


@pytest.fixture(scope="module")
def tvsum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TVSum-shaped: eight videos of 12 s; people want the photographs, which come at other places in each."""
    from skimage import data

    folder = tmp_path_factory.mktemp("tvsum")
    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    photographs = [picture[:288:2, :384:2] for picture in pictures]
    random = np.random.default_rng(5)
    lines = []
    for number in range(8):
        shown = np.zeros(60, bool)
        start = int(random.integers(5, 35))
        shown[start : start + 15] = True
        frames = [
            stamp(photographs[(number + frame // 20) % 4] if here else scene(number), frame)
            for frame, here in enumerate(shown)
        ]
        write_video(folder / f"v{number}.mp4", frames, fps=5)
        for person in range(3):
            scores = np.where(shown, 4 + (person == 1), 1 + (person == 2))
            lines.append(f"v{number}\t{'AB'[number % 2]}\t{','.join(map(str, scores.tolist()))}\n")
    (folder / "broken.mp4").write_bytes(b"no video")
    lines.append(f"broken\tA\t{','.join(['1'] * 30)}\n")
    (folder / "ydata-tvsum50-anno.tsv").write_text("".join(lines))
    return folder


def test_train_and_evaluate_on_tvsum(
    tvsum: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline_encoder: Encoder
) -> None:
    monkeypatch.setenv("REELSEEK_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "run"
    arguments = ["--data", str(tvsum), "--out", str(out), "--encoder", "offline", "--device", "cpu", "--json"]
    run = CliRunner().invoke(make_app(), ["train", "importance", *arguments])
    assert run.exit_code == 0, run.output
    document = json.loads(run.stdout)
    assert [Path(row["path"]).name for row in document["damaged"]] == ["broken.mp4"]
    assert open_importance(out).encoder_id == offline_encoder.encoder_id
    judged = CliRunner().invoke(
        make_app(), ["evaluate", str(out), "--data", str(tvsum), "--device", "cpu", "--json"]
    )
    assert judged.exit_code == 0, judged.output
    figures = json.loads(judged.stdout)["figures"]
    assert figures["Kendall tau"]["value"] > 0.5 and figures["Spearman rho"]["value"] > 0.5
    untrained = CliRunner().invoke(
        make_app(),
        [
            "evaluate",
            "representativeness",
            *arguments[:2],
            "--encoder",
            "offline",
            "--device",
            "cpu",
            "--json",
        ],
    )
    assert untrained.exit_code == 0, untrained.output
    # The photographs are rare in each video and unlike the rest of it: representativeness finds them too.
    assert json.loads(untrained.stdout)["figures"]["Kendall tau"]["value"] > 0.3
    refused = CliRunner().invoke(make_app(), ["train", "c3d_tiny", *arguments[:4], "--encoder", "offline"])
    assert "--encoder and --device go with importance" in str(refused.exception)
