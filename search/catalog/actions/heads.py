"""Heads: what finds actions, with its parameters, and what is known about it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, or_, select, update

from encoders.errors import NotFoundError
from search.catalog.statements import Statements
from search.catalog.tables import heads, library, segments

DRAFT = "draft"  # of a lesson that could not be checked, or did not hold: found only where it is named
WHOLE_HEAD_PREFIX = "head:"  # of the name of a head from a file that knows several actions


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """A head without its parameters.

    Attributes:
        kind: The name of its family, "kinetics" of a backbone, or `DRAFT`.
        name: Its action's, where it was taught one; else of what it is.
        card: What is known about it: the report of its lesson, say.
        threshold: The confidence from which its segments count.
        reads_features: Whether it tags from stored features; a backbone watches the frames themselves.
    """

    id: int
    kind: str
    name: str
    is_active: bool
    encoder_id: str
    actions: tuple[str, ...]
    threshold: float
    card: Mapping[str, Any]
    created_at: float
    reads_features: bool = True

    @property
    def label(self) -> str:
        """The name that its segments carry: "taught", "draft", or that of what knows many actions."""
        if self.is_draft:
            return DRAFT
        return "taught" if self.is_taught else self.name

    @property
    def is_draft(self) -> bool:
        """True for a lesson that could not be checked, or did not hold."""
        return self.kind == DRAFT

    @property
    def is_taught(self) -> bool:
        """True for one action that was taught by examples, here or elsewhere."""
        return self.actions == (self.name,)


class HeadCatalog(Statements):
    """Reads and writes heads."""

    def add_head(
        self,
        *,
        kind: str,
        name: str,
        encoder_id: str,
        actions: Sequence[str],
        threshold: float,
        card: Mapping[str, Any],
        parameters: bytes | None,
        is_active: bool,
    ) -> int:
        """Adds a head, active or still at work on the library; returns its id."""
        self.hold_videos()  # a video is published before, and seen by the head, or after, and tagged by it
        result = self._connection.execute(
            insert(heads).values(
                kind=kind,
                name=name,
                is_active=is_active,
                encoder_id=encoder_id,
                actions=json.dumps(list(actions), ensure_ascii=False),
                threshold=threshold,
                card=json.dumps(dict(card), ensure_ascii=False),
                parameters=parameters,
                created_at=time.time(),
            )
        )
        return int(result.inserted_primary_key[0])  # type: ignore[index]

    def heads(self, *, active: bool | None = True) -> list[HeadRecord]:
        """Returns heads by name; with `active=None` also those that are still at work."""
        columns = [column for column in heads.c if column.name not in ("parameters", "crc32")]
        reads_features = heads.c.parameters.is_not(None).label("reads_features")
        query = select(*columns, reads_features).order_by(heads.c.name, heads.c.id)
        if active is not None:
            query = query.where(heads.c.is_active == active)
        return [
            HeadRecord(
                **{
                    **row._mapping,
                    "actions": tuple(json.loads(row.actions)),
                    "card": json.loads(row.card),
                }
            )
            for row in self._connection.execute(query)
        ]

    def head_parameters(self, head_id: int) -> bytes | None:
        """Reads a head's safetensors; None for a backbone. Raises NotFoundError."""
        row = self._connection.execute(select(heads.c.parameters).where(heads.c.id == head_id)).first()
        if row is None:
            raise NotFoundError(f"there is no head {head_id} any more")
        return None if row.parameters is None else bytes(row.parameters)

    def activate_head(self, head_id: int) -> None:
        """Puts a head that has done its work in the place of the one of its name.

        Older ones of that name that never got so far go too: their program was stopped, or is late.

        Raises:
            NotFoundError: It is gone: a newer one was quicker.
        """
        name = self._connection.execute(select(heads.c.name).where(heads.c.id == head_id)).scalar()
        if name is None:
            raise NotFoundError("this head was replaced by a newer one while it was tagging the library")
        is_older = heads.c.id < head_id
        self.change_filters()
        self._connection.execute(
            delete(heads).where(heads.c.name == name, heads.c.id != head_id, or_(heads.c.is_active, is_older))
        )
        self._connection.execute(update(heads).where(heads.c.id == head_id).values(is_active=True))

    def remove_head(self, head_id: int) -> None:
        """Removes a head and its segments."""
        self.change_filters()
        self._connection.execute(delete(heads).where(heads.c.id == head_id))

    def remove_empty_backbones(self, *, but: str) -> None:
        """Removes the backbones that have no segment, except for one by its name."""
        empty = ~select(segments.c.id).where(segments.c.head_id == heads.c.id).exists()
        self._connection.execute(
            delete(heads).where(heads.c.parameters.is_(None), heads.c.name != but, empty)
        )

    def hold_videos(self) -> None:
        """Keeps other transactions from publishing or removing a video until this one ends.

        They all begin by changing the library's row. On SQLite there is but one writer anyway.
        """
        self._connection.execute(select(library.c.id).with_for_update())
