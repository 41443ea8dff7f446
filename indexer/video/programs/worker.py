"""Decoding in a program of its own: whatever happens in it is one file's error.

The child is started with `python -c`, not with `multiprocessing`, so that it never imports the
main module of whoever started it, be that a console script, a test run or a web server.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from encoders import errors
from encoders.errors import DecodeError, DecoderDiedError, ReelseekError
from indexer.video.limits import STALL_SECONDS, WorkerLimits
from indexer.video.programs.confinement import Rules
from indexer.video.programs.messages import (
    Answer,
    Decoded,
    DecodeRequest,
    End,
    Failure,
    FrameRequest,
    Jpeg,
    MessageError,
    Picture,
    PictureRequest,
    ProbeRequest,
    RenderRequest,
    Request,
    StopRequest,
    pack_message,
    unpack_answer,
)
from indexer.video.types import Progress, SamplingOptions, VideoInfo

if TYPE_CHECKING:
    from indexer.video.making.renditions import Rendition

__all__ = ["DecodeWorker", "Progress"]

_START_SECONDS = 60.0  # for the child's imports, on a cold and busy disk
_STOP_SECONDS = 2.0
_MAX_MESSAGE_BYTES = 2**32  # of one's own files: an hour-long clip of frames is 2.5 GB
# What the program needs of the environment: where its libraries are, and how to spell names. No password, no
# token and no database that the server knows is among them.
_ENVIRONMENT = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "LC_CTYPE",
    "TZ", "TMPDIR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
)  # fmt: skip
_ROOT = str(Path(__file__).resolve().parents[3])
_BOOT = (
    "import sys; root = sys.argv[1]; root in sys.path or sys.path.insert(0, root); "
    "from indexer.video.programs.worker_child import serve; "
    "serve(int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])"
)


class DecodeWorker:
    """One decoding program, started when first needed and again after it died.

    It serves one request at a time; a second one meanwhile is a RuntimeError.

    Attributes:
        memory_bytes: What each program started from now on may take; None for no limit.
    """

    memory_bytes: int | None = None

    def __init__(
        self,
        stall_seconds: float = STALL_SECONDS,
        *,
        threads: int | None = None,
        limits: WorkerLimits | None = None,
        reads: Sequence[str] | None = None,
        writes: Sequence[str] = (),
    ) -> None:
        """Makes a worker; nothing is started yet.

        Args:
            stall_seconds: How long the program may show no progress before it is given up.
            threads: Of the codec; None lets FFmpeg choose by the cores it sees.
            limits: What the program is held to; None for files of one's own.
            reads: Files and folders that it may read; None for all that its user may.
            writes: Folders in which it may write; `render` adds that of its target, in a new program.
        """
        self._limits = limits
        self._rules = Rules(
            limits, None if reads is None else tuple(reads), tuple(map(os.path.realpath, writes))
        )
        self._stall_seconds = stall_seconds
        self._threads = threads
        self._busy = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._stderr: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    @property
    def _most_bytes(self) -> int:
        """The most bytes of one message: no program can send more than it may hold."""
        return _MAX_MESSAGE_BYTES if self._limits is None else self._limits.memory_bytes

    @property
    def pid(self) -> int | None:
        """The process id of the running program, None while there is none."""
        return self._program.pid if self._program is not None else None

    def decode(
        self, path: str, options: SamplingOptions, limit_seconds: float | None = None
    ) -> Generator[Decoded]:
        """Decodes a file to clips; closing the iterator early stops the program's work.

        Args:
            path: A video file.
            options: What to take.
            limit_seconds: For the whole file; None for no limit.

        Yields:
            First the VideoInfo, then clips in order, in between progress at least every second of
            work; at the end the length, and what was lost or left out if anything was.

        Raises:
            NotAVideoError: No video in the file.
            DamagedVideoError: Truncated or broken; clips may have come before.
            DecoderDiedError: The program crashed, hung or ran out of memory or time.
            DecodeError: Any other failure.
        """
        request = DecodeRequest(path, options, self._threads)
        with closing(self._request(request, limit_seconds)) as items:
            for item in items:
                if isinstance(item, Decoded):
                    yield item

    def frame(self, path: str, time_seconds: float, size: int, limit_seconds: float | None = None) -> bytes:
        """The frame shown at a time, upright, as JPEG of short side `size` pixels or less.

        Raises:
            NotFoundError: The video shows nothing at this time.
            DecodeError: As `decode`.
        """
        items = self._request(FrameRequest(path, time_seconds, size), limit_seconds)
        return next(item.content for item in list(items) if isinstance(item, Jpeg))

    def render(
        self, path: str, target: str, rendition: Rendition, limit_seconds: float | None = None
    ) -> None:
        """Writes pieces of a video to a file, which may be half-made after an error.

        Raises:
            NotFoundError: The video shows nothing there.
            DecodeError: As `decode`.
        """
        folder = os.path.realpath(os.path.dirname(target) or ".")
        if not any(os.path.commonpath([folder, one]) == one for one in self._rules.writes):
            self.close()  # what a program may write is settled before it starts
            self._rules = replace(self._rules, writes=(*self._rules.writes, folder))
        for _ in self._request(RenderRequest(path, target, rendition), limit_seconds):
            pass

    def picture(self, path: str, size: int) -> NDArray[np.uint8]:
        """A still picture: uint8 (H, W, 3) RGB, upright, of short side `size` pixels or less.

        Raises:
            NotAVideoError: Not a picture in any format that FFmpeg reads.
            DecodeError: As `decode`.
        """
        items = list(self._request(PictureRequest(path, size), None))
        return next(item.pixels for item in items if isinstance(item, Picture))

    def probe(self, path: str) -> VideoInfo:
        """Describes the video in a file; errors as `decode`."""
        items = list(self._request(ProbeRequest(path), None))
        return next(item for item in items if isinstance(item, VideoInfo))

    def kill(self) -> None:
        """Ends the program at once, from any thread; a request under way then fails."""
        program = self._program
        if program is not None:
            program.kill()

    def close(self) -> None:
        """Ends the program; idempotent. The next request would start another."""
        program, self._program = self._program, None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if program is not None:
            program.kill()
            program.wait()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    # The program

    def _start(self) -> Connection:
        if self._program is not None and self._program.poll() is None and self._connection:
            return self._connection
        self.close()
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        try:
            with theirs:
                number = str(theirs.fileno())
                self._program = subprocess.Popen(
                    [
                        *(sys.executable, "-P", "-c", _BOOT, _ROOT, number, str(os.getpid())),
                        self._rules.to_json(),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._stderr,
                    # NumPy's threads have nothing to do there, and starting them takes as long as the rest.
                    env={
                        **{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                        "OPENBLAS_NUM_THREADS": "1",
                    },
                )
        except OSError as error:
            ours.close()
            self.close()
            raise DecoderDiedError(f"the decoder could not be started ({error})") from None
        if self.memory_bytes is not None:
            limit_memory(self._program.pid, self.memory_bytes)
        self._connection = Connection(ours.detach())
        return self._connection

    def _request(self, request: Request, limit_seconds: float | None) -> Generator[Decoded | Jpeg | Picture]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("a DecodeWorker serves one request at a time; make another one")
        finished = False
        try:
            started = time.monotonic()
            was_running = self._program is not None
            connection = self._start()
            try:
                connection.send_bytes(pack_message(request))
            except OSError:
                raise self._died() from None
            patience = self._stall_seconds
            if not was_running:
                patience = max(patience, _START_SECONDS)
            while True:
                left = None if limit_seconds is None else started + limit_seconds - time.monotonic()
                message = self._receive(connection, patience, left, limit_seconds)
                patience = self._stall_seconds
                if not isinstance(message, Failure | End):
                    yield message
                    continue
                finished = True
                if isinstance(message, Failure):
                    raise _error(message.error, message.reason)
                return
        finally:
            if not finished:
                self._abandon()
            self._busy.release()

    def _receive(
        self,
        connection: Connection,
        stall_seconds: float,
        left_seconds: float | None,
        limit_seconds: float | None,
    ) -> Answer:
        """The next message, or an error when the program dies, stalls, takes too long or talks nonsense."""
        wait = stall_seconds if left_seconds is None else min(stall_seconds, max(0.0, left_seconds))
        try:
            if (left_seconds is None or left_seconds > 0) and connection.poll(wait):
                return unpack_answer(connection.recv_bytes(self._most_bytes))
        except MessageError as error:
            self.close()
            raise DecoderDiedError(f"the decoder was stopped, for what it sent: {error}") from None
        except (EOFError, OSError):
            raise self._died() from None
        self.close()
        if left_seconds is not None and left_seconds <= stall_seconds:
            raise DecoderDiedError(
                f"the decoder was stopped after {limit_seconds:g} s, the limit for one file"
            )
        raise DecoderDiedError(
            f"the decoder made no progress for {stall_seconds:g} s and was stopped; the file is "
            "damaged or its disk does not answer"
        )

    def _died(self) -> DecoderDiedError:
        """Collects the dead program and says what it died of."""
        program = self._program
        status: int | None = None
        if program is not None:
            try:
                status = program.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
        said = self._last_words()
        self.close()
        if status is not None and status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else "signal"
            cause = f"the decoder crashed (signal {-status}, {name})"
            if -status == signal.SIGXCPU or (-status == signal.SIGKILL and self._limits is not None):
                cause = "the decoder was stopped: the file takes more computing or memory than it may"
            elif -status == signal.SIGKILL:
                cause = "the decoder was killed (signal 9, SIGKILL), perhaps for want of memory"
        else:
            cause = f"the decoder ended unexpectedly (status {status})"
        return DecoderDiedError(cause + (f": {said}" if said else ""))

    def _last_words(self) -> str:
        """The last line that the program wrote to its stderr."""
        if self._stderr is None:
            return ""
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 2000))
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def _abandon(self) -> None:
        """After a reader that left early: has the program stop its work, or ends it."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.send_bytes(pack_message(StopRequest()))
            deadline = time.monotonic() + _STOP_SECONDS
            while connection.poll(max(0.0, deadline - time.monotonic())):
                if isinstance(unpack_answer(connection.recv_bytes(self._most_bytes)), Failure | End):
                    return
        except (EOFError, OSError, MessageError):
            pass
        self.close()


def usual_memory_bytes() -> int:
    """The memory that one decoder may take: half of all, at least 2 GiB; 8K video takes some 3."""
    try:
        return max(2 * 2**30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    except (OSError, ValueError):
        return 8 * 2**30


def limit_memory(pid: int, limit_bytes: int) -> None:
    """Limits what a program may write to in memory; beyond, its allocations fail. Only Linux can."""
    prlimit = getattr(resource, "prlimit", None)
    if prlimit is not None:
        with suppress(OSError, ValueError):  # it has ended already, or may take less than that anyway
            prlimit(pid, resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _error(name: str, reason: str) -> ReelseekError:
    kind = getattr(errors, name, DecodeError)
    if isinstance(kind, type) and issubclass(kind, ReelseekError):
        return kind(reason)
    return DecodeError(reason)
