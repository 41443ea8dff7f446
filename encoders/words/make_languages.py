"""Makes the lists of German, French, Spanish and Chinese nouns, each with the English one that it means.

    python -m encoders.words.make_languages /usr/share/wordnet omw-data/wns

The second folder is `wns` of the Open Multilingual Wordnet's sources (https://github.com/omwn/omw-data;
Bond and Foster 2013). A noun is kept if a synset that it is linked to is what an English word stands for in
the table of words, or in the list of everyday ones; of several, the one that is most frequent in English.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from encoders.words.everyday import COMPANIONS, SAME
from encoders.words.languages import CHINESE_PATH, LANGUAGES_PATH
from encoders.words.make_table import WordNet, imagenet_classes, pack
from encoders.words.phrases import find_named
from encoders.words.spelling import split_words

LANGUAGE_FILES = ("wikt/wn-wikt-deu.tab", "wikt/wn-wikt-fra.tab", "wikt/wn-wikt-spa.tab")
CHINESE_FILES = ("cow/wn-data-cmn.tab",)


def make_list(wordnet: WordNet, files: list[Path]) -> str:
    """Lines of "noun<tab>English word", sorted; of several languages, the first one's meaning holds."""
    english = english_words(wordnet)
    meanings: dict[str, str] = {}
    for file in files:
        best: dict[str, tuple[int, str]] = {}
        for offset, noun in _read_nouns(file):
            spelled = " ".join(split_words(noun))
            if offset not in english or not spelled or find_named(spelled):
                continue
            if spelled not in best or english[offset][0] > best[spelled][0]:
                best[spelled] = english[offset]
        meanings = {noun: word for noun, (_, word) in best.items()} | meanings
    return "\n".join(f"{noun}\t{word}" for noun, word in sorted(meanings.items()))


def english_words(wordnet: WordNet) -> dict[str, tuple[int, str]]:
    """By offset of a synset, the English word that stands for it, and how frequent that is."""
    words: dict[str, tuple[int, str]] = {}
    everyday = {*SAME, *COMPANIONS}
    for word, senses in wordnet.senses.items():
        spelled = " ".join(split_words(word.replace("_", " ")))
        meant = [senses[0]] if spelled in everyday else wordnet.meant(word)
        for offset in meant:
            count = wordnet.counts.get((word, senses.index(offset) + 1), 0)
            if offset not in words or count > words[offset][0]:
                words[offset] = (count, spelled)
    return words


def _read_nouns(file: Path) -> Iterator[tuple[str, str]]:
    """Offsets and nouns, from lines "02084071-n<tab>deu:lemma<tab>Hund"."""
    for line in file.read_text(encoding="utf-8").splitlines():
        synset, _, rest = line.partition("\t")
        if synset.endswith("-n") and rest.partition("\t")[0].endswith(":lemma"):
            yield synset.removesuffix("-n"), rest.partition("\t")[2].replace("+", "")


def main() -> None:
    """Writes both lists beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wordnet", type=Path, help="WordNet's database, e.g. /usr/share/wordnet")
    parser.add_argument("sources", type=Path, help="the folder wns of omw-data")
    arguments = parser.parse_args()
    wordnet = WordNet(arguments.wordnet, imagenet_classes())
    for path, files in ((LANGUAGES_PATH, LANGUAGE_FILES), (CHINESE_PATH, CHINESE_FILES)):
        path.write_bytes(pack(make_list(wordnet, [arguments.sources / name for name in files])))


if __name__ == "__main__":
    main()
