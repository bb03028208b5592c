"""Which label of a closed set an answer gives: the one reading that label accuracy and macro-F1 share.

The labels are those given, or the references'. An answer gives a label when its text is that label; failing that, when
exactly one label fits without what people and models put around a label (quotes, brackets, Markdown, a full stop, a
lead-in such as "Label:"), or without that and letter case. When two labels fit, or none, it is a miss. Signs, operators and
digits are never taken off: 1 is not -1, A is not A+, 30 is not <30, 5 is not 5%.

The rule follows what scoring tools were mended to do after they had called different labels equal (UK AISI inspect_ai PR
4744, Hugging Face lighteval PR 1273, proeval PR 19).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from airflow_distill.stages.evaluation.scorers.normalise import folded, unicode_form

NO_LABEL = ""

_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "‘": "’", "«": "»", "»": "«", "「": "」", "『": "』"}
_BRACKETS = {"(": ")", "[": "]", "（": "）", "【": "】"}
_MARKDOWN = "*_`"
_STOPS = ".,;:。、，；：।۔"
_CALLS = "!?！？"
_LEAD_IN = re.compile(
    r"[*_`]{0,3}(?:(?:the|my|final|correct|predicted|best|die|der|das|la|el|le) ){0,3}"
    r"(?:label|answer|class|category|classification|sentiment|intent|topic|type|output|result|prediction|response|verdict"
    r"|antwort|kategorie|klasse|ergebnis|etiqueta|respuesta|categoría|clase|resultado|resposta|categoria|réponse|catégorie"
    r"|étiquette|classe|résultat|risposta|etichetta|метка|ответ|категория|класс|etiket|cevap|kategori|التصنيف|الإجابة|उत्तर"
    r"|คำตอบ|标签|答案|类别|分类|標籤|類別|分類|ラベル|回答|答え|カテゴリ|라벨|레이블|답변|정답|분류)"
    r"[*_`]{0,3} ?(?:[:：=]| [–—-] (?!\d)| is:?| ist:?| est ?:?| es:?|は|是[:：]?)[*_`]{0,3} ?",
    re.IGNORECASE,
)
_MOST_STEPS = 8
"""How many coats an answer may wear: `**Label: "refund."**` has five."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A closed set of labels, ready to read answers."""

    labels: frozenset[str]
    bare: Mapping[str, frozenset[str]]
    lower: Mapping[str, frozenset[str]]
    lower_bare: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, labels: Iterable[str]) -> LabelSet:
        """Return the set; labels that differ in Unicode form or spacing only are one, and the empty text is none."""
        forms = frozenset(form for label in labels if (form := unicode_form(label)))
        return cls(
            forms,
            _index(forms, _coats),
            _index(forms, lambda label: [folded(label)]),
            _index(forms, lambda label: map(folded, _coats(label))),
        )

    def read(self, text: str) -> str:
        """Return the label that the text gives, or `NO_LABEL`.

        >>> LabelSet.of(["A", "A+", "refund"]).read('Label: **"Refund."**')
        'refund'
        >>> LabelSet.of(["A+", "A-"]).read("A")
        ''
        """
        said = unicode_form(text)
        if said in self.labels:
            return said
        readings = list(_readings(said))
        for reading in readings:
            if reading in self.labels:
                return reading
        for fitting in (
            {label for coat in _coats(said) for label in self.bare.get(coat, ())},
            {label for reading in readings for label in self.lower.get(folded(reading), ())},
            {label for coat in _coats(said) for label in self.lower_bare.get(folded(coat), ())},
        ):
            if fitting:
                return fitting.pop() if len(fitting) == 1 else NO_LABEL
        return NO_LABEL


def _index(labels: Iterable[str], keys: Callable[[str], Iterable[str]]) -> dict[str, frozenset[str]]:
    out: dict[str, frozenset[str]] = {}
    for label in labels:
        for key in keys(label):
            out[key] = out.get(key, frozenset()) | {label}
    return out


def _readings(said: str) -> Iterator[str]:
    """Yield the answer as it stands, then with one coat after another taken off."""
    yield said
    for _ in range(_MOST_STEPS):
        lead = _LEAD_IN.match(said)
        rest = _unwrapped(said) or _without_mark(said) or (said[lead.end() :] if lead else "")
        said = rest.strip()
        if not said:
            return
        yield said


def _coats(label: str) -> Iterator[str]:
    """Yield a label as written and without quotes, brackets, Markdown and last stop: what answers may leave out."""
    yield label
    for _ in range(_MOST_STEPS):
        label = (_unwrapped(label) or label.removesuffix(".").removesuffix("。")).strip()
        if not label:
            return
        yield label


def _unwrapped(text: str) -> str:
    """Return what stands between a pair of quotes, brackets or Markdown marks; nothing when the text wears none.

    A number in brackets keeps them: in books of account (5) is -5.
    """
    if len(text) < 3:
        return ""
    first, last = text[0], text[-1]
    inner = text[1:-1]
    if _QUOTES.get(first) == last:
        return inner
    if _BRACKETS.get(first) == last:
        return "" if any(char.isdigit() for char in inner) else inner
    if first in _MARKDOWN and first == last:
        inner = text.strip(first)
        run = (len(text) - len(inner)) // 2
        return inner if inner and text == first * run + inner + first * run else ""
    return ""


def _without_mark(text: str) -> str:
    """Return the text without the marks that end a sentence; ! and ? stay behind digits (5!, Nf3?)."""
    marks = _STOPS if any(char.isdigit() for char in text) else _STOPS + _CALLS
    bare = text.rstrip(marks)
    if bare == text and text.endswith(")") and "(" not in text:  # an item of a list: `1)`, `b)`
        bare = text[:-1]
    return "" if bare == text else bare
