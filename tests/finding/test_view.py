"""One query, one state of the library: how often it is read, and what others change meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from made_library import add_video, make_library, remove_video
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from api.app import create_app
from encoders import Encoder
from encoders.types import normalise
from search.index.keeper import IndexKeeper
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, EncodedClip, Filters, Query
from search.view import View

WORDS = "a dog on a beach"


class Counts:
    """Transactions and statements of every catalog in this program, and looks at its indexes."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.looks: list[str] = []

    @property
    def reads(self) -> int:
        return self.statements.count("BEGIN")

    @property
    def queries(self) -> list[str]:
        return [statement for statement in self.statements if statement != "BEGIN"]

    def clear(self) -> None:
        self.statements.clear()
        self.looks.clear()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    found = Counts()

    def note(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        found.statements.append(statement)

    bring_up, index = IndexKeeper.bring_up, View.index
    monkeypatch.setattr(
        IndexKeeper, "bring_up", lambda *given: found.looks.append("bring up") or bring_up(*given)
    )
    monkeypatch.setattr(View, "index", lambda view: found.looks.append("index") or index(view))
    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def folder(offline_encoder: Encoder, tmp_path: Path) -> Path:
    """A library of the offline encoder: 600 clips of random features, two key frames each."""
    library = Library(tmp_path / "library", create=True)
    library.create(offline_encoder, pooling="mean", sampling="{}")
    random = np.random.default_rng(0)
    for number in range(6):
        features = normalise(np.abs(random.normal(size=(100, 2, offline_encoder.dim))))
        clips = [
            EncodedClip(
                4.0 * place,
                4.0 * place + 4,
                normalise(rows.mean(axis=0)),
                rows.astype(np.float16),
                np.array([4.0 * place + 1, 4.0 * place + 3]),
                ((4.0 * place + 1, b"one"), (4.0 * place + 3, b"two")),
            )
            for place, rows in enumerate(features)
        ]
        with library.write() as catalog:
            staged = catalog.stage_video(f"/v/{number}.mp4", 1, 2)
            catalog.add_clips(staged, 0, clips)
            catalog.publish_video(staged, digest=str(number), duration_seconds=400.0, sampling="{}")
    library.index_keeper.save()
    library.close()
    return tmp_path / "library"


def wait_until_ready(client: TestClient) -> None:
    until = time.monotonic() + 60
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(("filters", "reads", "queries"), [({}, 1, 5), ({"path_prefix": "/v/1.mp4"}, 1, 5)])
def test_a_search_by_words_over_http_reads_the_catalog_once(folder, counts, filters, reads, queries):
    library = Library(folder, device="cpu")
    with TestClient(create_app(library, device="cpu"), base_url="http://localhost") as client:
        wait_until_ready(client)
        body = {"query": [{"text": WORDS}], "filters": filters, "limit": 10}
        found = []
        for _ in range(4):
            counts.clear()
            answer = client.post("/v1/search", json=body).json()
            assert len(answer["hits"]) == 10 and len(answer["hits"][0]["key_frames"]) == 2
            found.append((counts.reads, len(counts.queries)))
            assert counts.looks == ["index"], "and one look at the index, which is current for it"
        # The server itself asks now and then, whoever searches.
        assert min(found) == (reads, queries)
    library.close()


def test_a_search_by_words_on_the_command_line_reads_the_catalog_twice(folder, counts, indexer):
    ran = indexer("search", WORDS, "--json", library=folder)
    assert len(json.loads(ran.out)["hits"]) == 10
    # Apart: a library is opened by looking at its schema. Then its encoder's name is read, and the view.
    opening = [one for one in counts.queries if "alembic_version" in one]
    assert (counts.reads - 1, len(counts.queries) - len(opening)) == (2, 6)
    assert counts.looks == ["bring up", "index"]


def test_an_answer_is_of_one_state_whatever_is_written_meanwhile(tmp_path):
    library = make_library(tmp_path / "library")
    for number in range(3):
        add_video(library, f"/v/{number}.mp4", count=5, seed=number)
    with library.view() as view:

        def write() -> None:
            remove_video(library, "/v/0.mp4")
            add_video(library, "/v/3.mp4", count=5, seed=3)

        writing = threading.Thread(target=write)
        writing.start()
        writing.join()
        with view.index() as index:
            ids = index.ids()
        assert ids.tolist() == view.catalog.clip_ids(Filters()).tolist() and len(ids) == 15
        assert view.sample.clip_ids.tolist() == ids.tolist()
        assert view.sample.revision == view.record.revision == view.catalog.revision()
        # Once it has looked, others need not wait for it, and take in what is new.
        found: list[int] = []

        def search() -> None:
            found.extend(hit.clip_id for hit in SearchEngine(library).search(Query((ClipPart(6),))).hits)

        searching = threading.Thread(target=search)
        searching.start()
        searching.join(30)
        assert found and not set(found) & set(range(1, 6))
        # Looking again finds nothing that this state has not, once it is held against the catalog.
        with view.index() as index:
            again = index.ids().tolist()
        assert set(view.catalog.clips(again)) == set(range(6, 16))
    library.close()


def test_who_only_reads_the_catalog_of_a_view_lets_the_index_go_at_its_end(tmp_path):
    library = make_library(tmp_path / "library")
    add_video(library, "/v/0.mp4", count=5)
    with pytest.raises(RuntimeError, match="midway"), library.view():
        raise RuntimeError("midway")
    found: list[int] = []
    searching = threading.Thread(target=lambda: found.append(len(library.sample().clip_ids)))
    searching.start()
    searching.join(30)
    assert found == [5]
    library.close()


def test_searches_hold_the_index_together_and_who_changes_it_holds_it_alone(tmp_path):
    """Two views look into the index at once; a third one of a newer state waits, and takes in what is new."""
    library = make_library(tmp_path / "library")
    add_video(library, "/v/0.mp4", count=5)
    with library.view():
        pass  # loads it
    beside = threading.Event()
    found: list[tuple[str, int]] = []

    def look(name: str) -> None:
        with library.view() as view, view.index() as index:
            found.append((name, len(index)))
            beside.set()

    with library.view() as view, view.index() as index:
        second = threading.Thread(target=look, args=("second",))
        second.start()
        assert beside.wait(30), "while this one looks"
        second.join()
        add_video(library, "/v/1.mp4", count=3, seed=1)
        third = threading.Thread(target=look, args=("third",))
        third.start()
        third.join(0.3)
        assert third.is_alive() and len(index) == 5, "nothing changes while this one looks"
    third.join(30)
    assert found == [("second", 5), ("third", 8)]
    library.close()


def test_answers_are_right_while_videos_come_and_go(tmp_path):
    """Four threads search under a filter while videos come and go: they find none that had gone before."""
    library = make_library(tmp_path / "library")
    for number in range(4):
        add_video(library, f"/v/{number}.mp4", count=5, seed=number)
    engine, stop = SearchEngine(library), threading.Event()
    gone: set[str] = set()
    wrong: list[str] = []
    answers: list[int] = []

    def search() -> None:
        while not stop.is_set():
            before = set(gone)
            try:
                hits = engine.search(Query((ClipPart(1),)), Filters(path_prefix="/v/"), limit=50).hits
            except Exception as error:
                wrong.append(repr(error))
                return
            wrong.extend(hit.path for hit in hits if hit.path in before)
            answers.append(len(hits))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(4, 30):
        add_video(library, f"/v/{number}.mp4", count=5, seed=number)
        remove_video(library, f"/v/{number - 2}.mp4")
        gone.add(f"/v/{number - 2}.mp4")
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not wrong and len(answers) > 8
    with library.index() as index, library.read() as catalog:
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()
    library.close()
