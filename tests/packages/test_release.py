"""The habits of the repository: pinned workflows, lanes that exist, a changelog fit for a release, equal builds."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def release_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_check", ROOT / "packages" / "release_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda p: p.name)
def test_every_action_is_pinned_by_commit_with_its_version(workflow: Path) -> None:
    used = re.findall(r"uses: (.+)", workflow.read_text())
    assert used
    assert [u for u in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", u)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda p: p.name)
def test_no_job_has_more_permissions_than_it_states_and_each_has_an_end(workflow: Path) -> None:
    data = yaml.safe_load(workflow.read_text())
    assert data["permissions"] == {}
    for name, job in data["jobs"].items():
        assert job["timeout-minutes"] <= 120, name
        assert "permissions" in job, name


def test_every_make_target_that_a_workflow_or_a_page_names_exists() -> None:
    pages = [*WORKFLOWS, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = set()
    for page in pages:
        text = page.read_text()
        named |= set(re.findall(r"(?:run: |`|^)make ([a-z-]+)", text, re.MULTILINE))
        if 'make "$LANE"' in text:
            named |= {lane.strip() for lane in re.findall(r"lane: \[(.+)\]", text)[0].split(",")}
    assert len(named) > 10
    assert named - targets() == set()


def test_the_help_of_make_lists_every_target_that_is_meant_to_be_called() -> None:
    phony = re.search(r"^\.PHONY: (.*?)\n\n", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert phony is not None
    assert set(phony[1].replace("\\\n", " ").split()) == targets()


def test_the_version_stands_in_one_place() -> None:
    from airflow_distill import __version__
    from airflow_distill.provider_info import get_provider_info

    assert get_provider_info()["versions"] == [__version__]
    holding = [
        path.name
        for path in (ROOT / "airflow_distill").rglob("*.py")
        for line in path.read_text().splitlines()
        if f'"{__version__}"' in line and '"version_added"' not in line
    ]
    assert holding == ["__init__.py"]


CHANGELOG = """# Changelog

## Unreleased

Changed

## 0.2.0 - 2027-01-05

Changed

- Ties keep the incumbent. *Way back:* `incumbent_margin: 0.05`.
- Hosts end after a day,
  whatever happens.

Added

- A page.

## 0.1.0 - 2026-11-30

Added

- The loop.
"""


def test_a_tag_is_released_only_with_its_version_its_head_and_every_way_back(
    release_check: ModuleType,
) -> None:
    (told,) = release_check.mistakes("v0.2.0", "0.2.0", CHANGELOG)
    assert "Hosts end after a day" in told
    assert list(release_check.mistakes("v0.1.0", "0.1.0", CHANGELOG)) == []
    assert "0.1.0" in next(release_check.mistakes("v0.2.0", "0.1.0", CHANGELOG))
    assert any("0.3.0" in each for each in release_check.mistakes("v0.3.0", "0.3.0", CHANGELOG))


def test_the_changelog_has_an_unreleased_head_and_this_version(release_check: ModuleType) -> None:
    from airflow_distill import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## Unreleased$", text, re.MULTILINE)
    assert __version__ in release_check.sections(text)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_two_builds_of_the_same_files_are_equal_to_the_byte(tmp_path: Path) -> None:
    out = subprocess.run(
        ["bash", "packages/dist.sh", str(tmp_path / "dist")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    names = sorted(path.name for path in (tmp_path / "dist").iterdir())
    assert "SHA256SUMS" in names
    assert len([name for name in names if name.endswith((".whl", ".tar.gz"))]) == 3
    assert len(out.stdout.splitlines()) == 3
