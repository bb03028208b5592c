"""What a workload file may at most be, told before values are made of it.

A YAML file of a few hundred bytes can stand for gigabytes (aliases of aliases), end the process (200 KB of `[` overflow the
C parser's stack) or never end (a number of a million digits). Events are read first, one after another, and counted; only
then is the tree composed. Aliases are counted by what they stand for. Standard library and PyYAML only.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # a PyYAML built without libyaml: the same answers, slower
    from yaml import SafeLoader as Loader

__all__ = [
    "DEEPEST",
    "LONGEST_NUMBER",
    "MOST_VALUES",
    "Loader",
    "OutOfBoundsError",
    "bounded_data",
    "bounded_node",
]

DEEPEST = 30
"""Levels of lists and mappings; the deepest setting of a workload file is six down."""
MOST_VALUES = 20_000
"""Values in a file, those behind aliases counted as often as they are named."""
LONGEST_NUMBER = 40
"""Characters of a number; the largest that any setting takes has thirteen."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class OutOfBoundsError(ValueError):
    """A file is more than a workload file may be; `line` and `column` count from 1."""

    def __init__(self, mark: yaml.Mark | None, message: str, fix: str) -> None:
        super().__init__(message)
        self.line = mark.line + 1 if mark else 1
        self.column = mark.column + 1 if mark else 1
        self.message = message
        self.fix = fix


def bounded_node(text: str) -> yaml.Node | None:
    """Return the root of a text's one document, None when it is empty.

    :raises OutOfBoundsError: it is too deep or too large, an alias holds itself, a number is too long or not finite.
    :raises yaml.YAMLError: it is not YAML, or more than one document.
    """
    _count_events(text)
    loader = Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    if node is not None:
        _expanded(node, {}, set())
    return node


def bounded_data(text: str) -> Any:
    """Return the plain data of a text's one document; see `bounded_node` for what is refused."""
    node = bounded_node(text)
    loader = Loader("")
    try:
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _count_events(text: str) -> None:
    loader = Loader(text)
    depth = values = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise OutOfBoundsError(
                        event.start_mark, f"nested deeper than {DEEPEST} levels", "no setting needs so many"
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.NodeEvent):
                values += 1
                if values > MOST_VALUES:
                    raise _too_many(event.start_mark)
    finally:
        loader.dispose()


def _expanded(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """Return how many values a node stands for, aliases written out."""
    if id(node) in above:
        raise OutOfBoundsError(node.start_mark, "an alias that contains itself", "write the value out")
    if id(node) in known:
        return known[id(node)]
    above.add(id(node))
    count = 1
    if isinstance(node, yaml.SequenceNode):
        count += sum(_expanded(inner, known, above) for inner in node.value)
    elif isinstance(node, yaml.MappingNode):
        count += sum(
            _expanded(key, known, above) + _expanded(value, known, above) for key, value in node.value
        )
    elif node.tag in _NUMBERS:
        _check_number(node)
    above.discard(id(node))
    if count > MOST_VALUES:
        raise _too_many(node.start_mark)
    known[id(node)] = count
    return count


def _check_number(node: yaml.Node) -> None:
    """Refuse what is no number that a person writes: too long, infinite, or in YAML 1.1's base 60 (`1:30`)."""
    if len(node.value) > LONGEST_NUMBER:
        raise OutOfBoundsError(
            node.start_mark, f"a number of {len(node.value)} characters", "quote it if it is text"
        )
    if ":" in node.value:
        raise OutOfBoundsError(
            node.start_mark, f"{node.value} reads as a number in base 60", "quote it if it is text"
        )
    if node.tag == _NUMBERS[1] and not _finite(node.value):
        raise OutOfBoundsError(
            node.start_mark, f"{node.value} is not a finite number", "write the number out"
        )


def _finite(text: str) -> bool:
    try:
        return math.isfinite(
            float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").lower())
        )
    except ValueError:
        return False


def _too_many(mark: yaml.Mark | None) -> OutOfBoundsError:
    return OutOfBoundsError(mark, f"more than {MOST_VALUES:,} values, aliases written out", "write fewer")
