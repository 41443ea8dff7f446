"""Files and folders to a list of files; names that are left out; what tells one content from another's."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.file_names import is_ambiguous, os_path, spelled_out, stored_path
from search.file_state import FileState

# Everything that a person would call a video file. A file without such a name is tried as well;
# the name only decides whether "not a video" is worth a word.
_VIDEO_SUFFIXES = frozenset(
    """.3g2 .3gp .3gp2 .3gpp .amv .asf .av1 .avi .avs2 .bik .bik2 .braw .cine .dav .divx .drc .dv
    .dvr-ms .evo .f4p .f4v .flc .fli .flv .gxf .h261 .h263 .h264 .h265 .h266 .hevc .insv .ismv .ivf
    .k3g .lrv .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjp2 .mjpeg .mjpg .mk3d .mkv .mod .mov .mp2v .mp4
    .mp4v .mpe .mpeg .mpeg1 .mpeg2 .mpeg4 .mpg .mpg2 .mpg4 .mpv .mqv .mts .mxf .mxv .nsv .nut .nuv
    .obu .ogm .ogv .ogx .ps .pva .qt .r3d .rec .rm .rmvb .roq .smk .str .svi .swf .tod .tp .trp .ts
    .ty .vc1 .vdr .viv .vivo .vob .vro .vvc .webm .wm .wmv .wtv .xesc .xmv .y4m""".split()  # noqa: SIM905
)
_DIGEST_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file below the paths that were asked for.

    Attributes:
        path: Absolute, as the catalog keeps it; symbolic links in it are kept as they are named.
        size_bytes: Of the file, 0 where `reason` is set.
        mtime_ns: Of its last change, nanoseconds since the epoch.
        ctime_ns: Of the last change of its inode, which no program can set: a file that took the place of
            another has its own, whatever its size and modification time.
        looks_like_video: Whether its name ends like a video's, so that a person would miss it.
        reason: Why this file or folder cannot be read at all, None for a good one.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    looks_like_video: bool
    reason: str | None = None
    ctime_ns: int | None = None

    @property
    def state(self) -> FileState:
        """The state of the file when it was found."""
        return FileState(self.size_bytes, self.mtime_ns, self.ctime_ns)


def find_files(
    paths: Iterable[str | os.PathLike[str]],
    roots: Sequence[str] | None = None,
    on_link: Callable[[str], None] = lambda _: None,
) -> Iterator[FoundFile]:
    """Regular files in and below the given paths, in the order of the paths, then of names.

    Hidden files and folders (named with a leading dot) are left out, except where a given path
    itself is one. Symbolic links are followed, after all else, so that what lies here keeps its own
    name whatever links are made to it; a folder or file that is reached twice, whether by link, by
    loop or by overlapping paths, is listed once. Pipes, sockets and devices are left out.

    Args:
        paths: Files and folders.
        roots: Resolved folders; what does not lie below one of them after its links are resolved is not
            looked into. None for no limit.
        on_link: Told of each symbolic link below the paths.

    Yields:
        Files, and as failures with a reason: paths that do not exist, folders without permission,
        names that are not text, and what leads out of the roots.
    """
    seen: set[tuple[int, int]] = set()
    links: deque[str] = deque()
    for path in paths:
        yield from _walk(os.path.abspath(os_path(os.fspath(path))), seen, roots, links)
    while links:
        link = links.popleft()
        on_link(link)
        yield from _walk(link, seen, roots, links, is_link=True)


def is_below(path: str, folders: Sequence[str]) -> bool:
    """Returns whether a path, with every link in it resolved, is one of the resolved folders or below one."""
    try:
        resolved = os.path.realpath(os_path(path))
    except (OSError, ValueError):
        return False
    return any(os.path.commonpath([resolved, folder]) == folder for folder in folders)


def looks_like_video(path: str) -> bool:
    """Returns whether the name ends like a video's."""
    return os.path.splitext(path)[1].lower() in _VIDEO_SUFFIXES


def content_digest(path: str) -> str:
    """SHA-256 of the file's content, 64 hex digits, read in blocks.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    block = bytearray(_DIGEST_BLOCK_BYTES)
    view = memoryview(block)
    with Path(os_path(path)).open("rb", buffering=0) as file:
        while count := file.readinto(view):
            digest.update(view[:count])
    return digest.hexdigest()


def is_hidden(name: str) -> bool:
    """Checks that a name in a folder is left out: it begins with a dot."""
    return name.startswith(".")


def _walk(
    root: str,
    seen: set[tuple[int, int]],
    roots: Sequence[str] | None,
    links: deque[str],
    *,
    is_link: bool = False,
) -> Iterator[FoundFile]:
    """Depth first with a stack of its own, so that no depth of folders is too deep; links are put off."""
    pending = [root]
    while pending:
        path = pending.pop()
        if roots is not None and not is_below(path, roots):
            yield _failure(path, "this leads outside the folders that may be indexed here")
            continue
        try:
            status = os.stat(path)
        except OSError as error:
            # A link to nowhere below a folder is nobody's video; a path that was asked for is.
            if (path == root and not is_link) or not isinstance(error, FileNotFoundError):
                yield _failure(path, _reason(error))
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            continue
        if stat.S_ISDIR(status.st_mode):
            seen.add(identity)
            try:
                with os.scandir(path) as listed:
                    entries = sorted(listed, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                yield _failure(path, _reason(error))
                continue
            shown = [entry for entry in entries if not is_hidden(entry.name)]
            links += [entry.path for entry in shown if entry.is_symlink()]
            pending += [entry.path for entry in reversed(shown) if not entry.is_symlink()]
        elif stat.S_ISREG(status.st_mode):
            seen.add(identity)
            if is_ambiguous(path):
                if looks_like_video(path):
                    reason = "the name holds private characters (U+FDC80 and after): rename it"
                    yield _failure(spelled_out(path), reason)
                continue
            yield FoundFile(
                stored_path(path),
                status.st_size,
                status.st_mtime_ns,
                looks_like_video(path),
                ctime_ns=status.st_ctime_ns,
            )


def _failure(path: str, reason: str) -> FoundFile:
    return FoundFile(stored_path(path), 0, 0, True, reason)


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder"
    if isinstance(error, PermissionError):
        return "no permission to read it: change its mode or owner"
    return error.strerror or str(error)
