"""Heads at work on the library: every video tagged from its stored features, without decoding."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from encoders.errors import HeadFileError, ReelseekError
from encoders.heads.head import ActionSpan, FeatureTrack, Head
from encoders.heads.registry import HEADS, check_found, read_head
from search.catalog.actions.heads import DRAFT, HeadRecord

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library

VIDEOS_PER_WRITE = 16
BORDER_SECONDS = 1e-6  # what two times of one border differ by at most


class Tagger:
    """Tags videos with what the library's heads find in them; safe to share between threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._heads: dict[int, Head] = {}
        self._lock = threading.Lock()

    def tag_video(
        self, catalog: Catalog, video_id: int, dim: int, more: dict[str, list[ActionSpan]] | None = None
    ) -> None:
        """Replaces a video's segments by what every head finds now, in the caller's transaction.

        Args:
            catalog: Of a write transaction in which the video's clips are published.
            video_id: The video.
            dim: D of its features.
            more: By head name, what backbones saw while the video was decoded.
        """
        records = catalog.actions.heads(active=None)
        catalog.actions.clear_segments(video_id)
        for head_id, spans in self._found(catalog, video_id, dim, records):
            catalog.actions.add_segments(video_id, head_id, spans)
        ids = {record.name: record.id for record in records if not record.reads_features}
        for name, spans in (more or {}).items():
            if name in ids:  # else it was removed while the video was decoded
                catalog.actions.add_segments(video_id, ids[name], spans)
        catalog.actions.drop_rejected(video_id)

    def retag(
        self,
        head_ids: Sequence[int] | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Tags the whole library anew from its stored features; decodes nothing.

        Args:
            head_ids: None means all heads but backbones, which need the frames.
            on_progress: Told how many of how many videos are done.

        Returns:
            How many videos were tagged.
        """
        from threadpoolctl import threadpool_limits

        with self._library.read() as catalog:
            dim = self._library.record().dim
            records = [
                record
                for record in catalog.actions.heads(active=None)
                if record.reads_features and (head_ids is None or record.id in head_ids)
            ]
            videos = catalog.videos_with_clips()
        if not records:
            return 0
        kinds = {head.kind for head in self.load(records).values()}
        on_progress(0, len(videos))
        done = 0
        # One thread a core, each with one: the work is many small products, and reading. Set here and not
        # where a head runs: threads that are yet to come take over what is set, and several that each set it
        # and set it back would leave it to chance.
        with ExitStack() as limits, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            # Torch first: it would take the other limit for what it has to go back to.
            for kind in kinds:
                limits.enter_context(HEADS.find(kind).one_thread())
            limits.enter_context(threadpool_limits(1))
            for batch in _batches(videos, VIDEOS_PER_WRITE):
                futures = [pool.submit(self._look_at, video_id, dim, records) for video_id in batch]
                self._store(futures, [record.id for record in records])
                done += len(batch)
                on_progress(done, len(videos))
        return done

    def _look_at(
        self, video_id: int, dim: int, records: Sequence[HeadRecord]
    ) -> tuple[int, int | None, list[tuple[int, list[ActionSpan]]]]:
        with self._library.read() as catalog:
            revision = catalog.video_revision(video_id)
            return video_id, revision, self._found(catalog, video_id, dim, records)

    def _store(self, futures: Iterable[Future[Any]], head_ids: Sequence[int]) -> None:
        results = [future.result() for future in futures]
        with self._library.write() as catalog:
            catalog.actions.hold_videos()
            kept = {record.id for record in catalog.actions.heads(active=None)}
            for video_id, revision, found in results:
                if revision is None or catalog.video_revision(video_id) != revision:
                    continue  # it was replaced meanwhile, and tagged by whoever did
                catalog.actions.clear_segments(video_id, head_ids)
                for head_id, spans in found:
                    if head_id in kept:
                        catalog.actions.add_segments(video_id, head_id, spans)
                catalog.actions.drop_rejected(video_id)

    def _found(
        self, catalog: Catalog, video_id: int, dim: int, records: Sequence[HeadRecord]
    ) -> list[tuple[int, list[ActionSpan]]]:
        """Returns the spans that each head finds in a video, by its id; backbones are left out."""
        heads = self.load([record for record in records if record.reads_features], catalog)
        spans: dict[int, list[ActionSpan]] = {key: [] for key in heads}
        if not heads:
            return []
        border = None
        for track in catalog.tracks(video_id, dim):
            for key, found in _localised(heads, track):
                spans[key] = _joined(spans[key], found, border, float(track.borders_seconds[0]))
            border = float(track.borders_seconds[-1])
        return list(spans.items())

    def add(
        self, catalog: Catalog, head: Head, name: str, card: Mapping[str, Any], *, is_draft: bool = False
    ) -> int:
        """Adds a head that finds nothing yet, in the caller's transaction; returns its id."""
        return catalog.actions.add_head(
            kind=DRAFT if is_draft else head.kind,
            name=name,
            encoder_id=head.encoder_id,
            actions=head.actions,
            threshold=head.threshold,
            card=card,
            parameters=head.to_bytes(),
            is_active=False,
        )

    def tag_and_activate(
        self, head_id: int, on_progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Tags the library with an added head, then puts it in the place of the one of its name."""
        try:
            self.retag([head_id], on_progress)
            with self._library.write() as catalog:
                catalog.actions.activate_head(head_id)
        except BaseException:
            with self._library.write() as catalog:
                catalog.actions.remove_head(head_id)
            raise

    def prepare(self) -> None:
        """Reads every head that tags videos, before anything is decoded for it.

        Raises:
            HeadFileError: One cannot be used here, as where the plug-in that it is of is not installed.
        """
        with self._library.read() as catalog:
            self.load(
                [record for record in catalog.actions.heads(active=None) if record.reads_features], catalog
            )

    def load(self, records: Sequence[HeadRecord], catalog: Catalog | None = None) -> dict[int, Head]:
        """Reads heads by id, with the names that the records have for their actions; each is read once."""
        with self._lock:
            missing = [record for record in records if record.id not in self._heads]
        if missing:
            with nullcontext(catalog) if catalog is not None else self._library.read() as reader:
                for record in missing:
                    try:
                        head = read_head(reader.actions.head_parameters(record.id) or b"")
                    except HeadFileError as error:
                        raise HeadFileError(
                            f"the head {record.name!r} cannot be used: {error}, or remove it with `indexer "
                            f'actions remove "{record.name}"`'
                        ) from error
                    with self._lock:
                        self._heads[record.id] = head
        with self._lock:
            heads = {record.id: self._heads[record.id] for record in records}
        # Another program may have renamed what was loaded here before.
        return {
            record.id: head if head.actions == record.actions else head.renamed(record.actions)
            for record, head in zip(records, heads.values(), strict=True)
        }


def _localised(heads: Mapping[int, Head], track: FeatureTrack) -> Iterator[tuple[int, list[ActionSpan]]]:
    """Yields what each head finds in a piece of a video, by its id; heads of one kind look together.

    Raises:
        HeadFileError: A plug-in's head failed, or found an action that it does not know.
    """
    keys: dict[str, list[int]] = {}
    for key, head in heads.items():
        keys.setdefault(head.kind, []).append(key)
    for kind, alike in keys.items():
        family, together = HEADS.find(kind), [heads[key] for key in alike]
        try:
            found = family.localise(together, track)
            if family not in HEADS.ours:
                check_found(together, found)
        except Exception as error:
            if family in HEADS.ours or isinstance(error, ReelseekError):
                raise
            raise HeadFileError(
                f"the heads of kind {kind!r} failed ({type(error).__name__}: {error}): install another "
                "version of the plug-in, or remove them (`indexer actions remove`)"
            ) from error
        yield from zip(alike, found, strict=True)


def _joined(
    before: list[ActionSpan], after: list[ActionSpan], end_seconds: float | None, start_seconds: float
) -> list[ActionSpan]:
    """Joins one head's spans of two pieces of a video: what reaches their border from both sides is one.

    Args:
        before, after: What was found up to the border, and from there on.
        end_seconds: Where the samples before it end; None where there are none.
        start_seconds: Where those after it begin.
    """
    if end_seconds is None:
        return after
    crossing = {span.action: span for span in after if span.start_seconds <= start_seconds + BORDER_SECONDS}
    joined = []
    for span in before:
        other = crossing.get(span.action)
        if other is not None and span.end_seconds >= end_seconds - BORDER_SECONDS:
            first, last = span.end_seconds - span.start_seconds, other.end_seconds - other.start_seconds
            confidence = (first * span.confidence + last * other.confidence) / (first + last)
            span = replace(span, end_seconds=other.end_seconds, confidence=min(confidence, 1.0))
            del crossing[span.action]
            after = [one for one in after if one is not other]
        joined.append(span)
    return joined + after


def _batches(values: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
