"""Import paths in operators: from the Dag file, never from a value that is rendered, triggered with or handed on.

Detectors and scorer functions are called with what end users wrote, so whoever may choose the function runs code on the
worker. Arguments that name them are therefore no template fields, templated settings may not name any, and a mapped task
takes them from `partial()` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.code_paths import is_function_path


class WrittenPaths(tuple[str, ...]):
    """Import paths that were given to `partial()`, so that they are known to stand in the Dag file."""

    __slots__ = ()


def written_paths(value: Any, argument: str, *, is_mapped: bool = False) -> WrittenPaths:
    """Return import paths as the Dag's author wrote them.

    :param is_mapped: the task is one of a mapped one, so that plain values may be what another task handed on.
    :raises ConfigurationError: it is a template, the output of a task, or no list of `package.module:function`.
    """
    if is_mapped and not isinstance(value, WrittenPaths):
        raise ConfigurationError(
            f"{argument}: import paths come from the Dag file and cannot be mapped.",
            hint=f"Give {argument} to partial(), and leave it out of expand() and of what expand_kwargs() is given.",
        )
    if not isinstance(value, list | tuple) or not all(is_function_path(path) for path in value):
        raise ConfigurationError(
            f"{argument}: a list of import paths is needed, written out in the Dag file.",
            hint=f'{argument}=["my_package.module:function"]; templates, Params and outputs of tasks are not taken.',
        )
    return WrittenPaths(value)


def refuse_detectors(settings: Any) -> None:
    """Refuse curation settings that name detectors.

    :raises ConfigurationError: they do, whatever they name.
    """
    if isinstance(settings, Mapping) and "detectors" in settings:
        raise ConfigurationError(
            "dataset: `settings` may come from a trigger and cannot name detectors.",
            hint='Give the operator detectors=["my_package.module:function"] in the Dag file.',
        )


def refuse_foreign_functions(metrics: Any, functions: Sequence[str]) -> None:
    """Refuse metrics that name a function which the Dag file does not.

    :raises ConfigurationError: one does.
    """
    specs: Iterable[Any] = metrics if isinstance(metrics, list | tuple) else ()
    for spec in specs:
        if isinstance(spec, Mapping) and spec.get("kind") == "function" and spec.get("path") not in functions:
            raise ConfigurationError(
                "evaluation: `metrics` may come from a trigger; a function must be named in the Dag file as well.",
                hint='Give the operator functions=["my_package.module:function"].',
            )
