"""Which texts of a workload file would be something else than text further on.

Values reach templated fields of operators, log lines, tags, Airflow's pages and terminals. So a template is refused, and so
are control characters and unpaired surrogates: a file that holds them is mended, not escaped in twenty places. Only
`alerts[].arguments` are templates, of the notifier; there the names of what happened may be used and nothing that reads
connections, Variables or other runs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]

LONGEST = 8_192
"""Characters of one text; Airflow's database columns and AWS tags end long before."""
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")
_NAMES = re.compile(
    r"\{\{-?\s{0,9}(?:distill\.(?:workload|event|owner|summary)|dag\.dag_id|(?:ti|task_instance)\.(?:task_id|dag_id|run_id"
    r"|try_number|log_url|map_index)|run_id|dag_run\.run_id|ds|ts|logical_date|data_interval_start|data_interval_end)"
    r"\s{0,9}-?\}\}"
)
"""Expressions that a notifier's argument may hold: names, no calls, no filters."""


def unfit_texts(data: Any, at: Place = ()) -> Iterator[tuple[Place, str, str]]:
    """Yield (place, what is wrong, what to do) for every text and key that must not go further."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _unfit(key, at, is_key=True)
            yield from unfit_texts(value, (*at, key))
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from unfit_texts(value, (*at, number))
    elif isinstance(data, str):
        yield from _unfit(data, at)


def _unfit(text: Any, at: Place, *, is_key: bool = False) -> Iterator[tuple[Place, str, str]]:
    if not isinstance(text, str):
        return
    if len(text) > LONGEST:
        yield at, f"a text of {len(text):,} characters", f"at most {LONGEST:,}"
        return
    bad = next((char for char in text if _is_unprintable(char)), None)
    if bad is not None:
        yield at, f"holds the character U+{ord(bad):04X}, which cannot be shown", "take it out"
    templated = not is_key and at[:1] == ("alerts",) and "arguments" in at
    if _TEMPLATE.search(_NAMES.sub("", text) if templated else text):
        if templated:
            fix = "allowed: {{ distill.workload }}, .event, .owner, .summary, {{ ti.log_url }}, {{ run_id }} and the like"
        else:
            fix = "write the value; what differs by environment belongs into `overrides` of build_dags"
        yield at, "holds a template, and workload files are plain data", fix


def _is_unprintable(char: str) -> bool:
    """Say whether a character is a control, a surrogate, or turns the direction of writing."""
    if char in "\n\t":
        return False
    return (
        unicodedata.category(char) in ("Cc", "Cs")
        or "\u202a" <= char <= "\u202e"
        or "\u2066" <= char <= "\u2069"
    )
