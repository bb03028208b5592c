"""The one door to moto. Everything of moto is imported here, under one lock, on first use.

moto's modules import each other in circles; two threads that import them at the same time can meet a half-made
module. moto also takes a second or two to import, which no start should wait for.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

SERVICES = ("s3", "iam", "sts", "ssm", "kms", "logs")

_lock = threading.RLock()
_loaded: dict[str, Any] = {}


def _once(name: str, load: Callable[[], Any]) -> Any:
    found = _loaded.get(name)
    if found is None:
        with _lock:
            found = _loaded.get(name)
            if found is None:
                found = _loaded[name] = load()
    return found


def backends(service: str) -> Any:
    """moto's backends of a service, by account and Region."""
    return _once(
        f"{service} backends", lambda: getattr(import_module(f"moto.{service}.models"), f"{service}_backends")
    )


def application() -> Any:
    """moto's WSGI application that serves every service."""

    def load() -> Any:
        module: Any = import_module("moto.moto_server.werkzeug_app")
        # moto would let every web page read every answer.
        module.DISABLE_GLOBAL_CORS = True
        _list_modules_once()

        def create(service: Any) -> Any:
            with _lock:
                return module.create_backend_app(service)

        return module.DomainDispatcherApplication(create)

    return _once("application", load)


def _list_modules_once() -> None:
    """Let moto look into its own folder once; it would do so, with a `stat` for each service, at every request."""
    module: Any = import_module("moto.backends")
    names = tuple(module.list_of_moto_modules())
    module.list_of_moto_modules = lambda: names


def request_names() -> Any:
    """moto's module about header names."""
    return _once("moto.core.request", lambda: import_module("moto.core.request"))


def add_aws_policy(arn: str, account: str) -> None:
    """Let the account know one policy of AWS's own, as every real account does.

    moto carries their texts and adds them all or none; all of them would cost every fresh start seconds.
    """
    partition, name = arn.split(":")[1], arn.rsplit("/", 1)[-1]
    found = backend("iam", account, partition)
    if arn in found.managed_policies:
        return
    module = import_module("moto.iam.models")
    texts = _once("texts of AWS's policies", lambda: json.loads(module.aws_managed_policies_data))
    if name in texts:
        policy = module.AWSManagedPolicy.from_data(name, account, partition, texts[name])
        found.managed_policies.setdefault(policy.arn, policy)


def warm_up() -> None:
    """Import what requests would otherwise wait for, the most wanted first."""
    application()
    for service in ("s3", "iam", "sts"):
        backends(service)


def reset() -> None:
    """Empty every backend that was ever used; imports nothing."""
    module = sys.modules.get("moto.core.base_backend")
    if module is not None:
        module.BackendDict.reset()


def backend(service: str, account: str, region: str = "aws") -> Any:
    """One backend."""
    return backends(service)[account][region]


def every_backend(services: Iterable[str] = ("s3", "iam", "ssm", "kms")) -> list[tuple[str, str, str, Any]]:
    """Service, account, Region and backend of all that exist, for saving."""
    return [
        (service, account, region, one)
        for service in services
        if f"moto.{service}.models" in sys.modules
        for account, regions in list(backends(service).items())
        for region, one in list(regions.items())
    ]
