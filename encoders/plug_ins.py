"""Registries of records, which other distributions add to by entry points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from encoders.errors import ReelseekError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint


class Named(Protocol):
    """A record that is asked for by its name."""

    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=Named)


@dataclass(frozen=True, slots=True)
class BrokenPlugIn:
    """A plug-in that cannot be used, as a listing names it.

    Attributes:
        name: Of the entry point; "?" where even that cannot be read.
        package: The distribution that it is of.
        reason: What is wrong, and what to do.
    """

    name: str
    package: str
    reason: str


class Registry(Generic[Record]):
    """Records of one kind by name: our own, and those of installed plug-ins.

    A plug-in is looked for where a name is not ours, or where all are listed; what it holds is imported then
    and not earlier, and of a name that is asked for no other plug-in is imported.

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
        self._loaded: dict[str, Record] = {}

    @property
    def ours(self) -> tuple[Record, ...]:
        """Our own records; looks for no plug-in."""
        return tuple(self._ours.values())

    def find(self, name: str) -> Record:
        """Finds the record of a name.

        Raises:
            ReelseekError: No record has it, two plug-ins offer it, or the plug-in that does is broken.
        """
        record = self.get(name)
        if record is None:
            known = ", ".join(sorted({*self._ours, *self._offered()[0]}))
            raise self._error(
                f"there is no {self._noun} {name!r}: choose one of {known}, or install a package that "
                f"offers it (entry points `{self._group}`)"
            )
        return record

    def get(self, name: str) -> Record | None:
        """Finds the record of a name; None where nobody offers it.

        Raises:
            ReelseekError: Two plug-ins offer it, or the plug-in that does is broken.
        """
        found = self._ours.get(name) or self._loaded.get(name)
        if found is None and (offers := self._offered()[0].get(name)):
            found = self._loaded[name] = self._load(name, offers)
        return found

    def list_all(self) -> list[Record]:
        """Lists every record: ours first, then those of plug-ins by name.

        Raises:
            ReelseekError: Two records have one name, or a plug-in is broken.
        """
        usable, broken = self.list_usable()
        if broken:
            raise self._error(broken[0].reason)
        return usable

    def list_usable(self) -> tuple[list[Record], list[BrokenPlugIn]]:
        """Lists every record that can be used, ours first, and the plug-ins that cannot."""
        offered, broken = self._offered()
        usable = list(self._ours.values())
        for name, offers in sorted(offered.items()):
            try:
                if name in self._ours:
                    raise self._clash(name, "reelseek", offers[0][0])
                usable.append(self._load(name, offers))
            except self._error as error:
                broken.append(BrokenPlugIn(name, " and ".join(package for package, _ in offers), str(error)))
        return usable, broken

    def _offered(self) -> tuple[dict[str, list[tuple[str, EntryPoint]]], list[BrokenPlugIn]]:
        """By name the packages that offer it with their entry points, and packages that cannot be read."""
        from importlib.metadata import distributions  # it takes a while, and most programs need none of it

        offered: dict[str, list[tuple[str, EntryPoint]]] = {}
        broken: list[BrokenPlugIn] = []
        seen = set()
        for distribution in distributions():
            try:
                if self._group not in (distribution.read_text("entry_points.txt") or ""):
                    continue
                package = _package(distribution)
                if package in seen:  # further down the path: another one is imported
                    continue
                seen.add(package)
                for entry in distribution.entry_points:
                    if entry.group == self._group:
                        offered.setdefault(entry.name, []).append((package, entry))
            except Exception as error:  # a damaged file of whatever distribution
                package = _package(distribution)
                reason = (
                    f"the entry points of the package {package} cannot be read ({_said(error)}): reinstall "
                    "it, or uninstall it"
                )
                broken.append(BrokenPlugIn("?", package, reason))
        return offered, broken

    def _load(self, name: str, offers: Sequence[tuple[str, EntryPoint]]) -> Record:
        if len(offers) > 1:
            raise self._clash(name, offers[0][0], offers[1][0])
        package, entry = offers[0]
        try:
            record = entry.load()
            if not isinstance(record, self._kind):
                reason = f"{entry.value} is no {self._kind.__name__}, but {record!r:.200}"
            elif record.name != name:
                reason = f"{entry.value} calls itself {record.name!r:.200}"
            else:
                return record
        except (Exception, SystemExit) as error:  # whatever the code of others does
            raise self._broken(name, package, _said(error)) from error
        raise self._broken(name, package, reason)

    def _broken(self, name: str, package: str, reason: str) -> ReelseekError:
        return self._error(
            f"the {self._noun} {name!r} of the package {package} cannot be used ({reason}): install another "
            f"version of {package}, or uninstall it"
        )

    def _clash(self, name: str, one: str, other: str) -> ReelseekError:
        return self._error(
            f"two packages offer the {self._noun} {name!r}, {one} and {other}: uninstall one of the plug-ins"
        )


def _package(distribution: Distribution) -> str:
    """The name of a distribution, as it is normalised; of a damaged one, its folder's."""
    try:
        return re.sub(r"[-_.]+", "-", distribution.name).lower()
    except Exception:  # no METADATA
        return str(getattr(distribution, "_path", "without a name"))


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:  # others' errors may fail to say what they are
        return type(error).__name__
