"""How long to pause before the same call is made again. No clock and no random number: pauses and chance are passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from airflow_distill.errors import ServiceError

Answer = TypeVar("Answer")
Sleep = Callable[[float], None]

_MOST_DOUBLINGS = 32
"""More would overflow nothing that a clock shows."""


def doubled(first: float, failures: int, longest: float) -> float:
    """Return the seconds to pause after so many failures in a row: `first`, twice that, and so on, at most `longest`."""
    return min(longest, first * 2.0 ** min(max(failures, 0), _MOST_DOUBLINGS))


def spread(pause: float, chance: float) -> float:
    """Return a pause moved by up to a fifth to either side, so that many who failed together do not return together.

    :param chance: a number in [0, 1), drawn by the caller.
    """
    return pause * (0.8 + 0.4 * chance)


def rung(ladder: Sequence[float], attempt: int) -> float:
    """Return the pause after an attempt, counted from 0; after the last rung, the last."""
    return ladder[min(attempt, len(ladder) - 1)]


def again(
    call: Callable[[], Answer], ladder: Sequence[float], sleep: Sleep, heals: Callable[[ServiceError], bool]
) -> Answer:
    """Call until there is an answer, pausing between the calls; one call more than the ladder has rungs.

    :param heals: whether the same call may succeed later. Any other error is raised at once, the last one too.
    :raises ServiceError: what the last call said.
    """
    for pause in ladder:
        try:
            return call()
        except ServiceError as error:
            if not heals(error):
                raise
        sleep(pause)
    return call()
