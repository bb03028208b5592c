"""Release after release, nothing is given away: the default rule against the incumbent, over 20 candidates."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RUNS = 20


@pytest.fixture(scope="module")
def decay() -> Any:
    spec = importlib.util.spec_from_file_location("decay", ROOT / "benchmarks" / "decay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["decay"] = module
    spec.loader.exec_module(module)
    return module


def mean(decay: Any, next_quality: Any, **rule: float) -> tuple[float, float]:
    rng = random.Random(11)
    runs = [decay.one_run(rng, next_quality, rule) for _ in range(RUNS)]
    return sum(r.releases for r in runs) / RUNS, sum(r.quality for r in runs) / RUNS


def test_twenty_releases_of_equal_students_give_nothing_away(decay: Any) -> None:
    _, quality = mean(decay, decay.equal)
    assert quality == 0.0


def test_students_of_one_recipe_never_end_below_where_they_began(decay: Any) -> None:
    _, quality = mean(decay, decay.varied)
    assert quality > 0.0, "what is live is the better of many, not the last of many"


def test_students_that_are_always_worse_replace_less_than_under_a_margin(decay: Any) -> None:
    releases, quality = mean(decay, decay.worse)
    with_margin, lower = mean(decay, decay.worse, incumbent_margin=0.05)
    assert releases < with_margin
    assert lower < quality
