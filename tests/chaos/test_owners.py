"""Two roots in one account, and strangers: nothing that belongs to somebody else is adopted, swapped, deleted or reaped."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.pointers import publish_pointer
from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.errors import OwnershipError
from airflow_distill.operators.deployment import GuardReleaseOperator
from airflow_distill.operators.workload import CheckCommitmentsOperator
from airflow_distill.remote.identity import TAG_AIRFLOW, TAG_ROOT, TAG_RUN, resource_tags, tag_list
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import ReapRules
from airflow_distill.stages.deployment.records import Pointer, pointer_name
from tests.chaos.playing import context, create, delete, promote, serving
from tests.release_world import Rambles, ReleaseWorld, wish_for_throughput

PROD, STAGING = "s3://distill-sandbox/prod", "s3://distill-sandbox/staging"


@pytest.fixture
def prod(bedrock_environment: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_environment, workload="tickets", root=PROD)


@pytest.fixture
def staging(prod: ReleaseWorld) -> ReleaseWorld:
    return ReleaseWorld(prod.sandbox, workload="tickets", root=STAGING)


def state_of(world: ReleaseWorld) -> tuple[Any, ...]:
    pointer = world.pointer()
    return pointer, serving(world).get(pointer["host_arn"]), world.ledger.read()


def reap(world: ReleaseWorld, hours: float = 0.0, **rules: Any) -> list[str]:
    """Let a root's reaper remove what it may, and return the ARNs of what it removed."""
    finds = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now() + timedelta(hours=hours),
        rules=ReapRules(**rules),
        price_of=lambda item, base: None,
    )
    return [r.find.arn for r in remove_finds(world.gateways, world.store, world.root, finds) if r.removed]


def test_a_promotion_in_staging_leaves_production_as_it_was(
    prod: ReleaseWorld, staging: ReleaseWorld
) -> None:
    promote(prod, prod.model("p"))
    before = state_of(prod)
    said = promote(staging, staging.model("s"))
    assert state_of(prod) == before
    assert said["pointer"] != prod.pointer_name
    assert serving(staging)[said["host_arn"]] == said["model_arn"]


@pytest.mark.parametrize("releases", [1, 2])
def test_a_bad_student_in_staging_takes_nothing_of_production_away(
    prod: ReleaseWorld, staging: ReleaseWorld, releases: int
) -> None:
    for number in range(releases):
        promote(prod, prod.model(f"p{number}"), run=f"prod-{number}")
    before = state_of(prod)
    with pytest.raises(AirflowFailException, match="rolled_back"):
        promote(staging, staging.model("bad", Rambles()))
    assert state_of(prod) == before
    assert len(serving(prod)) == 1, "staging's own host went with its rollback"


def test_the_reaper_of_one_root_does_not_see_the_others(prod: ReleaseWorld, staging: ReleaseWorld) -> None:
    wish = wish_for_throughput(prod.now())
    terms = {"host_kind": wish.kind, "hourly_price": wish.hourly_price, "ends_at": wish.ends_at}
    promote(prod, prod.model("p"), units=2, **terms)
    promote(staging, staging.model("s"), units=1, **terms)
    prod.model("never released")
    create(prod, prod.model("candidate"), run="prod-2")
    before = state_of(prod), serving(prod)
    assert reap(staging, hours=24 * 60, ignore_expiry=True) == []
    assert (state_of(prod), serving(prod)) == before


def test_equal_runs_of_two_roots_have_candidates_of_their_own(
    prod: ReleaseWorld, staging: ReleaseWorld
) -> None:
    """Scheduled runs of equal Dags have equal ids; a teardown must not take the other's host away."""
    model = prod.model("m")
    theirs = create(prod, model)["host_arn"]
    mine = create(staging, model)["host_arn"]
    assert mine != theirs
    assert delete(staging, model)["deleted"] == [mine]
    assert (
        delete(staging, model, host={"host_arn": theirs, "host_kind": "custom-model-deployment"})["deleted"]
        == []
    )
    assert list(serving(prod)) == [theirs]


@pytest.mark.parametrize("tags", [{}, {"team": "search"}, resource_tags("tickets", "r", "o", root=STAGING)])
def test_a_strangers_host_under_a_wanted_name_is_an_error_that_says_whose_it_is(
    prod: ReleaseWorld, tags: dict[str, str]
) -> None:
    model = prod.model("m")
    said = create(prod, model)
    prod.client("bedrock").delete_custom_model_deployment(customModelDeploymentIdentifier=said["host_arn"])
    theirs = prod.client("bedrock").create_custom_model_deployment(
        modelDeploymentName=said["host_name"], modelArn=prod.model("other"), tags=tag_list(tags)
    )["customModelDeploymentArn"]
    with pytest.raises(AirflowFailException, match=r"OwnershipError.* it belongs to ") as raised:
        create(prod, model)
    whose = STAGING if tags.get(TAG_ROOT) else "somebody who does not use this package"
    assert whose in str(raised.value)
    delete(prod, model)
    reap(prod, hours=24 * 60, ignore_expiry=True)
    assert theirs in serving(prod)


def test_what_a_version_before_roots_made_is_recognised_by_the_ledger_and_tagged_anew(
    bedrock_environment: Sandbox,
) -> None:
    """The live host and the pointer of an upgrade: callers keep both names, and another root cannot take the host."""
    world = ReleaseWorld(bedrock_environment, workload="tickets", root=PROD)
    promote(world, world.model("first"))
    host, parameters = world.pointer()["host_arn"], world.gateways.parameters
    bedrock = world.client("bedrock")
    bedrock.untag_resource(resourceARN=host, tagKeys=[TAG_ROOT])
    older = {key: value for key, value in world.pointer().items() if key != "root"}
    parameters.put(pointer_name("tickets"), json.dumps(older))
    parameters.delete(world.pointer_name)
    said = promote(world, world.model("second"), run="run-2")
    assert said["host_arn"] == host
    assert world.gateways.bedrock.tags(host)[TAG_ROOT].endswith(PROD)
    for name in (world.pointer_name, pointer_name("tickets")):
        assert json.loads(parameters.get(name) or "{}")["release"] == 2, name


def test_an_unmarked_host_that_no_record_names_is_told_and_kept(prod: ReleaseWorld) -> None:
    tags = resource_tags("tickets", "r", "o", prod.now(), temporary=True)
    made = prod.client("bedrock").create_custom_model_deployment(
        modelDeploymentName="older", modelArn=_unmarked(prod), tags=tag_list(tags)
    )["customModelDeploymentArn"]
    assert reap(prod, hours=24 * 60) == []
    assert made in serving(prod)


def _unmarked(world: ReleaseWorld) -> str:
    model = world.model("older")
    world.client("bedrock").untag_resource(resourceARN=model, tagKeys=[TAG_ROOT])
    return model


def test_a_pointer_of_another_root_is_not_overwritten(prod: ReleaseWorld) -> None:
    ours = Pointer("tickets", 1, "m", "custom-model-deployment", "h", "us-east-1", PROD)
    stolen = Pointer.from_json({**ours.to_json(), "root": STAGING}).to_json()
    prod.gateways.parameters.put(ours.name, json.dumps(stolen))
    with pytest.raises(OwnershipError, match=STAGING):
        publish_pointer(prod.gateways.parameters, ours, {})


def test_the_commitments_of_another_root_are_its_own_affair(
    prod: ReleaseWorld, staging: ReleaseWorld
) -> None:
    promote(prod, prod.model("p"))
    for world, seen in ((staging, 0), (prod, 1)):
        check = CheckCommitmentsOperator(task_id="check", workload="tickets", root=world.root)
        assert len(check.execute(context())["hosts"]) == seen


# Two Airflows that share a root.

HERE, THERE = "9f3ab0c2d4e5f607", "0011223344556677"


@pytest.fixture
def as_airflow(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Work as the Airflow of an id from here on."""
    return lambda name: monkeypatch.setenv("AIRFLOW_VAR_AIRFLOW_DISTILL_AIRFLOW_ID", name)


def test_hosts_and_pointer_carry_the_root_and_the_airflow_that_made_them(
    prod: ReleaseWorld, as_airflow: Callable[[str], None]
) -> None:
    as_airflow(HERE)
    candidate = create(prod, prod.model("candidate"))["host_arn"]
    live = promote(prod, prod.model("m"))["host_arn"]
    listed = prod.client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=prod.pointer_name)
    pointer = {tag["Key"]: tag["Value"] for tag in listed["TagList"]}
    for tags in (prod.gateways.bedrock.tags(candidate), prod.gateways.bedrock.tags(live), pointer):
        assert tags[TAG_AIRFLOW] == HERE
        assert tags[TAG_ROOT].endswith(PROD)
        assert tags[TAG_RUN] == "loop/run-1"
    assert prod.ledger.sound().entries[0].release.run == f"{HERE}@loop/run-1"


def test_equal_runs_of_two_airflows_have_candidates_of_their_own(
    prod: ReleaseWorld, as_airflow: Callable[[str], None]
) -> None:
    """Equal Dags on equal schedules have equal run ids; the teardown of one must not take the other's host away."""
    model = prod.model("m")
    as_airflow(THERE)
    theirs = create(prod, model)
    as_airflow(HERE)
    mine = create(prod, model)
    assert mine["host_arn"] != theirs["host_arn"]
    assert delete(prod, model, host=theirs)["deleted"] == [mine["host_arn"]]
    assert list(serving(prod)) == [theirs["host_arn"]]
    as_airflow(THERE)
    assert delete(prod, model)["deleted"] == [theirs["host_arn"]]


def test_a_candidate_made_before_airflows_had_ids_is_still_removed_by_its_run(
    prod: ReleaseWorld, as_airflow: Callable[[str], None]
) -> None:
    model = prod.model("m")
    old = create(prod, model)["host_arn"]
    as_airflow(HERE)
    assert delete(prod, model)["deleted"] == [old]


def test_the_guard_leaves_the_release_of_an_equal_run_of_another_airflow_alone(
    prod: ReleaseWorld, as_airflow: Callable[[str], None]
) -> None:
    prod.promote(prod.model("first"))
    theirs = prod.intent(prod.decision(prod.model("second")), run=f"{THERE}@loop/run-1")
    prod.execution(prod.prepare(theirs), run=theirs.run).advance()
    guard = GuardReleaseOperator(task_id="guard", workload="tickets", root=PROD, deferrable=False)
    object.__setattr__(guard, "now", prod.now)
    as_airflow(HERE)
    assert guard.execute(context("run-1"))["release"] is None
    assert prod.ledger.sound().open is not None
    as_airflow(THERE)
    assert guard.execute(context("run-1"))["outcome"] == "rolled_back"


def test_an_airflow_that_takes_a_root_over_goes_on_with_its_live_host(
    prod: ReleaseWorld, as_airflow: Callable[[str], None]
) -> None:
    as_airflow(THERE)
    host = promote(prod, prod.model("first"))["host_arn"]
    as_airflow(HERE)
    assert promote(prod, prod.model("second"), run="run-2")["host_arn"] == host
    assert prod.gateways.bedrock.tags(host)[TAG_AIRFLOW] == HERE
