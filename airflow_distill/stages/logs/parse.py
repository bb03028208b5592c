"""One invocation-log line becomes an interaction, or is skipped under a reason.

Takes bytes, hands on `Interaction` or `Skipped`. Imports the typed JSON decoder; opens nothing: bodies that were stored
beside the log are handed in. There are two roads with one result. The quick one decodes a line straight into the record
shapes. Whatever does not fit there is taken apart again with the standard library's decoder, field by field, and skipped
only if that fails as well.

A reader of many lines uses `LogReader`, which knows the selection and gives a `Reading`: the same facts as an interaction
in a cheaper dress, since most readings are never kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from airflow_distill.stages.logs.answer import cached_tokens, one_answer, read_output
from airflow_distill.stages.logs.bodies import decode_input_body, decode_output_body
from airflow_distill.stages.logs.conversation import RawTurn, offers_tools, read_input
from airflow_distill.stages.logs.forms import LONGEST_LINE
from airflow_distill.stages.logs.reasons import Skipped, SkipReason
from airflow_distill.stages.logs.records import SCHEMA, Interaction
from airflow_distill.stages.logs.selection import Selection, Selector
from airflow_distill.stages.logs.shapes import (
    Events,
    Identity,
    Input,
    InputBody,
    Number,
    Output,
    OutputBody,
    Record,
    Usage,
    convert_input,
    convert_output,
    decode_record,
)
from airflow_distill.stages.logs.tasks import named_reason
from airflow_distill.stages.logs.unusable import Unusable

SCHEMA_TYPE = "ModelInvocationLog"
MOST_METADATA = 64
"""Pairs of request metadata in a record; the service takes 16 in a call."""
LONGEST_NAME = 2_048
"""Characters of a model id, an operation, a request id or a caller's ARN; the service's longest is an ARN of 2,048."""
BodyLoader = Callable[[str], bytes | None]
"""Returns the bytes of a stored body (compressed or not), or None when the object is not there."""

Wants = Callable[[str | None, tuple[RawTurn, ...]], bool]
"""Says of a system text and turns whether they may be kept."""


class Reading(msgspec.Struct, gc=False):
    """What a selected and usable record says; the fields of `Interaction.to_json`, in its order."""

    v: int
    request_id: str
    timestamp: str
    operation: str
    model_id: str
    model: str
    turns: tuple[RawTurn, ...]
    answer: str
    system: str | None
    stop_reason: str
    metadata: dict[str, str]
    identity: str
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: int | None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    tools_offered: bool = False
    redacted: dict[str, int] = {}

    def interaction(self) -> Interaction:
        """Return the record that crosses the stage's door."""
        return Interaction.from_json(msgspec.structs.asdict(self))

    def to_bytes(self) -> bytes:
        """Return `Interaction.to_json()` of the same facts as JSON bytes; equal readings give equal bytes."""
        if len(self.metadata) > 1:
            self.metadata = dict(sorted(self.metadata.items()))
        return _encode(self)


class _Texts(msgspec.Struct, gc=False):
    """What of a stored interaction people or programs wrote."""

    turns: tuple[RawTurn, ...]
    answer: str
    system: str | None
    metadata: dict[str, str]
    identity: str


_encode = msgspec.json.Encoder().encode
_decode_stored = msgspec.json.Decoder(Reading).decode
_decode_texts = msgspec.json.Decoder(_Texts).decode


def interaction_of(stored: bytes) -> Interaction:
    """Return the interaction that `Reading.to_bytes` or `encode_interaction` wrote."""
    return _decode_stored(stored).interaction()


def texts_of(stored: bytes) -> tuple[str, list[str]]:
    """Return the answer of a stored interaction, and all its texts that people or programs wrote."""
    held = _decode_texts(stored)
    texts = [text for _, text in held.turns]
    texts += (held.answer, held.system or "", held.identity, *held.metadata, *held.metadata.values())
    return held.answer, texts


def encode_interaction(interaction: Interaction) -> bytes:
    """Return an interaction as the bytes that are stored, like `Reading.to_bytes`."""
    return _encode(interaction.to_json())


BREAKS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, MemoryError)
"""What a line may still raise that no rule foresaw: it costs that line, never the object or the task."""

_LARGEST = 2**53
_REASONS_IN_TEXT = "gpt-oss"
"""OpenAI's open models write their thinking before the answer, between tags of their own (Amazon Bedrock user guide, OpenAI
models); other models' answers begin like that only where a prompt asks for it."""
_REASONING = "<reasoning>", "</reasoning>"


class LogReader:
    """Reads lines for one selection.

    :param selection: what is asked for; everything when left out.
    """

    def __init__(self, selection: Selection | None = None) -> None:
        self._selector = Selector(selection or Selection())
        self._checks_system = bool(self._selector.selection.system_digest)

    def read(self, line: bytes | memoryview, load: BodyLoader) -> Reading:
        """Return what a line says.

        :param load: fetches a stored body by its URI.
        :raises Unusable: the line is skipped, for the reason it carries.
        """
        reading = self.read_wanted(line, load, None)
        assert reading is not None
        return reading

    def read_wanted(self, line: bytes | memoryview, load: BodyLoader, wants: Wants | None) -> Reading | None:
        """Return what a line says, or None when it is usable and not wanted.

        :param load: fetches a stored body by its URI.
        :param wants: says of a prompt whether its reading is worth making.
        :raises Unusable: the line is skipped, for the reason it carries.
        """
        try:
            try:
                record = decode_record(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self.read_slowly(bytes(line), load)
            return self._read_record(record, load, wants)
        except Unusable as skip:
            raise Unusable(named_reason(bytes(line), skip.reason)) from None
        except BREAKS:
            raise Unusable(SkipReason.UNREADABLE) from None

    def read_slowly(self, line: bytes, load: BodyLoader) -> Reading:
        """Return what `read` returns of what is wanted, by the standard library's decoder and field by field.

        :raises Unusable: the line is skipped, for the reason it carries.
        """
        try:
            reading = self._read_record(_decode_slowly(line), load, None)
        except Unusable as skip:
            raise Unusable(named_reason(line, skip.reason)) from None
        assert reading is not None
        _require_storable(reading)
        return reading

    def _read_record(self, record: Record, load: BodyLoader, wants: Wants | None) -> Reading | None:
        model_id, operation, metadata = record.modelId, record.operation, record.requestMetadata
        require_envelope(record)
        assert model_id
        assert operation
        selector = self._selector
        model = selector.resolve(model_id)
        timestamp = selector.time_of(record.timestamp or "")
        identity = (record.identity.arn if record.identity is not None else None) or ""
        if not selector.takes_all:
            reason = selector.reject_envelope(operation, model, timestamp, metadata, identity)
            if reason is not None:
                raise Unusable(reason)
        if record.errorCode:
            raise Unusable(SkipReason.FAILED_CALL)
        sent, got = record.input, record.output
        asked = sent.inputBodyJson if sent is not None else None
        answered = got.outputBodyJson if got is not None else None
        is_stored = asked is None or answered is None
        if asked.__class__ is not InputBody or answered.__class__ is not OutputBody:
            asked, answered = _bodies(record, load)
        system, turns, begun = read_input(asked)
        if self._checks_system and (reason := selector.reject_system(system)):
            raise Unusable(reason)
        if wants is not None and answered.__class__ is OutputBody:
            # Most records are not wanted: what they used is not read then.
            said = one_answer(answered)
            if said and not said.isspace():
                if not wants(system, turns):
                    return None
                wants = None
        text, stop, body_in, body_out, latency, usage = read_output(answered)
        if begun:
            text = begun + text
        if text.startswith(_REASONING[0]) and _REASONS_IN_TEXT in model_id:
            text = text.partition(_REASONING[1])[2].lstrip()
        if not text or text.isspace():
            raise Unusable(SkipReason.EMPTY_ANSWER)
        if wants is not None and not wants(system, turns):
            return None
        tokens_out = got.outputTokenCount if got is not None else None
        tokens_in, cache_read, cache_write = input_tokens(sent, body_in, usage)
        reading = Reading(
            SCHEMA,
            record.requestId or "",
            timestamp,
            operation,
            model_id,
            model,
            turns,
            text,
            system,
            stop,
            metadata or {},
            identity,
            tokens_in,
            whole_count(tokens_out if tokens_out is not None else body_out),
            whole_count(latency),
            cache_read,
            cache_write,
            offers_tools(asked),
        )
        if is_stored and len(reading.to_bytes()) > LONGEST_LINE:
            raise Unusable(SkipReason.BODY_TOO_LONG)
        return reading


def parse_line(
    line: bytes, selection: Selection | None = None, load: BodyLoader = lambda uri: None
) -> Interaction | Skipped:
    """Return the interaction of one log line, or why there is none.

    :param load: fetches a stored body by its URI; without it, such records are skipped as `body_missing`.
    """
    try:
        return LogReader(selection).read(line, load).interaction()
    except Unusable as skip:
        return Skipped(skip.reason)


def require_envelope(record: Record) -> None:
    """Check what stands around a record's bodies: that it is a record of a call, and no longer than the service's are.

    :raises Unusable: it is not.
    """
    if not record.modelId or not record.operation or record.schemaType not in (SCHEMA_TYPE, None):
        raise Unusable(SkipReason.NOT_A_RECORD)
    metadata, identity = record.requestMetadata, record.identity
    if (
        (metadata is not None and len(metadata) > MOST_METADATA)
        or len(record.modelId) > LONGEST_NAME
        or len(record.operation) > LONGEST_NAME
        or (record.requestId is not None and len(record.requestId) > LONGEST_NAME)
        or (identity is not None and identity.arn is not None and len(identity.arn) > LONGEST_NAME)
    ):
        raise Unusable(SkipReason.TOO_MUCH_METADATA)


def _require_storable(reading: Reading) -> None:
    """Check that the texts can be stored as UTF-8; only the slow road can bring in what cannot."""
    try:
        reading.to_bytes()
    except UnicodeEncodeError:
        raise Unusable(SkipReason.BAD_TEXT) from None


def _bodies(record: Record, load: BodyLoader) -> tuple[InputBody, OutputBody | Events]:
    """Return both bodies, fetched where the record only points to them."""
    asked = record.input.inputBodyJson if record.input is not None else None
    answered = record.output.outputBodyJson if record.output is not None else None
    if asked is None:
        asked = decode_input_body(_fetch(record.input.inputBodyS3Path if record.input else None, load))
    elif isinstance(asked, str):
        asked = decode_input_body(asked)
    if answered is None:
        answered = decode_output_body(_fetch(record.output.outputBodyS3Path if record.output else None, load))
    elif isinstance(answered, str):
        answered = decode_output_body(answered)
    return asked, answered


def _fetch(uri: str | None, load: BodyLoader) -> bytes:
    if not uri:
        raise Unusable(SkipReason.NO_BODY)
    data = load(uri)
    if data is None:
        raise Unusable(SkipReason.BODY_MISSING)
    return data


def input_tokens(
    asked: Input | None, of_body: Number, usage: Usage | None
) -> tuple[int | None, int | None, int | None]:
    """Return all input tokens, and of them those read from a cache and written to one.

    The count of the record, and that of a body, leaves the cached ones out and lists them beside it.
    """
    fresh = of_body
    read = write = None
    if asked is not None:
        fresh = asked.inputTokenCount if asked.inputTokenCount is not None else fresh
        read, write = asked.cacheReadInputTokenCount, asked.cacheWriteInputTokenCount
    if read is None or write is None:
        told = cached_tokens(usage)
        read, write = told[0] if read is None else read, told[1] if write is None else write
    whole = whole_count(fresh)
    if read is None and write is None:
        return whole, None, None
    if read == write == 0:
        return whole, 0, 0
    cached = whole_count(read), whole_count(write)
    return (None if whole is None else whole + (cached[0] or 0) + (cached[1] or 0)), *cached


def whole_count(number: Number) -> int | None:
    """Return a count as a whole number; what no count can be is taken as not there."""
    return int(number) if number is not None and 0 <= number <= _LARGEST else None


def _decode_slowly(line: bytes) -> Record:
    """Decode a line that does not fit the shapes, telling apart what is wrong with it."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable(SkipReason.NOT_UTF8) from None
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise Unusable(SkipReason.BLANK)
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Unusable(SkipReason.NOT_JSON) from None
    if not isinstance(data, dict):
        raise Unusable(SkipReason.NOT_A_RECORD)
    return _fit(data)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _fit(data: dict[str, Any]) -> Record:
    """Build a record from plain data; what has the wrong type is taken as not there, except in the bodies."""
    schema = data.get("schemaType")
    asked, answered = _section(data, "input"), _section(data, "output")
    identity = data.get("identity")
    error = data.get("errorCode")
    return Record(
        schemaType=schema if isinstance(schema, str) or schema is None else "?",
        timestamp=_text(data, "timestamp"),
        requestId=_text(data, "requestId"),
        operation=_text(data, "operation"),
        modelId=_text(data, "modelId"),
        errorCode=error if isinstance(error, str) or error is None else str(error),
        identity=Identity(_text(identity, "arn")) if isinstance(identity, dict) else None,
        requestMetadata=_metadata(data.get("requestMetadata")),
        input=Input(
            inputBodyJson=_convert(convert_input, asked.get("inputBodyJson"), InputBody()),
            inputBodyS3Path=_text(asked, "inputBodyS3Path"),
            inputTokenCount=_number(asked, "inputTokenCount"),
            cacheReadInputTokenCount=_number(asked, "cacheReadInputTokenCount"),
            cacheWriteInputTokenCount=_number(asked, "cacheWriteInputTokenCount"),
        ),
        output=Output(
            outputBodyJson=_convert(convert_output, answered.get("outputBodyJson"), OutputBody()),
            outputBodyS3Path=_text(answered, "outputBodyS3Path"),
            outputTokenCount=_number(answered, "outputTokenCount"),
        ),
    )


def _section(data: dict[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _text(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def _number(data: dict[str, Any], name: str) -> Number:
    value = data.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _metadata(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _convert(convert: Callable[[Any], Any], value: Any, misfit: Any) -> Any:
    """Fit a body to its shape. One that does not fit becomes an empty body, which is judged after the selection."""
    try:
        return convert(value)
    except (ValueError, OverflowError, RecursionError):
        return misfit
