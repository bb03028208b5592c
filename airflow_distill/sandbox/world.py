"""Everything one sandbox consists of, in one place that operations are given: clock, store, meter, faults, models.

A `World` knows no HTTP and no operation by name. Heavy work (reading training data, fitting a student) runs in its
own threads; an operation that needs a result that is not there yet raises `StillWorking`, and is run again when it is.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_distill.sandbox.brains import Brain, Teacher, Untaught
from airflow_distill.sandbox.catalogue import Catalogue, packaged_catalogue
from airflow_distill.sandbox.clock import Clock
from airflow_distill.sandbox.failures import SandboxUsageError
from airflow_distill.sandbox.faults import LIFE_FAULTS, Faults
from airflow_distill.sandbox.invocation_logs import Logbook, LogSettings
from airflow_distill.sandbox.judge import Judge, WithJudge
from airflow_distill.sandbox.lifecycle import Life, Pace
from airflow_distill.sandbox.meter import Meter
from airflow_distill.sandbox.metrics import Metrics
from airflow_distill.sandbox.neighbours import Neighbours
from airflow_distill.sandbox.rates import RateLimiter
from airflow_distill.sandbox.store import KINDS, MODEL, RegionState, Resource, Store

DEFAULT_QUOTAS: Mapping[str, float] = {
    "customization-jobs-in-progress": 10,
    "custom-model-deployments": 10,
    "custom-model-deployments-creating": 2,
    # Without commitment there are two quotas, and an account begins with 0 of both; see GRANTED_UNITS.
    "model-units-no-commitment": 0,
    "model-units-no-commitment-per-model": 0,
    "model-units-with-commitment": 0,
    "custom-models": 100,
    "tags-per-resource": 50,
    "evaluation-prompts": 1000,
    "evaluation-metrics": 3,
    "evaluation-prompt-bytes": 4096,
    "batch-minimum-records": 100,
    "minimum-records": 100,
    "maximum-records": 15_000,
    "distillation-line-bytes": 16_384,
    # Tokens a minute of one model; 0 means no limit.
    "tokens-per-minute": 0,
    # Requests a minute of one deployment; 0 takes what the service documents for its base model.
    "deployment-requests-per-minute": 0,
    # Control-plane calls a second of one operation; 0 means no limit.
    "control-calls-per-second": 0,
}

GRANTED_UNITS: Mapping[str, float] = {
    "model-units-no-commitment": 10,
    "model-units-no-commitment-per-model": 10,
}
"""Quotas of an account that was granted units without commitment: `Sandbox(quotas=GRANTED_UNITS)`."""


UNEXPECTED = "Encountered an unexpected error when processing the request, please try again"


class StillWorking(Exception):
    """An operation needs a result that is still being made."""

    def __init__(self, future: Future[Any]) -> None:
        super().__init__("the result is still being made")
        self.future = future


@dataclass(slots=True)
class Call:
    """One request to one operation.

    `replayed` is set when its token had already made what the answer names.
    """

    operation: str
    service: str
    region: str
    caller: str
    request_id: str
    parameters: dict[str, Any]
    body: bytes = b""
    replayed: bool = False

    def get(self, name: str, default: Any = None) -> Any:
        return self.parameters.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    def digest(self) -> str:
        """A fingerprint of what was asked, without the token."""
        rest = {k: v for k, v in sorted(self.parameters.items()) if k != "clientRequestToken"}
        return hashlib.sha256(repr(rest).encode()).hexdigest()


@dataclass(slots=True)
class Options:
    """Choices where the service leaves one, or where nobody knows.

    :param read_lag_seconds: for so long after a create, Get and List do not show what was made.
    :param unknown_name: what Get answers for a name that nothing has: `not-found` or `validation`.
    :param failed_throughput: after an update that failed, another one is `updatable`, or what failed is `final`.
    :param long_lines: a distillation line above the quota: `fail` the job, or `drop` the line.
    """

    check_permissions: bool = True
    repeated_token: str = "ignore"
    read_offloaded_bodies: bool = False
    streams_logged_as: str = "dict"
    read_lag_seconds: float = 0.0
    unknown_name: str = "not-found"
    long_lines: str = "fail"
    failed_throughput: str = "updatable"

    def change(self, name: str, value: Any) -> None:
        """Set one choice by name."""
        allowed: Mapping[str, tuple[Any, ...]] = {
            "check_permissions": (True, False),
            "repeated_token": ("ignore", "conflict"),
            "read_offloaded_bodies": (True, False),
            "streams_logged_as": ("dict", "list"),
            "unknown_name": ("not-found", "validation"),
            "long_lines": ("fail", "drop"),
            "failed_throughput": ("updatable", "final"),
        }
        if name == "read_lag_seconds":
            value = _seconds(name, value)
        elif name not in allowed or value not in allowed[name]:
            raise SandboxUsageError(f"no such option: {name}={value!r}")
        setattr(self, name, value)


def _seconds(name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds <= 600:
        raise SandboxUsageError(f"{name} is a number of seconds from 0 to 600, not {value!r}")
    return seconds


Advance = Callable[["World", RegionState, Resource, datetime, int], None]


class World:
    """One account of one sandbox."""

    def __init__(self, pace: Pace | str = "instant", catalogue: Catalogue | None = None) -> None:
        self.catalogue = catalogue or packaged_catalogue()
        self.clock = Clock()
        self.store = Store()
        self.meter = Meter()
        self.metrics = Metrics()
        self.faults = Faults()
        self.neighbours = Neighbours()
        self.options = Options()
        self.quotas: dict[str, float] = dict(DEFAULT_QUOTAS)
        self.logbook = Logbook(self.neighbours, LogSettings())
        self.teacher = Teacher()
        self.untaught = Untaught()
        self.judge = Judge(self.teacher)
        self.teacher_or_judge = WithJudge(self.judge, self.teacher)
        self.judge_or_untaught = WithJudge(self.judge, self.untaught)
        self.rates = RateLimiter()
        self.students: dict[str, Brain] = {}
        self.default_pace = Pace.parse(pace)
        self.paces: dict[str, Pace] = {}
        self.advancers: dict[str, Advance] = {}
        self._works: dict[str, Future[Any]] = {}
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="sandbox-work")
        self._start_pace = self.default_pace
        self._start_pairs: list[Any] | None = None

    # --- settings ---

    def set_pace(self, pace: Pace | str, kind: str | None = None) -> None:
        """Change how fast new resources move: all of them, or one kind."""
        parsed = Pace.parse(pace)
        if kind is None:
            self.default_pace = parsed
            self.paces.clear()
        elif kind in KINDS:
            self.paces[kind] = parsed
        else:
            raise SandboxUsageError(f"no such kind: {kind!r}; there are: {', '.join(KINDS)}")

    def set_quota(self, name: str, value: float) -> None:
        if name not in self.quotas or not isinstance(value, (int, float)) or value < 0:
            raise SandboxUsageError(f"no such quota: {name}={value!r}; there are: {', '.join(self.quotas)}")
        self.quotas[name] = value

    def teach(self, pairs: list[Any] | None, *, at_start: bool = False) -> int:
        """Give the teacher its traffic; what it is given at the start survives a reset."""
        if at_start:
            self._start_pairs = pairs
        return self.teacher.teach(pairs)

    def reset(self) -> None:
        """Forget everything but how the sandbox was started."""
        with self.store.lock:
            self.store.clear()
            self.meter.reset()
            self.metrics.reset()
            self.faults.clear()
            self.rates.clear()
            self.judge.reset()
            self.clock.reset()
            self.logbook.reset()
            self.logbook.settings = LogSettings(delay_seconds=self.logbook.settings.delay_seconds)
            self.students.clear()
            self._works.clear()
            self.options = Options()
            self.quotas = dict(DEFAULT_QUOTAS)
            self.default_pace = self._start_pace
            self.paces.clear()
            if self.teacher.pairs is not self._start_pairs:
                self.teacher.teach(self._start_pairs)
            self.neighbours.clear()

    # --- lives ---

    def new_life(self, kind: str, operation: str, name: str) -> Life:
        """A life at the pace of its kind, with the faults planned for it."""
        life = Life(self.paces.get(kind, self.default_pace), self.clock.now())
        fault = self.faults.strike(operation, name, LIFE_FAULTS)
        if fault is not None:
            if fault.kind == "stuck":
                life.stuck = True
            else:
                life.broken = fault.message or UNEXPECTED
        return life

    def ending_life(self, kind: str) -> Life:
        """A short life: stopping, deleting."""
        pace = self.paces.get(kind, self.default_pace)
        if pace.kind == "reads":
            pace = Pace("reads", min(pace.amount, 1))
        elif pace.kind == "seconds":
            pace = Pace("seconds", min(pace.amount / 10, 60))
        return Life(pace, self.clock.now())

    def is_visible(self, resource: Resource) -> bool:
        """Whether reads show a resource yet; a model comes from a job and is there when the job is done."""
        lag = self.options.read_lag_seconds
        if not lag or resource.kind == MODEL:
            return True
        return (self.clock.now() - resource.created).total_seconds() >= lag

    def observe(self, state: RegionState, resource: Resource) -> None:
        """Let a resource move on because somebody looks at it."""
        self.advancers[resource.kind](self, state, resource, self.clock.now(), 1)
        resource.life.reads += 1

    def observe_all(self, state: RegionState, kind: str) -> None:
        """The same for all of one kind; nothing is counted unless all can move."""
        now = self.clock.now()
        found = state.of_kind(kind)
        for resource in found:
            self.advancers[kind](self, state, resource, now, 1)
        for resource in found:
            resource.life.reads += 1

    def tick(self) -> None:
        """Let time work on everything that follows the clock."""
        with self.store.lock:
            now = self.clock.now()
            for _, state in self.store.each():
                for resource in list(state.resources.values()):
                    if resource.life.pace.kind != "seconds":
                        continue
                    try:
                        self.advancers[resource.kind](self, state, resource, now, 0)
                    except StillWorking:
                        continue

    # --- work ---

    def start_work(self, key: str, work: Callable[[], Any], outcome: Callable[..., Any]) -> None:
        """Run work in the background; a fault of the sandbox itself becomes a failed outcome, never a hanging job."""

        def guarded() -> Any:
            try:
                return work()
            except Exception:
                traceback.print_exc(file=sys.stderr)
                return outcome(failure=UNEXPECTED)

        self._works[key] = self._pool.submit(guarded)

    def result(self, key: str) -> Any:
        """The result of a piece of work, or `StillWorking`."""
        future = self._works[key]
        if not future.done():
            raise StillWorking(future)
        return future.result()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
