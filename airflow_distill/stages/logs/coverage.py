"""Is there anything under the prefix, and which hours of a window have no log object?

Takes URIs of log objects and a window; hands on counts and the longest gap. A quiet hour and an hour in which logging was
off look alike from here, so a gap is told and never fails anything; a prefix under which nothing lies at all is a mistake.
Pure, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from airflow_distill.errors import ConfigurationError, DistillError
from airflow_distill.stages.logs.selection import Window
from airflow_distill.stages.logs.source import PERMISSION_CHECK, hour_of, is_an_object, is_log_object
from airflow_distill.stages.storage import ObjectStore

LOOKED_AT = 5_000
"""Objects under a prefix that are looked at before it is said to hold no logs."""
GAP_WORTH_TELLING = timedelta(hours=12)
"""A shorter gap is a night without traffic."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The hours of a window that have log objects.

    :param hours: hours of the window.
    :param logged: how many of them have a log object.
    :param gap: start and end of the longest run of hours without one, as ISO 8601 UTC; empty when there is none.
    """

    hours: int
    logged: int
    gap: tuple[str, str] | None = None
    gap_hours: int = 0

    @property
    def worth_telling(self) -> bool:
        """Say whether so much is missing that logging may have been off."""
        least = min(GAP_WORTH_TELLING, timedelta(hours=self.hours) / 2)
        return 0 < self.logged < self.hours and timedelta(hours=self.gap_hours) >= least

    def __str__(self) -> str:
        told = f"log objects lie in {self.logged} of the window's {self.hours} hours"
        if self.gap is None:
            return told
        return f"{told}; the longest gap is {self.gap_hours} hours, {self.gap[0]} to {self.gap[1]}"


def coverage(uris: Iterable[str], window: Window) -> Coverage | None:
    """Return the hours of the window that have log objects; None when the objects do not lie in folders by hour."""
    found = [hour_of(uri) for uri in uris]
    if not found or None in found:
        return None
    first = datetime.fromisoformat(window.start).replace(minute=0, second=0)
    end = datetime.fromisoformat(window.end)
    hours = max(1, -int((first - end) // timedelta(hours=1)))
    logged = {moment for moment in found if moment is not None and first <= moment < end}
    longest, begin, length = (0, 0), 0, 0
    for index in range(hours):
        if first + timedelta(hours=index) in logged:
            begin, length = index + 1, 0
        else:
            length += 1
            longest = max(longest, (length, -begin))
    if not longest[0]:
        return Coverage(hours, len(logged))
    start = first + timedelta(hours=-longest[1])
    told = tuple(f"{moment:%Y-%m-%dT%H:00:00Z}" for moment in (start, start + timedelta(hours=longest[0])))
    return Coverage(hours, len(logged), (told[0], told[1]), longest[0])


def _log_elsewhere(store: ObjectStore, logs: str) -> str | None:
    """Return a folder of the bucket that holds log objects, "" when that may not be asked, None when there is none."""
    bucket = f"s3://{logs.removeprefix('s3://').partition('/')[0]}/" if logs.startswith("s3://") else ""
    try:
        found = (item.uri for item in islice(store.iter_objects(bucket), LOOKED_AT) if bucket)
        uri = next((uri for uri in found if is_log_object(uri) and hour_of(uri) is not None), None)
    except DistillError:
        return ""
    return None if uri is None else uri.partition("/AWSLogs/")[0]


def require_logs(store: ObjectStore, logs: str) -> None:
    """Do nothing when a log object, of any time, or Bedrock's own permission check lies under the prefix.

    A prefix under which nothing was ever logged is an error, in an empty bucket too: a run that turned green over it would
    look like a quiet week for ever.

    :raises ConfigurationError: nothing of the sort is there: a wrong prefix, account folder or bucket.
    """
    others = 0
    for item in islice(store.iter_objects(logs.rstrip("/") + "/"), LOOKED_AT):
        if is_log_object(item.uri) or PERMISSION_CHECK in item.uri:
            return
        others += 1
    if is_an_object(store, logs):
        return
    place = _log_elsewhere(store, logs)
    what = f"{others} objects and no log object" if others else "nothing"
    seen = f" There are log objects under {place}." if place else ""
    raise ConfigurationError(
        f"logs: there is no log object under {logs}: {what} was found there, whatever the window.{seen}",
        hint="Compare it with s3Config in `aws bedrock get-model-invocation-logging-configuration`; logs lie below "
        "<prefix>/AWSLogs/<account>/BedrockModelInvocationLogs/<region>/.",
    )
