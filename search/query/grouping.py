"""Merges hits of one video: neighbours into a moment, or all of them into the video."""

from __future__ import annotations

from dataclasses import dataclass

from search.types import Clip, GroupBy

# A neighbour belongs to a moment while it keeps this share of the peak's lead over the background.
KEPT_LEAD = 0.5


@dataclass(frozen=True, slots=True)
class ScoredClip:
    """A clip and its cosine with the query."""

    clip: Clip
    score: float


@dataclass(frozen=True, slots=True)
class Group:
    """Clips of one video that answer together, in order of time, and the best of them."""

    best: ScoredClip
    clips: tuple[ScoredClip, ...]


def group_clips(scored: list[ScoredClip], by: GroupBy, background: float) -> list[Group]:
    """Groups scored clips, best group first.

    Args:
        scored: Best first.
        by: "clip" leaves them alone, "video" keeps one group per video, "moment" joins clips that
            follow each other while they stay close to the moment's best score.
        background: What an unrelated query's best score is here.
    """
    if by == "clip":
        return [Group(one, (one,)) for one in scored]
    if by == "video":
        videos: dict[int, list[ScoredClip]] = {}
        for one in scored:
            videos.setdefault(one.clip.video_id, []).append(one)
        return [Group(members[0], (members[0],)) for members in videos.values()]
    return _moments(scored, background)


def _moments(scored: list[ScoredClip], background: float) -> list[Group]:
    at = {(one.clip.video_id, one.clip.ordinal): one for one in scored}
    taken: set[int] = set()
    groups = []
    for peak in scored:
        if peak.clip.id in taken:
            continue
        floor = background + KEPT_LEAD * (peak.score - background)
        floor = min(floor, peak.score)
        members = [peak]
        for step in (-1, 1):
            ordinal = peak.clip.ordinal + step
            while (
                (near := at.get((peak.clip.video_id, ordinal))) is not None
                and near.score >= floor
                and near.clip.id not in taken
            ):
                members.append(near)
                ordinal += step
        taken.update(one.clip.id for one in members)
        members.sort(key=lambda one: one.clip.ordinal)
        groups.append(Group(peak, tuple(members)))
    return groups
