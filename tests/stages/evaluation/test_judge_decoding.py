"""How a judge lets itself be asked is learned from what it refuses, and from nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_distill.errors import (
    EvaluationError,
    ServiceAccessError,
    ServiceError,
    ServiceThrottledError,
)
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.collect import Given, Parameters
from airflow_distill.stages.evaluation.judge import read_verdict
from airflow_distill.stages.evaluation.judge_decoding import (
    MOST_TOKENS,
    QUESTION,
    Decoding,
    learn_decoding,
)
from airflow_distill.stages.jobs.models import base_model_id, family, is_profile

VERDICT = '{"verdict": "first", "reason": "right"}'


class Judge:
    """Refuses temperature when told to, and thinks for so many tokens."""

    def __init__(
        self, *, refuses: bool = False, thinks: int = 0, fails: list[ServiceError] | None = None
    ) -> None:
        self.refuses, self.thinks, self.fails = refuses, thinks, list(fails or ())
        self.asked: list[Parameters] = []

    def __call__(self, example: Example, parameters: Parameters) -> Given:
        assert example is QUESTION
        self.asked.append(parameters)
        if self.fails:
            raise self.fails.pop(0)
        if self.refuses and parameters.temperature is not None:
            raise refusal("the first reason")
        if parameters.max_tokens <= self.thinks:
            return Given("", "max_tokens")
        return Given(VERDICT, "end_turn")


def refusal(message: str = "no") -> ServiceError:
    return ServiceError(message, operation="Converse", code="ValidationException")


def learn(judge: Callable[[Example, Parameters], Given], wanted: Parameters | None = None) -> Decoding:
    return learn_decoding(judge, wanted or Parameters(200, 0.0), lambda seconds: None)


def test_a_judge_that_takes_everything_is_asked_as_wanted() -> None:
    judge = Judge()
    assert learn(judge) == Decoding(Parameters(200, 0.0))
    assert len(judge.asked) == 1


def test_temperature_is_left_out_for_a_judge_that_refuses_it() -> None:
    judge = Judge(refuses=True)
    assert learn(judge) == Decoding(Parameters(200, None), ("no-temperature",))
    assert [asked.temperature for asked in judge.asked] == [0.0, None]


def test_a_judge_that_reasons_gets_room_for_it() -> None:
    found = learn(Judge(thinks=700))
    assert found.learned == ("reasons",)
    assert found.parameters.max_tokens == 800 * 4


def test_both_are_learned_together() -> None:
    assert learn(Judge(refuses=True, thinks=300)) == Decoding(
        Parameters(3200, None), ("no-temperature", "reasons")
    )


def test_a_judge_that_never_comes_to_an_end_is_an_error_and_not_a_bill() -> None:
    judge = Judge(thinks=10**9)
    with pytest.raises(EvaluationError, match="reasoning"):
        learn(judge)
    assert max(asked.max_tokens for asked in judge.asked) == MOST_TOKENS
    assert len(judge.asked) < 6


def test_what_is_refused_for_another_reason_is_raised_with_that_reason() -> None:
    judge = Judge(fails=[refusal("the model id is wrong"), refusal("again")])
    with pytest.raises(ServiceError, match="the model id is wrong"):
        learn(judge)
    with pytest.raises(ServiceAccessError):
        learn(Judge(fails=[ServiceAccessError("not allowed", operation="Converse")]))


def test_no_temperature_to_leave_out_means_no_second_call() -> None:
    judge = Judge(fails=[refusal("the model id is wrong")])
    with pytest.raises(ServiceError, match="the model id is wrong"):
        learn(judge, Parameters(200, None))
    assert len(judge.asked) == 1


def test_throttling_is_waited_out() -> None:
    busy = ServiceThrottledError("busy", operation="Converse", code="ThrottlingException")
    assert learn(Judge(fails=[busy, busy])).learned == ()
    with pytest.raises(ServiceThrottledError):
        learn(Judge(fails=[busy] * 6))


def test_what_was_learned_survives_the_bucket() -> None:
    found = Decoding(Parameters(3200, None), ("no-temperature", "reasons"))
    assert Decoding.from_json(found.to_json()) == found
    for broken in ({}, {**found.to_json(), "v": 2}, {**found.to_json(), "max_tokens": "many"},
                   {**found.to_json(), "temperature": "hot"}):  # fmt: skip
        with pytest.raises(ValueError, match="decoding"):
            Decoding.from_json(broken)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (f"<thinking>Both look right; {VERDICT} perhaps?</thinking>\n{VERDICT}", "first"),
        (f"<thinking>no end {VERDICT}", None),
        (f"<thinking>a</thinking> so: {VERDICT}", None),
    ],
)
def test_thoughts_before_the_verdict_are_not_read_as_one(reply: str, verdict: str | None) -> None:
    assert read_verdict(reply) == verdict


@pytest.mark.parametrize(
    "prefix", ["us", "eu", "jp", "au", "ca", "in", "mx", "apac", "global", "us-gov", "sa"]
)
def test_the_family_is_seen_through_every_prefix_of_a_profile(prefix: str) -> None:
    profile = f"{prefix}.anthropic.claude-opus-4-7"
    assert (family(profile), base_model_id(profile)) == ("anthropic", "anthropic.claude-opus-4-7")
    assert is_profile(profile)
    assert is_profile(f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{profile}")
    assert not is_profile("anthropic.claude-opus-4-7")
    assert not is_profile("amazon.nova-pro-v1:0")
