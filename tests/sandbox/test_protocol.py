"""The wire: routes, patterns and event frames."""

from __future__ import annotations

import re
import time

import pytest
from botocore.eventstream import EventStreamBuffer

from airflow_distill.sandbox import protocol
from airflow_distill.sandbox.failures import ServiceError
from airflow_distill.sandbox.operations import HANDLERS, load_all
from airflow_distill.sandbox.protocol import Wire, WireRequest, parse_request

WIRE = Wire()


def used_patterns() -> list[str]:
    """Every pattern that a request to one of our operations can meet."""
    load_all()
    found: set[str] = set()

    def walk(shape: object, seen: tuple[str, ...] = ()) -> None:
        name = getattr(shape, "name", "")
        if name in seen:
            return
        pattern = getattr(shape, "metadata", {}).get("pattern")
        if pattern:
            found.add(pattern)
        for member in getattr(shape, "members", {}).values():
            walk(member, (*seen, name))
        for part in ("member", "key", "value"):
            if getattr(shape, "type_name", "") in ("list", "map") and hasattr(shape, part):
                walk(getattr(shape, part), (*seen, name))

    for route in WIRE.routes():
        if route.name in HANDLERS and route.model.input_shape is not None:
            walk(route.model.input_shape)
    return sorted(found)


@pytest.mark.parametrize("pattern", used_patterns())
def test_no_pattern_can_be_made_to_search_for_ever(pattern: str) -> None:
    compiled = protocol._compiled(pattern)
    assert compiled is not None
    began = time.perf_counter()
    for attack in ("a" + "-" * 61 + "_", "a" * 62 + "!", "a-" * 31 + "!", "a." * 31 + "!", "s3://a/" + "a/" * 500 + "!",
                   "arn:aws:bedrock:us-east-1:123456789012:custom-model/" + "a-" * 31 + "!"):  # fmt: skip
        compiled.fullmatch(attack)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("text", ["a", "a-b", "a--b", "a.b+c", "a-", "-a", "a_b", "", "a" * 63, "a--", "+a"])
def test_the_rewritten_job_name_pattern_means_the_same(text: str) -> None:
    original = r"[a-zA-Z0-9](-*[a-zA-Z0-9\+\-\.])*"
    rewritten = protocol._compiled(original)
    assert rewritten is not None
    assert bool(rewritten.fullmatch(text)) == bool(re.fullmatch(original, text))


def test_an_arn_with_slashes_is_one_encoded_segment() -> None:
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Acustom-model%2Famazon.nova-lite-v1%3A0%3A300k%2Fabcdefabcdef"
    found = WIRE.match("GET", f"/custom-models/{arn}")
    assert found is not None
    route, values = found
    assert route.name == "GetCustomModel"
    assert values["modelIdentifier"].endswith("custom-model/amazon.nova-lite-v1:0:300k/abcdefabcdef")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/evaluation-job/x/stop", "StopEvaluationJob"),
        ("POST", "/evaluation-jobs/batch-delete", "BatchDeleteEvaluationJob"),
        ("GET", "/provisioned-model-throughputs", "ListProvisionedModelThroughputs"),
        ("GET", "/provisioned-model-throughput/x", "GetProvisionedModelThroughput"),
        ("GET", "/model-invocation-jobs", "ListModelInvocationJobs"),
        ("POST", "/model/m/converse-stream", "ConverseStream"),
    ],
)
def test_singular_and_plural_paths_are_told_apart(method: str, path: str, name: str) -> None:
    found = WIRE.match(method, path)
    assert found is not None
    assert found[0].name == name


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b'{"jobName": 3}', b'{"jobTags": {}}', b"\xff", b"[" * 100_000]
)
def test_a_body_that_cannot_be_read_is_a_serialization_error(body: bytes) -> None:
    found = WIRE.match("POST", "/model-customization-jobs")
    assert found is not None
    with pytest.raises(ServiceError) as caught:
        parse_request(*found, WireRequest("POST", "/model-customization-jobs", body=body))
    assert caught.value.code == "SerializationException"
    assert caught.value.status == 400


def test_an_event_frame_is_read_by_the_sdk() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(protocol.frame({":event-type": "x", ":message-type": "event"}, b'{"a":1}'))
    (message,) = list(buffer)
    assert message.headers[":event-type"] == "x"
    assert message.payload == b'{"a":1}'
