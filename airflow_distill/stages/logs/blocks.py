"""A stored log object becomes blocks of whole lines, in memory that does not grow with the object.

Imports a gzip decoder; the stream is passed in. Compressed or plain is told from the first bytes, not from the name. A gzip
stream may have several members and may be cut off: what was readable is handed on, and the damage is reported. A line
longer than any record is dropped while it is read, and counted. Other forms than lines are made lines (`forms`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from isal import igzip_lib

from airflow_distill.stages.logs.forms import LONGEST_LINE, as_record_lines, foreign_form

CHUNK = 64 * 1024
BLOCK = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"
LONG_LINE = 1024

Block = tuple[bytes, int]
"""Some bytes and where the whole lines in them end; what follows comes again with the next block."""


class LogBlocks:
    """Iterates over blocks of whole lines of one stream; at a block's end there is always a newline.

    After the iteration, `damaged` says whether the compressed stream was cut off or corrupt, `too_long` how many lines were
    dropped for their length, and `foreign` what the file is when it can hold no records ("" otherwise), with `advice` on
    what to do about it.
    """

    def __init__(self, stream: BinaryIO, *, longest: int = LONGEST_LINE) -> None:
        self._stream = stream
        self._longest = longest
        self.damaged = False
        self.too_long = 0
        self.foreign = ""
        self.advice = ""

    def __iter__(self) -> Iterator[Block]:
        pieces = self._plain()
        first = next(pieces, b"")
        while first and len(first) < CHUNK and (more := next(pieces, b"")):
            first += more  # a form is told alike, however the stream is read
        foreign = foreign_form(first)
        if foreign is not None:
            self.foreign, self.advice = foreign
            return
        others = as_record_lines(first, pieces, self._longest)
        if others is not None:
            first, pieces = next(others, b""), _gathered(others)
        yield from self._whole_lines(first, pieces)

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

    def _whole_lines(self, first: bytes, pieces: Iterator[bytes]) -> Iterator[Block]:
        """Regroup pieces into blocks of whole lines; a last line without a newline gets one.

        A piece is joined with what was left of the one before and never cut; only the rest of a line is copied twice.
        """
        carry: list[bytes] = []
        carried = 0
        skipping = False
        piece = first
        while piece:
            cut = piece.rfind(b"\n") + 1
            if skipping and cut:
                start = piece.find(b"\n") + 1
                piece, cut, skipping = piece[start:], cut - start, False
            if cut:
                block = b"".join((*carry, piece)) if carry else piece
                end = len(block) - len(piece) + cut
                yield block, end
                carry = [block[end:]] if end < len(block) else []
                carried = len(block) - end
            elif piece and not skipping:
                carry.append(piece)
                carried += len(piece)
                if carried > self._longest:
                    carry, carried, skipping = [], 0, True
                    self.too_long += 1
            piece = next(pieces, b"")
        if carry:
            block = b"".join((*carry, b"\n"))
            yield block, len(block)


def _gathered(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Gather short pieces into pieces of about a block."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= BLOCK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


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
