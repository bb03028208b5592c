"""Which records are asked for: model, operation, time window, request metadata, and two fallbacks for untagged traffic.

Standard library only; reads no clock. The checks run from the cheapest to the dearest, and the first that fails names the
reason. The fallbacks are the caller's ARN (a shell-style pattern) and the fingerprint of the system prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.remote.times import iso
from airflow_distill.stages.digest import canonical_text, digest
from airflow_distill.stages.logs.metadata import MetadataFilter
from airflow_distill.stages.logs.models import resolve_model
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.model_table import is_application_profile

OPERATIONS = frozenset(
    {
        "Converse",
        "ConverseStream",
        "InvokeModel",
        "InvokeModelWithResponseStream",
        "Responses",
        "ChatCompletions",
    }
)


_EXACT = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ", re.ASCII
).fullmatch


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span of record time, UTC, as ISO text that compares in time order."""

    start: str
    end: str

    @classmethod
    def parse(cls, start: str | datetime, end: str | datetime) -> Window:
        """Build a window from ISO text or datetimes; a time without a zone is UTC; fractions are dropped.

        :raises ConfigurationError: a bound is unreadable or the window is empty.
        """
        first, last = _bound(start), _bound(end)
        if first >= last:
            raise ConfigurationError(
                f"logs: the window {first} to {last} is empty.", hint="The start must be before the end."
            )
        return cls(first, last)

    @property
    def key(self) -> str:
        """The window as a key segment: `20261116T000000Z_20261123T000000Z`."""
        return f"{self.start}_{self.end}".replace("-", "").replace(":", "")

    def contains(self, timestamp: str) -> bool:
        """Say whether a normalised time (see `normal_time`) lies inside."""
        return self.start <= timestamp < self.end

    def hours(self, overlap: timedelta) -> tuple[datetime, datetime]:
        """Return the first and last hour (inclusive) whose folders can hold records of the window.

        A record is never stored before it happened; it may be stored late, hence the overlap after the end.
        """
        start = _to_datetime(self.start).replace(minute=0, second=0)
        last = _to_datetime(self.end) + overlap - timedelta(seconds=1)
        return start, last.replace(minute=0, second=0)


def normal_time(timestamp: str) -> str:
    """Return a time as ISO text to the second, ending in Z, that compares in time order; "" when unreadable."""
    if _EXACT(timestamp):
        return timestamp
    try:
        return iso(_to_datetime(timestamp))
    except (ValueError, OverflowError):
        return ""


def _to_datetime(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _bound(value: str | datetime) -> str:
    try:
        moment = _to_datetime(value.isoformat() if isinstance(value, datetime) else str(value))
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"logs: {value!r} is not a time.", hint="Write it as 2026-11-23T00:00:00Z."
        ) from None
    return iso(moment)


def system_fingerprint(system: str | None) -> str:
    """Return the fingerprint of a system prompt (32 hex digits); no system prompt has one too."""
    return digest(["system", canonical_text(system or "")], 32)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to keep. Empty fields ask for nothing.

    `model` is a base id (or anything `resolve_model` understands); `mapping` names the model behind opaque ARNs;
    `identity` is a pattern with `*` and `?` over the caller's ARN; `system_digest` is a `system_fingerprint`. `lookup` is
    asked for the model id behind an application profile that `mapping` does not name, once for each; "" when it does not
    know. It is how to ask, not what is asked for, so it counts for nothing when selections are compared.
    """

    model: str = ""
    window: Window | None = None
    metadata: MetadataFilter | None = None
    operations: tuple[str, ...] = ()
    identity: str = ""
    system_digest: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    lookup: Callable[[str], str] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        unknown = set(self.operations) - OPERATIONS
        if unknown:
            raise ConfigurationError(
                f"logs: unknown operation {sorted(unknown)[0]!r}.",
                hint=f"Choose among {', '.join(sorted(OPERATIONS))}.",
            )

    @property
    def base_model(self) -> str:
        """The selected model's base id; "" when any model will do."""
        return resolve_model(self.model, self.mapping) or self.model

    def to_json(self) -> dict[str, Any]:
        """Return what was asked for as plain data, for manifests and receipts."""
        return {
            "model": self.base_model,
            "window": [self.window.start, self.window.end] if self.window else None,
            "metadata": self.metadata.to_json() if self.metadata else None,
            "operations": list(self.operations),
            "identity": self.identity,
            "system_digest": self.system_digest,
            "mapping": dict(sorted(self.mapping.items())),
        }


def _why_another(model: str) -> SkipReason:
    """Return why a model is not the selected one; of a profile or a managed prompt nobody said which one it is."""
    if is_application_profile(model):
        return SkipReason.UNRESOLVED_PROFILE
    return SkipReason.PROMPT_ELSEWHERE if ":prompt/" in model else SkipReason.OTHER_MODEL


OWN_MARK = "airflow-distill"
"""Key of the request metadata of our own calls; they are nobody's traffic."""


class Selector:
    """A selection made ready for many records: resolves each distinct model id once."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._model = selection.base_model
        self._window = selection.window
        self._matches = selection.metadata.matcher() if selection.metadata is not None else None
        self._operations = frozenset(selection.operations)
        self._identity = selection.identity
        self._system = selection.system_digest
        self._resolved: dict[str, str] = {}
        self._times: dict[str, str] = {}
        self.takes_all = not (
            self._model or self._window or selection.metadata or self._operations or self._identity
        )

    def resolve(self, model_id: str) -> str:
        """Return the base id of a record's model id, or the id itself when it is opaque."""
        found = self._resolved.get(model_id)
        if found is None:
            found = resolve_model(model_id, self.selection.mapping) or self._look_up(model_id) or model_id
            if len(self._resolved) < 10_000:
                self._resolved[model_id] = found
        return found

    def _look_up(self, model_id: str) -> str:
        lookup = self.selection.lookup
        return resolve_model(lookup(model_id)) if lookup and is_application_profile(model_id) else ""

    def time_of(self, timestamp: str) -> str:
        """Return `normal_time` of a record's time; many records share a second."""
        found = self._times.get(timestamp)
        if found is None:
            found = normal_time(timestamp)
            if len(self._times) < 100_000:
                self._times[timestamp] = found
        return found

    def reject_envelope(
        self, operation: str, model: str, timestamp: str, metadata: Mapping[str, str] | None, identity: str
    ) -> SkipReason | None:
        """Return why a record is not selected, judging by everything but its bodies; None when it is."""
        if self._model and model != self._model:
            return _why_another(model)
        if metadata and OWN_MARK in metadata:
            return SkipReason.OWN_CALL
        if self._operations and operation not in self._operations:
            return SkipReason.OTHER_OPERATION
        if self._window is not None and not (self._window.start <= timestamp < self._window.end):
            return SkipReason.OUTSIDE_WINDOW
        if self._matches is not None and not self._matches(metadata or {}):
            return SkipReason.OTHER_METADATA
        if self._identity and not fnmatchcase(identity, self._identity):
            return SkipReason.OTHER_CALLER
        return None

    def reject_system(self, system: str | None) -> SkipReason | None:
        """Return why a record's system prompt is not the selected one; None when it is, or none was asked for."""
        if self._system and system_fingerprint(system) != self._system:
            return SkipReason.OTHER_SYSTEM
        return None
