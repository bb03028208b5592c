"""The end of a workload as a task: pointer, jobs, hosts, models and data, each in its time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.gateways import store_for
from airflow_distill.operators.base import runner_key
from airflow_distill.operators.hosts import HostWaitingOperator
from airflow_distill.stages.deployment.values import flag, number

if TYPE_CHECKING:
    from airflow_distill.aws.retire import Retirement, Step

LOOK_AGAIN = timedelta(minutes=10)
"""Between looks at what still goes after the grace time: a job that stops, a host that is being deleted."""


class RetireWorkloadOperator(HostWaitingOperator):
    """Retires a workload as `airflow-distill workload retire` does; returns a `retirement` receipt.

    Without `perform` it logs the plan and changes nothing. With it, the pointer goes first, the task defers until the grace
    time is over, then deletes hosts, and models and data where asked. Killed or cleared, it goes on with the terms it began
    with. What does not go in `host_wait_hours` after the grace time, such as throughput under a commitment, fails the task
    with the reason.

    :param workload: the workload's name (templated).
    :param root: where the workload's objects live (templated).
    :param perform: do it; a plan otherwise (templated).
    :param grace_hours: how long hosts answer after the pointer has gone (templated).
    :param redirect: the model that the pointer names from now on; none removes it (templated).
    :param models: `keep` or `delete` the custom models (templated).
    :param data: `keep` or `delete` windows, datasets, answers and reports (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "perform",
        "grace_hours",
        "redirect",
        "models",
        "data",
        "prices",
        "host_wait_hours",
    )
    ui_color = "#f3e5f5"

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        perform: bool | str = False,
        grace_hours: float | str = 24.0,
        redirect: str = "",
        models: str = "keep",
        data: str = "keep",
        prices: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.perform = perform
        self.grace_hours = grace_hours
        self.redirect = redirect
        self.models = models
        self.data = data
        self.prices = prices

    def work(self, context: Any) -> dict[str, Any]:
        """Do what is due, wait for what is not, return the receipt."""
        from airflow_distill.stages.deployment.times import moment_of

        while True:
            plan, steps = self._go_on(context)
            for step in steps:
                self.log.info("%s", step)
            if plan.finished_at or not flag(self.perform):
                return self._receipt(plan, steps)
            due = moment_of(plan.hosts_after) or self.now()
            if self.now() >= due + self.patience:
                waits = "; ".join(f"{step.name}: {step.detail}" for step in steps if step.state == "waits")
                raise AirflowFailException(
                    f"retire: {self.workload} is not retired in full: {waits}. Clear this task to continue."
                )
            self.pause_until(max(due, self.now() + LOOK_AGAIN))

    def _go_on(self, context: Any) -> tuple[Retirement, tuple[Step, ...]]:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.aws.retire import Terms, retire

        gateways = self.gateways
        table = read_prices(gateways, self.prices)
        hours = number(self.grace_hours, "grace_hours")
        return retire(
            gateways,
            store_for(gateways, self.root),
            self.root,
            self.workload,
            Terms(24.0 if hours is None else hours, self.redirect, self.models, self.data),  # type: ignore[arg-type]
            person=runner_key(context) if "ti" in context else "manual",
            owner=self.owner,
            now=self.now(),
            price_of=lambda item, base: table.rate(item, base, gateways.bedrock.region),
            perform=flag(self.perform),
        )

    def _receipt(self, plan: Retirement, steps: Sequence[Step]) -> dict[str, Any]:
        return {
            "kind": "retirement",
            "v": 1,
            "workload": self.workload,
            "hosts_after": plan.hosts_after,
            "finished_at": plan.finished_at,
            "steps": {step.name: step.state for step in steps},
        }
