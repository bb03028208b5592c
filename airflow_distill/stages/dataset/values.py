r"""Any file of records as plain values: JSON lines, a JSON array, printed JSON, CSV; compressed or not, UTF-8 or UTF-16.

Takes a file's bytes, hands on `(number, value)` pairs: the value that a record holds, or the code of what is wrong with it
(`checks.CODES`). What the form is, the content says, not the name. Rows of CSV become objects by their head line. Nothing
here knows what a record means; `imports` and `feedback` do. Standard library and the fast gzip decoder only.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from isal import isal_zlib

from airflow_distill.stages.dataset.reading import GZIP_MAGIC

WRAPPERS = ("data", "items", "records", "examples", "traces", "scores")
"""Members under which exports keep their list."""
PAGING = frozenset(
    {
        "object", "meta", "hasmore", "firstid", "lastid", "next", "nexttoken", "nextcursor", "cursor", "page",
        "pages", "limit", "total", "totalitems", "totalpages", "count", "version", "exportedat",
    }
)  # fmt: skip
"""What stands around the list of an export; an object with other members is a record itself."""
LONGEST_FIELD = 8 << 20
MOST_UNPACKED = 2 << 30
"""Bytes that a file may unpack to; Bedrock takes 1 GiB."""

# The library's stub declares an instance where there is a class.
_DAMAGE: type[Exception] = isal_zlib.error  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a record, by its code."""

    code: str


def iter_values(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the records of a file with their numbers: of lines, of rows, or of an array's items.

    >>> list(iter_values(b'[{"a": 1}, 2]'))
    [(1, {'a': 1}), (2, 2)]
    >>> list(iter_values(b"text,category\nhello,greeting\n"))
    [(2, {'text': 'hello', 'category': 'greeting'})]
    """
    plain = _unpacked(data)
    if isinstance(plain, Wrong):
        yield 0, plain
        return
    text = _decoded(plain)
    if isinstance(text, Wrong):
        yield 0, text
        return
    start = text.lstrip()[:1]
    if start and start in "{[":
        yield from _json_values(text)
    elif start:
        yield from _rows(text)


def _unpacked(data: bytes) -> bytes | Wrong:
    if not data.startswith(GZIP_MAGIC):
        return data
    pieces, size, rest = [], 0, data
    while rest.strip(b"\0"):
        inflater = isal_zlib.decompressobj(wbits=31)
        try:
            piece = inflater.decompress(rest, MOST_UNPACKED - size + 1)
        except _DAMAGE:
            return Wrong("gzip_damaged")
        size += len(piece)
        if size > MOST_UNPACKED:
            return Wrong("total_too_large")
        if not inflater.eof:
            return Wrong("gzip_truncated")
        pieces.append(piece)
        rest = inflater.unused_data
    return b"".join(pieces)


def _decoded(data: bytes) -> str | Wrong:
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif data[:2] in (b"{\0", b"[\0"):
        encoding = "utf-16-le"
    elif data[:2] in (b"\0{", b"\0["):
        encoding = "utf-16-be"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return Wrong("not_utf8")


def _json_values(text: str) -> Iterator[tuple[int, Any]]:
    """JSON lines where the first line is a whole value that is no list, else one value with its list, if it has one."""
    first = _loaded(text.lstrip().partition("\n")[0])
    lines = sum(1 for line in text.split("\n", 2) if line.strip())
    if isinstance(first, Wrong | list) or lines < 2:
        whole = _loaded(text)
        if not isinstance(whole, Wrong):
            yield from enumerate(_items_of(whole), 1)
            return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _loaded(line)


def _items_of(whole: Any) -> list[Any]:
    if isinstance(whole, list):
        return whole
    if isinstance(whole, dict):
        for name in WRAPPERS:
            held = whole.get(name)
            around = {key.lower().replace("_", "") for key in whole if key != name}
            if isinstance(held, list) and all(isinstance(item, dict) for item in held) and around <= PAGING:
                return held
    return [whole]


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except _NotANumber:
        return Wrong("bad_number")
    except RecursionError:
        return Wrong("too_deep")
    except ValueError:
        return Wrong("bad_json")


class _NotANumber(ValueError):
    pass


def _no_constant(name: str) -> NoReturn:
    raise _NotANumber(name)


def _rows(text: str) -> Iterator[tuple[int, Any]]:
    """Rows of CSV by their head line; the separator is the one of `,`, `;` and tab that the head line holds most of."""
    head = text.lstrip().partition("\n")[0]
    separator = max((",", ";", "\t"), key=head.count)
    csv.field_size_limit(LONGEST_FIELD)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = [name.strip().lower() for name in next(rows)]
        if len(names) < 2:
            yield 1, Wrong("unknown_form")
            return
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            yield (
                rows.line_num,
                dict(zip(names, row, strict=False)) if len(row) == len(names) else Wrong("row_length"),
            )
    except csv.Error:
        yield rows.line_num, Wrong("bad_csv")
