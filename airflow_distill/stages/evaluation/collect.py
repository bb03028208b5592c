"""Asks one model every held-out prompt, once, and keeps what it said.

Takes examples, a way to ask (passed in), a store and a clock (passed in); hands on one `Answer` for every example and
repeat. Three rules hold whatever happens on the way:

- Paid once. Answers are kept under the model that gave them, the inference parameters and the prompt's digest, in small
  objects written as the work goes on. A retry, a second run or another evaluation of the same model asks only what is
  missing. Errors are not kept: they are asked again.
- No holes. A request that fails for good becomes an answer with an error code, and counts as wrong.
- An outage is not a verdict. Throttling is waited out; when the service refuses request after request, or the caller may
  not ask at all, the collection stops with an error instead of calling the model bad. What was answered is kept.

Text of prompts and answers goes to the store and to the model, never into a message or a log. No AWS, no Airflow here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_distill.errors import (
    ConfigurationError,
    DistillError,
    EvaluationError,
    ServiceAccessError,
    ServiceError,
    ServiceNotFoundError,
    ServiceThrottledError,
    ServiceUnavailableError,
)
from airflow_distill.remote.backoff import doubled
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.digest import canonical_json, digest, record_of, sha256_hex
from airflow_distill.stages.evaluation.collect_pacing import Pacer, Ticket
from airflow_distill.stages.evaluation.records import Answer
from airflow_distill.stages.storage import ObjectExistsError, ObjectStore, join_uri

EMPTY = "empty"
"""Error code of an answer without text."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """How a model is asked. The maximum is always sent, because the service reserves the model's own maximum otherwise."""

    max_tokens: int = 512
    temperature: float | None = 0.0

    @property
    def digest(self) -> str:
        """Sixteen hex digits that name these parameters."""
        return digest({"max_tokens": self.max_tokens, "temperature": self.temperature}, 16)


@dataclass(frozen=True, slots=True)
class Given:
    """What came back for one prompt."""

    text: str
    stop_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None


Ask = Callable[[Example, Parameters], Given]
"""Asks the model once; raises a `ServiceError` when that fails."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on trial: its role, its name in the scorecard, and what its answers are kept under.

    `identity` must name the weights, not the address: a host can be given another model under the same ARN.
    """

    role: str
    model: str
    identity: str


@dataclass(frozen=True, slots=True)
class Patience:
    """When to give up.

    :param attempts: tries of one prompt when the service is unavailable.
    :param outage: so many prompts in a row that fail for good mean the service is down, not that the model is bad.
    :param stalled: seconds of nothing but throttling after which the collection stops.
    """

    attempts: int = 5
    outage: int = 10
    stalled: float = 900.0


@dataclass(frozen=True, slots=True)
class Collected:
    """The answers in the order of the examples, and how many of them were asked for now."""

    answers: tuple[Answer, ...]
    asked: int
    reused: int
    throttled: int = 0

    @property
    def errors(self) -> int:
        """How many answers are errors."""
        return sum(1 for a in self.answers if a.failed)


class AnswerCache:
    """Answers of one model under one set of parameters, as small objects that are only ever added.

    :param folder: the folder of all caches; the model's own one below it is named by a digest.
    :param also: identities under which answers of the same model came by another road; read, never written.
    """

    def __init__(
        self,
        store: ObjectStore,
        folder: str,
        identity: str,
        parameters: Parameters,
        also: Sequence[str] = (),
    ) -> None:
        self.store = store
        names = [digest({"model": i, "parameters": parameters.digest}, 24) for i in (identity, *also)]
        self.prefix, *self.others = [join_uri(folder, name) + "/" for name in names]

    def load(self) -> dict[tuple[str, int], Answer]:
        """Return every kept answer by prompt digest and repeat."""
        kept: dict[tuple[str, int], Answer] = {}
        for prefix in (*self.others, self.prefix):
            for item in self.store.iter_objects(prefix):
                for answer in read_answers(self.store.read(item.uri)):
                    kept[(answer.example_id, answer.repeat)] = answer
        return kept

    def add(self, answers: Iterable[Answer]) -> None:
        """Keep the answers that are not errors; the same answers twice make one object."""
        data = write_answers(a for a in answers if not a.failed)
        if data:
            try:
                self.store.write(self.prefix + sha256_hex(data)[:32] + ".jsonl", data, if_absent=True)
            except ObjectExistsError:
                pass


def write_answers(answers: Iterable[Answer]) -> bytes:
    """Return answers as JSON lines."""
    return b"".join(canonical_json(a.to_json()) + b"\n" for a in answers)


def read_answers(data: bytes) -> Iterator[Answer]:
    """Yield the answers of a file of JSON lines.

    :raises EvaluationError: a line is not an answer; the message names the line, never its text.
    """
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                yield record_of(line, Answer.from_json)
            except ValueError:
                raise EvaluationError(
                    f"answers: line {number} is not an answer.", hint="Collect the answers again."
                ) from None


def evaluation_id(
    dataset_id: str, subjects: Sequence[Subject], answers_sha256: Mapping[str, str], key: str = ""
) -> str:
    """Return the id of an evaluation: the same models' same answers to the same dataset have one id.

    Kept answers do not change, so a retry finds its own evaluation; answers that had to be asked again make a new one.

    :param key: tells a further evaluation of the same answers from the first.
    """
    return digest(
        {
            "dataset": dataset_id,
            "models": {s.role: s.identity for s in subjects},
            "answers": dict(answers_sha256),
            "key": key,
        },
        20,
    )


def converse_messages(example: Example) -> list[dict[str, Any]]:
    """Return the turns of an example as Converse messages."""
    return [{"role": turn.role, "content": [{"text": turn.text}]} for turn in example.turns]


def make_answer(
    example_id: str, subject: Subject, parameters: Parameters, given: Given, repeat: int = 0
) -> Answer:
    """Return what was given as an answer; no text at all is the error `empty`."""
    return Answer(
        example_id=example_id,
        role=subject.role,
        model=subject.model,
        text=given.text or None,
        error="" if given.text.strip() else EMPTY,
        stop_reason=given.stop_reason,
        latency_ms=given.latency_ms,
        input_tokens=given.input_tokens,
        output_tokens=given.output_tokens,
        parameters=parameters.digest,
        repeat=repeat,
        cache_read_tokens=given.cache_read_tokens,
        cache_write_tokens=given.cache_write_tokens,
    )


def make_error(
    example_id: str, subject: Subject, parameters: Parameters, code: str, repeat: int = 0
) -> Answer:
    """Return an answer that is an error."""
    return Answer(
        example_id=example_id,
        role=subject.role,
        model=subject.model,
        text=None,
        error=code or "error",
        parameters=parameters.digest,
        repeat=repeat,
    )


def collect(
    examples: Sequence[Example],
    subject: Subject,
    parameters: Parameters,
    *,
    ask: Ask,
    cache: AnswerCache,
    pacer: Pacer,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    threads: int = 8,
    repeats: int = 1,
    patience: Patience | None = None,
    keep_every: int = 50,
    before: Callable[[Sequence[Example]], None] | None = None,
) -> Collected:
    """Return an answer of one model for every distinct prompt and repeat, asking only what is not kept yet.

    :param now: seconds on a clock that never goes back.
    :param threads: the most requests in flight at once.
    :param before: told once, before anything is asked, which prompts are; an error it raises stops the collection.
    :param keep_every: answers after which another object is kept, so a killed task loses little.
    :raises ServiceError: the caller may not ask, or the service is down.
    """
    wanted = questions_of(examples, repeats)
    kept = cache.load()
    missing = [(e, r) for e, r in wanted if (e.id, r) not in kept]
    if missing and before is not None:
        before([example for example, _ in missing])
    asking = _Asking(subject, parameters, ask, pacer, now, sleep, patience or Patience(), len(missing))
    fresh = asking.run(missing, cache, max(1, threads), max(1, keep_every)) if missing else {}
    answers = [fresh.get((e.id, r)) or _as_role(kept[(e.id, r)], subject) for e, r in wanted]
    return Collected(tuple(answers), len(missing), len(wanted) - len(missing), pacer.throttled_count)


def questions_of(examples: Iterable[Example], repeats: int = 1) -> list[tuple[Example, int]]:
    """Return what is to be asked: every distinct prompt, `repeats` times."""
    distinct = {example.id: example for example in examples}
    return [(example, repeat) for example in distinct.values() for repeat in range(repeats)]


def _as_role(answer: Answer, subject: Subject) -> Answer:
    """A model that was the student last week may be the incumbent today."""
    return replace(answer, role=subject.role, model=subject.model)


@dataclass(slots=True)
class _Asking:
    """The running collection: what several threads share, under one lock."""

    subject: Subject
    parameters: Parameters
    ask: Ask
    pacer: Pacer
    now: Callable[[], float]
    sleep: Callable[[float], None]
    patience: Patience
    total: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    answers: dict[tuple[str, int], Answer] = field(default_factory=dict)
    pending: list[Answer] = field(default_factory=list)
    stopped_by: DistillError | None = None
    halted: bool = False
    failed_in_a_row: int = 0
    answered: int = 0
    cost_factor: float = 1.0
    last_progress: float = 0.0

    def run(
        self, missing: Sequence[tuple[Example, int]], cache: AnswerCache, threads: int, keep_every: int
    ) -> Mapping[tuple[str, int], Answer]:
        self.last_progress = self.now()
        todo = iter(missing)
        with ThreadPoolExecutor(threads, thread_name_prefix="collect") as pool:
            workers = [pool.submit(self._work, todo, cache, keep_every) for _ in range(threads)]
            try:
                for worker in workers:
                    worker.result()
            except BaseException:
                self.halted = True
                raise
        cache.add(self.pending)
        if self.stopped_by is not None:
            raise self.stopped_by
        return self.answers

    def _work(self, todo: Iterator[tuple[Example, int]], cache: AnswerCache, keep_every: int) -> None:
        while True:
            with self.lock:
                question = None if self.stopped_by or self.halted else next(todo, None)
            if question is None:
                return
            try:
                answer = self._answer(*question)
            except DistillError as error:
                self._stop(error)
                return
            except BaseException:
                self.halted = True
                raise
            if answer is None:
                return
            self._keep(answer, cache, keep_every)

    def _keep(self, answer: Answer, cache: AnswerCache, keep_every: int) -> None:
        with self.lock:
            self.answers[(answer.example_id, answer.repeat)] = answer
            self.pending.append(answer)
            full = self.pending if len(self.pending) >= keep_every else []
            if full:
                self.pending = []
        try:
            cache.add(full)
        except DistillError as error:
            self._stop(error)

    def _stop(self, error: DistillError) -> None:
        with self.lock:
            self.stopped_by = self.stopped_by or error

    def _answer(self, example: Example, repeat: int) -> Answer | None:
        """Ask until there is an answer or a final error; None when the collection was stopped meanwhile."""
        estimate = _estimate(example, self.parameters)
        failures = 0
        while True:
            ticket = self._leave(estimate)
            if ticket is None:
                return None
            try:
                given = self.ask(example, self.parameters)
            except ServiceThrottledError as error:
                self._throttled(ticket, error)
            except ServiceUnavailableError as error:
                failures += 1
                self._give_back(ticket)
                if failures >= self.patience.attempts:
                    return self._failed_for_good(example, repeat, error)
                self.sleep(doubled(0.5, failures, 20.0))
            except (ServiceAccessError, ServiceNotFoundError):
                self._give_back(ticket)
                raise
            except ServiceError as error:
                self._give_back(ticket)
                return self._failed_for_good(example, repeat, error)
            else:
                return self._arrived(example, repeat, ticket, estimate, given)

    def _leave(self, estimate: float) -> Ticket | None:
        while True:
            with self.lock:
                if self.stopped_by is not None:
                    return None
                now = self.now()
                ticket = self.pacer.reserve(now, estimate * self.cost_factor)
            if ticket.at > now:
                self.sleep(ticket.at - now)
            if ticket.go:
                return ticket

    def _give_back(self, ticket: Ticket) -> None:
        with self.lock:
            self.pacer.failed(self.now(), ticket)

    def _throttled(self, ticket: Ticket, error: ServiceThrottledError) -> None:
        with self.lock:
            now = self.now()
            self.pacer.throttled(now, ticket)
            if now - self.last_progress > self.patience.stalled:
                raise error

    def _arrived(
        self, example: Example, repeat: int, ticket: Ticket, estimate: float, given: Given
    ) -> Answer:
        tokens = float((given.input_tokens or 0) + (given.output_tokens or 0)) or ticket.cost
        with self.lock:
            now = self.last_progress = self.now()
            self.pacer.succeeded(now, ticket, tokens)
            self.cost_factor += 0.1 * (tokens / estimate - self.cost_factor)
            self.failed_in_a_row = 0
            self.answered += 1
        return make_answer(example.id, self.subject, self.parameters, given, repeat)

    def _failed_for_good(self, example: Example, repeat: int, error: ServiceError) -> Answer:
        with self.lock:
            self.failed_in_a_row += 1
            down = self.failed_in_a_row >= min(self.patience.outage, self.total)
            if down and (self.failed_in_a_row >= self.patience.outage or not self.answered):
                raise error
        return make_error(example.id, self.subject, self.parameters, error.code, repeat)


def _estimate(example: Example, parameters: Parameters) -> float:
    """Guess the tokens of a request from its length; the guess is corrected by what the answers really cost."""
    characters = len(example.system or "") + sum(len(turn.text) for turn in example.turns)
    return characters / 4.0 + min(parameters.max_tokens, 256) + 8.0


def read_examples(data: bytes) -> list[Example]:
    """Return the examples of a held-out file.

    :raises ConfigurationError: a line is not an example; the message names the line, never its text.
    """
    examples = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                examples.append(record_of(line, Example.from_json))
            except ValueError:
                raise ConfigurationError(
                    f"evaluation: line {number} of the held-out file is not an example.",
                    hint="Build the dataset again; the file must not be edited by hand.",
                ) from None
    return examples
