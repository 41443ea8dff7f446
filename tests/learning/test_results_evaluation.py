"""`indexer evaluate RESULTS.json`: figures by arithmetic, and results that fit nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from video_factory import moving, write_video

from encoders.errors import InvalidQueryError
from indexer.datasets.results_evaluation import evaluate_results


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def activitynet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("activitynet")
    for name in ("v_one", "v_two"):
        write_video(folder / f"{name}.mp4", moving(20), fps=10)
    annotations = {
        "one": {"subset": "validation", "annotations": [{"label": "Nodding", "segment": [0.1, 1.1]}]},
        "two": {"subset": "validation", "annotations": [{"label": "Arm wrestling", "segment": [0, 2]}]},
    }
    written(folder / "annotations.json", {"database": annotations})
    return folder


def span(label: str, start: float, end: float, score: float = 0.9) -> dict[str, object]:
    return {"label": label, "score": score, "segment": [start, end]}


def test_map_of_localised_actions(activitynet: Path, tmp_path: Path) -> None:
    # One is found to 1 / 1.02 = 0.98, the other to half: right at the lowest of ten overlaps only.
    results = {"one": [span("nodding", 0.1, 1.12)], "v_two": [span("arm wrestling", 1, 2)], "other": []}
    said: list[str] = []
    report = evaluate_results(
        written(tmp_path / "found.json", {"results": results}), activitynet, say=said.append
    )
    assert report.figures["mAP@0.5"].value == pytest.approx(1.0)
    assert report.figures["mAP@0.55"].value == pytest.approx(0.5)
    assert report.figures["average mAP"].value == pytest.approx((1.0 + 0.1) / 2)
    assert report.per_class["arm wrestling"].value == pytest.approx(0.1)
    assert any("validation" in line for line in said)


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ({"results": {"one": [{"label": "nodding"}]}}, "segment"),
        ({"results": {"one": [span("nodding", 0, float("nan"))]}}, "that is none"),
        ({"results": {"other": [span("nodding", 0, 1)]}}, "no result for the 2"),
        ({"results": {"one": [{"label": "nodding", "score": "much", "segment": [0, 1]}]}}, "a score: a text"),
        ({"results": {"one": {"label": "nodding"}}}, "an object, no list"),
        ({"results": {"one": [span("nodding", 0, 1) | {"segment": [1]}]}}, "has 1 number"),
        ({"importance": {}}, '"results"'),
        ([1], "holds a list,"),
    ],
)
def test_results_that_fit_nothing(activitynet: Path, tmp_path: Path, document: object, match: str) -> None:
    with pytest.raises(InvalidQueryError, match=match):
        evaluate_results(written(tmp_path / "found.json", document), activitynet)
    with pytest.raises(InvalidQueryError, match="cannot be read"):
        evaluate_results(tmp_path / "missing.json", activitynet)
    with pytest.raises(InvalidQueryError, match="protocol"):
        file = written(tmp_path / "found.json", {"results": {"one": [span("nodding", 0, 1)]}})
        evaluate_results(file, activitynet, protocol="kinetics")


def test_importance_against_what_people_said(tmp_path: Path) -> None:
    """TVSum: two users, ten parts of a video of ten seconds, pieces of two seconds."""
    folder = tmp_path / "tvsum"
    folder.mkdir()
    write_video(folder / "abc.mp4", moving(100), fps=10)
    write_video(folder / "xyz.mp4", moving(20), fps=10)
    first = [1, 1, 1, 1, 5, 5, 1, 1, 2, 2]
    rows = [("abc", first), ("abc", [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]), ("xyz", [1, 2] * 5)]
    lines = [f"{name}\tVT\t{','.join(map(str, scores))}\n" for name, scores in rows]
    (folder / "ydata-tvsum50-anno.tsv").write_text("".join(lines))
    given = {"abc": {"scores": first}}
    report = evaluate_results(written(tmp_path / "found.json", {"importance": given}), folder)
    from scipy.stats import kendalltau

    expected = (1.0 + kendalltau(first, rows[1][1]).statistic) / 2
    assert report.figures["Kendall tau"].value == pytest.approx(expected, abs=1e-6)
    assert list(report.skipped) == ["xyz"]
    bare = evaluate_results(written(tmp_path / "found.json", {"importance": {"abc": first}}), folder)
    assert bare.figures == report.figures
    for bad in ({"scores": []}, {"scores": ["a"]}, {}, {"scores": [1, None]}, [], ["a"], "a", None):
        with pytest.raises(InvalidQueryError, match="video abc") as error:
            evaluate_results(written(tmp_path / "found.json", {"importance": {"abc": bad}}), folder)
        assert not re.search(r"Error|None|dict|str\b|float|not iterable", str(error.value))
