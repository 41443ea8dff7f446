"""Fills the tables of `docs/performance.md` from the figures in `benchmarks/results/`.

    python -m benchmarks.performance_page [--results FOLDER] [--page docs/performance.md]

Each section of the page that is measured here lies between `<!-- name -->` and `<!-- /name -->`; what stands
between them is replaced. A section without figures stays empty: nothing is written that was not measured.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.programs import ROOT
from benchmarks.report import RESULTS

Figures = dict[str, Any]
FILTERS = ("path", "duration", "date", "action", "caption")
SHARES = ("0.1%", "1.0%", "10.0%")
KINDS = ("text", "clip", "picture")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown: the first column is words, the others are figures."""
    names = list(head)
    lines = [f"| {' | '.join(names)} |", f"|{'---|' + '--:|' * (len(names) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def origin(figures: Figures) -> str:
    """Where, when and of what figures were measured."""
    machine = figures["machine"]
    return (
        f"`{figures['file']}`, commit {figures['commit']}, {figures['measured_at'][:10]}: "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB, "
        f"load {machine['load'][0]:g}; material {figures['material']}."
    )


def search(every: list[Figures]) -> str:
    """Each run of `bench_search`, the smallest archive first."""
    parts = []
    for found in sorted(every, key=lambda one: one["clips"]):
        floor = found["floor"]
        measured = {name: one for name, one in found["engines"].items() if "times" in one}
        left_out = [
            f"{name}: {one['left_out']}" for name, one in found["engines"].items() if "left_out" in one
        ]
        bare = measured[floor["engine"]]["times"]["clip"]["p50_ms"]["median"]
        parts += [
            f"### {found['clips']:,} clips",
            origin(found),
            f"The floor: {floor['bytes_read'] / 1e6:,.0f} MB of vectors for a query, at "
            f"{floor['bandwidth_gb_per_second']:g} GB/s at least {floor['least_ms']:g} ms; bare FAISS "
            f"({floor['engine']}) took {bare:.3g} ms for a clip.",
            _engines(measured),
            _unfiltered(measured),
            _filtered(measured),
        ]
        if left_out:
            parts += ["Left out: " + "; ".join(left_out) + "."]
    return "\n\n".join(parts)


def _engines(measured: Figures) -> str:
    head = (
        "engine",
        "index",
        "effort",
        "build, s",
        "CPU, s",
        "most memory, MiB",
        "open, s",
        "disk, MiB",
        "memory, MiB",
    )
    rows = [
        (
            name,
            one["kind"],
            one["effort"] or "",
            f"{one['build']['seconds']:.3g}",
            f"{one['build']['cpu_seconds']:.3g}",
            f"{one['build']['peak_mib']:,.0f}",
            f"{one['open_seconds']:.2g}",
            f"{one['stored_mib']:,.0f}",
            f"{one['memory']['rss_mib']:,.0f}",
        )
        for name, one in measured.items()
    ]
    return table(head, rows)


def _unfiltered(measured: Figures) -> str:
    head = ("engine", "asked", "p50, ms", "least to most", "p95, ms", "CPU, ms", "recall@10", "recall@100")
    rows = []
    for name, one in measured.items():
        for kind in KINDS:
            times, recall = one["times"][kind], one["recall"][kind]
            p50 = times["p50_ms"]
            rows.append(
                (
                    name,
                    kind,
                    f"{p50['median']:.3g}",
                    f"{p50['least']:.3g} to {p50['most']:.3g}",
                    f"{times['p95_ms']['median']:.3g}",
                    f"{times['cpu_ms']['median']:.3g}",
                    f"{recall['at 10']:.3f}",
                    f"{recall['at 100']:.3f}",
                )
            )
    return table(head, rows)


def _filtered(measured: Figures) -> str:
    """Clips under each filter: the median of each engine, and what it finds of the ten best."""
    engines = [name for name, one in measured.items() if one["has_filters"]]
    head = (
        "filter",
        *(f"{name}: p50, ms (recall@10)" for name in engines),
        "ours: words, p50, ms",
        "and p95",
    )
    rows = []
    for by in FILTERS:
        for share in SHARES:
            row: list[str] = [f"{by} {share}"]
            for name in engines:
                label = f"clip, {by} {share}"
                times, recall = (measured[name][key][label] for key in ("times", "recall"))
                row.append(f"{times['p50_ms']['median']:.3g} ({recall['at 10']:.2f})")
            words = measured["ours"]["times"][f"text, {by} {share}"]
            row += [f"{words[key]['median']:.3g}" for key in ("p50_ms", "p95_ms")]
            rows.append(row)
    return table(head, rows)


def http(every: list[Figures]) -> str:
    """Each run of `bench_http`, the smallest archive first."""
    parts = []
    for found in sorted(every, key=lambda one: one["clips"]):
        rows = [
            (clients, kind, *(f"{times[key]['median']:.3g}" for key in _HTTP))
            for clients, kinds in found["clients"].items()
            for kind, times in kinds.items()
        ]
        head = ("clients", "asked", "p50, ms", "p95, ms", "requests/s", "server's CPU, ms a request")
        memory = f"The server has {found['server_rss_mib']:,.0f} MiB, {found['server_own_mib']:,.0f} its own."
        parts += [f"### {found['clips']:,} clips", origin(found), table(head, rows), memory]
    return "\n\n".join(parts)


_HTTP = ("p50_ms", "p95_ms", "requests_per_second", "server_cpu_ms")


def growth(every: list[Figures]) -> str:
    """The run of `growth`."""
    parts = []
    for found in every:
        sizes = found["sizes"]
        work = list(next(iter(sizes.values()))["work"])
        rows = [
            (
                f"{int(size):,}",
                *(f"{one['work'][name]['seconds']['median']:.3g}" for name in work),
                f"{one['build']['seconds']:.3g}",
                f"{one['index_mib']:,.0f}",
                f"{one['library_mib']:,.0f}",
                one["index"],
            )
            for size, one in sizes.items()
        ]
        head = ("clips", *(f"{name}, s" for name in work), "build, s", "index, MiB", "library, MiB", "index")
        parts += [
            origin(found),
            "![Seconds of work by the number of clips](images/growth.svg)",
            table(head, rows),
        ]
    return "\n\n".join(parts)


SECTIONS: dict[str, Callable[[list[Figures]], str]] = {"search": search, "http": http, "growth": growth}


def read_results(folder: Path) -> dict[str, list[Figures]]:
    """The figures of each section: a file's name is the section's, perhaps with more after a hyphen."""
    found: dict[str, list[Figures]] = {name: [] for name in SECTIONS}
    for file in sorted(folder.glob("*.json")):
        section = file.stem.partition("-")[0]
        figures = json.loads(file.read_text())
        if section in SECTIONS and "commit" in figures:
            found[section].append({**figures, "file": file.name})
    return found


def filled(page: str, results: dict[str, list[Figures]]) -> str:
    """The page with its tables."""
    for name, write in SECTIONS.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not between.search(page):
            raise SystemExit(f"the page has no section <!-- {name} --> ... <!-- /{name} -->")
        written = f"\n{write(results[name])}\n\n" if results[name] else ""
        page = between.sub(lambda match, text=written: match[1] + text + match[2], page)  # type: ignore[misc]
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    options = parser.parse_args()
    options.page.write_text(filled(options.page.read_text(), read_results(options.results)))


if __name__ == "__main__":
    main()
