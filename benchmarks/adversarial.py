"""What one hostile megabyte costs, as a ratio to an ordinary text of the same length, in one run on this machine.

Makes prompts of a million characters from every pattern that redaction knows, from what its patterns look for and from what
else has been slow (tests/security/linear.py), and measures for each, in processor time:

- the harvest of one record with that prompt, redacted, to the bytes of its shard file;
- the longest time that the triggerer's event loop waits while the fresh-log watcher reads such a record.

Run it alone: `python benchmarks/adversarial.py [--size 1000000] [--every 1] [--show 12]`; `--every 4` takes every
fourth text.
Goals: the harvest less than 0.5 s for any of them, the event loop never more than 0.2 s. Exit status 1 when one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from airflow_distill.stages import digest  # noqa: E402
from airflow_distill.stages.dataset import dressed, known_secrets, redact  # noqa: E402
from airflow_distill.stages.logs import chat_templates  # noqa: E402
from airflow_distill.stages.logs.reader import ShardReader  # noqa: E402
from airflow_distill.stages.logs.selection import Selection  # noqa: E402
from airflow_distill.stages.storage import LocalStore, MemoryStore  # noqa: E402
from airflow_distill.triggers.assets import LogPrefix  # noqa: E402
from airflow_distill.triggers.threads import in_thread  # noqa: E402
from tests.security import linear  # noqa: E402

HARVEST_GOAL = 0.5
LOOP_GOAL = 0.2
NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
MODULES = (known_secrets, redact, dressed, chat_templates, digest)
PIECES = (
    "1.2.3.4,", "4111 1111 1111 1111,", "4111 1111 1111 1112 ", "4111111111111111 ", "a@a.", "a@a.co,", "token=", "pass=",
    "password: x1!", "eyJ", "sk-", "+49 170 1234567 ", "AKIA", "12:34:56:78:90:ab,", "ab::1,", "://a:b@c ", "secret ",
    "secret-", "DE12 ", "(01) 234 ", "[IP_1]", "-----BEGIN PRIVATE KEY-----", "<s>[INST]<<SYS>>", "\u0301\u0316",
)  # fmt: skip


def ordinary(size: int) -> str:
    """Return a text as people write to a support desk: words, numbers, some addresses and links."""
    rng = random.Random(7)
    words = (
        "please",
        "check",
        "my",
        "order",
        "it",
        "has",
        "not",
        "come",
        "and",
        "the",
        "app",
        "shows",
        "an",
        "error",
    )
    parts: list[str] = []
    length = 0
    while length < size:
        part = " ".join(rng.choices(words, k=12)) + f", order {rng.randint(10_000, 99_999)}. "
        if rng.random() < 0.1:
            part += f"Write to ann{rng.randint(1, 999)}@example.com or see https://example.com/a/{rng.randint(1, 999)}. "
        parts.append(part)
        length += len(part)
    return "".join(parts)[:size]


def record(text: str) -> bytes:
    asked = (
        {"prompt": text}
        if text.startswith("<s>")
        else {"messages": [{"role": "user", "content": [{"text": text}]}]}
    )
    answered = {
        "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
        "stopReason": "end_turn",
    }
    return json.dumps(
        {
            "schemaType": "ModelInvocationLog",
            "timestamp": "2026-11-20T10:00:00Z",
            "requestId": "r",
            "operation": "Converse",
            "modelId": "amazon.nova-pro-v1:0",
            "input": {"inputBodyJson": asked},
            "output": {"outputBodyJson": answered},
        },
        ensure_ascii=False,
    ).encode("utf-8", "replace") + b"\n"  # fmt: skip


def harvest(line: bytes) -> float:
    """Return the processor seconds of harvesting one record, to the bytes of its shard file."""
    redact._detect.cache_clear()
    begun = time.thread_time()
    reader = ShardReader(MemoryStore(), Selection(), salt="bench", redact=redact.Redaction())
    reader.read_object("a.jsonl", io.BytesIO(line))
    reader.finish().to_bytes()
    return time.thread_time() - begun


def longest_wait(line: bytes) -> float:
    """Return the longest that the event loop waits for the interpreter during a look, as processor time of this process."""
    with tempfile.TemporaryDirectory() as folder:
        hour = Path(folder) / "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/20/10"
        hour.mkdir(parents=True)
        (hour / "a.json").write_bytes(line * 2)
        prefix = LogPrefix(LocalStore(), folder, timedelta(hours=3))

        async def look() -> float:
            worst = 0.0

            async def turn() -> None:
                nonlocal worst
                last = time.process_time()
                while True:
                    await asyncio.sleep(0.001)
                    now = time.process_time()
                    worst = max(worst, now - last)
                    last = now

            turning = asyncio.create_task(turn())
            await asyncio.sleep(0.005)
            await in_thread(prefix.look, NOW)
            await asyncio.sleep(0.002)
            turning.cancel()
            return worst

        return asyncio.run(look())


def texts(every: int) -> dict[str, Callable[[int], str]]:
    found: dict[str, Callable[[int], str]] = {}
    for piece in PIECES:
        linear._add(found, piece)
    for module in MODULES:
        for name, make in islice(linear.worst_texts(module).items(), 0, None, every):
            found.setdefault(name, make)
    return found


def best(measure: Callable[[bytes], float], line: bytes, goal: float) -> float:
    """Return what a measure gives; what looks bad is measured again, for this machine has other work too."""
    least = measure(line)
    for _ in range(4):
        if least <= 0.7 * goal:
            break
        least = min(least, measure(line))
    return least


def main() -> int:
    parser: Any = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--show", type=int, default=12)
    asked = parser.parse_args()
    plain = record(ordinary(asked.size))
    base = min(harvest(plain) for _ in range(3))
    loop_base = min(longest_wait(plain) for _ in range(3))
    rows = []
    for name, make in texts(asked.every).items():
        line = record(make(asked.size))
        rows.append((best(harvest, line, HARVEST_GOAL), best(longest_wait, line, LOOP_GOAL), name))
    print(f"{len(rows)} hostile texts of {asked.size:,} characters beside an ordinary one of the same length")
    print(f"{'':56} harvest        ratio   loop waits     ratio")
    print(f"{'ordinary text':56} {base:6.3f} s {1:9.1f} x {loop_base:8.3f} s {1:8.1f} x")
    rows.sort(reverse=True)
    slowest = sorted(rows, key=lambda row: -row[1])[: asked.show // 4]
    for spent, waited, name in dict.fromkeys([*rows[: asked.show], *slowest]):
        print(
            f"{name[:56]:56} {spent:6.3f} s {spent / base:9.1f} x {waited:8.3f} s {waited / loop_base:8.1f} x"
        )
    missed = rows[0][0] > HARVEST_GOAL or slowest[0][1] > LOOP_GOAL
    print(f"goals: harvest {HARVEST_GOAL} s, loop {LOOP_GOAL} s:", "MISSED" if missed else "met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
