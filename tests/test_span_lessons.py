"""Teaching from videos that are labelled throughout, on made features whose borders are known.

Two actions: "leaping" moves through feature space from one place to another, jumps back and goes on, often
several times in a row, so that only who knows where one leap ends can count them; "resting" is a place of
its own, with pauses in between, which moments alone tell well enough.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from encoders.errors import EncoderMismatchError, HeadFileError, InvalidQueryError, NotFoundError
from encoders.evaluation.detection import FoundSpan, TrueSpan, mean_average_precision
from encoders.types import normalise
from encoders.weights.tensors import pack, unpack
from indexer.commands.app import make_app
from indexer.examples.lessons import examples_from_spans
from search.actions import correcting, finding, tagging, teaching
from search.actions import heads as action_heads
from search.actions.gathering import gather_labelled
from search.actions.listing import describe_action, list_actions
from search.library import Library
from search.types import EncodedClip, SegmentQuery

DIM = 32
STEP = 0.5
CLIP_SECONDS = 4.0
CLIPS = 15
SAMPLING = json.dumps({"clip_seconds": CLIP_SECONDS, "fps": 1 / STEP, "shots": False, "sampling": "uniform"})
IDLE, CROUCHED, STRETCHED, ASLEEP = np.eye(DIM)[:4]
Span = tuple[str, float, float]


def made_video(seed: int, leaps: float = 0.6) -> tuple[np.ndarray, list[Span]]:
    """Features (120, DIM) of 60 s, and what happens in them: one to three leaps in a row, or a rest.

    Args:
        seed: Of the video.
        leaps: How often it is leaps.
    """
    random = np.random.default_rng(seed)
    spans: list[Span] = []
    now = random.uniform(2, 6)
    while True:
        if random.random() < leaps:
            lengths = random.uniform(3, 6, int(random.integers(1, 4)))
            new = [("leaping", *now + np.array([lengths[:n].sum(), lengths[: n + 1].sum()]))
                   for n in range(len(lengths))]  # fmt: skip
        else:
            new = [("resting", now, now + random.uniform(4, 9))]
        if new[-1][2] > 57:
            break
        spans += [(action, float(start), float(end)) for action, start, end in new]
        now = new[-1][2] + random.uniform(3, 6)
    times = (np.arange(CLIPS * CLIP_SECONDS / STEP) + 0.5) * STEP
    features = np.tile(IDLE, (len(times), 1))
    for action, start, end in spans:
        inside = (times >= start) & (times < end)
        moved = ((times - start) / (end - start))[inside, None]
        features[inside] = ASLEEP if action == "resting" else CROUCHED + moved * (STRETCHED - CROUCHED)
    return normalise(features + 0.05 * random.normal(size=features.shape)), spans


def add(library: Library, path: str, seed: int, leaps: float = 0.6) -> tuple[int, list[Span]]:
    features, spans = made_video(seed, leaps)
    clips, samples = [], round(CLIP_SECONDS / STEP)
    for number in range(CLIPS):
        start = number * CLIP_SECONDS
        part = features[number * samples : (number + 1) * samples]
        times = start + (np.arange(samples) + 0.5) * STEP
        embedding = normalise(part.mean(axis=0))
        clips.append(
            EncodedClip(
                start, start + CLIP_SECONDS, embedding, part.astype(np.float16), times, ((start, b"jpeg"),)
            )
        )
    with library.write() as catalog:
        staged = catalog.stage_video(path, 1, 1)
        catalog.add_clips(staged, 0, clips)
        video_id = catalog.publish_video(
            staged, digest=path, duration_seconds=CLIPS * CLIP_SECONDS, sampling=SAMPLING
        )
        tagging.Tagger(library).tag_video(catalog, video_id, DIM)
    return video_id, spans


def made_library(
    folder: Path, seeds: Sequence[int], leaps: float = 0.6, url: str | None = None
) -> tuple[Library, dict[str, list[Span]]]:
    library = Library(folder, database_url=url, create=True)
    with library.write() as catalog:
        catalog.create_library(
            encoder_spec="made", encoder_id="made", pooling="mean", dim=DIM, sampling=SAMPLING
        )
    truth = {f"/archive/{seed}.mp4": add(library, f"/archive/{seed}.mp4", seed, leaps)[1] for seed in seeds}
    return library, truth


def written(file: Path, truth: dict[str, list[Span]], count: int) -> Path:
    """All that happens in the first videos, in ActivityNet's form, keyed by the file's name alone."""
    database = {
        Path(path).stem: {
            "annotations": [{"segment": [start, end], "label": label} for label, start, end in spans]
        }
        for path, spans in list(truth.items())[:count]
    }
    file.write_text(json.dumps({"database": database}))
    return file


LABELLED, UNSEEN = 14, 8


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Iterator[tuple[Library, dict[str, list[Span]], Path]]:
    """22 videos, of which 14 are labelled."""
    folder = tmp_path_factory.mktemp("archive")
    library, truth = made_library(folder / "library", range(LABELLED + UNSEEN))
    yield library, truth, written(folder / "spans.json", truth, LABELLED)
    library.close()


@pytest.fixture(scope="module")
def leaping(archive) -> dict:
    library, _, file = archive
    return teaching.teach(library, "leaping", examples_from_spans(library, file, "leaping"))


def found(library: Library, action: str, **bounds) -> list[tuple]:
    answer = finding.find_segments(library, SegmentQuery((action,), **bounds))
    with library.read() as catalog:
        listed = list(answer.segments(catalog))
    return [(one.path, one.start_seconds, one.end_seconds, one.confidence) for one in listed]


def mean_precision(library: Library, action: str, truth: dict[str, list[Span]]) -> float:
    """mAP@0.5 of the stored segments of the videos that were not labelled."""
    unseen = list(truth.items())[LABELLED:]
    wanted = [
        TrueSpan(path, label, start, end)
        for path, spans in unseen
        for label, start, end in spans
        if label == action
    ]
    paths = {path for path, _ in unseen}
    said = [FoundSpan(row[0], action, *row[1:]) for row in found(library, action) if row[0] in paths]
    assert len(wanted) >= 10
    return mean_average_precision(wanted, said, [0.5]).average


def test_borders_are_learned_where_moments_alone_cannot_tell(archive, leaping):
    library, truth, _ = archive
    report = leaping["localiser"]
    assert report["videos"] == LABELLED and report["kept"] is True
    assert report["held_out_map"] >= 0.8 > 0.7 >= report["grouping_held_out_map"]
    assert mean_precision(library, "leaping", truth) >= 0.9
    assert describe_action(library, "leaping")["report"] == leaping
    (row,) = [row for row in list_actions(library)["actions"] if row["action"] == "leaping"]
    assert row["head"] == "taught" and row["segments"] == len(found(library, "leaping"))
    assert row["threshold"] in (0.3, 0.4, 0.5, 0.6, 0.7)


def test_lower_confidences_can_be_looked_at(archive, leaping):
    library, _, _ = archive
    plain, lower = found(library, "leaping"), found(library, "leaping", min_confidence=0.0)
    assert set(plain) <= set(lower) and all(row[3] >= 0.15 for row in lower)
    with library.read() as catalog:
        (head,) = [head for head in catalog.actions.heads() if head.name == "leaping"]
    assert plain == [row for row in lower if row[3] >= head.threshold]
    assert head.kind == "localiser" and head.label == "taught"


def test_what_is_ingested_later_is_tagged_too_and_tagging_again_changes_nothing(archive, leaping):
    library, _, _ = archive
    video_id, spans = add(library, "/later.mp4", 500)
    starts = [start for label, start, _ in spans if label == "leaping"]
    listed = [row for row in found(library, "leaping") if row[0] == "/later.mp4"]
    assert [row[1] for row in listed] == pytest.approx(starts, abs=1.0)
    before = found(library, "leaping", min_confidence=0)
    tagging.Tagger(library).retag()
    for again, row in zip(found(library, "leaping", min_confidence=0), before, strict=True):
        assert again[0] == row[0] and again[1:] == pytest.approx(row[1:], abs=1e-4)
    with library.write() as catalog:
        catalog.remove_videos([video_id])


def test_moments_alone_stay_where_they_do_as_well(tmp_path):
    library, truth = made_library(tmp_path / "library", range(LABELLED), leaps=0.0)
    file = written(tmp_path / "spans.json", truth, LABELLED)
    card = teaching.teach(library, "resting", examples_from_spans(library, file, "resting"))
    report = card["localiser"]
    assert report["kept"] is False
    assert report["held_out_map"] - report["grouping_held_out_map"] < 0.02
    with library.read() as catalog:
        (head,) = [head for head in catalog.actions.heads() if head.name == "resting"]
    assert head.kind == "taught"
    for seed in range(LABELLED, LABELLED + UNSEEN):
        truth[f"/archive/{seed}.mp4"] = add(library, f"/archive/{seed}.mp4", seed, leaps=0.0)[1]
    assert mean_precision(library, "resting", truth) >= 0.9
    library.close()


def test_fewer_than_ten_labelled_videos_are_too_few(tmp_path):
    library, truth = made_library(tmp_path / "library", range(12))
    file = written(tmp_path / "spans.json", truth, 9)
    card = teaching.teach(library, "leaping", examples_from_spans(library, file, "leaping"))
    assert card["localiser"] is None and found(library, "leaping")
    # One more video, and the other lessons' spans count; forgotten, they count no more.
    names = list(truth)
    file = written(tmp_path / "more.json", {names[9]: truth[names[9]]}, 1)
    more = examples_from_spans(library, file, "leaping")
    assert teaching.teach(library, "leaping", more)["localiser"]["videos"] == 10
    with library.read() as catalog:
        clip_ids = [catalog.clips_of_video(number)[0].id for number in (11, 12)]
    correcting.correct_clip(library, clip_ids[0], "leaping", is_positive=False)
    examples = examples_from_spans(library, written(tmp_path / "spans.json", truth, 8), "leaping")
    card = teaching.teach(library, "leaping", examples, replace_examples=True)
    assert card["localiser"] is None
    kept = describe_action(library, "leaping")["examples"]
    assert len({row["video_id"] for row in kept if row["origin"] == "spans"}) == 8
    assert [row["video_id"] for row in kept if row["origin"] == "feedback"] == [11]
    library.close()


def test_carried_to_another_library_it_finds_the_same(archive, leaping, tmp_path):
    library, _, _ = archive
    content = action_heads.export_head(library, "leaping")
    other, _ = made_library(tmp_path / "other", range(LABELLED, LABELLED + 3))
    assert action_heads.import_head(other, content).name == "leaping"
    paths = {f"/archive/{seed}.mp4" for seed in range(LABELLED, LABELLED + 3)}
    expected = [row for row in found(library, "leaping") if row[0] in paths]
    assert len(expected) > 5
    for row, wanted in zip(found(other, "leaping"), expected, strict=True):
        assert row[0] == wanted[0] and row[1:] == pytest.approx(wanted[1:], abs=1e-4)
    before = found(other, "leaping", min_confidence=0)
    action_heads.rename_action(other, "leaping", "Jumping About")
    assert found(other, "jumping about", min_confidence=0) == before
    tagging.Tagger(other).retag()
    assert [row[:2] for row in found(other, "jumping about", min_confidence=0)] == [row[:2] for row in before]
    action_heads.remove_action(other, "jumping about")
    assert not list_actions(other)["actions"]
    other.close()


def changed(content: bytes, **changes) -> bytes:
    arrays, card = unpack(content, "localiser", {})
    return pack(arrays, **(card | changes))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"encoder_id": "another"}, EncoderMismatchError),
        ({"threshold": 2.0}, HeadFileError),
        ({"threshold": "x"}, HeadFileError),
        ({"calibration": [float("inf"), 0.0]}, HeadFileError),
        ({"actions": ["LEAPING"]}, HeadFileError),
        ({"actions": ["kinetics:r3d_18"]}, InvalidQueryError),
        ({"actions": []}, HeadFileError),
        ({"kind": "track"}, HeadFileError),
    ],
)
def test_files_that_are_no_head_for_this_library(archive, leaping, tmp_path, changes, error):
    library, _, _ = archive
    before = list_actions(library)["actions"]
    with pytest.raises(error):
        action_heads.import_head(library, changed(action_heads.export_head(library, "leaping"), **changes))
    assert list_actions(library)["actions"] == before


# --- labelled spans as examples ----------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def small(request, tmp_path) -> Iterator[Library]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    library, _ = made_library(tmp_path / "library", range(2), url=url)
    yield library
    library.close()


def spans_file(folder: Path, rows: Sequence[tuple[str, float, float]], video_id: int = 1) -> Path:
    file = folder / "rows.json"
    file.write_text(
        json.dumps(
            [
                {"video_id": video_id, "start_seconds": start, "end_seconds": end, "action": label}
                for label, start, end in rows
            ]
        )
    )
    return file


@pytest.mark.parametrize(
    ("taught", "expected"),
    [("dancing", [True, True, False]), ("dancing ballet", [False, True, False])],
)
def test_a_synonym_in_the_table_counts_from_the_particular_to_the_general_alone(
    small, tmp_path, taught, expected
):
    rows = [("dancing", 0, 4), ("dancing ballet", 8, 12), ("swimming", 20, 24)]
    read = examples_from_spans(small, spans_file(tmp_path, rows), taught)
    assert [one.is_positive for one in read] == expected
    assert {one.origin for one in read} == {"spans"}


def test_another_label_beside_the_action_is_no_example_of_what_it_is_not(small, tmp_path):
    rows = [("leaping", 10, 14), ("being outside", 0, 30), ("being inside", 30, 40)]
    read = examples_from_spans(small, spans_file(tmp_path, rows), "leaping")
    assert [(one.is_positive, one.span) for one in read] == [(True, (10, 14)), (False, (30, 40))]


def test_corrections_leave_labelled_borders(small, tmp_path):
    (long, short, apart) = rows = [("leaping", 2.5, 14.0), ("leaping", 16.5, 19.5), ("leaping", 30, 34)]
    with small.write() as catalog:
        for example in examples_from_spans(small, spans_file(tmp_path, rows), "leaping"):
            catalog.actions.add_example("leaping", example)
        clips = [clip.id for clip in catalog.clips_of_video(1)]
    correcting.correct_clip(small, clips[1], "leaping", is_positive=True)  # 4 to 8 s: known, with its borders
    correcting.correct_clip(small, clips[3], "leaping", is_positive=False)  # 12 to 16 s: 2 s of the first
    correcting.correct_clip(small, clips[4], "leaping", is_positive=False)  # 16 to 20 s: all of the second
    correcting.correct_clip(small, clips[12], "leaping", is_positive=True)  # 48 to 52 s: nothing was labelled
    with small.read() as catalog:
        kept = {(one.origin, one.is_positive, one.span) for one in catalog.actions.examples("leaping")}
    assert kept == {
        *(("spans", True, row[1:]) for row in (long, short, apart)),
        ("feedback", True, (4.0, 8.0)),
        ("feedback", False, (12.0, 16.0)),
        ("feedback", False, (16.0, 20.0)),
        ("feedback", True, (48.0, 52.0)),
    }
    correcting.correct_clip(small, clips[1], "leaping", is_positive=False)  # on second thoughts; 4 s of 11.5
    with small.read() as catalog:
        kept = {(one.origin, one.is_positive, one.span) for one in catalog.actions.examples("leaping")}
    assert ("spans", True, long[1:]) in kept and ("feedback", False, (4.0, 8.0)) in kept
    assert ("feedback", True, (4.0, 8.0)) not in kept


def test_names_of_videos_that_two_share_or_none_has(small, tmp_path):
    add(small, "/elsewhere/0.mov", 3)
    file = tmp_path / "net.json"
    for name, error in (("0", InvalidQueryError), ("7", NotFoundError), ("chive/1", NotFoundError)):
        file.write_text(json.dumps({"database": {name: [{"segment": [1, 5], "label": "leaping"}]}}))
        with pytest.raises(error, match=name):
            examples_from_spans(small, file, "leaping")
    for name, video_id in (("archive/0", 1), ("0.mov", 3), ("/archive/1.mp4", 2)):
        file.write_text(json.dumps({"database": {name: [{"segment": [1, 5], "label": "leaping"}]}}))
        assert [one.video_id for one in examples_from_spans(small, file, "leaping")] == [video_id]


def test_videos_that_a_file_names_without_a_span_show_nothing_of_it(small, tmp_path):
    file = tmp_path / "net.json"
    leap = {"segment": [10, 14], "label": "leaping"}
    file.write_text(json.dumps({"database": {"0": {"annotations": [leap]}, "1": {"annotations": []}}}))
    read = examples_from_spans(small, file, "leaping")
    # A minute, as a video of the archive is long.
    assert [(one.video_id, one.span, one.is_positive, one.origin) for one in read] == [
        (1, (10, 14), True, "spans"),
        (2, (0, 60), False, "spans"),
    ]
    with small.write() as catalog:
        for example in read:
            catalog.actions.add_example("leaping", example)
        clip = catalog.clips_of_video(2)[3].id
    correcting.correct_clip(small, clip, "leaping", is_positive=False)  # which says the same
    correcting.correct_clip(small, clip, "leaping", is_positive=False)
    with small.read() as catalog:
        kept = catalog.actions.examples("leaping")
    assert [(one.video_id, one.span) for one in kept if one.origin == "spans"] == [
        (1, (10, 14)),
        (2, (0, 60)),
    ]


def test_videos_without_the_action_count_as_labelled(tmp_path):
    library, truth = made_library(tmp_path / "library", range(12))
    for path in list(truth)[9:]:
        truth[path] = []
    file = written(tmp_path / "spans.json", truth, 12)
    examples = examples_from_spans(library, file, "leaping")
    with library.read() as catalog:
        labelled = gather_labelled(catalog, "leaping", examples, DIM)
    assert len(labelled) == 12 and [len(one.spans) for one in labelled[9:]] == [0, 0, 0]
    library.close()


def test_names_as_activitynet_gives_them_and_videos_that_are_not_here(small, tmp_path):
    add(small, "/net/v_abc.mp4", 3)
    add(small, "/net/xyz.mp4", 4)
    leap = [{"segment": [1, 5], "label": "leaping"}]
    file = tmp_path / "net.json"
    names = ["abc", "v_xyz", "gone1", "gone2", "gone3", "v_gone4"]
    file.write_text(json.dumps({"database": {name: {"annotations": leap} for name in names}}))
    said: list[str] = []
    read = examples_from_spans(small, file, "leaping", say=said.append)
    assert [one.video_id for one in read] == [3, 4]
    (line,) = said
    assert line.startswith("4 of 6 videos") and line.endswith("gone1, gone2, gone3, ...")
    file.write_text(json.dumps({"database": {"gone": {"annotations": []}}}))
    with pytest.raises(NotFoundError, match=r"none of the videos.*gone"):
        examples_from_spans(small, file, "leaping")
    said.clear()
    examples_from_spans(small, spans_file(tmp_path, [("leaping", 1, 5)]), "knitting", say=said.append)
    assert "labels no 'knitting'; its labels are: leaping" in said[0]


def test_the_commands_say_which_head_was_kept(archive, leaping):
    library, _, _ = archive
    figures = leaping["localiser"]
    shown = CliRunner().invoke(make_app(), ["actions", "show", "leaping", "--library", str(library.folder)])
    (line,) = [one for one in shown.stdout.splitlines() if one.startswith("borders")]
    assert line.startswith("borders learned") and f"of {LABELLED} labelled" in line
    assert f"{figures['held_out_map']:.2f} with" in line
    assert f"{figures['grouping_held_out_map']:.2f} without" in line


def test_taught_on_the_command_line(tmp_path):
    library, truth = made_library(tmp_path / "library", range(8), leaps=0.0)
    library.close()
    file = written(tmp_path / "spans.json", truth, 6)
    words = ["actions", "teach", "resting", "--spans", str(file), "--library", str(tmp_path / "library")]
    taught = CliRunner().invoke(make_app(), [*words, "--json"])
    document = json.loads(taught.stdout)
    assert taught.exit_code == 0 and document["report"]["localiser"] is None
    assert document["report"]["positives"] == sum(len(spans) for spans in list(truth.values())[:6])
    (line,) = [one for one in CliRunner().invoke(make_app(), words).stderr.splitlines() if "borders" in one]
    showing = sum(any(label == "resting" for label, _, _ in spans) for spans in list(truth.values())[:6])
    assert line.endswith(f"five of them with the action; here 6 and {showing}")


def test_finding_what_such_a_head_found_needs_no_torch(archive, leaping):
    library, _, _ = archive
    for words in (["find", "--action", "leaping"], ["actions", "list"], ["actions", "show", "leaping"]):
        code = (
            "import sys\nfrom indexer.commands.app import make_app\n"
            f"make_app()({[*words, '--json', '--library', str(library.folder)]!r}, standalone_mode=False)\n"
            "sys.exit(3 if 'torch' in sys.modules else 0)"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ran.returncode == 0 and "leaping" in ran.stdout, ran.stderr
