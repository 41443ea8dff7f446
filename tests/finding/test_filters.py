"""Filters over columns in memory let through what the catalog's statements do, whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from encoders.errors import InvalidQueryError, LibraryError
from encoders.heads.head import ActionSpan
from search.catalog.catalog import Catalog
from search.catalog.database import Database
from search.dates import WallTime
from search.filtering import allowed
from search.filtering.allowed import AllowedSets
from search.types import EncodedClip, Filters, SegmentQuery

DIM = 4
FOLDERS = ("/a", "/a/b", "/ab", "/ä")
ACTIONS = ("running", "diving", "waving")
WORDS = ("dog", "red", "a", "beach")
MOMENTS = (0.0, 43_200.0, 86_400.0, 200_000.0)


def add_video(catalog: Catalog, path: str, lengths: list[float], **values: Any) -> int:
    """A published video of clips one behind the other, each with a key frame; in place of one of its path."""
    starts = np.concatenate([[0.0], np.cumsum(lengths)])
    row = np.zeros(DIM, np.float32)
    row[0] = 1
    encoded = [
        EncodedClip(
            float(start),
            float(start + length),
            row,
            row[None].astype(np.float16),
            np.array([start]),
            ((float(start), b"jpeg"),),
        )
        for start, length in zip(starts, lengths, strict=False)
    ]
    staged = catalog.stage_video(path, 1, 10**9)
    catalog.add_clips(staged, 0, encoded)
    return catalog.publish_video(staged, digest=path, **values)


# --- what may happen to a catalog ------------------------------------------------------------------

BEGINNING = (
    ("publish", "/a", 1, [4.0, 4.0, 0.5, 3.75], 43_200.0, 3600),
    ("publish", "/ab", 2, [1.0, 0.25, 4.0], 86_400.0, None),
    ("tag", 0, 0, "running", 3.0, 4.5, 0.5),
    ("caption", 1, ["a", "red", "dog"]),
)
times = st.integers(0, 40).map(lambda number: number / 4)
changes = st.one_of(
    st.tuples(
        st.just("publish"),
        st.sampled_from(FOLDERS),
        st.integers(0, 3),
        st.lists(st.sampled_from((0.25, 0.5, 1.0, 3.75, 4.0)), max_size=5),
        st.sampled_from(MOMENTS),
        st.sampled_from((None, 0, 3600, -3600)),
    ),
    st.tuples(st.just("remove"), st.integers(0, 9)),
    st.tuples(st.just("remove a clip"), st.integers(0, 30)),
    st.tuples(st.just("move"), st.integers(0, 9), st.sampled_from(FOLDERS), st.integers(4, 9)),
    st.tuples(
        st.just("tag"), st.integers(0, 9), st.integers(0, 3), st.sampled_from(ACTIONS), times, times,
        st.sampled_from((0.2, 0.5, 0.9)),
    ),
    st.tuples(st.just("untag"), st.integers(0, 9), st.integers(0, 3)),
    st.tuples(st.just("replace a head"), st.integers(0, 3)),
    st.tuples(st.just("remove a head"), st.integers(0, 3)),
    st.tuples(st.just("rename"), st.integers(0, 3), st.sampled_from(ACTIONS)),
    st.tuples(st.just("caption"), st.integers(0, 30), st.lists(st.sampled_from(WORDS), min_size=1)),
)  # fmt: skip
bounds = st.one_of(
    st.none(),
    st.sampled_from(MOMENTS),
    st.sampled_from(MOMENTS).map(lambda moment: WallTime(moment, moment + 7200)),
)


@st.composite
def filters(draw: st.DrawFn) -> Filters:
    """Any filter that can be made at all."""
    after, before = draw(bounds), draw(bounds)
    least, most = draw(st.none() | times), draw(st.none() | times)
    if least is not None and most is not None and least > most:
        least, most = most, least
    action = draw(st.none() | st.sampled_from(ACTIONS))
    found = Filters(
        path_prefix=draw(st.none() | st.sampled_from((*FOLDERS, "/a*", "/a/1.mp4", "", "a\u0308*", "/none"))),
        min_duration_seconds=least,
        max_duration_seconds=most,
        video_ids=draw(st.none() | st.lists(st.integers(0, 8), max_size=3).map(tuple)),
        action=action,
        min_confidence=None if action is None else draw(st.none() | st.sampled_from((0.0, 0.5, 0.8))),
        caption=draw(st.none() | st.sampled_from(("dog", "red dog", "a", "beach a"))),
    )
    try:
        return replace(found, recorded_after=after, recorded_before=before)
    except InvalidQueryError:  # nothing lies between
        return found


class Changing:
    """A catalog that is changed by the means that ingests, lessons and captioners have."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.heads: dict[int, int] = {}

    def _video(self, number: int) -> int | None:
        ids = [video.id for video in self.catalog.list_videos()]
        return ids[number % len(ids)] if ids else None

    def _head(self, number: int) -> int:
        if number not in self.heads:
            self.heads[number] = self._add_head(number)
        return self.heads[number]

    def _add_head(self, number: int) -> int:
        return self.catalog.actions.add_head(
            kind="draft" if number == 3 else "taught",
            name=f"head {number}",
            encoder_id="made",
            actions=list(ACTIONS),
            threshold=(0.5, 0.1, 0.95, 0.5)[number],
            card={},
            parameters=b"parameters",
            is_active=number != 1,
        )

    def apply(self, change: tuple[Any, ...]) -> None:
        catalog, (kind, *given) = self.catalog, change
        if kind == "publish":
            folder, name, lengths, moment, offset = given
            add_video(
                catalog, f"{folder}/{name}.mp4", lengths, recorded_at=moment, recorded_offset_seconds=offset
            )
        elif kind == "caption" or kind == "remove a clip":
            frames = [frame for found in catalog.key_frames(list(self._clips())).values() for frame in found]
            if not frames:
                return
            frame = frames[given[0] % len(frames)]
            if kind == "caption":
                catalog.captions.add({frame.id: " ".join(given[1])}, "made")
            else:
                catalog.remove_clips([frame.clip_id])
        elif kind == "remove a head":
            catalog.actions.remove_head(self._head(given[0]))
            del self.heads[given[0]]
        elif kind == "replace a head":
            catalog.actions.activate_head(self._head(given[0]))
        elif kind == "rename":
            number, name = given
            if name not in {head.name for head in catalog.actions.heads(active=None)}:
                catalog.actions.rename(self._head(number), f"head {number}", name, b"parameters")
        elif (video_id := self._video(given[0])) is not None:
            self._apply_to_video(kind, video_id, given[1:])

    def _apply_to_video(self, kind: str, video_id: int, given: list[Any]) -> None:
        catalog = self.catalog
        if kind == "remove":
            catalog.remove_videos([video_id])
        elif kind == "move":
            folder, name = given
            if catalog.video_by_path(f"{folder}/{name}.mp4") is None:
                catalog.update_video(video_id, path=f"{folder}/{name}.mp4", recorded_at=float(name))
        elif kind == "tag":
            head, action, one, other, confidence = given
            if one != other:
                span = ActionSpan(action, min(one, other), max(one, other), confidence)
                catalog.actions.add_segments(video_id, self._head(head), [span])
        else:
            catalog.actions.clear_segments(video_id, [self._head(given[0])])

    def _clips(self) -> list[int]:
        return self.catalog.clip_ids(Filters()).tolist()


def by_statement(catalog: Catalog, asked: Filters, showing: SegmentQuery | None) -> Any:
    try:
        return catalog.clip_ids(asked, showing).tolist()
    except InvalidQueryError as error:
        return str(error)


def by_columns(sets: AllowedSets, catalog: Catalog, asked: Filters, showing: SegmentQuery | None) -> Any:
    record = catalog.library_record()
    assert record is not None
    try:
        return sets.find(catalog, record, asked, showing).tolist()
    except InvalidQueryError as error:
        return str(error)


def check_any_history(database: Database, history: list[Any], asked: list[Filters]) -> None:
    """Asks the same after every change, of sets that are kept all the time and of new ones; undoes all."""
    kept = AllowedSets()
    with database.engine.connect() as connection, connection.begin() as undone:
        catalog = Catalog(connection)
        catalog.create_library(encoder_spec="m", encoder_id="made", pooling="mean", dim=DIM, sampling="{}")
        changing = Changing(catalog)
        for change in [*BEGINNING, *history]:
            changing.apply(change)
            for one in asked:
                showing = None if one.action is None else one.segments
                expected = by_statement(catalog, one, showing)
                assert by_columns(kept, catalog, one, showing) == expected, (change, one)
                assert by_columns(AllowedSets(), catalog, one, showing) == expected
            assert catalog.library_record().clip_count == catalog.count_clips()
        undone.rollback()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    name = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('filters') / 'catalog.sqlite3'}"
    else:
        server = request.getfixturevalue("postgres_server")
        name = server.create_database()
        url = server.url(name)
    opened = Database(url)
    opened.migrate()
    yield opened
    opened.close()
    if name is not None:
        server.drop_database(name)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(changes, max_size=8), asked=st.lists(filters(), min_size=1, max_size=4))
def test_columns_let_through_what_statements_do_after_every_change(database, history, asked):
    check_any_history(database, history, asked)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Database]:
    """A catalog of three videos."""
    opened = Database(f"sqlite:///{tmp_path / 'catalog.sqlite3'}")
    opened.migrate()
    with opened.write() as connection:
        catalog = Catalog(connection)
        catalog.create_library(encoder_spec="m", encoder_id="made", pooling="mean", dim=DIM, sampling="{}")
        for number in range(3):
            add_video(catalog, f"/a/{number}.mp4", [4.0, 1.0, 4.0])
    yield opened
    opened.close()


def found_in(database: Database, sets: AllowedSets, asked: Filters) -> list[int]:
    with database.read() as connection:
        catalog = Catalog(connection)
        found = by_columns(sets, catalog, asked, None)
        assert found == by_statement(catalog, asked, None)
    return found


def test_columns_on_disk_are_caught_up_and_never_believed_where_they_are_not_of_this_catalog(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr(allowed, "LEAST_SAVED", 0)
    path = tmp_path / "index" / "columns.npz"
    long = Filters(min_duration_seconds=2.0)
    assert found_in(small, AllowedSets(path), long) == [1, 3, 4, 6, 7, 9]
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with small.write() as connection:
        catalog = Catalog(connection)
        catalog.remove_videos([2])
        add_video(catalog, "/b/9.mp4", [5.0])
    assert path.read_bytes() == before
    assert found_in(small, AllowedSets(path), long) == [1, 3, 7, 9, 10]  # from the file, and what is new
    for broken in (b"", b"PK\x03\x04 nothing", before[: len(before) // 2], before.replace(b"\x01", b"\x02")):
        path.write_bytes(broken)
        assert found_in(small, AllowedSets(path), long) == [1, 3, 7, 9, 10]
    path.write_bytes(before)
    with small.write() as connection:  # as one put back from a copy: it has gone on otherwise since
        connection.execute(text("UPDATE library SET revision = 1"))
    assert found_in(small, AllowedSets(path), long) == [1, 3, 7, 9, 10]
    path.write_bytes(before)
    with small.write() as connection:
        connection.execute(text("UPDATE library SET catalog_id = 'another', revision = 9"))
    assert found_in(small, AllowedSets(path), long) == [1, 3, 7, 9, 10]


def test_columns_that_cannot_be_written_are_no_harm(small, tmp_path, monkeypatch):
    monkeypatch.setattr(allowed, "LEAST_SAVED", 0)
    (tmp_path / "index").write_text("a file where the folder should be")
    sets = AllowedSets(tmp_path / "index" / "columns.npz")
    assert found_in(small, sets, Filters(path_prefix="/a/1.mp4")) == [4, 5, 6]


def test_a_set_is_kept_until_something_changes_that_it_goes_by(small):
    """The same answer is the same array, without a statement; a change of other things leaves it alone."""
    sets, asked = AllowedSets(), Filters(path_prefix="/a/1.mp4")
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    def find() -> np.ndarray:
        with small.read() as connection:
            catalog = Catalog(connection)
            record = catalog.library_record()
            statements.clear()
            return sets.find(catalog, record, asked)

    event.listen(small.engine, "before_cursor_execute", note)
    first = find()
    assert statements and find() is first and not statements
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 7
    with small.write() as connection:
        Catalog(connection).update_video(1, status="missing", mtime_ns=5)
    assert find() is first and not statements
    with small.write() as connection:
        Catalog(connection).update_video(1, path="/elsewhere.mp4")
    assert find() is not first and find().tolist() == [4, 5, 6]
    with small.write() as connection:
        Catalog(connection).update_video(2, path="/elsewhere/2.mp4")
    assert find().tolist() == []
    event.remove(small.engine, "before_cursor_execute", note)


def test_a_link_to_a_folder_is_followed_as_it_is_now(small, tmp_path):
    """What the catalog does not know is asked of the disk each time: nothing of that is kept."""
    folder, link = tmp_path / "films", tmp_path / "link"
    folder.mkdir()
    with small.write() as connection:
        Catalog(connection).update_video(1, path=f"{folder}/1.mp4")
    sets, asked = AllowedSets(), Filters(path_prefix=str(link))
    assert found_in(small, sets, asked) == []
    link.symlink_to(folder)
    assert found_in(small, sets, asked) == [1, 2, 3]
    link.unlink()
    assert found_in(small, sets, asked) == []


def test_a_value_that_is_no_number_is_said_and_not_guessed(small):
    with small.write() as connection:
        connection.execute(text("UPDATE clips SET start_seconds = 'soon' WHERE id = 5"))
    with small.read() as connection, pytest.raises(LibraryError, match="indexer check"):
        by_columns(AllowedSets(), Catalog(connection), Filters(video_ids=(1,)), None)
