"""Which teacher may teach which student, where, and how the result can be served.

The service has no call that returns pairs, so they are written down here, with how far each fact is to be trusted. A pair
that is not listed is refused by `doctor` and by the operators before anything is paid; `allow_unlisted_pair` lets a user
who knows better go on. The tables follow AWS's documentation pages as of October 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

HostKind = Literal["provisioned-throughput", "custom-model-deployment"]
Trust = Literal["documented", "derived", "withdrawn"]

# `us.`, `jp.`, `us-gov.`: any two letters, alone or with more, before a provider; new ones keep coming.
_PROFILE = re.compile(r"^(?:[a-z]{2}(?:-[a-z]{2,4})?|apac|global)\.(?=[a-z0-9-]+\.)")
_FOUNDATION_ARN = re.compile(r"^arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]*::foundation-model/(.+)$")
_PROFILE_ARN = re.compile(r"^arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]*:\d{12}:inference-profile/(.+)$")
_APPLICATION_PROFILE = re.compile(r":application-inference-profile/")
_CONTEXT = re.compile(r":\d+[km]$")


@dataclass(frozen=True, slots=True)
class Pair:
    """A teacher and a student that one job may join.

    :param profile_only: the teacher answers only through a system inference profile (`us.<id>`).
    :param region: where the job runs.
    """

    teacher: str
    student: str
    region: str
    profile_only: bool = False
    on_demand_only: bool = False
    trust: Trust = "documented"


def _pairs() -> Iterator[Pair]:
    nova, llama = "us-east-1", "us-west-2"
    lite, micro = "amazon.nova-lite-v1:0:300k", "amazon.nova-micro-v1:0:128k"
    for student in (lite, micro):
        yield Pair("amazon.nova-pro-v1:0", student, nova)
    for student in (lite, micro, "amazon.nova-pro-v1:0:300k"):
        yield Pair("amazon.nova-premier-v1:0", student, nova, profile_only=True)
    l8, l70 = "meta.llama3-1-8b-instruct-v1:0:128k", "meta.llama3-1-70b-instruct-v1:0:128k"
    l1, l3 = "meta.llama3-2-1b-instruct-v1:0:128k", "meta.llama3-2-3b-instruct-v1:0:128k"
    l33 = "meta.llama3-3-70b-instruct-v1:0:128k"
    for student in (l8, l70, l1, l33):
        yield Pair("meta.llama3-1-405b-instruct-v1:0", student, llama, on_demand_only=True)
    for student in (l8, l1, l3):
        yield Pair("meta.llama3-1-70b-instruct-v1:0", student, llama)
        yield Pair("meta.llama3-3-70b-instruct-v1:0", student, llama, profile_only=True)
    haiku = "anthropic.claude-3-haiku-20240307-v1:0:200k"
    for teacher in ("anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20241022-v2:0"):
        yield Pair(teacher, haiku, llama, trust="withdrawn")


PAIRS: tuple[Pair, ...] = tuple(_pairs())
"""Every pair ever documented; those with trust "withdrawn" cannot be used today."""

_BOTH: tuple[HostKind, ...] = ("provisioned-throughput", "custom-model-deployment")
HOSTS: Mapping[str, tuple[HostKind, ...]] = {
    "amazon.nova-micro-v1:0": _BOTH,
    "amazon.nova-lite-v1:0": _BOTH,
    "amazon.nova-pro-v1:0": _BOTH,
    "meta.llama3-3-70b-instruct-v1:0": ("custom-model-deployment",),
    "meta.llama3-1-8b-instruct-v1:0": ("provisioned-throughput",),
    "meta.llama3-1-70b-instruct-v1:0": ("provisioned-throughput",),
    "meta.llama3-2-1b-instruct-v1:0": ("provisioned-throughput",),
    "meta.llama3-2-3b-instruct-v1:0": ("provisioned-throughput",),
}
"""Student (without context suffix) -> how its custom model can be served. Derived from two documentation tables."""

DEPLOYMENT_REGIONS = ("us-east-1", "us-west-2")
"""Regions with on-demand custom model deployments (documented)."""


def strip_arn(identifier: str) -> str:
    """Return the model or profile id inside a foundation-model or system-profile ARN; other text is unchanged."""
    for pattern in (_FOUNDATION_ARN, _PROFILE_ARN):
        match = pattern.match(identifier)
        if match:
            return match.group(1)
    return identifier


def is_application_profile(identifier: str) -> bool:
    """Say whether this names an application inference profile, which cannot be a teacher."""
    return bool(_APPLICATION_PROFILE.search(identifier))


def is_profile(identifier: str) -> bool:
    """Say whether this names a system inference profile, as an id (`us.amazon...`) or an ARN."""
    return bool(_PROFILE_ARN.match(identifier) or _PROFILE.match(strip_arn(identifier)))


def base_model_id(identifier: str) -> str:
    """Return the bare model id: no ARN, no profile prefix, no context suffix such as `:128k`."""
    return _CONTEXT.sub("", _PROFILE.sub("", strip_arn(identifier)))


def family(identifier: str) -> str:
    """Return the provider's prefix of a model, such as `amazon` or `meta`; empty when there is none."""
    head, dot, _ = base_model_id(identifier).partition(".")
    return head if dot else ""


def find_pair(teacher: str, student: str) -> Pair | None:
    """Return the table's row for a teacher and a student, whichever way the teacher is written.

    The student needs its context suffix: the service refuses it without.
    """
    wanted = (base_model_id(teacher), strip_arn(student))
    return next((p for p in PAIRS if (p.teacher, p.student) == wanted), None)


def students_of(teacher: str) -> tuple[str, ...]:
    """Return the students a teacher may teach today."""
    base = base_model_id(teacher)
    return tuple(p.student for p in PAIRS if p.teacher == base and p.trust != "withdrawn")


def hosts_of(student: str) -> tuple[HostKind, ...]:
    """Return how a student's custom model can be served; empty when the tables do not say."""
    return HOSTS.get(base_model_id(student), ())


def job_region(teacher: str, student: str) -> str | None:
    """Return the Region in which the pair's job runs, or None when the pair is not listed."""
    pair = find_pair(teacher, student)
    return pair.region if pair else None
