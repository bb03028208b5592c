"""What pages name exists: paths, commands and flags, settings, receipt keys; README stays short."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from airflow_distill.cli.main import COMMANDS, build_parser
from airflow_distill.workload.reading import _all_settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_distill"
HAND_WRITTEN = sorted(
    path
    for path in [
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "skills").rglob("*.md"),
        *(ROOT / "infra").rglob("*.md"),
        ROOT / "llms.txt",
    ]
    if "node_modules" not in path.parts and path.name != "CHANGELOG.md"
)
pages = pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))


def code_spans(page: Path) -> list[str]:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


FOLDERS = "airflow_distill|docs|tests|dags|benchmarks|requirements|packages|infra|skills|\\.github"
ROOMS = "|".join(sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and not p.name.startswith("_")))


@pages
def test_paths_named_on_a_page_exist(page: Path) -> None:
    missing = []
    for span in code_spans(page):
        for top, folders in ((ROOT, FOLDERS), (PACKAGE, ROOMS)):
            match = re.fullmatch(rf"((?:{folders})/[\w./-]+?)(?::\d+)?", span)
            if (
                match
                and "NAME" not in match[1]
                and not (top / match[1]).exists()
                and not (ROOT / match[1]).exists()
            ):
                missing.append(span)
    assert missing == []


def commands(page: Path) -> Iterator[str]:
    for span in code_spans(page):
        if re.match(r"(?:\.venv/bin/)?airflow-distill [a-z]", span):
            yield span


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def followed(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """Return the parser of the deepest command that the words name, and what follows it."""
    parser = build_parser(words[0])
    while words:
        below = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if not below or words[0] not in below:
            break
        parser, words = below[words[0]], words[1:]
    return parser, words


@pages
def test_commands_and_flags_named_in_a_sentence_exist(page: Path) -> None:
    wrong = []
    for span in commands(page):
        words = shlex.split(span.partition("airflow-distill ")[2])
        for first in words[0].split("|"):
            if first not in COMMANDS:
                wrong.append(span)
                continue
            chosen = re.split(r"\|", words[1]) if len(words) > 1 and "|" in words[1] else [None]
            for second in chosen:
                parser, rest = followed([first, *([second] if second else words[1:2]), *words[2:]])
                flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
                takes_more = any(isinstance(a, argparse._SubParsersAction) for a in parser._actions)
                unknown_word = takes_more and rest and re.fullmatch(r"[a-z-]+", rest[0])
                if unknown_word or flags - options_of(parser):
                    wrong.append(span)
    assert wrong == []


@pages
def test_settings_named_on_a_page_exist(page: Path) -> None:
    known = set(_all_settings())
    groups = {name.split(".")[0] for name in known if "." in name} - {"name"}
    named = {
        match[1]
        for span in code_spans(page)
        if (match := re.fullmatch(r"([a-z_]+(?:\.[a-z_]+)+)(?:: .*)?", span))
        and match[1].split(".")[0] in groups
        and not match[1].endswith((".py", ".json", ".jsonl", ".md", ".yaml", ".gz"))
    }
    assert {name for name in named if name not in known and not name.startswith("logs.metadata")} == set()


def documented_receipts() -> list[tuple[str, str, str, set[str]]]:
    """Return (file, class, kind, keys) of every receipt that a docstring shows."""
    found = []
    for file in sorted((PACKAGE / "operators").glob("*.py")) + sorted((PACKAGE / "sensors").glob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            doc = " ".join((ast.get_docstring(node) or "").split())
            for kind, rest in re.findall(r'`\{"kind": "([\w-]+)"((?:, "\w+")*)[^`]*\}`', doc):
                found.append((file.name, node.name, kind, set(re.findall(r'"(\w+)"', rest))))
    return found


@cache
def receipts_in_code() -> dict[str, set[str]]:
    """Return the keys of every dict with a constant `kind`, by that kind."""
    made: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Dict):
                keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
                if "kind" in keys:
                    kind = node.values[keys.index("kind")]
                    if isinstance(kind, ast.Constant):
                        made.setdefault(str(kind.value), set()).update(str(key) for key in keys if key)
    return made


@pytest.mark.parametrize(
    ("file", "name", "kind", "keys"),
    documented_receipts(),
    ids=[f"{n}-{k}" for _, n, k, _ in documented_receipts()],
)
def test_keys_of_a_receipt_that_a_docstring_shows_are_made(
    file: str, name: str, kind: str, keys: set[str]
) -> None:
    made = receipts_in_code().get(kind)
    if made is not None:  # else it comes from a record's `to_json`
        assert keys - made == set()


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    prose = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    assert len(prose.split()) <= 550
    shown = re.search(r"<!-- demo-output -->\n```text\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    assert len(shown[1].splitlines()) <= 25


def test_every_page_for_people_is_listed_for_machines() -> None:
    listed = (ROOT / "llms.txt").read_text()
    missing = [
        str(p.relative_to(ROOT))
        for p in (ROOT / "docs").glob("*.md")
        if f"({p.relative_to(ROOT)})" not in listed and p.name != "index.md"
    ]
    assert missing == []
    for target in re.findall(r"\]\(([^)]+)\)", listed):
        assert (ROOT / target).is_file(), target


def test_the_skill_asks_before_anything_is_paid_or_deleted() -> None:
    """What it may run without asking is read-only by the words of the command line itself."""
    text = (ROOT / "skills" / "distill-a-workload" / "SKILL.md").read_text()
    free = re.search(r"without asking.*?```bash\n(.*?)```", text, re.DOTALL)
    assert free is not None
    for line in free[1].splitlines():
        words = shlex.split(line)[1:]
        assert "--yes" not in words
        assert words[0] in COMMANDS or words[0] == "--version"
        if words[0] in COMMANDS:
            assert build_parser(words[0]).parse_args(words).command == words[0]
        assert words[:2] not in (["release", "rollback"], ["release", "repair"], ["release", "resume"])
