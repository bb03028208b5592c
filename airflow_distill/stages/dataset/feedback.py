"""What people, or a judge, said of single answers: records that join the harvest and say which answers may teach.

Takes the bytes of feedback files, hands on `Feedback`: for a request id or a prompt's digest the latest score and corrected
answer. Three forms are read: our own (`request_id` or `prompt_digest`, with `score`, `label` or `answer`; JSON or CSV),
Langfuse's JSON (scores, and traces or observations with scores), and OpenTelemetry's GenAI JSON (evaluation results on
spans or log records). What cannot be joined is counted, never guessed. Standard library and the stage's own modules only.

A score is a number; labels such as `liked` and `thumbs_down` are 1 and 0. Of several records on one answer the latest
counts, by their time, then by their order.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_distill.errors import ConfigurationError, DatasetError
from airflow_distill.stages.dataset.imports import SUFFIXES, import_record
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.values import Wrong, iter_values
from airflow_distill.stages.digest import digest, sha256_hex
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.storage import ObjectStore

OWN = "feedback of our own form"
LANGFUSE = "Langfuse"
OTEL = "OpenTelemetry GenAI"

USES = ("liked", "not_disliked", "corrected", "weights")
"""What feedback may be used for; see `Feedback`."""

GOOD = frozenset(
    {
        "liked", "like", "good", "great", "positive", "thumbs_up", "thumbsup", "thumbs-up", "up", "upvote", "yes", "pass",
        "passed", "true", "correct", "accept", "accepted", "helpful", "\N{THUMBS UP SIGN}",
    }
)  # fmt: skip
BAD = frozenset(
    {
        "disliked", "dislike", "bad", "negative", "thumbs_down", "thumbsdown", "thumbs-down", "down", "downvote", "no",
        "fail", "failed", "false", "incorrect", "wrong", "reject", "rejected", "unhelpful", "\N{THUMBS DOWN SIGN}",
    }
)  # fmt: skip
REQUEST_KEYS = (
    "request_id", "requestid", "aws_request_id", "aws.request_id", "bedrock_request_id", "x-amzn-requestid", "awsrequestid",
)  # fmt: skip
DIGEST_KEYS = ("prompt_digest", "prompt_id", "example_id", "id")
CORRECTED_KEYS = (
    "answer",
    "corrected",
    "correction",
    "corrected_answer",
    "expected_output",
    "expectedoutput",
)
TIME_KEYS = ("time", "timestamp", "created_at", "createdat", "updatedat")

TRACE_KEYS = ("trace_id", "traceid", "langfuse_trace_id", "langfuse_traceid")
"""Keys of request metadata, beside those of a request id, by which an application may name its own trace."""

UNJUDGED, LEAST_WEIGHT = 0.5, 0.05

_DIGEST_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Opinion:
    """One record: on what, how much it was liked, and what should have been answered.

    `request_id` and `prompt` (a digest, as card and scorecard show it) name the answer; `example` is the prompt itself
    where the export carries it. `score` is None for a record that only corrects. `name` tells one kind of score from
    another. `time` is as written.
    """

    request_id: str = ""
    prompt: str = ""
    score: float | None = None
    answer: str | None = None
    time: str = ""
    name: str = ""
    example: Example | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record in our own form, without what it does not say."""
        out = {
            "request_id": self.request_id,
            "prompt_digest": self.prompt or (self.example.id if self.example else ""),
            "score": self.score,
            "answer": self.answer,
            "time": self.time,
            "name": self.name,
        }
        return {name: value for name, value in out.items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one record: its number, its form, the opinions in it, or the code of what is wrong."""

    number: int
    form: str = ""
    opinions: tuple[Opinion, ...] = ()
    code: str = ""


@dataclass(slots=True)
class Feedback:
    """All opinions, by what they are on.

    :param unread: how many records hold no opinion, by code.
    :param names: how many scores there are of each name.
    :param digest: names the files that were read, 64 hex digits.
    """

    by_request: dict[str, Opinion] = field(default_factory=dict)
    by_prompt: dict[str, Opinion] = field(default_factory=dict)
    records: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    joined: set[str] = field(default_factory=set)

    def on_request(self, names: Iterable[str]) -> Opinion | None:
        """Return the opinion on an answer by one of the names of its request."""
        return self._joined(self.by_request, names, "request")

    def on_prompt(self, prompt: str) -> Opinion | None:
        """Return the opinion on the answer to a prompt, by its digest."""
        return self._joined(self.by_prompt, (prompt,), "prompt")

    def _joined(self, kept: Mapping[str, Opinion], names: Iterable[str], kind: str) -> Opinion | None:
        for name in names:
            if name and name in kept:
                self.joined.add(f"{kind}:{name}")
                return kept[name]
        return None

    def weight(self, opinion: Opinion | None) -> float:
        """Return how much an answer weighs, from 0.05 to 1; one that nobody has judged weighs half.

        >>> Feedback().weight(None), Feedback().weight(Opinion(score=1.0)), Feedback().weight(Opinion(score=0.0))
        (0.5, 1.0, 0.05)
        """
        if opinion is None or opinion.score is None:
            return UNJUDGED
        low, high = self.span
        share = (opinion.score - low) / (high - low) if high > low else 1.0
        return max(LEAST_WEIGHT, min(1.0, share))

    @property
    def span(self) -> tuple[float, float]:
        """The scores from and to which weights are reckoned: 0 to 1 where none lies outside, else the least and largest."""
        scores = [
            o.score for o in (*self.by_request.values(), *self.by_prompt.values()) if o.score is not None
        ]
        if not scores or (min(scores) >= 0 and max(scores) <= 1):
            return 0.0, 1.0
        return min(scores), max(scores)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain data, for the manifest."""
        return {
            "records": self.records,
            "unread": dict(sorted(self.unread.items())),
            "names": dict(sorted(self.names.items())),
            "answers": len(self.by_request) + len(self.by_prompt),
            "joined": len(self.joined),
            "sha256": self.digest,
        }


def request_names(interaction: Interaction) -> Iterator[str]:
    """Yield the names under which feedback may speak of a request: its id, and what its metadata calls it."""
    yield interaction.request_id
    metadata = {key.lower(): value for key, value in interaction.metadata}
    yield from (metadata[key] for key in (*REQUEST_KEYS, *TRACE_KEYS) if key in metadata)


def feedback_at(
    store: ObjectStore, uri: str, redacted: Callable[[Example], Example] | None = None, name: str = ""
) -> Feedback:
    """Return the feedback in a file, or in the files below a prefix.

    :param name: only scores of this name, such as `user-feedback`; corrections count whatever their name.
    :raises ConfigurationError: no file is there, or scores of several names are and nobody said which count.
    :raises DatasetError: no record of them says anything of an answer.
    """
    items = list(store.iter_objects(uri))
    found = [item.uri for item in items if item.uri == uri] or [
        item.uri for item in store.iter_objects(uri.rstrip("/") + "/") if item.uri.endswith(SUFFIXES)
    ]
    if not found:
        raise ConfigurationError(
            f"dataset: there is no feedback file at {uri}.",
            hint=f"Give a file, or a folder of files that end in {', '.join(SUFFIXES)}.",
        )
    out = read_feedback((store.read(each) for each in found), redacted, name)
    if len(out.names) > 1 and not name:
        told = ", ".join(repr(each[:40]) for each, _ in out.names.most_common(10))
        raise ConfigurationError(
            f"dataset: the feedback at {uri} holds scores of {len(out.names)} names: {told}.",
            hint="Say which counts: dataset.feedback.name in the workload file, or --score-name.",
        )
    if out.records and not out.by_request and not out.by_prompt:
        raise DatasetError(
            f"dataset: none of {out.records} records of feedback at {uri} says anything of an answer: {dict(out.unread)}.",
            hint="`airflow-distill dataset convert --feedback` shows what it makes of the first record.",
        )
    return out


def read_feedback(
    files: Iterable[bytes], redacted: Callable[[Example], Example] | None = None, name: str = ""
) -> Feedback:
    """Return the feedback in files.

    :param redacted: how prompts of the harvest were redacted; prompts that an export carries must meet them.
    """
    out = Feedback()
    digests = []
    opinions: list[tuple[str, int, Opinion]] = []
    for data in files:
        digests.append(sha256_hex(data))
        for item in iter_feedback(data):
            out.records += 1
            out.names.update(o.name for o in item.opinions if o.name and o.score is not None)
            if item.code:
                out.unread[item.code] += 1
            for opinion in item.opinions:
                counts = not name or opinion.name == name
                said = opinion if counts else replace(opinion, score=None)
                if said.score is not None or said.answer:
                    opinions.append((said.time, len(opinions), said))
    for _, _, opinion in sorted(opinions, key=lambda entry: entry[:2]):
        _add(out, opinion, redacted)
    out.digest = digest(sorted(digests))
    return out


def _add(out: Feedback, opinion: Opinion, redacted: Callable[[Example], Example] | None) -> None:
    """Put an opinion over an earlier one; what the later does not say stays."""
    if opinion.request_id:
        kept, key = out.by_request, opinion.request_id
    elif opinion.prompt:
        kept, key = out.by_prompt, opinion.prompt
    elif opinion.example is not None:
        example = opinion.example
        kept, key = out.by_prompt, (redacted(example) if redacted else example).id
    else:
        return
    before = kept.get(key)
    if before is not None:
        opinion = replace(
            opinion,
            score=before.score if opinion.score is None else opinion.score,
            answer=before.answer if opinion.answer is None else opinion.answer,
        )
    kept[key] = replace(opinion, example=None)


def iter_feedback(data: bytes) -> Iterator[Read]:
    """Yield what the records of a file say.

    >>> [item.opinions[0].score for item in iter_feedback(b'{"request_id": "r-1", "label": "thumbs_up"}')]
    [1.0]
    """
    for number, value in iter_values(data):
        if isinstance(value, Wrong):
            yield Read(number, code=value.code)
        elif not isinstance(value, dict):
            yield Read(number, code="not_an_object")
        else:
            yield _read(number, value)


def _read(number: int, value: Mapping[str, Any]) -> Read:
    try:
        for form, opinions_of in _FORMS:
            found = opinions_of(value)
            if found is not None:
                said = tuple(o for o in found if o.score is not None or (o.answer or "").strip())
                named = tuple(o for o in said if o.request_id or o.prompt or o.example is not None)
                code = "" if named else "no_request" if said else "no_score"
                return Read(number, form, named, code)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return Read(number, code="unknown_form")


def score_of(value: Any) -> float | None:
    """Return a score: a number, or what a label says; None when it is neither.

    >>> score_of("Thumbs up"), score_of("3.5"), score_of(True), score_of("rather so")
    (1.0, 3.5, 1.0, None)
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    word = value.strip().lower().replace(" ", "_")
    if word in GOOD:
        return 1.0
    if word in BAD:
        return 0.0
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# our own form


def _own(value: Mapping[str, Any]) -> list[Opinion] | None:
    low = {str(name).lower(): held for name, held in value.items()}
    request, prompt = _first(low, REQUEST_KEYS), _digest_in(low)
    score = next(
        (s for n in ("score", "rating", "label", "value") if (s := score_of(low.get(n))) is not None), None
    )
    answer = _text_in(low, CORRECTED_KEYS)
    if not (request or prompt) and score is None:
        return None
    if not any(name in low for name in (*REQUEST_KEYS, *DIGEST_KEYS, "score", "rating", "label")):
        return None
    example = None if request or prompt else import_record(0, value).example
    return [Opinion(request, prompt, score, answer, _first(low, TIME_KEYS), _first(low, ("name",)), example)]


def _first(low: Mapping[str, Any], names: Sequence[str]) -> str:
    return next(
        (str(low[name]) for name in names if isinstance(low.get(name), str | int) and low[name] != ""), ""
    )


def _text_in(low: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((low[name] for name in names if isinstance(low.get(name), str) and low[name].strip()), None)


def _digest_in(low: Mapping[str, Any]) -> str:
    found = _first(low, DIGEST_KEYS)
    is_digest = len(found) == _DIGEST_LENGTH and all(sign in "0123456789abcdef" for sign in found)
    return found if is_digest else ""


# Langfuse


def _langfuse(value: Mapping[str, Any]) -> list[Opinion] | None:
    """A score, or a trace or observation with its scores."""
    if "traceId" in value and ("value" in value or "stringValue" in value) and "dataType" in value:
        trace = value.get("trace")
        metadata = _metadata(value, trace if isinstance(trace, dict) else {})
        return [_langfuse_opinion(value, metadata, str(value.get("traceId")))]
    scores = value.get("scores")
    if not isinstance(scores, list) or not ("input" in value or "traceId" in value or "metadata" in value):
        return None
    metadata = _metadata(value)
    for inner in value.get("observations") or ():
        if isinstance(inner, dict):
            metadata = {**_metadata(inner), **metadata}
    example = _langfuse_example(value)
    return [
        replace(_langfuse_opinion(score, metadata, ""), example=example)
        for score in scores
        if isinstance(score, dict)
    ]


def _langfuse_opinion(score: Mapping[str, Any], metadata: Mapping[str, Any], trace: str) -> Opinion:
    value = score.get("value")
    found = score_of(score.get("stringValue")) if score.get("dataType") == "CATEGORICAL" else None
    corrected = metadata.get("corrected_answer") or metadata.get("correction")
    if score.get("dataType") == "CORRECTION" or str(score.get("name")).lower() in (
        "correction",
        "corrected_answer",
    ):
        corrected, value = score.get("stringValue") or score.get("comment") or value, None
    return Opinion(
        request_id=_first(metadata, REQUEST_KEYS) or trace,
        score=score_of(value) if found is None else found,
        answer=corrected if isinstance(corrected, str) and corrected.strip() else None,
        time=str(score.get("timestamp") or score.get("updatedAt") or score.get("createdAt") or ""),
        name=str(score.get("name") or ""),
    )


def _metadata(*places: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in places:
        held = place.get("metadata")
        if isinstance(held, str):
            try:
                held = json.loads(held)
            except ValueError:
                held = None
        if isinstance(held, dict):
            attributes = held.get("attributes")
            for each in (held, attributes if isinstance(attributes, dict) else {}):
                found.update({str(name).lower(): inner for name, inner in each.items()})
    return found


def _langfuse_example(value: Mapping[str, Any]) -> Example | None:
    asked = value.get("input")
    if isinstance(asked, str):
        record: Any = {"prompt": asked}
    elif isinstance(asked, list):
        record = {"messages": asked}
    else:
        record = asked
    example = import_record(0, record).example if isinstance(record, dict) else None
    return replace(example, answer=None) if example is not None else None


# OpenTelemetry


def _otel(value: Mapping[str, Any]) -> list[Opinion] | None:
    """An OTLP message of spans or log records, or one span or record by itself."""
    if "resourceSpans" in value or "resourceLogs" in value:
        found: list[Opinion] = []
        for resource in (*(value.get("resourceSpans") or ()), *(value.get("resourceLogs") or ())):
            for scope in (*(resource.get("scopeSpans") or ()), *(resource.get("scopeLogs") or ())):
                for item in (*(scope.get("spans") or ()), *(scope.get("logRecords") or ())):
                    found += _otel_opinions(item)
        return found
    attributes = _attributes(value)
    if any(name.startswith("gen_ai.") for name in attributes) or _is_result(value):
        return _otel_opinions(value)
    return None


def _otel_opinions(item: Mapping[str, Any]) -> list[Opinion]:
    own = _attributes(item)
    events = [event for event in item.get("events") or () if isinstance(event, dict)]
    results = [
        {**own, **_time(item), **_attributes(event), **_time(event)} for event in events if _is_result(event)
    ]
    if _is_result(item) or "gen_ai.evaluation.score.value" in own or "gen_ai.evaluation.score.label" in own:
        results.append({**own, **_time(item)})
    example = _otel_example(own)
    return [_otel_opinion(result, example) for result in results]


def _is_result(item: Mapping[str, Any]) -> bool:
    name = item.get("name") or item.get("eventName") or _attributes(item).get("event.name")
    return name == "gen_ai.evaluation.result"


def _otel_opinion(result: Mapping[str, Any], example: Example | None) -> Opinion:
    score = score_of(result.get("gen_ai.evaluation.score.value"))
    if score is None:
        score = score_of(result.get("gen_ai.evaluation.score.label"))
    answer = result.get("gen_ai.evaluation.corrected_answer")
    low = {str(name).lower(): value for name, value in result.items()}
    return Opinion(
        request_id=_first(low, (*REQUEST_KEYS, "gen_ai.response.id", "_trace")),
        score=score,
        answer=answer if isinstance(answer, str) and answer.strip() else None,
        time=str(result.get("_time", "")),
        name=str(result.get("gen_ai.evaluation.name") or ""),
        example=example,
    )


def _time(item: Mapping[str, Any]) -> dict[str, Any]:
    nanoseconds = item.get("timeUnixNano") or item.get("startTimeUnixNano") or ""
    out = {"_time": str(nanoseconds).zfill(20) if nanoseconds else ""}
    return out | ({"_trace": item["traceId"]} if item.get("traceId") else {})


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as plain values: a mapping as it is, OTLP's list of keys with typed values unpacked."""
    held = item.get("attributes")
    if isinstance(held, dict):
        return held
    found: dict[str, Any] = {}
    for pair in held if isinstance(held, list) else ():
        value = pair.get("value") if isinstance(pair, dict) else None
        if isinstance(value, dict) and value:
            kind, plain = next(iter(value.items()))
            found[str(pair.get("key"))] = int(plain) if kind == "intValue" else plain
    return found


def _otel_example(attributes: Mapping[str, Any]) -> Example | None:
    messages = _parts(attributes.get("gen_ai.input.messages"))
    if not messages:
        return None
    told = _parts([{"role": "system", "parts": _loaded(attributes.get("gen_ai.system_instructions"))}])
    return import_record(0, {"messages": [*told, *messages]}).example


def _parts(messages: Any) -> list[dict[str, Any]]:
    """Return OpenTelemetry's messages, which hold parts, as chat messages."""
    found = []
    for message in _loaded(messages) or ():
        parts = message.get("parts") if isinstance(message, dict) else None
        if isinstance(parts, list) and parts:
            texts = [{"type": part.get("type"), "text": part.get("content")} for part in parts]
            found.append({"role": message.get("role"), "content": texts})
    return found


def _loaded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


_FORMS: tuple[tuple[str, Callable[[Mapping[str, Any]], list[Opinion] | None]], ...] = (
    (OTEL, _otel),
    (LANGFUSE, _langfuse),
    (OWN, _own),
)
