"""Even out what the student sees: no metadata value or label may crowd out the others.

Takes a stratum for each candidate, hands on the positions to drop. Earlier candidates stay, so the caller's stable
order decides. Only training candidates are balanced; held-out examples keep the traffic's own mix, or scores would
not mean anything. Standard library only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.digest import canonical_text


def stratum_by(name: str) -> Callable[[Example], str]:
    """Return the function that names an example's stratum.

    :param name: `answer` for labels, or `metadata:KEY`.
    :raises ConfigurationError: the name is neither.
    """
    if name == "answer":
        return lambda example: canonical_text(example.answer or "")
    kind, _, key = name.partition(":")
    if kind == "metadata" and key:
        return lambda example: dict(example.metadata).get(key, "")
    raise ConfigurationError(
        f"dataset: cannot balance by {name!r}.", hint="Balance by answer, or by metadata:KEY."
    )


def surplus(strata: Sequence[str], ratio: float) -> list[int]:
    """Return the positions beyond `ratio` times the median stratum's size, in order.

    >>> surplus(["a", "a", "a", "a", "b", "c"], 2.0)
    [2, 3]
    """
    sizes = sorted(Counter(strata).values())
    if not sizes:
        return []
    most = max(1, int(ratio * sizes[len(sizes) // 2 - (len(sizes) % 2 == 0)]))
    seen: Counter[str] = Counter()
    out = []
    for position, stratum in enumerate(strata):
        seen[stratum] += 1
        if seen[stratum] > most:
            out.append(position)
    return out
