"""Registries of records, which other distributions add to by entry points."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar

from encoders.errors import ReelseekError


class Named(Protocol):
    """A record that is asked for by its name."""

    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=Named)


class Registry(Generic[Record]):
    """Records of one kind by name: our own, and those of installed plug-ins.

    A plug-in is looked for where a name is not ours, or where all are listed; what it holds is imported then
    and not earlier.

    Args:
        group: Of the entry points, such as "reelseek.indexes"; an entry point has its record's name.
        ours: Our own records.
        kind: The class of the records.
        noun: What a record stands for, in messages: "index".
        error: The class of the errors that are raised.
    """

    def __init__(
        self,
        group: str,
        ours: Sequence[Record],
        *,
        kind: type[Record],
        noun: str,
        error: type[ReelseekError],
    ) -> None:
        self._group, self._kind, self._noun, self._error = group, kind, noun, error
        self._ours = {record.name: record for record in ours}

    def find(self, name: str) -> Record:
        """Finds the record of a name.

        Raises:
            ReelseekError: No record has it, two plug-ins offer it, or the plug-in that does is broken.
        """
        if name in self._ours:
            return self._ours[name]
        offered = self._offered()
        if name not in offered:
            known = ", ".join(sorted({*self._ours, *offered}))
            raise self._error(
                f"there is no {self._noun} {name!r}: choose one of {known}, or install a package that "
                f"offers it (entry points `{self._group}`)"
            )
        return self._load(offered[name])

    def list_all(self) -> list[Record]:
        """Lists every record: ours first, then those of plug-ins by name.

        Raises:
            ReelseekError: Two records have one name, or a plug-in is broken.
        """
        offered = self._offered()
        for name in self._ours.keys() & offered.keys():
            raise self._clash(name, "reelseek", _package(offered[name]))
        return [*self._ours.values(), *(self._load(offered[name]) for name in sorted(offered))]

    def _offered(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self._group):
            if entry.name in found:
                raise self._clash(entry.name, _package(found[entry.name]), _package(entry))
            found[entry.name] = entry
        return found

    def _load(self, entry: EntryPoint) -> Record:
        try:
            record = entry.load()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            if isinstance(record, self._kind) and record.name == entry.name:
                return record
            reason = f"{entry.value} is no {self._kind.__name__} of that name, but {record!r:.200}"
        raise self._error(
            f"the {self._noun} {entry.name!r} of the package {_package(entry)} cannot be used ({reason}): "
            f"install another version of {_package(entry)}, or uninstall it"
        )

    def _clash(self, name: str, one: str, other: str) -> ReelseekError:
        return self._error(
            f"two packages offer the {self._noun} {name!r}, {one} and {other}: uninstall one of the plug-ins"
        )


def _package(entry: EntryPoint) -> str:
    """The name of the distribution that an entry point is of."""
    return entry.dist.name if entry.dist is not None else entry.value
