"""Prompts that were kept elsewhere: records of other tools' files become examples.

Takes a file's bytes, hands on an `Imported` for each record: the example it amounts to and the form it came in, or the code
of what is wrong (`checks.CODES`). The forms are ours, Bedrock's `bedrock-conversation-2024`, `{prompt, completion}`, chat
`messages`, OpenAI stored completions, and tables (CSV) with a column of texts and one of answers. A record that is none of
these is counted, never guessed. Standard library and the stage's own modules only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_distill.stages.dataset.checks import check_line
from airflow_distill.stages.dataset.jsonl import example_from_record
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.values import Wrong, iter_values

PROMPTS = ("prompt", "text", "question", "instruction", "input", "query", "utterance")
ANSWERS = ("completion", "category", "label", "answer", "response", "output", "intent", "target", "expected")
"""Names of the two columns or members, the surest first; of each, one must be there."""

SUFFIXES = tuple(
    suffix + packed for suffix in (".jsonl", ".json", ".ndjson", ".csv", ".tsv") for packed in ("", ".gz")
)
"""How names of files end that are read where a folder is given."""

OWN = "an example of ours"
BEDROCK = "bedrock-conversation-2024"
PAIR = "{prompt, completion}"
CHAT = "chat messages"
STORED = "an OpenAI stored completion"

_TEXT_TYPES = (None, "text", "input_text", "output_text")


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one record: its number in the file, its form, and the example or the code of what is wrong."""

    number: int
    form: str = ""
    example: Example | None = None
    code: str = ""


class _Unfit(ValueError):
    """The record cannot be an example, for the reason of this code."""


def iter_imported(data: bytes) -> Iterator[Imported]:
    """Yield what the records of a file become.

    >>> [item.example.answer for item in iter_imported(b'{"prompt": "2+2?", "completion": "4"}')]
    ['4']
    """
    for number, value in iter_values(data):
        yield import_record(number, value)


def import_record(number: int, value: Any) -> Imported:
    """Return what one record becomes."""
    if isinstance(value, Wrong):
        return Imported(number, code=value.code)
    if not isinstance(value, dict):
        return Imported(number, code="not_an_object")
    form = _form_of(value)
    if not form:
        return Imported(number, code="unknown_form" if value else "empty_object")
    try:
        return Imported(number, form, _MAKERS[form](value))
    except _Unfit as unfit:
        return Imported(number, form, code=str(unfit))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Imported(number, form, code="unknown_form")


def _form_of(value: Mapping[str, Any]) -> str:
    if "turns" in value:
        return OWN
    if "schemaVersion" in value:
        return BEDROCK
    if "choices" in value:
        return STORED
    if isinstance(value.get("messages"), list):
        return CHAT
    if _named(value, PROMPTS):
        return PAIR
    return ""


def _named(value: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((name for name in names if value.get(name) not in (None, "", [])), "")


def _own(value: Mapping[str, Any]) -> Example:
    return Example.from_json(value)


def _bedrock(value: Mapping[str, Any]) -> Example:
    line = json.dumps(value).encode()
    for item in check_line(line, 1):
        if item.severity == "error":
            raise _Unfit(item.code)
    return example_from_record(value)


def _pair(value: Mapping[str, Any]) -> Example:
    prompt = value[_named(value, PROMPTS)]
    answer = _answer_text(value.get(_named(value, ANSWERS)))
    system = value.get("system")
    if isinstance(prompt, list):
        return _conversation(prompt, answer, system)
    if not isinstance(prompt, str):
        raise _Unfit("not_text")
    if prompt == value.get("instruction") and isinstance(value.get("input"), str) and value["input"].strip():
        prompt = f"{prompt}\n\n{value['input']}"
    return _example([("user", prompt)], answer, system if isinstance(system, str) else None)


def _chat(value: Mapping[str, Any]) -> Example:
    return _conversation(value["messages"], None, value.get("system"))


def _stored(value: Mapping[str, Any]) -> Example:
    asked: Any = value
    for name in ("request", "body"):
        if isinstance(value.get(name), dict):
            asked = value[name]
    messages = asked.get("messages") or asked.get("input")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if isinstance(messages, dict):  # a page of /chat/completions/{id}/messages
        messages = messages.get("data")
    if not isinstance(messages, list) or not messages:
        raise _Unfit("prompt_missing")
    said = value["choices"][0].get("message") or {}
    if said.get("tool_calls"):
        raise _Unfit("not_text")
    found = _conversation(messages, _answer_text(said.get("content")), None)
    metadata = value.get("metadata")
    pairs = sorted((str(k), str(v)) for k, v in metadata.items()) if isinstance(metadata, dict) else []
    return Example(found.turns, found.answer, found.system, metadata=tuple(pairs))


_MAKERS = {OWN: _own, BEDROCK: _bedrock, PAIR: _pair, CHAT: _chat, STORED: _stored}


def _conversation(messages: Sequence[Any], answer: str | None, system: Any) -> Example:
    """Return the example of messages: leading system texts first, an answer at the end if there is one."""
    spoken: list[tuple[str, str]] = []
    systems = [system] if isinstance(system, str) and system.strip() else []
    for message in messages:
        if not isinstance(message, dict):
            raise _Unfit("message_shape")
        role = message.get("role") or {"human": "user", "gpt": "assistant"}.get(str(message.get("from")), "")
        if message.get("tool_calls") or role in ("tool", "function"):
            raise _Unfit("not_text")
        text = _content_text(message.get("content", message.get("value")))
        if role in ("system", "developer") and not spoken:
            systems.append(text)
        elif role in ("user", "assistant"):
            spoken.append((role, text))
        else:
            raise _Unfit("role_unknown")
    if answer is None and spoken and spoken[-1][0] == "assistant":
        answer = spoken.pop()[1]
    return _example(spoken, answer, "\n".join(systems) or None)


def _content_text(content: Any) -> str:
    """Return the text of a message; of one that holds an image, or any other thing, there is none."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _Unfit("content_shape")
    texts = []
    for block in content:
        if not isinstance(block, dict) or not isinstance(block.get("text"), str):
            raise _Unfit("not_text")
        if block.get("type") not in _TEXT_TYPES:
            raise _Unfit("not_text")
        texts.append(block["text"])
    return "\n".join(texts)


def _answer_text(answer: Any) -> str | None:
    if answer is None or isinstance(answer, str):
        return answer
    if isinstance(answer, dict) and "content" in answer:
        return _content_text(answer["content"])
    if isinstance(answer, list):
        return _content_text(answer)
    if isinstance(answer, bool | int | float):
        return json.dumps(answer)
    raise _Unfit("not_text")


def _example(turns: Sequence[tuple[str, str]], answer: str | None, system: str | None) -> Example:
    if not turns:
        raise _Unfit("messages_shape")
    if any(role != ("user", "assistant")[i % 2] for i, (role, _) in enumerate(turns)) or not len(turns) % 2:
        raise _Unfit("role_order")
    if any(not text.strip() for _, text in turns):
        raise _Unfit("empty_text")
    return Example(tuple(Turn(role, text) for role, text in turns), answer, system or None)
