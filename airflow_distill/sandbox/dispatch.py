"""From an HTTP request to the one who answers it: Bedrock is ours, S3, IAM, STS, SSM and KMS are moto's.

One port serves all. The credential scope of the signature names service and Region, so a bucket may be called
`model-customization-jobs` without confusion.
"""

from __future__ import annotations

import json
import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from airflow_distill.sandbox import metrics, moto_door, pricing, service_quotas
from airflow_distill.sandbox.failures import SandboxUsageError, ServiceError, unsupported
from airflow_distill.sandbox.faults import Fault
from airflow_distill.sandbox.guard import ADMIN_PREFIX, is_steering, refuse_foreign, refuse_stranger
from airflow_distill.sandbox.http_server import Connection, HangUp
from airflow_distill.sandbox.operations import HANDLERS
from airflow_distill.sandbox.operations.call_records import log_failure
from airflow_distill.sandbox.protocol import (
    Route,
    Wire,
    WireReply,
    WireRequest,
    frame,
    parse_request,
    render_error,
    render_result,
)
from airflow_distill.sandbox.store import ACCOUNT
from airflow_distill.sandbox.world import Call, StillWorking, World

_SCOPE = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_WORK_SECONDS = 300.0

Admin = Callable[[WireRequest], WireReply]


class Dispatcher:
    """Answers every request of the port."""

    def __init__(self, world: World, admin: Admin, token: str) -> None:
        self.world = world
        self.wire = Wire()
        self._admin = admin
        self._token = token

    def respond(self, request: WireRequest, connection: Connection) -> WireReply:
        try:
            refuse_foreign(request)
            if is_steering(request.raw_path):
                refuse_stranger(request, self._token)
        except ServiceError as error:
            return admin_reply({"error": error.message}, error.status)
        if request.raw_path == ADMIN_PREFIX or request.raw_path.startswith(ADMIN_PREFIX + "/"):
            return self._admin(request)
        if is_steering(request.raw_path):
            return self._ask_moto(connection.environ())
        scope = signing_scope(request)
        if scope is None:
            found = self.wire.match(request.method, request.raw_path)
            if found is not None and found[0].name in HANDLERS:
                return render_error(
                    ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
                )
            return self._neighbour("s3", request, connection)
        access_key, region, service = scope
        if service in ("bedrock", "bedrock-runtime"):
            return self._bedrock(request, access_key, region)
        if service == "servicequotas":
            return self._quotas(request, region)
        if service == "pricing":
            return self._prices(request)
        if service == "monitoring":
            return self._metrics(request, region)
        if service not in moto_door.SERVICES:
            return render_error(unsupported(f"The sandbox does not serve {service}."))
        return self._neighbour(service, request, connection)

    def _quotas(self, request: WireRequest, region: str) -> WireReply:
        operation = neighbour_operation("servicequotas", request)
        fault = self.world.faults.strike(f"servicequotas:{operation}", "")
        try:
            self._before(fault)
            reply = service_quotas.answer(self.world, request, operation, region)
        except ServiceError as error:
            self.world.meter.count(operation, error.code)
            return service_quotas.refusal(error)
        self.world.meter.count(operation, "ok")
        return reply

    def _prices(self, request: WireRequest) -> WireReply:
        operation = neighbour_operation("pricing", request)
        fault = self.world.faults.strike(f"pricing:{operation}", "")
        try:
            self._before(fault)
            reply = pricing.answer(self.world, request, operation)
        except ServiceError as error:
            self.world.meter.count(operation, error.code)
            return pricing.refusal(error)
        self.world.meter.count(operation, "ok")
        return reply

    def _metrics(self, request: WireRequest, region: str) -> WireReply:
        operation = metrics.operation_of(request)
        fault = self.world.faults.strike(f"monitoring:{operation}", "")
        try:
            self._before(fault)
            reply = metrics.answer(self.world.metrics, request, operation, region)
        except ServiceError as error:
            self.world.meter.count(operation, error.code)
            return metrics.refusal(error, request)
        self.world.meter.count(operation, "ok")
        return reply

    # --- Bedrock ---

    def _bedrock(self, request: WireRequest, access_key: str, region: str) -> WireReply:
        request_id = str(uuid.uuid4())
        try:
            reply = self._operation(request, access_key, region, request_id)
        except ServiceError as error:
            reply = render_error(error)
        return WireReply(reply.status, (*reply.headers, ("x-amzn-RequestId", request_id)), reply.body)

    def _operation(self, request: WireRequest, access_key: str, region: str, request_id: str) -> WireReply:
        found = self.wire.match(request.method, request.raw_path)
        if found is None:
            raise ServiceError("UnknownOperationException", "The requested operation is not known.", 404)
        if not _REGION.fullmatch(region):
            raise ServiceError("UnrecognizedClientException", f"{region} is not a Region.", 403)
        route, path_values = found
        handler = HANDLERS.get(route.name)
        if handler is None:
            raise unsupported(f"The sandbox does not support {route.name}.")
        problem: ServiceError | None = None
        parameters: dict[str, Any] = {}
        try:
            parameters = parse_request(route, path_values, request)
        except ServiceError as error:
            problem = error
        call = Call(
            operation=route.name,
            service=route.service,
            region=region,
            caller=self.world.neighbours.caller_arn(access_key),
            request_id=request_id,
            parameters=parameters,
            body=request.body,
        )
        fault = self.world.faults.strike(route.name, subject_of(parameters or path_values))
        try:
            self._before(fault)
            if route.service == "bedrock":
                self.world.rates.control_call(self.world.quotas, route.name)
            if problem is not None:
                raise problem
            result = self._run(route, call)
        except ServiceError as error:
            self.world.meter.count(route.name, error.code)
            if parameters:
                log_failure(self.world, self.world.store.region(region), call, error.code)
                if route.service == "bedrock-runtime" and "modelId" in parameters:
                    _count_failure(self.world, call, error)
            raise
        except HangUp:
            self.world.meter.count(route.name, "dropped")
            raise
        self.world.meter.count(route.name, "replayed" if call.replayed else "ok")
        reply = render_result(route, result)
        if fault is not None and fault.kind == "lost-answer":
            raise HangUp
        if fault is not None and fault.kind == "stream-error" and "stream" in route.name.lower():
            return _broken_stream(reply, fault)
        return reply

    def _before(self, fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        elif fault.kind == "drop":
            raise HangUp
        elif fault.kind == "clock-jump":
            self.world.clock.advance(fault.seconds)
        error = fault.error()
        if error is not None:
            raise error

    def _run(self, route: Route, call: Call) -> dict[str, Any]:
        handler = HANDLERS[route.name]
        state = self.world.store.region(call.region)
        deadline = time.monotonic() + _WORK_SECONDS
        while True:
            try:
                if route.service == "bedrock-runtime":
                    return handler(self.world, state, call)
                with self.world.store.lock:
                    result = dict(handler(self.world, state, call))
                    self.world.store.changes += 1
                    return result
            except StillWorking as wait:
                wait.future.exception(timeout=max(0.0, deadline - time.monotonic()))
            except ServiceError:
                raise
            except Exception:
                traceback.print_exc(file=sys.stderr)
                raise ServiceError(
                    "InternalServerException", "The sandbox itself has failed; see its own error output.", 500
                ) from None

    # --- neighbours ---

    def _neighbour(self, service: str, request: WireRequest, connection: Connection) -> WireReply:
        operation = f"{service}:{neighbour_operation(service, request)}"
        fault = self.world.faults.strike(operation, unquote(request.raw_path).lstrip("/"))
        if fault is not None:
            if fault.kind == "slow":
                time.sleep(fault.seconds)
            elif fault.kind == "drop":
                raise HangUp
            elif fault.kind == "clock-jump":
                self.world.clock.advance(fault.seconds)
            error = fault.error()
            if error is not None:
                return neighbour_error(service, error)
        if service == "iam":
            _know_aws_policy(request)
        reply = self._ask_moto(connection.environ())
        if request.method not in ("GET", "HEAD"):
            self.world.neighbours.changes += 1
        if fault is not None and fault.kind == "lost-answer":
            raise HangUp
        return reply

    def _ask_moto(self, environ: dict[str, Any]) -> WireReply:
        moto = moto_door.application()
        answer: dict[str, Any] = {}

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[..., Any]:
            answer["status"], answer["headers"] = int(status.split(" ", 1)[0]), headers
            return lambda data: None

        chunks = moto(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return WireReply(answer["status"], tuple(answer["headers"]), body)


def _count_failure(world: World, call: Call, error: ServiceError) -> None:
    """Write what CloudWatch counts of a call that failed."""
    name = "InvocationServerErrors" if error.status >= 500 else "InvocationClientErrors"
    name = "InvocationThrottles" if error.status == 429 else name
    world.metrics.count(call.region, str(call["modelId"]), world.clock.now(), **{name: 1})


def signing_scope(request: WireRequest) -> tuple[str, str, str] | None:
    """Access key, Region and service of a signed or presigned request."""
    header = next((v for k, v in request.headers.items() if k.lower() == "authorization"), "")
    found = _SCOPE.search(header)
    if found is None and "X-Amz-Credential" in request.query:
        credential = dict(parse_qsl(request.query)).get("X-Amz-Credential", "")
        found = _SCOPE.search(f"Credential={credential}")
    return None if found is None else (found.group(1), found.group(3), found.group(4))


_SUBJECTS = (
    "jobName",
    "jobIdentifier",
    "provisionedModelName",
    "provisionedModelId",
    "modelDeploymentName",
    "customModelDeploymentIdentifier",
    "targetModelName",
    "modelId",
    "modelIdentifier",
    "jobArn",
    "resourceARN",
    "resourceArn",
)


def subject_of(parameters: Mapping[str, Any]) -> str:
    """What a call is about, for faults that hit one resource only."""
    return next((str(parameters[name]) for name in _SUBJECTS if name in parameters), "")


def neighbour_operation(service: str, request: WireRequest) -> str:
    """A name for a call to a neighbour, good enough to aim a fault at."""
    if service != "s3":
        target = next((v for k, v in request.headers.items() if k.lower() == "x-amz-target"), "")
        if target:
            return target.rsplit(".", 1)[-1]
        return dict(parse_qsl(request.body.decode("utf-8", "replace"))).get("Action", request.method)
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    has_key = "/" in request.raw_path.strip("/")
    if request.method == "POST":
        return "DeleteObjects" if "delete" in query else "MultipartUpload"
    if request.method == "GET" and not has_key:
        return (
            "ListObjectsV2"
            if "list-type" in query
            else ("ListBuckets" if request.raw_path == "/" else "GetBucket")
        )
    return {"GET": "Get", "PUT": "Put", "HEAD": "Head", "DELETE": "Delete"}.get(
        request.method, request.method
    ) + ("Object" if has_key else "Bucket")


def _know_aws_policy(request: WireRequest) -> None:
    """See to it that moto knows the policy of AWS's own that a call to IAM names."""
    arn = dict(parse_qsl(request.body.decode("utf-8", "replace"))).get("PolicyArn", "")
    if re.fullmatch(r"arn:aws[a-z-]*:iam::aws:policy/[\w+=,.@/-]+", arn):
        moto_door.add_aws_policy(arn, ACCOUNT)


def neighbour_error(service: str, error: ServiceError) -> WireReply:
    """An error in the neighbour's own form."""
    if service in ("ssm", "kms", "logs"):
        return render_error(error)
    body = (
        f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{error.code}</Code>"
        f"<Message>{error.message}</Message></Error>"
    )
    if service in ("iam", "sts"):
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code>"
            f"<Message>{error.message}</Message></Error></ErrorResponse>"
        )
    return WireReply(error.status, (("Content-Type", "application/xml"),), body.encode())


def _broken_stream(reply: WireReply, fault: Fault) -> WireReply:
    """The first event of a stream, then an exception event."""
    size = int.from_bytes(reply.body[:4], "big")
    headers = {
        ":exception-type": "modelStreamErrorException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    message = fault.message or "The model stream broke off."
    return WireReply(
        reply.status,
        reply.headers,
        reply.body[:size] + frame(headers, json.dumps({"message": message}).encode()),
    )


def admin_reply(value: Any, status: int = 200) -> WireReply:
    """A JSON answer of the admin interface."""
    body = json.dumps(value, default=str, ensure_ascii=False, indent=1).encode()
    return WireReply(status, (("Content-Type", "application/json"),), body)


def admin_body(request: WireRequest) -> dict[str, Any]:
    """The JSON object of an admin request; nothing counts as an empty object."""
    if not request.body.strip():
        return {}
    try:
        loaded = json.loads(request.body)
    except (ValueError, RecursionError):
        raise SandboxUsageError("the body is not JSON") from None
    if not isinstance(loaded, dict):
        raise SandboxUsageError("the body must be a JSON object")
    return loaded
