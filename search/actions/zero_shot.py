"""Actions known by their names alone, in a library: a head kept up to date, and names asked on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from search.catalog.actions import SegmentFilters
from search.catalog.catalog import open_record
from search.catalog.giving_way import without
from search.types import Filters, Segment

if TYPE_CHECKING:
    from encoders.heads.zero_shot import ZeroShotHead
    from search.actions.tagging import Tagger
    from search.library import Library

ZERO_SHOT = "zero-shot"
CLIPS_ASKED_ON_THE_FLY = 2000
MIN_CLIPS = 32  # fewer say nothing about what is usual


class ZeroShot:
    """What a library tells by names alone; safe to share between threads."""

    def __init__(self, library: Library, tagger: Tagger) -> None:
        self._library = library
        self._tagger = tagger

    def add(self, names: Sequence[str] | None = None) -> None:
        """Gives the library a head that knows actions by their names alone, and tags with it.

        Args:
            names: None means the 400 of Kinetics. The same names as before change nothing.
        """
        from encoders.heads.action_names import kinetics_400_names

        wanted = list(names or kinetics_400_names())
        with self._library.read() as catalog:
            known = [head for head in catalog.actions.heads() if head.kind == ZERO_SHOT]
            clips = catalog.count_clips()
        if known and known[0].card.get("wanted") == wanted:
            return
        head = self._make(wanted)
        card = {"wanted": wanted, "clips": clips}
        with self._library.write() as catalog:
            head_id = self._tagger.add(catalog, head, ZERO_SHOT, card)
        self._tagger.tag_and_activate(head_id)

    def remove(self) -> None:
        """Takes it away again, with what it found."""
        with self._library.write() as catalog:
            for head in catalog.actions.heads(active=None):
                if head.kind == ZERO_SHOT:
                    catalog.actions.remove_head(head.id)

    def recalibrate(self) -> None:
        """Measures anew what is usual for a zero-shot head, where the library has grown much since."""
        with self._library.read() as catalog:
            heads = [head for head in catalog.actions.heads() if head.kind == ZERO_SHOT]
            clips = catalog.count_clips()
        for record in heads:
            if clips < 2 * max(record.card["clips"], MIN_CLIPS):
                continue
            head = self._tagger.load([record])[record.id].calibrate(self._sample())
            card = {**record.card, "clips": clips}
            with self._library.write() as catalog:
                head_id = self._tagger.add(catalog, head, ZERO_SHOT, card)
            self._tagger.tag_and_activate(head_id)

    def _make(self, names: Sequence[str]) -> ZeroShotHead:
        from encoders.heads.zero_shot import make_zero_shot_head

        encoder = self._library.encoder()
        head = make_zero_shot_head(encoder, names, scale=encoder.logit_scale)
        return head.calibrate(self._sample())

    def _sample(self) -> NDArray[np.float32]:
        """Embeddings (S, D) from all over the library."""
        return self._library.sample().embeddings

    def head_for(self, name: str) -> ZeroShotHead | None:
        """A head for one name that none knows; None where the library does not tag by name."""
        with self._library.read() as catalog:
            open_record(catalog)  # raises where nothing was indexed yet
            knows = any(head.kind == ZERO_SHOT for head in catalog.actions.heads())
            has_words = knows and catalog.background() is not None
        # A library that tags by name also answers by name; where that is off, nothing is guessed.
        return self._make([name]) if has_words else None

    def segments(self, head: ZeroShotHead, filters: SegmentFilters) -> list[Segment]:
        """What it finds, by path and time, in the videos of the clips that resemble the name most.

        They are taken from among the clips that pass the filters. All videos of a large archive would
        take hours to look through.
        """
        dim = self._library.record().dim
        which = Filters(
            path_prefix=filters.path_prefix,
            video_ids=None if filters.video_id is None else (filters.video_id,),
            recorded_after=filters.recorded_after,
            recorded_before=filters.recorded_before,
        )
        with self._library.read() as catalog:
            allowed = None if which.is_empty else catalog.clip_ids(which)
        with self._library.index() as index:
            ids = index.search(head.labels, CLIPS_ASKED_ON_THE_FLY, allowed)[1][0]
        found: list[Segment] = []
        with self._library.read() as catalog:
            for video_id in sorted({clip.video_id for clip in catalog.clips(ids.tolist()).values()}):
                check_budget()
                path = catalog.video(video_id).path
                rejected = catalog.actions.rejected(video_id)
                for track in catalog.actions.tracks(video_id, dim):
                    for span in head.localise(track):
                        # People know better than words.
                        rests = without((span.start_seconds, span.end_seconds), rejected.get(span.action, ()))
                        found += [
                            Segment(0, video_id, path, start, end, span.action, span.confidence, ZERO_SHOT)
                            for start, end in rests
                            if span.confidence >= (filters.min_confidence or 0)
                            and end - start >= (filters.min_duration_seconds or 0) - 1e-6
                        ]
        found.sort(key=lambda one: (one.path, one.start_seconds))
        return [replace(segment, id=number + 1) for number, segment in enumerate(found)]
