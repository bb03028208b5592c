"""What a run would do, before it does anything: the exact request, its names, tags and price.

`plan_job` sends nothing. With gateways it looks the names up, read-only, to say whether a job would be adopted or bought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.customization import customization_wish, refuse_taken_model
from airflow_distill.errors import DistillError, OwnershipError
from airflow_distill.remote.submit import find_generation, may_buy_another
from airflow_distill.stages.jobs.records import CustomizationSpec
from airflow_distill.stages.jobs.request import Problem, build_request, check_spec
from airflow_distill.stages.money.estimate import SERVICE_MAXIMUM, RunPlan, estimate
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.records import as_float


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A planned purchase.

    :param action: `buy`, `adopt`, `refuse`, or `unknown` when nobody was asked.
    :param found: the generations that exist already, as (name, status), under the names of earlier versions too.
    :param why: why nothing would be bought or adopted, or why that could not be found out.
    :param price: lines of the estimate, `from` with the records as they are and `to` with the most the service may make.
    """

    action: str
    generation: int
    request: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    found: tuple[tuple[str, str], ...] = ()
    price: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "kind": "job-plan",
            "action": self.action,
            "why": self.why,
            "generation": self.generation,
            "found": [{"name": name, "status": status} for name, status in self.found],
            "problems": [p.to_json() for p in self.problems],
            "price": dict(self.price),
            "operation": "CreateModelCustomizationJob",
            "request": dict(self.request),
        }


def plan_job(
    spec: CustomizationSpec,
    bedrock: BedrockGateway | None = None,
    *,
    max_generations: int | None = None,
    first_generation: int = 1,
    records: int | None = None,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    region: str = "",
    table: PriceTable | None = None,
) -> JobPlan:
    """Return what submitting this spec would do.

    :param records: training records, for the price; the spec's own count when it has one.
    :param input_tokens: mean tokens of a prompt, for the price; unknown stays unknown.
    :param output_tokens: mean tokens of an answer.
    """
    problems = tuple(check_spec(spec))
    action, generation, why = "unknown", first_generation, ""
    found: tuple[tuple[str, str], ...] = ()
    if bedrock is not None:
        action, generation, found, why = _look(spec, bedrock, first_generation, max_generations)
    known = records if records is not None else getattr(spec.training, "records", None)
    return JobPlan(
        action="refuse" if problems else action,
        generation=generation,
        request=build_request(spec, generation),
        problems=problems,
        found=found,
        price=_price(spec, known, input_tokens, output_tokens, region, table or PriceTable.load()),
        why=why,
    )


def _look(
    spec: CustomizationSpec, bedrock: BedrockGateway, first: int, allowed: int | None
) -> tuple[str, int, tuple[tuple[str, str], ...], str]:
    """Return what submitting would do, by the same rules: names of earlier versions too, whose a job is, what is spent."""
    wish = customization_wish(spec, bedrock, adopt=False)
    found: list[tuple[str, str]] = []
    for generation in count(first):
        try:
            snapshot = find_generation(wish, generation, lambda seconds: None)
            if snapshot is None:
                refuse_taken_model(spec, bedrock, generation)
                return "buy", generation, tuple(found), ""
            found.append((snapshot.name, snapshot.status))
            wish.inspect(snapshot)
            if snapshot.state not in ("failed", "stopped"):
                why = wish.spent(snapshot) if snapshot.state == "succeeded" else ""
                return ("refuse" if why else "adopt"), generation, tuple(found), why
        except OwnershipError as error:
            return "refuse", generation, tuple(found), error.message
        except DistillError as error:
            return f"unknown ({error.message})", generation, tuple(found), error.message
        if not may_buy_another(snapshot, len(found), allowed):
            return "refuse", generation, tuple(found), f"{snapshot.name} ended as {snapshot.status}"
    raise AssertionError("the loop returns")


def _price(
    spec: CustomizationSpec,
    records: int | None,
    input_tokens: float | None,
    output_tokens: float | None,
    region: str,
    table: PriceTable,
) -> dict[str, Any]:
    if records is None:
        return {"usd": None, "why": "the number of training records is not known"}
    ends: dict[str, int | None] = {"from": None, "to": SERVICE_MAXIMUM if spec.teacher_called else None}
    told: dict[str, Any] = {"prices_of": table.date}
    for name, pairs in ends.items():
        run = RunPlan(
            teacher=spec.teacher,
            student=spec.student,
            train_records=records,
            heldout_records=0,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            teacher_called=spec.teacher_called,
            epochs=1,
            pairs=pairs,
            asked=(),
        )
        sum_up = estimate(table, run, region)
        told[name] = {
            "usd": as_float(sum_up.total_usd),
            "known_usd": as_float(sum_up.known_usd),
            "unknown": list(sum_up.unknown),
            "uncounted": list(sum_up.uncounted),
        }
    return told
