"""Random sequences of calls: no 5xx that nobody asked for, and the account's invariants hold after every step."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from tests.sandbox.conftest import STUDENT, TEACHER, prompt_lines

NAMES = st.sampled_from(["a", "b", "c"])
PACES = st.sampled_from(["instant", "reads:1", "reads:3", "seconds:3600"])
ODD_TEXT = st.one_of(NAMES, st.text(max_size=8), st.just("a" + "-" * 60 + "_"))
PROMPTS = prompt_lines(support_tickets(110))
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]


class Account(RuleBasedStateMachine):
    """One account that somebody uses without a plan."""

    sandbox: Sandbox

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.reset()
        self.role = self.sandbox.prepare()
        self.bedrock = self.sandbox.client("bedrock", parameter_validation=False)
        self.runtime = self.sandbox.client("bedrock-runtime", parameter_validation=False)
        self.sandbox.client("s3").put_object(Bucket="distill-sandbox", Key="p.jsonl", Body=PROMPTS.encode())
        self.bill = 0.0
        self.used_names: set[str] = set()

    def call(self, client: Any, method: str, **parameters: Any) -> Any:
        """Make a call; a refusal is fine, a server error is not."""
        refused = 400
        answer = None
        try:
            answer = getattr(client, method)(**parameters)
        except ClientError as error:
            refused = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert 400 <= refused < 500, f"{method} ended in {refused}"
        return answer

    # --- what somebody does ---

    @rule(name=NAMES, model=NAMES)
    def create_job(self, name: str, model: str) -> None:
        made = self.call(
            self.bedrock,
            "create_model_customization_job",
            jobName=name,
            customModelName=model,
            roleArn=self.role,
            baseModelIdentifier=STUDENT,
            customizationType="DISTILLATION",
            trainingDataConfig={"s3Uri": "s3://distill-sandbox/p.jsonl"},
            outputDataConfig={"s3Uri": "s3://distill-sandbox/out"},
            customizationConfig={
                "distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": TEACHER}}
            },
        )
        assert made is None or name not in self.used_names
        if made is not None:
            self.used_names.add(name)

    @rule(name=ODD_TEXT)
    def look_at_a_job(self, name: str) -> None:
        if name:
            self.call(self.bedrock, "get_model_customization_job", jobIdentifier=name)

    @rule(name=NAMES)
    def stop_job(self, name: str) -> None:
        self.call(self.bedrock, "stop_model_customization_job", jobIdentifier=name)

    @rule(name=NAMES)
    def delete_model(self, name: str) -> None:
        self.call(self.bedrock, "delete_custom_model", modelIdentifier=name)

    @rule(name=NAMES, model=NAMES, units=st.integers(0, 4))
    def create_throughput(self, name: str, model: str, units: int) -> None:
        self.call(
            self.bedrock,
            "create_provisioned_model_throughput",
            provisionedModelName=name,
            modelId=model,
            modelUnits=units,
        )

    @rule(name=NAMES, model=NAMES)
    def update_throughput(self, name: str, model: str) -> None:
        self.call(
            self.bedrock, "update_provisioned_model_throughput", provisionedModelId=name, desiredModelId=model
        )

    @rule(name=NAMES)
    def look_at_a_throughput(self, name: str) -> None:
        self.call(self.bedrock, "get_provisioned_model_throughput", provisionedModelId=name)

    @rule(name=NAMES)
    def delete_throughput(self, name: str) -> None:
        self.call(self.bedrock, "delete_provisioned_model_throughput", provisionedModelId=name)

    @rule(name=NAMES, number=st.integers(0, 3))
    def create_deployment(self, name: str, number: int) -> None:
        models = self.bedrock.list_custom_models()["modelSummaries"]
        if models:
            model = models[number % len(models)]["modelArn"]
            self.call(
                self.bedrock, "create_custom_model_deployment", modelDeploymentName=name, modelArn=model
            )

    @rule(name=NAMES, number=st.integers(0, 3))
    def update_deployment(self, name: str, number: int) -> None:
        models = self.bedrock.list_custom_models()["modelSummaries"]
        if models:
            model = models[number % len(models)]["modelArn"]
            self.call(
                self.bedrock,
                "update_custom_model_deployment",
                customModelDeploymentIdentifier=name,
                modelArn=model,
            )

    @rule(name=NAMES)
    def delete_deployment(self, name: str) -> None:
        self.call(self.bedrock, "delete_custom_model_deployment", customModelDeploymentIdentifier=name)

    @rule()
    def ask_every_host(self) -> None:
        hosts = [
            p["provisionedModelArn"]
            for p in self.bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]
        ]
        hosts += [
            d["customModelDeploymentArn"]
            for d in self.bedrock.list_custom_model_deployments()["modelDeploymentSummaries"]
        ]
        for host in (*hosts, TEACHER):
            self.call(self.runtime, "converse", modelId=host, messages=MESSAGES)

    @rule(size=st.integers(0, 1100), token=st.text(max_size=30))
    def page_oddly(self, size: int, token: str) -> None:
        extra = {"nextToken": token} if token else {}
        self.call(self.bedrock, "list_model_customization_jobs", maxResults=size, **extra)

    @rule(pace=PACES)
    def change_pace(self, pace: str) -> None:
        self.sandbox.world.set_pace(pace)

    @rule(seconds=st.integers(-7200, 86_400))
    def move_the_clock(self, seconds: int) -> None:
        self.sandbox.clock.advance(seconds)

    # --- what must hold ---

    @invariant()
    def names_are_unique(self) -> None:
        state = self.sandbox.world.store.region("us-east-1")
        with self.sandbox.world.store.lock:
            names = [(r.kind, r.name) for r in state.resources.values()]
        assert len(names) == len(set(names))

    @invariant()
    def no_host_stands_on_a_missing_model(self) -> None:
        state = self.sandbox.world.store.region("us-east-1")
        with self.sandbox.world.store.lock:
            for resource in state.resources.values():
                for member in ("modelArn", "desiredModelArn"):
                    model = resource.record.get(member)
                    if resource.kind != "custom-model" and model and ":custom-model/" in model:
                        assert model in state.resources

    @invariant()
    def the_bill_never_shrinks(self) -> None:
        total = self.sandbox.meter()["total"]
        assert total >= self.bill - 1e-9
        self.bill = total

    @precondition(lambda self: self.used_names)
    @invariant()
    def every_job_ever_made_is_still_there(self) -> None:
        state = self.sandbox.world.store.region("us-east-1")
        with self.sandbox.world.store.lock:
            assert self.used_names == {r.name for r in state.of_kind("customization-job")}


@pytest.mark.parametrize("steps", [20])
def test_random_calls_break_nothing(bedrock_sandbox_server: Sandbox, steps: int) -> None:
    Account.sandbox = bedrock_sandbox_server
    run_state_machine_as_test(
        Account,
        settings=settings(
            max_examples=8,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
