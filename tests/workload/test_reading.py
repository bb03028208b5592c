"""Workload files are read over their defaults; every mistake is told at its place, all at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.workload.config import Workload, format_duration, parse_duration
from airflow_distill.workload.reading import (
    check_folder,
    check_workload,
    parse_text,
    read_folder,
    read_workload,
)

Write = Callable[..., Path]


def told(path: Path) -> list[str]:
    """Problems without the folder's name: `line:column: setting: message; fix`."""
    return [str(p).removeprefix(f"{path}:") for p in check_workload(path).problems]


def test_nine_lines_make_a_workload_named_after_the_file(write: Write) -> None:
    workload = read_workload(write())
    assert (workload.name, workload.logs.window, workload.policy.margin) == (
        "support_tickets",
        timedelta(days=7),
        0.05,
    )


def test_an_unknown_key_is_refused_with_its_place_and_a_suggestion(write: Write) -> None:
    path = write("policy:\n  margn: 0.1\n")
    assert told(path) == ["11:3: policy.margn: unknown key; did you mean 'margin'?"]


def test_a_key_of_another_group_is_pointed_to_its_group(write: Write) -> None:
    assert told(write("margin: 0.1\n")) == ["10:1: margin: unknown key; did you mean 'policy.margin'?"]


def test_problems_are_collected_and_told_in_the_order_of_the_file(write: Write) -> None:
    path = write("deployment:\n  host: provisioned\nevaluation:\n  threads: many\nextra: 1\n")
    assert [line.split(":")[0] for line in told(path)] == ["11", "13", "14"]


def test_a_missing_setting_is_told_with_what_it_means(write: Write) -> None:
    path = write(text="owner: a\n")
    assert "1:1: teacher: required; model id or system inference profile" in told(path)


def test_a_wrong_choice_lists_the_choices_and_the_nearest(write: Write) -> None:
    (line,) = told(write("approval:\n  mode: allways\n"))
    assert line == "11:9: approval.mode: must be one of never, always, when; did you mean 'always'?"


def test_an_item_of_a_list_is_told_at_its_own_line(write: Write) -> None:
    more = "alerts:\n  - notifier: a.b\n  - notifier: a.b\n    events: [verdict, money]\n"
    (line,) = told(write(more))
    assert line.startswith(
        "13:23: alerts[1].events[1]: must be one of verdict, approval, failure, spend, expiry"
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("root: s3://b/{{ ds }}\n", "10:1: root: given twice"),
        ("job: {deadline: 7 days}\n", "10:17: job.deadline: a duration is"),
        ("budget2: [\n", "not YAML"),
        ("schedule: {cron: '0 3 * * 1', fresh_prompts: 200}\n", "10:11: schedule: give one of"),
        ("deployment: {host: provisioned-throughput}\n", "needs hourly_price"),
        ("deployment: {host: provisioned-throughput, hourly_price: 20.0}\n", "needs an end"),
        (
            "deployment: {host: provisioned-throughput, hourly_price: 20.0, commitment: OneMonth}\n",
            "needs an end",
        ),
        ("deployment: {commitment: OneMonth}\n", "commitment belongs to"),
        ("tags: {'airflow-distill:owner': me}\n", "is a reserved tag"),
        ("dataset: {size: 50}\n", "greater than or equal to 130"),
        ("dataset: {size: yes}\n", "should be a valid integer"),
        ("1: 2\n", "a key must be text, this one reads as int; write '1' in quotes"),
        ("name: Support Tickets\n", "a name has at most 40"),
        ("evaluation: {judge: ''}\n", "at least 1 character"),
        (
            "dataset: {redact: false, detectors: ['tests.stages.dataset.planted:find_word7']}\n",
            "10:10: dataset: detectors find nothing with",
        ),
    ],
)
def test_every_rule_names_its_place(write: Write, more: str, expected: str) -> None:
    assert any(expected in line for line in told(write(more)))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("my_package.privacy", "a function is named as package.module:function"),
        ("nowhere:find", "the module nowhere cannot be found or read here (ModuleNotFoundError)"),
        ("nowhere.privacy:find", "the module nowhere.privacy cannot be found"),
        (
            "tests.stages.dataset.planted:find_word",
            "tests.stages.dataset.planted has no 'find_word'; did you mean 'find_word7'?",
        ),
    ],
)
def test_a_detector_that_is_not_there_is_told_at_its_place(write: Write, path: str, expected: str) -> None:
    more = f"dataset:\n  detectors:\n    - tests.stages.dataset.planted:find_word7\n    - {path}\n"
    (line,) = told(write(more))
    assert line.startswith(f"13:7: dataset.detectors[1]: {expected}")


def test_reading_a_file_runs_no_detectors_module(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loads_a_model.py").write_text("from re import *\nraise RuntimeError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write("dataset: {detectors: ['loads_a_model:compile', 'msgspec._core:encode']}\n")
    assert read_workload(path).dataset.detectors == ("loads_a_model:compile", "msgspec._core:encode")


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [
        ("amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0", "not a listed student"),
        (
            "amazon.nova-premier-v1:0",
            "amazon.nova-micro-v1:0:128k",
            "write teacher: us.amazon.nova-premier-v1:0",
        ),
        (
            "anthropic.claude-3-5-sonnet-20240620-v1:0",
            "anthropic.claude-3-haiku-20240307-v1:0:200k",
            "AWS has withdrawn",
        ),
    ],
)
def test_a_pair_the_service_refuses_is_told_before_anything_runs(
    write: Write, shortest: str, teacher: str, student: str, expected: str
) -> None:
    text = shortest.replace("amazon.nova-pro-v1:0", teacher).replace("amazon.nova-micro-v1:0:128k", student)
    (line,) = told(write(text=text))
    assert line.startswith("3:10: student: ")
    assert expected in line


NOVA_2 = "amazon.nova-2-lite-v1:0:256k"


@pytest.mark.parametrize(
    ("student", "more", "expected"),
    [
        (NOVA_2, "", "job.method: fine-tuning can teach it"),
        (NOVA_2, "job: {method: fine-tuning}\n", "write dataset.source: curated-with-answers"),
        (
            "amazon.nova-micro-v1:0:128k",
            "job: {method: fine-tuning}\ndataset: {source: logs-pairs, training_logs: s3://acme-logs/2026/10}\n",
            "write dataset.source: curated-with-answers",
        ),
        (NOVA_2, "job: {method: reinforcement}\n", "fine-tuning"),
    ],
)
def test_a_method_that_does_not_fit_student_or_data_is_told_before_anything_runs(
    write: Write, shortest: str, student: str, more: str, expected: str
) -> None:
    text = shortest.replace("amazon.nova-micro-v1:0:128k", student)
    assert expected in "\n".join(told(write(more, text=text)))


def test_a_student_without_a_pair_can_be_fine_tuned(write: Write, shortest: str) -> None:
    text = shortest.replace("amazon.nova-micro-v1:0:128k", NOVA_2)
    more = "job: {method: fine-tuning}\ndataset: {source: curated-with-answers}\n"
    assert told(write(more, text=text)) == []


def test_a_pair_not_in_the_table_can_be_insisted_on(write: Write, shortest: str) -> None:
    text = shortest.replace("nova-micro-v1:0:128k", "nova-9-v1:0:1m") + "allow_unlisted_pair: true\n"
    (problem,) = told(write(text=text))
    assert "name deployment.host" in problem, "nobody pays for a student that nothing is known to serve"
    assert told(write(text=text + "deployment:\n  host: custom-model-deployment\n")) == []


def test_a_table_of_one_s_own_lists_pairs_for_a_file(write: Write, shortest: str, tmp_path: Path) -> None:
    pair = {"teacher": "amazon.nova-pro-v1:0", "student": "amazon.nova-9-v1:0:1m", "region": "us-east-1"}
    own = tmp_path / "models.json"
    own.write_text(json.dumps({"v": 1, "date": "2026-12-01", "pairs": [pair]}))
    text = shortest.replace("nova-micro-v1:0:128k", "nova-9-v1:0:1m")
    assert "not a listed student" in told(write(text=text))[0]
    assert told(write(text=f"{text}models: {own}\n")) == []
    own.write_text("{")
    assert "is not JSON" in " ".join(told(write(text=f"{text}models: {own}\n")))


@pytest.mark.parametrize(
    "filter_text", ["equals: {a: b, c: d}", "equals: {a: b}, orAll: [{equals: {a: c}}]", ""]
)
def test_a_metadata_filter_the_service_cannot_express_is_refused(
    write: Write, shortest: str, filter_text: str
) -> None:
    location = "  location: s3://acme-logs/bedrock\n"
    text = shortest.replace(location, f"{location}  metadata: {{{filter_text}}}\n")
    assert any(line.startswith("8:") for line in told(write(text=text)))


def test_a_group_whose_lines_are_all_commented_out_is_a_group_left_out(write: Write) -> None:
    assert told(write("policy:\n  # margin: 0.1\n")) == []


def test_defaults_lie_beneath_every_file_of_the_folder_and_its_subfolders(write: Write) -> None:
    write(text="owner: platform\nbudget: {usd_per_run: 9, usd_per_month: 90}\n", name="defaults.yaml")
    write(text="owner: search\n", name="search/defaults.yaml")
    path = write(name="search/answers.yaml")
    workload = read_workload(path)
    assert (workload.owner, workload.budget.usd_per_run, workload.budget.usd_per_month) == (
        "support-platform",
        50,
        90,
    )


def test_a_mistake_in_the_defaults_is_told_in_the_defaults(write: Write) -> None:
    defaults = write(text="polcy: {margin: 0.1}\n", name="defaults.yaml")
    (problem,) = check_workload(write()).problems
    assert str(problem) == f"{defaults}:1:1: polcy: unknown key; did you mean 'policy'?"


def test_a_schedule_replaces_the_schedule_of_the_defaults(write: Write) -> None:
    write(text="schedule: {cron: '@weekly'}\n", name="defaults.yaml")
    assert read_workload(write("schedule: {fresh_prompts: 500}\n")).schedule.cron is None


def test_overrides_win_over_the_file(write: Write) -> None:
    assert read_workload(write(), {"root": "s3://staging/loop"}).root == "s3://staging/loop"


def test_a_name_used_twice_in_a_folder_is_a_problem_of_the_later_file(write: Write, tmp_path: Path) -> None:
    first = write(name="a.yaml", more="name: same\n")
    write(name="b.yaml", more="name: same\n")
    with pytest.raises(ConfigurationError, match=f"the name 'same' is taken by {first}"):
        read_folder(tmp_path)


def test_a_folder_with_one_wrong_file_still_reads_the_others(write: Write, tmp_path: Path) -> None:
    write(name="a.yaml")
    write(name="b.yaml", text="owner: x\n")
    found = check_folder(tmp_path)
    assert [one.workload is not None for one in found] == [True, False]


def test_hidden_files_and_defaults_are_not_workloads(write: Write, tmp_path: Path) -> None:
    write(name="defaults.yaml")
    write(name=".draft.yaml")
    write(name=".git/x.yaml")
    assert check_folder(tmp_path) == ()


def test_the_error_lists_every_problem(write: Write) -> None:
    with pytest.raises(ConfigurationError, match="2 problems in workload files"):
        read_workload(write("x: 1\ny: 2\n"))


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "- a\n", "just words\n", "a: &x {b: *x}\n", "\t\n", "a: *b\n"]
)
def test_what_is_no_mapping_is_a_problem_and_never_a_crash(text: str) -> None:
    assert parse_text(text, "f.yaml").problems


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"owner: caf\xe9\n")
    assert "not UTF-8" in str(check_workload(tmp_path / "latin.yaml").problems[0])
    assert "cannot be read" in str(check_workload(tmp_path / "absent.yaml").problems[0])


def test_a_workload_survives_its_own_plain_form(write: Write) -> None:
    workload = read_workload(write())
    assert Workload.model_validate(workload.model_dump(mode="json")) == workload


@pytest.mark.parametrize("text", ["90m", "36h", "7d", "1h"])
def test_durations_print_as_they_were_written(text: str) -> None:
    assert format_duration(parse_duration(text)) == text


def test_reading_loads_neither_airflow_nor_the_aws_sdk() -> None:
    code = (
        "import sys, airflow_distill.workload.reading, airflow_distill.workload.iam\n"
        "print([m for m in ('airflow', 'boto3', 'botocore') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_hundred_files_are_read_from_one_folder(write: Write, tmp_path: Path) -> None:
    for number in range(100):
        write(name=f"w{number}.yaml")
    assert len(read_folder(tmp_path)) == 100
