"""What an account still bills for one workload, and the most that it can come to. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from airflow_distill.aws.account import iter_hosts, iter_models, iter_running_jobs
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.remote.identity import TAG_EXPIRES_AT
from airflow_distill.remote.ownership import Owner
from airflow_distill.stages.deployment.reap import Resource, daily_price, resource_of_host
from airflow_distill.stages.deployment.times import moment_of
from airflow_distill.stages.money.exposure import Billing, Exposure
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.records import decimal


def exposure_of(
    gateways: AwsGateways,
    owner: Owner,
    table: PriceTable,
    *,
    now: datetime,
    claimed: Iterable[Billing] = (),
) -> Exposure:
    """Return what bills for a workload under a root now: hosts, kept models, running jobs, steps that were claimed.

    :param claimed: what runs have claimed and not settled, see `stages.money.runs.open_steps`. A host that a claim holds
        too counts twice, which errs on the side of more.
    :raises ServiceError: the account could not be asked; nobody knows what bills then.
    """
    bedrock = gateways.bedrock
    found = [(resource_of_host(host), host.status) for host in iter_hosts(bedrock)]
    found += [(resource, "") for resource in (*iter_running_jobs(bedrock), *iter_models(bedrock))]
    return Exposure(
        now,
        tuple(
            _billing(resource, table, bedrock.region, status)
            for resource, status in found
            if owner.claim(resource.tags) != "foreign"
        )
        + tuple(claimed),
    )


def _billing(resource: Resource, table: PriceTable, region: str, status: str) -> Billing:
    day = daily_price(resource, lambda item, base: table.rate(item, base, region))
    if resource.kind == "customization-job":
        day = 0.0  # billed once, by its tokens; the run's estimate holds it
    term = moment_of(resource.commitment_ends_at)
    ends = moment_of(resource.tags.get(TAG_EXPIRES_AT)) if resource.kind != "custom-model" else None
    known = [moment for moment in (ends, term) if moment is not None]
    return Billing(
        kind=resource.kind,
        name=resource.name,
        arn=resource.arn,
        usd_a_day=None if day is None else Decimal(0) if day == 0 else decimal(day),
        ends_at=max(known, default=None),
        committed=term is not None,
        status=status,
        model=resource.base_model,
    )
