"""Splits a text into words: of captions when they are stored, of filters when they are asked."""

from __future__ import annotations

import unicodedata

LONGEST_WORD = 64  # characters; what is longer is cut, in captions and in filters alike


def caption_words(text: str) -> list[str]:
    """The different words of a text, as they are compared: in order, whatever their case or their form.

    A word is a run of letters, digits and the marks that belong to them; all else parts words. Text without
    spaces between its words, as Chinese is written, is one word from one punctuation mark to the next.
    """
    # Folding the case can undo composition, and composing can bring letters that fold.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).casefold()
    parted = "".join(
        character if unicodedata.category(character)[0] in "LNM" else " " for character in folded
    )
    return list(dict.fromkeys(word[:LONGEST_WORD] for word in parted.split()))
