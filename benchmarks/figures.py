"""Prints figures about the code: lines by room, test code to code, long functions and long modules, coverage.

python benchmarks/figures.py               sizes
python benchmarks/figures.py --coverage    and what the last `make coverage` run measured, by room

Lines are lines that hold something: blank lines are not counted. Tests are counted to the room whose name their folder has;
those of a folder across rooms (chaos, contract, security and so on) to the room from which they import most names.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "airflow_distill"
LONG_FUNCTION = 40
LONG_MODULE = 600


def lines(file: Path) -> int:
    return sum(1 for line in file.read_text().splitlines() if line.strip())


def room_of(file: Path, top: Path) -> str:
    """Return the room of a file: its folder, and below `stages` one more."""
    parts = file.relative_to(top).parts
    if len(parts) == 1:
        return "(top)"
    return "/".join(parts[:2]) if parts[0] == "stages" and len(parts) > 2 else parts[0]


def room_of_test(file: Path, rooms: set[str]) -> str:
    """Return the room that a file of tests is counted to, its folder's or the one it asks most of; "" for none."""
    own = room_of(file, ROOT / "tests")
    if own in rooms and own != "(top)":
        return own
    asked = Counter[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_distill."):
            path = PACKAGE.joinpath(*str(node.module).split(".")[1:])
            asked[room_of(path if path.is_dir() else path.with_suffix(".py"), PACKAGE)] += len(node.names)
    first = asked.most_common(2)
    decided = first and (len(first) == 1 or first[0][1] > first[1][1])
    return first[0][0] if decided and first[0][0] in rooms else ""


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Yield each function with the lines of its body, its docstring not counted."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            yield node.name, (node.end_lineno or 0) - first.lineno + 1


def python_files(top: Path) -> list[Path]:
    return [path for path in sorted(top.rglob("*.py")) if "__pycache__" not in path.parts]


def coverage_by_room() -> dict[str, tuple[int, int]]:
    """Return covered and all statements of each room, as the last measured run left them in `.coverage`."""
    report = ROOT / ".coverage.json"
    command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(report)]
    subprocess.run(command, cwd=ROOT, check=True)
    found: dict[str, tuple[int, int]] = {}
    for name, file in json.loads(report.read_text())["files"].items():
        room = room_of(ROOT / name, PACKAGE)
        covered, of = found.get(room, (0, 0))
        summary = file["summary"]
        found[room] = (covered + summary["covered_lines"], of + summary["num_statements"])
    report.unlink()
    return found


def main(argv: list[str]) -> int:
    code, tests = Counter[str](), Counter[str]()
    for file in python_files(PACKAGE):
        code[room_of(file, PACKAGE)] += lines(file)
    for file in python_files(ROOT / "tests"):
        tests[room_of_test(file, set(code)) or "across rooms"] += lines(file)
    measured = coverage_by_room() if "--coverage" in argv else {}

    print(f"{'room':24}{'code':>8}{'tests':>8}{'ratio':>8}" + (f"{'covered':>10}" if measured else ""))
    for room in sorted(code):
        row = f"{room:24}{code[room]:8}{tests[room]:8}{tests[room] / code[room]:8.2f}"
        if room in measured and measured[room][1]:
            row += f"{measured[room][0] / measured[room][1]:10.1%}"
        print(row)
    print(f"{'tests across rooms':24}{'':8}{tests['across rooms']:8}")
    total = f"{'all':24}{sum(code.values()):8}{sum(tests.values()):8}{sum(tests.values()) / sum(code.values()):8.2f}"
    if measured:
        total += f"{sum(c for c, _ in measured.values()) / sum(a for _, a in measured.values()):10.1%}"
    print(total)

    long = sorted(
        (size, f"{file.relative_to(PACKAGE)}: {name}")
        for file in python_files(PACKAGE)
        for name, size in functions(file)
        if size > LONG_FUNCTION
    )
    print(f"\nfunctions over {LONG_FUNCTION} lines: {len(long)}")
    for size, name in reversed(long):
        print(f"  {size:4}  {name}")
    modules = [
        (n, file) for file in python_files(PACKAGE) if (n := len(file.read_text().splitlines())) > LONG_MODULE
    ]
    print(f"modules over {LONG_MODULE} lines: {len(modules)}")
    for n, file in sorted(modules, reverse=True):
        print(f"  {n:4}  {file.relative_to(PACKAGE)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
