"""`indexer find`, `indexer actions` and `ingest --actions`, through the command line and on real files."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from made_actions import add, archive, clips_of, kept, make
from model_folders import make_openclip_folder, make_video_folder
from PIL import Image
from programs import MODEL_LIBRARIES, ROOT, modules_after, run_indexer, run_python
from safetensors.torch import save_file
from samples import shipped
from torchvision.models import get_model
from video_factory import moving, write_video

from encoders.heads.taught import TaughtHead
from indexer.ingest.pipeline import IngestOptions, ingest
from search.actions import correcting, naming, tagging, teaching
from search.actions import heads as action_heads
from search.actions.listing import list_actions
from search.library import Library
from search.types import Filters

HOSTILE = "/archive/[bold]x[/]\n\x1b[31m=cmd,\"';--🎬.mp4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A library of ten videos in which "running" was taught; nobody may change it."""
    folder = tmp_path_factory.mktemp("find") / "library"
    library = Library(folder, create=True)
    make(library)
    videos = archive(library)
    add(library, HOSTILE, "oRo", seed=50)
    from indexer.examples.lessons import examples_from_clips

    teaching.teach(
        library, "running", examples_from_clips(library, clips_of(library, videos, (2, 3)), is_positive=True)
    )
    width = len(
        tagging.Tagger(library).load([naming.read_known_actions(library).find_head("running")])[1].weights
    )
    never = TaughtHead("levitating [/] over", "made", np.zeros(width, np.float32), -50.0, 0.5)
    action_heads.import_head(library, never.to_bytes())
    library.index_keeper.save()
    library.close()
    return folder


@pytest.fixture
def own(tmp_path) -> Iterator[Path]:
    """A library that may be changed, with nothing taught."""
    library = Library(tmp_path / "own", create=True)
    make(library)
    archive(library)
    library.close()
    yield tmp_path / "own"


def ids(folder: Path, at: tuple[int, ...], first: int = 0, last: int = 10) -> str:
    library = Library(folder)
    with library.read() as catalog:
        videos = [video.id for video in catalog.list_videos()][first:last]
    found = clips_of(library, videos, at)
    library.close()
    return ",".join(map(str, found))


# --- find ----------------------------------------------------------------------------------------------


def test_find_as_a_table_as_json_and_as_csv(indexer, folder):
    ran = indexer("find", "--action", "run", "--json", library=folder)
    document = json.loads(ran.out)
    assert (ran.code, document["total"], document["how"]) == (0, 11, "exact")
    assert document["names"] == ["running"]
    first = document["segments"][0]
    assert set(first) >= {"video_id", "path", "start_seconds", "end_seconds", "action", "confidence", "head"}
    assert (first["action"], first["head"]) == ("running", "taught")
    keys = [(one["path"].encode(), one["start_seconds"]) for one in document["segments"]]
    assert keys == sorted(keys) and len(keys) == 11
    rows = list(csv.DictReader(io.StringIO(indexer("find", "-a", "running", "--csv", library=folder).out)))
    assert [int(row["video_id"]) for row in rows] == [one["video_id"] for one in document["segments"]]
    table = indexer("find", "-a", "running", library=folder)
    assert table.code == 0
    assert table.out.count("taught") == 11 and "11 segments" in table.out
    everything = indexer("find", "-a", "running", "--min-confidence", "0", "--json", library=folder)
    more = json.loads(everything.out)["total"] - 11
    assert (f"{more} more less surely" in table.err) == (more > 0)
    assert "0:08.0-0:16.0" in table.out  # where the runs of these videos are


def test_bounds(indexer, folder):
    def total(*words: object) -> int:
        return json.loads(indexer("find", "-a", "running", "--json", *words, library=folder).out)["total"]

    assert total("--min-duration", 6) == 10  # the run of the hostile one lasts 4 s
    assert total("--path-prefix", "/archive/0/") == 5
    assert total("--min-confidence", 1) == 0
    assert indexer("find", "-a", "running", "--min-confidence", "1.5", library=folder).code == 2


def test_hostile_names_stay_in_their_line(indexer, folder):
    table = indexer("find", "-a", "running", "--path-prefix", "/archive/[*", library=folder)
    assert "\x1b" not in table.out and "[bold]x[/]" in table.out and "\\n" in table.out
    ran = indexer("find", "-a", "running", "--json", "--path-prefix", "/archive/[*", library=folder)
    assert json.loads(ran.out)["segments"][0]["path"] == HOSTILE


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.otio", "A.EDL", "a.vtt"])
def test_exports_are_files_that_others_read(indexer, folder, tmp_path, name):
    import opentimelineio
    import webvtt

    path = tmp_path / name
    prefix = "/archive/0/0*" if name.endswith("vtt") else "/archive"
    ran = indexer("find", "-a", "running", "--export", path, "--path-prefix", prefix, library=folder)
    assert (ran.code, ran.out) == (0, "")
    assert str(path) in ran.err
    text = path.read_text(encoding="utf-8")
    if name == "a.csv":
        assert len(list(csv.DictReader(io.StringIO(text, newline="")))) == 11
    elif name == "a.json":
        assert sum(map(len, json.loads(text)["results"].values())) == 11
    elif name == "a.vtt":
        (cue,) = webvtt.from_string(text)
        assert cue.start_in_seconds == pytest.approx(8, abs=1) and "running" in cue.text
    elif name == "a.otio":
        timeline = opentimelineio.adapters.read_from_file(str(path))
        assert len(list(timeline.find_clips())) == 11
    else:
        assert text.count("FROM CLIP NAME") == 11
    assert list(tmp_path.iterdir()) == [path]


def test_exports_that_cannot_be(indexer, folder, tmp_path):
    ran = indexer("find", "-a", "running", "--export", tmp_path / "a.xyz", library=folder)
    assert ran.code == 2 and ".otio" in ran.err
    ran = indexer("find", "-a", "running", "--export", tmp_path / "a.vtt", library=folder)
    assert ran.code == 2 and "--path-prefix" in ran.err
    ran = indexer("find", "-a", "running", "--export", tmp_path / "nowhere" / "a.csv", library=folder)
    assert ran.code == 2 and "cannot be written" in ran.err
    assert indexer("find", "-a", "running", "--json", "--csv", library=folder).code == 2
    assert not list(tmp_path.iterdir())


def test_an_action_that_nothing_knows(indexer, folder, own):
    ran = indexer("find", "-a", "knitting", "--json", library=folder)
    assert (ran.code, ran.out) == (2, "")
    for words in ("'knitting'", "running", "levitating", 'actions teach "knitting" --from'):
        assert words in ran.err
    ran = indexer("find", "-a", "knitting", library=own)
    assert ran.code == 2 and "nothing was taught yet" in ran.err
    ran = indexer("search", "--like", "1", "--action", "knitting", library=folder)
    assert ran.code == 2 and "running" in ran.err
    assert indexer("find", "-a", " ", library=folder).code == 2


def test_a_known_action_that_is_nowhere(indexer, folder):
    ran = indexer("find", "-a", "levitating over", library=folder)
    assert ran.code == 0 and "no segment" in ran.out
    ran = indexer("find", "-a", "levitating over", "--json", library=folder)
    assert ran.code == 0 and json.loads(ran.out)["segments"] == []
    ran = indexer("find", "-a", "levitating over", "--csv", library=folder)
    assert ran.code == 0 and len(ran.out.splitlines()) == 1


def test_the_name_that_was_understood_is_shown(indexer, folder):
    ran = indexer("find", "-a", "jogging", "--json", library=folder)
    assert json.loads(ran.out)["how"] == "synonym"
    assert "jogging -> running" in ran.err


def test_another_name_is_said_where_it_is_taken_for_a_taught_one(indexer, folder, own):
    ran = indexer("actions", "show", "jogging", "--json", library=folder)
    assert (ran.code, json.loads(ran.out)["action"]) == (0, "running")
    assert "jogging -> running" in ran.err
    assert "->" not in indexer("actions", "show", "Running", library=folder).err
    clips = ids(own, (2, 3))
    assert indexer("actions", "teach", "running", "--clips", clips, library=own).code == 0
    ran = indexer("actions", "reject", clips.split(",")[0], "jogging", library=own)
    assert ran.code == 0 and "jogging -> running" in ran.err and "19 examples of running and 1" in ran.err
    assert "->" not in indexer("actions", "confirm", clips.split(",")[0], "hopping", library=own).err


def test_searching_under_an_action(indexer, folder):
    ran = indexer("search", "--like", "1", "--action", "running", "-k", "50", "--json", library=folder)
    hits = json.loads(ran.out)["hits"]
    assert ran.code == 0 and len(hits) >= 21
    assert all("running" in [tag["action"] for tag in hit["actions"]] for hit in hits)
    assert "running 0." in indexer("search", "--like", "1", "--action", "running", library=folder).out


def test_finding_and_listing_load_no_model(folder):
    for words in (["find", "-a", "running"], ["actions", "list"], ["actions", "show", "running"], ["status"]):
        loaded = modules_after(*words, "--library", folder)
        assert "sqlalchemy" in loaded  # else nothing was measured
        assert not loaded & (MODEL_LIBRARIES | {"sklearn", "scipy", "cv2", "alembic"}), words
        assert "faiss" not in loaded  # no vector is compared with any


def test_a_library_that_is_not_there(indexer, tmp_path):
    for words in (["find", "-a", "running"], ["actions", "list"], ["actions", "teach", "x", "--clips", "1"]):
        ran = indexer(*words, library=tmp_path / "none")
        assert ran.code == 1 and "there is no library" in ran.err
    assert not (tmp_path / "none").exists()


# --- actions -------------------------------------------------------------------------------------------


def test_from_teaching_to_forgetting(indexer, own, tmp_path):
    ran = indexer("actions", "teach", "Running", "--clips", ids(own, (2, 3)), "--json", library=own)
    document = json.loads(ran.out)
    assert (ran.code, document["action"], document["segments"]) == (0, "running", 10)
    assert document["report"]["positives"] == 20
    listed = json.loads(indexer("actions", "list", "--json", library=own).out)["actions"]
    assert [(one["action"], one["head"], one["segments"]) for one in listed] == [("running", "taught", 10)]
    assert listed[0]["seconds"] == pytest.approx(80, abs=10)
    shown = json.loads(indexer("actions", "show", "running", "--json", library=own).out)
    assert len(shown["examples"]) == 20
    clip = ids(own, (2,), 0, 1)
    assert indexer("actions", "reject", clip, "running", library=own).code == 0
    assert indexer("actions", "confirm", ids(own, (3,), 1, 2), "running", library=own).code == 0
    ran = indexer("actions", "teach", "running", library=own)
    assert ran.code == 0 and "held out" in ran.out
    assert json.loads(indexer("actions", "retag", "--json", library=own).out) == {"videos": 10}
    file = tmp_path / "running.safetensors"
    assert indexer("actions", "export", "running", file, library=own).code == 0
    assert indexer("actions", "rename", "running", "sprinting fast", library=own).code == 0
    ran = indexer("actions", "import", file, library=own)
    assert ran.code == 0 and "10 segments here" in ran.err
    assert "taught, imported" in indexer("actions", "list", library=own).out
    listed = json.loads(indexer("actions", "list", "--json", library=own).out)["actions"]
    assert {one["action"] for one in listed} == {"running", "sprinting fast"}
    for name in ("running", "sprinting fast"):
        assert indexer("actions", "remove", name, library=own).code == 0
    assert "no action is known yet" in indexer("actions", "list", library=own).out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["teach", "running"], 1, "no example"),
        (["undo", "running"], 2, "none to take back"),
        (["suggest", "running"], 2, "nothing was taught"),
        (["teach", "running", "--clips", "1,x"], 2, "separated by commas"),
        (["teach", "running", "--clips", "1,999999"], 1, "999999"),
        (["teach", "a\nb", "--clips", "1"], 2, "control"),
        (["teach", "running", "--from", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (["show", "running"], 2, "nothing was taught"),
        (["remove", "running"], 2, "nothing was taught"),
        (["rename", "running", "x"], 2, "nothing was taught"),
        (["export", "running", "out"], 2, "nothing was taught"),
        (["confirm", "424242", "running"], 1, "424242"),
        (["import", __file__], 1, "no head"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(indexer, own, words, code, said):
    before = (own / "catalog.sqlite3").read_bytes()
    ran = indexer("actions", *words, library=own)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err and "REELSEEK_TRACEBACK" not in ran.err
    assert (own / "catalog.sqlite3").read_bytes() == before


def test_every_change_is_told_as_json(indexer, own, tmp_path):
    clips = ids(own, (2, 3))
    assert indexer("actions", "teach", "running", "--clips", clips, library=own).code == 0
    file = tmp_path / "a.safetensors"
    clip = clips.split(",")[0]

    def told(*words: object) -> dict:
        ran = indexer("actions", *words, "--json", library=own)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    kept = {"action": "running", "positive": 19, "negative": 1, "taught": True, "removed": 1, "note": None}
    assert told("reject", clip, "running").items() >= kept.items()
    assert told("confirm", clip, "running").items() >= (kept | {"positive": 20, "negative": 0}).items()
    document = told("export", "running", file)
    assert document == {"action": "running", "file": str(file), "size_bytes": file.stat().st_size}
    assert told("rename", "running", "Jogging") == {"action": "jogging", "was": "running"}
    document = told("import", file)
    assert (document["action"], document["segments"]) == ("running", 10)
    assert document["report"]["imported"] is True and document["report"]["positives"] == 20
    ran = indexer("actions", "import", file, "--json", library=own)
    assert (ran.code, ran.out) == (2, "") and "--replace" in ran.err
    assert told("import", file, "--replace")["action"] == "running"
    assert told("remove", "jogging") == {"action": "jogging", "examples": 20}


def test_corrections_of_what_is_not_taught_yet(indexer, own):
    ran = indexer("actions", "confirm", 22, "nosuch", library=own)
    assert "kept for a first lesson: nosuch is not taught yet, 1 example so far" in ran.err
    ran = indexer("actions", "list", library=own)
    assert ran.out.splitlines()[-1] == "corrected, and not taught yet: nosuch (1 + 0 not)"
    ran = indexer("actions", "remove", "nosuch", library=own)
    assert ran.code == 0 and "forgot nosuch and 1 example" in ran.err
    assert "nosuch" not in indexer("actions", "list", library=own).out
    assert indexer("actions", "remove", "nosuch", library=own).code == 2


def test_the_same_clips_on_both_sides_are_named(indexer, own):
    clips = ids(own, (2, 3))
    ran = indexer("actions", "teach", "few", "--clips", clips, "--not-clips", clips, library=own)
    assert ran.code == 2 and "given both as 'few' and as what it is not: clip " in ran.err


def test_examples_that_go_with_their_video_are_said(indexer, own):
    assert indexer("actions", "teach", "running", "--clips", ids(own, (2, 3)), library=own).code == 0
    ran = indexer("remove", "/archive/0/0.mp4", library=own)
    assert "removed 1 video, 6 clips" in ran.err and "2 examples of running went with it" in ran.err


def test_no_segment_is_blamed_on_what_was_asked(indexer, folder, tmp_path):
    for bound in (("--path-prefix", "/nowhere"), ("--min-duration", "999")):
        ran = indexer("find", "-a", "running", *bound, library=folder)
        assert ran.code == 0 and "within what was asked for" in ran.out and "surely" not in ran.out
    ran = indexer("find", "-a", "levitating over", "--export", tmp_path / "a.csv", library=folder)
    assert ran.code == 0 and "0 segments written" in ran.err and "no segment was found" in ran.err
    one = ("find", "-a", "running", "--path-prefix", "/archive/0/0.mp4", "--export", tmp_path / "b.csv")
    assert "1 segment written" in indexer(*one, library=folder).err
    ran = indexer("search", "--action", "running", library=folder)
    assert ran.code == 2 and 'indexer find --action "running"' in ran.err


@pytest.mark.parametrize("is_tagging", [False, True])
def test_a_lesson_that_is_interrupted_says_what_it_left(own, tmp_path, is_tagging):
    """By a signal, to a program of its own, that comes while it works."""
    code = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "def interrupt(*_):\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "import encoders.lessons.lesson, search.actions.tagging\n"
        "from indexer.commands import app as cli\n"
        "def trace(frame, event, arg):\n"
        f"    if frame.f_code.co_name == {('_look_at' if is_tagging else 'choose')!r}:\n"
        "        sys.setprofile(None)\n        interrupt()\n"
        "import threading\nsys.setprofile(trace)\nthreading.setprofile(trace)\n"
        f"sys.argv = ['indexer', 'actions', 'teach', 'running', '--clips', {ids(own, (2, 3))!r},"
        f" '--library', {str(own)!r}]\ncli.main()\n"
    )
    ran = run_python(code)
    assert (ran.returncode, ran.stdout) == (130, ""), ran.stderr
    expected = "interrupted; " + ("the examples are kept, and nothing else" if is_tagging else "nothing")
    assert ran.stderr.splitlines()[-1] == f"error: {expected} was changed"
    library = Library(own)
    assert not list_actions(library)["actions"]
    assert bool(list_actions(library)["untaught"]) == is_tagging
    library.close()


# --- the whole way, on real files ------------------------------------------------------------------------


OTHERS = ("coffee.png", "rocket.jpg", "motorcycle_left.png", "astronaut.png", "camera.png")


def test_teaching_from_files_with_the_offline_encoder(indexer, tmp_path):
    """A cat in a panning picture, five times and elsewhere; other pictures around it."""
    data = shipped("skimage/data")
    folder, examples, unlike = (tmp_path / name for name in ("archive", "examples", "unlike"))
    for made in (folder, examples, unlike):
        made.mkdir()
    cat = panned(data / "chelsea.png")
    others = [panned(data / name) for name in OTHERS]
    for number in range(6):
        write_video(examples / f"{number}.mp4", cat(number, 60), fps=25)
        write_video(unlike / f"{number}.mp4", others[number % 5](number, 60), fps=25)
    for number in range(3):
        frames = others[number](0, 100) + cat(20 + number, 100) + others[number + 1](5, 100)
        write_video(folder / f"{number}.mp4", frames, fps=25)
    write_video(folder / "none.mp4", others[4](0, 150) + others[0](3, 100), fps=25)
    library = tmp_path / "library"
    assert indexer("ingest", folder, "--encoder", "offline", "--device", "cpu", library=library).code == 0
    lesson = ("actions", "teach", "looking like a cat", "--from", examples, "--not", unlike)
    ran = indexer(*lesson, "--json", library=library)
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)["report"]
    assert (report["positives"], report["negatives"]) == (6, 6)
    ran = indexer("find", "-a", "looking like a cat", "--json", library=library)
    found = json.loads(ran.out)["segments"]
    assert [os.path.basename(one["path"]) for one in found] == ["0.mp4", "1.mp4", "2.mp4"]
    for one in found:
        assert (one["start_seconds"], one["end_seconds"]) == pytest.approx((4.0, 8.0), abs=0.5)
    # A new file is tagged as it comes; a file that changes is tagged anew.
    write_video(folder / "new.mp4", cat(40, 75) + others[2](0, 75), fps=25)
    write_video(folder / "0.mp4", others[0](0, 130), fps=25)
    assert indexer("ingest", folder, "--device", "cpu", library=library).code == 0
    found = json.loads(indexer("find", "-a", "looking like a cat", "--json", library=library).out)["segments"]
    assert [os.path.basename(one["path"]) for one in found] == ["1.mp4", "2.mp4", "new.mp4"]
    assert (found[2]["start_seconds"], found[2]["end_seconds"]) == pytest.approx((0, 3), abs=0.5)
    assert indexer("remove", folder / "new.mp4", library=library).code == 0
    assert (
        json.loads(indexer("find", "-a", "looking like a cat", "--json", library=library).out)["total"] == 2
    )
    # With `offline` nothing is tagged by its name unless somebody asks.
    ran = indexer("find", "-a", "riding a bike", library=library)
    assert ran.code == 2 and "looking like a cat" in ran.err


def panned(path: Path):
    with Image.open(path) as opened:
        picture = np.asarray(opened.convert("RGB").resize((288, 216)))

    def frames(first: int, count: int) -> list[np.ndarray]:
        tops = [(first * 3 + number // 3) % 60 for number in range(count)]
        return [np.ascontiguousarray(picture[top // 2 : top // 2 + 144, top : top + 192]) for top in tops]

    return frames


# --- zero-shot at ingest ---------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path) -> Path:
    (tmp_path / "films").mkdir()
    return write_video(tmp_path / "films" / "a.mp4", moving(55, seed=3), fps=25)


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory) -> str:
    return f"openclip:local-dir:{make_openclip_folder(tmp_path_factory.mktemp('clip'))}"


def kinds(folder: Path) -> dict[str, str]:
    library = Library(folder)
    with library.read() as catalog:
        found = {head.kind: head.name for head in catalog.actions.heads(active=None)}
    library.close()
    return found


def test_with_open_clip_the_names_of_kinetics_are_known_at_once(indexer, film, clip_model, tmp_path):
    library = tmp_path / "library"
    ran = indexer("ingest", film.parent, "--encoder", clip_model, "--device", "cpu", library=library)
    assert ran.code == 0, ran.err
    heads = json.loads(indexer("actions", "list", "--json", library=library).out)["heads"]
    assert heads == [{"head": "zero-shot", "kind": "zero-shot", "names": 400}]
    ran = indexer("find", "-a", "running", "--json", library=library)
    document = json.loads(ran.out)
    assert ran.code == 0 and "jogging" in document["names"] and document["how"] == "synonym"
    # A name that no head knows is answered by the words alone, and marked so.
    ran = indexer("find", "-a", "polishing silver cutlery", "--json", library=library)
    assert ran.code == 0 and json.loads(ran.out)["how"] == "zero-shot"
    assert "zero-shot" in ran.err
    assert indexer("ingest", film.parent, "--actions", "none", "--device", "cpu", library=library).code == 0
    assert kinds(library) == {}
    assert indexer("find", "-a", "running", library=library).code == 2


def test_a_first_ingest_that_goes_wrong_decides_nothing(indexer, film, clip_model, tmp_path):
    library = tmp_path / "library"
    ran = indexer("ingest", film.parent, "--encoder", clip_model, "--actions", "kinetics:nonsense",
                  library=library)  # fmt: skip
    assert ran.code in (1, 2) and "nonsense" in ran.err
    assert (
        indexer("ingest", film.parent, "--encoder", clip_model, "--device", "cpu", library=library).code == 0
    )
    assert kinds(library) == {"zero-shot": "zero-shot"}


def test_with_offline_names_are_only_known_when_asked(indexer, film, tmp_path):
    library, names = tmp_path / "library", tmp_path / "names.txt"
    words = ("ingest", film.parent, "--device", "cpu")
    assert indexer(*words, "--encoder", "offline", library=library).code == 0
    assert kinds(library) == {}
    names.write_text("# my names\nriding a bike\n\nA Cat\n", encoding="utf-8")
    ran = indexer(*words, "--actions", f"zero-shot:{names}", library=library)
    assert ran.code == 0 and "too weak" in ran.err and "--actions none" in ran.err
    assert json.loads(indexer("actions", "list", "--json", library=library).out)["heads"][0]["names"] == 2
    assert indexer("find", "-a", "a cat", library=library).code == 0
    # Its words are weak: finding nothing by them is no answer.
    assert indexer("find", "-a", "zzgrblfx", library=library).code == 2
    for wrong in (f"zero-shot:{names}x", "zero shot", "kinetics"):
        ran = indexer(*words, "--actions", wrong, library=library)
        assert ran.code == 2 and wrong.partition(":")[0] in ran.err + "zero-shot"
    names.write_text("# nothing\n")
    assert indexer(*words, "--actions", f"zero-shot:{names}", library=library).code == 2
    assert indexer(*words, "--actions", "none", "--actions", "zero-shot", library=library).code == 2
    assert kinds(library) == {"zero-shot": "zero-shot"}


# --- backbones at ingest ---------------------------------------------------------------------------------

WINNER = 123


def says_always(winner: int, path: Path, architecture: str = "r3d_18") -> Path:
    """Random weights that say the same class to whatever they see."""
    torch.manual_seed(1)
    network = get_model(architecture, weights=None)
    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.bias.zero_()
        network.fc.bias[winner] = 12.0
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return says_always(WINNER, tmp_path_factory.mktemp("kinetics") / "Always The Same.safetensors")


def kinetics_name(number: int) -> str:
    from torchvision.models.video import R3D_18_Weights

    return R3D_18_Weights.KINETICS400_V1.meta["categories"][number].lower()


def heads_by_path(indexer, name: str, library: Path) -> dict[str, str]:
    """Whose segments of an action there are, by the video's file name."""
    ran = indexer("find", "-a", name, "--json", library=library)
    assert ran.code == 0, ran.err
    return {os.path.basename(one["path"]): one["head"] for one in json.loads(ran.out)["segments"]}


def test_a_backbone_names_actions_while_it_is_indexed(indexer, film, checkpoint, tmp_path):
    winner = kinetics_name(WINNER)
    library, spec = tmp_path / "library", f"kinetics:r3d_18/{checkpoint}"
    words = ("ingest", film.parent, "--device", "cpu")
    ran = indexer(*words, "--encoder", "offline", "--actions", spec, library=library)
    assert ran.code == 0, ran.err
    document = json.loads(indexer("find", "-a", winner, "--json", library=library).out)
    (segment,) = document["segments"]
    assert (segment["head"], segment["action"]) == (spec, winner)
    assert (segment["start_seconds"], segment["end_seconds"]) == pytest.approx((0.0, 2.2), abs=0.05)
    # exp(12) against 399 times exp(0)
    assert segment["confidence"] == pytest.approx(np.exp(12) / (np.exp(12) + 399), abs=2e-3)
    second = write_video(film.parent / "b.mp4", moving(50, seed=8), fps=25)
    ran = indexer(*words, "--json", library=library)
    assert (json.loads(ran.out)["indexed"], json.loads(ran.out)["unchanged"]) == (1, 1)
    document = json.loads(indexer("find", "-a", winner, "--json", library=library).out)
    assert [one["path"] for one in document["segments"]] == [str(film), str(second)]
    assert indexer("actions", "retag", library=library).code == 0  # it has no stored features
    assert json.loads(indexer("find", "-a", winner, "--json", library=library).out)["total"] == 2
    assert indexer("actions", "show", spec, library=library).code == 0
    hits = json.loads(indexer("search", "--like", 1, "--action", winner, "--json", library=library).out)[
        "hits"
    ]
    assert [hit["actions"][0]["action"] for hit in hits] == [winner] * len(hits) and hits
    for wrong, why in (
        (["--sampling", "keyframes"], "movement"),
        (["--clip-seconds", "3000"], "make the clips shorter"),
        (["--sampling", "keyframes", "--actions", spec], "movement"),
    ):
        ran = indexer(*words, *wrong, library=library)
        assert ran.code == 2 and why in ran.err and "--actions" in ran.err, wrong
        assert "REELSEEK_TRACEBACK" not in ran.err
    assert json.loads(indexer("find", "-a", winner, "--json", library=library).out)["total"] == 2
    # As it says: key frames and no backbone go together.
    assert indexer(*words, "--sampling", "keyframes", "--actions", "none", library=library).code == 0
    assert indexer("find", "-a", winner, library=library).code == 2


def test_other_weights_at_the_same_place_look_at_every_video_again(indexer, film, tmp_path):
    weights = says_always(WINNER, tmp_path / "w.safetensors")
    library, spec = tmp_path / "library", f"kinetics:r3d_18/{weights}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = write_video(elsewhere / "b.mp4", moving(50, seed=8), fps=25)
    words = ("ingest", "--device", "cpu", "--json")
    ran = indexer(*words, film, other, "--encoder", "offline", "--actions", spec, library=library)
    assert json.loads(ran.out)["indexed"] == 2 and "not looked at" not in ran.err
    ran = indexer(*words, film, other, library=library)
    assert json.loads(ran.out)["unchanged"] == 2 and "not looked at" not in ran.err
    assert heads_by_path(indexer, kinetics_name(WINNER), library) == {"a.mp4": spec, "b.mp4": spec}
    says_always(7, weights)
    ran = indexer(*words, film, library=library)
    assert (json.loads(ran.out)["indexed"], json.loads(ran.out)["unchanged"]) == (1, 0)
    # What the old weights said is nowhere left, and which videos nobody has looked at is said.
    assert heads_by_path(indexer, kinetics_name(WINNER), library) == {}
    assert heads_by_path(indexer, kinetics_name(7), library) == {"a.mp4": spec}
    assert "has other weights than before" in ran.err
    assert "1 videos of this library were not looked at" in ran.err and "Ingest them as well" in ran.err
    ran = indexer(*words, film, other, library=library)
    assert (json.loads(ran.out)["indexed"], json.loads(ran.out)["unchanged"]) == (1, 1)
    assert "not looked at" not in ran.err
    assert heads_by_path(indexer, kinetics_name(7), library) == {"a.mp4": spec, "b.mp4": spec}


def test_after_another_backbone_every_tag_still_says_whose_it_is(indexer, film, checkpoint, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = write_video(elsewhere / "b.mp4", moving(50, seed=8), fps=25)
    first = f"kinetics:r3d_18/{checkpoint}"
    second = f"kinetics:mc3_18/{says_always(WINNER, tmp_path / 'mc3.safetensors', 'mc3_18')}"
    library, name = tmp_path / "library", kinetics_name(WINNER)
    words = ("ingest", "--device", "cpu")
    indexer(*words, film, other, "--encoder", "offline", "--actions", first, library=library)
    ran = indexer(*words, film, "--actions", second, library=library)
    assert ran.code == 0 and "1 videos of this library were not looked at" in ran.err
    assert heads_by_path(indexer, name, library) == {"a.mp4": second, "b.mp4": first}
    assert indexer(*words, film, other, library=library).code == 0
    assert heads_by_path(indexer, name, library) == {"a.mp4": second, "b.mp4": second}
    heads = json.loads(indexer("actions", "list", "--json", library=library).out)["heads"]
    assert [head["head"] for head in heads] == [second]  # nothing is left of the first


def test_clips_too_short_for_a_backbone_are_said_once_with_how_long_they_should_be(indexer, film, tmp_path):
    """TimeSformer sees 8 frames, every 32nd of 30 a second: 256 / 30 = 8.5 s, of which 4 s are 47 %."""
    spec = f"kinetics:timesformer_base/{make_video_folder(tmp_path / 'tiny', 'timesformer_base')}"
    words = ("ingest", film.parent, "--device", "cpu")
    ran = indexer(*words, "--encoder", "offline", "--actions", spec, library=tmp_path / "short")
    assert ran.code == 0 and "8.5 s at a time" in ran.err and "53%" in ran.err
    assert len([line for line in ran.err.splitlines() if "--clip-seconds 9" in line]) == 1
    assert "--clip-seconds" not in indexer(*words, library=tmp_path / "short").err
    ran = indexer(*words, "--clip-seconds", "9", "--encoder", "offline", "--actions", spec,
                  library=tmp_path / "long")  # fmt: skip
    assert ran.code == 0 and "--clip-seconds" not in ran.err


def test_a_backbone_that_cannot_be_had_blocks_no_later_ingest(indexer, film, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    library = tmp_path / "library"
    words = ("ingest", film.parent, "--device", "cpu")
    ran = indexer(*words, "--encoder", "offline", "--actions", "kinetics:r3d_81", library=library)
    assert ran.code in (1, 2) and "r3d_18" in ran.err and ran.err.count("\n") == 1
    missing = tmp_path / "missing.pth"
    ran = indexer(*words, "--encoder", "offline", "--actions", f"kinetics:r3d_18/{missing}", library=library)
    assert ran.code in (1, 2) and "missing.pth" in ran.err
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    ran = indexer(*words, "--encoder", "offline", "--actions", f"kinetics:r3d_18/{tmp_path}/broken.pth",
                  library=library)  # fmt: skip
    assert ran.code == 1
    assert indexer(*words, library=library).code == 0


def test_key_frames_show_no_movement(indexer, film, checkpoint, tmp_path):
    ran = indexer("ingest", film.parent, "--encoder", "offline", "--sampling", "keyframes", "--actions",
                  f"kinetics:r3d_18/{checkpoint}", library=tmp_path / "library")  # fmt: skip
    assert ran.code == 2 and "movement" in ran.err and "REELSEEK_TRACEBACK" not in ran.err


def test_as_a_program_of_its_own_json_is_all_that_is_on_stdout(folder):
    ran = run_indexer("find", "-a", "jogging", "--json", library=folder, timeout=60)
    assert ran.returncode == 0 and json.loads(ran.stdout)["total"] == 11
    ran = run_indexer("find", "-a", "knitting", "--json", library=folder, timeout=60)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1 and ran.stderr.startswith("error: ")


def test_clips_of_a_changed_file_are_examples_no_longer(indexer, tmp_path, offline_encoder):
    """What was rejected in the old content says nothing about the new; other sampling changes nothing."""
    films = tmp_path / "films"
    films.mkdir()
    film = write_video(films / "a.mp4", moving(100, seed=3), fps=25)
    library = Library(tmp_path / "library", create=True, device="cpu")
    ingest(library, [str(film)], IngestOptions(encoder="offline", device="cpu"))
    with library.read() as catalog:
        clip = int(catalog.clip_ids(Filters())[0])
    correcting.correct_clip(library, clip, "running", is_positive=True)
    os.utime(film)
    ingest(library, [str(film)], IngestOptions())
    assert kept(library, "running")["positive"] == 1
    write_video(film, moving(110, seed=4), fps=25)
    assert ingest(library, [str(film)], IngestOptions()).examples_gone == {"running": 1}
    assert kept(library, "running")["positive"] == 0
    with library.read() as catalog:
        clip = int(catalog.clip_ids(Filters())[0])
    correcting.correct_clip(library, clip, "running", is_positive=True)
    library.close()
    film.unlink()
    ran = indexer("ingest", films, "--prune", "--device", "cpu", library=tmp_path / "library")
    assert ran.code == 0 and "1 removed" in ran.err and "1 example of running went with it" in ran.err
