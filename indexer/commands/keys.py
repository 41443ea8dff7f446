"""`indexer keys ...`: making, listing and revoking the keys of the service."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer.terminal import show
from indexer.terminal.options import JsonOption, LibraryOption, open_library, print_json

if TYPE_CHECKING:
    from search.catalog.keys import Key

keys_app = typer.Typer(
    name="keys",
    help="Make, list and revoke the keys by which a server lets people in.",
    no_args_is_help=True,
)


class RoleName(StrEnum):
    read = "read"
    write = "write"
    admin = "admin"


@keys_app.command()
def create(
    role: Annotated[
        RoleName, typer.Option(help="read: look and search; write: also index, teach, correct; admin: all.")
    ],
    name: Annotated[str, typer.Option(metavar="N", help="Whose it is.")] = "",
    expires: Annotated[float | None, typer.Option(metavar="DAYS", help="Taken for so long.")] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once: only a digest of it is kept."""
    from search.audit import AuditLog
    from search.catalog.keys import Keys, Role

    with open_library(library, create=True) as opened:
        with opened.database.write() as connection:
            key, token = Keys(connection).create(Role(role.value), name=name, expires_days=expires)
        AuditLog(opened.folder).write("keys create", by="command line", key=key.id, role=key.role)
    if as_json:
        print_json({**_document(key), "key": token})
        return
    show.note(f"key {key.id} for {key.role}; it is shown this once:")
    sys.stdout.write(token + "\n")


@keys_app.command("list")
def list_keys(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List keys by their ids; the keys themselves are stored nowhere."""
    from search.catalog.keys import Keys

    with open_library(library) as opened, opened.database.read() as connection:
        found = Keys(connection).all()
    if as_json:
        print_json({"keys": [_document(key) for key in found]})
        return
    if not found:
        show.note("no keys yet: `indexer keys create --role read`")
    for key in found:
        made = time.strftime("%Y-%m-%d", time.localtime(key.created_at))
        line = (key.id, f"{key.role:<5}", f"{_state(key):<18}", f"made {made}", key.name)
        sys.stdout.write("  ".join(line).rstrip() + "\n")


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="From `indexer keys list`.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a key taken no more: on running servers, too, from the next request on."""
    from search.audit import AuditLog
    from search.catalog.keys import Keys

    with open_library(library) as opened:
        with opened.database.write() as connection:
            key = Keys(connection).revoke(key_id)
        AuditLog(opened.folder).write("keys revoke", by="command line", key=key.id)
    if as_json:
        print_json(_document(key))
    else:
        show.note(f"key {key.id} is taken no more")


def _document(key: Key) -> dict[str, Any]:
    """Describes a key as the HTTP API does, with its state, which is of this moment."""
    from search.documents.keys import key_document

    return {**key_document(key), "state": _state(key).partition(" ")[0]}


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if not key.is_valid(time.time()):
        return "expired"
    if key.expires_at is None:
        return "valid"
    return "valid to " + time.strftime("%Y-%m-%d", time.localtime(key.expires_at))
