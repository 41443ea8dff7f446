"""The folders below which alone a server indexes and serves files, symbolic links resolved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import NotFoundError, ReelseekError
from indexer.ingest.walk import is_below
from search.file_names import os_path
from search.file_state import FileState
from search.types import Video


@dataclass(frozen=True, slots=True)
class Roots:
    """Folders in which files may lie.

    Attributes:
        folders: Resolved; empty for none configured.
        is_open: Whether without folders everything is allowed (an open loopback) rather than nothing.
    """

    folders: tuple[str, ...]
    is_open: bool

    @classmethod
    def of(cls, paths: Sequence[str], *, is_open: bool) -> Roots:
        """Resolves the folders.

        Raises:
            ReelseekError: One of them is no folder.
        """
        folders = []
        for path in paths:
            folder = Path(path).expanduser()
            if not folder.is_dir():
                raise ReelseekError(f"--root {path} is no folder: give one that is there, or leave it out")
            folders.append(os.path.realpath(folder))
        return cls(tuple(folders), is_open)

    @property
    def limit(self) -> tuple[str, ...] | None:
        """Folders that an ingest may read; None for no limit."""
        return None if self.is_open and not self.folders else self.folders

    def contains(self, path: str) -> bool:
        """Tells whether a path leads below the folders, after every symbolic link in it."""
        return self.limit is None or is_below(path, self.folders)

    def why_not_ingest(self, paths: Sequence[str]) -> str | None:
        """Says why these paths are not indexed here; None if they are. Tells nothing of what lies there."""
        if self.limit is not None and not self.folders:
            return (
                "this server indexes no files: it was started without --root PATH (or REELSEEK_ROOTS), the "
                "folders below which it may"
            )
        if all(self.contains(path) for path in paths):
            return None
        return "a path lies outside the folders that this server may index (its --root), or leads out of them"

    def check_served(self, video: Video, stat: os.stat_result, real_path: str) -> None:
        """Refuses a catalogued file that is not to be given out.

        With folders configured, that is one that does not lie below them, or no longer does. Without, on a
        server that is not open, a path that leads elsewhere by a symbolic link counts only while its file is
        the one that was indexed, by size and times: it may have been put there since.

        Args:
            video: In the catalog.
            stat: Of its file, which is open.
            real_path: Where that lies, its links resolved.

        Raises:
            NotFoundError: It is not.
        """
        if self.is_open and not self.folders:
            return
        if self.folders:
            if is_below(real_path, self.folders):
                return
            raise NotFoundError(
                f"the file of video {video.id} lies outside the folders that this server gives out (its "
                f"--root), or has become a link that leads out of them; its key frames are still at "
                f"/v1/videos/{video.id}/key-frames"
            )
        if real_path != os_path(video.path) and not video.file_state.is_same(FileState.of(stat)):
            raise NotFoundError(
                f"the path of video {video.id} is a link to another file than the one that was indexed; "
                "index it again, or start the server with --root"
            )


def common_folders(one: Sequence[str] | None, other: Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the resolved folders below which lies what lies below folders of both; None for no limit."""
    if one is None or other is None:
        found = other if one is None else one
        return None if found is None else tuple(found)
    inner = [folder for folder in one if is_below(folder, other)]
    return tuple(dict.fromkeys([*inner, *(folder for folder in other if is_below(folder, one))]))


OPEN = Roots((), True)
# Those of the server whose request this is: set for every request, so that whatever opens a catalogued file
# by way of `stat_file` is held to them, without each route having to hand them on.
current: ContextVar[Roots] = ContextVar("roots", default=OPEN)
