"""The error tree: every class is drawn, says what a retry does, and survives a trip between processes."""

from __future__ import annotations

import inspect
import pickle

import pytest

from airflow_distill import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.DistillError)
]

EXTRA = {
    errors.DatasetTooSmallError: {"usable": 80, "needed": 100},
    errors.DatasetRejectedError: {
        "counts": {"empty_text": 2},
        "findings": ({"line": 3, "code": "empty_text"},),
    },
}


def build(kind: type[errors.DistillError]) -> errors.DistillError:
    extra = dict(EXTRA.get(kind, {}))
    if issubclass(kind, errors.ServiceError):
        extra = {
            "operation": "GetCustomModel",
            "code": "ThrottlingException",
            "request_id": "r-1",
            "status": 429,
        }
    if issubclass(kind, errors.JobError):
        extra = {"snapshot": {"status": "Failed"}}
    return kind("jobs: it went wrong.", hint="try this", **extra)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda k: k.__name__)
def test_an_error_survives_pickling_with_all_it_knows(kind: type[errors.DistillError]) -> None:
    error = build(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.__dict__ == error.__dict__
    assert str(again) == "jobs: it went wrong. Hint: try this"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda k: k.__name__)
def test_the_tree_drawn_at_the_top_names_every_class(kind: type[errors.DistillError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    assert inspect.getdoc(kind)


def test_only_errors_that_can_heal_are_retryable() -> None:
    retryable = {kind.__name__ for kind in CLASSES if kind.retryable}
    assert retryable == {
        "ServiceThrottledError",
        "ServiceUnavailableError",
        "ServiceCredentialsError",
        "JobFailedError",
        "StateError",
        "DiskFullError",
        "EvaluationError",
        "ReleaseConflictError",
    }
