"""What all this would have cost: a running bill by the sandbox's own price table (`data/prices.json`).

Usage is added as it happens; hours and months are added when the clock is read. The bill never runs backwards, even
when the clock does.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any


@dataclass(slots=True)
class Line:
    """One position of the bill."""

    quantity: float = 0.0
    amount: float = 0.0


class Prices:
    """The price table: by service and model family, with a `*` that stands for all others."""

    def __init__(self, table: dict[str, Any] | None = None) -> None:
        if table is None:
            table = json.loads(files("airflow_distill.sandbox").joinpath("data/prices.json").read_text())
        self.table: dict[str, Any] = table
        self.currency = str(table.get("currency", "USD"))

    def price(self, service: str, model_id: str) -> float:
        """Price of one unit; the longest matching beginning of the model id wins."""
        prices: dict[str, float] = self.table["prices"][service]["per_unit"]
        fitting = [key for key in prices if key != "*" and model_id.startswith(key)]
        return float(prices[max(fitting, key=len)] if fitting else prices.get("*", 0.0))

    def unit(self, service: str) -> str:
        return str(self.table["prices"][service]["unit"])

    def size(self, service: str) -> float:
        return float(self.table["prices"][service].get("unit_size", 1))


class Meter:
    """Usage, money and how often each operation was called."""

    def __init__(self, prices: Prices | None = None) -> None:
        self.prices = prices or Prices()
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, str, str], Line] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._hosts: dict[str, tuple[str, str, str, float, datetime]] = {}

    def use(self, service: str, model_id: str, quantity: float, purpose: str = "") -> None:
        """Add usage in natural units (tokens, hours)."""
        if quantity <= 0:
            return
        with self._lock:
            self._add(service, model_id, quantity, purpose)

    def _add(self, service: str, model_id: str, quantity: float, purpose: str) -> None:
        line = self._lines.setdefault((service, model_id, purpose), Line())
        line.quantity += quantity
        line.amount += quantity / self.prices.size(service) * self.prices.price(service, model_id)

    def start(
        self, key: str, service: str, model_id: str, units: float, now: datetime, purpose: str = ""
    ) -> None:
        """From now on something costs money by the hour."""
        with self._lock:
            self._hosts[key] = (service, model_id, purpose, units, now)

    def stop(self, key: str, now: datetime) -> None:
        """It no longer does."""
        with self._lock:
            self._accrue(now)
            self._hosts.pop(key, None)

    def _accrue(self, now: datetime) -> None:
        for key, (service, model_id, purpose, units, since) in list(self._hosts.items()):
            hours = (now - since).total_seconds() / 3600.0
            if hours > 0:
                self._add(service, model_id, hours * units, purpose)
                self._hosts[key] = (service, model_id, purpose, units, now)

    def count(self, operation: str, outcome: str) -> None:
        """Note one call: `ok`, the error code, or `replayed`: an earlier call with this token made what it answers."""
        with self._lock:
            self._calls[(operation, outcome)] += 1

    def read(self, now: datetime) -> dict[str, Any]:
        """The bill so far."""
        with self._lock:
            self._accrue(now)
            lines = [
                {
                    "service": service,
                    "model": model_id,
                    "purpose": purpose,
                    "quantity": round(line.quantity, 6),
                    "unit": self.prices.unit(service),
                    "amount": round(line.amount, 8),
                }
                for (service, model_id, purpose), line in sorted(self._lines.items())
            ]
            calls: dict[str, dict[str, int]] = {}
            for (operation, outcome), count in sorted(self._calls.items()):
                calls.setdefault(operation, {})[outcome] = count
            return {
                "currency": self.prices.currency,
                "total": round(sum(line.amount for line in self._lines.values()), 8),
                "lines": lines,
                "calls": calls,
                "billing_now": sorted(self._hosts),
            }

    def reset(self) -> None:
        with self._lock:
            self._lines.clear()
            self._calls.clear()
            self._hosts.clear()

    def dump(self) -> dict[str, Any]:
        with self._lock:
            return {"lines": dict(self._lines), "calls": Counter(self._calls), "hosts": dict(self._hosts)}

    def load(self, saved: dict[str, Any]) -> None:
        with self._lock:
            self._lines, self._calls, self._hosts = saved["lines"], saved["calls"], saved["hosts"]
