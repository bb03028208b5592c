"""From the decision to the live model."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import OPERATORS, budget_of, given, place_of, units_of
from airflow_distill.workload.tasks.decision import approval_rule
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec, asset_of
from airflow_distill.workload.tasks.times import macro

BAKE_PROBES = 3
"""How often the promoted model is probed during its bake period."""


def deployment_tasks(workload: Workload) -> GroupSpec:
    """Make the approved student the live one, with smoke test, bake period and a way back."""
    deployment = workload.deployment
    ends = None
    if deployment.days:
        # from when the run begins: one that is back-filled stands for a time long past
        later = f"dag_run.start_date + {macro(timedelta(days=deployment.days))}"
        ends = f"{{{{ ({later}).strftime('%Y-%m-%dT%H:%M:%SZ') }}}}"
    promote = TaskSpec(
        "promote",
        f"{OPERATORS}.deployment.BedrockPromoteModelOperator",
        {
            **place_of(workload),
            "decision": Output("decision"),
            "job": Output("job"),
            "host_kind": deployment.host,
            "smoke": {"prompts": deployment.smoke_prompts},
            "bake": {
                "probes": BAKE_PROBES,
                "every_seconds": int(deployment.bake.total_seconds() / BAKE_PROBES),
            },
            **given(
                approval=approval_rule(workload) if workload.approval.mode != "never" else None,
                canary=_canary(workload),
                units=units_of(deployment),
                commitment=deployment.commitment,
                accept_commitment=True if deployment.commitment else None,
                hourly_price=deployment.hourly_price,
                ends_at=ends,
                daily_price_cap=deployment.usd_per_day,
                input_tokens_per_day=deployment.input_tokens_per_day,
                output_tokens_per_day=deployment.output_tokens_per_day,
            ),
            **budget_of(workload),
            **given(tags=dict(workload.tags)),
        },
        makes="deployment",
        updates=asset_of("release", workload.name),
    )
    return GroupSpec("deployment", (promote,))


def _canary(workload: Workload) -> dict[str, Any] | None:
    canary = workload.canary
    if canary is None:
        return None
    return {
        "shares": list(canary.shares),
        "every_seconds": int(canary.every.total_seconds()),
        "max_failed": canary.max_failed,
        "least_calls": canary.least_calls,
        "prompts": workload.deployment.smoke_prompts,
    }
