"""The audit log: a line for every change that somebody asked for, in the library's folder."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

NAME = "audit.jsonl"


class AuditLog:
    """Appends JSON lines to `audit.jsonl` in a folder; safe to share between threads and programs.

    Each line is one `write` to a file opened for appending, so that lines of several programs do not mix,
    and the file may be moved away at any time (log rotation). Where the folder cannot be written to, the
    line goes to the program's own log: a full disk must not hide who did what.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def write(self, what: str, *, by: str, **facts: Any) -> None:
        """Adds a line.

        Args:
            what: Was asked for, e.g. "DELETE /v1/videos/{video_id}".
            by: The id of the key, the subject of an OIDC token, "local" or "command line".
            facts: Whatever else JSON holds; never words that somebody searched for.
        """
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"time": now, "by": by, "what": what, **facts}, ensure_ascii=True) + "\n"
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("the audit log cannot be written (%s): %s", error.strerror, line.rstrip())
