"""The amazon provider's own Bedrock operators and sensors run against the sandbox, unchanged."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from tests.sandbox.conftest import prompt_lines
from tests.sandbox.other_clients import install, make_environment

pytestmark = pytest.mark.airflow

DAG = """
import json
from airflow.sdk import DAG, task
from airflow.providers.amazon.aws.operators.bedrock import (
    BedrockBatchInferenceOperator,
    BedrockCreateEvaluationJobOperator,
    BedrockCreateProvisionedModelThroughputOperator,
    BedrockCustomizeModelOperator,
    BedrockInvokeModelOperator,
)
from airflow.providers.amazon.aws.sensors.bedrock import (
    BedrockBatchInferenceSensor,
    BedrockCustomizeModelCompletedSensor,
    BedrockProvisionModelThroughputCompletedSensor,
)

MARK = {mark!r}
ROLE = "arn:aws:iam::123456789012:role/distill-sandbox"
WAIT = dict(deferrable={deferrable}, waiter_delay=1, waiter_max_attempts=30)
MESSAGES = [dict(role="user", content=[dict(text="the screen is cracked")])]

with DAG("provider_" + MARK, schedule=None) as dag:
    customize = BedrockCustomizeModelOperator(
        task_id="customize",
        job_name="job-" + MARK,
        custom_model_name="model-" + MARK,
        role_arn=ROLE,
        base_model_id="amazon.nova-lite-v1:0:300k",
        training_data_uri="s3://distill-sandbox/prompts.jsonl",
        output_data_uri="s3://distill-sandbox/out/",
        hyperparameters=dict(),
        customization_job_kwargs=dict(
            customizationType="DISTILLATION",
            customizationConfig=dict(
                distillationConfig=dict(teacherModelConfig=dict(teacherModelIdentifier="amazon.nova-pro-v1:0"))
            ),
        ),
        **WAIT,
    )
    customized = BedrockCustomizeModelCompletedSensor(
        task_id="customized", job_name="job-" + MARK, poke_interval=1, max_retries=30, deferrable={deferrable}
    )
    throughput = BedrockCreateProvisionedModelThroughputOperator(
        task_id="throughput",
        model_units=1,
        provisioned_model_name="host-" + MARK,
        model_id="model-" + MARK,
        **WAIT,
    )
    in_service = BedrockProvisionModelThroughputCompletedSensor(
        task_id="in_service", model_id=throughput.output, poke_interval=1, max_retries=30, deferrable={deferrable}
    )
    invoke = BedrockInvokeModelOperator(
        task_id="invoke", model_id=throughput.output, input_data=dict(messages=MESSAGES)
    )
    evaluate = BedrockCreateEvaluationJobOperator(
        task_id="evaluate",
        job_name="evaluation-" + MARK,
        role_arn=ROLE,
        evaluation_config=dict(
            automated=dict(
                datasetMetricConfigs=[
                    dict(taskType="QuestionAndAnswer", dataset=dict(name="Builtin.BoolQ"), metricNames=["Builtin.Accuracy"])
                ]
            )
        ),
        inference_config=dict(models=[dict(bedrockModel=dict(modelIdentifier="amazon.nova-pro-v1:0"))]),
        output_data_config=dict(s3Uri="s3://distill-sandbox/evaluations/"),
    )
    batch = BedrockBatchInferenceOperator(
        task_id="batch",
        job_name="batch-" + MARK,
        role_arn=ROLE,
        model_id="amazon.nova-pro-v1:0",
        input_uri="s3://distill-sandbox/batch.jsonl",
        output_uri="s3://distill-sandbox/answers/",
        **WAIT,
    )
    batch_done = BedrockBatchInferenceSensor(
        task_id="batch_done",
        job_arn=batch.output,
        success_state=BedrockBatchInferenceSensor.SuccessState.COMPLETED,
        poke_interval=1,
        max_retries=30,
        deferrable={deferrable},
    )
    customize >> customized >> throughput >> in_service >> invoke >> evaluate >> batch >> batch_done
"""


def stage(sandbox: Sandbox) -> None:
    """Bucket, role and input files of the Dag."""
    sandbox.prepare()
    sandbox.world.set_pace("reads:2")
    sandbox.world.set_quota("batch-minimum-records", 10)
    s3 = sandbox.client("s3")
    s3.put_object(
        Bucket="distill-sandbox", Key="prompts.jsonl", Body=prompt_lines(support_tickets(120)).encode()
    )
    message = {"role": "user", "content": [{"text": "hello"}]}
    records = [json.dumps({"recordId": f"r{n}", "modelInput": {"messages": [message]}}) for n in range(10)]
    s3.put_object(Bucket="distill-sandbox", Key="batch.jsonl", Body="\n".join(records).encode())


def test_every_bedrock_operator_of_the_amazon_provider_runs(
    bedrock_environment: Sandbox, run_dag: Callable[..., Any]
) -> None:
    stage(bedrock_environment)
    run = run_dag(DAG.format(mark="blocking", deferrable=False))
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert set(states.values()) == {"success"}, states
    assert len(states) == 8
    assert bedrock_environment.meter()["calls"]["CreateModelCustomizationJob"] == {"ok": 1}
    invoked = next(ti for ti in run.get_task_instances() if ti.task_id == "invoke")
    answer = invoked.xcom_pull(task_ids="invoke")
    assert answer["output"]["message"]["content"][0]["text"] == "damaged_item"


RUN = """
import importlib.util, sys
from airflow.utils.db import initdb
initdb()
spec = importlib.util.spec_from_file_location("deferred", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
run = module.dag.test()
print("STATES", {ti.task_id: str(ti.state) for ti in run.get_task_instances()})
"""


@pytest.mark.slow
def test_the_deferrable_ways_of_the_amazon_provider_run_too(
    bedrock_environment: Sandbox, tmp_path: Path
) -> None:
    """They need aiobotocore, which pins an older botocore; that pair goes before ours on the path of a process."""
    pip = make_environment(tmp_path / "pip")
    install(pip, "--target", str(tmp_path / "older"), "aiobotocore")
    (found,) = (tmp_path / "older").glob("botocore-*.dist-info")
    version = found.name.removeprefix("botocore-").removesuffix(".dist-info")
    install(pip, "--no-deps", "--target", str(tmp_path / "older"), f"boto3=={version}")
    stage(bedrock_environment)
    dag = tmp_path / "dags" / "deferred.py"
    dag.parent.mkdir()
    dag.write_text(DAG.format(mark="deferred", deferrable=True))
    environment = {
        **os.environ,
        **bedrock_environment.environment(),
        "PYTHONPATH": str(tmp_path / "older"),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(dag)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("STATES ")] or [
        done.stderr[-3000:]
    ]
    states = ast.literal_eval(line.removeprefix("STATES "))
    assert set(states.values()) == {"success"}, states
    assert len(states) == 8


def test_the_name_collision_of_the_provider_is_recognised(
    bedrock_environment: Sandbox, run_dag: Callable[..., Any]
) -> None:
    """The operator looks for the service's own words and then appends a time to the name."""
    sandbox = bedrock_environment
    role = sandbox.prepare()
    s3 = sandbox.client("s3")
    s3.put_object(
        Bucket="distill-sandbox", Key="prompts.jsonl", Body=prompt_lines(support_tickets(120)).encode()
    )
    request: dict[str, Any] = {
        "roleArn": role,
        "baseModelIdentifier": "amazon.nova-lite-v1:0:300k",
        "customizationType": "FINE_TUNING",
        "trainingDataConfig": {"s3Uri": "s3://distill-sandbox/prompts.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://distill-sandbox/out/"},
    }
    sandbox.client("bedrock").create_model_customization_job(
        jobName="twice", customModelName="other", **request
    )
    run = run_dag(
        """
from airflow.sdk import DAG
from airflow.providers.amazon.aws.operators.bedrock import BedrockCustomizeModelOperator

with DAG("collision", schedule=None) as dag:
    BedrockCustomizeModelOperator(
        task_id="customize",
        job_name="twice",
        custom_model_name="mine",
        role_arn="arn:aws:iam::123456789012:role/distill-sandbox",
        base_model_id="amazon.nova-lite-v1:0:300k",
        training_data_uri="s3://distill-sandbox/prompts.jsonl",
        output_data_uri="s3://distill-sandbox/out/",
        hyperparameters={},
        wait_for_completion=False,
    )
"""
    )
    assert str(run.state) == "success"
    jobs = sandbox.client("bedrock").list_model_customization_jobs(nameContains="twice-")
    assert len(jobs["modelCustomizationJobSummaries"]) == 1
