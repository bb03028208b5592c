"""Reaping as an Airflow task: what bills under our tags and serves nobody.

Surveying and removing live in `aws/reap.py`, the rules in `stages/deployment/reap.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.gateways import store_for
from airflow_distill.operators.base import DistillOperator
from airflow_distill.stages.deployment.values import flag, number, whole

if TYPE_CHECKING:
    from airflow_distill.aws.reap import Removal
    from airflow_distill.stages.deployment.reap import Find


class ReapUnusedOperator(DistillOperator):
    """Find what still bills under our tags although nobody needs it; remove it only when told to.

    Compares the account with pointers and ledgers. Resources without our tags are never touched. Returns what was found,
    what it costs a day, and what was removed.

    :param root: common root of all workloads' objects (templated).
    :param workload: only resources of this workload; all when left out (templated).
    :param delete: remove what may be removed; a dry run otherwise (templated).
    :param grace_hours: for hosts that nothing points at and that carry no end (templated).
    :param model_grace_days: for models that were never released and carry no end (templated).
    :param keep_releases: how many older releases keep their model as a way back (templated).
    :param artefacts: also delete the job output of removed models (templated).
    :param prices: URI or path of a price table that lies over the packaged one (templated).
    :param fail_if_found: fail the task when something may be removed and was not, so that somebody is told.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "root",
        "workload",
        "delete",
        "grace_hours",
        "model_grace_days",
        "keep_releases",
        "artefacts",
        "prices",
    )

    def __init__(
        self,
        *,
        root: str,
        workload: str | None = None,
        delete: bool | str = False,
        grace_hours: float | str = 24.0,
        model_grace_days: float | str = 14.0,
        keep_releases: int | str = 1,
        artefacts: bool | str = False,
        prices: str | None = None,
        fail_if_found: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root = root
        self.workload = workload
        self.delete = delete
        self.grace_hours = grace_hours
        self.model_grace_days = model_grace_days
        self.keep_releases = keep_releases
        self.artefacts = artefacts
        self.prices = prices
        self.fail_if_found = fail_if_found

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.aws.reap import remove_finds, survey_account
        from airflow_distill.stages.deployment.reap import ReapRules, render_finds

        gateways, store = self.gateways, store_for(self.gateways, self.root)
        table = read_prices(gateways, self.prices)
        finds = survey_account(
            gateways,
            store,
            self.root,
            now=datetime.now(UTC),
            rules=ReapRules(
                grace_hours=number(self.grace_hours, "grace_hours") or 0.0,
                model_grace_days=number(self.model_grace_days, "model_grace_days") or 0.0,
                keep_releases=whole(self.keep_releases, "keep_releases") or 0,
            ),
            price_of=lambda item, base: table.rate(item, base, gateways.bedrock.region),
            workload=self.workload or None,
        )
        for line in ("Left over:", *render_finds(finds).splitlines()):
            self.log.info("%s", line)
        done: tuple[Removal, ...] = ()
        if flag(self.delete):
            done = remove_finds(
                gateways, store, self.root, finds, artefacts=flag(self.artefacts), progress=self.log.info
            )
        said = self._receipt(finds, {r.find.arn for r in done if r.removed})
        if self.fail_if_found and said["removable"] > said["removed"]:
            context["ti"].xcom_push(key="return_value", value=said)
            raise AirflowFailException(
                f"deployment: {said['removable'] - said['removed']} resource(s) still bill and nobody needs them."
            )
        return said

    def _receipt(self, finds: tuple[Find, ...], removed: set[str]) -> dict[str, Any]:
        from airflow_distill.stages.deployment.reap import daily_total

        price, unknown = daily_total(finds)
        return {
            "kind": "reap",
            "v": 1,
            "found": len(finds),
            "removable": sum(find.action == "remove" for find in finds),
            "removed": len(removed),
            "daily_price": round(price, 4),
            "unknown_prices": unknown,
            "finds": [
                [
                    find.action,
                    find.kind,
                    find.name,
                    find.workload,
                    find.daily_price,
                    find.until or find.expires_at,
                ]
                for find in finds[:8]
            ],
        }
