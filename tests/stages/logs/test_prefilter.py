"""The prefilter lets every selected record through, however its text is escaped, and keeps most others out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.logs.metadata import MetadataFilter
from airflow_distill.stages.logs.parse import parse_line
from airflow_distill.stages.logs.prefilter import build_prefilter
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.logs.selection import Selection
from tests.stages.logs.log_records import MODEL, line_of, record

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
VALUES = ["support", "sup", "su", "a b\tc", "x/y/z", "abc/abc", "s3://a+b=c", "", "claims"]
KEYS = ["app", "team/x", "ab"]
MODELS = [MODEL, f"us.{MODEL}", ARN, "amazon.nova-lite-v1:0"]

conditions = st.builds(
    lambda member, key, value: {member: {key: value}},
    st.sampled_from(["equals", "notEquals"]),
    st.sampled_from(KEYS),
    st.sampled_from(VALUES),
)
filters = st.one_of(
    conditions,
    st.builds(
        lambda member, items: {member: items},
        st.sampled_from(["andAll", "orAll"]),
        st.lists(conditions, min_size=1, max_size=3),
    ),
)
selections = st.builds(
    lambda model, metadata, identity, mapping: Selection(
        model=model,
        metadata=MetadataFilter.from_json(metadata) if metadata else None,
        identity=identity,
        mapping={ARN: MODEL} if mapping else {},
    ),
    st.sampled_from(["", MODEL, f"us.{MODEL}", ARN]),
    st.none() | filters,
    st.sampled_from(["", "*role/desk/*", "*", "arn:aws:iam::*:user/ann", "*[rs]ole*"]),
    st.booleans(),
)
logged = st.builds(
    lambda model, metadata, arn, prompt: record(
        prompt or "x", modelId=model, requestMetadata=metadata, identity={"arn": arn}
    ),
    st.sampled_from(MODELS),
    st.none() | st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.sampled_from(["arn:aws:sts::1:assumed-role/desk/i", "arn:aws:iam::1:user/ann", ""]),
    st.sampled_from(["hello", "support and claims", MODEL, 'é \\ " \n', "\\u0073upport"]),
)


@st.composite
def written(draw: st.DrawFn, data: Any) -> bytes:
    """Write a record as JSON with some characters of its strings escaped, as one of many encoders might."""
    compact = draw(st.booleans())
    if draw(st.booleans()):
        data = dict(draw(st.permutations(list(data.items()))))
    text = json.dumps(data, ensure_ascii=draw(st.booleans()), separators=(",", ":") if compact else None)
    share = draw(st.sampled_from([0, 0, 2, 5, 40]))
    if not share:
        return text.encode()
    upper = draw(st.booleans())
    out, inside, skip = [], False, 0
    for at, character in enumerate(text):
        if skip:
            skip -= 1
        elif character == "\\":
            skip = 5 if text[at + 1] == "u" else 1
        elif character == '"':
            inside = not inside
        elif inside and character < "\x7f" and hash((at * 2654435761) % 97) % 40 < share:
            code = f"{ord(character):04x}"
            out.append(f"\\u{code.upper() if upper else code}" if character != "/" else "\\/")
            continue
        out.append(character)
    return "".join(out).encode()


@settings(max_examples=600, deadline=None)
@given(selection=selections, data=st.data())
def test_it_never_loses_a_record(selection: Selection, data: st.DataObject) -> None:
    lines = [data.draw(written(data.draw(logged))) for _ in range(data.draw(st.integers(1, 6)))]
    prefilter = build_prefilter(selection)
    selected = {at for at, line in enumerate(lines) if isinstance(parse_line(line, selection), Interaction)}
    if prefilter.is_open:
        return
    assert all(prefilter.may_match(lines[at]) for at in selected)
    block = b"\n".join(lines) + b"\n"
    for variant in (prefilter, prefilter.tuned(block, len(block))):
        spans, counted = variant.spans(block, len(block))
        assert counted == len(lines)
        assert [block[start:stop] for start, stop in spans] == [
            line for line in lines if prefilter.may_match(line)
        ]


def test_other_traffic_is_kept_out() -> None:
    selection = Selection(model=MODEL, metadata=MetadataFilter.equals("app", "support"))
    prefilter = build_prefilter(selection)
    assert prefilter.may_match(line_of(record()))
    assert not prefilter.may_match(line_of(record(modelId="amazon.nova-lite-v1:0")))
    assert not prefilter.may_match(line_of(record(requestMetadata={"app": "claims"})))


@pytest.mark.parametrize("hidden", [rb"\u0073upport", rb"suppor\u0074", rb"s\u0075pport"])
def test_an_escaped_value_is_let_through(hidden: bytes) -> None:
    line = line_of(record()).replace(b"support", hidden)
    selection = Selection(metadata=MetadataFilter.equals("app", "support"))
    assert build_prefilter(selection).may_match(line)
    assert isinstance(parse_line(line, selection), Interaction)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(operations=("Converse",)),
        Selection(metadata=MetadataFilter.equals("a", "s")),
        Selection(metadata=MetadataFilter.equals("a", "//")),
        Selection(identity="*"),
        Selection(metadata=MetadataFilter.from_json({"orAll": [{"equals": {"a": ""}}, {"equals": {"app": "support"}}]})),
    ],
)  # fmt: skip
def test_it_is_open_when_no_text_is_sure_to_be_there(selection: Selection) -> None:
    assert build_prefilter(selection).is_open


@pytest.mark.parametrize("late", [False, True], ids=["before the bodies", "after the bodies"])
@pytest.mark.parametrize(
    "value",
    ["support}", "a}b", "}", "{", 'x"}', "\\}", "claims", 'support"'],
    ids=lambda value: f"value {value}",
)
def test_what_a_stranger_writes_into_a_body_hides_no_record(value: str, late: bool) -> None:
    """Tools take any JSON: a body may hold a field of the record's name, before the record's own or after it."""
    metadata = {"note": value, "app": "support"}
    body = {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "requestMetadata": {"app": "x"},
        "modelId": "x",
    }
    data = record(requestMetadata=metadata, input={"inputBodyJson": body})
    keys = [key for key in data if key not in ("requestMetadata", "modelId")]
    own = ["requestMetadata", "modelId"]
    data = {key: data[key] for key in ([*keys, *own] if late else [*own, *keys])}
    line = json.dumps(data, separators=(",", ":")).encode()
    selection = Selection(model=MODEL, metadata=MetadataFilter.equals("app", "support"))
    assert isinstance(parse_line(line, selection), Interaction)
    assert build_prefilter(selection).may_match(line)


def test_needed_text_in_a_prompt_lets_no_other_traffic_through() -> None:
    selection = Selection(model=MODEL, metadata=MetadataFilter.equals("app", "support"))
    other = record(
        f'"support" of {MODEL}"', requestMetadata={"app": "claims"}, modelId="amazon.nova-lite-v1:0"
    )
    line = json.dumps(other, separators=(",", ":"), ensure_ascii=False).encode()
    assert not build_prefilter(selection).may_match(line)


def test_the_first_block_decides_the_order_and_nothing_else() -> None:
    selection = Selection(model=MODEL, metadata=MetadataFilter.equals("app", "support"))
    prefilter = build_prefilter(selection)
    rare_model = [record(modelId="amazon.nova-lite-v1:0") for _ in range(9)] + [record()]
    rare_metadata = [record(requestMetadata={"app": "claims"}) for _ in range(9)] + [record()]
    for records, first in ((rare_model, b'"modelId":"'), (rare_metadata, b'"requestMetadata":{')):
        block = b"".join(json.dumps(item, separators=(",", ":")).encode() + b"\n" for item in records)
        tuned = prefilter.tuned(block, len(block))
        assert tuned.fields[0].opening == first
        assert tuned.spans(block, len(block)) == prefilter.spans(block, len(block))
