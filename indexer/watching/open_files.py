"""Files that some program on this machine is still writing to, where /proc tells."""

from __future__ import annotations

import os
from collections.abc import Iterable

from search.file_names import os_path


def find_open_for_writing(paths: Iterable[str]) -> set[str]:
    """Finds the paths that a program has open for writing; one of another user's may not be seen.

    Where there is no /proc, none.
    """
    wanted = {os.path.realpath(os_path(path)): path for path in paths}
    found: set[str] = set()
    try:
        programs = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found
    for program in programs:
        folder = f"/proc/{program}/fd"
        try:
            numbers = os.listdir(folder)
        except OSError:  # another user's, or it has ended
            continue
        for number in numbers:
            try:
                path = wanted.get(os.readlink(f"{folder}/{number}"))
                if path is not None and _writes(f"/proc/{program}/fdinfo/{number}"):
                    found.add(path)
            except OSError:
                continue
    return found


def _writes(description: str) -> bool:
    with open(description, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("flags:"):
                return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
