"""Made spans, true and found, and the figures that the published programs of two challenges give them.

See `tests/learning/test_detection.py` for where these programs are.
"""

from __future__ import annotations

import numpy as np

from encoders.evaluation.detection import AMBIGUOUS, FoundSpan, TrueSpan

ACTIVITYNET = {
    "jump": (
        *(0.22494172494172493, 0.22494172494172493, 0.18181818181818185, 0.1366863905325444),
        *(0.1366863905325444, 0.11628776082217379, 0.016194331983805668, 0.007692307692307693, 0, 0),
    ),
    "run": (
        *(0.4093747429041547, 0.2571342383107089, 0.1885369532428356, 0.1885369532428356),
        *(0.15233785822021118, 0.0961957432545668, 0.0961957432545668, 0.03619909502262444),
        *(0.003205128205128205, 0),
    ),
    "swim": (*[1 / 6] * 5, 0.09259259259259259, 0.018518518518518517, 0, 0, 0),
    "throw": (0,) * 10,
}
ACTIVITYNET_AVERAGE = 0.0854352428341771
THUMOS = {
    "jump": (
        *(0.31263971071663382, 0.25298323471400391, 0.25298323471400391, 0.19140368178829717),
        0.1309993425378041,
    ),
    "run": (
        *(0.29041208987842243, 0.21352245333014563, 0.15977811949932644, 0.15977811949932644),
        0.12733567108345784,
    ),
    "swim": (0.33201058201058203, *[0.26851851851851849] * 4),
    "throw": (0,) * 5,
}
THUMOS_FIRST_EDITION = {
    "jump": (
        *(0.3636363636363637, 0.29545454545454547, 0.29545454545454547, 0.22727272727272727),
        0.16233766233766234,
    ),
    "run": (
        *(0.44155844155844165, 0.32659932659932667, 0.22027972027972023, 0.22027972027972023),
        0.19580419580419581,
    ),
    "swim": (0.37878787878787878, *[0.31818181818181818] * 4),
    "throw": (0,) * 5,
}


def made_rows() -> tuple[list[TrueSpan], list[FoundSpan]]:
    """Spans on a grid of a quarter second and scores on one of a tenth: equal overlaps and scores abound.

    Twice labelled, twice said, said of the wrong action, in a video without labels, never found.
    """
    rng = np.random.default_rng(1704)
    actions = ("jump", "run", "swim", "throw")
    videos = [f"video_{number:02d}" for number in range(8)]
    truth = []
    for video in videos[:-1]:  # the last holds nothing, but predictions
        for action in (*actions, AMBIGUOUS):
            for _ in range(int(rng.integers(0, 4))):
                start = int(rng.integers(0, 160)) / 4
                truth.append(TrueSpan(video, action, start, start + int(rng.integers(2, 41)) / 4))
    truth += [row for row in truth if row.video == videos[0] and row.action == "run"]
    found = []
    for row in truth:
        if row.action == "throw":  # nobody finds it
            continue
        for _ in range(int(rng.integers(0, 4))):
            right = row.action in actions and rng.random() < 0.8
            said = row.action if right else str(rng.choice(actions[:3]))
            shift, stretch = (rng.integers(-6, 7, size=2) / 4).tolist()
            start, end = row.start_seconds + shift, row.end_seconds + shift + stretch
            score = int(rng.integers(0, 11)) / 10
            found.append(FoundSpan(row.video, said, start, max(end, start + 0.25), score))
    found += found[::7]
    for _ in range(12):
        start = int(rng.integers(0, 160)) / 4
        video, action = str(rng.choice(videos)), str(rng.choice(actions[:3]))
        found.append(FoundSpan(video, action, start, start + 3.0, int(rng.integers(0, 11)) / 10))
    return truth, [found[index] for index in rng.permutation(len(found))]
