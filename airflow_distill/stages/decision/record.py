"""The decision record: made from a verdict, written once, read back with its id checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_distill.errors import StateError
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.decision.records import Approval, DecisionRecord, Verdict
from airflow_distill.stages.digest import canonical_json, json_object, sha256_hex
from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.money.records import Costs
from airflow_distill.stages.storage import ObjectExistsError, ObjectMissingError, ObjectStore


def make_record(
    scorecard: Scorecard,
    policy: PromotionPolicy,
    verdict: Verdict,
    *,
    approval: Approval,
    scorecard_uri: str,
    scorecard_sha256: str,
    decided_at: str,
    job_arn: str = "",
    costs: Costs | None = None,
    manifest_sha256: str = "",
    incumbent_release: int | None = None,
    incumbent_host: str = "",
    approval_rule: Mapping[str, Any] | None = None,
) -> DecisionRecord:
    """Return the record of a decision; `decided_at` is ISO 8601 UTC and passed in.

    :param manifest_sha256: digest of the dataset's manifest; a promotion asks for it.
    :param incumbent_release: the release that was live, `incumbent_host` its host; None and empty when there was none.
    :param approval_rule: the rule that says when a person must agree, as plain data.
    """
    if verdict.policy_digest != policy.digest or verdict.dataset_id != scorecard.dataset_id:
        raise StateError("decision: the verdict was reached under another policy or dataset.")
    return DecisionRecord(
        workload=scorecard.workload,
        verdict=verdict,
        approval=approval,
        policy=policy.to_json(),
        evaluation_id=scorecard.evaluation_id,
        dataset_id=scorecard.dataset_id,
        heldout_sha256=scorecard.heldout_sha256,
        model_arn=scorecard.models.get("student", ""),
        scorecard_uri=scorecard_uri,
        scorecard_sha256=scorecard_sha256,
        decided_at=decided_at,
        incumbent=scorecard.models.get("incumbent", ""),
        job_arn=job_arn,
        answers_sha256=dict(scorecard.answers_sha256),
        costs=costs,
        manifest_sha256=manifest_sha256,
        incumbent_release=incumbent_release,
        incumbent_host=incumbent_host,
        approval_rule=dict(approval_rule or {}),
    )


def write_once(store: ObjectStore, uri: str, record: DecisionRecord) -> tuple[DecisionRecord, str]:
    """Write the record unless one is there, and return the one that stands with its SHA-256.

    A retry of the same decision finds its first record, with the first approver and time, and returns that. A record
    of another decision in its place is an error: what was decided is never changed.
    """
    data = canonical_json(record.to_json())
    try:
        store.write(uri, data, if_absent=True)
    except ObjectExistsError:
        standing, sha256 = read_record(store, uri)
        if standing.decision_id != record.decision_id:
            raise StateError(
                "decision: another decision is already recorded in this place.",
                hint="Evidence or policy changed after a decision; evaluate again under a new evaluation id.",
            ) from None
        return standing, sha256
    return record, sha256_hex(data)


def write_decision(
    store: ObjectStore, folder: str, record: DecisionRecord
) -> tuple[str, DecisionRecord, str]:
    """Write a decision into its scorecard's folder; return where, the record that stands there and its SHA-256.

    The first decision on a scorecard is `decision.json`. Another one, under another policy or approval rule, or on other
    facts about what is live, lies beside it under its own id: nothing is overwritten, and a retry finds its own record.
    """
    first = f"{folder}/decision.json"
    try:
        standing, sha256 = read_record(store, first)
    except ObjectMissingError:
        try:
            return (first, *write_once(store, first, record))
        except StateError:  # somebody else was first, with another decision, or with what cannot be read
            standing, sha256 = read_record(store, first)
    if standing.decision_id == record.decision_id:
        return first, standing, sha256
    own = f"{folder}/decision-{record.decision_id[:16]}.json"
    return (own, *write_once(store, own, record))


def read_record(store: ObjectStore, uri: str) -> tuple[DecisionRecord, str]:
    """Return a stored record and the SHA-256 of its bytes; a record that does not fit its own id is refused."""
    data = store.read(uri)
    try:
        return DecisionRecord.from_json(json_object(data)), sha256_hex(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"decision: the record at its place cannot be read ({type(error).__name__})."
        ) from None
