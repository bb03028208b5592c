"""Registers the package with Airflow's plugin system: nothing but names unless `[airflow_distill] pages` is on.

This module is imported in every process of Airflow, so it imports neither FastAPI nor the AWS SDK: the app is built when
the api-server gets its first request. The script is one ES module; one URL serves all pages, so that it is fetched once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_distill.links.switch import pages_are_on

log = logging.getLogger(__name__)

PREFIX = "/distill"
VERSION = "2"
"""Part of the script's URL; raise it with the script, so that no browser runs an old one."""

PAGES = (
    ("Workloads", "nav", "distill-workloads"),
    ("Distillation", "dashboard", "distill-card"),
    ("Evaluation", "dag_run", "distill-evaluation"),
    ("Approval", "task_instance", "distill-approval"),
)
"""What Airflow shows a page as, where, and the end of its address. Airflow keeps pages by name; no two may be equal."""


class BuiltOnRequest:
    """An ASGI app that is built by its first request, so that no other process pays for it."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            try:
                self._app = await asyncio.to_thread(_build)
            except Exception:
                log.exception("The pages of airflow_distill cannot be built")
                await _say_so(scope, send)
                return
        await self._app(scope, receive, send)


async def _say_so(scope: Any, send: Any) -> None:
    """Answer that there are no pages, in a sentence."""
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]
    body = b'{"problem": {"said": "The pages cannot be built.", "do": "Look at the api-server\'s log."}}'
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _build() -> Any:
    from airflow_distill.plugin.app import create_app
    from airflow_distill.plugin.reader import reader_from_settings

    return create_app(reader_from_settings)


def react_apps() -> list[dict[str, Any]]:
    """Return the pages as Airflow's plugin system takes them."""
    return [
        {
            "name": name,
            "bundle_url": f"distill/pages.js?v={VERSION}",
            "destination": destination,
            "url_route": route,
            **({"nav_top_level": False} if destination == "nav" else {}),
        }
        for name, destination, route in PAGES
    ]


class DistillPlugin(AirflowPlugin):
    """Shown by `airflow plugins`."""

    name = "airflow_distill"
    fastapi_apps = (
        [{"app": BuiltOnRequest(), "url_prefix": PREFIX, "name": "airflow_distill"}] if pages_are_on() else []
    )
    react_apps = react_apps() if pages_are_on() else []
