"""Has quality fallen? A test that may be looked at every day and still keeps its rate of false alarms.

Scores lie from 0 to 1: how far the live student agrees with the teacher on a prompt. Against "the mean is at least
`floor`" runs a betting martingale (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
JRSS B 86(1), 2024, section 4): the product of `1 + bet * (floor - score)` grows when scores lie below the floor, and by
Ville's inequality it exceeds `1 / alpha` with probability at most alpha, at any time, however often it is looked at. Bets
are mixed over several sizes of fall. A fall begins late, so a new product is begun every few days and their average over
the horizon counts: an average of e-processes is one (Shin, Ramdas and Rinaldo, "E-detectors", 2024, mix likewise).

Two floors are watched, each at half of the allowed rate: one from what the release was measured at, and one from the
first live days, which are many and tell of this traffic. Each floor is a lower confidence bound; a share of its rate
pays for the bound and the rest for the martingale. Standard library only; no clock, no random numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import NormalDist

HORIZON = 90
"""Days that the stated rate of false alarms is about; the next ones are judged anew."""

EVERY = 6
"""Days after which a new product is begun."""

SETTLING, ENOUGH = 14, 500
"""The first live days stand for the student as it settled in, if they have so many scores."""

BOUND_SHARE = 0.6
"""Of a floor's rate, what pays for its being a bound."""

FALLS = (0.015, 0.04, 0.1)
"""Falls below the floor that the bets are sized for."""

Day = Mapping[float, int]
"""The scores of one day: score -> how often."""


def floor_of(mean: float, n: int, alpha: float) -> float:
    """Return the lower confidence bound of a mean of `n` scores from 0 to 1 (Wilson's, at the bound's share of `alpha`).

    Of all scores from 0 to 1, shares of right answers vary most, so the bound is careful for other scores.
    """
    if n < 1:
        return 0.0
    z = NormalDist().inv_cdf(1 - alpha * BOUND_SHARE)
    mean = min(max(mean, 0.0), 1.0)
    middle = mean + z * z / (2 * n)
    spread = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return max(0.0, (middle - spread) / (1 + z * z / n))


def bets_at(floor: float) -> tuple[float, ...]:
    """Return bets that suit falls below a floor; none can make a product negative."""
    if floor <= 0.0:
        return ()
    most = 0.9 / (1 - floor) if floor < 1 else math.inf
    variance = max(floor * (1 - floor), 1e-4)
    return tuple(min(fall / (variance + fall), most) for fall in FALLS)


def evidence(days: Sequence[Day], floor: float) -> list[float]:
    """Return the evidence of a fall below a floor at the end of each day; 1 says nothing, 1 / alpha is an alarm.

    Days are those of one horizon, without gaps: a day without scores is empty.
    """
    bets = bets_at(floor)
    if not bets:
        return [1.0] * len(days)
    grown = [0.0] * len(bets)
    begun: list[list[float]] = []
    most = math.ceil(HORIZON / EVERY)
    told: list[float] = []
    for number, day in enumerate(days):
        if number % EVERY == 0:
            begun.append(list(grown))
        for which, bet in enumerate(bets):
            grown[which] += math.fsum(
                count * math.log1p(bet * (floor - score)) for score, count in day.items()
            )
        products = sum(_exp(now - then) for start in begun for now, then in zip(grown, start, strict=True))
        told.append((products / len(bets) + max(0, most - len(begun))) / most)
    return told


def _exp(exponent: float) -> float:
    return math.exp(min(exponent, 600.0))


def strengths(days: Sequence[Day], measured: tuple[float, int] | None, alpha: float) -> list[float]:
    """Return for each day how much of an alarm there is: 1 and more is an alarm, at most a share `alpha` of all horizons.

    :param measured: (mean, prompts) of the student's agreement with the teacher at the release, None when there is none.
    """
    half = alpha / 2
    alarm = half * (1 - BOUND_SHARE)
    found = [0.0] * len(days)
    if measured is not None:
        found = [each * alarm for each in evidence(days, floor_of(*measured, half))]
    settled = total(days[:SETTLING])
    if len(days) > SETTLING and settled[1] >= ENOUGH:
        later = evidence(days[SETTLING:], floor_of(*settled, half))
        found[SETTLING:] = [max(was, each * alarm) for was, each in zip(found[SETTLING:], later, strict=True)]
    return found


def total(days: Sequence[Day]) -> tuple[float, int]:
    """Return mean and number of the scores of several days."""
    scores: Counter[float] = Counter()
    for day in days:
        scores.update(dict(day))
    n = scores.total()
    return (math.fsum(score * count for score, count in scores.items()) / n if n else 0.0), n


def fell_at(days: Sequence[Day], measured: tuple[float, int] | None, alpha: float) -> int | None:
    """Return the first day (from 0) that is an alarm, None for none."""
    return next((at for at, strength in enumerate(strengths(days, measured, alpha)) if strength >= 1), None)
