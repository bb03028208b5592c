"""Every call of the package as IAM would be asked about it, heard at the sandbox's door."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from airflow_distill.sandbox import Sandbox, metrics
from airflow_distill.sandbox.dispatch import Dispatcher, neighbour_operation
from airflow_distill.sandbox.neighbours import Neighbours
from airflow_distill.workload.config import Workload
from airflow_distill.workload.iam import documents
from tests.workload.policies import Context, evaluate

ACCOUNT = "123456789012"
Request = tuple[str, str, Context]

KINDS = {
    "ModelCustomizationJob": "model-customization-job",
    "CustomModel": "custom-model",
    "ProvisionedModelThroughput": "provisioned-model",
    "CustomModelDeployment": "custom-model-deployment",
    "EvaluationJob": "evaluation-job",
    "ModelInvocationJob": "model-invocation-job",
}
IDENTIFIERS = ("jobIdentifier", "modelIdentifier", "provisionedModelId", "customModelDeploymentIdentifier")
MODELS = ("baseModelIdentifier", "modelId", "modelArn", "desiredModelId")


class Wire:
    """Every call of the package as IAM would be asked about it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.requests: list[Request] = []
        self.of_role: set[tuple[str, str]] = set()
        self.workloads: list[Workload] = []
        self.on = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what is asked meanwhile."""
        self.on = True
        try:
            yield
        finally:
            self.on = False

    def printed(self) -> list[Any]:
        """Return what is printed for Airflow's identity for all workloads that are at work here."""
        found = [documents(workload) for workload in self.workloads]
        return [each for one in found for name, each in one.items() if name.startswith("airflow-policy")]

    def refused(self, policies: list[Any]) -> set[tuple[str, str]]:
        """Return what was asked and the policies together do not allow."""
        return {(a, r) for a, r, context in self.requests if not evaluate(policies, a, r, context)}

    def used(self) -> set[str]:
        """Return the actions that were asked."""
        return {action for action, _, _ in self.requests}

    def bedrock(self, route: Any, call: Any) -> None:
        if not self.on:
            return
        arn = f"arn:aws:bedrock:{call.region}:{ACCOUNT}:"
        if route.service == "bedrock-runtime":
            for resource in self._asked(call, call["modelId"]):
                self.requests.append(("bedrock:InvokeModel", resource, self._tags(call.region, resource)))
                self._key_of_model(call.region, resource)
            return
        action = f"bedrock:{route.name}"
        if route.name.startswith("List") and route.name != "ListTagsForResource":
            self.requests.append((action, "*", {}))
        elif route.name in ("TagResource", "UntagResource", "ListTagsForResource"):
            resource = str(call["resourceARN"])
            given = {tag["key"]: tag["value"] for tag in call.get("tags") or []}
            self.requests.append(
                (action, resource, {**self._tags(call.region, resource), **asked_tags(given)})
            )
        elif route.name.startswith("Create"):
            self._create(call, action, arn, KINDS[route.name.removeprefix("Create")])
        else:
            kind = next((k for name, k in KINDS.items() if route.name.endswith(name)), None)
            identifier = str(next((call.parameters[n] for n in IDENTIFIERS if n in call.parameters), "*"))
            if kind is None:
                self.requests.append((action, "*", {}))
                return
            resource = identifier if identifier.startswith("arn:") else f"{arn}{kind}/{identifier}"
            self.requests.append((action, resource, self._tags(call.region, resource)))

    def _create(self, call: Any, action: str, arn: str, kind: str) -> None:
        job_tags = {t["key"]: t["value"] for t in call.get("jobTags") or call.get("tags") or []}
        context = asked_tags(job_tags)
        self.requests.append((action, f"{arn}{kind}/new", context))
        self.requests.append(("bedrock:TagResource", f"{arn}{kind}/new", context))
        if "roleArn" in call.parameters:
            handed = {"iam:PassedToService": "bedrock.amazonaws.com"}
            self.requests.append(("iam:PassRole", str(call["roleArn"]), handed))
        for name in MODELS:
            if name in call.parameters:
                self.requests += [
                    (action, resource, {**self._tags(call.region, resource), **context})
                    for resource in self._asked(call, call[name])
                ]
        model_tags = {t["key"]: t["value"] for t in call.get("customModelTags") or []}
        if model_tags:
            self.requests.append(("bedrock:TagResource", f"{arn}custom-model/new", asked_tags(model_tags)))

    def _asked(self, call: Any, identifier: str) -> Iterator[str]:
        if identifier.startswith("arn:"):
            yield identifier
        elif re.match(r"[a-z]{2}\.", identifier):
            yield f"arn:aws:bedrock:{call.region}:{ACCOUNT}:inference-profile/{identifier}"
            yield f"arn:aws:bedrock:us-west-2::foundation-model/{identifier.split('.', 1)[1]}"
        else:
            yield f"arn:aws:bedrock:{call.region}::foundation-model/{identifier}"

    def _tags(self, region: str, resource: str) -> dict[str, Any]:
        tags = self.sandbox.world.store.region(region).tags.get(resource, {})
        return {f"aws:ResourceTag/{name}": value for name, value in tags.items()}

    def _key_of_bucket(self, action: str, resource: str) -> None:
        """S3 uses a bucket's customer key with the caller's own rights."""
        uses = {"s3:GetObject": "kms:Decrypt", "s3:PutObject": "kms:GenerateDataKey"}
        bucket = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
        key = self.sandbox.world.neighbours.key_of_bucket(bucket)
        if key and action in uses:
            self.requests.append((uses[action], key, {"kms:ViaService": "s3.us-east-1.amazonaws.com"}))

    def _key_of_model(self, region: str, host: str) -> None:
        """Asking a model that lies under a customer's key takes the caller's right to use it."""
        resources = self.sandbox.world.store.region(region).resources
        asked = resources.get(host)
        model = resources.get(str(asked.record.get("modelArn"))) if asked else None
        key = model.record.get("modelKmsKeyArn") if model else None
        if key:
            via = {"kms:ViaService": f"bedrock.{region}.amazonaws.com"}
            self.requests.append(("kms:Decrypt", key, via))

    def neighbour(self, service: str, request: Any) -> None:
        if not self.on:
            return
        if service == "s3":
            self.requests.append(s3_request(request))
            self._key_of_bucket(*self.requests[-1][:2])
        elif service == "iam":
            asked = dict(parse_qsl(request.body.decode()))
            arn = asked.get("PolicyArn") or f"arn:aws:iam::{ACCOUNT}:role/{asked.get('RoleName', '')}"
            self.requests.append((f"iam:{asked['Action']}", arn, {}))
        elif service == "ssm":
            parameter = json.loads(request.body).get("Name", "")
            arn = f"arn:aws:ssm:{region_of(request)}:{ACCOUNT}:parameter{parameter}"
            self.requests.append((f"ssm:{neighbour_operation(service, request)}", arn, {}))
            if "Tags" in json.loads(request.body):
                self.requests.append(("ssm:AddTagsToResource", arn, {}))
        elif service == "servicequotas":
            code = json.loads(request.body).get("QuotaCode", "")
            arn = f"arn:aws:servicequotas:{region_of(request)}:{ACCOUNT}:bedrock/{code}" if code else "*"
            self.requests.append((f"servicequotas:{neighbour_operation(service, request)}", arn, {}))
        elif service == "pricing":
            self.requests.append((f"pricing:{neighbour_operation(service, request)}", "*", {}))
        elif service == "monitoring":
            self.requests.append((f"cloudwatch:{metrics.operation_of(request)}", "*", {}))
        else:
            assert service == "sts"  # GetCallerIdentity needs no permission


def region_of(request: Any) -> str:
    """Return the Region that a request was signed for."""
    signed = next((v for k, v in request.headers.items() if k.lower() == "authorization"), "")
    found = re.search(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/", signed)
    return found[1] if found else "us-east-1"


def asked_tags(tags: dict[str, str]) -> dict[str, Any]:
    context: dict[str, Any] = {f"aws:RequestTag/{name}": value for name, value in tags.items()}
    return {**context, "aws:TagKeys": list(tags)} if tags else context


def s3_request(request: Any) -> Request:
    bucket, _, key = unquote(request.raw_path).lstrip("/").partition("/")
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    headers = {name.lower(): value for name, value in request.headers.items()}
    if not key:
        if "location" in query:
            return "s3:GetBucketLocation", f"arn:aws:s3:::{bucket}", {}
        if "uploads" in query:
            return "s3:ListBucketMultipartUploads", f"arn:aws:s3:::{bucket}", {}
        return "s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": query.get("prefix", "")}
    if request.method == "DELETE" and "uploadId" in query:
        return "s3:AbortMultipartUpload", f"arn:aws:s3:::{bucket}/{key}", {}
    action = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject",
              "DELETE": "DeleteObject"}[request.method]  # fmt: skip
    absent = {"s3:if-none-match": headers["if-none-match"]} if "if-none-match" in headers else {}
    return f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}", absent


def held_to_the_printed_roles(sandbox: Sandbox, patch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Listen to a test's Dag runs and hold their calls, at its end, to the roles printed for their workloads."""
    found = listen(sandbox, patch)
    yield found
    if not found.workloads:
        return  # a test that makes its roles by hand
    printed = found.printed()
    refused = {(a, r, str(c)) for a, r, c in found.requests if not evaluate(printed, a, r, c)}
    assert not refused, f"asked and not printed: {sorted(refused)}"


def listen(sandbox: Sandbox, patch: pytest.MonkeyPatch) -> Wire:
    """Listen to the calls of one sandbox, and to what it asks of service roles."""
    found = Wire(sandbox)
    run, neighbour, allows = Dispatcher._run, Dispatcher._neighbour, Neighbours.allows
    quotas, prices, measured = Dispatcher._quotas, Dispatcher._prices, Dispatcher._metrics

    def heard_run(self: Any, route: Any, call: Any) -> Any:
        found.bedrock(route, call)
        return run(self, route, call)

    def heard_neighbour(self: Any, service: str, request: Any, connection: Any) -> Any:
        found.neighbour(service, request)
        return neighbour(self, service, request, connection)

    def heard_quotas(self: Any, request: Any, region: str) -> Any:
        found.neighbour("servicequotas", request)
        return quotas(self, request, region)

    def heard_prices(self: Any, request: Any) -> Any:
        found.neighbour("pricing", request)
        return prices(self, request)

    def heard_metrics(self: Any, request: Any, region: str) -> Any:
        found.neighbour("monitoring", request)
        return measured(self, request, region)

    def heard_allows(self: Any, role: Any, action: str, resource: str) -> bool:
        found.of_role.add((action, resource))
        return allows(self, role, action, resource)

    patch.setattr(Dispatcher, "_run", heard_run)
    patch.setattr(Dispatcher, "_neighbour", heard_neighbour)
    patch.setattr(Dispatcher, "_quotas", heard_quotas)
    patch.setattr(Dispatcher, "_prices", heard_prices)
    patch.setattr(Dispatcher, "_metrics", heard_metrics)
    patch.setattr(Neighbours, "allows", heard_allows)
    return found
