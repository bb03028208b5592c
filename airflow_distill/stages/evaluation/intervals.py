"""How sure a difference is: evidence in, p-values, confidence bounds and sample sizes out.

Takes paired differences, or scores, as a tally of values and answers one question the same way every time: how compatible
is this evidence with a true mean of at most, or at least, a given value. Bounds are the values at which the answer
turns, so intervals and tests never disagree. No random numbers: equal evidence gives equal bytes. Two methods, chosen
by the shape of the data (docs/decisions/intervals.md):

- `tango`: differences of right-or-wrong metrics (-1, 0, 1). Tango's score test for paired proportions, less half a unit.
- `gaffke`: graded values with known ends. The Bayesian bootstrap with one imaginary item at the worst end, its tail
  computed by saddlepoint instead of sampled; on 0/1 values it is Clopper and Pearson's exact bound. A metric of the
  whole set (macro-F1) comes here as its jackknife pseudo-values, one an item.

Standard library only, so that the verdict can be computed anywhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from airflow_distill.errors import EvaluationError

DIGITS = 6
"""Values are tallied to this many decimals: equal answers then count as equal on every machine."""

MOST_ITEMS = 100_000
"""Sample sizes above this are not worth naming: nobody will collect them."""

_NORMAL = NormalDist()
_STEPS = 200
_CLOSE = 1e-7


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a mean: how often each value between `low` and `high` was seen, over `n` items.

    `center` and `spread` (standard deviation of one item) follow from the tally.
    """

    method: str
    n: int
    tally: tuple[tuple[float, float], ...] = ()
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        numbers = [self.low, self.high, *(x for pair in self.tally for x in pair)]
        if not all(math.isfinite(x) for x in numbers):
            raise EvaluationError("evaluation: evidence holds a value that is not a finite number.")
        if any(not self.low <= value <= self.high for value, _ in self.tally):
            raise EvaluationError("evaluation: evidence holds a value outside its ends.")

    @property
    def center(self) -> float:
        return math.fsum(value * count for value, count in self.tally) / self.n if self.n else 0.0

    @property
    def spread(self) -> float:
        center = self.center
        squares = math.fsum(count * (value - center) ** 2 for value, count in self.tally)
        return math.sqrt(squares / self.n) if self.n else 0.0

    def to_json(self) -> dict[str, Any]:
        tally = [list(pair) for pair in self.tally]
        return {"method": self.method, "n": self.n, "ends": [self.low, self.high], "tally": tally}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        low, high = data["ends"]
        tally = tuple((float(value), float(count)) for value, count in data["tally"])
        return cls(data["method"], int(data["n"]), tally, float(low), float(high))


def from_differences(values: Iterable[float]) -> Evidence:
    """Tally paired differences, from -1 (student wrong, other right) to 1; picks the method by what it sees."""
    tally = _tally(values)
    ternary = {value for value, _ in tally} <= {-1.0, 0.0, 1.0}
    return Evidence("tango" if ternary else "gaffke", _size(tally), tally, -1.0, 1.0)


def from_scores(values: Iterable[float]) -> Evidence:
    """Tally the scores of one role, from 0 to 1."""
    tally = _tally(values)
    return Evidence("gaffke", _size(tally), tally, 0.0, 1.0)


def from_pseudo_values(values: Iterable[float], low: float = -1.0, high: float = 1.0) -> Evidence:
    """Tally jackknife pseudo-values of a metric of the whole set; they may lie outside the metric's own ends."""
    tally = _tally(values)
    seen = [value for value, _ in tally] or [0.0]
    return Evidence("gaffke", _size(tally), tally, min(low, *seen), max(high, *seen))


def _tally(values: Iterable[float]) -> tuple[tuple[float, float], ...]:
    counts = Counter(round(float(value), DIGITS) + 0.0 for value in values)
    return tuple(sorted((value, float(count)) for value, count in counts.items()))


def _size(tally: tuple[tuple[float, float], ...]) -> int:
    return round(math.fsum(count for _, count in tally))


def p_at_most(evidence: Evidence, value: float) -> float:
    """Return the p-value of "the true mean is at most `value`"; small means it is likely higher.

    It rises with the value up to one half. Above that there is no evidence; for a handful of items it may wobble there.
    """
    if evidence.n == 0 or value >= evidence.high:
        return 1.0
    if value < evidence.low:
        return 0.0
    return _p_tango(evidence, value) if evidence.method == "tango" else _p_gaffke(evidence, value)


def p_at_least(evidence: Evidence, value: float) -> float:
    """Return the p-value of "the true mean is at least `value`"; small means it is likely lower."""
    return p_at_most(mirrored(evidence), -value)


def lower_bound(evidence: Evidence, alpha: float) -> float:
    """Return the one-sided lower bound at `1 - alpha`: values below it are rejected by `p_at_most`.

    The p-value rises with the value and its normal score is nearly straight, so a guarded secant needs few steps.
    """
    goal = _NORMAL.inv_cdf(alpha)
    low, high = evidence.low, evidence.high
    below, above = _score(evidence, low) - goal, _score(evidence, high) - goal
    if below > 0:
        return low
    for _ in range(_STEPS):
        if high - low < _CLOSE:
            break
        middle = high - above * (high - low) / (above - below)
        room = (high - low) / 16
        middle = min(max(middle, low + room), high - room)
        found = _score(evidence, middle) - goal
        if found > 0:
            high, above, below = middle, found, below / 2
        else:
            low, below, above = middle, found, above / 2
    return low


def _score(evidence: Evidence, value: float) -> float:
    return _NORMAL.inv_cdf(min(max(p_at_most(evidence, value), 1e-15), 1 - 1e-15))


def upper_bound(evidence: Evidence, alpha: float) -> float:
    """Return the one-sided upper bound at `1 - alpha`."""
    return -lower_bound(mirrored(evidence), alpha)


def mirrored(evidence: Evidence) -> Evidence:
    """Return the evidence with every sign turned: what is said of "at least" follows from "at most"."""
    tally = tuple((-value + 0.0, count) for value, count in reversed(evidence.tally))
    return Evidence(evidence.method, evidence.n, tally, -evidence.high, -evidence.low)


def items_needed(evidence: Evidence, value: float, alpha: float, power: float = 0.8) -> int | None:
    """Return how many items would show on which side of `value` the mean lies, with this power, if it is what it seems.

    None when the estimate is so near to `value` that no sensible number would do. Assumes that further items look like
    those seen; one item's worth of disagreement is added, so that a small sample without any does not promise too much.
    """
    if evidence.n == 0:
        return None
    if evidence.center < value:
        return items_needed(mirrored(evidence), -value, alpha, power)
    enough = MOST_ITEMS
    if not _would_show(evidence, value, alpha, power, enough):
        return None
    few = 1
    while enough - few > 1:
        middle = (few + enough) // 2
        if _would_show(evidence, value, alpha, power, middle):
            enough = middle
        else:
            few = middle
    return enough


def _would_show(evidence: Evidence, value: float, alpha: float, power: float, items: int) -> bool:
    """Say whether this evidence, grown to `items` and unlucky to the stated degree, would reject "at most `value`"."""
    unlucky = _NORMAL.inv_cdf(power) * _planned_spread(evidence) / math.sqrt(items)
    tally = tuple((x, count * items / evidence.n) for x, count in evidence.tally)
    grown = Evidence(evidence.method, items, tally, evidence.low, evidence.high)
    return p_at_most(grown, value + unlucky) <= alpha


def _planned_spread(evidence: Evidence) -> float:
    """Return the standard deviation of one item, with half an item added at each end."""
    center, n = evidence.center, evidence.n
    ends = (evidence.low - center) ** 2 + (evidence.high - center) ** 2
    return math.sqrt((n * evidence.spread**2 + ends / 2) / (n + 1))


def _p_tango(evidence: Evidence, value: float) -> float:
    """Tango (1998): the score statistic with the restricted maximum-likelihood estimate, less half a unit."""
    counts = dict(evidence.tally)
    better, worse, n = counts.get(1.0, 0.0), counts.get(-1.0, 0.0), float(evidence.n)
    a = 2 * n
    b = -better - worse + (2 * n - better + worse) * value
    c = -worse * value * (1 - value)
    restricted = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * restricted + value * (1 - value))
    excess = better - worse - n * value - 0.5
    if variance <= 1e-12:
        return 0.0 if excess > 0 else 1.0
    return _NORMAL.cdf(-excess / math.sqrt(variance))


def _p_gaffke(evidence: Evidence, value: float) -> float:
    """Probability that exponential weights put the mean at `value` or below, one item at the low end added.

    The weighted sum of `x - value` is a sum of scaled exponentials with cumulant function -sum(log(1 - s a)); Lugannani
    and Rice's formula gives its tail at zero.
    """
    shifted = [(x - value, count) for x, count in evidence.tally if x != value]
    shifted.append((evidence.low - value, 1.0))
    lowest, highest = min(a for a, _ in shifted), max(a for a, _ in shifted)
    if highest <= 0:
        return 1.0
    if lowest >= 0:
        return 0.0
    s = _saddlepoint(shifted, 1 / lowest, 1 / highest)
    k2 = math.fsum(count * (a / (1 - s * a)) ** 2 for a, count in shifted)
    u = s * math.sqrt(k2)
    if abs(u) < 1e-4:
        k3 = math.fsum(2 * count * a**3 for a, count in shifted)
        return min(max(_NORMAL.cdf(u) + k3 / (6 * math.sqrt(2 * math.pi) * math.pow(k2, 1.5)), 0.0), 1.0)
    k = -math.fsum(count * math.log1p(-s * a) for a, count in shifted)
    w = math.copysign(math.sqrt(max(-2 * k, 0.0)), s)
    return min(max(_NORMAL.cdf(w) + _NORMAL.pdf(w) * (1 / w - 1 / u), 0.0), 1.0)


def _saddlepoint(shifted: list[tuple[float, float]], low: float, high: float) -> float:
    """Solve sum(count a / (1 - s a)) = 0 between the poles: Newton's step where it stays inside, else half."""
    s = 0.0
    for _ in range(200):
        slope = curve = 0.0
        for a, count in shifted:
            part = a / (1 - s * a)
            slope += count * part
            curve += count * part * part
        if slope > 0:
            high = s
        else:
            low = s
        following = s - slope / curve if low < s - slope / curve < high else (low + high) / 2
        if abs(following - s) <= 1e-10 * abs(s):
            return following
        s = following
    return s
