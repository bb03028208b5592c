"""Which teacher may teach which student, where, and how the result can be served.

Reads the table in force (`stages.model_table`). A pair that is not listed is refused by `doctor` and by the operators
before anything is paid; `allow_unlisted_pair` lets a user who knows better go on, who then names the host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from airflow_distill.stages.model_table import (
    Form,
    HostKind,
    Pair,
    Trust,
    in_force,
    is_application_profile,
    packaged,
)

__all__ = [
    "DEPLOYMENT_REGIONS",
    "PAIRS",
    "HostKind",
    "Method",
    "Pair",
    "Trust",
    "base_model_id",
    "deployment_regions",
    "family",
    "find_pair",
    "fine_tuned",
    "fine_tuning_form",
    "hosts_of",
    "is_application_profile",
    "is_profile",
    "job_region",
    "model_end",
    "most_fine_tuning_records",
    "strip_arn",
    "students_of",
]

_FOUNDATION_ARN = re.compile(r"^arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]*::foundation-model/(.+)$")
_PROFILE_ARN = re.compile(r"^arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]*:\d{12}:inference-profile/(.+)$")
_CONTEXT = re.compile(r":\d+[km]$")

Method = Literal["distillation", "fine-tuning"]

PAIRS: tuple[Pair, ...] = packaged().pairs
"""Every pair of the packaged table; those with trust "withdrawn" cannot be used today."""

DEPLOYMENT_REGIONS: tuple[str, ...] = packaged().deployment_regions
"""Regions with on-demand custom model deployments, by the packaged table."""


def strip_arn(identifier: str) -> str:
    """Return the model or profile id inside a foundation-model or system-profile ARN; other text is unchanged."""
    for pattern in (_FOUNDATION_ARN, _PROFILE_ARN):
        match = pattern.match(identifier)
        if match:
            return match.group(1)
    return identifier


def is_profile(identifier: str) -> bool:
    """Say whether this names a system inference profile, as an id (`us.amazon...`) or an ARN."""
    return bool(_PROFILE_ARN.match(identifier) or in_force().prefix.match(strip_arn(identifier)))


def base_model_id(identifier: str) -> str:
    """Return the bare model id: no ARN, no profile prefix, no context suffix such as `:128k`."""
    return _CONTEXT.sub("", in_force().prefix.sub("", strip_arn(identifier)))


def family(identifier: str) -> str:
    """Return the provider's prefix of a model, such as `amazon` or `meta`; empty when there is none."""
    head, dot, _ = base_model_id(identifier).partition(".")
    return head if dot else ""


def find_pair(teacher: str, student: str) -> Pair | None:
    """Return the table's row for a teacher and a student, whichever way the teacher is written.

    The student needs its context suffix: the service refuses it without.
    """
    wanted = (base_model_id(teacher), strip_arn(student))
    return next((p for p in in_force().pairs if (p.teacher, p.student) == wanted), None)


def students_of(teacher: str) -> tuple[str, ...]:
    """Return the students a teacher may teach today."""
    base = base_model_id(teacher)
    return tuple(p.student for p in in_force().pairs if p.teacher == base and p.trust != "withdrawn")


def fine_tuned() -> Mapping[str, str]:
    """Return the students that can be fine-tuned, each with the Region of its jobs."""
    return in_force().fine_tuning


def fine_tuning_form(student: str) -> Form:
    """Return the form of a line of fine-tuning data for a student; that of conversations where no document says."""
    known = in_force().families.get(family(student))
    return known.fine_tuning or "conversation" if known else "conversation"


def most_fine_tuning_records(student: str) -> int | None:
    """Return how many records a fine-tuning job of a student takes; None where no document says."""
    known = in_force().families.get(family(student))
    return known.most_records if known else None


def is_profile_only(base_id: str) -> bool:
    """Say whether the table knows a base model to answer only through a system inference profile."""
    found = in_force().model(base_id)
    return found is not None and found.profile_only


def hosts_of(student: str) -> tuple[HostKind, ...]:
    """Return how a student's custom model can be served; empty when the tables do not say."""
    found = in_force().model(base_model_id(student))
    return found.hosts if found else ()


def job_region(teacher: str, student: str, method: Method = "distillation") -> str | None:
    """Return the Region in which the job runs, or None when the tables do not list pair or student."""
    if method == "fine-tuning":
        return fine_tuned().get(strip_arn(student))
    pair = find_pair(teacher, student)
    return pair.region if pair else None


def deployment_regions() -> tuple[str, ...]:
    """Return the Regions with on-demand custom model deployments."""
    return in_force().deployment_regions


def model_end(model: str) -> datetime | None:
    """Return the day a model's life ends by the table of models, or None when it names none."""
    found = in_force().model(base_model_id(model))
    return datetime.fromisoformat(found.ends).replace(tzinfo=UTC) if found and found.ends else None
