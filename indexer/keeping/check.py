"""`indexer check`: the whole library looked at, rows, index and files, and mended where that can be done."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from encoders.embedding.encoder import POOLINGS
from encoders.errors import LibraryBusyError, LibraryError
from indexer.ingest.walk import content_digest
from indexer.video.types import SamplingOptions
from search.checking import repairs
from search.checking.findings import EXAMPLES, Finding, finding
from search.checking.verification import catalog_findings, schema_finding
from search.checking.verified_index import index_finding
from search.file_names import os_path
from search.file_state import FileState
from search.index.row_store import is_left_behind
from search.library import Library
from search.types import Video

VIDEOS_PER_READ = 1000


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The outcome of a check.

    Attributes:
        findings: One for each check, as the library is now: after the repairs, where there were any.
        repaired: What was mended, a line each.
        is_ingesting: An ingest was going on meanwhile.
    """

    findings: tuple[Finding, ...]
    repaired: tuple[str, ...] = ()
    is_ingesting: bool = False

    @property
    def ok(self) -> bool:
        """Returns whether nothing is wrong (any more)."""
        return not any(one.wrong for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The document that `indexer check --json` prints."""
        return {
            "ok": self.ok,
            "ingesting": self.is_ingesting,
            "checks": [
                {
                    "check": one.name,
                    "looked_at": one.looked_at,
                    "wrong": one.wrong,
                    "message": one.message or None,
                    "examples": list(one.examples),
                    "repairable": one.mend is not None,
                }
                for one in self.findings
            ],
            "repaired": list(self.repaired),
        }


def check(
    library: Library,
    *,
    digests: bool = False,
    repair: bool = False,
    share: float = 1.0,
    say: Callable[[str], None] = lambda _: None,
) -> CheckReport:
    """Looks at everything that a library holds, or at a share of what takes long.

    Args:
        library: Opened without migrating it.
        digests: Also read every video file and compare its content with what was indexed.
        repair: Mend what can be, then look again.
        share: Of the clips whose vectors and pictures are read, and of the files whose content is, above 0
            to 1. Rows and links between them are looked at in any case.
        say: Told what is looked at.

    Raises:
        LibraryBusyError: A repair is wanted while an ingest goes on.
    """
    if not repair:
        is_ingesting = _is_ingesting(library)
        findings = tuple(_findings(library, digests=digests, is_ingesting=is_ingesting, share=share, say=say))
        return CheckReport(findings, is_ingesting=is_ingesting)
    with library.ingest_lock(wait=False):
        repaired = _repair(library, digests=digests, share=share, say=say)
        findings = tuple(_findings(library, digests=digests, is_ingesting=False, share=share, say=say))
    return CheckReport(findings, tuple(repaired))


def _repair(library: Library, *, digests: bool, share: float, say: Callable[[str], None]) -> list[str]:
    """Mends what the checks find; twice, for what one repair drops may have been another's owner."""
    repaired: list[str] = []
    for attempt in range(2):
        deep = digests and not attempt
        found = list(_findings(library, digests=deep, is_ingesting=False, share=share, say=say))
        wanted = [one for one in found if one.mend is not None]
        for one in wanted:
            assert one.mend is not None
            say(f"mending {one.name}")
            repaired.append(f"{one.name}: {one.mend()}")
        if not wanted:
            break
    return repaired


def _is_ingesting(library: Library) -> bool:
    try:
        with library.ingest_lock(wait=False):
            return False
    except LibraryBusyError:
        return True
    except LibraryError:  # a folder that nobody can write to
        return False


def _findings(
    library: Library, *, digests: bool, is_ingesting: bool, share: float, say: Callable[[str], None]
) -> Iterator[Finding]:
    say("looking at the catalog")
    schema = schema_finding(library)
    yield schema
    if schema.wrong:
        return  # the other checks ask for tables as they are now
    for one in catalog_findings(library, is_ingesting=is_ingesting, share=share):
        yield one
        if one.name == "database" and one.wrong:
            return  # whatever else were read from it could be wrong
    yield from _options(library)
    say("looking at the index")
    yield index_finding(library, is_whole=share >= 1)
    yield _leftovers(library, is_ingesting)
    say("looking at the files")
    yield from _files(library, say if digests else None, share)


# --- options -----------------------------------------------------------------------------------


def _options(library: Library) -> Iterator[Finding]:
    """Checks that what is stored of sampling and pooling can be read, and makes sense."""
    with library.read() as catalog:
        record = catalog.library_record()
        samplings = catalog.count_by_sampling()
    if record is None:
        return
    good = {text: number for text, number in samplings.items() if _is_sampling(text)}
    usual = max(good, key=good.__getitem__, default=SamplingOptions().to_json())
    yield finding(
        "library's sampling",
        1,
        [] if _is_sampling(record.sampling) else [record.sampling],
        "it cannot be read; it can be set to what most videos were sampled with",
        lambda: repairs.set_sampling(library, usual),
    )
    yield finding(
        "library's pooling",
        1,
        [] if record.pooling in POOLINGS else [record.pooling],
        "there is no such pooling: put a backup back (`indexer restore --force`)",
    )
    wrong = []
    if len(good) < len(samplings):
        wrong = [video for video in _videos(library) if video.sampling in samplings.keys() - good.keys()]
    yield _of_videos(
        "videos' sampling",
        sum(samplings.values()),
        wrong,
        "it cannot be read: they are to be read anew",
        lambda: repairs.queue_videos(library, [video.id for video in wrong]),
    )


def _is_sampling(text: str) -> bool:
    try:
        SamplingOptions.from_json(text)
    except ValueError:
        return False
    return True


# --- files -------------------------------------------------------------------------------------


def _files(library: Library, say: Callable[[str], None] | None, share: float) -> Iterator[Finding]:
    """Where the videos are now, and whether they are still what was indexed; content with `say`."""
    missing: list[Video] = []
    back: list[Video] = []
    changed: list[Video] = []
    rotten: list[Video] = []
    looked_at = 0
    for video in _videos(library):
        if video.status not in ("indexed", "missing"):
            continue
        looked_at += 1
        try:
            stat = os.stat(os_path(video.path))
        except OSError:
            if video.status == "indexed":
                missing.append(video)
            continue
        if _has_changed(video, FileState.of(stat)):
            changed.append(video)
            continue
        if video.status == "missing":
            back.append(video)
        if say is not None and random.random() < share:
            say(f"reading {video.path}")
            if _differs(video):
                rotten.append(video)
    yield _of_videos(
        "files there",
        looked_at,
        missing,
        "no file where the catalog says; they can be marked as missing (and stay searchable)",
        lambda: repairs.set_status(library, [video.id for video in missing], "missing"),
    )
    yield _of_videos(
        "files back",
        looked_at,
        back,
        "marked as missing, and there again",
        lambda: repairs.set_status(library, [video.id for video in back], "indexed"),
    )
    yield _of_videos(
        "files unchanged",
        looked_at,
        changed,
        "another size, time of change or content than when they were indexed: `indexer ingest` brings them "
        "up to date",
        None,
    )
    if say is not None:
        yield _of_videos(
            "content",
            looked_at,
            rotten,
            "another content than was indexed, under the same size and time: it can be read anew by the next "
            "ingest; if nobody changed it, the disk did",
            lambda: repairs.queue_videos(library, [video.id for video in rotten]),
        )


def _has_changed(video: Video, now: FileState) -> bool:
    """Returns whether a file is another; where only its inode changed (a new name or mode), by content."""
    if now.is_same(video.file_state):
        return False
    return not now.is_same(replace(video.file_state, ctime_ns=None)) or _differs(video)


def _differs(video: Video) -> bool:
    try:
        return video.digest != content_digest(video.path)
    except OSError:
        return True


def _videos(library: Library) -> Iterator[Video]:
    after: str | None = None
    while True:
        with library.read() as catalog:
            found = catalog.list_videos(after=after, limit=VIDEOS_PER_READ)
        if not found:
            return
        yield from found
        after = found[-1].path


def _of_videos(
    name: str, looked_at: int, wrong: Sequence[Video], message: str, mend: Callable[[], str] | None
) -> Finding:
    return finding(name, looked_at, [video.path for video in wrong], message, mend)


def _leftovers(library: Library, is_ingesting: bool) -> Finding:
    """Files that a stopped program left half written beside the index or the catalog."""
    folders = [
        (library.folder, ("*.restoring*", "*.copying*")),
        (library.index_keeper.folder, ("*.tmp", "vectors-*")),
    ]
    kept = library.index_keeper.file()
    found = sorted(
        path
        for folder, patterns in folders
        for pattern in patterns
        for path in folder.glob(pattern)
        if path != kept and is_left_behind(path)
    )
    if not found or is_ingesting:  # they may be at work
        return Finding("leftovers", len(found))

    def mend() -> str:
        for path in found:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return f"deleted {len(found)} files"

    names = tuple(str(path) for path in found[:EXAMPLES])
    return Finding(
        "leftovers", len(found), len(found), "half written files; they can be deleted", names, mend
    )
