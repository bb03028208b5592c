"""The watch as tasks: a look a day, and what follows from it.

`WatchStudentOperator` looks and tells; `RetrainOperator` and `RollBackOperator` act on its receipt, or are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowSkipException

from airflow_distill.aws.evidence import require
from airflow_distill.errors import ConfigurationError
from airflow_distill.notifications.workload import TOLD
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.operators.code_paths import refuse_foreign_functions
from airflow_distill.operators.deployment import BedrockRollbackModelOperator
from airflow_distill.operators.logs import redaction_of
from airflow_distill.operators.observe import tally

if TYPE_CHECKING:
    from airflow_distill.stages.watch.records import Look


class WatchStudentOperator(DistillOperator):
    """Looks at one day of the live student's own calls; returns a `watch` receipt with `outcome`.

    `outcome` is `fine`, `retrain` or `roll-back`. Health comes from counts, drift from the distance to the training set,
    quality from a small sticky sample that the teacher is asked under a cap. A day is looked at once; again, the first
    look is returned and nothing is asked. Nothing live skips the task.

    :param workload: the workload's name (templated).
    :param root: where the workload's objects live (templated).
    :param logs: where invocation logs are delivered (templated).
    :param teacher: the model that is asked about the sample (templated).
    :param scorer: how the student's answers are compared with the teacher's: a kind, or `{"kind": ..., ...}`.
    :param functions: import paths of functions that `scorer` may name, written out in the Dag file.
    :param sample: live prompts a day that the teacher is asked, at most.
    :param usd_per_day: the most that may cost; nothing is asked without it.
    :param max_tokens: the longest answer asked of the teacher.
    :param rules: see `WatchRules`: `alpha`, `drift`, `retrain`, `roll_back`.
    :param slices: keys of the request metadata to count by value.
    :param day: the day to look at, `2026-11-30`; the last whole day when left out (templated).
    :param redact: replace secrets and identifiers before the teacher is asked, as the harvest does.
    :param detectors: import paths of more detectors, written out in the Dag file.
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param notifiers: told when there is something to tell; one that fails is logged and stops nothing.
    """

    import_paths = ("detectors", "functions")
    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "logs", "teacher", "day", "prices"
    )
    ui_color = "#e3f2fd"

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        logs: str,
        teacher: str,
        scorer: Any = "exact",
        functions: Sequence[str] = (),
        sample: int = 100,
        usd_per_day: float | None = None,
        max_tokens: int = 512,
        rules: Mapping[str, Any] | None = None,
        slices: Sequence[str] = (),
        day: str | None = None,
        redact: bool = True,
        detectors: Sequence[str] = (),
        prices: Any = None,
        notifiers: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.logs = logs
        self.teacher = teacher
        self.scorer = scorer
        self.functions = self.written_paths(functions, "functions")
        self.sample = sample
        self.usd_per_day = usd_per_day
        self.max_tokens = max_tokens
        self.rules = rules
        self.slices = slices
        self.day = day
        self.redact = redact
        self.detectors = self.written_paths(detectors, "detectors")
        self.prices = prices
        self.notifiers = list(notifiers)

    def work(self, context: Any) -> dict[str, Any]:
        """Look, tell, return the receipt."""
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.aws.watch import WatchWish, look, yesterday
        from airflow_distill.stages.watch.records import WatchRules

        refuse_foreign_functions([self.scorer], self.functions)
        wish = WatchWish(
            root=self.root,
            workload=self.workload,
            logs=self.logs,
            teacher=self.teacher,
            scorer=self.scorer,
            sample=self.sample,
            usd_per_day=self.usd_per_day,
            max_tokens=self.max_tokens,
            slices=tuple(self.slices),
            rules=WatchRules(**(self.rules or {})),
        )
        day = _day(self.day) if self.day else yesterday(wall_clock())
        found = look(
            self.gateways,
            wish,
            day,
            table=read_prices(self.gateways, self.prices),
            redact=redaction_of(self.redact, self.detectors),
        )
        if found is None:
            raise AirflowSkipException(f"watch: nothing of {self.workload} is live")
        self._log(found)
        if found.signs:
            self._tell(context, found)
        tally(f"watch.{found.outcome}", self.workload)
        return {
            "kind": "watch",
            "v": 1,
            "workload": self.workload,
            "release": found.release,
            "day": found.day,
            "outcome": found.outcome,
            "signs": [sign.said[:200] for sign in found.signs],
            "calls": found.counts.calls,
            "failed": found.counts.failed,
            "p95_ms": found.counts.p95_ms,
            "asked": found.asked,
            "scored": sum(found.scores.values()),
            "evidence": round(found.evidence, 4),
        }

    def _log(self, found: Look) -> None:
        counts = found.counts
        self.log.info(
            "%s: %d calls, %d failed, p95 %d ms; the teacher was asked %d prompts (%s); evidence of a fall %.2f of 1",
            found.day,
            counts.calls,
            counts.failed,
            counts.p95_ms,
            found.asked,
            found.unasked or ("unknown cost" if found.usd is None else f"at most {found.usd:.4f} USD"),
            found.evidence,
        )
        for sign in found.signs:
            self.log.warning("%s: %s", sign.code, sign.said)

    def _tell(self, context: Any, found: Look) -> None:
        said = "; ".join(sign.said for sign in found.signs)
        if found.outcome == "roll-back":
            said += f". To go back: airflow-distill release rollback --workload {self.workload} --root {self.root} --yes"
        told = {
            **context,
            TOLD: {"summary": f"release {found.release}, {found.outcome}: {said}", "links": {}},
        }
        for notifier in self.notifiers:
            try:
                notifier(told)
            except Exception as error:
                self.log.error("A notifier of the watch failed (%s).", type(error).__name__)


def _day(text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise ConfigurationError(f"watch: {text!r} is not a day.", hint="Write it as 2026-11-30.") from None


class RetrainOperator(DistillOperator):
    """Succeeds when the watch asks to retrain, and is skipped otherwise; give it the asset that starts the loop as outlet.

    :param watch: the `watch` receipt (templated).
    """

    template_fields: Sequence[str] = aws_template_fields("watch")

    def __init__(self, *, watch: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch = watch

    def work(self, context: Any) -> dict[str, Any]:
        """Succeed or skip."""
        found = require(self.watch, "watch", "watch")
        if found["outcome"] != "retrain":
            raise AirflowSkipException(f"watch: {found['workload']} is {found['outcome']} on {found['day']}")
        self.log.info("Release %s is to be retrained: %s", found["release"], "; ".join(found["signs"]))
        return {"kind": "retrain", "v": 1, "workload": found["workload"], "release": found["release"]}


class RollBackOperator(BedrockRollbackModelOperator):
    """Goes back to the release before when the watch says so; skipped otherwise, and when another release is live by then.

    :param watch: the `watch` receipt (templated).
    """

    template_fields: Sequence[str] = (*BedrockRollbackModelOperator.template_fields, "watch")

    def __init__(self, *, watch: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch = watch

    def work(self, context: Any) -> dict[str, Any]:
        """Go back or skip."""
        from airflow_distill.aws.gateways import store_for
        from airflow_distill.stages.deployment.ledger import Ledger

        found = require(self.watch, "watch", "watch")
        if found["outcome"] != "roll-back":
            raise AirflowSkipException(f"watch: {found['workload']} is {found['outcome']} on {found['day']}")
        live = Ledger(store_for(self.gateways, self.root), self.root, self.workload).sound().live()
        if live is None or live.release != found["release"]:
            raise AirflowSkipException(f"watch: release {found['release']} is not live any more")
        self.why = f"watch of {found['day']}: {'; '.join(found['signs'])}"[:300]
        return super().work(context)
