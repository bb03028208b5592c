"""A workload is switched off: shown first, callers get their time, nothing bills afterwards, killed anywhere it goes on."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.reap import survey_account
from airflow_distill.aws.retire import Retirement, Step, Terms, read_retirement, retire, retirement_uri
from airflow_distill.aws.verify import verify_workload
from airflow_distill.cli.main import main
from airflow_distill.errors import ConfigurationError, StateError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import ReapRules
from tests.pages import run_page
from tests.release_world import Killed, Life, ReleaseWorld, wish_for_throughput

EVERYTHING = Terms(grace_hours=24, models="delete", data="delete")


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    """Two releases on a deployment, the second one live, and a candidate host that was left over."""
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"))
    world.promote(world.model("second"))
    return world


def end(
    world: ReleaseWorld, terms: Terms = EVERYTHING, *, perform: bool = True
) -> tuple[Retirement, dict[str, Step]]:
    plan, steps = retire(
        world.gateways,
        world.store,
        world.root,
        world.workload,
        terms,
        person="ada",
        owner="platform",
        now=world.now(),
        price_of=lambda item, base: None,
        perform=perform,
    )
    return plan, {step.name: step for step in steps}


def test_the_plan_changes_nothing(world: ReleaseWorld) -> None:
    pointer, hosts = world.pointer(), world.hosts()
    before = {o.uri for o in world.store.iter_objects(world.root)}
    _, steps = end(world, perform=False)
    assert [steps[name].state for name in ("schedule", "pointer", "hosts")] == ["to do"] * 3
    assert steps["hosts"].detail.startswith("1 hosts are deleted after")
    assert (world.pointer(), world.hosts()) == (pointer, hosts)
    assert {o.uri for o in world.store.iter_objects(world.root)} == before


def test_callers_lose_the_pointer_first_and_have_the_grace_time(world: ReleaseWorld) -> None:
    plan, steps = end(world)
    assert world.pointer() == {}
    assert len(world.hosts()) == 1
    assert steps["hosts"].state == "waits"
    assert plan.finished_at == ""
    world.sleep(timedelta(hours=23).total_seconds())
    assert len(world.hosts()) == 1
    assert end(world)[1]["hosts"].state == "waits"
    world.sleep(timedelta(hours=2).total_seconds())
    plan, steps = end(world)
    assert world.hosts() == []
    assert plan.finished_at
    assert {step.state for step in steps.values()} == {"done"}


def test_nothing_bills_for_sixty_days_afterwards(world: ReleaseWorld) -> None:
    end(world)
    world.sleep(25 * 3600)
    end(world)
    bill = world.sandbox.meter()
    assert bill["billing_now"] == []
    world.sleep(timedelta(days=60).total_seconds())
    assert world.sandbox.meter()["total"] == bill["total"]


def test_throughput_stops_billing_too(bedrock_environment: Sandbox) -> None:
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"), wish=wish_for_throughput(world.now()))
    end(world)
    world.sleep(25 * 3600)
    end(world)
    bill = world.sandbox.meter()
    world.sleep(timedelta(days=60).total_seconds())
    assert (world.hosts(), world.sandbox.meter()["total"]) == ([], bill["total"])


def test_the_ledger_stays_and_says_that_nothing_is_live(world: ReleaseWorld) -> None:
    end(world)
    world.sleep(25 * 3600)
    end(world)
    history = world.ledger.sound()
    assert history.live() is None
    assert [entry.release.action for entry in history.entries][-1] == "withdraw"
    place = f"{world.root}/{world.workload}/"
    kept = {o.uri.removeprefix(place).split("/")[0] for o in world.store.iter_objects(place)}
    assert kept <= {"releases", "evidence", "retired.json"}
    assert not verify_workload(world.gateways, world.store, world.root, world.workload).broken


def test_models_and_data_stay_unless_asked_for(world: ReleaseWorld) -> None:
    before = {o.uri for o in world.store.iter_objects(world.root)}
    end(world, Terms(grace_hours=0))
    plan, steps = end(world, Terms(grace_hours=0))
    assert plan.finished_at
    assert (steps["models"].state, steps["data"].state) == ("left", "left")
    assert "stay" in steps["models"].detail
    assert before <= {o.uri for o in world.store.iter_objects(world.root)}
    assert len(world.client("bedrock").list_custom_models()["modelSummaries"]) == 2


def test_the_pointer_can_lead_callers_back_to_the_teacher(world: ReleaseWorld) -> None:
    terms = Terms(grace_hours=0, redirect="amazon.nova-pro-v1:0")
    end(world, terms)
    end(world, terms)
    assert world.pointer()["host_arn"] == "amazon.nova-pro-v1:0"
    assert world.pointer()["call"]["parameters"]["modelId"] == "amazon.nova-pro-v1:0"
    assert world.hosts() == []
    assert not verify_workload(world.gateways, world.store, world.root, world.workload).broken


def test_it_keeps_the_terms_it_began_with(world: ReleaseWorld) -> None:
    first, _ = end(world, Terms(grace_hours=48))
    second, _ = end(world, Terms(grace_hours=0, models="delete"))
    assert second.terms == first.terms


def test_killed_at_every_change_it_goes_on(bedrock_environment: Sandbox) -> None:
    """Die before and after each change in turn; every next process goes on where the last one died."""
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"))
    terms = Terms(grace_hours=0, models="delete", data="delete")
    deaths = 0
    for at in range(1, 200):
        world.gateways = world.new_gateways(Life(dies_at=2 + at % 4))
        try:
            plan, _ = end(world, terms)
        except Killed:
            deaths += 1
            continue
        if plan.finished_at:
            break
    world.gateways = world.new_gateways()
    assert end(world, terms)[0].finished_at
    assert deaths >= 8
    assert world.hosts() == []
    assert world.pointer() == {}
    assert world.ledger.sound().live() is None
    assert world.client("bedrock").list_custom_models()["modelSummaries"] == []
    assert [e.release.action for e in world.ledger.sound().entries].count("withdraw") == 1


def test_other_workloads_and_roots_are_left_alone(world: ReleaseWorld) -> None:
    other = ReleaseWorld(world.sandbox, workload="claims")
    other.promote(other.model("theirs"))
    end(world)
    world.sleep(25 * 3600)
    end(world)
    assert other.pointer()["model_arn"]
    assert len(other.hosts()) == 1
    rules = ReapRules(ignore_expiry=True)
    finds = survey_account(
        other.gateways,
        other.store,
        other.root,
        now=other.now(),
        rules=rules,
        price_of=lambda item, base: None,
    )
    assert finds == ()


@pytest.mark.airflow
def test_a_run_of_a_retired_workload_ends_at_once(world: ReleaseWorld) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from airflow_distill.operators.turn import TakeTurnOperator

    end(world)
    task = TakeTurnOperator(task_id="take", workload=world.workload, root=world.root, order="2026-11-01")
    with pytest.raises(AirflowSkipException, match="was retired at"):
        task.execute({})


def test_what_cannot_be_read_is_no_retirement(world: ReleaseWorld) -> None:
    world.store.write(retirement_uri(world.root, world.workload), b"{}")
    with pytest.raises(StateError):
        read_retirement(world.store, world.root, world.workload)


@pytest.mark.parametrize("wrong", [{"models": "burn"}, {"grace_hours": -1}, {"data": ""}])
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Terms(**wrong)


def test_the_guides_commands_run(
    world: ReleaseWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "distill").mkdir()
    (tmp_path / "distill/support_tickets.yaml").write_text(
        "owner: support\nteacher: amazon.nova-pro-v1:0\nstudent: amazon.nova-micro-v1:0:128k\n"
        f"root: {world.root}\nrole_arn: arn:aws:iam::123456789012:role/distill\n"
        "logs: {location: s3://distill-sandbox/logs}\nbudget: {usd_per_run: 50}\n"
    )
    assert run_page("retire.md", tmp_path, monkeypatch) == [1, 1, 1, 0]
    capsys.readouterr()
    main(["status", "distill/support_tickets.yaml", "--json"])
    assert json.loads(capsys.readouterr().out)["retired"]["by"]
