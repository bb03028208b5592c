"""Time grows with the text and no faster, whatever the text is: a stranger's prompt must not stop the loop."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from airflow_distill.stages.logs.chat_templates import split_prompt
from airflow_distill.stages.logs.unusable import Unusable
from tests.security import linear

MODULES = linear.stage_modules()


def name_of(module: ModuleType) -> str:
    return module.__name__.removeprefix("airflow_distill.stages.")


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_text_makes_a_public_function_slow(module: ModuleType) -> None:
    """Every function and method that takes a text, against all that is worst for it."""
    texts = linear.worst_texts(module)
    readers = list(linear.text_readers(module))
    found = {str(reader): worst for reader in readers if (worst := linear.offenders(reader, texts))}
    print(f"{name_of(module)}: {len(readers)} functions, {len(texts)} texts")
    assert not found


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_text_makes_a_pattern_slow(module: ModuleType) -> None:
    """Every compiled pattern, looked for in all that is worst for it."""
    readers = list(linear.pattern_readers(module))
    texts = {str(reader): linear.worst_texts_of(reader.pattern) for reader in readers if reader.pattern}
    found = {str(r): worst for r in readers if (worst := linear.offenders(r, texts[str(r)]))}
    print(f"{name_of(module)}: {len(readers)} patterns, {sum(map(len, texts.values()))} texts")
    assert not found


@pytest.mark.parametrize(
    "pattern",
    [
        r"\s*<<SYS>>\s*(.*?)\s*<</SYS>>\s*(.*)",
        r"[\w.!#$]+@(?:[\w-]+\.)+[a-z]{2,}",
        r"(?:a|aa)+b",
        r"(?:-*[a-z-])*!",
    ],
)
def test_the_measure_finds_a_slow_pattern(pattern: str) -> None:
    """The patterns that once stopped the loop, and two textbook ones, are found by texts derived from themselves."""
    slow = re.compile(pattern, re.DOTALL)
    module = ModuleType("slow")
    reader = linear.Reader("slow", slow.search, module)
    texts = dict(linear._against(slow))
    assert any(linear.offenders(reader, {name: make}) for name, make in texts.items())


def test_the_functions_are_found_by_themselves() -> None:
    """A sample of what must be measured: were one of them missing, the search for functions would be broken."""
    names = {str(reader) for module in MODULES for reader in linear.text_readers(module)}
    assert {
        "digest.canonical_text",
        "logs.chat_templates.split_prompt",
        "logs.models.resolve_model",
        "dataset.known_secrets.find_known",
        "evaluation.judge_injection.talks_to_the_judge",
    } <= names


@pytest.mark.parametrize("filling", [" ", "\n", "<<SYS>>", "x "])
def test_a_system_text_without_its_end_is_refused_at_once(filling: str) -> None:
    def split(text: str) -> None:
        with pytest.raises(Unusable):
            split_prompt(text)

    growth = linear.growth(split, lambda n: f"<s>[INST]<<SYS>>{filling * (n // len(filling))}[/INST]")
    assert growth < linear.WORST_GROWTH
