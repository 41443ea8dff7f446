"""What every section of the measurement is given: photographs, seeds, and archives that are made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from benchmarks.answers.archive import (
    Archive,
    Half,
    Photograph,
    build_archive,
    read_everyday,
    read_photographs,
)

ARCHIVE_SHOTS = 480  # 120 videos of four; with fewer, what takes hundreds is left out


@dataclass(frozen=True)
class Setup:
    """Where the material is, and where archives are made.

    Attributes:
        photographs: Folder of ImageNet's photographs.
        everyday: Folder of everyday photographs with boxes; None leaves out what needs them.
        folder: For archives; one that was made there before is used again.
        seeds: How many archives of each kind.
        half: Which half of the photographs: settings are chosen by one, and judged by the other. "all" is
            for photographs that nothing was chosen by.
        shots: Of an archive.
        tree_before: Working tree of the version before, whose costs are compared.
    """

    photographs: Path
    everyday: Path | None
    folder: Path
    seeds: int = 3
    half: Half | Literal["all"] = "judging"
    shots: int = ARCHIVE_SHOTS
    tree_before: Path | None = None

    def pictures(self) -> list[Photograph]:
        """This half of ImageNet's photographs."""
        return read_photographs(self.photographs, None if self.half == "all" else self.half)

    @property
    def is_whole(self) -> bool:
        """Whether archives are as large as those of the figures in `docs/answers.md`."""
        return self.shots >= ARCHIVE_SHOTS

    @cache  # noqa: B019 - one setup a run
    def archive(self, seed: int) -> Archive:
        """Photographs in motion, four to a video."""
        folder = self.folder / f"{self.half}-{seed}"
        return build_archive(self.pictures(), folder, seed=seed, count=self.shots)

    @cache  # noqa: B019 - one setup a run
    def everyday_archive(self, seed: int) -> Archive | None:
        """Everyday photographs in motion; None without them."""
        if self.everyday is None or self.half == "all":
            return None
        folder = self.folder / f"everyday-{self.half}-{seed}"
        return build_archive(read_everyday(self.everyday, self.half), folder, seed=seed)
