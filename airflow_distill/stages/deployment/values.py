"""Plain values of settings that may arrive as text, because templates render to text: numbers, and a yes or no.

Apart from `settings`, which loads the records, so that operators can read their arguments without loading those. The
reading itself is that of every argument: `stages.arguments`.
"""

from __future__ import annotations

from typing import Any

from airflow_distill.stages.arguments import as_flag, as_number, as_whole, is_nothing


def number(value: Any, name: str) -> float | None:
    """Read a number, or None for nothing.

    :raises ConfigurationError: the value is not a number.
    """
    return None if is_nothing(value) else as_number(value, name)


def whole(value: Any, name: str) -> int | None:
    """Read a whole number, or None for nothing."""
    return None if is_nothing(value) else as_whole(value, name)


def flag(value: Any, name: str = "the flag") -> bool:
    """Read a yes or no; nothing is no."""
    return not is_nothing(value) and as_flag(value, name)
