"""The pages keep step with the code: nothing undocumented, nothing stale, no dead link, every block of code is code."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from airflow_distill import errors
from airflow_distill.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), *(p for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if p.is_file())]
)


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("pages")
    finally:
        sys.path.remove(str(DOCS))


@pytest.mark.locked
def test_no_generated_page_and_no_copied_region_is_stale(pages: ModuleType) -> None:
    stale = [str(p.relative_to(ROOT)) for p, text in pages.fresh_files() if p.read_text() != text]
    assert stale == [], "run python docs/pages.py"


def test_every_tagged_region_of_a_dag_is_shown_somewhere() -> None:
    shown = {found for page in PAGES for found in re.findall(r"<!-- region (\S+ \S+) -->", page.read_text())}
    tagged = {
        f"{path.relative_to(ROOT)} {name}"
        for path in (ROOT / "dags").rglob("*.py")
        for name in re.findall(r"^# region (\S+)", path.read_text(), re.MULTILINE)
    }
    assert tagged - shown == set()


def reference(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_section(name: str) -> None:
    assert f"\n## {name}\n" in reference("cli")


@pytest.mark.parametrize(
    "name", [n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.DistillError)]
)
def test_every_error_has_its_row(name: str) -> None:
    assert f"`{name}`" in reference("errors")


def airflow_classes(pages: ModuleType) -> Iterator[tuple[str, str]]:
    for _, each in pages.airflow_classes():
        yield each.name, each.doc


def test_every_operator_sensor_trigger_and_notifier_has_its_page_and_its_row(pages: ModuleType) -> None:
    text = reference("operators")
    names = [name for name, _ in airflow_classes(pages)]
    assert [name for name in names if f"[{name}](operators/{name}.md)" not in text] == []
    written = {path.stem for path in (DOCS / "reference" / "operators").glob("*.md")}
    assert written == set(names)


def test_every_operator_sensor_and_notifier_has_an_example_on_its_page(pages: ModuleType) -> None:
    wanted = [each.name for title, each in pages.airflow_classes() if pages.has_example(title, each)]
    assert len(wanted) > 45
    for name in wanted:
        page = (DOCS / "reference" / "operators" / f"{name}.md").read_text()
        assert f"import {name}\n" in page
        assert f"{name}(" in page


def test_a_page_tells_inherited_arguments_too() -> None:
    page = (DOCS / "reference" / "operators" / "BedrockPromoteModelOperator.md").read_text()
    for name in ("decision", "lease_minutes", "hourly_price", "host_wait_hours", "aws_conn_id"):
        assert f"| `{name}` |" in page, name


@pytest.mark.parametrize("page", sorted((DOCS / "reference").rglob("*.md")), ids=lambda p: p.stem)
def test_no_row_of_a_reference_table_is_cut_by_a_bar_in_a_type(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
        assert set(rows) == {rows[0]}, table[:200]
    assert not re.findall(r"`[^`\n]*\\\|[^`\n]*`", text), "an escape inside code is shown"


def test_every_operator_says_what_it_does(pages: ModuleType) -> None:
    assert [name for name, doc in airflow_classes(pages) if not doc] == []


def test_every_record_that_crosses_a_door_has_its_section(pages: ModuleType) -> None:
    text = reference("records")
    records = [
        c.name for _, rooms in pages.RECORD_ROOMS for r in rooms for c in pages.classes_in(r) if c.is_record
    ]
    assert len(records) > 20
    assert [name for name in records if f"\n### {name}\n" not in text] == []


def test_every_setting_has_its_row() -> None:
    from airflow_distill.workload.reading import _all_settings

    text = reference("settings")
    assert [s for s in _all_settings() if f"| `{s.rsplit('.', 1)[-1]}` |" not in text] == []


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_page_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    dead = []
    for found in LINK.findall(text):
        target = next(filter(None, found))
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    slugs = {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}
    return slugs | set(re.findall(r'id="([^"]+)"', page.read_text()))


BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, (indent, lang, body) in enumerate(BLOCK.findall(page.read_text())):
            if lang == language:
                text = "\n".join(line.removeprefix(indent) for line in body.splitlines())
                found.append((f"{page.relative_to(ROOT)}:{number}", text))
    return found


@pytest.mark.parametrize(("where", "text"), blocks("python"), ids=[w for w, _ in blocks("python")])
def test_python_on_a_page_is_python_and_imports_what_exists(where: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_distill"):
            path = ROOT / Path(*node.module.split("."))
            source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
            assert source.is_file(), node.module
            defined = source.read_text()
            assert [
                a.name for a in node.names if a.name not in defined and not (path / f"{a.name}.py").is_file()
            ] == []


WHOLE = re.compile(r"(?:<!-- region (\S+) \S+ -->\n)?^( *)```python\n(.*?)^\2```", re.MULTILINE | re.DOTALL)
EXCERPTS = ("tests/", "dags/distill_from_invocation_logs.py")
"""Files whose regions are shown as excerpts: they are run as a whole, by their own tests."""


def whole_blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, (source, indent, body) in enumerate(WHOLE.findall(page.read_text())):
            if not source.startswith(EXCERPTS):
                text = "\n".join(line.removeprefix(indent) for line in body.splitlines())
                found.append((f"{page.relative_to(ROOT)}:{number}", text))
    return found


@pytest.mark.airflow
@pytest.mark.parametrize(("where", "text"), whole_blocks(), ids=[w for w, _ in whole_blocks()])
def test_python_on_a_page_is_complete_and_runs(
    where: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own imports, in an empty folder, as a file of a Dag folder beside the example workloads."""
    monkeypatch.chdir(tmp_path)
    here = str(ROOT / "dags" / "a_page.py")
    exec(compile(text, here, "exec"), {"__file__": here, "__name__": "a_page"})


@pytest.mark.parametrize(("where", "text"), blocks("yaml"), ids=[w for w, _ in blocks("yaml")])
def test_yaml_on_a_page_is_yaml_of_known_settings(where: str, text: str, tmp_path: Path) -> None:
    """Whole workload files lint clean over the examples' defaults; a part of one has only known keys."""
    from airflow_distill.workload.reading import check_workload

    data = yaml.safe_load(text)
    if not isinstance(data, dict) or "decision" in where:
        return
    (tmp_path / "defaults.yaml").write_text((ROOT / "dags/workloads/defaults.yaml").read_text())
    (tmp_path / "page.yaml").write_text(text)
    wrong = [p for p in check_workload(tmp_path / "page.yaml").problems if p.message != "required"]
    assert [str(p) for p in wrong] == []


@pytest.mark.parametrize(("where", "text"), blocks("json"), ids=[w for w, _ in blocks("json")])
def test_json_on_a_page_is_json(where: str, text: str) -> None:
    for line in [text] if text.lstrip().startswith("{\n") else text.splitlines():
        if line.strip():
            json.loads(line)


def commands() -> list[tuple[str, str]]:
    return [
        (where, line)
        for where, text in blocks("bash") + blocks("sh") + blocks("console")
        for line in text.replace("\\\n", " ").splitlines()
        if line.lstrip("$ ").startswith("airflow-distill ")
    ]


@pytest.mark.parametrize(("where", "line"), commands(), ids=[f"{w} {c[:60]}" for w, c in commands()])
def test_a_command_on_a_page_is_one_the_parser_takes(where: str, line: str) -> None:
    words = shlex.split(line.lstrip("$ "), comments=True)[1:]
    words = words[: next((i for i, w in enumerate(words) if w in (">", "|", "&&")), len(words))]
    name = next((word for word in words if word in COMMANDS), None)
    if "--help" in words or "--version" in words:
        return
    told = [
        w for before, w in zip(["", *words], words, strict=False) if w != "..." or before.startswith("--")
    ]
    assert build_parser(name).parse_args(told).command == name


def test_the_numbers_of_the_cost_page_are_those_of_the_code() -> None:
    from docs.examples.cost_month import month_table, run_table

    page = (DOCS / "cost-model.md").read_text()
    assert run_table() in page
    assert month_table() in page


def test_the_site_builds_without_warnings_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    loads = re.compile(r"""<(?:script|img|iframe|link)[^>]*(?:src|href)=["'](https?://[^"']+)""")
    pages = [page.read_text() for page in (tmp_path / "site").rglob("*.html")]
    own = yaml.safe_load((ROOT / "mkdocs.yml").read_text().split("markdown_extensions")[0])["site_url"]
    assert {url for page in pages for url in loads.findall(page) if not url.startswith(own)} == set()
    # the theme's script asks the repository's host for stars wherever it finds this mark
    assert not [page for page in pages if 'data-md-component="source"' in page]


def test_the_site_says_its_version_and_where_the_repository_is(tmp_path: Path) -> None:
    from airflow_distill import __version__

    built = tmp_path / "site"
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(built)]
    subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    home = (built / "index.html").read_text()
    assert f"airflow-distill {__version__}" in home
    assert "https://github.com/airflow-distill/airflow-distill" in home
