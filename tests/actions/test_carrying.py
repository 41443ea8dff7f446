"""Actions renamed, removed, carried to other libraries as files, and libraries from before there were any."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_actions import (
    DIM,
    SAMPLING,
    add,
    add_head,
    archive,
    dump,
    footage,
    found,
    kept,
    make,
    spans_of,
    teach,
)
from safetensors.numpy import save
from sqlalchemy import insert, select

from encoders.errors import (
    EncoderMismatchError,
    HeadFileError,
    InvalidQueryError,
    UnknownActionError,
)
from encoders.heads.taught import TaughtHead
from encoders.heads.windows import PARTS, SCALES_SECONDS
from encoders.weights.tensors import pack, read_card
from search.actions import correcting, teaching
from search.actions import heads as action_heads
from search.actions.listing import describe_action, list_actions
from search.catalog.catalog import Catalog
from search.catalog.database import Database
from search.catalog.tables import action_examples, heads, metadata
from search.library import Library


def test_renaming_takes_everything_along(library):
    videos = archive(library)
    teach(library, videos)
    before = spans_of(library, videos[0])
    action_heads.rename_action(library, "running", "Hopping mad")
    assert [(one.start_seconds, one.end_seconds) for one in found(library, "hopping mad", video_id=videos[0])
            ] == before  # fmt: skip
    with pytest.raises(UnknownActionError):
        found(library, "running")
    new = add(library, "/new.mp4", "oRRo", seed=88)
    assert {one.action for one in found(library, "hopping mad", video_id=new)} == {"hopping mad"}
    assert teaching.teach(library, "hopping mad", [])["positives"] == 20
    for name in ("zero-shot", "kinetics:r3d_18", ""):
        with pytest.raises(InvalidQueryError):
            action_heads.rename_action(library, "hopping mad", name)


def test_another_program_sees_the_new_name_at_once(tmp_path, plain):
    videos = archive(plain)
    teach(plain, videos)
    other = Library(plain.folder)
    add(other, "/first.mp4", "oRo", seed=31)  # it has the head in memory now
    action_heads.rename_action(plain, "running", "hopping")
    new = add(other, "/second.mp4", "oRo", seed=32)
    assert [one.action for one in found(plain, "hopping", video_id=new)] == ["hopping"]
    other.close()


def test_removing_forgets_the_segments_and_the_examples(library):
    videos = archive(library)
    teach(library, videos)
    action_heads.remove_action(library, "Running")
    tables = dump(library)
    assert not tables["heads"] and not tables["segments"] and not tables["action_examples"]
    with pytest.raises(UnknownActionError):
        action_heads.remove_action(library, "running")


def test_a_head_carried_to_another_library_finds_the_same(plain, tmp_path):
    videos = archive(plain)
    teach(plain, videos)
    content = action_heads.export_head(plain, "running")
    other = Library(tmp_path / "other", create=True)
    make(other)
    archive(other)
    assert action_heads.import_head(other, content).name == "running"
    assert [(s.path, s.start_seconds, s.end_seconds, s.confidence) for s in found(other)] == [
        (s.path, s.start_seconds, s.end_seconds, s.confidence) for s in found(plain)
    ]
    other.close()


def test_what_is_carried_over_tells_of_its_lesson_and_replaces_nothing_by_itself(plain, tmp_path):
    report = teach(plain, archive(plain))
    content = action_heads.export_head(plain, "running")
    other = Library(tmp_path / "other", create=True)
    make(other)
    archive(other)
    action_heads.import_head(other, content)
    (row,) = list_actions(other)["actions"]
    assert row["report"] == report | {"imported": True}
    assert describe_action(other, "running")["report"] == row["report"]
    before = dump(other)
    with pytest.raises(InvalidQueryError, match="--replace"):
        action_heads.import_head(other, content)
    assert dump(other) == before
    correcting.correct_clip(other, 1, "running", is_positive=False)
    assert action_heads.import_head(other, content, replace=True).name == "running"
    assert len(dump(other)["heads"]) == 1 and kept(other, "running")["negative"] == 1
    other.close()
    for wrong in ({"precision": "high"}, 3, {**report, "seconds": float("inf")}, {"precision": 1.0}):
        head = action_heads.import_head(plain, made_head(report=wrong), replace=True)
        assert head.card == {"imported": True}


def test_a_file_with_a_flipped_bit_is_refused(plain):
    archive(plain, 2)
    content = made_head()
    for place in (len(content) - 1, len(content) - 700, content.index(b"threshold") + 13):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(HeadFileError):
            action_heads.import_head(plain, bytes(damaged))
    assert not dump(plain)["heads"]
    # Files from before there was a digest.
    old = save(
        {"weights": np.zeros(len(SCALES_SECONDS) * len(PARTS) * DIM, np.float32)},
        {"reelseek": json.dumps({k: v for k, v in read_card(content).items() if k != "sha256"})},
    )
    assert action_heads.import_head(plain, old).name == "running"


def made_head(**card) -> bytes:
    width = len(SCALES_SECONDS) * len(PARTS) * DIM
    fields = {"kind": "taught", "action": "running", "encoder_id": "made", "bias": 0.0, "threshold": 0.5,
              "scales_seconds": list(SCALES_SECONDS), "parts": list(PARTS)} | card  # fmt: skip
    count = fields.pop("count", width)
    return pack(
        {"weights": np.zeros(count, np.float32)}, **{k: v for k, v in fields.items() if v is not None}
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (made_head(encoder_id="another"), EncoderMismatchError),
        (b"", HeadFileError),
        (b"not a head at all, but long enough to look at", HeadFileError),
        (made_head()[:-20], HeadFileError),
        (made_head(kind="track"), HeadFileError),
        (made_head(bias=None), HeadFileError),
        (made_head(scales_seconds=None), HeadFileError),
        (made_head(bias="nan"), HeadFileError),
        (made_head(threshold=7), HeadFileError),
        (made_head(count=5), HeadFileError),
        (made_head(action="Running\n"), (HeadFileError, InvalidQueryError)),
        (made_head(action="zero-shot"), InvalidQueryError),
    ],
)
def test_files_that_are_no_head_of_this_library_change_nothing(plain, content, error):
    archive(plain, 2)
    before = dump(plain)
    with pytest.raises(error):
        action_heads.import_head(plain, content)
    assert dump(plain) == before


@pytest.mark.parametrize("card", [{"bias": None}, {"bias": "much"}, {"bias": float("inf")}, {"bias": True},
                                  {"bias": 10**400}, {"threshold": []}, {"action": None}, {"action": 3},
                                  {"encoder_id": None}, {"encoder_id": {}}, {"parts": None},
                                  {"scales_seconds": "1"}])  # fmt: skip
def test_a_card_that_is_none_is_said_by_the_head_itself(card):
    with pytest.raises(HeadFileError, match=f"{next(iter(card))}|windows"):
        TaughtHead.from_bytes(made_head(**card))


def test_whole_numbers_are_numbers():
    assert TaughtHead.from_bytes(made_head(bias=-2, threshold=1)).bias == -2.0


def test_a_made_head_that_is_right_is_taken(plain):
    archive(plain, 2)
    assert action_heads.import_head(plain, made_head()).actions == ("running",)


def test_a_backbone_is_shown_and_removed_by_its_own_name_but_not_exported(plain):
    archive(plain, 1)
    name = "kinetics:r3d_18//Folder With Capitals/" + "long" * 40 + ".pth"
    with plain.write() as catalog:
        add_head(catalog, name, kind="kinetics", actions=["running"])
    assert describe_action(plain, name)["head"] == name
    with pytest.raises(InvalidQueryError):
        action_heads.export_head(plain, name)
    action_heads.remove_action(plain, name)
    assert not dump(plain)["heads"]


# --- the schema ------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_library_from_before_actions_keeps_what_it_has(request, tmp_path, engine):
    url = (
        f"sqlite:///{tmp_path / 'c.sqlite3'}"
        if engine == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    database = Database(url)
    database.migrate()
    old = ("library", "videos", "clips", "clip_vectors", "key_frames", "removed_clips", "jobs")
    tables = [table for table in metadata.sorted_tables if table.name in old]
    with database.write() as connection:
        catalog = Catalog(connection)
        catalog.create_library(
            encoder_spec="made", encoder_id="made", pooling="mean", dim=DIM, sampling=SAMPLING
        )
        staged = catalog.stage_video("/a.mp4", 1, 2)
        catalog.add_clips(staged, 0, footage("oRo", 1))
        catalog.publish_video(staged, digest="x", sampling=SAMPLING)
    # All but the checksums, which a library of then has not.
    kept = [[column for column in table.c if column.name != "crc32"] for table in tables]
    with database.read() as connection:
        before = [connection.execute(select(*columns)).all() for columns in kept]
    database.downgrade("0001")  # what a library of then held; today's statements know later columns
    database.migrate()
    with database.read() as connection:
        assert [connection.execute(select(*columns)).all() for columns in kept] == before
        assert connection.execute(select(heads)).all() == []
    with database.write() as connection:
        connection.execute(
            insert(action_examples).values(
                action="running", is_positive=True, origin="teach", source="x", video_id=1, created_at=0.0
            )
        )
    database.downgrade("0001")
    database.migrate()
    with database.read() as connection:
        assert [connection.execute(select(*columns)).all() for columns in kept] == before
    database.close()
