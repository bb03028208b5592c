"""Scores kept answers and decides on kept scores: the one way in of the tasks and of `airflow-distill evaluate --again`.

Nothing here asks a model. The same answers under another scorer, and the same scores under another policy or approval
rule, are judged anew under an id of their own; earlier records stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.evidence import (
    load_answers,
    load_heldout,
    load_manifest,
    load_scorecard,
    load_scores,
    model_behind,
    read_checked,
    require,
    scorecard_in,
)
from airflow_distill.aws.gateways import AwsGateways, store_for
from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.remote.times import iso
from airflow_distill.stages.digest import canonical_json, sha256_hex
from airflow_distill.stages.storage import ObjectExistsError, ObjectMissingError, ObjectStore, join_uri

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.records import DatasetManifest
    from airflow_distill.stages.decision.decide import Freshness
    from airflow_distill.stages.decision.policy import PromotionPolicy
    from airflow_distill.stages.decision.records import Approval, DecisionRecord, Reason, Verdict
    from airflow_distill.stages.deployment.ledger import Ledger
    from airflow_distill.stages.deployment.records import Live
    from airflow_distill.stages.evaluation.records import Scorecard
    from airflow_distill.stages.evaluation.report_costs import Forecast
    from airflow_distill.stages.money.prices import PriceTable
    from airflow_distill.stages.money.records import Costs
    from airflow_distill.workload.config import Workload

SAME = "same"
"""Value of `incumbent`: what the answers were collected from is still live."""

DEFAULT_ALPHA, DEFAULT_MIN_ITEMS = 0.05, 30
"""Error rate of each bound of a scorecard, and the fewest prompts that get an interval."""


def score_kept(
    gateways: AwsGateways,
    answers: Mapping[str, Any],
    dataset: Mapping[str, Any],
    metrics: Sequence[Any],
    *,
    slices: Sequence[str] | None,
    scores: Sequence[Mapping[str, Any]],
    alpha: float,
    min_items: int,
    table: PriceTable,
    now: datetime,
) -> dict[str, Any]:
    """Score stored answers, write the scorecard and return the `evaluation` receipt.

    :param answers: the `answers` receipt; `dataset`: the receipt of the dataset whose prompts were answered.
    :param scores: `scores` receipts of a judge or a Bedrock evaluation job.
    :param table: the prices in force.
    """
    from airflow_distill.stages.evaluation.compare import score_answers
    from airflow_distill.stages.evaluation.report_costs import answers_usd
    from airflow_distill.stages.evaluation.scorers.registry import make_scorers

    if answers["dataset_id"] != dataset["dataset_id"]:
        raise ConfigurationError(
            "evaluation: the answers were given to another dataset's prompts.",
            hint="Collect and score in one run, from one dataset receipt.",
        )
    store = store_for(gateways, answers["root"])
    manifest = load_manifest(store, dataset)
    scorecard = score_answers(
        load_heldout(store, manifest),
        load_answers(store, answers),
        make_scorers(metrics),
        workload=answers["workload"],
        dataset_id=manifest.dataset_id,
        heldout_sha256=manifest.heldout.sha256,
        evaluation_id=answers["evaluation_id"],
        teacher=manifest.teacher,
        extra_scores=load_scores(store, scores),
        alpha=alpha,
        min_items=min_items,
        slice_keys=slices,
        price_of=answers_usd(table, gateways.bedrock.region),
        answers_sha256={r: e["answers_sha256"] for r, e in sorted(answers["roles"].items())},
        created_at=iso(now),
    )
    folder = join_uri(answers["root"], answers["workload"], "evaluations", answers["evaluation_id"])
    return _write_scorecard(store, join_uri(folder, "scorecard.json"), scorecard, answers["model_arn"])


def _write_scorecard(store: ObjectStore, uri: str, scorecard: Scorecard, model_arn: str) -> dict[str, Any]:
    data = canonical_json(scorecard.to_json())
    standing = _standing(store, uri)
    if standing is not None and _untimed(json.loads(standing)) == _untimed(scorecard.to_json()):
        data = standing
    elif standing is not None and store.exists(uri.rsplit("/", 1)[0] + "/decision.json"):
        # a decision rests on the first scorecard, which stays; other scorers or settings have a place of their own
        place = f"again-{sha256_hex(_untimed(scorecard.to_json()))[:16]}"
        uri = join_uri(uri.rsplit("/", 1)[0], place, "scorecard.json")
        kept = _standing(store, uri)
        data = kept or data
        if kept is None:
            store.write(uri, data, if_absent=True)
    else:
        store.write(uri, data)
    return {
        "kind": "evaluation",
        "v": 1,
        "workload": scorecard.workload,
        "evaluation_id": scorecard.evaluation_id,
        "dataset_id": scorecard.dataset_id,
        "model_arn": model_arn,
        "scorecard_uri": uri,
        "scorecard_sha256": sha256_hex(data),
        "n": scorecard.n,
        "metrics": scorecard.means(),
    }


def _shadow(store: ObjectStore, receipt: Mapping[str, Any] | None) -> Scorecard | None:
    if receipt is None or not require(receipt, "shadow", "shadow")["scorecard_uri"]:
        return None
    return load_scorecard(store, receipt)


def _shadow_uri(answers: Mapping[str, Any]) -> str:
    folder = join_uri(answers["root"], answers["workload"], "evaluations", answers["evaluation_id"])
    return join_uri(folder, "shadow", "scorecard.json")


def read_shadow(store: ObjectStore, answers: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the receipt of the shadow that an evaluation's candidate has played, None when it has played none."""
    uri = _shadow_uri(answers)
    data = _standing(store, uri)
    if data is None:
        return None
    return _shadow_receipt(answers, uri, data, scorecard_in(data, uri).n)


def keep_shadow(store: ObjectStore, answers: Mapping[str, Any], card: Scorecard) -> dict[str, Any]:
    """Write the scorecard of a shadow once and return its receipt; the first one stands."""
    uri, data = _shadow_uri(answers), canonical_json(card.to_json())
    try:
        store.write(uri, data, if_absent=True)
    except ObjectExistsError:
        return read_shadow(store, answers) or {}
    return _shadow_receipt(answers, uri, data, card.n)


def no_shadow(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the receipt of a shadow that was not played, because nothing is live."""
    return _shadow_receipt(answers, "", b"", 0)


def _shadow_receipt(answers: Mapping[str, Any], uri: str, data: bytes, n: int) -> dict[str, Any]:
    return {
        "kind": "shadow",
        "v": 1,
        "workload": answers["workload"],
        "evaluation_id": answers["evaluation_id"],
        "scorecard_uri": uri,
        "scorecard_sha256": sha256_hex(data),
        "n": n,
    }


def _standing(store: ObjectStore, uri: str) -> bytes | None:
    try:
        return store.read(uri)
    except ObjectMissingError:
        return None


def _untimed(scorecard: Mapping[str, Any]) -> bytes:
    """Everything but the time: a retry that finds the same figures keeps the first scorecard."""
    return canonical_json({key: value for key, value in scorecard.items() if key != "created_at"})


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it stands in the bucket."""

    record: DecisionRecord
    uri: str
    sha256: str
    n: int

    @property
    def receipt(self) -> dict[str, Any]:
        """What goes through XCom."""
        return self.record.receipt(self.uri, self.sha256)


def decide_kept(
    gateways: AwsGateways,
    evaluation: Mapping[str, Any],
    policy: Mapping[str, Any],
    *,
    now: datetime,
    job: Any = None,
    dataset: Any = None,
    incumbent: Any = SAME,
    approval: Mapping[str, Any] | None = None,
    scores: Any = (),
    costs: Mapping[str, Any] | None = None,
    forecast: Mapping[str, Any] | None = None,
    prices: Any = None,
    student_prices: Mapping[str, Any] | None = None,
    look: int = 1,
    shadow: Mapping[str, Any] | None = None,
) -> Decided:
    """Judge a stored scorecard under a policy and an approval rule, and write the decision record once.

    The arguments are those of `DecidePromotionOperator`.
    """
    from airflow_distill.stages.decision.decide import decide
    from airflow_distill.stages.decision.policy import PromotionPolicy
    from airflow_distill.stages.decision.record import make_record, write_decision

    store = store_for(gateways, evaluation["scorecard_uri"])
    scorecard = load_scorecard(store, evaluation)
    rules = PromotionPolicy.from_json(policy)
    history = ledger_beside(store, scorecard, evaluation["scorecard_uri"]).sound()
    live = history.live()
    entry = history.entry(live.release) if live else None
    money = _costs(
        gateways, store, scorecard, evaluation, dataset, costs, forecast, prices, student_prices, now
    )
    freshness = current_state(
        gateways, store, scorecard, evaluation, dataset, _model_of(job), incumbent, live=live
    )
    verdict = decide(
        scorecard,
        rules,
        freshness=freshness,
        costs=money,
        look=look,
        objections=objections_of(scores, rules),
        given_away=entry.release.given_away if entry else None,
        shadow=_shadow(store, shadow),
    )
    asked, rule = _approval(approval, verdict, money, scorecard)
    record = make_record(
        scorecard,
        rules,
        verdict,
        approval=asked,
        approval_rule=rule,
        scorecard_uri=evaluation["scorecard_uri"],
        scorecard_sha256=evaluation["scorecard_sha256"],
        decided_at=iso(now),
        job_arn=str(job.get("job_arn") or "") if isinstance(job, Mapping) else "",
        costs=money,
        manifest_sha256=manifest_digest(store, evaluation, dataset),
        incumbent_release=live.release if live else None,
        incumbent_host=live.host_arn if live else _address(incumbent),
    )
    uri, record, sha256 = write_decision(store, evaluation["scorecard_uri"].rsplit("/", 1)[0], record)
    return Decided(record, uri, sha256, scorecard.n)


def _costs(
    gateways: AwsGateways,
    store: ObjectStore,
    scorecard: Scorecard,
    evaluation: Mapping[str, Any],
    dataset: Any,
    costs: Mapping[str, Any] | None,
    forecast: Mapping[str, Any] | None,
    prices: Any,
    student_prices: Mapping[str, Any] | None,
    now: datetime,
) -> Costs | None:
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.stages.evaluation.report_costs import Forecast, decision_costs
    from airflow_distill.stages.money.records import Costs

    if not costs and not forecast:
        return None
    expected = Forecast.from_json(forecast or {})
    known = Costs.from_json(costs) if costs else None
    if known is not None and not isinstance(dataset, Mapping):
        return known
    manifest = _manifest_in_force(store, evaluation, dataset)
    table = read_prices(gateways, prices, student=manifest.student, stated=student_prices)
    if known is None:
        known = decision_costs(scorecard, manifest, expected, table)
    root = evaluation["scorecard_uri"].rsplit(f"/{scorecard.workload}/evaluations/", 1)[0]
    return _as_it_stands(
        gateways, store, (root, scorecard.workload), manifest, table, expected, known, now=now
    )


def _as_it_stands(
    gateways: AwsGateways,
    store: ObjectStore,
    place: tuple[str, str],
    manifest: DatasetManifest,
    table: PriceTable,
    forecast: Forecast,
    known: Costs,
    *,
    now: datetime,
) -> Costs:
    """Put what the run has come to in the estimate's place, and add what it saves and what is exposed."""
    from airflow_distill.aws.exposure import exposure_of
    from airflow_distill.aws.worth import savings_of
    from airflow_distill.errors import ServiceError
    from airflow_distill.remote.ownership import Owner
    from airflow_distill.stages.money.records import as_float
    from airflow_distill.stages.money.runs import open_steps, statement_of

    region = gateways.bedrock.region
    run = statement_of(store, *place, manifest.dataset_id, table, now=now, region=region)
    if run.actual_usd:
        known = replace(known, run_usd=as_float(run.actual_usd))
    found = savings_of(gateways, store, *place, manifest, table, forecast, now=now)
    saving, back = found["savings"][0], found["payback"]
    if back["days"] is not None:
        known = replace(known, payback_days=back["days"])
    if found["holds"]:
        known = replace(
            known,
            saves_low_usd=saving["low"],
            saves_high_usd=saving["high"],
            saves_against=saving["against"],
            life_days=back["life_days"],
        )
    try:
        claimed = open_steps(store, *place, table, now=now, region=region)
        exposed = exposure_of(gateways, Owner(place[1], place[0]), table, now=now, claimed=claimed)
    except ServiceError:
        return known  # what bills is told elsewhere too; a decision does not rest on it
    return replace(
        known,
        exposed_usd=as_float(exposed.most_usd),
        exposed_a_day_usd=as_float(exposed.usd_a_day),
    )


def _approval(
    asked: Mapping[str, Any] | None, verdict: Verdict, costs: Costs | None, scorecard: Scorecard
) -> tuple[Approval, dict[str, Any]]:
    """Return whether a person must agree, and the rule that says so as plain data."""
    from airflow_distill.stages.decision.approval import ApprovalRule
    from airflow_distill.stages.decision.records import Approval

    if not asked:
        return Approval(required=False), {}
    rule = ApprovalRule.from_json(asked)
    lines = rule.crossed(verdict, costs, live="incumbent" in scorecard.models)
    return Approval(required=bool(lines), reason="; ".join(lines)), rule.to_json()


def _model_of(job: Any) -> str:
    return str(job.get("custom_model_arn") or "") if isinstance(job, Mapping) else ""


def objections_of(scores: Any, policy: PromotionPolicy) -> list[Reason]:
    """Return why scores from elsewhere must not carry this policy: a judge without standing on one of its metrics."""
    from airflow_distill.stages.decision.records import Reason

    receipts = [scores] if isinstance(scores, Mapping) else list(scores or ())
    asked = {rule.name for rule in policy.metrics}
    return [
        Reason("judge-untrusted", f"The judge may not gate: {', '.join(receipt.get('why') or ['unknown'])}.")
        for receipt in receipts
        if not receipt.get("may_gate", True) and asked & set(receipt.get("would_gate") or ())
    ]


def ledger_beside(store: ObjectStore, scorecard: Scorecard, scorecard_uri: str) -> Ledger:
    """Return the release ledger of the workload whose evaluation this is.

    :raises ConfigurationError: the scorecard does not lie under `<root>/<workload>/evaluations/`.
    """
    from airflow_distill.stages.deployment.ledger import Ledger

    place, middle, _ = scorecard_uri.rpartition("/evaluations/")
    root, _, workload = place.rpartition("/")
    if not middle or workload != scorecard.workload:
        raise ConfigurationError(
            f"decision: {scorecard_uri} does not lie in the folder of workload {scorecard.workload}.",
            hint="Score under <root>/<workload>/evaluations/, where the ledger of the workload is beside it.",
        )
    return Ledger(store, root, workload)


def _address(incumbent: Any) -> str:
    """Return the host's ARN out of a receipt of what is live, or the ARN itself; empty for nothing and for `same`."""
    said = incumbent.get("host_arn") if isinstance(incumbent, Mapping) else incumbent
    address = str(said or "").strip()
    return "" if address in ("None", SAME) else address


def current_state(
    gateways: AwsGateways,
    store: ObjectStore,
    scorecard: Scorecard,
    evaluation: Mapping[str, Any],
    dataset: Any,
    job_model: str,
    incumbent: Any,
    live: Live | None = None,
) -> Freshness | None:
    """Return what is true now, or None when the dataset cannot be read any more.

    :param live: what the ledger says is live; it goes before whatever `incumbent` says.
    """
    from airflow_distill.stages.decision.decide import Freshness

    try:
        manifest = _manifest_in_force(store, evaluation, dataset)
        read_checked(store, manifest.heldout.uri, manifest.heldout.sha256, "held-out file")
    except EvaluationError:
        return None
    now_live = scorecard.models.get("incumbent")
    if live is not None:
        now_live = live.target.model_arn
    elif incumbent != SAME:
        address = _address(incumbent)
        now_live = model_behind(gateways.bedrock, address) if address else None
    return Freshness(
        dataset_id=manifest.dataset_id,
        heldout_sha256=manifest.heldout.sha256,
        student_model=job_model or str(evaluation["model_arn"]),
        incumbent_model=now_live,
    )


def manifest_digest(store: ObjectStore, evaluation: Mapping[str, Any], dataset: Any) -> str:
    """Return the digest of the dataset's manifest as it lies in the bucket; empty when it is gone, which holds later."""
    if isinstance(dataset, Mapping):
        uri = str(dataset["manifest_uri"])
    else:
        folder = evaluation["scorecard_uri"].rsplit("/evaluations/", 1)[0]
        uri = join_uri(folder, "datasets", evaluation["dataset_id"], "manifest.json")
    try:
        return sha256_hex(store.read(uri))
    except ObjectMissingError:
        return ""


def _manifest_in_force(store: ObjectStore, evaluation: Mapping[str, Any], dataset: Any) -> DatasetManifest:
    if isinstance(dataset, Mapping):
        return load_manifest(store, require(dataset, "dataset", "dataset"))
    folder = evaluation["scorecard_uri"].rsplit("/evaluations/", 1)[0]
    uri = join_uri(folder, "datasets", evaluation["dataset_id"], "manifest.json")
    return load_manifest(store, {"manifest_uri": uri})


@dataclass(frozen=True, slots=True)
class Kept:
    """An evaluation as it lies in the bucket, as the receipts that its tasks handed on.

    :param job: the job whose model was judged, from the newest decision on it; empty when none names one.
    :param costs: what the newest decision knew about money, None when there is no decision.
    """

    answers: dict[str, Any]
    dataset: dict[str, Any]
    job: dict[str, Any]
    costs: dict[str, Any] | None
    scored_at: str


def find_kept(store: ObjectStore, root: str, workload: str, evaluation_id: str = "") -> Kept:
    """Return the newest evaluation of a workload, or the one asked for.

    :raises EvaluationError: there is none, or its first scorecard cannot be read.
    """

    folder = join_uri(root, workload, "evaluations")
    cards: list[tuple[str, Scorecard]] = []
    for item in store.iter_objects(folder + "/"):
        parts = item.uri.removeprefix(folder + "/").split("/")
        if len(parts) == 2 and parts[1] == "scorecard.json" and evaluation_id in ("", parts[0]):
            receipt = {"scorecard_uri": item.uri}
            cards.append((parts[0], load_scorecard(store, receipt)))
    if not cards:
        which = f"evaluation {evaluation_id}" if evaluation_id else "evaluation"
        raise EvaluationError(
            f"evaluation: there is no {which} with a scorecard under {folder}.",
            hint="The loop makes one after a job; --evaluation takes the name of a folder there.",
        )
    key, card = max(cards, key=lambda found: found[1].created_at)
    place = join_uri(root, workload, "datasets", card.dataset_id)
    manifest_uri = join_uri(place, "manifest.json")
    decisions = _decisions(store, join_uri(folder, key))
    last = max(decisions, key=lambda record: record.decided_at, default=None)
    return Kept(
        answers={
            "kind": "answers",
            "v": 1,
            "workload": workload,
            "dataset_id": card.dataset_id,
            "evaluation_id": key,
            "root": root,
            "model_arn": card.models.get("student", ""),
            "roles": {
                role: {
                    "model": card.models.get(role, ""),
                    "answers_uri": join_uri(folder, key, "answers", f"{role}.jsonl"),
                    "answers_sha256": sha256,
                    **({"source": "logs"} if role == "teacher" and sha256 == card.heldout_sha256 else {}),
                }
                for role, sha256 in card.answers_sha256.items()
            },
        },
        dataset={"kind": "dataset", "dataset_id": card.dataset_id, "manifest_uri": manifest_uri},
        job={"job_arn": last.job_arn, "custom_model_arn": last.model_arn} if last else {},
        costs=last.costs.to_json() if last and last.costs else None,
        scored_at=card.created_at,
    )


def _decisions(store: ObjectStore, folder: str) -> list[DecisionRecord]:
    from airflow_distill.stages.decision.record import read_record

    return [
        read_record(store, item.uri)[0]
        for item in store.iter_objects(folder + "/")
        if item.uri.rpartition("/")[2].startswith("decision") and item.uri.endswith(".json")
    ]


def kept_judge(store: ObjectStore, answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the `scores` receipt of the judge whose scores lie beside the answers, in a list; empty for none.

    :raises EvaluationError: two judges, or one judge under two sets of rules, have spoken: which counts is not ours to say.
    """
    from airflow_distill.stages.evaluation.judge import METRIC

    folder = join_uri(answers["root"], answers["workload"], "evaluations", answers["evaluation_id"], "scores")
    found: list[dict[str, Any]] = []
    for item in store.iter_objects(f"{folder}/judge-"):
        if item.uri.endswith(".jsonl"):
            report = json.loads(read_checked(store, item.uri.removesuffix("l"), None, "judge's report"))
            why = list(report.get("why") or ())
            found.append(
                {
                    "kind": "scores",
                    "scores_uri": item.uri,
                    "may_gate": not why and report.get("may_gate") is True,
                    "why": why,
                    "would_gate": [METRIC],
                }
            )
    if len(found) > 1:
        raise EvaluationError(
            f"evaluation: {len(found)} judge results are under {folder}.",
            hint="Clear the tasks `judge` and `score` of the run instead: they know which judge is asked for.",
        )
    return found


@dataclass(frozen=True, slots=True)
class Again:
    """What judging again came to: the receipt of the scorecard, whether it is a new one, and the decision."""

    evaluation: dict[str, Any]
    new_scores: bool
    decided: Decided
    new_decision: bool


def judge_again(
    gateways: AwsGateways, workload: Workload, *, evaluation_id: str = "", now: datetime
) -> Again:
    """Score a workload's kept answers by its file's scorers and decide under its file's policy and approval rule.

    The same ids as the tasks `score` and `decide` of the loop give: they find these records when they run again. No model
    is asked. A first decision must exist: it names the job.
    """
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.workload import tasks

    store = store_for(gateways, workload.root)
    kept = find_kept(store, workload.root, workload.name, evaluation_id)
    prices, stated = workload.budget.prices, {str(k): v for k, v in workload.budget.student_prices.items()}
    scores = kept_judge(store, kept.answers) if workload.evaluation.judge else []
    before = _places(store, kept)
    evaluation = score_kept(
        gateways,
        kept.answers,
        kept.dataset,
        list(workload.evaluation.scorers),
        slices=list(workload.evaluation.slices) or None,
        scores=scores,
        alpha=DEFAULT_ALPHA,
        min_items=DEFAULT_MIN_ITEMS,
        table=read_prices(
            gateways, prices, student=load_manifest(store, kept.dataset).student, stated=stated
        ),
        now=now,
    )
    decided = decide_kept(
        gateways,
        evaluation,
        tasks.policy(workload),
        now=now,
        job=kept.job,
        dataset=kept.dataset,
        incumbent="",
        approval=tasks.approval_rule(workload) if workload.approval.mode != "never" else None,
        scores=scores,
        costs=kept.costs,
        forecast=tasks.forecast_of(workload),
        prices=prices,
        student_prices=stated,
        shadow=read_shadow(store, kept.answers),
    )
    return Again(evaluation, evaluation["scorecard_uri"] not in before, decided, decided.uri not in before)


def _places(store: ObjectStore, kept: Kept) -> set[str]:
    """Return what lies in the evaluation's folder."""
    folder = join_uri(
        kept.answers["root"], kept.answers["workload"], "evaluations", kept.answers["evaluation_id"]
    )
    return {item.uri for item in store.iter_objects(folder + "/")}
