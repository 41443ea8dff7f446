"""The load and the soak, small: that they run, that they find nothing, and that they would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from made_library import add_video, make_library, remove_video
from programs import ROOT

from benchmarks.oracle import Asked, Oracle
from benchmarks.programs import Sampler, figures
from search.documents.hits import result_document
from search.query.engine import SearchEngine
from search.types import ClipPart, Query


def run(out: Path, *arguments: str) -> dict[str, Any]:
    """Runs a benchmark in a program of its own; its results."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((out / f"{arguments[0].rpartition('.')[2]}.json").read_text())


@pytest.mark.slow
def test_eight_clients_get_right_answers_while_videos_come_and_go(tmp_path):
    options = ("--clients", "8", "--minutes", "0.17", "--videos", "12", "--delete-seconds", "2")
    found = run(tmp_path, "benchmarks.load", *options)
    assert (found["server_errors"], found["transport_errors"], found["faults"]) == (0, 0, 0)
    assert found["answers_checked"] > 20 and found["videos_taken_in"] > 0 and found["videos_deleted"] > 0
    assert found["server"]["at_end"]["open_files"] > 3


@pytest.mark.slow
def test_hundreds_of_videos_leave_files_threads_and_memory_as_they_were(tmp_path):
    found = run(tmp_path, "benchmarks.soak", "--videos", "240")
    assert found["faults"] == [] and found["damaged"] == 5
    assert found["first_ingest"]["flat"] and found["second_ingest"]["flat"]


def test_the_oracle_takes_right_answers_and_finds_wrong_ones(tmp_path):
    library = make_library(tmp_path / "library")
    for number in range(3):
        add_video(library, f"/v/{number}.mp4", count=5, seed=number)
    oracle = Oracle(library)
    oracle.refresh()
    clip = oracle.clips()[0]
    sent = time.monotonic()
    asked = Asked(oracle.vector(clip.id)[None], 6, excluded=frozenset({clip.id}))
    answer = result_document(SearchEngine(library).search(Query((ClipPart(clip.id),)), limit=6))
    received = time.monotonic()

    def faults(changed: list[dict[str, Any]], asked: Asked = asked, sent: float = sent) -> list[str]:
        return oracle.check({**answer, "hits": changed}, asked, sent, received)

    hits = answer["hits"]
    assert len(hits) == 6 and faults(hits) == []
    assert "not in order" in faults([hits[1], hits[0], *hits[2:]])[0]
    assert "is missing" in faults(hits[1:])[0], "of all clips, the best was left out"
    assert "is missing" in faults(hits[:5])[0], "there are more"
    assert "the catalog says" in faults([{**hits[0], "score": hits[0]["score"] + 0.01}, *hits[1:]])[0]
    assert "never in the catalog" in faults([{**hits[0], "clip_id": 999}, *hits[1:]])[0]
    other = Asked(asked.vectors, 6, passes=lambda one: one.video_id == clip.video_id)
    assert any("does not pass" in fault for fault in faults(hits, other))
    # What is being deleted while a request is under way may be missing; afterwards it must be.
    gone = hits[0]["video_id"]
    every = result_document(SearchEngine(library).search(Query((ClipPart(clip.id),)), limit=15))["hits"]
    all_asked = Asked(asked.vectors, 15, asked.excluded)
    received = time.monotonic()
    assert len(every) == 14 and faults(every, all_asked) == []
    rest = [hit for hit in every if hit["video_id"] != gone]
    assert "is missing" in faults(rest, all_asked)[0]
    oracle.asked_at[gone] = received - 1e-6
    assert faults(every, all_asked) == faults(rest, all_asked) == []
    remove_video(library, hits[0]["path"])
    oracle.acknowledged_at[gone] = time.monotonic()
    late = time.monotonic()
    assert any("acknowledged before" in fault for fault in faults(hits, sent=late))
    answer = result_document(SearchEngine(library).search(Query((ClipPart(clip.id),)), limit=6))
    assert oracle.check(answer, asked, late, time.monotonic()) == []
    # What has come since is known by the next look at the catalog.
    new = add_video(library, "/v/new.mp4", count=5, seed=9)
    answer = result_document(SearchEngine(library).search(Query((ClipPart(clip.id),)), limit=15))
    assert new in {hit["video_id"] for hit in answer["hits"]}
    assert oracle.check(answer, Asked(asked.vectors, 15, asked.excluded), late, time.monotonic()) == []
    library.close()


def test_the_sampler_sees_what_a_program_takes():
    code = (
        "import sys, threading, time\n"
        "print(flush=True); sys.stdin.readline()\n"
        "taken = bytearray(b'x') * 80_000_000; files = [open('/dev/null') for _ in range(7)]\n"
        "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
        "print(flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None and program.stdout is not None
        sampler = Sampler(program.pid, 0.02)
        try:
            program.stdout.readline()
            time.sleep(0.2)
            before = figures(sampler.samples[-3:])
            program.stdin.write("\n")
            program.stdin.flush()
            program.stdout.readline()
            time.sleep(0.3)
            after = figures(sampler.samples[-3:])
        finally:
            program.kill()
            program.wait()
            sampler.stop()
    assert before is not None and after is not None
    assert after["open_files"] == before["open_files"] + 7
    assert after["threads"] == before["threads"] + 1
    assert after["rss_mib"] - before["rss_mib"] == pytest.approx(80e6 / 2**20, abs=8)
    assert sampler.slope_mib_per_minute(0) > 0
