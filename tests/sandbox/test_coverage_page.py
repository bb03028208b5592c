"""The coverage page says what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_distill.sandbox.coverage import TAGS, notes, page
from airflow_distill.sandbox.operations import HANDLERS, load_all

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sandbox-coverage.md"


@pytest.mark.locked
def test_the_coverage_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m airflow_distill.sandbox.coverage"


def test_every_operation_has_its_notes_and_no_other_has() -> None:
    load_all()
    assert set(notes()) == set(HANDLERS)
    assert all(set(entry) <= set(TAGS) for entry in notes().values())


def test_every_operation_is_told_in_the_contract() -> None:
    from tests.contract.test_answers import OPERATIONS

    load_all()
    assert set(OPERATIONS) == set(HANDLERS)
