"""Guards of a live workload: is the chain of evidence whole, and is it time to move to a successor of its student."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_distill.aws.gateways import store_for
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.operators.workload import CheckLifecycleOperator
from airflow_distill.stages.digest import canonical_json
from airflow_distill.stages.storage import ObjectExistsError, join_uri


class VerifyWorkloadOperator(DistillOperator):
    """Runs `airflow-distill verify` as a task; returns a `verified` receipt and fails when a link does not hold.

    It finds hosts deleted by hand, pointers that were edited, models that were removed, evidence that was changed, and a
    host whose tags say that another root has taken it. Reads only. Nothing released skips the task.

    :param workload: the workload's name (templated).
    :param root: where the workload's objects live (templated).
    :param every_release: check the evidence of every release, not only of the live one.
    """

    template_fields: Sequence[str] = aws_template_fields("workload", "root")
    ui_color = "#f3e5f5"

    def __init__(self, *, workload: str, root: str, every_release: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.every_release = every_release

    def work(self, context: Any) -> dict[str, Any]:
        """Verify, tell, fail if something is broken."""
        from airflow_distill.aws.verify import verify_workload

        store = store_for(self.gateways, self.root)
        found = verify_workload(
            self.gateways, store, self.root, self.workload, every_release=self.every_release
        )
        if found.empty:
            raise AirflowSkipException(f"verify: {self.workload} has no release")
        for line in found.unseen:
            self.log.info("Not checked: %s", line)
        told = [f"{b.link}: {b.meaning}"[:160] for b in found.broken[:10]]
        receipt: dict[str, Any] = {
            "kind": "verified",
            "v": 1,
            "workload": self.workload,
            "live": found.live,
            "checked": found.checked,
            "broken": told,
        }
        if not found.broken:
            self.log.info("%s links hold.", found.checked)
            return receipt
        for broken in found.broken:
            self.log.error("%s (release %s): %s", broken.link, broken.release, broken.meaning)
        if context.get("ti") is not None:
            context["ti"].xcom_push(key="return_value", value=receipt)
        raise AirflowFailException(
            f"verify: {len(found.broken)} of {found.checked} links of {self.workload} do not hold: {told[0]}. "
            f"See `airflow-distill release drift --workload {self.workload} --root {self.root}` and `release repair`."
        )


class StartSuccessorOperator(CheckLifecycleOperator):
    """Succeeds once when the student's base model comes to its end, and is skipped otherwise.

    Give it the asset that starts the Dag of the successor as outlet. That it was started is noted under the workload's
    folder, so it happens once for a student.

    :param root: where the workload's objects live (templated).
    :param successor: the model to distil into next.
    """

    template_fields: Sequence[str] = (*CheckLifecycleOperator.template_fields, "root")

    def __init__(self, *, root: str, successor: str, **kwargs: Any) -> None:
        super().__init__(**{"ahead": timedelta(days=120), **kwargs})
        self.root = root
        self.successor = successor

    def work(self, context: Any) -> dict[str, Any]:
        """Ask for the student's end; succeed once, or skip."""
        found = self._look(self.student)
        end = found["ends_at"] or found["legacy_at"]
        gone = found["status"] in ("GONE", "LEGACY")
        if not gone and (end is None or datetime.fromisoformat(end) - wall_clock() > self.ahead):
            raise AirflowSkipException(f"lifecycle: {found['model']} ends {end or 'at no known time'}")
        store = store_for(self.gateways, self.root)
        note = join_uri(
            self.root, self.workload, "watch", f"successor-of-{found['model'].replace(':', '-')}.json"
        )
        body = {
            "kind": "successor",
            "v": 1,
            "student": self.student,
            "successor": self.successor,
            "ends_at": end,
        }
        try:
            store.write(note, canonical_json(body), if_absent=True)
        except ObjectExistsError:
            raise AirflowSkipException(
                f"lifecycle: the loop onto {self.successor} was started before; delete {note} to start it again"
            ) from None
        self.log.info("%s comes to its end (%s); distilling into %s.", self.student, end, self.successor)
        return {**body, "workload": self.workload}
