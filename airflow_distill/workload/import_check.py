"""Imports what workload files name, in a process of its own, and says what is not what it should be.

`airflow-distill workload lint` calls `unfit_paths`; parsing a Dag file never does. The other process may load a model,
print or end: this one only reads one JSON line of it. Run as a module it is that other process.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.code_paths import DETECTOR, SCORER, load_function

PATIENCE = 120.0
"""Seconds for all imports together."""
_MARK = "airflow-distill import check: "

Asked = tuple[str, str]
"""`detector`, `scorer` or `notifier`, and the path."""


def unfit_paths(asked: Iterable[Asked], *, patience: float = PATIENCE) -> dict[Asked, str]:
    """Return what is wrong with which path; empty when all is well."""
    pairs = sorted(set(asked))
    if not pairs:
        return {}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(pairs),
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {pair: f"{pair[1]} cannot be imported within {patience:g} s" for pair in pairs}
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        return {
            pair: f"{pair[1]}: importing it ended the process (exit status {done.returncode})"
            for pair in pairs
        }
    told: Mapping[str, str] = json.loads(lines[-1].removeprefix(_MARK))
    return {pair: told[json.dumps(pair)] for pair in pairs if told.get(json.dumps(pair))}


def _check(kind: str, path: str) -> str:
    try:
        if kind == "notifier":
            return _check_notifier(path)
        load_function(path, DETECTOR if kind == "detector" else SCORER, f"the {kind}")
    except ConfigurationError as error:
        return error.message
    except BaseException as error:  # a module may raise anything, SystemExit too
        return f"importing {path} raises {type(error).__name__}"
    return ""


def _check_notifier(path: str) -> str:
    module, _, name = path.rpartition(".")
    found: Any = getattr(importlib.import_module(module), name, None)
    bases = {f"{base.__module__}.{base.__qualname__}" for base in getattr(found, "__mro__", ())}
    if not any(base.endswith(".BaseNotifier") and base.startswith("airflow.") for base in bases):
        return f"{path} is no notifier: a notifier is a class derived from airflow.sdk.BaseNotifier"
    return ""


if __name__ == "__main__":
    answers = {json.dumps(pair): _check(*pair) for pair in json.load(sys.stdin)}
    print(f"\n{_MARK}{json.dumps(answers)}", flush=True)
