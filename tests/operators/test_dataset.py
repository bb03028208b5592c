"""The dataset operators on the sandbox's bucket: from logs to a checked dataset, nothing leaked, nothing changed."""

from __future__ import annotations

import gzip
import json
import logging
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_distill.errors import StateError
from airflow_distill.operators.dataset import (
    CheckDatasetOperator,
    CheckLogsOperator,
    CurateDatasetOperator,
    receipts_of,
)
from airflow_distill.operators.logs import HarvestLogsOperator, MergeHarvestOperator, PlanHarvestOperator
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.logs.harvest import read_harvest
from tests.stages.dataset.planted import planted

pytestmark = pytest.mark.airflow

TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0:128k"
ROOT, WORKLOAD = "s3://distill-sandbox/distill", "bank"
LOGS = "s3://distill-sandbox/logs"
START, END = "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"
FILES = {"train.jsonl", "heldout.jsonl", "findings.jsonl", "manifest.json", "card.md"}
VOCABULARY = [f"word{n}" for n in range(2000)]
SECRETS = planted(200)


class Instance:
    """What an operator asks of a task instance."""

    dag_id, run_id, task_id, map_index = "loop", "manual__2026-11-24T00:00:00+00:00", "task", -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def context() -> dict[str, Any]:
    return {"ti": Instance(), "run_id": "manual__2026-11-24T00:00:00+00:00"}


def questions(count: int, seed: int = 1) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(count):
        yield " ".join(rng.choices(VOCABULARY, k=12))


@pytest.fixture
def bank(bedrock_environment: Sandbox) -> Sandbox:
    """A week of logs: 400 questions of one application, every second one holding a secret, and 50 of another."""
    bedrock_environment.prepare(bucket="distill-sandbox")
    bedrock_environment.enable_logging("distill-sandbox", prefix="logs")
    play(bedrock_environment, [*with_secrets()], "2026-11-18T10:00:00Z")
    other = [item(text, metadata={"app": "other"}) for text in questions(50, 2)]
    play(bedrock_environment, other, "2026-11-19T10:00:00Z")
    return bedrock_environment


def play(sandbox: Sandbox, items: list[dict[str, Any]], moment: str) -> None:
    sandbox.play(items, model_id=TEACHER, timestamp=moment)
    sandbox.flush_logs()


def item(
    prompt: str, completion: str = "an answer", metadata: dict[str, str] | None = None
) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "metadata": metadata or {"app": "bank"}}


def with_secrets() -> Iterator[dict[str, Any]]:
    secrets = iter(SECRETS)
    for number, text in enumerate(questions(400)):
        if number % 2:
            yield item(text)
            continue
        _, _, sentence = next(secrets)
        in_answer = number % 4 == 0
        yield item(
            text if in_answer else f"{text} {sentence}",
            f"As you say: {sentence}" if in_answer else "an answer",
        )


def harvest(**overrides: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "task_id": "harvest", "workload": WORKLOAD, "root": ROOT, "logs": LOGS, "model": TEACHER, "window_start": START,
        "window_end": END, "metadata": {"app": "bank"}, "salt": WORKLOAD,
    }  # fmt: skip
    receipt: dict[str, Any] = HarvestLogsOperator(**{**settings, **overrides}).execute(context())
    return receipt


def curate(receipt: Any, **overrides: Any) -> CurateDatasetOperator:
    settings: dict[str, Any] = {
        "task_id": "curate", "harvest": receipt, "workload": WORKLOAD, "root": ROOT, "teacher": TEACHER, "student": STUDENT,
    }  # fmt: skip
    return CurateDatasetOperator(**{**settings, **overrides})


def objects(sandbox: Sandbox, prefix: str) -> dict[str, bytes]:
    client = sandbox.client("s3")
    keys = [o["Key"] for p in client.get_paginator("list_objects_v2").paginate(Bucket="distill-sandbox", Prefix=prefix)
            for o in p.get("Contents", ())]  # fmt: skip
    return {key: client.get_object(Bucket="distill-sandbox", Key=key)["Body"].read() for key in keys}


def test_a_dataset_is_written_where_the_receipt_says(bank: Sandbox) -> None:
    receipt = curate(harvest()).execute(context())
    stored = objects(bank, f"distill/{WORKLOAD}/datasets/{receipt['dataset_id']}/")
    names = {key.rsplit("/", 1)[1]: data for key, data in stored.items()}
    assert set(names) == FILES
    assert names["train.jsonl"].count(b"\n") == receipt["train_records"]
    assert names["heldout.jsonl"].count(b"\n") == receipt["heldout_records"]
    assert receipt["accepted"]
    assert receipt["worth_it"]
    assert receipt["lines"] == 450
    assert receipt["lines"] == receipt["kept"] + sum(receipt["skipped"].values())
    assert receipt["kept"] == receipt["train_records"] + receipt["heldout_records"] + sum(
        receipt["dropped"].values()
    )
    assert len(json.dumps(receipt)) < 2048


def harvest_in_parts(**overrides: Any) -> tuple[dict[str, Any], list[Any]]:
    """Harvest as mapped tasks do; return the merged receipt and all that went through XCom before it."""
    place = {"workload": WORKLOAD, "root": ROOT}
    plan = PlanHarvestOperator(
        task_id="plan", **place, logs=LOGS, window_start=START, window_end=END, shards=3, least_bytes=1
    )
    tickets = plan.execute(context())
    parts = [harvest(shard=ticket, **overrides) for ticket in tickets]
    merged = MergeHarvestOperator(task_id="merge", harvests=parts, **place).execute(context())
    return merged, [tickets, parts]


@pytest.mark.parametrize("answer_rule", ["latest", "most_frequent"])
def test_two_hundred_planted_secrets_reach_no_object_log_line_or_receipt(
    bank: Sandbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], answer_rule: str
) -> None:
    """Every object of the bucket is looked into but the service's own logs; the secrets found are counted once."""
    caplog.set_level(logging.DEBUG)
    alone = harvest(answer_rule=answer_rule)
    receipt, parts = harvest_in_parts(answer_rule=answer_rule)
    assert len(parts[0]) > 1
    made = curate(receipt, settings={"with_answers": True}).execute(context())
    checked = CheckDatasetOperator(task_id="check", dataset=made).execute(context())
    written = {
        key: gzip.decompress(data) if key.endswith(".gz") else data
        for key, data in objects(bank, "").items()
        if not key.startswith("logs/")
    }
    assert sum("/windows/" in key for key in written) == 2 + len(parts[0])
    told = [key for key in written if "/status/" in key or "/run-status/" in key]
    assert len(told) == 2, "what the pages show"
    assert sum("/windows/" not in key for key in written) - len(told) == 8
    printed = capfd.readouterr()
    assert made["dataset_id"] in printed.out + printed.err + caplog.text, "task logs were not captured"
    spoken = caplog.text + printed.out + printed.err + json.dumps([alone, parts, receipt, made, checked])
    everything = b"\n".join(written.values()).decode("utf-8", "replace") + spoken
    leaked = [
        kind for kind, secret, _ in SECRETS if secret in everything or json.dumps(secret)[1:-1] in everything
    ]
    manifest = json.loads(written[f"distill/{WORKLOAD}/datasets/{made['dataset_id']}/manifest.json"])
    assert leaked == []
    assert sum(manifest["profile"]["redacted"].values()) == 200
    assert curate(alone, settings={"with_answers": True}).execute(context()) == made


def test_the_harvest_keeps_secrets_only_when_it_is_told_to(bank: Sandbox) -> None:
    receipt = harvest(redact=False)
    key = receipt["shards"][0].removeprefix("s3://distill-sandbox/")
    kept = gzip.decompress(objects(bank, key)[key]).decode()
    assert sum(json.dumps(secret)[1:-1] in kept for _, secret, _ in SECRETS) == 200
    made = curate(receipt, settings={"with_answers": True}).execute(context())
    assert sum(redacted_in(bank, made).values()) == 200
    also = curate(harvest(), settings={"with_answers": True}).execute(context())
    assert redacted_in(bank, also) == redacted_in(bank, made)
    assert also == made, "redacted in the harvest or in curation, it is one dataset"


def redacted_in(sandbox: Sandbox, made: dict[str, Any]) -> dict[str, int]:
    key = made["manifest_uri"].removeprefix("s3://distill-sandbox/")
    found: dict[str, int] = json.loads(objects(sandbox, key)[key])["profile"]["redacted"]
    return found


def test_a_detector_of_ones_own_goes_through_the_harvest(bank: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="cannot be imported"):
        harvest(detectors=["nowhere:find"])
    receipt = harvest(detectors=["tests.stages.dataset.planted:find_word7"])
    key = receipt["shards"][0].removeprefix("s3://distill-sandbox/")
    kept = gzip.decompress(objects(bank, key)[key])
    assert b"[WORD_1]" in kept
    assert b"word7 " not in kept


def test_no_prompt_or_answer_text_is_logged(bank: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    made = curate(harvest()).execute(context())
    CheckDatasetOperator(task_id="check", dataset=made).execute(context())
    printed = capfd.readouterr()
    assert made["dataset_id"] in printed.out + printed.err
    assert not [text for text in questions(400) if text in printed.out + printed.err]


def test_a_second_run_writes_the_same_bytes(bank: Sandbox) -> None:
    receipt = harvest()
    first = curate(receipt).execute(context())
    before = objects(bank, f"distill/{WORKLOAD}/")
    assert curate(receipt).execute(context()) == first
    assert objects(bank, f"distill/{WORKLOAD}/") == before


def test_a_template_that_made_nothing_counts_as_not_given(bank: Sandbox) -> None:
    assert (
        curate(harvest(), live_manifest="None", golden=None, saving="None").execute(context())["reason"]
        == "first"
    )


def test_little_new_ends_as_skipped_with_the_figures_written(bank: Sandbox) -> None:
    receipt = harvest()
    live = curate(receipt).execute(context())
    task = curate(receipt, live_manifest=live["manifest_uri"], settings={"limit": 350})
    here = context()
    with pytest.raises(AirflowSkipException, match="little_new"):
        task.execute(here)
    pushed = here["ti"].pushed["return_value"]
    assert (pushed["worth_it"], pushed["reason"], pushed["accepted"]) == (False, "little_new", True)
    assert any(pushed["dataset_id"] in key for key in objects(bank, f"distill/{WORKLOAD}/datasets/"))
    assert not any(pushed["dataset_id"] in key for key in objects(bank, f"distill/{WORKLOAD}/fingerprints/"))


def test_the_verdict_can_be_left_to_the_author(bank: Sandbox) -> None:
    receipt = harvest()
    live = curate(receipt).execute(context())
    out = curate(receipt, live_manifest=live["manifest_uri"], skip_when_not_worth=False).execute(context())
    assert (out["worth_it"], out["reason"]) == (False, "little_new")


def test_enough_new_traffic_is_worth_it(bank: Sandbox) -> None:
    live = curate(harvest()).execute(context())
    play(bank, [item(text) for text in questions(300, 5)], "2026-11-25T10:00:00Z")
    fresh = harvest(window_start=START, window_end="2026-11-30T00:00:00Z")
    out = curate(fresh, live_manifest=live["manifest_uri"]).execute(context())
    assert (out["worth_it"], out["reason"]) == (True, "enough_new")


def test_a_saving_below_the_wanted_one_is_not_worth_it(bank: Sandbox) -> None:
    task = curate(harvest(), saving="12.5", worth={"least_saving": 100}, skip_when_not_worth=False)
    assert task.execute(context())["reason"] == "nothing_to_save"


def test_golden_examples_come_from_a_file(bank: Sandbox) -> None:
    lines = [
        {"schemaVersion": "bedrock-conversation-2024", "messages": [
            {"role": "user", "content": [{"text": text}]}, {"role": "assistant", "content": [{"text": "by hand"}]}]}
        for text in questions(20, 7)
    ]  # fmt: skip
    body = "\n".join(map(json.dumps, lines)) + "\nnot json\n"
    bank.client("s3").put_object(Bucket="distill-sandbox", Key="golden.jsonl", Body=body.encode())
    receipt = curate(harvest(), golden="s3://distill-sandbox/golden.jsonl").execute(context())
    stored = objects(bank, f"distill/{WORKLOAD}/datasets/{receipt['dataset_id']}/")
    train = next(data for key, data in stored.items() if key.endswith("train.jsonl"))
    manifest = json.loads(next(data for key, data in stored.items() if key.endswith("manifest.json")))
    assert manifest["counts"]["golden"] == 20
    assert manifest["skipped"]["golden_not_read"] == 1
    assert manifest["golden"]["sha256"] == sha256_hex(body.encode())
    assert b"by hand" not in train
    assert (manifest["profile"]["train"]["golden"], manifest["profile"]["heldout"]["golden"]) == (0, 20)
    assert receipt["lines"] == receipt["kept"] + sum(receipt["skipped"].values())
    findings = next(data for key, data in stored.items() if key.endswith("findings.jsonl"))
    assert b'"path":"golden"' in findings


def test_golden_examples_may_be_taught_up_to_a_share(bank: Sandbox) -> None:
    lines = [
        json.dumps({"v": 1, "turns": [["user", text]], "answer": "by hand"}) for text in questions(60, 7)
    ]
    bank.client("s3").put_object(Bucket="distill-sandbox", Key="golden.jsonl", Body="\n".join(lines).encode())
    receipt = curate(
        harvest(), golden="s3://distill-sandbox/golden.jsonl", settings={"golden_share": 0.05}
    ).execute(context())
    stored = objects(bank, f"distill/{WORKLOAD}/datasets/{receipt['dataset_id']}/")
    train = next(data for key, data in stored.items() if key.endswith("train.jsonl"))
    assert train.count(b"by hand") == int((receipt["train_records"] - train.count(b"by hand")) * 0.05 / 0.95)


def test_a_golden_file_without_one_golden_example_is_refused(bank: Sandbox) -> None:
    bank.client("s3").put_object(Bucket="distill-sandbox", Key="golden.jsonl", Body=b'{"prompt": "x"}\n')
    with pytest.raises(AirflowFailException, match="holds no golden example"):
        curate(harvest(), golden="s3://distill-sandbox/golden.jsonl").execute(context())


def test_a_golden_file_that_is_not_there_fails_at_once(bank: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="no golden file"):
        curate(harvest(), golden="s3://distill-sandbox/nowhere.jsonl").execute(context())


@pytest.mark.parametrize(("lost", "fails"), [(None, False), (0.001, True), (0.5, False), ("0.001", True)])
def test_more_loss_than_is_allowed_stops_the_run_before_a_dataset_is_made(
    bank: Sandbox, lost: Any, fails: bool
) -> None:
    key = "logs/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/18/10/20261118T105900000Z_00.json.gz"
    bank.client("s3").put_object(Bucket="distill-sandbox", Key=key, Body=gzip.compress(b"{}\n" * 99)[:-9])
    task = curate(harvest(), lost=lost)
    if not fails:
        assert task.execute(context())["accepted"]
        return
    with pytest.raises(
        AirflowFailException, match=r"of the logs could not be read, 0\.10% is allowed: 1 log objects"
    ):
        task.execute(context())
    assert not objects(bank, "distill/bank/datasets/")


def test_feedback_selects_what_is_taught(bank: Sandbox) -> None:
    kept = harvest()
    store = curate(kept).store_for(ROOT)
    ids = [each.request_id for each in read_harvest(store, kept["shards"]).interactions()]
    records = [{"request_id": each, "label": "disliked"} for each in ids[:30]]
    body = "".join(json.dumps(record) + "\n" for record in records)
    bank.client("s3").put_object(Bucket="distill-sandbox", Key="feedback/a.jsonl", Body=body.encode())
    where = "s3://distill-sandbox/feedback"
    receipt = curate(kept, feedback=where, settings={"feedback": ["not_disliked"]}).execute(context())
    assert receipt["dropped"]["disliked"] == 30
    assert receipt["kept"] == receipt["train_records"] + receipt["heldout_records"] + sum(
        receipt["dropped"].values()
    )
    stored = objects(bank, f"distill/{WORKLOAD}/datasets/{receipt['dataset_id']}/")
    manifest = json.loads(next(data for key, data in stored.items() if key.endswith("manifest.json")))
    assert (manifest["profile"]["feedback"]["joined"], manifest["profile"]["feedback"]["records"]) == (30, 30)
    assert receipt["dataset_id"] != curate(kept).execute(context())["dataset_id"]


@pytest.mark.parametrize(
    ("feedback", "settings", "said"),
    [
        ("s3://distill-sandbox/nowhere", {"feedback": ["liked"]}, "no feedback file"),
        ("s3://distill-sandbox/nowhere", {}, "nothing says what it is used for"),
    ],
)
def test_feedback_that_cannot_be_used_fails_at_once(
    bank: Sandbox, feedback: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        curate(harvest(), feedback=feedback, settings=settings).execute(context())


@pytest.mark.parametrize("wrong", [None, [], {"kind": "job"}, [{"kind": "harvest"}, 5]])
def test_what_is_no_harvest_receipt_is_refused(wrong: Any) -> None:
    with pytest.raises(Exception, match="not a harvest receipt"):
        receipts_of(wrong)


@pytest.mark.parametrize(
    "wrong", [{"settings": {"colour": 1}}, {"settings": {"heldout": 2}}, {"worth": {"x": 1}}]
)
def test_wrong_settings_fail_at_once(bank: Sandbox, wrong: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="dataset"):
        curate(harvest(), **wrong).execute(context())


def test_the_check_hands_on_its_receipt(bank: Sandbox) -> None:
    receipt = curate(harvest()).execute(context())
    assert CheckDatasetOperator(task_id="check", dataset=receipt).execute(context()) == receipt


def test_a_dataset_that_changed_is_refused(bank: Sandbox) -> None:
    receipt = curate(harvest()).execute(context())
    key = receipt["train_uri"].removeprefix("s3://distill-sandbox/")
    bank.client("s3").put_object(Bucket="distill-sandbox", Key=key, Body=b"{}\n")
    with pytest.raises(AirflowFailException, match="changed after it was made"):
        CheckDatasetOperator(task_id="check", dataset=receipt).execute(context())


def test_a_dataset_that_is_gone_is_an_error_of_state(bank: Sandbox) -> None:
    receipt = curate(harvest()).execute(context())
    key = receipt["manifest_uri"].removeprefix("s3://distill-sandbox/")
    bank.client("s3").delete_object(Bucket="distill-sandbox", Key=key)
    with pytest.raises(StateError, match="is gone"):
        CheckDatasetOperator(task_id="check", dataset=receipt).execute(context())


def test_too_little_traffic_is_told_as_such(bank: Sandbox) -> None:
    with pytest.raises(AirflowSkipException, match="a quiet window: 47 records"):
        curate(harvest(metadata={"app": "other"})).execute(context())
    receipt = curate(harvest(metadata={"app": "other"}), skip_when_not_worth=False).execute(context())
    assert (receipt["accepted"], receipt["reason"]) == (False, "too_few_records")
    with pytest.raises(AirflowFailException, match="DatasetTooSmallError"):
        CheckDatasetOperator(task_id="check", dataset=receipt).execute(context())


def test_a_damaged_ledger_stops_the_run_rather_than_counting_as_empty(bank: Sandbox) -> None:
    first = curate(harvest()).execute(context())
    key = f"distill/{WORKLOAD}/fingerprints/heldout/{first['dataset_id']}.bin"
    bank.client("s3").put_object(Bucket="distill-sandbox", Key=key, Body=b"ADFP1")
    play(bank, [item(text) for text in questions(200, 5)], "2026-11-25T10:00:00Z")
    fresh = harvest(window_start=END, window_end="2026-11-30T00:00:00Z")
    with pytest.raises(StateError, match="ends too early"):
        curate(fresh).execute(context())


def test_logs_are_counted_before_a_job_reads_them(bank: Sandbox) -> None:
    receipt = CheckLogsOperator(task_id="logs", logs=LOGS, teacher=TEACHER, metadata={"app": "bank"}).execute(
        context()
    )
    assert (receipt["lines"], receipt["usable"], receipt["unsure"]) == (450, 400, 0)
    assert receipt["counts"] == {"other_metadata": 50}


def test_a_filter_that_matches_too_little_is_refused_before_a_job_is_bought(bank: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="50 of 450 log records"):
        CheckLogsOperator(task_id="logs", logs=LOGS, teacher=TEACHER, metadata={"app": "other"}).execute(
            context()
        )


def test_a_receipt_may_come_in_a_list(bank: Sandbox) -> None:
    receipt = harvest()
    assert curate([receipt]).execute(context()) == curate(receipt).execute(context())


def test_shards_are_compressed_json_lines(bank: Sandbox) -> None:
    receipt = harvest()
    key = receipt["shards"][0].removeprefix("s3://distill-sandbox/")
    body = objects(bank, key)[key]
    assert gzip.decompress(body).count(b"\n") >= receipt["kept"]


EMPTY = {"window_start": "2025-01-01T00:00:00Z", "window_end": "2025-01-08T00:00:00Z"}


def test_an_empty_window_is_skipped_and_buys_nothing(bank: Sandbox) -> None:
    receipt = harvest(**EMPTY)
    assert receipt["kept"] == 0
    with pytest.raises(AirflowSkipException, match="a quiet window: 0 records"):
        curate(receipt).execute(context())


def test_a_window_of_fewer_records_than_the_service_takes_is_skipped(bank: Sandbox) -> None:
    receipt = harvest(limit=105)
    with pytest.raises(AirflowSkipException, match="no fewer than 100") as skipped:
        curate(receipt).execute(context())
    assert "logs.window" in str(skipped.value)
    kept = curate(receipt, skip_when_not_worth=False).execute(context())
    assert (kept["worth_it"], kept["reason"]) == (False, "too_few_records")


@pytest.mark.parametrize(
    "wrong", ["s3://distill-sandbox/lgos", "s3://distill-sandbox/logs/AWSLogs/999999999999"]
)
def test_a_prefix_without_any_log_object_fails_by_its_name_before_anything_is_green(
    bank: Sandbox, wrong: str
) -> None:
    with pytest.raises(AirflowFailException, match=f"no log object under {wrong}"):
        harvest(logs=wrong)
    plan = PlanHarvestOperator(
        task_id="plan", workload=WORKLOAD, root=ROOT, logs=wrong, window_start=START, window_end=END
    )
    with pytest.raises(AirflowFailException, match=f"no log object under {wrong}"):
        plan.execute(context())


def test_hours_without_logs_are_told(bank: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    harvest()
    said = "".join(capfd.readouterr())
    assert "log objects lie in 2 of the window's 168 hours; the longest gap is" in said


def test_damaged_objects_are_told_by_their_key(bank: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    folder = "logs/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/20/10"
    whole = gzip.compress(b'{"schemaType": "ModelInvocationLog"}\n' * 2_000 + os.urandom(5_000))
    broken = {"cut.json.gz": whole[: len(whole) // 2], "garbage.json.gz": b"\x00\x01garbage"}
    for name, body in broken.items():
        bank.client("s3").put_object(Bucket="distill-sandbox", Key=f"{folder}/{name}", Body=body)
    with caplog.at_level("WARNING"):
        receipt = harvest()
    assert receipt["objects"]["damaged"] == 2
    for name in broken:
        assert f"s3://distill-sandbox/{folder}/{name} is " in caplog.text
