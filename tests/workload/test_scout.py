"""The scout groups calls as a workload file could name them, and ranks by what the teacher costs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from airflow_distill.cli.main import main
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.workload.scout import Distinct, Survey
from airflow_distill.workload.traffic import Call, Kind

PRO = "amazon.nova-pro-v1:0"


def call(
    number: int, *, app: str = "tickets", model: str = PRO, tokens: int = 1_000, **metadata: str
) -> Call:
    tags = tuple(sorted({"app": app, **metadata}.items())) if app else ()
    return Call(
        Kind(model, "Converse", tags, "", "ab" * 16),
        f"2026-11-2{number % 4}T05:00:00Z",
        prompt=f"{number * 2_654_435_761 % 2**64:016x}",
        answer=f"{number % 5:016x}",
        turns=1,
        input_tokens=tokens,
        output_tokens=10,
    )


def ranked(*calls: Call) -> list[tuple[str, ...]]:
    survey = Survey()
    survey.add(calls)
    return [tuple(v for _, v in c.metadata) for c in survey.candidates(PriceTable.load())]


def test_the_dearest_workload_comes_first() -> None:
    cheap = [call(i, app="cheap", tokens=10) for i in range(200)]
    dear = [call(i, app="dear") for i in range(200)]
    assert ranked(*cheap, *dear) == [("dear",), ("cheap",)]


def test_what_cannot_be_distilled_comes_last_however_dear() -> None:
    nobody = [call(i, app="nobody", model="mistral.large-v1:0", tokens=99_999) for i in range(200)]
    few = [call(i, app="few", tokens=99_999) for i in range(50)]
    good = [call(i, app="good") for i in range(200)]
    assert ranked(*nobody, *few, *good)[0] == ("good",)


def test_a_metadata_key_with_many_values_does_not_split_a_workload() -> None:
    survey = Survey()
    survey.add(call(i, session=f"s{i}") for i in range(200))
    (candidate,) = survey.candidates(PriceTable.load())
    assert candidate.metadata == (("app", "tickets"),)
    assert (candidate.calls, candidate.distinct_prompts) == (200, 200)


def test_untagged_traffic_is_told_apart_by_its_system_prompt() -> None:
    survey = Survey()
    survey.add(call(i, app="") for i in range(200))
    (candidate,) = survey.candidates(PriceTable.load())
    assert candidate.system_digest == "ab" * 16
    assert "told apart by the system prompt only" in candidate.notes


def test_a_classification_is_noticed() -> None:
    survey = Survey()
    survey.add(call(i) for i in range(500))
    (candidate,) = survey.candidates(PriceTable.load())
    assert any("classification" in note for note in candidate.notes)


def test_a_model_without_a_price_costs_an_unknown_sum_and_not_nothing() -> None:
    survey = Survey()
    survey.add(call(i, model="mistral.large-v1:0") for i in range(10))
    assert survey.candidates(PriceTable.load())[0].monthly_usd is None


@pytest.mark.parametrize("size", [10, 1_000, 20_000])
def test_distinct_prompts_are_estimated_closely(size: int) -> None:
    sketch = Distinct()
    for number in [*range(size), *range(size)]:
        sketch.add(f"{(number * 0x9E3779B97F4A7C15 + 0x1234567) % 2**64:016x}")
    assert abs(sketch.count - size) <= size * 0.1


def test_the_command_ranks_a_folder_of_logs_and_shows_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {
        "schemaType": "ModelInvocationLog",
        "timestamp": "2026-11-20T05:00:00Z",
        "operation": "Converse",
        "modelId": PRO,
        "requestMetadata": {"app": "tickets"},
        "input": {"inputTokenCount": 100},
        "output": {
            "outputTokenCount": 5,
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": "topsecret"}]}}
            },
        },
    }
    lines = []
    for number in range(150):
        body = {"messages": [{"role": "user", "content": [{"text": f"hidden words {number}"}]}]}
        record["input"] = {"inputTokenCount": 100, "inputBodyJson": body}
        lines.append(json.dumps(record))
    (tmp_path / "x.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    assert main(["scout", "--logs", str(tmp_path), "--all"]) == 0
    out = capsys.readouterr().out
    assert "app=tickets" in out
    assert "150 calls, 150 usable, 150 distinct prompts, 1 distinct answers" in out
    assert "hidden" not in out
    assert "topsecret" not in out
    assert main(["scout", "--logs", str(tmp_path), "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["candidates"][0]["fits"] is True


def test_the_command_says_when_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scout", "--logs", str(tmp_path)]) == 2
    assert "there are no calls" in capsys.readouterr().err
