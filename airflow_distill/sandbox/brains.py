"""What the models say: a teacher that knows its traffic, and base models that have to guess.

Every answer is a function of the prompt alone, so that a run can be repeated. Students that were fitted on data live
in `students.py`; the judge lives in `judge.py`.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from airflow_distill.sandbox.traffic import Pair, canonical, known_answers, support_grammar

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_LABEL = re.compile(r"[A-Za-z][\w?-]*(?:_[\w?-]+)+|\"[^\"\n]{2,40}\"|'[^'\n]{2,40}'")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and any are as at be been but by can did do does for from get got had has have how i if in is it its just "
        "me my no not of on or our out please so that the their them there they this to up us was we were what when "
        "where which who why will with would you your",
    )
)


class Brain(Protocol):
    """Anything that answers."""

    def answer(self, prompt: str, system: str = "") -> str:
        """The answer to the user's words, given the system prompt."""


def words(text: str) -> list[str]:
    """The words of a text, without case and without the commonest ones."""
    return [word for word in (w.casefold() for w in _WORD.findall(text)) if word not in _COMMON]


class PromptIndex:
    """Finds the nearest of many known prompts by rare words in common; exact in its order, no randomness."""

    def __init__(self, prompts: Iterable[str]) -> None:
        self._postings: dict[str, list[int]] = {}
        self._norms: list[float] = []
        bags = [set(words(prompt)) for prompt in prompts]
        count = len(bags)
        spread = Counter(word for bag in bags for word in bag)
        self._weights = {word: math.log(1 + count / seen) for word, seen in spread.items()}
        for number, bag in enumerate(bags):
            for word in bag:
                self._postings.setdefault(word, []).append(number)
            self._norms.append(math.sqrt(sum(self._weights[word] ** 2 for word in bag)) or 1.0)

    def nearest(self, prompt: str) -> tuple[int, float] | None:
        """Number of the nearest prompt and its likeness (0 to 1), or None when no word is shared."""
        scores: dict[int, float] = {}
        own = 0.0
        for word in set(words(prompt)):
            weight = self._weights.get(word)
            if weight is None:
                own += 1.0
                continue
            own += weight**2
            for number in self._postings[word]:
                scores[number] = scores.get(number, 0.0) + weight**2
        if not scores:
            return None
        best = min(scores, key=lambda n: (-scores[n] / self._norms[n], n))
        return best, scores[best] / (self._norms[best] * math.sqrt(own or 1.0))


class Teacher:
    """Answers known prompts as its traffic says, and others like the nearest known one.

    Without traffic it runs a support desk by keyword rules.
    """

    def __init__(self, pairs: Iterable[Pair] | None = None) -> None:
        self._lock = threading.Lock()
        self._index: PromptIndex | None = None
        self.from_traffic = False
        self.pairs: list[Pair] = []
        self._answers: dict[str, str] = {}
        self.teach(pairs)

    def teach(self, pairs: Iterable[Pair] | None) -> int:
        """Replace what the teacher knows; None brings back the built-in support desk."""
        listed = None if pairs is None else list(pairs)
        with self._lock:
            self.from_traffic = bool(listed)
            self.pairs = listed or []
            self._answers = known_answers(self.pairs)
            self._index = None
            self._nearest = lru_cache(maxsize=20_000)(self._nearest_answer)
        return len(self._answers)

    def answer(self, prompt: str, system: str = "") -> str:
        known = self._answers.get(canonical(prompt))
        if known is not None:
            return known
        return self._nearest(prompt) if self.from_traffic else classify_ticket(prompt)

    def _nearest_answer(self, prompt: str) -> str:
        with self._lock:
            if self._index is None:
                self._index = PromptIndex(pair.prompt for pair in self.pairs)
        found = self._index.nearest(prompt)
        number = int(digest(prompt), 16) % len(self.pairs) if found is None else found[0]
        return self.pairs[number].completion


def classify_ticket(text: str) -> str:
    """The support desk's label, by weighted keywords; the order of the labels breaks ties."""
    grammar = support_grammar()
    found = Counter(w.casefold() for w in _WORD.findall(text))
    best, best_score = str(grammar["fallback"]), 0
    for label, rule in grammar["labels"].items():
        score = sum(weight for word, weight in rule["keywords"].items() if word in found)
        if score > best_score:
            best, best_score = str(label), score
    return best


class Untaught:
    """A small base model: it has never seen the task and can only match the prompt's words with labels it is told.

    Where the system prompt (or the prompt itself) lists labels, it picks the one that shares most words with the
    request. Otherwise it repeats the beginning of what it was asked, as small models do.
    """

    def answer(self, prompt: str, system: str = "") -> str:
        labels = labels_in(system) or labels_in(prompt)
        if len(labels) >= 2:
            asked = set(words(prompt))
            return max(
                labels,
                key=lambda label: (len(asked & set(words(label.replace("_", " ")))), digest(prompt + label)),
            )
        spoken = prompt.split()
        return "You asked: " + " ".join(spoken[:12])


@lru_cache(maxsize=512)
def labels_in(text: str) -> tuple[str, ...]:
    """Things in a text that look like labels to choose from: snake_case words or quoted phrases, in their order."""
    found = (label.strip("\"'").rstrip("-") for label in _LABEL.findall(text[:20_000]))
    return tuple(dict.fromkeys(found))


def digest(text: str) -> str:
    """A short stable fingerprint, to break ties with."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
