"""Any file as blocks of whole lines, in flat memory, whatever is in it.

Takes an opened binary stream, hands on `Block`s (bytes that end at a line end, and the number of their first line)
and `Trouble`s: what is wrong with the file rather than with a record. Nothing here raises on hostile input. Gzip is
recognised by its content, with any number of members; UTF-16 is transcoded so that the lines can still be counted.

Imports the fast gzip decoder only; opening files and buckets is the caller's business.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from isal import isal_zlib

# The library's stub declares an instance where there is a class.
_DAMAGE: type[Exception] = isal_zlib.error  # type: ignore[assignment]

BLOCK = 1 << 18
MAX_LINE = 8 << 20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines: `data` ends at a line end, or at the end of the file."""

    first_line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with the file: a code of `checks.FILE_RULES`, and the line it shows on (0: the file as a
    whole)."""

    line: int
    code: str


def iter_blocks(stream: BinaryIO, *, max_line: int = MAX_LINE) -> Iterator[Block | Trouble]:
    """Yield the blocks of a stream and what is wrong with it, in the order of lines.

    Lines longer than `max_line` bytes are reported and left out, so memory stays flat.
    """
    troubles: list[Trouble] = []
    line = 1
    rest = b""
    skipping = False
    for chunk in _decoded(_chunks(stream), troubles):
        yield from _taken(troubles)
        if skipping:
            end = chunk.find(b"\n") + 1
            if not end:
                continue
            chunk = chunk[end:]
            skipping = False
            line += 1
        data = rest + chunk if rest else chunk
        end = data.rfind(b"\n") + 1
        if end:
            yield Block(line, data if end == len(data) else data[:end])
            line += data.count(b"\n", 0, end)
        rest = data[end:]
        if len(rest) > max_line:
            yield Trouble(line, "line_too_long")
            rest = b""
            skipping = True
    if rest:
        yield Block(line, rest)
    for trouble in troubles:
        yield Trouble(trouble.line or line, trouble.code)


def _taken(troubles: list[Trouble]) -> Iterator[Trouble]:
    """Hand over what is known to belong to a line already passed; damage at the end waits for the last line."""
    while troubles and troubles[0].line:
        yield troubles.pop(0)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(BLOCK):
        yield chunk


def _decoded(chunks: Iterator[bytes], troubles: list[Trouble]) -> Iterator[bytes]:
    """Undo compression, byte order marks and UTF-16."""
    first, chunks = _peek(chunks)
    if first.startswith(GZIP_MAGIC):
        troubles.append(Trouble(1, "compressed"))
        first, chunks = _peek(_inflate(chunks, troubles))
    encoding = _utf16(first)
    if encoding:
        troubles.append(Trouble(1, "utf16"))
        yield from _transcode(chunks, encoding)
        return
    if first.startswith(codecs.BOM_UTF8):
        troubles.append(Trouble(1, "byte_order_mark"))
        next(chunks)
        yield first[len(codecs.BOM_UTF8) :]
    yield from chunks


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    first = next(chunks, b"")
    while first and len(first) < 64:
        more = next(chunks, b"")
        if not more:
            break
        first += more

    def again() -> Iterator[bytes]:
        yield first
        yield from chunks

    return first, again()


def _inflate(chunks: Iterator[bytes], troubles: list[Trouble]) -> Iterator[bytes]:
    """Decompress gzip members one after the other; damage ends the data and is reported."""
    inflater = isal_zlib.decompressobj(wbits=31)
    for chunk in chunks:
        data = chunk
        while data:
            if inflater.eof:
                if not data.strip(b"\0"):
                    break
                inflater = isal_zlib.decompressobj(wbits=31)
            try:
                out = inflater.decompress(data, BLOCK)
            except _DAMAGE:
                troubles.append(Trouble(0, "gzip_damaged"))
                return
            if out:
                yield out
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if not out and not inflater.eof and data:
                troubles.append(Trouble(0, "gzip_damaged"))
                return
    if not inflater.eof:
        troubles.append(Trouble(0, "gzip_truncated"))


def _utf16(first: bytes) -> str:
    """Return the encoding of UTF-16 data, with or without byte order mark; empty for anything else."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = first[:64]
    if len(start) >= 16 and start[:2] in (b"{\0", b"\0{"):
        ahead, behind = start[0::2], start[1::2]
        if not any(behind) and all(ahead):
            return "utf-16-le"
        if not any(ahead) and all(behind):
            return "utf-16-be"
    return ""


def _transcode(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", True).encode("utf-8", "replace")
