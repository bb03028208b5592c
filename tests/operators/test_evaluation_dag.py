"""The guide's Dag, run to its end with a person answering."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow]

DAG_FILE = Path(__file__).with_name("evaluation_dag.py")


def labels_uri(w: Any) -> str:
    rows = []
    for line in w.gateways.objects.read(w.dataset["heldout_uri"]).splitlines()[:40]:
        row = json.loads(line)
        pair = {"first": row["answer"], "second": "something else", "preferred": "first"}
        rows.append({"prompt": row["turns"][-1][1]} | pair)
    uri = f"{w.root}/{w.workload}/labels.jsonl"
    w.gateways.objects.write(uri, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return uri


def answer_when_asked(choice: str, name: str, seen: dict[str, Any]) -> threading.Thread:
    """Do what the REST API does when a user answers: record the response and resume the task."""

    def wait() -> None:
        from airflow.models.hitl import HITLDetail
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.trigger import handle_event_submit
        from airflow.sdk.timezone import utcnow
        from airflow.triggers.base import TriggerEvent
        from airflow.utils.session import create_session
        from sqlalchemy import select

        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            with create_session() as session:
                asked = session.scalar(select(HITLDetail).where(HITLDetail.responded_at.is_(None)))
                instance = session.get(TaskInstance, asked.ti_id) if asked else None
                if asked is not None and instance is not None and str(instance.state) == "awaiting_input":
                    seen.update(subject=asked.subject, body=asked.body, defaults=asked.defaults)
                    asked.responded_by = {"id": f"id-{name}", "name": name}
                    asked.responded_at = utcnow()
                    asked.chosen_options = [choice]
                    session.flush()
                    event = TriggerEvent(asked.as_resume_event_payload())
                    handle_event_submit(event, task_instance=instance, session=session)
                    return
            time.sleep(0.5)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "name", "verdict"), [("Approve", "eve", "hold"), ("Approve", "ada", "promote")]
)
def test_a_person_has_the_last_word(
    choice: str, name: str, verdict: str, module_student: Any, run_dag: Any
) -> None:
    """First a stranger says yes, which is a hold; then the approver does, and the verdict stands."""
    w = module_student
    seen: dict[str, Any] = {}
    thread = answer_when_asked(choice, name, seen)
    conf = {"dataset": w.dataset, "job": w.job, "host": w.host, "root": w.root, "labels": labels_uri(w)}
    run = run_dag(DAG_FILE.read_text(), run_conf=conf)
    thread.join(timeout=5)
    instances = {ti.task_id: ti for ti in run.get_task_instances()}
    assert {str(ti.state) for ti in instances.values()} == {"success"}
    approved = instances["approve"].xcom_pull(task_ids="approve")
    assert approved["verdict"] == verdict
    assert seen["defaults"] is None
    assert approved["decision_id"] in seen["body"]
    report = instances["report"].xcom_pull(task_ids="report")
    page = w.gateways.objects.read(report["report_uri"]).decode()
    assert f'class="verdict {verdict}"' in page
    assert (f"Approved by {name}" in page) is (verdict == "promote")


def test_the_bedrock_judge_is_mapped_over_the_roles_it_compares() -> None:
    """What the guide shows under "Let Bedrock judge" builds, and scores wait for every job."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("evaluation_dag", DAG_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dag = module.with_bedrock_judge()
    assert dag.get_task("bedrock_judge").is_mapped
    assert dag.get_task("score").upstream_task_ids >= {"bedrock_judge"}
