"""Whatever comes in, what comes out is an answer or an error of ours: properties tried by Hypothesis."""

from __future__ import annotations

import json
import math
import random
import string
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import select
from video_factory import moving, write_video

from api.guarding.guard import host_name
from api.guarding.oidc import OidcIssuer
from api.guarding.roles import asked_for
from api.schemas.cursors import _SHAPES, decode_cursor, encode_cursor
from api.schemas.queries import ExampleOptions, SearchRequest
from api.telemetry.logs import choose_request_id
from api.work.segment_files import attachment
from api.work.uploads import _Form, safe_suffix
from encoders.errors import DecodeError, InvalidQueryError, ReelseekError
from encoders.heads.action_names import normalise_action
from encoders.weights.tensors import pack, read_card, unpack
from indexer.datasets.layouts import read_dataset
from indexer.examples.span_files import read_spans
from indexer.video.clips.sampling import sample_clips
from indexer.video.limits import WorkerLimits
from indexer.video.programs.worker import DecodeWorker
from indexer.video.reading.decode import VideoDecoder
from indexer.video.reading.film import tag_seconds
from indexer.video.types import SampledClip, SamplingOptions, VideoInfo
from search.catalog.catalog import Catalog
from search.catalog.database import Database
from search.catalog.keys import Keys, Role
from search.catalog.record import LibraryRecord
from search.catalog.statements import path_prefix_condition
from search.catalog.tables import videos
from search.index.files import describe_index, load_index
from search.types import Filters

# The same examples in every run, so that a failure is one that the change brought; the slow tests vary.
FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=300)

ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def only_ours(work: Callable[[], Any], *others: type[Exception]) -> Any:
    """What the work gives, or None after an error that says what is wrong."""
    try:
        return work()
    except (ReelseekError, *others) as error:
        assert str(error)
        return None


# --- footage ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def films(folder: Path) -> list[bytes]:
    """Small films in several containers."""
    frames = [frame[:96, :128] for frame in moving(10)]
    made = [
        write_video(folder / "a.mp4", frames, fps=10),
        write_video(folder / "b.mkv", frames, fps=10, codec="mpeg4"),
        write_video(folder / "c.avi", frames, fps=10, codec="mpeg4"),
        write_video(folder / "d.ts", frames, fps=10, b_frames=2),
        write_video(folder / "e.mov", frames, fps=10, codec="mpeg4"),
        write_video(folder / "f.webm", frames, fps=10, codec="libvpx"),
    ]
    return [path.read_bytes() for path in made]


@pytest.fixture(scope="module")
def worker() -> Iterator[DecodeWorker]:
    with DecodeWorker(stall_seconds=10, threads=1, limits=WorkerLimits()) as found:
        yield found


@MANY
@given(
    number=st.integers(0, 5), seed=st.integers(0, 2**32), damage=st.integers(1, 40), kept=st.floats(0.05, 1)
)
def test_damaged_films_are_read_or_refused(
    worker: DecodeWorker, films: list[bytes], folder: Path, number: int, seed: int, damage: int, kept: float
) -> None:
    path = folder / "damaged"
    path.write_bytes(damaged(films[number], random.Random(seed), damage, kept))
    info = only_ours(lambda: worker.probe(str(path)))
    if info is not None:
        check_info(info)
    items = only_ours(lambda: list(worker.decode(str(path), SamplingOptions(frame_size=32), 20.0)))
    check_clips([item for item in items or () if isinstance(item, SampledClip)])


def damaged(content: bytes, chance: random.Random, count: int, kept: float) -> bytes:
    """A file with some bytes changed, cut off at the end."""
    changed = bytearray(content[: max(1, int(len(content) * kept))])
    for _ in range(count):
        # Half of it in the header, where it does most.
        place = chance.randrange(min(len(changed), 1024) if chance.random() < 0.5 else len(changed))
        changed[place] = chance.choice(
            (0, 255, changed[place] ^ 1 << chance.randrange(8), chance.randrange(256))
        )
    return bytes(changed)


@FEW
@given(
    content=st.binary(max_size=300),
    opening=st.sampled_from([b"", b"\x1aE\xdf\xa3", b"RIFF", b"\0\0\0\x20ftyp"]),
)
def test_any_bytes_are_refused(worker: DecodeWorker, folder: Path, content: bytes, opening: bytes) -> None:
    path = folder / "bytes"
    path.write_bytes(opening + content)
    with pytest.raises(DecodeError):
        worker.probe(str(path))
    only_ours(lambda: worker.picture(str(path), 32))


def check_info(info: VideoInfo) -> None:
    assert info.width > 0 and info.height > 0 and math.isfinite(info.start_seconds)
    for value in (info.duration_seconds, info.average_fps):
        assert value is None or (math.isfinite(value) and value > 0)


def check_clips(clips: list[SampledClip]) -> None:
    ended = -math.inf
    for clip in clips:
        assert ended <= clip.start_seconds < clip.end_seconds < math.inf
        ended = clip.end_seconds - 1e-6
        times = clip.frames.pts_seconds
        assert len(times) == len(clip.frames.frames) > 0 and (times[1:] > times[:-1]).all()
        assert clip.key_frames and all(frame.jpeg[:2] == b"\xff\xd8" for frame in clip.key_frames)


@settings(FEW, max_examples=100)
@given(
    clip_seconds=st.floats(0.05, 5),
    fps=st.floats(0.01, 60),
    sampling=st.sampled_from(["exact", "fast", "keyframes"]),
    shots=st.booleans(),
    number=st.integers(0, 5),
)
def test_the_sampler_cuts_a_film_without_holes_or_overlaps(
    films: list[bytes], folder: Path, clip_seconds: float, fps: float, sampling: Any, shots: bool, number: int
) -> None:
    options = SamplingOptions(clip_seconds, fps, sampling, shots, frame_size=32, key_frame_size=48)
    path = folder / "sampled"
    path.write_bytes(films[number])
    with VideoDecoder(str(path), threads=1) as decoder:
        clips = list(sample_clips(decoder, options))
        start = decoder.info.start_seconds
    check_clips(clips)
    assert clips and clips[0].start_seconds == pytest.approx(start, abs=0.11)
    assert clips[-1].end_seconds == pytest.approx(start + 1.0, abs=0.25), "ten frames at ten a second"
    for before, after in pairwise(clips):
        assert after.start_seconds == pytest.approx(before.end_seconds, abs=1e-6)


@MANY
@given(JSON)
def test_stored_sampling_is_read_or_a_value_error(document: Any) -> None:
    only_ours(lambda: SamplingOptions.from_json(json.dumps(document)), ValueError)


@MANY
@given(
    st.dictionaries(
        st.sampled_from(["clip_seconds", "fps", "sampling", "shots", "frame_size", "dense_fps", "actions"]),
        JSON,
    )
)
def test_sampling_of_wrong_types_is_a_value_error(document: Any) -> None:
    found = only_ours(lambda: SamplingOptions.from_json(json.dumps(document)), ValueError)
    assert found is None or SamplingOptions.from_json(found.to_json()) == found


@MANY
@given(ANY_TEXT)
def test_clock_times_are_numbers(text: str) -> None:
    assert isinstance(tag_seconds(text), float)


# --- queries ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path_factory.mktemp('catalog') / 'catalog.sqlite3'}")
    found.migrate()
    with found.write() as connection:
        catalog = Catalog(connection)
        catalog.create_library(encoder_spec="t", encoder_id="t", pooling="mean", dim=4, sampling="{}")
        for path in PATHS:
            catalog.publish_video(catalog.stage_video(path, 1, 1), digest=path, duration_seconds=1.0)
    yield found
    found.close()


PATHS = [
    "/a",
    "/a/b%_.mp4",
    "/a/b",
    "/A/\U0010ffff.mp4",
    "/ä/🎬.mp4",
    "/a\ue000",
    "/a\ud7ff",
    "/\U0010ffff\U0010ffff",
]


@MANY
@given(
    st.one_of(
        ANY_TEXT, st.sampled_from(PATHS).flatmap(lambda p: st.integers(0, len(p)).map(lambda n: p[:n]))
    ),
    st.sampled_from(["", "/", "*"]),
)
def test_a_path_prefix_finds_a_folder_or_what_starts_so(database: Database, prefix: str, ending: str) -> None:
    prefix += ending
    with database.read() as connection:
        found = only_ours(
            lambda: (
                connection.execute(select(videos.c.path).where(path_prefix_condition(prefix))).scalars().all()
            )
        )
    if found is None:
        assert "\0" in prefix or any(0xD800 <= ord(letter) <= 0xDFFF for letter in prefix)
    else:
        assert sorted(found) == sorted(path for path in PATHS if _is_asked_for(path, prefix))


def _is_asked_for(path: str, prefix: str) -> bool:
    path, whole = (unicodedata.normalize("NFC", text) for text in (path, prefix.removesuffix("*")))
    if prefix.endswith("*") or not prefix:
        return path.startswith(whole)
    folder = whole.rstrip("/")
    return path == folder or path.startswith(folder + "/")


@MANY
@given(
    st.builds(
        dict,
        path_prefix=st.none() | ANY_TEXT,
        min_duration_seconds=st.none() | st.floats(),
        max_duration_seconds=st.none() | st.floats(),
        video_ids=st.none() | st.lists(st.integers(-(2**70), 2**70), max_size=5).map(tuple),
    )
)
def test_filters_count_or_refuse(database: Database, given_filters: dict[str, Any]) -> None:
    def count() -> int:
        filters = Filters(**given_filters)
        with database.read() as connection:
            return Catalog(connection).count_clips(filters)

    in_range = all(0 < one < 2**63 for one in given_filters["video_ids"] or ())
    found = only_ours(count, *(() if in_range else (OverflowError,)))
    assert found in (0, None)


@MANY
@given(JSON)
def test_any_json_is_a_request_or_a_validation_error(document: Any) -> None:
    for model in (SearchRequest, ExampleOptions):
        try:
            request = model.model_validate_json(json.dumps(document))
        except (ValidationError, ReelseekError):
            continue
        only_ours(lambda request=request: request.filters.to_filters())


@MANY
@given(st.sampled_from(sorted(_SHAPES)), ANY_TEXT | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_a_cursor_is_one_of_ours_or_refused(kind: str, text: str) -> None:
    found = only_ours(lambda: decode_cursor(kind, text))
    assert found is None or encode_cursor(kind, *found).rstrip("=")


@MANY
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**63 - 1),
)
def test_cursors_come_back_as_they_went(path: str, start: float, number: int) -> None:
    assert decode_cursor("videos", encode_cursor("videos", path)) == (path,)
    assert decode_cursor("clips", encode_cursor("clips", number)) == (number,)
    segment = (path, start, number, "0" * 16)
    assert decode_cursor("segments", encode_cursor("segments", *segment)) == segment
    with pytest.raises(InvalidQueryError):
        decode_cursor("clips", encode_cursor("videos", path))


@MANY
@given(ANY_TEXT)
def test_action_names_are_normal_or_refused(name: str) -> None:
    found = only_ours(lambda: normalise_action(name))
    assert found is None or normalise_action(found) == found


# --- requests --------------------------------------------------------------------------------------


@MANY
@given(ANY_TEXT)
def test_what_a_client_calls_things_stays_harmless(text: str) -> None:
    assert "/" not in safe_suffix(text) and len(safe_suffix(text)) <= 9
    name = host_name(text)
    assert name is None or not set(name) & set("/?#@")
    assert set(choose_request_id(text)) <= set(string.ascii_letters + string.digits + "._-")
    assert set(attachment(text, "csv")) <= set(string.ascii_letters + string.digits + '-. ;="')
    asked = asked_for("GET", "/" + text)
    assert asked.route in ("(none)", "/") or asked.route.startswith("/{name}.")
    assert asked_for("DELETE", "/" + text).role is Role.admin


@MANY
@given(
    st.lists(st.sampled_from(["..", ".", "v1", "videos", "1", "file", "%2e", "\\", "a\nb", ""]), max_size=8)
)
def test_odd_addresses_ask_for_a_role(steps: list[str]) -> None:
    path = "/" + "/".join(steps)
    for method in ("GET", "POST", "DELETE", "PATCH", "TRACE"):
        asked = asked_for(method, path)
        assert asked.role is not None or path in ("/", "/v1/session")
        assert quote(asked.route, safe="/{}()._:-") == asked.route


@MANY
@given(ANY_TEXT)
def test_no_made_up_key_is_taken(database: Database, text: str) -> None:
    assume(text.isascii())
    with database.read() as connection:
        assert Keys(connection).verify(text) is None
        assert Keys(connection).verify(f"reelseek_{text}") is None
    issuer = OidcIssuer("https://id.example", "us", "http://127.0.0.1:9/keys", "role")
    assert issuer.verify(text) is None


@MANY
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"--x\r\n", b'--x\r\nContent-Disposition: form-data; name="']),
)
def test_any_form_is_received_or_refused(folder: Path, content: bytes, opening: bytes) -> None:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser
    from starlette.exceptions import HTTPException

    form = _Form(folder)
    try:
        parser = MultipartParser(b"x", form.callbacks())  # type: ignore[arg-type]
        parser.write(opening + content)
        parser.finalize()
    except (FormParserError, HTTPException):
        pass
    finally:
        form.close()
    assert form.path is None or form.path.parent == folder


# --- files of ours and of data sets ----------------------------------------------------------------


@MANY
@given(
    st.binary(max_size=200) | JSON.map(lambda d: json.dumps(d).encode()),
    st.sampled_from([".json", ".csv"]),
    st.sampled_from([b"", b"path,start_seconds,end_seconds,action\n", b'{"database": ', b'{"segments": ']),
)
def test_files_of_spans_are_read_or_refused(
    folder: Path, content: bytes, suffix: str, opening: bytes
) -> None:
    path = folder / f"spans{suffix}"
    path.write_bytes(opening + content)
    found = only_ours(lambda: read_spans(path))
    for row in found.rows if found else ():
        only_ours(lambda row=row: row.seconds("start_seconds"), KeyError, ValueError)


@FEW
@given(st.binary(max_size=200) | JSON.map(lambda document: json.dumps(document).encode()))
def test_heads_and_indexes_of_any_bytes_are_refused(folder: Path, content: bytes) -> None:
    import numpy as np

    assert only_ours(lambda: unpack(content, None, {})) is None or content
    only_ours(lambda: read_card(content))
    good = pack({"weights": np.ones(3, np.float32)}, kind="x")
    changed = bytearray(good)
    for place, byte in enumerate(content):
        changed[(place * 37 + byte) % len(changed)] ^= byte
    only_ours(lambda: unpack(bytes(changed), "x", {"weights": (np.float32, 1)}))
    index = folder / "index"
    index.mkdir(exist_ok=True)
    (index / "index.json").write_bytes(content)
    library = LibraryRecord("c", "t", "t", "mean", 4, "{}", 1)
    only_ours(lambda: load_index(index, library), FileNotFoundError)
    record = {
        "catalog_id": "c",
        "encoder_id": "t",
        "dim": 4,
        "file": "x.faiss",
        "trained_at": 0,
        "revision": 1,
    }
    (index / "index.json").write_text(json.dumps(record))
    (index / "x.faiss").write_bytes(content)
    only_ours(lambda: load_index(index, library))
    describe_index(index)


@settings(FEW, max_examples=25)
@given(
    st.sampled_from(["kinetics", "ucf101", "something", "activitynet", "folders"]),
    st.sampled_from(
        [
            "train.csv",
            "trainlist01.txt",
            "classInd.txt",
            "train.json",
            "labels.json",
            "activity_net.v1-3.json",
        ]
    ),
    st.binary(max_size=100) | JSON.map(lambda document: json.dumps(document).encode()),
)
def test_lists_of_data_sets_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, layout: str, name: str, content: bytes
) -> None:
    place = tmp_path_factory.mktemp("data")
    (place / name).write_bytes(content)
    only_ours(lambda: read_dataset(place, layout=layout))
