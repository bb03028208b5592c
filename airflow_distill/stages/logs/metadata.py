"""Request-metadata filters with the service's own meaning and its own limits.

Standard library only. A filter is exactly one of `equals`, `notEquals`, `andAll`, `orAll`, as in the request of a
distillation job over invocation logs, so the harvest and the service select the same records. `andAll` and `orAll` hold 1
to 16 base filters and cannot be nested; a base filter holds `equals`, `notEquals` or both, and both must hold then.

The service does not say whether `notEquals` matches a record that lacks the key. Here it does not: a record without the
key was never said to belong to the workload, and a smaller, surer set is the safe side. Comparison is case-sensitive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_distill.errors import ConfigurationError

_KEY = re.compile(r"[a-zA-Z0-9\s._:/=+$@-]{1,256}")
_VALUE = re.compile(r"[a-zA-Z0-9\s._:/=+$@-]{0,256}")
MAX_BASE_FILTERS = 16


@dataclass(frozen=True, slots=True)
class Condition:
    """One key compared with one value."""

    key: str
    value: str
    negated: bool = False

    def matches(self, metadata: Mapping[str, str]) -> bool:
        found = metadata.get(self.key)
        if found is None:
            return False
        return (found == self.value) is not self.negated


@dataclass(frozen=True, slots=True)
class BaseFilter:
    """One to two conditions, all of which must hold: the service's `equals` and `notEquals` members."""

    conditions: tuple[Condition, ...]

    def matches(self, metadata: Mapping[str, str]) -> bool:
        return all(condition.matches(metadata) for condition in self.conditions)

    def to_json(self) -> dict[str, dict[str, str]]:
        return {("notEquals" if c.negated else "equals"): {c.key: c.value} for c in self.conditions}


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """A whole filter: base filters joined by one operator.

    `operator` is "" for a single condition, or `andAll` or `orAll`.
    """

    operator: str
    filters: tuple[BaseFilter, ...]

    def matches(self, metadata: Mapping[str, str]) -> bool:
        """Say whether a record with this request metadata is selected; no metadata is an empty mapping."""
        if self.operator == "orAll":
            return any(base.matches(metadata) for base in self.filters)
        return all(base.matches(metadata) for base in self.filters)

    def matcher(self) -> Callable[[Mapping[str, str]], bool]:
        """Return what says the same as `matches`, made ready for many records."""
        if self.operator == "orAll":
            return self.matches
        conditions = [(c.key, c.value, c.negated) for base in self.filters for c in base.conditions]

        def matches(metadata: Mapping[str, str]) -> bool:
            for key, value, negated in conditions:
                found = metadata.get(key)
                if found is None or (found == value) is negated:
                    return False
            return True

        return matches

    def to_json(self) -> dict[str, Any]:
        """Return the filter in the service's own shape."""
        if self.operator:
            return {self.operator: [base.to_json() for base in self.filters]}
        return dict(self.filters[0].to_json())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MetadataFilter:
        """Read the service's shape, checking what the service checks.

        :raises ConfigurationError: the filter would be refused by the service.
        """
        if not isinstance(data, Mapping) or len(data) != 1:
            raise _wrong("needs exactly one of equals, notEquals, andAll, orAll")
        ((member, value),) = data.items()
        if member in ("equals", "notEquals"):
            return cls("", (_base({member: value}),))
        if member not in ("andAll", "orAll"):
            raise _wrong(f"has no member {member!r}")
        if (
            not isinstance(value, Sequence)
            or isinstance(value, str)
            or not 1 <= len(value) <= MAX_BASE_FILTERS
        ):
            raise _wrong(f"{member} takes a list of 1 to {MAX_BASE_FILTERS} base filters")
        return cls(member, tuple(_base(item) for item in value))

    @classmethod
    def equals(cls, key: str, value: str) -> MetadataFilter:
        return cls.from_json({"equals": {key: value}})

    @classmethod
    def not_equals(cls, key: str, value: str) -> MetadataFilter:
        return cls.from_json({"notEquals": {key: value}})

    @classmethod
    def all_of(cls, *parts: MetadataFilter) -> MetadataFilter:
        """Join single-condition filters with `andAll`."""
        return cls.from_json({"andAll": [part.to_json() for part in parts]})

    @classmethod
    def any_of(cls, *parts: MetadataFilter) -> MetadataFilter:
        """Join single-condition filters with `orAll`."""
        return cls.from_json({"orAll": [part.to_json() for part in parts]})

    @classmethod
    def from_pairs(cls, pairs: Mapping[str, str]) -> MetadataFilter:
        """Return the filter that asks for every pair: `equals` for one, `andAll` for several."""
        parts = [cls.equals(key, value) for key, value in sorted(pairs.items())]
        if not parts:
            raise _wrong("needs at least one key=value pair")
        return parts[0] if len(parts) == 1 else cls.all_of(*parts)


def _base(data: Any) -> BaseFilter:
    if not isinstance(data, Mapping) or not data or not set(data) <= {"equals", "notEquals"}:
        raise _wrong("a base filter holds equals, notEquals or both, and nothing else")
    return BaseFilter(
        tuple(_condition(data[member], member) for member in ("equals", "notEquals") if member in data)
    )


def _condition(data: Any, member: str) -> Condition:
    if not isinstance(data, Mapping) or len(data) != 1:
        raise _wrong(f"{member} takes exactly one key and value; join several with andAll")
    ((key, value),) = data.items()
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise _wrong(f"{member} has a key outside 1 to 256 of letters, digits, white space and ._:/=+$@-")
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise _wrong(f"{member} has a value outside 0 to 256 of letters, digits, white space and ._:/=+$@-")
    return Condition(key, value, negated=member == "notEquals")


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"logs: the request-metadata filter {what}.",
        hint="Write it as the API does, for example {'equals': {'app': 'support'}}; see docs/guides/logs.md.",
    )
