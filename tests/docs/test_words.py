"""The check of words finds what it is for, leaves code alone, and passes on the project itself."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def words() -> ModuleType:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("words")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_no_message_and_no_page_uses_a_word_to_avoid(words: ModuleType) -> None:
    assert list(words.found(words.read(), words.words())) == []


def told(words: ModuleType, tmp_path: Path, name: str, text: str) -> list[str]:
    file = tmp_path / name
    file.write_text(text)
    read = words.texts_of_code if name.endswith(".py") else words.texts_of_page
    return [line.split(": ", 1)[1] for line in words.found(read(file, name), words.words())]


@pytest.mark.parametrize(
    "text",
    [
        'raise ValueError("Mend the cause and retry.")',
        'raise ValueError(f"the policy of {name} holds what is not known here")',
        'say("next: " + "add --yes to remove what is marked so")',
        'parser.add_argument("--faults", help="plan or clear misfortune")',
    ],
)
def test_a_message_is_read_wherever_it_stands(words: ModuleType, tmp_path: Path, text: str) -> None:
    assert told(words, tmp_path, "module.py", text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("module.py", 'def repair():\n    """Mend it."""\n'),
        ("module.py", 'mend = row["mend"]\n'),
        ("module.py", 'say("run `release mend it`")'),
        ("page.md", "```text\nmend it\n```\n"),
        ("page.md", "A `wish` is a class.\n"),
        ("page.md", "A commendable amendment.\n"),
    ],
)
def test_code_docstrings_and_parts_of_words_are_left_alone(
    words: ModuleType, tmp_path: Path, name: str, text: str
) -> None:
    assert told(words, tmp_path, name, text) == []


def test_each_entry_says_what_to_write_instead(words: ModuleType, tmp_path: Path) -> None:
    assert all(word.prefer for word in words.words())
    (line,) = told(words, tmp_path, "page.md", "Unfold the file.\n")
    assert line == "'Unfold': write eject"
