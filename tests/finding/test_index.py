"""Every vector index against the exact NumPy oracle; an index from a package of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from made_library import add_video, make_library, remove_video
from video_factory import moving, write_video

from encoders.errors import EncoderMismatchError, IndexFileError, LibraryError
from encoders.types import normalise
from search.catalog.record import LibraryRecord
from search.index.faiss_index import FaissIndex
from search.index.files import describe_index, load_index, save_index, verify_index
from search.index.mirror import Mirror
from search.index.numpy_index import NumpyIndex
from search.index.registry import INDEXES, IndexFamily
from search.index.vector_index import VectorIndex, VectorSpace
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, Filters, Query

DIM, COUNT = 32, 20_000
SPACE = VectorSpace(DIM)
LIBRARY = LibraryRecord("catalog", "made", "encoder", "mean", DIM, "{}", 8)


def make_lists(space: VectorSpace) -> FaissIndex:
    """FAISS at a size that has compact codes in inverted lists."""
    return FaissIndex(space, exact_limit_numbers=1000 * DIM, use_gpu=False)


LISTS = "faiss, compact"
MAKERS: dict[str, Callable[[VectorSpace], VectorIndex]] = {
    **{family.name: family.make for family in INDEXES.list_all()},
    LISTS: make_lists,
}


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around 300 centres, as clips of an archive are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(300, DIM))
    return normalise(centres[random.integers(300, size=count)] + 0.5 * random.normal(size=(count, DIM)))


@pytest.fixture(scope="module")
def stored():
    return np.arange(1, COUNT + 1, dtype=np.int64) * 3, clustered(COUNT)


def build(kind: str, stored) -> VectorIndex:
    index = MAKERS[kind](SPACE)
    ids, vectors = stored
    for start in range(0, COUNT, 3000):
        index.add(ids[start : start + 3000], vectors[start : start + 3000])
        if index.is_outgrown:
            index = index.restructured()
    assert index.kind.startswith({LISTS: "compact", "faiss": "exact"}.get(kind, ""))
    return index


def family_of(kind: str) -> IndexFamily:
    return INDEXES.find(kind.partition(",")[0])


@pytest.fixture(scope="module", params=list(MAKERS))
def index(request, stored):
    return build(request.param, stored)


@pytest.fixture(scope="module")
def oracle(stored):
    oracle = NumpyIndex(SPACE)
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
    assert scores.dtype == np.float32 and found.dtype == np.int64
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, expected, strict=True)])
    assert recall >= 0.99
    if index.is_exact(None if allowed is None else len(allowed)) and index.is_stored_exactly:
        assert recall == 1
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


def test_what_is_stored_can_be_read(index, stored):
    ids, vectors = stored
    assert len(index) == COUNT
    assert index.ids().dtype == np.int64 and np.array_equal(index.ids(), ids)
    found, held = (part.copy() for part in index.contents())
    order = np.argsort(found)
    assert np.array_equal(found[order], ids)
    assert np.abs(held[order] - vectors).max() <= (0 if index.is_stored_exactly else 1e-3)


@pytest.mark.parametrize("kind", MAKERS)
def test_an_empty_index_finds_nothing(kind, queries):
    index = MAKERS[kind](SPACE)
    assert len(index) == 0 and index.ids().tolist() == [] and not index.is_outgrown
    assert index.search(queries, 3)[1].shape == (50, 0)
    index.remove(np.array([1, 2], np.int64))
    index.add(np.zeros(0, np.int64), np.zeros((0, DIM), np.float32))
    assert index.contents()[1].shape == (0, DIM)


@pytest.mark.parametrize("kind", MAKERS)
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


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("how", ["copy", "restructured"])
def test_a_copy_is_changed_apart(kind, how, stored, queries):
    index = build(kind, stored)
    before = index.search(queries, 10)
    other = getattr(index, how)()
    assert (len(other), other.is_outgrown) == (COUNT, False)
    other.remove(before[1].ravel())
    assert len(index) == COUNT and len(other) < COUNT
    assert np.array_equal(index.search(queries, 10)[1], before[1])
    index.remove(stored[0][:100])
    assert np.isin(stored[0][:100], np.append(other.ids(), before[1])).all()


@pytest.mark.parametrize("kind", MAKERS)
def test_a_saved_index_answers_as_before(kind, stored, queries, tmp_path):
    index = build(kind, stored)
    for revision in (7, 8):
        save_index(Mirror(family_of(kind), index, "encoder", "catalog", revision), tmp_path)
    loaded = load_index(tmp_path, LIBRARY)
    assert loaded.revision == 8 and loaded.family is family_of(kind)
    assert len(list(tmp_path.glob("vectors-*"))) == 1 and verify_index(tmp_path, LIBRARY) is None
    described = describe_index(tmp_path)
    assert (described.clips, described.revision, described.catalog_id) == (COUNT, 8, "catalog")
    assert described.kind == index.kind and described.file.exists()
    assert np.array_equal(loaded.index.search(queries, 10)[1], index.search(queries, 10)[1])
    loaded.index.remove(stored[0][:5])
    assert len(loaded.index) == COUNT - 5


@pytest.fixture(params=[family.name for family in INDEXES.list_all()])
def saved(request, stored, tmp_path) -> Path:
    """A folder with a small index of each family."""
    family = INDEXES.find(request.param)
    index = family.make(SPACE)
    index.add(stored[0][:1000], stored[1][:1000])
    save_index(Mirror(family, index, "encoder", "catalog"), tmp_path)
    return tmp_path


def test_the_index_of_another_encoder_or_catalog_is_refused(saved):
    def load(folder: Path = saved, encoder_id: str = "encoder", catalog_id: str = "catalog") -> Mirror:
        return load_index(folder, LibraryRecord(catalog_id, "made", encoder_id, "mean", DIM, "{}", 8))

    assert len(load().index) == 1000
    with pytest.raises(EncoderMismatchError, match=r"encoder.*rebuild"):
        load(encoder_id="other")
    with pytest.raises(IndexFileError, match="another catalog"):
        load(catalog_id="other")
    with pytest.raises(FileNotFoundError):
        load(saved / "nowhere")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "json", "gone", "of no family"])
def test_a_broken_file_is_an_error_of_ours(saved, damage):
    (vectors,) = saved.glob("vectors-*")
    record = json.loads((saved / "index.json").read_text())
    contents = {"truncated": vectors.read_bytes()[:1000], "garbage": b"\0" * 5000, "empty": b""}
    if damage in contents:
        vectors.write_bytes(contents[damage])
        # Not told by its size alone: the engine itself must refuse it.
        record["size_bytes"] = len(contents[damage])
        (saved / "index.json").write_text(json.dumps(record))
    elif damage == "json":
        (saved / "index.json").write_text("{")
    elif damage == "gone":
        vectors.unlink()
    else:
        vectors.rename(vectors.with_suffix(".other"))
        record["file"] = vectors.with_suffix(".other").name
        (saved / "index.json").write_text(json.dumps(record))
    with pytest.raises((IndexFileError, FileNotFoundError)):
        load_index(saved, LIBRARY)


@pytest.mark.parametrize("kind", MAKERS)
def test_wrong_dimensions_are_refused(kind):
    index = MAKERS[kind](SPACE)
    with pytest.raises(ValueError, match=r"\(2, 32\)"):
        index.add(np.array([1, 2]), np.zeros((2, 31), np.float32))


# --- families ------------------------------------------------------------------------------

TOY = '''
    """An index in a dictionary: as slow as it is short."""

    import numpy as np

    from search.index.registry import IndexFamily
    from search.index.vector_index import VectorIndex


    class ToyIndex(VectorIndex):
        kind, is_stored_exactly, is_outgrown = "exact (toy)", True, False

        def __init__(self, space, held=()):
            self.space, self.dim, self.held = space, space.dim, dict(held)

        def is_exact(self, allowed=None):
            return True

        def __len__(self):
            return len(self.held)

        def ids(self):
            return np.array(sorted(self.held), np.int64)

        def contents(self):
            rows = [self.held[one] for one in sorted(self.held)]
            return self.ids(), np.array(rows, np.float32).reshape(-1, self.dim)

        def add(self, ids, vectors):
            self.held.update(zip(ids.tolist(), vectors.copy(), strict=True))

        def remove(self, ids):
            self.held = {one: row for one, row in self.held.items() if one not in set(ids.tolist())}

        def search(self, queries, k, allowed_ids=None):
            ids, vectors = self.contents()
            keep = np.ones(len(ids), bool) if allowed_ids is None else np.isin(ids, allowed_ids)
            scores = queries @ vectors[keep].T
            order = np.argsort(-scores, axis=1)[:, :k]
            return np.take_along_axis(scores, order, axis=1), ids[keep][order]

        def restructured(self, folder=None):
            return self.copy()

        def copy(self):
            return ToyIndex(self.space, self.held)

        def write(self, path):
            path.write_text("".join(f"{one} {' '.join(map(str, row))}\\n" for one, row in self.held.items()))
            return {"toys": len(self.held)}

        @classmethod
        def read(cls, path, space, facts):
            rows = [line.split() for line in path.read_text().splitlines()]
            index = cls(space, {int(row[0]): np.array(row[1:], np.float32) for row in rows})
            if len(index) != facts["toys"]:
                raise ValueError("a toy is missing")
            return index


    family = IndexFamily("toy", ToyIndex, ToyIndex.read, purpose="a test", licence="MIT")
'''


def install(folder: Path, package: str, code: str, *entries: str) -> None:
    """Lays a package as an installer does: a module, and what its distribution says of itself."""
    (folder / f"{package}.py").write_text(dedent(code))
    said = folder / f"{package}-1.0.dist-info"
    said.mkdir()
    (said / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (said / "entry_points.txt").write_text("\n".join(["[reelseek.indexes]", *entries, ""]))


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder from which packages are imported."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]


def found_paths(library: Library, **options: Filters) -> list[tuple[int, float]]:
    hits = SearchEngine(library).search(Query((ClipPart(3),)), **options, limit=20).hits
    return [(hit.clip_id, round(hit.score, 5)) for hit in hits]


def test_an_index_of_another_package_serves_a_library(packages, tmp_path):
    install(packages, "toy_index", TOY, "toy = toy_index:family")
    folder = tmp_path / "library"
    library = make_library(folder)
    for number in range(4):
        add_video(library, f"/v/{number}.mp4", count=10, seed=number)
    expected = found_paths(library)
    filtered = found_paths(library, filters=Filters(path_prefix="/v/2.mp4"))
    library.index_keeper.save()
    library.close()
    assert "toy_index" not in sys.modules, "what nobody asks for is not imported"
    toys = Library(folder, index="toy")
    with toys.index() as index:
        assert (index.kind, len(index)) == ("exact (toy)", 40)
    assert found_paths(toys) == expected
    assert found_paths(toys, filters=Filters(path_prefix="/v/2.mp4")) == filtered and len(filtered) == 10
    toys.index_keeper.save()
    assert toys.index_keeper.file().suffix == ".toy" and len(list((folder / "index").glob("vectors-*"))) == 1
    assert toys.status()["index"] == {"kind": "exact (toy)", "clips": 40, "up_to_date": True}
    add_video(toys, "/v/late.mp4", count=5, seed=9)
    remove_video(toys, "/v/0.mp4")
    toys.close()
    # The next program reads what was saved, and catches up.
    again, plain = Library(folder, index="toy"), Library(folder)
    with again.index() as index, again.read() as catalog:
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist() and len(index) == 35
    again.index_keeper.save()
    with again.read() as catalog:
        first = catalog.clip_ids(Filters())[0]
    query = Query((ClipPart(int(first)),))
    for one in (again, plain):  # whose own index is made anew from the catalog
        hits = SearchEngine(one).search(query, limit=3).hits
        assert len(hits) == 3
        one.close()
    assert "toy" in [family.name for family in INDEXES.list_all()]


def test_an_ingest_and_a_search_by_the_command_line_use_the_index_that_is_set(
    packages, tmp_path, monkeypatch, indexer
):
    archive = tmp_path / "archive"
    archive.mkdir()
    write_video(archive / "one.mp4", moving(150), fps=25)
    install(packages, "toy_index", TOY, "toy = toy_index:family")
    monkeypatch.setenv("REELSEEK_INDEX", "toy")
    folder = tmp_path / "library"
    assert indexer("ingest", archive, library=folder).code == 0
    assert [path.suffix for path in (folder / "index").glob("vectors-*")] == [".toy"]
    found = json.loads(indexer("search", "--like", "1", "--json", library=folder).out)
    assert found["hits"] and found["exact"]
    assert json.loads(indexer("status", "--json", library=folder).out)["index"]["kind"] == "exact (toy)"
    assert indexer("check", library=folder).code == 0
    monkeypatch.setenv("REELSEEK_INDEX", "doll")
    ran = indexer("search", "--like", "1", library=folder)
    assert ran.code == 1 and "there is no index 'doll': choose one of faiss, numpy, toy" in ran.err
    # Before anything is decoded, made or changed.
    made = indexer("ingest", tmp_path, library=tmp_path / "new")
    assert made.code == 1 and "there is no index 'doll'" in made.err and not (tmp_path / "new").exists()


def test_plug_ins_that_are_broken_or_clash_are_named(packages):
    install(packages, "broken_index", "import a_module_that_is_not_there", "worn = broken_index:family")
    install(packages, "wrong_index", "family = 'no record'", "wrong = wrong_index:family")
    with pytest.raises(LibraryError, match=r"'worn' of the package broken-index.*a_module_that_is_not_there"):
        INDEXES.find("worn")
    with pytest.raises(LibraryError, match=r"'wrong' of the package wrong-index.*IndexFamily"):
        INDEXES.find("wrong")
    assert INDEXES.find("faiss").name == "faiss", "what is ours works all the same"
    install(packages, "one_index", TOY, "twin = one_index:family")
    install(packages, "other_index", TOY, "twin = other_index:family")
    with pytest.raises(LibraryError, match=r"'twin', (one-index and other-index|other-index and one-index)"):
        INDEXES.find("twin")
    assert not {"one_index", "other_index"} & set(sys.modules)


def test_a_plug_in_of_our_own_name_is_named(packages):
    install(packages, "new_faiss", TOY, "faiss = new_faiss:family")
    with pytest.raises(LibraryError, match="'faiss', reelseek and new-faiss"):
        INDEXES.list_all()


def test_every_family_says_what_it_is():
    for family in INDEXES.list_all():
        assert family.purpose and family.licence
        assert family.make(VectorSpace(3)).dim == 3
    with pytest.raises(ValueError, match="letters"):
        IndexFamily("a/b", NumpyIndex, NumpyIndex.read, purpose="none", licence="MIT")
