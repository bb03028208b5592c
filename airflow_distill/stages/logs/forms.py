"""What form a file of records has, told from its first bytes, and how each form becomes lines of one record each.

Standard library and the typed JSON decoder; streams are passed in as pieces of unpacked bytes. Bedrock writes one record
a line. Other deliveries wrap the same records: CloudWatch Logs by subscription (through Firehose) or by export, the answers
of its commands, a JSON array, pretty-printed JSON, records without line ends, UTF-16. They are read. A file that can hold
no text at all is named instead, so that nobody looks for a wrong filter.
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
)
_WRAPPED = b'"logEvents"'
_BEFORE = b"\xef\xbb\xbf \t\r\n"
_EXPORTED = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]{8,20}Z[ \t]")
_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_TEXT = re.compile(rb'["\\]')
_SAMPLE = 4096


def foreign_form(first: bytes) -> tuple[str, str] | None:
    """Return what a file is that holds no text, and what to do about it; None for text, gzip included."""
    begun = first.lstrip(_BEFORE)
    return next(((name, advice) for magic, name, advice in _FOREIGN if begun.startswith(magic)), None)


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
        line.strip() == b"{" or _WRAPPED in text[:_SAMPLE] or _is_joined(line, bool(ended))
    ):
        return _split(_with(text, pieces), 0, longest)
    if _EXPORTED.match(text):
        return _without_times(_with(text, pieces))
    return _with(first, pieces) if encoding else None


def _with(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _is_joined(line: bytes, whole: bool) -> bool:
    """Say whether a line holds one object after another."""
    if b"}{" not in line:
        return False
    if not whole:
        return b'}{"' in line
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return True
    return False


def _wide_encoding(first: bytes) -> str:
    """Return the encoding of UTF-16 data, with or without byte order mark; empty for anything else."""
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


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def _lines_of(value: bytes) -> Iterator[bytes]:
    """Yield one JSON object as a line, or the records that it wraps as one line each."""
    if b'"logEvents"' in value or b'"events"' in value:
        try:
            envelope = _decode_envelope(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            envelope = _Envelope()
        events = envelope.logEvents if envelope.logEvents is not None else envelope.events
        if events is not None:
            for event in events:
                yield _one_line(event.message.encode())
            return
    yield _one_line(value)


def _one_line(value: bytes) -> bytes:
    """Return JSON on one line: between values a line end is a space, and within a text there is none."""
    return value.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
