"""Imports point one way. The order below is the contract; a violation names the file and the import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_distill"

AIRFLOW = "airflow"
AWS_SDK = {"boto3", "botocore", "aiobotocore", "s3transfer"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "remote": {"errors"},
    "stages": {"errors", "remote"},
    "workload": {"errors", "remote", "stages"},
    "aws": {"errors", "remote", "stages", "workload"},
    "compat": set(),
    "hooks": {"provider_info", "errors", "remote", "stages", "aws", "compat"},
    "links": {"errors", "remote", "compat"},
    "triggers": {"errors", "remote", "stages", "aws", "hooks", "compat", "workload"},
    "operators": {"errors", "remote", "stages", "aws", "hooks", "triggers", "links", "compat", "workload", "notifications"},
    "sensors": {"errors", "remote", "stages", "aws", "hooks", "triggers", "links", "compat", "operators"},
    "notifications": {"errors", "remote", "stages", "hooks", "compat"},
    "pipelines": {
        "errors", "remote", "stages", "workload", "aws", "hooks", "triggers", "operators", "sensors", "compat",
        "notifications",
    },
    "plugin": {"errors", "stages", "aws", "hooks", "links", "compat"},
    "provider_info": set(),
    "cli": {"errors", "remote", "stages", "aws", "workload", "sandbox", "demo"},
    "demo": {"errors", "remote", "stages", "aws", "workload"},
    "sandbox": set(),
}  # fmt: skip
"""Room -> rooms of ours it may import, beside itself. `sandbox` imports nothing of ours: it would share our mistakes."""

WITHOUT_AIRFLOW = {"errors", "remote", "stages", "workload", "aws", "cli", "demo", "sandbox", "provider_info"}
WITHOUT_AWS_SDK = {"errors", "remote", "stages", "workload", "provider_info", "plugin", "links", "pipelines"}
STAGES = ("logs", "dataset", "jobs", "money", "evaluation", "decision", "deployment", "watch", "status")
CLOCKS = {"time.time", "datetime.now", "datetime.utcnow", "date.today", "pendulum.now"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted module) of every import, function-level ones and `from x import submodule` included."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            if node.module in {"airflow_distill", "airflow_distill.stages"}:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    wrong = []
    for line, name in imports_of(path):
        top, *rest = name.split(".")
        if top == "airflow_distill" and rest:
            if rest[0] not in {room, *MAY_IMPORT[room]} and rest[0] != "__version__":
                wrong.append(f"{path.relative_to(ROOT)}:{line} {room} may not import {name}")
        elif (top == AIRFLOW and room in WITHOUT_AIRFLOW) or (top in AWS_SDK and room in WITHOUT_AWS_SDK):
            wrong.append(f"{path.relative_to(ROOT)}:{line} {room} may not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "stages").rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_a_stage_imports_only_records_of_stages_to_its_left(path: Path) -> None:
    """`records` modules, the table of model pairs and hosts, and all of `money` are what crosses a stage's door."""
    parts = path.relative_to(PACKAGE / "stages").parts
    if len(parts) == 1:
        return
    stage = STAGES.index(parts[0])
    doors = {"records", "models"}
    wrong = []
    for line, name in imports_of(path):
        words = name.split(".")
        if words[:2] != ["airflow_distill", "stages"] or len(words) < 3 or words[2] not in STAGES:
            continue
        other = STAGES.index(words[2])
        if other > stage or (
            other < stage and words[2] != "money" and (len(words) < 4 or words[3] not in doors)
        ):
            wrong.append(f"{path.relative_to(ROOT)}:{line} stage {parts[0]} may not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "path",
    sorted([*(PACKAGE / "stages").rglob("*.py"), *(PACKAGE / "remote").rglob("*.py")]),
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_pure_rooms_read_no_clock_and_no_random_source(path: Path) -> None:
    """A stage gets `now` as an argument, so its tests need no clock and a re-run gives the same bytes.

    The spool makes the key of its own temporary file; the key shows in nothing that is handed on.
    """
    calls = [ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    forbidden = {"random.random", "random.shuffle", "random.choice", "uuid.uuid4", "os.urandom", *CLOCKS}
    if path.relative_to(PACKAGE).as_posix() == "stages/logs/spool.py":
        forbidden.remove("os.urandom")
    assert not forbidden & {".".join(call.split(".")[-2:]) for call in calls}


@pytest.mark.parametrize(
    "module", ["airflow_distill.cli.main", "airflow_distill.stages", "airflow_distill.remote"]
)
def test_the_light_doors_load_neither_airflow_nor_the_aws_sdk(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('airflow', 'boto3', 'botocore') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_help_of_every_command_loads_neither_airflow_nor_the_aws_sdk() -> None:
    code = (
        "import sys\n"
        "from airflow_distill.cli.main import COMMANDS, build_parser\n"
        "for name in COMMANDS: build_parser(name)\n"
        "print([m for m in ('airflow', 'boto3', 'botocore', 'moto', 'sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_imports_that_need_airflow_3_3_stay_in_one_module() -> None:
    names = {
        "NEVER_EXPIRE",
        "RetryAction",
        "RetryDecision",
        "RetryPolicy",
        "RetryRule",
        "ExceptionRetryPolicy",
    }
    wrong = []
    for path in modules():
        if path.name == "compat.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "airflow.sdk":
                found = names & {alias.name for alias in node.names}
                wrong += [f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in sorted(found)]
    assert not wrong, "\n".join(wrong)


def test_nothing_patches_the_aws_sdk_in_tests() -> None:
    """The sandbox answers instead; a patched client proves only what the patch says."""
    wrong = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__)
        and any(word in path.read_text() for word in ("mock_aws", 'patch("boto', "Stubber(", "patch('boto"))
    ]
    assert not wrong
