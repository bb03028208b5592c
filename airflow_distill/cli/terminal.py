"""The one way commands print: text by line, JSON, tables. What strangers wrote cannot act on the terminal or forge a line.

No other module of `cli/` prints; a test holds that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_distill.stages.shown import one_line
from airflow_distill.stages.storage import ObjectMissingError

if TYPE_CHECKING:
    from rich.console import Console


def say(*lines: object, err: bool = False, end: str = "\n") -> None:
    """Print each argument as one line; without any, an empty line.

    :param err: to standard error.
    :param end: what follows the last line.
    """
    stream = sys.stderr if err else sys.stdout
    text = "\n".join(one_line(line) for line in lines)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)  # a terminal that speaks ASCII only
    print(text, file=stream, end=end, flush=err)


def say_text(text: str, *, err: bool = False) -> None:
    """Print a text of several lines that was put together line by line."""
    say(*text.removesuffix("\n").split("\n"), err=err)


def say_json(value: Any, indent: int | None = None) -> None:
    """Print plain data as JSON in ASCII, which holds no control characters."""
    print(json.dumps(value, indent=indent))


def error_line(error: BaseException) -> None:
    """Tell an error of ours on standard error."""
    say_text(f"airflow-distill: {type(error).__name__}: {error}", err=True)


def told_of(error: OSError | ObjectMissingError) -> str:
    """Return what a file or object that could not be had amounts to, without the class of the error."""
    if isinstance(error, ObjectMissingError):
        return f"there is nothing at {error}"
    return f"{error.filename or 'a file'}: {(error.strerror or type(error).__name__).lower()}"


def console(*, err: bool = False) -> Console:
    """Return a rich console that takes no markup from text."""
    from rich.console import Console

    return Console(stderr=err, markup=False, highlight=False, emoji=False)


def say_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table: rich on a terminal, aligned text elsewhere."""
    shown = [[one_line(cell) for cell in row] for row in (head, *rows)]
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        table = Table(*shown[0], box=None, pad_edge=False)
        for row in shown[1:]:
            table.add_row(*map(Text, row))
        console().print(table)
        return
    widths = [max(len(row[i]) for row in shown) for i in range(len(head))]
    for row in shown:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
