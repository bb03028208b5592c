"""Bedrock evaluation jobs: what is sent, what comes back, and what counts as missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.evaluation.jobs import (
    EvaluationDataset,
    EvaluationJobSpec,
    build_evaluation_request,
    evaluation_dataset,
    is_output,
    metric_name,
    prompt_text,
    read_job_scores,
)
from airflow_distill.stages.evaluation.records import Answer

SPEC = EvaluationJobSpec(
    "support_tickets", "d1", "student", "arn:model", "ab" * 32, ("Correctness", "Harmfulness"),
    evaluator="amazon.nova-pro-v1:0",
)  # fmt: skip


def example(n: int) -> Example:
    return Example((Turn("user", f"question {n}"),), answer=f"reference {n}", system="Be brief.")


def answer(n: int, text: str | None = "answer", error: str = "") -> Answer:
    return Answer(example(n).id, "student", "arn:model", text and f"{text} {n}", error=error)


def dataset(count: int = 3) -> EvaluationDataset:
    return evaluation_dataset(
        [example(n) for n in range(count)], [answer(n) for n in range(count)], SPEC.source
    )


def line(record: dict[str, Any], scores: list[dict[str, Any]]) -> bytes:
    responses = record["modelResponses"]
    inputs = {k: v for k, v in record.items() if k != "modelResponses"}
    row = {
        "automatedEvaluationResult": {"scores": scores},
        "inputRecord": inputs,
        "modelResponses": responses,
    }
    return json.dumps(row).encode() + b"\n"


def judged(found: EvaluationDataset, *scores: dict[str, Any]) -> bytes:
    return b"".join(line(json.loads(record), list(scores)) for record in found.data.splitlines())


def test_a_record_holds_prompt_reference_and_one_response() -> None:
    record = json.loads(dataset(1).data)
    assert record == {
        "prompt": "Be brief.\n\nquestion 0",
        "referenceResponse": "reference 0",
        "modelResponses": [{"response": "answer 0", "modelIdentifier": SPEC.source}],
    }


def test_turns_of_a_conversation_keep_their_roles() -> None:
    talk = Example((Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")))
    assert prompt_text(talk) == "user: a\n\nassistant: b\n\nuser: c"


def test_more_prompts_than_a_job_takes_are_refused_before_anything_is_bought() -> None:
    with pytest.raises(ConfigurationError, match="1001 prompts"):
        dataset(1001)


def test_the_request_names_the_answers_and_not_a_model() -> None:
    request = build_evaluation_request(
        SPEC, 1, dataset_uri="s3://b/d.jsonl", output_uri="s3://b/out", role_arn="arn:role", tags={"a": "b"}
    )
    source = json.loads(dataset(1).data)["modelResponses"][0]["modelIdentifier"]
    assert request["inferenceConfig"]["models"] == [
        {"precomputedInferenceSource": {"inferenceSourceIdentifier": source}}
    ]
    automated = request["evaluationConfig"]["automated"]
    assert automated["datasetMetricConfigs"][0]["metricNames"] == [
        "Builtin.Correctness",
        "Builtin.Harmfulness",
    ]
    assert automated["evaluatorModelConfig"]["bedrockEvaluatorModels"] == [
        {"modelIdentifier": SPEC.evaluator}
    ]
    assert request["outputDataConfig"]["s3Uri"].endswith("/")


def test_other_answers_or_another_judge_make_another_job() -> None:
    from dataclasses import replace

    names = {
        SPEC.job_name(1),
        SPEC.job_name(2),
        replace(SPEC, content="cd" * 32).job_name(1),
        replace(SPEC, evaluator="meta.llama3-1-70b-instruct-v1:0").job_name(1),
        replace(SPEC, role="incumbent").job_name(1),
    }
    assert len(names) == 5
    assert all(len(name) <= 63 for name in names)


@pytest.mark.parametrize(
    "change", [{"metrics": ("Wit",)}, {"metrics": ()}, {"evaluator": ""}, {"kind": "programmatic"}]
)
def test_a_spec_that_the_service_would_refuse_is_refused_here(change: dict[str, Any]) -> None:
    from dataclasses import replace

    with pytest.raises(ConfigurationError):
        replace(SPEC, **change)


@pytest.mark.parametrize("prefix", ["Builtin.", ""])
def test_scores_are_read_with_and_without_the_prefix(prefix: str) -> None:
    found = dataset()
    out = judged(found, {"metricName": f"{prefix}Correctness", "result": 0.75})
    scores = read_job_scores([out], found, "student", ["Correctness"])
    assert [s.value for s in scores.scores] == [0.75] * 3
    assert {s.metric for s in scores.scores} == {"bedrock_correctness"}
    assert scores.means() == {"bedrock_correctness": 0.75}


def test_where_lower_is_better_the_complement_is_handed_on() -> None:
    found = dataset(1)
    out = judged(found, {"metricName": "Builtin.Harmfulness", "result": 0.25})
    (score,) = read_job_scores([out], found, "student", ["Harmfulness"]).scores
    assert (score.metric, score.value) == ("bedrock_harmless", 0.75)


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        ({"metricName": "Builtin.Correctness"}, "no-result"),
        ({"metricName": "Builtin.Correctness", "result": None}, "no-result"),
        ({"metricName": "Builtin.Correctness", "result": 7}, "not-a-share"),
        ({"metricName": "Builtin.Correctness", "result": float("nan")}, "not-a-share"),
        ({"metricName": "Builtin.Correctness", "result": True}, "not-a-share"),
        ({"metricName": "Builtin.Completeness", "result": 1.0}, "no-record"),
        ({"result": 1.0}, "no-record"),
    ],
)
def test_a_score_without_a_usable_result_is_missing_and_counted(
    reported: dict[str, Any], reason: str
) -> None:
    found = dataset(1)
    scores = read_job_scores([judged(found, reported)], found, "student", ["Correctness"])
    assert [(s.value, s.reason) for s in scores.scores] == [(None, reason)]
    assert scores.missing() == {"bedrock_correctness": 1}


def test_a_failed_answer_is_not_sent_and_scores_zero() -> None:
    rows = [example(0), example(1), example(2)]
    found = evaluation_dataset(
        rows, [answer(0), answer(1, None, "ThrottlingException"), answer(2, " ")], SPEC.source
    )
    assert found.records == 2
    out = judged(found, {"metricName": "Correctness", "result": 1.0})
    by_id = {s.example_id: s for s in read_job_scores([out], found, "student", ["Correctness"]).scores}
    assert by_id[rows[1].id].value == 0.0
    assert by_id[rows[1].id].reason == "error"


def test_records_that_are_missing_from_the_output_are_missing_scores() -> None:
    found = dataset(3)
    two = b"\n".join(judged(found, {"metricName": "Correctness", "result": 1.0}).splitlines()[:2])
    assert read_job_scores([two], found, "student", ["Correctness"]).missing() == {"bedrock_correctness": 1}


def test_output_of_another_dataset_is_an_error_and_broken_lines_are_counted() -> None:
    found, other = dataset(2), evaluation_dataset([example(9)], [answer(9)], SPEC.source)
    score = {"metricName": "Correctness", "result": 1.0}
    with pytest.raises(EvaluationError, match="none of the 1 output lines"):
        read_job_scores([judged(other, score)], found, "student", ["Correctness"])
    mixed = judged(found, score) + judged(other, score) + b"not json\n[]\n"
    assert read_job_scores([mixed], found, "student", ["Correctness"]).strays == 3


def test_output_files_are_found_by_suffix() -> None:
    assert is_output("s3://b/job/id/models/m/taskTypes/General/datasets/d/uuid_output.jsonl")
    assert not is_output("s3://b/job/id/custom_metrics/x.jsonl")


def test_names_of_metrics_are_ours() -> None:
    assert metric_name("Builtin.ProfessionalStyleAndTone") == "bedrock_professional_style_and_tone"


def test_a_judge_job_of_four_metrics_is_refused_before_it_is_made() -> None:
    names = ("Correctness", "Completeness", "Helpfulness", "Coherence")
    with pytest.raises(ConfigurationError, match="3 that a judge job takes") as caught:
        EvaluationJobSpec("w", "d1", "student", "arn:model", "x", names, evaluator="amazon.nova-pro-v1:0")
    assert "two tasks" in caught.value.hint
    EvaluationJobSpec("w", "d1", "student", "arn:model", "x", names[:3], evaluator="amazon.nova-pro-v1:0")


def test_a_prompt_above_4_kb_is_left_out_counted_and_has_no_score() -> None:
    """Bytes count, not letters; whatever a prompt is made of."""
    sizes = {"fits": "é" * 2048, "long": "é" * 2048 + "a"}
    examples = [Example((Turn("user", text),), answer="reference") for text in sizes.values()]
    answers = [Answer(e.id, "student", "arn:model", "answer") for e in examples]
    found = evaluation_dataset(examples, answers, SPEC.source)
    assert (found.records, found.too_long) == (1, (examples[1].id,))
    read = read_job_scores(
        [judged(found, {"metricName": "Correctness", "result": 1.0})], found, "student", ["Correctness"]
    )
    assert {s.example_id: (s.value, s.reason) for s in read.scores} == {
        examples[0].id: (1.0, ""),
        examples[1].id: (None, "too-long"),
    }
    assert read.missing() == {"bedrock_correctness": 1}
    assert evaluation_dataset(examples, answers, SPEC.source, None).records == 2
