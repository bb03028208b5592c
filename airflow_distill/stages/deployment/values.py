"""Plain values of settings that may arrive as text, because templates render to text: numbers, and a yes or no.

Apart from `settings`, which loads the records, so that operators can read their arguments without loading those.
"""

from __future__ import annotations

from typing import Any

from airflow_distill.errors import ConfigurationError


def number(value: Any, name: str) -> float | None:
    """Read a number, or None for nothing.

    :raises ConfigurationError: the value is not a number.
    """
    if value is None or (isinstance(value, str) and value.strip() in {"", "None"}):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"deployment: {name} is {value!r}, not a number.", hint=f"State {name} as a number."
        ) from None


def whole(value: Any, name: str) -> int | None:
    """Read a whole number, or None for nothing."""
    read = number(value, name)
    if read is not None and read != int(read):
        raise ConfigurationError(
            f"deployment: {name} is {value!r}, not a whole number.", hint=f"Round {name}."
        )
    return None if read is None else int(read)


def flag(value: Any) -> bool:
    """Read a yes or no; only plain words of yes are yes."""
    return value.strip().lower() in {"true", "yes", "1"} if isinstance(value, str) else bool(value)
