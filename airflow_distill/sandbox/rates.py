"""Tokens and requests of the last minute, by model: the runtime's token limit and a deployment's request limit.

Measured in real time, because clients pace themselves in real time.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping

from airflow_distill.sandbox.failures import throttled


class RateLimiter:
    """Sliding windows of one minute (model calls) and one second (control-plane calls)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], deque[tuple[float, int]]] = {}
        self._used: Counter[tuple[str, str]] = Counter()

    def model_call(
        self, quotas: Mapping[str, float], key: str, tokens: int, *, deployment_limit: int | None
    ) -> None:
        """Raise a throttling error when a model's tokens or a deployment's requests are used up.

        :param deployment_limit: requests a minute of a deployment when no quota is set; None for other hosts.
        """
        if not self._take("tokens", key, tokens, quotas["tokens-per-minute"], 60.0):
            raise throttled("Too many tokens, please wait before trying again.")
        if deployment_limit is None:
            return
        limit = quotas["deployment-requests-per-minute"] or deployment_limit
        if not self._take("requests", key, 1, limit, 60.0):
            raise throttled()

    def control_call(self, quotas: Mapping[str, float], operation: str) -> None:
        """Raise a throttling error when an operation is called too often."""
        if not self._take("control", operation, 1, quotas["control-calls-per-second"], 1.0):
            raise throttled("Rate exceeded")

    def _take(self, kind: str, key: str, amount: int, limit: float, seconds: float) -> bool:
        if not limit:
            return True
        now = time.monotonic()
        with self._lock:
            window = self._windows.setdefault((kind, key), deque())
            while window and now - window[0][0] >= seconds:
                self._used[(kind, key)] -= window.popleft()[1]
            if self._used[(kind, key)] + amount > limit:
                return False
            window.append((now, amount))
            self._used[(kind, key)] += amount
            return True

    def clear(self) -> None:
        with self._lock:
            self._windows.clear()
            self._used.clear()
