"""Golden examples: prompts whose answers people wrote or approved, read from a file.

Takes the lines of a file in either of our two shapes (`bedrock-conversation-2024` with an assistant turn, or
`Example.to_json()`), hands on examples marked golden, and findings for lines that are neither. The file is named by its
digest, so that a manifest says by which version of it a student was judged. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from airflow_distill.errors import DatasetError
from airflow_distill.stages.dataset.checks import check_line, finding
from airflow_distill.stages.dataset.jsonl import describe_file, example_from_record
from airflow_distill.stages.dataset.records import DatasetFile, Example, Finding


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The golden examples of a file, what is wrong with its other lines, and the file: where, how large, its SHA-256."""

    examples: tuple[Example, ...]
    findings: tuple[Finding, ...]
    file: DatasetFile

    @property
    def unread(self) -> int:
        """How many lines hold no golden example."""
        return len({item.line for item in self.findings})


def golden_set(uri: str, data: bytes) -> GoldenSet:
    """Return the golden set of a file's bytes.

    :raises DatasetError: not one line holds a golden example; a standing test without items would pass everything.
    """
    examples, findings = read_golden(data.split(b"\n"))
    if not examples:
        codes = ", ".join(sorted({item.code for item in findings})) or "it is empty"
        raise DatasetError(
            f"dataset: the golden file {uri} holds no golden example ({codes}).",
            hint="A line is a bedrock-conversation-2024 record that ends with the assistant's answer; "
            "`airflow-distill dataset check` says what is wrong with each line.",
        )
    return GoldenSet(tuple(examples), tuple(findings), describe_file(uri, data, len(examples)))


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
