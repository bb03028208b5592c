"""How many cases each fuzzed reader has seen in this run; printed at its end."""

from __future__ import annotations

from collections import Counter

SEEN: Counter[str] = Counter()
"""Cases by what read them."""
