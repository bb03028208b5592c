"""What a task of the loop is, as plain data: the operator by its path, its arguments, what it takes and what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Output:
    """Stands for the receipt that another task returns, by what it is: `harvest`, `dataset`, `job`, `host`, ...

    With `key`, for one value that the task pushed beside its receipt.
    """

    what: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """An asset that a task updates when it succeeds."""

    name: str
    uri: str


def asset_of(kind: str, workload: str) -> AssetSpec:
    """Return the asset of one kind (`fresh-logs`, `dataset`, `release`) of a workload: `distill://KIND/WORKLOAD`."""
    return AssetSpec(f"distill_{kind.replace('-', '_')}_{workload}", f"distill://{kind}/{workload}")


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task.

    `makes` names the receipt it returns, `after` receipts whose tasks it waits for without taking them, `mapped` the
    arguments it is mapped over, `removes` the receipt whose creation it undoes as a teardown, `updates` the asset that
    tells other Dags of its success.
    """

    task_id: str
    operator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    makes: str = ""
    after: tuple[str, ...] = ()
    mapped: Mapping[str, Any] = field(default_factory=dict)
    removes: str = ""
    updates: AssetSpec | None = None


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """The tasks of one stage, and the receipts it takes from outside."""

    stage: str
    tasks: tuple[TaskSpec, ...]

    @property
    def takes(self) -> tuple[str, ...]:
        """Receipts that no task of the group makes."""
        made = {task.makes for task in self.tasks}
        wanted = [
            name
            for task in self.tasks
            for name in (*outputs_in((task.arguments, task.mapped)), *task.after, task.removes)
            if name
        ]
        return tuple(dict.fromkeys(name for name in wanted if name not in made))


def outputs_in(value: Any) -> list[str]:
    """Return the receipts that arguments refer to, at any depth."""
    if isinstance(value, Output):
        return [value.what]
    if isinstance(value, Mapping):
        return [name for inner in value.values() for name in outputs_in(inner)]
    if isinstance(value, list | tuple):
        return [name for inner in value for name in outputs_in(inner)]
    return []
