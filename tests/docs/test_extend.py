"""The examples of docs/guides/extend.md do what the page says, called the way the loop calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.redact import load_detectors, redact
from airflow_distill.stages.evaluation.scorers.registry import make_scorers
from airflow_distill.workload.import_check import unfit_paths

HERE = "tests.docs.own_parts"


def test_lint_takes_the_three_examples() -> None:
    asked = [
        ("scorer", f"{HERE}:same_amount"),
        ("detector", f"{HERE}:find_policy_numbers"),
        ("notifier", f"{HERE}.FileNotifier"),
    ]
    assert unfit_paths(asked) == {}


def test_lint_refuses_a_detector_where_a_scorer_belongs() -> None:
    asked = ("scorer", f"{HERE}:find_policy_numbers")
    assert "must take (answer, reference, example)" in unfit_paths([asked])[asked]


@pytest.mark.parametrize(
    ("answer", "reference", "score"), [("USD 12.50", "12.50", 1.0), ("13", "12.50", 0.0), ("13", None, None)]
)
def test_the_scorer_scores(answer: str, reference: str | None, score: float | None) -> None:
    (scorer,) = make_scorers([{"kind": "function", "path": f"{HERE}:same_amount"}])
    example = Example((Turn("user", "How much is it?"),), answer=reference)
    assert scorer.score(answer, example) == score  # type: ignore[union-attr]


def test_the_detector_hides_what_it_finds() -> None:
    example = Example((Turn("user", "My policy is AB-12345678."),), answer="ok")
    hidden, counts = redact(example, load_detectors((f"{HERE}:find_policy_numbers",)))
    assert "AB-12345678" not in hidden.turns[0].text
    assert counts["POLICY"] == 1


@pytest.mark.airflow
def test_the_notifier_is_told_the_summary(tmp_path: Path) -> None:
    from airflow_distill.notifications.workload import WorkloadNotifier

    path = tmp_path / "alerts.txt"
    notifier = WorkloadNotifier(
        "support_tickets", "support", "failure", f"{HERE}.FileNotifier", {"path": str(path)}
    )
    notifier.notify({})
    assert path.read_text().startswith("support_tickets: the run failed")
