"""Reads workload files: YAML text -> plain data with the place of every key, then a `Workload` or all problems at once.

Takes paths, hands on `Workload` records. A folder's `defaults.yaml` lies beneath every file of the folder (and beneath the
`defaults.yaml` of its subfolders). Nothing here imports Airflow or touches the network; the C parser of PyYAML does the
parsing, so a hundred files take a fraction of a second.

A file is written by a colleague who may be wrong or worse, and parsed by the process that parses all Dags. So size,
depth, aliases and numbers are bounded before values are made of it (`yaml_bounds`), texts are checked for what would be
code or markup elsewhere (`plain_text`), and whatever goes wrong with one file is a problem of that file.
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.shown import one_line
from airflow_distill.workload.config import Workload
from airflow_distill.workload.plain_text import unfit_texts
from airflow_distill.workload.yaml_bounds import Loader, OutOfBoundsError, bounded_node

DEFAULTS = "defaults.yaml"
SUFFIXES = (".yaml", ".yml")
LARGEST = 256 * 1024
REPLACED_WHOLE = ("schedule", "logs.metadata")
"""Groups of which one member excludes the others: a file's group replaces the one in `defaults.yaml`."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a workload file: where, in which setting, what, and what to do."""

    mark: Mark
    setting: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        setting = f" {self.setting}:" if self.setting else ""
        return one_line(
            f"{self.mark}:{setting} {self.message}{f'; {self.fix}' if self.fix else ''}", LONGEST_LINE
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.mark.path,
            "line": self.mark.line,
            "column": self.mark.column,
            "setting": self.setting,
            "message": self.message,
            "fix": self.fix,
        }


@dataclass(slots=True)
class Document:
    """Plain data of one file, the place of every key and value, and what the YAML itself got wrong."""

    path: str
    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[Place, Mark] = field(default_factory=dict)
    values: dict[Place, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Read:
    """What reading one workload file gave: the workload, or the problems that prevent it."""

    path: Path
    workload: Workload | None
    problems: tuple[Problem, ...]


LONGEST_LINE = 1_000
"""Characters of a problem as shown; a message may quote a value of the file."""
SHOWN = 20
"""So many problems an exception tells; `workload lint` tells all."""


def read_workload(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Workload:
    """Return the workload of one file.

    :param overrides: settings that win over the file, such as an environment's `root` and `role_arn`.
    :raises ConfigurationError: the file is wrong; the message lists every problem with file, line and column.
    """
    found = check_workload(path, overrides)
    if found.workload is None:
        raise ConfigurationError(
            _listing(found.problems), hint="airflow-distill workload lint shows the same list."
        )
    return found.workload


def read_folder(folder: Path | str, overrides: Mapping[str, Any] | None = None) -> tuple[Workload, ...]:
    """Return every workload of a folder, by path.

    :raises ConfigurationError: a file is wrong, or two files name the same workload.
    """
    found = check_folder(folder, overrides)
    problems = [problem for one in found for problem in one.problems]
    if problems:
        raise ConfigurationError(
            _listing(problems), hint="airflow-distill workload lint shows the same list."
        )
    return tuple(one.workload for one in found if one.workload is not None)


def check_folder(folder: Path | str, overrides: Mapping[str, Any] | None = None) -> tuple[Read, ...]:
    """Read every workload file under a folder; a name used twice is a problem of the later file."""
    if not Path(folder).is_dir():
        raise ConfigurationError(
            f"{folder} is not a folder.", hint="Give the folder that holds the workload files."
        )
    first: dict[str, Path] = {}
    found = []
    for path in iter_files(folder):
        one = check_workload(path, overrides)
        if one.workload is not None:
            earlier = first.setdefault(one.workload.name, path)
            if earlier != path:
                message = f"the name {one.workload.name!r} is taken by {earlier}"
                problem = Problem(Mark(str(path), 1, 1), "name", message, "names are unique in a folder")
                one = Read(path, None, (problem,))
        found.append(one)
    return tuple(found)


def iter_files(folder: Path | str) -> Iterator[Path]:
    """Yield the workload files under a folder, sorted; `defaults.yaml` and hidden files are not workloads."""
    for path in sorted(Path(folder).rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in SUFFIXES and path.name != DEFAULTS and not hidden:
            yield path


def check_workload(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Read:
    """Read one file over its folder's defaults; never raises for what stands in the file."""
    path = Path(path)
    try:
        return _check(path, overrides)
    except (
        Exception,
        RecursionError,
        MemoryError,
    ) as error:  # a fault of ours must not take the other Dags down
        message = f"cannot be understood ({type(error).__name__})"
        return Read(
            path, None, (Problem(Mark(str(path), 1, 1), "", message, "take out what is unusual in it"),)
        )


def _check(path: Path, overrides: Mapping[str, Any] | None) -> Read:
    layers = [parse_file(each) for each in (*_defaults_of(path), path)]
    problems = tuple(problem for layer in layers for problem in layer.problems)
    if problems:
        return Read(path, None, problems)
    merged = Document(str(path))
    for layer in layers:
        merged.data = _merge(merged.data, layer.data)
        merged.keys |= layer.keys
        merged.values |= layer.values
    if overrides:
        merged.data = _merge(merged.data, overrides)
    merged.data.setdefault("name", path.stem)
    try:
        return Read(path, Workload.model_validate(merged.data), ())
    except ValidationError as error:
        details = [dict(detail) for detail in error.errors(include_url=False)]
        found = (_problem(detail, merged) for detail in details if not _follows(detail, details))
        return Read(path, None, tuple(sorted(found, key=lambda p: (p.mark.path, p.mark.line, p.mark.column))))


def _follows(detail: Mapping[str, Any], details: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether a list is called too short only because what is wrong with its items left none."""
    at = detail["loc"]
    return detail["type"] == "too_short" and any(
        each["loc"][: len(at)] == at and len(each["loc"]) > len(at) for each in details
    )


def parse_file(path: Path) -> Document:
    """Parse one YAML file into plain data with marks."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device has no end
            problem = Problem(Mark(str(path), 1, 1), "", "is not a file")
            return Document(str(path), problems=[problem])
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        return Document(str(path), problems=[Problem(Mark(str(path), 1, 1), "", f"cannot be read: {reason}")])
    if len(data) > LARGEST:
        problem = Problem(Mark(str(path), 1, 1), "", f"the file is larger than {LARGEST // 1024} KiB")
        return Document(str(path), problems=[problem])
    return parse_text(text, str(path))


def parse_text(text: str, path: str) -> Document:
    """Parse YAML text into plain data with marks; what is not a mapping of settings is a problem."""
    document = Document(path)
    loader = None
    try:
        node = bounded_node(text)
        loader = Loader("")
        if node is None:
            document.problems.append(Problem(Mark(path, 1, 1), "", "the file is empty"))
        elif not isinstance(node, yaml.MappingNode):
            document.problems.append(Problem(_mark(path, node), "", "the file must be a mapping of settings"))
        else:
            _place(node, (), document, loader, set())
            if not document.problems:
                document.data = _without_empty(loader.construct_document(node))
                document.problems += _unfit(document)
    except OutOfBoundsError as error:
        mark = Mark(path, error.line, error.column)
        document.problems.append(Problem(mark, "", error.message, error.fix))
    except yaml.YAMLError as error:
        document.problems.append(_syntax_problem(error, path))
    except (ValueError, OverflowError) as error:  # a date such as 2026-99-99
        document.problems.append(
            Problem(
                Mark(path, 1, 1), "", f"holds a value that is none ({type(error).__name__})", "quote dates"
            )
        )
    finally:
        if loader is not None:
            loader.dispose()
    return document


def _unfit(document: Document) -> Iterator[Problem]:
    for place, message, fix in unfit_texts(document.data):
        yield Problem(_find(document.values, place, document), _dotted(place), message, fix)


def _syntax_problem(error: yaml.YAMLError, path: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or "is not YAML"
    place = Mark(path, mark.line + 1, mark.column + 1) if mark else Mark(path, 1, 1)
    return Problem(
        place, "", f"not YAML: {said}", "check the indentation and quote values holding ': ' or '#'"
    )


def _place(node: yaml.Node, at: Place, document: Document, loader: Any, seen_nodes: set[int]) -> None:
    """Note where every key and value under a node stands; report duplicate and non-text keys. An alias is walked once."""
    document.values[at] = _mark(document.path, node)
    if id(node) in seen_nodes:
        return
    seen_nodes.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _place(item, (*at, number), document, loader, seen_nodes)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key_node, value_node in node.value:
        mark = _mark(document.path, key_node)
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            fix = f"write '{key_node.value}' in quotes" if isinstance(key_node, yaml.ScalarNode) else ""
            problem = Problem(
                mark, _dotted(at), f"a key must be text, this one reads as {type(key).__name__}", fix
            )
            document.problems.append(problem)
            continue
        if key in seen:
            document.problems.append(Problem(mark, _dotted((*at, key)), "given twice", "keep one of them"))
        seen.add(key)
        document.keys[(*at, key)] = mark
        _place(value_node, (*at, key), document, loader, seen_nodes)


def _mark(path: str, node: yaml.Node) -> Mark:
    return Mark(path, node.start_mark.line + 1, node.start_mark.column + 1)


def _without_empty(value: Any) -> Any:
    """Leave out keys without a value: a group whose lines are all commented out is a group left out."""
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if v is not None}
    return value


def _merge(below: Mapping[str, Any], above: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        place = f"{at}.{key}" if at else key
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and place not in REPLACED_WHOLE:
            merged[key] = _merge(old, value, place)
        else:
            merged[key] = value
    return merged


def _defaults_of(path: Path) -> list[Path]:
    """Return the `defaults.yaml` files beneath a workload file, outermost first, without a gap between folders."""
    chain: list[Path] = []
    folder = path.absolute().parent
    while (folder / DEFAULTS).is_file():
        chain.append(folder / DEFAULTS)
        if folder == folder.parent:
            break
        folder = folder.parent
    shown = [Path(path.parent, *([".."] * up), DEFAULTS) for up in range(len(chain))]
    return list(reversed(shown))


def _problem(detail: dict[str, Any], document: Document) -> Problem:
    """Turn one validation detail into a problem with its place and a way out."""
    place = tuple(part for part in detail["loc"] if part != "[key]")
    setting = _dotted(place)
    kind = detail["type"]
    if kind == "extra_forbidden":
        key = str(place[-1])
        return Problem(
            _find(document.keys, place, document), setting, "unknown key", _suggest_key(place[:-1], key)
        )
    if kind == "missing":
        return Problem(_find(document.keys, place[:-1], document), setting, "required", _what_it_is(place))
    if kind == "literal_error":
        allowed = _literals(place)
        close = difflib.get_close_matches(str(detail["input"]), allowed, 1, 0.4)
        fix = f"did you mean {close[0]!r}?" if close else ""
        said = "must be one of " + ", ".join(allowed) if allowed else detail["msg"]
        return Problem(_find(document.values, place, document), setting, said, fix)
    said = str(detail.get("ctx", {}).get("error", "")) or str(detail["msg"]).replace("Input should", "should")
    return Problem(_find(document.values, place, document), setting, said, _what_it_is(place, only_type=True))


def _find(marks: Mapping[Place, Mark], place: Place, document: Document) -> Mark:
    """Return the mark of a place, or of the nearest place above it that stands in a file."""
    while place:
        if place in marks:
            return marks[place]
        place = place[:-1]
    return Mark(document.path, 1, 1)


def _suggest_key(group: Place, key: str) -> str:
    model = _model_at(group)
    own = list(model.model_fields) if model else []
    close = difflib.get_close_matches(key, own, 1, 0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    elsewhere = [path for path in _all_settings() if path.rsplit(".", 1)[-1] == key]
    if elsewhere:
        return f"did you mean {elsewhere[0]!r}?"
    names = [path.rsplit(".", 1)[-1] for path in _all_settings()]
    close = difflib.get_close_matches(key, names, 1, 0.75)
    if close:
        return f"did you mean {next(p for p in _all_settings() if p.rsplit('.', 1)[-1] == close[0])!r}?"
    return f"known here: {', '.join(own)}" if own else ""


def _what_it_is(place: Place, *, only_type: bool = False) -> str:
    """Return the setting's own description."""
    model = _model_at(place[:-1])
    info = model.model_fields.get(str(place[-1])) if model and place else None
    if info is None or (only_type and not info.examples):
        return ""
    if only_type:
        return f"for example {info.examples[0]}" if info.examples else ""
    return info.description or ""


def _literals(place: Place) -> list[str]:
    while place and isinstance(place[-1], int):
        place = place[:-1]
    model = _model_at(place[:-1])
    info = model.model_fields.get(str(place[-1])) if model and place else None
    return [str(value) for value in _literal_values(info.annotation)] if info else []


def _literal_values(annotation: Any) -> Iterator[Any]:
    for argument in get_args(annotation):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _literal_values(argument)


def _model_at(place: Place) -> type[BaseModel] | None:
    """Return the group of settings that stands at a place."""
    model: type[BaseModel] | None = Workload
    for part in place:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(part) if model else None
        model = next(_models_in(info.annotation), None) if info else None
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _all_settings() -> list[str]:
    """Return every setting by its dotted path, groups first."""
    out: list[str] = []
    waiting: list[tuple[str, type[BaseModel]]] = [("", Workload)]
    while waiting:
        at, model = waiting.pop(0)
        for name, info in model.model_fields.items():
            path = f"{at}.{name}" if at else name
            out.append(path)
            waiting += [(path, inner) for inner in _models_in(info.annotation)]
    return out


def _dotted(place: Sequence[str | int]) -> str:
    out = ""
    for part in place:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _listing(problems: Sequence[Problem]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return "\n".join(
        [f"{count} in workload files:", *(f"  {problem}" for problem in problems[:SHOWN]), *more]
    )
