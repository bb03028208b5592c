"""Student against the others, item by item: answers and scorers in, a scorecard out.

Each metric is compared on the items that both roles have a score for. Repeats of one prompt are averaged inside the
item, so asking ten times does not count as ten prompts. Metrics of the whole set (macro-F1) are taken apart into
jackknife pseudo-values, one an item. Below `min_items` no interval is given. Nothing here decides; the decision stage
does. No clock, no random numbers, no text in what comes out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from airflow_distill.errors import ConfigurationError, DistillError, EvaluationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation import corpus, intervals
from airflow_distill.stages.evaluation.items import Table, lay_out, reference_kind
from airflow_distill.stages.evaluation.records import (
    GOLDEN,
    Answer,
    Comparison,
    Interval,
    Metric,
    Regression,
    Score,
    Scorecard,
)
from airflow_distill.stages.evaluation.scorers.protocol import CorpusScorer, FittedToSet, ItemScorer, Scorer
from airflow_distill.stages.evaluation.scorers.registry import describe
from airflow_distill.stages.evaluation.summaries import PriceOf, summarise

STUDENT = "student"
MOST_SLICE_VALUES = 20
"""Metadata keys with more values than this (ids, names) are not sliced along unless asked for."""

RAISED = "raised "
"""Begins the reason of a score that a scorer's own error took away; the error's class follows."""

Values = Mapping[str, Mapping[str, float]]
"""Role -> item -> score; an item without a score is absent."""


def score_answers(
    examples: Iterable[Example],
    answers: Iterable[Answer],
    scorers: Sequence[Scorer],
    *,
    workload: str,
    dataset_id: str,
    heldout_sha256: str,
    evaluation_id: str = "",
    teacher: str = "teacher",
    extra_scores: Iterable[Score] = (),
    alpha: float = 0.05,
    min_items: int = 30,
    slice_keys: Sequence[str] | None = None,
    answers_sha256: Mapping[str, str] | None = None,
    price_of: PriceOf | None = None,
    created_at: str = "",
    worst: int = 20,
) -> Scorecard:
    """Return the scorecard of the student's answers against every other role that answered.

    `extra_scores` come from elsewhere (Bedrock evaluation jobs, a judge) and are compared like our own. Intervals are
    two-sided at `1 - 2 * alpha`, so that each end is the one-sided bound that a decision at `alpha` looks at.
    `slice_keys` names metadata keys to slice along; None takes those with 2 to 20 values.
    """
    if not 0 < alpha < 0.5 or min_items < 2:
        raise ConfigurationError("evaluation: alpha lies between 0 and 0.5, min_items is at least 2.")
    table = lay_out(examples, answers, teacher=teacher)
    scorers = fitted(scorers, table)
    extra = sorted((s for s in extra_scores if s.example_id in table.examples), key=_place)
    scores = [*score_items(table, scorers), *extra]
    _refuse_raised(scores)
    measures: list[Measure] = [*_item_measures(scores), *_corpus_measures(table, scorers)]
    _check_names(measures)
    slices = _slices(table, slice_keys)
    spoken = _Terms(alpha, min_items)
    metrics: list[Metric] = []
    comparisons: list[Comparison] = []
    for measure in measures:
        metrics += _metrics(measure, table.roles, "", tuple(table.examples), spoken)
        comparisons += _comparisons(measure, table.roles, "", tuple(table.examples), spoken)
        for name, ids in slices.items():
            metrics += _metrics(measure, table.roles, name, ids, _Terms(alpha, len(table.examples) + 1))
            watched = table.roles if name == GOLDEN else _WATCHED
            comparisons += _comparisons(measure, watched, name, ids, spoken)
    return Scorecard(
        workload=workload,
        dataset_id=dataset_id,
        heldout_sha256=heldout_sha256,
        models=table.models,
        n=len(table.examples),
        metrics=tuple(metrics),
        comparisons=tuple(comparisons),
        references=table.references(),
        teacher_source=table.teacher_source,
        alpha=alpha,
        min_items=min_items,
        evaluation_id=evaluation_id,
        duplicates=table.duplicates,
        strays=table.strays,
        unspoken_slices=sum(len(ids) < min_items for ids in slices.values()),
        regressions=tuple(_regressions(measures, worst)),
        summaries=tuple(summarise(table, role, price_of) for role in table.roles),
        scorers=tuple(describe(scorer) for scorer in scorers),
        answers_sha256=dict(answers_sha256 or {}),
        created_at=created_at,
    )


_WATCHED = (STUDENT, "teacher", "incumbent")
"""Roles compared inside slices of request metadata; that one of them beats the untuned student decides nothing."""


@dataclass(frozen=True, slots=True)
class _Terms:
    alpha: float
    min_items: int


@dataclass(frozen=True, slots=True)
class ItemMeasure:
    """A metric that is a mean over items."""

    name: str
    values: Values

    def level(self, role: str, ids: Sequence[str]) -> tuple[float | None, intervals.Evidence]:
        """Return a role's mean and its evidence."""
        found = [self.values[role][i] for i in ids if i in self.values.get(role, {})]
        evidence = intervals.from_scores(found)
        return (evidence.center if found else None), evidence

    def difference(
        self, role: str, against: str, ids: Sequence[str]
    ) -> tuple[float | None, intervals.Evidence]:
        """Return the mean paired difference and its evidence."""
        left, right = self.values.get(role, {}), self.values.get(against, {})
        evidence = intervals.from_differences(left[i] - right[i] for i in ids if i in left and i in right)
        return (evidence.center if evidence.n else None), evidence

    def roles(self) -> set[str]:
        return {role for role, values in self.values.items() if values}


@dataclass(frozen=True, slots=True)
class CorpusMeasure:
    """A metric of the whole set, measured by leaving one item out at a time."""

    scorer: CorpusScorer
    cells: Mapping[str, Mapping[str, corpus.ItemCells]]

    @property
    def name(self) -> str:
        return self.scorer.name

    def level(self, role: str, ids: Sequence[str]) -> tuple[float | None, intervals.Evidence]:
        found = self.cells.get(role, {})
        return corpus.jackknife(self.scorer, [(found[i],) for i in ids if i in found])

    def difference(
        self, role: str, against: str, ids: Sequence[str]
    ) -> tuple[float | None, intervals.Evidence]:
        left, right = self.cells.get(role, {}), self.cells.get(against, {})
        pairs = [(left[i], right[i]) for i in ids if i in left and i in right]
        return corpus.jackknife(self.scorer, pairs)

    def roles(self) -> set[str]:
        return {role for role, cells in self.cells.items() if cells}


Measure = ItemMeasure | CorpusMeasure


def fitted(scorers: Sequence[Scorer], table: Table) -> tuple[Scorer, ...]:
    """Return the scorers, told all references of the set where they ask for it (labels are a closed set)."""
    references = [example.answer for example in table.examples.values() if example.answer is not None]
    return tuple(scorer.over(references) if isinstance(scorer, FittedToSet) else scorer for scorer in scorers)


def score_items(table: Table, scorers: Sequence[Scorer]) -> Iterator[Score]:
    """Yield one score an answer and item scorer; an answer with an error is 0, whatever the scorer."""
    for scorer in scorers:
        if not isinstance(scorer, ItemScorer):
            continue
        for role in table.roles:
            for key, cell in table.answers[role].items():
                for answer in cell:
                    yield _score(scorer, answer, table.examples[key])


def _score(scorer: ItemScorer, answer: Answer, example: Example) -> Score:
    value, reason = _value(scorer, answer, example)
    return Score(answer.example_id, answer.role, scorer.name, value, answer.repeat, reason)


def _value(scorer: ItemScorer, answer: Answer, example: Example) -> tuple[float | None, str]:
    if scorer.needs_reference and example.answer is None:
        return None, "no reference"
    if answer.failed:
        return 0.0, answer.error or "no text"
    try:
        value = scorer.score(answer.text or "", example)
    except DistillError:
        raise
    except Exception as error:
        return None, f"{RAISED}{type(error).__name__}"  # never the message: it may hold text
    if value is None:
        return None, "no score"
    return (value, "") if math.isfinite(value) else (None, "not a number")


def _refuse_raised(scores: Iterable[Score]) -> None:
    """Stop when a scorer failed on any answer: a fault of the scorer must not pass for a fault of a model.

    :raises EvaluationError: the scorer, the classes of its errors and how often each; never their messages.
    """
    found: dict[str, Counter[str]] = {}
    for score in scores:
        if score.value is None and score.reason.startswith(RAISED):
            found.setdefault(score.metric, Counter())[score.reason.removeprefix(RAISED)] += 1
    if not found:
        return
    told = "; ".join(
        f"scorer {metric} raised "
        + ", ".join(f"{name} on {count} answer{'s' * (count != 1)}" for name, count in classes.most_common())
        for metric, classes in found.items()
    )
    raise EvaluationError(
        f"evaluation: {told}. Nothing was scored.",
        hint="Fix the scorer and score again (clear the task `score`); the answers are kept. A scorer returns None for an "
        "answer that it cannot judge.",
    )


def _item_measures(scores: Iterable[Score]) -> list[ItemMeasure]:
    """Average repeats inside the item; one missing repeat makes the item's score missing."""
    cells: dict[str, dict[str, dict[str, list[float | None]]]] = {}
    for score in scores:
        roles = cells.setdefault(score.metric, {})
        roles.setdefault(score.role, {}).setdefault(score.example_id, []).append(score.value)
    return [
        ItemMeasure(metric, {role: _means(items) for role, items in roles.items()})
        for metric, roles in cells.items()
    ]


def _means(items: Mapping[str, list[float | None]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for key, values in items.items():
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            out[key] = math.fsum(known) / len(known)
    return out


def _place(score: Score) -> tuple[str, str, str, int, float]:
    return (
        score.metric,
        score.role,
        score.example_id,
        score.repeat,
        -1.0 if score.value is None else score.value,
    )


def _corpus_measures(table: Table, scorers: Sequence[Scorer]) -> list[CorpusMeasure]:
    return [
        CorpusMeasure(
            scorer,
            {role: corpus.item_cells(scorer, table.answers[role], table.examples) for role in table.roles},
        )
        for scorer in scorers
        if isinstance(scorer, CorpusScorer)
    ]


def _check_names(measures: Sequence[Measure]) -> None:
    names = [measure.name for measure in measures]
    if len(set(names)) != len(names):
        raise ConfigurationError("evaluation: two metrics have one name.", hint="Rename one of the scorers.")


def _metrics(
    measure: Measure, roles: Sequence[str], name: str, ids: Sequence[str], terms: _Terms
) -> Iterator[Metric]:
    for role in roles:
        if role not in measure.roles():
            continue
        mean, evidence = measure.level(role, ids)
        yield Metric(
            metric=measure.name,
            role=role,
            n=evidence.n,
            mean=mean,
            interval=_interval(evidence, terms, 0.0),
            missing=len(ids) - evidence.n,
            slice=name,
        )


def _comparisons(
    measure: Measure, roles: Sequence[str], name: str, ids: Sequence[str], terms: _Terms
) -> Iterator[Comparison]:
    for against in roles:
        if against == STUDENT or against not in measure.roles():
            continue
        estimate, evidence = measure.difference(STUDENT, against, ids)
        better, worse = _turns(measure, against, ids)
        yield Comparison(
            metric=measure.name,
            against=against,
            n=evidence.n,
            estimate=estimate,
            evidence=evidence,
            interval=_interval(evidence, terms, -1.0),
            better=better,
            worse=worse,
            missing=len(ids) - evidence.n,
            slice=name,
        )


def _interval(evidence: intervals.Evidence, terms: _Terms, low: float) -> Interval | None:
    if evidence.n < terms.min_items:
        return None
    return Interval(
        low=max(intervals.lower_bound(evidence, terms.alpha), low),
        high=min(intervals.upper_bound(evidence, terms.alpha), 1.0),
        level=round(1 - 2 * terms.alpha, 12),
        method=evidence.method,
    )


def _turns(measure: Measure, against: str, ids: Sequence[str]) -> tuple[int, int]:
    """Count the items on which the student did better and worse."""
    if isinstance(measure, CorpusMeasure):
        return corpus.turns(measure.cells.get(STUDENT, {}), measure.cells.get(against, {}), ids)
    left, right = measure.values.get(STUDENT, {}), measure.values.get(against, {})
    both = [(left[i], right[i]) for i in ids if i in left and i in right]
    return sum(a > b for a, b in both), sum(a < b for a, b in both)


def _slices(table: Table, keys: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """Return the items of each `key=value`, by default along keys that look like kinds, not like ids; and the golden ones
    where there are others too."""
    golden = tuple(item for item, example in table.examples.items() if reference_kind(example) == GOLDEN)
    standing = {GOLDEN: golden} if 0 < len(golden) < len(table.examples) else {}
    found: dict[str, dict[str, list[str]]] = {}
    for item, example in table.examples.items():
        for key, value in example.metadata:
            found.setdefault(key, {}).setdefault(value, []).append(item)
    wanted = sorted(found) if keys is None else [key for key in keys if key in found]
    return standing | {
        f"{key}={value}": tuple(items)
        for key in wanted
        if keys is not None or 2 <= len(found[key]) <= MOST_SLICE_VALUES
        for value, items in sorted(found[key].items())
    }


def _regressions(measures: Sequence[Measure], worst: int) -> Iterator[Regression]:
    """Yield, for each metric and each of teacher and incumbent, the items on which the student fell most."""
    for measure in measures:
        if not isinstance(measure, ItemMeasure):
            continue
        for against in _WATCHED[1:]:
            left, right = measure.values.get(STUDENT, {}), measure.values.get(against, {})
            falls = sorted((left[i] - right[i], i) for i in left if i in right and left[i] < right[i])
            for _, item in falls[:worst]:
                yield Regression(item, measure.name, against, left[item], right[item])
