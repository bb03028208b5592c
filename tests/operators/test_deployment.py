"""Hosts, promotion, teardown and reaping as tasks, against the sandbox."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_distill.errors import DeploymentError
from airflow_distill.operators.deployment import (
    BedrockPromoteModelOperator,
    BedrockRollbackModelOperator,
    CheckReleaseOperator,
    GuardReleaseOperator,
    SmokeTestOperator,
)
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.operators.reap import ReapUnusedOperator
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.money.records import Tokens
from airflow_distill.stages.money.usage import RunUsage
from tests.release_world import Guesses, Rambles, ReleaseWorld

pytestmark = pytest.mark.airflow

OPERATORS = [
    BedrockCreateHostOperator,
    BedrockDeleteHostOperator,
    BedrockPromoteModelOperator,
    BedrockRollbackModelOperator,
    CheckReleaseOperator,
    GuardReleaseOperator,
    ReapUnusedOperator,
    SmokeTestOperator,
]
QUICK = {"deferrable": False, "waiter_delay": 0.01}
SMOKE = {"prompts": 4, "shape": {"one_of": "references"}}
BAKE = {"probes": 1, "prompts": 4, "min_score": 0.5}


class Instance:
    """What an operator asks of a task instance."""

    def __init__(self, run_id: str) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "loop", run_id, "task", -1
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def context(run_id: str = "manual__2026-11-24T00:00:00+00:00") -> dict[str, Any]:
    return {"ti": Instance(run_id), "run_id": run_id}


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_environment)


def job_of(model_arn: str) -> dict[str, Any]:
    return {
        "kind": "job",
        "v": 1,
        "custom_model_arn": model_arn,
        "dataset_id": "d1",
        "job_arn": model_arn.replace("custom-model", "model-customization-job"),
    }


def create(job: Any, **changes: Any) -> BedrockCreateHostOperator:
    return BedrockCreateHostOperator(
        task_id="candidate", workload="support_tickets", job=job, **{**QUICK, **changes}
    )


def promote(
    world: ReleaseWorld, model: str, made_of: Any = BedrockPromoteModelOperator, **changes: Any
) -> BedrockPromoteModelOperator:
    given: dict[str, Any] = {"smoke": SMOKE, "bake": BAKE, **QUICK, **changes}
    made: BedrockPromoteModelOperator = made_of(
        task_id="promote",
        workload=world.workload,
        root=world.root,
        decision=world.decision(model),
        job=job_of(model),
        **given,
    )
    return made


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_argument_is_kept_unchanged_and_templated(operator: Any) -> None:
    """A value wrapped in the constructor is neither rendered nor a dependency."""
    own = [p for p in inspect.signature(operator.__init__).parameters if p not in ("self", "kwargs")]
    marks = {name: f"{{{{ params.{name} }}}}" for name in own}
    switches = {"wait_for_completion", "fail_on_rollback", "fail_if_found"}
    needed = {"workload": "{{ w }}", "root": "{{ r }}"}
    given = {**{k: v for k, v in needed.items() if k in operator.template_fields}, **marks}
    task = operator(task_id="t", **given)
    for name, value in given.items():
        assert getattr(task, name) == value
        assert name in switches or name in operator.template_fields


def test_a_candidate_host_carries_our_tags_and_a_second_try_finds_it(world: ReleaseWorld) -> None:
    job = job_of(world.model("first"))
    first = create(job).execute(context())
    again = create(job).execute(context())
    assert first == again
    assert first["host_kind"] == "custom-model-deployment"
    assert (first["temporary"], first["status"], first["hourly_price"]) == (True, "Active", None)
    assert first["expires_at"]
    tags = world.gateways.bedrock.tags(first["host_arn"])
    assert tags["airflow-distill:run"] == "loop/manual__2026-11-24T00:00:00+00:00"
    assert tags["airflow-distill:owner"] == "airflow"
    assert world.sandbox.calls("CreateCustomModelDeployment") == 1
    assert len(json.dumps(first)) < 2048


def test_throughput_bought_for_a_candidate_tells_its_price_and_end(world: ReleaseWorld) -> None:
    host = create(
        job_of(world.model("first")),
        host_kind="provisioned-throughput",
        units="2",
        hourly_price="18.4",
        lifetime_hours=6,
    ).execute(context())
    assert host["hourly_price"] == 36.8
    assert world.gateways.bedrock.tags(host["host_arn"])["airflow-distill:hourly-price"] == "18.4"


def test_a_candidate_is_not_given_throughput_because_the_live_host_will_be_busy(world: ReleaseWorld) -> None:
    """Cheaper at the forecast traffic is said of the live host; a candidate answers a few hundred prompts."""
    busy: dict[str, Any] = {
        "units": 1, "hourly_price": 1.0, "lifetime_hours": 24,
        "input_tokens_per_day": 10**12, "output_tokens_per_day": 10**11,
    }  # fmt: skip
    assert (
        create(job_of(world.model("first")), **busy).execute(context())["host_kind"]
        == "custom-model-deployment"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host_kind": "provisioned-throughput", "units": 1, "hourly_price": 18.4}, "needs an end date"),
        ({"host_kind": "provisioned-throughput", "units": 1, "lifetime_hours": 2}, "hourly price"),
        ({"host_kind": "lambda"}, "is not a host kind"),
        ({"daily_price_cap": 5}, "unknown, and a cap"),
    ],
)
def test_a_host_that_may_not_be_had_fails_the_task_at_once_and_buys_nothing(
    world: ReleaseWorld, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        create(job_of(world.model("first")), **changes).execute(context())
    assert world.hosts() == []


def test_the_wait_for_a_host_frees_the_worker_and_resumes_on_the_triggers_event(world: ReleaseWorld) -> None:
    world.sandbox.world.set_pace("reads:3")
    job = job_of(world.model("first"))
    with pytest.raises(TaskDeferred) as deferred:
        create(job, deferrable=True, waiter_delay=0.05).execute(context())
    assert deferred.value.method_name == "resume"
    event = asyncio.run(one_event(deferred.value.trigger))
    host = create(job, deferrable=True).resume(context(), event)
    assert host["status"] == "Active"
    assert world.sandbox.calls("CreateCustomModelDeployment") == 1


def test_a_host_that_takes_too_long_is_an_error_that_says_so(world: ReleaseWorld) -> None:
    event = {"v": 1, "status": "timeout", "snapshot": None, "trouble": None}
    with pytest.raises(AirflowFailException, match="deadline passed"):
        create(job_of(world.model("first"))).resume(context(), event)


def test_teardown_removes_this_runs_temporary_hosts_and_nothing_else(world: ReleaseWorld) -> None:
    model = world.model("first")
    live = world.promote(model).host_arn
    mine = create(job_of(model)).execute(context("run-1"))["host_arn"]
    other = create(job_of(model)).execute(context("run-2"))["host_arn"]
    foreign = world.client("bedrock").create_custom_model_deployment(
        modelDeploymentName="theirs", modelArn=model
    )["customModelDeploymentArn"]
    said = teardown(None).execute(context("run-1"))
    assert said["deleted"] == [mine]
    assert set(world.hosts()) == {live, other, foreign}
    assert (
        teardown({"host_arn": live, "host_kind": "custom-model-deployment"}).execute(context("run-1"))[
            "deleted"
        ]
        == []
    ), "a receipt that names the live host does not delete it"
    assert teardown("None").execute(context("run-3"))["deleted"] == []


def test_teardown_waits_for_throughput_that_is_busy(world: ReleaseWorld) -> None:
    model = world.model("first")
    host = create(
        job_of(model), host_kind="provisioned-throughput", units=1, hourly_price=15, lifetime_hours=2
    ).execute(context())
    world.sandbox.world.set_pace("reads:2")
    second = world.model("second")
    world.gateways.bedrock.update_provisioned_throughput(host["host_arn"], second)
    assert teardown(host).execute(context())["deleted"] == [host["host_arn"]]
    assert set(world.sandbox.meter()["billing_now"]) == {model, second}


def teardown(host: Any) -> BedrockDeleteHostOperator:
    return BedrockDeleteHostOperator(task_id="teardown", workload="support_tickets", host=host, **QUICK)


def test_promotion_returns_a_receipt_and_smoke_test_asks_the_live_host(world: ReleaseWorld) -> None:
    model = world.model("first")
    said = promote(world, model).execute(context())
    assert (said["outcome"], said["release"], said["model_arn"]) == ("released", 1, model)
    assert said["pointer"] == world.pointer_name
    assert said["release_uri"].endswith("/support_tickets/releases/000001.json")
    assert len(json.dumps(said)) < 2048
    for receipt in (said, json.dumps(said), None):
        smoke = SmokeTestOperator(
            task_id="smoke", workload=world.workload, root=world.root, deployment=receipt, smoke=SMOKE
        ).execute(context())
        assert (smoke["asked"], smoke["shaped"], smoke["host_arn"]) == (4, 4, said["host_arn"])
    usage = RunUsage(world.store, world.root, world.workload, world.dataset_id).read()
    asked = [record for record in usage if record.what == "smoke test"]
    assert [(record.stage, record.kind, record.calls, record.at_risk) for record in asked] == [
        ("release", "deployment", 4, Tokens())
    ] * 3
    assert all(record.tokens.input and record.tokens.output for record in asked)


def test_promotion_defers_for_the_host_and_for_the_bake_period_and_ends_the_same(world: ReleaseWorld) -> None:
    """Every resume is a fresh operator, as on another worker; nothing is remembered but account and ledger."""
    world.sandbox.world.set_pace("reads:3", "custom-model-deployment")
    model = world.model("first")
    settings: dict[str, Any] = {
        "deferrable": True,
        "waiter_delay": 0.05,
        "bake": {**BAKE, "probes": 2, "every_seconds": 600},
    }
    waits: list[str] = []

    class OnSandboxTime(BedrockPromoteModelOperator):
        def now(self) -> Any:
            return world.now()

    def step(event: Any = None) -> Any:
        operator = promote(world, model, made_of=OnSandboxTime, **settings)
        try:
            return operator.resume(context(), event) if waits else operator.execute(context())
        except TaskDeferred as deferred:
            waits.append(type(deferred.trigger).__name__)
            if waits[-1] == "DateTimeTrigger":
                world.sleep(601)
                return step()
            return step(asyncio.run(one_event(deferred.trigger)))

    said = step()
    assert said["outcome"] == "released"
    assert waits[0] == "BedrockCustomModelDeploymentReadyTrigger"
    assert "DateTimeTrigger" in waits
    assert world.sandbox.calls("CreateCustomModelDeployment") == 1


def test_a_rollback_fails_the_task_and_its_receipt_tells_what_is_live(world: ReleaseWorld) -> None:
    first = world.model("first")
    address = promote(world, first).execute(context("run-1"))["host_arn"]
    now = context("run-2")
    with pytest.raises(AirflowFailException, match="release 2 of support_tickets was rolled_back"):
        promote(world, world.model("second", Guesses())).execute(now)
    said = now["ti"].pushed["return_value"]
    assert (said["outcome"], said["host_arn"], said["model_arn"]) == ("rolled_back", address, first)
    quiet = promote(world, world.model("third", Rambles()), fail_on_rollback=False).execute(context("run-3"))
    assert quiet["outcome"] == "rolled_back"


def test_a_verdict_other_than_promote_skips_the_task(world: ReleaseWorld) -> None:
    decision = world.decision(world.model("first"), verdict="hold")
    with pytest.raises(AirflowSkipException, match="hold"):
        BedrockPromoteModelOperator(
            task_id="p", workload=world.workload, root=world.root, decision=decision
        ).execute(context())


def test_a_plan_only_promotion_changes_nothing(world: ReleaseWorld) -> None:
    said = promote(world, world.model("first"), plan_only="true").execute(context())
    assert said["outcome"] == "dry_run"
    assert world.hosts() == []
    assert world.ledger.read().entries == ()


def test_the_rollback_task_goes_back_once_however_often_it_is_cleared(world: ReleaseWorld) -> None:
    models = [world.model(name) for name in ("first", "second", "third")]
    for number, model in enumerate(models):
        promote(world, model).execute(context(f"run-{number}"))
    task = BedrockRollbackModelOperator(task_id="back", workload=world.workload, root=world.root, **QUICK)
    said = [task.execute(context("back-1")) for _ in range(2)]
    assert said[0] == said[1]
    assert said[0]["model_arn"] == models[1]
    assert world.pointer()["model_arn"] == models[1]


def test_the_reaper_lists_with_daily_prices_and_removes_only_when_told(world: ReleaseWorld) -> None:
    host = create(
        job_of(world.model("first")),
        host_kind="provisioned-throughput",
        units=1,
        hourly_price=15,
        lifetime_hours=2,
    )
    arn = host.execute(context())["host_arn"]
    assert reap(world).execute(context())["removable"] == 0, "its end has not come"
    world.gateways.bedrock.tag(arn, {"airflow-distill:expires-at": "20260101T000000Z"})
    listed = reap(world).execute(context())
    assert (listed["found"], listed["removable"], listed["removed"]) == (2, 1, 0)
    assert listed["daily_price"] >= 360.0
    assert world.hosts() == [arn]
    with pytest.raises(AirflowFailException, match="still bill"):
        reap(world, fail_if_found=True).execute(context())
    assert reap(world, delete="true").execute(context())["removed"] == 1
    assert world.hosts() == []


def reap(world: ReleaseWorld, **changes: Any) -> ReapUnusedOperator:
    return ReapUnusedOperator(task_id="reap", root=world.root, **changes)


def test_no_task_log_or_receipt_holds_prompt_or_answer_text(
    world: ReleaseWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="airflow")
    now = context()
    with pytest.raises(AirflowFailException):
        promote(world, world.model("first", Rambles())).execute(now)
    told = caplog.text + json.dumps(now["ti"].pushed)
    told += "".join(
        world.store.read(item.uri).decode() for item in world.store.iter_objects(world.ledger.prefix)
    )
    assert "weather" not in told
    assert "Ticket number" not in told


def test_what_was_really_distilled_judged_and_promoted_verifies_link_by_link(trained_student: Any) -> None:
    """No part is made up here: job, answers, scorecard, decision and release come from the package's own tasks."""
    from airflow_distill.aws.verify import verify_workload
    from airflow_distill.operators.decision import DecidePromotionOperator
    from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator

    w = trained_student
    made = w.gateways.bedrock.get_custom_model(w.job["custom_model_arn"])
    job = {**w.job, "job_arn": made["jobArn"]}
    answers = CollectAnswersOperator(
        task_id="collect", dataset=w.dataset, workload=w.workload, root=w.root, job=job, host=w.host
    ).execute({})
    evaluation = ScoreAnswersOperator(task_id="score", answers=answers, dataset=w.dataset).execute({})
    decision = DecidePromotionOperator(
        task_id="decide", evaluation=evaluation, policy={"metrics": {"exact": 0.2}}, job=job
    ).execute({})
    said = BedrockPromoteModelOperator(
        task_id="promote", workload=w.workload, root=w.root, decision=decision, job=job, bake=BAKE, **QUICK
    ).execute(context())
    assert said["outcome"] == "released"
    result = verify_workload(w.gateways, w.gateways.objects, w.root, w.workload)
    assert result.broken == ()
    w.gateways.objects.write(f"{evaluation['scorecard_uri'].rpartition('/')[0]}/answers/student.jsonl", b"{}")
    broken = verify_workload(w.gateways, w.gateways.objects, w.root, w.workload).broken
    assert [b.link for b in broken] == ["answers of student"]


async def one_event(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


# People in the middle.


def around(world: ReleaseWorld, made_of: Any, **changes: Any) -> Any:
    return made_of(task_id="around", workload=world.workload, root=world.root, **{**QUICK, **changes})


def open_release(world: ReleaseWorld, run: str = "run-1") -> str:
    """Leave a release open in its bake period, as a run does that is killed there; returns the model live before."""
    first = world.model("first")
    promote(world, first).execute(context("run-0"))
    slow = {"probes": 2, "prompts": 2, "every_seconds": 3600}
    with pytest.raises(TaskDeferred):
        promote(world, world.model("second"), bake=slow, deferrable=True).execute(context(run))
    assert world.ledger.read().open is not None
    return first


def test_the_guard_of_a_run_that_a_person_ended_rolls_its_release_back(world: ReleaseWorld) -> None:
    first = open_release(world)
    said = around(world, GuardReleaseOperator).execute(context("run-1"))
    assert (said["release"], said["outcome"]) == (2, "rolled_back")
    assert world.pointer()["model_arn"] == first
    assert around(world, GuardReleaseOperator).execute(context("run-1"))["release"] is None


def test_the_guard_leaves_a_release_of_another_run_alone(world: ReleaseWorld) -> None:
    open_release(world, "run-1")
    assert around(world, GuardReleaseOperator).execute(context("run-2"))["outcome"] is None
    assert world.ledger.read().open is not None


def test_a_run_that_was_rolled_back_by_its_guard_does_not_go_on_when_it_wakes_up(world: ReleaseWorld) -> None:
    first = open_release(world)
    around(world, GuardReleaseOperator).execute(context("run-1"))
    decision = world.decision(world.model("second"))
    assert decision["verdict"] == "promote"
    assert world.pointer()["model_arn"] == first
    assert [e.outcome.outcome for e in world.ledger.read().entries if e.outcome] == [
        "released",
        "rolled_back",
    ]


def test_a_rollback_task_takes_over_a_release_that_another_run_bakes(world: ReleaseWorld) -> None:
    first = open_release(world)
    back = around(world, BedrockRollbackModelOperator, why="complaints").execute(context("run-9"))
    assert (back["release"], back["outcome"], back["reasons"]) == (2, "rolled_back", ["complaints"])
    assert world.pointer()["model_arn"] == first


def test_a_run_begins_by_rolling_back_what_a_dead_run_left_open(world: ReleaseWorld) -> None:
    first = open_release(world)
    check = around(world, CheckReleaseOperator)
    assert check.execute(context("run-2"))["drift"] == [], "somebody still works on it"
    release = world.ledger.read().entries[-1].release
    hold = world.ledger.holder(release)
    assert hold is not None
    world.ledger.give_back(hold, "2026-01-01T00:00:00Z")
    assert check.execute(context("run-2"))["drift"] == []
    assert world.pointer()["model_arn"] == first
    assert world.ledger.read().open is None


def test_a_run_ends_at_once_with_one_sentence_when_the_live_host_is_gone(world: ReleaseWorld) -> None:
    promote(world, world.model("first")).execute(context("run-0"))
    world.gateways.bedrock.delete_deployment(world.hosts()[0])
    told = context("run-1")
    with pytest.raises(
        AirflowFailException, match=r"production is down: the host .* does not exist"
    ) as caught:
        around(world, CheckReleaseOperator).execute(told)
    assert "release repair" in str(caught.value)
    assert told["ti"].pushed["return_value"]["drift"][0]["code"] == "host-gone"
    assert around(world, CheckReleaseOperator, on_drift="tell").execute(context("run-1"))["drift"]


def test_a_promotion_without_a_receipt_names_the_task_before_it(world: ReleaseWorld) -> None:
    task = BedrockPromoteModelOperator(task_id="p", workload=world.workload, root=world.root, decision=None)  # type: ignore[arg-type]
    with pytest.raises(AirflowFailException, match=r"decision.* (is missing|is empty)"):
        task.execute(context())


def test_a_host_that_does_not_settle_in_time_ends_with_an_open_release_that_the_next_run_mends(
    world: ReleaseWorld,
) -> None:
    first = world.model("first")
    promote(world, first).execute(context("run-0"))
    world.sandbox.world.set_pace("seconds:36000", "custom-model-deployment")
    with pytest.raises(
        DeploymentError,
        match=r"release 2 is open and being repaired: .* the host serves .* the pointer names",
    ):
        promote(world, world.model("second"), host_wait_hours=0.0003).execute(context("run-1"))
    world.sandbox.clock.advance(36001)
    world.sandbox.world.set_pace("instant", "custom-model-deployment")
    third = world.model("third")
    assert promote(world, third).execute(context("run-2"))["outcome"] == "released"
    assert [e.outcome.outcome for e in world.ledger.read().entries if e.outcome] == [
        "released",
        "rolled_back",
        "released",
    ]
    assert world.pointer()["model_arn"] == third
