"""What lies in a prompt file may be anything: checking it ends in findings, and good lines are never bad ones."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.dataset.checks import _QuickLook, check_line, check_stream
from airflow_distill.stages.dataset.families import ANY_FAMILY, family_of
from airflow_distill.stages.dataset.golden import read_golden
from tests.security.cases import SEEN

FAMILIES = [
    ANY_FAMILY,
    family_of("amazon.nova-micro-v1:0:128k"),
    family_of("meta.llama3-1-8b-instruct-v1:0:128k"),
]
RECORD = {
    "schemaVersion": "bedrock-conversation-2024",
    "system": [{"text": "sys"}],
    "messages": [
        {"role": "user", "content": [{"text": "hi"}]},
        {"role": "assistant", "content": [{"text": "yo"}]},
    ],
}
LEAVES: list[Any] = [
    None, True, 0, -1, 1.5, 2**64, "", " ", "\u2003", "\x00", "\ud800", "\ufeff", "User", "assistant", [], {}, [None], [{}],
    [{"text": "a"}, {"text": "b"}], {"text": {"text": 1}}, "[INST]", "<|eot_id|>", "x" * 20_000,
]  # fmt: skip
RAW = [
    "NaN",
    "Infinity",
    "1e400",
    "9" * 4_301,
    '"\\ud83d\\ude00"',
    "[" * 300 + "]" * 300,
    "[" * 50_000,
    '"a":1',
    "'x'",
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        found += places(inner, (*at, key))
    return found


def broken(chance: random.Random) -> bytes:
    """Return a line that is wrong in up to two places, or good."""
    record: Any = copy.deepcopy(RECORD)
    for _ in range(chance.choice([0, 1, 1, 2])):
        *before, last = chance.choice(places(record))
        held = record
        for key in before:
            held = held[key]
        kind = chance.random()
        if kind < 0.5:
            held[last] = copy.deepcopy(chance.choice(LEAVES))
        elif kind < 0.7:
            held[last] = "@@"
        elif kind < 0.85 and isinstance(held, dict):
            del held[last]
        else:
            held[last] = [held[last]]
    line = json.dumps(record, ensure_ascii=chance.random() < 0.7).replace('"@@"', chance.choice(RAW))
    data = line.encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        data = data.replace(b'"role"', b'"role": "user", "role"', 1)
    if chance.random() < 0.1:
        at = chance.randrange(len(data))
        data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    return (data + chance.choice([b"", b"", b"\r", b" ", b"{}", b"\xc0\xaf"])).replace(b"\n", b" ")


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_every_prompt_file_ends_in_a_report(seed: int) -> None:
    chance = random.Random(seed)
    lines = [broken(chance) for _ in range(chance.randint(1, 25))]
    data = b"\n".join(lines)
    if chance.random() < 0.3:
        data = gzip.compress(data, 1)
        data = data[: chance.randrange(len(data))] if chance.random() < 0.4 else data
    elif chance.random() < 0.2:
        data = data.decode("utf-8", "replace").encode(chance.choice(["utf-16", "utf-16-le", "utf-16-be"]))
    report = check_stream(io.BytesIO(data), chance.choice(FAMILIES))
    json.dumps(report.to_json())
    assert report.accepted <= report.records
    examples, findings = read_golden(data)
    assert all(example.golden and example.answer for example in examples)
    assert all(item.line >= 0 for item in findings)
    SEEN["checks of prompt files and golden files, lines"] += len(lines)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(FAMILIES))
def test_a_line_that_the_quick_look_lets_through_has_no_finding(seed: int, family: Any) -> None:
    line = broken(random.Random(seed))
    found = list(check_line(line, 1, family))
    assert not (_QuickLook(family).are_clean([line], line) and found), [item.code for item in found]
    SEEN["rules of a line"] += 1
