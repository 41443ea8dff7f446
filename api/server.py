"""Serves a library: what `indexer serve` calls."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from threadpoolctl import threadpool_limits
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.app import create_app
from api.guarding.guard import LOOPBACK_HOSTS, MAX_HEAD_BYTES, add_headers
from api.guarding.oidc import OidcIssuer
from api.guarding.own_socket import OwnSocket
from api.schemas.problems import kind_of_status, problem_response
from api.settings import ServerSettings
from api.telemetry import logs
from encoders.errors import InvalidQueryError, ReelseekError
from indexer.terminal.own_socket import fingerprint, listening
from indexer.video.programs.confinement import describe_confinement
from search.catalog.keys import Keys
from search.library import Library

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75
HEAD_SECONDS = 30.0


def run(
    folder: Path,
    database_url: str | None,
    device: str,
    index: str,
    host: str,
    port: int,
    **changes: Any,
) -> None:
    """Serves until interrupted; says on stderr where, once it answers.

    Args:
        folder: The library's; made where there is none.
        database_url: Of the catalog; None means SQLite in the folder.
        device: For the encoder.
        index: The name of the index by which vectors are searched.
        host: Address to listen on.
        port: 0 takes a free one.
        changes: Settings by name, instead of those of the environment.

    Raises:
        ReelseekError: The address cannot be listened on, or other machines reach it and nothing would tell
            who may do what.
        LibraryError: The library cannot be opened.
        InvalidQueryError: A setting has no value that it may have.
    """
    try:
        settings = ServerSettings(**changes)
    except ValidationError as error:
        wrong = "; ".join(
            f"REELSEEK_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}, got {one['input']!r}"
            for one in error.errors()
        )
        raise InvalidQueryError(f"the server's settings cannot be used: {wrong}") from None
    # NumPy's products are small here: two threads would mostly wait for each other, by spinning.
    threadpool_limits(1, user_api="blas")
    library = Library(folder, database_url=database_url, device=device, index=index, create=True)
    try:
        loopback = is_loopback(host)
        if not loopback or settings.require_keys:
            _check_keys(library, settings, host)
        listener = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        logs.set_up(settings.log_level)
        with listener, listening(library.folder) as own_listener:
            own_socket = None
            if own_listener is not None:
                common = fingerprint(library.folder, database_url, index)
                own_socket = OwnSocket(own_listener.getsockname(), common)
            app = create_app(
                library,
                device=device,
                # Who has to show a key cannot be used by a foreign page under another name, and a proxy in
                # front asks by the name that people call it.
                hosts=LOOPBACK_HOSTS if loopback and not settings.require_keys else None,
                is_local=loopback,
                settings=settings,
                own_socket=own_socket,
            )
            sockets = [listener] if own_listener is None else [listener, own_listener]
            _Server(_config(app, settings), address).run(sockets=sockets)
    finally:
        library.close()


def _config(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # ours leaves out paths and queries
        server_header=False,
        proxy_headers=False,  # `Forwarded` looks at them first
        timeout_graceful_shutdown=settings.grace_seconds,
        # Longer than a proxy in front keeps an idle connection (60 s with nginx): where the one that
        # answers closes it first, now and then a request meets nobody any more.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
        http=_Protocol,  # whichever other parsers are installed: this one bounds the request's head
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )


def _check_keys(library: Library, settings: ServerSettings, host: str) -> None:
    """Refuses to serve others than this machine without anything that tells who may do what."""
    if OidcIssuer.of(settings) is not None:
        return
    with library.database.read() as connection:
        if Keys(connection).count_valid():
            return
    reach = f"{host} can be reached from other machines" if not is_loopback(host) else "keys are demanded"
    raise ReelseekError(
        f"{reach}, and this library has no key yet: make one with `indexer keys create --role admin "
        f"--library {library.folder}`, or set REELSEEK_OIDC_ISSUER and REELSEEK_OIDC_AUDIENCE; or serve "
        "this machine alone, without --host and --require-keys"
    )


def is_loopback(host: str) -> bool:
    """Tells whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # Of a socket that does not say TCP, asyncio leaves Nagle's algorithm on: an answer's second packet
        # waits 40 ms for the client to acknowledge its first.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ReelseekError(f"{host} is no address of this machine: {error.strerror}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ReelseekError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another --port, or 0 for a free one"
        ) from error
    return listener


class _Protocol(H11Protocol):
    """Bounds how long a request's head may take, which the base class does not.

    What is no HTTP, or takes too long, is answered as everything else that goes wrong.
    """

    _head_limit: asyncio.TimerHandle | None = None
    _head_has_begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._bound_head()

    def data_received(self, data: bytes) -> None:
        self._head_has_begun = True
        super().data_received(data)
        self._bound_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def _bound_head(self) -> None:
        """Starts the time of a head of which something is still to come, once; ends that of a whole one."""
        if self.conn.their_state is not h11.IDLE:
            self._end_head()
        elif self._head_limit is None:
            self._head_limit = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _end_head(self) -> None:
        self._head_has_begun = False
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self._head_has_begun:
            self._refuse(408, f"the head of a request has to be sent within {HEAD_SECONDS:g} s")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is no request of HTTP/1.1, or too large a one")

    def _refuse(self, status: int, detail: str) -> None:
        kind = kind_of_status(status)
        answer = problem_response(kind, detail, "")
        add_headers(answer.headers)
        answer.headers["Connection"] = "close"
        events = (
            h11.Response(status_code=status, headers=answer.raw_headers, reason=kind.title.encode()),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()


class _Server(uvicorn.Server):
    """Says when it is ready; an interrupt or a termination ends it in order, with status 0."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"serving {self._address}", file=sys.stderr, flush=True)
            logger.info("decoding programs are confined by %s", describe_confinement())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        first = not self.should_exit
        super().handle_exit(sig, frame)
        services = getattr(self.config.app.state, "services", None)  # type: ignore[union-attr]
        # At once, so that the job ends while requests do; once, as a second signal may interrupt the first.
        if first and services is not None:
            services.begin_stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The base class raises the signal once more at the end; for us that is a normal end.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
