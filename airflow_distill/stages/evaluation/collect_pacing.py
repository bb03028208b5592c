"""How fast to ask: a pace in tokens a second that finds the service's limit and then stays just below it.

Takes the time, what a request costs and how it ended; hands on when the next request may leave. Reads no clock, sleeps
nowhere and keeps no lock: the caller passes `now` and serialises the calls.

The pace doubles every second until the service throttles. A throttling cuts it once (requests already in flight when it
was cut do not cut it again) to a little below what was really delivered; from there it returns along a cubic curve:
quickly at first, slowly near the limit, faster again if the limit has moved. Bedrock's quotas count by the minute, so after
a burst there may be nothing more for most of a minute. Then one request at a time probes, and the pace that follows is
what the last minute gave, spread evenly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW = 60.0
"""Seconds over which delivered tokens are counted, as the service's quotas do."""

CUT = 0.92
"""What a throttling leaves of the pace."""

REACH = 10.0
"""Seconds after a cut until the pace is back where it was too fast."""

DRY = 3
"""So many throttlings in a row, with nothing delivered between, mean that the minute's quota is used up."""

PROBE_PAUSE = 2.0
"""Longest pause between probes while nothing is delivered."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request: when, what it may cost, and under which epoch of the pace it left."""

    at: float
    cost: float
    epoch: int


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
    _epoch: int = 0
    _began: float | None = None
    _cut_at: float = 0.0
    _rose_at: float = 0.0
    _limit: float | None = None
    _streak: int = 0
    _delivered: deque[tuple[float, float]] = field(default_factory=deque)
    _sum: float = 0.0

    def reserve(self, now: float, cost: float) -> Ticket:
        """Book the next free moment for a request of about this many tokens."""
        if self._began is None:
            self._began = self._rose_at = now
            self.rate = min(self.rate, self.most)
        self._rise(now)
        earliest = now - self.burst
        free = earliest if self._free_at is None else max(self._free_at, earliest)
        at = max(now, free)
        if self._streak:
            at = max(at, self._probe_at)
            self._probe_at = at + self._pause()
        self._free_at = max(free, at - self.burst) + cost / self.rate
        return Ticket(at, cost, self._epoch)

    def succeeded(self, now: float, ticket: Ticket, cost: float) -> None:
        """Count a delivered request at its real cost, and correct the booking."""
        if self._streak:
            self._streak = 0
            self._cut_at = now
        self._delivered.append((now, cost))
        self._sum += cost
        self._expire(now)
        self._correct((cost - ticket.cost) / self.rate)

    def throttled(self, now: float, ticket: Ticket) -> float:
        """Slow down and return the earliest time at which the same request may be booked again."""
        self.throttled_count += 1
        self._correct(-ticket.cost / self.rate)
        if ticket.epoch == self._epoch:
            self._streak += 1
            self._cut(now)
        self._probe_at = max(self._probe_at, now + self._pause())
        return now + self._pause()

    def failed(self, now: float, ticket: Ticket) -> None:
        """Give back the booking of a request that cost nothing."""
        self._correct(-ticket.cost / self.rate)

    def delivered_rate(self, now: float, seconds: float = WINDOW) -> float:
        """Tokens a second delivered over the last minute, or since the start when that is less.

        :param seconds: the least time to divide by.
        """
        self._expire(now)
        elapsed = 0.0 if self._began is None else now - self._began
        return self._sum / min(WINDOW, max(seconds, elapsed))

    def _correct(self, seconds: float) -> None:
        if self._free_at is not None:
            self._free_at += seconds

    def _pause(self) -> float:
        return min(PROBE_PAUSE, 0.1 * 2.0**self._streak)

    def _cut(self, now: float) -> None:
        self._epoch += 1
        known = self.delivered_rate(now, WINDOW if self._streak >= DRY else 1.0)
        if self._streak < DRY or not known:
            known = max(known, self.rate * 0.5)
        self._limit = min(self.rate, known)
        self.rate = min(self.most, max(self.least, self._limit * CUT))
        self._cut_at = now

    def _rise(self, now: float) -> None:
        if self._limit is None:
            self.rate = min(self.most, self.rate * 2.0 ** min(1.0, now - self._rose_at))
        elif not self._streak:
            back = (now - self._cut_at - REACH) / REACH
            self.rate = min(self.most, max(self.least, self._limit * (1.0 + (1.0 - CUT) * back**3)))
        self._rose_at = now

    def _expire(self, now: float) -> None:
        while self._delivered and self._delivered[0][0] <= now - WINDOW:
            self._sum -= self._delivered.popleft()[1]
