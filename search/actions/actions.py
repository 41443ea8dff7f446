"""Actions of a library: teaching, tagging, finding, correcting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import (
    EncoderMismatchError,
    HeadFileError,
    InvalidQueryError,
    UnknownActionError,
)
from encoders.heads.action_names import NameMatch, find_names, normalise_action
from encoders.weights.digests import CLASSIFIER_PREFIXES
from encoders.weights.tensors import with_card
from search.actions.carried_heads import carried_report, check_taught
from search.actions.corrections import clip_example, keep_correction, span_example
from search.actions.gathering import check_sides
from search.actions.kept_examples import describe_examples
from search.actions.tagging import Tagger, read_head, renamed
from search.actions.teaching import teach
from search.actions.zero_shot import ZERO_SHOT, ZeroShot
from search.catalog.actions import (
    DRAFT,
    TAUGHT_KINDS,
    ActionExample,
    HeadRecord,
    SegmentFilters,
    overlaps_enough,
)
from search.dates import RecordedBound
from search.file_names import catalogued_prefix
from search.types import Filters, Segment, check_recorded

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library

SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True)
class FoundSegments:
    """An answer: which names the typed one was taken for, and how many segments there are.

    Attributes:
        action: What was asked for.
        names: Names that heads know it by.
        how: "exact", "synonym", "words", or "zero-shot" for a name that no head knows.
        on_the_fly: All segments of such a name, None for the others.
    """

    action: str
    names: tuple[str, ...]
    how: str
    filters: SegmentFilters
    on_the_fly: tuple[Segment, ...] | None = None


class Actions:
    """What a library knows about actions; safe to share between threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.tagger = Tagger(library)
        self.zero_shot = ZeroShot(library, self.tagger)

    # --- names -----------------------------------------------------------------------------

    def match(self, action: str) -> NameMatch:
        """The names that heads know an action by; `how` is "none" where no head does."""
        with self._library.read() as catalog:
            known = {name for head in catalog.actions.heads() for name in head.actions}
        return find_names(action, sorted(known))

    def _unknown(self, action: str, match: NameMatch) -> UnknownActionError:
        with self._library.read() as catalog:
            heads = catalog.actions.heads()
        names = {name for head in heads for name in head.actions}
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

    # --- finding ---------------------------------------------------------------------------

    def find(
        self,
        action: str,
        *,
        min_confidence: float | None = None,
        min_duration_seconds: float | None = None,
        path_prefix: str | None = None,
        video_id: int | None = None,
        recorded_after: RecordedBound | None = None,
        recorded_before: RecordedBound | None = None,
    ) -> FoundSegments:
        """What an action is called here, ready for `count` and `segments`.

        Raises:
            UnknownActionError: No head knows it, and the encoder cannot tell it by its name.
            InvalidQueryError: The name is no name, or a bound is out of range.
        """
        check_bounds(min_confidence, min_duration_seconds)
        check_recorded(recorded_after, recorded_before)
        match = self.match(action)
        if path_prefix is not None:
            with self._library.read() as catalog:
                path_prefix = catalogued_prefix(catalog, path_prefix)
        filters = SegmentFilters(
            match.names,
            min_confidence,
            min_duration_seconds,
            path_prefix,
            video_id,
            recorded_after,
            recorded_before,
        )
        if match.how != "none":
            return FoundSegments(action, match.names, match.how, filters)
        name = normalise_action(action)
        head = self.zero_shot.head_for(name)
        if head is None:
            raise self._unknown(action, match)
        segments = tuple(self.zero_shot.segments(head, filters))
        if not segments and not self._library.encoder().tags_by_name:
            raise self._unknown(action, match)  # of weak words, finding nothing says nothing
        return FoundSegments(action, (name,), ZERO_SHOT, filters, segments)

    def count(self, found: FoundSegments) -> int:
        """How many segments an answer has."""
        if found.on_the_fly is not None:
            return len(found.on_the_fly)
        with self._library.read() as catalog:
            return catalog.actions.count_segments(found.filters)

    def segments(
        self, found: FoundSegments, *, after: tuple[str, float, int] | None = None, limit: int | None = None
    ) -> Iterator[Segment]:
        """An answer's segments by path and time, from just after one on."""
        if found.on_the_fly is not None:
            rest = (s for s in found.on_the_fly if after is None or (s.path, s.start_seconds, s.id) > after)
            for number, segment in enumerate(rest):
                if number == limit:
                    return
                yield segment
            return
        with self._library.read() as catalog:
            yield from catalog.actions.list_segments(found.filters, after=after, limit=limit)

    def wanted(self, filters: Filters) -> FoundSegments | None:
        """The segments that let clips through filters; None where they name no action.

        Raises:
            UnknownActionError: The filters name an action that nothing knows.
        """
        if filters.action is None:
            return None
        return self.find(
            filters.action,
            min_confidence=filters.min_confidence,
            path_prefix=filters.path_prefix,
            recorded_after=filters.recorded_after,
            recorded_before=filters.recorded_before,
        )

    def wanted_of_videos(
        self, catalog: Catalog, video_ids: Sequence[int], wanted: FoundSegments | None
    ) -> dict[int, list[Segment]]:
        """By video, those of an answer's segments that lie in it; none where nothing was wanted."""
        if wanted is not None and wanted.on_the_fly is None:
            return catalog.actions.segments_of_videos(video_ids, wanted.filters)
        found: dict[int, list[Segment]] = {video_id: [] for video_id in video_ids}
        for segment in (wanted.on_the_fly or ()) if wanted is not None else ():
            if segment.video_id in found:
                found[segment.video_id].append(segment)
        return found

    def allowed_clips(
        self, filters: Filters, wanted: FoundSegments | None = None
    ) -> NDArray[np.int64] | None:
        """Ids of the clips that pass filters, ascending; None where every clip does.

        Args:
            filters: What every clip must satisfy.
            wanted: What the method of that name gave for them, if it was asked already.

        Raises:
            UnknownActionError: The filters name an action that nothing knows.
        """
        if filters.is_empty:
            return None
        found = wanted or self.wanted(filters)
        with self._library.read() as catalog:
            if found is None:
                return catalog.clip_ids(filters)
            if found.on_the_fly is None:
                return catalog.clip_ids(filters, found.filters)
            ids = catalog.clip_ids(filters)
            by_video: dict[int, list[Segment]] = {}
            for segment in found.on_the_fly:
                by_video.setdefault(segment.video_id, []).append(segment)
            showing = [
                clip.id
                for video_id, segments in by_video.items()
                for clip in catalog.clips_of_video(video_id)
                if any(overlaps_enough(clip.start_seconds, clip.end_seconds, one) for one in segments)
            ]
            return np.intersect1d(ids, np.array(showing, np.int64))

    # --- teaching --------------------------------------------------------------------------

    def teach(
        self,
        action: str,
        examples: Sequence[ActionExample],
        *,
        replace_examples: bool = False,
        on_progress: Callable[[str], None] = lambda _: None,
        on_tagged: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Any]:
        """Learns an action from examples, those kept from before and corrections included; re-tags.

        Any number is a lesson; one that could not be checked, or did not hold when it was, is a draft.
        Where enough videos are labelled throughout, a head that learns borders is tried as well, and kept
        if it is the better one: see `encoders/lessons/spans.py`.

        Until it is done the library answers as before; stopped midway, nothing has changed but the
        examples.

        Args:
            action: Its name.
            examples: New ones.
            replace_examples: Forget those that were given at earlier lessons (not corrections).
            on_progress: Told what is being done.
            on_tagged: Told how many of how many videos are tagged.

        Returns:
            The head's card: the lesson's report, and under "localiser" how the two heads compare, None
            where too few videos are labelled.

        Raises:
            TeachingError: There is no example, or nothing to tell it from; nothing was changed.
            InvalidQueryError: The name is no name, or something is given as it and as what it is not.
        """
        name = normalise_action(action)
        self.check_free(name)
        check_sides(name, examples)
        return teach(
            self._library,
            self.tagger,
            name,
            examples,
            replace_examples=replace_examples,
            on_progress=on_progress,
            on_tagged=on_tagged,
        )

    @staticmethod
    def check_free(name: str) -> None:
        """Raises InvalidQueryError for a name that an action cannot have."""
        if name == ZERO_SHOT or name.startswith(CLASSIFIER_PREFIXES):
            raise InvalidQueryError(f"{name!r} is the name of a whole head; choose another for the action")

    # --- changing --------------------------------------------------------------------------

    def taught(self, action: str) -> HeadRecord:
        """A taught action's head, or a whole head, by its exact name. Raises UnknownActionError."""
        with self._library.read() as catalog:
            heads = {head.name: head for head in catalog.actions.heads()}
        # A backbone's name may hold a path, which is spelled as it is.
        found = heads.get(action.strip()) or heads.get(normalise_action(action))
        if found is not None:
            return found
        raise self._unknown(action, self.match(action))

    def name_taught(self, action: str) -> str:
        """What a typed name is kept as: the one taught action that it means, else itself.

        Raises:
            InvalidQueryError: It is no name.
        """
        name = normalise_action(action)
        with self._library.read() as catalog:
            heads = catalog.actions.heads()
        taught = {head.name for head in heads if head.is_taught}
        match = self.match(name)
        meant = taught.intersection(match.names) if match.how in ("exact", "synonym") else set()
        meant = {other for other in meant if not _is_cut_short(name, other)}
        return meant.pop() if name not in taught and len(meant) == 1 else name

    def _any_head(self, action: str) -> HeadRecord:
        """As `taught`, but also one that was left unfinished when its program was stopped."""
        try:
            return self.taught(action)
        except UnknownActionError:
            name = normalise_action(action)
            with self._library.read() as catalog:
                for head in catalog.actions.heads(active=None):
                    if head.name == name:
                        return head
            raise

    def rename(self, action: str, new: str) -> str:
        """Gives a taught action another name; returns it as it is kept."""
        head, name = self.taught(action), normalise_action(new)
        if not head.is_taught:
            raise InvalidQueryError(f"{head.name!r} is no taught action, it cannot be renamed")
        self.check_free(name)
        with self._library.write() as catalog:
            if any(one.name == name and one.id != head.id for one in catalog.actions.heads(active=None)):
                raise InvalidQueryError(f"there is an action {name!r} already: remove it first")
            loaded = renamed(self.tagger.load([head], catalog)[head.id], name)
            catalog.actions.rename(head.id, head.name, name, loaded.to_bytes())
        self.tagger.forget(head.id)
        return name

    def remove(self, action: str) -> dict[str, Any]:
        """Removes a head, its segments and its examples; of a name not taught yet, its corrections.

        Returns:
            The "action", or the head's name, and how many "examples" went.
        """
        try:
            head = self._any_head(action)
        except UnknownActionError:
            name = normalise_action(action)
            with self._library.write() as catalog:
                count = catalog.actions.remove_examples(name)
            if not count:
                raise
            return {"action": name, "examples": count}
        count = 0
        with self._library.write() as catalog:
            for one in catalog.actions.heads(active=None):
                if one.name == head.name:
                    catalog.actions.remove_head(one.id)
            if head.is_taught:
                count = catalog.actions.remove_examples(head.name)
        return {"action": head.name, "examples": count}

    def export(self, action: str) -> bytes:
        """A taught head as a safetensors file with its lesson's report, but without the footage."""
        head = self.taught(action)
        with self._library.read() as catalog:
            parameters = catalog.actions.head_parameters(head.id)
        if parameters is None or not head.is_taught:
            raise InvalidQueryError(
                f"{head.name!r} is no taught action: any library can have it, with `indexer ingest --actions`"
            )
        return with_card(parameters, report=dict(head.card))

    def import_head(
        self,
        content: bytes,
        on_tagged: Callable[[int, int], None] = lambda done, total: None,
        *,
        replace: bool = False,
    ) -> HeadRecord:
        """Takes in what `export` gave, and tags the library with it.

        Args:
            content: Of the file.
            on_tagged: Told how many of how many videos are tagged.
            replace: Put it in the place of a taught action of that name, whose examples stay.

        Raises:
            InvalidQueryError: An action of that name is taught here, and is not to be replaced.
            HeadFileError: It is no such file.
            EncoderMismatchError: It reads the features of another encoder.
        """
        head = read_head(content)
        if head.kind not in TAUGHT_KINDS:
            raise HeadFileError(f"the file holds a head of kind {head.kind!r}, expected a taught action")
        record = self._library.record()
        if head.encoder_id != record.encoder_id:
            raise EncoderMismatchError(
                f"this head reads features of {head.encoder_id}, this library has those of "
                f"{record.encoder_id}: teach the action here instead"
            )
        name = check_taught(head, record.dim)
        self.check_free(name)
        card = {**carried_report(content), "imported": True}
        with self._library.write() as catalog:
            if not replace and any(one.name == name for one in catalog.actions.heads()):
                raise InvalidQueryError(
                    f"there is an action {name!r} already: rename or remove it first, or put this one in its "
                    "place with --replace"
                )
            # What was a draft where it was taught is one here.
            head_id = self.tagger.add(catalog, head, name, card, is_draft=bool(card.get("is_draft")))
        self.tagger.tag_and_activate(head_id, on_tagged)
        return self.taught(name)

    def correct(self, clip_id: int, action: str, *, is_positive: bool) -> dict[str, Any]:
        """Says that a clip shows an action, or does not; kept for the next lesson.

        What a rejected clip was tagged with goes at once. Another name of a taught action counts for it.

        Returns:
            As `corrections`, with what `keep_correction` adds.

        Raises:
            NotFoundError: There is no such clip.
        """
        name = self.name_taught(action)
        with self._library.write() as catalog:
            return self._corrected(catalog, name, clip_example(catalog, clip_id, is_positive=is_positive))

    def correct_span(
        self, video_id: int, span: tuple[float, float], action: str, *, is_positive: bool
    ) -> dict[str, Any]:
        """As `correct`, of [start, end) in seconds of a video: a whole segment, say.

        Raises:
            NotFoundError: There is no such video, or nothing of it is indexed.
            InvalidQueryError: The span is empty or lies beyond its video.
        """
        name = self.name_taught(action)
        with self._library.write() as catalog:
            example = span_example(catalog, video_id, span, is_positive=is_positive, origin="feedback")
            return self._corrected(catalog, name, example)

    @staticmethod
    def _corrected(catalog: Catalog, name: str, correction: ActionExample) -> dict[str, Any]:
        kept = keep_correction(catalog, name, correction)
        positive, negative = catalog.actions.count_examples_of(name)
        return {"action": name, "positive": positive, "negative": negative, **kept}

    def remove_backbones(self) -> None:
        """Takes away what backbones found, and that they are known."""
        with self._library.write() as catalog:
            for head in catalog.actions.heads(active=None):
                if head.kind == "kinetics":
                    catalog.actions.remove_head(head.id)

    # --- the whole -------------------------------------------------------------------------

    def listing(self) -> list[dict[str, Any]]:
        """What is known, action by action: the document of `indexer actions list --json`.

        Of a head that knows many names only those are listed that were found.
        """
        with self._library.read() as catalog:
            heads = catalog.actions.heads()
            counts = catalog.actions.counts()
            examples = catalog.actions.count_examples()
        rows: list[dict[str, Any]] = []
        for head in heads:
            taught = head.is_taught
            for name in head.actions:
                count, seconds = counts.get((head.id, name), (0, 0.0))
                if not (taught or count):
                    continue
                of, against = examples.get(name, (0, 0)) if taught else (0, 0)
                rows.append(
                    {
                        "action": name,
                        "head": head.label,
                        "segments": count,
                        "seconds": round(seconds, 3),
                        "threshold": head.threshold if taught else None,
                        "examples": {"positive": of, "negative": against} if taught else None,
                        "report": dict(head.card) if taught else None,
                    }
                )
        order = {"taught": 0, DRAFT: 1}
        rows.sort(key=lambda row: (order.get(row["head"], 2), -row["segments"], row["action"]))
        return rows

    def describe(self, action: str) -> dict[str, Any]:
        """One head with its examples: the document of `indexer actions show --json`."""
        head = self._head_meant(action)
        with self._library.read() as catalog:
            examples = describe_examples(catalog, head.name) if head.is_taught else []
        rows = [row for row in self.listing() if row["head"] == head.label]
        if head.is_taught:
            rows = [row for row in rows if row["action"] == head.name]
        return {
            "action": head.name,
            "head": head.label,
            "encoder": head.encoder_id,
            "threshold": head.threshold,
            "report": dict(head.card),
            "segments": sum(row["segments"] for row in rows),
            "examples": examples,
        }

    def _head_meant(self, action: str) -> HeadRecord:
        """As `taught`, but also by another name of the only taught action that it means."""
        try:
            return self.taught(action)
        except UnknownActionError:
            name = self.name_taught(action)
            if name == normalise_action(action):
                raise
            return self.taught(name)

    def is_taught(self, action: str) -> bool:
        """Whether an action was taught by exactly this name."""
        name = normalise_action(action)
        with self._library.read() as catalog:
            return any(head.is_taught and head.name == name for head in catalog.actions.heads())

    def untaught(self) -> list[dict[str, Any]]:
        """What was corrected by a name that is not taught yet, by name."""
        with self._library.read() as catalog:
            taught = {head.name for head in catalog.actions.heads() if head.is_taught}
            counts = catalog.actions.count_examples()
        return [
            {"action": name, "positive": positive, "negative": negative}
            for name, (positive, negative) in sorted(counts.items())
            if name not in taught
        ]

    def corrections(self, action: str) -> dict[str, Any]:
        """How many examples of an action are kept, taught yet or not; `action` is what they are kept as."""
        name = self.name_taught(action)
        with self._library.read() as catalog:
            positive, negative = catalog.actions.count_examples_of(name)
        return {"action": name, "positive": positive, "negative": negative}

    def heads_listing(self) -> list[dict[str, Any]]:
        """The heads themselves."""
        with self._library.read() as catalog:
            return [
                {"head": head.label, "kind": head.kind, "names": len(head.actions)}
                for head in catalog.actions.heads()
                if not head.is_taught
            ]


def check_bounds(min_confidence: float | None, min_duration_seconds: float | None) -> None:
    """Raises InvalidQueryError where a bound makes no sense."""
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise InvalidQueryError(f"min_confidence must be from 0 to 1, got {min_confidence}")
    if min_duration_seconds is not None and not 0 <= min_duration_seconds < float("inf"):
        raise InvalidQueryError(f"min_duration_seconds must be 0 or more, got {min_duration_seconds}")


def _is_cut_short(name: str, other: str) -> bool:
    """Whether two names differ by final e's alone, as no two forms of a word do: one is a typing error."""
    return name != other and re.sub(r"e\b", "", name) == re.sub(r"e\b", "", other)
