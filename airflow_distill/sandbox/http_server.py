"""A threaded HTTP/1.1 server with kept-alive connections, one thread a connection.

It reads a whole request, asks one function for the whole answer and sends it. It can also hang up in the middle,
which is what faults need. (werkzeug's own server closes the connection after every answer.)
"""

from __future__ import annotations

import io
import re
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from airflow_distill.sandbox import moto_door
from airflow_distill.sandbox.guard import is_steering
from airflow_distill.sandbox.protocol import WireReply, WireRequest

_IDLE_SECONDS = 300
_BODY_LIMIT = 1 << 31
_STEERING_LIMIT = 64 << 20
_LENGTH = re.compile(r"[0-9]{1,10}")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")


class HangUp(Exception):
    """The connection shall be dropped without an answer."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a handler may need besides the request: how to build a WSGI environment for moto."""

    environ: Callable[[], dict[str, Any]]


Respond = Callable[[WireRequest, Connection], WireReply]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = _IDLE_SECONDS
    server: _Server

    def handle_one_request(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(65_537)
        except (TimeoutError, ConnectionError):
            self.close_connection = True
            return
        if not self.raw_requestline or len(self.raw_requestline) > 65_536 or not self.parse_request():
            self.close_connection = True
            return
        try:
            self._answer()
            self.wfile.flush()
        except (HangUp, ConnectionError, TimeoutError):
            self._hang_up()

    def handle_expect_100(self) -> bool:
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _answer(self) -> None:
        body = self._read_body()
        if body is None:
            self.close_connection = True
            self.send_error(400, "Bad body")
            return
        raw_path, _, query = self.path.partition("?")
        request = WireRequest(self.command, raw_path, query, dict(self.headers.items()), body)
        try:
            reply = self.server.respond(request, Connection(lambda: self._environ(request)))
        except HangUp:
            raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            reply = WireReply(
                500, (("Content-Type", "application/json"),), b'{"message":"The sandbox has failed."}'
            )
        self._send(reply)

    def _most_bytes(self) -> int:
        """Return how long a body may be: steering takes little, and who may steer is asked only after it was read."""
        return _STEERING_LIMIT if is_steering(self.path.partition("?")[0]) else _BODY_LIMIT

    def _read_body(self) -> bytes | None:
        if "Transfer-Encoding" in self.headers:
            coded = (self.headers.get("Transfer-Encoding") or "").strip().lower() == "chunked"
            if not coded or "Content-Length" in self.headers:
                return None
            return self._read_chunks()
        lengths = self.headers.get_all("Content-Length") or []
        if not lengths:
            return b""
        if (
            len(lengths) > 1
            or not _LENGTH.fullmatch(lengths[0].strip())
            or int(lengths[0]) > self._most_bytes()
        ):
            return None
        return self._read_exactly(int(lengths[0]))

    def _read_exactly(self, length: int) -> bytes:
        """Read in pieces, so that a length that was only claimed takes no memory."""
        parts: list[bytes] = []
        while length > 0:
            part = self.rfile.read(min(length, 1 << 20))
            if not part:
                raise HangUp
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _read_chunks(self) -> bytes | None:
        parts: list[bytes] = []
        total = 0
        while True:
            line = self.rfile.readline(1024).split(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(line):
                return None
            size = int(line, 16)
            total += size
            if total > self._most_bytes():
                return None
            if size == 0:
                while self.rfile.readline(65_536).strip():
                    pass
                return b"".join(parts)
            parts.append(self._read_exactly(size))
            self.rfile.readline(16)

    def _send(self, reply: WireReply) -> None:
        head = self.command == "HEAD"
        self.send_response_only(reply.status)
        self.send_header("Date", self.date_time_string())
        named = set()
        for name, value in reply.headers:
            lowered = name.lower()
            if lowered in ("connection", "transfer-encoding") or (lowered == "content-length" and not head):
                continue
            named.add(lowered)
            self.send_header(name, value)
        if "content-length" not in named and not (reply.status == 204 or reply.status < 200):
            self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not head and reply.body:
            self.wfile.write(reply.body)

    def _environ(self, request: WireRequest) -> dict[str, Any]:
        """The WSGI environment of a request, with S3 metadata names kept as they were spelt."""
        names = moto_door.request_names()
        environ: dict[str, Any] = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "SERVER_SOFTWARE": "airflow-distill-sandbox",
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(request.raw_path, "latin-1"),
            "QUERY_STRING": request.query,
            "REQUEST_URI": self.path,
            "RAW_URI": self.path,
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_PORT": self.client_address[1],
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
        }
        spelt: dict[str, str] = {}
        for name, value in self.headers.items():
            if name.lower() == "transfer-encoding":
                continue
            key = names.environ_key_for_header(name)
            if names.should_preserve_original_header_name(name):
                spelt.setdefault(key, name)
            elif "_" in name:
                continue
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        environ[names.PRESERVED_HEADER_NAMES_ENVIRON_KEY] = spelt
        environ["CONTENT_TYPE"] = self.headers.get("Content-Type", "")
        environ["CONTENT_LENGTH"] = str(len(request.body))
        environ.pop("HTTP_CONTENT_TYPE", None)
        environ.pop("HTTP_CONTENT_LENGTH", None)
        return environ

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are counted by the meter, not printed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], respond: Respond) -> None:
        self.respond = respond
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer looks the host name up here, which can take seconds without a name server.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class HttpServer:
    """The server with its thread."""

    def __init__(self, respond: Respond, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), respond)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def start(self) -> None:
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="sandbox-http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join(5)
