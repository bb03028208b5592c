"""Times as the deployment stage writes and reads them: UTC, to the second.

Records and receipts hold `2026-11-23T00:00:00Z`; tags hold the compact `20261123T000000Z` that `remote.identity` writes,
because a key or tag may not hold every character. Both are read back by one function. No clock: times are passed in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.remote.times import iso as iso


def moment_of(value: Any) -> datetime | None:
    """Read a time in either spelling, or as a datetime; None for nothing. A time without a zone is UTC.

    :raises ConfigurationError: the text is not a time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ConfigurationError(
            f"deployment: {value!r} is not a time.", hint="Write it as 2026-11-23T00:00:00Z."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def iso_or_none(value: Any) -> str | None:
    """Return either spelling, or a datetime, as ISO 8601; None for nothing."""
    moment = moment_of(value)
    return None if moment is None else iso(moment)
