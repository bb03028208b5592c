"""Functions as users write them, and some that are not what they should be; named by import path in the tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from subprocess import getoutput  # noqa: F401  (a path may lead through here)
from typing import Any

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.redact import Span

_CALLED: list[str] = []


def find_nothing(text: str) -> Iterator[Span]:
    yield from ()


@lru_cache(maxsize=8)
def find_cached(text: str, /, *, kind: str = "name") -> tuple[Span, ...]:
    return ()


def close_enough(answer: str, reference: str | None, example: Example, strict: bool = False) -> float:
    return float(answer == reference)


def ignores_all(_answer: str, _reference: str | None, _example: Example) -> float:
    return 1.0


def runs_a_command(command: str) -> str:
    _CALLED.append(command)
    return command


def needs_more(text: str, key: str) -> Iterator[Span]:
    yield from ()


def needs_a_keyword(text: str, *, key: str) -> Iterator[Span]:
    yield from ()


def turned_round(reference: str, answer: str, example: Example) -> float:
    return 0.0


class Callable_:
    """A callable that is no function."""

    def __init__(self, text: str = "") -> None:
        _CALLED.append(text)

    def __call__(self, text: str) -> list[Any]:
        _CALLED.append(text)
        return []


an_object = Callable_()
