"""The decoding program: serves the requests of one `DecodeWorker` until its pipe closes.

It runs by itself so that a crash or hang inside FFmpeg costs one file. It imports av, numpy, cv2
and Pillow, never torch, and nothing of the program that started it.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection

from encoders.errors import DecodeError, DecoderDiedError, ReelseekError
from indexer.video.limits import WorkerLimits
from indexer.video.programs.confinement import Rules, confine
from indexer.video.programs.messages import (
    Answer,
    DecodeRequest,
    End,
    Failure,
    FrameRequest,
    Jpeg,
    Picture,
    PictureRequest,
    ProbeRequest,
    RenderRequest,
    Request,
    StopRequest,
    pack_message,
    unpack_request,
)
from indexer.video.types import Damage, Length, Progress

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
        self.requests: queue.Queue[Request] = queue.Queue()
        self.stop_wanted = threading.Event()
        self._outgoing: queue.Queue[Answer] = queue.Queue(_CLIPS_AHEAD)
        for work in (self._receive, self._send):
            threading.Thread(target=work, daemon=True).start()

    def _receive(self) -> None:
        try:
            while True:
                while not self._connection.poll(_PARENT_CHECK_SECONDS):
                    if os.getppid() != self._parent_pid:
                        os._exit(0)
                request = unpack_request(self._connection.recv_bytes())
                if isinstance(request, StopRequest):
                    self.stop_wanted.set()
                else:
                    self.requests.put(request)
        except BaseException:  # the pipe is gone, and so is whoever wanted an answer
            os._exit(0)

    def _send(self) -> None:
        try:
            while True:
                self._connection.send_bytes(pack_message(self._outgoing.get()))
        except BaseException:
            os._exit(0)

    def put(self, message: Answer, *, must_arrive: bool = True) -> None:
        """Queues a message; gives up with `_Stopped` when the reader wants no more."""
        while True:
            try:
                self._outgoing.put(message, block=must_arrive, timeout=0.1)
                return
            except queue.Full:
                if not must_arrive:
                    return
                if self.stop_wanted.is_set() and not isinstance(message, Failure | End):
                    raise _Stopped from None


class _Heartbeat:
    """Tells the reader at times how far decoding has come; raises when it wants no more."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._next = time.monotonic() + _HEARTBEAT_SECONDS
        self._spent_before = time.process_time()

    def __call__(self, time_seconds: float) -> None:
        if self._link.stop_wanted.is_set():
            raise _Stopped
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _HEARTBEAT_SECONDS
            spent = time.process_time() - self._spent_before
            self._link.put(Progress(time_seconds, spent), must_arrive=False)


def _decode(link: _Link, request: DecodeRequest) -> None:
    from indexer.video.clips.sampling import sample_clips
    from indexer.video.reading.decode import VideoDecoder

    with VideoDecoder(request.path, threads=request.threads, on_progress=_Heartbeat(link)) as decoder:
        link.put(decoder.info)
        for clip in sample_clips(decoder, request.options):
            link.put(clip)
        link.put(Length(decoder.seconds_read))
        if decoder.damage is not None:
            link.put(Damage(decoder.damage))


def _answer(link: _Link, request: Request) -> None:
    from indexer.video.clips.sampling import encode_jpeg
    from indexer.video.pictures.still import decode_picture
    from indexer.video.reading.probing import frame_at, probe

    match request:
        case DecodeRequest():
            _decode(link, request)
        case FrameRequest():
            frame = frame_at(request.path, request.time_seconds, on_progress=_Heartbeat(link))
            link.put(Jpeg(encode_jpeg(frame, request.size)))
        case PictureRequest():
            link.put(Picture(decode_picture(request.path).rgb(request.size)))
        case RenderRequest():
            from indexer.video.making.render import render

            render(request.path, request.target, request.rendition, _Heartbeat(link))
        case ProbeRequest():
            link.put(probe(request.path))
        case StopRequest():  # there is nothing to stop any more
            pass


def _limit(limits: WorkerLimits) -> None:
    """Limits this program, once everything that it needs is loaded."""
    import indexer.video.clips.sampling  # noqa: F401 (with it scenedetect and Pillow)
    from indexer.video.bounds import limit_files

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing to a file is an error like others
    limit_files(limits)
    limits.apply()


def serve(descriptor: int, parent_pid: int, rules: str) -> None:
    """Answers requests on a socket until it closes.

    Args:
        descriptor: Of the socket, open in this program.
        parent_pid: The program at the other end; without it this one ends.
        rules: JSON of the `Rules` that this program is held to.
    """
    allowed = Rules.from_json(rules)
    confine(allowed)  # before there is a thread that it would not hold for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; ours decides
    link = _Link(Connection(descriptor), parent_pid)
    import cv2

    cv2.setNumThreads(1)
    if allowed.limits is not None:
        _limit(allowed.limits)
    while True:
        request = link.requests.get()
        link.stop_wanted.clear()
        try:
            _answer(link, request)
            last: Answer = End()
        except _Stopped:
            last = End()
        except MemoryError:
            last = Failure(DecoderDiedError.__name__, "the decoder ran out of memory")
        except ReelseekError as error:
            last = Failure(type(error).__name__, str(error))
        except Exception as error:
            reason = f"the decoder failed unexpectedly ({type(error).__name__}: {error})"
            last = Failure(DecodeError.__name__, reason)
        link.put(last)
