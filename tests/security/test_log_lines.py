"""Whatever a log line or object holds costs at most that line: one count under a reason, never a traceback or the memory.

Fuzzed with records that are wrong in one to three places, in every reader of logs: harvest, check, watcher and scout.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import sys
import zlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.dataset.redact import Redaction
from airflow_distill.stages.logs.preflight import LogCheck
from airflow_distill.stages.logs.reader import ShardReader
from airflow_distill.stages.logs.selection import Selection, Window
from airflow_distill.stages.logs.shard_file import Harvest
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.storage import MemoryStore, StoredObject
from airflow_distill.workload.scout import Survey
from airflow_distill.workload.traffic import CallReader, count_object
from tests.security.cases import SEEN
from tests.stages.logs.log_records import MODEL, invoked, record

URI = "s3://logs/AWSLogs/1/BedrockModelInvocationLogs/us-east-1/2026/11/20/10/a.json.gz"
HALF = "\ud83d"
LEAVES: list[Any] = [
    None, True, -1, 1.5, 1e308, 2**64, -(2**70), 10**320, "", " ", "\x00", HALF, "\ufeff", [], {}, [[]], [None], {"": ""},
    {"text": None}, {HALF: 1}, "s3://logs/data/x", "/etc/passwd", "file:///etc/passwd", "2026-02-30T00:00:00Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "user", "tool", "system", {str(n): "v" for n in range(5000)},
]  # fmt: skip
RAW = ["NaN", "1e400", "9" * 320, "9" * 5000, '"\\ud800"', "[" * 5000, '{"a":' * 3000, "tru", "'x'"]
SHAPES = [
    record(),
    invoked({"prompt": "<s>[INST]<<SYS>>s<</SYS>>q[/INST]"}, {"generation": "a", "stop_reason": "stop"}),
    invoked(
        {"messages": [{"role": "user", "content": "hello"}], "system": "s"},
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "yo"}}},
            {"messageStop": {"stopReason": "end_turn"}},
            {"metadata": {"usage": {"inputTokens": 1}, "metrics": {"latencyMs": 4}}},
        ],
    ),
    invoked(
        json.dumps({"inputText": "User: a\nBot:"}),
        json.dumps({"results": [{"outputText": "b", "tokenCount": 1}]}),
    ),
    invoked(
        {"input": "q"}, {"output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]}
    ),
    record(
        input={
            "inputBodyS3Path": "s3://logs/data/x",
            "inputTokenCount": 10**320,
            "cacheReadInputTokenCount": 0.5,
        }
    ),
]
SELECTIONS = [
    Selection(),
    Selection(model=MODEL, window=Window.parse("2026-11-01", "2026-12-01")),
    Selection(identity="*/i-?"),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in pairs:
        found += places(held, (*path, key))
    return found


def broken(chance: random.Random) -> bytes:
    """Return a line that is wrong in up to three places."""
    data = json.loads(json.dumps(chance.choice(SHAPES)))
    for number in range(chance.randint(0, 3)):
        *before, last = chance.choice(places(data)[1:])
        held = data
        for key in before:
            held = held[key]
        kind = chance.random()
        if kind < 0.5:
            held[last] = chance.choice(LEAVES)
        elif kind < 0.8:
            held[last] = f"@@{chance.randrange(len(RAW))}@@"
        elif isinstance(held, dict):
            held[chance.choice([HALF, "", str(last).upper(), f"{last}{number}"])] = held.pop(last)
        else:
            held[last] = json.dumps(held[last])
    text = json.dumps(data, ensure_ascii=chance.random() < 0.7)
    for number, raw in enumerate(RAW):
        text = text.replace(f'"@@{number}@@"', raw)
    line = text.encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        at = chance.randrange(len(line))
        line = line[:at] + bytes([chance.randrange(256)]) + line[at + chance.randrange(3) :]
    return line.replace(b"\n", b" ")


SKIPS: Counter[str] = Counter()


@given(st.integers(0, 2**32), st.booleans(), st.sampled_from(SELECTIONS))
@settings(max_examples=60, deadline=None)
def test_every_broken_line_is_counted_once_and_nothing_is_raised(
    seed: int, packed: bool, wanted: Selection
) -> None:
    chance = random.Random(seed)
    lines = [broken(chance) for _ in range(chance.randint(1, 12))]
    body = b"\n".join(lines)
    if packed:
        body = gzip.compress(body, 1)
        body = body[: chance.randrange(len(body))] if chance.random() < 0.3 else body
    store = MemoryStore()
    store.objects[URI] = body
    store.objects["s3://logs/data/x"] = b"{}"
    reader = ShardReader(store, wanted, salt="s", limit=3, redact=Redaction())
    harvest = reader.read([StoredObject(URI, len(body))])
    counts = harvest.counts
    assert counts.lines == counts.kept + sum(counts.skipped.values())
    again = Harvest.from_bytes(harvest.to_bytes())
    assert again.to_bytes() == harvest.to_bytes()
    check = LogCheck(wanted)
    check.read(io.BytesIO(body))
    json.dumps(check.finish().to_json())
    count_object(io.BytesIO(body), CallReader())
    survey = Survey()
    survey.add(CallReader().iter_calls(io.BytesIO(body)))
    json.dumps([item.to_json() for item in survey.candidates(PriceTable.load())])
    SKIPS.update(counts.skipped)
    SEEN["log reader, log check, sensor and scout, lines"] += counts.lines


def test_the_fuzzing_saw_enough() -> None:
    """Runs after the one above."""
    assert SEEN["log reader, log check, sensor and scout, lines"] > 100
    assert len(SKIPS) > 5


def placed(data: Any, path: tuple[Any, ...], key: bool) -> Any:
    """Return a record with half a surrogate pair at a place, or in the name of it."""
    copy = json.loads(json.dumps(data))
    held = copy
    for step in path[:-1]:
        held = held[step]
    if key:
        held[f"{path[-1]}{HALF}"] = held.pop(path[-1])
    else:
        held[path[-1]] = HALF
    return copy


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_half_a_surrogate_pair_costs_one_line_wherever_it_stands(shape: int) -> None:
    for path in places(SHAPES[shape])[1:]:
        for key in (False, True) if isinstance(path[-1], str) else (False,):
            store = MemoryStore()
            store.objects[URI] = json.dumps(placed(SHAPES[shape], path, key)).encode()
            reader = ShardReader(store, Selection(), salt="s")
            counts = reader.read([StoredObject(URI, 1)]).counts
            assert counts.kept + sum(counts.skipped.values()) == counts.lines == 1


BOMB = """
import io, resource, sys, zlib
from airflow_distill.stages.logs.preflight import LogCheck
from airflow_distill.stages.logs.reader import ShardReader
from airflow_distill.stages.logs.selection import Selection
from airflow_distill.stages.storage import MemoryStore
from airflow_distill.workload.traffic import CallReader, count_object

stored = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
reader = ShardReader(MemoryStore(), Selection(), salt="s")
reader.read_object("x", io.BytesIO(stored))
check = LogCheck()
check.read(io.BytesIO(stored))
count_object(io.BytesIO(stored), CallReader())
more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(more, reader.finish().counts.skipped["line_too_long"], check.finish().counts["line_too_long"])
"""


@pytest.mark.parametrize("filling", [b"\0", b"a", b"{", b'{"a":['])
def test_a_gzip_that_unpacks_to_a_thousand_times_its_size_takes_little_memory(filling: bytes) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = filling * ((1 << 20) // len(filling))
    stored = b"".join([*(packer.compress(block) for _ in range(300)), packer.flush()])
    assert len(stored) < 2_000_000
    done = subprocess.run(
        [sys.executable, "-c", BOMB], input=stored, capture_output=True, check=True, timeout=300
    )
    more, harvested, checked = (float(word) for word in done.stdout.split())
    assert more < 150
    assert (harvested, checked) == (1, 1)


def test_metadata_that_the_service_would_not_take_is_one_skip_and_groups_nothing() -> None:
    wild = record(requestMetadata={f"key{n}": "v" for n in range(200_000)})
    store = MemoryStore()
    store.objects[URI] = json.dumps(wild).encode()
    counts = ShardReader(store, Selection(), salt="s").read([StoredObject(URI, 1)]).counts
    assert counts.skipped == {"too_much_metadata": 1}
    assert list(CallReader().iter_calls(io.BytesIO(store.objects[URI]))) == []


def test_sampled_text_lies_on_disk_under_a_key_of_this_process_only() -> None:
    """What is sampled is redacted when it is handed on; until then no file shows it."""
    secret = "my card is 4111 1111 1111 1111"
    lines = [
        json.dumps(record(f"{secret}. Question {n}. " + "word " * 2000, request_id=f"r{n}"))
        for n in range(600)
    ]
    reader = ShardReader(MemoryStore(), Selection(), salt="s", redact=Redaction())
    reader.read_object("x", io.BytesIO("\n".join(lines).encode()))
    spool = reader.harvest.sample._spool
    assert spool._file is not None
    spool._file.seek(0)
    written = spool._file.read()
    assert len(written) > 4_000_000
    assert b"4111" not in written
    assert b"word word" not in written
    kept = list(reader.finish().interactions())
    assert len(kept) == 600
    assert all("word word" in item.turns[0].text and "4111" not in item.turns[0].text for item in kept)
