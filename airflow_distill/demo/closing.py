"""Turns the receipts of a run into the closing table and the report the demonstration leaves behind.

Reads the scorecard from the bucket and the sandbox's bill; writes no prompt text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_distill.demo.show import counts_text
from airflow_distill.stages.evaluation.records import ROLES, Scorecard
from airflow_distill.stages.storage import ObjectStore

Facts = list[tuple[str, str]]
Receipts = Mapping[str, Mapping[str, Any]]

ROLE_NAMES = {
    "teacher": "teacher",
    "untuned": "untuned student",
    "student": "distilled student",
    "incumbent": "model now live",
}


def closing_facts(receipts: Receipts, meter: Mapping[str, Any], scorecard: Scorecard | None) -> Facts:
    """Return the rows of the closing table, in the order of the loop; stages that did not run have no row."""
    return [
        *_data_facts(receipts),
        *_job_facts(receipts, meter),
        *_score_facts(scorecard),
        *_decision_facts(receipts),
        *_deployment_facts(receipts),
        *_bill_facts(meter),
    ]


def load_scorecard(receipts: Receipts, objects: ObjectStore) -> Scorecard | None:
    """Return the run's scorecard, or None when the run did not come that far."""
    uri = receipts.get("evaluation", {}).get("scorecard_uri")
    return Scorecard.from_json(json.loads(objects.read(uri))) if uri else None


def _data_facts(receipts: Receipts) -> Facts:
    facts: Facts = []
    if harvest := receipts.get("harvest"):
        facts.append(("log records", f"{harvest['lines']:,} read, {harvest['kept']:,} kept"))
        facts.append(("  skipped", counts_text(harvest["skipped"])))
    if dataset := receipts.get("dataset"):
        sizes = f"{dataset['train_records']:,} to train on, {dataset['heldout_records']:,} held out"
        facts.append(("dataset", f"{dataset['dataset_id']}: {sizes}"))
        facts.append(("  dropped", counts_text(dataset["dropped"])))
    return facts


def _job_facts(receipts: Receipts, meter: Mapping[str, Any]) -> Facts:
    job = receipts.get("job")
    if job is None:
        return []
    bought = meter.get("calls", {}).get("CreateModelCustomizationJob", {}).get("ok", 0)
    facts = [
        ("distillation job", str(job["job_arn"])),
        ("  submitted", f"{bought} time{'' if bought == 1 else 's'}"),
    ]
    if job.get("custom_model_arn"):
        facts.append(("  distilled model", str(job["custom_model_arn"])))
    return facts


def _score_facts(scorecard: Scorecard | None) -> Facts:
    if scorecard is None:
        return []
    facts: Facts = []
    for name in scorecard.means():
        facts.append((name, f"on {scorecard.n:,} held-out prompts"))
        for role in ROLES:
            metric = scorecard.metric(name, role)
            if metric is None or metric.mean is None:
                continue
            between = ""
            if metric.interval is not None:
                level = round(metric.interval.level * 100)
                between = f"  ({level} % between {metric.interval.low:.3f} and {metric.interval.high:.3f})"
            facts.append((f"  {ROLE_NAMES[role]}", f"{metric.mean:.3f}{between}"))
    return facts


def _decision_facts(receipts: Receipts) -> Facts:
    decision = receipts.get("decision")
    if decision is None:
        return []
    reasons = [str(reason) for reason in decision.get("reasons", ())]
    facts: Facts = [("verdict", str(decision["verdict"]))]
    facts += [("  why" if number == 0 else "", reason) for number, reason in enumerate(reasons)]
    if decision.get("needed"):
        facts.append(("  needed", f"about {decision['needed']:,} more held-out prompts to know"))
    return facts


def _deployment_facts(receipts: Receipts) -> Facts:
    deployment = receipts.get("deployment")
    if deployment is None or not deployment.get("host_arn"):
        return [("deployment", "none: the verdict does not allow it")] if "decision" in receipts else []
    until = f", ends {deployment['expires_at']}" if deployment.get("expires_at") else ""
    price = f", {deployment['hourly_price']:.2f} USD an hour" if deployment.get("hourly_price") else ""
    facts = [(str(deployment["host_kind"]).replace("-", " "), f"{deployment['host_arn']}{price}{until}")]
    facts.append(("  pointer", f"{deployment['pointer']} (release {deployment['release']})"))
    return facts


BOUGHT_ONCE = {
    "CreateModelCustomizationJob": "distillation job",
    "CreateCustomModelDeployment": "on-demand deployment",
    "CreateProvisionedModelThroughput": "provisioned throughput",
}
"""What one run buys at most once of each kind: the job, the candidate host and the live host."""


def _bought(meter: Mapping[str, Any]) -> dict[str, int]:
    """Return how many of each kind the sandbox made; an answer to a repeated request token made nothing."""
    calls = meter.get("calls", {})
    return {what: int(calls.get(operation, {}).get("ok", 0)) for operation, what in BOUGHT_ONCE.items()}


def bought_twice(meter: Mapping[str, Any]) -> str:
    """Say what was bought more than once, or bills more than once now; empty when nothing was.

    Models that are stored bill too and are not hosts.
    """
    found = [f"{count} x {what}" for what, count in _bought(meter).items() if count > 1]
    hosts = [arn for arn in map(str, meter.get("billing_now", ())) if ":custom-model/" not in arn]
    if len(hosts) > 1:
        found.append(f"{len(hosts)} hosts bill now")
    return ", ".join(found)


def _bill_facts(meter: Mapping[str, Any]) -> Facts:
    """What the run would have cost, by what was paid for; the live host bills on until its end date."""
    sums: Counter[str] = Counter()
    for line in meter.get("lines", ()):
        sums[str(line["service"])] += line["amount"]
    parts = [f"{service} {amount:.2f}" for service, amount in sums.most_common() if amount >= 0.005]
    still = [str(arn) for arn in meter.get("billing_now", ())]
    facts = [
        ("sandbox's bill", f"{meter.get('total', 0.0):.2f} USD" + (f": {', '.join(parts)}" if parts else ""))
    ]
    once = ", ".join(f"{count} {what}" for what, count in _bought(meter).items() if count)
    if once:
        facts.append(("  bought", once))
    return facts + [("  still billing" if number == 0 else "", arn) for number, arn in enumerate(still)]


def write_report(
    home: Path,
    facts: Facts,
    receipts: Receipts,
    meter: Mapping[str, Any],
    timings: Mapping[str, float],
    objects: ObjectStore,
) -> list[Path]:
    """Leave the run's page, the table as text, and `report.json` for programs; returns what a person may open."""
    body = {
        "receipts": dict(receipts),
        "meter": dict(meter),
        "seconds": {k: round(v, 1) for k, v in timings.items()},
    }
    (home / "report.json").write_text(json.dumps(body, indent=2, sort_keys=True) + "\n")
    width = max(len(name) for name, _ in facts)
    table = home / "report.txt"
    table.write_text("".join(f"{name:<{width}}  {text}\n" for name, text in facts))
    page_uri = receipts.get("report", {}).get("report_uri")
    if not page_uri:
        return [table]
    page = home / "report.html"
    page.write_bytes(objects.read(page_uri))
    return [page, table]
