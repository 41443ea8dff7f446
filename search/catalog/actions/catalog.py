"""The catalog's part about actions."""

from __future__ import annotations

import json

from sqlalchemy import delete, select, update

from encoders.heads.head import ActionSpan
from search.catalog.actions.examples import ExampleCatalog
from search.catalog.actions.heads import HeadCatalog
from search.catalog.actions.segments import SegmentCatalog
from search.catalog.actions.spans import subtract_spans
from search.catalog.tables import action_examples, checksum, heads, segments


class ActionCatalog(HeadCatalog, SegmentCatalog, ExampleCatalog):
    """Reads and writes heads, segments and examples, and what concerns them together; never commits."""

    def rename(self, head_id: int, old: str, new: str, parameters: bytes) -> None:
        """Gives a taught action another name, with its segments and examples."""
        self.change_filters()
        actions = json.dumps([new], ensure_ascii=False)
        self._connection.execute(
            update(heads)
            .where(heads.c.id == head_id)
            .values(name=new, actions=actions, parameters=parameters, crc32=checksum(parameters))
        )
        self._connection.execute(update(segments).where(segments.c.head_id == head_id).values(action=new))
        self._connection.execute(
            update(action_examples).where(action_examples.c.action == old).values(action=new)
        )

    def drop_rejected(self, video_id: int) -> None:
        """Cuts the spans that users marked as not showing an action out of its segments.

        What is left of a segment beside such a span keeps its confidence, as one segment or two. A rest of
        no more than `LEAST_OVERLAP_SECONDS` goes too: it is the blur of the border that was refuted.
        """
        rejected = self.rejected(video_id)
        if not rejected:
            return
        tagged = select(segments).where(
            segments.c.video_id == video_id, segments.c.action.in_(list(rejected))
        )
        for row in self._connection.execute(tagged).all():
            whole = (row.start_seconds, row.end_seconds)
            rests = subtract_spans(whole, rejected[row.action])
            if rests == [whole]:
                continue
            self.change_filters()
            self._connection.execute(delete(segments).where(segments.c.id == row.id))
            spans = [ActionSpan(row.action, start, end, row.confidence) for start, end in rests]
            self.add_segments(video_id, row.head_id, spans)
