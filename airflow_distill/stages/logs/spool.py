"""Keeps the bytes of a sample out of memory once they are many: a temporary file that is appended to and read by position.

Standard library only. Prompts can be a hundred kilobytes long and a sample holds thousands of them, so only the positions
stay in memory. Up to `IN_MEMORY` bytes there is no file at all. What is no longer wanted stays in the file as waste
until the owner asks for a fresh spool.
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile

IN_MEMORY = 4_000_000
WASTE = 64_000_000
BUFFER = 256 * 1024

Slot = tuple[int, int]
"""Where some bytes begin in the spool, and how many they are."""


class Spool:
    """Bytes by slot."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY, buffering=BUFFER)  # noqa: SIM115 (closed with the spool)
        self._at_end = True
        self._end = 0
        self._live = 0

    def put(self, data: bytes) -> Slot:
        """Append some bytes and return their slot."""
        slot = (self._end, len(data))
        if not self._at_end:
            self._file.seek(self._end)
            self._at_end = True
        self._file.write(data)
        self._end += len(data)
        self._live += len(data)
        return slot

    def get(self, slot: Slot) -> bytes:
        """Return the bytes of a slot."""
        self._at_end = False
        self._file.seek(slot[0])
        return self._file.read(slot[1])

    def forget(self, slot: Slot) -> None:
        """Count a slot's bytes as waste."""
        self._live -= slot[1]

    @property
    def size(self) -> int:
        """Bytes in the spool, wanted or not."""
        return self._end

    @property
    def is_wasteful(self) -> bool:
        """Whether copying what is wanted into a fresh spool is worth it."""
        return self._end - self._live > WASTE + self._live

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
