"""Tool calls: does the answer call the same tools with the same arguments.

Calls are read from JSON in the forms that models write them: `{"toolUse": {"name", "input"}}` (Converse), `{"type":
"tool_use", "name", "input"}` (Anthropic), `{"function": {"name", "arguments"}}` with arguments as JSON text (OpenAI), and
`{"name", "arguments" | "input" | "parameters"}` (Llama, plain); one, a list, or under `content` or `tool_calls`. Call ids
and text beside the calls do not matter, nor does the order of arguments or the spelling of numbers. What an argument holds
does, also when it is empty: `{}`, `{"x": ""}` and `{"x": null}` are three different calls; arguments left out or written as
empty text are `{}`. Where neither side calls a tool, JSON is compared as JSON and words as words; one with a call or JSON
and one without are different.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.digest import digest
from airflow_distill.stages.evaluation.scorers.json_text import NotJsonError, json_values, read_json, same
from airflow_distill.stages.evaluation.scorers.normalise import folded

_ARGUMENTS = ("arguments", "input", "parameters")


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """1 when the calls are equal; with `partial`, the F1 over calls. Order counts only with `ordered`."""

    version: ClassVar[int] = 2
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
            return float(_alike(answer, example.answer))
        if self.partial:
            return 2 * (Counter(given) & Counter(wanted)).total() / (len(given) + len(wanted))
        return float(given == wanted if self.ordered else sorted(given) == sorted(wanted))


def read_calls(text: str) -> list[str]:
    """Return one fingerprint (tool name and digest of its arguments) a call, in order; empty when there is none."""
    return _calls_of(_values(text))


def _values(text: str) -> list[Any]:
    """Return the JSON of an answer; calls may be written one after another, in fences or amid prose."""
    try:
        return [read_json(text)]
    except NotJsonError:
        return list(json_values(text))


def _alike(answer: str, reference: str) -> bool:
    given, wanted = _values(answer), _values(reference)
    return same(given, wanted) if given or wanted else folded(answer) == folded(reference)


def _calls_of(value: Any) -> list[str]:
    if isinstance(value, list):
        return [call for item in value for call in _calls_of(item)]
    if not isinstance(value, dict):
        return []
    for key in ("tool_calls", "content"):
        if isinstance(value.get(key), dict | list):
            return _calls_of(value[key])
    wrapped = next((value[key] for key in ("toolUse", "function") if isinstance(value.get(key), dict)), None)
    call = value if wrapped is None else wrapped
    name = call.get("name")
    found = [call[key] for key in _ARGUMENTS if key in call]
    is_call = wrapped is not None or value.get("type") in ("tool_use", "function")
    if not isinstance(name, str) or not (found or is_call):
        return []
    return [f"{name} {digest(_arguments(found[0] if found else {}), 32)}"]


def _arguments(value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
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
