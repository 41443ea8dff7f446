"""Logs: JSON lines with the request's id, without paths and queries unless those are asked for."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
import uuid
from contextvars import ContextVar

# Of the request that a line is about; threads that work for it see it as well.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class JsonLines(logging.Formatter):
    """One JSON object a line, ASCII only: what a client sends cannot begin a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats a record as a line, without its end."""
        document: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        current = request_id.get()
        if current is not None:
            document["request_id"] = current
        document.update(getattr(record, "facts", {}))
        if record.exc_info:
            document["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(document, ensure_ascii=True, default=str)


def set_up(level: str) -> None:
    """Has every logger of this program write JSON lines to stderr."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(lines)
    root.setLevel(level.upper())
    # What others say at info level may hold addresses with their paths.
    for name in ("uvicorn", "httpx", "httpx2", "httpcore", "urllib3", "multipart", "python_multipart"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def choose_request_id(sent: str | None) -> str:
    """Takes the id that a client or proxy sent, if it is a plain one; else makes a new one."""
    if sent is not None and _GOOD_ID.fullmatch(sent):
        return sent
    return uuid.uuid4().hex
