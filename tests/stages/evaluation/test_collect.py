"""Answers are asked for once, at the service's pace, and never have holes."""

from __future__ import annotations

import heapq
import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from airflow_distill.errors import (
    EvaluationError,
    ServiceAccessError,
    ServiceError,
    ServiceThrottledError,
    ServiceUnavailableError,
)
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.evaluation.collect import (
    AnswerCache,
    Collected,
    Given,
    Parameters,
    Patience,
    Subject,
    collect,
    evaluation_id,
    read_answers,
    write_answers,
)
from airflow_distill.stages.evaluation.collect_pacing import Pacer
from airflow_distill.stages.storage import MemoryStore

STUDENT = Subject("student", "arn:custom-model/a", "custom-model-deployment|arn:custom-model/a")


def examples(count: int) -> list[Example]:
    return [Example((Turn("user", f"question {n}"),), answer=f"answer {n}") for n in range(count)]


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0
        self.lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.time += seconds


@dataclass
class Model:
    """Answers every prompt, unless `before` raises."""

    before: Callable[[str], None] = lambda prompt: None
    asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, example: Example, parameters: Parameters) -> Given:
        prompt = example.turns[-1].text
        self.asked[prompt] += 1
        self.before(prompt)
        return Given(prompt.replace("question", "answer"), "end_turn", 20, 5, 80.0)


def run(
    model: Model,
    store: MemoryStore,
    count: int = 20,
    subject: Subject = STUDENT,
    parameters: Parameters | None = None,
    **more: object,
) -> Collected:
    clock = Clock()
    parameters = parameters or Parameters()
    settings: dict[str, object] = {"threads": 1, **more}
    return collect(
        examples(count),
        subject,
        parameters,
        ask=model,
        cache=AnswerCache(store, "s3://b/w/evaluations/cache", subject.identity, parameters),
        pacer=Pacer(),
        now=clock.now,
        sleep=clock.sleep,
        **settings,  # type: ignore[arg-type]
    )


def service_error(kind: type[ServiceError], code: str) -> ServiceError:
    return kind("Converse: refused", operation="Converse", code=code)


def test_every_prompt_gets_an_answer_in_the_order_of_the_examples() -> None:
    model = Model()
    collected = run(model, MemoryStore(), 20, threads=4)
    assert [a.text for a in collected.answers] == [f"answer {n}" for n in range(20)]
    assert (collected.asked, collected.reused, collected.errors) == (20, 0, 0)
    assert {a.model for a in collected.answers} == {STUDENT.model}


def test_a_second_collection_of_the_same_model_asks_nothing() -> None:
    store, model = MemoryStore(), Model()
    first = run(model, store)
    second = run(model, store)
    assert second.answers == first.answers
    assert (second.asked, second.reused) == (0, 20)
    assert sum(model.asked.values()) == 20


def test_last_weeks_student_is_reused_as_todays_incumbent() -> None:
    store, model = MemoryStore(), Model()
    run(model, store)
    again = run(model, store, subject=Subject("incumbent", STUDENT.model, STUDENT.identity))
    assert again.asked == 0
    assert {a.role for a in again.answers} == {"incumbent"}


@pytest.mark.parametrize(
    ("subject", "parameters"),
    [
        (
            Subject("student", "arn:custom-model/b", "custom-model-deployment|arn:custom-model/b"),
            Parameters(),
        ),
        (STUDENT, Parameters(max_tokens=64)),
        (STUDENT, Parameters(temperature=0.7)),
    ],
    ids=["another model behind the host", "another maximum", "another temperature"],
)
def test_answers_of_another_model_or_other_parameters_are_not_reused(
    subject: Subject, parameters: Parameters
) -> None:
    store, model = MemoryStore(), Model()
    run(model, store)
    assert run(model, store, subject=subject, parameters=parameters).asked == 20


def test_a_killed_collection_leaves_its_answers_for_the_next_try() -> None:
    """The task dies after 25 answers: those are kept in objects of ten, and the retry asks only for the rest."""
    store = MemoryStore()

    class Killed(BaseException):
        pass

    def die(prompt: str) -> None:
        if prompt == "question 25":
            raise Killed

    with pytest.raises(Killed):
        run(Model(die), store, 40, keep_every=10)
    collected = run(Model(), store, 40)
    assert (collected.asked, collected.reused) == (20, 20)


def test_a_defect_in_one_thread_stops_the_others() -> None:
    """Otherwise a broken task would go on paying for answers that nobody keeps."""
    model = Model()

    def defect(prompt: str) -> None:
        if prompt == "question 5":
            raise ZeroDivisionError

    model.before = defect
    with pytest.raises(ZeroDivisionError):
        run(model, MemoryStore(), 4000, threads=4)
    assert sum(model.asked.values()) < 2000


def test_an_error_is_an_answer_and_is_asked_again_next_time() -> None:
    def refuse(prompt: str) -> None:
        if prompt == "question 3":
            raise service_error(ServiceError, "ValidationException")

    store = MemoryStore()
    collected = run(Model(refuse), store)
    wrong = [a for a in collected.answers if a.failed]
    assert [a.error for a in wrong] == ["ValidationException"]
    assert len(collected.answers) == 20
    again = run(Model(), store)
    assert (again.asked, again.errors) == (1, 0)


def test_an_answer_without_text_is_an_error() -> None:
    def silent(example: Example, parameters: Parameters) -> Given:
        return Given("  ", "end_turn", 20, 0)

    collected = run(silent, MemoryStore(), 3)  # type: ignore[arg-type]
    assert [a.error for a in collected.answers] == ["empty"] * 3


def test_a_hiccup_is_asked_again_and_leaves_no_trace() -> None:
    model = Model()

    def hiccup(prompt: str) -> None:
        if model.asked[prompt] == 1:
            raise service_error(ServiceUnavailableError, "ServiceUnavailableException")

    model.before = hiccup
    collected = run(model, MemoryStore(), 10)
    assert collected.errors == 0
    assert set(model.asked.values()) == {2}


def test_an_outage_stops_the_collection_instead_of_condemning_the_model() -> None:
    def down(prompt: str) -> None:
        if int(prompt.split()[1]) >= 8:
            raise service_error(ServiceUnavailableError, "ServiceUnavailableException")

    store = MemoryStore()
    with pytest.raises(ServiceUnavailableError):
        run(Model(down), store, 40, patience=Patience(attempts=2, outage=5))
    assert run(Model(), store, 40).reused == 8


def test_a_model_that_refuses_every_prompt_is_not_called_bad() -> None:
    """An untuned student that may not be asked at all would make any student look better."""

    def refuse(prompt: str) -> None:
        raise service_error(ServiceError, "ValidationException")

    with pytest.raises(ServiceError):
        run(Model(refuse), MemoryStore(), 4)


def test_missing_rights_stop_at_once() -> None:
    model = Model(lambda prompt: (_ for _ in ()).throw(service_error(ServiceAccessError, "AccessDenied")))
    with pytest.raises(ServiceAccessError):
        run(model, MemoryStore(), 40)
    assert sum(model.asked.values()) == 1


def test_throttling_fails_no_item() -> None:
    model = Model()

    def throttle(prompt: str) -> None:
        if sum(model.asked.values()) % 3 == 0:
            raise service_error(ServiceThrottledError, "ThrottlingException")

    model.before = throttle
    collected = run(model, MemoryStore(), 60, threads=4)
    assert collected.errors == 0
    assert collected.throttled > 10


def test_endless_throttling_ends_in_a_retryable_error() -> None:
    def never(prompt: str) -> None:
        raise service_error(ServiceThrottledError, "ThrottlingException")

    with pytest.raises(ServiceThrottledError):
        run(Model(never), MemoryStore(), 5, patience=Patience(stalled=60.0))


def test_repeats_are_asked_and_kept_one_by_one() -> None:
    store, model = MemoryStore(), Model()
    collected = run(model, store, 5, repeats=3)
    assert Counter(a.repeat for a in collected.answers) == {0: 5, 1: 5, 2: 5}
    assert run(model, store, 5, repeats=3).asked == 0


def test_equal_prompts_are_asked_once() -> None:
    model, clock = Model(), Clock()
    collected = collect(
        [*examples(3), *examples(3)],
        STUDENT,
        Parameters(),
        ask=model,
        cache=AnswerCache(MemoryStore(), "s3://b/cache", "m", Parameters()),
        pacer=Pacer(),
        now=clock.now,
        sleep=clock.sleep,
    )
    assert len(collected.answers) == 3


def test_a_broken_answers_file_names_the_line_and_not_its_text() -> None:
    data = write_answers(run(Model(), MemoryStore(), 2).answers) + b'{"secret": "prompt text"}\n'
    with pytest.raises(EvaluationError, match="line 3") as caught:
        list(read_answers(data))
    assert "prompt text" not in str(caught.value)


def test_the_evaluation_id_follows_models_dataset_and_answers() -> None:
    base = evaluation_id("d1", [STUDENT], {"student": "aa"})
    other = Subject("student", STUDENT.model, "custom-model-deployment|arn:custom-model/b")
    assert base == evaluation_id("d1", [STUDENT], {"student": "aa"})
    assert base not in {
        evaluation_id("d2", [STUDENT], {"student": "aa"}),
        evaluation_id("d1", [other], {"student": "aa"}),
        evaluation_id("d1", [STUDENT], {"student": "bb"}),
        evaluation_id("d1", [STUDENT], {"student": "aa"}, key="again"),
    }


# --- pacing ---------------------------------------------------------------------------------------------------------


class SlidingMinute:
    """At most `limit` tokens a second, counted over the last minute."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.window: deque[tuple[float, float]] = deque()
        self.used = 0.0

    def admit(self, now: float, tokens: float) -> bool:
        while self.window and now - self.window[0][0] >= 60.0:
            self.used -= self.window.popleft()[1]
        if self.used + tokens > self.limit * 60.0:
            return False
        self.window.append((now, tokens))
        self.used += tokens
        return True


class FixedMinute:
    """At most `limit * 60` tokens in each minute of the wall clock."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.minute = -1
        self.used = 0.0

    def admit(self, now: float, tokens: float) -> bool:
        if int(now // 60.0) != self.minute:
            self.minute, self.used = int(now // 60.0), 0.0
        if self.used + tokens > self.limit * 60.0:
            return False
        self.used += tokens
        return True


class TokenBucket:
    """Refills at `limit` tokens a second and holds a minute of them."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.level = limit * 60.0
        self.last = 0.0

    def admit(self, now: float, tokens: float) -> bool:
        self.level = min(self.limit * 60.0, self.level + (now - self.last) * self.limit)
        self.last = now
        if self.level < tokens:
            return False
        self.level -= tokens
        return True


@dataclass
class Run:
    """What eight imaginary workers got through the pacer: (time, tokens) of each delivery, and refusals."""

    delivered: list[tuple[float, float]]
    refused: int

    def share(self, limit: float, begin: float, end: float) -> float:
        return sum(t for at, t in self.delivered if begin <= at < end) / (end - begin) / limit


def drive(
    pacer: Pacer, service: SlidingMinute | FixedMinute | TokenBucket, until: float, workers: int = 8
) -> Run:
    """Play requests of 200 to 640 tokens and 0.2 to 0.7 seconds against a service, in imaginary time."""
    chance = random.Random(5)
    outcome = Run([], 0)
    events: list[tuple[float, int, str, float, object]] = []
    serial = iter(range(10**9))

    def then(at: float, what: str, cost: float = 0.0, extra: object = None) -> None:
        heapq.heappush(events, (at, next(serial), what, cost, extra))

    for _ in range(workers):
        then(0.0, "new")
    while events[0][0] < until:
        now, _, what, cost, extra = heapq.heappop(events)
        if what == "new":
            then(now, "book", chance.uniform(200, 640))
        elif what == "book":
            ticket = pacer.reserve(now, 420.0)
            then(ticket.at, "send" if ticket.go else "book", cost, ticket)
        elif what == "send":
            admitted = service.admit(now, cost)
            then(
                now + (chance.uniform(0.2, 0.7) if admitted else 0.02),
                "ok" if admitted else "no",
                cost,
                extra,
            )
        elif what == "ok":
            pacer.succeeded(now, extra, cost)  # type: ignore[arg-type]
            outcome.delivered.append((now, cost))
            then(now, "new")
        else:
            pacer.throttled(now, extra)  # type: ignore[arg-type]
            outcome.refused += 1
            then(now, "book", cost)
    return outcome


@pytest.mark.parametrize("kind", [SlidingMinute, FixedMinute, TokenBucket])
@pytest.mark.parametrize("limit", [300.0, 1000.0, 3000.0])
def test_the_pace_stays_within_ten_per_cent_of_an_unknown_limit(
    kind: type[SlidingMinute], limit: float
) -> None:
    """Whatever the shape of the quota; measured from the second minute on, when the first burst is over."""
    outcome = drive(Pacer(), kind(limit), 360.0)
    assert 0.9 <= outcome.share(limit, 60.0, 360.0) <= 1.1


def test_throttled_requests_are_few_once_the_limit_is_found() -> None:
    pacer, service = Pacer(), SlidingMinute(1000.0)
    early = drive(pacer, service, 120.0).refused
    late = drive(Pacer(), SlidingMinute(1000.0), 600.0)
    assert late.refused - early < 0.15 * len(late.delivered)


def test_a_stated_rate_is_kept_and_never_throttled() -> None:
    outcome = drive(Pacer(most=900.0), SlidingMinute(1000.0), 300.0)
    assert outcome.refused == 0
    assert 0.9 <= outcome.share(900.0, 10.0, 300.0) <= 1.01


def test_a_limit_that_rises_is_found_again() -> None:
    service = SlidingMinute(500.0)
    pacer = Pacer()
    chance = drive(pacer, service, 200.0)
    assert chance.share(500.0, 60.0, 200.0) > 0.9

    class Raised(SlidingMinute):
        def admit(self, now: float, tokens: float) -> bool:
            self.limit = 500.0 if now < 200.0 else 1500.0
            return super().admit(now, tokens)

    assert drive(Pacer(), Raised(500.0), 800.0).share(1500.0, 600.0, 800.0) > 0.9
