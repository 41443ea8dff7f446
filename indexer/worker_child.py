"""The decoding program: serves the requests of one `DecodeWorker` until its pipe closes.

It runs by itself so that a crash or hang inside FFmpeg costs one file. It imports av, numpy, cv2
and Pillow, never torch, and nothing of the program that started it.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from encoders.errors import DecodeError, DecoderDiedError, ReelseekError
from indexer.limits import WorkerLimits
from indexer.types import Damage, Length, Progress, SamplingOptions

_HEARTBEAT_SECONDS = 0.5
_CLIPS_AHEAD = 3  # decoded while the reader is busy
_PARENT_CHECK_SECONDS = 2.0


class _Stopped(Exception):
    """The reader wants no more of this request."""


class _Link:
    """Both directions of the pipe, each on a thread of its own, so that decoding never waits."""

    def __init__(self, connection: Connection, parent_pid: int) -> None:
        self._connection = connection
        self._parent_pid = parent_pid
        self.requests: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.stop_wanted = threading.Event()
        self._outgoing: queue.Queue[Any] = queue.Queue(_CLIPS_AHEAD)
        for work in (self._receive, self._send):
            threading.Thread(target=work, daemon=True).start()

    def _receive(self) -> None:
        try:
            while True:
                while not self._connection.poll(_PARENT_CHECK_SECONDS):
                    if os.getppid() != self._parent_pid:
                        os._exit(0)
                request = pickle.loads(self._connection.recv_bytes())
                if request[0] == "stop":
                    self.stop_wanted.set()
                else:
                    self.requests.put(request)
        except BaseException:  # the pipe is gone, and so is whoever wanted an answer
            os._exit(0)

    def _send(self) -> None:
        try:
            while True:
                self._connection.send_bytes(pickle.dumps(self._outgoing.get(), protocol=5))
        except BaseException:
            os._exit(0)

    def put(self, message: Any, *, must_arrive: bool = True) -> None:
        """Queues a message; gives up with `_Stopped` when the reader wants no more."""
        while True:
            try:
                self._outgoing.put(message, block=must_arrive, timeout=0.1)
                return
            except queue.Full:
                if not must_arrive:
                    return
                if self.stop_wanted.is_set() and message[0] == "item":
                    raise _Stopped from None


class _Heartbeat:
    """Tells the reader at times how far decoding has come; raises when it wants no more."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._next = time.monotonic() + _HEARTBEAT_SECONDS

    def __call__(self, time_seconds: float) -> None:
        if self._link.stop_wanted.is_set():
            raise _Stopped
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _HEARTBEAT_SECONDS
            self._link.put(("item", Progress(time_seconds)), must_arrive=False)


def _decode(link: _Link, path: str, options: SamplingOptions, threads: int | None) -> None:
    from indexer.decode import VideoDecoder
    from indexer.sampling import sample_clips

    with VideoDecoder(path, threads=threads, on_progress=_Heartbeat(link)) as decoder:
        link.put(("item", decoder.info))
        for clip in sample_clips(decoder, options):
            link.put(("item", clip))
        link.put(("item", Length(decoder.seconds_read)))
        if decoder.damage is not None:
            link.put(("item", Damage(decoder.damage)))


def _answer(link: _Link, request: tuple[Any, ...]) -> None:
    from indexer.decode import decode_picture, frame_at, probe
    from indexer.sampling import encode_jpeg

    kind, *arguments = request
    if kind == "decode":
        _decode(link, *arguments)
    elif kind == "frame":
        path, time_seconds, size = arguments
        heartbeat = _Heartbeat(link)
        link.put(("item", encode_jpeg(frame_at(path, time_seconds, on_progress=heartbeat), size)))
    elif kind == "picture":
        path, size = arguments
        link.put(("item", decode_picture(path).rgb(size)))
    elif kind == "render":
        from indexer.render import render

        path, target, rendition = arguments
        render(path, target, rendition, _Heartbeat(link))
    elif kind == "probe":
        link.put(("item", probe(*arguments)))
    else:
        raise ValueError(f"unknown request {kind!r}")


def _hold_to(limits: WorkerLimits) -> None:
    """Limits this program, once everything that it needs is loaded."""
    import indexer.sampling  # noqa: F401 (with it scenedetect and Pillow)
    from indexer import decode

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing to a file is an error like others
    decode.hold_to(limits)
    limits.apply()


def serve(descriptor: int, parent_pid: int, limits: str | None = None) -> None:
    """Answers requests on a socket until it closes.

    Args:
        descriptor: Of the socket, open in this program.
        parent_pid: The program at the other end; without it this one ends.
        limits: JSON of `WorkerLimits` that this program is held to; None for none.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; ours decides
    link = _Link(Connection(descriptor), parent_pid)
    import cv2

    cv2.setNumThreads(1)
    if limits is not None:
        _hold_to(WorkerLimits.from_json(limits))
    while True:
        request = link.requests.get()
        link.stop_wanted.clear()
        try:
            _answer(link, request)
            last: tuple[Any, ...] = ("end",)
        except _Stopped:
            last = ("end",)
        except MemoryError:
            last = ("error", DecoderDiedError.__name__, "the decoder ran out of memory")
        except ReelseekError as error:
            last = ("error", type(error).__name__, str(error))
        except Exception as error:
            reason = f"the decoder failed unexpectedly ({type(error).__name__}: {error})"
            last = ("error", DecodeError.__name__, reason)
        link.put(last)
