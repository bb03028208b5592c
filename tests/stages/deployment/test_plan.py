"""The plan is data: same address where possible, and always a way back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_distill.stages.deployment.plan import can_swap, describe, plan_release, render
from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    PROVISIONED,
    BakeSettings,
    DeploymentPlan,
    Host,
    HostKind,
    HostSpec,
    Live,
    ProbeSettings,
    Target,
)


def make_host(kind: HostKind = ON_DEMAND, **changes: Any) -> Host:
    given: dict[str, Any] = {
        "kind": kind,
        "arn": "arn:host",
        "name": "live",
        "model_arn": "arn:old",
        "desired_arn": "arn:old",
        "base_model": "micro",
        "status": "Active" if kind == ON_DEMAND else "InService",
        "units": 1 if kind == PROVISIONED else None,
        **changes,
    }
    return Host(**given)


def make_target(kind: HostKind = ON_DEMAND, base: str = "micro", **spec: Any) -> Target:
    return Target("arn:new", base, HostSpec(kind, "new-name", **spec))


def make_plan(target: Target, host: Host | None, live: bool = True) -> DeploymentPlan:
    kind = host.kind if host else ON_DEMAND
    return plan_release(
        workload="w",
        release=2,
        target=target,
        live=Live(1, Target("arn:old", "micro", HostSpec(kind, "live")), kind, "arn:host") if live else None,
        hosts=() if host is None else (host,),
        smoke=ProbeSettings(),
        bake=BakeSettings(),
        grace_hours=2.0,
    )


def kinds(steps: Any) -> list[str]:
    return [step.kind for step in steps]


def test_a_promotion_in_place_updates_the_host_and_goes_back_by_the_same_steps() -> None:
    plan = make_plan(make_target(), make_host())
    assert plan.in_place
    assert kinds(plan.steps) == [
        "update-host", "wait-for-host", "smoke-test", "publish-pointer", "bake", "write-release",
    ]  # fmt: skip
    assert kinds(plan.way_back) == ["update-host", "wait-for-host", "publish-pointer", "write-release"]
    assert {getattr(step, "host", "arn:host") for step in (*plan.steps, *plan.way_back)} == {"arn:host"}
    assert plan.way_back[0].model_arn == "arn:old"  # type: ignore[union-attr]
    assert plan.way_back[2].release == 1  # type: ignore[union-attr]


def test_nothing_is_told_to_callers_before_the_new_host_has_answered() -> None:
    for host, live in ((make_host(), True), (None, False), (make_host(base_model="lite"), True)):
        order = kinds(make_plan(make_target(), host, live).steps)
        assert order.index("smoke-test") < order.index("publish-pointer") < order.index("bake")


def test_a_new_host_leaves_the_old_one_until_the_ledger_is_written() -> None:
    plan = make_plan(make_target(base="lite"), make_host())
    assert not plan.in_place
    assert kinds(plan.steps)[-2:] == ["write-release", "retire"]
    assert kinds(plan.way_back) == ["publish-pointer", "delete-host", "write-release"]
    assert "base model changes" in plan.notes[0]


def test_a_first_release_goes_back_to_nothing() -> None:
    plan = make_plan(make_target(), None, live=False)
    assert kinds(plan.way_back) == ["remove-pointer", "delete-host", "write-release"]
    assert plan.previous is None


@pytest.mark.parametrize(
    ("host", "target", "obstacle"),
    [
        (make_host(), make_target(), ""),
        (make_host(PROVISIONED), make_target(PROVISIONED, units=1), ""),
        (make_host(PROVISIONED, commitment="OneMonth"), make_target(PROVISIONED, units=1), ""),
        (make_host(), make_target(PROVISIONED, units=1), "host changes"),
        (make_host(PROVISIONED), make_target(PROVISIONED, units=2), "model units change"),
        (make_host(PROVISIONED), make_target(PROVISIONED, units=1, commitment="OneMonth"), "term changes"),
        (make_host(PROVISIONED), make_target(PROVISIONED, base="lite", units=1), "base model changes"),
        (make_host(status="Failed"), make_target(), "has failed"),
    ],
)
def test_a_host_swaps_in_place_only_where_the_service_allows_it(
    host: Host, target: Target, obstacle: str
) -> None:
    said = can_swap(host, target)
    assert (obstacle in said) if obstacle else said == ""


@pytest.mark.parametrize(
    ("host", "state"),
    [
        (make_host(model_arn="arn:new", desired_arn="arn:new"), "ready"),
        (make_host(update_status="Updating", desired_arn="arn:new"), "settling"),
        (make_host(update_status="UpdateFailed", desired_arn="arn:new"), "failed"),
        (make_host(status="Creating", model_arn="arn:new", desired_arn="arn:new"), "settling"),
        (make_host(), "other-model"),
        (make_host(PROVISIONED, status="Updating", desired_arn="arn:new"), "settling"),
        (make_host(PROVISIONED, desired_arn="arn:new"), "settling"),
        (make_host(PROVISIONED, model_arn="arn:new", desired_arn="arn:new"), "ready"),
        (make_host(PROVISIONED, model_arn="arn:new", desired_arn="arn:third"), "other-model"),
        (make_host(PROVISIONED, status="Failed", desired_arn="arn:new"), "failed"),
    ],
)
def test_an_update_is_done_only_when_the_service_says_so(host: Host, state: str) -> None:
    assert host.state("arn:new") == state


def test_after_an_update_that_failed_the_old_model_is_still_ready() -> None:
    assert make_host(update_status="UpdateFailed", desired_arn="arn:new").state("arn:old") == "ready"


def test_a_plan_is_plain_data_and_prints_every_step() -> None:
    plan = make_plan(make_target(base="lite"), make_host())
    assert json.loads(json.dumps(plan.to_json()))["steps"][0]["kind"] == "create-host"
    text = render(plan)
    for step in (*plan.steps, *plan.way_back):
        assert describe(step) in text
    assert "way back" in text
