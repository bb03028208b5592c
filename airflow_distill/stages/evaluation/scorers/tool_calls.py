"""Tool calls: does the answer call the same tools with the same arguments.

Calls are read from JSON in the forms that models write them: `{"toolUse": {"name", "input"}}` (Converse), `{"type":
"tool_use", "name", "input"}` (Anthropic), `{"function": {"name", "arguments"}}` with arguments as JSON text (OpenAI), and
`{"name", "arguments" | "input" | "parameters"}` (Llama, plain); one, a list, or under `content` or `tool_calls`. Call ids
and text beside the calls do not matter. Without any call on either side, the texts are compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.digest import digest
from airflow_distill.stages.evaluation.scorers.json_text import NotJsonError, read_json
from airflow_distill.stages.evaluation.scorers.normalise import folded

_ARGUMENTS = ("arguments", "input", "parameters")


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """1 when the calls are equal; with `partial`, the F1 over calls. Order counts only with `ordered`."""

    name: str = "tool_calls"
    ordered: bool = False
    partial: bool = False

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        if example.answer is None:
            return None
        given, wanted = read_calls(answer), read_calls(example.answer)
        if not given and not wanted:
            return float(folded(answer) == folded(example.answer))
        if self.partial:
            return 2 * (Counter(given) & Counter(wanted)).total() / (len(given) + len(wanted))
        return float(given == wanted if self.ordered else sorted(given) == sorted(wanted))


def read_calls(text: str) -> list[str]:
    """Return one fingerprint (tool name and digest of its arguments) a call, in order; empty when there is none."""
    try:
        return _calls_of(read_json(text))
    except NotJsonError:
        return []


def _calls_of(value: Any) -> list[str]:
    if isinstance(value, list):
        return [call for item in value for call in _calls_of(item)]
    if not isinstance(value, dict):
        return []
    for key in ("tool_calls", "content", "toolUse", "function"):
        if isinstance(value.get(key), dict | list):
            return _calls_of(value[key])
    name = value.get("name")
    found = [value[key] for key in _ARGUMENTS if key in value]
    if not isinstance(name, str) or not found:
        return []
    return [f"{name} {digest(_arguments(found[0]), 32)}"]


def _arguments(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = read_json(value, fenced=False)
        except NotJsonError:
            return value.strip()
    return _levelled(value)


def _levelled(value: Any) -> Any:
    """Give equal arguments one form: 1.0 becomes 1, strings lose outer white space."""
    if isinstance(value, dict):
        return {key: _levelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_levelled(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.strip() if isinstance(value, str) else value
