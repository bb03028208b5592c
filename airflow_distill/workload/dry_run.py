"""What a run would refuse of workload files that read well, told by `airflow-distill workload lint` before anything runs.

Takes `Workload`s, hands on problems. The job's request is built and checked as the operator does it, the promotion policy
is made, and what is imported by path is imported in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from airflow_distill.errors import DistillError
from airflow_distill.remote.identity import resource_tags
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.jobs.request import check_spec
from airflow_distill.workload import tasks
from airflow_distill.workload.config import Workload
from airflow_distill.workload.import_check import Asked, unfit_paths
from airflow_distill.workload.reading import Mark, Problem, Read
from airflow_distill.workload.tasks.dataset import form_of


def imagined_receipt(workload: Workload) -> dict[str, Any]:
    """Return the receipt of a dataset as large as the file allows; its id shows where the real one will stand."""
    dataset = workload.dataset
    return {
        "dataset_id": "example",
        "train_uri": f"{workload.root}/{workload.name}/datasets/example/train.jsonl",
        "train_records": round(dataset.size * (1 - dataset.heldout)),
        "with_answers": dataset.source == "curated-with-answers",
        "form": form_of(workload) or "conversation",
    }


def late_problems(found: Iterable[Read]) -> list[Problem]:
    """Return what runs of these workloads would stumble over."""
    sound = [(read, read.workload) for read in found if read.workload is not None]
    wrong = unfit_paths(pair for _, workload in sound for _, pair in _imported(workload))
    problems = []
    for read, workload in sound:
        mark = Mark(str(read.path), 1, 1)
        problems += [
            Problem(mark, setting, wrong[pair]) for setting, pair in _imported(workload) if pair in wrong
        ]
        problems += [Problem(mark, setting, message, fix) for setting, message, fix in _refused(workload)]
    return problems


def _imported(workload: Workload) -> Iterator[tuple[str, Asked]]:
    for number, path in enumerate(workload.dataset.detectors):
        yield f"dataset.detectors[{number}]", ("detector", path)
    for number, spec in enumerate(workload.evaluation.scorers):
        if isinstance(spec, dict) and spec["kind"] == "function":
            yield f"evaluation.scorers[{number}]", ("scorer", spec["path"])
    for number, alert in enumerate(workload.alerts):
        yield f"alerts[{number}].notifier", ("notifier", alert.notifier)


def _refused(workload: Workload) -> Iterator[tuple[str, str, str]]:
    try:
        PromotionPolicy.from_json(tasks.policy(workload))
    except DistillError as error:
        yield "policy", error.message, error.hint
    try:
        spec = tasks.job_spec(
            workload, imagined_receipt(workload), resource_tags(workload.name, "plan", workload.owner)
        )
    except DistillError as error:
        yield "", error.message, error.hint
        return
    for problem in check_spec(spec, allow_unlisted_pair=workload.allow_unlisted_pair):
        yield "", f"the job's {problem.path} {problem.message}", problem.fix
