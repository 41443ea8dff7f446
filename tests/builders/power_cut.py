"""Power cuts, replayed: what a program wrote, as strace saw it, less what was not yet synced.

A disk promises no more than this: what was synced is there; of what was written since, any part may be,
in any order, a write perhaps by half; names that were made, moved or deleted since may be as before.
`Recording.after_cut` makes such a disk. What it leaves out: sectors that decay, a disk that lies about
its syncs, and files that are mapped (SQLite's -shm, which is not needed to recover).
"""

from __future__ import annotations

import random
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "openat,pwrite64,write,sendfile,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate"
SECTOR_BYTES = 512
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_NUMBER = re.compile(r"^(\d+)<([^>]*)>")


@dataclass(slots=True)
class _File:
    """One file, whatever it is called: what is on the disk, and what was written since."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[str, int, bytes]] = field(default_factory=list)


def _apply(content: bytearray, kind: str, offset: int, written: bytes) -> None:
    if kind == "truncate":
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset + len(written) - len(content))))
    content[offset : offset + len(written)] = written


class Recording:
    """What a program did to the files of one folder, call by call.

    Args:
        command: The program; run once, under strace.
        folder: Whose files count; as it is before is what is on the disk at first.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.folder = folder
        self._first = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        log = folder.with_name(f"{folder.name}.strace")
        done = subprocess.run(
            ["strace", "-f", "-y", "-xx", "-s", "99999999", "-e", f"trace={CALLS}", "-o", str(log), *command],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        # (what was called, its arguments, its result), and ("said", line, 0) for what the program said.
        self.calls: list[tuple[str, str, int]] = []
        for line in log.read_text().splitlines():
            match = _LINE.match(line)
            if match is None or int(match[3]) < 0:
                continue
            name, arguments, result = match[1], match[2], int(match[3])
            if name == "write" and arguments.startswith("1<"):
                self.calls += [("said", said, 0) for said in _text(arguments).decode().splitlines()]
            elif str(folder).encode().hex() in arguments.replace("\\x", ""):
                self.calls.append((name, arguments, result))
        log.unlink()

    def said_before(self, cut: int) -> list[str]:
        """What the program had acknowledged before a call."""
        return [said for name, said, _ in self.calls[:cut] if name == "said"]

    def after_cut(self, cut: int, target: Path, seed: int) -> None:
        """Writes the folder as it may be found after the power went just before a call.

        Args:
            cut: Number of the call.
            target: A new folder.
            seed: Decides which unsynced writes arrived; 0 means none did.
        """
        synced = {name: _File(bytearray(content)) for name, content in self._first.items()}
        names = dict(synced)
        # (folder, what is called how in it now): what is moved at once, as a folder with all in it, is one.
        moves: list[tuple[str, dict[str, _File | None]]] = []
        open_files: dict[int, tuple[_File, list[int]]] = {}
        chance = random.Random(seed)

        def settle(folder: str) -> None:
            for move in [move for move in moves if move[0] == folder]:
                _name(synced, move[1])
                moves.remove(move)

        for name, arguments, result in self.calls[:cut]:
            if name == "said":
                continue
            if name == "openat":
                path = _path(arguments)
                file = names.get(path)
                if file is None and "O_CREAT" in arguments:
                    file = names[path] = _File()
                    moves.append((str(Path(path).parent), {path: file}))
                if file is not None:
                    if "O_TRUNC" in arguments:
                        file.pending.append(("truncate", 0, b""))
                    open_files[result] = (file, [0])
                else:
                    open_files.pop(result, None)
            elif name.startswith("rename"):
                old, new = (_unhex(text).decode() for text in _STRING.findall(arguments)[:2])
                moved = [known for known in names if known == old or known.startswith(f"{old}/")]
                there = {new + known.removeprefix(old): names.pop(known) for known in moved}
                names.update(there)
                moves.append((str(Path(new).parent), dict(there)))
                moves.append((str(Path(old).parent), dict.fromkeys(moved)))
            elif name in ("unlink", "unlinkat"):
                path = _path(arguments)
                names.pop(path, None)
                moves.append((str(Path(path).parent), {path: None}))
            else:
                match = _NUMBER.match(arguments)
                assert match is not None
                number, path = int(match[1]), match[2]
                if name in ("fsync", "fdatasync") and number not in open_files:
                    settle(_plain(path))  # a folder
                    continue
                if number not in open_files:
                    continue
                file, position = open_files[number]
                if name in ("fsync", "fdatasync"):
                    for write in file.pending:
                        _apply(file.synced, *write)
                    file.pending.clear()
                    for known, candidate in names.items():  # a new file's name is synced with it
                        if candidate is file and known not in synced:
                            synced[known] = file
                elif name == "pwrite64":
                    file.pending.append(("write", int(arguments.rsplit(",", 1)[1]), _text(arguments)))
                elif name in ("write", "sendfile"):
                    sent = _text(arguments) if name == "write" else _sent(arguments, result, names)
                    file.pending.append(("write", position[0], sent))
                    position[0] += result
                elif name == "ftruncate":
                    file.pending.append(("truncate", int(arguments.rsplit(",", 1)[1]), b""))
        for _, changed in moves:
            if seed and chance.random() < 0.5:
                _name(synced, changed)
        _write(synced, self.folder, target, chance if seed else None)


def _write(files: dict[str, _File], folder: Path, target: Path, chance: random.Random | None) -> None:
    for name, file in files.items():
        content = bytearray(file.synced)
        for kind, offset, written in file.pending:
            if chance is None or chance.random() < 0.4:
                continue
            if kind == "write" and len(written) > SECTOR_BYTES and chance.random() < 0.3:
                written = written[: chance.randrange(1, len(written) // SECTOR_BYTES + 1) * SECTOR_BYTES]
            _apply(content, kind, offset, written)
        path = target / Path(name).relative_to(folder)
        if path.name.endswith("-shm"):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _name(files: dict[str, _File], changed: dict[str, _File | None]) -> None:
    for name, file in changed.items():
        if file is None:
            files.pop(name, None)
        else:
            files[name] = file


def _path(arguments: str) -> str:
    """The path that a call names, from the folder that it names too if it is a relative one."""
    path = _text(arguments).decode()
    place = re.match(r"^(?:\d+|AT_FDCWD)<([^>]*)>", arguments)
    return path if path.startswith("/") or place is None else f"{_plain(place[1])}/{path}"


def _sent(arguments: str, length: int, names: dict[str, _File]) -> bytes:
    """What `sendfile` copied out of another file, from the place that it was told."""
    _, source, offset = re.match(r"^(\d+<[^>]*>), \d+<([^>]*)>, \[(\d+)\]", arguments).groups()
    file = names[_plain(source)]
    content = bytearray(file.synced)
    for write in file.pending:
        _apply(content, *write)
    return bytes(content[int(offset) : int(offset) + length])


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _text(arguments: str) -> bytes:
    match = _STRING.search(arguments)
    return b"" if match is None else _unhex(match[1])


def _plain(path: str) -> str:
    return _unhex(path).decode() if path.startswith("\\x") else path
