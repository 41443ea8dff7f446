"""Actions known by their names alone: a head kept up to date, and names looked for on the fly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from encoders.budget import check_budget
from search.actions.naming import ZERO_SHOT
from search.catalog.actions.spans import subtract_spans
from search.catalog.record import open_record
from search.types import Segment, SegmentQuery

if TYPE_CHECKING:
    from encoders.heads.zero_shot import ZeroShotHead
    from search.library import Library

CLIPS_ASKED_ON_THE_FLY = 2000
MIN_CLIPS = 32  # fewer say nothing about what is usual


def add_zero_shot(library: Library, names: Sequence[str] | None = None) -> None:
    """Gives a library a head that knows actions by their names alone, and tags with it.

    Args:
        library: Of an encoder with words.
        names: None means the 400 of Kinetics. The same names as before change nothing.
    """
    from encoders.heads.action_names import kinetics_400_names

    wanted = list(names or kinetics_400_names())
    with library.read() as catalog:
        known = [head for head in catalog.actions.heads() if head.kind == ZERO_SHOT]
        clips = catalog.visible_clips()
    if known and known[0].card.get("wanted") == wanted:
        return
    _put_in_place(library, _make_head(library, wanted), {"wanted": wanted, "clips": clips})


def recalibrate_zero_shot(library: Library) -> None:
    """Measures anew what is usual for a zero-shot head, where the library has grown much since."""
    from encoders.heads.zero_shot import ZeroShotHead
    from search.actions.tagging import Tagger

    with library.read() as catalog:
        heads = [head for head in catalog.actions.heads() if head.kind == ZERO_SHOT]
        clips = catalog.visible_clips()
    for record in heads:
        if clips >= 2 * max(record.card["clips"], MIN_CLIPS):
            head = Tagger(library).load([record])[record.id]
            assert isinstance(head, ZeroShotHead)
            calibrated = head.calibrate(library.sample().embeddings)
            _put_in_place(library, calibrated, {**record.card, "clips": clips})


def find_by_name(library: Library, query: SegmentQuery) -> list[Segment] | None:
    """Finds segments of a name that no head knows, by path and time; None where nothing is tagged by name.

    They are looked for in the videos of the clips that resemble the name most, among those that pass the
    query's filters. All videos of a large archive would take hours to look through.

    Raises:
        LibraryError: Nothing was indexed yet.
    """
    assert query.actions is not None
    with library.read() as catalog:
        dim = open_record(catalog).dim
        knows = any(head.kind == ZERO_SHOT for head in catalog.actions.heads())
        # A library that tags by name also answers by name; where that is off, nothing is guessed.
        if not knows or catalog.background() is None:
            return None
        allowed = None if query.clips.is_empty else catalog.clip_ids(query.clips)
    head = _make_head(library, query.actions)
    with library.index() as index:
        ids = index.search(head.labels, CLIPS_ASKED_ON_THE_FLY, allowed)[1][0]
    found: list[Segment] = []
    with library.read() as catalog:
        for video_id in sorted({clip.video_id for clip in catalog.clips(ids.tolist()).values()}):
            check_budget()
            path = catalog.video(video_id).path
            rejected = catalog.actions.rejected(video_id)
            for track in catalog.tracks(video_id, dim):
                for span in head.localise(track):
                    # People know better than words.
                    rests = subtract_spans(
                        (span.start_seconds, span.end_seconds), rejected.get(span.action, ())
                    )
                    found += [
                        Segment(0, video_id, path, start, end, span.action, span.confidence, ZERO_SHOT)
                        for start, end in rests
                        if span.confidence >= (query.min_confidence or 0)
                        and end - start >= (query.min_duration_seconds or 0) - 1e-6
                    ]
    found.sort(key=lambda one: (one.path, one.start_seconds))
    return [replace(segment, id=number + 1) for number, segment in enumerate(found)]


def _make_head(library: Library, names: Sequence[str]) -> ZeroShotHead:
    from encoders.heads.zero_shot import make_zero_shot_head

    encoder = library.encoder()
    head = make_zero_shot_head(encoder, names, scale=encoder.logit_scale)
    return head.calibrate(library.sample().embeddings)


def _put_in_place(library: Library, head: ZeroShotHead, card: Mapping[str, Any]) -> None:
    from search.actions.tagging import Tagger

    tagger = Tagger(library)
    with library.write() as catalog:
        head_id = tagger.add(catalog, head, ZERO_SHOT, card)
    tagger.tag_and_activate(head_id)
