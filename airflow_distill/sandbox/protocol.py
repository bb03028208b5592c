"""The wire: routes, request parsing and checking, answers and event streams, all read from the SDK's service model.

Takes a raw HTTP request, hands on an operation name with typed parameters, and turns results and errors back into
bytes. Knows nothing of what an operation does. Only rest-json is spoken, because Bedrock speaks nothing else.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.utils import parse_timestamp

from airflow_distill.sandbox.failures import ServiceError

SERVICES = ("bedrock", "bedrock-runtime")

# Values the service takes although its own model does not list them, by shape name (AWS samples send them).
UNLISTED_ENUM_VALUES: Mapping[str, frozenset[str]] = {"EvaluationTaskType": frozenset({"General"})}

# Parts of the model's patterns that a backtracking matcher can be stuck in for ever, and equal forms without that fault.
_EQUAL_PARTS = (
    (r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}", r"[a-zA-Z0-9][a-zA-Z0-9\+\-\.]*"),
    (r"[a-zA-Z0-9](-*[a-zA-Z0-9\+\-\.])*", r"[a-zA-Z0-9][a-zA-Z0-9\+\-\.]*"),
    (r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}", r"[a-zA-Z0-9]+(-+[a-zA-Z0-9]+)*"),
)

_SHOWN_VALUE = 120


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request as it arrived; `raw_path` is still percent-encoded."""

    method: str
    raw_path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class WireReply:
    """One HTTP answer, ready to send."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """An operation of the model with the pattern of its path."""

    service: str
    name: str
    method: str
    pattern: re.Pattern[str]
    model: OperationModel


class Wire:
    """Both Bedrock services, loaded once."""

    def __init__(self) -> None:
        loader = Loader()
        self.models = {
            service: ServiceModel(loader.load_service_model(service, "service-2"), service)
            for service in SERVICES
        }
        self._routes: dict[str, list[Route]] = {}
        for service, model in self.models.items():
            for name in model.operation_names:
                route = _route(service, model.operation_model(name))
                self._routes.setdefault(route.method, []).append(route)

    def match(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        """The operation behind a method and path, with the values found in the path."""
        for route in self._routes.get(method, ()):
            found = route.pattern.fullmatch(raw_path)
            if found:
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
        return None

    def routes(self) -> Iterator[Route]:
        """Every operation of both models."""
        for routes in self._routes.values():
            yield from routes


def _route(service: str, operation: OperationModel) -> Route:
    uri = operation.http["requestUri"].split("?")[0].rstrip("/") or "/"
    pattern = re.sub(
        r"\\\{(\w+)(\\\+)?\\\}",
        lambda m: f"(?P<{m.group(1)}>{'.+' if m.group(2) else '[^/]+'})",
        re.escape(uri),
    )
    return Route(service, operation.name, operation.http["method"], re.compile(pattern + "/?"), operation)


# --- requests -----------------------------------------------------------------------------------------------------


def parse_request(route: Route, path_values: Mapping[str, str], request: WireRequest) -> dict[str, Any]:
    """Typed parameters of a request; a `ServiceError` when they break the model."""
    shape = route.model.input_shape
    if shape is None:
        return {}
    assert isinstance(shape, StructureShape)
    query: dict[str, list[str]] = {}
    for key, value in parse_qsl(request.query, keep_blank_values=True):
        query.setdefault(key, []).append(value)
    headers = {name.lower(): value for name, value in request.headers.items()}
    payload = shape.serialization.get("payload")
    parameters: dict[str, Any] = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        wire_name = member.serialization.get("name", name)
        if location == "uri":
            if wire_name in path_values:
                parameters[name] = _from_text(member, path_values[wire_name])
        elif location == "querystring":
            if wire_name in query:
                values = query[wire_name]
                parameters[name] = (
                    [_from_text(member.member, value) for value in values]
                    if isinstance(member, ListShape)
                    else _from_text(member, values[-1])
                )
        elif location == "header":
            if wire_name.lower() in headers:
                parameters[name] = _from_text(member, headers[wire_name.lower()])
        elif payload == name:
            if member.type_name == "blob":
                parameters[name] = request.body
            elif request.body:
                parameters[name] = _from_json(member, _load_json(request.body), name)
    if payload is None and request.body:
        document = _load_json(request.body)
        if not isinstance(document, dict):
            raise _serialization("Start of structure or map expected")
        for name, member in shape.members.items():
            if "location" in member.serialization:
                continue
            wire_name = member.serialization.get("name", name)
            if document.get(wire_name) is not None:
                parameters[name] = _from_json(member, document[wire_name], name)
    _check(shape, parameters)
    return parameters


def _load_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _serialization("The request body is not valid JSON") from None


def _serialization(message: str) -> ServiceError:
    return ServiceError("SerializationException", message, 400)


def _from_text(shape: Shape, text: str) -> Any:
    match shape.type_name:
        case "integer" | "long":
            try:
                return int(text)
            except ValueError:
                raise _serialization(f"{text[:_SHOWN_VALUE]!r} is not an integer") from None
        case "float" | "double":
            try:
                return float(text)
            except ValueError:
                raise _serialization(f"{text[:_SHOWN_VALUE]!r} is not a number") from None
        case "boolean":
            if text not in ("true", "false"):
                raise _serialization(f"{text[:_SHOWN_VALUE]!r} is not a boolean")
            return text == "true"
        case "timestamp":
            return _timestamp(text)
        case _:
            return text


def _timestamp(value: Any) -> datetime:
    try:
        parsed: datetime = parse_timestamp(value)
    except (ValueError, TypeError, OverflowError):
        raise _serialization(f"{str(value)[:_SHOWN_VALUE]!r} is not a timestamp") from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _from_json(shape: Shape, value: Any, where: str) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise _serialization(f"Start of structure or map expected at '{where}'")
        parsed = {}
        for name, member in shape.members.items():
            wire_name = member.serialization.get("name", name)
            if value.get(wire_name) is not None:
                parsed[name] = _from_json(member, value[wire_name], f"{where}.{name}")
        return parsed
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise _serialization(f"Start of list expected at '{where}'")
        return [_from_json(shape.member, item, f"{where}.{index}") for index, item in enumerate(value, 1)]
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise _serialization(f"Start of structure or map expected at '{where}'")
        return {key: _from_json(shape.value, item, f"{where}.{key}") for key, item in value.items()}
    match shape.type_name:
        case "string":
            if not isinstance(value, str):
                raise _serialization(f"Expected a string at '{where}'")
            return value
        case "integer" | "long":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
                raise _serialization(f"Expected an integer at '{where}'")
            return int(value)
        case "float" | "double":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise _serialization(f"Expected a number at '{where}'")
            return float(value)
        case "boolean":
            if not isinstance(value, bool):
                raise _serialization(f"Expected a boolean at '{where}'")
            return value
        case "timestamp":
            return _timestamp(value)
        case "blob":
            try:
                return base64.b64decode(value, validate=True)
            except (ValueError, TypeError, binascii.Error):
                raise _serialization(f"Expected base64 at '{where}'") from None
        case _:
            return value


def _check(shape: StructureShape, parameters: dict[str, Any]) -> None:
    complaints = list(_complaints(shape, parameters, ""))
    if complaints:
        count = len(complaints)
        raise ServiceError(
            "ValidationException",
            f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(complaints[:10])}",
            400,
        )


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    for part, equal in _EQUAL_PARTS:
        pattern = pattern.replace(part, equal)
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _complaint(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{str(value)[:_SHOWN_VALUE]}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _complaints(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    if isinstance(shape, StructureShape):
        yield from _structure_complaints(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _size_complaints(shape, len(value), "list", path)
        for index, item in enumerate(value, 1):
            yield from _complaints(shape.member, item, f"{path}.{index}.member")
    elif isinstance(shape, MapShape):
        yield from _size_complaints(shape, len(value), "map", path)
        for key, item in value.items():
            yield from _complaints(shape.key, key, f"{path}.{key}.key")
            yield from _complaints(shape.value, item, f"{path}.{key}.value")
    elif shape.type_name == "string":
        yield from _string_complaints(shape, value, path)
    elif shape.type_name == "blob":
        yield from _size_complaints(shape, len(value), "blob", path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        if "min" in shape.metadata and value < shape.metadata["min"]:
            yield _complaint(
                value, path, f"Member must have value greater than or equal to {shape.metadata['min']}"
            )
        if "max" in shape.metadata and value > shape.metadata["max"]:
            yield _complaint(
                value, path, f"Member must have value less than or equal to {shape.metadata['max']}"
            )


def _structure_complaints(shape: StructureShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in shape.metadata.get("required", ()):
        if value.get(name) is None:
            yield _complaint(None, prefix + name, "Member must not be null")
    if shape.metadata.get("union") and len(value) != 1:
        names = ", ".join(shape.members)
        yield _complaint(None, path, f"Exactly one member of [{names}] must be set")
    for name, item in value.items():
        yield from _complaints(shape.members[name], item, prefix + name)


def _string_complaints(shape: Shape, value: str, path: str) -> Iterator[str]:
    metadata = shape.metadata
    if "min" in metadata and len(value) < metadata["min"]:
        yield _complaint(value, path, f"Member must have length greater than or equal to {metadata['min']}")
    if "max" in metadata and len(value) > metadata["max"]:
        yield _complaint(value, path, f"Member must have length less than or equal to {metadata['max']}")
        return
    if "enum" in metadata and value not in metadata["enum"]:
        if value not in UNLISTED_ENUM_VALUES.get(shape.name, frozenset()):
            yield _complaint(
                value, path, f"Member must satisfy enum value set: [{', '.join(metadata['enum'])}]"
            )
    elif "pattern" in metadata:
        compiled = _compiled(metadata["pattern"])
        if compiled is not None and not compiled.fullmatch(value):
            yield _complaint(
                value, path, f"Member must satisfy regular expression pattern: {metadata['pattern']}"
            )


def _size_complaints(shape: Shape, size: int, kind: str, path: str) -> Iterator[str]:
    if "min" in shape.metadata and size < shape.metadata["min"]:
        yield _complaint(
            f"({kind} of {size})",
            path,
            f"Member must have length greater than or equal to {shape.metadata['min']}",
        )
    if "max" in shape.metadata and size > shape.metadata["max"]:
        yield _complaint(
            f"({kind} of {size})",
            path,
            f"Member must have length less than or equal to {shape.metadata['max']}",
        )


# --- answers ------------------------------------------------------------------------------------------------------


def render_result(route: Route, result: Mapping[str, Any]) -> WireReply:
    """The answer of an operation; members the model does not know are left out."""
    shape = route.model.output_shape
    status = int(route.model.http.get("responseCode", 200))
    if shape is None:
        return WireReply(status, (("Content-Type", "application/json"),), b"{}")
    assert isinstance(shape, StructureShape)
    payload = shape.serialization.get("payload")
    headers: list[tuple[str, str]] = []
    document: dict[str, Any] = {}
    body: bytes | None = None
    content_type = "application/json"
    for name, member in shape.members.items():
        value = result.get(name)
        if value is None:
            continue
        if member.serialization.get("location") == "header":
            if member.serialization["name"].lower() == "content-type":
                content_type = str(value)
            else:
                headers.append((member.serialization["name"], str(value)))
        elif member.serialization.get("eventstream") or getattr(member, "metadata", {}).get("eventstream"):
            assert isinstance(member, StructureShape)
            body = b"".join(encode_event(member, event) for event in value)
            content_type = "application/vnd.amazon.eventstream"
        elif payload == name:
            body = value if isinstance(value, bytes) else _dump_json(_to_json(member, value))
        else:
            document[member.serialization.get("name", name)] = _to_json(member, value)
    if body is None:
        body = _dump_json(document)
    elif content_type == "application/vnd.amazon.eventstream":
        headers = [(name, value) for name, value in headers if name.lower() != "content-type"]
    return WireReply(status, (("Content-Type", content_type), *headers), body)


def render_error(error: ServiceError) -> WireReply:
    """An error in the form the SDK reads: the code in a header, the message in the body."""
    return WireReply(
        error.status,
        (("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code)),
        _dump_json({"message": error.message, **error.members}),
    )


def iso_time(moment: datetime) -> str:
    """A time in the service's spelling, with milliseconds."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _dump_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _to_json(shape: Shape, value: Any) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if isinstance(shape, StructureShape):
        return {
            member.serialization.get("name", name): _to_json(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [_to_json(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: _to_json(shape.value, item) for key, item in value.items()}
    if isinstance(value, datetime):
        return iso_time(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


# --- event streams ------------------------------------------------------------------------------------------------


def encode_event(stream: StructureShape, event: Mapping[str, Any]) -> bytes:
    """One event (`{name: members}`) as a frame of `application/vnd.amazon.eventstream`."""
    ((name, members),) = event.items()
    shape = stream.members[name]
    assert isinstance(shape, StructureShape)
    if shape.metadata.get("exception"):
        headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    else:
        headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, _dump_json(_to_json(shape, members)))


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Headers and payload with lengths and checksums around them."""
    encoded = b"".join(_encode_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 12 + len(encoded) + len(payload) + 4, len(encoded))
    start = prelude + struct.pack("!I", binascii.crc32(prelude)) + encoded + payload
    return start + struct.pack("!I", binascii.crc32(start))


def _encode_header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + b"\x07" + struct.pack("!H", len(text)) + text


def pieces(text: str, size: int = 24) -> Iterable[str]:
    """A text cut as a streaming model would send it; joined again it is the same text."""
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]
