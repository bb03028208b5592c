"""From the harvest to a checked dataset."""

from __future__ import annotations

from typing import Any

from airflow_distill.stages.jobs.models import fine_tuning_form
from airflow_distill.stages.model_table import Form
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import OPERATORS, given, place_of
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec, asset_of


def form_of(workload: Workload) -> Form | None:
    """Return the form of the training file where it is not the usual one: what the student is fine-tuned on."""
    form = fine_tuning_form(workload.student) if workload.job.method == "fine-tuning" else "conversation"
    return None if form == "conversation" else form


def curation_of(workload: Workload) -> dict[str, Any]:
    """Return how the dataset is made, as `CurateSettings` takes it; salt and detectors aside."""
    dataset = workload.dataset
    return {
        "limit": dataset.size,
        "heldout": dataset.heldout,
        "with_answers": dataset.source == "curated-with-answers",
        "redact": dataset.redact,
        "near_duplicates": None if dataset.near_duplicates == "none" else dataset.near_duplicates,
        "drop_refusals": dataset.drop_refusals,
        "thinking": dataset.thinking,
        "reserved_words": dataset.reserved_words,
        **given(
            balance_by=dataset.balance_by,
            keep=list(dataset.keep),
            golden_share=dataset.golden_share or None,
            feedback=list(dataset.feedback.use) if dataset.feedback else None,
            liked_from=dataset.feedback.liked_from if dataset.feedback else None,
            feedback_name=dataset.feedback.name if dataset.feedback else None,
            form=form_of(workload),
        ),
    }


def dataset_tasks(workload: Workload) -> GroupSpec:
    """Curate what was harvested and check it before anything is paid."""
    dataset = workload.dataset
    live = TaskSpec(
        "find_live",
        f"{OPERATORS}.workload.FindLiveModelOperator",
        place_of(workload),
        makes="live",
        after=("turn", "release_check"),
    )
    arguments = {
        "harvest": Output("harvest"),
        **place_of(workload),
        "teacher": workload.teacher,
        "student": workload.student,
        "salt": workload.salt,
        "settings": curation_of(workload),
        "worth": {"least_new": dataset.least_new},
        "live_manifest": Output("live", "manifest_uri"),
        **given(
            detectors=list(dataset.detectors),
            golden=dataset.golden,
            feedback=dataset.feedback.location if dataset.feedback else None,
            lost=workload.logs.lost if workload.logs else None,
        ),
    }
    curate = TaskSpec("curate", f"{OPERATORS}.dataset.CurateDatasetOperator", arguments, makes="curated")
    check = TaskSpec(
        "check",
        f"{OPERATORS}.dataset.CheckDatasetOperator",
        {"dataset": Output("curated")},
        makes="dataset",
        updates=asset_of("dataset", workload.name),
    )
    return GroupSpec("dataset", (live, curate, check))
