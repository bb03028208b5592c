"""Students that learn: small text models fitted on the pairs a customization job ends up with.

Few different answers for many prompts make a classifier (word and character n-grams, a linear model). Free text makes
a reader that either recalls the answer of the nearest training prompt or picks sentences out of the prompt's own
context, whichever did better on the part of the data kept aside. Good data makes a good student, noise does not.
scikit-learn is imported only when something is fitted.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from airflow_distill.sandbox.brains import Brain, PromptIndex, words
from airflow_distill.sandbox.words import word_f1

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_CONTEXT_LIMIT = 60_000


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted student and how the fitting went."""

    brain: Brain
    kind: str
    trained_on: int
    validated_on: int
    training_accuracy: float
    validation_accuracy: float


class Classifier:
    """Knows a closed set of answers."""

    def __init__(self, prompts: Sequence[str], answers: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion
        from sklearn.svm import LinearSVC

        many = len(prompts) >= 4000
        rare = 2 if many else 1
        long_texts = sum(len(p) for p in prompts[:500]) > 2000 * min(len(prompts), 500)
        parts: list[tuple[str, Any]] = [
            (
                "words",
                TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=rare, max_features=60_000),
            )
        ]
        if not long_texts:
            parts.append(
                (
                    "letters",
                    TfidfVectorizer(
                        analyzer="char_wb",
                        ngram_range=(2, 5),
                        sublinear_tf=True,
                        min_df=rare,
                        max_features=40_000,
                    ),
                )
            )
        self._features = FeatureUnion(parts)
        self._only = answers[0] if len(set(answers)) == 1 else None
        if self._only is None:
            self._model = LinearSVC(C=0.7, tol=1e-2, max_iter=60, random_state=0)
            self._model.fit(self._features.fit_transform(prompts), answers)

    def answer(self, prompt: str, system: str = "") -> str:
        return self.answers([prompt])[0]

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """Many at once, which is much faster than one by one."""
        if self._only is not None:
            return [self._only] * len(prompts)
        return [str(label) for label in self._model.predict(self._features.transform(prompts))]


class Recaller:
    """Says what was said to the most similar training prompt."""

    def __init__(self, prompts: Sequence[str], answers: Sequence[str]) -> None:
        self._index = PromptIndex(_question(p) for p in prompts)
        self._answers = list(answers)

    def answer(self, prompt: str, system: str = "") -> str:
        found = self._index.nearest(_question(prompt))
        return self._answers[found[0] if found else 0]


class Extractor:
    """Answers with the sentences of the prompt that fit its question, as many words as the teacher used to say."""

    def __init__(self, prompts: Sequence[str], answers: Sequence[str]) -> None:
        lengths = sorted(len(answer.split()) for answer in answers)
        self._length = max(3, lengths[len(lengths) // 2])

    def answer(self, prompt: str, system: str = "") -> str:
        question = set(words(_question(prompt)))
        sentences = [s.strip() for s in _SENTENCE.split(prompt[:_CONTEXT_LIMIT]) if len(s.split()) >= 3]
        ranked = sorted(
            range(len(sentences)), key=lambda n: (-_overlap(question, set(words(sentences[n]))), n)
        )
        chosen: list[int] = []
        used = 0
        for number in ranked:
            chosen.append(number)
            used += len(sentences[number].split())
            if used >= self._length:
                break
        text = " ".join(sentences[n] for n in sorted(chosen))
        return " ".join(text.split()[: self._length * 2]) or "I do not know."


def _question(prompt: str) -> str:
    """The part of a long prompt that asks: its last lines, and any line with a question mark near its ends."""
    if len(prompt) < 600:
        return prompt
    return prompt[:300] + "\n" + prompt[-400:]


def _overlap(question: set[str], sentence: set[str]) -> float:
    return len(question & sentence) / (math.sqrt(len(sentence)) + 1.0)


def is_closed_set(answers: Sequence[str]) -> bool:
    """Whether so few different, short answers occur that this is classification."""
    distinct = len(set(answers))
    return distinct * 3 <= len(answers) and sum(map(len, answers)) <= 200 * len(answers)


def fit(pairs: Sequence[tuple[str, str]], seed: int = 0) -> Fit:
    """Teach a student; one tenth of the pairs, at most 1,000, only validates."""
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)
    kept_aside = min(len(pairs) // 10, 1000)
    validation = [pairs[n] for n in order[:kept_aside]]
    training = [pairs[n] for n in sorted(order[kept_aside:])]
    prompts, answers = [p for p, _ in training], [a for _, a in training]
    if is_closed_set(answers):
        brain = Classifier(prompts, answers)
        sample = training[: max(1, min(len(training), 1000))]
        return Fit(
            brain,
            "classifier",
            len(training),
            len(validation),
            _exact(brain, sample),
            _exact(brain, validation),
        )
    candidates: list[Brain] = [Recaller(prompts, answers), Extractor(prompts, answers)]
    sample = (validation or training)[:50]
    scores = [sum(word_f1(b.answer(p), a) for p, a in sample) / len(sample) for b in candidates]
    best = max(range(len(candidates)), key=lambda n: (scores[n], -n))
    return Fit(
        candidates[best],
        ("recaller", "extractor")[best],
        len(training),
        len(validation),
        sum(word_f1(candidates[best].answer(p), a) for p, a in training[:50]) / min(len(training), 50),
        scores[best],
    )


def _exact(brain: Classifier, pairs: Sequence[tuple[str, str]]) -> float:
    if not pairs:
        return 0.0
    said = brain.answers([prompt for prompt, _ in pairs])
    return sum(a == b for a, (_, b) in zip(said, pairs, strict=True)) / len(pairs)


def warm_up() -> None:
    """Import the library that fits classifiers, which takes seconds the first time."""
    for module in ("sklearn.feature_extraction.text", "sklearn.pipeline", "sklearn.svm"):
        import_module(module)
