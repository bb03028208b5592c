"""What the stages need from a place that keeps objects, and the two stores that need no network.

`ObjectStore` is the protocol; `LocalStore` keeps objects under folders and `MemoryStore` in a dict (tests). The S3 store
lives in `aws/s3.py`, because only that room may import the AWS SDK. URIs are `s3://bucket/key`, or plain paths for
`LocalStore`.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One listed object: its URI, size in bytes, and a tag that differs when its bytes do (empty where not listed).

    :param written: when it was written, in seconds since 1970; 0 where nobody knows.
    """

    uri: str
    size: int
    tag: str = field(default="", compare=False)
    written: float = field(default=0.0, compare=False)


class ObjectExistsError(Exception):
    """A conditional write found the object already there."""


class ObjectChangedError(Exception):
    """A conditional write found other bytes than its writer had read."""


class ObjectMissingError(Exception):
    """A read named an object that is not there."""


@runtime_checkable
class ObjectStore(Protocol):
    """List, read and write whole objects or streams. Implementations raise the errors above."""

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object whose URI starts with the prefix, in key order, through all pages."""
        ...

    def open(self, uri: str) -> BinaryIO:
        """Open an object as a stream of bytes."""
        ...

    def read(self, uri: str) -> bytes:
        """Return the whole object."""
        ...

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        """Write the whole object; with `if_absent`, raise `ObjectExistsError` instead of replacing."""
        ...

    def read_tagged(self, uri: str) -> tuple[bytes, str]:
        """Return the whole object and the tag of these bytes, for `write_over`."""
        ...

    def write_over(self, uri: str, data: bytes, tag: str) -> None:
        """Replace an object that still has this tag; raise `ObjectChangedError` otherwise."""
        ...

    def upload(self, uri: str, path: Path) -> None:
        """Write an object from a file, streaming."""
        ...

    def exists(self, uri: str) -> bool:
        """Say whether the object is there."""
        ...

    def delete(self, uri: str) -> None:
        """Remove the object; removing what is not there is not an error."""
        ...


def join_uri(root: str, *parts: str) -> str:
    """Join a root URI or path with key parts, without double slashes."""
    return "/".join([root.rstrip("/"), *(part.strip("/") for part in parts)])


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class MemoryStore:
    """Objects in a dict; for tests and dry runs."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        for uri in sorted(self.objects):
            if uri.startswith(prefix):
                yield StoredObject(uri, len(self.objects[uri]), _tag(self.objects[uri]))

    def open(self, uri: str) -> BinaryIO:
        return io.BytesIO(self.read(uri))

    def read(self, uri: str) -> bytes:
        try:
            return self.objects[uri]
        except KeyError:
            raise ObjectMissingError(uri) from None

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        if if_absent and uri in self.objects:
            raise ObjectExistsError(uri)
        self.objects[uri] = data

    def read_tagged(self, uri: str) -> tuple[bytes, str]:
        data = self.read(uri)
        return data, _tag(data)

    def write_over(self, uri: str, data: bytes, tag: str) -> None:
        if _tag(self.objects.get(uri, b"")) != tag:
            raise ObjectChangedError(uri)
        self.objects[uri] = data

    def upload(self, uri: str, path: Path) -> None:
        self.objects[uri] = path.read_bytes()

    def exists(self, uri: str) -> bool:
        return uri in self.objects

    def delete(self, uri: str) -> None:
        self.objects.pop(uri, None)


def write_private(path: Path, text: str) -> None:
    """Write a text into a file that only its owner may read; a file that is there keeps its mode."""
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.write(text)


class LocalStore:
    """Objects as files; a URI is a path. Writes are atomic: a reader sees the old bytes or the new ones.

    What is being written has a name of its own until it is whole, and is not listed. Files may hold prompts, so only their
    owner may read them (0600, less what the umask takes); change a file's mode to share it, not the umask.
    """

    _DRAFT = ".writing-"

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        path = Path(prefix)
        if path.is_file():
            told = path.stat()
            yield StoredObject(str(path), told.st_size, written=told.st_mtime)
            return
        base = path if path.is_dir() else path.parent
        if not base.is_dir() or (prefix.endswith("/") and base is not path):
            return  # a folder that is not there has no siblings worth a walk
        found = (Path(folder) / name for folder, _, names in os.walk(base) for name in names)
        for file in sorted(found):
            if not str(file).startswith(prefix) or file.name.startswith(self._DRAFT):
                continue
            try:
                told = file.stat()
            except FileNotFoundError:  # removed since the folder was read
                continue
            yield StoredObject(str(file), told.st_size, written=told.st_mtime)

    def open(self, uri: str) -> BinaryIO:
        try:
            return Path(uri).open("rb")
        except FileNotFoundError:
            raise ObjectMissingError(uri) from None

    def read(self, uri: str) -> bytes:
        with self.open(uri) as stream:
            return stream.read()

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=self._DRAFT, delete=False) as stream:
            stream.write(data)
        try:
            if if_absent:
                os.link(stream.name, path)
            else:
                os.replace(stream.name, path)
                return
        except FileExistsError:
            raise ObjectExistsError(uri) from None
        finally:
            Path(stream.name).unlink(missing_ok=True)

    def read_tagged(self, uri: str) -> tuple[bytes, str]:
        data = self.read(uri)
        return data, _tag(data)

    def write_over(self, uri: str, data: bytes, tag: str) -> None:
        """Replace a file that still holds the bytes of this tag; two writers at the same moment are not told apart."""
        try:
            _, present = self.read_tagged(uri)
        except ObjectMissingError:
            present = ""
        if present != tag:
            raise ObjectChangedError(uri)
        self.write(uri, data)

    def upload(self, uri: str, path: Path) -> None:
        self.write(uri, path.read_bytes())

    def exists(self, uri: str) -> bool:
        return Path(uri).is_file()

    def delete(self, uri: str) -> None:
        Path(uri).unlink(missing_ok=True)
