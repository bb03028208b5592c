"""What the account owns: resources by Region, names that were ever taken, request tokens, tags and settings.

Plain data only, so that the whole store can be written to a folder and read again. No operation logic is here.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_distill.sandbox.lifecycle import Life

ACCOUNT = "123456789012"

JOB = "customization-job"
MODEL = "custom-model"
THROUGHPUT = "provisioned-throughput"
DEPLOYMENT = "custom-model-deployment"
EVALUATION = "evaluation-job"
BATCH = "batch-job"
COPY = "model-copy-job"
PROFILE = "inference-profile"
"""An application inference profile; it has no states, so no pace."""
KINDS = (JOB, MODEL, THROUGHPUT, DEPLOYMENT, EVALUATION, BATCH, COPY)


@dataclass(slots=True)
class Resource:
    """One thing with an ARN. `record` is in the API's own spelling; `hidden` is what the service knows and keeps."""

    kind: str
    arn: str
    name: str
    region: str
    created: datetime
    serial: int
    life: Life
    record: dict[str, Any]
    hidden: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Replay:
    """What a client request token was first used for."""

    digest: str
    arn: str


@dataclass(slots=True)
class RegionState:
    """One Region of the account."""

    resources: dict[str, Resource] = field(default_factory=dict)
    taken_names: dict[str, set[str]] = field(default_factory=dict)
    replays: dict[tuple[str, str], Replay] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    logging_config: dict[str, Any] | None = None

    def of_kind(self, kind: str) -> list[Resource]:
        """All resources of one kind, oldest first."""
        return [resource for resource in self.resources.values() if resource.kind == kind]

    def find(self, kind: str, identifier: str) -> Resource | None:
        """A resource by ARN or by name."""
        found = self.resources.get(identifier)
        if found is not None:
            return found if found.kind == kind else None
        return next((r for r in self.resources.values() if r.kind == kind and r.name == identifier), None)

    def add(self, resource: Resource) -> None:
        self.resources[resource.arn] = resource
        self.taken_names.setdefault(resource.kind, set()).add(resource.name)

    def remove(self, resource: Resource) -> None:
        """Forget a resource and its tags. The name stays in `taken_names`, which tells what was ever used."""
        self.resources.pop(resource.arn, None)
        self.tags.pop(resource.arn, None)
        self.policies.pop(resource.arn, None)


class Store:
    """All Regions, behind one lock that every operation holds while it runs."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.regions: dict[str, RegionState] = {}
        self.serial = 0
        self.changes = 0

    def region(self, name: str) -> RegionState:
        state = self.regions.get(name)
        if state is None:
            state = self.regions[name] = RegionState()
        return state

    def each(self) -> Iterator[tuple[str, RegionState]]:
        yield from list(self.regions.items())

    def next_serial(self) -> int:
        self.serial += 1
        return self.serial

    def new_id(self, *parts: str) -> str:
        """Twelve characters of `[a-z0-9]`, the same in every run that makes the same calls."""
        seed = "\x1f".join((str(self.next_serial()), *parts))
        return hashlib.sha256(seed.encode()).hexdigest()[:12]

    def clear(self) -> None:
        self.regions.clear()
        self.serial = 0
        self.changes += 1

    def dump(self) -> dict[str, Any]:
        return {"version": 1, "regions": self.regions, "serial": self.serial}

    def load(self, saved: dict[str, Any]) -> None:
        self.regions = saved["regions"]
        self.serial = saved["serial"]
