"""What the tests of video have: a decoding program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from indexer.video.programs.worker import DecodeWorker


@pytest.fixture(scope="module")
def worker() -> Iterator[DecodeWorker]:
    with DecodeWorker(stall_seconds=30) as made:
        yield made
