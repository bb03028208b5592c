"""The job operators against the sandbox: bought once, told honestly, stopped on purpose."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_distill.aws.gateways import store_for
from airflow_distill.aws.prices import read_prices
from airflow_distill.errors import JobFailedError, JobTimeoutError, StateError
from airflow_distill.operators.base import wall_clock
from airflow_distill.operators.jobs import (
    BedrockCopyModelOperator,
    BedrockDeleteCustomModelOperator,
    BedrockDistillModelOperator,
    BedrockGetInvocationLoggingOperator,
    BedrockPutInvocationLoggingOperator,
    BedrockStopCustomizationJobOperator,
)
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.stages.money.runs import statement_of

pytestmark = pytest.mark.airflow

TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0:300k"
MODEL = "arn:aws:bedrock:us-east-1:1:custom-model/m/y"
ROOT = "s3://distill-sandbox/loop"


class Store(dict[str, Any]):
    """Airflow's task state store, in memory."""

    def set(self, key: str, value: Any, retention: Any = None) -> None:
        self[key] = json.loads(json.dumps(value))


class BrokenStore:
    def get(self, key: str, default: Any = None) -> Any:
        raise RuntimeError("the store is away")

    def set(self, key: str, value: Any, retention: Any = None) -> None:
        raise RuntimeError("the store is away")


class Instance:
    """What an operator asks of a task instance."""

    def __init__(self, run_id: str) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "loop", run_id, "submit", -1
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def context(store: Any = None, run_id: str = "manual__2026-11-24T00:00:00+00:00") -> dict[str, Any]:
    return {"ti": Instance(run_id), "run_id": run_id, "task_state_store": store}


@pytest.fixture
def dataset(bedrock_environment: Sandbox, bedrock_role: str) -> dict[str, Any]:
    """A receipt of 120 prompts that lie in the sandbox's bucket."""
    records = [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": pair.system}],
            "messages": [{"role": "user", "content": [{"text": pair.prompt}]}],
        }
        for pair in support_tickets(120)
    ]
    body = "\n".join(json.dumps(record) for record in records)
    bedrock_environment.client("s3").put_object(
        Bucket="distill-sandbox", Key="loop/w/datasets/d1/train.jsonl", Body=body.encode()
    )
    return {
        "kind": "dataset", "v": 1, "workload": "w", "dataset_id": "d1", "train_uri": f"{ROOT}/w/datasets/d1/train.jsonl",
        "train_records": 120, "with_answers": False, "teacher": TEACHER, "student": STUDENT, "accepted": True,
    }  # fmt: skip


class Quick(BedrockDistillModelOperator):
    """The operator, with pauses too short to wait for."""

    def pause(self, seconds: float) -> None:
        super().pause(min(seconds, 0.02))


def operator(
    dataset: Mapping[str, Any] | None, made_as: type[BedrockDistillModelOperator] = Quick, **kwargs: Any
) -> BedrockDistillModelOperator:
    arguments: dict[str, Any] = {
        "task_id": "distill", "workload": "w", "root": ROOT, "role_arn": "arn:aws:iam::123456789012:role/distill-sandbox",
        "dataset": dataset, "waiter_delay": 0.05, **kwargs,
    }  # fmt: skip
    return made_as(**arguments)


def creates(sandbox: Sandbox) -> int:
    return sandbox.calls("CreateModelCustomizationJob")


def test_a_blocking_task_returns_the_receipt_with_the_model(bedrock_environment, dataset):
    receipt = operator(dataset, deferrable=False).execute(context())
    assert (receipt["kind"], receipt["status"], receipt["generation"]) == ("job", "Completed", 1)
    assert receipt["custom_model_arn"].startswith("arn:aws:bedrock:us-east-1:123456789012:custom-model/")
    assert len(json.dumps(receipt)) < 2000


def test_a_second_task_with_the_same_wish_adopts_what_the_first_has_bought(bedrock_environment, dataset):
    first = operator(dataset, deferrable=False).execute(context())
    second = operator(dataset, deferrable=False, task_id="other").execute(context())
    assert (second["job_arn"], second["adopted"]) == (first["job_arn"], True)
    assert creates(bedrock_environment) == 1


@pytest.mark.parametrize("repeated_token", ["ignore", "conflict"])
def test_two_runs_that_submit_at_the_same_instant_share_one_job(bedrock_environment, dataset, repeated_token):
    """The second request has the same token and other tags; nobody knows what the service says to that."""
    bedrock_environment.world.options.change("repeated_token", repeated_token)
    shared: list[dict[str, Any]] = []

    class Overtaken(Quick):
        def fault(self, point: str) -> None:
            if point == "before-create" and not shared:
                shared.append(operator(dataset, deferrable=False).execute(context(run_id="winner")))

    mine = operator(dataset, Overtaken, deferrable=False).execute(context(run_id="late"))
    assert mine["job_arn"] == shared[0]["job_arn"]
    calls = bedrock_environment.meter()["calls"]["CreateModelCustomizationJob"]
    assert calls == {"ok": 1, {"ignore": "replayed", "conflict": "ValidationException"}[repeated_token]: 1}


def test_a_deferrable_task_defers_with_its_own_connection_and_an_absolute_deadline(
    bedrock_environment, dataset
):
    bedrock_environment.world.set_pace("reads:50")
    task = operator(
        dataset, region_name="us-east-1", verify=False, botocore_config={"retries": {"max_attempts": 2}}
    )
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    trigger = deferred.value.trigger
    assert (trigger.region_name, trigger.verify, trigger.botocore_config) == (
        "us-east-1", False, {"retries": {"max_attempts": 2}},
    )  # fmt: skip
    assert trigger.cancel_on_kill
    assert trigger.deadline > trigger.created_at
    with pytest.raises(TaskDeferred) as again:
        task.execute(context())
    assert again.value.trigger.deadline == trigger.deadline, "a retry does not move the deadline"


def test_fire_and_forget_returns_at_once_and_buys_once(bedrock_environment, dataset):
    bedrock_environment.world.set_pace("reads:50")
    for _ in range(3):
        receipt = operator(dataset, wait_for_completion=False).execute(context())
    assert (receipt["status"], receipt["custom_model_arn"]) == ("InProgress", None)
    assert creates(bedrock_environment) == 1


def test_a_remote_failure_is_told_in_the_services_words_and_the_retry_buys_exactly_one_more(
    bedrock_environment, dataset
):
    bedrock_environment.faults.add(
        "fail", operation="CreateModelCustomizationJob", message="internal trouble", count=1
    )
    with pytest.raises(JobFailedError, match="internal trouble"):
        operator(dataset, deferrable=False).execute(context())
    receipt = operator(dataset, deferrable=False).execute(context())
    assert (receipt["generation"], receipt["submissions"], receipt["adopted"]) == (2, 2, False)
    assert operator(dataset, deferrable=False).execute(context())["adopted"]
    assert creates(bedrock_environment) == 2


def test_when_all_generations_are_used_up_the_task_fails_for_good(bedrock_environment, dataset):
    bedrock_environment.faults.add(
        "fail", operation="CreateModelCustomizationJob", message="internal trouble"
    )
    for _ in range(2):
        with pytest.raises(JobFailedError):
            operator(dataset, deferrable=False).execute(context())
    with pytest.raises(AirflowFailException, match="max_generations"):
        operator(dataset, deferrable=False).execute(context())
    assert creates(bedrock_environment) == 2


@pytest.mark.parametrize("kind", ["lost-answer", "drop", "internal", "throttle", "unavailable"])
def test_a_create_whose_answer_is_lost_or_refused_for_now_still_makes_one_job(
    bedrock_environment, dataset, kind
):
    bedrock_environment.faults.add(kind, operation="CreateModelCustomizationJob", count=1)
    receipt = operator(
        dataset, deferrable=False, botocore_config={"retries": {"total_max_attempts": 1}}
    ).execute(context())
    assert receipt["status"] == "Completed"
    jobs = bedrock_environment.client("bedrock").list_model_customization_jobs()[
        "modelCustomizationJobSummaries"
    ]
    assert len(jobs) == 1


def test_the_state_store_is_a_shortcut_and_its_failure_costs_nothing(bedrock_environment, dataset):
    store = Store()
    operator(dataset, deferrable=False).execute(context(store))
    assert store["distill_submission"]["generation"] == 1
    assert operator(dataset, deferrable=False).execute(context(BrokenStore()))["adopted"]
    assert operator(dataset, deferrable=False).execute(context(store))["adopted"]
    assert creates(bedrock_environment) == 1


def test_a_passed_deadline_fails_the_task_and_leaves_the_job_or_stops_it(bedrock_environment, dataset):
    bedrock_environment.world.set_pace("reads:500")
    task = operator(dataset, deferrable=False, wait_timeout=timedelta(seconds=0))
    with pytest.raises(AirflowFailException, match="deadline"):
        task.execute(context())
    assert bedrock_environment.calls("StopModelCustomizationJob") == 0
    stopping = operator(dataset, deferrable=False, wait_timeout=timedelta(seconds=0), on_deadline="stop")
    with pytest.raises(AirflowFailException, match="asked to stop"):
        stopping.execute(context())
    assert bedrock_environment.calls("StopModelCustomizationJob") == 1
    assert creates(bedrock_environment) == 1
    assert not JobTimeoutError.retryable


@pytest.mark.parametrize("event", [None, {}, {"status": "success"}, {"status": "error"}])
def test_a_resume_without_a_readable_event_is_never_a_success(dataset, event):
    with pytest.raises(StateError):
        operator(dataset).execute_complete(context(), event)


def test_the_resumed_task_asks_only_for_what_the_job_used(bedrock_environment, dataset):
    snapshot = {
        "kind": "customization-job", "arn": "arn:aws:bedrock:us-east-1:1:model-customization-job/m/x", "name": "n",
        "state": "succeeded", "status": "Completed", "details": {"output_model_arn": MODEL},
    }  # fmt: skip
    carry = {
        "workload": "w",
        "dataset_id": "d1",
        "teacher": TEACHER,
        "student": STUDENT,
        "generation": 2,
        "submissions": 2,
    }
    here = context()
    receipt = operator(dataset).execute_complete(
        here, {"status": "success", "snapshot": snapshot, "carry": carry}
    )
    assert (receipt["custom_model_arn"], receipt["generation"]) == (
        "arn:aws:bedrock:us-east-1:1:custom-model/m/y",
        2,
    )
    assert set(bedrock_environment.meter()["calls"]) == {"GetModelCustomizationJob"}
    assert "/item?arn=" in here["ti"].pushed["bedrock_custom_model"]["page"]


def test_what_would_be_refused_is_named_before_anything_is_sent(bedrock_environment, dataset):
    with pytest.raises(AirflowFailException, match="not a listed student"):
        operator(dataset, student="amazon.nova-lite-v1:0").execute(context())
    with pytest.raises(AirflowFailException, match="rejected"):
        operator({**dataset, "accepted": False}).execute(context())
    with pytest.raises(AirflowFailException, match="either a dataset"):
        operator(None).execute(context())
    assert bedrock_environment.meter()["calls"] == {}


def test_a_refused_request_fails_at_once_with_the_services_words(bedrock_environment, dataset):
    with pytest.raises(AirflowFailException, match="ValidationException"):
        operator(dataset, role_arn="arn:aws:iam::123456789012:role/nobody").execute(context())


def test_job_and_model_carry_our_tags_and_the_users(bedrock_environment, dataset):
    receipt = operator(dataset, deferrable=False, tags={"team": "search"}, owner="support").execute(context())
    client = bedrock_environment.client("bedrock")
    for arn in (receipt["job_arn"], receipt["custom_model_arn"]):
        tags = {t["key"]: t["value"] for t in client.list_tags_for_resource(resourceARN=arn)["tags"]}
        assert tags["airflow-distill:workload"] == "w"
        assert tags["airflow-distill:run"] == "loop/manual__2026-11-24T00:00:00+00:00"
        assert tags["airflow-distill:owner"] == "support"
        assert tags["airflow-distill:expires-at"].endswith("Z")
        assert tags["team"] == "search"


def test_invocation_logs_can_be_the_data_with_filter_and_answers(bedrock_environment, bedrock_role):
    bedrock_environment.enable_logging("distill-sandbox", "logs")
    bedrock_environment.play(
        [
            {"prompt": p.prompt, "system": p.system, "completion": p.completion, "metadata": {"app": "desk"}}
            for p in support_tickets(130)
        ],
        model_id=TEACHER,
    )
    logs = {
        "uri": "s3://distill-sandbox/logs",
        "use_prompt_response": True,
        "filters": {"equals": {"app": "desk"}},
    }
    receipt = operator(
        None, invocation_logs=logs, teacher=TEACHER, student=STUDENT, deferrable=False
    ).execute(context())
    assert receipt["status"] == "Completed"
    job = bedrock_environment.client("bedrock").get_model_customization_job(jobIdentifier=receipt["job_arn"])
    config = job["trainingDataConfig"]["invocationLogsConfig"]
    assert config["usePromptResponse"] is True
    assert config["requestMetadataFilters"] == {"equals": {"app": "desk"}}


def judged_by(sandbox: Sandbox) -> dict[str, Any]:
    """A receipt of what was measured of the logs that a job reads itself."""
    profile = {"examples": 100, "input_tokens": 2_000, "output_tokens": 300}
    sandbox.client("s3").put_object(
        Bucket="distill-sandbox",
        Key="loop/w/datasets/judged/manifest.json",
        Body=json.dumps({"profile": {"train": profile}}).encode(),
    )
    return {
        "dataset_id": "judged",
        "manifest_uri": f"{ROOT}/w/datasets/judged/manifest.json",
        "train_records": 100,
    }


def money_of(hook_of: BedrockDistillModelOperator, dataset_id: str) -> Any:
    table = read_prices(hook_of.gateways, None, student=STUDENT, stated={"training": 0.001})
    store = store_for(hook_of.gateways, ROOT)
    return statement_of(store, ROOT, "w", dataset_id, table, now=wall_clock())


@pytest.mark.parametrize("answers", [True, False])
def test_a_job_that_reads_the_logs_is_paid_for_by_the_run_that_it_is_judged_in(
    bedrock_environment, bedrock_role, answers: bool
):
    bedrock_environment.enable_logging("distill-sandbox", "logs")
    bedrock_environment.play(
        [{"prompt": p.prompt, "system": p.system, "completion": p.completion} for p in support_tickets(130)],
        model_id=TEACHER,
    )
    logs = {"uri": "s3://distill-sandbox/logs", "use_prompt_response": answers}
    distill = operator(
        None,
        invocation_logs=logs,
        dataset_id="of the logs",
        reckon_with=judged_by(bedrock_environment),
        teacher=TEACHER,
        student=STUDENT,
        budget={"usd_per_run": 1000, "usd_per_month": 1000},
        student_prices={"training": 0.001},
        deferrable=False,
    )
    assert distill.execute(context())["status"] == "Completed"
    (job,) = money_of(distill, "judged").rows
    assert (job.stage, job.how, job.open_usd) == ("job", "derived", 0)
    assert job.actual_usd > 0
    assert bool(job.calls) is not answers, "the teacher is asked only where the logged answers are not taken"
    assert money_of(distill, "of the logs").rows == ()


def test_a_job_that_failed_while_its_data_was_checked_came_to_nothing(bedrock_environment, dataset):
    store, uri = "distill-sandbox", "loop/w/datasets/d1/train.jsonl"
    bedrock_environment.client("s3").put_object(Bucket=store, Key=uri, Body=b'{"schemaVersion":"x"}\n' * 5)
    judged = judged_by(bedrock_environment)
    distill = operator(
        {**dataset, "manifest_uri": judged["manifest_uri"]},
        budget={"usd_per_run": 1000},
        student_prices={"training": 0.001},
        deferrable=False,
        max_generations=1,
    )
    with pytest.raises(AirflowFailException):
        distill.execute(context())
    (job,) = money_of(distill, "d1").rows
    assert (job.actual_usd, job.open_usd, job.how) == (0, 0, "derived")


def test_stopping_is_asked_once_and_an_ended_job_is_left_as_it_is(bedrock_environment, dataset):
    bedrock_environment.world.set_pace("reads:50")
    job = operator(dataset, wait_for_completion=False).execute(context())
    told = BedrockStopCustomizationJobOperator(task_id="stop", job=job).execute(context())
    assert (told["asked"], told["status"]) == (True, "Stopping")
    bedrock_environment.world.set_pace("instant")
    told = BedrockStopCustomizationJobOperator(task_id="stop", job=job["job_name"]).execute(context())
    assert not told["asked"]
    assert bedrock_environment.calls("StopModelCustomizationJob") == 1


def test_a_model_is_deleted_once_and_its_absence_is_no_error(bedrock_environment, dataset):
    job = operator(dataset, deferrable=False).execute(context())
    delete = BedrockDeleteCustomModelOperator(task_id="delete", model=job)
    assert delete.execute(context())["deleted"]
    assert not delete.execute(context())["deleted"]
    with pytest.raises(AirflowFailException, match="no custom model"):
        BedrockDeleteCustomModelOperator(task_id="delete", model={}).execute(context())


def test_logging_is_written_only_when_it_differs(bedrock_environment, bedrock_role):
    get = BedrockGetInvocationLoggingOperator(task_id="get", require_s3=True)
    with pytest.raises(AirflowFailException, match="not delivered"):
        get.execute(context())
    bedrock_environment.enable_logging("distill-sandbox", "logs")
    put = BedrockPutInvocationLoggingOperator(task_id="put", bucket="distill-sandbox", prefix="other")
    assert put.execute(context())["changed"]
    assert not put.execute(context())["changed"]
    configuration = get.execute(context())["configuration"]
    assert configuration["s3Config"] == {"bucketName": "distill-sandbox", "keyPrefix": "other"}


def test_a_model_is_copied_once(bedrock_environment, dataset):
    job = operator(dataset, deferrable=False).execute(context())
    for _ in range(2):
        copy = BedrockCopyModelOperator(
            task_id="copy",
            model=job,
            workload="w",
            region_name="us-west-2",
            deferrable=False,
            waiter_delay=0.05,
        ).execute(context())
    assert copy["status"] == "Completed"
    assert ":us-west-2:" in copy["model_arn"]
    assert bedrock_environment.calls("CreateModelCopyJob") == 1


def test_a_copy_under_our_name_that_is_not_ours_is_an_error(bedrock_environment, dataset):
    from airflow_distill.remote.identity import copy_name, tag_list

    job = operator(dataset, deferrable=False).execute(context())
    west = bedrock_environment.client("bedrock", region="us-west-2")
    name = copy_name("w", job["custom_model_arn"], "us-west-2", root=ROOT)
    theirs = [{"key": "team", "value": "search"}]
    west.create_model_copy_job(
        sourceModelArn=job["custom_model_arn"], targetModelName=name, targetModelTags=theirs
    )
    copy = BedrockCopyModelOperator(
        task_id="copy", model=job, workload="w", root=ROOT, region_name="us-west-2", deferrable=False
    )
    with pytest.raises(AirflowFailException, match=r"OwnershipError.* team=search"):
        copy.execute(context())
    assert (
        tag_list({"team": "search"})
        == west.list_model_copy_jobs()["modelCopyJobSummaries"][0]["targetModelTags"]
    )


def test_job_model_and_copy_say_which_airflow_made_them(bedrock_environment, dataset, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_AIRFLOW_DISTILL_AIRFLOW_ID", "9f3ab0c2d4e5f607")
    job = operator(dataset, deferrable=False).execute(context())
    copy = BedrockCopyModelOperator(
        task_id="copy",
        model=job,
        workload="w",
        root=ROOT,
        region_name="us-west-2",
        deferrable=False,
        waiter_delay=0.05,
    ).execute(context())
    for region, arn in (
        ("us-east-1", job["job_arn"]),
        ("us-east-1", job["custom_model_arn"]),
        ("us-west-2", copy["model_arn"]),
    ):
        listed = bedrock_environment.client("bedrock", region=region).list_tags_for_resource(resourceARN=arn)
        tags = {tag["key"]: tag["value"] for tag in listed["tags"]}
        assert tags["airflow-distill:airflow"] == "9f3ab0c2d4e5f607"
        assert tags["airflow-distill:root"].endswith(ROOT)


OPERATORS = (
    BedrockDistillModelOperator, BedrockStopCustomizationJobOperator, BedrockDeleteCustomModelOperator,
    BedrockPutInvocationLoggingOperator, BedrockGetInvocationLoggingOperator, BedrockCopyModelOperator,
)  # fmt: skip


def own_arguments(cls: type) -> set[str]:
    """Return the arguments that a class and its bases in this package add to Airflow's and the provider's."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("airflow_distill.") and "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    return names - set(inspect.signature(BaseOperator.__init__).parameters)


@pytest.mark.parametrize("cls", OPERATORS)
def test_every_argument_is_a_template_field_assigned_unchanged(cls):
    values = {name: object() for name in own_arguments(cls)}
    built = cls(task_id="t", **values)
    assert own_arguments(cls) <= set(cls.template_fields)
    assert {name: getattr(built, name) for name in values} == values
    assert {"aws_conn_id", "region_name", "verify"} <= set(cls.template_fields)


@pytest.mark.parametrize("minutes", [10, -10])
def test_clocks_ten_minutes_apart_stop_no_job_that_was_just_bought(bedrock_environment, dataset, minutes):
    """With the service's clock behind, a wait of five minutes was over before it began."""
    bedrock_environment.world.set_pace("reads:3")
    bedrock_environment.world.clock.advance(minutes * 60)
    receipt = operator(
        dataset, deferrable=False, on_deadline="stop", wait_timeout=timedelta(minutes=5)
    ).execute(context())
    assert receipt["status"] == "Completed"
    assert bedrock_environment.calls("StopModelCustomizationJob") == 0
