"""What is built from this checkout, and that it works where nothing else is: wheels, sdist, core distribution.

Environments are made with the uv of `make setup`, on the Python that runs the tests. Building and installing take the
registry, so these tests are slow ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.stages.logs.log_records import MODEL, record
from tests.texts import questions

ROOT = Path(__file__).parents[2]
UV = ROOT / ".uv" / "bin" / "uv"
LARGEST_CORE = 60 * 1024**2
"""Bytes that an environment with the core distribution may take."""

pytestmark = pytest.mark.slow


def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)


def made(*words: object, cwd: Path | None = None) -> str:
    done = run(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    made(UV, "build", "--quiet", "--out-dir", folder, ROOT)
    made(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / "packages" / "core")
    return folder


def environment(folder: Path, *installed: object) -> Path:
    """Make an empty environment with these installed, and return its `bin`."""
    made(UV, "venv", "--quiet", "--python", sys.executable, folder)
    made(UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *installed)
    return folder / "bin"


def wheel(dist: Path, name: str) -> Path:
    (found,) = dist.glob(f"{name}-*.whl")
    return found


def test_the_wheel_holds_the_package_and_the_example_dags_and_no_test(dist: Path) -> None:
    names = zipfile.ZipFile(wheel(dist, "airflow_distill")).namelist()
    assert "airflow_distill/example_dags/distill_from_invocation_logs.py" in names
    assert "airflow_distill/stages/models.json" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/")) or name.endswith(".pyc")]


def test_make_setup_finds_what_it_needs_in_the_sdist(dist: Path, tmp_path: Path) -> None:
    (found,) = dist.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        archive.extractall(tmp_path, filter="data")
    (top,) = tmp_path.iterdir()
    for needed in (
        "Makefile",
        "pyproject.toml",
        "requirements/locked.txt",
        "tests/conftest.py",
        "dags",
        "docs",
    ):
        assert (top / needed).exists(), needed
    made("make", "setup", f"PYTHON={sys.executable}", cwd=top)
    assert "airflow-distill" in made(top / ".venv/bin/airflow-distill", "--version")


@pytest.fixture(scope="module")
def core(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("core") / "venv", wheel(dist, "airflow_distill_core"))


def test_the_core_distribution_is_small_and_brings_no_airflow(core: Path) -> None:
    files = [path for path in core.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < LARGEST_CORE
    assert not [path for path in files if path.match("site-packages/airflow/__init__.py")]


def test_every_command_of_the_core_distribution_answers_help(core: Path, tmp_path: Path) -> None:
    from airflow_distill.cli.main import COMMANDS

    for command in COMMANDS:
        assert command in made(core / "airflow-distill", command, "--help", cwd=tmp_path)


def test_the_core_distribution_builds_a_dataset_from_logs(core: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs.jsonl"
    rows = [record(text, topic, request_id=f"req-{n}") for n, (text, topic) in enumerate(questions(300))]
    logs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    words = ("dataset", "build", "--logs", logs, "--model", MODEL, "--out", out)
    said = run(core / "airflow-distill", *words, cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert (out / "manifest.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("demo",), "pip install 'airflow-distill'"),
        (("sandbox", "start", "--port", "0"), "pip install 'airflow-distill[sandbox]'"),
    ],
)
def test_what_is_not_installed_is_named_with_what_brings_it(
    core: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    said = run(core / "airflow-distill", *words, cwd=tmp_path)
    assert said.returncode == 2
    assert told in said.stderr
    assert "Traceback" not in said.stderr
