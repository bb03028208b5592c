"""Takes one person's records out of stored objects: what belongs to the person, and the object without it.

Takes bytes and hands on bytes. A `Person` knows the marks of the subject and its prompts, the ids of those prompts and,
while they can still be found, their texts. Lines that are the person's are dropped, items of JSON documents likewise, pages
that quote the person are deleted, fingerprints leave the ledger (tombstones take their place). No clock, no network.
"""

from __future__ import annotations

import gzip
import html
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_distill.errors import StateError
from airflow_distill.stages.dataset.fingerprints import (
    FOLDINGS,
    VERSION,
    encode_fingerprints,
    open_fingerprints,
)
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.digest import canonical_json
from airflow_distill.stages.forgotten import Tombstones

FORGOTTEN = "forgotten"
SHORTEST = 20
"""Characters that a prompt must have to be looked for inside other texts; shorter ones may be anybody's."""

Turns = tuple[tuple[str, str], ...]


@dataclass
class Person:
    """What is known of the one who is to be forgotten."""

    tombstones: Tombstones
    ids: set[str] = field(default_factory=set)
    keys: set[bytes] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)

    def learn(self, turns: Turns, system: str | None = None) -> None:
        """Remember a prompt as the person's."""
        example = Example(tuple(Turn(role, text) for role, text in turns), system=system)
        self.ids.add(example.id)
        self.keys |= {folding.key_of(example) for folding in FOLDINGS.values()}
        self.marks.add(self.tombstones.prompt_mark(turns))
        self.texts |= {
            text.strip() for role, text in turns if role == "user" and len(text.strip()) >= SHORTEST
        }

    def learn_subject(self, key: str, value: str) -> None:
        """Remember how a subject is written: with its key, and by itself where it looks like an identifier."""
        self.texts |= {f"{key}={value}", f'"{key}":"{value}"', f'"{key}": "{value}"', f'["{key}","{value}"]'}
        if len(value) >= 6 and any(character.isdigit() or character == "@" for character in value):
            self.texts.add(value)

    def owns(self, turns: Turns, metadata: Mapping[str, str]) -> bool:
        """Say whether a record is the person's: by its metadata, or by its prompt."""
        return (
            self.tombstones.cover_metadata(metadata)
            or self.tombstones.cover_prompt(turns)
            or bool(self.marks and self.tombstones.prompt_mark(turns) in self.marks)
        )

    def quotes(self, text: str) -> bool:
        """Say whether a text holds one of the person's."""
        return any(own in text for own in self.texts)

    def needles(self) -> tuple[bytes, ...]:
        """Return the person's texts as they may stand in a file: plain, as JSON, as HTML."""
        found: set[str] = set()
        for text in self.texts:
            found |= {
                text,
                json.dumps(text)[1:-1],
                json.dumps(text, ensure_ascii=False)[1:-1],
                html.escape(text),
            }
        return tuple(sorted(text.encode("utf-8", "surrogatepass") for text in found))


@dataclass(frozen=True, slots=True)
class Cleaned:
    """An object without the person: its bytes, None when it must go altogether, and how many records left it."""

    data: bytes | None
    removed: int


def prompts_in(name: str, data: bytes) -> Iterator[tuple[Turns, str | None, dict[str, str]]]:
    """Yield (turns, system, metadata) of every record that a window, training or held-out file holds.

    :param name: the object's name; other objects hold no prompts.
    """
    if not name.endswith((".jsonl", ".jsonl.gz")):
        return
    for line in _plain(data).split(b"\n"):
        yield from _records(_json(line))


def clean(name: str, data: bytes, person: Person) -> Cleaned:
    """Return an object without what is the person's; the same bytes when nothing is."""
    if name.endswith(".bin"):
        return _clean_fingerprints(name, data, person)
    packed = data[:2] == b"\x1f\x8b"
    plain = _plain(data)
    if name.endswith((".jsonl", ".jsonl.gz")):
        kept, removed = _clean_lines(plain, person)
    elif name.endswith(".json"):
        kept, removed = _clean_document(plain, person)
    else:
        return Cleaned(None, 1) if any(needle in plain for needle in person.needles()) else Cleaned(data, 0)
    if not removed:
        return Cleaned(data, 0)
    return Cleaned(gzip.compress(kept, mtime=0) if packed else kept, removed)


def _plain(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise StateError(
            f"forget: a packed object cannot be read ({type(error).__name__}), so nobody knows what it holds.",
            hint="Restore it from the bucket's versions or delete it, then run the command again.",
        ) from None


def _json(line: bytes) -> Any:
    try:
        return json.loads(line) if line.strip() else None
    except (ValueError, RecursionError):
        return None


def _records(value: Any) -> Iterator[tuple[Turns, str | None, dict[str, str]]]:
    """Yield the records of one line: an example, an interaction with its votes, or a training record."""
    if not isinstance(value, Mapping):
        return
    if isinstance(value.get("interaction"), Mapping):
        for each in (value, *(value.get("votes") or ())):
            yield from _records(each.get("interaction") if isinstance(each, Mapping) else None)
        return
    if isinstance(value.get("turns"), list):
        yield _turns(value["turns"]), _text_or_none(value.get("system")), _metadata(value.get("metadata"))
    elif isinstance(value.get("messages"), list):
        said = tuple(_said(message) for message in value["messages"] if isinstance(message, Mapping))
        prompt = said[:-1] if said and said[-1][0] == "assistant" else said
        system = value.get("system")
        first = (
            system[0].get("text")
            if isinstance(system, list) and system and isinstance(system[0], Mapping)
            else None
        )
        yield prompt, _text_or_none(first), {}


def _turns(value: Iterable[Any]) -> Turns:
    return tuple((str(turn[0]), str(turn[1])) for turn in value if isinstance(turn, list) and len(turn) == 2)


def _said(message: Mapping[str, Any]) -> tuple[str, str]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return str(message.get("role")), "".join(
        str(b.get("text") or "") for b in blocks if isinstance(b, Mapping)
    )


def _metadata(value: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, Mapping) else {}


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _clean_lines(data: bytes, person: Person) -> tuple[bytes, int]:
    needles = person.needles()
    kept: list[bytes] = []
    removed = asked = 0
    for line in data.split(b"\n"):
        value = _json(line)
        if _is_about(line, value, person, needles):
            removed += 1
            asked += int(value.get("count") or 1) if isinstance(value, Mapping) else 1
        else:
            kept.append(line)
    if removed:
        kept[0] = _counted(kept[0], asked) if kept else b""
    return b"\n".join(kept), removed


def _is_about(line: bytes, value: Any, person: Person, needles: tuple[bytes, ...]) -> bool:
    if any(needle in line for needle in needles):
        return True
    if isinstance(value, Mapping):
        if {str(value.get("example_id")), str(value.get("id"))} & person.ids:
            return True
        return any(person.owns(turns, metadata) for turns, _, metadata in _records(value))
    return False


def _counted(head: bytes, asked: int) -> bytes:
    """Return a shard file's header with what was taken out among its skips, so that its counts still add up."""
    value = _json(head)
    if not isinstance(value, dict) or not isinstance(value.get("skips"), dict):
        return head
    value["skips"] = {**value["skips"], FORGOTTEN: int(value["skips"].get(FORGOTTEN) or 0) + asked}
    return json.dumps(value, sort_keys=True).encode()


def _clean_document(data: bytes, person: Person) -> tuple[bytes, int]:
    value = _json(data)
    if value is None:
        return data, 0
    kept, removed = _without(value, person)
    return (canonical_json(kept), removed) if removed else (data, 0)


def _without(value: Any, person: Person) -> tuple[Any, int]:
    """Return plain data without items, members and texts that are the person's."""
    if isinstance(value, str):
        named = value in person.ids or person.quotes(value)
        return ("[forgotten]", 1) if named else (value, 0)
    if isinstance(value, list):
        items: list[Any] = []
        gone = 0
        for item in value:
            kept, removed = _without(item, person)
            gone += removed
            if not removed or (isinstance(item, dict | list) and not _is_record(item)):
                items.append(kept)
        return items, gone
    if isinstance(value, dict):
        members: dict[str, Any] = {}
        gone = 0
        for name, member in value.items():
            if _without(name, person)[1] or (isinstance(member, str) and person.quotes(f"{name}={member}")):
                gone += 1
                continue
            members[name], removed = _without(member, person)
            gone += removed
        return members, gone
    return value, 0


def _is_record(item: Any) -> bool:
    """Say whether an item of a list holds plain values only: one row, which goes as a whole."""
    values = item.values() if isinstance(item, dict) else item
    return not any(isinstance(value, dict | list) for value in values)


def _clean_fingerprints(name: str, data: bytes, person: Person) -> Cleaned:
    if not person.keys:
        return Cleaned(data, 0)
    found = open_fingerprints(io.BytesIO(data), name)
    entries = list(found.fingerprints)
    kept = [entry for entry in entries if entry.key not in person.keys]
    if len(kept) == len(entries):
        return Cleaned(data, 0)
    cleaned = encode_fingerprints(found.dataset_id, found.side, found.template, kept)
    if found.version != VERSION:  # the same layout under the version's own first bytes
        cleaned = data[:5] + cleaned[5:]
    return Cleaned(cleaned, len(entries) - len(kept))
