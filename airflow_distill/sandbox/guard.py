"""Who may talk to the sandbox: programs of this machine, and no web page in the browser of whoever runs it.

A page can send requests to 127.0.0.1, and after rebinding its own name even read the answers. So a request must name this
machine in `Host`, must not come from another site, and whoever steers the sandbox (or moto) must know the token that only
files of its user hold.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from airflow_distill.sandbox.failures import ServiceError
from airflow_distill.sandbox.protocol import WireRequest

TOKEN_HEADER = "X-Sandbox-Token"
"""Header that carries the token of the ready file."""

ADMIN_PREFIX = "/_sandbox"
MOTO_PREFIX = "/moto-api"
HEALTH = f"{ADMIN_PREFIX}/health"

_LOOPBACK = re.compile(
    r"(?:127(?:\.[0-9]{1,3}){3}|\[::1\]|(?:[a-z0-9.-]+\.)?localhost)(?::[0-9]{1,5})?", re.IGNORECASE
)
_FOREIGN_FETCHES = ("cross-site", "same-site")


def is_steering(path: str) -> bool:
    """Whether a path belongs to the admin interface or to moto's own."""
    return any(path == prefix or path.startswith(prefix + "/") for prefix in (ADMIN_PREFIX, MOTO_PREFIX))


def refuse_foreign(request: WireRequest) -> None:
    """Raise unless a request names this machine and comes from no other site.

    :raises ServiceError: 403, saying which header was refused.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    host = headers.get("host", "").strip()
    if not _LOOPBACK.fullmatch(host):
        raise _forbidden("Host", "the sandbox answers as 127.0.0.1 or localhost only")
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise _forbidden("Origin", "the sandbox answers programs, not pages of other sites")
    if headers.get("sec-fetch-site", "").lower() in _FOREIGN_FETCHES:
        raise _forbidden("Sec-Fetch-Site", "the sandbox answers programs, not pages of other sites")


def refuse_stranger(request: WireRequest, token: str) -> None:
    """Raise unless a steering request carries the token and, where it has a body, says that it is JSON.

    :raises ServiceError: 403 or 415.
    """
    if request.method in ("GET", "HEAD") and request.raw_path.rstrip("/") == HEALTH:
        return
    headers = {name.lower(): value for name, value in request.headers.items()}
    given = headers.get(TOKEN_HEADER.lower(), "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise _forbidden(TOKEN_HEADER, "steering the sandbox needs the token of its ready file")
    if request.body and not _is_json(headers):
        raise ServiceError("UnsupportedMediaType", "Send Content-Type: application/json.", 415)


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _forbidden(header: str, why: str) -> ServiceError:
    return ServiceError("Forbidden", f"Refused because of {header}: {why}.", 403)
