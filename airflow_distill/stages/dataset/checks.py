"""What the service would refuse, found before it is paid: one function per rule, each yielding findings, none
raising.

Takes lines of a prompt file (`bedrock-conversation-2024`) and a student's family, hands on `Finding`s: line, code,
message, fix; never the text itself. `check_stream` reads files of any size in flat memory: whole blocks go through
a typed decoder that accepts exactly what has no finding, and only lines it refuses are taken apart rule by rule.

Imports the typed JSON decoder, no Airflow and no AWS SDK; opening files and buckets is the caller's business.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
from msgspec import UNSET, UnsetType

from airflow_distill.stages.dataset.families import ANY_FAMILY, StudentFamily
from airflow_distill.stages.dataset.jsonl import MOST_LINE, SCHEMA_VERSION
from airflow_distill.stages.dataset.reading import Block, Trouble, iter_blocks
from airflow_distill.stages.dataset.records import Finding
from airflow_distill.stages.dataset.tokens import estimate_tokens
from airflow_distill.stages.model_table import Form

LEAST_RECORDS = 100
MOST_RECORDS = 15_000
MOST_BYTES = 1 << 30
FIRST_FINDINGS = 100
PROMPT_SUFFIXES = (".jsonl", ".jsonl.gz")
"""Names of prompt files; a packed one can be checked before it is unpacked."""
_SURELY = 4


# codes: what is wrong and what to do


@dataclass(frozen=True, slots=True)
class Code:
    """The fixed part of a finding: its message, what to do, and whether it is an error or a warning."""

    message: str
    fix: str
    severity: str = "error"


CODES: Mapping[str, Code] = {
    # the file
    "empty_file": Code("The file holds no records.", "Write one JSON object per line."),
    "compressed": Code(
        "The file is compressed.", "Decompress it before upload; the service reads .jsonl.", "warning"
    ),
    "extension": Code(
        "The name does not end in .jsonl.",
        "Name it something.jsonl, with one JSON object a line; the service reads no other name.",
    ),
    "gzip_as_jsonl": Code(
        "The file is named .jsonl and holds gzip data.",
        "Decompress it (`gunzip < FILE > OTHER.jsonl`); the service reads .jsonl as plain text.",
    ),
    "gzip_truncated": Code(
        "The compressed data ends too early.", "Write or copy the file again; its end is missing."
    ),
    "gzip_damaged": Code("The compressed data is damaged.", "Write or copy the file again."),
    "byte_order_mark": Code("The file starts with a byte order mark.", "Save it as UTF-8 without BOM."),
    "utf16": Code(
        "The file is UTF-16, so none of its records can be used.",
        "Save it as UTF-8 without BOM (`iconv -f UTF-16 -t UTF-8`).",
    ),
    "crlf": Code(
        "The line ends in carriage return and line feed.", "Save it with Unix line ends.", "warning"
    ),
    "too_few_records": Code(
        "Fewer than 100 records can be used.", "Add prompts: the service needs at least 100."
    ),
    "too_many_records": Code("More than 15,000 records.", "Keep at most 15,000, such as a uniform sample."),
    "total_too_large": Code(
        "More than 1 GiB of data.", "Keep fewer or shorter records; the limit is 1 GiB in all."
    ),
    # the line
    "blank_line": Code(
        "The line is blank; it is no record.",
        "Nothing to do for a distillation job; remove it for fine-tuning, where it can fail the job.",
        "warning",
    ),
    "line_too_long": Code("The line is longer than 8 MiB.", "Remove it; no student can read it."),
    "nul_byte": Code(
        "The line holds NUL bytes.", "Remove them; the file may be damaged or in another encoding."
    ),
    "not_utf8": Code("The line is not valid UTF-8.", "Save the file as UTF-8."),
    "bad_json": Code("The line is not one JSON value.", "Write each record as one JSON object on one line."),
    "bad_number": Code("NaN and Infinity are not JSON.", "Remove the value; records hold text only."),
    "too_deep": Code(
        "The value is nested too deeply to be read.", "Write the record in the documented shape."
    ),
    "not_an_object": Code("The line is JSON, but not an object.", "Write each record as a JSON object."),
    "empty_object": Code("The object is empty.", "Remove the line or write the record."),
    "duplicate_key": Code(
        "A key occurs twice in one object.", "Keep one of them; readers disagree about which counts."
    ),
    "lone_surrogate": Code(
        "A text holds half of a surrogate pair.", "Remove it; it stands for no character."
    ),
    "nul_character": Code("A text holds the NUL character.", "Remove it."),
    # records of other tools
    "unknown_form": Code(
        "The record has no form that is known here.",
        "Give bedrock-conversation-2024, {prompt, completion}, chat messages, OpenAI stored completions, or CSV with a "
        "head line such as text,category.",
    ),
    "prompt_missing": Code(
        "The stored completion does not carry the messages it answered.",
        "Export them with it, as `messages` or `input`.",
    ),
    "no_request": Code(
        "The feedback does not say of which answer it speaks.",
        "Give request_id (as the invocation log has it) or prompt_digest (as card and findings show it).",
    ),
    "no_score": Code(
        "The feedback holds no score, no known label and no corrected answer.",
        "Give a number, or a label such as liked or disliked.",
    ),
    "bad_csv": Code("The rest of the file is not CSV.", "Quote cells that hold quotes or line ends."),
    "row_length": Code(
        "The row has more or fewer cells than the head line.", "Quote cells that hold the separator."
    ),
    # the record
    "schema_version": Code(
        "schemaVersion is missing or not bedrock-conversation-2024.",
        'Write "schemaVersion": "bedrock-conversation-2024".',
    ),
    "unknown_key": Code(
        "An object has a key the format does not know.", "Remove it; extra keys are refused."
    ),
    "system_shape": Code(
        "system is not a list of exactly one {text}.",
        'Write [{"text": "..."}], or leave system out when there is none.',
    ),
    "messages_shape": Code("messages is missing, empty or not a list.", "Write at least one user message."),
    "message_shape": Code("A message is not an object with role and content.", "Write role and content."),
    "role_unknown": Code(
        "A role is neither user nor assistant.", "Use user and assistant; system text goes into system."
    ),
    "role_order": Code(
        "Roles do not alternate, or the first is not user.", "Start with user, then alternate."
    ),
    "content_shape": Code("content is not a list of exactly one {text} block.", 'Write [{"text": "..."}].'),
    "not_text": Code("A content block is not text.", "Remove the record; distillation is text to text."),
    "empty_text": Code("A text is empty or only white space.", "Write the text or remove the record."),
    "multi_turn": Code(
        "More than one user turn; this student's family is single turn.",
        "Keep one user turn, or choose a Nova student.",
    ),
    "text_too_long": Code(
        "The record surely exceeds the student's context.", "Shorten it or remove the record."
    ),
    "line_above_quota": Code(
        "The line is longer than 16 KB, the quota of distillation jobs.",
        "Shorten it or remove the record; what a job does with it is not documented.",
        "warning",
    ),
    "reserved_word": Code(
        "A text holds a word that the student's family reserves, such as User: or Bot:.",
        "Reword it, or build with reserved_words: drop; in fine-tuning such words fail the job.",
        "warning",
    ),
    "control_token": Code(
        "A text holds a control token of a chat template.", "Strip it; the service adds its own.", "warning"
    ),
    "completion_shape": Code(
        "The record is not a prompt and a completion, both text.",
        'Write {"prompt": "...", "completion": "..."}; this student is fine-tuned on such lines.',
    ),
    "no_answer": Code("A golden example has no answer.", "Write the answer as the last, assistant message."),
    "duplicate_record": Code(
        "An earlier line is the same, byte for byte.", "Remove it; it teaches nothing new.", "warning"
    ),
}
"""Every code a check can yield."""


def finding(code: str, line: int, detail: str = "") -> Finding:
    """Return the finding of a code; `detail` says where in the record, in names and numbers, never in its text."""
    entry = CODES[code]
    message = f"{entry.message[:-1]}: {detail}." if detail else entry.message
    return Finding(line=line, code=code, message=message, fix=entry.fix, severity=entry.severity)


# rules of a record: exact, one at a time

RecordRule = Callable[[Mapping[str, Any], StudentFamily], Iterator[tuple[str, str]]]


def check_schema_version(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """The version literal is there and exact."""
    if record.get("schemaVersion") != SCHEMA_VERSION:
        yield "schema_version", ""


def check_keys(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """No keys besides the documented ones, on any level; an extra `type` string next to `text` is let through."""
    if not _only(record, "schemaVersion", "system", "messages"):
        yield "unknown_key", "top level"
    for place, message in _messages(record):
        if isinstance(message, dict) and not _only(message, "role", "content"):
            yield "unknown_key", place


def check_system(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """When there is a system prompt, it is exactly one text."""
    if "system" not in record:
        return
    system = record["system"]
    if not (isinstance(system, list) and len(system) == 1 and isinstance(system[0], dict)):
        yield "system_shape", ""
    else:
        yield from _check_block(system[0], "system", "system_shape")


def check_messages(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """There are messages, and each is an object with a known role and some content."""
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages_shape", ""
        return
    for place, message in _messages(record):
        if not isinstance(message, dict) or "role" not in message or "content" not in message:
            yield "message_shape", place
        elif message["role"] not in ("user", "assistant"):
            yield "role_unknown", place


def check_roles(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """The user starts and the roles alternate."""
    for number, (place, message) in enumerate(_messages(record)):
        role = message.get("role") if isinstance(message, dict) else None
        if role in ("user", "assistant") and role != ("user", "assistant")[number % 2]:
            yield "role_order", place
            return


def check_turns(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """Families with one turn get one user message and at most one answer."""
    messages = record.get("messages")
    if not family.multi_turn and isinstance(messages, list) and len(messages) > 2:
        yield "multi_turn", f"{len(messages)} messages"


def check_content(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """Each message holds exactly one block, and it is text."""
    for place, message in _messages(record):
        if not isinstance(message, dict) or "content" not in message:
            continue
        content = message["content"]
        if not (isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict)):
            yield "content_shape", place
        else:
            yield from _check_block(content[0], place, "content_shape")


def check_characters(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """Texts are Unicode text: no half surrogates, no NUL."""
    for place, text in _texts(record):
        if not text.isascii() and _has_surrogate(text):
            yield "lone_surrogate", place
        if "\0" in text:
            yield "nul_character", place


def check_length(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """The record can fit the student, even if the estimate of its tokens is far too high."""
    texts = [text for _, text in _texts(record)]
    surely = _SURELY * family.context_tokens
    if sum(map(len, texts)) > surely:
        tokens = sum(map(estimate_tokens, texts))
        if tokens > surely:
            yield "text_too_long", f"about {tokens} tokens for a context of {family.context_tokens}"


def check_reserved_words(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """No words that the student's family reserves; those that are control tokens too are told as such."""
    words = _told_apart(family)
    for place, text in _texts(record) if words else ():
        if any(word in text for word in words):
            yield "reserved_word", place


def _told_apart(family: StudentFamily) -> tuple[str, ...]:
    return tuple(word for word in family.reserved_words if word not in family.control_tokens)


def check_control_tokens(record: Mapping[str, Any], family: StudentFamily) -> Iterator[tuple[str, str]]:
    """No chat-template control tokens and no `Human:` turns inside text."""
    for place, text in _texts(record):
        if any(token in text for token in family.control_tokens):
            yield "control_token", place


RULES: tuple[RecordRule, ...] = (
    check_schema_version,
    check_keys,
    check_system,
    check_messages,
    check_roles,
    check_turns,
    check_content,
    check_characters,
    check_length,
    check_control_tokens,
    check_reserved_words,
)
"""The rules of a record, in the order their findings come."""


def _check_block(block: Mapping[str, Any], place: str, shape: str) -> Iterator[tuple[str, str]]:
    if "text" not in block:
        yield ("not_text", place) if block else (shape, place)
        return
    if not _only(block, "text", "type") or not isinstance(block.get("type", ""), str):
        yield "unknown_key", place
    if not isinstance(block["text"], str):
        yield shape, place
    elif not block["text"].strip():
        yield "empty_text", place


def _only(value: Mapping[str, Any], *keys: str) -> bool:
    return all(key in keys for key in value)


def _messages(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    messages = record.get("messages")
    if isinstance(messages, list):
        for number, message in enumerate(messages, 1):
            yield f"message {number}", message


def _texts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    system = record.get("system")
    if isinstance(system, list):
        for block in system:
            if isinstance(block, dict) and isinstance(block.get("text"), str):
                yield "system", block["text"]
    for place, message in _messages(record):
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and isinstance(block.get("text"), str):
                yield place, block["text"]


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


# one line, exactly


class _NotANumber(ValueError):
    pass


def _refuse_constant(name: str) -> Any:
    raise _NotANumber(name)


def check_line(
    line: bytes, number: int, family: StudentFamily = ANY_FAMILY, form: Form = "conversation"
) -> Iterator[Finding]:
    """Yield every finding of one line, which comes without its line end.

    :param form: what a line must be; the quota of a line's bytes is that of distillation jobs, and so of `conversation`.

    >>> [f.code for f in check_line(b'{"schemaVersion": "bedrock-conversation-2024", "messages": []}', 1)]
    ['messages_shape']
    """
    if line.endswith(b"\r"):
        yield finding("crlf", number)
        line = line[:-1]
    if not line.strip():
        yield finding("blank_line", number)
        return
    if b"\0" in line:
        yield finding("nul_byte", number)
        return
    if len(line) > MOST_LINE and form == "conversation":
        yield finding("line_above_quota", number, f"{len(line)} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        yield finding("not_utf8", number)
        return
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        if len(out) < len(items):
            repeated.append("")
        return out

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse_constant)
    except _NotANumber:
        yield finding("bad_number", number)
        return
    except RecursionError:
        yield finding("too_deep", number)
        return
    except ValueError:
        yield finding("bad_json", number)
        return
    if repeated:
        yield finding("duplicate_key", number)
    yield from _check_value(value, number, family, form)


def _check_value(value: Any, number: int, family: StudentFamily, form: Form) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield finding("not_an_object", number)
    elif not value:
        yield finding("empty_object", number)
    elif form == "prompt-completion":
        yield from _check_completion(value, number, family)
    else:
        for rule in RULES:
            for code, detail in rule(value, family):
                yield finding(code, number, detail)


COMPLETION_RULES: tuple[RecordRule, ...] = (
    check_content,
    check_characters,
    check_length,
    check_control_tokens,
    check_reserved_words,
)
"""The rules of a line of prompt and completion, read as a conversation of two turns."""


def _check_completion(value: Mapping[str, Any], number: int, family: StudentFamily) -> Iterator[Finding]:
    if not all(isinstance(value.get(name), str) for name in ("prompt", "completion")):
        yield finding("completion_shape", number)
        return
    if not _only(value, "prompt", "completion"):
        yield finding("unknown_key", number, "top level")
    turns = (("user", value["prompt"]), ("assistant", value["completion"]))
    record = {"messages": [{"role": role, "content": [{"text": text}]} for role, text in turns]}
    for rule in COMPLETION_RULES:
        for code, detail in rule(record, family):
            told = detail.replace("message 1", "prompt").replace("message 2", "completion")
            yield finding(code, number, told)


# whole blocks, typed


class _Text(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: Annotated[str, msgspec.Meta(min_length=1)]
    type: str | UnsetType = UNSET


_OneText = Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=1)]


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant"]
    content: _OneText


class _Record(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    schemaVersion: Literal["bedrock-conversation-2024"]
    system: _OneText | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Record).decode
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _QuickLook:
    """Says of good lines that they are good, at little more than the price of parsing them.

    It may send a good line to the exact rules, never let a bad one through. Two things a typed decoder does not see are
    looked for here. Repeated keys: the decoded records tell how many quotation marks their lines must have. Control
    tokens: only texts that hold a character of one are searched.
    """

    def __init__(self, family: StudentFamily) -> None:
        self._multi_turn = family.multi_turn
        self._reserved = _told_apart(family)
        self._tokens = _searches(family.control_tokens)

    def are_clean(self, lines: list[bytes], data: bytes) -> bool:
        """Say whether lines surely have no finding.

        :param data: the same lines as one piece.
        """
        if b"\r" in data or (len(data) > MOST_LINE and max(map(len, lines)) > MOST_LINE):
            return False
        try:
            records = list(map(_decode, lines))
        except _REFUSED:
            return False
        return self._have_turns(records) and self._have_texts(records, data)

    def _have_turns(self, records: list[_Record]) -> bool:
        """Say whether roles alternate, and whether there are as many turns as the family accepts."""
        if {record.messages[0].role for record in records} != {"user"}:
            return False
        longer = [record.messages for record in records if len(record.messages) > 1]
        if {messages[1].role for messages in longer} - {"assistant"}:
            return False
        longest = [messages for messages in longer if len(messages) > 2]
        if longest and not self._multi_turn:
            return False
        return all(one.role != other.role for messages in longest for one, other in pairwise(messages))

    def _have_texts(self, records: list[_Record], data: bytes) -> bool:
        """Say whether every text is text without control tokens, and no key occurs twice."""
        blocks = [message.content[0] for record in records for message in record.messages]
        messages = len(blocks)
        blocks += [record.system[0] for record in records if record.system is not UNSET]
        texts = [block.text for block in blocks]
        types = [block.type for block in blocks if block.type is not UNSET]
        whole = "".join(texts)
        if "\0" in whole or any(map(str.isspace, texts)) or any(word in whole for word in self._reserved):
            return False
        quotes = (
            6 * len(records) + 6 * messages + 2 * (len(blocks) - messages) + 4 * len(blocks) + 4 * len(types)
        )
        if data.count(b'"') != quotes + whole.count('"') + "".join(types).count('"'):
            return False
        return not any(
            find(text) for first, find in self._tokens if first in whole for text in texts if first in text
        )


def _searches(tokens: Iterable[str]) -> list[tuple[str, Callable[[str], object]]]:
    """Return a search for each first character of the tokens: a text without it need not be searched."""
    rests: dict[str, list[str]] = {}
    for token in tokens:
        rests.setdefault(token[0], []).append(re.escape(token[1:]))
    return [
        (first, re.compile(f"{re.escape(first)}(?:{'|'.join(found)})").search)
        for first, found in rests.items()
    ]


@dataclass(slots=True)
class CheckReport:
    """What a check found: counts by code, the first findings, the first of each code, and the verdict.

    `records` counts lines that were read and are not blank, `accepted` those without an error, in files the service reads.
    """

    records: int = 0
    accepted: int = 0
    bytes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    first: dict[str, Finding] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(count for code, count in self.counts.items() if CODES[code].severity == "error")

    @property
    def valid(self) -> bool:
        """Whether nothing stops a job: no errors at all."""
        return self.errors == 0

    def add(self, item: Finding) -> None:
        """Count a finding and keep it if it is one of the first, or the first of its code."""
        self.counts[item.code] += 1
        self.first.setdefault(item.code, item)
        if len(self.findings) < FIRST_FINDINGS:
            self.findings.append(item)

    def to_json(self) -> dict[str, Any]:
        return {
            "valid": self.valid,
            "records": self.records,
            "accepted": self.accepted,
            "bytes": self.bytes,
            "findings": [item.to_json() for item in self.findings],
            "counts": dict(sorted(self.counts.items())),
        }


class PromptCheck:
    """Checks the prompt files of one dataset, one after the other, and judges them together.

    :param family: the rules of the student's family.
    :param progress: called with the bytes read so far.
    :param form: what a line must be.
    """

    def __init__(
        self,
        family: StudentFamily = ANY_FAMILY,
        *,
        progress: Callable[[int], None] | None = None,
        form: Form = "conversation",
    ) -> None:
        self.family = family
        self.form = form
        self.report = CheckReport()
        self._progress = progress
        self._quick = _QuickLook(family)
        self._seen: set[int] = set()

    def read(self, stream: BinaryIO, path: str = "", *, name: str = "") -> None:
        """Check one file. Findings carry the path when one is given.

        :param name: what the file is called, where that is known: the service reads names that end in .jsonl only.
        """
        report = self.report
        before = report.records
        readable = True
        if name and not name.endswith(PROMPT_SUFFIXES):
            self._add(finding("extension", 0), path)
        for part in iter_blocks(stream):
            if isinstance(part, Trouble):
                code = part.code
                if code == "compressed" and name.endswith(".jsonl"):
                    code = "gzip_as_jsonl"
                readable = readable and code not in ("utf16", "gzip_as_jsonl")
                self._add(finding(code, part.line), path)
                if code == "line_too_long":
                    report.records += 1
            else:
                if readable:
                    self._check_block(part, path)
                else:
                    report.records += sum(not line.isspace() for line in part.data.splitlines() if line)
                report.bytes += len(part.data)
                if self._progress:
                    self._progress(report.bytes)
        if report.records == before:
            self._add(finding("empty_file", 0), path)

    def finish(self) -> CheckReport:
        """Add what only the whole tells and return the report."""
        report = self.report
        if report.accepted < LEAST_RECORDS:
            report.add(finding("too_few_records", 0, f"{report.accepted} of {report.records}"))
        if report.records > MOST_RECORDS:
            report.add(finding("too_many_records", 0, str(report.records)))
        if report.bytes > MOST_BYTES:
            report.add(finding("total_too_large", 0, f"{report.bytes} bytes"))
        return report

    def _check_block(self, block: Block, path: str) -> None:
        lines = block.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        report = self.report
        if report.records < MOST_RECORDS:
            self._find_repeated(lines, block.first_line, path)
        report.records += len(lines)
        quick = self.form == "conversation"
        if quick and self._quick.are_clean(lines, block.data):
            report.accepted += len(lines)
            return
        for number, line in enumerate(lines, block.first_line):
            if quick and self._quick.are_clean([line], line):
                report.accepted += 1
            elif not line or line.isspace():
                report.records -= 1
                self._check_line(line, number, path)
            else:
                report.accepted += self._check_line(line, number, path)

    def _check_line(self, line: bytes, number: int, path: str) -> bool:
        """Take a line apart; says whether it has no error."""
        good = True
        for item in check_line(line, number, self.family, self.form):
            self._add(item, path)
            good = good and item.severity != "error"
        return good

    def _find_repeated(self, lines: list[bytes], first: int, path: str) -> None:
        """Find equal lines among as many records as a job takes; beyond that the file is refused anyway."""
        seen = self._seen
        for number, line in enumerate(lines, first):
            key = hash(line)
            if key in seen and line.strip():
                self._add(finding("duplicate_record", number), path)
            seen.add(key)

    def _add(self, item: Finding, path: str) -> None:
        if path:
            item = Finding(item.line, item.code, item.message, item.fix, path, item.severity)
        self.report.add(item)


def check_stream(stream: BinaryIO, family: StudentFamily = ANY_FAMILY) -> CheckReport:
    """Check one file and return the report."""
    check = PromptCheck(family)
    check.read(stream)
    return check.finish()
