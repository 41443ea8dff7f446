"""What the tests of ingest have: a library that takes videos by the offline encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_library import make_offline_library

from encoders.embedding.encoder import Encoder
from search.library import Library


@pytest.fixture
def library(tmp_path: Path, offline_encoder: Encoder) -> Iterator[Library]:
    library = make_offline_library(tmp_path / "library", offline_encoder)
    yield library
    library.close()
