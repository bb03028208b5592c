"""A canary: callers move to a new host share by share, and are back on the old one in one step when it is not well."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_distill.aws.execute import Pausing, Progress, Waiting
from airflow_distill.aws.promotion import look_for_drift
from airflow_distill.aws.reap import survey_account
from airflow_distill.errors import ConfigurationError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import ReapRules
from airflow_distill.stages.deployment.records import CanarySettings, Pointer, ProbeSettings, Weighted
from airflow_distill.stages.deployment.settings import canary_settings
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.tasks import deployment_tasks
from tests.release_world import Guesses, Killed, Knows, Life, ReleaseWorld
from tests.workload_files import ON_SANDBOX

CANARY = CanarySettings(
    shares=(0.1, 0.5),
    every_seconds=600.0,
    limits=ProbeSettings(prompts=4, shape={"one_of": "references"}, min_score=0.5),
    least_calls=10,
)


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_sandbox)


def canary(
    world: ReleaseWorld, model: str, each: Callable[[Progress], None] = lambda reached: None, **more: Any
) -> Any:
    intent = world.intent(world.decision(model), canary=CANARY, **more)
    return world.carry_out(intent, each)


def call(world: ReleaseWorld, host: str, times: int = 1) -> None:
    """Call a host as callers do; what fails, fails."""
    runtime = world.client("bedrock-runtime")
    for number in range(times):
        with contextlib.suppress(ClientError):
            runtime.converse(
                modelId=host, messages=[{"role": "user", "content": [{"text": f"Ticket number {number}"}]}]
            )


def test_callers_move_share_by_share_and_the_old_host_is_retired_at_the_end(world: ReleaseWorld) -> None:
    first, second = world.model("first"), world.model("second")
    old = world.promote(first).host_arn
    seen: list[tuple[str, float]] = []

    def look(reached: Progress) -> None:
        if isinstance(reached, Pausing):
            pointer = world.pointer()
            share = (pointer.get("canary") or {}).get("share", 0.0)
            seen.append((pointer["host_arn"], share))

    outcome = canary(world, second, look)
    assert outcome.outcome == "released"
    new = outcome.host_arn
    assert new != old
    assert seen[:2] == [(old, 0.1), (old, 0.5)]
    pointer = world.pointer()
    assert (pointer["host_arn"], pointer["model_arn"], pointer["release"]) == (new, second, 2)
    assert "canary" not in pointer
    tags = world.gateways.bedrock.tags(old)
    assert tags["airflow-distill:temporary"] == "true", "the reaper takes it after the grace time"
    assert {"share-001", "share-002"} <= set(outcome.checks)


def test_each_share_lasts_as_long_as_asked_however_late_the_run_comes_back(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    execution = world.execution(
        world.prepare(world.intent(world.decision(world.model("second")), canary=CANARY))
    )
    begun: dict[float, Any] = {}
    for _ in range(60):
        reached = execution.advance()
        share = (world.pointer().get("canary") or {}).get("share")
        if share:
            begun.setdefault(share, world.now())
        if isinstance(reached, Pausing):
            world.sleep(5 * 3600.0)  # the worker was away for hours
        elif isinstance(reached, Waiting):
            world.sleep(30)
        else:
            break
    assert set(begun) == {0.1, 0.5}
    assert (begun[0.5] - begun[0.1]).total_seconds() >= CANARY.every_seconds


def test_a_student_that_answers_wrong_sends_all_callers_back_in_one_step(world: ReleaseWorld) -> None:
    first = world.model("first", Knows())
    old = world.promote(first).host_arn
    outcome = canary(world, world.model("second", Guesses()), bake=None)
    assert outcome.outcome == "rolled_back"
    assert outcome.why[0].startswith("canary, 10% of the calls: agreement with the held-out answers is 0.000")
    pointer = world.pointer()
    assert (pointer["host_arn"], pointer["model_arn"], pointer["release"]) == (old, first, 1)
    assert "canary" not in pointer
    assert world.hosts() == [old]
    assert look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())[1] == ()


def test_failing_calls_of_callers_end_a_canary_although_its_probes_are_fine(world: ReleaseWorld) -> None:
    old = world.promote(world.model("first")).host_arn

    def callers(reached: Progress) -> None:
        found = world.pointer().get("canary")
        if not found:
            return
        world.sandbox.faults.add(
            "validation", operation="Converse", match=found["host_arn"], count=5, message="no"
        )
        call(world, found["host_arn"], 20)
        call(world, old, 20)

    outcome = canary(world, world.model("second"), callers)
    assert outcome.outcome == "rolled_back"
    assert outcome.why == ("canary, 10% of the calls: 5 of 28 calls failed (17.9%); 0.0% at the live host",)
    assert world.hosts() == [old]


def test_calls_that_fail_at_both_hosts_alike_end_nothing(world: ReleaseWorld) -> None:
    old = world.promote(world.model("first")).host_arn

    def callers(reached: Progress) -> None:
        found = world.pointer().get("canary")
        for host in (old, found["host_arn"]) if found else ():
            world.sandbox.faults.add("validation", operation="Converse", match=host, count=5, message="no")
            call(world, host, 24)

    assert canary(world, world.model("second"), callers).outcome == "released"


def test_without_cloudwatch_the_probes_decide(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    world.sandbox.faults.add("access-denied", operation="cloudwatch:GetMetricData", count=50)
    world.sandbox.faults.add("access-denied", operation="GetMetricData", count=50)
    outcome = canary(world, world.model("second"))
    assert outcome.outcome == "released"


def test_a_first_release_and_one_whose_live_host_is_gone_have_nothing_to_share_with(
    world: ReleaseWorld,
) -> None:
    outcome = canary(world, world.model("first"))
    assert outcome.outcome == "released"
    assert not any(name.startswith("share") for name in outcome.checks)


def test_the_reaper_leaves_the_host_of_a_canary_alone_however_long_it_takes(world: ReleaseWorld) -> None:
    old = world.promote(world.model("first")).host_arn
    prepared = world.prepare(
        world.intent(world.decision(world.model("second")), canary=replace(CANARY, every_seconds=86_400.0))
    )
    execution = world.execution(prepared)
    for _ in range(20):
        if isinstance(execution.advance(), Pausing):
            break
        world.sleep(30)
    world.sleep(12 * 3600.0)
    found = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now(),
        rules=ReapRules(),
        price_of=lambda item, base: None,
    )
    taken = [find.arn for find in found if find.action == "remove"]
    assert not {old, world.pointer()["canary"]["host_arn"]} & set(taken)


@pytest.mark.slow
def test_a_canary_that_is_killed_anywhere_ends_released_or_back_with_one_pointer(world: ReleaseWorld) -> None:
    first = world.model("first")
    world.promote(first)
    points = 40
    for number in range(1, points, 6):
        model = world.model(f"next-{number}")
        world.new_gateways(Life(dies_at=number))
        with contextlib.suppress(Killed):
            canary(world, model)
        world.new_gateways()
        world.sleep(3600.0)
        outcome = canary(world, model)
        assert outcome.outcome == "released"
        pointer = world.pointer()
        assert pointer["model_arn"] == model
        assert "canary" not in pointer
        for host in world.hosts():
            if (
                host != pointer["host_arn"]
            ):  # as the reaper does after the grace time; an account may have ten
                world.client("bedrock").delete_custom_model_deployment(customModelDeploymentIdentifier=host)


def test_a_pointer_that_still_shares_without_a_release_is_told_and_repaired(world: ReleaseWorld) -> None:
    model = world.model("first")
    host = world.promote(model).host_arn
    pointer = Pointer.from_json(world.pointer())
    left = replace(pointer, canary=Weighted(2, "arn:m", pointer.host_kind, "arn:h", 0.25))
    world.gateways.parameters.put(world.pointer_name, json.dumps(left.to_json(), sort_keys=True), {})
    found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())[1]
    assert [each.code for each in found] == ["pointer-differs"]
    assert "25% of the calls to arn:h" in found[0].said
    assert host == pointer.host_arn


@pytest.mark.parametrize("shares", [[0.5, 0.25], [0, 0.5], [0.5, 1], [0.2, 0.2], [-0.1]])
def test_shares_that_do_not_rise_between_none_and_all_are_refused(shares: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="shares of a canary rise"):
        canary_settings({"shares": shares})


def test_settings_of_a_canary_are_read_and_a_wrong_word_is_refused() -> None:
    found = canary_settings({"every_seconds": "60", "prompts": 3})
    assert found is not None
    assert (found.shares, found.every_seconds, found.limits.prompts) == ((0.05, 0.25, 0.5), 60.0, 3)
    assert CanarySettings.from_json(found.to_json()) == found
    assert canary_settings({"shares": []}) is None
    with pytest.raises(ConfigurationError, match="'share'"):
        canary_settings({"share": 0.1})


def test_the_key_of_a_workload_file_becomes_the_canary_of_its_promotion(tmp_path: Path) -> None:
    file = tmp_path / "tickets.yaml"
    file.write_text(ON_SANDBOX + "canary: {shares: [0.1, 0.4], every: 1h, max_failed: 0.05}\n")
    (promote,) = deployment_tasks(read_workload(file)).tasks
    found = canary_settings(promote.arguments["canary"])
    assert found is not None
    assert (found.shares, found.every_seconds, found.max_failed, found.least_calls) == (
        (0.1, 0.4),
        3600.0,
        0.05,
        20,
    )
    file.write_text(ON_SANDBOX)
    (promote,) = deployment_tasks(read_workload(file)).tasks
    assert "canary" not in promote.arguments
