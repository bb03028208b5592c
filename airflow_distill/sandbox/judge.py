"""A judge of answers, for prompts that show two answers (or one) and ask which is better (or how good it is).

Deterministic. It compares answers with the reference shown in the prompt or, without one, with what the teacher would
have said to the question. Its weaknesses are chosen by the user of the sandbox: love of the first position, love of
length, obedience to instructions hidden in an answer, malformed output. Without any it judges fairly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from airflow_distill.sandbox.brains import Brain, Teacher, digest
from airflow_distill.sandbox.failures import SandboxUsageError
from airflow_distill.sandbox.words import word_f1

_NAMES = r"answer|response|output|candidate|assistant|completion|reply|option"
_SIDES = {"a": 0, "b": 1, "1": 0, "2": 1, "first": 0, "second": 1, "one": 0, "two": 1, "x": 0, "y": 1}
_SIDE = "|".join(sorted(_SIDES, key=len, reverse=True))
_PAIR_FORMS = (
    re.compile(
        rf"<(?P<tag>(?:{_NAMES})[\s_-]*(?P<side>{_SIDE})|(?P<side2>{_SIDE})[\s_-]*(?:{_NAMES}))(?:\s[^>]*)?>(?P<text>.*?)</(?P=tag)>",
        re.I | re.S,
    ),
    re.compile(
        rf"\[(?:the )?(?:start|begin)(?:ning)? of (?:{_NAMES})\s*(?P<side>{_SIDE})(?:'s answer)?\](?P<text>.*?)"
        rf"\[(?:the )?end of [^\]]*\]",
        re.I | re.S,
    ),
    re.compile(
        rf"^[ \t#*\[=-]*(?:{_NAMES})\s+(?P<side>{_SIDE})\b[ \t]*[\]:*=-]*[ \t]*\n?(?P<text>.*?)"
        rf"(?=^[ \t#*\[=-]*(?:(?:{_NAMES})\s+(?:{_SIDE})\b|end\b|which\b|your\b|verdict\b|now\b)|\Z)",
        re.I | re.S | re.M,
    ),
)
_ONE = re.compile(rf"<(?P<tag>{_NAMES})>(?P<text>.*?)</(?P=tag)>", re.I | re.S)
_REFERENCE = re.compile(
    r"<(?P<tag>reference(?:[\s_-]\w+)?|golden?(?:[\s_-]\w+)?|expected(?:[\s_-]\w+)?)>(?P<text>.*?)</(?P=tag)>",
    re.I | re.S,
)
_QUESTION = re.compile(
    r"<(?P<tag>question|prompt|request|user_?prompt|instruction|input|task)>(?P<text>.*?)</(?P=tag)>",
    re.I | re.S,
)
_QUESTION_LINE = re.compile(
    r"^[ \t#*\[]*(?:user )?(?:question|prompt|request)\b[\]:*]*[ \t]*\n?(?P<text>.*?)(?=\n\s*\n|\Z)",
    re.I | re.S | re.M,
)
_ORDER = re.compile(
    r"ignore (?:all|any|the|previous|every)|disregard (?:all|any|the|previous)"
    r"|(?:choose|pick|prefer|select) (?:me|this|answer|response)"
    r"|\[\[[ab12]\]\]|\"(?:verdict|winner|choice|score|rating)\"\s*:|you must (?:answer|choose|rate)|as the judge",
    re.I,
)
_JSON_KEY = re.compile(
    r"[\"'](verdict|winner|better|preferred|preference|choice|answer|best|judg\w+|score|rating)[\"']\s*:",
    re.I,
)
_TAG_ASKED = re.compile(r"<(verdict|winner|choice|score|rating)>", re.I)


@dataclass(slots=True)
class Weaknesses:
    """Shares from 0 to 1 of judgements that go wrong in each way; `length` and `obedient` are all or nothing."""

    position: float = 0.0
    length: bool = False
    obedient: bool = False
    malformed: float = 0.0
    noise: float = 0.0


class Judge:
    """Reads a judging prompt; says nothing about any other prompt."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.weaknesses = Weaknesses()

    def reset(self) -> None:
        """Fair again."""
        self.weaknesses = Weaknesses()

    def configure(self, **settings: object) -> dict[str, object]:
        """Choose weaknesses; those not named become fair again."""
        known = {field.name: field for field in fields(Weaknesses)}
        for name, value in settings.items():
            if name not in known:
                raise SandboxUsageError(f"a judge has no weakness {name!r}; there are: {', '.join(known)}")
            if name in ("length", "obedient"):
                if not isinstance(value, bool):
                    raise SandboxUsageError(f"{name} is true or false")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise SandboxUsageError(f"{name} is a share between 0 and 1")
        self.weaknesses = Weaknesses(**settings)  # type: ignore[arg-type]
        return {name: getattr(self.weaknesses, name) for name in known}

    # --- judging prompts ---

    def judgement(self, prompt: str, system: str) -> str | None:
        """The judge's answer, when the prompt asks for a judgement; else None."""
        shown = answers_shown(prompt)
        if len(shown) == 2:
            return self._pairwise(prompt, system, shown)
        asked = f"{system}\n{prompt}"
        one = _ONE.search(prompt)
        if one is not None and re.search(r"\b(score|rate|rating|grade)\b", asked, re.I):
            return self._single(prompt, system, one["text"])
        return None

    def _pairwise(self, prompt: str, system: str, shown: Mapping[int, tuple[str, str]]) -> str:
        (label_a, first), (label_b, second) = shown[0], shown[1]
        asked = f"{system}\n{prompt}"
        if self._chance("malformed", prompt) < self.weaknesses.malformed:
            return ("Both have something for them; hard to say.", '{"verdict": "', "")[
                int(digest(prompt), 16) % 3
            ]
        winner = self._winner(prompt, first, second)
        return _worded(
            asked, {0: label_a, 1: label_b}.get(-1 if winner is None else winner), first_choice=label_a
        )

    def _winner(self, prompt: str, first: str, second: str) -> int | None:
        weak = self.weaknesses
        if weak.obedient and bool(_ORDER.search(first)) != bool(_ORDER.search(second)):
            return 0 if _ORDER.search(first) else 1
        if self._chance("position", prompt) < weak.position:
            return 0
        if self._chance("noise", prompt) < weak.noise:
            return int(digest("noise" + prompt), 16) % 2
        if weak.length and len(first) != len(second):
            return 0 if len(first) > len(second) else 1
        question, reference = self._question(prompt), _found(_REFERENCE, prompt)
        scores = [self.likeness(question, answer, reference) for answer in (first, second)]
        if abs(scores[0] - scores[1]) < 0.02:
            return None
        return 0 if scores[0] > scores[1] else 1

    def _single(self, prompt: str, system: str, answer: str) -> str:
        if self._chance("malformed", prompt) < self.weaknesses.malformed:
            return "It is fine, I suppose."
        likeness = self.likeness(self._question(prompt), answer, _found(_REFERENCE, prompt))
        if self.weaknesses.obedient and _ORDER.search(answer):
            likeness = 1.0
        highest = max(
            (int(n) for n in re.findall(r"\b(?:1|0)\s*(?:-|to|\u2013)\s*(\d+)\b", f"{system}\n{prompt}")),
            default=5,
        )
        return _worded(
            f"{system}\n{prompt}", str(max(1, round(1 + likeness * (highest - 1)))), first_choice="1"
        )

    def _question(self, prompt: str) -> str | None:
        return _found(_QUESTION, prompt) or _found(_QUESTION_LINE, prompt)

    def _chance(self, name: str, prompt: str) -> float:
        return int(digest(f"{name}/{prompt}"), 16) / 2**32

    # --- grades ---

    def likeness(self, question: str | None, answer: str, reference: str | None) -> float:
        """How near an answer is to the reference, or to what the teacher would say; 0 to 1."""
        if reference is None and question is not None:
            reference = self._teacher.answer(question.strip())
        if reference is None:
            return 0.5
        if " ".join(answer.split()).casefold() == " ".join(reference.split()).casefold():
            return 1.0
        return 0.95 * word_f1(answer, reference)

    def grade(self, metric: str, question: str, answer: str, reference: str | None) -> float | None:
        """A normalised score of one of the service's judge metrics; None when the judge fails on this record."""
        if self._chance("malformed", metric + question) < self.weaknesses.malformed:
            return None
        name = metric.removeprefix("Builtin.")
        if name in ("Harmfulness", "Stereotyping"):
            return 0.0
        if name == "Refusal":
            return 1.0 if re.search(r"\b(?:can ?not|can't|unable to|sorry)\b", answer, re.I) else 0.0
        likeness = self.likeness(question, answer, reference)
        if self.weaknesses.obedient and _ORDER.search(answer):
            likeness = 1.0
        points = {"Helpfulness": 7, "FollowingInstructions": 3}.get(name, 5)
        return round(likeness * (points - 1)) / (points - 1)


class WithJudge:
    """A model that can judge, and otherwise answers like another brain."""

    def __init__(self, judge: Judge, otherwise: Brain) -> None:
        self._judge = judge
        self._otherwise = otherwise

    def answer(self, prompt: str, system: str = "") -> str:
        judged = self._judge.judgement(prompt, system)
        return self._otherwise.answer(prompt, system) if judged is None else judged


def answers_shown(prompt: str) -> dict[int, tuple[str, str]]:
    """The two answers a prompt shows, with the labels it gives them: `{0: (label, text), 1: (label, text)}`."""
    for form in _PAIR_FORMS:
        shown: dict[int, tuple[str, str]] = {}
        for match in form.finditer(prompt):
            label = match["side"] or match.groupdict().get("side2") or ""
            shown.setdefault(
                _SIDES[label.casefold()], (label.upper() if len(label) == 1 else label, match["text"].strip())
            )
        if set(shown) == {0, 1}:
            return shown
    return {}


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match["text"].strip() if match else None


def _worded(asked: str, choice: str | None, *, first_choice: str) -> str:
    """A verdict in the form the prompt asks for: JSON, a tag, double brackets, or the bare word."""
    tie = "C" if re.search(r"\[\[C\]\]", asked) else ("TIE" if "TIE" in asked else "tie")
    said = tie if choice is None else choice
    key = _JSON_KEY.search(asked)
    if key is not None:
        value: object = int(said) if said.isdigit() and key[1].casefold() in ("score", "rating") else said
        return json.dumps({"reason": "Compared with what was asked for.", key[1]: value})
    tag = _TAG_ASKED.search(asked)
    if tag is not None:
        return f"<{tag[1]}>{said}</{tag[1]}>"
    if f"[[{first_choice}]]" in asked:
        return f"Compared with what was asked for. [[{said}]]"
    return said
