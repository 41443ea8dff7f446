"""Peers that are databases: LanceDB and Milvus Lite, with the clips' columns beside the vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np

from benchmarks.large.contender import Contender

COLUMNS = ("path", "seconds", "recorded", "action", "noun")
REFINED = 4  # times k candidates of compressed vectors are compared anew by whole ones
ROWS_AT_ONCE = 2000


class Columned(Contender):
    """What both are filled with."""

    def columns(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "columns.npz") as kept:
            return {name: kept[name] for name in COLUMNS}

    def condition(self, case: int) -> str:
        return str(self.setup["cases"][case]["condition"])


class LanceDb(Columned):
    """https://github.com/lancedb/lancedb: graphs of 8-bit vectors in lists, filters before the search."""

    efforts = (1, 2, 4, 8, 16, 32, 64, 128)  # lists that are looked into
    packages = ("lancedb", "pylance")

    def build(self) -> None:
        import lancedb
        import pyarrow as pa
        from lancedb.index import Bitmap, BTree

        columns = self.columns()
        wide = self._padded(self.questions[:1]).shape[1]
        vector = pa.field("vector", pa.list_(pa.float32(), wide))
        types = [pa.string(), pa.float64(), pa.float64(), pa.string(), pa.string()]
        schema = pa.schema([pa.field("id", pa.int64()), vector, *map(pa.field, COLUMNS, types)])

        def batches() -> Iterator[Any]:
            for start, vectors in self.chunks():
                rows = slice(start, start + len(vectors))
                parts = [pa.array(np.arange(start, start + len(vectors)))]
                parts += [pa.FixedSizeListArray.from_arrays(pa.array(self._padded(vectors).ravel()), wide)]
                parts += [pa.array(columns[name][rows].tolist()) for name in COLUMNS]
                yield pa.RecordBatch.from_arrays(parts, schema=schema)

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        table = lancedb.connect(str(self.own)).create_table("clips", data=reader, mode="overwrite")
        lists = max(1, round(math.sqrt(self.count) / 4))
        table.create_index(metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=lists)
        for name in COLUMNS:
            table.create_index(name, config=Bitmap() if name in ("action", "noun") else BTree())
        names = [one.name for one in table.list_indices()]
        table.wait_for_index(names, timedelta(hours=2))

    def open(self) -> str:
        import lancedb

        self._table = lancedb.connect(str(self.own)).open_table("clips")
        return "ivf, hnsw, 8 bit, refined"

    def _padded(self, vectors: np.ndarray) -> np.ndarray:
        return np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % 16)))

    def ask(self, question: int, case: int, k: int) -> list[int]:
        query = self._table.search(self._padded(self.questions[question][None])[0])
        query = query.distance_type("cosine").refine_factor(REFINED)
        # More lists than these are looked into where a filter leaves too few.
        query = query.maximum_nprobes(0).minimum_nprobes(self.effort)
        if case:
            query = query.where(self.condition(case), prefilter=True)
        found = query.limit(k + 1).select(["id", "_distance"]).to_arrow()["id"].to_pylist()
        return [row for row in found if row != self.setup["own_rows"][question]][:k]


class MilvusLite(Columned):
    """https://github.com/milvus-io/milvus-lite: a graph, filters by expression."""

    efforts = (32, 64, 128, 256, 512, 1024, 2048)
    packages = ("milvus-lite", "pymilvus")

    def build(self) -> None:
        from pymilvus import DataType, MilvusClient

        columns = self.columns()
        client = MilvusClient(str(self.own / "clips.db"))
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.questions.shape[1])
        for name in COLUMNS:
            if columns[name].dtype.kind == "U":
                schema.add_field(name, DataType.VARCHAR, max_length=256)
            else:
                schema.add_field(name, DataType.DOUBLE)
        client.create_collection("clips", schema=schema)
        for start, vectors in self.chunks():
            for first in range(0, len(vectors), ROWS_AT_ONCE):
                rows = range(start + first, start + min(first + ROWS_AT_ONCE, len(vectors)))
                client.insert(
                    "clips",
                    [
                        {"id": row, "vector": vectors[row - start]}
                        | {name: columns[name][row].item() for name in COLUMNS}
                        for row in rows
                    ],
                )
        params = client.prepare_index_params()
        graph = {"M": 16, "efConstruction": 200}
        params.add_index("vector", index_type="HNSW", metric_type="COSINE", params=graph)
        client.create_index("clips", params)
        client.close()

    def open(self) -> str:
        from pymilvus import MilvusClient

        self._client = MilvusClient(str(self.own / "clips.db"))
        self._client.load_collection("clips")
        return "hnsw, M 16"

    def ask(self, question: int, case: int, k: int) -> list[int]:
        (found,) = self._client.search(
            "clips",
            data=[self.questions[question]],
            limit=k + 1,
            filter=self.condition(case).replace(" = ", " == "),
            search_params={"params": {"ef": max(self.effort, k + 1)}},
        )
        return [one["id"] for one in found if one["id"] != self.setup["own_rows"][question]][:k]
