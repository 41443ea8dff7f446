"""The machine that the tests run on: what it lacks, and where its browser is."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def lacking(what: str, reason: str) -> NoReturn:
    """Skips the test, or fails it when REQUIRE_<WHAT>=1 says that it must run here."""
    name = f"REQUIRE_{what.upper()}"
    if os.environ.get(name, "") not in ("", "0"):
        pytest.fail(f"{name} is set, but {reason}", pytrace=False)
    pytest.skip(f"{reason} ({name}=1 makes this a failure)")


def browser_path() -> str | None:
    """The Chromium on this machine, or None; REELSEEK_BROWSER names another."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("REELSEEK_BROWSER") or next(filter(None, map(shutil.which, names)), None)
