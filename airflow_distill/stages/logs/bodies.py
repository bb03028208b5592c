"""Bodies that did not come inline: stored beside the log as an object, or logged as a JSON text inside the JSON.

Imports the record shapes and a gzip decoder; opens nothing. Bytes or text in, a typed body out, or `Unusable`. A logged
text that is no JSON is the prompt, or the answer, itself.
"""

from __future__ import annotations

import io
import json
import zlib
from typing import Any, NoReturn

import msgspec
from isal import igzip, isal_zlib

from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.shapes import (
    AnyOutput,
    Events,
    InputBody,
    OutputBody,
    convert_input,
    convert_output,
    decode_input,
    decode_output,
)
from airflow_distill.stages.logs.unusable import Unusable

GZIP_MAGIC = b"\x1f\x8b"
LONGEST_BODY = 32 << 20
"""Bytes of a body; the service takes 25 MB in a call."""
LONGEST_STORED_BODY = 8 << 20
"""Bytes of a body's object as it is stored, so that the bodies that are fetched at once fit into memory."""


def decode_input_body(data: bytes | str) -> InputBody:
    """Return the request body that an object or an inner JSON text holds.

    :raises Unusable: it is not JSON, or not a request body.
    """
    try:
        return decode_input(_plain(data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    body = _convert(convert_input, _decode_slowly(data), SkipReason.UNKNOWN_INPUT)
    if isinstance(body, str) and isinstance(data, str):
        return InputBody(prompt=body)
    if not isinstance(body, InputBody):
        raise Unusable(SkipReason.UNKNOWN_INPUT)
    return body


def decode_output_body(data: bytes | str) -> OutputBody | Events:
    """Return the response body that an object or an inner JSON text holds.

    :raises Unusable: it is not JSON, or not a response body.
    """
    try:
        return decode_output(_plain(data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    body: AnyOutput = _convert(convert_output, _decode_slowly(data), SkipReason.UNKNOWN_OUTPUT)
    if isinstance(body, OutputBody | list):
        return body
    if isinstance(body, str) and isinstance(data, str):
        return OutputBody(text=body)
    raise Unusable(SkipReason.UNKNOWN_OUTPUT)


def _plain(data: bytes | str) -> bytes | str:
    """Return the bytes unpacked when they are gzip, whatever the object was called."""
    if isinstance(data, bytes) and len(data) > LONGEST_STORED_BODY:
        raise Unusable(SkipReason.BODY_TOO_LONG)
    if isinstance(data, bytes) and data.startswith(GZIP_MAGIC):
        try:
            with igzip.GzipFile(fileobj=io.BytesIO(data)) as stream:  # type: ignore[no-untyped-call]
                data = bytes(stream.read(LONGEST_BODY + 1))
        except (isal_zlib.IsalError, zlib.error, EOFError, OSError):  # type: ignore[misc]
            raise Unusable(SkipReason.BODY_UNREADABLE) from None
    if len(data) > LONGEST_BODY:
        raise Unusable(SkipReason.BODY_TOO_LONG)
    return data


def _decode_slowly(data: bytes | str) -> Any:
    plain = _plain(data)
    try:
        text = plain if isinstance(plain, str) else plain.decode("utf-8-sig")
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        if isinstance(plain, str) and not plain.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"')):
            return plain
        raise Unusable(SkipReason.BODY_UNREADABLE) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _convert(convert: Any, value: Any, reason: SkipReason) -> Any:
    try:
        body = convert(value)
        msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise Unusable(SkipReason.BAD_TEXT) from None
    except (ValueError, OverflowError, RecursionError):
        raise Unusable(reason) from None
    return body
