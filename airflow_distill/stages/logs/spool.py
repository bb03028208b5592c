"""Keeps the bytes of a sample out of memory once they are many: a temporary file that is appended to and read by position.

Standard library only. Prompts can be a hundred kilobytes long and a sample holds thousands of them, so only the positions
stay in memory, and the newest `IN_MEMORY` bytes; up to those there is no file at all. What is no longer wanted stays in the
file as waste until the owner asks for a fresh spool.
"""

from __future__ import annotations

import os
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
        self._live = 0

    def put(self, data: bytes) -> Slot:
        """Append some bytes and return their slot."""
        size = len(data)
        slot = (self._filed + len(self._newest), size)
        self._newest += data
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
        return os.pread(self._file.fileno(), size, start)

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
        rest = memoryview(self._newest)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._filed += len(self._newest)
        self._newest = bytearray()
