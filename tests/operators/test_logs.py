"""The harvest operators: receipts that are small and true, one task or many with the same file, nothing of prompts told."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.operators.logs import (
    HarvestLogsOperator,
    MergeHarvestOperator,
    PlanHarvestOperator,
    metadata_filter,
)
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.logs.harvest import read_harvest
from airflow_distill.stages.storage import LocalStore
from tests.stages.logs.log_records import MODEL, key_of, lines_of, record

pytestmark = pytest.mark.airflow

START, END = "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"
CONTEXT: dict[str, Any] = {}
SECRET = "my card number is a secret"


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """Six log objects of one day on this machine."""
    for number in range(6):
        path = tmp_path / "logs" / key_of("2026/11/20", 10 + number).removeprefix("s3://logs/")
        path.parent.mkdir(parents=True)
        records = [
            record(
                f"{SECRET} {n % 40}",
                request_id=f"{number}-{n}",
                timestamp=f"2026-11-20T{10 + number}:00:{n:02d}Z",
            )
            for n in range(50)
        ]
        path.write_bytes(gzip.compress(lines_of(records)))
    return {"logs": str(tmp_path / "logs"), "root": str(tmp_path / "root"), "workload": "bank"}


def harvest_of(place: dict[str, str], **changes: Any) -> HarvestLogsOperator:
    arguments: dict[str, Any] = {"model": MODEL, "window_start": START, "window_end": END, **place, **changes}
    return HarvestLogsOperator(task_id="harvest", **arguments)


def test_the_receipt_says_what_was_read_and_kept(place: dict[str, str]) -> None:
    receipt = harvest_of(place, metadata={"equals": {"app": "support"}}).execute(CONTEXT)
    uri = f"{place['root']}/bank/windows/20261120T000000Z_20261121T000000Z/harvest.jsonl.gz"
    assert receipt == {
        "kind": "harvest",
        "v": 1,
        "workload": "bank",
        "window": [START, END],
        "shards": [uri],
        "lines": 300,
        "kept": 40,
        "skipped": {"duplicate": 260},
        "salt_digest": receipt["salt_digest"],
        "objects": {"read": 6},
        "bodies": 0,
    }
    assert list(receipt)[:2] == ["kind", "v"]
    assert len(json.dumps(receipt)) < 2000
    assert len(read_harvest(LocalStore(), receipt["shards"])) == 40


def test_mapped_tasks_and_one_task_write_the_same_file(place: dict[str, str]) -> None:
    whole = harvest_of(place, limit=25).execute(CONTEXT)
    expected = Path(whole["shards"][0]).read_bytes()
    Path(whole["shards"][0]).unlink()
    window = {"window_start": START, "window_end": END}
    tickets = PlanHarvestOperator(task_id="plan", **place, **window, shards=4, least_bytes=1).execute(CONTEXT)
    assert len(tickets) == 4
    assert len(json.dumps(tickets)) < 2000
    parts = [harvest_of(place, limit=25, shard=ticket).execute(CONTEXT) for ticket in tickets]
    assert len({part["shards"][0] for part in parts}) == 4
    merge = {"root": place["root"], "workload": "bank"}
    merged = MergeHarvestOperator(task_id="merge", harvests=parts, **merge).execute(CONTEXT)
    assert Path(merged["shards"][0]).read_bytes() == expected
    assert merged == whole


def test_mapped_tasks_leave_surplus_out_and_the_merge_removes_their_notes(place: dict[str, str]) -> None:
    window = {"window_start": START, "window_end": END}
    tickets = PlanHarvestOperator(task_id="plan", **place, **window, shards=6, least_bytes=1).execute(CONTEXT)
    parts = [harvest_of(place, limit=5, shard=ticket).execute(CONTEXT) for ticket in tickets]
    assert [part["kept"] for part in parts] == [5] * 6, "each part has these prompts, so none has surplus"
    notes = Path(place["root"]) / "bank/windows/20261120T000000Z_20261121T000000Z/bounds"
    assert list(notes.rglob("*-0005-of-0006"))
    assert not any(SECRET.encode() in path.read_bytes() for path in notes.rglob("*") if path.is_file())
    merge = {"root": place["root"], "workload": "bank"}
    merged = MergeHarvestOperator(task_id="merge", harvests=parts, **merge).execute(CONTEXT)
    assert merged["kept"] == 5
    assert [path for path in notes.rglob("*") if path.is_file()] == []


def test_merging_some_of_the_parts_is_refused_when_they_relied_on_the_others(place: dict[str, str]) -> None:
    for number in range(6):
        path = Path(place["logs"]) / key_of("2026/11/20", 10 + number, 1).removeprefix("s3://logs/")
        records = [
            record(f"only in {number}: {n}", timestamp=f"2026-11-20T{10 + number}:00:00Z") for n in range(50)
        ]
        path.write_bytes(gzip.compress(lines_of(records)))
    window = {"window_start": START, "window_end": END}
    tickets = PlanHarvestOperator(task_id="plan", **place, **window, shards=6, least_bytes=1).execute(CONTEXT)
    parts = [harvest_of(place, limit=50, shard=ticket).execute(CONTEXT) for ticket in tickets]
    assert parts[-1]["kept"] < 40 <= parts[0]["kept"]
    merge = {"root": place["root"], "workload": "bank"}
    with pytest.raises(AirflowFailException, match="Merge all shards of one plan"):
        MergeHarvestOperator(task_id="merge", harvests=parts[1:], **merge).execute(CONTEXT)


def test_a_shard_run_again_reads_its_own_objects_though_new_ones_came(place: dict[str, str]) -> None:
    window = {"window_start": START, "window_end": END}
    tickets = PlanHarvestOperator(task_id="plan", **place, **window, shards=2, least_bytes=1).execute(CONTEXT)
    first = harvest_of(place, shard=tickets[0]).execute(CONTEXT)
    before = Path(first["shards"][0]).read_bytes()
    late = Path(place["logs"]) / key_of("2026/11/20", 10, 9).removeprefix("s3://logs/")
    late.write_bytes(gzip.compress(lines_of([record("late")])))
    again = harvest_of(place, shard=tickets[0]).execute(CONTEXT)
    assert again == first
    assert Path(again["shards"][0]).read_bytes() == before


def test_a_plan_of_a_window_without_logs_is_one_empty_shard(place: dict[str, str]) -> None:
    window = {"window_start": "2026-10-20T00:00:00Z", "window_end": "2026-10-21T00:00:00Z"}
    (ticket,) = PlanHarvestOperator(task_id="plan", **place, **window).execute(CONTEXT)
    receipt = harvest_of(place, shard=ticket).execute(CONTEXT)
    assert (receipt["lines"], receipt["kept"], receipt["objects"]) == (0, 0, {})


def test_a_plan_over_a_place_that_never_had_logs_is_refused(tmp_path: Path) -> None:
    place = {"logs": str(tmp_path / "none"), "root": str(tmp_path / "root"), "workload": "bank"}
    with pytest.raises(AirflowFailException, match="no log object under"):
        PlanHarvestOperator(task_id="plan", **place, window_start=START, window_end=END).execute(CONTEXT)


@pytest.mark.parametrize(
    "changes",
    [
        {"window_start": END},
        {"window_end": "soon"},
        {"metadata": {"equals": {"a": "1", "b": "2"}}},
        {"operations": ["Chat"]},
        {"answer_rule": "best"},
        {"shard": {"plan": "/nowhere/plan.json", "number": 0}},
    ],
)
def test_what_no_retry_can_mend_fails_at_once(place: dict[str, str], changes: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException):
        harvest_of(place, **changes).execute(CONTEXT)


@pytest.mark.parametrize("harvests", [None, [], [{"kind": "dataset"}], ["text"]])
def test_only_parts_of_one_window_merge(place: dict[str, str], harvests: Any) -> None:
    with pytest.raises(AirflowFailException):
        MergeHarvestOperator(task_id="m", harvests=harvests, root=place["root"], workload="bank").execute(
            CONTEXT
        )


def test_parts_of_two_windows_do_not_merge(place: dict[str, str]) -> None:
    parts = [
        harvest_of(place).execute(CONTEXT),
        harvest_of(place, window_end="2026-11-20T12:00:00Z").execute(CONTEXT),
    ]
    with pytest.raises(AirflowFailException):
        MergeHarvestOperator(task_id="m", harvests=parts, root=place["root"], workload="bank").execute(
            CONTEXT
        )


def test_no_prompt_reaches_the_log_or_the_receipt(
    place: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        receipt = harvest_of(place).execute(CONTEXT)
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps(receipt)


def test_plain_pairs_and_the_service_shape_are_both_filters() -> None:
    assert metadata_filter(None) is None
    assert metadata_filter({}) is None
    plain, written = metadata_filter({"app": "a"}), metadata_filter({"equals": {"app": "a"}})
    assert plain == written


@pytest.mark.parametrize("operator", [PlanHarvestOperator, HarvestLogsOperator, MergeHarvestOperator])
def test_every_argument_is_a_template_field(operator: Any) -> None:
    code = operator.__init__.__code__
    names = set(code.co_varnames[1 : 1 + code.co_kwonlyargcount])
    assert names <= set(operator.template_fields)


DAG = """
from datetime import datetime
from airflow.sdk import DAG
from airflow_distill.operators.logs import HarvestLogsOperator, MergeHarvestOperator, PlanHarvestOperator

PLACE = {{"workload": "bank", "root": {root!r}}}
with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    plan = PlanHarvestOperator(task_id="plan", logs={logs!r}, shards=3, least_bytes=1, **PLACE)
    parts = HarvestLogsOperator.partial(
        task_id="harvest", logs={logs!r}, model="amazon.nova-pro-v1:0", **PLACE
    ).expand(shard=plan.output)
    MergeHarvestOperator(task_id="merge", harvests=parts.output, **PLACE)
"""


def test_a_dag_maps_the_harvest_with_the_default_window(place: dict[str, str], run_dag: Any) -> None:
    """The run has no logical date; the window of the week before the run is rendered from its run time."""
    run = run_dag(DAG.format(**place), run_conf={}, logical_date=None)
    states = {(ti.task_id, ti.map_index): ti.state for ti in run.get_task_instances()}
    assert set(states.values()) == {"success"}
    merged = next(ti for ti in run.get_task_instances() if ti.task_id == "merge").xcom_pull(task_ids="merge")
    start, end = merged["window"]
    assert start[13:] == end[13:] == ":00:00Z"
    assert merged["kind"] == "harvest"


def test_logs_of_the_sandbox_are_harvested_in_every_operation(bedrock_environment: Sandbox) -> None:
    bedrock_environment.prepare(bucket="distill-sandbox")
    bedrock_environment.enable_logging("distill-sandbox", prefix="logs")
    operations = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream")
    items = [
        {
            "prompt": f"question {n}",
            "completion": f"answer {n}",
            "metadata": {"app": "bank"},
            "operation": operations[n % 4],
        }
        for n in range(80)
    ]
    items += [{"prompt": "x", "completion": "", "error": "ThrottlingException", "metadata": {"app": "bank"}}]
    bedrock_environment.play(items, model_id=MODEL, timestamp="2026-11-20T10:00:00Z")
    bedrock_environment.flush_logs()
    receipt = harvest_of(
        {"logs": "s3://distill-sandbox/logs", "root": "s3://distill-sandbox/distill", "workload": "bank"},
        metadata={"app": "bank"},
    ).execute(CONTEXT)
    assert (receipt["kept"], receipt["skipped"]) == (80, {"failed_call": 1})
    assert receipt["lines"] == 81


def test_calls_through_an_application_profile_are_harvested_by_the_model_behind_it(
    bedrock_environment: Sandbox,
) -> None:
    bedrock_environment.prepare(bucket="distill-sandbox")
    bedrock_environment.enable_logging("distill-sandbox", prefix="logs")
    client = bedrock_environment.client("bedrock")
    source = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
    made = client.create_inference_profile(inferenceProfileName="desk", modelSource={"copyFrom": source})
    arn = made["inferenceProfileArn"]
    items = [
        {"prompt": f"question {n}", "completion": f"answer {n}", "metadata": {"app": "bank"}}
        for n in range(20)
    ]
    bedrock_environment.play(items, model_id=arn, timestamp="2026-11-20T10:00:00Z")
    bedrock_environment.flush_logs()
    place = {"logs": "s3://distill-sandbox/logs", "root": "s3://distill-sandbox/distill", "workload": "bank"}
    receipt = harvest_of(place, metadata={"app": "bank"}).execute(CONTEXT)
    assert (receipt["kept"], receipt["skipped"]) == (20, {})
    assert bedrock_environment.calls("GetInferenceProfile") == 1
    client.delete_inference_profile(inferenceProfileIdentifier=arn)
    gone = harvest_of({**place, "workload": "gone"}, metadata={"app": "bank"}).execute(CONTEXT)
    assert (gone["kept"], gone["skipped"]) == (0, {"unresolved_profile": 20})
