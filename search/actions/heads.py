"""Heads of a library as a whole: renamed, removed, written to a file and taken in from one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoders.errors import EncoderMismatchError, HeadFileError, InvalidQueryError, UnknownActionError
from encoders.heads.action_names import normalise_action
from encoders.heads.registry import HEADS, read_head
from encoders.weights.tensors import with_card
from search.actions.carried_heads import carried_report, check_carried
from search.actions.naming import (
    ZERO_SHOT,
    KnownActions,
    check_new_name,
    normalise_new_name,
    read_known_actions,
)
from search.actions.tagging import Tagger
from search.catalog.actions.heads import HeadRecord

if TYPE_CHECKING:
    from search.library import Library


@dataclass(frozen=True, slots=True)
class RemovedAction:
    """An action, or a head by its name, that was removed, and how many examples went with it."""

    action: str
    examples: int


def rename_action(library: Library, action: str, new: str) -> str:
    """Gives a taught action another name; returns it as it is kept."""
    head = read_known_actions(library).find_head(action)
    if not head.is_taught:
        raise InvalidQueryError(f"{head.name!r} is no taught action, it cannot be renamed")
    name = normalise_new_name(new)
    with library.write() as catalog:
        if any(one.name == name and one.id != head.id for one in catalog.actions.heads(active=None)):
            raise InvalidQueryError(f"there is an action {name!r} already: remove it first")
        loaded = Tagger(library).load([head], catalog)[head.id].renamed((name,))
        catalog.actions.rename(head.id, head.name, name, loaded.to_bytes())
    return name


def remove_action(library: Library, action: str) -> RemovedAction:
    """Removes a head, its segments and its examples; of a name not taught yet, its corrections.

    Raises:
        UnknownActionError: Nothing is known or kept by that name.
    """
    with library.write() as catalog:
        # Also one that was left unfinished when its program was stopped.
        every = catalog.actions.heads(active=None)
        known = KnownActions.read(catalog)
        try:
            head = known.find_head(action)
        except UnknownActionError:
            name = normalise_action(action)
            left = [one for one in every if one.name == name]
            if not left:
                count = catalog.actions.remove_examples(name)
                if not count:
                    raise
                return RemovedAction(name, count)
            head = left[0]
        for one in every:
            if one.name == head.name:
                catalog.actions.remove_head(one.id)
        count = catalog.actions.remove_examples(head.name) if head.is_taught else 0
    return RemovedAction(head.name, count)


def remove_named_heads(library: Library) -> None:
    """Removes the heads that an ingest made: backbones, and what knows actions by their names alone."""
    with library.write() as catalog:
        for head in catalog.actions.heads(active=None):
            if head.kind == ZERO_SHOT or not head.reads_features:
                catalog.actions.remove_head(head.id)


def export_head(library: Library, action: str) -> bytes:
    """Writes a taught head as a safetensors file with its lesson's report, but without the footage."""
    with library.read() as catalog:
        head = KnownActions.read(catalog).find_head(action)
        parameters = catalog.actions.head_parameters(head.id)
    if parameters is None or not (head.is_taught or HEADS.find(head.kind).is_carried):
        raise InvalidQueryError(
            f"{head.name!r} is no taught action: any library can have it, with `indexer ingest --actions`"
        )
    return with_card(parameters, report=dict(head.card))


def import_head(
    library: Library,
    content: bytes,
    on_tagged: Callable[[int, int], None] = lambda done, total: None,
    *,
    replace: bool = False,
) -> HeadRecord:
    """Takes in what `export_head` gave, and tags the library with it.

    Args:
        library: Of the same encoder.
        content: Of the file.
        on_tagged: Told how many of how many videos are tagged.
        replace: Put it in the place of a taught action of that name, whose examples stay.

    Raises:
        InvalidQueryError: An action of that name is taught here, and is not to be replaced.
        HeadFileError: It is no such file.
        EncoderMismatchError: It reads the features of another encoder.
    """
    head = read_head(content)
    if not HEADS.find(head.kind).is_carried:
        raise HeadFileError(f"the file holds a head of kind {head.kind!r}, expected a taught action")
    record = library.record()
    if head.encoder_id != record.encoder_id:
        raise EncoderMismatchError(
            f"this head reads features of {head.encoder_id}, this library has those of "
            f"{record.encoder_id}: teach the action here instead"
        )
    name = check_carried(head, record.dim)
    for action in head.actions:
        check_new_name(action)
    card = {**carried_report(content), "imported": True}
    tagger = Tagger(library)
    with library.write() as catalog:
        if not replace and any(one.name == name for one in catalog.actions.heads()):
            raise InvalidQueryError(
                f"there is an action {name!r} already: rename or remove it first, or put this one in its "
                "place with --replace"
            )
        # What was a draft where it was taught is one here.
        head_id = tagger.add(catalog, head, name, card, is_draft=bool(card.get("is_draft")))
    tagger.tag_and_activate(head_id, on_tagged)
    return read_known_actions(library).find_head(name)
