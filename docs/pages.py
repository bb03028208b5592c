"""Writes what the documentation must not be typed by hand: the reference pages and the copied regions of code.

    python docs/pages.py            write everything anew
    python docs/pages.py --check    list what is stale; exit status 1 when anything is

Reference pages come from the code itself, read as syntax trees, so that no Airflow import is needed. A region is a
part of a file between `# region NAME` and `# endregion`, or the block behind `<!-- NAME -->` in a page. Another page shows
it between `<!-- region FILE NAME -->` and `<!-- end region -->`; the name `whole` means the whole file. What stands between
`<!-- table MODULE FUNCTION -->` and `<!-- end table -->` is what that function returns.
"""

from __future__ import annotations

import argparse
import ast
import html
import importlib
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "airflow_distill"
NOTE = "<!-- Written by docs/pages.py; edit the code instead. -->\n"

REGION = re.compile(
    r"(<!-- region (?P<file>\S+) (?P<name>\S+) -->\n)```(?P<lang>\w*)\n.*?```\n(?P<end><!-- end region -->)",
    re.DOTALL,
)

TABLE = re.compile(
    r"(<!-- table (?P<module>\S+) (?P<name>\S+) -->\n).*?(?P<end><!-- end table -->)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    annotation: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Described:
    """A class as its source tells it."""

    module: str
    name: str
    bases: tuple[str, ...]
    doc: str
    parameters: tuple[Parameter, ...]
    fields: tuple[Parameter, ...]
    is_record: bool


def classes_in(room: str) -> Iterator[Described]:
    """Yield the public classes of a module or folder of the package, by file and line."""
    place = PACKAGE / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for file in files:
        if not file.is_file():
            continue
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield _described(node, module)


def _described(node: ast.ClassDef, module: str) -> Described:
    decorators = [ast.unparse(each) for each in node.decorator_list]
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    fields = tuple(
        Parameter(n.target.id, ast.unparse(n.annotation), ast.unparse(n.value) if n.value else None)
        for n in node.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) and not n.target.id.startswith("_")
    )
    return Described(
        module=module,
        name=node.name,
        bases=tuple(ast.unparse(base) for base in node.bases),
        doc=ast.get_docstring(node) or "",
        parameters=_parameters(init) if init else (),
        fields=fields,
        is_record=any(d.startswith("dataclass") for d in decorators),
    )


def _parameters(init: ast.FunctionDef) -> tuple[Parameter, ...]:
    arguments = init.args
    positional = arguments.args[1:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [
        *zip(positional, [*defaults, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return tuple(
        Parameter(a.arg, ast.unparse(a.annotation) if a.annotation else "", ast.unparse(d) if d else None)
        for a, d in pairs
    )


PARAM = re.compile(r"^:param (\w+): (.*?)(?=^:\w+|\Z)", re.MULTILINE | re.DOTALL)


def split_doc(doc: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's prose and its `:param:` texts."""
    found = {name: " ".join(text.split()) for name, text in PARAM.findall(doc)}
    prose = re.split(r"^:\w+", doc, maxsplit=1, flags=re.MULTILINE)[0].strip()
    return prose, found


def cell(text: str) -> str:
    """Return text as it may stand in a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Return code for a table cell. In backticks a `|` ends the cell for some readers; others are shown its escape."""
    plain = " ".join(text.split())
    if "|" not in plain:
        return f"`{plain}`" if plain else ""
    return f"<code>{html.escape(plain, quote=False).replace('|', '&#124;')}</code>"


# The pages.


EXAMPLES = "docs/examples/operators.py"
WITH_EXAMPLES = ("Operators", "Sensors", "Notifiers")
BASES = (
    "DistillOperator",
    "WaitingOperator",
    "HostWaitingOperator",
    "HostWishOperator",
    "ReleaseOperator",
    "RemoteWorkSensor",
)
"""What several operators share; nobody puts one of these into a Dag."""

AIRFLOW_ROOMS = (
    ("Operators", "operators"),
    ("Sensors", "sensors"),
    ("Notifiers", "notifications"),
    ("Triggers", "triggers"),
    ("Links", "links"),
    ("Hooks", "hooks"),
)


def airflow_classes() -> Iterator[tuple[str, Described]]:
    """Yield what a Dag author or Airflow names, with the title it stands under."""
    for title, room in AIRFLOW_ROOMS:
        for each in classes_in(room):
            if _is_airflow_class(each):
                yield title, each


def has_example(title: str, each: Described) -> bool:
    return title in WITH_EXAMPLES and each.name not in BASES and not each.name.endswith("Policy")


def operators_page() -> str:
    """The list of all; each class has a page of its own."""
    out = ["# Operators, sensors and triggers\n", NOTE]
    out.append(
        "Each name leads to its page: what it does, an example, every argument. Arguments marked (templated) are template\n"
        "fields. All operators and sensors also take `aws_conn_id`, `region_name`, `verify` and `botocore_config`, and\n"
        "Airflow's own arguments.\n"
    )
    for title, room in AIRFLOW_ROOMS:
        found = [c for c in classes_in(room) if _is_airflow_class(c)]
        out.append(f"## {title}\n\n| | |\n|---|---|")
        for each in found:
            first = re.split(r"(?<=[.;:])\s", cell(split_doc(each.doc)[0]), maxsplit=1)[0].rstrip(";:")
            out.append(f"| [{each.name}](operators/{each.name}.md) | {first} |")
        out.append("")
    return "\n".join(out)


def operator_pages() -> dict[str, str]:
    """Return a page for each class, by its path below `docs/`."""
    known = {
        each.name: each for room in PACKAGE.iterdir() if room.is_dir() for each in _with_private(room.name)
    }
    return {
        f"reference/operators/{each.name}.md": "\n".join(_class_page(title, each, known))
        for title, each in airflow_classes()
    }


def _with_private(room: str) -> Iterator[Described]:
    for file in sorted((PACKAGE / room).rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield _described(node, module)


def _is_airflow_class(each: Described) -> bool:
    suffixes = ("Operator", "Sensor", "Trigger", "Notifier", "Link", "Hook", "Policy")
    return each.name.endswith(suffixes)


def _class_page(title: str, each: Described, known: dict[str, Described]) -> list[str]:
    prose, _ = split_doc(each.doc)
    out = [f"# {each.name}\n", NOTE, f"`{each.module}`\n", prose + "\n"]
    if has_example(title, each) and f"# region {each.name}\n" in (ROOT / EXAMPLES).read_text():
        out.append(f"```python\n{example(each)}```\n")
    told: set[str] = set()
    for cls in (each, *_ancestors(each, known)):
        rows = list(_argument_rows(cls, told))
        if rows:
            head = "Arguments" if cls is each else f"From {cls.name.lstrip('_')}"
            out.append(
                f"## {head}\n\n| Argument | Type | Default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
            )
    return out


def _ancestors(each: Described, known: dict[str, Described]) -> Iterator[Described]:
    for base in each.bases:
        found = known.get(base.split("[")[0])
        if found is not None:
            yield found
            yield from _ancestors(found, known)


def _argument_rows(each: Described, told: set[str]) -> Iterator[str]:
    _, texts = split_doc(each.doc)
    shown = {p.name: p for p in each.parameters if p.name not in ("kwargs", "args")}
    for name in [*shown, *(n for n in texts if n not in shown)]:
        if name in told:
            continue
        told.add(name)
        p = shown.get(name, Parameter(name, "", ""))
        default = "required" if p.default is None else code(p.default)
        yield f"| `{name}` | {code(p.annotation)} | {default} | {cell(texts.get(name, ''))} |"


def example(each: Described) -> str:
    """Return a whole Dag with one use of a class, from its region in `docs/examples/operators.py`."""
    use = region(EXAMPLES, each.name)
    imports = ["from airflow.sdk import DAG", "", f"from {each.module} import {each.name}"]
    if "timedelta(" in use.replace("macros.timedelta(", ""):
        imports = ["from datetime import timedelta", "", *imports]
    if each.name.endswith("Notifier"):
        return (
            "\n".join(imports)
            + f'\n\n{use}\nwith DAG("example", schedule=None, on_failure_callback=[alert]):\n    ...\n'
        )
    shared = re.search(r"^SHARED = (\{.*?^\})", (ROOT / EXAMPLES).read_text(), re.MULTILINE | re.DOTALL)
    assert shared is not None
    arguments = "schedule=None, render_template_as_native_obj=True, default_args=SHARED"
    body = "".join(f"    {line}\n" if line else "\n" for line in use.splitlines())
    return "\n".join(imports) + f'\n\nSHARED = {shared[1]}\n\nwith DAG("example", {arguments}):\n{body}'


def errors_page() -> str:
    errors = importlib.import_module("airflow_distill.errors")
    tree = (errors.__doc__ or "").split("\n\n")[1]
    out = [
        "# Errors\n",
        NOTE,
        "Branches are named after who has to act. All live in `airflow_distill.errors`.\n",
    ]
    out.append(f"```text\n{_dedent(tree)}\n```\n")
    out.append("| Error | A retry | What it says |\n|---|---|---|")
    for each in classes_in("errors"):
        retry = "may succeed" if getattr(errors, each.name).retryable else "changes nothing"
        prose, _ = split_doc(each.doc)
        out.append(f'| <span id="{each.name.lower()}"></span>`{each.name}` | {retry} | {cell(prose)} |')
    return "\n".join(out) + "\n"


def _dedent(text: str) -> str:
    return re.sub(r"^    ", "", text, flags=re.MULTILINE)


def records_page() -> str:
    out = ["# Records\n", NOTE]
    out.append(
        "What crosses a door between rooms: frozen, slotted, versioned, times in UTC. Those with `to_json` travel\n"
        "through XCom or lie in the bucket.\n"
    )
    for title, rooms in RECORD_ROOMS:
        found = [c for room in rooms for c in classes_in(room) if c.is_record]
        if not found:
            continue
        out.append(f"## {title}\n")
        for each in found:
            prose, texts = split_doc(each.doc)
            out += [f"### {each.name}\n", f"`{each.module}`\n", prose + "\n"]
            out.append("| Field | Type | Default | |\n|---|---|---|---|")
            for f in each.fields:
                default = "" if f.default is None else code(f.default)
                out.append(
                    f"| `{f.name}` | {code(f.annotation)} | {default} | {cell(texts.get(f.name, ''))} |"
                )
            out.append("")
    return "\n".join(out)


RECORD_ROOMS = (
    ("Remote work", ("remote/records",)),
    ("Logs", ("stages/logs/records",)),
    ("Dataset", ("stages/dataset/records",)),
    ("Jobs", ("stages/jobs/records",)),
    ("Evaluation", ("stages/evaluation/records",)),
    ("Decision", ("stages/decision/records",)),
    ("Deployment", ("stages/deployment/records",)),
    ("Status", ("stages/status/records",)),
)


def settings_page() -> str:
    from pydantic import BaseModel

    from airflow_distill.workload import reading
    from airflow_distill.workload.config import Workload

    out = ["# Settings of a workload file\n", NOTE]
    out.append(
        "Every key a workload file may hold. Durations are a number and a unit: `90m`, `36h`, `7d`, `2w`. Money is in\n"
        "US dollars. The same as a JSON schema, for editors: `airflow-distill workload schema`.\n"
    )
    out.append(
        "A file names at least the keys marked *required*; they may stand in the folder's `defaults.yaml`.\n"
    )

    def table(model: type[BaseModel], at: str) -> None:
        schema = Workload.model_json_schema()
        properties = (schema if model is Workload else schema["$defs"][model.__name__])["properties"]
        out.append("| Key | Values | Default | |\n|---|---|---|---|")
        inner: list[tuple[str, type[BaseModel]]] = []
        for name, info in model.model_fields.items():
            path = f"{at}.{name}" if at else name
            groups = list(reading._models_in(info.annotation))
            if groups:
                inner.append((path, groups[0]))
            text = info.description or (split_doc(groups[0].__doc__ or "")[0] if groups else "")
            values = f"[group](#{_anchor(path)})" if groups else _values(properties[name])
            out.append(f"| `{name}` | {values} | {_default(info, groups)} | {cell(text)} |")
        out.append("")
        for path, group in inner:
            out.append(f"## {path}\n")
            out.append(split_doc(group.__doc__ or "")[0] + "\n")
            table(group, path)

    out.append("## The file\n")
    table(Workload, "")
    return "\n".join(out)


def _anchor(path: str) -> str:
    return path.lower().replace(".", "")


def _default(info: Any, groups: list[Any]) -> str:
    if info.is_required():
        return "*required*"
    value = info.get_default(call_default_factory=True)
    if value is None or groups or value in ({}, (), ""):
        return ""
    from datetime import timedelta

    from airflow_distill.workload.config import format_duration

    if isinstance(value, timedelta):
        return code(format_duration(value))
    if isinstance(value, tuple):
        return code(", ".join(str(v) for v in value))
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def _values(schema: dict[str, Any]) -> str:
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _values({**option, "description": ""})
    if "enum" in schema:
        return ", ".join(code(str(v)) for v in schema["enum"])
    if "const" in schema:
        return code(str(schema["const"]))
    if schema.get("type") == "array":
        items = schema.get("items", {})
        inner = "" if "anyOf" in items else _values(items)
        return f"list of {inner or 'values'}"
    if schema.get("pattern", "").startswith("^[1-9]"):
        return "duration"
    kind = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true`, `false`",
        "object": "mapping",
    }
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    text = kind.get(schema.get("type", ""), "")
    if low is not None and high is not None:
        return f"{text}, {low:g} to {high:g}"
    if low is not None:
        return f"{text}, {'above' if 'exclusiveMinimum' in schema else 'at least'} {low:g}"
    return text


def cli_page() -> str:
    from airflow_distill.cli.main import COMMANDS, build_parser

    out = ["# Command line\n", NOTE]
    out.append(
        "Exit status: 0 done, 1 a verdict against (a problem found, a stale file), 2 it could not be done. `--help`\n"
        "loads neither Airflow nor the AWS SDK.\n"
    )
    out.append(f"```text\n{_help(build_parser())}\n```\n")
    for name in COMMANDS:
        out.append(f"## {name}\n")
        out += _command_help(_subparsers(build_parser(name))[name])
    return "\n".join(out)


def _command_help(parser: argparse.ArgumentParser) -> list[str]:
    out = [f"```text\n{_help(parser)}\n```\n"]
    for name, sub in _subparsers(parser).items():
        out.append(f"### {parser.prog.removeprefix('airflow-distill ')} {name}\n")
        out += _command_help(sub)
    return out


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


class _SteadyHelp(argparse.HelpFormatter):
    """Lays help out alike on every version of Python and at every width of a terminal."""

    def __init__(self, prog: str, **_: Any) -> None:
        super().__init__(prog, max_help_position=26, width=98)
        self._action_max_length = 98  # what follows the options begins in one column

    def _format_usage(self, *words: Any) -> str:
        width, self._width = self._width, 100_000
        line = super()._format_usage(*words).strip()
        self._width = width
        whole = re.sub(r"\[[^\]]*\]+", lambda found: found[0].replace(" ", "\0"), line)
        whole = re.sub(r"(--[\w-]+) (?=[A-Z])", "\\1\0", whole)
        prog = len(f"usage: {self._prog} ")
        told = textwrap.wrap(
            whole, 98, subsequent_indent=" " * prog, break_on_hyphens=False, break_long_words=False
        )
        return "\n".join(told).replace("\0", " ") + "\n\n"


def _help(parser: argparse.ArgumentParser) -> str:
    """Return help text that depends neither on the terminal nor on the version of Python."""
    usual = parser.formatter_class
    parser.formatter_class = type("Steady", (_SteadyHelp, usual), {})
    os.environ["NO_COLOR"] = "1"
    try:
        with redirect_stdout(io.StringIO()):
            return parser.format_help().strip()
    finally:
        parser.formatter_class = usual


def threat_page() -> str:
    """What SECURITY.md says, where readers of the documentation look for it."""
    text = (ROOT / "SECURITY.md").read_text()
    _, _, rest = text.partition("## Threat model\n")
    return f"# Threat model\n\n{NOTE.replace('the code', 'SECURITY.md')}{rest}"


PAGES: dict[str, Callable[[], str]] = {
    "threat-model.md": threat_page,
    "reference/operators.md": operators_page,
    "reference/errors.md": errors_page,
    "reference/records.md": records_page,
    "reference/settings.md": settings_page,
    "reference/cli.md": cli_page,
}


# Regions.


def region(file: str, name: str) -> str:
    """Return a tagged region of a file, without its indentation."""
    text = (ROOT / file).read_text()
    if name == "whole":
        return text.rstrip("\n") + "\n"
    tagged = rf"^ *# region {re.escape(name)}\n(.*?)^ *# endregion"
    if file.endswith(".md"):  # a block of another page
        tagged = rf"^<!-- {re.escape(name)} -->\n```\w*\n(.*?)^```"
    match = re.search(tagged, text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise LookupError(f"{file} has no region {name!r}")
    lines = match[1].splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines).strip("\n") + "\n"


def with_regions(text: str) -> str:
    """Return a page with every copied region and every table written anew."""

    def copy(match: re.Match[str]) -> str:
        body = region(match["file"], match["name"])
        return f"{match[1]}```{match['lang']}\n{body}```\n{match['end']}"

    def make(match: re.Match[str]) -> str:
        sys.path.insert(0, str(ROOT))
        table = getattr(importlib.import_module(match["module"]), match["name"])()
        return f"{match[1]}{table}\n{match['end']}"

    return TABLE.sub(make, REGION.sub(copy, text))


def pages_with_regions() -> list[Path]:
    return [
        p
        for p in (*sorted(DOCS.rglob("*.md")), ROOT / "README.md")
        if p.is_file() and re.search("<!-- (?:region|table) ", p.read_text())
    ]


def fresh_files() -> Iterator[tuple[Path, str]]:
    """Yield every file this program writes with the text it should have."""
    for name, page in PAGES.items():
        yield DOCS / name, page().rstrip("\n") + "\n"
    for name, text in operator_pages().items():
        yield DOCS / name, text.rstrip("\n") + "\n"
    for path in pages_with_regions():
        yield path, with_regions(path.read_text())


# The navigation.

GUIDES = (
    "workloads",
    "schedules",
    "pipelines",
    "logs",
    "dataset",
    "jobs",
    "evaluation",
    "decision",
    "deployment",
    "pages",
)
"""Guides in the order a reader meets them; others follow by name."""


def on_config(config: Any) -> Any:
    """Put the version, and the platforms, guides and decisions that exist, where readers see them; mkdocs calls this."""
    version = re.search(r'__version__ = "(.+)"', (PACKAGE / "__init__.py").read_text())
    config["repo_name"] = f"airflow-distill {version[1] if version else ''}"

    def found(folder: str, order: tuple[str, ...]) -> list[str]:
        rank = {name: number for number, name in enumerate(order)}
        names = sorted(
            (p.stem for p in (DOCS / folder).glob("*.md")), key=lambda n: (rank.get(n, len(rank)), n)
        )
        return [f"{folder}/{name}.md" for name in names]

    nav = list(config["nav"])
    at = next(number for number, item in enumerate(nav) if isinstance(item, dict) and "Reference" in item)
    nav.insert(at, {"Platforms": found("platforms", ("mwaa", "helm", "docker-compose"))})
    at += 1
    nav.insert(at, {"Guides": found("guides", GUIDES)})
    extra = [page for page in found("reference", ()) if page not in nav[at + 1]["Reference"]]
    classes = found("reference/operators", ())
    nav[at + 1] = {"Reference": [*nav[at + 1]["Reference"], *extra, {"Each operator": classes}]}
    nav.append({"Decisions": found("decisions", ("index",))})
    config["nav"] = nav
    return config


def main(argv: list[str]) -> int:
    stale = [(path, text) for path, text in fresh_files() if not path.is_file() or path.read_text() != text]
    if "--check" in argv:
        for path, _ in stale:
            print(f"stale: {path.relative_to(ROOT)} (python docs/pages.py writes it)")
        return 1 if stale else 0
    wanted = {DOCS / name for name in operator_pages()}
    for path in set((DOCS / "reference" / "operators").glob("*.md")) - wanted:
        path.unlink()
    for path, text in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
