"""`indexer check` on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from indexer.terminal import show
from indexer.terminal.options import JsonOption, LibraryOption, open_library, print_json

if TYPE_CHECKING:
    from indexer.keeping.check import CheckReport


def _read_share(text: str) -> float:
    """A share above 0 to 1, as "5%" or "0.05"."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"got {text!r}, expected a share such as 5% or 0.05, above 0 to 100%")
    return share


def check(
    library: LibraryOption = None,
    digests: Annotated[
        bool, typer.Option("--digests", help="Read every video file and compare its content too.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be, and say what was done.")
    ] = False,
    sample: Annotated[
        float | None,
        typer.Option(
            parser=_read_share,
            metavar="SHARE",
            help="Read vectors, pictures and --digests of so many only, as 5% or 0.05; others each time.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify everything: rows, vectors, key frames, the index, the files; mend it with --repair.

    Exit status: 0 all well (after the repairs), 1 something is wrong, 2 wrong usage.
    """
    from indexer.keeping.check import check as run_check

    with open_library(library, migrate=False) as opened, show.status("checking"):
        report = run_check(opened, digests=digests, repair=repair, share=sample or 1.0)
    if as_json:
        print_json(report.as_json())
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(1)


def _show(report: CheckReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for line in report.repaired:
        console.print(f"[green]mended[/] {escape(show.printable(line))}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("looked at", justify="right")
    table.add_column("wrong", justify="right")
    table.add_column("", overflow="fold")
    for finding in report.findings:
        shown = [finding.message, *finding.examples] if finding.wrong else []
        if finding.wrong > len(finding.examples) > 0:
            shown.append("...")
        table.add_row(
            finding.name,
            str(finding.looked_at),
            f"[bold red]{finding.wrong}[/]" if finding.wrong else "[green]0[/]",
            escape("\n".join(show.printable(line) for line in shown)),
        )
    console.print(table)
    if report.is_ingesting:
        console.print("[dim]an ingest is going on: what it has not finished was left out[/]")
    mendable = any(finding.wrong and finding.mend for finding in report.findings)
    if report.ok:
        console.print("all is well")
    elif mendable:
        console.print("[bold red]something is wrong[/]; `indexer check --repair` mends what can be")
    else:
        console.print("[bold red]something is wrong[/]")
