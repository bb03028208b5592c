"""A service that gives the answers it is told to, over HTTP: what no sandbox would say and the real one may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.sandbox.http_server import Connection, HttpServer
from airflow_distill.sandbox.protocol import WireReply, WireRequest

Answer = dict[str, Any] | tuple[int, str, str] | bytes


class Service:
    """Answers by the end of the path; what is not named is answered with an empty object.

    :param answers: part of the path, or the operation of a JSON protocol -> a body, (status, code, message), or raw bytes.
    """

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def respond(self, request: WireRequest, connection: Connection) -> WireReply:
        target = next((v for k, v in request.headers.items() if k.lower() == "x-amz-target"), "")
        place = f"{request.method} {request.raw_path} {target}"
        self.asked.append(place)
        found = next((answer for part, answer in self.answers.items() if part in place), {})
        headers = [("Content-Type", "application/x-amz-json-1.1" if target else "application/json")]
        if isinstance(found, tuple):
            status, code, message = found
            headers.append(("x-amzn-ErrorType", code))
            return WireReply(
                status, tuple(headers), json.dumps({"__type": code, "message": message}).encode()
            )
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        return WireReply(200, tuple(headers), body)


@contextmanager
def answering(answers: dict[str, Answer], region: str = "us-east-1") -> Iterator[tuple[AwsGateways, Service]]:
    """Serve the answers; yields gateways that ask them, and what was asked."""
    service = Service(answers)
    server = HttpServer(service.respond)
    server.start()
    session = boto3.session.Session("AKIAIOSFODNN7EXAMPLE", "secret")

    def client(name: str) -> Any:
        return session.client(
            name,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{server.port}",
            config=Config(retries={"total_max_attempts": 1}),
        )

    try:
        yield AwsGateways(client), service
    finally:
        server.stop()
