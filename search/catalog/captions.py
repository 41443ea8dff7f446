"""The catalog's part about captions: which key frames have one, and which clips hold which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)

from encoders.errors import InvalidQueryError
from search.caption_words import caption_words as words_of
from search.catalog.statements import Statements, split_into_chunks
from search.catalog.tables import caption_words, captions, clips, key_frames


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A key frame with its JPEG."""

    id: int
    jpeg: bytes


class CaptionCatalog(Statements):
    """Reads and writes captions over the connection of a `Catalog`; never commits.

    A key frame has one caption at most: that of the captioner that described it last.
    """

    def count(self, model: str | None = None) -> int:
        """Counts the key frames that have a caption, by one captioner or by any."""
        query = select(func.count()).select_from(captions)
        if model is not None:
            query = query.where(captions.c.model == model)
        return self._connection.execute(query).scalar_one()

    def check_any(self) -> None:
        """Raises InvalidQueryError where the library has no captions, in which words could be found."""
        if self._connection.execute(select(captions.c.key_frame_id).limit(1)).first() is None:
            raise InvalidQueryError(
                "this library has no captions, so that none can be searched: `indexer caption` makes them, "
                "where the weights of a captioner can be had"
            )

    def find_uncaptioned(self, model: str, video_ids: Sequence[int] | None = None) -> dict[int, list[int]]:
        """Returns by video the ids of visible key frames without a caption by this captioner, by time."""
        found: dict[int, list[int]] = {}
        for chunk in [None] if video_ids is None else split_into_chunks(video_ids):
            query = (
                select(clips.c.video_id, key_frames.c.id)
                .select_from(key_frames)
                .join(clips, clips.c.id == key_frames.c.clip_id)
                .outerjoin(captions, captions.c.key_frame_id == key_frames.c.id)
                .where(
                    clips.c.revision.is_not(None),
                    or_(captions.c.key_frame_id.is_(None), captions.c.model != model),
                )
                .order_by(clips.c.video_id, clips.c.ordinal, key_frames.c.time_seconds, key_frames.c.id)
            )
            if chunk is not None:
                query = query.where(clips.c.video_id.in_(chunk))
            for row in self._connection.execute(query):
                found.setdefault(row.video_id, []).append(row.id)
        return found

    def count_kept(self, model: str, video_ids: Sequence[int] | None = None) -> int:
        """Counts the key frames, of these videos or of all, that have a caption by this captioner."""
        if video_ids is None:
            return self.count(model)
        found = 0
        for chunk in split_into_chunks(video_ids):
            query = (
                select(func.count())
                .select_from(captions)
                .join(key_frames, key_frames.c.id == captions.c.key_frame_id)
                .join(clips, clips.c.id == key_frames.c.clip_id)
                .where(captions.c.model == model, clips.c.video_id.in_(chunk))
            )
            found += self._connection.execute(query).scalar_one()
        return found

    def pictures(self, key_frame_ids: Sequence[int]) -> list[StoredPicture]:
        """Reads the key frames that still exist, in the order asked."""
        query = select(key_frames.c.id, key_frames.c.jpeg).where(key_frames.c.id.in_(key_frame_ids))
        rows = {row.id: bytes(row.jpeg) for row in self._connection.execute(query)}
        return [StoredPicture(one, rows[one]) for one in key_frame_ids if one in rows]

    def add(self, texts: Mapping[int, str], model: str) -> int:
        """Stores captions by key frame, in the place of earlier ones; returns how many.

        Key frames that were removed meanwhile are passed over.
        """
        self.change_filters()
        # Held until the commit, so that none is removed, or described by another program, in between.
        query = (
            select(key_frames.c.id, key_frames.c.clip_id)
            .where(key_frames.c.id.in_(list(texts)))
            .order_by(key_frames.c.id)
            .with_for_update(key_share=True)
        )
        rows = self._connection.execute(query).all()
        if not rows:
            return 0
        ids = [row.id for row in rows]
        self._connection.execute(delete(captions).where(captions.c.key_frame_id.in_(ids)))
        self._connection.execute(
            insert(captions), [{"key_frame_id": one, "text": texts[one], "model": model} for one in ids]
        )
        words = [
            {"word": word, "clip_id": row.clip_id, "key_frame_id": row.id}
            for row in rows
            for word in words_of(texts[row.id])
        ]
        if words:
            self._connection.execute(insert(caption_words), words)
        return len(ids)


def clips_with_words(text: str) -> Select[tuple[int]]:
    """Selects ids of the clips of which one caption holds all words of a text; it must hold one at least."""
    # Long words are rare words, mostly: they lead, and the others are looked up in what these leave.
    first, *others = sorted(words_of(text), key=lambda word: (-len(word), word))
    leading = caption_words.alias()
    conditions: list[ColumnElement[bool]] = [leading.c.word == first]
    for word in others:
        other = caption_words.alias()
        same = and_(
            other.c.word == word,
            other.c.clip_id == leading.c.clip_id,
            other.c.key_frame_id == leading.c.key_frame_id,
        )
        conditions.append(exists(select(other.c.word).where(same)))
    return select(leading.c.clip_id).where(*conditions)
