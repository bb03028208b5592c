"""One use of each operator, sensor and notifier: what the reference pages show, and what a test builds.

Each region is named after its class. A page adds the imports and the Dag around it.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_distill.notifications.workload import WorkloadNotifier
from airflow_distill.operators.dataset import CheckDatasetOperator, CheckLogsOperator, CurateDatasetOperator
from airflow_distill.operators.decision import ApprovePromotionOperator, DecidePromotionOperator
from airflow_distill.operators.deployment import (
    BedrockPromoteModelOperator,
    BedrockRollbackModelOperator,
    CheckReleaseOperator,
    GuardReleaseOperator,
    SmokeTestOperator,
)
from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator
from airflow_distill.operators.evaluation_jobs import (
    BedrockBatchAnswersOperator,
    BedrockEvaluateAnswersOperator,
)
from airflow_distill.operators.guards import StartSuccessorOperator, VerifyWorkloadOperator
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.operators.idle import CheckIdleHostsOperator
from airflow_distill.operators.jobs import (
    BedrockCopyModelOperator,
    BedrockDeleteCustomModelOperator,
    BedrockDistillModelOperator,
    BedrockGetInvocationLoggingOperator,
    BedrockPutInvocationLoggingOperator,
    BedrockStopCustomizationJobOperator,
)
from airflow_distill.operators.judge import JudgeAnswersOperator
from airflow_distill.operators.logs import HarvestLogsOperator, MergeHarvestOperator, PlanHarvestOperator
from airflow_distill.operators.preflight import BedrockDoctorOperator, PlanDistillationOperator
from airflow_distill.operators.reap import ReapUnusedOperator
from airflow_distill.operators.report import RenderReportOperator
from airflow_distill.operators.retention import ApplyRetentionOperator
from airflow_distill.operators.retire import RetireWorkloadOperator
from airflow_distill.operators.run import EndRunOperator
from airflow_distill.operators.shadow import PlayShadowOperator
from airflow_distill.operators.turn import EndTurnOperator, TakeTurnOperator
from airflow_distill.operators.watch import RetrainOperator, RollBackOperator, WatchStudentOperator
from airflow_distill.operators.workload import (
    CheckBudgetOperator,
    CheckCommitmentsOperator,
    CheckLifecycleOperator,
    FindLiveModelOperator,
    ReadPromptsOperator,
    ReportProblemsOperator,
)
from airflow_distill.sensors.deployment import (
    BedrockCustomModelDeploymentReadySensor,
    BedrockProvisionedThroughputReadySensor,
)
from airflow_distill.sensors.evaluation import (
    BedrockBatchInferenceCompletedSensor,
    BedrockEvaluationJobCompletedSensor,
)
from airflow_distill.sensors.jobs import BedrockDistillationCompletedSensor, BedrockModelCopyCompletedSensor
from airflow_distill.sensors.logs import FreshLogsSensor

SHARED = {
    "workload": "support_tickets",
    "root": "s3://acme-distill/loop",
    "teacher": "amazon.nova-pro-v1:0",
    "student": "amazon.nova-micro-v1:0:128k",
    "aws_conn_id": "distill_aws",
}

with DAG("examples", schedule=None, render_template_as_native_obj=True, default_args=SHARED) as dag:
    # region PlanHarvestOperator
    PlanHarvestOperator(task_id="plan", logs="s3://acme-bedrock-logs/bedrock", shards=8)
    # endregion

    # region HarvestLogsOperator
    HarvestLogsOperator(
        task_id="harvest",
        logs="s3://acme-bedrock-logs/bedrock",
        model="amazon.nova-pro-v1:0",
        metadata={"equals": {"app": "support_tickets"}},
        window_start="{{ dag_run.run_after - macros.timedelta(days=7) }}",
        window_end="{{ dag_run.run_after }}",
    )
    # endregion

    # region MergeHarvestOperator
    MergeHarvestOperator(task_id="merge", harvests="{{ ti.xcom_pull(task_ids='harvest') }}")
    # endregion

    # region ReadPromptsOperator
    ReadPromptsOperator(task_id="read_prompts", prompts="s3://acme-distill/prompts/tickets.jsonl")
    # endregion

    # region CurateDatasetOperator
    CurateDatasetOperator(
        task_id="curate",
        harvest="{{ ti.xcom_pull(task_ids='harvest') }}",
        settings={"heldout": 0.15, "near_duplicates": "careful"},
        detectors=["acme.detectors:customer_numbers"],
    )
    # endregion

    # region CheckDatasetOperator
    CheckDatasetOperator(task_id="check", dataset="{{ ti.xcom_pull(task_ids='curate') }}")
    # endregion

    # region CheckLogsOperator
    CheckLogsOperator(
        task_id="check_logs",
        logs="s3://acme-bedrock-logs/bedrock/AWSLogs/111122223333/BedrockModelInvocationLogs/us-east-1/2026/11",
        metadata={"equals": {"app": "support_tickets"}},
    )
    # endregion

    # region BedrockDoctorOperator
    BedrockDoctorOperator(
        task_id="doctor",
        role_arn="arn:aws:iam::111122223333:role/distill-customization",
        logs="s3://acme-bedrock-logs/bedrock",
        filters={"equals": {"app": "support_tickets"}},
    )
    # endregion

    # region PlanDistillationOperator
    PlanDistillationOperator(
        task_id="plan_job",
        role_arn="arn:aws:iam::111122223333:role/distill-customization",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        input_tokens=220,
        output_tokens=60,
    )
    # endregion

    # region CheckBudgetOperator
    CheckBudgetOperator(
        task_id="check_budget",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        usd_per_run=60,
        usd_per_month=200,
        student_prices={"deployment-input": 0.000035, "deployment-output": 0.00014},
    )
    # endregion

    # region BedrockDistillModelOperator
    BedrockDistillModelOperator(
        task_id="distill",
        role_arn="arn:aws:iam::111122223333:role/distill-customization",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        wait_timeout=timedelta(days=7),
    )
    # endregion

    # region BedrockDistillationCompletedSensor
    BedrockDistillationCompletedSensor(task_id="wait", job="{{ ti.xcom_pull(task_ids='distill') }}")
    # endregion

    # region BedrockStopCustomizationJobOperator
    BedrockStopCustomizationJobOperator(task_id="stop", job="{{ ti.xcom_pull(task_ids='distill') }}")
    # endregion

    # region BedrockDeleteCustomModelOperator
    BedrockDeleteCustomModelOperator(
        task_id="delete_model", model="{{ ti.xcom_pull(task_ids='distill')['model_arn'] }}"
    )
    # endregion

    # region BedrockCopyModelOperator
    BedrockCopyModelOperator(
        task_id="copy",
        model="{{ ti.xcom_pull(task_ids='distill')['model_arn'] }}",
        region_name="us-west-2",
    )
    # endregion

    # region BedrockModelCopyCompletedSensor
    BedrockModelCopyCompletedSensor(
        task_id="wait_for_copy", copy_job="{{ ti.xcom_pull(task_ids='copy') }}", region_name="us-west-2"
    )
    # endregion

    # region BedrockGetInvocationLoggingOperator
    BedrockGetInvocationLoggingOperator(task_id="logging_is_on", require_s3=True)
    # endregion

    # region BedrockPutInvocationLoggingOperator
    BedrockPutInvocationLoggingOperator(
        task_id="turn_logging_on", bucket="acme-bedrock-logs", prefix="bedrock"
    )
    # endregion

    # region BedrockCreateHostOperator
    BedrockCreateHostOperator(
        task_id="candidate", job="{{ ti.xcom_pull(task_ids='distill') }}", host_kind="custom-model-deployment"
    )
    # endregion

    # region BedrockDeleteHostOperator
    BedrockDeleteHostOperator(task_id="remove_candidate", host="{{ ti.xcom_pull(task_ids='candidate') }}")
    # endregion

    # region BedrockCustomModelDeploymentReadySensor
    BedrockCustomModelDeploymentReadySensor(
        task_id="deployment_ready", host="{{ ti.xcom_pull(task_ids='candidate') }}"
    )
    # endregion

    # region BedrockProvisionedThroughputReadySensor
    BedrockProvisionedThroughputReadySensor(
        task_id="throughput_ready", host="{{ ti.xcom_pull(task_ids='candidate') }}"
    )
    # endregion

    # region FindLiveModelOperator
    FindLiveModelOperator(task_id="find_live")
    # endregion

    # region CollectAnswersOperator
    CollectAnswersOperator(
        task_id="answers",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        job="{{ ti.xcom_pull(task_ids='distill') }}",
        host="{{ ti.xcom_pull(task_ids='candidate') }}",
    )
    # endregion

    # region BedrockBatchAnswersOperator
    BedrockBatchAnswersOperator(
        task_id="teacher_again",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        role_arn="arn:aws:iam::111122223333:role/distill-evaluation",
        model="amazon.nova-pro-v1:0",
    )
    # endregion

    # region BedrockBatchInferenceCompletedSensor
    BedrockBatchInferenceCompletedSensor(
        task_id="batch_ready", job="{{ ti.xcom_pull(task_ids='teacher_again') }}"
    )
    # endregion

    # region PlayShadowOperator
    PlayShadowOperator(
        task_id="shadow",
        answers="{{ ti.xcom_pull(task_ids='collect') }}",
        dataset="{{ ti.xcom_pull(task_ids='curate') }}",
        host="{{ ti.xcom_pull(task_ids='candidate') }}",
        incumbent="{{ ti.xcom_pull(task_ids='find_live') }}",
        logs="s3://acme-bedrock-logs/bedrock",
        metrics=["label_accuracy"],
        sample=200,
    )
    # endregion

    # region ScoreAnswersOperator
    ScoreAnswersOperator(
        task_id="score",
        answers="{{ ti.xcom_pull(task_ids='answers') }}",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        metrics=["label_accuracy", "exact"],
    )
    # endregion

    # region JudgeAnswersOperator
    JudgeAnswersOperator(
        task_id="judge",
        answers="{{ ti.xcom_pull(task_ids='answers') }}",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        judge="us.meta.llama3-3-70b-instruct-v1:0",
    )
    # endregion

    # region BedrockEvaluateAnswersOperator
    BedrockEvaluateAnswersOperator(
        task_id="evaluate",
        answers="{{ ti.xcom_pull(task_ids='answers') }}",
        dataset="{{ ti.xcom_pull(task_ids='check') }}",
        role_arn="arn:aws:iam::111122223333:role/distill-evaluation",
        metrics=["Correctness", "Completeness"],
        evaluator="us.meta.llama3-3-70b-instruct-v1:0",
    )
    # endregion

    # region BedrockEvaluationJobCompletedSensor
    BedrockEvaluationJobCompletedSensor(
        task_id="evaluation_ready", job="{{ ti.xcom_pull(task_ids='evaluate') }}"
    )
    # endregion

    # region DecidePromotionOperator
    DecidePromotionOperator(
        task_id="decide",
        evaluation="{{ ti.xcom_pull(task_ids='score') }}",
        job="{{ ti.xcom_pull(task_ids='distill') }}",
        policy={"metrics": {"label_accuracy": 0.05}},
    )
    # endregion

    # region ApprovePromotionOperator
    ApprovePromotionOperator(
        task_id="approve",
        decision="{{ ti.xcom_pull(task_ids='decide') }}",
        mode="when",
        first_release=True,
        response_timeout=timedelta(days=2),
    )
    # endregion

    # region BedrockPromoteModelOperator
    BedrockPromoteModelOperator(
        task_id="promote",
        decision="{{ ti.xcom_pull(task_ids='decide') }}",
        job="{{ ti.xcom_pull(task_ids='distill') }}",
        host_kind="custom-model-deployment",
        bake={"probes": 3, "every_seconds": 300},
    )
    # endregion

    # region SmokeTestOperator
    SmokeTestOperator(task_id="smoke_test", deployment="{{ ti.xcom_pull(task_ids='promote') }}")
    # endregion

    # region CheckReleaseOperator
    CheckReleaseOperator(task_id="check_release", on_drift="fail")
    # endregion

    # region GuardReleaseOperator
    GuardReleaseOperator(task_id="guard_release", trigger_rule="all_done")
    # endregion

    # region BedrockRollbackModelOperator
    BedrockRollbackModelOperator(task_id="roll_back", why="wrong queue names since this morning")
    # endregion

    # region RenderReportOperator
    RenderReportOperator(
        task_id="report",
        evaluation="{{ ti.xcom_pull(task_ids='score') }}",
        decision="{{ ti.xcom_pull(task_ids='decide') }}",
    )
    # endregion

    # region TakeTurnOperator
    TakeTurnOperator(task_id="take_turn", wait_timeout=timedelta(days=3))
    # endregion

    # region EndTurnOperator
    EndTurnOperator(
        task_id="end_turn", turn="{{ ti.xcom_pull(task_ids='take_turn') }}", trigger_rule="all_done"
    )
    # endregion

    # region EndRunOperator
    EndRunOperator(task_id="end_run")
    # endregion

    # region ReapUnusedOperator
    ReapUnusedOperator(task_id="reap", delete=False, fail_if_found=True)
    # endregion

    # region CheckIdleHostsOperator
    CheckIdleHostsOperator(task_id="idle_hosts", days=14, hourly_price=18.4)
    # endregion

    # region ApplyRetentionOperator
    ApplyRetentionOperator(
        task_id="apply_retention", keep={"windows": timedelta(days=90), "answers": timedelta(days=180)}
    )
    # endregion

    # region RetireWorkloadOperator
    RetireWorkloadOperator(task_id="retire", perform="{{ params.perform }}", grace_hours=48, models="delete")
    # endregion

    # region WatchStudentOperator
    WatchStudentOperator(
        task_id="watch",
        logs="s3://acme-bedrock-logs/bedrock",
        scorer="label_accuracy",
        sample=100,
        usd_per_day=2.0,
        rules={"alpha": 0.05, "roll_back": "ask"},
    )
    # endregion

    # region RetrainOperator
    RetrainOperator(task_id="retrain", watch="{{ ti.xcom_pull(task_ids='watch') }}")
    # endregion

    # region RollBackOperator
    RollBackOperator(task_id="roll_back_the_student", watch="{{ ti.xcom_pull(task_ids='watch') }}")
    # endregion

    # region VerifyWorkloadOperator
    VerifyWorkloadOperator(task_id="verify")
    # endregion

    # region StartSuccessorOperator
    StartSuccessorOperator(
        task_id="successor", successor="amazon.nova-lite-v1:0:300k", ahead=timedelta(days=120)
    )
    # endregion

    # region CheckLifecycleOperator
    CheckLifecycleOperator(task_id="lifecycle", ahead=timedelta(days=120))
    # endregion

    # region CheckCommitmentsOperator
    CheckCommitmentsOperator(task_id="commitments", ahead=timedelta(days=14))
    # endregion

    # region ReportProblemsOperator
    ReportProblemsOperator(task_id="broken_file", problems=["tickets.yaml:3:1: policy.margn: unknown key"])
    # endregion

    # region FreshLogsSensor
    FreshLogsSensor(
        task_id="enough_logs",
        logs="s3://acme-bedrock-logs/bedrock",
        model="amazon.nova-pro-v1:0",
        metadata={"equals": {"app": "support_tickets"}},
        since="{{ dag_run.run_after - macros.timedelta(days=7) }}",
        at_least=2000,
    )
    # endregion

    # region WorkloadNotifier
    alert = WorkloadNotifier(
        workload="support_tickets",
        owner="support-platform",
        event="failure",
        notifier="airflow.providers.smtp.notifications.smtp.SmtpNotifier",
        arguments={"to": "support-platform@acme.example"},
    )
    # endregion
