"""Confinement of decoding programs: the kernel keeps them from files, sockets and other programs.

Codecs are large and old, and read what strangers send; somebody may take the program over by a hole in one.
Two mechanisms of Linux then leave little to take: Landlock (kernel 5.13 and later,
Documentation/userspace-api/landlock) takes away the right to open, write, make, rename or delete files
outside a few folders, and TCP; a seccomp filter (Documentation/userspace-api/seccomp_filter) refuses the
system calls that would make sockets, start programs, look into others or change what belongs to files.
Neither can be undone, and both hold for all threads that follow.

No well-kept package offers either to Python, so that these are the documented calls themselves, by ctypes.
Where the kernel has one of them only, or none, the program works all the same, and `indexer status` says so.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Self

from indexer.video.limits import WorkerLimits

# Rights of Landlock, by the version of its interface from which they can be taken away.
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_OF_ONE_FILE = 1 | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
_TCP_RIGHTS, _TCP_SINCE = 0b11, 4  # bind, connect
_SCOPES, _SCOPES_SINCE = 0b11, 6  # abstract sockets, signals
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG, _RULE_PATH_BENEATH = 1, 1

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_REFUSED, _ALLOWED = 0x00050000 | 1, 0x7FFF0000  # EPERM
# By machine: the number of its architecture, and of the calls that are refused.
_REFUSED_CALLS = {
    "x86_64": (
        0xC000003E,
        (41, 53, 59, 62, 90, 91, 92, 93, 94, 101, 129, 132, 155, 161, 165, 166, 188, 189, 190, 197, 198, 199,
         235, 246, 248, 249, 250, 259, 260, 261, 268, 272, 280, 297, 298, 303, 304, 308, 310, 311, 320, 321,
         322, 323, 424, 425, 434, 438, 452),
    ),
    "aarch64": (
        0xC00000B7,
        (5, 6, 7, 14, 15, 16, 33, 39, 40, 41, 51, 52, 53, 54, 55, 88, 97, 104, 117, 129, 138, 198, 199, 217,
         218, 219, 221, 240, 241, 264, 265, 268, 270, 271, 280, 281, 282, 294, 424, 425, 434, 438, 452),
    ),
}  # fmt: skip

# What any program here reads: its libraries, the clock's zone, its own state.
_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc/self", "/proc/cpuinfo",
    "/proc/meminfo", "/sys/devices",
)  # fmt: skip
_ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for one decoding program.

    Attributes:
        limits: Of strangers' files; None for one's own.
        reads: Files and folders that it may read besides its own libraries; None for all that its user may.
        writes: Folders in which it may make, write and remove files.
    """

    limits: WorkerLimits | None = None
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        found = json.loads(text)
        limits = None if found["limits"] is None else WorkerLimits(**found["limits"])
        return cls(limits, None if found["reads"] is None else tuple(found["reads"]), tuple(found["writes"]))


def confine(rules: Rules) -> None:
    """Holds this program to its rules, as far as the kernel can; before it starts a thread.

    Args:
        rules: What may be read and written; the limits are applied by themselves, later.
    """
    version = landlock_version()
    if version or _has_seccomp():
        _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if version:
        _restrict_files(version, rules)
    if _has_seccomp():
        _refuse_calls()


def describe_confinement() -> str:
    """Names what confines decoding programs here: "Landlock 7 and seccomp"."""
    version = landlock_version()
    found = ([f"Landlock {version}"] if version else []) + (["seccomp"] if _has_seccomp() else [])
    return " and ".join(found) or "nothing: this system has neither Landlock nor seccomp"


@functools.cache
def landlock_version() -> int:
    """The version of Landlock's interface in this kernel; 0 where it has none."""
    if sys.platform != "linux":
        return 0
    version = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    return max(0, int(version))


@functools.cache
def _has_seccomp() -> bool:
    if sys.platform != "linux" or platform.machine() not in _REFUSED_CALLS:
        return False
    with suppress(OSError), open("/proc/self/status") as status:
        return any(line.startswith("Seccomp:") for line in status)
    return False


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _restrict_files(version: int, rules: Rules) -> None:
    handled = max(rights for since, rights in _FILE_RIGHTS.items() if since <= version)
    attributes = struct.pack(
        "=QQQ",
        handled,
        _TCP_RIGHTS if version >= _TCP_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    size = 24 if version >= _SCOPES_SINCE else 16 if version >= _TCP_SINCE else 8
    ruleset = _libc().syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return
    try:
        reading = _READ_FILE | _READ_DIR
        readable = ("/",) if rules.reads is None else (*_SYSTEM, *_own_folders(), *rules.reads)
        _allow(ruleset, readable, reading & handled)
        _allow(ruleset, (_ROOT,), _READ_DIR)  # imports look for names there
        _allow(ruleset, _DEVICES, (_READ_FILE | _WRITE_FILE) & handled)
        made = reading | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
        _allow(ruleset, rules.writes, made & handled)
        if _libc().syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "Landlock refused to restrict the decoder")
    finally:
        os.close(ruleset)


def _own_folders() -> list[str]:
    """Where Python and its packages are; of a checkout the packages alone, not what lies beside them."""
    found = [sys.prefix, sys.base_prefix]
    found += [path for path in sys.path if path and os.path.realpath(path) != _ROOT]
    if not os.path.exists(os.path.join(_ROOT, "pyproject.toml")):  # installed, among other packages
        return [*found, _ROOT]
    return found + [os.path.join(_ROOT, name) for name in ("encoders", "indexer", "search")]


def _allow(ruleset: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            wanted = rights if os.path.isdir(path) else rights & _OF_ONE_FILE
            rule = struct.pack("=Qi", wanted, place)
            if _libc().syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0) != 0:
                raise OSError(ctypes.get_errno(), f"Landlock refused the rule for {path}")
        finally:
            os.close(place)


def _refuse_calls() -> None:
    """A filter in classic BPF: of another architecture every call is refused, of this one those listed."""
    architecture, calls = _REFUSED_CALLS[platform.machine()]
    load, jump_if_equal, jump_if_at_least, answer = 0x20, 0x15, 0x35, 0x06
    tests = [
        (load, 4, False),  # seccomp_data.arch
        (jump_if_equal, architecture, False),
        (load, 0, False),  # seccomp_data.nr
        (jump_if_at_least, 0x40000000, True),  # the x32 calls of x86-64
        *((jump_if_equal, call, True) for call in calls),
    ]
    refuse = len(tests) + 1  # the last instruction; the one before allows
    program = []
    for place, (code, value, refused_if) in enumerate(tests):
        distance = refuse - place - 1
        jumps = (0, 0) if code == load else (distance, 0) if refused_if else (0, distance)
        program.append(struct.pack("=HBBI", code, *jumps, value))
    program += [struct.pack("=HBBI", answer, 0, 0, value) for value in (_ALLOWED, _REFUSED)]
    packed = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("@HP", len(program), ctypes.addressof(packed))
    if _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp refused the decoder's filter")
