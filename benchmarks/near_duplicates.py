"""How long it takes to find the near copies among 60,000 prompts, in how much memory, and how many are found.

Makes its own prompts: short questions, messages of some hundred words and long passages, 50,000 different ones and
10,000 copies of them with a few words changed. Three runs, each in a fresh process: ours; ours when every prompt
begins with the same 300 words; and, where it is installed, datasketch's MinHash over the same words and word pairs,
as the obvious way.

Run it alone: `python benchmarks/near_duplicates.py [--prompts 60000]`. Goal: at most 20 s and 500 MB.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

THRESHOLD = 0.8
LENGTHS = ((12, 30), (40, 120), (120, 300))
WEIGHTS = (6, 3, 1)


def make_prompts(count: int) -> list[str]:
    """Return the prompts; the last sixth are copies of others with up to 3 % of their words changed."""
    rng = random.Random(5)
    words = [f"w{n:x}" for n in range(20_000)]
    ranks = [1 / (rank + 3) for rank in range(len(words))]
    pool = rng.choices(words, weights=ranks, k=2_000_000)
    originals = []
    for _ in range(count - count // 6):
        low, high = rng.choices(LENGTHS, WEIGHTS)[0]
        start = rng.randrange(len(pool) - high)
        originals.append(pool[start : start + rng.randint(low, high)])
    copies = []
    for _ in range(count // 6):
        text = list(rng.choice(originals))
        for _ in range(max(1, len(text) * 3 // 100)):
            text[rng.randrange(len(text))] = rng.choice(words)
        copies.append(text)
    return [" ".join(text) for text in originals + copies]


def run_ours(prompts: list[str]) -> int:
    """Find copies as curation does: template, sketches, index."""
    from airflow_distill.stages.dataset.dedupe import Sketcher, find_copies, find_template

    sketcher = Sketcher(find_template(prompts))
    return sum(first is not None for first in find_copies([sketcher.sketch(p) for p in prompts], THRESHOLD))


def run_datasketch(prompts: list[str]) -> int:
    """The obvious way: MinHash with 128 permutations and LSH."""
    from datasketch import MinHash, MinHashLSH

    from airflow_distill.stages.dataset.dedupe import folded_words

    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    found = 0
    for number, prompt in enumerate(prompts):
        words = folded_words(prompt)
        signature = MinHash(num_perm=128)
        signature.update_batch([*map(str.encode, words), *(f"{a} {b}".encode() for a, b in pairwise(words))])
        if any(True for _ in index.query(signature)):
            found += 1
        else:
            index.insert(str(number), signature)
    return found


def run_task(task: str, count: int) -> None:
    """The inside of a fresh process."""
    prompts = make_prompts(count)
    if task == "template":
        head = " ".join(f"rule{n}" for n in range(300))
        prompts = [f"{head} {prompt}" for prompt in prompts]
    before = peak_megabytes()
    start = time.process_time()
    found = run_datasketch(prompts) if task == "datasketch" else run_ours(prompts)
    seconds = time.process_time() - start
    print(json.dumps({"found": found, "seconds": seconds, "before": before, "peak": peak_megabytes()}))


def peak_megabytes() -> float:
    """The process's own peak; what `getrusage` says on Linux includes the parent's at the fork."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Run the tasks in fresh processes and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--prompts", type=int, default=60_000)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        run_task(args.task, args.prompts)
        return
    names = {
        "ours": "ours",
        "template": "ours, one template of 300 words",
        "datasketch": "datasketch, 128 permutations",
    }
    if importlib.util.find_spec("datasketch") is None:
        names.pop("datasketch")
    print(
        f"{args.prompts:,} prompts, {args.prompts // 6:,} of them copies, threshold {THRESHOLD}, processor time"
    )
    print(f"{'':32} {'seconds':>8} {'found':>8} {'peak MB':>8} {'of it prompts':>14}")
    for task, name in names.items():
        command = [sys.executable, __file__, "--task", task, "--prompts", str(args.prompts)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:32} {row['seconds']:8.1f} {row['found']:8,} {row['peak']:8.0f} {row['before']:14.0f}")


if __name__ == "__main__":
    main()
