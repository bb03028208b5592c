"""Keeps the bytes of a sample out of memory once they are many: a temporary file that is appended to and read by position.

Standard library only. Prompts can be a hundred kilobytes long and a sample holds thousands of them, so only the positions
stay in memory, and the newest `IN_MEMORY` bytes; up to those there is no file at all. What is no longer wanted stays in the
file as waste until the owner asks for a fresh spool.

What lies in the file was logged and is not redacted yet, so it is written under a key that this process alone has and that
ends with it: each piece is combined with a stream of SHAKE-128 of the key and the piece's place. The file has no name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import shake_128
from tempfile import TemporaryFile
from typing import IO

IN_MEMORY = 4_000_000
WASTE = 64_000_000

Slot = tuple[int, int]
"""Where some bytes begin in the spool, and how many they are."""


class Spool:
    """Bytes by slot."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._filed = 0
        self._newest = bytearray()
        self._unfiled: list[Slot] = []
        self._key = os.urandom(32)
        self._live = 0

    def put(self, data: bytes) -> Slot:
        """Append some bytes and return their slot."""
        size = len(data)
        slot = (self._filed + len(self._newest), size)
        self._newest += data
        self._unfiled.append(slot)
        self._live += size
        if len(self._newest) > IN_MEMORY:
            self._file_newest()
        return slot

    def get(self, slot: Slot) -> bytes:
        """Return the bytes of a slot."""
        start, size = slot
        if start >= self._filed:
            start -= self._filed
            return bytes(self._newest[start : start + size])
        assert self._file is not None
        return self._combined(os.pread(self._file.fileno(), size, start), start)

    def forget(self, slot: Slot) -> None:
        """Count a slot's bytes as waste."""
        self._live -= slot[1]

    @property
    def size(self) -> int:
        """Bytes in the spool, wanted or not."""
        return self._filed + len(self._newest)

    @property
    def is_wasteful(self) -> bool:
        """Whether copying what is wanted into a fresh spool is worth it."""
        return self.size - self._live > WASTE + self._live

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    def _file_newest(self) -> None:
        if self._file is None:
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115 (closed with the spool)
        rest = memoryview(b"".join(self._sealed()))
        while rest:
            rest = rest[self._file.write(rest) :]
        self._filed += len(self._newest)
        self._newest = bytearray()
        self._unfiled.clear()

    def _sealed(self) -> Iterator[bytes]:
        for start, size in self._unfiled:
            begin = start - self._filed
            yield self._combined(self._newest[begin : begin + size], start)

    def _combined(self, data: bytes | bytearray, start: int) -> bytes:
        """Return a piece as it is written, or, of what was written, as it was."""
        size = len(data)
        stream = shake_128(self._key + start.to_bytes(8, "big")).digest(size)
        both = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
        return both.to_bytes(size, "little")
