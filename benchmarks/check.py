"""How fast a prompt file is checked, as a ratio to parsing the same lines, in one run on this machine.

Makes its own prompt file (1 GiB unless told otherwise), the same with one defect of every kind seeded at known
lines, then measures in fresh processes, best of several:

- parse only, the same JSON decoder into plain dicts, line by line: 1.0;
- the check of the clean file, and of the seeded one;
- memory at a quarter of the size and at the whole, to show that it is flat;
- whether every seeded defect was found on its line, and nothing on any other.

The official validator (200 records a second where we measured it, and it stops at the first wrong role order) is a
figure, not a run: it is a script of its own with numpy and jsonschema, and is not shipped here.

Run it alone: `python benchmarks/check.py [--megabytes 1024] [--repeats 3] [--keep FOLDER]`. Times are of the
processor, so that a busy machine disturbs them less.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

OFFICIAL = 200
LETTERS = "aaabcdeeeefghiiijklmnnoooprrssttttuuvwyz"


def make_line(rng: random.Random, words: list[str], number: int) -> bytes:
    """One record like real ones: a system prompt mostly, 40 to 120 words, an answer in every third, quotes and
    breaks."""
    text = " ".join(rng.choices(words, k=rng.randint(40, 120)))
    if number % 4 == 0:
        text = f'He said: "{text[:80]}"\n\n{text[80:]} [1] <b>'
    record: dict[str, Any] = {"schemaVersion": "bedrock-conversation-2024"}
    if number % 5:
        record["system"] = [{"text": "You answer customers of a bank, briefly and in their language."}]
    record["messages"] = [{"role": "user", "content": [{"text": f"{number} {text}"}]}]
    if number % 3 == 0:
        answer = " ".join(rng.choices(words, k=30))
        record["messages"].append({"role": "assistant", "content": [{"text": answer}]})
    return json.dumps(record, ensure_ascii=number % 7 == 0).encode()


def _bend(record: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**record, **changes}).encode()


def defects() -> dict[str, bytes]:
    """One bad line for each code that a line can have."""
    user = {"role": "user", "content": [{"text": "a question"}]}
    good: dict[str, Any] = {"schemaVersion": "bedrock-conversation-2024", "messages": [user]}
    line = json.dumps(good).encode()
    return {
        "blank_line": b"",
        "bad_json": line[:-4],
        "bad_number": line[:-1] + b',"x":NaN}',
        "too_deep": b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        "not_an_object": b"[" + line + b"]",
        "empty_object": b"{}",
        "not_utf8": line.replace(b"question", b"quest\xe9on"),
        "nul_byte": line.replace(b"question", b"quest\x00on"),
        "nul_character": line.replace(b"question", b"quest\\u0000on"),
        "lone_surrogate": line.replace(b"question", b"quest\\ud800on"),
        "duplicate_key": line.replace(b'{"schema', b'{"messages":[],"schema'),
        "crlf": line.replace(b"question", b"windows question") + b"\r",
        "schema_version": _bend(good, schemaVersion="bedrock-conversion-2024"),
        "unknown_key": _bend(good, id=7),
        "system_shape": _bend(good, system=[]),
        "messages_shape": _bend(good, messages=[]),
        "message_shape": _bend(good, messages=["a question"]),
        "role_unknown": _bend(good, messages=[{**user, "role": "system"}]),
        "role_order": _bend(good, messages=[user, user]),
        "content_shape": _bend(good, messages=[{"role": "user", "content": "a question"}]),
        "not_text": _bend(good, messages=[{"role": "user", "content": [{"image": {}}]}]),
        "empty_text": _bend(good, messages=[{"role": "user", "content": [{"text": " "}]}]),
        "text_too_long": _bend(good, messages=[{"role": "user", "content": [{"text": "a" * 5_000_000}]}]),
        "control_token": _bend(good, messages=[{"role": "user", "content": [{"text": "<|eot_id|>"}]}]),
        "line_too_long": b"a" * (9 << 20),
    }


def make_files(folder: Path, megabytes: int) -> tuple[int, dict[int, str]]:
    """Write clean.jsonl, quarter.jsonl and seeded.jsonl; returns records and the seeded lines."""
    rng = random.Random(1)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(2, 10))) for _ in range(20_000)]
    block = [make_line(rng, words, number) for number in range(20_000)]
    wanted = megabytes << 20
    size = count = 0
    seeds = defects()
    seeded: dict[int, str] = {}
    every = max(1, wanted // (sum(map(len, block)) // len(block)) // (len(seeds) + 1))
    names = iter(seeds)
    at = 0
    with (
        (folder / "clean.jsonl").open("wb") as clean,
        (folder / "quarter.jsonl").open("wb") as quarter,
        (folder / "seeded.jsonl").open("wb") as bad,
    ):
        while size < wanted:
            line = block[count % len(block)].replace(b'"text": "', b'"text": "%d ' % count, 1) + b"\n"
            clean.write(line)
            if size < wanted // 4:
                quarter.write(line)
            bad.write(line)
            count += 1
            at += 1
            size += len(line)
            if count % every == 0 and (name := next(names, None)):
                bad.write(seeds[name] + b"\n")
                at += 1
                seeded[at] = name
    return count, seeded


def parse_only(path: str) -> dict[str, Any]:
    """Decode every line into plain dicts."""
    import msgspec

    from airflow_distill.stages.dataset.reading import Block, iter_blocks

    decode = msgspec.json.Decoder().decode
    records = 0
    with Path(path).open("rb") as stream:
        for block in iter_blocks(stream):
            if isinstance(block, Block):
                for line in block.data.split(b"\n"):
                    if line:
                        decode(line)
                        records += 1
    return {"records": records}


def check(path: str) -> dict[str, Any]:
    """Check as the command line does."""
    from airflow_distill.stages.dataset.checks import check_stream
    from airflow_distill.stages.dataset.families import family_of

    with Path(path).open("rb") as stream:
        report = check_stream(stream, family_of("amazon.nova-micro-v1:0:128k"))
    found = [[item.line, item.code] for item in report.findings if item.line]
    return {"records": report.records, "accepted": report.accepted, "found": found}


TASKS: dict[str, Callable[[str], dict[str, Any]]] = {"parse_only": parse_only, "check": check}


def measure(task: str, path: Path, repeats: int) -> dict[str, Any]:
    """Run a task in fresh processes and return the fastest one's figures."""
    runs = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, __file__, "--task", task, str(path)], check=True, capture_output=True, text=True
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    best: dict[str, Any] = min(runs, key=lambda run: run["seconds"])
    return best


def run_task(task: str, path: str) -> None:
    """The inside of a fresh process."""
    start = time.process_time()
    out = TASKS[task](path)
    out["seconds"] = time.process_time() - start
    out["peak_mb"] = peak_megabytes()
    print(json.dumps(out))


def peak_megabytes() -> float:
    """The process's own peak; what `getrusage` says on Linux includes the parent's at the fork."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Make the files, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--task", nargs=2, metavar=("TASK", "PATH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        run_task(*args.task)
        return
    folder = args.keep or Path(tempfile.mkdtemp(prefix="check-benchmark-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        records, seeded = make_files(folder, args.megabytes)
        print(f"{args.megabytes} MB, {records:,} records, best of {args.repeats}, processor time")
        parsed = measure("parse_only", folder / "clean.jsonl", args.repeats)
        rows = {
            "parse only": parsed,
            "check, clean": measure("check", folder / "clean.jsonl", args.repeats),
            "check, a quarter": measure("check", folder / "quarter.jsonl", args.repeats),
            "check, seeded": measure("check", folder / "seeded.jsonl", args.repeats),
        }
        print(f"{'':18} {'seconds':>8} {'records/s':>10} {'to parse':>9} {'to official':>12} {'peak MB':>8}")
        for name, row in rows.items():
            rate = row["records"] / row["seconds"]
            ratio = parsed["records"] / parsed["seconds"] / rate
            line = f"{name:18} {row['seconds']:8.2f} {rate:10,.0f} {ratio:9.2f}"
            print(f"{line} {rate / OFFICIAL:11,.0f}x {row['peak_mb']:8.0f}")
        expected = sorted([line, code] for line, code in seeded.items())
        found = sorted(rows["check, seeded"]["found"])
        missed = [item for item in expected if item not in found]
        extra = [item for item in found if item not in expected]
        print(
            f"seeded defects: {len(expected)} of {len(defects())} kinds, missed {missed}, elsewhere {extra}"
        )
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
