"""A service that refuses one call, wherever that is: production stays proven, and the next try ends the release.

Credentials that expire, a permission taken away, a conflict, an answer that is lost: at each call of a release that changes
or costs something, on both kinds of host, for a first release and for a swap in place, for good students and bad ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from airflow_distill.aws.promotion import look_for_drift
from airflow_distill.errors import DistillError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.ledger import Ledger
from airflow_distill.stages.deployment.records import HostWish, Outcome
from tests.chaos.playing import serving
from tests.release_world import Knows, Life, Rambles, ReleaseWorld, wish_for_throughput

REFUSALS = {
    "expired": ("ExpiredTokenException", 403),
    "denied": ("AccessDeniedException", 403),
    "conflict": ("ConflictException", 409),
    "quota": ("ServiceQuotaExceededException", 400),
}
CREATES = ("CreateProvisionedModelThroughput", "CreateCustomModelDeployment")


@dataclass
class Refusing(Life):
    """Meets one refusal: before a call is sent, or instead of the answer of one that was carried out."""

    refusal: str = ""

    def step(self, name: str, when: str) -> None:
        self.points.append(f"{when} {name}")
        if len(self.points) != self.dies_at:
            return
        if when == "after":
            raise ConnectionClosedError(endpoint_url="https://bedrock.us-east-1.amazonaws.com")
        code, status = REFUSALS[self.refusal]
        told: Any = {
            "Error": {"Code": code, "Message": "x"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        raise ClientError(told, name)


@dataclass
class Tale:
    """What became of a release whose n-th call was refused, and of the next try."""

    first: Outcome | DistillError
    then: Outcome
    points: list[str]
    creates: int


def play(sandbox: Sandbox, kind: str, releases: int, brain: Any, refusal: str, number: int) -> Tale:
    sandbox.reset()
    world = ReleaseWorld(sandbox)
    wish = wish_for_throughput(world.now()) if kind == "provisioned-throughput" else HostWish(kind=kind)  # type: ignore[arg-type]
    for before in range(releases):
        world.promote(world.model(f"before-{before}"), wish=wish)
    bought = creates(sandbox)
    intent = world.intent(world.decision(world.model("mine", brain)), wish=wish)
    life = Refusing(number, refusal=refusal)
    world.gateways = world.new_gateways(life)
    first: Outcome | DistillError
    try:
        first = world.carry_out(intent)
    except DistillError as error:
        first = error
    world.gateways = world.new_gateways()
    proven_or_open(world)
    then = world.carry_out(intent)
    assert world.ledger.sound().open is None
    proven_or_open(world)
    return Tale(first, then, life.points, creates(sandbox) - bought)


def creates(sandbox: Sandbox) -> int:
    calls = sandbox.meter()["calls"]
    return sum(calls.get(name, {}).get("ok", 0) for name in CREATES)


def proven_or_open(world: ReleaseWorld) -> None:
    """Production agrees with its ledger, or a release is open and so told."""
    ledger = Ledger(world.store, world.root, world.workload)
    history = ledger.sound()
    _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())
    live = history.live()
    if history.open is not None:
        held = ledger.holder(history.open.release)
        assert held is not None or found, "an open release is held by somebody, or told"
        return
    assert found == ()
    if live is not None:
        assert serving(world)[world.pointer()["host_arn"]] == live.target.model_arn
    else:
        assert world.pointer() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusal", "kind", "releases", "brain"),
    [
        ("expired", "custom-model-deployment", 1, Knows()),
        ("denied", "provisioned-throughput", 0, Rambles()),
        ("conflict", "custom-model-deployment", 0, Knows()),
        ("quota", "provisioned-throughput", 1, Rambles()),
    ],
    ids=lambda value: value if isinstance(value, str | int) else type(value).__name__,
)
def test_a_refusal_at_each_kind_of_call_leaves_production_proven_and_the_next_try_ends_the_release(
    bedrock_sandbox: Sandbox, refusal: str, kind: str, releases: int, brain: Any
) -> None:
    undisturbed = play(bedrock_sandbox, kind, releases, brain, refusal, 0)
    assert isinstance(undisturbed.first, Outcome)
    wanted = undisturbed.first.outcome
    points = undisturbed.points
    for number in sorted({points.index(point) + 1 for point in points}):
        tale = play(bedrock_sandbox, kind, releases, brain, refusal, number)
        assert tale.then.outcome == wanted, points[number - 1]
        went_back = isinstance(tale.first, Outcome) and tale.first.cause == "failure"
        assert tale.creates <= undisturbed.creates * (2 if went_back else 1), points[number - 1]
