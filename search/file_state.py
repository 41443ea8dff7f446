"""The state of a file: by it whatever keeps something of a file knows whether that is still the same."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileState:
    """The size, times and identity of a file, as seen without reading it.

    Copying programs set the modification time back, and another file of the same size may take the place of
    one in its very inode; the time of the inode's own last change is set by the system alone.

    Attributes:
        size_bytes: Of the file.
        mtime_ns: Of its last change, nanoseconds since the epoch.
        ctime_ns: Of the last change of its inode; None where it was not kept.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int | None = None

    @classmethod
    def of(cls, stat: os.stat_result) -> FileState:
        """The state of a file that was looked at."""
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @property
    def key(self) -> str:
        """A name of this state: letters, digits and hyphens."""
        known = (self.size_bytes, self.mtime_ns, self.ctime_ns)
        return "-".join(f"{number:x}" for number in known if number is not None)

    def is_same(self, other: FileState) -> bool:
        """True where nothing that both know tells them apart."""
        unknown = None in (self.ctime_ns, other.ctime_ns)
        return (
            self.size_bytes == other.size_bytes
            and self.mtime_ns == other.mtime_ns
            and (unknown or self.ctime_ns == other.ctime_ns)
        )

    def is_named(self, key: str) -> bool:
        """True where a key is that of the same state."""
        return key == self.key or (self.ctime_ns is None and key.startswith(f"{self.key}-"))
