"""Exports, read back by other people's programs: csv, webvtt-py, json, OpenTimelineIO and its EDL adapter."""

from __future__ import annotations

import csv
import io
import json
import re
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import opentimelineio as otio
import pytest
import webvtt

from encoders.errors import InvalidQueryError
from search.documents.exports.activitynet import to_activitynet
from search.documents.exports.csv_table import to_csv
from search.documents.exports.edl import to_edl
from search.documents.exports.otio import to_otio
from search.documents.exports.webvtt import to_webvtt
from search.types import Segment, Video

HOSTILE = [
    "two\nlines",
    'a "quoted", name; with | marks',
    "arrow --> and <b>tags</b> &amp; more",
    "dancing 💃🏽 family 👨‍👩‍👧",
    "=cmd|' /C calc'!A0",
    "line\u2028separator \x1b[31m and \x00 null",
    "name\r\n\r\n00:00:00.000 --> 99:00:00.000\nmore",
    "not utf-8 \udcff",
]


def make_segment(number=1, video_id=1, start=1.0, end=2.5, **changes) -> Segment:
    values = {"path": f"/archive/{video_id}.mp4", "action": "running", "confidence": 0.75, "head": "taught"}
    return Segment(id=number, video_id=video_id, start_seconds=start, end_seconds=end, **(values | changes))


def make_video(video_id=1, path=None, fps=25.0, duration=60.0, timecode=None, base_fps=None) -> Video:
    return Video(
        id=video_id,
        path=path or f"/archive/{video_id}.mp4",
        digest=None,
        size_bytes=1,
        mtime_ns=1,
        duration_seconds=duration,
        width=640,
        height=360,
        average_fps=fps,
        codec="h264",
        status="indexed",
        error=None,
        sampling=None,
        timecode=timecode,
        base_fps=base_fps,
    )


def read_otio(text: str) -> otio.schema.Timeline:
    return otio.adapters.read_from_string(text, "otio_json")


def read_edl(text: str, fps: float) -> list[otio.schema.Clip]:
    return list(otio.adapters.read_from_string(text, "cmx_3600", rate=fps).find_clips())


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_csv_has_the_json_names_and_every_row(count):
    segments = [make_segment(n, start=n / 3, end=n / 3 + 1) for n in range(count)]
    rows = list(csv.DictReader(io.StringIO("".join(to_csv(segments)), newline="")))
    assert len(rows) == count
    header = "".join(to_csv(segments)).split("\r\n")[0]
    assert header == "id,video_id,path,start_seconds,end_seconds,action,confidence,head"
    for row, segment in zip(rows, segments, strict=True):
        assert (int(row["id"]), row["path"], row["action"]) == (segment.id, segment.path, "running")
        assert float(row["start_seconds"]) == pytest.approx(segment.start_seconds, abs=1e-6)


@pytest.mark.parametrize("name", HOSTILE)
def test_csv_keeps_hostile_names_in_their_cell(name):
    text = "".join(to_csv([make_segment(path=f"/archive/{name}.mp4", action=name)]))
    text.encode("utf-8")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    readable = name.replace("\udcff", "?")
    assert row["path"] == f"/archive/{readable}.mp4"
    assert row["action"] == ("'" + name if name.startswith("=") else readable)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_csv_has_no_formula_whatever_a_spreadsheet_takes_for_its_separator(separator):
    text = "".join(
        to_csv([make_segment(path=f"/a/x{separator}=1+1{separator}.mp4", action=f"jump{separator}=1+1")])
    )
    for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    _, row = csv.reader(io.StringIO(text, newline=""))
    assert f"jump{separator}'=1+1" in row


def test_csv_streams():
    produced = []

    def endless():
        for number in range(10_000_000):
            produced.append(number)
            yield make_segment(number)

    next(to_csv(endless()))
    assert len(produced) <= 1000


def test_webvtt_cues_in_order_with_identifiers_and_times():
    segments = [make_segment(7, start=3661.5, end=3662.0004), make_segment(3, start=-0.5, end=1.25)]
    captions = list(webvtt.from_string(to_webvtt(segments)))
    assert [(cue.identifier, cue.start, cue.end) for cue in captions] == [
        ("segment-3", "00:00:00.000", "00:00:01.250"),
        ("segment-7", "01:01:01.500", "01:01:02.000"),
    ]
    assert captions[0].text == "running 75% (taught)"


def test_webvtt_counts_from_the_origin_and_never_makes_empty_cues():
    segments = [make_segment(1, start=100.0, end=100.0001), make_segment(2, start=98.0, end=99.0)]
    (cue,) = webvtt.from_string(to_webvtt(segments, origin_seconds=99.5))
    assert (cue.start, cue.end) == ("00:00:00.500", "00:00:00.501")


@pytest.mark.parametrize("name", HOSTILE)
def test_webvtt_holds_hostile_names(name):
    text = to_webvtt([make_segment(1, action=name), make_segment(2, start=5, end=6)])
    assert [cue.identifier for cue in webvtt.from_string(text)] == ["segment-1", "segment-2"]
    # The grammar of https://www.w3.org/TR/webvtt1/#file-structure, as far as it is used here.
    time = r"\d{2,}:[0-5]\d:[0-5]\d\.\d{3}"
    cue = rf"[^\n\r]+\n{time} --> {time}\n(?:[^\n\r&<>]|&(?:amp|lt|gt);)+\n"
    assert re.fullmatch(rf"WEBVTT\n(?:\n{cue})*", text)
    assert not re.search("[\x00-\x09\x0b-\x1f\u2028]", text)


def test_webvtt_of_nothing_and_of_two_videos():
    assert to_webvtt([]) == "WEBVTT\n"
    with pytest.raises(ValueError, match="several"):
        to_webvtt([make_segment(1), make_segment(2, video_id=2)])


def test_activitynet_results():
    segments = [
        make_segment(1),
        make_segment(2, start=4, end=5, confidence=1 / 3),
        make_segment(3, video_id=2),
    ]
    document = json.loads("".join(to_activitynet(iter(segments), [make_video(n) for n in (1, 2, 3)])))
    assert sorted(document) == ["external_data", "results", "version"]
    assert document["results"] == {
        "1": [
            {"label": "running", "score": 0.75, "segment": [1.0, 2.5]},
            {"label": "running", "score": 0.333333, "segment": [4, 5]},
        ],
        "2": [{"label": "running", "score": 0.75, "segment": [1.0, 2.5]}],
        "3": [],
    }
    assert json.loads("".join(to_activitynet([], [])))["results"] == {}


def test_activitynet_keys_tell_files_of_one_name_apart():
    paths = ["/a/run.mp4", "/b/run.mp4", "/b/run.avi", "/c/jump.mp4", "/c/run.avi.mkv", "/x/b/run.mp4"]
    videos = [make_video(number, path) for number, path in enumerate(paths)]
    segments = [make_segment(n, video_id=n, start=n, end=n + 0.5, path=path) for n, path in enumerate(paths)]
    results = json.loads("".join(to_activitynet(segments, videos)))["results"]
    starts = {key: found[0]["segment"][0] for key, found in results.items()}
    assert len(starts) == 6
    assert starts["jump"] == 3
    assert starts["a/run.mp4"] == 0
    for key, start in starts.items():
        assert Path(paths[start]).with_suffix("").as_posix().endswith(key) or paths[start].endswith(key)


def test_activitynet_refuses_scattered_and_unknown_videos():
    scattered = [make_segment(1), make_segment(2, video_id=2), make_segment(3)]
    for segments in (scattered, [make_segment(1, video_id=9)]):
        with pytest.raises(ValueError, match="not among"):
            list(to_activitynet(segments, [make_video(1), make_video(2)]))


@pytest.mark.parametrize("name", HOSTILE)
def test_activitynet_holds_hostile_names(name):
    video = make_video(path=f"/archive/{name}.mp4")
    text = "".join(to_activitynet([make_segment(action=name)], [video]))
    (found,) = json.loads(text)["results"].values()
    assert "\n" not in found[0]["label"]
    assert text.isascii()


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (25.0, Fraction(25)),
        (29.97, Fraction(30000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (30.0, Fraction(30)),
        (14.985, Fraction(15000, 1001)),
        (12.5, Fraction(25, 2)),
        (240.0, Fraction(240)),
        (None, Fraction(25)),
        (float("nan"), Fraction(25)),
        (0.0, Fraction(25)),
    ],
)
def test_otio_frames_at_the_rate_of_the_file(fps, exact):
    segment = make_segment(start=601.5, end=607.25)
    timeline = read_otio("".join(to_otio([segment], [make_video(fps=fps, duration=700.0)])))
    (clip,) = timeline.find_clips()
    assert clip.source_range.start_time.rate == pytest.approx(float(exact), rel=1e-12)
    assert clip.source_range.start_time.value == round(601.5 * exact)
    assert clip.source_range.end_time_exclusive().value == round(607.25 * exact)
    assert clip.available_range().contains(clip.source_range)
    assert clip.available_range().duration.to_seconds() == pytest.approx(700.0, abs=float(1 / exact))


def test_otio_timeline():
    videos = [make_video(1, "/archive/a run #1 100%.mp4"), make_video(2, fps=50.0, duration=None)]
    segments = [
        make_segment(11, head="kinetics:mvit_v2_s"),
        make_segment(12, video_id=2, start=10.0, end=11.0, action="jumping"),
        make_segment(13, start=100.0, end=100.001),
    ]
    timeline = read_otio("".join(to_otio(iter(segments), videos, name="every run")))
    assert timeline.name == "every run"
    (track,) = timeline.video_tracks()
    clips = list(track)
    assert [clip.name for clip in clips] == ["a run #1 100%.mp4", "2.mp4", "a run #1 100%.mp4"]
    url = urlsplit(clips[0].media_reference.target_url)
    assert (url.scheme, unquote(url.path)) == ("file", "/archive/a run #1 100%.mp4")
    (marker,) = clips[0].markers
    assert (marker.name, marker.marked_range) == ("running", clips[0].source_range)
    said = marker.metadata["reelseek"]
    assert (said["segment_id"], said["confidence"], said["head"]) == (11, 0.75, "kinetics:mvit_v2_s")
    assert clips[1].source_range.duration == otio.opentime.RationalTime(50, 50)
    assert clips[2].source_range.duration.value == 1
    assert track.range_of_child(clips[1]).start_time.to_seconds() == pytest.approx(1.5, abs=0.04)
    again = otio.adapters.write_to_string(timeline, "otio_json")
    assert read_otio(again).is_equivalent_to(timeline)


def test_otio_counts_from_the_origin_and_not_below_it():
    segments = [make_segment(1, start=10.0, end=12.0), make_segment(2, start=8.0, end=9.5)]
    timeline = read_otio("".join(to_otio(segments, [make_video()], origins={1: 9.0})))
    ranges = [clip.source_range for clip in timeline.find_clips()]
    assert [(r.start_time.value, r.duration.value) for r in ranges] == [(25, 50), (0, round(0.5 * 25))]


def test_otio_of_nothing():
    (track,) = read_otio("".join(to_otio([], []))).tracks
    assert len(track) == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_otio_holds_hostile_names(name):
    video = make_video(path=f"/archive/{name.replace(chr(0), '')}.mp4")
    text = "".join(to_otio([make_segment(action=name)], [video], name=name))
    text.encode("ascii")
    (clip,) = read_otio(text).find_clips()
    assert "\n" not in clip.markers[0].name
    encoded = clip.media_reference.target_url.removeprefix("file://")
    assert unquote(encoded, errors="surrogateescape") == video.path


def test_edl_events():
    videos = [make_video(1, "/archive/one.mp4"), make_video(23, "/archive/two.mp4")]
    segments = [make_segment(1, start=3661.48, end=3663.0), make_segment(2, video_id=23, action="jumping")]
    text = to_edl(segments, videos, name="every run")
    assert text.splitlines()[:2] == ["TITLE: every run", "FCM: NON-DROP FRAME"]
    assert text.splitlines()[3:7] == [
        "001  V0000001 V     C        01:01:01:12 01:01:03:00 01:00:00:00 01:00:01:13",
        "* FROM CLIP NAME: one.mp4",
        "* SOURCE FILE: /archive/one.mp4",
        "* LOC: 01:00:00:00 GREEN   running 75% (taught)",
    ]
    clips = read_edl(text, 25)
    assert [clip.name for clip in clips] == ["one.mp4", "two.mp4"]
    assert [clip.metadata["cmx_3600"]["reel"] for clip in clips] == ["V0000001", "V0000023"]
    assert [clip.markers[0].color for clip in clips] == ["GREEN", "GREEN"]
    assert clips[1].markers[0].name == "jumping 75% (taught)"
    assert clips[1].source_range.start_time == otio.opentime.RationalTime(25, 25)
    assert clips[1].source_range.duration.value == 37  # 2.5 s are 62.5 frames: halves go to the even one


@pytest.mark.parametrize(("fps", "timecode"), [(30000 / 1001, "00:59:56:12"), (30.0, "01:00:00:00")])
def test_edl_counts_frames_as_editors_do(fps, timecode):
    """Non-drop timecode of 29.97 is 108,000 frames an hour, of which 107,892 have passed by then."""
    text = to_edl([make_segment(start=3600.0, end=3601.0)], [make_video(fps=fps)])
    assert text.splitlines()[3].split()[4] == timecode
    frame = otio.opentime.from_timecode(timecode, 30).value
    assert frame == round(3600 * Fraction(fps).limit_denominator(1001))


def test_edl_takes_the_rate_of_most_and_counts_seconds_in_others():
    videos = [make_video(1, fps=50.0), make_video(2, fps=23.976), make_video(3, fps=120.0)]
    segments = [make_segment(n, video_id) for n, video_id in enumerate((1, 1, 2, 3))]
    segments[2] = make_segment(2, 2, start=60.0, end=62.0)
    clips = read_edl(to_edl(segments, videos), 50)
    starts = [clip.source_range.start_time.to_seconds() for clip in clips]
    assert starts == pytest.approx([1.0, 1.0, 60.0, 1.0])


@pytest.mark.parametrize(
    ("fps", "timecode", "second"),
    [
        (25.0, "10:00:00:00", "10:00:01:00"),
        (30000 / 1001, "01:00:00;00", "01:00:01;00"),
        (30000 / 1001, "00:59:59;00", "01:00:00;00"),
        (30000 / 1001, "00:00:59;00", "00:01:00;02"),  # two numbers are left out, for every minute ...
        (30000 / 1001, "00:09:59;00", "00:10:00;00"),  # ... but the tenth
        (30000 / 1001, "01:00:00:00", "01:00:01:00"),
        (60000 / 1001, "00:00:59;00", "00:01:00;04"),
        (24000 / 1001, "23:59:59:12", "00:00:00:12"),  # past midnight
    ],
)
def test_editors_find_a_place_by_the_time_code_of_the_file(fps, timecode, second):
    exact = Fraction(fps).limit_denominator(1001)
    segment = make_segment(start=float(round(exact) / exact), end=float(2 * round(exact) / exact))
    video = make_video(fps=fps, timecode=timecode)
    text = to_edl([segment], [video])
    assert text.splitlines()[1] == f"FCM: {'DROP' if ';' in timecode else 'NON-DROP'} FRAME"
    assert text.splitlines()[3].split()[4] == second
    (clip,) = read_edl(text, float(exact))
    (other,) = read_otio("".join(to_otio([segment], [video]))).find_clips()
    rate = otio.opentime.RationalTime(0, float(exact)).rate
    first = otio.opentime.from_timecode(timecode, rate)
    assert other.available_range().start_time.value == first.value
    assert other.source_range.start_time.value == first.value + round(exact)
    assert clip.source_range.start_time == otio.opentime.from_timecode(second, rate)


@pytest.mark.parametrize("fps", [24000 / 1001, 25.0, 30000 / 1001, 50.0, 60000 / 1001])
@pytest.mark.parametrize("count", [60, 61, 120, 9001, 215_784])
def test_otio_makes_as_many_frames_available_as_there_are(fps, count):
    video = make_video(fps=fps, duration=count / fps)
    (clip,) = read_otio("".join(to_otio([make_segment(start=0.1, end=0.5)], [video]))).find_clips()
    assert clip.media_reference.available_range.duration.value == count


@pytest.mark.parametrize(
    ("mean", "base", "counted"),
    [
        (0.796, 25.0, 25),  # a recording of a screen on which little happens
        (17.3, 30.0, 30),
        (22.0, 30000 / 1001, Fraction(30000, 1001)),
        (12.3, 1000.0, 60),  # milliseconds are no frames
        (25.0, 50.0, 25),  # two fields a frame
        (24.99, 50.0, Fraction("24.99")),
        (30000 / 1001, 1000.0, Fraction(30000, 1001)),
        (25.0, 25.0, 25),
        (12.5, 12.5, Fraction("12.5")),
    ],
)
def test_uneven_footage_is_counted_in_the_step_of_its_frames(mean, base, counted):
    """A segment from the 7th to the 23rd step of a 25th of a second, wherever frames came before."""
    video, segment = make_video(fps=mean, base_fps=base), make_segment(start=0.28, end=0.92)
    (clip,) = read_otio("".join(to_otio([segment], [video]))).find_clips()
    rate = float(counted)
    assert clip.source_range.start_time.rate == pytest.approx(rate, rel=1e-4)
    for time, seconds in (
        (clip.source_range.start_time, 0.28),
        (clip.source_range.end_time_exclusive(), 0.92),
    ):
        assert abs(time.to_seconds() - seconds) <= 0.5 / rate + 1e-9
    is_said = "variable_frame_rate_counted_at" in clip.markers[0].metadata["reelseek"]
    text = to_edl([segment], [video])
    assert is_said == ("* VARIABLE FRAME RATE: COUNTED AT" in text) == (not 0.99 < rate / mean < 1.01)
    if counted == 25:
        assert text.splitlines()[3].split()[4:6] == ["00:00:00:07", "00:00:00:23"]


def test_a_time_code_of_three_digits_counts_every_frame():
    """Frame 29 of 120 after 10 s: frame 1,229, which a list at 60 has as the 614th or 615th."""
    video = make_video(fps=120.0, timecode="00:00:10:029")
    (clip,) = read_otio("".join(to_otio([make_segment()], [video]))).find_clips()
    assert clip.media_reference.available_range.start_time == otio.opentime.RationalTime(1229, 120)
    assert clip.source_range.start_time == otio.opentime.RationalTime(1229 + 120, 120)
    assert to_edl([make_segment()], [video]).splitlines()[3].split()[4] in ("00:00:11:14", "00:00:11:15")


def test_edl_of_files_that_drop_frames_and_others():
    drop, other = make_video(1, fps=30000 / 1001, timecode="01:00:00;00"), make_video(2, fps=30000 / 1001)
    lines = to_edl([make_segment(1), make_segment(2), make_segment(3, 2)], [drop, other]).splitlines()
    assert lines[1] == "FCM: DROP FRAME"
    assert lines[3].split()[4] == "01:00:01;00" and lines[13].split()[4] == "00:00:01:00"
    assert all(";" in line.split()[6] for line in (lines[3], lines[8], lines[13]))
    lines = to_edl([make_segment(1), make_segment(2, 2), make_segment(3, 2)], [drop, other]).splitlines()
    assert lines[1] == "FCM: NON-DROP FRAME" and lines[3].split()[4] == "01:00:01;00"


def test_edl_of_nothing_and_of_too_much():
    assert to_edl([], []).startswith("TITLE: Reelseek\nFCM: NON-DROP FRAME\n")
    long = [make_segment(n, start=0.0, end=3600.0) for n in range(24)]
    with pytest.raises(InvalidQueryError, match="24 hours"):
        to_edl(long, [make_video()])
    assert to_edl(long[:22], [make_video()])


@pytest.mark.parametrize("name", HOSTILE)
def test_edl_holds_hostile_names(name):
    video = make_video(path=f"/archive/{name}.mp4")
    text = to_edl([make_segment(1, action=name), make_segment(2)], [video], name=name)
    text.encode("utf-8")
    lines = text.splitlines()
    assert len(read_edl(text, 25)) == 2
    assert sum(line.startswith(("001", "002")) for line in lines) == 2
    assert all(re.match(r"TITLE: |FCM: |\d{3}  V\d{7} V |\* [A-Z ]+: |$", line) for line in lines)
