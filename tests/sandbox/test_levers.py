"""Faults, clock, meter, quotas, state folder, concurrency and the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EventStreamError

from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.failures import SandboxUsageError
from airflow_distill.sandbox.traffic import Pair
from tests.sandbox.conftest import TEACHER, prompt_lines

MESSAGES = [{"role": "user", "content": [{"text": "my refund has not shown up"}]}]

ERRORS = {
    "throttle": ("ThrottlingException", 429),
    "internal": ("InternalServerException", 500),
    "unavailable": ("ServiceUnavailableException", 503),
    "expired-credentials": ("ExpiredTokenException", 403),
    "quota": ("ServiceQuotaExceededException", 400),
}


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_a_planned_error_hits_as_often_as_asked(bedrock_sandbox: Sandbox, kind: str) -> None:
    bedrock_sandbox.faults.add(kind, operation="List*", count=2, skip=1)
    bedrock = bedrock_sandbox.client("bedrock")
    seen = []
    for _ in range(5):
        try:
            bedrock.list_custom_models()
            seen.append(("ok", 200))
        except ClientError as error:
            seen.append(
                (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
            )
    assert seen == [("ok", 200), ERRORS[kind], ERRORS[kind], ("ok", 200), ("ok", 200)]


def test_a_lost_answer_has_its_effect_all_the_same(
    bedrock_sandbox: Sandbox, put: Callable[..., str], distil: Callable[..., str], tickets: list[Pair]
) -> None:
    uri = put("p.jsonl", prompt_lines(tickets))
    bedrock_sandbox.faults.add("lost-answer", operation="CreateModelCustomizationJob", count=1)
    with pytest.raises(ConnectionClosedError):
        distil("lost", uri)
    assert (
        bedrock_sandbox.client("bedrock").get_model_customization_job(jobIdentifier="lost")["jobName"]
        == "lost"
    )
    bedrock_sandbox.faults.add("drop", operation="CreateModelCustomizationJob", count=1)
    with pytest.raises(ConnectionClosedError):
        distil("dropped", uri)
    with pytest.raises(ClientError, match="could not be found"):
        bedrock_sandbox.client("bedrock").get_model_customization_job(jobIdentifier="dropped")


def test_the_meter_tells_a_repeated_token_from_a_purchase(
    bedrock_sandbox: Sandbox, put: Callable[..., str], distil: Callable[..., str], tickets: list[Pair]
) -> None:
    uri = put("p.jsonl", prompt_lines(tickets))
    first = distil("once", uri, clientRequestToken="token-1")
    assert distil("once", uri, clientRequestToken="token-1") == first
    assert bedrock_sandbox.meter()["calls"]["CreateModelCustomizationJob"] == {"ok": 1, "replayed": 1}


def test_a_rate_is_the_same_in_every_run(bedrock_sandbox: Sandbox) -> None:
    def run() -> list[bool]:
        bedrock_sandbox.faults._next = 0
        bedrock_sandbox.faults.clear()
        bedrock_sandbox.faults.add("throttle", rate=0.3, seed=5)
        return [bedrock_sandbox.faults.strike("X") is not None for _ in range(200)]

    first = run()
    assert first == run()
    assert 30 < sum(first) < 90


def test_slow_answers_broken_streams_and_clock_jumps(bedrock_sandbox: Sandbox) -> None:
    runtime = bedrock_sandbox.client("bedrock-runtime")
    bedrock_sandbox.faults.add("slow", operation="Converse", count=1, seconds=0.3)
    began = time.perf_counter()
    runtime.converse(modelId=TEACHER, messages=MESSAGES)
    assert time.perf_counter() - began >= 0.3
    bedrock_sandbox.faults.add("stream-error", operation="ConverseStream", count=1)
    with pytest.raises(EventStreamError):
        list(runtime.converse_stream(modelId=TEACHER, messages=MESSAGES)["stream"])
    bedrock_sandbox.faults.add("clock-jump", operation="Converse", count=1, seconds=86_400)
    before = bedrock_sandbox.clock.now()
    runtime.converse(modelId=TEACHER, messages=MESSAGES)
    assert (bedrock_sandbox.clock.now() - before).total_seconds() >= 86_400


def test_s3_can_be_told_to_slow_down(bedrock_sandbox: Sandbox, bedrock_role: str) -> None:
    bedrock_sandbox.faults.add("slow-down", operation="s3:PutObject", match="distill-sandbox/a*", count=1)
    s3 = bedrock_sandbox.client("s3")
    s3.put_object(Bucket="distill-sandbox", Key="b", Body=b"x")
    with pytest.raises(ClientError, match="SlowDown"):
        s3.put_object(Bucket="distill-sandbox", Key="a", Body=b"x")
    s3.put_object(Bucket="distill-sandbox", Key="a", Body=b"x")


def test_a_bucket_named_like_a_bedrock_path_is_a_bucket(bedrock_sandbox: Sandbox) -> None:
    s3 = bedrock_sandbox.client("s3")
    s3.create_bucket(Bucket="model-customization-jobs")
    s3.put_object(Bucket="model-customization-jobs", Key="x/stop", Body=b"1", Metadata={"a_b": "c"})
    found = s3.get_object(Bucket="model-customization-jobs", Key="x/stop")
    assert found["Body"].read() == b"1"
    assert found["Metadata"] == {"a_b": "c"}
    assert (
        bedrock_sandbox.client("bedrock").list_model_customization_jobs()["modelCustomizationJobSummaries"]
        == []
    )


@pytest.mark.parametrize("kind", ["nonsense", ""])
def test_a_fault_that_does_not_exist_is_refused(bedrock_sandbox: Sandbox, kind: str) -> None:
    with pytest.raises(SandboxUsageError):
        bedrock_sandbox.faults.add(kind)


def test_a_runtime_token_limit_throttles(bedrock_sandbox: Sandbox) -> None:
    bedrock_sandbox.world.set_quota("tokens-per-minute", 20)
    runtime = bedrock_sandbox.client("bedrock-runtime")
    refusals = []
    for _ in range(10):
        try:
            runtime.converse(modelId=TEACHER, messages=MESSAGES)
        except runtime.exceptions.ThrottlingException as error:
            refusals.append(error.response["Error"]["Message"])
    assert len(refusals) == 8
    assert all("Too many tokens" in message for message in refusals)


def test_unsigned_and_unknown_calls_are_named(bedrock_sandbox: Sandbox) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{bedrock_sandbox.endpoint_url}/custom-models")
    assert caught.value.code == 403
    with pytest.raises(ClientError) as refused:
        bedrock_sandbox.client("bedrock").list_guardrails()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert refused.value.response["Error"]["Code"] == "NotImplementedException"


def test_hours_of_a_host_are_billed_until_it_is_deleted(
    bedrock_sandbox: Sandbox,
    put: Callable[..., str],
    distil: Callable[..., str],
    job: Callable[..., Any],
    tickets: list[Pair],
) -> None:
    distil("billed", put("p.jsonl", prompt_lines(tickets)))
    assert job("billed")["status"] == "Completed"
    bedrock = bedrock_sandbox.client("bedrock")
    host = bedrock.create_provisioned_model_throughput(
        provisionedModelName="h", modelId="billed", modelUnits=2
    )
    arn = host["provisionedModelArn"]
    assert bedrock.get_provisioned_model_throughput(provisionedModelId=arn)["status"] == "InService"

    def hours() -> float:
        lines = bedrock_sandbox.meter()["lines"]
        return sum(float(line["quantity"]) for line in lines if line["service"] == "provisioned-throughput")

    bedrock_sandbox.clock.advance(10 * 3600)
    assert hours() == pytest.approx(20, abs=0.1)
    bedrock_sandbox.clock.advance(-5 * 3600)
    assert hours() == pytest.approx(20, abs=0.1)
    bedrock.delete_provisioned_model_throughput(provisionedModelId=arn)
    bedrock_sandbox.clock.advance(100 * 3600)
    assert hours() == pytest.approx(20, abs=0.1)
    assert bedrock_sandbox.meter()["billing_now"] == [job("billed")["outputModelArn"]]


def test_many_clients_at_once_lose_no_log_record(bedrock_sandbox: Sandbox, bedrock_role: str) -> None:
    bedrock_sandbox.enable_logging()
    failures: list[str] = []
    runtime = bedrock_sandbox.client("bedrock-runtime", max_pool_connections=60)

    def client() -> None:
        try:
            for _ in range(5):
                runtime.converse(modelId=TEACHER, messages=MESSAGES)
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert bedrock_sandbox.flush_logs() == 300


# --- a process of its own -----------------------------------------------------------------------------------------


class Process:
    """A sandbox started from the command line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.ready = folder / "ready.json"
        words = ["sandbox", "start", "--port", "0", "--ready-file", str(self.ready)]
        command = [sys.executable, "-m", "airflow_distill.cli.main", *words]
        environment = {**os.environ, "XDG_STATE_HOME": str(folder / "home")}
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, text=True, env=environment
        )
        while not self.ready.exists():
            assert self.process.poll() is None, "the sandbox ended at once"
            time.sleep(0.02)
        self.url = json.loads(self.ready.read_text())["endpoint_url"]

    def client(self, service: str) -> Any:
        return boto3.session.Session("AKIAIOSFODNN7EXAMPLE", "x").client(
            service, region_name="us-east-1", endpoint_url=self.url
        )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        os.kill(self.process.pid, how)
        self.process.communicate(timeout=20)
        return int(self.process.returncode)


@pytest.fixture
def start(tmp_path: Path) -> Any:
    started: list[Process] = []

    def begin(*arguments: str) -> Process:
        process = Process(tmp_path, *arguments)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()


@pytest.mark.slow
def test_state_survives_a_restart_and_a_kill(start: Callable[..., Process], tmp_path: Path) -> None:
    from airflow_distill.sandbox.server import SERVICE_ROLE_POLICY, TRUST_POLICY

    first = start("--state", str(tmp_path / "state"), "--pace", "reads:1")
    first.client("s3").create_bucket(Bucket="kept")
    lines = prompt_lines([Pair(f"question {n}", "yes") for n in range(120)], labelled=True)
    first.client("s3").put_object(Bucket="kept", Key="p.jsonl", Body=lines.encode())
    iam = first.client("iam")
    role = iam.create_role(RoleName="kept", AssumeRolePolicyDocument=json.dumps(TRUST_POLICY))["Role"]["Arn"]
    iam.put_role_policy(RoleName="kept", PolicyName="p", PolicyDocument=json.dumps(SERVICE_ROLE_POLICY))
    first.client("ssm").put_parameter(Name="/pointer", Value="here", Type="String")
    config = {"distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": TEACHER}}}
    request = {
        "roleArn": role,
        "baseModelIdentifier": "amazon.nova-lite-v1:0:300k",
        "customizationType": "DISTILLATION",
        "trainingDataConfig": {"s3Uri": "s3://kept/p.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://kept/out"},
        "customizationConfig": config,
    }
    first.client("bedrock").create_model_customization_job(jobName="kept", customModelName="kept", **request)
    state = tmp_path / "state"
    last = {state / "bedrock.pickle": b"s3://kept/p.jsonl", state / "neighbours.pickle": b"/pointer"}
    deadline = time.monotonic() + 60
    while not all(path.exists() and part in path.read_bytes() for path, part in last.items()):
        assert time.monotonic() < deadline, "what was made last is not saved"
        time.sleep(0.1)
    first.process.kill()
    first.process.wait()
    first.ready.unlink()

    second = start("--state", str(tmp_path / "state"), "--pace", "reads:1")
    bedrock = second.client("bedrock")
    for _ in range(3):
        job = bedrock.get_model_customization_job(jobIdentifier="kept")
    assert job["status"] == "Completed"
    assert second.client("ssm").get_parameter(Name="/pointer")["Parameter"]["Value"] == "here"
    with pytest.raises(ClientError, match="currently in use"):
        bedrock.create_model_customization_job(jobName="kept", customModelName="other", **request)
    host = bedrock.create_custom_model_deployment(modelDeploymentName="h", modelArn=job["outputModelArn"])
    assert second.end() == 0
    assert not second.ready.exists()

    third = start("--state", str(tmp_path / "state"))
    bedrock = third.client("bedrock")
    arn = host["customModelDeploymentArn"]
    for _ in range(3):
        bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn)
    answer = third.client("bedrock-runtime").converse(
        modelId=arn, messages=[{"role": "user", "content": [{"text": "question 5"}]}]
    )
    assert answer["output"]["message"]["content"][0]["text"] == "yes"
    assert third.end(signal.SIGINT) == 0


def test_the_command_line_steers_a_running_sandbox(
    bedrock_sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def word(*arguments: str) -> Any:
        assert main(["sandbox", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    monkeypatch.setenv("AIRFLOW_DISTILL_SANDBOX_TOKEN", bedrock_sandbox.admin_token)
    url = ("--url", bedrock_sandbox.endpoint_url)
    assert word("status", *url)["endpoint_url"] == bedrock_sandbox.endpoint_url
    made = word("faults", *url, "add", "throttle", "--operation", "Get*", "--count", "3")
    assert [fault["id"] for fault in word("faults", *url, "list")["faults"]] == [made["id"]]
    word("faults", *url, "clear")
    assert bedrock_sandbox.faults.listed() == []
    assert word("pace", *url, "reads:4")["pace"] == "reads:4"
    assert word("clock", *url, "--set", "2026-05-06T07:08:09Z")["now"].startswith("2026-05-06T07:08")
    assert word("meter", *url, "--json")["total"] == 0
    assert word("reset", *url) == {"ok": True}
    assert bedrock_sandbox.settings()["pace"] == "instant"


def test_a_sandbox_that_does_not_answer_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "status", "--url", "http://127.0.0.1:9"]) == 2
    assert "no sandbox answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--pace", "fast"], ["--quota", "none=1"], ["--traffic", "/no/such/file.csv"]]
)
def test_a_wrong_start_is_refused_with_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", "start", "--port", "0", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_help_loads_no_sdk() -> None:
    code = (
        "import sys; from airflow_distill.cli.main import build_parser; build_parser('sandbox').format_help();"
        "print([m for m in ('boto3', 'botocore', 'moto', 'airflow', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_sandbox_that_starts_alone_finds_nothing_of_an_earlier_one() -> None:
    """In a process of its own, since this one's sandbox runs all the time; two at once share S3, as documented."""
    code = """
from airflow_distill.sandbox import Sandbox

def keys(sandbox):
    return [item["Key"] for item in sandbox.client("s3").list_objects_v2(Bucket="distill-sandbox").get("Contents", ())]

for _ in range(2):
    with Sandbox() as first:
        first.prepare()
        print(keys(first))
        first.client("s3").put_object(Bucket="distill-sandbox", Key="k", Body=b"")
        with Sandbox() as second:
            second.prepare()
            print(keys(second))
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert told.stdout.split() == ["[]", "['k']"] * 2
