"""Decision as tasks: a policy judges the scorecard, a person may have the last word.

A weak student is a verdict and a receipt, never an exception. The decision is written beside the scorecard once: a retry
returns the first one. Figures and digests go to the record, the receipt and the approver; prompts and answers do not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk.exceptions import TaskAwaitingInput

from airflow_distill.aws.evidence import load_scorecard, read_checked, require
from airflow_distill.aws.gateways import AwsGateways, store_for
from airflow_distill.aws.judging import SAME, current_state, decide_kept, ledger_beside
from airflow_distill.errors import ConfigurationError, EvaluationError, StateError
from airflow_distill.hooks.bedrock import gateways_of
from airflow_distill.links.pages import DistillPageLink
from airflow_distill.notifications.workload import TOLD
from airflow_distill.operators.base import DistillOperator, airflow_errors, wall_clock
from airflow_distill.operators.note import note_question, note_step, noted
from airflow_distill.operators.observe import tally
from airflow_distill.operators.task import DistillTask, settings_read
from airflow_distill.remote.times import iso
from airflow_distill.stages.digest import digest
from airflow_distill.stages.shown import markdown, markdown_code
from airflow_distill.stages.storage import ObjectStore

if TYPE_CHECKING:
    from airflow_distill.stages.decision.approval import ApprovalRule
    from airflow_distill.stages.decision.records import Approval, Check, DecisionRecord
    from airflow_distill.stages.money.records import Costs

ASKED = "asked"
"""XCom key of the question: until when it is open, and whether its notifiers were reminded."""

SHOWN = "shown"
"""XCom key of the digest of what an approver was shown."""

MOST_ANSWERS = 20
"""So many recorded answers to one decision are looked at."""

ON_HOLD = ("return", "skip")
"""What follows a verdict other than promote: just the receipt, or the tasks directly downstream are skipped."""


def skip_what_needs_a_yes(operator: Any, context: Any, receipt: Mapping[str, Any]) -> None:
    """Skip the direct downstream tasks that run on success only; teardowns and reports still run.

    Skipping ends the task, so the receipt is pushed first.
    """
    ti = context["ti"]
    direct: Iterable[Any] = context["task"].get_direct_relatives(upstream=False)
    tasks = [t for t in direct if not t.is_teardown and t.trigger_rule == "all_success"]
    if tasks:
        ti.xcom_push(key="return_value", value=dict(receipt))
        operator.skip(ti=ti, tasks=tasks)


class DecidePromotionOperator(DistillOperator, SkipMixin):
    """Judges a scorecard under a policy, writes the decision record once and returns a `decision` receipt.

    A decision's id is a digest of the evidence, the policy and the verdict. Run again under another policy, it decides the
    same scores anew, beside the earlier record, which stays.

    The evidence is held against what is true now: the dataset's manifest and held-out file as they lie in the bucket,
    the model of the job, the model behind the live host. What does not agree holds.

    :param evaluation: the `evaluation` receipt (templated).
    :param policy: the promotion policy as a mapping, see `PromotionPolicy` (templated).
    :param job: the `job` receipt, whose custom model must be the one that was judged (templated).
    :param dataset: the `dataset` receipt; found by its id under the same root when left out (templated).
    :param incumbent: receipt of what is live, or the ARN of the host now live, empty when nothing is; `same` (default) when
        the answers' own incumbent is known to be live still (templated). The ledger is read besides and has the last word.
    :param approval: when a person must agree, as a mapping, see `ApprovalRule`. A promotion that needs a person is
        recorded as a hold until `ApprovePromotionOperator` has asked (templated).
    :param scores: `scores` receipts that were used; one that must not be trusted makes the verdict a hold (templated).
    :param forecast: expected traffic and way of serving, see `Forecast`; the run's and the months' costs are worked out
        from it (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    :param costs: what is known about money, see `Costs`, instead of working it out (templated).
    :param look: how often this student has been judged, this time included.
    :param shadow: the `shadow` receipt: how student and incumbent answered live prompts (templated).
    :param on_hold: `return`, or `skip` the tasks directly downstream that run on success only.
    """

    operator_extra_links = (DistillPageLink(),)
    inherits_from_skipmixin = True
    template_fields: Sequence[str] = aws_template_fields(
        "evaluation",
        "policy",
        "job",
        "dataset",
        "incumbent",
        "approval",
        "scores",
        "forecast",
        "prices",
        "student_prices",
        "costs",
        "shadow",
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
        forecast: Any = None,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        costs: Any = None,
        look: int = 1,
        shadow: Any = None,
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
        self.forecast = forecast
        self.prices = prices
        self.student_prices = student_prices
        self.costs = costs
        self.look = look
        self.shadow = shadow
        self.on_hold = on_hold

    def work(self, context: Any) -> dict[str, Any]:
        """Decide, record, return the receipt."""
        from airflow_distill.stages.decision.policy import PromotionPolicy

        evaluation = require(self.evaluation, "evaluation", "evaluation")
        _must_say_what_is_live(self.incumbent, context)
        policy = self.policy
        if isinstance(policy, Mapping):
            policy = settings_read(PromotionPolicy, policy, "policy")
        decided = decide_kept(
            self.gateways,
            evaluation,
            policy,
            now=wall_clock(),
            job=self.job,
            dataset=self.dataset,
            incumbent=self.incumbent,
            approval=self.approval,
            scores=self.scores,
            costs=self.costs,
            forecast=self.forecast,
            prices=self.prices,
            student_prices=self.student_prices,
            look=self.look,
            shadow=self.shadow if isinstance(self.shadow, Mapping) else None,
        )
        record, receipt = decided.record, decided.receipt
        if record.costs is not None and record.costs.exposed_usd is not None:
            receipt["exposed_usd"] = record.costs.exposed_usd
        self.log.info(
            "%s (decision %s, %d prompts): %s",
            record.outcome,
            record.decision_id[:12],
            decided.n,
            ", ".join(r.code for r in record.reasons) or "no reasons",
        )
        if record.outcome != "promote" and self.on_hold == "skip":
            skip_what_needs_a_yes(self, context, receipt)
        return receipt


def _must_say_what_is_live(incumbent: Any, context: Any) -> None:
    """Refuse a receipt that is missing, because its task was marked successful by hand: nothing is not "nothing live"."""
    if incumbent is None or incumbent == "None":
        names = sorted(getattr(context.get("task"), "upstream_task_ids", ()) or ())
        named = next((name for name in names if "live" in name), "the task find_live")
        raise ConfigurationError(
            f"decision: nothing says what is live now: {named} returned nothing.",
            hint=f"Was {named} marked successful by hand? Clear it, so that it runs; its receipt is needed.",
        )


class ApprovePromotionOperator(DistillTask, ApprovalOperator):
    """Asks a person before a promotion, when the rule says so; returns a `decision` receipt that may be promoted or not.

    The approver sees figures and digests, no prompts or answers. There is no default answer: no answer in time, a no, a
    yes of somebody who is not an approver, or evidence that has changed since, all end in a hold. A yes or no of an
    approver is written beside the decision once, with who and when, and stands when the task is cleared.

    :param decision: the `decision` receipt (templated).
    :param mode: `never`, `always`, or `when` a line below is crossed.
    :param approvers: whose answer counts, by name, or as `{"id": ..., "name": ...}`; with ids for all, Airflow lets
        nobody else answer. An id is compared with ids, a name with names. Empty means anybody who may answer.
    :param above_run_usd: ask when the run costs more, or when that is unknown.
    :param above_monthly_usd: ask when a month of the student costs more, or when that is unknown.
    :param below_slack: ask when the tightest bound clears its limit by less.
    :param first_release: ask when nothing is live yet.
    :param separate: whoever started the run cannot approve it.
    :param dataset: the `dataset` receipt; found by its id under the same root when left out (templated).
    :param incumbent: ARN of the host now live, as in `DecidePromotionOperator` (templated).
    :param on_hold: `return`, or `skip` the tasks directly downstream that run on success only.
    :param report: the `report` receipt of the run, linked from the question (templated).
    :param response_timeout: how long to wait for an answer.
    :param remind_before: how long before the end `notifiers` are told once more; half of the wait when that is shorter.
    :param notifiers: told when the question is asked, once more before it ends, and when nobody answered. One that
        fails is logged and stops nothing.
    :param aws_conn_id: the Airflow connection for AWS (templated).
    :param region_name: AWS Region; the connection's when left out (templated).
    """

    operator_extra_links = (DistillPageLink(),)
    asks_a_person = True
    inherits_from_skipmixin = True
    template_fields: Collection[str] = (
        *ApprovalOperator.template_fields,
        "decision",
        "dataset",
        "incumbent",
        "report",
        "aws_conn_id",
        "region_name",
    )
    may_be_missing = frozenset({"report"})
    ui_color = "#e8f5e9"

    def __init__(
        self,
        *,
        decision: Any,
        mode: str = "always",
        approvers: Sequence[str | Mapping[str, str]] = (),
        above_run_usd: float | None = None,
        above_monthly_usd: float | None = None,
        below_slack: float | None = None,
        first_release: bool = False,
        separate: bool = False,
        dataset: Any = None,
        incumbent: Any = SAME,
        on_hold: str = "return",
        report: Any = None,
        response_timeout: timedelta | None = timedelta(days=3),
        remind_before: timedelta | None = timedelta(days=1),
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
        subject: str | None = None,
        **kwargs: Any,
    ) -> None:
        if "defaults" in kwargs:
            raise ConfigurationError(
                "decision: a promotion has no default answer.",
                hint="Remove `defaults`: no answer means hold.",
            )
        if on_hold not in ON_HOLD:
            raise ConfigurationError(f"decision: on_hold is one of {', '.join(ON_HOLD)}.")
        kwargs.setdefault("body", "")
        by_id = [dict(a) for a in approvers if isinstance(a, Mapping) and a.get("id") and a.get("name")]
        if by_id and "assigned_users" not in kwargs and len(by_id) == len(approvers):
            kwargs["assigned_users"] = by_id
        super().__init__(
            subject=subject or "Promote the distilled student?", response_timeout=response_timeout, **kwargs
        )
        self.decision = decision
        self.mode = mode
        self.approvers = approvers
        self.above_run_usd = above_run_usd
        self.above_monthly_usd = above_monthly_usd
        self.below_slack = below_slack
        self.first_release = first_release
        self.separate = separate
        self.dataset = dataset
        self.incumbent = incumbent
        self.on_hold = on_hold
        self.report = report
        self.remind_before = remind_before
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    @property
    def rule(self) -> ApprovalRule:
        """When a person must agree, and whose answer counts."""
        from airflow_distill.stages.decision.approval import ApprovalRule

        return ApprovalRule(
            mode=self.mode,
            approvers=tuple(self.approvers),
            above_run_usd=self.above_run_usd,
            above_monthly_usd=self.above_monthly_usd,
            below_slack=self.below_slack,
            first_release=self.first_release,
            separate=self.separate,
        )

    @property
    def gateways(self) -> AwsGateways:
        """The gateways of this task's connection."""
        return gateways_of(self)

    def execute(self, context: Any) -> Any:
        """Return the decision as it is when nobody must be asked; otherwise ask and wait."""
        with noted(self, context), airflow_errors():
            self.settle()
            gateways = self.gateways
            receipt = require(self.decision, "decision", "decision")
            _must_say_what_is_live(self.incumbent, context)
            store = store_for(gateways, receipt["decision_uri"])
            record = self._record(store, receipt)
            standing = self._standing(store, record, receipt)
            if standing is not None:
                stale = (
                    self._stale(gateways, store, record, receipt) if standing["verdict"] == "promote" else ""
                )
                return self._end(context, self._held(record, receipt, stale) if stale else standing)
            if not record.verdict.promotes:
                return self._end(context, dict(receipt))
            lines = self.rule.crossed(record.verdict, record.costs, live=bool(record.incumbent))
            if not lines and not record.approval.required:
                return self._end(context, dict(receipt))
            page = str(_of(self.report, "page"))
            self.body = self.body or evidence(record, lines or [record.approval.reason], page)
            first, second = self._waits()
            until = wall_clock() + first + second if first else None
            if context.get("ti") is not None:
                context["ti"].xcom_push(key=SHOWN, value=shown_digest(receipt))
                context["ti"].xcom_push(key=ASKED, value={"until": _iso(until), "reminded": not second})
            note_question(self, context, receipt, _iso(until))
        tally("approval.asked", record.workload)
        self._tell(context, f"a person is asked to promote {record.model_arn}{_until(_iso(until))}")
        self.response_timeout = first
        told, self.notifiers = self.notifiers, []  # told already, each guarded against its own failure
        try:
            return super().execute(context)
        finally:
            self.notifiers = told

    def _waits(self) -> tuple[timedelta | None, timedelta]:
        """Return how long to wait before and after the reminder; None for ever."""
        whole, before = self.response_timeout, self.remind_before
        if whole is None or not before or not self.notifiers:
            return whole, timedelta(0)
        second = before if before < whole else whole / 2
        return whole - second, second

    def _remind(self, context: Any, receipt: Mapping[str, Any]) -> timedelta | None:
        """Tell once more that the question is open, and return how long it still is; None when its time is over."""
        pull = getattr(context.get("ti"), "xcom_pull", None)
        asked = pull(task_ids=self.task_id, key=ASKED) if pull is not None else None
        if not isinstance(asked, Mapping) or asked.get("reminded") or not asked.get("until"):
            return None
        context["ti"].xcom_push(key=ASKED, value={**asked, "reminded": True})
        left = datetime.fromisoformat(str(asked["until"])) - wall_clock()
        if left <= timedelta(0):
            return None
        tally("approval.reminded", str(receipt["workload"]))
        self._tell(
            context,
            f"still nobody has said whether to promote {receipt['model_arn']}{_until(asked['until'])}",
        )
        return left

    def _tell(self, context: Any, sentence: str) -> None:
        """Let the notifiers tell a sentence with links to question and report; their failures are logged by class."""
        links = {"report": str(_of(self.report, "page"))}
        try:
            links["question"] = self.generate_link_to_ui_from_context(context=context)
        except Exception as error:
            self.log.info("The question has no link here (%s).", type(error).__name__)
        links = {name: link for name, link in links.items() if link}
        sentence += "".join(f"; {name}: {link}" for name, link in sorted(links.items()))
        told = {**context, TOLD: {"summary": sentence, "links": links}}
        for notifier in self.notifiers:
            try:
                notifier(told)
            except Exception as error:
                self.log.error(
                    "A notifier of the approval failed (%s); the question stays open.", type(error).__name__
                )

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Record the answer of an approver and return the decision as it then stands."""
        from airflow_distill.stages.decision.record import write_once

        with airflow_errors():
            gateways = self.gateways
            receipt = require(self.decision, "decision", "decision")
            store = store_for(gateways, receipt["decision_uri"])
            record = self._record(store, receipt)
            if "error" in event:
                if event.get("error_type") != "timeout":
                    self.process_trigger_event_error(event)
                left = self._remind(context, receipt)
                if left is not None:
                    raise TaskAwaitingInput(method_name="execute_complete", timeout=left)
                tally("approval.unanswered", record.workload)
                self._tell(
                    context,
                    f"nobody answered in time; {record.model_arn} is not promoted. Clear {self.task_id} to ask again",
                )
                return self._end(context, self._held(record, receipt, "Nobody answered in time."))
            if _was_shown(context, self.task_id) not in ("", shown_digest(receipt)):
                reason = (
                    "The decision is not the one that the approver was shown; ask again: clear this task."
                )
                return self._end(context, self._held(record, receipt, reason))
            approval = self._answer(context, event, receipt)
            counted = self.rule.accept(approval)
            tally(f"approval.{_became(approval, counted)}", record.workload)
            if approval.approved and not counted.approved:
                return self._end(context, self._held(record, receipt, counted.reason))
            if counted.approved:
                stale = self._stale(gateways, store, record, receipt)
                if stale:
                    tally("approval.stale", record.workload)
                    return self._end(context, self._held(record, receipt, stale))
            elif self.rule.objection(counted):
                return self._end(
                    context, self._held(record, receipt, "A no of somebody who is not an approver.")
                )
            answered = replace(record, approval=counted)
            uri, standing = self._place(store, record, receipt)
            if standing is None:
                answered, sha256 = write_once(store, uri, answered)
                standing = answered.receipt(uri, sha256)
            return self._end(context, standing)

    def _record(self, store: ObjectStore, receipt: Mapping[str, Any]) -> DecisionRecord:
        from airflow_distill.stages.decision.record import read_record

        read_checked(store, receipt["decision_uri"], receipt["decision_sha256"], "decision record")
        return read_record(store, receipt["decision_uri"])[0]

    def _standing(
        self, store: ObjectStore, record: DecisionRecord, receipt: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return the receipt of an answer that was recorded before and counts under the rule that stands now."""
        return self._place(store, record, receipt)[1]

    def _place(
        self, store: ObjectStore, record: DecisionRecord, receipt: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any] | None]:
        """Return the receipt of an answer that stands, or None and where the next one may be written.

        An answer of somebody who is no approver any more, or to something else than this decision, stays where it is and
        counts as none.
        """
        from airflow_distill.stages.decision.record import read_record

        beside = approval_place(str(receipt["decision_uri"]))
        for number in range(1, MOST_ANSWERS + 1):
            uri = f"{beside}{'' if number == 1 else f'-{number}'}.json"
            if not store.exists(uri):
                return uri, None
            try:
                standing, sha256 = read_record(store, uri)
            except (StateError, EvaluationError) as error:
                self.log.warning("%s is passed over: %s", uri, error)
                continue
            said = standing.approval
            same = standing.decision_id == record.decision_id
            if same and not self.rule.objection(said) and said.shown_sha256 == shown_digest(receipt):
                return uri, standing.receipt(uri, sha256)
            self.log.warning("%s is passed over: it does not satisfy the rule that stands now.", uri)
        raise EvaluationError(
            f"decision: {MOST_ANSWERS} answers to decision {record.decision_id} are recorded and none counts.",
            hint=f"Check who else writes {beside}*.json.",
        )

    def _answer(self, context: Any, event: Mapping[str, Any], receipt: Mapping[str, Any]) -> Approval:
        from airflow_distill.stages.decision.records import Approval

        user = event.get("responded_by_user") or {}
        name, user_id = str(user.get("name") or ""), str(user.get("id") or "")
        yes = list(event.get("chosen_options") or ()) == [self.APPROVE]
        answered_at = event.get("responded_at")
        return Approval(
            required=True,
            approved=yes,
            approver=name,
            answered_at=answered_at.isoformat()
            if isinstance(answered_at, datetime)
            else str(answered_at or ""),
            reason="" if yes else f"{name or user_id or 'Somebody'} said no.",
            approver_id=user_id,
            requested_by=str(getattr(context.get("dag_run"), "triggering_user_name", None) or ""),
            shown_sha256=shown_digest(receipt),
        )

    def _stale(
        self,
        gateways: AwsGateways,
        store: ObjectStore,
        record: DecisionRecord,
        receipt: Mapping[str, Any],
    ) -> str:
        """Return why the evidence no longer holds, empty when it does."""
        from airflow_distill.stages.decision.decide import freshness_problems

        try:
            scorecard = load_scorecard(store, receipt)
        except EvaluationError:
            return "The scorecard has changed since the decision."
        evaluation = {**receipt, "model_arn": record.model_arn}
        live = ledger_beside(store, scorecard, receipt["scorecard_uri"]).sound().live()
        if (live.release if live else None) != record.incumbent_release:
            goal = f"release {live.release}" if live else "nothing"
            return f"Live is {goal} now, the decision was judged against {_judged(record)}: evaluate again."
        now = current_state(
            gateways, store, scorecard, evaluation, self.dataset, "", self.incumbent, live=live
        )
        return " ".join(reason.text for reason in freshness_problems(scorecard, now))

    def _held(self, record: DecisionRecord, receipt: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Return the decision as a hold that is not recorded, so that the question can be asked again."""
        from airflow_distill.stages.decision.records import Approval

        held = replace(record, approval=Approval(required=True, reason=reason))
        return held.receipt(str(receipt["decision_uri"]), str(receipt["decision_sha256"]))

    def _end(self, context: Any, receipt: dict[str, Any]) -> dict[str, Any]:
        self.log.info("%s: %s", receipt["verdict"], "; ".join(receipt["reasons"]) or "no reasons")
        note_step(self, context, receipt)
        if receipt["verdict"] != "promote" and self.on_hold == "skip":
            skip_what_needs_a_yes(self, context, receipt)
        return receipt


def approval_place(decision_uri: str) -> str:
    """Return where answers to a decision lie, without number and suffix: `approval` beside `decision.json`."""
    folder, _, name = decision_uri.rpartition("/")
    return f"{folder}/approval{name.removesuffix('.json').removeprefix('decision')}"


def _judged(record: DecisionRecord) -> str:
    return f"release {record.incumbent_release}" if record.incumbent_release is not None else "no release"


def shown_digest(receipt: Mapping[str, Any]) -> str:
    """Return the digest of what an approver is shown: the decision and the scorecard, byte for byte."""
    return digest([str(receipt["decision_sha256"]), str(receipt["scorecard_sha256"])])


def _was_shown(context: Any, task_id: str) -> str:
    """Return the digest of what the approver was shown when asked; empty when that is not known here."""
    pull = getattr(context.get("ti"), "xcom_pull", None)
    found = pull(task_ids=task_id, key=SHOWN) if pull is not None else None
    return found if isinstance(found, str) else ""


def _of(receipt: Any, key: str) -> Any:
    return (receipt.get(key) or "") if isinstance(receipt, Mapping) else ""


def _iso(moment: datetime | None) -> str:
    return iso(moment) if moment else ""


def _until(moment: str) -> str:
    return f", until {moment}" if moment else ""


def _became(given: Approval, counted: Approval) -> str:
    """Return what became of an answer, in one word, for the metrics."""
    if given.approved:
        return "approved" if counted.approved else "not_counted"
    return "refused"


def evidence(record: DecisionRecord, lines: Sequence[str], page: str = "") -> str:
    """Return what the approver sees, as Markdown: figures and digests, no prompts or answers.

    :param page: where the report of the run is opened.
    """
    checks = [c for c in record.verdict.checks if c.estimate is not None and c.outcome != "skipped"]
    rows = [
        f"| {markdown(_what(c), 200)} | {markdown(c.against) or '-'} | {c.n or '-'} | {_figure(c.estimate)} "
        f"| {_figure(c.bound)} | {_figure(c.limit)} | {markdown(c.outcome)} |"
        for c in checks[:12]
    ]
    costs = record.costs
    money = money_lines(costs)
    return "\n".join(
        [
            f"**{markdown(record.workload)}**: the figures say **{markdown(record.verdict.verdict)}** "
            f"on {record.verdict.n} prompts.",
            "",
            *[f"You are asked because {markdown(line)}." for line in lines if line],
            *([f"[Report of the run]({page})"] if page.startswith(("https://", "http://")) else []),
            "",
            "| What | Against | n | Estimate | Bound | Must exceed | Outcome |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            *money,
            "",
            f"Decision {markdown_code(record.decision_id)} · dataset {markdown_code(record.dataset_id)} "
            f"· scorecard {markdown_code(record.scorecard_sha256[:16])}",
            f"Model {markdown_code(record.model_arn)}",
            f"Live now {markdown_code(record.incumbent or 'nothing')}",
        ]
    )


def money_lines(costs: Costs | None) -> list[str]:
    """Return what an approver is told of money, one line an idea; what is unknown says how to know it."""
    if costs is None:
        return [
            "Costs: not worked out. State deployment.input_tokens_per_day and the prices of the student, or run "
            "`airflow-distill spend show`."
        ]
    out = [
        f"Run: {_usd(costs.run_usd)} · student a month: {_usd(costs.student_monthly_usd)} · "
        f"teacher a month: {_usd(costs.teacher_monthly_usd)}"
    ]
    if costs.saves_low_usd is not None and costs.saves_high_usd is not None:
        out.append(
            f"Saves {costs.saves_low_usd:,.2f} to {costs.saves_high_usd:,.2f} USD a month against "
            f"{costs.saves_against or 'the teacher'}."
        )
    if costs.payback_days is not None:
        life = "" if costs.life_days is None else f"; its base model ends in {costs.life_days:,.0f} days"
        out.append(f"Pays for itself after {costs.payback_days:,.0f} days{life}.")
    if costs.exposed_usd is not None or costs.exposed_a_day_usd is not None:
        out.append(
            f"Still billed for this workload now: {_usd(costs.exposed_a_day_usd)} a day, at most "
            f"{_usd(costs.exposed_usd)} of what has an end."
        )
    if costs.unknown:
        out.append(
            f"No price for {markdown(', '.join(costs.unknown), 300)}: `airflow-distill prices update`, or state it."
        )
    return out


def _what(check: Check) -> str:
    return (check.metric or check.code) + (f" ({check.slice})" if check.slice else "")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f} USD"
