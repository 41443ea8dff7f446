"""The compact index: what it finds, what it writes, and what it leaves of what was removed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_library import add_video, faults, make_library, make_offline_library, remove_video

from encoders.types import normalise
from encoders.words.things import Things
from indexer.keeping.check import check
from search.calibration.probabilities import AskedFor
from search.catalog.record import LibraryRecord
from search.index import compact_index, faiss_index
from search.index.compact_index import CompactIndex
from search.index.files import load_index, save_index, verify_index
from search.index.inverted_lists import find_directions, rank_halves, suitable_lists
from search.index.mirror import Mirror
from search.index.numpy_index import NumpyIndex
from search.index.registry import INDEXES
from search.index.vector_index import VectorSpace
from search.library import Library
from search.query.engine import SearchEngine
from search.query.tuning import tune
from search.types import ClipPart, EncodedClip, Filters, Query

VISUAL, CLASSES = 64, 200
SPACE = VectorSpace(VISUAL + CLASSES, (VISUAL, VISUAL + CLASSES))
COUNT = 12_000
# What `load_index` compares: an encoder's id, and a spec that says where its probabilities are.
LIBRARY = LibraryRecord("catalog", "made", "encoder", "mean", SPACE.dim, "{}", 8)


def made(count: int, seed: int) -> np.ndarray:
    """Vectors as a classifier gives them: activations, and the roots of their classes' probabilities."""
    random = np.random.default_rng(seed)
    weights = np.random.default_rng(5).normal(size=(VISUAL, CLASSES))
    centres = np.abs(np.random.default_rng(6).normal(size=(400, VISUAL)))
    seen = np.abs(centres[random.integers(400, size=count)] + 0.3 * random.normal(size=(count, VISUAL)))
    logits = 0.3 * seen @ weights
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    parts = [0.75**0.5 * normalise(seen), 0.25**0.5 * np.sqrt(shares)]
    return np.concatenate(parts, axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return made(COUNT, 1)


@pytest.fixture(scope="module")
def ids() -> np.ndarray:
    return np.arange(COUNT, dtype=np.int64) * 3 + 7


@pytest.fixture(scope="module")
def oracle(ids, vectors) -> NumpyIndex:
    index = NumpyIndex(SPACE)
    index.add(ids, vectors)
    return index


@pytest.fixture(scope="module")
def saved(oracle, tmp_path_factory) -> Path:
    """A folder with a saved index, to be copied."""
    folder = tmp_path_factory.mktemp("saved")
    built = CompactIndex.build(oracle, SPACE, folder)
    assert len(list(folder.glob("index-*.tmp"))) == 1
    save(built, folder, 7)
    assert list(folder.glob("index-*")) == [], "its own folder took the name"
    return folder


@pytest.fixture
def index(saved, tmp_path) -> CompactIndex:
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    return load(tmp_path)


@pytest.fixture(scope="module")
def unchanged(saved) -> CompactIndex:
    return load(saved)


def asked_for(*groups: list[int]) -> AskedFor:
    """Words for things, each of some of the classes."""
    squares = np.zeros((len(groups), SPACE.dim), np.float32)
    for row, group in enumerate(groups):
        squares[row, [VISUAL + number for number in group]] = 1 / len(groups)
    things = Things(squares, squares, np.zeros_like(squares), np.full(len(groups), 0.5, np.float32))
    return AskedFor(normalise(squares.sum(axis=0, keepdims=True)), 1.0, things=things)


WORDS = [
    asked_for([3]),
    asked_for([10, 11, 12, 13, 14]),
    asked_for(list(range(40, 90))),
    asked_for([3], [20, 21, 22]),
    asked_for(list(range(100, 130)), [5], [150, 151]),
]


def shared(found: np.ndarray, expected: np.ndarray) -> float:
    return len(np.intersect1d(found, expected)) / len(expected)


@pytest.mark.parametrize("share", [None, 0.5, 0.1, 0.01, 0.001])
def test_it_finds_what_the_oracle_finds(unchanged, oracle, ids, share):
    allowed = None
    if share is not None:
        allowed = np.sort(np.random.default_rng(2).choice(ids, int(share * COUNT), replace=False))
    queries = made(40, 9)
    texts = np.zeros_like(queries)
    texts[:, VISUAL:] = queries[:, VISUAL:]
    for asked in (queries, normalise(texts)):
        for k in (10, 100):
            scores, found = unchanged.search(asked, k, allowed)
            expected_scores, expected = oracle.search(asked, k, allowed)
            assert found.shape == expected.shape
            right = [(a >= b[-1] - 1e-3).mean() for a, b in zip(scores, expected_scores, strict=True)]
            assert np.mean(right) >= 0.99
            assert np.abs(scores[:, 0] - expected_scores[:, 0]).max() < 1e-3
            held = oracle.vectors_of(found[0])
            assert np.abs(held @ asked[0] - scores[0]).max() < 1e-3, "scores are those of what was found"
    for words in WORDS:
        for k in (10, 100):
            scores, found = unchanged.search_by(words, k, allowed)
            expected_scores, expected = oracle.search_by(words, k, allowed)
            assert len(found) == len(expected)
            assert np.mean(scores >= expected_scores[-1] - 1e-3) >= 0.99
            assert np.abs(words.score(oracle.vectors_of(found)) - scores).max() < 1e-3
            if allowed is not None:
                assert np.isin(found, allowed).all()


def test_words_without_what_they_must_not_show(unchanged, oracle):
    wanted, against = asked_for([10, 11, 12, 13, 14]), asked_for([11])
    words = AskedFor(wanted.vectors, 1.0, things=wanted.things, against=((against.things, 1.0),))
    scores, found = unchanged.search_by(words, 50)
    expected_scores, expected = oracle.search_by(words, 50)
    assert (scores >= expected_scores[-1] - 1e-3).mean() >= 0.98 and shared(found, expected) >= 0.9
    assert np.abs(scores - expected_scores).max() < 1e-3
    assert words.score(oracle.vectors_of(unchanged.search_by(against, 5)[1])).max() < scores[-1]


def save(index: CompactIndex, folder: Path, revision: int) -> Path:
    save_index(Mirror(INDEXES.find("faiss"), index, "encoder", "catalog", revision), folder)
    return home(folder)


def home(folder: Path) -> Path:
    return folder / json.loads((folder / "index.json").read_text())["file"]


def load(folder: Path) -> CompactIndex:
    return CompactIndex.read(home(folder), SPACE, json.loads((folder / "index.json").read_text()))


def changed(folder: Path) -> str | None:
    return load(folder).find_changes(json.loads((folder / "index.json").read_text()))


def test_what_is_new_is_written_behind_what_was_saved(index, oracle, tmp_path):
    path = home(tmp_path)
    before = {file.name: (file.stat().st_ino, file.stat().st_size) for file in path.iterdir()}
    first = (path / "vectors").read_bytes()
    later = made(300, 33)
    index.add(np.arange(10**6, 10**6 + 300), later)
    index.remove(np.array([7, 10, 10**6]))
    assert save(index, tmp_path, 8) == path
    for name, (inode, size) in before.items():
        assert (path / name).stat().st_ino == inode and (path / name).stat().st_size >= size
    assert (path / "vectors").stat().st_size == len(first) + 300 * 2 * SPACE.dim
    assert (path / "vectors").read_bytes()[4 * SPACE.dim : len(first)] == first[4 * SPACE.dim :]
    assert changed(tmp_path) is None
    again = load(tmp_path)
    assert np.array_equal(again.ids(), index.ids()) and len(again) == COUNT + 300 - 3
    queries = np.concatenate([later[:20], made(20, 10)])
    for allowed in (None, index.ids()[::20]):
        assert np.array_equal(again.search(queries, 10, allowed)[1], index.search(queries, 10, allowed)[1])
    for words in WORDS:
        assert np.array_equal(again.search_by(words, 10)[1], index.search_by(words, 10)[1])
    assert again.search(later[1:2], 1)[1][0, 0] == 10**6 + 1


def test_nothing_stays_on_disk_of_what_was_removed(index, vectors, tmp_path):
    path = home(tmp_path)
    halves = vectors[100].astype(np.float16).tobytes()
    code = (path / "codes").read_bytes()
    assert (path / "vectors").read_bytes().count(halves) == 1
    row = int(np.flatnonzero(np.fromfile(path / "ids", np.int64) == 7 + 300)[0])
    size = len(code) // COUNT
    assert any(code[row * size : (row + 1) * size])
    index.remove(np.array([7 + 300]))
    save(index, tmp_path, 8)
    assert halves not in (path / "vectors").read_bytes()
    assert not any((path / "codes").read_bytes()[row * size : (row + 1) * size])
    assert 7 + 300 not in np.fromfile(path / "ids", np.int64)
    counts = np.fromfile(path / "counts", np.uint16)
    entries = slice(int(counts[:row].sum()), int(counts[: row + 1].sum()))
    assert counts[row] and not np.fromfile(path / "roots", np.float16)[entries].any()
    assert changed(tmp_path) is None


def test_all_that_is_removed_comes_back(index, oracle, ids, vectors, tmp_path):
    index.remove(ids)
    assert len(index) == 0 and not len(index.ids()) and not index.is_outgrown
    assert index.search(vectors[:2], 5)[1].shape == (2, 0) and not len(index.search_by(WORDS[0], 5)[1])
    save(index, tmp_path, 8)
    again = load(tmp_path)
    assert len(again) == 0 and not (home(tmp_path) / "vectors").read_bytes().strip(b"\0")
    again.add(ids, vectors)
    assert again.is_outgrown  # half of its rows are empty
    assert np.array_equal(again.search(vectors[:9], 1)[1][:, 0], ids[:9])
    anew = again.restructured(tmp_path)
    assert len(anew) == COUNT and not anew.is_outgrown
    assert np.array_equal(anew.search(vectors[:9], 1)[1][:, 0], ids[:9])


def test_what_was_removed_does_not_come_back_with_another_structure(index, ids, tmp_path):
    index.remove(ids[::2])
    assert np.array_equal(np.concatenate([some for some, _ in index.batches()]), ids[1::2])
    anew = index.restructured(tmp_path)
    assert np.array_equal(anew.ids(), ids[1::2]) and np.array_equal(index.ids(), ids[1::2])


def test_a_copy_is_read_when_the_files_have_moved_or_gone(index, ids, vectors, tmp_path):
    index.add(np.array([10**6]), made(1, 3))
    files = home(tmp_path)
    files.rename(tmp_path / "elsewhere")
    other = index.copy()
    shutil.rmtree(tmp_path / "elsewhere")
    assert np.array_equal(other.copy().search(vectors[:9], 1)[1][:, 0], ids[:9])
    other.remove(ids[:1])
    assert save(other, tmp_path, 9).exists() and np.array_equal(load(tmp_path).ids(), [*ids[1:], 10**6])


def test_a_folder_that_is_being_filled_is_left_alone(index, oracle, tmp_path):
    """While one program builds, another saves; what a program left that was killed goes."""

    class Interrupted(NumpyIndex):
        def batches(self):
            for number, batch in enumerate(oracle.batches()):
                if number == 1:
                    save(index, tmp_path, 9)
                yield batch

        def ids(self):
            return oracle.ids()

        def vectors_of(self, ids):
            return oracle.vectors_of(ids)

    index.add(np.array([10**6]), made(1, 3))
    killed = tmp_path / "index-killed.tmp"
    killed.mkdir()
    (killed / "building").touch()
    built = CompactIndex.build(Interrupted(SPACE), SPACE, tmp_path)
    assert len(built) == COUNT and not killed.exists()
    assert len(list(tmp_path.glob("index-*.tmp"))) == 1 and len(load(tmp_path)) == COUNT + 1


def test_what_a_stopped_program_left_is_written_over(index, tmp_path):
    path = home(tmp_path)
    for file in path.iterdir():
        if file.suffix != ".npz":
            with file.open("ab") as opened:
                opened.write(b"\xff" * 999)
    again = load(tmp_path)
    assert len(again) == COUNT and changed(tmp_path) is None
    again.add(np.array([10**6]), made(1, 3))
    save(again, tmp_path, 8)
    assert len(load(tmp_path)) == COUNT + 1 and changed(tmp_path) is None


@pytest.mark.parametrize("name", ["vectors", "codes", "ids", "lists", "classes", "roots", "structure.npz"])
def test_a_changed_bit_is_found(index, tmp_path, name):
    path = home(tmp_path)
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 16
    (path / name).write_bytes(content)
    try:
        said = changed(tmp_path)
    except (ValueError, KeyError, IndexError) as error:
        said = str(error)
    assert said


@pytest.mark.parametrize("damage", ["gone", "short", "empty"])
@pytest.mark.parametrize("name", ["vectors", "counts", "structure.npz"])
def test_a_damaged_file_is_an_error(index, tmp_path, name, damage):
    path = home(tmp_path) / name
    content = path.read_bytes()
    path.unlink() if damage == "gone" else path.write_bytes(content[:-9] if damage == "short" else b"")
    with pytest.raises((OSError, ValueError)):
        load(tmp_path)


def test_a_program_whose_files_others_went_on_with_writes_its_own(index, tmp_path):
    first = home(tmp_path)
    other = load(tmp_path)
    other.add(np.array([10**6]), made(1, 3))
    assert save(other, tmp_path, 8) == first
    index.add(np.array([10**6, 10**6 + 1]), made(2, 3))
    second = save(index, tmp_path, 9)
    assert second != first and len(load(tmp_path)) == COUNT + 2 and not first.exists()
    assert np.array_equal(other.search(made(5, 8), 10)[1][:, :5], index.search(made(5, 8), 10)[1][:, :5])


def test_a_space_without_probabilities(vectors, ids, tmp_path):
    space = VectorSpace(SPACE.dim)
    oracle = NumpyIndex(space)
    oracle.add(ids, vectors)
    index = CompactIndex.build(oracle, space, tmp_path)
    save(index, tmp_path, 8)
    assert verify_index(tmp_path, LIBRARY) is None
    loaded = load_index(tmp_path, LIBRARY).index
    queries = made(40, 9)
    found, expected = loaded.search(queries, 10)[1], oracle.search(queries, 10)[1]
    assert np.mean([shared(a, b) for a, b in zip(found, expected, strict=True)]) >= 0.99
    words = WORDS[1]
    assert shared(loaded.search_by(words, 10)[1], oracle.search_by(words, 10)[1]) >= 0.9


def test_directions_are_those_of_a_singular_value_decomposition():
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.normal(size=(50, 50)))
    rows = (random.normal(size=(500, 50)) * np.geomspace(10, 0.01, 50)) @ basis.T
    found = find_directions(rows.astype(np.float32), 5)
    expected = np.linalg.svd(rows, full_matrices=False)[2][:5]
    assert np.abs(np.abs(expected @ found) - np.eye(5)).max() < 1e-3


def test_halves_are_ranked_as_numpy_ranks_them():
    random = np.random.default_rng(0)
    halves = random.normal(size=(300, 24)).astype(np.float16)
    query = random.normal(size=21).astype(np.float32)
    scores, places = rank_halves(halves, query, 20)
    expected = halves[:, :21].astype(np.float32) @ query
    assert np.array_equal(places, np.argsort(-expected)[:20])
    np.testing.assert_allclose(scores, np.sort(expected)[::-1][:20], rtol=1e-4)


@pytest.mark.parametrize(
    ("count", "lists"), [(1, 1), (100, 2), (30_000, 256), (200_000, 1024), (10**6, 2048)]
)
def test_lists_for_a_size(count, lists):
    assert suitable_lists(count) == lists


# --- in a library --------------------------------------------------------------------------


def held_by(library: Library) -> list[int]:
    with library.index() as index:
        assert index.kind.startswith("compact")
        return index.ids().tolist()


def shown_by(library: Library) -> list[int]:
    with library.read() as catalog:
        return catalog.clip_ids(Filters()).tolist()


def test_a_library_saves_what_has_changed_and_programs_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(faiss_index, "EXACT_LIMIT_NUMBERS", 100)
    library = make_library(tmp_path / "library")
    for number in range(4):
        add_video(library, f"/v/{number}.mp4", count=30, seed=number)
    library.index_keeper.save()
    file = library.index_keeper.file()
    assert held_by(library) == shown_by(library) and file.is_dir()
    add_video(library, "/v/late.mp4", count=5, seed=9)
    library.index_keeper.save()
    assert library.index_keeper.file() == file, "what is new is written behind what was there"
    other = Library(library.folder)
    add_video(other, "/v/other.mp4", count=7, seed=10)
    remove_video(other, "/v/1.mp4")
    other.index_keeper.save()
    assert other.index_keeper.file() == file
    add_video(library, "/v/last.mp4", count=3, seed=11)
    library.index_keeper.save()
    assert library.index_keeper.file() == file, "the first program goes on with what the second has written"
    assert held_by(library) == shown_by(library) == held_by(other) and len(held_by(library)) == 105
    again = Library(library.folder)
    assert again.index_keeper.state() is None and held_by(again) == shown_by(library)
    query = Query((ClipPart(held_by(again)[50]),))
    found = [
        [(hit.clip_id, round(hit.score, 3)) for hit in SearchEngine(one).search(query).hits]
        for one in (library, other, again)
    ]
    assert found[0] == found[1] == found[2] and len(found[0]) == 10
    assert again.status()["index"]["up_to_date"] and not faults(again)
    (file / "codes").write_bytes(bytes(len((file / "codes").read_bytes())))
    assert faults(again) == {"index": 1}
    check(again, repair=True)
    assert not faults(again) and held_by(again) == shown_by(library)
    for one in (library, other, again):
        one.close()


def add_offline_clips(library: Library, count: int) -> None:
    """A video of clips as the encoder `offline` makes them of pictures that differ as if by chance."""
    random = np.random.default_rng(3)
    centres = np.abs(random.normal(size=(200, 1280)))
    seen = np.abs(centres[random.integers(200, size=count)] + 0.5 * random.normal(size=(count, 1280)))
    logits = 3 * random.normal(size=(count, 1000))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    parts = [0.75**0.5 * normalise(seen), 0.5 * np.sqrt(shares), np.zeros((count, 1))]
    vectors = np.concatenate(parts, axis=1).astype(np.float32)
    clips = [
        EncodedClip(4.0 * at, 4.0 * at + 4, row, row[None].astype(np.float16), np.array([4.0 * at]), ())
        for at, row in enumerate(vectors)
    ]
    with library.write() as catalog:
        video = catalog.stage_video("/v/1.mp4", 1, 1)
        catalog.add_clips(video, 0, clips)
        catalog.publish_video(video, digest="made", duration_seconds=4.0 * count, sampling="{}")


def test_tuning_tells_what_is_found_and_reads_more(offline_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(faiss_index, "EXACT_LIMIT_NUMBERS", 100)
    library = make_offline_library(tmp_path / "library", offline_encoder)
    add_offline_clips(library, 2000)
    library.index_keeper.save()
    with library.index() as index:
        assert not index.is_exact()
        index.effort = replace(index.effort, lists=1, ranked=1, ranked_by_words=50)
    monkeypatch.setattr(compact_index, "LEAST_RANKED", 1)
    tuning = tune(library, 0.99, 50)
    for kind in ("clips", "texts"):
        assert tuning.before.recall[kind] < 0.99 <= tuning.after.recall[kind]
    assert tuning.is_reached and tuning.after.effort.ranked > 1 and "recall@50" in tuning.kind
    library.index_keeper.save_effort()
    again = Library(library.folder)
    with again.index() as index:
        assert index.kind == tuning.kind and index.effort == tuning.after.effort
        # The recall, counted anew by NumPy.
        ids, vectors = index.contents()
        queries = vectors[::97]
        found = index.search(queries, 50)[1]
        expected = ids[np.argsort(-(queries @ vectors.T), axis=1)[:, :50]]
        assert np.mean([shared(a, b) for a, b in zip(found, expected, strict=True)]) >= 0.97
    again.close()
    library.close()


def test_there_is_nothing_to_tune_where_all_are_compared(tmp_path):
    library = make_library(tmp_path / "library")
    add_video(library, "/v/1.mp4", count=10)
    tuning = tune(library, 0.99, 10)
    assert tuning.after is None and tuning.is_reached and tuning.as_json()["kind"].startswith("exact")
    library.close()
