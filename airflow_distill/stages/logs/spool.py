"""Keeps the bytes of a sample out of memory once they are many: a temporary file that is appended to and read by position.

Imports the cipher that Airflow ships (`cryptography`), once there is a file. Prompts can be a hundred kilobytes long and a
sample holds thousands of them, so only the positions stay in memory, and the newest `IN_MEMORY` bytes; up to those there is
no file at all. What is no longer wanted stays in the file as waste until the owner asks for a fresh spool.

What lies in the file was logged and is not redacted yet, so it is written under a key that this process alone has and that
ends with it: each piece is sealed with AES-GCM, its place in the file being its nonce; no place is written twice. The file
has no name.
"""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import IO

IN_MEMORY = 4_000_000
WASTE = 64_000_000
SEAL = 16
"""Bytes by which a piece is longer in the file."""

Slot = tuple[int, int]
"""Where some bytes begin in the spool, and how many they are."""


class Spool:
    """Bytes by slot."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._seal: _Seal | None = None
        self._newest: dict[int, bytes] = {}
        self._in_memory = 0
        self._end = 0
        self._live = 0

    def put(self, data: bytes) -> Slot:
        """Append some bytes and return their slot."""
        size = len(data)
        slot = (self._end, size)
        self._newest[self._end] = data
        self._end += size + SEAL
        self._live += size + SEAL
        self._in_memory += size
        if self._in_memory > IN_MEMORY:
            self._file_newest()
        return slot

    def get(self, slot: Slot) -> bytes:
        """Return the bytes of a slot.

        :raises OSError: the file was changed since it was written.
        """
        start, size = slot
        data = self._newest.get(start)
        if data is not None:
            return data
        assert self._file is not None
        assert self._seal is not None
        return self._seal.open(os.pread(self._file.fileno(), size + SEAL, start), start)

    def forget(self, slot: Slot) -> None:
        """Count a slot's bytes as waste."""
        self._live -= slot[1] + SEAL

    @property
    def size(self) -> int:
        """Bytes in the spool, wanted or not."""
        return self._end

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
        if self._seal is None:
            self._seal = _Seal()
        close = self._seal.close
        rest = memoryview(b"".join([close(data, start) for start, data in self._newest.items()]))
        while rest:
            rest = rest[self._file.write(rest) :]
        self._newest.clear()
        self._in_memory = 0


class _Seal:
    """The cipher under a fresh key; the place of a piece is its nonce, so no two pieces share one."""

    def __init__(self) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(os.urandom(32))
        self._invalid = InvalidTag

    def close(self, data: bytes, start: int) -> bytes:
        """Return a piece as it lies in the file."""
        return self._cipher.encrypt(start.to_bytes(12, "big"), data, None)

    def open(self, sealed: bytes, start: int) -> bytes:
        """Return a piece as it was.

        :raises OSError: it is not what was written at this place.
        """
        try:
            return self._cipher.decrypt(start.to_bytes(12, "big"), sealed, None)
        except self._invalid:
            raise OSError(
                "The harvest's temporary file was changed or cut short. Run the task again."
            ) from None
