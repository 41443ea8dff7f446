"""`indexer search` on a terminal and into files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from api.server import run
from encoders.errors import InvalidQueryError
from search.library import Library


@pytest.mark.parametrize(
    ("name", "reason"), [("missing/sheet.jpg", "there is no folder"), ("sheet.xyz", "should end in .jpg")]
)
def test_a_contact_sheet_that_cannot_be_written_is_refused_in_a_line(
    tmp_path: Path, indexer: Callable, name: str, reason: str
) -> None:
    Library(tmp_path / "library", create=True).close()
    ran = indexer("search", "a dog", "--contact-sheet", tmp_path / name, library=tmp_path / "library")
    assert ran.code != 0 and reason in ran.err and len(ran.err.strip().splitlines()) == 1


def test_a_setting_that_is_none_is_named_with_what_was_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELSEEK_MAX_UPLOAD_BYTES", "much")
    with pytest.raises(InvalidQueryError, match=r"REELSEEK_MAX_UPLOAD_BYTES: .*got .much"):
        run(tmp_path / "library", database_url=None, device="cpu", index="faiss", host="127.0.0.1", port=0)
    assert not (tmp_path / "library").exists()
