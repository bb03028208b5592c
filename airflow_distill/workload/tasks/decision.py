"""From the scores to a decision, by the policy and, where the file says so, by a person."""

from __future__ import annotations

from typing import Any

from airflow_distill.workload.config import Workload, metric_of
from airflow_distill.workload.tasks.arguments import OPERATORS, forecast_of, given, prices_of
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec


def decision_tasks(workload: Workload) -> GroupSpec:
    """Decide by the policy, and ask a person where the file says so, with the report at hand."""
    approval, rule = workload.approval, approval_rule(workload)
    asks = approval.mode != "never"
    now_true = {"dataset": Output("dataset"), "incumbent": Output("live")}
    decide = TaskSpec(
        "decide",
        f"{OPERATORS}.decision.DecidePromotionOperator",
        {
            "evaluation": Output("evaluation"),
            "policy": policy(workload),
            "job": Output("job"),
            **now_true,
            "costs": Output("budget", "costs"),
            "forecast": forecast_of(workload),
            **prices_of(workload),
            **given(approval=rule if asks else None),
            **({"shadow": Output("shadow")} if workload.shadow else {}),
            **({"scores": [Output("scores")]} if workload.evaluation.judge else {}),
        },
        makes="verdict" if asks else "decision",
    )
    if not asks:
        return GroupSpec("decision", (decide,))
    show = TaskSpec(
        "show_report",
        f"{OPERATORS}.report.RenderReportOperator",
        {
            "evaluation": Output("evaluation"),
            "decision": Output("verdict"),
            "dataset": Output("dataset"),
            **prices_of(workload),
            **({"scores": [Output("scores")]} if workload.evaluation.judge else {}),
            "forecast": forecast_of(workload),
        },
        makes="shown_report",
    )
    approve = TaskSpec(
        "approve",
        f"{OPERATORS}.decision.ApprovePromotionOperator",
        {
            "decision": Output("verdict"),
            **rule,
            **now_true,
            "report": Output("shown_report"),
            "response_timeout": approval.wait,
            "remind_before": approval.remind_before,
        },
        makes="decision",
    )
    return GroupSpec("decision", (decide, show, approve))


def approval_rule(workload: Workload) -> dict[str, Any]:
    """Return when a person must agree, and whose answer counts, as plain data."""
    approval = workload.approval
    return {
        "mode": approval.mode,
        **given(
            approvers=list(approval.approvers),
            above_run_usd=approval.above_run_usd,
            above_monthly_usd=approval.above_monthly_usd,
            below_slack=approval.below_slack,
            first_release=approval.first_release or None,
            separate=approval.separate or None,
        ),
    }


def policy(workload: Workload) -> dict[str, Any]:
    """Return the promotion policy as plain data: the first scorer's metric decides, the others guard."""
    asked = workload.policy
    if asked.metrics:
        rules = {name: rule.model_dump(exclude_none=True) for name, rule in asked.metrics.items()}
    else:
        names = [metric_of(spec) for spec in workload.evaluation.scorers]
        rules = {name: {"margin": asked.margin, "primary": name == names[0]} for name in names}
    return {
        "metrics": rules,
        "alpha": asked.alpha,
        "power": asked.power,
        "looks": asked.looks,
        "min_items": asked.min_items,
        "min_slice_items": asked.min_slice_items,
        "beat_untuned": asked.beat_untuned,
        "guard_slices": asked.guard_slices,
        "require_golden": asked.require_golden,
        "max_missing_share": asked.max_missing_share,
        "max_error_share": asked.max_error_share,
        "require_break_even": asked.require_break_even,
        "payback_within_life": asked.payback_within_life,
        **given(
            max_p95_latency_ms=asked.max_p95_latency_ms,
            max_run_usd=asked.max_run_usd,
            max_monthly_usd=asked.max_monthly_usd,
            max_payback_days=asked.max_payback_days,
        ),
    }
