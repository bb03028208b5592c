"""Keeps the bytes of a sample out of memory once they are many: a temporary file that is appended to and read by position.

Imports the cipher that Airflow ships (`cryptography`). Prompts can be a hundred kilobytes long and a sample holds thousands
of them, so only the positions stay in memory, and the newest `IN_MEMORY` bytes; up to those there is no file at all. What
is no longer wanted stays in the file as waste until the owner asks for a fresh spool.

What lies in the file was logged and is not redacted yet, so it is written under a key that this process alone has and that
ends with it: each piece is sealed with AES-GCM, its place in the file being its nonce; no place is written twice. The file
has no name.
"""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

IN_MEMORY = 4_000_000
WASTE = 64_000_000
SEAL = 16
"""Bytes by which a piece is longer where it lies."""

Slot = tuple[int, int]
"""Where some bytes begin in the spool, and how many they are."""


class Spool:
    """Bytes by slot."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._cipher = AESGCM(os.urandom(16))
        self._filed = 0
        self._newest = bytearray()
        self._live = 0

    def put(self, data: bytes) -> Slot:
        """Append some bytes and return their slot."""
        start = self._filed + len(self._newest)
        # Sealed at once, while they are at hand: later they would have to be fetched from memory again.
        self._newest += self._cipher.encrypt(start.to_bytes(12, "big"), data, None)
        size = len(data)
        self._live += size + SEAL
        if len(self._newest) > IN_MEMORY:
            self._file_newest()
        return start, size

    def get(self, slot: Slot) -> bytes:
        """Return the bytes of a slot.

        :raises OSError: the file was changed since it was written.
        """
        start, size = slot
        if start >= self._filed:
            begin = start - self._filed
            sealed = bytes(self._newest[begin : begin + size + SEAL])
        else:
            assert self._file is not None
            sealed = os.pread(self._file.fileno(), size + SEAL, start)
        try:
            return self._cipher.decrypt(start.to_bytes(12, "big"), sealed, None)
        except InvalidTag:
            raise OSError(
                "The harvest's temporary file was changed or cut short. Run the task again."
            ) from None

    def forget(self, slot: Slot) -> None:
        """Count a slot's bytes as waste."""
        self._live -= slot[1] + SEAL

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
