"""How fast to ask: a pace in tokens a second that finds the service's limit and then stays at it.

Takes the time, what a request costs and how it ended; hands on when the next request may leave. Reads no clock, sleeps
nowhere and keeps no lock: the caller passes `now` and serialises the calls.

The pace doubles every second until the service throttles. From then on every delivered request raises it a little and
every throttled one lowers it more, in such a proportion that it settles where about one request in thirty is throttled:
the limit is used up, and nobody else is pushed out of it. It never falls below what the last minute has delivered on
average, since that much is proven. Bedrock's quotas count by the minute, so after a burst there may be nothing more for
most of a minute; then one request at a time probes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from airflow_distill.remote.backoff import doubled

WINDOW = 60.0
"""Seconds over which delivered tokens are counted, as the service's quotas do."""

GAIN = 0.08
"""How strongly one answer of the service moves the pace."""

TARGET = 1 / 30
"""Share of throttled requests at which the pace rests."""

PROBE_PAUSE = 2.0
"""Longest pause between probes while nothing is delivered."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request at a time, at a cost; or, when `go` is false, the time at which to ask for leave again."""

    at: float
    cost: float
    go: bool = True


@dataclass(slots=True)
class Pacer:
    """Decides when the next request may leave.

    :param rate: the first pace in tokens a second.
    :param least: the pace never falls below this.
    :param most: the pace never rises above this, for users who want to leave quota to others.
    :param burst: seconds of unused pace that may be spent at once.
    """

    rate: float = 2000.0
    least: float = 1.0
    most: float = float("inf")
    burst: float = 0.5
    throttled_count: int = 0
    _free_at: float | None = None
    _probe_at: float = 0.0
    _began: float | None = None
    _rose_at: float = 0.0
    _searching: bool = True
    _streak: int = 0
    _delivered: deque[tuple[float, float]] = field(default_factory=deque)
    _sum: float = 0.0

    def reserve(self, now: float, cost: float) -> Ticket:
        """Book the next free moment for a request of about this many tokens."""
        if self._began is None:
            self._began = self._rose_at = now
            self._set(self.rate)
        if self._searching:
            self._set(self.rate * 2.0 ** min(1.0, now - self._rose_at))
            self._rose_at = now
        if self._streak:
            if now < self._probe_at:
                return Ticket(self._probe_at, 0.0, go=False)
            self._probe_at = now + self._pause()
        at = now if self._free_at is None else max(now, self._free_at)
        self._free_at = max(at - self.burst, self._free_at or at - self.burst) + cost / self.rate
        return Ticket(at, cost)

    def succeeded(self, now: float, ticket: Ticket, cost: float) -> None:
        """Count a delivered request at its real cost, correct the booking, go a little faster."""
        self._streak = 0
        self._delivered.append((now, cost))
        self._sum += cost
        self._correct((cost - ticket.cost) / self.rate)
        if not self._searching and self.rate < 2.0 * self.delivered_rate(now):
            self._set(self.rate * (1.0 + GAIN * TARGET))

    def throttled(self, now: float, ticket: Ticket) -> None:
        """Slow down; the next booking says when to try again."""
        self.throttled_count += 1
        self._streak += 1
        self._correct(-ticket.cost / self.rate)
        proven = self.delivered_rate(now, WINDOW)
        if self._searching:
            self._searching = False
            self._set(max(proven, min(self.rate * 0.5, self.delivered_rate(now) or self.rate)))
        else:
            self._set(max(proven, self.rate * (1.0 - GAIN * (1.0 - TARGET))))
        self._probe_at = max(self._probe_at, now + self._pause())

    def failed(self, now: float, ticket: Ticket) -> None:
        """Give back the booking of a request that cost nothing."""
        self._correct(-ticket.cost / self.rate)

    def delivered_rate(self, now: float, seconds: float = 1.0) -> float:
        """Return tokens a second delivered over the last minute, or since the start when that is less.

        :param seconds: the least time to divide by; a whole minute gives what is proven whatever the quota's shape.
        """
        while self._delivered and self._delivered[0][0] <= now - WINDOW:
            self._sum -= self._delivered.popleft()[1]
        elapsed = 0.0 if self._began is None else now - self._began
        return self._sum / min(WINDOW, max(seconds, elapsed))

    def _set(self, rate: float) -> None:
        self.rate = min(self.most, max(self.least, rate))

    def _correct(self, seconds: float) -> None:
        if self._free_at is not None:
            self._free_at += seconds

    def _pause(self) -> float:
        return doubled(0.1, min(self._streak, 8), PROBE_PAUSE)
