"""What users ask: words of every sort that the default encoder reads, stored clips, unseen pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.large.bank import Bank
from benchmarks.large.clips import make_pictures
from encoders.words.class_names import class_names
from encoders.words.everyday import COMPANIONS
from encoders.words.phrases import read_phrase
from encoders.words.table import word_table
from search.calibration.probabilities import AskedFor
from search.library import Library
from search.query.encoding import QueryEncoder
from search.types import Query, TextPart

Kind = Literal["text", "clip", "picture", "tuning"]
SEED = 11
LEAST_KINDS = 4  # of a general word, in classes
MOST_DRAWS = 1000
# What WordNet's tree knows no thing of: read by its likeness to names of classes.
SENTENCES = (
    "getting married", "sunset over the hills", "celebrating a victory", "pouring rain", "an argument",
    "late at night", "graduation ceremony", "feeling lonely", "learning to swim", "heavy snowfall",
    "something dangerous", "breaking news", "waiting impatiently", "early morning fog", "moving slowly",
    "surgery", "fencing", "meditation", "a spectacular explosion", "jumping for joy", "falling asleep",
)  # fmt: skip
ENDINGS = (
    "far away",
    "long ago",
    "again",
    "at once",
    "for hours",
    "suddenly",
    "in silence",
    "twice",
    "seldom",
)


@dataclass(frozen=True, slots=True)
class Question:
    """Something to look for.

    Attributes:
        kind: "tuning" are clips and pictures by which the effort of approximate indexes is chosen.
        sort: Of words which; else the kind.
        vector: float32 (D,), what an index by cosine is asked.
        asked: As our scores are judged by.
        text: The words, if any.
        row: Of the clip asked with, which is no answer; -1 for none.
    """

    kind: Kind
    sort: str
    vector: NDArray[np.float32]
    asked: AskedFor
    text: str = ""
    row: int = -1


def make_questions(
    library: Library, bank: Bank, clips: NDArray[np.float16], count: int, tuning: int
) -> list[Question]:
    """`count` questions of each kind, and `tuning` to tune by: others, half of them clips."""
    random = np.random.default_rng(SEED)
    encoder = QueryEncoder(library)
    questions = []
    for sort, text in make_texts(random, count):
        encoded = encoder.encode(Query((TextPart(text),)))
        questions.append(Question("text", sort, encoded.vectors[0], encoded.asked, text))
    rows = random.choice(len(clips), count + tuning // 2, replace=False).tolist()
    pictures = list(make_pictures(bank, count + tuning - tuning // 2, SEED))
    for number, row in enumerate(rows):
        vector = clips[row].astype(np.float32)
        kind: Kind = "clip" if number < count else "tuning"
        questions.append(Question(kind, "clip", vector, by_vector(vector), row=row))
    for number, vector in enumerate(pictures):
        kind = "picture" if number < count else "tuning"
        questions.append(Question(kind, "picture", vector, by_vector(vector)))
    return questions


def by_vector(vector: NDArray[np.float32]) -> AskedFor:
    """A question by a vector (D,) alone, as that of a clip or a picture is judged."""
    return AskedFor(vector[None], text_share=0.0)


def make_texts(random: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """So many different texts, (sort, words), the five sorts in turn as long as there are more of each."""
    table = word_table()
    general = [word for word in table.words() if len(table.kind(word).classes) >= LEAST_KINDS]  # type: ignore[union-attr]
    names, everyday = list(class_names()), sorted(COMPANIONS)
    sentences = [text for text in SENTENCES if not read_phrase(text).named]
    draw: Callable[[list[str]], str] = lambda words: words[int(random.integers(len(words)))]  # noqa: E731
    sorts: dict[str, Callable[[], str]] = {
        "class name": lambda: draw(names),
        "general word": lambda: draw(general),
        "everyday word": lambda: draw(everyday),
        "two things": lambda: f"a {draw(general)} and a {draw(names)}",
        "sentence": lambda: f"{draw(sentences)}, {draw(list(ENDINGS))}",
    }

    def texts() -> Iterator[tuple[str, str]]:
        seen = set()
        for sort in cycle(sorts):
            drawn = (sorts[sort]() for _ in range(MOST_DRAWS))
            text = next((text for text in drawn if text not in seen), None)
            if text is not None:  # else all of this sort were asked
                seen.add(text)
                yield sort, text

    return list(islice(texts(), count))
