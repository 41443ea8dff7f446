"""What the tests of the service have: an empty library with keys, and torch on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from search.catalog.keys import Keys, Role
from search.library import Library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    opened = Library(tmp_path_factory.mktemp("library"), create=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def tokens(library: Library) -> dict[str, str]:
    """A key of each role, in the module's library."""
    with library.database.write() as connection:
        return {role.value: Keys(connection).create(role, name=f"{role} key")[1] for role in Role}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: the service's own threads compute beside each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
