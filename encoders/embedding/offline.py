"""The encoder `offline`: weights out of two packages, no model hub.

Frames go through EfficientNet-Lite0, whose 1,000 ImageNet classes are the ground on which words meet
them. A feature is `[sqrt(a) * visual, sqrt(1-a) * sqrt(p)]` with both parts of norm 1 and p the class
probabilities, a text is `[0, q]`: one index answers both kinds of query, and a text's highest cosine is
sqrt(1-a). p is the mean of the probabilities that the whole frame has, and the mean of those of its four
overlapping quarters: what is next to something larger is recognised there.

Words that WordNet's tree over the classes knows become the classes below them (`encoders.words`). What it
does not know goes through all-MiniLM-L6-v2, as in ConSE (Norouzi et al. 2013, arXiv:1312.5650), with one
change: ConSE carries a picture's probabilities into the space of sentences, here a sentence is carried
into the space of classes, q = softmax(likeness to each name / 0.06). One more entry, "unknown", which no
picture has, takes what is not understood, so that it lowers all scores alike.

Choices, measured on 1,000 photographs, one of each class, and on 15 films of other things, before the tree:

- Classes instead of sentences: the right photograph of the 1,000 comes first for 92.5 % of the names
  (ConSE with ten classes: 89.8 %; the classifier itself is right about 88 %). Among the 15 films the right
  one comes first for 11 (9), and words for what is not there stay far below: sentences all resemble each
  other a little, sets of classes need not.
- Temperature 0.06: 0.05 to 0.07 are alike; sharper loses general words, softer the contrast.
- Frames are squashed to a square. The customary crop of the middle is better for photographs of one
  thing (the 92.5 % become 87.6 %), but of a wide frame it sees only half: of 14 films it puts 10 first,
  the whole frame 12.
- a = 0.75: the photograph cropped, mirrored, dimmed and captioned finds itself first in 99.8 % (0.5:
  99.3 %, 0: 89 %; measured with the semantic part of ConSE).
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.encoder import Pooling, check_pooling, clean_texts, pool_features
from encoders.embedding.lite0 import CLASS_COUNT, SIDE, VISUAL_DIM, Lite0
from encoders.embedding.offline_weights import (
    LITE0_SHA256,
    MINILM_SHA256,
    load_text_tower,
    load_visual_tower,
)
from encoders.errors import EncoderError
from encoders.types import Concept, EmbeddingBatch, FrameBatch, TextReading, normalise
from encoders.weights.device import check_device_name, name_device
from encoders.words.class_names import class_embeddings, class_names
from encoders.words.concepts import Concepts
from encoders.words.minilm import MiniLM
from encoders.words.phrases import read_phrase
from encoders.words.things import Things, no_things
from encoders.words.vectors import counts_of_classes, query_vector, shares_of_query

VISUAL_SHARE = 0.75  # a
WHOLE_SHARE = 0.5  # of the class probabilities; the rest is the quarters'
TEMPERATURE = 0.06
UNDERSTOOD = 0.65  # likeness to a class name from which a text is taken for it
GUESSED_SHARE = 0.5  # how much of such a text is understood
LEAST_SHARE = 0.1  # and how much its likeness counts below that
BATCH_FRAMES = 256  # between two that are put together: their logits take 5 MB


class OfflineEncoder:
    """EfficientNet-Lite0 and MiniLM in one vector space; see the module's docstring.

    Each tower loads when it is first needed: words never load the frames' network, frames never the text
    tower, and neither loads torch on a CPU.

    Args:
        device: As `choose_device` takes it; the text tower always runs on the CPU.
        pooling: How features become one embedding.

    Raises:
        EncoderUnavailableError: The device does not exist here.
    """

    spec = "offline"
    dim = VISUAL_DIM + CLASS_COUNT + 1
    frame_size = SIDE
    has_text = True
    tags_by_name = False  # its words reach no further than the classifier's thousand things
    logit_scale = 30.0

    def __init__(self, *, device: str = "auto", pooling: Pooling = "mean") -> None:
        self._pooling = check_pooling(pooling)
        self.encoder_id = (
            f"offline/lite0-{LITE0_SHA256[:8]}+minilm-{MINILM_SHA256[:8]}"
            f"/squash-{SIDE}/quarters-{1 - WHOLE_SHARE:g}/classes-{1 - VISUAL_SHARE:g}/{pooling}"
        )
        self._lock = threading.RLock()
        self._text_tower: MiniLM | None = None
        self._visual_tower: Lite0 | None = None
        self._class_embeddings: NDArray[np.float32] | None = None
        self._last_likeness: tuple[list[str], NDArray[np.float32]] | None = None
        self._device: str | None = None
        self._device_name = device
        check_device_name(device)
        if device not in ("auto", "cpu"):  # these two exist everywhere, and can wait
            self._device = name_device(device)

    @property
    def device(self) -> str:
        """The device on which frames are encoded, e.g. "cpu" or "cuda:0"; imports torch to find a GPU."""
        if self._device is None:
            self._device = name_device(self._device_name)
        return self._device

    def encode_frames(self, batch: FrameBatch) -> NDArray[np.float32]:
        """Features h_t: float32 (T, 2281), each of L2 norm 1, and so are its parts but for weight.

        Raises:
            EncoderUnavailableError: The weights are missing or not those that are expected.
        """
        network = self._load_visual_tower()
        features = np.empty((len(batch), self.dim), dtype=np.float32)
        for start in range(0, len(batch), BATCH_FRAMES):
            stretch = slice(start, start + BATCH_FRAMES)
            features[stretch] = features_of(*network(batch.frames[stretch]))
        if not np.isfinite(features).all():
            raise EncoderError("the encoder gave features that are no numbers; try --device cpu")
        return features

    def pool(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """One embedding for a clip: (T, 2281), T >= 1 -> float32 (2281,), of L2 norm 1."""
        return pool_parts(features, self._pooling)

    def encode_text(self, texts: list[str]) -> EmbeddingBatch:
        """One embedding per text; the words' order and grammar count little.

        Where the tree knows a word of each text, no model is loaded.

        Raises:
            InvalidQueryError: A text is empty or blank.
            EncoderUnavailableError: The weights are missing or not those that are expected.
        """
        cleaned = clean_texts(texts)
        vectors = np.zeros((len(cleaned), self.dim), dtype=np.float32)
        unread = []
        for row, text in enumerate(cleaned):
            phrase = read_phrase(text)
            if phrase.named:
                vectors[row, VISUAL_DIM:] = query_vector(phrase.named, phrase.known_share)
            else:
                unread.append(row)
        if unread:
            likeness = self._likeness([cleaned[row] for row in unread])
            vectors[unread, VISUAL_DIM:] = guess_vectors(likeness)
        return EmbeddingBatch(vectors, self.encoder_id)

    def read_text(self, text: str) -> TextReading:
        """Explains words by WordNet's tree; where it knows none, by the class whose name is likest.

        Raises:
            InvalidQueryError: The text is empty or blank.
            EncoderUnavailableError: The weights are missing or not those that are expected.
        """
        cleaned = clean_texts([text])[0]
        phrase = read_phrase(cleaned)
        if phrase.named:
            concepts = (
                Concept(one.words, one.meaning, len(one.classes) or len(one.companions))
                for one in phrase.named
            )
            return TextReading(text, tuple(concepts), phrase.unknown, phrase.known_share)
        likeness = self._likeness([cleaned])[0]
        best = int(likeness.argmax())
        if likeness[best] < UNDERSTOOD:
            return TextReading(text, (), phrase.unknown, 0.0)
        concept = Concept(" ".join(phrase.unknown) or cleaned, class_names()[best], 0)
        return TextReading(text, (concept,), (), GUESSED_SHARE)

    def encode_things(self, text: str) -> Things:
        """Encodes the things that the tree knows of the words, one by one."""
        phrase = read_phrase(clean_texts([text])[0])
        if not phrase.named:
            return no_things(self.dim)
        vectors = np.zeros((len(phrase.named), self.dim), dtype=np.float32)
        squares, entries = np.zeros_like(vectors), np.zeros_like(vectors)
        vectors[:, VISUAL_DIM:-1] = shares_of_query(phrase.named, phrase.known_share)
        own, beside = counts_of_classes(phrase.named)
        # Things share what a frame shows: of C, all are shown by 1 / C each.
        squares[:, VISUAL_DIM:-1] = own * (phrase.known_share / len(own))
        entries[:, VISUAL_DIM:-1] = beside * np.sqrt(phrase.known_share / len(own))
        best = np.maximum(own.max(axis=1), beside.max(axis=1)) * np.sqrt((1 - VISUAL_SHARE) / len(own))
        return Things(vectors, squares, entries, best.astype(np.float32))

    def concept_classes(self, text: str) -> list[NDArray[np.bool_]]:
        """For each thing that words name, which of the thousand classes show it: bool (1000,) each.

        With p the probabilities of a frame's classes (four times the squares of its entries from 1280
        on), their sum over these is the classifier's probability that the frame shows the thing.
        A thing without classes of its own has those that go with it.
        """
        masks = []
        for one in read_phrase(clean_texts([text])[0]).named:
            mask = np.zeros(CLASS_COUNT, dtype=np.bool_)
            mask[list(one.classes or one.companions)] = True
            masks.append(mask)
        return masks

    def _likeness(self, texts: list[str]) -> NDArray[np.float32]:
        """Cosines of sentences and class names, (N, 1000); those asked last are remembered.

        Who encodes a text asks next how it was understood.
        """
        last = self._last_likeness
        if last is not None and last[0] == texts:
            return last[1]
        tower, names = self._load_text_tower()
        found: NDArray[np.float32] = tower.encode(texts) @ names.T
        self._last_likeness = (list(texts), found)
        return found

    def best_score(self, text: NDArray[np.float32]) -> float:
        """The score of a frame that is surely of the likeliest class, were all the words understood."""
        classes = text[VISUAL_DIM:-1]
        share = classes.max() / max(float(np.linalg.norm(classes)), 1e-6)
        return float(np.sqrt(1 - VISUAL_SHARE) * max(share, 1e-3))

    def concepts(self) -> Concepts | None:
        """WordNet's groups of the classifier's classes, and the classes themselves."""
        from encoders.words.table import word_table

        groups = {frozenset(kind.classes) for kind in word_table().kinds()}
        groups |= {frozenset([number]) for number in range(CLASS_COUNT)}
        weights = np.zeros((len(groups), self.dim), dtype=np.float32)
        for row, classes in enumerate(sorted(groups, key=sorted)):
            # The squares of this part of a feature are class probabilities, times this share.
            weights[row, [VISUAL_DIM + number for number in classes]] = 1.0 / (1.0 - VISUAL_SHARE)
        return Concepts(weights)

    def _load_text_tower(self) -> tuple[MiniLM, NDArray[np.float32]]:
        with self._lock:
            if self._text_tower is None or self._class_embeddings is None:
                tower = load_text_tower()
                self._class_embeddings = class_embeddings(tower.encode, MINILM_SHA256)
                self._text_tower = tower
            return self._text_tower, self._class_embeddings

    def _load_visual_tower(self) -> Lite0:
        with self._lock:
            if self._visual_tower is None:
                self._visual_tower = load_visual_tower(self.device)
            return self._visual_tower


def guess_vectors(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Queries by the likeness of sentences to class names, where the tree knows no word.

    A sentence becomes the softmax of its likeness over the classes, and the part that is not understood,
    most of it where no name is near, goes to "unknown": so that such guesses score below what is known.

    Args:
        likeness: float32 (N, 1000), cosines.

    Returns:
        float32 (N, 1001), each of L2 norm 1.
    """
    best = likeness.max(axis=1, keepdims=True)
    shares = np.where(best >= UNDERSTOOD, GUESSED_SHARE, LEAST_SHARE).astype(np.float32)
    classes = normalise(np.exp((likeness - best) / TEMPERATURE))
    return np.concatenate([np.sqrt(shares) * classes, np.sqrt(1 - shares)], axis=1)


def features_of(visual: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of what the frames' network gives: (T, 1280) and (T, 5, 1000) -> float32 (T, 2281)."""
    shares = np.exp(logits - logits.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    classes = WHOLE_SHARE * shares[:, 0] + (1 - WHOLE_SHARE) * shares[:, 1:].mean(axis=1)
    semantic = np.pad(np.sqrt(classes), ((0, 0), (0, 1)))  # nothing is shown as "unknown"
    return join_parts(visual, semantic)


def pool_parts(features: NDArray[np.floating], pooling: Pooling) -> NDArray[np.float32]:
    """Pools features (T, 2281) of this encoder over time, which takes no weights.

    The visual and the semantic part are pooled apart, so that their weights stay the same however much
    either varies over time.
    """
    parts = (features[:, :VISUAL_DIM], features[:, VISUAL_DIM:])
    return join_parts(*(pool_features(part, pooling) for part in parts))


def join_parts(visual: NDArray[np.float32], semantic: NDArray[np.float32]) -> NDArray[np.float32]:
    """[sqrt(a) * visual, sqrt(1-a) * semantic], both parts scaled to norm 1 before.

    Args:
        visual: float32 (..., 1280).
        semantic: float32 (..., 1001).

    Returns:
        float32 (..., 2281).
    """
    shares = np.sqrt(np.array([VISUAL_SHARE, 1 - VISUAL_SHARE], dtype=np.float32))
    return np.concatenate([shares[0] * normalise(visual), shares[1] * normalise(semantic)], axis=-1)
