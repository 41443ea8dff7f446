"""Text that cannot leave its field, nor break its line."""

from __future__ import annotations

import re

from search.file_names import os_path
from search.types import Segment

# Where a spreadsheet takes what begins so for a formula, and runs it: also behind what some of them take for
# the separator.
_FORMULA_STARTS = re.compile("^(?=[=+\\-@\t\r\n＝＋－＠])|(?<=[;\t|])(?=[=+\\-@＝＋－＠])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def cell(text: str) -> str:
    return _FORMULA_STARTS.sub("'", _valid(text))


def label(segment: Segment) -> str:
    return f"{one_line(segment.action)} {segment.confidence:.0%} ({one_line(segment.head)})"


def one_line(text: str) -> str:
    """Puts text on one line, without control characters: no text can begin a line of its own."""
    return _CONTROLS.sub(" ", _valid(text)).strip() or "?"


def _valid(text: str) -> str:
    """Makes text valid Unicode: names of files need not be."""
    return os_path(text).encode("utf-8", "replace").decode("utf-8")
