"""Golden examples: prompts whose answers people wrote or approved, merged in from a file.

Takes the lines of a file in either of our two shapes (`bedrock-conversation-2024` with an assistant turn, or
`Example.to_json()`), hands on examples marked golden, and findings for lines that are neither. Standard library
only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from airflow_distill.stages.dataset.checks import check_line, finding
from airflow_distill.stages.dataset.jsonl import example_from_record
from airflow_distill.stages.dataset.records import Example, Finding


def read_golden(lines: Iterable[bytes]) -> tuple[list[Example], list[Finding]]:
    """Return the golden examples of a file and what is wrong with its other lines."""
    examples: list[Example] = []
    findings: list[Finding] = []
    for number, line in enumerate(lines, 1):
        line = line.rstrip(b"\r\n")
        if not line.strip():
            continue
        example = _own_shape(line)
        if example is None:
            wrong = [item for item in check_line(line, number) if item.severity == "error"]
            if wrong:
                findings += wrong
                continue
            example = example_from_record(json.loads(line))
        if not (example.answer or "").strip():
            findings.append(finding("no_answer", number))
        else:
            examples.append(replace(example, golden=True))
    return examples, findings


def _own_shape(line: bytes) -> Example | None:
    try:
        value: Any = json.loads(line)
        return Example.from_json(value) if isinstance(value, dict) and "turns" in value else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
