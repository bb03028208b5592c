"""Exact and near copies, found in a stable order: what to keep is the same on every machine and every run.

Two prompts are near copies when the sets of their folded words and word pairs overlap by at least a threshold
(Jaccard). Long prompts that share a passage and ask different things about it are not copies: there the number of
differing words and pairs is limited too. A prompt is reduced to a *sketch*: the smallest 256 hashes of its set. For
prompts up to some 130 words that is the whole set and the comparison exact; for longer ones it is an estimate.
Candidates are found by prefix filtering over the rarest hashes, which misses nothing, so there is no luck in it and
no dependency either.

Programs send templates: a long instruction with a short text that varies. Compared whole, all of one template's
prompts would be copies of each other. `find_template` learns from a sample what such crowds share, and sketches
leave it out.

Standard library only. Sketches are kept in the contamination ledger, so the hashes must never change: they come
from BLAKE2, not from Python's `hash`.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.words import folded_words

SKETCH_SIZE = 256
TOP = 1 << 32
DEFAULT_THRESHOLD = 0.7
LONG = 300
MOST_DIFFERENT = 40

TEMPLATE_SAMPLE = 3_000
TEMPLATE_CROWD = 40
TEMPLATE_THRESHOLD = 0.5
TEMPLATE_ROUNDS = 6

# A piece ends in white space: no word and no normal form reaches across, so what is before and after folds alone.
_PIECE = re.compile(r".{200}[^ \n]{,100}[ \n]", re.DOTALL)
PIECES = 4_000

# The hash of the word that comes before a piece of text; nothing at the beginning.
_Before = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sketch:
    """The smallest hashes of a prompt's words and word pairs, ascending.

    `horizon` says up to which value the list is complete; 2**32 when nothing was cut off.
    """

    values: array[int]
    horizon: int

    @property
    def is_whole(self) -> bool:
        """Whether the sketch holds every hash of its text."""
        return self.horizon == TOP


class Sketcher:
    """Makes sketches, leaving out the hashes of a template; remembers the hash of each word it met.

    Texts of one template begin alike. So the beginnings met before are remembered, in pieces of some 200 characters,
    and of a text that begins with known pieces only the rest is read.

    :param template: hashes to leave out.
    :param words_of: how a text becomes words; `bare_words` for sketches to compare with old ledger files.
    """

    def __init__(
        self, template: Set[int] = frozenset(), words_of: Callable[[str], list[str]] = folded_words
    ) -> None:
        self.template = frozenset(template)
        self._words_of = words_of
        self._words: dict[str, int] = {}
        self._pieces: dict[tuple[_Before, str], tuple[set[int], _Before] | None] = {}

    def sketch(self, text: str) -> Sketch:
        """Return the sketch of a text."""
        return smallest(self.hashes(text))

    def hashes(self, text: str) -> set[int]:
        """Return the hashes of all words and word pairs of a text, without those of the template."""
        start = 0
        before: _Before = ()
        known: list[set[int]] = []
        while (piece := _PIECE.match(text, start)) and (found := self._recall(before, piece[0])):
            hashes, before = found
            known.append(hashes)
            start = piece.end()
        rest, _ = self._read(before, text[start:])
        rest.update(*known)
        return rest

    def _recall(self, before: _Before, piece: str) -> tuple[set[int], _Before] | None:
        """Return what `_read` does, None when the piece is new: most come once and are not worth remembering."""
        key = before, piece
        if key not in self._pieces:
            if len(self._pieces) >= PIECES:
                self._pieces.clear()
            self._pieces[key] = None
            return None
        found = self._pieces[key]
        if found is None:
            found = self._pieces[key] = self._read(before, piece)
        return found

    def _read(self, before: _Before, text: str) -> tuple[set[int], _Before]:
        """Return the hashes of a text that follows a word, and the word that it ends with."""
        known = self._words
        words = self._words_of(text)
        try:
            single = [known[word] for word in words]
        except KeyError:
            single = [self._learn(word) for word in words]
        single[:0] = before
        pairs = {
            (a * 0x9E3779B1 ^ (b + 0x7F4A7C15) * 0x85EBCA77) >> 7 & 0xFFFFFFFF for a, b in pairwise(single)
        }
        pairs.update(single)
        return pairs - self.template if self.template else pairs, tuple(single[-1:])

    def _learn(self, word: str) -> int:
        value = self._words.get(word)
        if value is None:
            if len(self._words) > 1_000_000:
                self._words.clear()
            digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest()
            value = self._words[word] = int.from_bytes(digest, "little")
        return value


def smallest(hashes: Set[int]) -> Sketch:
    """Return the sketch of a set of hashes."""
    count = len(hashes)
    if count <= SKETCH_SIZE:
        return Sketch(array("I", sorted(hashes)), TOP)
    chosen: Iterable[int] = hashes
    if count > 4 * SKETCH_SIZE:
        cut = TOP * 2 * SKETCH_SIZE // count
        below = [value for value in hashes if value < cut]
        chosen = below if len(below) > SKETCH_SIZE else hashes
    ordered = sorted(chosen)
    return Sketch(array("I", ordered[:SKETCH_SIZE]), ordered[SKETCH_SIZE])


def similarity(one: Sketch, other: Sketch) -> float:
    """Return the Jaccard similarity of two prompts, exact when both sketches are whole.

    Two prompts without any hash are not comparable: 0.
    """
    common, union = _overlap(one, other)
    return common / union if union else 0.0


def is_near(one: Sketch, other: Sketch, threshold: float, most_different: float = MOST_DIFFERENT) -> bool:
    """Say whether two prompts are near copies.

    Above some 150 words a share is not enough: two questions about the same passage share nine tenths of their words.
    There at most `MOST_DIFFERENT` words and word pairs may differ, as far as the sketches can tell.
    """
    common, union = _overlap(one, other)
    return _are_near(common, union, TOP / min(one.horizon, other.horizon), threshold, most_different)


def are_near_exactly(one: Set[int], other: Set[int], threshold: float) -> bool:
    """Say the same of two whole sets of hashes."""
    common = len(one & other)
    return _are_near(common, len(one) + len(other) - common, 1.0, threshold)


def _are_near(
    common: int, union: int, scale: float, threshold: float, most_different: float = MOST_DIFFERENT
) -> bool:
    if not union or common < threshold * union:
        return False
    return union * scale <= LONG or (union - common) * scale <= most_different


def _overlap(one: Sketch, other: Sketch) -> tuple[int, int]:
    """Return how many hashes are in both and in either, below the lower horizon."""
    horizon = min(one.horizon, other.horizon)
    left = {value for value in one.values if value < horizon}
    right = [value for value in other.values if value < horizon]
    common = len(left.intersection(right))
    return common, len(left) + len(right) - common


def text_of(example: Example) -> str:
    """Return what is compared of an example: its user turns; the system prompt is boilerplate."""
    if len(example.turns) == 1:
        return example.turns[0].text
    return "\n".join(turn.text for turn in example.turns if turn.role == "user")


class NearIndex:
    """Sketches that can be asked for near copies of another one.

    :param threshold: least similarity of near copies.
    :param frequency: how often each hash occurs in the data; only speed depends on it.
    :param slack: widens the candidate search below the threshold; for sketches made with other templates.
    :param most_different: how much may differ in long texts; see `is_near`.
    """

    def __init__(
        self,
        threshold: float,
        frequency: Counter[int],
        *,
        slack: float = 1.0,
        most_different: float = MOST_DIFFERENT,
    ) -> None:
        self.threshold = threshold
        self._most_different = most_different
        self.sketches: list[Sketch] = []
        self._frequency = frequency
        self._slack = threshold * slack
        self._postings: dict[int, list[int]] = {}
        self._last: tuple[Sketch | None, list[int]] = (None, [])

    def add(self, sketch: Sketch) -> int:
        """Add a sketch and return its number."""
        number = len(self.sketches)
        self.sketches.append(sketch)
        for value in self._prefix_of(sketch):
            self._postings.setdefault(value, []).append(number)
        return number

    def near(self, sketch: Sketch) -> Iterator[int]:
        """Yield the numbers of near copies, oldest first."""
        postings = self._postings
        numbers: set[int] = set()
        for value in self._prefix_of(sketch):
            found = postings.get(value)
            if found:
                numbers.update(found)
        if not numbers:
            return
        own = set(sketch.values)
        size = len(own)
        for number in sorted(numbers):
            other = self.sketches[number]
            if min(size, len(other.values)) < self._slack * max(size, len(other.values)):
                continue
            if self._is_near(own, sketch, other):
                yield number

    def _is_near(self, own: set[int], sketch: Sketch, other: Sketch) -> bool:
        if sketch.is_whole and other.is_whole:
            common = len(own.intersection(other.values))
            return _are_near(
                common, len(own) + len(other.values) - common, 1.0, self.threshold, self._most_different
            )
        return is_near(sketch, other, self.threshold, self._most_different)

    def _prefix_of(self, sketch: Sketch) -> list[int]:
        """The prefix of a sketch; who asks for near copies often adds the sketch next."""
        last, prefix = self._last
        if last is not sketch:
            prefix = self._prefix(sketch)
            self._last = (sketch, prefix)
        return prefix

    def _prefix(self, sketch: Sketch) -> list[int]:
        """The rarest hashes: two sketches that overlap enough share at least one of them."""
        # Values are ascending and the sort is stable, so equally rare ones keep one order everywhere.
        values = sorted(sketch.values, key=self._frequency.__getitem__)
        return values[: len(values) - math.ceil(self._slack * len(values)) + 1]


def hash_frequency(sketches: Iterable[Sketch]) -> Counter[int]:
    """Return how many sketches hold each hash."""
    counts: Counter[int] = Counter()
    for sketch in sketches:
        counts.update(sketch.values)
    return counts


def find_copies(
    sketches: Sequence[Sketch],
    threshold: float = DEFAULT_THRESHOLD,
    also: Callable[[int, int], bool] | None = None,
    most_different: float = MOST_DIFFERENT,
) -> list[int | None]:
    """Return for each sketch the position of the earlier kept one it is a near copy of, or None when it is kept.

    Earlier wins, so what is kept is pairwise not near. Sketches without hashes are never copies.

    :param most_different: how much may differ in long texts; see `is_near`.
    :param also: asked with two positions, says whether near sketches may count as copies.
    """
    index = NearIndex(threshold, hash_frequency(sketches), most_different=most_different)
    positions: list[int] = []
    out: list[int | None] = []
    for position, sketch in enumerate(sketches):
        near = (positions[number] for number in index.near(sketch)) if sketch.values else iter(())
        original = next((first for first in near if also is None or also(position, first)), None)
        out.append(original)
        if original is not None:
            continue
        index.add(sketch)
        positions.append(position)
    return out


def find_template(
    texts: Sequence[str],
    threshold: float = TEMPLATE_THRESHOLD,
    words_of: Callable[[str], list[str]] = folded_words,
) -> frozenset[int]:
    """Return the hashes of boilerplate: what crowds of look-alike texts have in common.

    :param texts: in a stable order; an evenly spread sample of them is looked at.
    :param words_of: how a text becomes words.

    A crowd is at least 40 texts and 1 % of the sample that are near copies of one text. Real copies come in twos
    and tens; crowds come from programs.
    """
    step = max(1, len(texts) // TEMPLATE_SAMPLE)
    sample = texts[::step]
    least = max(TEMPLATE_CROWD, len(sample) // 100)
    template: set[int] = set()
    for _ in range(TEMPLATE_ROUNDS):
        sketcher = Sketcher(template, words_of)
        copies = find_copies([sketcher.sketch(text) for text in sample], threshold, most_different=math.inf)
        crowds = [first for first, size in Counter(copies).items() if first is not None and size >= least]
        if not crowds:
            break
        before = len(template)
        for first in crowds:
            members = [sample[first], *(sample[i] for i, of in enumerate(copies) if of == first)]
            template |= _shared_hashes(members[:200], sketcher)
        if len(template) == before:
            break
    return frozenset(template)


def _shared_hashes(texts: Sequence[str], sketcher: Sketcher) -> set[int]:
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(sketcher.hashes(text))
    return {value for value, count in counts.items() if count >= 0.8 * len(texts)}
