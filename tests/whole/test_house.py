"""Rooms of a human size: few modules a folder, short files, a word on each room, tests that stand alone.

What imports what is held by import-linter (`pyproject.toml`); these are the rules that it cannot state.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from programs import ROOT

PRODUCT = ("api", "encoders", "indexer", "search")
MOST_MODULES = 15  # a folder, `__init__.py` included
MOST_LINES = 400
MEDIAN_LINES = 150


def modules_of(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def crowded(*folders: Path) -> dict[str, int]:
    """Folders that hold more modules than one can overlook, and how many."""
    counts = Counter(path.parent for path in modules_of(*folders))
    return {str(folder): count for folder, count in sorted(counts.items()) if count > MOST_MODULES}


def long_files(*folders: Path) -> dict[str, int]:
    lines = {str(path): count_lines(path) for path in modules_of(*folders)}
    return {path: count for path, count in lines.items() if count > MOST_LINES}


def silent_rooms(*folders: Path) -> list[str]:
    """Packages whose `__init__.py` is missing or says nothing."""
    rooms = {path.parent for path in modules_of(*folders)}
    silent = []
    for room in sorted(rooms):
        opening = room / "__init__.py"
        if not opening.is_file() or not ast.get_docstring(ast.parse(opening.read_text(encoding="utf-8"))):
            silent.append(str(room))
    return silent


def imported_by(path: Path) -> Iterator[str]:
    """The top-level names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def leaning(tests: Path) -> list[str]:
    """Modules beneath `tests` that import a test or a conftest, and what they import."""
    modules = modules_of(tests)
    own = {path.stem for path in modules if path.stem == "conftest" or path.stem.startswith("test_")}
    return [f"{path.name} imports {name}" for path in modules for name in sorted({*imported_by(path)} & own)]


def product() -> list[Path]:
    folders = [ROOT / name for name in PRODUCT]
    assert len(modules_of(*folders)) > 100  # else nothing was measured
    return folders


def test_no_folder_is_crowded() -> None:
    assert crowded(*product(), ROOT / "tests") == {}


def test_no_file_of_the_product_is_long() -> None:
    assert long_files(*product()) == {}


def test_half_of_the_files_of_the_product_are_short() -> None:
    # Without the openings of rooms, which are a line or two and would flatter the rest.
    lines = [count_lines(path) for path in modules_of(*product()) if path.name != "__init__.py"]
    assert median(lines) < MEDIAN_LINES


def test_every_room_says_what_it_is() -> None:
    assert silent_rooms(*product()) == []


def test_no_test_imports_another() -> None:
    assert leaning(ROOT / "tests") == []


def test_names_of_test_modules_are_unique() -> None:
    counts = Counter(path.name for path in modules_of(ROOT / "tests") if path.name != "conftest.py")
    assert [name for name, count in counts.items() if count > 1] == []


def test_what_breaks_the_rules_is_found(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    for number in range(MOST_MODULES):
        (room / f"test_{number}.py").write_text("x = 1\n" * MOST_LINES)
    (room / "__init__.py").write_text('"""A room."""\n')
    assert crowded(tmp_path) == {str(room): MOST_MODULES + 1}
    (room / "__init__.py").unlink()
    assert crowded(tmp_path) == long_files(tmp_path) == {}
    assert silent_rooms(tmp_path) == [str(room)]
    (room / "__init__.py").write_text("x = 1\n")
    assert silent_rooms(tmp_path) == [str(room)] and leaning(tmp_path) == []
    (room / "test_0.py").write_text("x = 1\n" * MOST_LINES + "def late():\n    from test_1 import x\n")
    assert long_files(tmp_path) == {str(room / "test_0.py"): MOST_LINES + 2}
    assert leaning(tmp_path) == ["test_0.py imports test_1"]
