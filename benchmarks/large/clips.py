"""Embeddings of any number of clips, mixed of a bank of photographs as the encoder `offline` would see them.

A shot shows one crop and some of a second; each of its one to six clips shows a little of a third besides, so
that clips of a shot resemble each other as those of footage do. What is mixed are activations and logits; the
probabilities, their roots and the join are the encoder's own.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.large.bank import Bank
from encoders.embedding.offline import WHOLE_SHARE, OfflineEncoder, join_parts

BLOCK = 4000  # clips with a seed of their own: the first clips of a larger archive are those of a smaller one
MOST_CLIPS_OF_SHOT = 6
MOST_OF_SECOND, MOST_OF_THIRD = 0.5, 0.15
CLIP_SEED, PICTURE_SEED = 0, 1
DIM = OfflineEncoder.dim


def open_clips(folder: Path, bank: Bank, count: int) -> NDArray[np.float16]:
    """Embeddings float16 (count, 2281), made and kept in a file, or the first of those that are there."""
    crops = bank.part(kept_out=False)
    file = folder / f"clips-{bank.name}.npy"
    if file.exists():
        known = np.load(file, mmap_mode="r")
        if len(known) >= count:
            return known[:count]
    partial = file.with_suffix(".partial.npy")
    made = np.lib.format.open_memmap(partial, "w+", np.float16, (count, DIM))

    def fill(block: int) -> None:
        rows = made[block * BLOCK : (block + 1) * BLOCK]
        rows[:] = mix(crops, BLOCK, (CLIP_SEED, block))[: len(rows)]

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(fill, range(-(-count // BLOCK))))
    made.flush()
    partial.replace(file)
    return np.load(file, mmap_mode="r")


def make_pictures(bank: Bank, count: int, seed: int) -> NDArray[np.float32]:
    """Embeddings float32 (count, 2281) of pictures that no clip shows: shots of crops that were kept out."""
    return mix(bank.part(kept_out=True), count, (PICTURE_SEED, seed), most_of_shot=1)


def mix(
    crops: Bank, count: int, seed: tuple[int, int], most_of_shot: int = MOST_CLIPS_OF_SHOT
) -> NDArray[np.float32]:
    """Embeddings float32 (count, 2281), in order of time."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, most_of_shot + 1, size=count)  # more shots than are needed
    shot = np.repeat(np.arange(count), lengths)[:count]
    first, second = random.integers(len(crops.logits), size=(2, count))[:, shot]
    third = random.integers(len(crops.logits), size=count)
    of_second = random.uniform(0, MOST_OF_SECOND, size=count)[shot].astype(np.float32)
    of_third = random.uniform(0, MOST_OF_THIRD, size=count).astype(np.float32)
    weights = ((1 - of_second) * (1 - of_third), of_second * (1 - of_third), of_third)
    parts = list(zip(weights, (first, second, third), strict=True))
    made = np.empty((count, DIM), np.float32)
    for start in range(0, count, 500):  # whose logits, 20 KB each, stay in the processor's cache
        rows = slice(start, start + 500)
        activations = sum(weight[rows, None] * crops.activations[of[rows]] for weight, of in parts)
        logits = sum(weight[rows, None, None] * crops.logits[of[rows]] for weight, of in parts)
        made[rows] = join_parts(activations, semantic(logits))
    return made


def semantic(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The semantic part of a feature: logits (N, 5, 1000) of whole and quarters -> float32 (N, 1001)."""
    shares = np.exp(logits - logits.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    classes = np.sqrt(WHOLE_SHARE * shares[:, 0] + (1 - WHOLE_SHARE) * shares[:, 1:].mean(axis=1))
    return np.pad(classes, ((0, 0), (0, 1)))  # nothing is shown as "unknown"
