"""An uploaded file, streamed to disk within a limit and deleted whatever happens."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from anyio import fail_after
from anyio.to_thread import run_sync
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

PREFIX = "reelseek-upload-"
# Who holds a place that others wait for has to make use of it.
IDLE_SECONDS = 30.0
LEAST_BYTES_PER_SECOND = 16 * 1024
RECEIVE_SECONDS = 900.0
MAX_FIELD_BYTES = 1 << 20
MAX_FIELDS = 16
WRITE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A received form: where its one file lies until the block is left, and its text fields."""

    path: Path
    fields: dict[str, str]


@asynccontextmanager
async def received_upload(request: Request, max_bytes: int) -> AsyncIterator[Upload]:
    """Receives a multipart form with one part `file`.

    Args:
        request: Its body is read to the end.
        max_bytes: Largest body that is taken.

    Raises:
        HTTPException: 413 too large, 415 not multipart, 400 malformed, 422 no `file` in it, 408 too slow.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise HTTPException(415, "send multipart/form-data with the example in a part named `file`")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
        raise HTTPException(413, _too_large(max_bytes))
    async with _folder() as folder:
        form = _Form(Path(folder))
        try:
            await _receive(request, form, options[b"boundary"], max_bytes)
        finally:
            form.close()
        if form.path is None:
            raise HTTPException(422, "the form has no part named `file` with a file in it")
        fields = {}
        for name, value in form.fields.items():
            try:
                fields[name] = value.decode()
            except UnicodeDecodeError:
                raise HTTPException(422, f"the form field {name!r} is not UTF-8") from None
        yield Upload(form.path, fields)


def remove_leftovers() -> None:
    """Removes what servers that were killed had received: their programs are not there any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        with suppress(OSError):
            if number.isdecimal() and folder.stat().st_uid == os.getuid() and not _is_alive(int(number)):
                shutil.rmtree(folder)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


@asynccontextmanager
async def _folder() -> AsyncIterator[str]:
    """A folder of this program's own, readable by nobody else and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        yield folder


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes; a client that sends too slowly is not waited for."""
    stream, started, received = request.stream(), time.monotonic(), 0
    while True:
        allowed = min(RECEIVE_SECONDS, IDLE_SECONDS + received / LEAST_BYTES_PER_SECOND)
        try:
            with fail_after(min(IDLE_SECONDS, max(0.0, started + allowed - time.monotonic()))):
                chunk = await anext(stream)
                received += len(chunk)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(408, "the example arrives too slowly: send it again") from None
        yield chunk


async def _receive(request: Request, form: _Form, boundary: bytes, max_bytes: int) -> None:
    received = 0
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        async for chunk in _chunks(request):
            received += len(chunk)
            if received > max_bytes:
                raise HTTPException(413, _too_large(max_bytes))
            parser.write(chunk)
            if len(form.pending) >= WRITE_BYTES:
                await run_sync(form.write)
        parser.finalize()
        await run_sync(form.write)
    except FormParserError as error:
        raise HTTPException(400, f"the multipart body is malformed: {error}") from None
    if not form.complete:
        raise HTTPException(400, "the multipart body ends before its closing boundary")


def _too_large(max_bytes: int) -> str:
    return (
        f"the example is larger than {max_bytes} bytes: send a shorter excerpt, "
        "or raise REELSEEK_MAX_UPLOAD_BYTES on the server"
    )


@dataclass(slots=True)
class _Form:
    """A form as the parser's callbacks gather it: file bytes go to disk, fields stay in memory."""

    folder: Path
    path: Path | None = None
    fields: dict[str, bytearray] = field(default_factory=dict)
    pending: bytearray = field(default_factory=bytearray)
    complete: bool = False
    _file: IO[bytes] | None = None
    _into: bytearray | None = None
    _is_field: bool = False
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_end": self._end,
        }

    def write(self) -> None:
        """Moves what is pending to disk; not for the event loop."""
        if self._file is not None and self.pending:
            self._file.write(self.pending)
            self.pending.clear()
        if self.complete:
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _part_begin(self) -> None:
        self._into, self._is_field, self._disposition = None, False, b""

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == "file" and b"filename" in options:
            if self.path is not None:
                raise HTTPException(422, "the form has more than one `file`: send one example")
            filename = options[b"filename"].decode("utf-8", "replace")
            self.path = self.folder / f"example{safe_suffix(filename)}"
            self._file = self.path.open("wb")
            self._into = self.pending
            return
        if name in self.fields or len(self.fields) >= MAX_FIELDS:
            raise HTTPException(422, f"the form field {name!r} is there twice, or there are too many")
        self._into = self.fields[name] = bytearray()
        self._is_field = True

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        assert self._into is not None
        self._into += data[start:end]
        if self._is_field and len(self._into) > MAX_FIELD_BYTES:
            raise HTTPException(413, f"a form field is larger than {MAX_FIELD_BYTES} bytes")

    def _end(self) -> None:
        self.complete = True


def safe_suffix(filename: str) -> str:
    """The extension of a client's file name when it is a plain one, else nothing."""
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", filename)
    return found.group(0).lower() if found else ""
