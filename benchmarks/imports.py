"""What importing costs: all operators over what they stand on, and the rooms that must not import Airflow or the AWS SDK.

    python benchmarks/imports.py [--repeat 5]

Each figure is the median CPU time of fresh interpreters. The base is `airflow.sdk` with the amazon classes that operators
and
sensors derive from; the limit for everything of ours together is 0.15 s more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
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
TIMED = "import time; begin = time.process_time()\n{code}\nprint(time.process_time() - begin)"
HEAVY = "import sys\n{code}\nprint([m for m in ('airflow', 'boto3', 'botocore') if m in sys.modules])"


def run(code: str, home: str) -> str:
    """Run code in a fresh interpreter; returns the last line it printed."""
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
    return done.stdout.strip().splitlines()[-1]


def seconds(code: str, repeat: int, home: str) -> float:
    """Return the median CPU seconds of some code."""
    return statistics.median(float(run(TIMED.format(code=code), home)) for _ in range(repeat))


def main() -> int:
    """Print the figures; returns 1 when a limit is crossed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        base = seconds(BASE, args.repeat, home)
        everything = seconds(BASE + ALL, args.repeat, home)
        pure = {
            name: (seconds(code, args.repeat, home), run(HEAVY.format(code=code), home))
            for name, code in PURE.items()
        }
    added = everything - base
    print(json.dumps({"base_s": round(base, 3), "all_s": round(everything, 3), "added_s": round(added, 3)}))
    for name, (took, heavy) in pure.items():
        print(f"{name:<12} {took:.3f} s, of airflow and the AWS SDK it imports {heavy}")
    return 0 if added <= 0.15 and all(heavy == "[]" for _, heavy in pure.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
