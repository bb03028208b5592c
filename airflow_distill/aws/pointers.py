"""Pointers: the SSM parameters that callers read to find the live model, each of one workload under one root.

The name holds the root's digest, so two roots in one account never write the same parameter. A pointer under the name of
versions before 1.0 (`/airflow-distill/<workload>/live`) is ours when it names our root, or names none and a host of this
root's ledger. Such a pointer is kept in step with ours for the callers that still read it; nobody else's is touched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping

from airflow_distill.aws.parameters import ParameterGateway
from airflow_distill.errors import OwnershipError, StateError
from airflow_distill.stages.deployment.records import Pointer, pointer_name

Recorded = Callable[[], Collection[str]]
"""Returns names and ARNs of hosts that the root's ledger names; asked only about what carries no root itself."""


def nothing() -> Collection[str]:
    """Return no records."""
    return ()


def read_pointer(
    parameters: ParameterGateway, workload: str, root: str = "", recorded: Recorded = nothing
) -> Pointer | None:
    """Return the workload's pointer under a root, or None when there is none.

    :param recorded: an older pointer without a root counts only if it names one of these hosts.
    :raises StateError: a parameter is there and is not a pointer of ours.
    """
    found = _read(parameters, pointer_name(workload, root))
    if found is not None or not root:
        return found
    return _older(parameters, workload, root, recorded)


def publish_pointer(
    parameters: ParameterGateway,
    pointer: Pointer,
    tags: Mapping[str, str],
    recorded: Recorded = nothing,
) -> None:
    """Write the pointer if it differs, and the older one beside it if there is one that is ours.

    What stands under our name and is no pointer is replaced: the name holds our root's digest, and callers need it. The
    service keeps what stood there in the parameter's history.

    :raises OwnershipError: the parameter belongs to another root.
    """
    present = _read_or_none(parameters, pointer.name)
    if present is not None and present.root.rstrip("/") != pointer.root.rstrip("/"):
        raise OwnershipError(
            f"deployment: the parameter {pointer.name} belongs to root {present.root or 'unknown'}, not to {pointer.root}.",
            hint="Another system may read it, so it was not changed. Delete it by hand if it is not in use.",
        )
    text = json.dumps(pointer.to_json(), sort_keys=True)
    names = [pointer.name]
    if pointer.root and _older(parameters, pointer.workload, pointer.root, recorded) is not None:
        names.append(pointer_name(pointer.workload))
    for name in names:
        if parameters.get(name) != text:
            parameters.put(name, text, tags)


def remove_pointer(
    parameters: ParameterGateway,
    workload: str,
    root: str,
    release: int,
    recorded: Recorded = nothing,
) -> None:
    """Remove the pointer of a release; one that names another release, or cannot be read, stays."""
    ours = _read_or_none(parameters, pointer_name(workload, root))
    if ours is not None and ours.release == release:
        parameters.delete(ours.name)
    older = _older(parameters, workload, root, recorded) if root else None
    if older is not None and older.release == release:
        parameters.delete(pointer_name(workload))


def _older(parameters: ParameterGateway, workload: str, root: str, recorded: Recorded) -> Pointer | None:
    """Return the pointer under the name without a root, if it is ours."""
    found = _read_or_none(parameters, pointer_name(workload))
    if found is None:
        return None
    ours = found.root.rstrip("/") == root.rstrip("/") if found.root else found.host_arn in recorded()
    return found if ours else None


def _read_or_none(parameters: ParameterGateway, name: str) -> Pointer | None:
    """Return a pointer; what is no pointer of ours counts as none."""
    try:
        return _read(parameters, name)
    except StateError:
        return None


def _read(parameters: ParameterGateway, name: str) -> Pointer | None:
    raw = parameters.get(name)
    if raw is None:
        return None
    try:
        return Pointer.from_json(json.loads(raw))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"deployment: the parameter {name} cannot be read ({type(error).__name__}).",
            hint="Another tool wrote it. `airflow-distill release repair` rewrites the pointer; what stood there stays "
            "in the parameter's history.",
        ) from error
