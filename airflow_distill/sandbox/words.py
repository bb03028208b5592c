"""Words in common between two texts; nothing more."""

from __future__ import annotations

from collections import Counter


def word_f1(said: str, wanted: str) -> float:
    """How much two answers share, as the harmonic mean of precision and recall over words."""
    a, b = Counter(said.casefold().split()), Counter(wanted.casefold().split())
    shared = sum((a & b).values())
    return 2 * shared / (sum(a.values()) + sum(b.values())) if shared else 0.0
