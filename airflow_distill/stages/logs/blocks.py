"""A stored log object becomes blocks of whole lines, in memory that does not grow with the object.

Imports a gzip decoder; the stream is passed in. Compressed or plain is told from the first bytes, not from the name. A gzip
stream may have several members and may be cut off: what was readable is handed on, and the damage is reported.
A file may also hold one pretty-printed object; its lines are no records, so it is handed on as one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from isal import igzip_lib

CHUNK = 64 * 1024
BLOCK = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"
LONG_LINE = 1024

Block = tuple[bytes, int]
"""Some bytes and where the whole lines in them end; what follows comes again with the next block."""

LARGEST_OBJECT = 64 * 1024 * 1024
"""A pretty-printed object larger than this is read as the lines it looks like."""


class LogBlocks:
    """Iterates over blocks of whole lines of one stream; at a block's end there is always a newline.

    After the iteration, `damaged` says whether the compressed stream was cut off or corrupt.
    """

    def __init__(self, stream: BinaryIO, *, largest_object: int = LARGEST_OBJECT) -> None:
        self._stream = stream
        self._largest = largest_object
        self.damaged = False

    def __iter__(self) -> Iterator[Block]:
        pieces = self._plain()
        first = next(pieces, b"")
        if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:2] in (b"{\n", b"{\r", b"{"):
            first, whole = self._whole_object(first, pieces)
            if whole:
                yield whole, len(whole)
                return
        yield from _whole_lines(first, pieces)

    def _plain(self) -> Iterator[bytes]:
        """Yield the stream's bytes, decompressed where they are gzip."""
        chunk = self._stream.read(CHUNK)
        if chunk[:2] != GZIP_MAGIC:
            while chunk:
                yield chunk
                chunk = self._stream.read(BLOCK)
            return
        yield from self._unzipped(chunk)

    def _unzipped(self, chunk: bytes) -> Iterator[bytes]:
        decoder = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
        while True:
            try:
                data = decoder.decompress(chunk, BLOCK)
            except igzip_lib.IsalError:  # type: ignore[misc]
                self.damaged = True
                return
            if data:
                yield data
            if decoder.eof:
                chunk = self._next_member(decoder.unused_data)
                if not chunk:
                    return
                decoder = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
            elif decoder.needs_input:
                chunk = self._stream.read(CHUNK)
                if not chunk:
                    self.damaged = True
                    return
            else:
                chunk = b""

    def _next_member(self, rest: bytes) -> bytes:
        """Return the start of the next gzip member, or nothing at the end; zero bytes between are padding."""
        rest = rest.lstrip(b"\0")
        while len(rest) < len(GZIP_MAGIC):
            more = self._stream.read(CHUNK)
            if not more:
                break
            rest = (rest + more).lstrip(b"\0")
        if rest and not rest.startswith(GZIP_MAGIC):
            self.damaged = True
            return b""
        return rest

    def _whole_object(self, first: bytes, pieces: Iterator[bytes]) -> tuple[bytes, bytes]:
        """Return (bytes read so far, the one object as one line or b"" when the file is not one object)."""
        data = bytearray(first)
        while len(data) <= self._largest:
            piece = next(pieces, b"")
            if not piece:
                break
            data += piece
        else:
            return bytes(data), b""
        return bytes(data), _as_one_line(data)


def _as_one_line(data: bytearray) -> bytes:
    """Return the one JSON object that the data is as one line; nothing when it is not."""
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return b""
    return json.dumps(value).encode() + b"\n"


def keep_freed_memory() -> None:
    """Let the C library keep a few megabytes it was given back, instead of asking the system for every block anew.

    glibc learns from the largest block that was freed; one that is never touched costs nothing. It saves a third of the
    time of decompressing. Elsewhere it does nothing.
    """
    bytes(16 * 1024 * 1024)


def count_lines(block: bytes, end: int) -> int:
    """Return how many lines a block has; the cheaper of two ways, by the length of its first line."""
    find = block.find
    at = find(b"\n", 0, end)
    if at < LONG_LINE:
        return block.count(b"\n", 0, end)
    lines = 0
    while at >= 0:
        lines += 1
        at = find(b"\n", at + 1, end)
    return lines


def line_spans(block: bytes, end: int) -> list[tuple[int, int]]:
    """Return where each line of a block begins and ends, without its newline."""
    find = block.find
    spans = []
    start = 0
    while start < end:
        stop = find(b"\n", start, end)
        spans.append((start, stop))
        start = stop + 1
    return spans


def _whole_lines(first: bytes, pieces: Iterator[bytes]) -> Iterator[Block]:
    """Regroup pieces into blocks of whole lines; a last line without a newline gets one.

    A piece is joined with what was left of the one before and never cut; only the rest of a line is copied twice.
    """
    carry: list[bytes] = []
    piece = first
    while piece:
        cut = piece.rfind(b"\n") + 1
        if cut:
            block = b"".join((*carry, piece)) if carry else piece
            end = len(block) - len(piece) + cut
            yield block, end
            carry = [block[end:]] if end < len(block) else []
        else:
            carry.append(piece)
        piece = next(pieces, b"")
    if carry:
        block = b"".join((*carry, b"\n"))
        yield block, len(block)
