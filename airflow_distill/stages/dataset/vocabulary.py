"""Which of many words a text may hold, told from the words it is made of rather than by looking for each.

Takes the bytes of a text, hands on the words that it may hold. Texts are made of few words that come again and again, so
what a word holds is found once and remembered, up to a bound. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST_WORDS = 20_000
"""Words that are remembered, so that strangers' texts do not fill the memory."""
_LONGEST = 24
_LOWER = bytes(byte | 32 if byte < 128 and chr(byte).isalpha() else 32 for byte in range(256))
_LETTERS = re.compile(r"[a-z]{2,}")


class Vocabulary:
    """Words to look for, in lower case.

    Of each, a text that holds it has the longest run of ASCII letters in a word of its own, in either case. One without
    such a run may be anywhere.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)
        parts = {word: max(_LETTERS.findall(word), key=len, default="").encode() for word in self.words}
        self._anywhere = frozenset(word for word, part in parts.items() if not part)
        self._with = {
            part: frozenset(word for word, other in parts.items() if other == part)
            for part in set(parts.values()) - {b""}
        }
        self._told: dict[bytes, frozenset[str]] = {}
        self._dull: set[bytes] = set()

    def in_text(self, data: bytes) -> frozenset[str]:
        """Return the words that a text may hold; the others it does not hold.

        :param data: a byte for each character, ASCII as it is; letters beyond it are not looked at.
        """
        words = set(data.translate(_LOWER).split())
        words -= self._dull
        if not words:
            return self._anywhere
        told = self._told
        known = [told[word] for word in words if word in told]
        if len(known) < len(words):
            known += self._read([word for word in words if word not in told])
        return self._anywhere.union(*known)

    def _read(self, words: list[bytes]) -> list[frozenset[str]]:
        """Return what words hold that are not remembered, and remember them while there is room."""
        joined = b" ".join(words)
        parts = [part for part in self._with if part in joined]
        if len(self._told) + len(self._dull) + len(words) <= MOST_WORDS:
            for word in words:
                held = [self._with[part] for part in parts if part in word]
                if len(word) > _LONGEST:
                    continue
                if held:
                    self._told[word] = frozenset().union(*held)
                else:
                    self._dull.add(word)
        return [self._with[part] for part in parts]
