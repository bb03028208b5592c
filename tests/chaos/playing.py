"""What the scenarios share: operators on the sandbox's time, an operator's context, and what serves, points and bills."""

from __future__ import annotations

from typing import Any

from airflow_distill.operators.deployment import BedrockPromoteModelOperator
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from tests.release_world import ReleaseWorld

SMOKE = {"prompts": 4, "shape": {"one_of": "references"}}
BAKE = {"probes": 1, "prompts": 4, "min_score": 0.5}
QUICK: dict[str, Any] = {"deferrable": False, "waiter_delay": 5.0}


class Instance:
    """What an operator asks of a task instance."""

    def __init__(self, run_id: str, dag_id: str) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index, self.try_number = (
            dag_id,
            run_id,
            "task",
            -1,
            1,
        )
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def context(run_id: str = "manual__1", dag_id: str = "loop") -> dict[str, Any]:
    return {"ti": Instance(run_id, dag_id), "run_id": run_id}


def job_of(model: str) -> dict[str, Any]:
    job = model.replace("custom-model", "model-customization-job")
    return {"kind": "job", "v": 1, "custom_model_arn": model, "dataset_id": "d1", "job_arn": job}


def on_sandbox_time(operator: Any, world: ReleaseWorld) -> Any:
    """Return an operator whose pauses advance the sandbox's clock and take no time."""
    object.__setattr__(operator, "now", world.now)
    object.__setattr__(operator, "pause", world.sleep)
    return operator


def promote(world: ReleaseWorld, model: str, run: str = "run-1", **changes: Any) -> dict[str, Any]:
    operator = BedrockPromoteModelOperator(
        task_id="promote",
        workload=world.workload,
        root=world.root,
        decision=world.decision(model),
        job=job_of(model),
        **{"smoke": SMOKE, "bake": BAKE, **QUICK, **changes},
    )
    receipt: dict[str, Any] = on_sandbox_time(operator, world).execute(context(run))
    return receipt


def create(world: ReleaseWorld, model: str, run: str = "run-1", **changes: Any) -> dict[str, Any]:
    operator = BedrockCreateHostOperator(
        task_id="create", workload=world.workload, root=world.root, job=job_of(model), **{**QUICK, **changes}
    )
    receipt: dict[str, Any] = on_sandbox_time(operator, world).execute(context(run))
    return receipt


def delete(world: ReleaseWorld, model: str = "", run: str = "run-1", host: Any = None) -> dict[str, Any]:
    operator = BedrockDeleteHostOperator(
        task_id="delete",
        workload=world.workload,
        root=world.root,
        host=host,
        job=job_of(model) if model else None,
        **QUICK,
    )
    receipt: dict[str, Any] = on_sandbox_time(operator, world).execute(context(run))
    return receipt


def serving(world: ReleaseWorld) -> dict[str, str]:
    """Return every host of the account with the model that it serves."""
    bedrock = world.client("bedrock")
    found = {
        p["provisionedModelArn"]: p["modelArn"]
        for p in bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]
    }
    for item in bedrock.list_custom_model_deployments()["modelDeploymentSummaries"]:
        arn = item["customModelDeploymentArn"]
        found[arn] = bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn)["modelArn"]
    return found


def billing(world: ReleaseWorld, kind: str = "provisioned-throughput") -> list[Any]:
    return [line for line in world.sandbox.meter()["billing_now"] if kind in str(line)]
