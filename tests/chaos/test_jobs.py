"""Jobs that somebody else bought, that were bought for something else, or whose model is gone: none is taken for ours."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.planning import JobPlan, plan_job
from airflow_distill.cli.plan import lines
from airflow_distill.operators.jobs import BedrockDistillModelOperator
from airflow_distill.remote.identity import TAG_ROOT, resource_tags, tag_list
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.stages.jobs.records import CustomizationSpec
from airflow_distill.stages.jobs.request import build_request
from airflow_distill.stages.jobs.spec import make_spec
from tests.chaos.playing import QUICK, context

BUCKET = "distill-sandbox"
ROOT = f"s3://{BUCKET}/loop"
ROLE = "arn:aws:iam::123456789012:role/distill-sandbox"
TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0:300k"
OURS = resource_tags("w", "loop/run-0", "platform", root=ROOT)


@pytest.fixture
def sandbox(bedrock_environment: Sandbox) -> Sandbox:
    bedrock_environment.prepare()
    bedrock_environment.prepare(role="theirs")
    for key in ("loop/w/datasets/d1/train.jsonl", "theirs/train.jsonl"):
        lines = [
            json.dumps(
                {
                    "schemaVersion": "bedrock-conversation-2024",
                    "messages": [{"role": "user", "content": [{"text": ticket.prompt}]}],
                }
            )
            for ticket in support_tickets(120, seed=len(key))
        ]
        bedrock_environment.client("s3").put_object(Bucket=BUCKET, Key=key, Body="\n".join(lines).encode())
    return bedrock_environment


def spec_of(root: str = ROOT) -> CustomizationSpec:
    return make_spec(workload="w", root=root, role_arn=ROLE, dataset=dataset())


def dataset() -> dict[str, Any]:
    return {
        "kind": "dataset", "v": 1, "workload": "w", "dataset_id": "d1", "accepted": True, "teacher": TEACHER,
        "train_uri": f"{ROOT}/w/datasets/d1/train.jsonl", "train_records": 120, "with_answers": False, "student": STUDENT,
    }  # fmt: skip


def distill(**changes: Any) -> dict[str, Any]:
    operator = BedrockDistillModelOperator(
        task_id="distill",
        workload="w",
        root=ROOT,
        role_arn=ROLE,
        dataset=dataset(),
        **{**QUICK, "waiter_delay": 0.01, **changes},
    )
    operator.pause = lambda seconds: None  # type: ignore[method-assign]
    receipt: dict[str, Any] = operator.execute(context())
    return receipt


def buy(sandbox: Sandbox, name: str, tags: dict[str, str], **changes: Any) -> str:
    request = {**build_request(spec_of(), 1), "jobName": name, "customModelName": "their-model", **changes}
    del request["clientRequestToken"]
    request |= {"jobTags": tag_list(tags), "customModelTags": tag_list(tags)}
    arn: str = sandbox.client("bedrock").create_model_customization_job(**request)["jobArn"]
    return arn


THEIRS = {"s3Uri": f"s3://{BUCKET}/theirs/train.jsonl"}


@pytest.mark.parametrize(
    ("tags", "changes", "said"),
    [
        ({"team": "other"}, {}, "somebody who does not use this package"),
        ({}, {}, "tags: none"),
        (resource_tags("w", "r", "o", root="s3://other/loop"), {}, "under root s3://other/loop"),
        (resource_tags("v", "r", "o", root=ROOT), {}, "workload v"),
        (OURS, {"roleArn": ROLE.replace("distill-sandbox", "theirs")}, "roleArn .*theirs instead of"),
        (OURS, {"trainingDataConfig": THEIRS}, "trainingDataConfig.s3Uri .*theirs/train.jsonl instead of"),
        (OURS, {"baseModelIdentifier": "amazon.nova-micro-v1:0:128k"}, "base model amazon.nova-micro"),
    ],
)
def test_a_job_under_our_name_that_is_not_ours_is_an_error_and_is_not_adopted(
    sandbox: Sandbox, tags: dict[str, str], changes: dict[str, Any], said: str
) -> None:
    theirs = buy(sandbox, spec_of().job_name(1), tags, **changes)
    with pytest.raises(AirflowFailException, match=f"OwnershipError.*{said}"):
        distill()
    assert sandbox.calls("CreateModelCustomizationJob") == 1
    assert sandbox.client("bedrock").list_tags_for_resource(resourceARN=theirs)["tags"] == tag_list(tags)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"team": "other"}, "somebody who does not use this package"),
        (resource_tags("w", "r", "o", root="s3://other/loop"), "under root s3://other/loop"),
    ],
)
def test_a_model_of_somebody_else_under_our_models_name_is_told_with_its_owner(
    sandbox: Sandbox, tags: dict[str, str], said: str
) -> None:
    model = spec_of().model_name(1)
    theirs = buy(sandbox, "their-own-job", tags, customModelName=model)
    bedrock = sandbox.client("bedrock")
    while bedrock.get_model_customization_job(jobIdentifier=theirs)["status"] == "InProgress":
        time.sleep(0.02)
    with pytest.raises(AirflowFailException, match=f"OwnershipError.*{model}.*their-own-job made it.*{said}"):
        distill()
    assert len(bedrock.list_model_customization_jobs()["modelCustomizationJobSummaries"]) == 1
    told = plan(sandbox)
    assert (told.action, "their-own-job made it" in told.why) == ("refuse", True)
    receipt = distill(first_generation=2)
    assert receipt["custom_model_arn"]
    assert receipt["job_name"] == spec_of().job_name(2)


def test_two_roots_buy_a_job_each(sandbox: Sandbox) -> None:
    assert spec_of().job_name(1) != spec_of("s3://other/loop").job_name(1)
    assert spec_of().model_name(1) != spec_of("s3://other/loop").model_name(1)


def test_a_job_of_a_version_before_roots_is_adopted_once_and_tagged_anew(sandbox: Sandbox) -> None:
    older = spec_of().older_job_name(1)
    output = {"s3Uri": f"{ROOT}/w/jobs/{older}/"}
    theirs = buy(sandbox, older, resource_tags("w", "loop/run-0", "platform"), outputDataConfig=output)
    receipt = distill()
    assert (receipt["job_arn"], receipt["adopted"]) == (theirs, True)
    assert sandbox.calls("CreateModelCustomizationJob") == 1
    for arn in (theirs, receipt["custom_model_arn"]):
        found = sandbox.client("bedrock").list_tags_for_resource(resourceARN=arn)["tags"]
        assert any(tag["key"] == TAG_ROOT and tag["value"].endswith(ROOT) for tag in found), arn
    assert distill()["job_arn"] == theirs


def test_another_roots_job_under_the_older_name_does_not_stand_in_our_way(sandbox: Sandbox) -> None:
    theirs = buy(sandbox, spec_of().older_job_name(1), resource_tags("w", "loop/run-0", "platform"),
                 outputDataConfig={"s3Uri": f"s3://{BUCKET}/other/w/jobs/x/"})  # fmt: skip
    assert distill()["job_arn"] != theirs


def test_a_completed_job_whose_model_is_gone_is_bought_again_only_on_purpose(sandbox: Sandbox) -> None:
    """It was adopted, and the host failed on the missing model for ever."""
    first = distill()
    sandbox.client("bedrock").delete_custom_model(modelIdentifier=first["custom_model_arn"])
    with pytest.raises(AirflowFailException, match=r"was deleted\. Nothing was bought\..*buy_when_spent"):
        distill()
    assert sandbox.calls("CreateModelCustomizationJob") == 1
    second = distill(buy_when_spent=True)
    assert second["job_arn"] != first["job_arn"]
    assert distill()["job_arn"] == second["job_arn"], (
        "what was bought on purpose is adopted without asking again"
    )
    assert sandbox.calls("CreateModelCustomizationJob") == 2


# What a dry run says: the same rules, and nothing sent.


def plan(sandbox: Sandbox) -> JobPlan:
    return plan_job(spec_of(), AwsGateways(sandbox.client).bedrock)


def test_a_plan_finds_what_an_earlier_version_bought_under_its_name_of_then(sandbox: Sandbox) -> None:
    """Before roots were part of names: such a job would be adopted, so a plan that says `buy` frightens for nothing."""
    assert plan(sandbox).action == "buy"
    older = spec_of().older_job_name(1)
    tags = {key: value for key, value in OURS.items() if key != TAG_ROOT}
    arn = buy(sandbox, older, tags)
    told = plan(sandbox)
    assert (told.action, [name for name, _ in told.found]) == ("adopt", [older])
    assert sandbox.client("bedrock").list_tags_for_resource(resourceARN=arn)["tags"] == tag_list(tags), (
        "only looked"
    )
    assert sandbox.calls("CreateModelCustomizationJob") == 1
    assert distill()["job_arn"] == arn


@pytest.mark.parametrize("name", ["job_name", "older_job_name"])
def test_a_plan_refuses_a_job_of_somebody_else_under_our_name_and_says_whose_it_is(
    sandbox: Sandbox, name: str
) -> None:
    buy(sandbox, getattr(spec_of(), name)(1), {"team": "other"})
    told = plan(sandbox)
    if name == "older_job_name":
        assert told.action == "buy", "another root's job has had the same name"
        return
    assert told.action == "refuse"
    assert "somebody who does not use this package" in told.why
    assert "because" in "\n".join(lines(told))


def test_a_plan_says_that_the_model_of_a_completed_job_was_deleted(sandbox: Sandbox) -> None:
    model = distill()["custom_model_arn"]
    sandbox.client("bedrock").delete_custom_model(modelIdentifier=model)
    told = plan(sandbox)
    assert (told.action, told.generation) == ("refuse", 1)
    assert "was deleted" in told.why
