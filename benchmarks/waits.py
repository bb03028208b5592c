"""A thousand waits on one event loop: our triggers beside the amazon provider's, on the same stub, in the same run.

    python benchmarks/waits.py                                  # 1,000 waits, 60 s between polls; some eight minutes
    python benchmarks/waits.py --waits 200 --seconds 60         # smaller
    python benchmarks/waits.py --provider-python provider/bin/python

Each contender runs in a process of its own: an event loop that, like a triggerer, gets at most 50 triggers at a time.
Measured are the seconds until every job was looked at, calls a minute at rest, memory, CPU, and the longest time the
loop stood still. Ours run twice, with a tenth of the waits and with all: the calls must not grow with the waits, only with
the pages that the list has (1,000 jobs a page).

The longest block is told twice: by the clock, and as the CPU time that this process itself spent in it, other threads
that held the interpreter included. On a calm machine they agree; on a busy one the clock also counts the time that other
processes had, so the limit of 0.2 s is held against the CPU time. What is left of it is Python's own full garbage
collection, once, while the one client is built: 0.1 s over the 200,000 objects that importing Airflow leaves.

The provider's trigger needs aiobotocore, which pins an older SDK than ours. Make an environment of its own for it:

    python -m venv provider
    provider/bin/pip install "apache-airflow-core==3.3.2" "apache-airflow-providers-amazon[aiobotocore]==9.39.0" psutil

and name its interpreter as `--provider-python`. Without one that has aiobotocore only ours are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

LONGEST_START = 15.0
LONGEST_BLOCK = 0.2
PAGE = 1000
"""Jobs on a page of the list."""
FIGURES = (
    "looked_at",
    "seconds_to_start",
    "cpu_to_start",
    "calls_per_minute",
    "memory_mb",
    "memory_added_mb",
    "longest_block_s",
    "longest_block_cpu_s",
)
BATCH = 50
BATCH_PAUSE = 0.5
CREATED = "2026-11-20T00:00:00Z"


def arn(number: int) -> str:
    """Return the ARN of a stub job."""
    model = "amazon.nova-lite-v1:0:300k"
    return f"arn:aws:bedrock:us-east-1:123456789012:model-customization-job/{model}/{number:012d}"


def job(number: int) -> dict[str, Any]:
    """Return a running job, in the shape that List and Get share."""
    return {
        "jobArn": arn(number),
        "jobName": f"job{number}",
        "status": "InProgress",
        "creationTime": CREATED,
        "baseModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "outputModelName": f"model{number}",
        "roleArn": "arn:aws:iam::123456789012:role/r",
    }


class Stub(BaseHTTPRequestHandler):
    """The control plane with jobs that never end; counts calls, and which jobs were asked for."""

    protocol_version = "HTTP/1.1"
    jobs = 0
    calls: ClassVar[Counter[str]] = Counter()
    asked: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/counts":
            return self._answer({"calls": dict(Stub.calls), "asked": len(Stub.asked)})
        if parts.path.rstrip("/") == "/model-customization-jobs":
            return self._list(parse_qs(parts.query))
        Stub.calls["get"] += 1
        name = unquote(parts.path.rsplit("/", 1)[1])
        Stub.asked.add(name)
        digits = name.rsplit("/", 1)[-1].removeprefix("job")
        self._answer(job(int(digits)))

    def _list(self, query: dict[str, list[str]]) -> None:
        Stub.calls["list"] += 1
        start, size = int(query.get("nextToken", ["0"])[0]), int(query.get("maxResults", ["100"])[0])
        page: dict[str, Any] = {
            "modelCustomizationJobSummaries": [job(n) for n in range(start, min(start + size, Stub.jobs))]
        }
        if start + size < Stub.jobs:
            page["nextToken"] = str(start + size)
        self._answer(page)

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        return


class StubServer(ThreadingHTTPServer):
    """Serves the stub; connections that a contender's end cuts off are no news."""

    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


def ours(number: int, period: float, looked: set[int]) -> Any:
    """Return one of our triggers; the number is noted at its first look."""
    from airflow_distill.triggers.jobs import BedrockDistillationCompletedTrigger

    class Noting(BedrockDistillationCompletedTrigger):
        def _aimed(self, look: Any) -> Any:
            looked.add(number)
            return super()._aimed(look)

    return Noting(arn(number), poll_interval=period, created_at=CREATED)


def providers(number: int, period: float, looked: set[int]) -> Any:
    """Return one of the amazon provider's triggers; the stub sees its first look."""
    importlib.import_module("aiobotocore")  # without it the waits would fail one by one, in silence
    from airflow.providers.amazon.aws.triggers.bedrock import BedrockCustomizeModelCompletedTrigger

    return BedrockCustomizeModelCompletedTrigger(
        job_name=f"job{number}",
        waiter_delay=int(period),
        waiter_max_attempts=10_000,
        aws_conn_id="aws_default",
    )


CONTENDERS = {"ours": ours, "provider": providers}


def counts(url: str) -> dict[str, Any]:
    """Ask the stub what it has seen."""
    from urllib.request import urlopen

    with urlopen(f"{url}/counts", timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


async def contend(name: str, waits: int, period: float, seconds: float, url: str) -> dict[str, Any]:
    """Start the waits, measure the start, then rest and measure again."""
    import psutil

    process, looked, block = psutil.Process(), set[int](), Block()
    make = CONTENDERS[name]
    make(0, period, looked)
    idle, cpu = process.memory_info().rss, process.cpu_times().user
    stood = asyncio.create_task(block.watch())

    async def drive(number: int) -> None:
        async for _ in make(number, period, looked).run():
            return

    begin = time.monotonic()
    tasks: list[asyncio.Task[None]] = []
    for start in range(0, waits, BATCH):
        tasks += [asyncio.create_task(drive(n)) for n in range(start, min(start + BATCH, waits))]
        await asyncio.sleep(BATCH_PAUSE)
    while True:
        seen = len(looked) if name == "ours" else (await asyncio.to_thread(counts, url))["asked"]
        if seen >= waits or time.monotonic() - begin > 600:
            break
        await asyncio.sleep(0.25)
    started = time.monotonic() - begin
    cpu_start = process.cpu_times().user - cpu
    before = sum((await asyncio.to_thread(counts, url))["calls"].values())
    await asyncio.sleep(seconds)
    after = sum((await asyncio.to_thread(counts, url))["calls"].values())
    memory = process.memory_info().rss
    stood.cancel()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(asyncio.CancelledError):
        await stood
    return {
        "waits": waits,
        "looked_at": seen,
        "seconds_to_start": round(started, 1),
        "cpu_to_start": round(cpu_start, 1),
        "rest_seconds": seconds,
        "calls_per_minute": round((after - before) * 60 / seconds, 1),
        "memory_mb": round(memory / 2**20),
        "memory_added_mb": round((memory - idle) / 2**20, 1),
        "longest_block_s": round(block.longest, 3),
        "longest_block_cpu_s": round(block.longest_cpu, 3),
    }


class Block:
    """The longest time for which an event loop stood still, by the clock and by the CPU time of its process."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.longest_cpu = 0.0

    async def watch(self, beat: float = 0.05) -> None:
        """Note by how much a short sleep is late, and what the process spent meanwhile."""
        while True:
            begin, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(beat)
            late = max(0.0, time.monotonic() - begin - beat)
            self.longest = max(self.longest, late)
            self.longest_cpu = max(self.longest_cpu, min(late, time.process_time() - cpu))


def measure(name: str, waits: int, args: argparse.Namespace, python: str) -> dict[str, Any]:
    """Run one contender in a process of its own against a fresh count."""
    Stub.calls.clear()
    Stub.asked.clear()
    Stub.jobs = waits
    server = StubServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    connection = {
        "conn_type": "aws",
        "login": "x",
        "password": "y",
        "extra": {"region_name": "us-east-1", "service_config": {"bedrock": {"endpoint_url": url}}},
    }
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        words = ["--contender", name, "--url", url, "--waits", str(waits)]
        words += ["--period", str(args.period), "--seconds", str(args.seconds)]
        done = subprocess.run(
            [python, __file__, *words],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
    server.shutdown()
    server.server_close()
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1:] or "no word"}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> int:
    """Measure both, print the figures; returns 1 when a limit is crossed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waits", type=int, default=1000)
    parser.add_argument("--period", type=float, default=60.0, help="seconds between polls")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to count calls at rest")
    parser.add_argument("--provider-python", default=sys.executable, help="interpreter that has aiobotocore")
    parser.add_argument("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        told = asyncio.run(contend(args.contender, args.waits, args.period, args.seconds, args.url))
        print(json.dumps(told))
        return 0
    few = max(1, args.waits // 10)
    load = os.getloadavg()
    results = {
        f"ours, {few:,}": measure("ours", few, args, sys.executable),
        f"ours, {args.waits:,}": measure("ours", args.waits, args, sys.executable),
        f"provider, {args.waits:,}": measure("provider", args.waits, args, args.provider_python),
    }
    print(f"load before and after: {load[0]:.1f} {os.getloadavg()[0]:.1f}")
    print(table(results))
    crossed = list(limits(*results.values(), period=args.period))
    print("\n".join(f"crossed: {line}" for line in crossed) or "no limit crossed")
    return 1 if crossed else 0


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the figures, a column a contender."""
    lines = [f"{'':<22}" + "".join(f"{name:>18}" for name in results)]
    for figure in FIGURES:
        cells = (f"{told.get(figure, '-'):>18}" for told in results.values())
        lines.append(f"{figure:<22}" + "".join(cells))
    lines += [f"{name}: {told['error']}" for name, told in results.items() if "error" in told]
    return "\n".join(lines)


def limits(
    few: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any], *, period: float
) -> Iterator[str]:
    """Yield what crosses a limit; the provider's shares only when it could be measured."""
    for told in (few, ours):
        if "error" in told:
            yield str(told["error"])
            return
    if ours["looked_at"] < ours["waits"] or ours["seconds_to_start"] > LONGEST_START:
        yield f"all polling after {ours['seconds_to_start']} s, limit {LONGEST_START} s"
    if ours["longest_block_cpu_s"] > LONGEST_BLOCK:
        yield f"the loop stood still for {ours['longest_block_cpu_s']} s of CPU, limit {LONGEST_BLOCK} s"
    for told in (few, ours):
        most = math.ceil(told["waits"] / PAGE) * 60 / period * 1.25 + 60 / told["rest_seconds"]
        if told["calls_per_minute"] > most:
            yield f"{told['calls_per_minute']} calls a minute for {told['waits']} waits, limit {most:.1f}"
    if "error" in theirs:
        return
    for figure, share in (("calls_per_minute", 50), ("memory_mb", 5)):
        if ours[figure] * share > theirs[figure]:
            yield f"{figure} {ours[figure]}, limit a {share}th of {theirs[figure]}"


if __name__ == "__main__":
    sys.exit(main())
