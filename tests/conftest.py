"""What every test has: a library of its own, no model hub, real footage, a real PostgreSQL, real weights.

A test that needs something this machine lacks is skipped with its reason. Where it must not be
(`REQUIRE_GPU=1`, `REQUIRE_BROWSER=1`, `REQUIRE_NETWORK=1`, `REQUIRE_POSTGRES=1`, `REQUIRE_CLIPS=1`),
the skip is a failure: a run that should have had it cannot pass without.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from postgres_server import PostgresServer, new_postgres
from programs import Ran
from samples import own_footage
from surroundings import browser_path, lacking

if TYPE_CHECKING:
    from encoders.embedding.encoder import Encoder

# Before any test module imports a library that reads them at import: nothing asks a model hub, and
# what is cached is this run's own, child programs included.
_cache = tempfile.TemporaryDirectory(prefix="reelseek-tests-")
for _name in ("XDG_CACHE_HOME", "HF_HOME"):
    os.environ[_name] = _cache.name
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several programs, each with a core to itself
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    # Tests marked `network` get a run of their own: the hub client reads its switch once, at import.
    if "network" in (config.option.markexpr or "") and "not network" not in config.option.markexpr:
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            os.environ.pop(name, None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for what, missing in (("gpu", _no_gpu), ("browser", _no_browser), ("network", _no_network)):
        if item.get_closest_marker(what) and (reason := missing()):
            lacking(what, reason)


def _no_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA GPU was found"


def _no_browser() -> str | None:
    return None if browser_path() else "no Chromium was found"


def _no_network() -> str | None:
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return "the hub is switched off; run the network tests alone, with -m network"
    try:
        socket.create_connection(("huggingface.co", 443), timeout=3).close()
    except OSError as error:
        return f"the model hub cannot be reached: {error}"
    return None


@pytest.fixture(scope="session", autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the user's library, database and settings out of the tests, child programs included."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("REELSEEK_")]:
            if name not in ("REELSEEK_CLIPS", "REELSEEK_BROWSER"):
                patch.delenv(name)
        patch.setenv("REELSEEK_LIBRARY", str(tmp_path_factory.mktemp("library")))
        patch.setenv("COLUMNS", "120")
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture
def indexer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command in this program, as its entry point does."""
    from indexer.commands import app as cli

    def run(*words: object, library: object = None) -> Ran:
        folder = [] if library is None else ["--library", str(library)]
        monkeypatch.setattr(sys, "argv", ["indexer", *map(str, words), *folder])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out
        return Ran(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def clips_folder() -> Path:
    """A folder of real footage: $REELSEEK_CLIPS, else `shared/clips` beside the checkout."""
    folder = own_footage()
    if not folder.is_dir():
        lacking("clips", f"there is no folder of real footage at {folder}; REELSEEK_CLIPS names one")
    return folder


@pytest.fixture(scope="session")
def offline_encoder() -> Encoder:
    """The encoder with real weights that needs no hub; loaded once."""
    from encoders import open_encoder

    return open_encoder("offline", device="cpu")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL of this run's own, on a Unix socket, without a system installation."""
    with new_postgres() as server:
        yield server


@pytest.fixture
def new_postgres_url(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """Makes empty databases: each call returns the SQLAlchemy URL of a new one, dropped afterwards."""
    names: list[str] = []

    def create() -> str:
        names.append(postgres_server.create_database())
        return postgres_server.url(names[-1])

    yield create
    for name in names:
        postgres_server.drop_database(name)


@pytest.fixture
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """The SQLAlchemy URL of one empty database of this test's own."""
    return new_postgres_url()
