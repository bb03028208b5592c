"""`doctor` names each failure alone with its cure; `plan` shows what would be sent and sends nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_distill.aws.doctor import doctor
from airflow_distill.aws.gateways import AwsGateways, gateways_from_session
from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.stages.jobs.preflight import CheckResult, Preflight, failures, unasked

TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0:300k"
ROOT, ROLE = "s3://distill-sandbox/loop", "arn:aws:iam::123456789012:role/distill-sandbox"
LOGS = "s3://distill-sandbox/logs"


@pytest.fixture
def account(bedrock_environment: Sandbox, bedrock_role: str) -> Sandbox:
    """An account in which everything is in order: bucket, role, logging, and traffic of the teacher."""
    bedrock_environment.enable_logging("distill-sandbox", "logs")
    bedrock_environment.play(
        [
            {"prompt": p.prompt, "completion": p.completion, "metadata": {"app": "desk"}}
            for p in support_tickets(20)
        ],
        model_id=TEACHER,
    )
    return bedrock_environment


def examine(sandbox: Sandbox, region: str = "us-east-1", **changes: Any) -> dict[str, CheckResult]:
    settings: dict[str, Any] = {
        "workload": "support", "root": ROOT, "teacher": TEACHER, "student": STUDENT, "role_arn": ROLE, "logs": LOGS,
        "filters": {"equals": {"app": "desk"}}, "logs_are_data": True, **changes,
    }  # fmt: skip
    gateways = gateways_from_session(region_name=region, endpoint_url=sandbox.endpoint_url)
    return {result.name: result for result in doctor(Preflight(**settings), gateways)}


def failed(results: dict[str, CheckResult]) -> list[str]:
    return [result.name for result in failures(results.values())]


def test_an_account_in_order_passes_some_thirty_checks_within_ten_seconds(account):
    begin = time.monotonic()
    results = examine(account)
    assert failed(results) == []
    assert sum(result.status == "ok" for result in results.values()) >= 25
    assert not any(result.status == "skipped" for result in results.values())
    assert time.monotonic() - begin < 10


def test_nothing_is_written_or_paid(account):
    before = account.meter()["calls"]
    examine(account)
    asked = {name for name in account.meter()["calls"] if account.meter()["calls"][name] != before.get(name)}
    assert asked
    assert {
        name for name in asked if not name.removeprefix("s3:").startswith(("Get", "List", "Head"))
    } == set()


def put_trust(sandbox: Sandbox, statement: dict[str, Any]) -> None:
    sandbox.client("iam").update_assume_role_policy(
        RoleName="distill-sandbox",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


TRUST = {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole"}


def trust_lambda(sandbox: Sandbox) -> None:
    put_trust(sandbox, {**TRUST, "Principal": {"Service": "lambda.amazonaws.com"}})


def trust_another_account(sandbox: Sandbox) -> None:
    put_trust(sandbox, {**TRUST, "Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}})


def trust_another_region(sandbox: Sandbox) -> None:
    arn = "arn:aws:bedrock:eu-west-1:123456789012:model-customization-job/*"
    put_trust(sandbox, {**TRUST, "Condition": {"ArnLike": {"aws:SourceArn": arn}}})


def deny(action: str) -> Callable[[Sandbox], None]:
    def change(sandbox: Sandbox) -> None:
        statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
        sandbox.client("iam").put_role_policy(
            RoleName="distill-sandbox",
            PolicyName="deny",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    return change


def logging_off(sandbox: Sandbox) -> None:
    sandbox.client("bedrock").delete_model_invocation_logging_configuration()


def fault(kind: str, operation: str) -> Callable[[Sandbox], None]:
    return lambda sandbox: sandbox.faults.add(kind, operation=operation) and None


CAUSES: dict[str, tuple[Callable[[Sandbox], None] | None, dict[str, Any], str]] = {
    "workload-name": (None, {"workload": "Support Desk"}, "lower-case"),
    "root-uri": (None, {"root": "s3://distill-sandbox/dt=1"}, "'='"),
    "role-arn": (None, {"role_arn": "distill"}, "arn:aws:iam"),
    "pair": (None, {"student": "amazon.nova-lite-v1:0:24k"}, "amazon.nova-lite-v1:0:300k"),
    "tags": (None, {"tags": {"a#": "b"}}, "letters"),
    "hosting": (None, {"host_kind": "a-server-of-mine"}, "custom-model-deployment"),
    "filter": (None, {"filters": {"equals": {"a": "1", "b": "2"}}}, "andAll"),
    "logs-match": (None, {"filters": {"equals": {"app": "other"}}}, "app"),
    "logs-found": (None, {"logs": LOGS + "-elsewhere"}, "traffic"),
    "logs-uri": (None, {"logs": "s3://distill-sandbox/a b"}, "single slashes"),
    "bucket": (None, {"root": "s3://nobody-has-this-bucket/loop"}, ""),
    "role-exists": (None, {"role_arn": "arn:aws:iam::123456789012:role/nobody"}, "aws iam create-role"),
    "role-trust": (trust_lambda, {}, "update-assume-role-policy"),
    "role-reads-data": (deny("s3:GetObject"), {"logs_are_data": False}, "s3:GetObject"),
    "role-writes-output": (deny("s3:PutObject"), {}, "s3:PutObject"),
    "role-asks-teacher": (
        deny("bedrock:InvokeModel"), {"teacher": "us.amazon.nova-premier-v1:0", "filters": None}, "bedrock:InvokeModel",
    ),
    "logging": (logging_off, {}, "put-model-invocation-logging-configuration"),
    "may-list-jobs": (fault("access-denied", "ListModelCustomizationJobs"), {}, ""),
    "may-read-jobs": (fault("access-denied", "GetModelCustomizationJob"), {}, ""),
    "may-list-models": (fault("access-denied", "ListCustomModels"), {}, ""),
    "may-list-hosts": (fault("access-denied", "ListCustomModelDeployments"), {}, ""),
    "bedrock-reachable": (fault("access-denied", "ListFoundationModels"), {}, ""),
    "student-lifecycle": (fault("access-denied", "GetFoundationModel"), {}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSES)
def test_each_cause_gives_one_failure_with_its_cure(account, name):
    change, settings, cure = CAUSES[name]
    if change is not None:
        change(account)
    results = examine(account, **settings)
    expected = [name] if name != "student-lifecycle" else ["student-lifecycle", "teacher-lifecycle"]
    assert failed(results) == expected
    assert results[name].fix
    assert cure in results[name].fix


@pytest.mark.parametrize("change", [trust_another_account, trust_another_region])
def test_trust_conditions_that_exclude_this_account_or_region_are_seen(account, change):
    change(account)
    assert failed(examine(account)) == ["role-trust"]


def test_the_wrong_region_is_told_by_name(account):
    results = examine(account, region="us-west-2", logs=None, filters=None, logs_are_data=False)
    assert "us-east-1" in results["region"].fix
    assert "bucket-region" in failed(results)


def test_a_teacher_without_its_profile_is_told_how_to_write_it(account):
    results = examine(
        account, teacher="amazon.nova-premier-v1:0", filters=None, logs=None, logs_are_data=False
    )
    assert failed(results) == ["pair"]
    assert "us.amazon.nova-premier-v1:0" in results["pair"].fix


def test_no_text_of_prompts_or_answers_is_told(account):
    told = json.dumps([result.to_json() for result in examine(account).values()])
    for pair in support_tickets(20):
        assert pair.prompt not in told
        assert pair.completion not in told


COMMON = ("--teacher", TEACHER, "--student", STUDENT, "--role", ROLE, "--root", ROOT, "--region", "us-east-1")


def test_the_command_prints_a_line_a_check_and_says_no_with_its_status(account, capsys):
    endpoint = ("--endpoint-url", account.endpoint_url)
    assert main(["doctor", *COMMON, "--logs", LOGS, "--metadata", "app=desk", *endpoint]) == 0
    assert "0 failed" in capsys.readouterr().out
    assert main(["doctor", *COMMON, "--logs", LOGS, "--metadata", "app=other", "--quiet", *endpoint]) == 1
    out = capsys.readouterr().out
    assert "FAILED   logs-match" in out
    assert main(["doctor", *COMMON, "--json", *endpoint]) == 0
    assert {"name", "status", "message", "fix"} == set(json.loads(capsys.readouterr().out)[0])


def test_a_missing_argument_is_named(capsys):
    assert main(["doctor", "--teacher", TEACHER]) == 2
    assert "--student is missing" in capsys.readouterr().err


def test_the_command_reads_a_workload_file(account, tmp_path, capsys):
    file = tmp_path / "support_tickets.yaml"
    file.write_text(
        f"owner: me\nteacher: {TEACHER}\nstudent: {STUDENT}\nroot: {ROOT}\nrole_arn: {ROLE}\n"
        f"region_name: us-east-1\nlogs:\n  location: {LOGS}\nbudget:\n  usd_per_run: 50\n"
    )
    assert main(["doctor", "--workload", str(file), "--endpoint-url", account.endpoint_url]) == 0
    assert "support-tickets-j" in capsys.readouterr().out


def manifest(tmp_path) -> str:
    path = tmp_path / "manifest.json"
    train = {"uri": f"{ROOT}/default/datasets/d1/train.jsonl", "records": 1200}
    path.write_text(json.dumps({"dataset_id": "d1", "train": train, "with_answers": False}))
    return str(path)


def test_plan_prints_the_exact_request_and_sends_nothing(account, tmp_path, capsys):
    words = [
        "plan",
        *COMMON,
        "--manifest",
        manifest(tmp_path),
        "--input-tokens",
        "200",
        "--output-tokens",
        "50",
    ]
    assert main([*words, "--endpoint-url", account.endpoint_url, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["action"] == "buy"
    assert plan["request"]["jobName"].startswith("default-j")
    assert plan["request"]["trainingDataConfig"] == {"s3Uri": f"{ROOT}/default/datasets/d1/train.jsonl"}
    assert plan["price"]["from"]["known_usd"] > 0
    assert account.calls("CreateModelCustomizationJob") == 0
    assert main([*words, "--endpoint-url", account.endpoint_url]) == 0
    assert "CreateModelCustomizationJob" in capsys.readouterr().out


def test_plan_says_when_a_job_would_be_adopted(account, tmp_path, capsys):
    words = [
        "plan",
        *COMMON,
        "--manifest",
        manifest(tmp_path),
        "--endpoint-url",
        account.endpoint_url,
        "--json",
    ]
    main(words)
    request = json.loads(capsys.readouterr().out)["request"]
    account.world.set_pace("reads:50")
    account.client("bedrock").create_model_customization_job(**request)
    main(words)
    assert json.loads(capsys.readouterr().out)["action"] == "adopt"


def test_plan_works_offline_and_refuses_what_the_service_would(tmp_path, capsys):
    words = [
        "plan",
        "--teacher",
        TEACHER,
        "--role",
        ROLE,
        "--root",
        ROOT,
        "--offline",
        "--manifest",
        manifest(tmp_path),
    ]
    assert main([*words, "--student", STUDENT]) == 0
    assert "unknown (generation 1)" in capsys.readouterr().out
    assert main([*words, "--student", "amazon.nova-lite-v1:0"]) == 1
    assert "refused" in capsys.readouterr().out


NO_ANSWER = [
    ("throttle", "ListCustomModels", "may-list-models"),
    ("unavailable", "GetFoundationModel", "student-lifecycle"),
    ("drop", "ListModelCustomizationJobs", "may-list-jobs"),
    ("slow-down", "s3:ListObjectsV2", "bucket"),
    ("expired-credentials", "GetModelCustomizationJob", "may-read-jobs"),
]


def visit(sandbox: Sandbox, slept: list[float], patience: float = 120.0) -> dict[str, CheckResult]:
    """Examine with pauses that are noted down and not slept; a fault ends once they add up to 20 seconds."""

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) >= 20:
            sandbox.faults.clear()

    spec = Preflight(
        workload="support",
        root=ROOT,
        teacher=TEACHER,
        student=STUDENT,
        role_arn=ROLE,
        logs=LOGS,
        logs_are_data=True,
    )
    gateways = AwsGateways(sandbox.client)
    return {result.name: result for result in doctor(spec, gateways, patience=patience, sleep=sleep)}


@pytest.mark.parametrize(("kind", "operation", "check"), NO_ANSWER, ids=[each[0] for each in NO_ANSWER])
def test_twenty_seconds_without_an_answer_cost_twenty_seconds(account, kind, operation, check):
    account.faults.add(kind, operation=operation)
    slept: list[float] = []
    results = visit(account, slept)
    assert results[check].status == "ok"
    assert {result.status for result in results.values()} <= {"ok", "warning"}
    assert 20 <= sum(slept) <= 40


@pytest.mark.parametrize(("kind", "operation", "check"), NO_ANSWER, ids=[each[0] for each in NO_ANSWER])
def test_what_gives_no_answer_for_two_minutes_is_unknown_and_not_refused(account, kind, operation, check):
    account.faults.add(kind, operation=operation)
    slept: list[float] = []
    results = visit(account, slept, patience=15)
    assert results[check].status == "unknown"
    assert "could not be asked" in results[check].message
    assert failed(results) == []
    assert sum(slept) == 15
    assert slept == sorted(slept[:-1]) + slept[-1:]


def test_an_account_that_never_answers_takes_two_minutes_and_no_longer(account):
    account.faults.add("unavailable")
    slept: list[float] = []
    spec = Preflight(workload="support", root=ROOT, teacher=TEACHER, student=STUDENT, role_arn=ROLE)
    gateways = AwsGateways(account.client)
    results = doctor(spec, gateways, sleep=slept.append)
    assert sum(slept) == 120
    assert not failures(results)
    assert unasked(results)


def test_a_denial_is_an_answer_and_is_asked_for_once(account):
    account.faults.add("access-denied", operation="ListCustomModels")
    slept: list[float] = []
    results = visit(account, slept)
    assert failed(results) == ["may-list-models"]
    assert slept == []


def test_the_command_tells_could_not_be_asked_apart_from_no(account, monkeypatch, capsys):
    monkeypatch.setattr("airflow_distill.aws.doctor._PAUSES", (0.0,))
    arguments = ["doctor", "--teacher", TEACHER, "--student", STUDENT, "--role", ROLE, "--root", ROOT]
    arguments += ["--region", "us-east-1", "--endpoint-url", account.endpoint_url]
    account.faults.add("throttle", operation="ListCustomModels")
    assert main(arguments) == 2
    assert "UNKNOWN  may-list-models" in capsys.readouterr().out
    account.faults.clear()
    assert main([*arguments[:2], "amazon.nova-premier-v1:0", *arguments[3:]]) == 1


def test_without_credentials_the_doctor_says_so_at_once(account, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    slept: list[float] = []
    spec = Preflight(workload="support", root=ROOT, teacher=TEACHER, student=STUDENT, role_arn=ROLE)
    gateways = gateways_from_session(region_name="us-east-1", endpoint_url=account.endpoint_url)
    results = {result.name: result for result in doctor(spec, gateways, sleep=slept.append)}
    assert slept == []
    assert "no AWS credentials" in results["identity"].message
    assert "aws_conn_id" in results["identity"].fix
