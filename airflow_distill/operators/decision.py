"""Decision as tasks: a policy judges the scorecard, a person may have the last word.

A weak student is a verdict and a receipt, never an exception. The decision is written beside the scorecard once: a retry
returns the first one. Figures and digests go to the record, the receipt and the approver; prompts and answers do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.standard.utils.skipmixin import SkipMixin

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.operators.evaluation import (
    load_manifest,
    model_behind,
    read_checked,
    require,
    store_for,
)
from airflow_distill.stages.dataset.records import DatasetManifest
from airflow_distill.stages.decision.approval import ApprovalRule
from airflow_distill.stages.decision.decide import Freshness, decide
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.decision.record import make_record, write_once
from airflow_distill.stages.decision.records import Approval, Reason, Verdict
from airflow_distill.stages.evaluation.records import Costs, Scorecard
from airflow_distill.stages.storage import ObjectStore, join_uri

SAME = "same"
"""Value of `incumbent`: what the answers were collected from is still live."""

ON_HOLD = ("return", "skip")
"""What follows a verdict other than promote: just the receipt, or the tasks directly downstream are skipped."""


def load_scorecard(store: ObjectStore, evaluation: Mapping[str, Any]) -> Scorecard:
    """Read the scorecard that an evaluation receipt names and check its digest."""
    data = read_checked(store, evaluation["scorecard_uri"], evaluation.get("scorecard_sha256"), "scorecard")
    return Scorecard.from_json(json.loads(data))


def skip_what_needs_a_yes(operator: Any, context: Any, receipt: Mapping[str, Any]) -> None:
    """Skip the direct downstream tasks that run on success only; teardowns and reports still run.

    Skipping ends the task, so the receipt is pushed first.
    """
    ti = context["ti"]
    direct: Iterable[Any] = context["task"].get_direct_relatives(upstream=False)
    tasks = [t for t in direct if not t.is_teardown and str(t.trigger_rule) == "all_success"]
    if tasks:
        ti.xcom_push(key="return_value", value=dict(receipt))
        operator.skip(ti=ti, tasks=tasks)


class DecidePromotionOperator(DistillOperator, SkipMixin):
    """Judges a scorecard under a policy, writes the decision record once and returns a `decision` receipt.

    The evidence is held against what is true now: the dataset's manifest and held-out file as they lie in the bucket,
    the model of the job, the model behind the live host. What does not agree holds.

    :param evaluation: the `evaluation` receipt (templated).
    :param policy: the promotion policy as a mapping, see `PromotionPolicy` (templated).
    :param job: the `job` receipt, whose custom model must be the one that was judged (templated).
    :param dataset: the `dataset` receipt; found by its id under the same root when left out (templated).
    :param incumbent: ARN of the host now live, empty when nothing is live; `same` (default) when the answers' own
        incumbent is known to be live still (templated).
    :param approval: when a person must agree, as a mapping, see `ApprovalRule`. A promotion that needs a person is
        recorded as a hold until `ApprovePromotionOperator` has asked (templated).
    :param scores: `scores` receipts that were used; one that must not be trusted makes the verdict a hold (templated).
    :param costs: what is known about money, see `Costs` (templated).
    :param look: how often this student has been judged, this time included.
    :param on_hold: `return`, or `skip` the tasks directly downstream that run on success only.
    """

    inherits_from_skipmixin = True
    template_fields: Sequence[str] = aws_template_fields(
        "evaluation", "policy", "job", "dataset", "incumbent", "approval", "scores", "costs"
    )
    ui_color = "#e8f5e9"

    def __init__(
        self,
        *,
        evaluation: Any,
        policy: Any,
        job: Any = None,
        dataset: Any = None,
        incumbent: Any = SAME,
        approval: Any = None,
        scores: Any = (),
        costs: Any = None,
        look: int = 1,
        on_hold: str = "return",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_hold not in ON_HOLD:
            raise ConfigurationError(f"decision: on_hold is one of {', '.join(ON_HOLD)}.")
        self.evaluation = evaluation
        self.policy = policy
        self.job = job
        self.dataset = dataset
        self.incumbent = incumbent
        self.approval = approval
        self.scores = scores
        self.costs = costs
        self.look = look
        self.on_hold = on_hold

    def work(self, context: Any) -> dict[str, Any]:
        """Decide, record, return the receipt."""
        evaluation = require(self.evaluation, "evaluation", "evaluation")
        store = store_for(self.gateways, evaluation["scorecard_uri"])
        scorecard = load_scorecard(store, evaluation)
        policy = PromotionPolicy.from_json(self.policy)
        costs = Costs.from_json(self.costs) if self.costs else None
        freshness = current_state(
            self.gateways, store, scorecard, evaluation, self.dataset, _model_of(self.job), self.incumbent
        )
        verdict = decide(
            scorecard,
            policy,
            freshness=freshness,
            costs=costs,
            look=self.look,
            objections=objections_of(self.scores, policy),
        )
        record = make_record(
            scorecard,
            policy,
            verdict,
            approval=self._approval(verdict, costs, scorecard),
            scorecard_uri=evaluation["scorecard_uri"],
            scorecard_sha256=evaluation["scorecard_sha256"],
            decided_at=wall_clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
            job_arn=str(self.job.get("job_arn") or "") if isinstance(self.job, Mapping) else "",
            costs=costs,
        )
        uri = evaluation["scorecard_uri"].rsplit("/", 1)[0] + "/decision.json"
        record, sha256 = write_once(store, uri, record)
        receipt = record.receipt(uri, sha256)
        self.log.info(
            "%s (decision %s, %d prompts): %s",
            record.outcome,
            record.decision_id[:12],
            scorecard.n,
            ", ".join(r.code for r in record.reasons) or "no reasons",
        )
        if record.outcome != "promote" and self.on_hold == "skip":
            skip_what_needs_a_yes(self, context, receipt)
        return receipt

    def _approval(self, verdict: Verdict, costs: Costs | None, scorecard: Scorecard) -> Approval:
        if not self.approval:
            return Approval(required=False)
        rule = ApprovalRule.from_json(self.approval)
        lines = rule.crossed(verdict, costs, live="incumbent" in scorecard.models)
        return Approval(required=bool(lines), reason="; ".join(lines))


def _model_of(job: Any) -> str:
    return str(job.get("custom_model_arn") or "") if isinstance(job, Mapping) else ""


def objections_of(scores: Any, policy: PromotionPolicy) -> list[Reason]:
    """Return why scores from elsewhere must not carry this policy: a judge without standing on one of its metrics."""
    receipts = [scores] if isinstance(scores, Mapping) else list(scores or ())
    asked = {rule.name for rule in policy.metrics}
    return [
        Reason("judge-untrusted", f"The judge may not gate: {', '.join(receipt.get('why') or ['unknown'])}.")
        for receipt in receipts
        if not receipt.get("may_gate", True) and asked & set(receipt.get("would_gate") or ())
    ]


def current_state(
    gateways: AwsGateways,
    store: ObjectStore,
    scorecard: Scorecard,
    evaluation: Mapping[str, Any],
    dataset: Any,
    job_model: str,
    incumbent: Any,
) -> Freshness | None:
    """Return what is true now, or None when the dataset cannot be read any more."""
    try:
        manifest = _manifest_in_force(store, evaluation, dataset)
        read_checked(store, manifest.heldout.uri, manifest.heldout.sha256, "held-out file")
    except EvaluationError:
        return None
    now_live = scorecard.models.get("incumbent")
    if incumbent != SAME:
        address = str(incumbent or "").strip()
        now_live = model_behind(gateways.bedrock, address) if address not in ("", "None") else None
    return Freshness(
        dataset_id=manifest.dataset_id,
        heldout_sha256=manifest.heldout.sha256,
        student_model=job_model or str(evaluation["model_arn"]),
        incumbent_model=now_live,
    )


def _manifest_in_force(store: ObjectStore, evaluation: Mapping[str, Any], dataset: Any) -> DatasetManifest:
    if isinstance(dataset, Mapping):
        return load_manifest(store, require(dataset, "dataset", "dataset"))
    folder = evaluation["scorecard_uri"].rsplit("/evaluations/", 1)[0]
    uri = join_uri(folder, "datasets", evaluation["dataset_id"], "manifest.json")
    return load_manifest(store, {"manifest_uri": uri})
