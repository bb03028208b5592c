"""The report as a task: one page of one run, beside the workload's data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowSkipException

from airflow_distill.aws.evidence import load_answers, load_heldout, load_manifest, load_scorecard, require
from airflow_distill.aws.gateways import store_for
from airflow_distill.links.pages import DistillPageLink
from airflow_distill.links.report import DistillReportLink, is_local, object_of, report_page
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.remote.identity import slug
from airflow_distill.stages.digest import digest
from airflow_distill.stages.storage import ObjectStore, join_uri

if TYPE_CHECKING:
    from airflow_distill.stages.evaluation.records import Scorecard
    from airflow_distill.stages.money.prices import PriceTable


class RenderReportOperator(DistillOperator):
    """Writes the report of a run to `<root>/<workload>/reports/<run key>.html`; returns a `report` receipt.

    Give it `trigger_rule="all_done"` and what the run has so far: a report of a run that was not promoted matters most. A
    run that judged nothing has nothing to report: the task is skipped.

    :param evaluation: the `evaluation` receipt (templated).
    :param decision: the `decision` receipt, if there is one; the approved one after an approval (templated).
    :param dataset: the `dataset` receipt, for the dataset card (templated).
    :param scores: `scores` receipts of judges, for the chapter on judges (templated).
    :param hosts: `host` and `deployment` receipts of what was left serving; when left out, the account is asked
        (templated).
    :param bill: what the run cost, as `prices.Bill.to_json()`; worked out from the dataset and the counted tokens when
        left out (templated).
    :param forecast: as in `DecidePromotionOperator`, for what working out the bill needs (templated).
    :param show_texts: put the texts of the worst cases into the page. The page then holds prompts and answers.
    :param answers: the `answers` receipt; only needed to show texts (templated).
    :param run_key: name of the page; made from the Dag run when left out (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    """

    operator_extra_links = (DistillPageLink(), DistillReportLink())
    template_fields: Sequence[str] = aws_template_fields(
        "evaluation",
        "decision",
        "dataset",
        "scores",
        "hosts",
        "bill",
        "forecast",
        "answers",
        "run_key",
        "prices",
        "student_prices",
    )
    may_be_missing = frozenset(
        {"evaluation", "decision", "dataset", "scores", "hosts", "bill", "forecast", "answers"}
    )
    ui_color = "#fdf6e3"

    def __init__(
        self,
        *,
        evaluation: Any,
        decision: Any = None,
        dataset: Any = None,
        scores: Any = (),
        hosts: Any = None,
        bill: Any = None,
        forecast: Any = None,
        show_texts: bool = False,
        answers: Any = None,
        run_key: str | None = None,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evaluation = evaluation
        self.decision = decision
        self.dataset = dataset
        self.scores = scores
        self.hosts = hosts
        self.bill = bill
        self.forecast = forecast
        self.show_texts = show_texts
        self.answers = answers
        self.run_key = run_key
        self.prices = prices
        self.student_prices = student_prices

    def work(self, context: Any) -> dict[str, Any]:
        """Read what there is, render, write."""
        from airflow_distill.stages.evaluation.report import ReportData, render_report

        self._close_claims(context)
        if self.evaluation is None:
            raise AirflowSkipException("evaluation: nothing was judged in this run")
        evaluation = require(self.evaluation, "evaluation", "evaluation")
        store = store_for(self.gateways, evaluation["scorecard_uri"])
        scorecard = load_scorecard(store, evaluation)
        run = str(context.get("run_id") or "")
        root = str(evaluation["scorecard_uri"]).rsplit(f"/{scorecard.workload}/evaluations/", 1)[0]
        place = (root, scorecard.workload)
        table = self._table(store)
        savings = self._savings(store, place, table, scorecard)
        page = render_report(
            ReportData(
                scorecard=scorecard,
                decision=_decision(store, self.decision),
                manifest=_manifest(store, self.dataset),
                bill=self._bill(store, scorecard),
                billing=billing_rows(self.hosts),
                statement=self._statement(store, place, scorecard.dataset_id, table),
                exposure=self._exposure(store, place, table),
                savings=savings,
                judges=[
                    json.loads(store.read(s["report_uri"]))
                    for s in _listed(self.scores)
                    if s.get("report_uri")
                ],
                texts=self._texts(store, scorecard),
                run=run,
                made_at=wall_clock().strftime("%Y-%m-%d %H:%M UTC"),
            )
        )
        folder = str(evaluation["scorecard_uri"]).rsplit("/evaluations/", 1)[0]
        uri = join_uri(folder, "reports", f"{self._key(context, evaluation)}.html")
        store.write(uri, page.encode())
        self._link(context, uri)
        self.log.info("The report is at %s", uri)
        return {
            "kind": "report",
            "v": 1,
            "workload": scorecard.workload,
            "evaluation_id": scorecard.evaluation_id,
            "report_uri": uri,
            "page": self._page(uri),
            "bytes": len(page.encode()),
            "texts": bool(self.show_texts),
            "saving": _first_saving(savings),
        }

    def _bill(self, store: ObjectStore, scorecard: Scorecard) -> Mapping[str, Any] | None:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.stages.evaluation.report_costs import Forecast, run_bill

        if isinstance(self.bill, Mapping):
            return self.bill
        if not isinstance(self.dataset, Mapping):
            return None
        manifest = load_manifest(store, self.dataset)
        forecast = Forecast.from_json(self.forecast or {})
        table = read_prices(self.gateways, self.prices, student=manifest.student, stated=self.student_prices)
        return run_bill(scorecard, manifest, forecast, table).to_json()

    def _close_claims(self, context: Any) -> None:
        """Give back what this run claimed for steps that it did not take: each step claims anew before it begins."""
        from airflow_distill.operators.spending import PaidStep
        from airflow_distill.stages.money.usage import EVALUATION, JUDGE, RELEASE, SHADOW

        dataset = self.dataset if isinstance(self.dataset, Mapping) else {}
        place, middle, _ = str(dataset.get("manifest_uri") or "").rpartition("/datasets/")
        root, _, workload = place.rpartition("/")
        if not middle or not root or not workload:
            return
        table = self._table(store_for(self.gateways, root))
        for stage in (EVALUATION, JUDGE, SHADOW, RELEASE):
            PaidStep(self.gateways, context, workload, root, str(dataset["dataset_id"]), stage, table).settle(
                over=True
            )

    def _table(self, store: ObjectStore) -> PriceTable:
        from airflow_distill.aws.prices import read_prices

        student = str(self.dataset.get("student") or "") if isinstance(self.dataset, Mapping) else ""
        return read_prices(self.gateways, self.prices, student=student, stated=self.student_prices)

    def _statement(
        self, store: ObjectStore, place: tuple[str, str], dataset_id: str, table: PriceTable
    ) -> dict[str, Any] | None:
        """Return what the run cost, or None when nothing was written down: an older run, or none of our operators."""
        from airflow_distill.stages.money.prices import told_age
        from airflow_distill.stages.money.runs import statement_of

        region = self.gateways.bedrock.region
        found = statement_of(store, *place, dataset_id, table, now=wall_clock(), region=region)
        if not found.rows:
            return None
        dataset = self.dataset if isinstance(self.dataset, Mapping) else {}
        models = [str(dataset.get(role) or "") for role in ("teacher", "student")]
        return found.to_json() | {"aged": told_age(table, f"{wall_clock():%Y-%m-%d}", models)}

    def _exposure(
        self, store: ObjectStore, place: tuple[str, str], table: PriceTable
    ) -> dict[str, Any] | None:
        """Return what the account still bills for the workload; None when `hosts` tell it, or it could not be asked."""
        if self.hosts is not None:
            return None
        from airflow_distill.aws.exposure import exposure_of
        from airflow_distill.errors import ServiceError
        from airflow_distill.remote.ownership import Owner
        from airflow_distill.stages.money.runs import open_steps

        root, workload = place
        now, region = wall_clock(), self.gateways.bedrock.region
        claimed = open_steps(store, root, workload, table, now=now, region=region)
        try:
            owner = Owner(workload, root)
            return exposure_of(self.gateways, owner, table, now=now, claimed=claimed).to_json()
        except ServiceError as error:
            self.log.warning("What still bills could not be looked up: %s", error.message)
            return None

    def _savings(
        self, store: ObjectStore, place: tuple[str, str], table: PriceTable, scorecard: Scorecard
    ) -> dict[str, Any] | None:
        from airflow_distill.aws.worth import savings_of
        from airflow_distill.stages.evaluation.report_costs import Forecast

        if not isinstance(self.dataset, Mapping):
            return None
        manifest = load_manifest(store, self.dataset)
        forecast = Forecast.from_json(self.forecast or {})
        return savings_of(self.gateways, store, *place, manifest, table, forecast, now=wall_clock())

    def _key(self, context: Any, evaluation: Mapping[str, Any]) -> str:
        if self.run_key:
            return slug(self.run_key, 80)
        run = str(context.get("run_id") or "")
        if not run:
            return str(evaluation["evaluation_id"])
        dag = getattr(context.get("dag"), "dag_id", "")
        return f"{slug(run, 60)}-{digest([dag, run], 8)}"

    def _link(self, context: Any, uri: str) -> None:
        if uri.startswith("s3://") and context.get("ti") is not None:
            bedrock, endpoint = self.gateways.bedrock, self.gateways.objects.endpoint_url
            DistillReportLink.persist(
                context=context,
                operator=self,
                region_name=bedrock.region,
                aws_partition=bedrock.partition,
                **object_of(uri),
                **({"page": self._page(uri)} if is_local(endpoint) else {}),
            )

    def _page(self, uri: str) -> str:
        bedrock = self.gateways.bedrock
        return report_page(
            uri,
            region=bedrock.region,
            partition=bedrock.partition,
            endpoint_url=self.gateways.objects.endpoint_url,
        )

    def _texts(self, store: ObjectStore, scorecard: Scorecard) -> dict[str, dict[str, str]]:
        if not self.show_texts:
            return {}
        manifest = load_manifest(store, require(self.dataset, "dataset", "dataset"))
        worst = {r.example_id for r in scorecard.regressions}
        texts: dict[str, dict[str, str]] = {}
        for example in load_heldout(store, manifest):
            if example.id in worst:
                texts[example.id] = {"prompt": example.turns[-1].text, "reference": example.answer or ""}
        for answer in load_answers(store, require(self.answers, "answers", "answers")):
            if answer.example_id in texts and answer.repeat == 0:
                texts[answer.example_id][answer.role] = answer.text or f"({answer.error})"
        return texts


def _first_saving(savings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the saving a month against the teacher, for the status of the workload."""
    found = list((savings or {}).get("savings") or ())
    return {name: found[0][name] for name in ("usd", "low", "high", "against")} if found else None


def _listed(value: Any) -> list[Mapping[str, Any]]:
    found = [value] if isinstance(value, Mapping) else list(value or ())
    return [item for item in found if isinstance(item, Mapping)]


def _decision(store: ObjectStore, receipt: Any) -> dict[str, Any] | None:
    if not isinstance(receipt, Mapping):
        return None
    record: dict[str, Any] = json.loads(store.read(require(receipt, "decision", "decision")["decision_uri"]))
    if record.get("outcome") != receipt.get("verdict"):
        reason = str((receipt.get("reasons") or [""])[0]).partition(": ")[2]
        record |= {"outcome": receipt["verdict"], "approval": {"required": True, "reason": reason}}
    return record


def _manifest(store: ObjectStore, receipt: Any) -> dict[str, Any] | None:
    return load_manifest(store, receipt).to_json() if isinstance(receipt, Mapping) else None


def billing_rows(hosts: Any) -> list[dict[str, Any]] | None:
    """Return what still bills from receipts of hosts and deployments; None when nothing was handed in."""
    if hosts is None:
        return None
    return [
        {
            "what": str(h.get("host_kind") or "host").replace("-", " "),
            "name": str(h.get("host_name") or h.get("host_arn") or ""),
            "usd_per_hour": h.get("hourly_price"),
            "until": str(h.get("expires_at") or ""),
        }
        for h in _listed(hosts)
        if h.get("status") != "Deleted"
    ]
