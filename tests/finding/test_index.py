"""Every vector index against the exact NumPy oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest

from encoders.errors import EncoderMismatchError, IndexFileError
from encoders.types import normalise
from search.index.faiss_index import FaissIndex
from search.index.vector_index import NumpyIndex

DIM, COUNT = 32, 20_000


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around 300 centres, as clips of an archive are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(300, DIM))
    return normalise(centres[random.integers(300, size=count)] + 0.5 * random.normal(size=(count, DIM)))


@pytest.fixture(scope="module")
def stored():
    return np.arange(1, COUNT + 1, dtype=np.int64) * 3, clustered(COUNT)


def build(kind: str, stored) -> FaissIndex:
    limit = 2**27 if kind == "exact" else 1000 * DIM
    index = FaissIndex(DIM, "encoder", exact_limit_numbers=limit, use_gpu=False)
    ids, vectors = stored
    for start in range(0, COUNT, 3000):
        index.add(ids[start : start + 3000], vectors[start : start + 3000])
    assert index.kind.startswith("exact" if kind == "exact" else "ivf")
    return index


@pytest.fixture(scope="module", params=["exact", "approximate"])
def index(request, stored):
    return build(request.param, stored)


@pytest.fixture(scope="module")
def oracle(stored):
    oracle = NumpyIndex(DIM)
    oracle.add(*stored)
    return oracle


@pytest.fixture(scope="module")
def queries():
    return clustered(50, seed=7)


@pytest.mark.parametrize("share", [None, 0.001, 0.01, 0.1, 0.9])
def test_recall_under_a_filter(index, oracle, queries, stored, share):
    ids, _ = stored
    allowed = None
    if share is not None:
        allowed = np.sort(np.random.default_rng(1).choice(ids, int(share * COUNT), replace=False))
    scores, found = index.search(queries, 10, allowed)
    expected_scores, expected = oracle.search(queries, 10, allowed)
    assert found.shape == expected.shape
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, expected, strict=True)])
    assert recall >= 0.99
    assert np.abs(scores[:, 0] - expected_scores[:, 0]).max() < 1e-3
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    if allowed is not None:
        assert np.isin(found, allowed).all()


@pytest.mark.parametrize("k", [1, 10, 500])
def test_k_results_come_back_when_k_exist(index, queries, stored, k):
    ids, _ = stored
    few = ids[::2000]
    assert index.search(queries, k, few)[1].shape == (50, min(k, len(few)))
    assert index.search(queries, k)[1].shape == (50, k)
    assert (index.search(queries, k)[1] >= 0).all()
    assert index.search(queries, 5, np.zeros(0, np.int64))[1].shape == (50, 0)


def test_allowed_ids_that_are_not_stored_are_no_results(index, queries, stored):
    ids, _ = stored
    allowed = np.array([1, 2, ids[5], 10**6], np.int64)
    assert set(index.search(queries, 3, allowed)[1].ravel().tolist()) == {int(ids[5])}


@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_removed_vectors_are_never_found(kind, stored, queries):
    index = build(kind, stored)
    ids, vectors = stored
    gone = np.unique(index.search(queries, 10)[1])
    index.remove(np.append(gone, 10**9))
    assert len(index) == COUNT - len(gone)
    assert not np.isin(index.search(queries, 50)[1], gone).any()
    assert np.array_equal(index.ids(), np.setdiff1d(ids, gone))
    index.add(gone, vectors[np.searchsorted(ids, gone)])
    assert np.isin(index.search(vectors[np.searchsorted(ids, gone)], 1)[1].ravel(), gone).all()


@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_a_saved_index_answers_as_before(kind, stored, queries, tmp_path):
    index = build(kind, stored)
    index.revision = 7
    index.save(tmp_path)
    index.revision = 8
    index.save(tmp_path)
    loaded = FaissIndex.load(tmp_path, DIM, "encoder", use_gpu=False)
    assert loaded.revision == 8
    assert len(list(tmp_path.glob("*.faiss"))) == 1
    assert np.array_equal(loaded.search(queries, 10)[1], index.search(queries, 10)[1])
    loaded.remove(stored[0][:5])
    assert len(loaded) == COUNT - 5


def test_the_index_of_another_encoder_or_catalog_is_refused(stored, tmp_path):
    index = FaissIndex(DIM, "encoder", "catalog")
    index.add(stored[0][:10], stored[1][:10])
    index.save(tmp_path)
    with pytest.raises(EncoderMismatchError, match=r"encoder.*rebuild"):
        FaissIndex.load(tmp_path, DIM, "other", "catalog")
    with pytest.raises(IndexFileError, match="another catalog"):
        FaissIndex.load(tmp_path, DIM, "encoder", "other")
    with pytest.raises(FileNotFoundError):
        FaissIndex.load(tmp_path / "nowhere", DIM, "encoder")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "json", "gone"])
def test_a_broken_file_is_an_error_of_ours(stored, tmp_path, damage):
    index = FaissIndex(DIM, "encoder")
    index.add(stored[0][:1000], stored[1][:1000])
    index.save(tmp_path)
    (vectors,) = tmp_path.glob("*.faiss")
    if damage == "truncated":
        vectors.write_bytes(vectors.read_bytes()[:1000])
    elif damage == "garbage":
        vectors.write_bytes(b"\0" * 5000)
    elif damage == "json":
        (tmp_path / "index.json").write_text("{")
    else:
        record = json.loads((tmp_path / "index.json").read_text())
        (tmp_path / record["file"]).unlink()
    with pytest.raises((IndexFileError, FileNotFoundError)):
        FaissIndex.load(tmp_path, DIM, "encoder")


def test_wrong_dimensions_are_refused(stored):
    index = FaissIndex(DIM, "encoder")
    with pytest.raises(ValueError, match=r"\(2, 32\)"):
        index.add(np.array([1, 2]), np.zeros((2, 31), np.float32))
