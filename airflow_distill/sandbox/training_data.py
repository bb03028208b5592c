"""What a customization job gets to learn from: prompt files and invocation logs, read by the service's rules.

Takes bytes, hands on prompts with or without an answer, and names the reason for every record it leaves out. Which
records count, and how many are enough, follows the data-preparation pages; see the coverage page for what is assumed.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = "bedrock-conversation-2024"
LONG_LINE = "the line is longer than the maximum line length for distillation customization jobs"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A prompt, perhaps with the answer to learn."""

    prompt: str
    system: str
    answer: str | None
    where: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that is not used."""

    where: str
    reason: str


# --- prompt files -------------------------------------------------------------------------------------------------


def read_prompt_file(
    name: str, body: bytes, *, multi_turn: bool, longest: int = 16_384
) -> Iterator[Lesson | Refused]:
    """Every line of a `bedrock-conversation-2024` file; one of more than `longest` bytes is refused as `LONG_LINE`."""
    for number, line in enumerate(body.split(b"\n"), 1):
        where = f"{name}:{number}"
        if len(line) > longest:
            yield Refused(where, LONG_LINE)
            continue
        if not line.strip():
            if number <= body.count(b"\n"):
                yield Refused(where, "blank line")
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            yield Refused(where, "not valid JSON")
            continue
        yield read_conversation(record, where, multi_turn=multi_turn)


def read_conversation(record: Any, where: str, *, multi_turn: bool) -> Lesson | Refused:
    """One record of the conversation format."""
    problem = _conversation_problem(record, multi_turn=multi_turn)
    if problem is not None:
        return Refused(where, problem)
    system = record["system"][0]["text"] if record.get("system") else ""
    turns = [(m["role"], m["content"][0]["text"]) for m in record["messages"]]
    answer = turns[-1][1] if turns[-1][0] == "assistant" else None
    asked = [text for role, text in turns if role == "user"]
    return Lesson("\n".join(asked), system, answer, where)


def _conversation_problem(record: Any, *, multi_turn: bool) -> str | None:
    if not isinstance(record, dict):
        return "not a JSON object"
    if record.get("schemaVersion") != SCHEMA:
        return "schemaVersion is not bedrock-conversation-2024"
    if set(record) - {"schemaVersion", "system", "messages"}:
        return "unknown top-level key"
    if "system" in record:
        system = record["system"]
        if not isinstance(system, list) or len(system) != 1 or not _is_text_block(system[0], empty=True):
            return "system must be a list of exactly one text"
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages must be a non-empty list"
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            return "a message must have role and content"
        if message["role"] != ("user", "assistant")[place % 2]:
            return "roles must alternate and start with user"
        content = message["content"]
        if not isinstance(content, list) or len(content) != 1 or not _is_text_block(content[0]):
            return "a message must hold exactly one text that is not empty"
    if len(messages) > 2 and not multi_turn:
        return "this model takes single-turn prompts only"
    return None


def _is_text_block(block: Any, *, empty: bool = False) -> bool:
    return (
        isinstance(block, dict)
        and isinstance(block.get("text"), str)
        and (empty or bool(block["text"].strip()))
        and not set(block) - {"text", "type"}
        and isinstance(block.get("type", ""), str)
    )


def read_completion_file(name: str, body: bytes, form: str = "") -> Iterator[Lesson | Refused]:
    """Fine-tuning data: lines of `{"prompt", "completion"}` or conversations that end with an answer.

    :param form: which of the two the model takes, `prompt-completion` or `conversation`; either when empty.
    """
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            record = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            yield Refused(where, "not valid JSON")
            continue
        plain = isinstance(record, dict) and isinstance(record.get("prompt"), str)
        if form and plain != (form == "prompt-completion"):
            yield Refused(where, f"this model is fine-tuned on lines of the form {form}")
            continue
        if plain:
            if isinstance(record.get("completion"), str):
                yield Lesson(record["prompt"], "", record["completion"], where)
            else:
                yield Refused(where, "no completion")
            continue
        lesson = read_conversation(record, where, multi_turn=True)
        yield (
            Refused(where, "no assistant turn")
            if isinstance(lesson, Lesson) and lesson.answer is None
            else lesson
        )


# --- invocation logs ----------------------------------------------------------------------------------------------


def is_log_object(key: str) -> bool:
    """Whether a key under a log prefix holds records (and not a probe or an offloaded body)."""
    return key.endswith((".json.gz", ".json")) and "permission-check" not in key and "/data/" not in key


def read_log_object(name: str, body: bytes) -> Iterator[tuple[str, dict[str, Any]] | Refused]:
    """The records of one delivered object."""
    if body[:2] == b"\x1f\x8b":
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            yield Refused(name, "not a whole gzip object")
            return
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            yield Refused(where, "not valid JSON")
            continue
        if isinstance(record, dict) and record.get("schemaType") == "ModelInvocationLog":
            yield where, record
        else:
            yield Refused(where, "not a model invocation log record")


def lesson_from_log(
    where: str,
    record: Mapping[str, Any],
    *,
    with_answer: bool,
    open_body: Callable[[str], bytes | None] | None,
) -> Lesson | Refused:
    """Prompt and answer of one record, whatever API and model family wrote it."""
    if record.get("errorCode"):
        return Refused(where, "the call had failed")
    for member in ("modelId", "input", "output"):
        if not record.get(member):
            return Refused(where, f"the record has no {member}")
    bodies: dict[str, Any] = {}
    for side in ("input", "output"):
        part = record.get(side) or {}
        body = part.get(f"{side}BodyJson")
        path = part.get(f"{side}BodyS3Path")
        if body is None and path:
            stored = open_body(path) if open_body else None
            if stored is None:
                return Refused(where, "the body was delivered as a separate object")
            body = json.loads(gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored)
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except ValueError:
                body = None
        bodies[side] = body
    asked = prompt_of(bodies["input"])
    if asked is None:
        return Refused(where, "no text prompt of a single user turn in the input body")
    system, prompt = asked
    answer = answer_of(bodies["output"]) if with_answer else None
    if with_answer and not answer:
        return Refused(where, "no answer text in the output body")
    return Lesson(prompt, system, answer, where)


def prompt_of(body: Any) -> tuple[str, str] | None:
    """System prompt and user words of a request body."""
    if not isinstance(body, dict):
        return None
    messages = body.get("messages")
    if isinstance(messages, list):
        asked = [
            _texts(m.get("content")) for m in messages if isinstance(m, dict) and m.get("role") == "user"
        ]
        if len(asked) != 1 or asked[0] is None or not asked[0].strip():
            return None
        return (_texts(body.get("system")) or ""), asked[0]
    if isinstance(body.get("inputText"), str):
        return "", body["inputText"]
    prompt = body.get("prompt")
    return split_template(prompt) if isinstance(prompt, str) and prompt.strip() else None


_LLAMA_PART = re.compile(
    r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>\s*(.*?)(?=<\|eot_id\|>|<\|start_header_id\|>|\Z)",
    re.S,
)
_MISTRAL = re.compile(r"\[INST\](.*?)\[/INST\]", re.S)


def split_template(prompt: str) -> tuple[str, str]:
    """System and user text out of a prompt in a chat template; a plain prompt is all user."""
    parts = [(role, text.strip()) for role, text in _LLAMA_PART.findall(prompt)]
    if parts:
        system = "\n".join(text for role, text in parts if role == "system")
        return system, "\n".join(text for role, text in parts if role == "user")
    if "\n\nHuman:" in prompt:
        human = prompt.split("\n\nHuman:", 1)[1].split("\n\nAssistant:", 1)[0]
        return prompt.split("\n\nHuman:", 1)[0].strip(), human.strip()
    found = _MISTRAL.search(prompt)
    return "", found.group(1).strip() if found else prompt


def _texts(content: Any) -> str | None:
    """Text of a content that is a string or a list of blocks; None when there is something else in it."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, dict) and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif isinstance(block, dict) and "cachePoint" in block:
            continue
        else:
            return None
    return "\n".join(texts)


def answer_of(body: Any) -> str | None:
    """The model's words in a response body, whole or streamed."""
    if isinstance(body, list):
        return "".join(_streamed(body)) or None
    if not isinstance(body, dict):
        return None
    output = body.get("output")
    if isinstance(output, dict) and isinstance(output.get("message"), dict):
        return _texts(output["message"].get("content"))
    if isinstance(body.get("content"), list):
        return _texts(body["content"])
    for name in ("completion", "generation", "outputText"):
        if isinstance(body.get(name), str):
            return str(body[name])
    results = body.get("results") or body.get("outputs")
    if isinstance(results, list) and results and isinstance(results[0], dict):
        found = results[0].get("outputText", results[0].get("text"))
        return found if isinstance(found, str) else None
    return None


def _streamed(events: Iterable[Any]) -> Iterator[str]:
    for event in events:
        if not isinstance(event, dict):
            continue
        delta = event.get("contentBlockDelta", event)
        delta = delta.get("delta") if isinstance(delta, dict) else None
        if isinstance(delta, dict) and isinstance(delta.get("text"), str):
            yield delta["text"]
        for name in ("completion", "generation", "outputText"):
            if isinstance(event.get(name), str):
                yield event[name]


# --- metadata filters ---------------------------------------------------------------------------------------------


def passes(filters: Mapping[str, Any] | None, metadata: Mapping[str, str] | None) -> bool:
    """Whether a record's request metadata meets a job's filter."""
    if not filters:
        return True
    present = metadata or {}
    if "andAll" in filters:
        return all(_base_passes(base, present) for base in filters["andAll"])
    if "orAll" in filters:
        return any(_base_passes(base, present) for base in filters["orAll"])
    return _base_passes(filters, present)


def _base_passes(base: Mapping[str, Any], metadata: Mapping[str, str]) -> bool:
    for key, value in (base.get("equals") or {}).items():
        if metadata.get(key) != value:
            return False
    # Whether a record without the key passes is not documented; taken strictly, it says nothing and is left out.
    return all(
        key in metadata and metadata[key] != value for key, value in (base.get("notEquals") or {}).items()
    )
