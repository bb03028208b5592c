"""How quickly the sandbox starts and how much it takes: start-up time, requests a second, 200 clients at once.

Run: `python benchmarks/sandbox.py [--clients 200] [--seconds 60]`. The server runs in a process of its own, as users
run it; the clients share one process, so the figures are a lower bound of what the server can do.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

_SCOPE = "AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/bedrock/aws4_request"
_AUTH = f"AWS4-HMAC-SHA256 Credential={_SCOPE}, SignedHeaders=host, Signature=0"
_BODY = json.dumps({"messages": [{"role": "user", "content": [{"text": "my refund has not shown up"}]}]})
_CONVERSE = ("POST", "/model/amazon.nova-pro-v1%3A0/converse", _BODY)
_LIST = ("GET", "/model-customization-jobs", None)


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any], float]:
    """Start a sandbox; its process, ready file and start-up seconds."""
    ready = folder / "ready.json"
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "airflow_distill.cli.main",
            "sandbox",
            "start",
            "--port",
            "0",
            "--ready-file",
            str(ready),
            "--quiet",
        ]
    )
    while not ready.exists():
        time.sleep(0.01)
    return process, json.loads(ready.read_text()), time.perf_counter() - began


def ask(ready: dict[str, Any], path: str, body: dict[str, Any] | None = None) -> Any:
    """The admin interface."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "X-Sandbox-Token": ready["token"]}
    request = urllib.request.Request(f"{ready['admin_url']}/{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def enable_logging(endpoint_url: str) -> None:
    """A bucket, and invocation logging to it."""
    import boto3

    session = boto3.session.Session("AKIAIOSFODNN7EXAMPLE", "sandbox-secret")
    session.client("s3", region_name="us-east-1", endpoint_url=endpoint_url).create_bucket(Bucket="bench")
    session.client(
        "bedrock", region_name="us-east-1", endpoint_url=endpoint_url
    ).put_model_invocation_logging_configuration(
        loggingConfig={"s3Config": {"bucketName": "bench", "keyPrefix": "logs"}}
    )


def load(
    port: int, clients: int, seconds: float, call: tuple[str, str, str | None]
) -> tuple[int, int, list[float]]:
    """Calls made, errors met and latencies of so many clients with kept connections."""
    counts, errors, latencies = [0] * clients, [0] * clients, [[] for _ in range(clients)]  # type: ignore[var-annotated]
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        method, path, body = call
        headers = {"Authorization": _AUTH, "Content-Type": "application/json"}
        while time.perf_counter() < end:
            began = time.perf_counter()
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    errors[number] += 1
            except (OSError, http.client.HTTPException):
                errors[number] += 1
                connection.close()
            counts[number] += 1
            latencies[number].append(time.perf_counter() - began)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), sum(errors), sorted(x for own in latencies for x in own)


def main() -> int:
    """Print the figures; the exit status is 1 when a call failed or a log record was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        process, ready, began = start(Path(folder))
        try:
            print(f"ready after {began:.2f} s (goal: 3 s)")
            enable_logging(ready["endpoint_url"])
            for name, clients, call in (
                ("ListModelCustomizationJobs, 1 client", 1, _LIST),
                ("Converse with logging, 1 client", 1, _CONVERSE),
                (f"Converse with logging, {args.clients} clients", args.clients, _CONVERSE),
            ):
                seconds = args.seconds if clients > 1 else min(args.seconds, 5.0)
                before = ask(ready, "flush", {})["delivered"]
                calls, errors, latencies = load(ready["port"], clients, seconds, call)
                delivered = ask(ready, "flush", {})["delivered"] - before
                lost = calls - errors - delivered if call is _CONVERSE else 0
                failed = failed or bool(errors or lost)
                print(
                    f"{name}: {calls / seconds:,.0f} requests/s, {errors} errors, {lost} log records lost, "
                    f"median {statistics.median(latencies) * 1000:.1f} ms, "
                    f"99th percentile {latencies[int(len(latencies) * 0.99)] * 1000:.0f} ms"
                )
        finally:
            process.terminate()
            process.wait(20)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
