"""One list of models: what is known about them without asking the service stands in `stages/models.json` alone."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_distill.sandbox.catalogue import Catalogue, packaged_catalogue
from airflow_distill.stages.model_table import packaged

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_distill"
TABLE = PACKAGE / "stages" / "models.json"

PROVIDERS = "|".join(sorted({*packaged().providers}))
MODEL_ID = re.compile(rf"\b(?:{PROVIDERS})\.[a-z][a-z0-9]*[-a-z0-9]*\d[-a-z0-9]*(?::\d+[km]?)*")
BEGINNING = re.compile(rf"^(?:[a-z]{{2}}\.)?(?:{PROVIDERS})\.[a-z0-9-]*$")
REGION = re.compile(r"^[a-z]{2}(?:-gov)?-[a-z]+-\d$")

EXAMPLES = {
    "cli/dataset.py": "help texts",
    "demo/run.py": "the pair that the demonstration distils",
    "stages/jobs/request.py": "a hint that shows a profile",
    "workload/config.py": "examples of the schema",
    "workload/template.py": "the pair of a new workload file",
}
"""Files that may name models in code, one or two each, and what for. Each name must be in the table."""

SHAPES = {"sandbox/bodies.py": "which shape a body has, by provider; not which models there are"}

DATA = {
    "stages/models.json": "the table",
    "stages/money/prices.json": "prices, by model of the table",
    "sandbox/data/prices.json": "invented prices, by the beginning of an id of the table",
    "workload/schema.json": "the examples of workload/config.py",
}
"""Files of data that may name models."""

COUNTS = {32_000, 16_000, 128_000, 256_000, 300_000}
"""Contexts of models, in tokens."""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def docstrings(tree: ast.AST) -> set[int]:
    """Return the nodes of docstrings and of the texts that follow a constant to explain it."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def constants(path: Path) -> Iterator[ast.Constant]:
    tree = ast.parse(path.read_text())
    left_out = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in left_out:
            yield node


def named_models(text: str) -> list[str]:
    return MODEL_ID.findall(text)


@pytest.mark.parametrize("path", sources(), ids=name)
def test_no_code_names_a_model_but_the_examples(path: Path) -> None:
    found = [
        (node.lineno, model)
        for node in constants(path)
        if isinstance(node.value, str)
        for model in named_models(node.value)
    ]
    if name(path) in EXAMPLES:
        unknown = [(line, model) for line, model in found if not is_known(model)]
        assert not unknown, f"{name(path)}: not in stages/models.json: {unknown}"
        assert len({model for _, model in found}) <= 2, f"{name(path)}: {found} begins to be a list"
    else:
        assert not found, f"{name(path)}: put these into stages/models.json and read them there: {found}"


def is_known(model: str) -> bool:
    table = packaged()
    known = {each.id for each in table.models} | {p.student for p in table.pairs} | set(table.fine_tuning)
    return model in known


@pytest.mark.parametrize("path", sources(), ids=name)
def test_no_code_tells_families_apart_by_the_beginning_of_an_id(path: Path) -> None:
    if name(path) in SHAPES:
        return
    found = [
        (node.lineno, node.value)
        for node in constants(path)
        if isinstance(node.value, str) and BEGINNING.match(node.value)
    ]
    assert not found, (
        f"{name(path)}: {found}; `families` in stages/models.json says what a provider's models take"
    )


@pytest.mark.parametrize("path", sources(), ids=name)
def test_no_code_lists_regions_or_profile_prefixes(path: Path) -> None:
    prefixes = set(packaged().prefixes)
    wrong = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            texts = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
            if sum(bool(REGION.match(text)) for text in texts) > 1:
                wrong.append(f"{name(path)}:{node.lineno} lists Regions")
            if sum(text.rstrip(".") in prefixes for text in texts) > 2:
                wrong.append(f"{name(path)}:{node.lineno} lists profile prefixes")
    assert not wrong, wrong


@pytest.mark.parametrize("path", sources(), ids=name)
def test_no_code_names_the_context_of_a_model(path: Path) -> None:
    found = [(node.lineno, node.value) for node in constants(path) if node.value in COUNTS]
    if name(path) == "stages/model_table.py":
        found = [each for each in found if each[1] != 32_000]  # what counts where the table says nothing
    assert not found, f"{name(path)}: {found}"


def test_no_other_file_of_data_names_models() -> None:
    other = [
        name(path)
        for path in sorted(PACKAGE.rglob("*"))
        if path.suffix in {".json", ".jsonl", ".yaml", ".yml", ".toml", ".csv"}
        and name(path) not in DATA
        and named_models(path.read_text())
    ]
    assert not other, other


def test_every_price_is_of_a_model_of_the_table() -> None:
    known = {model.id for model in packaged().models}
    rows = json.loads((PACKAGE / "stages" / "money" / "prices.json").read_text())["rows"]
    assert {row["model"] for row in rows} - known - {"*"} == set()
    invented = json.loads((PACKAGE / "sandbox" / "data" / "prices.json").read_text())["prices"]
    beginnings = {key for table in invented.values() for key in table["per_unit"]} - {"*"}
    assert not [key for key in beginnings if not any(model.startswith(key) for model in known)]


def test_the_sandbox_offers_the_models_pairs_and_hosts_of_the_table() -> None:
    table, sandbox = packaged(), packaged_catalogue()
    assert {model.id for model in table.models} <= set(sandbox.models)
    usable = {(pair.teacher, pair.student) for pair in table.pairs if pair.trust != "withdrawn"}
    assert {(pair.teacher, student) for pair in sandbox.pairs for student in pair.students} == usable
    for model in table.models:
        for host in ("provisioned-throughput", "custom-model-deployment"):
            assert sandbox.serves(f"{model.id}:128k", host) == (host in model.hosts)
    assert sandbox.deployment_regions == table.deployment_regions


def test_a_user_s_table_lies_over_the_packaged_one_in_the_sandbox_too() -> None:
    own = {
        "v": 1,
        "date": "2026-12-01",
        "models": [
            {"id": "acme.big-1-v1:0", "regions": ["eu-west-1"], "profiles": ["eu"]},
            {"id": "acme.small-1-v1:0", "regions": ["eu-west-1"], "hosts": ["custom-model-deployment"]},
        ],
        "pairs": [{"teacher": "acme.big-1-v1:0", "student": "acme.small-1-v1:0:8k", "region": "eu-west-1"}],
        "profiles": {"eu": ["eu-west-1", "eu-central-1"]},
        "deployment_regions": ["eu-west-1"],
    }
    sandbox = Catalogue(own)
    student = sandbox.model("acme.small-1-v1:0:8k", "eu-west-1")
    assert student is not None
    assert (student.brain, student.customizations) == ("student", ("DISTILLATION",))
    assert sandbox.model("acme.small-1-v1:0:8k", "us-east-1") is None
    assert sandbox.profile("eu.acme.big-1-v1:0", "eu-central-1") is not None
    assert sandbox.serves("acme.small-1-v1:0:8k", "custom-model-deployment")
    assert sandbox.deployment_regions == ("us-east-1", "us-west-2", "eu-west-1")
    assert len(sandbox.models) == len(packaged_catalogue().models) + 3
