"""Which code of the stages reads text, what texts are worst for it, and how its time grows with them.

Nothing is listed by hand that can be found: functions, methods and patterns are collected from the packages, so a new one
is measured from the day it is written. What is worst for a function is derived from the patterns and texts of its own
module and of the modules it imports: runs of each pattern's beginning, of each character of its classes, of its shortest
matches and of those cut short, and of the texts that the code looks for.
"""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import pkgutil
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice, pairwise
from math import inf, log2
from types import FrameType, ModuleType
from typing import Any

import airflow_distill.stages

parser: Any = importlib.import_module("re._parser")

WORST_GROWTH = 2.6
"""Times as long for twice the text: 2 is linear, 4 is quadratic."""
SURELY_WORSE = 3.4
"""A growth that needs no more than three attempts to be believed."""
ATTEMPTS = 15
FLOOR = 0.0005
"""Seconds below which a time says more about the machine than about the code."""
LARGEST = 64_000
PLAIN_GROWTH = 2.1
"""A growth from which one more step of `SPAN` cannot lead above `WORST_GROWTH`: a part in n squared that adds 5 % now
adds less than 20 % then. Nothing more is measured."""
SPAN = 4
"""Times as long as the shorter text of a measurement is the longer one."""
LIMIT = 3.0
"""Seconds after which the measuring of one text is ended; nothing linear takes as long."""
TEXTS_PER_PATTERN = 24
TEXTS_PER_MODULE = 240
"""A module with a hundred patterns has thousands of worst texts; its functions meet so many, evenly spread over them."""
SHOWN = 2
"""Texts that are named of one reader; a slow pattern is slow on many, and each takes its time."""

Make = Callable[[int], str]
"""Makes a text of about so many characters."""


@dataclass(frozen=True)
class Reader:
    """Something that reads text: its name, how to call it, and the module it is written in."""

    name: str
    call: Callable[[str], Any]
    module: ModuleType
    pattern: re.Pattern[str] | None = None

    def __str__(self) -> str:
        return self.name


class TooSlowError(Exception):
    """A call was ended after `LIMIT` seconds."""


# What reads text.


WITHOUT_TEXT = frozenset({"airflow_distill.stages.storage"})
"""Modules that do with a text what it says: they write and delete files of that name."""


WITHOUT_STRANGERS = frozenset({"jobs.request.JOB_NAME"})
"""Patterns in the service's own words, only ever matched with short names of our own making."""


def stage_modules(package: ModuleType = airflow_distill.stages) -> list[ModuleType]:
    """Return all modules of the stages that read text."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names = [item.name for item in found if not item.ispkg and item.name not in WITHOUT_TEXT]
    return [importlib.import_module(name) for name in names]


def text_readers(module: ModuleType) -> Iterator[Reader]:
    """Yield the public functions and methods of a module that can be called with a text alone."""
    for name, thing in list(vars(module).items()):
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        where = f"{module.__name__.removeprefix('airflow_distill.stages.')}.{name}"
        plain = inspect.unwrap(thing) if callable(thing) and not inspect.isclass(thing) else thing
        if inspect.isfunction(plain):
            count = _texts_wanted(plain, 0)
            if count:
                yield Reader(where, _called(plain, count), module)
        elif inspect.isclass(thing):
            yield from _methods(where, thing, module)


def patterns_of(module: ModuleType) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Yield the compiled text patterns that a module holds, by name, those in tables of its own included."""
    for name, thing in list(vars(module).items()):
        held = (
            thing.values()
            if isinstance(thing, dict)
            else thing
            if isinstance(thing, list | tuple)
            else [thing]
        )
        for number, item in enumerate(_flat(held)):
            if isinstance(item, re.Pattern) and isinstance(item.pattern, str):
                yield f"{name}[{number}]" if item is not thing else name, item


def pattern_readers(module: ModuleType) -> Iterator[Reader]:
    """Yield a search through a text by each pattern of a module."""
    for name, pattern in patterns_of(module):
        where = f"{module.__name__.removeprefix('airflow_distill.stages.')}.{name}"
        if where in WITHOUT_STRANGERS:
            continue
        yield Reader(
            where, lambda text, pattern=pattern: sum(1 for _ in pattern.finditer(text)), module, pattern
        )


def _flat(held: Any) -> Iterator[Any]:
    for item in held:
        if isinstance(item, tuple | list):
            yield from _flat(item)
        else:
            yield item
            for name in getattr(item, "__slots__", ()) or getattr(item, "__dataclass_fields__", ()):
                yield getattr(item, name, None)


def _methods(where: str, kind: type, module: ModuleType) -> Iterator[Reader]:
    for name, thing in vars(kind).items():
        plain = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
        if name.startswith("_") or not inspect.isfunction(plain):
            continue
        bound = not isinstance(thing, staticmethod)
        count = _texts_wanted(plain, int(bound))
        if not count:
            continue
        if isinstance(thing, classmethod | staticmethod):
            yield Reader(f"{where}.{name}", _called(getattr(kind, name), count), module)
            continue
        try:
            owner = kind()
        except Exception:
            continue
        yield Reader(f"{where}.{name}", _called(getattr(owner, name), count), module)


def _texts_wanted(function: Callable[..., Any], skipped: int) -> int:
    """Return how many texts a function must be given; 0 when it needs anything else or no text."""
    wanted = 0
    parameters = list(inspect.signature(function).parameters.values())[skipped:]
    for parameter in parameters:
        is_text = str(parameter.annotation) in ("str", "<class 'str'>", "str | None")
        needed = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        )
        if not needed and parameter.kind is not parameter.KEYWORD_ONLY:
            break
        if parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                return 0
            continue
        if not is_text:
            return 0
        wanted += 1
    return wanted


def _called(function: Callable[..., Any], count: int) -> Callable[[str], Any]:
    def call(text: str) -> Any:
        found = function(*[text] * count)
        return list(found) if inspect.isgenerator(found) else found

    return call


# What is worst for it.


def worst_texts(module: ModuleType) -> dict[str, Make]:
    """Return the adversarial texts of a module, each by a name that shows it."""
    pieces: dict[str, Make] = {}
    for text in EVERYWHERE:
        _add(pieces, text)
    for member in _family(module):
        for text in _constants(member):
            _add(pieces, text)
            pieces.setdefault(f"{text!r} after spaces", lambda n, t=text: t + " " * n)
        for _, pattern in patterns_of(member):
            for name, make in islice(_against(pattern), TEXTS_PER_PATTERN):
                pieces.setdefault(name, make)
    step = max(1, len(pieces) // TEXTS_PER_MODULE)
    return dict(islice(pieces.items(), 0, None, step))


def worst_texts_of(pattern: re.Pattern[str]) -> dict[str, Make]:
    """Return the adversarial texts of one pattern: its own, and those that are tried everywhere."""
    pieces: dict[str, Make] = {}
    for text in EVERYWHERE:
        _add(pieces, text)
    for name, make in islice(_against(pattern), TEXTS_PER_PATTERN):
        pieces.setdefault(name, make)
    return pieces


EVERYWHERE = (
    *" \n\t\ra1.-_@:=/\\'\"([{<#&%",
    "a ", "1 ", "1.", "a.", "a@", "\r\n", "\n\n", "é", "漢", "ﷺ", "‍", "🙂", "̖́", "각",
    "[a", "<a ", "{}", '{"a":', '"a",', "a@a.", "://", "https://", "```", "\n```\n", "abc def ", "1,", "1-",
)  # fmt: skip


def _add(pieces: dict[str, Make], text: str) -> None:
    pieces.setdefault(repr(text), lambda n: (text * (n // len(text) + 1))[:n])


@cache
def _family(module: ModuleType) -> tuple[ModuleType, ...]:
    """Return a module and those of the stages whose names it imports."""
    names = {module.__name__}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_distill.stages."):
            names.add(str(node.module))
    return tuple(importlib.import_module(name) for name in sorted(names))


@cache
def _constants(module: ModuleType) -> tuple[str, ...]:
    """Return short texts in a module's code that may be what it looks for: those with a mark or a space in them."""
    found = {
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    marks = re.compile(r"[^\w\s,.'-]")
    return tuple(sorted(text for text in found if 2 <= len(text) <= 24 and marks.search(text)))[:60]


def _against(pattern: re.Pattern[str]) -> Iterator[tuple[str, Make]]:
    tree = parser.parse(pattern.pattern, pattern.flags)
    shortest = list(dict.fromkeys(islice(chain(_matches(tree, 0), _matches(tree, 1)), 8)))
    characters = list(dict.fromkeys(_characters(tree)))[:10]
    for text in shortest:
        if text:
            yield from _repeated(text)
            yield from _repeated(text[:-1])
            yield f"{text!r} and a mark", lambda n, t=text: (t + "!") * (n // (len(t) + 1))
    heads = list(dict.fromkeys(text[:size] for text in shortest for size in (1, 2, 4) if text))[:6]
    for one in characters:
        yield from _repeated(one)
        for text in (*heads, *shortest[:2]):
            yield f"{text!r} then {one!r}", lambda n, t=text, c=one: t + c * n
            yield f"{text + one!r} again", lambda n, t=text, c=one: (t + c) * (n // (len(t) + 1))
    for one, other in pairwise(characters):
        yield from _repeated(one + other)


def _repeated(text: str) -> Iterator[tuple[str, Make]]:
    if text:
        yield repr(text), lambda n, t=text: (t * (n // len(t) + 1))[:n]


def _matches(tree: Any, least: int) -> Iterator[str]:
    """Yield short matches of a parsed pattern, one a branch; repeats as often as they must, at least `least`."""
    heads = [""]
    for kind, value in tree:
        heads = [head + tail for head in heads[:4] for tail in islice(_match_of(kind, value, least), 6)]
    yield from heads


def _match_of(kind: Any, value: Any, least: int) -> Iterator[str]:
    name = str(kind)
    if name == "LITERAL":
        yield chr(value)
    elif name == "NOT_LITERAL":
        yield "a" if value != ord("a") else "b"
    elif name == "ANY":
        yield "a"
    elif name == "IN":
        yield next(iter(_members(value)), "a")
    elif name == "BRANCH":
        for branch in value[1]:
            yield from _matches(branch, least)
    elif name == "SUBPATTERN":
        yield from _matches(value[3], least)
    elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, inner = value
        count = min(max(int(low), least), int(high))
        for text in _matches(inner, least):
            yield text * count
    elif name == "ATOMIC_GROUP":
        yield from _matches(value, least)
    else:
        yield ""


def _characters(tree: Any) -> Iterator[str]:
    """Yield a few characters of every class of a parsed pattern, in the order of the pattern."""
    for kind, value in tree:
        name = str(kind)
        if name == "IN":
            yield from islice(_members(value), 3)
        elif name == "LITERAL":
            yield chr(value)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from _characters(branch)
        elif name == "SUBPATTERN":
            yield from _characters(value[3])
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield from _characters(value[2])
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from _characters(value[1])
        elif name == "ATOMIC_GROUP":
            yield from _characters(value)


CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}


def _members(items: Any) -> Iterator[str]:
    refused = [(str(kind), value) for kind, value in items]
    if refused and refused[0][0] == "NEGATE":
        kept = {text for kind, value in refused[1:] if kind == "LITERAL" for text in chr(value)}
        yield from (text for text in "a1 .-" if text not in kept)
        return
    for kind, value in refused:
        if kind == "LITERAL":
            yield chr(value)
        elif kind == "RANGE":
            yield chr(value[0])
        elif kind == "CATEGORY":
            yield CATEGORIES.get(str(value), "!")


# How its time grows.


def cost(call: Callable[[str], Any], text: str) -> float:
    """Return the processor seconds of one call, whatever it returns or raises.

    The thread's clock: that of the process is coarse on some systems while a timer runs.
    """
    gc.disable()
    before = time.thread_time()
    try:
        call(text)
    except TooSlowError:
        raise
    except Exception:
        pass
    finally:
        spent = time.thread_time() - before
        gc.enable()
    return spent


def growth(call: Callable[[str], Any], make: Make) -> float:
    """Return how much longer twice the text takes, from a length on at which it takes `FLOOR`, over two doublings
    or, when those are not plainly linear, four or six.

    Calls are kept short and the best of several counts: what another program takes from a short call, it takes rarely.
    """
    size, spent = 250, cost(call, make(250))
    while spent < FLOOR and size < LARGEST:
        size *= SPAN
        spent = cost(call, make(size))
    if spent < FLOOR:
        return 1.0
    first = _growth(call, make(size // SPAN), make(size))
    if first <= PLAIN_GROWTH:
        return first
    second = _growth(call, make(size), make(SPAN * size))
    if (first > WORST_GROWTH) == (second > WORST_GROWTH):
        return max(first, second)
    # One step alone may be the machine: from some size on, memory is taken from the system page by page.
    return sorted((first, second, _growth(call, make(SPAN * size), make(SPAN**2 * size))))[1]


def _growth(call: Callable[[str], Any], short: str, long: str) -> float:
    """Return the growth from one text to one that is `SPAN` times as long; what looks bad is measured again and again."""
    once, more, found = inf, inf, inf
    for attempt in range(ATTEMPTS):
        once = min(once, *(cost(call, short) for _ in range(3)))
        more = min(more, cost(call, long))
        found = (more / max(once, FLOOR / SPAN**2)) ** (1 / log2(SPAN))
        if found <= WORST_GROWTH or (found > SURELY_WORSE and attempt >= 2):
            break
    return found


def offenders(reader: Reader, texts: dict[str, Make]) -> list[str]:
    """Return the first texts on which a reader's time grows faster than the text does, each with what was seen."""
    found: list[str] = []
    for name, make in texts.items():
        if len(found) == SHOWN:
            break
        try:
            with time_limit():
                times = growth(reader.call, make)
                if times > WORST_GROWTH:  # a machine with other work calms down, a slow pattern does not
                    times = min(times, growth(reader.call, make))
        except TooSlowError:
            found.append(f"{name}: more than {LIMIT:g} s")
            continue
        if times > WORST_GROWTH:
            found.append(f"{name}: {times:.1f} times as long for twice the text")
    return found


class time_limit:
    """Ends what runs inside after `LIMIT` seconds of processor time; regular expressions look for signals too."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGVTALRM, self._end)
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)

    def __exit__(self, *error: Any) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, self._before)

    @staticmethod
    def _end(number: int, frame: FrameType | None) -> None:
        raise TooSlowError


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for module in stage_modules():
        for reader in chain(text_readers(module), pattern_readers(module)):
            if not wanted or any(word in reader.name for word in wanted):
                begun = time.process_time()
                worst = offenders(reader, worst_texts(module))
                took = time.process_time() - begun
                print(
                    f"{reader.name:60} {len(worst_texts(module)):4} texts {took:6.1f} s",
                    *worst,
                    sep="\n    " if worst else " ",
                )
