"""What the tests of actions have: libraries of made features, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from made_actions import add, add_head, make

from encoders.heads.head import ActionSpan
from search.library import Library


@pytest.fixture(params=["sqlite", "postgresql"])
def library(request, tmp_path) -> Iterator[Library]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    library = Library(tmp_path / "library", database_url=url, create=True)
    make(library)
    yield library
    library.close()


@pytest.fixture
def plain(tmp_path) -> Iterator[Library]:
    """On SQLite alone, for what does not depend on the database."""
    library = Library(tmp_path / "library", create=True)
    make(library)
    yield library
    library.close()


@pytest.fixture
def with_segments(library) -> Library:
    """Four videos with made segments of a kinetics head (no features are read), none of them tagged."""
    paths = ("/b/z.mp4", "/a/1.mp4", "/a/ä\U0001f3ac.mp4", "/a/B.mp4")
    ids = [add(library, path, "oooo", seed=number) for number, path in enumerate(paths)]
    random = np.random.default_rng(4)
    with library.write() as catalog:
        sure = add_head(catalog, "kinetics:one", 0.6, "kinetics", actions=["running", "jumping"])
        lax = add_head(catalog, "kinetics:two", 0.3, "kinetics", actions=["running"])
        idle = add_head(catalog, "kinetics:new", 0.0, "kinetics", is_active=False, actions=["running"])
        for video_id in ids:
            for head_id in (sure, lax, idle):
                starts = np.round(random.uniform(0, 12, 5), 3)
                spans = [
                    ActionSpan("running", start, start + 0.25 * (1 + number), round(0.1 + 0.2 * number, 1))
                    for number, start in enumerate(starts.tolist())
                ]
                catalog.actions.add_segments(video_id, head_id, spans)
        catalog.actions.add_segments(ids[0], sure, [ActionSpan("jumping", 1, 2, 0.9)])
        # The same start twice: the id decides.
        catalog.actions.add_segments(ids[1], sure, [ActionSpan("running", 5, 6, 0.9)] * 2)
        staged = catalog.stage_video("/a/staged.mp4", 1, 1)
        catalog.actions.add_segments(staged, sure, [ActionSpan("running", 0, 9, 1.0)])
    return library
