"""The tasks around the stages: own prompts, the budget, what is live, models and commitments that come to their end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.operators.workload import (
    CheckBudgetOperator,
    CheckCommitmentsOperator,
    CheckLifecycleOperator,
    FindLiveModelOperator,
    ReadPromptsOperator,
)
from airflow_distill.remote.identity import resource_tags
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.money.estimate import mean_tokens
from tests.release_world import ReleaseWorld

pytestmark = pytest.mark.airflow

TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0:128k"
PRICES = {"deployment-input": 0.000035, "deployment-output": 0.00014}


class Ti:
    """A task instance that remembers what was pushed."""

    task_id, dag_id, run_id = "t", "d", "r"

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def context(when: datetime = datetime(2026, 11, 24, tzinfo=UTC)) -> dict[str, Any]:
    return {"ti": Ti(), "dag_run": SimpleNamespace(run_after=when)}


@pytest.fixture
def dataset(tmp_path: Path, bedrock_environment: Sandbox) -> Callable[..., dict[str, Any]]:
    """Write the manifest of a dataset of 1,000 records and return its receipt."""

    def make(name: str = "d1", profile: dict[str, Any] | None = None) -> dict[str, Any]:
        uri = tmp_path / f"{name}.json"
        told = (
            {"examples": 900, "input_tokens": 270_000, "output_tokens": 9_000} if profile is None else profile
        )
        uri.write_text(json.dumps({"profile": {"train": told}}))
        return {
            "kind": "dataset",
            "dataset_id": name,
            "manifest_uri": str(uri),
            "train_records": 900,
            "heldout_records": 100,
            "teacher": TEACHER,
            "student": STUDENT,
        }

    return make


def budget(root: Path, dataset: dict[str, Any], **more: Any) -> CheckBudgetOperator:
    arguments = {"usd_per_run": 60, "student_prices": PRICES, **more}
    return CheckBudgetOperator(task_id="b", workload="w", root=str(root), dataset=dataset, **arguments)


def test_a_run_within_its_caps_goes_on_and_is_noted(tmp_path: Path, dataset: Callable[..., Any]) -> None:
    told = budget(tmp_path, dataset()).execute(context())
    assert 0 < told["estimate_usd"] < 60
    (claim,) = tmp_path.glob("w/spend/20*/000001.json")
    assert json.loads(claim.read_text())["usd"] == told["estimate_usd"]


def test_a_run_above_its_cap_stops_before_anything_is_bought(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    with pytest.raises(AirflowFailException, match=r"BudgetError.*the cap is 1\.00 USD; nothing was bought"):
        budget(tmp_path, dataset(), usd_per_run=1).execute(context())
    assert not list(tmp_path.glob("w/spend/*/*"))


def test_an_unknown_price_stops_the_run_and_never_counts_as_zero(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    with pytest.raises(AirflowFailException, match="has no price for deployment-input"):
        budget(tmp_path, dataset(), student_prices=None).execute(context())


def test_the_runs_of_a_month_share_its_cap_and_a_retry_counts_once(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    first = budget(tmp_path, dataset("d1"), usd_per_month=60)
    spent = first.execute(context())["estimate_usd"]
    assert first.execute(context())["spent_this_month_usd"] == 0
    cap = spent * 1.5
    with pytest.raises(AirflowFailException, match="this month"):
        budget(tmp_path, dataset("d2"), usd_per_month=cap).execute(context())


def test_the_month_that_pays_is_the_month_of_the_purchase_whatever_time_a_run_stands_for(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    class December(CheckBudgetOperator):
        def now(self) -> datetime:
            return datetime(2026, 12, 1, tzinfo=UTC)

    for number, stands_for in enumerate(
        (datetime(2026, 9, 7, tzinfo=UTC), datetime(2026, 10, 5, tzinfo=UTC))
    ):
        operator = December(
            task_id="b",
            workload="w",
            root=str(tmp_path),
            dataset=dataset(f"d{number}"),
            usd_per_run=60,
            student_prices=PRICES,
        )
        operator.execute(context(stands_for))
    assert [path.parent.name for path in sorted(tmp_path.glob("w/spend/20*/*"))] == ["202612", "202612"]


def test_learning_logged_answers_is_cheaper_than_asking_the_teacher(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    asked = budget(tmp_path, dataset()).execute(context())["estimate_usd"]
    reused = budget(tmp_path, dataset(), teacher_called=False).execute(context())["estimate_usd"]
    assert reused < asked / 2


def test_a_forecast_gives_the_decision_its_monthly_figures(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    told = context()
    forecast = {"input_tokens_per_day": 3_000_000, "output_tokens_per_day": 100_000}
    budget(tmp_path, dataset(), **forecast).execute(told)
    costs = told["ti"].pushed["costs"]
    assert 0 < costs["student_monthly_usd"] < costs["teacher_monthly_usd"]


def test_tokens_of_a_file_of_ones_own_are_reckoned_from_its_length() -> None:
    profile = {"examples": 3, "prompt_characters": {"p90": 300}, "answer_characters": {"p90": 30}}
    assert mean_tokens(profile) == (100, 10)
    assert mean_tokens({}) == (None, None)


def test_own_prompts_become_a_harvest_whose_counts_add_up(
    tmp_path: Path, bedrock_environment: Sandbox
) -> None:
    def record(prompt: str, answer: str | None) -> str:
        messages = [{"role": "user", "content": [{"text": prompt}]}]
        if answer:
            messages.append({"role": "assistant", "content": [{"text": answer}]})
        return json.dumps({"schemaVersion": "bedrock-conversation-2024", "messages": messages})

    lines = [record("a", "x"), record("a", "x"), record("b", "y"), record("c", None), "", "{broken"]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    read = ReadPromptsOperator(
        task_id="r",
        workload="w",
        root=str(tmp_path),
        prompts=str(tmp_path / "p.jsonl"),
        teacher=TEACHER,
        window_end="2026-11-24T05:00:00Z",
    )
    told = read.execute(context())
    assert (told["lines"], told["kept"]) == (5, 2), "a blank line is no record"
    assert told["lines"] == told["kept"] + sum(told["skipped"].values())
    assert told["skipped"] == {"duplicate": 1, "empty_answer": 1, "not_a_record": 1}
    assert read.execute(context()) == told


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "text,category\na,x\nb,y\n"),
        ("p.json", '[{"prompt": "a", "completion": "x"}, {"prompt": "b", "completion": "y"}]'),
        ("p.jsonl", '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}]}\n'
                    '{"prompt": "b", "completion": "y"}\n'),
    ],
)  # fmt: skip
def test_own_prompts_come_in_many_forms(
    tmp_path: Path, bedrock_environment: Sandbox, name: str, text: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(text)
    read = ReadPromptsOperator(
        task_id="r", workload="w", root=str(tmp_path), prompts=str(tmp_path / "in"), teacher=TEACHER,
        window_end="2026-11-24T05:00:00Z",
    )  # fmt: skip
    told = read.execute(context())
    assert (told["lines"], told["kept"], told["skipped"]) == (2, 2, {})


def test_nothing_live_is_no_error(tmp_path: Path, bedrock_environment: Sandbox) -> None:
    told = context()
    found = FindLiveModelOperator(task_id="f", workload="w", root=str(tmp_path)).execute(told)
    assert (found["release"], found["host_arn"]) == (None, "")
    assert told["ti"].pushed == {"host_arn": "", "manifest_uri": ""}


def test_active_models_raise_no_warning(bedrock_environment: Sandbox) -> None:
    check = CheckLifecycleOperator(task_id="l", workload="w", teacher=TEACHER, student=STUDENT)
    told = check.execute(context())
    assert told["warnings"] == []
    assert told["models"]["student"]["model"] == "amazon.nova-micro-v1:0"


def test_a_model_that_is_gone_or_comes_to_its_end_is_told_in_time(bedrock_environment: Sandbox) -> None:
    check = CheckLifecycleOperator(task_id="l", workload="w", teacher="amazon.gone-v1:0", student=STUDENT)
    told = context()
    with pytest.raises(AirflowFailException, match=r"amazon\.gone-v1:0 does not exist any more"):
        check.execute(told)
    assert told["ti"].pushed["return_value"]["warnings"]
    now = datetime(2026, 11, 24, tzinfo=UTC)
    soon = {"model": "m", "status": "ACTIVE", "legacy_at": "2026-12-24T00:00:00+00:00", "ends_at": None}
    assert "turns Legacy on 2026-12-24" in next(iter(check._warnings("student", soon, now)))
    far = {**soon, "legacy_at": "2028-01-01T00:00:00+00:00"}
    assert list(check._warnings("student", far, now)) == []


def test_a_workload_without_hosts_has_no_commitments(bedrock_environment: Sandbox) -> None:
    told = CheckCommitmentsOperator(task_id="c", workload="w").execute(context())
    assert (told["hosts"], told["warnings"]) == ([], [])


def test_terms_and_ends_of_real_hosts_are_told_in_time(bedrock_environment: Sandbox) -> None:
    """One host with a committed term of a month, one that ends in five days, one temporary, one of somebody else."""
    world = ReleaseWorld(bedrock_environment)
    for quota in ("model-units-with-commitment", "model-units-no-commitment"):
        bedrock_environment.world.set_quota(quota, 5)
    model, soon = world.model("student"), world.now() + timedelta(days=5)
    ours = {"run": "loop/run-1", "owner": "platform"}
    for name, tags, more in (
        ("committed", resource_tags("w", **ours), {"commitmentDuration": "OneMonth"}),
        ("ending", resource_tags("w", expires_at=soon, **ours), {}),
        ("candidate", resource_tags("w", expires_at=soon, temporary=True, **ours), {}),
        ("foreign", resource_tags("other", expires_at=soon, **ours), {}),
    ):
        bedrock_environment.client("bedrock").create_provisioned_model_throughput(
            provisionedModelName=name,
            modelId=model,
            modelUnits=1,
            tags=[{"key": key, "value": value} for key, value in tags.items()],
            **more,
        )
    later = CheckCommitmentsOperator(task_id="c", workload="w", ahead=timedelta(days=2)).execute(context())
    assert (len(later["hosts"]), later["warnings"]) == (3, [])
    assert [bool(host["commitment_ends_at"]) for host in later["hosts"]].count(True) == 1

    told = context()
    check = CheckCommitmentsOperator(task_id="c", workload="w", ahead=timedelta(days=32))
    with pytest.raises(AirflowFailException, match="the commitment of committed renews by itself on"):
        check.execute(told)
    warnings = told["ti"].pushed["return_value"]["warnings"]
    assert len(warnings) == 2
    assert any(line.startswith("ending comes to its end on") for line in warnings)


def test_a_notifier_hands_on_what_happened_and_no_text() -> None:
    from airflow_distill.notifications.workload import WorkloadNotifier, summary

    told: list[dict[str, Any]] = []
    Target.heard = told
    ti = SimpleNamespace(
        task_id="decision.decide",
        dag_id="d",
        run_id="r",
        xcom_pull=lambda task_ids: {"verdict": "hold", "reasons": [{"code": "worse"}], "answer": "secret"},
    )
    path = f"{Target.__module__}.Target"
    import sys

    sys.modules.setdefault(Target.__module__, sys.modules[__name__])
    WorkloadNotifier("w", "team", "verdict", path, {"text": "x"}).notify({"ti": ti})
    assert told[0]["summary"] == "w: hold (worse) in decision.decide of d (r)"
    assert "secret" not in summary("w", "verdict", {"ti": ti})


class Target(BaseNotifier):
    """Stands in for a chat notifier."""

    heard: list[dict[str, Any]]

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        self.heard.append(context["distill"])


def test_the_cap_on_a_day_of_the_host_is_met_before_anything_is_trained(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    traffic = {"input_tokens_per_day": 9_000_000_000, "output_tokens_per_day": 900_000_000}
    with pytest.raises(AirflowFailException, match=r"no host of .* at most 100\.00 USD a day .*441\.00 USD"):
        budget(tmp_path, dataset(), usd_per_day=100, **traffic).execute(context())
    assert not list(tmp_path.glob("w/spend/20*/*"))
    with pytest.raises(AirflowFailException, match=r"120\.00 USD a day"):
        budget(tmp_path, dataset(), usd_per_day=100, hourly_price=5, **traffic).execute(context())
    assert budget(tmp_path, dataset(), usd_per_day=150, hourly_price=5, **traffic).execute(context())


def test_a_judge_of_unknown_price_stops_the_run_before_the_job_is_bought(
    tmp_path: Path, dataset: Callable[..., Any]
) -> None:
    judge = "anthropic.claude-haiku-4-5-20251001-v1:0"
    with pytest.raises(AirflowFailException, match=f"has no price for inference-input of {judge}"):
        budget(tmp_path, dataset(), judge=judge).execute(context())
    told = budget(tmp_path, dataset(), judge="meta.llama3-3-70b-instruct-v1:0").execute(context())
    alone = budget(tmp_path, dataset("d2")).execute(context())
    assert told["estimate_usd"] > alone["estimate_usd"]


def test_the_claim_names_what_each_stage_may_come_to(tmp_path: Path, dataset: Callable[..., Any]) -> None:
    budget(tmp_path, dataset(), probes=20, usd_per_month=100).execute(context())
    (claim,) = tmp_path.glob("w/spend/20*/000001.json")
    said = json.loads(claim.read_text())
    assert {key.split("@")[0] for key in said["parts"]} == {"job", "evaluation", "release"}
    assert said["usd"] == pytest.approx(sum(said["parts"].values()))
    assert (said["cap"], said["run_cap"]) == (100, 60)
