"""The guard against hosts that bill for nothing: CloudWatch's counts held against what each live host costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.errors import ServiceNotFoundError
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.operators.workload import told

if TYPE_CHECKING:
    from airflow_distill.aws.metrics import Asked
    from airflow_distill.stages.deployment.records import Host
    from airflow_distill.stages.money.idle import Finding
    from airflow_distill.stages.money.prices import PriceTable


class CheckIdleHostsOperator(DistillOperator):
    """Tell about hosts of a workload that nobody calls, or for which the other kind of host would be cheaper.

    Reads CloudWatch's metrics of Bedrock (`cloudwatch:GetMetricData`). A Legacy teacher or student that was not called for
    10 days is told too. Returns `{"kind": "idle", "hosts", "findings", "warnings"}`.

    :param workload: the workload's name (templated).
    :param root: only hosts of this root, and those that name none; all of the workload when left out (templated).
    :param teacher: the teacher model, to look whether it is Legacy and forgotten (templated).
    :param student: the student model, likewise (templated).
    :param days: how far back to look.
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    :param hourly_price: quoted price of one model unit (templated).
    :param fail_on_warning: end as failed when there is something to tell.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "teacher", "student", "prices", "student_prices", "hourly_price"
    )

    def __init__(
        self,
        *,
        workload: str,
        root: str = "",
        teacher: str = "",
        student: str = "",
        days: float = 14,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        hourly_price: float | None = None,
        fail_on_warning: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.teacher = teacher
        self.student = student
        self.days = days
        self.prices = prices
        self.student_prices = student_prices
        self.hourly_price = hourly_price
        self.fail_on_warning = fail_on_warning

    def now(self) -> datetime:
        """Return the present time in UTC."""
        return wall_clock()

    def work(self, context: Any) -> dict[str, Any]:
        """Look at each host, then at the models."""
        from airflow_distill.aws.account import iter_hosts
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.remote.ownership import Owner

        now = self.now()
        table = read_prices(self.gateways, self.prices, student=self.student, stated=self.student_prices)
        hosts: list[dict[str, Any]] = []
        findings: list[Finding] = []
        for host in iter_hosts(self.gateways.bedrock, self.workload):
            if self.root and Owner(self.workload, self.root).claim(host.tags) == "foreign":
                continue
            asked = self.gateways.metrics.asked([host.arn], now - timedelta(days=self.days), now)
            hosts.append(
                {
                    "host_arn": host.arn,
                    "host_kind": host.kind,
                    "calls": asked.calls,
                    "input_tokens": asked.input_tokens,
                    "output_tokens": asked.output_tokens,
                }
            )
            findings += self._of_host(host, asked, table, now)
        findings += self._of_models(now)
        warnings = [each.said for each in findings]
        receipt = {
            "kind": "idle",
            "v": 1,
            "workload": self.workload,
            "days": self.days,
            "hosts": hosts,
            "findings": [each.to_json() for each in findings],
            "warnings": warnings,
        }
        return told(self, context, receipt, warnings)

    def _of_host(self, host: Host, asked: Asked, table: PriceTable, now: datetime) -> Iterable[Finding]:
        from airflow_distill.stages.deployment.reap import daily_price, resource_of_host
        from airflow_distill.stages.deployment.times import moment_of
        from airflow_distill.stages.jobs.models import hosts_of
        from airflow_distill.stages.money.idle import idle, underused
        from airflow_distill.stages.money.prices import PROVISIONED
        from airflow_distill.stages.money.serving import DAYS_A_MONTH, HOURS_A_MONTH

        region = self.gateways.bedrock.region
        day = daily_price(resource_of_host(host), lambda item, base: table.rate(item, base, region))
        since = max(now - timedelta(days=self.days), moment_of(host.created_at) or now)
        found = idle(host.name, day, asked.calls, asked.last, since, now)
        if found is not None:
            return [found]
        days = max((now - since).total_seconds() / 86_400, 1.0)
        rates = [table.rate(f"deployment-{side}", host.base_model, region) for side in ("input", "output")]
        monthly: dict[str, float | None] = {}
        offered = hosts_of(host.base_model) or (host.kind,)
        if PROVISIONED in offered:
            stated = self.hourly_price or table.rate(PROVISIONED, host.base_model, region)
            hour = day / 24 if host.kind == PROVISIONED and day else stated
            monthly[PROVISIONED] = None if hour is None else float(hour) * HOURS_A_MONTH
        if "custom-model-deployment" in offered:
            used = (asked.input_tokens, asked.output_tokens)
            known = [None if rate is None else rate * count for rate, count in zip(rates, used, strict=True)]
            sums = [usd for usd in known if usd is not None]
            whole = sum(sums) / days * float(DAYS_A_MONTH) if len(sums) == len(known) else None
            monthly["custom-model-deployment"] = whole
        other = underused(host.name, host.kind, monthly, days, asked.calls)
        return [] if other is None else [other]

    def _of_models(self, now: datetime) -> Iterable[Finding]:
        from airflow_distill.stages.jobs.models import base_model_id
        from airflow_distill.stages.money.idle import FORGOTTEN_DAYS, forgotten

        for role, model in (("teacher", self.teacher), ("student", self.student)):
            if not model:
                continue
            name = base_model_id(model)
            try:
                lifecycle = self.gateways.bedrock.get_foundation_model(name).get("modelLifecycle") or {}
            except ServiceNotFoundError:
                continue  # that it is gone is told by the check of lifecycles
            if lifecycle.get("status") != "LEGACY":
                continue
            looked = max(float(self.days), FORGOTTEN_DAYS)
            asked = self.gateways.metrics.asked({name, model}, now - timedelta(days=looked), now)
            found = forgotten(name, role, asked.last, looked, now)
            if found is not None:
                yield found
