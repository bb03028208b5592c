"""Batch inference: the input file, partial and failed output, and what remains to be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.evaluation.batch import (
    BatchSpec,
    batch_input,
    build_batch_request,
    is_output,
    read_batch_output,
)
from airflow_distill.stages.evaluation.collect import (
    AnswerCache,
    Given,
    Parameters,
    Subject,
    collect,
    questions_of,
)
from airflow_distill.stages.evaluation.collect_pacing import Pacer
from airflow_distill.stages.storage import MemoryStore

MODEL = "amazon.nova-micro-v1:0"
SUBJECT = Subject("student", MODEL, f"batch|{MODEL}")
ROWS = [Example((Turn("user", f"question {n}"),), system="Be brief.") for n in range(4)]
ASKED = questions_of(ROWS)


def record(n: int, **output: Any) -> dict[str, Any]:
    said = {
        "output": {"message": {"role": "assistant", "content": [{"text": f"answer {n}"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 9, "outputTokens": 2},
    }
    return {"recordId": f"{ROWS[n].id}-0", "modelInput": {}, "modelOutput": said} | output


def lines(*records: Any) -> bytes:
    return b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records)


def read(*records: Any) -> Any:
    return read_batch_output([lines(*records)], ASKED, SUBJECT, Parameters())


def test_the_input_is_one_converse_request_a_line() -> None:
    first = json.loads(batch_input(ASKED, Parameters(max_tokens=64)).splitlines()[0])
    assert first == {
        "recordId": f"{ROWS[0].id}-0",
        "modelInput": {
            "messages": [{"role": "user", "content": [{"text": "question 0"}]}],
            "inferenceConfig": {"maxTokens": 64, "temperature": 0.0},
            "system": [{"text": "Be brief."}],
        },
    }


def test_answers_come_in_any_order_and_leave_in_the_order_asked() -> None:
    found = read(record(2), record(0), record(3), record(1))
    assert [a.text for a in found.answers] == ["answer 0", "answer 1", "answer 2", "answer 3"]
    assert (found.missing, found.strays, found.errors) == (0, 0, 0)
    assert found.answers[0].input_tokens == 9


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"error": {"errorCode": 429, "errorMessage": "x"}}, "batch-429"),
        ({"errorCode": "InternalServerException", "errorMessage": "x"}, "batch-InternalServerException"),
        ({}, "batch-error"),
    ],
)
def test_both_ways_of_naming_an_error_are_read(broken: dict[str, Any], code: str) -> None:
    row = {"recordId": f"{ROWS[0].id}-0", "modelInput": {}} | broken
    found = read(row, record(1), record(2), record(3))
    assert found.answers[0].error == code
    assert found.errors == 1


def test_an_output_of_another_form_is_an_error_and_an_empty_text_too() -> None:
    empty = {"output": {"message": {"content": [{"text": " "}]}}}
    found = read(record(0, modelOutput={"completion": "x"}), record(1, modelOutput=empty))
    assert [a.error for a in found.answers] == ["unreadable-output", "empty"]


def test_what_is_not_there_is_missing_and_what_is_not_ours_is_counted() -> None:
    found = read(record(0), {"recordId": "somebody-else", "modelOutput": {}}, b"not json", b"[]")
    assert (len(found.answers), found.missing, found.strays) == (1, 3, 3)


def test_the_rest_of_an_expired_job_is_asked_at_runtime() -> None:
    store, asked = MemoryStore(), []
    AnswerCache(store, "s3://b/cache", SUBJECT.identity, Parameters()).add(read(record(0), record(2)).answers)

    def ask(example: Example, parameters: Parameters) -> Given:
        asked.append(example.turns[-1].text)
        return Given("from runtime", "end_turn", 9, 2, 50.0)

    host = Subject("student", MODEL, f"custom-model-deployment|{MODEL}")
    collected = collect(
        ROWS,
        host,
        Parameters(),
        ask=ask,
        cache=AnswerCache(store, "s3://b/cache", host.identity, Parameters(), also=(SUBJECT.identity,)),
        pacer=Pacer(),
        now=lambda: 0.0,
        sleep=lambda seconds: None,
        threads=1,
    )
    assert asked == ["question 1", "question 3"]
    assert [a.text for a in collected.answers] == ["answer 0", "from runtime", "answer 2", "from runtime"]


def test_the_request_asks_for_converse_and_names_the_model_itself() -> None:
    spec = BatchSpec("w", "d1", MODEL, "ab" * 32, hours=48)
    request = build_batch_request(
        spec,
        1,
        input_uri="s3://b/in.jsonl",
        output_uri="s3://b/out",
        role_arn="arn:role",
        tags={},
        kms_key_id="k",
    )
    assert request["modelInvocationType"] == "Converse"
    assert request["modelId"] == MODEL
    assert request["timeoutDurationInHours"] == 48
    assert request["outputDataConfig"]["s3OutputDataConfig"] == {
        "s3Uri": "s3://b/out/",
        "s3EncryptionKeyId": "k",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"hours": 12},
        {"hours": 200},
        {"model": "arn:aws:bedrock:us-east-1:1:custom-model/amazon.nova-micro-v1:0:128k/abcdefabcdef"},
        {"model": "arn:aws:bedrock:us-east-1:1:provisioned-model/x"},
        {"model": "arn:aws:bedrock:us-east-1:1:custom-model-deployment/x"},
    ],
)
def test_what_the_service_would_refuse_is_refused_here(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BatchSpec(**{"workload": "w", "dataset_id": "d1", "model": MODEL, "content": "x", **change})


def test_the_manifest_is_no_file_of_answers() -> None:
    assert is_output("s3://b/out/job/in.jsonl.out")
    assert not is_output("s3://b/out/job/manifest.json.out")
