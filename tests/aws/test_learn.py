"""What only an account can settle: asked without cost, told without names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.learn import QUESTIONS, learn, page
from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "open-questions.md"


@pytest.fixture
def gateways(bedrock_sandbox: Sandbox) -> AwsGateways:
    return AwsGateways(bedrock_sandbox.client)


def test_the_page_is_fresh_and_every_question_has_its_command() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m airflow_distill.aws.learn"
    assert QUESTIONS[0].id == "get-job-by-name"
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    for question in QUESTIONS:
        assert question.command.startswith("aws bedrock ")
        assert (question.ask is None) == bool(question.cost), "what costs is never asked by itself"


@pytest.mark.parametrize(
    ("choice", "code", "status"),
    [("not-found", "ResourceNotFoundException", 404), ("validation", "ValidationException", 400)],
)
def test_it_sees_how_an_unknown_name_is_refused(
    bedrock_sandbox: Sandbox, gateways: AwsGateways, choice: str, code: str, status: int
) -> None:
    bedrock_sandbox.world.options.change("unknown_name", choice)
    answers = learn(gateways)["answers"]
    for kind in ("job", "throughput", "deployment", "model"):
        told = answers[f"get-{kind}-by-name"]
        assert (told["code"], told["status"]) == (code, status)
        assert "could not be found" in told["message"]


def test_asking_reads_and_nothing_else(bedrock_sandbox: Sandbox, gateways: AwsGateways) -> None:
    learn(gateways)
    meter = bedrock_sandbox.meter()
    assert meter["total"] == 0
    assert meter["calls"]
    assert all(re.match("Get|List", operation) for operation in meter["calls"])


def test_a_question_that_cannot_be_asked_stops_no_other(
    bedrock_sandbox: Sandbox, gateways: AwsGateways
) -> None:
    bedrock_sandbox.faults.add("access-denied", operation="ListFoundationModels")
    bedrock_sandbox.faults.add("access-denied", operation="GetCustomModel")
    answers = learn(gateways)["answers"]
    assert answers["students-of-distillation"] == {
        "not_asked": "ServiceAccessError",
        "code": "AccessDeniedException",
    }
    assert answers["get-model-by-name"]["code"] == "AccessDeniedException"
    assert answers["profile-prefixes"] == ["us"]
    assert set(answers) == {question.id for question in QUESTIONS if question.ask}


def test_the_file_names_neither_the_account_nor_what_is_in_it(
    bedrock_environment: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bedrock_environment.prepare()
    bedrock_environment.enable_logging()
    message = "User arn:aws:iam::123456789012:user/somebody of 123456789012 may not see it"
    bedrock_environment.faults.add("access-denied", operation="GetCustomModelDeployment", message=message)
    file = tmp_path / "new" / "seen.json"
    assert main(["doctor", "--learn", str(file), "--region", "us-east-1"]) == 0
    assert str(file) in capsys.readouterr().out
    text = file.read_text()
    seen = json.loads(text)
    assert seen["region"] == "us-east-1"
    assert "s3Config" in seen["answers"]["logging-members"]
    assert "amazon.nova-2-lite-v1:0:256k" in seen["answers"]["students-of-fine-tuning"]
    for secret in ("123456789012", "arn:aws", "distill-sandbox", "somebody"):
        assert secret not in text
