"""The guide names every reason with its explanation, so that a count can be looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_distill.stages.logs.reasons import SkipReason

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "logs.md"


@pytest.mark.parametrize("reason", list(SkipReason))
def test_the_guide_explains_every_reason(reason: SkipReason) -> None:
    assert f"| `{reason.value}` | {reason.explanation} |" in GUIDE.read_text()
