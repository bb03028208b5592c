"""What importing costs: all operators over what they stand on, and the rooms that must not import Airflow or the AWS SDK.

    python benchmarks/imports.py [--repeat 7]

Every figure comes from fresh interpreters. Each imports first the base (`airflow.sdk` with the classes that operators and
sensors derive from) and then all operators and sensors, and the clocks are read in between: what ours add is never the
difference of two long and noisy runs. The least of all runs counts, because a busy machine can only add to it; the median
is shown beside it. The limit for everything of ours together is 0.15 s of CPU time.

The warm-up run is not counted: it writes the bytecode that every later start finds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIMIT = 0.15
BASE = """
import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, conf
import airflow.triggers.base
import airflow.providers.amazon.aws.operators.base_aws
import airflow.providers.amazon.aws.sensors.base_aws
import airflow.providers.amazon.aws.links.base_aws
import airflow.providers.standard.operators.hitl
"""
ALL = """
import importlib, pkgutil
import airflow_distill.operators, airflow_distill.sensors
for package in (airflow_distill.operators, airflow_distill.sensors):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
PURE = {
    "remote": "import airflow_distill.remote.submit, airflow_distill.remote.polling, airflow_distill.remote.identity",
    "stages": "import airflow_distill.stages.jobs.request, airflow_distill.stages.dataset.records",
    "cli --help": "from airflow_distill.cli.main import build_parser; build_parser().format_help()",
}
CLOCKS = """
import json, resource, sys, time
def clocks():
    user = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    return time.perf_counter(), time.process_time(), user, len(sys.modules)
def told(begin):
    spent = dict(zip(("wall", "cpu", "user", "modules"), (b - a for a, b in zip(begin, clocks()))))
    return {**spent, "heavy": [name for name in ("airflow", "boto3", "botocore") if name in sys.modules]}
"""


def run(first: str, then: str, home: str) -> dict[str, dict[str, Any]]:
    """Run one piece of code after the other in a fresh interpreter; returns what each took."""
    parts = (CLOCKS, "begin = clocks()", first, "one = told(begin)", "begin = clocks()", then)
    code = "\n".join((*parts, "print(json.dumps([one, told(begin)]))"))
    environment = {
        "PATH": "/usr/bin:/bin",
        "AIRFLOW_HOME": home,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    one, two = json.loads(done.stdout.strip().splitlines()[-1])
    return {"first": one, "then": two}


def row(name: str, runs: list[dict[str, Any]]) -> str:
    """Return one line of the table: the least and the median of each clock."""
    cells = []
    for clock in ("wall", "cpu", "user"):
        values = [each[clock] for each in runs]
        cells.append(f"{min(values):7.3f} {statistics.median(values):7.3f}")
    return f"{name:<22} {'  '.join(cells)}  {runs[0]['modules']:>7}"


def main() -> int:
    """Print the figures; returns 1 when a limit is crossed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        run(BASE, ALL, home)
        pairs = [run(BASE, ALL, home) for _ in range(args.repeat)]
        pure = {
            name: [run("", code, home)["then"] for _ in range(args.repeat)] for name, code in PURE.items()
        }
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"seconds, least and median of {args.repeat} fresh interpreters; load {load}")
    print(f"{'':<22} {'wall':<15}  {'cpu':<15}  {'user cpu':<15}  modules")
    print(row("base", [pair["first"] for pair in pairs]))
    print(row("all operators add", [pair["then"] for pair in pairs]))
    for name, runs in pure.items():
        print(f"{row(name, runs)}  of airflow and the AWS SDK: {', '.join(runs[0]['heavy']) or 'nothing'}")
    added = min(pair["then"]["cpu"] for pair in pairs)
    print(f"all operators add {added:.3f} s of CPU; limit {LIMIT} s")
    return 0 if added <= LIMIT and not any(runs[0]["heavy"] for runs in pure.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
