"""The form on disk: examples become lines of Bedrock's own record shape or of ours, and come back.

`train.jsonl` holds `bedrock-conversation-2024` records, or lines of prompt and completion for students that are fine-tuned
on those, and nothing else; `heldout.jsonl` holds `Example.to_json()`.
Writers yield bytes and never sort: the caller's order is the order on disk, so equal input gives equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_distill.stages.dataset.records import DatasetFile, Example
from airflow_distill.stages.digest import record_of, sha256_hex
from airflow_distill.stages.logs.records import Turn
from airflow_distill.stages.model_table import Form

SCHEMA_VERSION = "bedrock-conversation-2024"

MOST_LINE = 16 * 1024
"""Bytes of a line, without its end, that a distillation job takes. Source: Amazon Bedrock endpoints and quotas, "maximum
line length for distillation customization jobs", 16 KB, not adjustable; what becomes of a longer line is not documented."""


def bedrock_record(example: Example, *, with_answer: bool) -> dict[str, Any]:
    """Return the training record of an example: prompt only, or with its answer as the assistant's turn.

    >>> from airflow_distill.stages.dataset.records import Example, Turn
    >>> record = bedrock_record(Example((Turn("user", "Hi"),), answer="Hello"), with_answer=True)
    >>> [message["role"] for message in record["messages"]]
    ['user', 'assistant']

    No `system` key is written when there is none: an empty list is refused by the service's validator.
    """
    record: dict[str, Any] = {"schemaVersion": SCHEMA_VERSION}
    if example.system:
        record["system"] = [{"text": example.system}]
    messages = [_message(turn.role, turn.text) for turn in example.turns]
    if with_answer and example.answer:
        messages.append(_message("assistant", example.answer))
    record["messages"] = messages
    return record


def completion_record(example: Example) -> dict[str, str]:
    """Return the line of an example for students that are fine-tuned on prompts and completions.

    The form has no place for a system prompt: it comes before the prompt, with a blank line between.

    >>> from airflow_distill.stages.dataset.records import Example, Turn
    >>> completion_record(Example((Turn("user", "Hi"),), answer="Hello", system="Be brief."))
    {'prompt': 'Be brief.\\n\\nHi', 'completion': 'Hello'}
    """
    asked = "\n\n".join(turn.text for turn in example.turns)
    prompt = f"{example.system}\n\n{asked}" if example.system else asked
    return {"prompt": prompt, "completion": example.answer or ""}


def example_from_record(record: Mapping[str, Any]) -> Example:
    """Return the example of a valid training record; a closing assistant turn is a golden answer."""
    if "completion" in record:
        return Example((Turn("user", record["prompt"]),), answer=record["completion"], golden=True)
    turns = tuple(Turn(m["role"], m["content"][0]["text"]) for m in record["messages"])
    system = record.get("system")
    answer = turns[-1].text if turns[-1].role == "assistant" else None
    return Example(
        turns=turns[:-1] if answer is not None else turns,
        answer=answer,
        system=system[0]["text"] if system else None,
        golden=answer is not None,
    )


def encode_line(record: Mapping[str, Any]) -> bytes:
    """Return one line, line end included, with keys in the order given; what is not Unicode text is escaped."""
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def train_lines(
    examples: Iterable[Example], *, with_answers: bool, form: Form = "conversation"
) -> Iterator[bytes]:
    """Yield the lines of `train.jsonl`; golden examples always carry their answer."""
    for example in examples:
        if form == "prompt-completion":
            yield encode_line(completion_record(example))
        else:
            yield encode_line(bedrock_record(example, with_answer=with_answers or example.golden))


def heldout_lines(examples: Iterable[Example]) -> Iterator[bytes]:
    """Yield the lines of `heldout.jsonl`."""
    for example in examples:
        yield encode_line(example.to_json())


def read_examples(lines: Iterable[bytes]) -> Iterator[Example]:
    """Yield the examples of a held-out file."""
    for line in lines:
        if line.strip():
            yield record_of(line, Example.from_json)


def read_train(lines: Iterable[bytes]) -> Iterator[Example]:
    """Yield the examples of a valid training file."""
    for line in lines:
        if line.strip():
            yield example_from_record(json.loads(line))


def describe_file(uri: str, data: bytes, records: int) -> DatasetFile:
    """Return the manifest's entry for a file's bytes."""
    return DatasetFile(uri=uri, records=records, bytes=len(data), sha256=sha256_hex(data))


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"text": text}]}
