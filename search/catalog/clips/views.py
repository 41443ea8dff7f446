"""Key frames and captions of clips for an answer, read in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select

from search.caption_words import caption_words
from search.catalog.statements import Statements, split_into_chunks
from search.catalog.tables import captions, key_frames
from search.types import KeyFrame

# Made once: that takes longer than the answer.
_SHOWN = (
    select(key_frames.c.id, key_frames.c.clip_id, key_frames.c.time_seconds, captions.c.text)
    .outerjoin(captions, captions.c.key_frame_id == key_frames.c.id)
    .where(key_frames.c.clip_id.in_(bindparam("ids", expanding=True)))
    .order_by(key_frames.c.time_seconds, key_frames.c.id)
)


@dataclass(frozen=True, slots=True)
class ShownClips:
    """Clips as an answer shows them.

    Attributes:
        frames: By clip its key frames, in order of time, without their pictures.
        captions: By clip a caption, where it has one: the first that holds all words asked for, else the
            first.
    """

    frames: dict[int, list[KeyFrame]]
    captions: dict[int, str]


class ViewCatalog(Statements):
    """Reads what answers show over the connection of a `Catalog`."""

    def clips(self, clip_ids: Sequence[int], asked: str | None = None) -> ShownClips:
        """Reads key frames and captions of clips.

        Args:
            clip_ids: Of the clips.
            asked: Words that a caption should hold.
        """
        wanted = set(caption_words(asked or ""))
        frames: dict[int, list[KeyFrame]] = {clip_id: [] for clip_id in clip_ids}
        texts: dict[int, list[str]] = {}
        for chunk in split_into_chunks(clip_ids):
            for frame_id, clip_id, seconds, text in self._connection.execute(_SHOWN, {"ids": chunk}).all():
                frames[clip_id].append(KeyFrame(frame_id, clip_id, seconds))
                if text:
                    texts.setdefault(clip_id, []).append(text)
        chosen = {
            clip_id: next((text for text in found if wanted <= set(caption_words(text))), found[0])
            for clip_id, found in texts.items()
        }
        return ShownClips(frames, chosen)
