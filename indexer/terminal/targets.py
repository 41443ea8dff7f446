"""Where commands write pictures and films: never onto footage, and the whole file or none."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.errors import InvalidQueryError
from search.file_names import os_path

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")


def refuse_footage(catalog: Catalog, targets: list[Path]) -> None:
    """Refuses to write onto a catalogued file, by whatever name: relative, a symbolic or a hard link.

    Raises:
        InvalidQueryError: A target is a file of the library, or the place of one that is offline.
    """
    real = {target: os.path.realpath(target.expanduser()) for target in targets}
    if not real:
        return
    for path in catalog.paths():
        resolved = os.path.realpath(os_path(path))
        for target, name in real.items():
            if name in (os_path(path), resolved) or _is_same(name, os_path(path)):
                raise InvalidQueryError(
                    f"{target} is the file of a video in this library, {path}, and writing there would "
                    "destroy it: choose another name"
                )


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False


def check_target(path: Path | None, endings: tuple[str, ...]) -> None:
    """Refuses a file whose name ends otherwise or whose folder is not there. Raises InvalidQueryError."""
    if path is None:
        return
    if path.suffix.lower() not in endings:
        raise InvalidQueryError(f"{path} should end in {' or '.join(endings)}")
    if not path.expanduser().absolute().parent.is_dir():
        raise InvalidQueryError(f"{path} cannot be written: there is no folder {path.parent}")


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write to that takes the target's place at the end of the block, unless that fails.

    It lies beside the target, through links, and ends as it does.
    """
    place = Path(os.path.realpath(target.expanduser()))
    part = place.with_name(f".{uuid.uuid4().hex}.part{target.suffix}")
    try:
        yield part
        os.replace(part, place)
    except PermissionError as error:
        raise InvalidQueryError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
