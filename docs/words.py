"""Checks the words that people read: messages, help, pages. `docs/words.toml` lists what to avoid and what to prefer.

    python docs/words.py            print every place with what to write instead; exit status 1 when there is any

It reads the texts of the package, docstrings left out, and the pages written by hand. It skips code and what stands in
backticks, and the files that `allowed` names, where the word is somebody else's.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "docs" / "words.toml"
GENERATED = (
    "docs/reference/operators",
    "docs/reference/cli.md",
    "docs/reference/errors.md",
    "docs/reference/records.md",
)


@dataclass(frozen=True, slots=True)
class Word:
    """A pattern to avoid, and what to write instead."""

    avoid: re.Pattern[str]
    prefer: str
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence that people read, and where it stands."""

    file: str
    line: int
    text: str


def words() -> list[Word]:
    listed = tomllib.loads(LISTS.read_text())["word"]
    return [
        Word(
            re.compile(rf"\b(?:{each['avoid']})\b", re.IGNORECASE),
            each["prefer"],
            tuple(each.get("allowed", ())),
        )
        for each in listed
    ]


def texts_of_code(path: Path, file: str) -> Iterator[Text]:
    """Yield the texts of a module that hold a space and are no docstring; what f-strings fill in is left out."""
    tree = ast.parse(path.read_text())
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if " " in text.strip() and id(node) not in docs | bare:
            yield Text(file, getattr(node, "lineno", 0), text)


def texts_of_page(path: Path, file: str) -> Iterator[Text]:
    """Yield the lines of a page that are not code."""
    in_code = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield Text(file, number, line)


def read() -> Iterator[Text]:
    for path in sorted((ROOT / "airflow_distill").rglob("*.py")):
        yield from texts_of_code(path, str(path.relative_to(ROOT)))
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "skills").rglob("*.md")]
    for path in sorted(pages):
        file = str(path.relative_to(ROOT))
        if not file.startswith(GENERATED) and path.name != "CHANGELOG.md":
            yield from texts_of_page(path, file)


def found(texts: Iterator[Text], listed: list[Word]) -> Iterator[str]:
    """Yield one line for each word to avoid."""
    for each in texts:
        plain = re.sub(r"`[^`]*`", "", each.text)
        for word in listed:
            match = word.avoid.search(plain)
            if match and not each.file.startswith(word.allowed or ("\0",)):
                yield f"{each.file}:{each.line}: '{match[0]}': write {word.prefer}"


def main() -> int:
    lines = list(found(read(), words()))
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
