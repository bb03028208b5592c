"""Metrics of the whole set, taken apart item by item with the jackknife.

Leaving item i out of n changes the metric from m to m_i; the pseudo-value n m - (n - 1) m_i is what the item adds.
Pseudo-values behave like scores of single items, so the same interval serves. Both roles share the frame of classes,
chosen from the references alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation import intervals
from airflow_distill.stages.evaluation.records import Answer
from airflow_distill.stages.evaluation.scorers.protocol import CorpusScorer

Cell = tuple[str, str]
ItemCells = tuple[tuple[Cell, float], ...]
"""What one item's answers add, repeats sharing the weight of one."""


def item_cells(
    scorer: CorpusScorer, answers: Mapping[str, Sequence[Answer]], examples: Mapping[str, Example]
) -> dict[str, ItemCells]:
    """Return each item's cells; items without a reference are absent."""
    out: dict[str, ItemCells] = {}
    for key, cell in answers.items():
        example = examples[key]
        if example.answer is None:
            continue
        seen = Counter(scorer.cell(None if a.failed else a.text, example) for a in cell)
        out[key] = tuple((c, count / len(cell)) for c, count in sorted(seen.items()))
    return out


def jackknife(
    scorer: CorpusScorer, items: Sequence[tuple[ItemCells, ...]]
) -> tuple[float | None, intervals.Evidence]:
    """Return the metric of one role, or the first role's minus the second's, and its evidence.

    An item holds one entry a role. No class with enough items means no estimate and no evidence. The ends of the
    evidence are what one more item can do in the rarest class measured: `reach` grows as a class, or the part of the
    set that is measured, gets small, and the interval with it.
    """
    references = Counter(item[0][0][0][0] for item in items)
    frame = scorer.frame(references)
    if not frame:
        return None, intervals.from_pseudo_values(())
    n, roles = len(items), len(items[0])
    totals = [_total(items, side) for side in range(roles)]
    whole = _measure(scorer, totals, frame)
    values: list[float] = []
    for item, count in sorted(Counter(items).items()):
        left_out = [_without(total, cells) for total, cells in zip(totals, item, strict=True)]
        value = n * whole - (n - 1) * _measure(scorer, left_out, frame)
        values += [value] * count
    reach = n / (len(frame) * min(references[label] for label in frame))
    low, high = (-reach, reach) if roles == 2 else (min(0.0, 1.0 - reach), max(1.0, reach))
    return whole, intervals.from_pseudo_values(values, low, high)


def turns(
    left: Mapping[str, ItemCells], right: Mapping[str, ItemCells], ids: Sequence[str]
) -> tuple[int, int]:
    """Count the items on which the first role is right more often than the second, and less often."""
    both = [(_right(left[i]), _right(right[i])) for i in ids if i in left and i in right]
    return sum(a > b for a, b in both), sum(a < b for a, b in both)


def _right(cells: ItemCells) -> float:
    return sum(weight for (reference, said), weight in cells if reference == said)


def _total(items: Sequence[tuple[ItemCells, ...]], side: int) -> dict[Cell, float]:
    total: dict[Cell, float] = {}
    for item in items:
        for cell, weight in item[side]:
            total[cell] = total.get(cell, 0.0) + weight
    return total


def _without(total: Mapping[Cell, float], cells: ItemCells) -> dict[Cell, float]:
    left = dict(total)
    for cell, weight in cells:
        left[cell] = max(left[cell] - weight, 0.0)
    return left


def _measure(scorer: CorpusScorer, totals: Sequence[Mapping[Cell, float]], frame: tuple[str, ...]) -> float:
    measured = [scorer.measure(total, frame) for total in totals]
    return measured[0] if len(measured) == 1 else measured[0] - measured[1]
