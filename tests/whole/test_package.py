"""What is shipped: the lock, the wheel, and a command that starts without loading a model."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.request
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from programs import MODEL_LIBRARIES, ROOT, modules_after, run_python

SHIPPED = ("alembic", "api", "encoders", "indexer", "search")
PLATFORMS = [
    {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux"},
    {"sys_platform": "linux", "platform_machine": "aarch64", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_machine": "arm64", "platform_system": "Darwin"},
]


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, f"{command} failed:\n{found.stdout}\n{found.stderr}"
    return found


# --- the lock --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_the_lock_names_no_place() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9._]+( ; .+)?", line), line
    assert not re.search(r"://|/|@|--", text), "a URL, a path or an option of a package index"


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda found: "-".join(found.values()))
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_answers_every_dependency(
    locked: list[Requirement], platform: dict[str, str], python: str
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    wanted += project["build-system"]["requires"]
    environment = {
        **platform,
        "python_version": python,
        "python_full_version": f"{python}.1",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
    }
    here = [found for found in locked if found.marker is None or found.marker.evaluate(environment)]
    versions = {canonicalize_name(found.name): Version(str(found.specifier)[2:]) for found in here}
    assert len(versions) == len(here), "one package is locked twice for one platform"
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked for {environment}"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} got {version}"
    linux_pc = platform["sys_platform"] == "linux" and platform["platform_machine"] == "x86_64"
    assert ("faiss-gpu" in versions) is linux_pc
    assert ("faiss-cpu" in versions) is not linux_pc


def test_whatever_the_code_imports_is_a_dependency_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {canonicalize_name(Requirement(line).name) for line in project["project"]["dependencies"]}
    declared |= {"starlette", "anyio"}  # FastAPI is these two
    owners = packages_distributions()
    for folder in SHIPPED:
        for path in (ROOT / folder).rglob("*.py"):
            for module in imported_modules(path) - set(sys.stdlib_module_names) - set(SHIPPED):
                found = {canonicalize_name(name) for name in owners.get(module, [])}
                assert found & declared, f"{path.relative_to(ROOT)} imports {module}: {found}"
    engine = ROOT / "search" / "index" / "faiss_index.py"
    assert imported_modules(engine) >= {"faiss", "search"}  # something was read


def imported_modules(path: Path) -> set[str]:
    """The top-level modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


# --- the documents ---------------------------------------------------------------------------------


def test_the_documents_point_at_things_that_exist() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    checked = 0
    for document in documents:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} points at {target}"
                checked += 1
        for target in re.findall(r"`((?:api|docs|encoders|indexer|search|tests)/[\w/.-]+\.\w+)`", text):
            assert (ROOT / target).exists(), f"{document.name} names {target}"
            checked += 1
        for target in re.findall(r"`?make ([a-z-]+)`", text):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), f"no make {target}"
            checked += 1
    assert checked > 20


# --- the command -----------------------------------------------------------------------------------


def test_help_and_status_load_no_model(tmp_path: Path) -> None:
    from search.library import Library

    Library(tmp_path / "library", create=True).close()
    for arguments in (["--help"], ["ingest", "--help"], ["status", "--library", tmp_path / "library"]):
        loaded = modules_after(*arguments)
        assert "indexer" in loaded  # else nothing was measured
        assert not loaded & MODEL_LIBRARIES, arguments
        assert not loaded & {"cv2", "scipy", "scenedetect"}, arguments
        assert not loaded & {"rich", "faiss", "alembic", "psycopg", "av", "PIL", "http"}, arguments
        assert arguments[0] == "status" or not loaded & {"numpy", "sqlalchemy"}, arguments


def test_a_catalog_in_a_file_loads_nothing_of_postgresql() -> None:
    code = "import sys, search.library; print(*(name for name in sys.modules if 'postgresql' in name))"
    assert run_python(code).stdout.split() == []


# --- the wheel -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what the repository ships, so that nothing lying about gets in."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", built, source, cwd=built)
    (found,) = built.glob("reelseek-*-py3-none-any.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_all_that_is_needed_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, place in (
        ("alembic", "search/alembic"),
        ("api", "api"),
        ("encoders", "encoders"),
        ("indexer", "indexer"),
        ("search", "search"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{place}/{path.relative_to(ROOT / folder).as_posix()}" in names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"api", "encoders", "indexer", "search"}
    assert not [name for name in names if "test" in name.lower() or name.endswith(".pyc")]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment's `bin` with the wheel in it.

    The dependencies are this environment's own, seen through a .pth file: several GB of them would
    only be copied. Reelseek itself comes from the wheel, because the checkout is not on the path.
    """
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=venv.parent)
    python = venv / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", wheel, cwd=venv.parent)
    (packages,) = venv.glob("lib/python*/site-packages")
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    # As plain paths: this environment's own .pth files, one of which names the checkout, stay unread.
    (packages / "dependencies.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    return venv / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """An empty folder and an environment that know nothing of the checkout."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("REELSEEK_", "PYTHON"))}
    return tmp_path, {**keep, "REELSEEK_LIBRARY": str(tmp_path / "library")}


@pytest.mark.slow
def test_an_installed_wheel_migrates_its_own_database(
    installed: Path, elsewhere: tuple[Path, dict[str, str]]
) -> None:
    folder, env = elsewhere
    where = run(installed / "python", "-c", "import search; print(*search.__path__)", cwd=folder, env=env)
    assert where.stdout.strip() == str(next(installed.parent.glob("lib/python*/site-packages/search")))
    assert "Usage: indexer" in run(installed / "indexer", "--help", cwd=folder, env=env).stdout
    create = (
        "from pathlib import Path; from search.library import Library; import sys;"
        "library = Library(Path(sys.argv[1]), create=True);"
        "print(library.database.schema_revision()); library.close()"
    )
    made = run(installed / "python", "-c", create, folder / "library", cwd=folder, env=env)
    newest = max(path.name.partition("_")[0] for path in (ROOT / "alembic" / "versions").glob("*.py"))
    assert made.stdout.strip() == newest
    status = json.loads(run(installed / "indexer", "status", "--json", cwd=folder, env=env).stdout)
    assert status["videos"] == {"indexed": 0, "failed": 0, "missing": 0}
    assert status["clips"] == 0


@pytest.mark.slow
def test_an_installed_wheel_serves_its_page(installed: Path, elsewhere: tuple[Path, dict[str, str]]) -> None:
    folder, env = elsewhere
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [installed / "indexer", "serve", "--port", "0"], cwd=folder, env=env, stderr=output
        )
    try:
        address = wait_for_address(server, log)
        with urllib.request.urlopen(f"{address}/healthz", timeout=30) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{address}/", timeout=30) as answer:
            page = answer.read()
            assert answer.headers["content-type"].startswith("text/html")
        assert page == (ROOT / "api" / "page" / "index.html").read_bytes()
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0, log.read_text()


def wait_for_address(server: subprocess.Popen[bytes], log: Path) -> str:
    """The address that a server says it serves."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"http://\S+:\d+", log.read_text()):
            return found.group()
        time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
