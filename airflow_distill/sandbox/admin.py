"""The admin interface under `/_sandbox`: everything a test or a demonstration does to the sandbox itself, as JSON.

Served on the same port, on 127.0.0.1 only, to whoever knows the token of the ready file (`guard`). It opens no file of the
local disk: whoever steers sends what the sandbox shall know. The command line talks to it too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_distill.sandbox.dispatch import admin_body, admin_reply
from airflow_distill.sandbox.failures import SandboxUsageError, ServiceError
from airflow_distill.sandbox.guard import ADMIN_PREFIX
from airflow_distill.sandbox.protocol import WireReply, WireRequest

if TYPE_CHECKING:
    from airflow_distill.sandbox.server import Sandbox


class Admin:
    """Answers `/_sandbox/...`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._started = time.monotonic()
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("GET", "health"): lambda body: {"ok": True},
            ("GET", "status"): self._status,
            ("POST", "reset"): self._reset,
            ("POST", "flush"): lambda body: {"delivered": sandbox.flush_logs()},
            ("GET", "clock"): lambda body: {"now": sandbox.clock.now().isoformat()},
            ("POST", "clock"): self._clock,
            ("GET", "meter"): lambda body: sandbox.meter(),
            ("GET", "faults"): lambda body: {"faults": sandbox.faults.listed()},
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._remove_faults,
            ("POST", "teacher"): self._teacher,
            ("POST", "pace"): self._pace,
            ("POST", "options"): self._options,
            ("POST", "quotas"): self._quotas,
            ("POST", "logs"): self._logs,
            ("POST", "judge"): self._judge,
            ("POST", "play"): self._play,
        }

    def respond(self, request: WireRequest) -> WireReply:
        name = request.raw_path[len(ADMIN_PREFIX) :].strip("/") or "status"
        route = self._routes.get((request.method, name))
        if route is None:
            known = sorted(f"{method} {ADMIN_PREFIX}/{path}" for method, path in self._routes)
            return admin_reply({"error": f"no {request.method} {request.raw_path}", "known": known}, 404)
        try:
            return admin_reply(route(admin_body(request)))
        except SandboxUsageError as error:
            return admin_reply({"error": str(error)}, 400)
        except ServiceError as error:
            return admin_reply({"error": error.message}, 400)
        except (KeyError, TypeError, ValueError) as error:
            return admin_reply({"error": f"wrong request: {type(error).__name__} {error}"}, 400)

    def _status(self, body: dict[str, Any]) -> dict[str, Any]:
        world = self._sandbox.world
        resources = []
        with world.store.lock:
            for region, state in world.store.each():
                for resource in state.resources.values():
                    status = resource.record.get("status") or resource.record.get("modelStatus")
                    resources.append(
                        {
                            "kind": resource.kind,
                            "name": resource.name,
                            "region": region,
                            "status": status,
                            "arn": resource.arn,
                        }
                    )
        return {
            "endpoint_url": self._sandbox.endpoint_url,
            "pid": os.getpid(),
            "up_seconds": round(time.monotonic() - self._started, 1),
            "now": world.clock.now().isoformat(),
            "settings": self._sandbox.settings(),
            "teacher": {"from_traffic": world.teacher.from_traffic, "pairs": len(world.teacher.pairs)},
            "logs": {
                "delivered": world.logbook.delivered,
                "waiting": world.logbook.waiting,
                "lost": world.logbook.lost,
            },
            "faults": len(world.faults.listed()),
            "resources": resources,
        }

    def _reset(self, body: dict[str, Any]) -> dict[str, Any]:
        self._sandbox.reset()
        return {"ok": True}

    def _clock(self, body: dict[str, Any]) -> dict[str, Any]:
        if ("advance" in body) == ("set" in body):
            raise SandboxUsageError("give either 'advance' (seconds) or 'set' (ISO 8601 time)")
        clock = self._sandbox.clock
        now = clock.advance(float(body["advance"])) if "advance" in body else clock.set(str(body["set"]))
        return {"now": now.isoformat()}

    def _add_fault(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._sandbox.faults.add(**body).to_json()

    def _remove_faults(self, body: dict[str, Any]) -> dict[str, Any]:
        if "id" in body:
            return {"removed": self._sandbox.faults.remove(str(body["id"]))}
        self._sandbox.faults.clear()
        return {"removed": True}

    def _teacher(self, body: dict[str, Any]) -> dict[str, Any]:
        if set(body) - {"pairs"}:
            raise SandboxUsageError("give 'pairs': a list of objects with prompt and completion, or null")
        pairs = body.get("pairs")
        if pairs is not None and not isinstance(pairs, list):
            raise SandboxUsageError("'pairs' is a list of objects with prompt and completion, or null")
        return {"known_prompts": self._sandbox.teach(pairs)}

    def _pace(self, body: dict[str, Any]) -> dict[str, Any]:
        self._sandbox.world.set_pace(str(body["pace"]), body.get("kind"))
        return self._sandbox.settings()

    def _options(self, body: dict[str, Any]) -> dict[str, Any]:
        for name, value in body.items():
            self._sandbox.world.options.change(name, value)
        return self._sandbox.settings()

    def _quotas(self, body: dict[str, Any]) -> dict[str, Any]:
        for name, value in body.items():
            self._sandbox.world.set_quota(name, value)
        return self._sandbox.settings()

    def _logs(self, body: dict[str, Any]) -> dict[str, Any]:
        settings = self._sandbox.world.logbook.settings
        for name, value in body.items():
            if name not in ("delay_seconds", "offload_bytes", "late_body_seconds"):
                raise SandboxUsageError(f"no such log setting: {name!r}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise SandboxUsageError(f"{name} must be a number that is not negative")
            setattr(settings, name, value)
        return self._sandbox.settings()

    def _judge(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._sandbox.world.judge.configure(**body)

    def _play(self, body: dict[str, Any]) -> dict[str, Any]:
        items = body.pop("items")
        return {"played": self._sandbox.play(items, **body)}
