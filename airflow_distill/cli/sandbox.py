"""`airflow-distill sandbox`: start the local Bedrock, and steer one that runs.

`start` serves in the foreground until it is told to end. All other words talk to the admin interface of a running
sandbox over HTTP, so they import nothing but the standard library. They need its token: from the environment, from the
ready file they are given, or from the file that `start` leaves for its user (`token_file`).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from airflow_distill.cli.terminal import say, say_json

if TYPE_CHECKING:
    from airflow_distill.sandbox.server import Sandbox

DEFAULT_PORT = 8787
_URL_VARIABLE = "AIRFLOW_DISTILL_SANDBOX_URL"
_TOKEN_VARIABLE = "AIRFLOW_DISTILL_SANDBOX_TOKEN"


def register(parser: argparse.ArgumentParser) -> None:
    """Add the words and their arguments."""
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)
    start = words.add_parser("start", help="serve until interrupted")
    start.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0 picks a free one (default: %(default)s)"
    )
    start.add_argument(
        "--ready-file", type=Path, help="written when requests are answered; JSON with URL and token"
    )
    start.add_argument("--state", type=Path, help="folder that keeps the state across restarts")
    start.add_argument(
        "--pace", default="instant", help="instant, reads:N or seconds:S (default: %(default)s)"
    )
    start.add_argument("--traffic", type=Path, help="JSON Lines (prompt, completion) or CSV (text,category)")
    start.add_argument(
        "--log-delay", type=float, default=1.0, help="seconds until invocation logs are delivered"
    )
    start.add_argument(
        "--quota", action="append", default=[], metavar="NAME=N", help="change a quota; repeatable"
    )
    start.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="change an option")
    start.add_argument("--models", type=Path, help="your table of models; overrides the packaged one")
    start.add_argument("--quiet", action="store_true", help="print nothing")
    _talking(words.add_parser("status", help="show what runs and its settings"))
    _talking(words.add_parser("reset", help="delete all state, S3 and IAM included"))
    _talking(words.add_parser("flush", help="deliver waiting invocation logs now"))
    meter = _talking(words.add_parser("meter", help="show what the calls so far would have cost"))
    meter.add_argument("--json", action="store_true", help="print the whole answer")
    clock = _talking(words.add_parser("clock", help="read or move the sandbox's clock"))
    clock.add_argument("--advance", type=float, metavar="SECONDS")
    clock.add_argument("--set", metavar="TIME", help="ISO 8601")
    pace = _talking(words.add_parser("pace", help="set how fast new resources change state"))
    pace.add_argument("pace", help="instant, reads:N or seconds:S")
    pace.add_argument("--kind", help="only one kind, such as customization-job")
    faults = _talking(words.add_parser("faults", help="add, list or clear injected faults"))
    acts = faults.add_subparsers(dest="act", metavar="ACT")
    acts.add_parser("list", help="list the active faults")
    clear = acts.add_parser("clear", help="remove all faults, or one")
    clear.add_argument("id", nargs="?")
    add = acts.add_parser("add", help="add a fault")
    add.add_argument(
        "kind", help="throttle, internal, drop, slow, lost-answer, stuck, fail, ... (see the guide)"
    )
    add.add_argument(
        "--operation", default="*", help="operation or pattern, such as 'Get*' or 's3:PutObject'"
    )
    add.add_argument("--match", default="*", help="pattern over the name or id in the call")
    add.add_argument("--count", type=int, help="number of matching calls that fail")
    add.add_argument("--skip", type=int, default=0, help="number of matching calls that pass first")
    add.add_argument("--rate", type=float, default=1.0, help="share of matching calls that fail, 0 to 1")
    add.add_argument("--seconds", type=float, default=0.0, help="for slow and clock-jump")
    add.add_argument("--after", type=float, default=0.0, help="seconds from now until the fault starts")
    add.add_argument("--until", type=float, help="seconds from now until the fault ends")
    add.add_argument("--message", help="text of the error or failure")
    add.add_argument("--code", help="another error code")
    add.add_argument("--seed", type=int, default=0, help="seed of the random choice for --rate")


def _talking(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--url",
        default=os.environ.get(_URL_VARIABLE, f"http://127.0.0.1:{DEFAULT_PORT}"),
        help=f"of the running sandbox (default: ${_URL_VARIABLE} or %(default)s)",
    )
    parser.add_argument(
        "--ready-file",
        type=Path,
        help=f"ready file of the running sandbox, for its token (default: ${_TOKEN_VARIABLE}, or what start left)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what was asked; the exit status is 2 when it could not be done."""
    if args.word == "start":
        return _start(args)
    try:
        return _steer(args)
    except urllib.error.HTTPError as error:
        say(f"airflow-distill: {_error_text(error)}", err=True)
    except (_NoTokenError, ValueError) as error:
        say(f"airflow-distill: {error}", err=True)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        say(f"airflow-distill: no sandbox answers at {args.url} ({reason})", err=True)
    return 2


# --- start --------------------------------------------------------------------------------------------------------


def _start(args: argparse.Namespace) -> int:
    for needed in ("moto", "flask", "sklearn"):  # loaded on first use, which is after the sandbox says ready
        if importlib.util.find_spec(needed) is None:
            raise ModuleNotFoundError(f"No module named {needed!r}", name=needed)
    from airflow_distill.sandbox.failures import SandboxUsageError
    from airflow_distill.sandbox.server import Sandbox

    try:
        sandbox = Sandbox(
            args.port,
            args.pace,
            args.state,
            args.traffic,
            log_delay=args.log_delay,
            models=args.models,
            warm_up=True,
            quotas={name: float(value) for name, value in map(_setting, args.quota)},
            options={name: _option(value) for name, value in map(_setting, args.option)},
        )
    except (SandboxUsageError, ValueError) as error:
        say(f"airflow-distill: {error}", err=True)
        return 2
    except OSError as error:
        say(f"airflow-distill: cannot listen on 127.0.0.1:{args.port}: {error.strerror}", err=True)
        return 2
    ended = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    own = token_file(sandbox.endpoint_url)
    with contextlib.ExitStack() as ending:
        try:
            ending.enter_context(sandbox)
        except SandboxUsageError as error:
            say(f"airflow-distill: {error}", err=True)
            return 2
        for path in filter(None, (args.ready_file, own)):
            _write_ready_file(path, sandbox, must=path is args.ready_file)
        if not args.quiet:
            _introduce(sandbox)
        while not ended.wait(1.0):
            pass
    for path in filter(None, (args.ready_file, own)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return 0


def token_file(url: str) -> Path | None:
    """Return where `start` leaves the token of the sandbox at a URL for other commands of its user."""
    port = urllib.parse.urlsplit(url).port
    base = os.environ.get("XDG_STATE_HOME")
    try:
        folder = Path(base) if base else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return folder / "airflow-distill" / f"sandbox-{port}.json"


def _setting(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"expected NAME=VALUE, not {text!r}")
    return name, value


def _option(value: str) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value)


def _write_ready_file(path: Path, sandbox: Sandbox, *, must: bool) -> None:
    """Whole or not at all, and for its user alone: it holds the token.

    :param must: whether a folder that cannot be written is an error.
    """
    body = json.dumps(
        {
            "endpoint_url": sandbox.endpoint_url,
            "port": sandbox.port,
            "pid": os.getpid(),
            "admin_url": sandbox.admin_url,
            "token": sandbox.admin_token,
        }
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w") as file:
            file.write(body + "\n")
        os.replace(temporary, path)
    except OSError:
        if must:
            raise


def _introduce(sandbox: Sandbox) -> None:
    say(f"Local Bedrock, S3, IAM, STS, SSM and KMS: {sandbox.endpoint_url}")
    say(f"Admin interface: {sandbox.admin_url}/status (airflow-distill sandbox status)")
    say("", "For a shell (boto3, AWS CLI, Airflow), paste:", "")
    for name, value in sandbox.environment().items():
        say(f"export {name}='{value}'")
    say(f"export {_URL_VARIABLE}='{sandbox.endpoint_url}'")
    say(f"export {_TOKEN_VARIABLE}='{sandbox.admin_token}'")
    say("", "End with Ctrl-C.")
    sys.stdout.flush()


# --- all other words ----------------------------------------------------------------------------------------------


def _steer(args: argparse.Namespace) -> int:
    if args.word == "meter":
        bill = _ask(args, "GET", "meter")
        if args.json:
            _show(bill)
        else:
            _show_bill(bill)
        return 0
    if args.word == "faults":
        return _faults(args)
    if args.word == "clock":
        moves = {
            name: value for name, value in (("advance", args.advance), ("set", args.set)) if value is not None
        }
        _show(_ask(args, "POST", "clock", moves) if moves else _ask(args, "GET", "clock"))
    elif args.word == "pace":
        body = {"pace": args.pace} | ({"kind": args.kind} if args.kind else {})
        _show(_ask(args, "POST", "pace", body))
    elif args.word == "status":
        _show(_ask(args, "GET", "status"))
    else:
        _show(_ask(args, "POST", args.word, {}))
    return 0


def _faults(args: argparse.Namespace) -> int:
    if args.act == "add":
        names = ("kind", "operation", "match", "count", "skip", "rate", "seconds", "after", "until", "message",
                 "code", "seed")  # fmt: skip
        body = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
        _show(_ask(args, "POST", "faults", body))
    elif args.act == "clear":
        _show(_ask(args, "DELETE", "faults", {"id": args.id} if args.id else {}))
    else:
        _show(_ask(args, "GET", "faults"))
    return 0


class _NoTokenError(Exception):
    """No token for the sandbox could be found."""


def _token(args: argparse.Namespace) -> str:
    given = os.environ.get(_TOKEN_VARIABLE)
    if given and args.ready_file is None:
        return given
    path = args.ready_file or token_file(args.url)
    if path is None or not path.is_file():
        # Nobody may answer there at all, which is the better thing to say.
        with urllib.request.urlopen(f"{args.url.rstrip('/')}/_sandbox/health", timeout=10):
            pass
        raise _NoTokenError(f"no token for {args.url}; set {_TOKEN_VARIABLE} or give --ready-file")
    return str(json.loads(path.read_text())["token"])


def _ask(args: argparse.Namespace, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"{args.url.rstrip('/')}/_sandbox/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-Sandbox-Token": _token(args)},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _error_text(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the sandbox answered {error.code}"


def _show(value: Any) -> None:
    say_json(value, indent=1)


def _show_bill(bill: dict[str, Any]) -> None:
    for line in bill["lines"]:
        what = f"{line['service']} {line['model']}" + (f" ({line['purpose']})" if line["purpose"] else "")
        say(f"{line['amount']:>14.6f}  {what}: {line['quantity']:,.2f} {line['unit']}")
    say(
        f"{bill['total']:>14.6f}  {bill['currency']} in all; {len(bill['billing_now'])} things still bill by the hour"
    )
