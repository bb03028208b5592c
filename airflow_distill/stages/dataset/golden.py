"""Golden examples: prompts whose answers people wrote or approved, read from a file.

Takes a file's bytes in any form that `imports` knows, hands on examples marked golden, and findings for records that are
none. The file is named by its digest, so that a manifest says by which version of it a student was judged. Standard
library only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_distill.errors import DatasetError
from airflow_distill.stages.dataset.checks import finding
from airflow_distill.stages.dataset.imports import iter_imported
from airflow_distill.stages.dataset.jsonl import describe_file
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
    examples, findings = read_golden(data)
    if not examples:
        codes = ", ".join(sorted({item.code for item in findings})) or "it is empty"
        raise DatasetError(
            f"dataset: the golden file {uri} holds no golden example ({codes}).",
            hint="`airflow-distill dataset convert` shows what it makes of the file, and what is wrong with its records.",
        )
    return GoldenSet(tuple(examples), tuple(findings), describe_file(uri, data, len(examples)))


def read_golden(data: bytes) -> tuple[list[Example], list[Finding]]:
    """Return the golden examples of a file's bytes and what is wrong with its other records."""
    examples: list[Example] = []
    findings: list[Finding] = []
    for item in iter_imported(data):
        if item.example is None:
            findings.append(finding(item.code, item.number))
        elif not (item.example.answer or "").strip():
            findings.append(finding("no_answer", item.number))
        else:
            examples.append(replace(item.example, golden=True))
    return examples, findings
