"""What a folder of workload files costs the Dag processor: 100 files become Dags, without Airflow's own start.

    python benchmarks/workloads.py [--files 100] [--repeat 7]

CPU seconds of one fresh interpreter, after the imports: the first parse, and of the following ones the least and the
median. The limit of 1.5 s is held against the least, because a busy machine can only add to it. Reading and checking the
files alone is shown beside it, as a share: what remains is Airflow building the operators.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LIMIT = 1.5
EXAMPLES = Path(__file__).parents[1] / "dags" / "workloads"


def spent(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def row(what: str, seconds: Sequence[float], more: str = "") -> str:
    """Return one line of the table: the least and the median."""
    return f"{what:<48}{min(seconds):6.2f} s {statistics.median(seconds):6.2f} s   {more}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        folder = Path(home) / "workloads"
        folder.mkdir()
        shutil.copy(EXAMPLES / "defaults.yaml", folder)
        for number in range(args.files):
            shutil.copy(EXAMPLES / "support_tickets.yaml", folder / f"w{number}.yaml")
        from airflow_distill.pipelines import build_dags
        from airflow_distill.workload.reading import read_folder

        first = [spent(lambda: build_dags(folder))]
        built = [spent(lambda: build_dags(folder)) for _ in range(args.repeat)]
        read = [spent(lambda: read_folder(folder)) for _ in range(args.repeat)]
        dags = build_dags(folder)
        broken = sum("broken" in dag.tags for dag in dags.values())
    tasks = sum(len(dag.tasks) for dag in dags.values())
    print(
        f"{args.files} files -> {len(dags)} Dags ({broken} broken), {tasks:,} tasks; load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':<48}{'least':>8} {'median':>8}")
    print(row("first parse, imports of the operators included", first))
    print(row("every further parse", built, f"limit {LIMIT} s"))
    print(row("reading and checking alone", read, f"{min(read) / min(built):.0%} of it"))
    return 0 if min(built) <= LIMIT and not broken else 1


if __name__ == "__main__":
    sys.exit(main())
