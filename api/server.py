"""Serves a library: what `indexer serve` calls."""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from api.app import create_app
from api.guard import LOOPBACK_HOSTS
from encoders.errors import ReelseekError
from search.library import Library

GRACE_SECONDS = 5


def run(folder: Path, database_url: str | None, device: str, host: str, port: int) -> None:
    """Serves until interrupted; says on stderr where, once it answers.

    Args:
        folder: The library's; made where there is none.
        database_url: Of the catalog; None means SQLite in the folder.
        device: For the encoder.
        host: Address to listen on.
        port: 0 takes a free one.

    Raises:
        ReelseekError: The address cannot be listened on.
        LibraryError: The library cannot be opened.
    """
    library = Library(folder, database_url=database_url, device=device, create=True)
    try:
        loopback = is_loopback(host)
        listener = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        if not loopback:
            print(
                f"warning: {host} can be reached from other machines, and there is no authentication "
                "yet: whoever reaches it can read, search and change this library",
                file=sys.stderr,
            )
        app = create_app(library, device=device, hosts=LOOPBACK_HOSTS if loopback else None)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # paths and queries of the archive do not belong in logs
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        with listener:
            _Server(config, address).run(sockets=[listener])
    finally:
        library.close()


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
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


class _Server(uvicorn.Server):
    """Says when it is ready; an interrupt or a termination ends it in order, with status 0."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"serving {self._address}", file=sys.stderr, flush=True)

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
