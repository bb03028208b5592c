"""How fast things move: at once, after so many reads, or after so many seconds of the sandbox's clock.

A `Life` belongs to one resource. It only says how far along the resource is, as a fraction; which state that fraction
means is decided by the operation that owns the resource. Faults hold or break a life here, nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_distill.sandbox.failures import SandboxUsageError


@dataclass(frozen=True, slots=True)
class Pace:
    """`instant`, `reads:N` or `seconds:S`."""

    kind: str = "instant"
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str | Pace) -> Pace:
        """Read the spelling used on the command line."""
        if isinstance(text, Pace):
            return text
        kind, _, amount = text.partition(":")
        if kind == "instant" and not amount:
            return cls()
        try:
            number = float(amount)
        except ValueError:
            number = -1.0
        if kind not in ("reads", "seconds") or not 0 <= number < 1e9:
            raise SandboxUsageError(f"a pace is 'instant', 'reads:N' or 'seconds:S', not {text!r}")
        return cls(kind, number)

    def __str__(self) -> str:
        return "instant" if self.kind == "instant" else f"{self.kind}:{self.amount:g}"


@dataclass(slots=True)
class Life:
    """One stretch of waiting of one resource, from `started` until it is done."""

    pace: Pace
    started: datetime
    reads: int = 0
    stuck: bool = False
    broken: str | None = None

    def fraction(self, now: datetime, extra_reads: int = 0) -> float:
        """How far along, from 0 to 1; never 1 while stuck."""
        if self.pace.kind == "instant":
            done = 1.0
        elif self.pace.kind == "reads":
            done = _share(max(self.reads + extra_reads - 1, 0), self.pace.amount)
        else:
            done = _share((now - self.started).total_seconds(), self.pace.amount)
        return min(done, 0.6) if self.stuck else done

    def moment(self, fraction: float, now: datetime) -> datetime:
        """When that fraction was reached; for paces that do not follow the clock, now."""
        if self.pace.kind != "seconds":
            return now
        return min(self.started + timedelta(seconds=self.pace.amount * fraction), max(now, self.started))


def _share(part: float, whole: float) -> float:
    return 1.0 if whole <= 0 else max(0.0, min(1.0, part / whole))
