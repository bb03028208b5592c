"""What a run has cost and what the student would cost, from what the run itself counted.

Takes the scorecard, the dataset's manifest, a forecast of traffic and a price table; hands on a bill for the report and
`Costs` for the decision. What is not known (the number of epochs, the price of an hour) leaves a sum unknown, never
smaller. No clock, no text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import DatasetManifest, golden_count
from airflow_distill.stages.evaluation.records import ModelSummary, Scorecard
from airflow_distill.stages.money.estimate import RunPlan, planned
from airflow_distill.stages.money.prices import ON_DEMAND, PriceTable, bill
from airflow_distill.stages.money.records import Bill, Costs, Tokens, Usage, as_float
from airflow_distill.stages.money.serving import Traffic, costs, serving


@dataclass(frozen=True, slots=True)
class Forecast:
    """What production is expected to ask a day, and how the student would be served.

    :param epochs: passes over the training data, when known; the service does not say beforehand.
    :param hourly_price: quoted price of one model unit an hour.
    :param candidate_hours: hours that provisioned throughput for the evaluation was up.
    """

    input_tokens_per_day: float | None = None
    output_tokens_per_day: float | None = None
    host_kind: str = ON_DEMAND
    model_units: int = 1
    hourly_price: float | None = None
    candidate_hours: float | None = None
    epochs: int | None = None
    region: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Forecast:
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ConfigurationError(
                f"costs: a forecast does not know {', '.join(unknown)}.",
                hint=f"It knows {', '.join(sorted(known))}.",
            )
        return cls(**{k: v for k, v in data.items() if v is not None})

    @property
    def traffic(self) -> Traffic | None:
        """The traffic, or None when the forecast names none."""
        asked, said = self.input_tokens_per_day, self.output_tokens_per_day
        if asked is None or said is None or asked + said <= 0:
            return None
        return Traffic(float(asked + said), asked / (asked + said))


def answered(summaries: Iterable[ModelSummary], student: str, host_kind: str) -> list[Usage]:
    """Return what collecting the answers used, from the scorecard's counts; the teacher's are another count."""
    usages: list[Usage] = []
    for summary in summaries:
        if summary.role == "untuned":
            kind = "inference"
        elif summary.role in ("student", "incumbent") and host_kind == ON_DEMAND:
            kind = "deployment"
        else:
            continue  # paid by the hour, or free
        usages += [
            Usage("evaluation", f"{kind}-input", student, summary.input_tokens),
            Usage("evaluation", f"{kind}-output", student, summary.output_tokens),
        ]
    return usages


def run_bill(scorecard: Scorecard, manifest: DatasetManifest, forecast: Forecast, table: PriceTable) -> Bill:
    """Return what the run has used up to the decision: job and golden prompts as planned, answers as counted."""
    teacher = scorecard.summary("teacher")
    plan = RunPlan(
        teacher=manifest.teacher,
        student=manifest.student,
        train_records=manifest.train.records,
        heldout_records=manifest.heldout.records,
        input_tokens=_mean(teacher.input_tokens, teacher.answers) if teacher else None,
        output_tokens=_mean(teacher.output_tokens, teacher.answers) if teacher else None,
        teacher_called=not manifest.with_answers,
        epochs=forecast.epochs,
        asked=(),
        host_kind=forecast.host_kind,
        model_units=forecast.model_units,
        hourly_usd=forecast.hourly_price,
        candidate_hours=forecast.candidate_hours,
        golden_records=golden_count(manifest.profile),
    )
    job = [usage for usage in planned(plan) if usage.stage == "job" or usage.model == manifest.teacher]
    asked = answered(scorecard.summaries, manifest.student, forecast.host_kind)
    return bill(table, [*job, *asked], forecast.region)


def decision_costs(
    scorecard: Scorecard, manifest: DatasetManifest, forecast: Forecast, table: PriceTable
) -> Costs:
    """Return what the decision may ask about money; without a forecast of traffic the months are unknown."""
    spent = run_bill(scorecard, manifest, forecast, table)
    traffic = forecast.traffic
    if traffic is None:
        unknown = (*spent.unknown, "the traffic")
        return Costs(
            run_usd=as_float(spent.total_usd),
            host_kind=forecast.host_kind,
            priced_at=table.date,
            unknown=unknown,
        )
    ways = serving(
        table,
        manifest.teacher,
        manifest.student,
        traffic,
        region=forecast.region,
        model_units=forecast.model_units,
        hourly_usd=forecast.hourly_price,
    )
    return costs(spent, ways, traffic, forecast.host_kind, table)


def answers_usd(table: PriceTable, region: str = "") -> Any:
    """Return a function that prices a model's answers: base models and custom models on demand."""

    def price_of(model: str, used: Tokens) -> Decimal | None:
        if ":custom-model/" not in model:
            return table.tokens_usd(model, used, region=region)
        base = model.split(":custom-model/", 1)[1].rpartition("/")[0]
        return table.tokens_usd(base, used, "deployment", region)

    return price_of


def _mean(count: int | None, of: int) -> float | None:
    return None if count is None or not of else count / of
