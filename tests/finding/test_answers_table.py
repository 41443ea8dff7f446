"""The table of `docs/answers.md` in small: its command, on photographs that packages ship.

None of them was used to choose anything. What each shows is its ImageNet synset, given here by eye.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from samples import shipped
from surroundings import lacking

from benchmarks.answers.__main__ import main

PHOTOGRAPHS = {  # synset and name -> package and file
    "n02123045_tabby": "skimage/data/chelsea.png",
    "n07920052_espresso": "skimage/data/coffee.png",
    "n03773504_missile": "skimage/data/rocket.jpg",
    "n03791053_motor_scooter": "skimage/data/motorcycle_left.png",
    "n11939491_daisy": "sklearn/datasets/images/flower.jpg",
    "n03877845_palace": "sklearn/datasets/images/china.jpg",
    "n02708093_analog_clock": "skimage/data/clock_motion.png",
    "n04485082_tripod": "skimage/data/camera.png",
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What the command measures, by section and name."""
    wordnet = Path(os.environ.get("REELSEEK_WORDNET") or "/usr/share/wordnet")
    if not (wordnet / "data.noun").is_file():
        lacking("wordnet", f"there is no WordNet database at {wordnet}; REELSEEK_WORDNET names one")
    folder = tmp_path_factory.mktemp("answers")
    for name, path in PHOTOGRAPHS.items():
        with Image.open(shipped(path)) as opened:
            opened.convert("RGB").save(folder / f"{name}.jpeg")
    arguments = ["--photographs", folder, "--half", "all", "--shots", len(PHOTOGRAPHS), "--seeds", 1]
    arguments += ["--sections", "words", "nothing", "--folder", folder / "archives", "--out", folder / "out"]
    main([str(one) for one in arguments])
    lines = json.loads((folder / "out" / "answers.json").read_text())["figures"]
    return {f"{line['section']}: {line['name']}": line["value"] for line in lines}


def test_names_find_their_shots_and_their_times(figures):
    assert figures["words: class names, right shot first"] >= 0.75
    assert figures["words: class names, right moment first at tIoU 0.5"] >= 0.75


@pytest.mark.parametrize("clips", [5, 8])
def test_what_is_there_matches_and_what_is_not_does_not(figures, clips):
    where = f"nothing: words, {clips} clips"
    assert figures[f"{where}: something there, but nothing said"] <= 0.1
    assert figures[f"{where}: a right match among the first three"] >= 0.6
    assert figures[f"{where}: nothing there, but a match"] <= 0.08  # four of 54
    assert figures[f"{where}: calibration error"] <= 0.05


@pytest.mark.parametrize("sort", ["pictures", "footage", "mixtures"])
def test_examples_of_what_is_there_match(figures, sort):
    assert figures[f"nothing: {sort}, 8 clips: something there, but nothing said"] == 0
    assert figures[f"nothing: {sort}, 8 clips: a right match among the first three"] >= 0.9
