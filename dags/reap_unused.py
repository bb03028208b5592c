"""Once a day: what still bills under our tags although nobody needs it.

Dry by default. Set the Dag's `delete` param, or trigger it with `{"delete": true}`, to remove what has passed its end or
its grace; resources without our tags are never touched. The bucket prefix is found as in
`distill_from_invocation_logs.py`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_distill.operators.reap import ReapUnusedOperator
from airflow_distill.pipelines import AccountSettings

with DAG(
    dag_id="reap_unused",
    description="Compare the account with pointers and ledgers; list or remove what nobody needs",
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    render_template_as_native_obj=True,
    user_defined_macros={"account": AccountSettings("root")},
    params={
        "aws_conn_id": Param(
            "distill_aws",
            type="string",
            pattern=r"^[\w.-]{1,200}$",
            description="the AWS connection; without one the task's own role counts",
        ),
        "root": Param(
            None,
            type=["null", "string"],
            pattern=r"^(s3://)?[^\s{}]{1,1000}$",
            description="s3://bucket/prefix to look under",
        ),
        "delete": Param(False, type="boolean", description="remove what may be removed"),
        "grace_hours": Param(24, type="number", minimum=0, description="for hosts that nothing points at"),
        "keep_releases": Param(
            1, type="integer", minimum=0, description="older releases that keep their model as a way back"
        ),
    },
    tags=["bedrock", "distillation"],
):
    ReapUnusedOperator(
        task_id="reap",
        aws_conn_id="{{ params.aws_conn_id }}",
        root="{{ account('root') }}",
        delete="{{ params.delete }}",
        grace_hours="{{ params.grace_hours }}",
        keep_releases="{{ params.keep_releases }}",
        retry_delay=timedelta(minutes=5),
    )
