"""The socket in a library's folder on which its server answers commands of the same user.

Only that user can open it. What commands ask there, and why, is in docs/decisions/0022.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

SOCKET_NAME = "server.sock"
HEADER = "Reelseek-Library"
CONNECT_SECONDS = 0.2
ADDRESS_BYTES = 100  # of 104 or 108 that a socket's address may have
BACKLOG = 128


def fingerprint(folder: Path, database_url: str | None, index: str) -> str:
    """Returns what a server and a command must have in common for equal answers, as a SHA-256.

    That is the library, the catalog, the kind of index, the time zone (a day without one is read in it), and
    this very installation as it is now: an upgrade writes this file anew.
    """
    import hashlib

    own = os.stat(__file__)
    zone = (*time.tzname, time.timezone, time.altzone)
    parts = (os.path.realpath(__file__), own.st_mtime_ns, os.path.realpath(folder), database_url, index, zone)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def is_own(path: Path) -> bool:
    """Checks that a path is a socket which this user made, and which nobody else may open.

    Raises:
        OSError: There is none.
    """
    found = os.lstat(path)
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


@contextmanager
def listening(folder: Path) -> Iterator[socket.socket | None]:
    """Listens on a library's socket until the block ends; None where another server does, or nobody can."""
    path = folder / SOCKET_NAME
    try:
        listener = _listen(path)
        made = os.lstat(path)
    except OSError:  # a read-only folder, a file system without sockets
        yield None
        return
    try:
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            if os.path.samestat(os.lstat(path), made):
                path.unlink()


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # nobody else may connect, not for a moment
    try:
        with short_address(path) as address:
            with suppress(FileNotFoundError):
                if stat.S_ISSOCK(os.lstat(path).st_mode) and not _is_answered(address):
                    path.unlink()  # a killed server left it
            listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _is_answered(address: str) -> bool:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as caller:
        caller.settimeout(CONNECT_SECONDS)
        try:
            caller.connect(address)
        except ConnectionRefusedError:
            return False
        except OSError:  # whoever holds it is busy
            return True
    return True


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """The address of a socket: its path, or on Linux a shorter way there where that is too long for one."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES or not os.path.isdir("/proc/self/fd"):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
