"""Names of actions: which head is meant by a name that somebody typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from encoders.errors import InvalidQueryError, UnknownActionError
from encoders.heads.action_names import NameMatch, find_names, normalise_action
from encoders.weights.digests import CLASSIFIER_PREFIXES
from search.catalog.actions.heads import DRAFT, WHOLE_HEAD_PREFIX, HeadRecord

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library

ZERO_SHOT: Final = "zero-shot"
SHOWN_NAMES = 12
LEARNED_AGAIN_KINDS = ("taught", DRAFT)  # borders take too long to be learned at every answer


@dataclass(frozen=True, slots=True)
class KnownActions:
    """The heads of a library at one moment: every question of which one a name means is asked here."""

    heads: tuple[HeadRecord, ...]

    @classmethod
    def read(cls, catalog: Catalog) -> KnownActions:
        """Reads the heads that have done their work."""
        return cls(tuple(catalog.actions.heads()))

    def match(self, action: str) -> NameMatch:
        """Finds the names that heads know an action by; `how` is "none" where no head does."""
        return find_names(action, sorted(self._names()))

    def find_head(self, action: str) -> HeadRecord:
        """Finds a taught action's head, or a whole head, by its exact name. Raises UnknownActionError."""
        heads = {head.name: head for head in self.heads}
        # A backbone's name may hold a path, which is spelled as it is.
        found = heads.get(action.strip()) or heads.get(normalise_action(action))
        if found is None:
            raise self._whole_head_error(action) or self.unknown_error(action)
        return found

    def _whole_head_error(self, action: str) -> UnknownActionError | None:
        name = normalise_action(action)
        for head in self.heads:
            if name in head.actions and len(head.actions) > 1:
                return UnknownActionError(
                    f"{name!r} is one of {len(head.actions)} names of the head {head.name!r} and has none "
                    f'of its own: name that (`indexer actions remove "{head.name}"`)'
                )
        return None

    def find_head_meant(self, action: str) -> HeadRecord:
        """Finds a head as `find_head` does, or by another name of the only taught action that it means."""
        try:
            return self.find_head(action)
        except UnknownActionError:
            name = self.find_taught_name(action)
            if name == normalise_action(action):
                raise
            return self.find_head(name)

    def find_taught_name(self, action: str) -> str:
        """Returns the name that examples are kept by: of the one taught action meant, else the one given.

        Raises:
            InvalidQueryError: It is no name.
        """
        name = normalise_action(action)
        taught = {head.name for head in self.heads if head.is_taught}
        match = self.match(name)
        meant = taught.intersection(match.names) if match.how in ("exact", "synonym") else set()
        meant = {other for other in meant if not _is_cut_short(name, other)}
        return meant.pop() if name not in taught and len(meant) == 1 else name

    def is_taught(self, action: str) -> bool:
        """Checks that an action was taught by exactly this name."""
        name = normalise_action(action)
        return any(head.is_taught and head.name == name for head in self.heads)

    def is_learned_again(self, name: str) -> bool:
        """Checks that corrections of an action are learned from at once.

        Not by a head from elsewhere, whose examples are not here, nor by one that learned borders.
        """
        return any(
            head.name == name and head.kind in LEARNED_AGAIN_KINDS and not head.card.get("imported")
            for head in self.heads
        )

    def unknown_error(self, action: str) -> UnknownActionError:
        """Makes the error for an action that no head knows; it names those that are close, and others."""
        match, names = self.match(action), self._names()
        # Where the very name is asked for, what another spelling of it would mean is close to it.
        close = match.suggestions or match.names[:SHOWN_NAMES]
        others = sorted(names.difference(close))
        said = [f"close to it: {', '.join(close)}"] if close else []
        if not names:
            said = ["nothing was taught yet"]
        elif len(others) > SHOWN_NAMES:
            said.append(f"{len(others)} others are known (`indexer actions list`)")
        elif others:
            said.append(f"known are{' also' if said else ''}: {', '.join(others)}")
        return UnknownActionError(
            f"no head knows the action {action!r}; {'; '.join(said)}. Teach it with "
            f'`indexer actions teach "{action}" --from FOLDER` (5 to 20 example clips), or with --clips'
        )

    def _names(self) -> set[str]:
        return {name for head in self.heads for name in head.actions}


def read_known_actions(library: Library) -> KnownActions:
    """Reads the heads of a library."""
    with library.read() as catalog:
        return KnownActions.read(catalog)


def normalise_new_name(action: str) -> str:
    """Returns the name that an action is taught by. Raises InvalidQueryError for one that it cannot have."""
    name = normalise_action(action)
    check_new_name(name)
    return name


def check_new_name(name: str) -> None:
    """Raises InvalidQueryError for a name that an action cannot have."""
    if name == ZERO_SHOT or name.startswith((*CLASSIFIER_PREFIXES, WHOLE_HEAD_PREFIX)):
        raise InvalidQueryError(f"{name!r} is the name of a whole head; choose another for the action")


def _is_cut_short(name: str, other: str) -> bool:
    """Checks that names differ by final e's alone, as no two forms of a word do: one is a typing error."""
    return name != other and re.sub(r"e\b", "", name) == re.sub(r"e\b", "", other)
