"""What the package says of a whole run agrees with what the sandbox's meter billed, stage by stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import airflow_distill.triggers.base  # noqa: F401 - before the sandbox's threads import what it needs too
from airflow_distill.aws.gateways import AwsGateways, gateways_from_session
from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.runs import iter_runs, statement_of
from airflow_distill.stages.money.spend import Spend
from airflow_distill.stages.money.usage import RunUsage
from airflow_distill.workload.config import Workload
from tests.pipelines.test_loop import QUICK, dag_text, receipt, states

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def billed(account: Sandbox, before: dict[str, Any]) -> dict[str, float]:
    """Return what the meter billed since, by the stage of ours that it belongs to."""
    stages = {
        ("training-tokens", "training"): "job",
        ("input-tokens", "distillation teacher"): "job",
        ("output-tokens", "distillation teacher"): "job",
        ("input-tokens", "invocation"): "evaluation",
        ("output-tokens", "invocation"): "evaluation",
        ("custom-model-input-tokens", "deployment"): "calls of the student",
        ("custom-model-output-tokens", "deployment"): "calls of the student",
    }
    old = {(x["service"], x["model"], x["purpose"]): x["amount"] for x in before["lines"]}
    found: Counter[str] = Counter()
    for line in account.meter()["lines"]:
        key = (line["service"], line["model"], line["purpose"])
        stage = stages.get((line["service"], line["purpose"]), "other")
        found[stage] += line["amount"] - old.get(key, 0.0)
    return dict(found)


def test_estimate_actual_and_meter_of_a_whole_run(
    run_dag: Callable[..., Any],
    account: Sandbox,
    allow: Callable[[Workload], str],
    play: Callable[..., None],
    example: Callable[..., Workload],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table_file = tmp_path / "prices.json"
    update = [
        "prices",
        "update",
        str(table_file),
        "--region",
        "us-east-1",
        "--endpoint-url",
        account.endpoint_url,
    ]
    assert main(update) == 0
    overrides = {**QUICK, "budget": {"usd_per_run": 60, "usd_per_month": 200, "prices": str(table_file)}}
    workload = example("support_tickets", **overrides)
    allow(workload)
    play(1500)
    before = account.meter()
    run = run_dag(dag_text("support_tickets", overrides))
    assert set(states(run).values()) == {"success"}, states(run)
    meter = billed(account, before)

    gateways: AwsGateways = gateways_from_session(region_name="us-east-1", endpoint_url=account.endpoint_url)
    store, now = gateways.objects, datetime.now(UTC)
    (dataset_id,) = iter_runs(store, workload.root, workload.name)
    table = PriceTable.from_json(json.loads(table_file.read_text())).over(PriceTable.load())
    told = statement_of(store, workload.root, workload.name, dataset_id, table, now=now, region="us-east-1")
    actual = {row.stage: float(row.actual_usd or 0) for row in told.rows}
    assert actual["job"] == pytest.approx(meter["job"], rel=0.01)
    ours = RunUsage(store, workload.root, workload.name, dataset_id).read()
    asked = sum(actual[stage] for stage in ("evaluation", "release"))
    assert asked == pytest.approx(meter["evaluation"] + meter["calls of the student"], rel=0.01)
    assert sum(record.calls for record in ours if record.stage in ("evaluation", "release")) == account.calls(
        "Converse"
    ) - before["calls"].get("Converse", {}).get("ok", 0)
    assert float(told.open_usd or 0) < 0.01, "everything is settled"
    assert float(told.actual_usd or 0) < float(told.estimate_usd or 0) * 2
    held = Spend(store, workload.root, workload.name, f"{now:%Y%m}").book().usd
    assert float(held) == pytest.approx(float(told.actual_usd or 0), abs=0.01), (
        "claims became what they came to"
    )

    page = store.read(receipt(run, "end.report")["report_uri"]).decode()
    for words in ("What it cost", "Distillation job", "What runs on", "What it saves", "against the teacher"):
        assert words in page
    assert "not looked up" not in page.lower()
    capsys.readouterr()
    place = ["support_tickets", "--root", workload.root, "--region", "us-east-1", "--prices", str(table_file)]
    end = ["--endpoint-url", account.endpoint_url]
    assert main(["spend", "show", *place, *end]) == 0
    out = capsys.readouterr().out
    assert dataset_id in out
    assert "unknown" not in out

    report = tmp_path / "cur.csv"
    job = receipt(run, "jobs.distill")["job_arn"]
    report.write_text(cost_report([(job, actual["job"] + 5.0), ("arn:aws:bedrock:us-east-1:1:x/y", 3.0)]))
    assert main(["spend", "reconcile", *place, *end, "--report", str(report), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["found"]
    why = {each["resource"]: (each["status"], each["why"]) for each in found}
    assert why[job] == ("unexplained", "5.00 USD more than our records say")
    assert why["arn:aws:bedrock:us-east-1:1:x/y"][0] == "unexplained"
    kept = [each for each in found if each["what"].startswith("kept model")]
    assert [each["status"] for each in kept] == ["matched"], "a model of today owes nothing yet"
    report.write_text(cost_report([("arn:aws:bedrock:us-east-1:1:x/y", 3.0)]))
    assert main(["spend", "reconcile", *place, *end, "--report", str(report), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["found"]
    assert {each["resource"]: each["status"] for each in found}[job] == "missing"
    assert now - timedelta(days=1) < now


def cost_report(lines: list[tuple[str, float]]) -> str:
    head = (
        "lineItem/LineItemType,lineItem/ResourceId,lineItem/UsageType,lineItem/UsageAmount,lineItem/UnblendedCost,"
        "lineItem/CurrencyCode,resourceTags/user:airflow-distill:workload"
    )
    rows = [
        f"Usage,{arn},USE1-NovaMicro-Customization-Training,1,{usd},USD,support_tickets" for arn, usd in lines
    ]
    return "\n".join([head, *rows]) + "\n"
