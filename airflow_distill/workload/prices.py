"""Prices that an author states in the workload file stand before those of the price table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_distill.stages.evaluation.prices import UNITS, Price, PriceTable
from airflow_distill.stages.jobs.models import base_model_id


def with_prices(table: PriceTable, student: str, given: Mapping[Any, float] | None) -> PriceTable:
    """Return the table with the author's own prices of the student before all others."""
    rows = [
        Price(
            item,
            base_model_id(student),
            UNITS[item][0],
            float(usd),
            "the workload's file",
            table.date,
            "stated",
        )
        for item, usd in (given or {}).items()
    ]
    return replace(table, rows=(*rows, *table.rows))
