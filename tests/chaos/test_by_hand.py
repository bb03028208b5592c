"""Things that people, other tools and bad days do to releases: each leaves production as it was or proven, and is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.execute import Pausing, Waiting
from airflow_distill.aws.promotion import look_for_drift, unfinished
from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.aws.repair import mend, withdraw
from airflow_distill.aws.verify import verify_workload
from airflow_distill.errors import DeploymentError, DistillError, ServiceThrottledError, StateError
from airflow_distill.operators.deployment import (
    BedrockPromoteModelOperator,
    BedrockRollbackModelOperator,
    CheckReleaseOperator,
    GuardReleaseOperator,
)
from airflow_distill.remote.identity import TAG_ROOT, TAG_WORKLOAD, root_tag, tag_list
from airflow_distill.remote.ownership import Owner
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import Find, ReapRules
from tests.chaos.playing import (
    BAKE,
    QUICK,
    SMOKE,
    context,
    create,
    delete,
    job_of,
    on_sandbox_time,
    promote,
    serving,
)
from tests.release_world import LITE, Guesses, Knows, Rambles, ReleaseWorld, wish_for_throughput

PROD, STAGING = "s3://distill-sandbox/prod", "s3://distill-sandbox/staging"


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_environment, workload="tickets", root=PROD)


@pytest.fixture
def staging(world: ReleaseWorld) -> ReleaseWorld:
    return ReleaseWorld(world.sandbox, workload="tickets", root=STAGING)


def codes(world: ReleaseWorld) -> list[str]:
    _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())
    return [each.code for each in found]


def repair(world: ReleaseWorld) -> None:
    _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())
    again = mend(world.gateways, world.store, world.root, world.workload, found, "ann", world.now())
    if again is not None:
        world.to_the_end(world.execution(again[0], run="cli/ann", holder="ann"))


def reap(world: ReleaseWorld, days: float, **rules: Any) -> list[Find]:
    finds = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now() + timedelta(days=days),
        rules=ReapRules(**rules),
        price_of=lambda item, base: None,
    )
    return [r.find for r in remove_finds(world.gateways, world.store, world.root, finds) if r.removed]


def on_throughput(world: ReleaseWorld) -> dict[str, Any]:
    wish = wish_for_throughput(world.now())
    return {
        "host_kind": wish.kind,
        "units": wish.units,
        "hourly_price": wish.hourly_price,
        "ends_at": wish.ends_at,
    }


def live_model(world: ReleaseWorld) -> str:
    live = world.ledger.sound().live()
    assert live is not None
    return live.target.model_arn


def while_it_bakes(world: ReleaseWorld, brain: Any, act: Callable[[str], None], **settings: Any) -> Any:
    """Promote a model and do something to its host once callers have been told and before its first probe."""
    done: list[str] = []

    def once(line: str) -> None:
        if "publish pointer" in line and not done:
            done.append(line)
            act(str(world.pointer().get("host_arn")))

    intent = world.intent(world.decision(world.model("mine", brain)), **settings)
    execution = world.execution(world.prepare(intent), progress=once)
    try:
        outcome = world.to_the_end(execution)
    except DistillError as error:
        execution.give_back()
        return error
    assert done
    return outcome


# Tags and names.


def test_tags_removed_by_hand_are_told_and_given_back(world: ReleaseWorld) -> None:
    host = promote(world, world.model("first"))["host_arn"]
    world.client("bedrock").untag_resource(resourceARN=host, tagKeys=[TAG_ROOT, TAG_WORKLOAD])
    assert codes(world) == ["host-tags-lost"]
    with pytest.raises(AirflowFailException, match="lost its tags"):
        promote(world, world.model("second"), run="run-2")
    repair(world)
    assert codes(world) == []
    assert promote(world, world.model("third"), run="run-3")["host_arn"] == host


def test_production_tagged_as_stagings_by_hand_is_not_reaped_by_staging(
    world: ReleaseWorld, staging: ReleaseWorld
) -> None:
    """Tags can be changed by anybody with a console; name and ledger cannot."""
    host = promote(world, world.model("p"))["host_arn"]
    promote(staging, staging.model("s"), **on_throughput(staging))
    world.gateways.bedrock.tag(host, {TAG_ROOT: root_tag(STAGING)})
    assert host not in [find.arn for find in reap(staging, 400, ignore_expiry=True)]
    assert host in serving(world)
    assert codes(world) == ["host-tags-lost"]
    repair(world)
    assert codes(world) == []


def copy_of(world: ReleaseWorld, place: ReleaseWorld) -> None:
    """Copy everything under one root to another, as `aws s3 sync` does."""
    for item in list(world.store.iter_objects(f"{world.root}/{world.workload}/")):
        place.store.write(item.uri.replace(world.root, place.root), world.store.read(item.uri))


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-throughput"])
def test_a_ledger_copied_to_another_root_gives_that_root_no_right_to_the_hosts(
    world: ReleaseWorld, staging: ReleaseWorld, kind: str
) -> None:
    wish = on_throughput(world) if kind == "provisioned-throughput" else {}
    host = promote(world, world.model("p"), **wish)["host_arn"]
    copy_of(world, staging)
    before = tags_of(world, host)
    assert codes(staging)[0] == "host-foreign"
    with pytest.raises(DeploymentError, match=f"belongs to workload tickets, under root {PROD}") as caught:
        repair(staging)
    assert "--nothing-live` starts afresh and leaves that host alone" in caught.value.hint
    with pytest.raises(AirflowFailException, match="this ledger may be a copy"):
        on_sandbox_time(
            CheckReleaseOperator(task_id="check", workload="tickets", root=STAGING), staging
        ).execute(context("s-1"))
    withdraw(staging.gateways, staging.store, STAGING, "tickets", "ann", "", staging.now())
    assert "is another root's" in staging.ledger.sound().entries[-1].release.why[0]
    staging.dataset_id = staging.write_dataset("2026-11-05T00:00:00Z")
    other = promote(staging, staging.model("s"), run="s-2", **wish)["host_arn"]
    assert other != host
    assert tags_of(world, host) == before
    assert (codes(world), codes(staging)) == ([], [])


def test_the_pointer_of_another_root_under_our_name_is_told_as_that(
    world: ReleaseWorld, staging: ReleaseWorld
) -> None:
    promote(world, world.model("p"))
    promote(staging, staging.model("s"))
    text = json.dumps(world.pointer())
    world.client("ssm").put_parameter(Name=staging.pointer_name, Value=text, Type="String", Overwrite=True)
    assert codes(staging) == ["pointer-foreign"]
    with pytest.raises(DeploymentError, match=f"holds the pointer of root {PROD}") as caught:
        repair(staging)
    assert "delete the parameter, then `airflow-distill release repair`" in caught.value.hint
    world.client("ssm").delete_parameter(Name=staging.pointer_name)
    repair(staging)
    assert (codes(world), codes(staging)) == ([], [])


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-throughput"])
@pytest.mark.parametrize("releases", [1, 2])
def test_a_host_whose_ledger_and_pointer_were_deleted_is_told_and_never_reaped(
    world: ReleaseWorld, kind: str, releases: int
) -> None:
    wish = on_throughput(world) if kind == "provisioned-throughput" else {}
    for number in range(releases):
        host = promote(world, world.model(f"m-{number}"), run=f"run-{number}", **wish)["host_arn"]
    for item in list(world.store.iter_objects(world.ledger.prefix)):
        world.store.delete(item.uri)
    world.client("ssm").delete_parameter(Name=world.pointer_name)
    assert host not in [find.arn for find in reap(world, 400, ignore_expiry=True)]
    assert host in serving(world)
    finds = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now(),
        rules=ReapRules(),
        price_of=lambda i, b: None,
    )
    told = [find.why for find in finds if find.arn == host]
    assert told[0].startswith(
        f"kept: it was made by release {releases}, which this root's ledger does not know"
    )
    assert codes(world) == ["ledger-lost"]
    with pytest.raises(DeploymentError, match="the ledger is empty"):
        repair(world)
    for act in (
        lambda: operator_of(world, CheckReleaseOperator, "run-9"),
        lambda: promote(world, world.model("next"), run="run-9", **wish),
        lambda: promote(world, world.model("other", base=LITE), run="run-10", **wish),
    ):
        with pytest.raises(
            AirflowFailException, match=f"release {releases} of this root made the host {host}"
        ):
            act()
    assert host in serving(world)
    assert host not in [find.arn for find in reap(world, 400, ignore_expiry=True)]


def test_a_released_outcome_deleted_by_hand_does_not_take_the_release_back(world: ReleaseWorld) -> None:
    """Without its outcome a release looks open, and an open one of a dead run is rolled back."""
    promote(world, world.model("first"), run="run-1")
    second = world.model("second")
    promote(world, second, run="run-2")
    world.store.delete(world.ledger.uri(2, "outcome"))
    world.sleep(3600)
    before = serving(world)
    for attempt in (
        lambda: promote(world, world.model("third"), run="run-3"),
        lambda: operator_of(world, GuardReleaseOperator, "run-2"),
        lambda: operator_of(world, BedrockRollbackModelOperator, "run-4"),
    ):
        with pytest.raises((AirflowFailException, StateError), match="release 2 of tickets has ended"):
            attempt()
        assert serving(world) == before
    assert promote(world, second, run="run-2")["outcome"] == "released"
    assert (codes(world), serving(world)) == ([], before)


def operator_of(world: ReleaseWorld, kind: type, run: str) -> Any:
    operator = kind(task_id="task", workload=world.workload, root=world.root, deferrable=False)
    return on_sandbox_time(operator, world).execute(context(run))


def tags_of(world: ReleaseWorld, arn: str) -> dict[str, str]:
    tags = world.client("bedrock").list_tags_for_resource(resourceARN=arn)["tags"]
    return {tag["key"]: tag["value"] for tag in tags}


def test_a_throughput_renamed_by_hand_stays_production(world: ReleaseWorld) -> None:
    """The ledger names hosts by ARN."""
    host = promote(world, world.model("first"), **on_throughput(world))["host_arn"]
    world.client("bedrock").update_provisioned_model_throughput(
        provisionedModelId=host, desiredProvisionedModelName="renamed-by-hand"
    )
    assert codes(world) == []
    second = promote(world, world.model("second"), run="run-2", **on_throughput(world))
    assert second["host_arn"] == host
    assert reap(world, 3) == []
    assert list(serving(world)) == [host]


def test_two_roots_whose_digests_begin_alike_are_two_owners() -> None:
    ours = Owner("tickets", PROD)
    for mark in (ours.mark[:-1], ours.mark + "0", ours.mark[:4]):
        tags = {TAG_WORKLOAD: "tickets", TAG_ROOT: f"{mark} {PROD}"}
        assert ours.claim(tags) == "foreign", "the digest decides, not what is written behind it"


def test_a_strangers_host_under_the_candidates_name_survives_the_teardown(world: ReleaseWorld) -> None:
    model = world.model("m")
    made = create(world, model)
    bedrock = world.client("bedrock")
    bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier=made["host_arn"])
    theirs = bedrock.create_custom_model_deployment(
        modelDeploymentName=made["host_name"], modelArn=model, tags=tag_list({"team": "search"})
    )["customModelDeploymentArn"]
    assert delete(world, model, host=made)["deleted"] == []
    assert list(serving(world)) == [theirs]


def test_a_candidate_deleted_by_hand_is_not_missed_by_its_teardown(world: ReleaseWorld) -> None:
    model = world.model("m")
    made = create(world, model)
    world.gateways.bedrock.delete_deployment(made["host_arn"])
    for _ in range(2):
        assert delete(world, model, host=made) == {
            "kind": "host_deleted",
            "v": 1,
            "workload": "tickets",
            "deleted": [],
            "left": [],
        }


# In the middle of a release.


@pytest.mark.parametrize("brain", [Knows(), Guesses()], ids=["good", "bad"])
@pytest.mark.parametrize("releases", [0, 1])
def test_a_pointer_deleted_in_the_bake_period_is_there_again_at_the_end(
    world: ReleaseWorld, brain: Any, releases: int
) -> None:
    for number in range(releases):
        world.promote(world.model(f"before-{number}"))
    outcome = while_it_bakes(world, brain, lambda host: world.gateways.parameters.delete(world.pointer_name))
    assert outcome.outcome == ("released" if isinstance(brain, Knows) else "rolled_back")
    assert codes(world) == []


@pytest.mark.parametrize("releases", [0, 1])
def test_a_host_deleted_in_the_bake_period_is_told_and_the_loop_goes_on(
    world: ReleaseWorld, releases: int
) -> None:
    for number in range(releases):
        world.promote(world.model(f"before-{number}"))
    ended = while_it_bakes(world, Knows(), world.gateways.bedrock.delete_deployment)
    if isinstance(ended, DistillError):
        assert "is open" in f"{ended.message} {ended.hint}"
        opened = unfinished(world.gateways, world.store, world.root, world.workload)
        assert opened is not None
        world.to_the_end(world.execution(opened, run="loop/next", holder="next", force=True))
    last = world.ledger.sound().entries[-1]
    assert last.outcome is not None
    assert codes(world) == (["host-gone"] if releases and last.outcome.outcome == "rolled_back" else [])
    repair(world)
    assert codes(world) == []
    assert world.promote(world.model("next"), run="loop/run-3").outcome == "released"


def test_a_host_deleted_between_its_purchase_and_its_first_answer_is_bought_again(
    world: ReleaseWorld,
) -> None:
    world.sandbox.world.set_pace("seconds:300", "custom-model-deployment")
    execution = world.execution(world.prepare(world.intent(world.decision(world.model("first")))))
    reached = execution.advance()
    assert isinstance(reached, Waiting)
    world.sleep(301)
    world.gateways.bedrock.delete_deployment(reached.host_arn)
    world.sandbox.world.set_pace("instant", "custom-model-deployment")
    assert world.to_the_end(execution).outcome == "released"
    assert codes(world) == []
    assert len(world.hosts()) == 1


def test_a_model_deleted_during_the_smoke_test_takes_nothing_with_it(world: ReleaseWorld) -> None:
    first = world.model("first")
    world.promote(first)
    mine = world.model("mine")
    bedrock = world.client("bedrock")
    refused: list[str] = []

    def delete_it(line: str) -> None:
        if "wait until" in line:
            try:
                bedrock.delete_custom_model(modelIdentifier=mine)
            except Exception as error:
                refused.append(type(error).__name__)

    execution = world.execution(world.prepare(world.intent(world.decision(mine))), progress=delete_it)
    outcome = world.to_the_end(execution)
    assert outcome.outcome in ("released", "rolled_back")
    assert live_model(world) == (mine if outcome.outcome == "released" else first)
    assert codes(world) == []


def test_a_model_deleted_between_decision_and_promotion_is_refused_before_anything_is_claimed(
    world: ReleaseWorld,
) -> None:
    first = world.model("first")
    world.promote(first)
    second = world.model("second")
    decision = world.decision(second)
    world.client("bedrock").delete_custom_model(modelIdentifier=second)
    with pytest.raises(DeploymentError, match="does not exist any more"):
        world.carry_out(world.intent(decision))
    assert (len(world.ledger.sound().entries), live_model(world), codes(world)) == (1, first, [])


def test_a_swap_made_by_hand_in_the_bake_period_does_not_pass_for_the_release(world: ReleaseWorld) -> None:
    first = world.model("first")
    world.promote(first)
    by_hand = world.model("by-hand", Rambles())
    outcome = while_it_bakes(
        world,
        Knows(),
        lambda host: void(
            world.client("bedrock").update_custom_model_deployment(
                customModelDeploymentIdentifier=host, modelArn=by_hand
            )
        ),
    )
    assert by_hand not in (live_model(world), world.pointer()["model_arn"])
    assert set(serving(world).values()) == {live_model(world)}
    assert live_model(world) == (first if outcome.outcome == "rolled_back" else world.model("mine", Knows()))
    assert codes(world) == []


def test_heldout_prompts_replaced_in_the_bake_period_prove_nothing(world: ReleaseWorld) -> None:
    first = world.model("first")
    world.promote(first)
    uri = f"{world.root}/tickets/datasets/{world.dataset_id}/heldout.jsonl"
    execution = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    world.store.write(uri, b'{"messages": []}\n')
    outcome = world.to_the_end(execution)
    assert (outcome.outcome, outcome.cause) == ("rolled_back", "failure")
    assert (live_model(world), codes(world)) == (first, [])


def test_a_parameter_store_that_throttles_for_90_seconds_is_waited_out_by_the_task_and_its_retries(
    world: ReleaseWorld,
) -> None:
    first = world.model("first")
    promote(world, first)
    model = world.model("second")
    # the SDK asks a few times within each try; two tries a minute apart are throttled to their end
    world.sandbox.faults.add("throttle", operation="ssm:PutParameter", count=9)
    said, hints = None, []
    while said is None and len(hints) < 4:  # three retries, a minute apart
        try:
            said = promote(world, model, run="run-2")
        except ServiceThrottledError as error:
            hints.append(error.hint)
            world.sleep(60)
    assert said is not None
    assert said["outcome"] == "released"
    assert hints
    assert all("Release 2 is open" in hint for hint in hints)
    assert codes(world) == []
    assert world.pointer()["model_arn"] == model


@pytest.mark.parametrize(
    "service", ["ssm:GetParameter", "GetCustomModelDeployment", "s3:GetObject", "s3:ListObjectsV2"]
)
def test_an_outage_in_the_middle_neither_promotes_nor_rolls_back(world: ReleaseWorld, service: str) -> None:
    """It says nothing about the model: the release waits, and goes on when the service is back."""
    promote(world, world.model("first"))
    execution = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    assert isinstance(execution.advance(), Pausing)
    world.sleep(61)
    world.sandbox.faults.add("unavailable", operation=service)
    with pytest.raises(DistillError) as raised:
        execution.advance()
    assert raised.value.retryable
    world.sandbox.faults.clear()
    assert world.to_the_end(execution).outcome == "released"
    assert codes(world) == []


# Decisions and approvals.


def test_a_decision_replaced_between_its_reading_and_the_claim_is_seen(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    decision = world.decision(world.model("second"))
    intent = world.intent(decision)
    theirs = json.loads(world.store.read(decision["decision_uri"]))
    theirs["verdict"]["reasons"] = [["shown", "trust me"]]
    world.store.write(decision["decision_uri"], json.dumps(theirs).encode())
    assert world.to_the_end(world.execution(world.prepare(intent))).outcome == "released"
    evidence = world.ledger.sound().entries[-1].release.evidence
    kept = json.loads(world.store.read(evidence.decision_copy))
    assert kept["verdict"] != theirs["verdict"], "what was read is what is kept"
    found = verify_workload(world.gateways, world.store, world.root, world.workload)
    assert any("decision" in link.link for link in found.broken)
    with pytest.raises(DeploymentError):
        world.intent(decision)


def test_an_approval_given_after_another_address_went_live_promotes_nothing(world: ReleaseWorld) -> None:
    """A is live on a deployment; C is judged against it and waits; B goes live on throughput; then C is approved."""
    a = promote(world, world.model("a"))
    c = world.model("c", Knows())
    waits = world.decision(c)
    b = world.model("b")
    said = promote(world, b, run="run-b", **on_throughput(world))
    assert said["host_arn"] != a["host_arn"]
    late = BedrockPromoteModelOperator(
        task_id="promote",
        workload="tickets",
        root=PROD,
        decision=waits,
        job=job_of(c),
        smoke=SMOKE,
        bake=BAKE,
        **QUICK,
        **on_throughput(world),
    )
    with pytest.raises(
        AirflowFailException, match=r"judged against release 1 .* live is release 2.*Evaluate again"
    ):
        on_sandbox_time(late, world).execute(context("run-c"))
    assert (live_model(world), codes(world)) == (b, [])
    assert world.pointer()["host_arn"] == said["host_arn"]


def test_a_promotion_of_one_decision_by_two_runs_is_one_release(world: ReleaseWorld) -> None:
    model = world.model("m")
    first = promote(world, model, run="run-1")
    second = promote(world, model, run="run-2")
    assert first["release"] == second["release"] == 1
    assert len(world.hosts()) == 1


def test_a_decision_rolled_back_by_its_check_is_not_promoted_by_clearing_its_task(
    world: ReleaseWorld,
) -> None:
    first = world.model("first")
    promote(world, first)
    bad = world.model("bad", Rambles())
    for run in ("run-2", "run-2", "run-3"):
        with pytest.raises(AirflowFailException, match="rolled_back"):
            promote(world, bad, run=run)
    assert (live_model(world), codes(world)) == (first, [])
    assert len(world.ledger.sound().entries) == 2


def test_a_back_filled_run_does_not_replace_a_newer_window_and_says_how_it_could(world: ReleaseWorld) -> None:
    newer = world.model("newer")
    world.promote(newer)
    older = world.write_dataset("2026-10-01T00:00:00Z")
    decision = world.decision(world.model("older"), dataset_id=older)
    with pytest.raises(DeploymentError, match="made from an older one") as raised:
        world.carry_out(world.intent(decision))
    assert "allow_older" in raised.value.hint
    assert (live_model(world), codes(world)) == (newer, [])
    assert world.carry_out(world.intent(decision, allow_older=True)).outcome == "released"


# The ledger.


@pytest.mark.parametrize("cut", [0, 1, 100])
@pytest.mark.parametrize("what", ["entry", "outcome"])
def test_a_ledger_object_cut_short_stops_everything_and_is_named(
    world: ReleaseWorld, what: str, cut: int
) -> None:
    promote(world, world.model("first"))
    uri = world.ledger.uri(1, "" if what == "entry" else "outcome")
    world.store.write(uri, world.store.read(uri)[:cut])
    before = serving(world), world.pointer()
    for act in (
        lambda: promote(world, world.model("second"), run="run-2"),
        lambda: CheckReleaseOperator(task_id="c", workload="tickets", root=PROD, **QUICK).execute(
            context("run-2")
        ),
    ):
        with pytest.raises((StateError, AirflowFailException, DeploymentError)) as raised:
            act()
        assert uri in str(raised.value)
        assert "versions" in str(raised.value)
    assert (serving(world), world.pointer()) == before


def test_a_hold_that_cannot_be_read_does_not_keep_a_release_open(world: ReleaseWorld) -> None:
    promote(world, world.model("first"))
    dead = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    dead.advance()
    (hold,) = [
        i.uri
        for i in world.store.iter_objects(world.ledger.prefix)
        if "000002" in i.uri and ".hold-" in i.uri
    ]
    world.store.write(hold, b"{")
    assert codes(world) == [], "somebody may be at work"
    world.sleep(16 * 60)
    assert codes(world) == ["open-release"]
    assert world.promote(world.model("third"), run="loop/run-3").outcome == "released"
    assert [e.outcome.outcome for e in world.ledger.sound().entries if e.outcome] == [
        "released",
        "rolled_back",
        "released",
    ]


def test_holds_deleted_by_hand_end_the_run_that_has_them_and_leave_no_mess(world: ReleaseWorld) -> None:
    promote(world, world.model("first"))
    mine = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    mine.advance()
    for item in list(world.store.iter_objects(world.ledger.prefix)):
        if ".hold-" in item.uri:
            world.store.delete(item.uri)
    world.sleep(61)
    with pytest.raises(DeploymentError, match="taken over by nobody"):
        mine.advance()
    opened = unfinished(world.gateways, world.store, world.root, world.workload)
    assert opened is not None
    again = world.execution(opened)
    assert world.to_the_end(again).outcome == "released"
    assert codes(world) == []


def test_the_note_of_a_way_back_deleted_by_hand_does_not_release_a_bad_model(world: ReleaseWorld) -> None:
    first = world.model("first")
    promote(world, first)
    execution = world.execution(world.prepare(world.intent(world.decision(world.model("bad", Rambles())))))
    execution.turn_back(("complaints",), "person")
    for item in list(world.store.iter_objects(world.ledger.prefix)):
        if ".against." in item.uri:
            world.store.delete(item.uri)
    assert world.to_the_end(execution).outcome == "rolled_back"
    assert (live_model(world), codes(world)) == (first, [])


def test_a_pointer_restored_to_an_older_version_is_told_and_mended(world: ReleaseWorld) -> None:
    promote(world, world.model("first"))
    older = world.gateways.parameters.get(world.pointer_name)
    promote(world, world.model("second", base=LITE), run="run-2")
    assert older is not None
    world.gateways.parameters.put(world.pointer_name, older)
    assert codes(world) == ["pointer-differs"]
    assert reap(world, 300, ignore_expiry=True) == [] or len(serving(world)) >= 1
    repair(world)
    assert codes(world) == []


def test_evidence_changed_by_hand_under_its_digest_is_refused(world: ReleaseWorld) -> None:
    first = world.model("first")
    promote(world, first)
    decision = world.decision(world.model("second"))
    intent = world.intent(decision)
    for name, raw in intent.files.items():
        uri = world.ledger.keep(name, raw)
        world.store.write(uri, b"changed")
    with pytest.raises(StateError, match="does not have the digest in its name"):
        world.prepare(intent)
    assert (len(world.ledger.sound().entries), live_model(world), codes(world)) == (1, first, [])


# Clocks and money.


def test_a_clock_that_goes_back_an_hour_in_the_bake_period_ends_all_the_same(world: ReleaseWorld) -> None:
    promote(world, world.model("first"))
    back = {"by": timedelta()}
    world.__dict__["now"] = lambda: world.sandbox.clock.now() - back["by"]
    execution = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    assert isinstance(execution.advance(), Pausing)
    back["by"] = timedelta(hours=1)
    assert world.to_the_end(execution).outcome == "released"
    del world.__dict__["now"]
    assert codes(world) == []


def test_a_throughput_that_never_gets_ready_is_given_up_and_reaped_and_the_next_run_promotes(
    world: ReleaseWorld,
) -> None:
    """What `promote_stuck_host` shows, to its end: nothing bills, and a sentence says so."""
    world.sandbox.faults.add("stuck", operation="CreateProvisionedModelThroughput")
    stuck = world.model("a")
    with pytest.raises(AirflowFailException, match=r"rolled_back: .*Creating"):
        promote(world, stuck, host_wait_hours=0.5, **on_throughput(world))
    world.sandbox.faults.clear()
    for _ in range(3):
        reap(world, 2)
        world.sleep(3600)
    assert [line for line in world.sandbox.meter()["billing_now"] if "provisioned" in str(line)] == []
    assert promote(world, world.model("b"), run="run-2", **on_throughput(world))["outcome"] == "released"


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-throughput"])
def test_a_new_host_that_fails_is_not_left_and_its_name_is_not_adopted(
    world: ReleaseWorld, kind: str
) -> None:
    operation = (
        "CreateProvisionedModelThroughput" if kind.startswith("prov") else "CreateCustomModelDeployment"
    )
    world.sandbox.faults.add("fail", operation=operation, message="capacity")
    more = on_throughput(world) if kind.startswith("prov") else {"host_kind": kind}
    with pytest.raises(AirflowFailException, match=r"rolled_back: .*capacity"):
        promote(world, world.model("a"), **more)
    world.sandbox.faults.clear()
    assert serving(world) == {}
    assert codes(world) == []
    assert promote(world, world.model("b"), run="run-2", **more)["outcome"] == "released"
    assert len(serving(world)) == 1


def void(said: Any) -> None:
    """Drop what is said."""
