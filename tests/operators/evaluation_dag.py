"""The Dag that the evaluation guide shows: from a trained student on a host to an approved verdict and a report.

The receipts of the tasks before it come in as Dag parameters here; in a whole loop they are the outputs of those tasks.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

# region evaluate
from airflow_distill.operators.decision import ApprovePromotionOperator, DecidePromotionOperator
from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator
from airflow_distill.operators.judge import JudgeAnswersOperator
from airflow_distill.operators.report import RenderReportOperator

with DAG(
    "evaluate_student",
    params={name: Param({}, type="object") for name in ("dataset", "job", "host")}
    | {"root": "", "labels": ""},
    render_template_as_native_obj=True,
) as dag:
    dataset, job, host = "{{ params.dataset }}", "{{ params.job }}", "{{ params.host }}"

    answers = CollectAnswersOperator(
        task_id="collect_answers",
        dataset=dataset,
        workload="support_tickets",
        root="{{ params.root }}",
        job=job,
        host=host,
        max_tokens=64,
    )
    judged = JudgeAnswersOperator(
        task_id="judge_answers",
        answers=answers.output,
        dataset=dataset,
        judge="mistral.mistral-large-2402-v1:0",
        labels="{{ params.labels }}",
    )
    evaluation = ScoreAnswersOperator(
        task_id="score_answers",
        answers=answers.output,
        dataset=dataset,
        metrics=["label_accuracy"],
        slices=["product"],
        scores=judged.output,
    )
    decision = DecidePromotionOperator(
        task_id="decide",
        evaluation=evaluation.output,
        job=job,
        dataset=dataset,
        scores=judged.output,
        policy={"metrics": {"label_accuracy": 0.2, "judge_preference": {"margin": 0.2, "primary": False}}},
        forecast={"input_tokens_per_day": 5_000_000, "output_tokens_per_day": 200_000},
    )
    approved = ApprovePromotionOperator(
        task_id="approve", decision=decision.output, dataset=dataset, approvers=["ada"], on_hold="skip"
    )
    report = RenderReportOperator(
        task_id="report",
        trigger_rule="all_done",
        evaluation=evaluation.output,
        decision=approved.output,
        dataset=dataset,
        scores=judged.output,
    )
# endregion


def with_bedrock_judge() -> DAG:
    """The same answers, judged by a Bedrock evaluation job for each role."""
    from airflow_distill.operators.evaluation_jobs import BedrockEvaluateAnswersOperator

    dataset, role_arn = "{{ params.dataset }}", "{{ params.role_arn }}"
    with DAG("evaluate_with_bedrock", params={"dataset": {}, "role_arn": ""}) as judged_dag:
        answers = CollectAnswersOperator(task_id="collect", dataset=dataset, workload="w", root="s3://b/d")
        # region bedrock_judge
        judge_jobs = BedrockEvaluateAnswersOperator.partial(
            task_id="bedrock_judge",
            answers=answers.output,
            dataset=dataset,
            role_arn=role_arn,
            evaluator="mistral.mistral-large-2402-v1:0",
        ).expand(role=["student", "teacher", "untuned"])
        ScoreAnswersOperator(
            task_id="score", answers=answers.output, dataset=dataset, scores=judge_jobs.output
        )
        # endregion
    return judged_dag
