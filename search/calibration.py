"""What an unrelated query scores in this library, so that a real match can be told from noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.types import Clip
from search.vector_index import VectorIndex

# A hit is weak unless it beats the unrelated queries' usual best score by this many standard
# deviations, measured below the median only: above it stand the queries that are not unrelated
# after all (copies of one video, a background text that the library does show).
DEVIATIONS = 2.0
SAMPLE_CLIPS = 256
NEIGHBOURS = 64
# From this cosine on two clips show the same; no library makes such a hit weak.
NEAR_COPY = 0.95

# Everyday things, people, places and deeds of many kinds: what people might look for, and what any
# one library mostly does not hold.
BACKGROUND_TEXTS = tuple(
    """airport runway|apple pie|aquarium fish|archery|art museum|asphalt road|astronaut in space|
    baby crawling|badminton match|bagpipes|baking bread|ballet dancer|bamboo forest|barber cutting hair|
    baseball pitcher|bathroom sink|beach at sunset|bee on a flower|birthday cake|blacksmith|blizzard|
    boat in a harbour|bookshelf|bowling alley|boxing match|brick wall|bride and groom|bulldozer|
    butterfly|cactus|camel in the desert|campfire|candle|car crash|carpenter sawing wood|castle|cathedral|
    cattle grazing|chemistry laboratory|cherry blossom|chess game|chicken coop|circus|city skyline at night|
    classroom|cliff diving|clouds from a plane|coal mine|concert crowd|construction crane|coral reef|
    corn field|court room|crocodile|crossword|cyclist|dam|deer in a forest|dentist|desert dunes|
    dinner table|dog catching a frisbee|dolphin|drone view of a river|drum kit|eagle flying|
    earthquake rubble|electric guitar|elephant|elevator|escalator|factory assembly line|farmers market|
    fencing|ferris wheel|fire engine|fireworks|fishing rod|flag waving|flooded street|football stadium|
    fountain|fox in the snow|frog|fruit stand|garage|garden hose|giraffe|glacier|glass blowing|goat|
    golf swing|goose|graffiti|grandfather clock|graveyard|greenhouse|gymnastics|hair dryer|
    hammer and nails|handshake|harp|hawk|haystack|hedgehog|helicopter|hockey game|horse race|hospital bed|
    hot air balloon|hotel lobby|iceberg|ironing clothes|jellyfish|jigsaw puzzle|judge|juggling|kangaroo|
    karate|kayak|keyboard|king penguin|kitchen stove|kite|knitting|ladder|lawn mower|library|lighthouse|
    lightning|lion|lizard|lobster|map of the world|marathon runners|market stall|mechanic under a car|
    microscope|military parade|milking a cow|monkey|moon|motorcycle|mountain climber|mushroom|nurse|
    octopus|office desk|oil rig|opera singer|orchestra|orchid|owl|painting a fence|palm tree|parachute|
    parking lot|parrot|pasta|peacock|petrol station|photographer|piano player|pigeon|pirate ship|pizza oven|
    playground slide|police officer|polar bear|pottery wheel|printing press|protest march|pumpkin|puppet show|
    rabbit|race car|radio tower|rainbow|rat|recording studio|refrigerator|rice field|rocket launch|
    roller coaster|rowing crew|rugby scrum|running shoes|sail boat|sandwich|satellite dish|saxophone|
    scarecrow|school bus|scissors|scuba diver|sewing machine|shark|shaving a beard|sheep dog|shopping mall|
    shower|skateboard trick|ski jump|sleeping cat|snail|snake|snow plough|soap bubbles|solar panels|
    spider web|spiral staircase|squirrel|starfish|steam train|stock exchange|storm waves|strawberry|
    submarine|subway station|sumo wrestling|supermarket aisle|surfer|surgeon|sushi|swan|swimming pool|
    swing|table tennis|tango|tank|tattoo|taxi|tea pot|telephone|television news reader|tennis serve|
    tent|theatre stage|tiger|toaster|tornado|tractor|traffic jam|train tracks|trampoline|
    treadmill|tree house|trombone|truck|tulips|turtle|umbrella|unicycle|vacuum cleaner|vending machine|
    vineyard|violin|volcano|volleyball|waiter|washing machine|waterfall|wedding cake|weight lifting|
    whale|wheelchair|whiteboard|wind turbine|window cleaner|wine glass|wolf|wood fire|wrestling|x-ray|
    yoga pose|zebra""".replace("\n", "").split("|")
)


@dataclass(frozen=True, slots=True)
class Level:
    """How high unrelated queries get.

    Attributes:
        usual: The usual best score of an unrelated query.
        score: A score from which a hit counts, whatever the query.
        lead: A lead over the query's mean score in the library from which a hit counts: words that
            fit nothing score low everywhere, and then less is needed to stand out.
    """

    usual: float
    score: float
    lead: float

    def is_weak(self, score: float, mean_score: float) -> bool:
        """Whether a hit is no better than unrelated queries get, by score and by lead."""
        return score < self.score and score - mean_score < self.lead

    def least(self, mean_score: float) -> float:
        """The score below which every hit of a query of this mean score is weak."""
        return min(self.score, mean_score + self.lead)


# Taken where a library is too small to have a background: fewer than two videos.
NO_TEXT = Level(0.0, 0.0, 0.0)
DEFAULT_EXAMPLE = Level(0.4, 0.6, 0.4)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Score levels of one library at one revision.

    Attributes:
        clips: How many clips it was measured on.
        text, example: The levels of words, and of pictures and footage.
        sample_ids: Clips whose mean score stands for the library's.
        catalog_id: Whose; what was measured on another catalog says nothing.
    """

    clips: int
    text: Level
    example: Level
    sample_ids: tuple[int, ...]
    catalog_id: str = ""

    def level(self, text_share: float) -> Level:
        """The level of a query that is words by this share, 0..1."""
        pairs = zip(astuple(self.text), astuple(self.example), strict=True)
        return Level(*(text_share * text + (1 - text_share) * example for text, example in pairs))

    def fits(self, clips: int) -> bool:
        """Whether it still describes a library of so many clips."""
        return abs(clips - self.clips) <= 0.1 * self.clips

    def save(self, path: Path) -> None:
        """Writes it beside the index, as JSON."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, catalog_id: str = "") -> Calibration | None:
        """Reads what `save` wrote of this catalog; None where there is nothing readable."""
        try:
            record = json.loads(path.read_text())
            if record.get("catalog_id") != catalog_id:
                return None
            return cls(
                record["clips"],
                Level(**record["text"]),
                Level(**record["example"]),
                tuple(record["sample_ids"]),
                catalog_id,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def calibrate(
    index: VectorIndex,
    background: NDArray[np.float32] | None,
    sample: NDArray[np.float32],
    sample_clips: Sequence[Clip],
    videos_of: Callable[[list[int]], dict[int, int]],
) -> Calibration:
    """Measures the background of a library.

    Args:
        index: All its clips.
        background: float32 (B, D), unit vectors of unrelated texts; None without a text tower.
        sample: float32 (S, D), embeddings of some of its clips.
        sample_clips: Those clips.
        videos_of: Looks up the videos of clips by id.
    """
    text, example = NO_TEXT, DEFAULT_EXAMPLE
    if background is not None and len(sample):
        scores, _ = index.search(background, 1)
        text = _level(scores[:, 0], (background @ sample.T).mean(axis=1))
    owners = np.array([clip.video_id for clip in sample_clips])
    if len(set(owners.tolist())) > 1:
        scores, ids = index.search(sample, NEIGHBOURS)
        known = videos_of(np.unique(ids).tolist())
        found = np.array([[known.get(clip_id, -1) for clip_id in row] for row in ids.tolist()])
        # A near copy is no unrelated clip, in whichever file it is.
        foreign = (found != owners[:, None]) & (scores < NEAR_COPY)
        # Where all neighbours are of the same video, the farthest bounds what others can score.
        first = np.where(foreign.any(axis=1), foreign.argmax(axis=1), ids.shape[1] - 1)
        others = owners[None, :] != owners[:, None]
        means = (sample @ sample.T * others).sum(axis=1) / others.sum(axis=1)
        example = _level(scores[np.arange(len(scores)), first], means)
    return Calibration(len(index), text, example, tuple(clip.id for clip in sample_clips))


def _level(best_scores: NDArray[np.float32], mean_scores: NDArray[np.float32]) -> Level:
    usual, score = _threshold(best_scores)
    _, lead = _threshold(best_scores - mean_scores)
    return Level(usual, min(score, NEAR_COPY), lead)


def _threshold(values: NDArray[np.float32]) -> tuple[float, float]:
    low, median = (float(level) for level in np.quantile(values, (0.1587, 0.5)))
    return median, median + DEVIATIONS * (median - low)
