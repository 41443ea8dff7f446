"""The vector index on FAISS: exact while that is fast, inverted lists past a size, GPU if any.

The only module that imports faiss.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np

from encoders.errors import EncoderMismatchError, IndexFileError
from encoders.weights.files import make_private_folder, sync
from search.index.vector_index import Ids, Vectors

faiss: Any = _faiss  # its type stubs name only a part of what it exports

# Exact search reads every number once per query. 2**27 of them (512 MiB: 262,144 clips of 512
# dimensions) take some 50 ms on one core; above that the index goes over to inverted lists.
EXACT_LIMIT_NUMBERS = 2**27
# A filtered search of inverted lists compares every allowed vector up to this many (about 20 ms);
# above, the allowed share is so large that probing more lists finds enough of them.
EXACT_FILTER_LIMIT = 50_000
TUNING_QUERIES = 256
TUNING_RECALL = 0.99
GPU_MAX_K = 2048
BYTES_PER_READ = 2**20


class FaissIndex:
    """Cosine search over unit vectors by id.

    Filters go into the search as ID selectors. A GPU copy serves unfiltered searches only: on the
    GPU, Flat and IVFFlat accept a selector and silently ignore it.

    Args:
        dim: D.
        encoder_id: Whose vectors these are; a file of another encoder is refused.
        catalog_id: Which catalog it mirrors; a file of another catalog is refused.
        exact_limit_numbers: Up to this many stored numbers (N x D) the search is exact.
        use_gpu: None means "when FAISS sees one".
    """

    def __init__(
        self,
        dim: int,
        encoder_id: str,
        catalog_id: str = "",
        *,
        exact_limit_numbers: int = EXACT_LIMIT_NUMBERS,
        use_gpu: bool | None = None,
    ) -> None:
        self.dim = dim
        self.encoder_id = encoder_id
        self.catalog_id = catalog_id
        self.revision = 0
        self._exact_limit_numbers = exact_limit_numbers
        gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
        self._use_gpu = gpus > 0 if use_gpu is None else use_gpu
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        self._trained_at = 0
        self._gpu_copy: Any = None

    # --- what it is ------------------------------------------------------------------------

    @property
    def _is_flat(self) -> bool:
        return isinstance(self._index, faiss.IndexIDMap2)

    @property
    def exact(self) -> bool:
        return self._is_flat or self._index.nprobe >= self._index.nlist

    @property
    def is_stored_exactly(self) -> bool:
        """Whether vectors are kept bit for bit, and not in 16 bits."""
        return self._is_flat

    def is_exact(self, allowed: int | None) -> bool:
        """Whether a search among so many allowed ids (None: no filter) compares them all."""
        return self.exact or (allowed is not None and allowed <= EXACT_FILTER_LIMIT)

    @property
    def kind(self) -> str:
        place = "gpu" if self._use_gpu else "cpu"
        if self._is_flat:
            return f"exact ({place})"
        return f"ivf {self._index.nlist}, nprobe {self._index.nprobe}, fp16 ({place})"

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        """Every stored id, ascending: int64 (N,)."""
        if self._is_flat:
            return np.sort(faiss.vector_to_array(self._index.id_map))
        lists = self._index.invlists
        parts = [
            faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy()
            for number in range(self._index.nlist)
            if lists.list_size(number)
        ]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    # --- changing --------------------------------------------------------------------------

    def add(self, ids: Ids, vectors: Vectors, *, restructure: bool = True) -> None:
        """Stores vectors float32 (N, D), L2 norm 1, under new ids int64 (N,).

        Args:
            ids: Of the vectors.
            vectors: One a row.
            restructure: Go over to inverted lists at once where there are so many now; that takes seconds to
                minutes.
        """
        if len(ids) == 0:
            return
        if vectors.shape != (len(ids), self.dim):
            raise ValueError(f"vectors must be ({len(ids)}, {self.dim}), got {vectors.shape}")
        self._gpu_copy = None
        self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(ids))
        if restructure and self.is_outgrown:
            self._restructure()

    def remove(self, ids: Ids) -> None:
        """Forgets these ids; unknown ones are ignored."""
        if len(ids) == 0:
            return
        self._gpu_copy = None
        self._index.remove_ids(np.ascontiguousarray(ids, np.int64))

    @property
    def is_outgrown(self) -> bool:
        """Whether it is past the size for inverted lists, or four times what they were trained for."""
        return len(self) * self.dim > self._exact_limit_numbers and len(self) >= 4 * self._trained_at

    def restructured(self) -> FaissIndex:
        """The same with inverted lists for its size; this one may be searched meanwhile, but not changed."""
        other = self.copy(shared=self._is_flat)  # whose vectors can be read as they lie
        other._restructure()
        return other

    def _restructure(self) -> None:
        count = len(self)
        ids, vectors = self.contents()
        # sqrt(N) lists balance reading the centroids against reading the lists; a power of two
        # between 1x and 2x that keeps at least 39 training vectors a list, FAISS's own minimum.
        lists = 2 ** math.ceil(math.log2(math.sqrt(count)))
        while lists > 1 and count < 39 * lists:
            lists //= 2
        quantizer = faiss.IndexFlatIP(self.dim)
        inverted = faiss.IndexIVFScalarQuantizer(
            quantizer, self.dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        # On unit vectors the residual buys nothing at 16 bits, and without it a stored vector
        # reads the same in whichever list it is.
        inverted.by_residual = False
        chosen = np.random.default_rng(0).permutation(count)[: 64 * lists]
        inverted.train(vectors[np.sort(chosen)])
        inverted.add_with_ids(vectors, ids)
        queries = vectors[chosen[:TUNING_QUERIES]]
        self._index, self._trained_at = inverted, count
        self._tune(queries)

    def contents(self) -> tuple[Ids, Vectors]:
        """Every id and its vector as it is stored, in no order: int64 (N,), float32 (N, D)."""
        if self._is_flat:
            ids = faiss.vector_to_array(self._index.id_map)
            flat: Any = faiss.downcast_index(self._index.index)
            return ids, faiss.rev_swig_ptr(flat.get_xb(), len(ids) * self.dim).reshape(-1, self.dim)
        ids = self.ids()
        with self._direct_map():
            return ids, self._index.reconstruct_batch(ids)

    @contextmanager
    def _direct_map(self) -> Iterator[None]:
        # Kept only while reading: with it, removal by selector would not be possible.
        self._index.set_direct_map_type(faiss.DirectMap.Hashtable)
        try:
            yield
        finally:
            self._index.set_direct_map_type(faiss.DirectMap.NoMap)

    def _tune(self, queries: Vectors) -> None:
        """Sets the least nprobe whose recall@10 on stored vectors reaches the target."""
        index = self._index
        index.nprobe = index.nlist
        _, truth = index.search(queries, 10)
        nprobe = 1
        while nprobe < index.nlist:
            index.nprobe = nprobe
            _, found = index.search(queries, 10)
            hits = sum(len(np.intersect1d(a, b)) for a, b in zip(truth, found, strict=True))
            if hits >= TUNING_RECALL * truth.size:
                return
            nprobe *= 2
        index.nprobe = index.nlist

    def copy(self, *, shared: bool = False) -> FaissIndex:
        """The same, to be changed apart from this one; `shared`: neither to be changed."""
        other = FaissIndex(
            self.dim,
            self.encoder_id,
            self.catalog_id,
            exact_limit_numbers=self._exact_limit_numbers,
            use_gpu=self._use_gpu,
        )
        other._index = self._index if shared else faiss.clone_index(self._index)
        other._trained_at = self._trained_at
        other.revision = self.revision
        return other

    # --- searching -------------------------------------------------------------------------

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """See `VectorIndex.search`."""
        queries = np.ascontiguousarray(queries, np.float32)
        available = len(self) if allowed_ids is None else min(len(self), len(allowed_ids))
        k = min(k, available)
        if k <= 0:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        if allowed_ids is not None:
            scores, ids = self._search_allowed(queries, k, allowed_ids)
        elif self._use_gpu and k <= GPU_MAX_K:
            scores, ids = self._search_gpu(queries, k)
        else:
            scores, ids = self._index.search(queries, k)
        if (ids[:, -1] < 0).any() and not self._is_flat:
            # The probed lists held fewer than k: look into all of them.
            scores, ids = self._search_lists(queries, k, self._index.nlist, allowed_ids)
        found = int((ids >= 0).sum(axis=1).min())
        return scores[:, :found], ids[:, :found]

    def _search_allowed(self, queries: Vectors, k: int, allowed: Ids) -> tuple[Vectors, Ids]:
        if self._is_flat:
            selector = _selector(allowed)
            params = faiss.SearchParameters(sel=selector)
            return self._index.search(queries, k, params=params)
        nlist, nprobe = self._index.nlist, self._index.nprobe
        if len(allowed) > EXACT_FILTER_LIMIT:
            nlist = min(nlist, math.ceil(nprobe * len(self) / len(allowed)))
        return self._search_lists(queries, k, nlist, allowed)

    def _search_lists(
        self, queries: Vectors, k: int, nprobe: int, allowed: Ids | None
    ) -> tuple[Vectors, Ids]:
        selector = None if allowed is None else _selector(allowed)
        params = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
        return self._index.search(queries, k, params=params)

    def _search_gpu(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        if self._gpu_copy is None:
            source = self._index.index if self._is_flat else self._index
            self._gpu_copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, source)
        scores, ids = self._gpu_copy.search(queries, k)
        if self._is_flat:
            ids = np.where(ids >= 0, faiss.vector_to_array(self._index.id_map)[ids], -1)
        return scores, ids

    # --- on disk ---------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes the index and what it is to a folder; a crash leaves the old one or the new one.

        Raises:
            IndexFileError: It cannot be written there; nothing of it stays.
        """
        name = f"vectors-{self.revision}-{os.getpid()}.faiss"
        temporary = folder / f"index-{os.getpid()}.tmp"
        try:
            make_private_folder(folder)
            self._write(folder, name, temporary)
        except (OSError, RuntimeError) as error:  # FAISS raises the latter
            with suppress(OSError):
                _clear(temporary)
                if (self.describe(folder) or {}).get("file") != name:
                    _clear(folder / name)
            raise IndexFileError(
                f"the index cannot be written to {folder} ({_reason(error)}): make room there, or see to its "
                "mode and owner; the catalog is whole, and `indexer rebuild` makes the index from it"
            ) from error
        for stale in [*folder.glob("vectors-*.faiss"), *folder.glob("index-*.tmp")]:
            if stale.name != name:
                _clear(stale)

    def _write(self, folder: Path, name: str, temporary: Path) -> None:
        _clear(folder / name)
        faiss.write_index(self._index, str(folder / name))
        sync(folder / name)
        record = {
            "encoder_id": self.encoder_id,
            "catalog_id": self.catalog_id,
            "dim": self.dim,
            "revision": self.revision,
            "trained_at": self._trained_at,
            "kind": self.kind,
            "clips": len(self),
            "file": name,
            "size_bytes": (folder / name).stat().st_size,
            "crc32": _checksum(folder / name),
        }
        temporary.write_text(json.dumps({**record, "own_crc32": _own_checksum(record)}))
        sync(temporary)
        if (folder / "index.json").is_dir():
            _clear(folder / "index.json")
        temporary.replace(folder / "index.json")
        sync(folder)

    @classmethod
    def load(
        cls, folder: Path, dim: int, encoder_id: str, catalog_id: str = "", **options: Any
    ) -> FaissIndex:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: Nothing was saved here.
            EncoderMismatchError: The vectors are those of another encoder.
            IndexFileError: The files are broken, or mirror another catalog.
        """
        index = cls(dim, encoder_id, catalog_id, **options)
        try:
            record = json.loads((folder / "index.json").read_text())
            if record["catalog_id"] != catalog_id:
                raise IndexFileError(f"the index in {folder} mirrors another catalog")
            if record["encoder_id"] != encoder_id or record["dim"] != dim:
                raise EncoderMismatchError(
                    f"the index in {folder} was made with {record['encoder_id']} "
                    f"({record['dim']} dimensions), the library uses {encoder_id} ({dim}); "
                    "run `indexer rebuild` to make it anew from the catalog"
                )
            size_bytes, written = (folder / record["file"]).stat().st_size, record.get("size_bytes")
            if written not in (None, size_bytes):
                raise ValueError(f"{record['file']} has {size_bytes} bytes, and was written with {written}")
            index._index = faiss.read_index(str(folder / record["file"]))
            if index._index is None:  # an empty file
                raise ValueError(f"{record['file']} is empty")
            index._trained_at = record["trained_at"]
            index.revision = record["revision"]
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise IndexFileError(f"the index in {folder} cannot be read: {error}") from error
        if index._index.d != dim:
            raise IndexFileError(f"the index in {folder} has {index._index.d} dimensions, not {dim}")
        return index

    @staticmethod
    def verify(folder: Path) -> str | None:
        """What of a saved index is not as it was written, bit for bit; None for nothing, or where none tells.

        Raises:
            OSError, ValueError: It cannot be read.
        """
        record = json.loads((folder / "index.json").read_text())
        own = record.pop("own_crc32", None)
        if own is None and not {"crc32", "size_bytes"} & record.keys():  # of a version that kept none
            return None
        if own != _own_checksum(record) or "crc32" not in record:
            return "index.json is not as it was written"
        if record["crc32"] != _checksum(folder / record["file"]):
            return f"{record['file']} is not as it was written"
        return None

    @staticmethod
    def describe(folder: Path) -> dict[str, object] | None:
        """What was saved (kind, clips, revision, file, catalog), without reading the vectors."""
        try:
            record = json.loads((folder / "index.json").read_text())
            return {name: record[name] for name in ("kind", "clips", "revision", "file", "catalog_id")}
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _checksum(path: Path) -> int:
    """CRC-32 of a file: it tells every change of up to 32 bits in a row (Peterson and Brown 1961)."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(BYTES_PER_READ):
            value = zlib.crc32(block, value)
    return value


def _own_checksum(record: dict[str, object]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _reason(error: Exception) -> str:
    """Why it could not be written; FAISS wraps what the system said in the names of its functions."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    known = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
    said = [os.strerror(number) for number in known if os.strerror(number) in str(error)]
    return said[0] if said else "writing failed"


def _clear(path: Path) -> None:
    """Deletes what is there: a file, or a folder that somebody made in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _selector(allowed: Ids) -> Any:
    """A selector of these ids: one bit per id up to the largest, a single look-up per vector."""
    bits = np.zeros(int(allowed[-1]) + 1, np.uint8)
    bits[allowed] = 1
    packed = np.packbits(bits, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(packed), faiss.swig_ptr(packed))
    selector.packed = packed  # FAISS keeps a bare pointer: the bytes must live as long
    return selector
