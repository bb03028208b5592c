"""Jobs: data rules, sub-tasks, pace, stopping, outputs and bills."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import Pair
from tests.sandbox.conftest import STUDENT, TEACHER, prompt_lines

Put = Callable[[str, str | bytes], str]
Job = Callable[[str], dict[str, Any]]
Distil = Callable[..., str]


def details(found: dict[str, Any]) -> list[str]:
    names = ("validationDetails", "dataProcessingDetails", "trainingDetails")
    return [found["statusDetails"][name]["status"] for name in names]


def test_a_job_moves_through_its_sub_tasks_by_reads(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    bedrock_sandbox.world.set_pace("reads:3")
    distil("steps", put("p.jsonl", prompt_lines(tickets)))
    seen = [(found["status"], details(found)) for found in (job("steps") for _ in range(4))]
    assert seen == [
        ("InProgress", ["InProgress", "NotStarted", "NotStarted"]),
        ("InProgress", ["Completed", "InProgress", "NotStarted"]),
        ("InProgress", ["Completed", "Completed", "InProgress"]),
        ("Completed", ["Completed", "Completed", "Completed"]),
    ]


def test_a_list_counts_as_a_read_of_every_job(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, tickets: list[Pair]
) -> None:
    bedrock_sandbox.world.set_pace("reads:2")
    uri = put("p.jsonl", prompt_lines(tickets))
    for name in ("one", "two"):
        distil(name, uri)
    bedrock = bedrock_sandbox.client("bedrock")
    for _ in range(3):
        found = bedrock.list_model_customization_jobs()["modelCustomizationJobSummaries"]
    assert [summary["status"] for summary in found] == ["Completed", "Completed"]


def test_days_pass_in_a_moment_when_the_clock_is_moved(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    bedrock_sandbox.world.set_pace("seconds:259200")
    distil("slow", put("p.jsonl", prompt_lines(tickets)))
    assert job("slow")["status"] == "InProgress"
    bedrock_sandbox.clock.advance(2 * 86400)
    assert job("slow")["status"] == "InProgress"
    bedrock_sandbox.clock.advance(86400)
    found = job("slow")
    assert found["status"] == "Completed"
    assert (found["endTime"] - found["creationTime"]).total_seconds() == pytest.approx(259200, abs=1)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda r: r.pop("schemaVersion"), "schemaVersion"),
        (lambda r: r.update(schemaVersion="bedrock-conversion-2024"), "schemaVersion"),
        (lambda r: r.update(extra=1), "top-level"),
        (lambda r: r.update(system=[]), "system"),
        (lambda r: r["messages"].insert(0, {"role": "assistant", "content": [{"text": "x"}]}), "roles"),
        (lambda r: r["messages"][0].update(content="text"), "one text"),
        (lambda r: r["messages"][0]["content"].append({"text": "two"}), "one text"),
        (lambda r: r["messages"][0]["content"][0].update(text="  "), "one text"),
    ],
)
def test_a_record_that_breaks_the_format_is_left_out_under_a_reason(
    bedrock_sandbox: Sandbox,
    put: Put,
    distil: Distil,
    job: Job,
    keys: Callable[[str], list[str]],
    tickets: list[Pair],
    spoil: Callable[[dict[str, Any]], Any],
    reason: str,
) -> None:
    lines = prompt_lines(tickets[:101]).split("\n")
    bad = json.loads(lines[7])
    spoil(bad)
    lines[7] = json.dumps(bad)
    distil("one-bad", put("p.jsonl", "\n".join(lines)))
    assert job("one-bad")["status"] == "Completed"
    (found,) = [key for key in keys("out/") if key.endswith("prompt_insights.json")]
    insights = json.load(bedrock_sandbox.client("s3").get_object(Bucket="distill-sandbox", Key=found)["Body"])
    assert insights["acceptedPrompts"] == 100
    assert [r["record"] for r in insights["rejections"]] == ["p.jsonl:8"]
    assert reason in insights["rejections"][0]["reason"]


def test_fewer_than_a_hundred_usable_records_fail_in_validation(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    distil("few", put("p.jsonl", prompt_lines(tickets[:99])))
    found = job("few")
    assert found["status"] == "Failed"
    assert details(found) == ["Failed", "NotStarted", "NotStarted"]
    assert "99 usable records" in found["failureMessage"]
    assert "outputModelArn" not in found
    assert bedrock_sandbox.meter()["total"] == 0


def test_more_records_than_allowed_fail(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    bedrock_sandbox.world.set_quota("maximum-records", 140)
    distil("many", put("p.jsonl", prompt_lines(tickets)))
    assert "at most 140" in job("many")["failureMessage"]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://distill-sandbox/nothing.jsonl", "Could not validate GetObject permissions"),
        ("s3://no-such-bucket-here/p.jsonl", "does not exist"),
        ("s3://in-the-west/p.jsonl", "must be in us-east-1"),
    ],
)
def test_what_the_job_cannot_read_fails_it(
    bedrock_sandbox: Sandbox, distil: Distil, job: Job, uri: str, words: str
) -> None:
    bedrock_sandbox.prepare("in-the-west", region="us-west-2")
    distil("unreadable", uri)
    found = job("unreadable")
    assert found["status"] == "Failed"
    assert words in found["failureMessage"]


def test_a_role_without_permissions_fails_the_job(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    uri = put("p.jsonl", prompt_lines(tickets))
    iam = bedrock_sandbox.client("iam")
    iam.delete_role_policy(RoleName="distill-sandbox", PolicyName="bedrock-work")
    distil("weak", uri)
    assert "PutObject" in job("weak")["failureMessage"]
    allow = {"Effect": "Allow", "Action": ["s3:PutObject", "s3:ListBucket"], "Resource": "*"}
    iam.put_role_policy(
        RoleName="distill-sandbox",
        PolicyName="some",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    distil("weak-2", uri)
    assert "GetObject" in job("weak-2")["failureMessage"]


def test_a_role_that_does_not_trust_bedrock_is_refused(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, tickets: list[Pair]
) -> None:
    trust = {
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]
    }
    role = bedrock_sandbox.client("iam").create_role(
        RoleName="other", AssumeRolePolicyDocument=json.dumps(trust)
    )
    with pytest.raises(ClientError, match="trust policy"):
        distil("untrusted", put("p.jsonl", prompt_lines(tickets)), roleArn=role["Role"]["Arn"])


def test_golden_labels_cost_no_teacher_call(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    distil("golden", put("g.jsonl", prompt_lines(tickets, labelled=True)))
    assert job("golden")["status"] == "Completed"
    assert {line["service"] for line in bedrock_sandbox.meter()["lines"]} == {
        "training-tokens",
        "model-storage",
    }
    distil("asked", put("p.jsonl", prompt_lines(tickets)))
    assert job("asked")["status"] == "Completed"
    assert "distillation teacher" in {line["purpose"] for line in bedrock_sandbox.meter()["lines"]}


def test_the_outputs_lie_in_the_service_layout(
    bedrock_sandbox: Sandbox,
    put: Put,
    distil: Distil,
    job: Job,
    keys: Callable[[str], list[str]],
    tickets: list[Pair],
) -> None:
    arn = distil("files", put("p.jsonl", prompt_lines(tickets)))
    assert job("files")["status"] == "Completed"
    root = f"out/model-customization-job-{arn.rsplit('/', 1)[1]}/"
    found = {key.removeprefix(root) for key in keys(root)}
    assert "training_artifacts/step_wise_training_metrics.csv" in found
    assert any(
        key.startswith("validation_artifacts/") and key.endswith("validation_metrics.csv") for key in found
    )
    body = (
        bedrock_sandbox.client("s3")
        .get_object(Bucket="distill-sandbox", Key=root + "training_artifacts/step_wise_training_metrics.csv")[
            "Body"
        ]
        .read()
        .decode()
    )
    assert body.splitlines()[0] == "step_number,epoch_number,training_loss,perplexity"
    assert body.splitlines()[1].startswith("0,0,")


def test_a_stopped_job_leaves_no_model_and_keeps_its_name(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    bedrock_sandbox.world.set_pace("reads:9")
    uri = put("p.jsonl", prompt_lines(tickets))
    distil("halt", uri)
    bedrock = bedrock_sandbox.client("bedrock")
    bedrock.stop_model_customization_job(jobIdentifier="halt")
    assert job("halt")["status"] == "Stopping"
    found = job("halt")
    assert found["status"] == "Stopped"
    assert details(found) == ["Stopped", "NotStarted", "NotStarted"]
    assert bedrock.list_custom_models()["modelSummaries"] == []
    with pytest.raises(ClientError, match="currently in use"):
        distil("halt", uri)


@pytest.mark.parametrize(("kind", "status"), [("stuck", "InProgress"), ("fail", "Failed")])
def test_a_job_can_be_planned_to_hang_or_fail(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair], kind: str, status: str
) -> None:
    bedrock_sandbox.faults.add(kind, operation="CreateModelCustomizationJob", match="unlucky*", message=None)
    uri = put("p.jsonl", prompt_lines(tickets))
    distil("unlucky-1", uri)
    distil("lucky", uri)
    bedrock_sandbox.clock.advance(30 * 86400)
    assert job("unlucky-1")["status"] == status
    assert job("lucky")["status"] == "Completed"


def test_llama_students_are_taught_in_the_west_and_in_single_turns(
    bedrock_sandbox: Sandbox, tickets: list[Pair]
) -> None:
    role = bedrock_sandbox.prepare("in-the-west", region="us-west-2")
    turns = json.loads(prompt_lines(tickets[:1], labelled=True))
    turns["messages"].append({"role": "user", "content": [{"text": "and then?"}]})
    body = prompt_lines(tickets[:120]) + "\n" + "\n".join([json.dumps(turns)] * 5)
    bedrock_sandbox.client("s3", "us-west-2").put_object(
        Bucket="in-the-west", Key="p.jsonl", Body=body.encode()
    )
    west = bedrock_sandbox.client("bedrock", "us-west-2")
    config = {
        "distillationConfig": {
            "teacherModelConfig": {"teacherModelIdentifier": "meta.llama3-1-405b-instruct-v1:0"}
        }
    }
    west.create_model_customization_job(
        jobName="llama",
        customModelName="llama",
        roleArn=role,
        baseModelIdentifier="meta.llama3-1-8b-instruct-v1:0:128k",
        customizationType="DISTILLATION",
        trainingDataConfig={"s3Uri": "s3://in-the-west/p.jsonl"},
        outputDataConfig={"s3Uri": "s3://in-the-west/out/"},
        customizationConfig=config,
    )
    assert west.get_model_customization_job(jobIdentifier="llama")["status"] == "Completed"
    assert (
        bedrock_sandbox.client("bedrock").list_model_customization_jobs()["modelCustomizationJobSummaries"]
        == []
    )
    listed = bedrock_sandbox.client("s3", "us-west-2").list_objects_v2(Bucket="in-the-west", Prefix="out/")
    (key,) = [o["Key"] for o in listed["Contents"] if o["Key"].endswith("insights.json")]
    insights = json.load(
        bedrock_sandbox.client("s3", "us-west-2").get_object(Bucket="in-the-west", Key=key)["Body"]
    )
    assert insights["rejectedPrompts"] == 5


def test_a_quota_limits_jobs_in_progress(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, tickets: list[Pair]
) -> None:
    bedrock_sandbox.world.set_pace("reads:50")
    bedrock_sandbox.world.set_quota("customization-jobs-in-progress", 2)
    uri = put("p.jsonl", prompt_lines(tickets))
    distil("a", uri)
    distil("b", uri)
    with pytest.raises(ClientError) as caught:
        distil("c", uri)
    assert caught.value.response["Error"]["Code"] == "ServiceQuotaExceededException"


def test_fine_tuning_runs_beside_distillation(
    bedrock_sandbox: Sandbox, put: Put, job: Job, bedrock_role: str, tickets: list[Pair]
) -> None:
    bedrock_sandbox.client("bedrock").create_model_customization_job(
        jobName="tuned",
        customModelName="tuned",
        roleArn=bedrock_role,
        baseModelIdentifier=STUDENT,
        hyperParameters={"epochCount": "2"},
        trainingDataConfig={"s3Uri": put("f.jsonl", prompt_lines(tickets, labelled=True))},
        outputDataConfig={"s3Uri": "s3://distill-sandbox/out"},
    )
    assert job("tuned")["status"] == "Completed"
    assert job("tuned")["customizationType"] == "FINE_TUNING"


LLAMA = "meta.llama3-1-8b-instruct-v1:0:128k"


@pytest.mark.parametrize(
    ("student", "region", "form", "status"),
    [
        (STUDENT, "us-east-1", "conversation", "Completed"),
        (STUDENT, "us-east-1", "prompt-completion", "Failed"),
        (LLAMA, "us-west-2", "prompt-completion", "Completed"),
        (LLAMA, "us-west-2", "conversation", "Failed"),
    ],
)
def test_each_family_is_fine_tuned_on_lines_of_its_own_form(
    bedrock_sandbox: Sandbox, tickets: list[Pair], student: str, region: str, form: str, status: str
) -> None:
    role = bedrock_sandbox.prepare("tuning-data", region=region)
    lines = prompt_lines(tickets, labelled=True)
    if form == "prompt-completion":
        lines = "\n".join(json.dumps({"prompt": p.prompt, "completion": p.completion}) for p in tickets)
    bedrock_sandbox.client("s3", region).put_object(Bucket="tuning-data", Key="f.jsonl", Body=lines.encode())
    bedrock = bedrock_sandbox.client("bedrock", region)
    bedrock.create_model_customization_job(
        jobName="tuned",
        customModelName="tuned",
        roleArn=role,
        baseModelIdentifier=student,
        customizationType="FINE_TUNING",
        trainingDataConfig={"s3Uri": "s3://tuning-data/f.jsonl"},
        outputDataConfig={"s3Uri": "s3://tuning-data/out"},
    )
    found = bedrock.get_model_customization_job(jobIdentifier="tuned")
    assert found["status"] == status
    if status == "Failed":
        assert "tuned on lines of the form" in found["failureMessage"] or "records" in found["failureMessage"]


def test_the_longest_teacher_answer_is_the_jobs_limit(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, ask: Callable[..., str]
) -> None:
    bedrock_sandbox.teach([Pair(f"question {n}", "one two three four five six") for n in range(120)])
    config = {"teacherModelIdentifier": TEACHER, "maxResponseLengthForInference": 3}
    distil(
        "short",
        put("p.jsonl", prompt_lines([Pair(f"question {n}", "") for n in range(120)])),
        customizationConfig={"distillationConfig": {"teacherModelConfig": config}},
    )
    assert job("short")["status"] == "Completed"
    host = bedrock_sandbox.client("bedrock").create_custom_model_deployment(
        modelDeploymentName="short", modelArn=job("short")["outputModelArn"]
    )["customModelDeploymentArn"]
    assert ask(host, "question 7") == "one two three"


@pytest.mark.parametrize("member", ["modelId", "input", "output"])
def test_log_records_without_model_input_or_output_are_left_out(member: str) -> None:
    """AWS's validator asks of a record that these are there, also where only its prompt is used."""
    from airflow_distill.sandbox.training_data import Lesson, Refused, lesson_from_log

    record = {
        "modelId": TEACHER,
        "input": {"inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}},
        "output": {
            "outputBodyJson": {"output": {"message": {"role": "assistant", "content": [{"text": "Yes"}]}}}
        },
    }
    whole = lesson_from_log("a:1", record, with_answer=False, open_body=None)
    assert isinstance(whole, Lesson)
    del record[member]
    left_out = lesson_from_log("a:1", record, with_answer=False, open_body=None)
    assert isinstance(left_out, Refused)
    assert member in left_out.reason
