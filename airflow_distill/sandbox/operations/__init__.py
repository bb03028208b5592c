"""The operations the sandbox knows, one module a resource. Each registers its handlers by the operation's own name.

A handler takes the `World`, the state of its Region and the `Call`, and returns the answer's members or raises a
`ServiceError`. It runs under the store's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from airflow_distill.sandbox.store import RegionState
from airflow_distill.sandbox.world import Advance, Call, World

Handler = Callable[[World, RegionState, Call], dict[str, Any]]

HANDLERS: dict[str, Handler] = {}
ADVANCERS: dict[str, Advance] = {}

_MODULES = (
    "batch_inference",
    "custom_models",
    "customization_jobs",
    "deployments",
    "evaluation_jobs",
    "foundation_models",
    "inference_profiles",
    "invocation_logging",
    "model_copies",
    "provisioned_throughput",
    "resource_policies",
    "runtime",
    "tags",
)


def operation(name: str) -> Callable[[Handler], Handler]:
    """Register a handler."""

    def register(handler: Handler) -> Handler:
        HANDLERS[name] = handler
        return handler

    return register


def advances(kind: str) -> Callable[[Advance], Advance]:
    """Register the function that moves a kind of resource through its states."""

    def register(advance: Advance) -> Advance:
        ADVANCERS[kind] = advance
        return advance

    return register


def load_all() -> None:
    """Import every module of operations."""
    for module in _MODULES:
        import_module(f"{__name__}.{module}")
