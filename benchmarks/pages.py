"""What the pages in Airflow cost: a list of 200 workloads with 1,000 releases, and what loading the plugin adds.

    python benchmarks/pages.py [--workloads 200] [--releases 5] [--looks 15] [--starts 3]

A real api-server, its bucket in the sandbox. Cold: the first request of a fresh process, which builds the app and the AWS
client. Warm: a listing each, two seconds apart, so that no answer comes from memory alone. Every S3 call is counted where
it arrives. Loading the plugin is timed in fresh interpreters that have Airflow's plugin manager already.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from airflow_distill.demo.airflow import COMPONENTS, LocalAirflow
from airflow_distill.demo.processes import Processes, free_port
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.status.records import (
    Deciding,
    LastVerdict,
    LiveRelease,
    Money,
    PastDataset,
    PastRelease,
    PastVerdict,
    Status,
    Step,
    encode,
    status_uri,
)

BUCKET = "pages-bench"
ROOT = f"s3://{BUCKET}/loop"
WARM, COLD, CALLS, LOADING = 0.300, 1.5, 3, 0.020
"""Limits: seconds at the 95th percentile, S3 calls of a warm list, seconds that loading the plugin adds."""
AT = "2026-11-30T00:00:00Z"

KNOW_DAGS = """
import sys
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
with create_session() as session:
    session.add(DagBundleModel(name="bench"))
    session.flush()
    for number in range(int(sys.argv[1])):
        session.add(DagModel(dag_id=f"distill_w{number:03d}", bundle_name="bench", fileloc="bench.py"))
"""
LOAD = """
import json, sys, time
import airflow.plugins_manager
before = set(sys.modules)
begin = time.perf_counter()
import airflow_distill.plugin.plugin
took = time.perf_counter() - begin
new = set(sys.modules) - before
heavy = ("fastapi", "starlette", "boto3", "botocore")
print(json.dumps([took, sorted(name for name in new if name.split(".")[0] in heavy)]))
"""


def status(number: int, releases: int) -> Status:
    """Return a status as a loop of some months leaves it."""
    name = f"w{number:03d}"
    past = [PastVerdict(AT, "hold", f"{n:020x}", "a" * 16, -0.02, -0.05, 0.01, -0.05, 900) for n in range(8)]
    deciding = Deciding("label_accuracy", "teacher", "", "pass", 900, -0.02, -0.05, 0.01, -0.05)
    return Status(
        name,
        AT,
        f"distill_{name}",
        "amazon.nova-pro-v1:0",
        "amazon.nova-micro-v1:0:128k",
        Step(f"distill_{name}", "scheduled__2026-11-30T00:00:00+00:00", "end.end_turn", AT, "ended"),
        live=LiveRelease(releases, AT, "arn:aws:bedrock:us-east-1:123456789012:custom-model/x/y", "h", "a"),
        verdict=LastVerdict(
            "promote", AT, "e" * 20, "d" * 32, 900, None, ("It is shown.",), deciding, "a" * 16
        ),
        money=Money({f"2026{m:02d}": 12.5 for m in range(1, 12)}, 200.0, 441.6, 3091.2, 1, 0, AT),
        releases=tuple(PastRelease(n, AT, "released") for n in range(1, releases + 1)),
        verdicts=tuple(past),
        datasets=tuple(PastDataset(f"{n:016x}", 900, 200, AT) for n in range(8)),
    )


def fill(sandbox: Sandbox, workloads: int, releases: int) -> int:
    """Write statuses and ledgers; returns the bytes of the largest status."""
    sandbox.prepare(BUCKET)
    s3, largest = sandbox.client("s3"), 0
    for number in range(workloads):
        data = encode(status(number, releases))
        largest = max(largest, len(data))
        s3.put_object(Bucket=BUCKET, Key=status_uri(ROOT, f"w{number:03d}").split("/", 3)[3], Body=data)
        for release in range(1, releases + 1):
            s3.put_object(Bucket=BUCKET, Key=f"loop/w{number:03d}/releases/{release:06d}.json", Body=b"{}")
    return largest


class Counter:
    """Counts the requests that the sandbox's S3 gets."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.calls = 0
        dispatcher: Any = sandbox._dispatcher
        answer = dispatcher._neighbour

        def counted(service: str, request: Any, connection: Any) -> Any:
            self.calls += service == "s3"
            return answer(service, request, connection)

        dispatcher._neighbour = counted

    def since(self, before: int) -> int:
        """Return how many came since."""
        return self.calls - before


def p95(seconds: list[float]) -> float:
    """Return the 95th percentile; of few figures, the largest."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * 0.95))]


@dataclass
class Seen:
    """Seconds of the looks, CPU seconds of the api-server in them, S3 calls of the dearest, bytes of an answer."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    cold_spent: list[float] = field(default_factory=list)
    warm_spent: list[float] = field(default_factory=list)
    cold_calls: int = 0
    warm_calls: int = 0
    size: int = 0


def measure(sandbox: Sandbox, home: Path, args: argparse.Namespace) -> Seen:
    """Start the api-server so many times, and ask each for the list."""
    counter = Counter(sandbox)
    dags = home / "dags"
    dags.mkdir()
    settings = {
        **sandbox.environment(),
        "AIRFLOW__AIRFLOW_DISTILL__PAGES": "True",
        "AIRFLOW__AIRFLOW_DISTILL__ROOT": ROOT,
    }
    airflow = LocalAirflow(home, dags, free_port(), Processes(home / "logs"), settings)
    airflow.begin_migration()
    airflow.processes.wait("db-migrate", timeout=180)
    subprocess.run(
        [sys.executable, "-c", KNOW_DAGS, str(args.workloads)],
        env=airflow.environment(),
        check=True,
        capture_output=True,
    )
    seen = Seen()
    for _ in range(args.starts):
        airflow.processes.start(
            "api-server", airflow.command(*COMPONENTS["api-server"]), airflow.environment()
        )
        try:
            token = wait_for(airflow)
            for look in range(args.looks + 1):
                if look:
                    time.sleep(2.1)
                before, used = counter.calls, processor_seconds(airflow)
                took, seen.size = ask(airflow, token, args.workloads)
                spent, calls = processor_seconds(airflow) - used, counter.since(before)
                if look:
                    seen.warm.append(took)
                    seen.warm_spent.append(spent)
                    seen.warm_calls = max(seen.warm_calls, calls)
                else:
                    seen.cold.append(took)
                    seen.cold_spent.append(spent)
                    seen.cold_calls = calls
        finally:
            airflow.processes.stop()
    return seen


def processor_seconds(airflow: LocalAirflow) -> float:
    """Return the CPU seconds of the api-server and all it has started."""
    server = psutil.Process(airflow.processes.running["api-server"].pid)
    family = [server, *server.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def wait_for(airflow: LocalAirflow) -> str:
    """Wait until the api-server answers; returns a token."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            return str(
                httpx.get(f"{airflow.url}/auth/token", timeout=5).raise_for_status().json()["access_token"]
            )
        except httpx.HTTPError:
            time.sleep(0.5)
    raise SystemExit("the api-server did not start")


def ask(airflow: LocalAirflow, token: str, workloads: int) -> tuple[float, int]:
    """Ask for the list once; returns seconds and bytes."""
    begin = time.perf_counter()
    answer = httpx.get(
        f"{airflow.url}/distill/api/workloads", headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    took = time.perf_counter() - begin
    found = answer.raise_for_status().json()
    assert len(found.get("workloads", ())) == workloads, answer.text[:300]
    return took, len(answer.content)


def loading(home: Path, repeat: int = 7) -> tuple[list[float], list[str]]:
    """Return the seconds that importing the plugin adds, and which heavy modules it brought."""
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__AIRFLOW_DISTILL__PAGES": "True"}
    took, brought = [], []
    for _ in range(repeat):
        done = subprocess.run(
            [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
        )
        seconds, brought = json.loads(done.stdout.splitlines()[-1])
        took.append(seconds)
    return took, brought


def row(what: str, figure: str, more: str = "") -> str:
    """Return one line of the table."""
    return f"{what:<40}{figure:>14}   {more}".rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", type=int, default=200)
    parser.add_argument("--releases", type=int, default=5, help="of each workload")
    parser.add_argument("--looks", type=int, default=15)
    parser.add_argument("--starts", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with Sandbox() as sandbox:
            largest = fill(sandbox, args.workloads, args.releases)
            seen = measure(sandbox, home, args)
        took, brought = loading(home)
    print(
        f"{args.workloads} workloads, {args.workloads * args.releases:,} releases; load {os.getloadavg()[0]:.1f}"
    )
    print(row("status record, the largest", f"{largest:,} bytes", "limit 4,096"))
    print(row("list, answer", f"{seen.size:,} bytes"))
    for name, took_s, spent, calls, limit in (
        (f"list cold, {len(seen.cold)} starts, p95", seen.cold, seen.cold_spent, seen.cold_calls, COLD),
        (f"list warm, {len(seen.warm)} looks, p95", seen.warm, seen.warm_spent, seen.warm_calls, WARM),
    ):
        more = f"limit {limit * 1000:,.0f} ms; {statistics.median(spent) * 1000:,.0f} ms of CPU; {calls} S3 calls"
        print(row(name, f"{p95(took_s) * 1000:,.0f} ms", more))
    middle = f"median {statistics.median(took) * 1000:.1f} ms, limit {LOADING * 1000:.0f} ms"
    print(row("plugin import adds, least", f"{min(took) * 1000:.1f} ms", middle))
    print(row("FastAPI or the AWS SDK with it", ", ".join(brought) or "no"))
    quick = p95(seen.warm) <= WARM and p95(seen.cold) <= COLD and seen.warm_calls <= CALLS
    return 0 if quick and min(took) <= LOADING and not brought else 1


if __name__ == "__main__":
    sys.exit(main())
