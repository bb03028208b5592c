"""What form a file of records has, told from its first bytes, and how each form becomes lines of one record each.

Standard library and the typed JSON decoder; streams are passed in as pieces of unpacked bytes. Bedrock writes one record
a line. Other deliveries wrap the same records: CloudWatch Logs by subscription (through Firehose) or by export, the answers
of its commands, records as members or as texts of other objects (log shippers, event buses, search engines), a JSON
array, pretty-printed JSON, records without line ends, UTF-16 and UTF-32. They are read. A file that can hold no records at
all is named instead, so that nobody looks for a wrong filter.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

import msgspec

LONGEST_LINE = 8 << 20
"""Bytes of a line or of one JSON value; Bedrock stores bodies above 100 KB beside the record."""

_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "a Parquet file", "Export the table as JSON lines."),
    (b"PK\x03\x04", "a zip archive", "Unpack it and name the files in it."),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it, or pack it with gzip."),
    (b"BZh", "compressed with bzip2", "Unpack it, or pack it with gzip."),
    (b"\xfd7zXZ", "compressed with xz", "Unpack it, or pack it with gzip."),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "Unpack it, or pack it with gzip."),
    (b"\xff\x06\x00\x00sNaPpY", "compressed with snappy", "Unpack it, or let Firehose pack with gzip."),
    (b"Obj\x01", "an Avro file", "Export it as JSON lines."),
    (b"ORC", "an ORC file", "Export the table as JSON lines."),
    (b"%PDF", "a PDF file", "Name the folder of invocation logs."),
    (b"\x89PNG", "an image", "Name the folder of invocation logs."),
    (b"<?xml", "XML", "Name the folder of invocation logs; a saved error message holds none."),
    (b"<!DOCTYPE", "a web page", "Name the folder of invocation logs; a saved error page holds none."),
    (b"<html", "a web page", "Name the folder of invocation logs; a saved error page holds none."),
    (b"\x1f\x8b", "packed with gzip twice", "Unpack it once."),
    (b"@timestamp,@message", "a CSV export of CloudWatch Logs Insights", "Export the answer as JSON."),
    (b"{'", "written as Python prints dictionaries", "Write each record with json.dumps, one a line."),
)
_TAR_AT, _TAR = 257, b"ustar"
_CLOUDTRAIL = re.compile(rb'\{\s*"Records"\s*:\s*\[\s*\{\s*"eventVersion"')
_WRAPPED = b'"logEvents"'
_BEFORE = b"\xef\xbb\xbf \t\r\n"
_EXPORTED = re.compile(
    rb"\d{4}-\d\d-\d\dT[\d:.]{8,20}(?:Z|[+-]\d\d:\d\d)?[ \t](?:[A-Za-z0-9/_.#-]{1,512}[ \t])?(?=\{)"
)
_RECORD, _RECORD_IN_TEXT = b'"modelId"', b'\\"modelId\\"'
_SEPARATOR = b"\x1e"
_DEEPEST = 8
_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_TEXT = re.compile(rb'["\\]')
_JOINED, _JOINED_TEXT = re.compile(rb"\}\r?\{"), re.compile(rb'\}\r?\{"')
_SAMPLE = 4096


def foreign_form(first: bytes) -> tuple[str, str] | None:
    """Return what a file is that holds no text, and what to do about it; None for text, gzip included."""
    begun = first.lstrip(_BEFORE)
    lower = begun[:16].lower()
    for magic, name, advice in _FOREIGN:
        if begun.startswith(magic) or (magic[:1] == b"<" and lower.startswith(magic.lower())):
            return name, advice
    if first[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return "a tar archive", "Unpack it and name the files in it."
    if _CLOUDTRAIL.match(begun):
        return (
            "a log of CloudTrail",
            "It says who called and holds no prompts: name the folder of invocation logs.",
        )
    return None


def as_record_lines(first: bytes, pieces: Iterator[bytes], longest: int) -> Iterator[bytes] | None:
    """Return the pieces of a file in another form as pieces of lines, one record each; None when it is in lines already.

    :param first: its first piece, which is all that is looked at to tell the form.
    """
    encoding = _wide_encoding(first)
    if encoding:
        pieces = _narrowed(first, pieces, encoding)
        first = next(pieces, b"")
    text = first.lstrip(_BEFORE)
    if first.startswith(b"\xef\xbb\xbf") and text.startswith(b"{"):
        encoding = "utf-8"  # the mark is no part of the first record
        first = text
    line, ended, _ = text.partition(b"\n")
    if text.startswith(b"[") and text[1:].lstrip(_BEFORE).startswith(b"{"):
        return _split(_with(text, pieces), 1, longest)
    if text.startswith(b"{") and (
        line.strip() == b"{"
        or line.rstrip().endswith(b"},")
        or _WRAPPED in text[:_SAMPLE]
        or _is_joined(line, bool(ended))
        or _is_wrapped(text)
    ):
        return _split(_with(text, pieces), 0, longest)
    if text.startswith((_SEPARATOR, b"[[")) or re.match(rb'\[\s*"\{', text):
        return _split(_with(text, pieces), 0, longest)
    if text.startswith(b'"{'):
        return _unquoted(_with(text, pieces))
    if _EXPORTED.match(text):
        return _without_times(_with(text, pieces))
    return _with(first, pieces) if encoding else None


def _with(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _is_joined(line: bytes, whole: bool) -> bool:
    """Say whether a line holds one object after another."""
    if not _JOINED.search(line):
        return False
    if not whole:
        return _JOINED_TEXT.search(line) is not None
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return True
    return False


def _is_wrapped(text: bytes) -> bool:
    """Say whether the first record lies in another object: as a value of it, or as a text in it.

    What the first record itself says of record members is taken for that too, which costs time and changes nothing.
    """
    inside = text.find(_RECORD_IN_TEXT, 0, _SAMPLE)
    at = text.find(_RECORD, 0, _SAMPLE)
    if at < 0 or 0 <= inside < at:
        return inside >= 0
    depth = 0
    in_text = False
    for found in re.finditer(rb'\\.|["{}\[\]]', text[:at], re.DOTALL):
        mark = found[0]
        if mark == b'"':
            in_text = not in_text
        elif not in_text and mark[:1] != b"\\":
            depth += 1 if mark in (b"{", b"[") else -1
    return depth != 1


def _wide_encoding(first: bytes) -> str:
    """Return the encoding of UTF-16 or UTF-32 data, the first with or without byte order mark; empty for anything else."""
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = first[:64]
    if len(start) >= 16 and start[:2] in (b"{\0", b"\0{", b"[\0", b"\0["):
        return "utf-16-le" if start[1] == 0 else "utf-16-be"
    return ""


def _narrowed(first: bytes, pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", True).encode("utf-8", "replace")


def _without_times(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take the time that an export of CloudWatch Logs writes before each message off the lines."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield b"".join(_EXPORTED.sub(b"", line, 1) + b"\n" for line in lines)
        if len(rest) > LONGEST_LINE:  # the reader of lines counts it
            yield rest
            rest = b""
    yield _EXPORTED.sub(b"", rest, 1)


def _unquoted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take each line, a JSON text that holds a record, out of its quotes."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield b"".join(_text_of(line) for line in lines)
        if len(rest) > LONGEST_LINE:  # the reader of lines counts it
            yield rest
            rest = b""
    if rest:
        yield _text_of(rest)


def _text_of(line: bytes) -> bytes:
    try:
        return _one_line(msgspec.json.decode(line, type=str).encode())
    except (msgspec.DecodeError, UnicodeError):
        return line + b"\n"


def _split(pieces: Iterator[bytes], level: int, longest: int) -> Iterator[bytes]:
    """Yield the objects that lie `level` deep, each as lines of records; what is no whole object is handed on as it is."""
    data = bytearray()
    at = depth = 0
    start = -1
    in_text = False
    for piece in pieces:
        data += piece
        while True:
            found = (_IN_TEXT if in_text else _STRUCTURE).search(data, at)
            if found is None:
                at = max(at, len(data))
                break
            mark = data[found.start()]
            at = found.end()
            if mark == 0x5C:  # a backslash: what it escapes may come with the next piece
                at += 1
            elif mark == 0x22:
                in_text = not in_text
            elif mark in b"{[":
                if depth == level and start < 0:
                    start = found.start()
                depth += 1
            else:
                depth = max(depth - 1, 0)
                if depth == level and start >= 0:
                    yield from _lines_of(bytes(data[start:at]))
                    start = -1
        done = start if start >= 0 else min(at, len(data))
        del data[:done]
        at -= done
        start = 0 if start >= 0 else -1
        if len(data) > longest:
            yield bytes(data)
            yield from pieces
            return
    if start >= 0:
        yield bytes(data)


class _Event(msgspec.Struct, gc=False):
    message: str = ""


class _Envelope(msgspec.Struct, gc=False):
    """A delivery of CloudWatch Logs: by subscription, or the answer of `get-log-events` or `filter-log-events`."""

    logEvents: list[_Event] | None = None
    events: list[_Event] | None = None
    messageType: str = ""


class _Known(msgspec.Struct, gc=False):
    """What tells a record from an object that holds one."""

    modelId: msgspec.Raw = msgspec.Raw(b"")


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_known = msgspec.json.Decoder(_Known).decode


def _lines_of(value: bytes) -> Iterator[bytes]:
    """Yield one JSON object as a line, or the records that it wraps as one line each."""
    if b'"logEvents"' in value or b'"events"' in value:
        try:
            envelope = _decode_envelope(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            envelope = _Envelope()
        events = envelope.logEvents if envelope.logEvents is not None else envelope.events
        if envelope.messageType == "CONTROL_MESSAGE":
            return  # the service says that it can deliver, and nothing of a call
        if events is not None:
            for event in events:
                yield _one_line(event.message.encode())
            return
    held = list(_held_records(value))
    yield from held or (_one_line(value),)


def _held_records(value: bytes) -> Iterator[bytes]:
    """Yield the records that lie in a value which is none itself, as values or as texts, however it wraps them."""
    if _RECORD not in value and _RECORD_IN_TEXT not in value:
        return
    try:
        if value.startswith(b"{") and _decode_known(value).modelId:
            return
        yield from _records_in(msgspec.json.decode(value), _DEEPEST)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return


def _records_in(value: object, deep: int) -> Iterator[bytes]:
    if isinstance(value, str):
        if value.startswith("{") and '"modelId"' in value:
            yield _one_line(value.encode())
    elif isinstance(value, dict):
        if "modelId" in value and ("schemaType" in value or "operation" in value):
            yield msgspec.json.encode(value) + b"\n"
        elif deep:
            for each in value.values():
                yield from _records_in(each, deep - 1)
    elif isinstance(value, list) and deep:
        for each in value:
            yield from _records_in(each, deep - 1)


def _one_line(value: bytes) -> bytes:
    """Return JSON on one line: between values a line end is a space, and within a text there is none."""
    return value.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
