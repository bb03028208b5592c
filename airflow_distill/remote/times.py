"""How times are written in records, receipts and messages: UTC, to the second. No clock: times are passed in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def iso(moment: datetime) -> str:
    """Return a time as `2026-11-23T00:00:00Z`; one without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_text(value: Any) -> str:
    """Return what a service gave as a time as `2026-11-23T00:00:00Z`: text as it is, nothing as ""."""
    return iso(value) if isinstance(value, datetime) else str(value or "")
