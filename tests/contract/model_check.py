"""Whether an answer is what the SDK's service model promises. Knows nothing of the sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

SEEN_ABSENT = frozenset({"GetModelCustomizationJob.validationDataConfig"})
"""Members that the model requires and that recorded answers of the service lack."""

SEEN_BESIDE_ENUMS = ("General", "VIDEO")
"""Words that enums lack: every AWS sample sends `General`; recorded lists of models name the modality `VIDEO`."""


@cache
def service(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def operation(name: str) -> tuple[str, OperationModel]:
    """The service that has an operation, and its model."""
    for owner in ("bedrock", "bedrock-runtime"):
        if name in service(owner).operation_names:
            return owner, service(owner).operation_model(name)
    raise KeyError(name)


def answer_problems(model: OperationModel, answer: dict[str, Any]) -> list[str]:
    """Everything in an answer that breaks the model."""
    shape = model.output_shape
    if shape is None:
        return []
    members = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    return list(_problems(shape, members, model.name))


def unknown_members(model: OperationModel, document: Any) -> list[str]:
    """Members on the wire that the model does not have (the SDK drops them in silence)."""
    return list(_unknown(model.output_shape, document, model.name)) if model.output_shape else []


def error_codes(model: OperationModel) -> dict[str, int]:
    """Code to HTTP status of the errors an operation may answer with."""
    return {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in model.error_shapes}


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    if shape.metadata.get("eventstream") or shape.serialization.get("eventstream"):
        return
    if isinstance(shape, StructureShape):
        for name in shape.metadata.get("required", ()):
            if name not in value and f"{path}.{name}" not in SEEN_ABSENT:
                yield f"{path}.{name} is missing"
        if shape.metadata.get("union") and len([n for n in value if n in shape.members]) != 1:
            yield f"{path} must have exactly one member"
        for name, item in value.items():
            if name in shape.members:
                yield from _problems(shape.members[name], item, f"{path}.{name}")
            elif name != "SDK_UNKNOWN_MEMBER":
                yield f"{path}.{name} is not in the model"
    elif isinstance(shape, ListShape):
        yield from _size(shape, len(value), path)
        for number, item in enumerate(value):
            yield from _problems(shape.member, item, f"{path}[{number}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path} key")
            yield from _problems(shape.value, item, f"{path}.{key}")
    elif shape.type_name == "string":
        yield from _string(shape, value, path)
    elif shape.type_name == "timestamp":
        if not isinstance(value, datetime):
            yield f"{path} is not a time"
    elif shape.type_name in ("integer", "long", "float", "double"):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if (low is not None and value < low) or (high is not None and value > high):
            yield f"{path} = {value} is out of range"
    elif shape.type_name == "boolean" and not isinstance(value, bool):
        yield f"{path} is not a boolean"


def _string(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path} is not a string"
        return
    yield from _size(shape, len(value), path)
    if "enum" in shape.metadata and value not in (*shape.metadata["enum"], *SEEN_BESIDE_ENUMS):
        yield f"{path} = {value!r} is not in the enum"
    pattern = shape.metadata.get("pattern")
    if pattern and "\\p" not in pattern and not re.fullmatch(pattern, value):
        yield f"{path} = {value!r} does not match {pattern}"


def _size(shape: Shape, size: int, path: str) -> Iterator[str]:
    if size < shape.metadata.get("min", 0) or size > shape.metadata.get("max", size):
        yield f"{path} has the size {size}, out of {shape.metadata}"


def _unknown(shape: Shape, document: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape) and isinstance(document, dict):
        names = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for name, item in document.items():
            if name in names:
                yield from _unknown(names[name], item, f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(shape, ListShape) and isinstance(document, list):
        for item in document:
            yield from _unknown(shape.member, item, path)
