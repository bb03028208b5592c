"""Names and request tokens of everything we create, as pure functions of what is wanted.

Equal wishes get equal names, on any machine, in any try, so that a later try finds what an earlier one bought. Each
kind of name has its own rule at the service; every name here satisfies the strictest of them: lower case, digits and
single hyphens, at most 63 characters, a letter or digit at both ends.

A name is `<workload>-<purpose><fingerprint>-<generation>`: readable first, unique by the fingerprint. The generation is
raised only when the service says that the one before failed or was stopped. Changing anything in this module would make
running jobs unfindable; the tests pin its results.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

NAME_LIMIT = 63
_FINGERPRINT = 16
_NOT_NAME = re.compile(r"[^a-z0-9]+")
_NOT_TAG = re.compile(r"[^a-zA-Z0-9\s._:/=+@-]")

TAG_WORKLOAD = "airflow-distill:workload"
TAG_ROOT = "airflow-distill:root"
TAG_RUN = "airflow-distill:run"
TAG_AIRFLOW = "airflow-distill:airflow"
TAG_OWNER = "airflow-distill:owner"
TAG_EXPIRES_AT = "airflow-distill:expires-at"
TAG_DATASET = "airflow-distill:dataset"
TAG_RELEASE = "airflow-distill:release"
TAG_TEMPORARY = "airflow-distill:temporary"


def fingerprint(*parts: Any, length: int = _FINGERPRINT) -> str:
    """Return the first `length` hex digits of the SHA-256 of plain data; key order and tuples do not matter."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def slug(text: str, limit: int) -> str:
    """Return the text as lower-case letters, digits and single hyphens; never empty, never ending in a hyphen."""
    folded = _NOT_NAME.sub("-", text.lower()).strip("-")[: max(limit, 1)].strip("-")
    return folded or "x"


def _name(workload: str, purpose: str, mark: str, generation: int) -> str:
    if generation < 1:
        raise ValueError("a generation counts from 1")
    tail = f"-{purpose}{mark}-{generation}"
    return slug(workload, NAME_LIMIT - len(tail)) + tail


def root_mark(root: str) -> str:
    """Return a root's short digest; empty for no root. A slash at its end does not matter.

    >>> root_mark("s3://bucket/distill/") == root_mark("s3://bucket/distill")
    True
    """
    bare = root.rstrip("/")
    return fingerprint("root", bare, length=12) if bare else ""


def root_tag(root: str) -> str:
    """Return the value of the root tag: the digest that decides, and the URI for people."""
    return f"{root_mark(root)} {root.rstrip('/')}" if root else ""


def _of_root(root: str) -> tuple[str, ...]:
    """Return what a root adds to a fingerprint. Names made without a root are those of versions before 1.0."""
    return ("root", root_mark(root)) if root else ()


def _job_mark(
    workload: str,
    dataset_id: str,
    teacher: str,
    student: str,
    parameters: Mapping[str, Any] | None,
    root: str,
) -> str:
    parts = ("job", workload, dataset_id, teacher, student, dict(parameters or {}))
    return fingerprint(*parts, *_of_root(root))


def job_name(
    workload: str,
    dataset_id: str,
    teacher: str,
    student: str,
    parameters: Mapping[str, Any] | None = None,
    generation: int = 1,
    *,
    root: str = "",
) -> str:
    """Return the customization job's name.

    :param parameters: what else changes the resulting model, as plain data; not roles, tags or places.
    :param root: the root's URI: two roots in one account never share a name.
    :param generation: 1 for the first purchase, raised after the service says failed or stopped.
    """
    return _name(
        workload, "j", _job_mark(workload, dataset_id, teacher, student, parameters, root), generation
    )


def custom_model_name(
    workload: str,
    dataset_id: str,
    teacher: str,
    student: str,
    parameters: Mapping[str, Any] | None = None,
    generation: int = 1,
    *,
    root: str = "",
) -> str:
    """Return the custom model's name; it changes with the generation because a failed job may keep it taken."""
    return _name(
        workload, "m", _job_mark(workload, dataset_id, teacher, student, parameters, root), generation
    )


def evaluation_name(
    workload: str,
    dataset_id: str,
    model: str,
    parameters: Mapping[str, Any] | None = None,
    generation: int = 1,
    *,
    root: str = "",
) -> str:
    """Return the name of an evaluation job or batch inference job: one model, one dataset, one set of settings."""
    return _name(
        workload,
        "e",
        fingerprint("evaluation", workload, dataset_id, model, dict(parameters or {}), *_of_root(root)),
        generation,
    )


def host_name(
    workload: str, purpose: str = "live", key: str = "", generation: int = 1, *, root: str = ""
) -> str:
    """Return the name of provisioned throughput or of a custom model deployment.

    :param purpose: `live` for the permanent host that keeps its address, `candidate` for one that is evaluated and removed.
    :param key: what tells candidates apart, such as the model's ARN; leave it empty for the live host.
    """
    return _name(
        workload,
        f"{slug(purpose, 12)}-",
        fingerprint("host", workload, purpose, key, *_of_root(root)),
        generation,
    )


def copy_name(workload: str, model_arn: str, region: str, generation: int = 1, *, root: str = "") -> str:
    """Return the target model's name of a copy into a Region."""
    return _name(workload, "c", fingerprint("copy", workload, model_arn, region, *_of_root(root)), generation)


def request_token(operation: str, name: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Return the client request token of a create call: the service ignores a second request with the same one.

    :param operation: the API operation, so that one name used for two kinds of thing gives two tokens.
    :param name: the created thing's name, which carries identity and generation.
    """
    return fingerprint("token", operation, name, dict(parameters or {}), length=48)


def compact_time(moment: datetime) -> str:
    """Return a UTC time as `20261123T000000Z`, the one spelling that keys and tags may hold."""
    return moment.strftime("%Y%m%dT%H%M%SZ")


def tag_value(text: str) -> str:
    """Return the text as the service accepts it in a tag value: other characters become `_`, at most 256 of them."""
    return _NOT_TAG.sub("_", text)[:256]


def run_tag(dag_id: str, run_id: str) -> str:
    """Return what names a Dag run in tags and releases: `dag_id/run_id`.

    Where the tag rules would alter or cut it, a fingerprint keeps two runs apart.
    """
    text = f"{dag_id}/{run_id}"
    value = tag_value(text)
    return value if value == text else f"{value[: 255 - _FINGERPRINT]}-{fingerprint(text)}"


def runner_name(run: str, airflow: str) -> str:
    """Return what names a Dag run among those of all Airflows that share a root: `airflow@dag_id/run_id`.

    :param run: see `run_tag`.
    :param airflow: the id of the Airflow that runs it; empty where it is not known, such as the command line.
    """
    return f"{airflow}@{run}" if airflow else run


def run_and_airflow(runner: str) -> tuple[str, str]:
    """Return the Dag run and the id of its Airflow, which `runner_name` has put together.

    >>> run_and_airflow("9f3ab0c2d4e5f607@loop/manual__1")
    ('loop/manual__1', '9f3ab0c2d4e5f607')
    """
    airflow, at, run = runner.partition("@")
    return (run, airflow) if at and "/" not in airflow else (runner, "")


def is_same_runner(one: str, other: str) -> bool:
    """Say whether two names mean one Dag run; a name of a version that did not know its Airflow fits any."""
    (run, airflow), (other_run, other_airflow) = run_and_airflow(one), run_and_airflow(other)
    return run == other_run and (airflow == other_airflow or not airflow or not other_airflow)


def resource_tags(
    workload: str,
    run: str,
    owner: str,
    expires_at: datetime | str | None = None,
    *,
    dataset_id: str | None = None,
    release: int | None = None,
    temporary: bool = False,
    root: str = "",
    airflow: str = "",
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the tags that every created resource carries; without them the reaper would not dare to touch it.

    :param run: the Dag run; see `run_tag`.
    :param expires_at: after which nobody should miss the resource; a time in UTC or its compact spelling.
    :param root: the root's URI; with the workload it says whose the resource is, see `remote.ownership`.
    :param airflow: the id of the Airflow that made it; empty for what a person makes.
    :param extra: the user's own tags; they cannot replace ours.
    """
    expiry = compact_time(expires_at) if isinstance(expires_at, datetime) else expires_at
    ours = {
        TAG_WORKLOAD: workload,
        TAG_ROOT: root_tag(root),
        TAG_RUN: run,
        TAG_AIRFLOW: airflow,
        TAG_OWNER: owner,
        TAG_EXPIRES_AT: expiry,
        TAG_DATASET: dataset_id,
        TAG_RELEASE: None if release is None else str(release),
        TAG_TEMPORARY: "true" if temporary else None,
    }
    tags = {str(k): tag_value(str(v)) for k, v in (extra or {}).items()}
    tags.update({key: tag_value(value) for key, value in ours.items() if value})
    return tags


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as the API's list of pairs, in a stable order."""
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]
