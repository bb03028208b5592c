"""A prompt that a stranger writes never stops the triggerer's event loop."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.stages.storage import LocalStore
from airflow_distill.triggers import assets
from airflow_distill.triggers.assets import LogPrefix
from airflow_distill.triggers.threads import in_thread
from tests.stages.logs.log_records import invoked

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
PROMPTS = {
    "a system text without an end": "<s>[INST]<<SYS>>" + " " * 400_000 + "[/INST]",
    "marks": "a" + "\u0301\u0316" * 200_000,
    "control tokens": "<|a|>" * 80_000,
    "old turns": "\n\nHuman:" * 50_000,
}


def write(folder: Path, records: list[dict[str, Any]], name: str = "a.json") -> int:
    hour = folder / "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/20/10"
    hour.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(item) + "\n" for item in records)
    (hour / name).write_text(text)
    return len(text)


@pytest.mark.parametrize("kind", PROMPTS)
def test_the_event_loop_goes_on_while_a_hostile_prompt_is_read(kind: str, tmp_path: Path) -> None:
    """The loop's turns are counted against the processor time that the look takes: one turn at least every 0.2 s."""
    asked = {"prompt": PROMPTS[kind]}
    write(tmp_path, [invoked(asked, {"generation": "x"}, timestamp="2026-11-20T10:00:00Z")] * 3)
    prefix = LogPrefix(LocalStore(), str(tmp_path), timedelta(hours=3))

    async def look() -> tuple[float, int]:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turning = asyncio.create_task(turn())
        begun = time.process_time()
        await in_thread(prefix.look, NOW)
        turning.cancel()
        return time.process_time() - begun, turns

    spent, turns = asyncio.run(look())
    assert turns >= spent / 0.2
    assert spent < 10


def test_a_look_reads_so_many_bytes_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"messages": [{"role": "user", "content": "q"}]}
    answered = {"content": [{"type": "text", "text": "a"}]}
    for number in range(4):
        calls = [invoked({**asked, "system": f"{number}"}, answered, timestamp="2026-11-20T10:00:00Z")]
        size = write(tmp_path, calls, f"{number}.json")
    monkeypatch.setattr(assets, "MOST_BYTES_A_LOOK", size * 3 // 2)
    prefix = LogPrefix(LocalStore(), str(tmp_path), timedelta(hours=3))
    seen = []
    while True:
        snapshot = prefix.look(NOW)
        seen.append(sum(count for hours in snapshot.values() for count in hours.values()))
        if not prefix.has_more:
            break
    assert seen[-1] == 4
    assert seen == sorted(seen)
    assert len(seen) > 1
