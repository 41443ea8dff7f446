"""The server of a library, asked over its own socket instead of loading all that it has loaded already.

What it answers is what the command would find by itself. Whatever goes wrong, the command does that instead.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from indexer.terminal.own_socket import CONNECT_SECONDS, HEADER, fingerprint, is_own, short_address

READY_SECONDS = 1.0  # a server that computes on every core is asked too
ANSWER_SECONDS = 300.0  # an example may wait in line, and then take two minutes

Answer = TypeVar("Answer")


class NoAnswer(Exception):
    """The server does not answer this, and why: the command does it by itself."""


def ask(
    question: Callable[[OwnServer], Answer],
    path: Path,
    database_url: str | None,
    index: str,
    *,
    say: Callable[[str], None],
) -> Answer | None:
    """Asks the server of a library; None where it gave no good answer.

    Args:
        question: What to ask it. A `NoAnswer` that it raises is as good as none.
        path: Of the socket, in the library's folder.
        database_url, index: The library, as the command would open it.
        say: Told who answered, or why not the server.
    """
    try:
        if not is_own(path):
            raise NoAnswer(f"{path} is not a socket that belongs to this user alone")
        with short_address(path) as address:
            server = OwnServer(address, fingerprint(path.parent, database_url, index))
            with closing(server):
                server.check_library()
                answer = question(server)
    except (NoAnswer, OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        say(f"answered here: {_reason(error, path)}")
        return None
    say(f"answered by the server at {path}")
    return answer


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, NoAnswer):
        return str(error)
    return f"the server at {path} gave no answer ({type(error).__name__}{f': {error}' if str(error) else ''})"


class OwnServer(http.client.HTTPConnection):
    """A connection to the server of a library.

    Args:
        address: Of its socket.
        fingerprint: As `fingerprint` gives it.

    Its methods raise `NoAnswer` where the server refuses, and what `http.client` and `socket` raise where it
    does not answer.
    """

    def __init__(self, address: str, fingerprint: str) -> None:
        super().__init__("localhost")
        self._address = address
        self._headers = {HEADER: fingerprint}

    def connect(self) -> None:
        """Connects; called by the base class."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(self._address)

    def check_library(self) -> None:
        """Makes sure that it answers at once, and is of this library."""
        self._send("GET", "/healthz", seconds=READY_SECONDS)

    def check_ready(self) -> None:
        """Makes sure that it has loaded what a search takes."""
        self._send("GET", "/readyz", seconds=READY_SECONDS)

    def get(self, path: str, **values: object) -> Any:
        """The JSON at an address, with those values of a query that are not None."""
        return json.loads(self.read(path, **values))

    def read(self, path: str, **values: object) -> bytes:
        """The bytes at an address."""
        query = urlencode({name: value for name, value in values.items() if value is not None})
        return self._send("GET", f"{path}?{query}")

    def post(self, path: str, document: object) -> Any:
        """The answer to a JSON document."""
        return json.loads(self._send("POST", path, json.dumps(document).encode(), "application/json"))

    def upload(self, path: str, file: Path, options: object) -> Any:
        """The answer to a form of a file and a JSON document of options (RFC 7578)."""
        boundary = uuid.uuid4().hex
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"\r\n\r\n'
        head = (
            part.format("options") + json.dumps(options) + "\r\n" + part.format('file"; filename="example')
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        with file.open("rb") as content:
            found = os.fstat(content.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise NoAnswer(f"{file} is a pipe or the like, of no known length")

            def body() -> Iterator[bytes]:
                yield head
                while piece := content.read(2**20):
                    yield piece
                yield tail

            kind = f"multipart/form-data; boundary={boundary}"
            return json.loads(self._send("POST", path, body(), kind, len(head) + found.st_size + len(tail)))

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        kind: str | None = None,
        length: int | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> bytes:
        headers = dict(self._headers)
        if kind is not None:
            headers["Content-Type"] = kind
        if length is not None:
            headers["Content-Length"] = str(length)
        if self.sock is None:
            self.connect()
        self.sock.settimeout(seconds)
        self.request(method, path, body, headers)
        with self.getresponse() as response:
            content = response.read()
        if response.status != 200:
            raise NoAnswer(f"the server does not answer this (status {response.status})")
        return content
