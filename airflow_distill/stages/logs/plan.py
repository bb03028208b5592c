"""A harvest cut into shards, written down once, so that every task of it reads exactly its own objects.

Standard library only. The plan lies in the bucket beside what the shards will keep; what goes through XCom is a small
ticket for each shard. Late objects that appear after the plan was made change nothing for its shards, and a shard that
is run again reads what it read before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_distill.errors import ConfigurationError, LogFormatError
from airflow_distill.stages.digest import record_of, sha256_hex
from airflow_distill.stages.logs.selection import Window
from airflow_distill.stages.logs.source import Shard
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

PLAN_KIND = "harvest-plan"
PLAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class HarvestPlan:
    """The shards of one window."""

    window: Window
    shards: tuple[Shard, ...]

    @property
    def digest(self) -> str:
        """What tells this plan from every other: the same objects, cut in the same way, have the same digest."""
        return sha256_hex(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the plan's file."""
        return json.dumps(self.to_json(), sort_keys=True).encode()

    def to_json(self) -> dict[str, Any]:
        return {
            "v": PLAN_VERSION,
            "kind": PLAN_KIND,
            "window": [self.window.start, self.window.end],
            "shards": [shard.to_json() for shard in self.shards],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HarvestPlan:
        return cls(Window.parse(*data["window"]), tuple(Shard.from_json(item) for item in data["shards"]))

    def tickets(self, uri: str) -> list[dict[str, Any]]:
        """Return what each shard's task needs: the plan's place and its own number."""
        return [{"plan": uri, "number": shard.number, "bytes": shard.size} for shard in self.shards]


def window_folder(root: str, workload: str, window: Window) -> str:
    """Return the folder of a window's plan and shard files."""
    return join_uri(root, workload, "windows", window.key)


def write_plan(store: ObjectStore, folder: str, plan: HarvestPlan) -> str:
    """Write a plan into the window's folder and return its URI."""
    uri = join_uri(folder, "plan.json")
    store.write(uri, plan.to_bytes())
    return uri


def read_plan(store: ObjectStore, uri: str) -> HarvestPlan:
    """Read a plan.

    :raises LogFormatError: it is not there or not a plan.
    """
    try:
        return record_of(store.read(uri), _plan_of)
    except ObjectMissingError:
        raise LogFormatError(
            f"logs: the plan {uri} is not there.", hint="Run the planning task again."
        ) from None
    except ValueError:
        raise LogFormatError(
            f"logs: {uri} is not a harvest plan.", hint="Run the planning task again."
        ) from None


def _plan_of(data: dict[str, Any]) -> HarvestPlan:
    if data["kind"] != PLAN_KIND or data["v"] != PLAN_VERSION:
        raise ValueError(PLAN_KIND)
    return HarvestPlan.from_json(data)


def shard_of(plan: HarvestPlan, ticket: Mapping[str, Any]) -> Shard:
    """Return the shard a ticket names.

    :raises ConfigurationError: the ticket is not one of this plan.
    """
    number = ticket.get("number")
    if not isinstance(number, int) or not 0 <= number < len(plan.shards):
        raise ConfigurationError(
            f"logs: the plan has {len(plan.shards)} shards and none numbered {number!r}.",
            hint="Clear the planning task together with the mapped tasks.",
        )
    return plan.shards[number]
