"""What a judgement rests on, read back from the bucket and held against the digests that its receipts name.

Takes a store and receipts; hands on manifests, examples, answers, scores and scorecards. Operators and the command line
read the same way. Missing or changed objects are errors that name them; text of prompts and answers is in no message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.errors import ConfigurationError, EvaluationError, StateError
from airflow_distill.stages.digest import Record, record_of, sha256_hex
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.records import DatasetManifest, Example
    from airflow_distill.stages.evaluation.records import Answer, Score, Scorecard


def read_checked(store: ObjectStore, uri: str, sha256: str | None, what: str) -> bytes:
    """Read an object and compare it with the digest that its receipt names.

    :raises EvaluationError: it is gone, or no longer what the receipt says.
    """
    try:
        data = store.read(uri)
    except ObjectMissingError:
        raise EvaluationError(
            f"evaluation: the {what} {uri} is not there.", hint="Run the task that makes it again."
        ) from None
    if sha256 and sha256_hex(data) != sha256:
        raise EvaluationError(
            f"evaluation: the {what} {uri} changed after its receipt was written.",
            hint="Run the task that makes it again, and everything after it.",
        )
    return data


def require(receipt: Any, kind: str, argument: str) -> Mapping[str, Any]:
    """Return a receipt of the wanted kind.

    :raises ConfigurationError: the argument is something else, such as the receipt of another task.
    """
    if isinstance(receipt, Mapping) and receipt.get("kind") == kind:
        return receipt
    found = receipt.get("kind") if isinstance(receipt, Mapping) else type(receipt).__name__
    raise ConfigurationError(
        f"evaluation: {argument} is not the receipt of a {kind} ({found!r}).",
        hint=f"Pass the output of the task that returns a {kind} receipt.",
    )


def load_manifest(store: ObjectStore, dataset: Mapping[str, Any]) -> DatasetManifest:
    """Read the manifest that a dataset receipt names."""
    from airflow_distill.stages.dataset.records import DatasetManifest

    data = read_checked(store, dataset["manifest_uri"], dataset.get("manifest_sha256"), "manifest")
    return _record(data, DatasetManifest.from_json, dataset["manifest_uri"], "manifest")


def _record(data: bytes, read: Callable[[dict[str, Any]], Record], uri: str, what: str) -> Record:
    try:
        return record_of(data, read)
    except ValueError as error:
        raise StateError(
            f"evaluation: the {what} {uri} is {error}.", hint=f"Write the {what} again."
        ) from None


def load_heldout(store: ObjectStore, manifest: DatasetManifest) -> list[Example]:
    """Read the held-out examples of a dataset and check them against the manifest."""
    from airflow_distill.stages.evaluation.collect import read_examples

    return read_examples(read_checked(store, manifest.heldout.uri, manifest.heldout.sha256, "held-out file"))


def model_behind(bedrock: BedrockGateway, address: str) -> str:
    """Return what answers under an address: the custom model behind a host's ARN, or the model id itself."""
    if ":provisioned-model/" in address:
        return str(bedrock.get_provisioned_throughput(address)["modelArn"])
    if ":custom-model-deployment/" in address:
        return str(bedrock.get_deployment(address)["modelArn"])
    return address


def load_answers(store: ObjectStore, receipt: Mapping[str, Any]) -> list[Answer]:
    """Read the stored answers of every role; the teacher's, which lie in the held-out file, are not among them."""
    from airflow_distill.stages.evaluation.collect import read_answers

    answers: list[Answer] = []
    for role, entry in sorted(receipt["roles"].items()):
        if entry.get("source") == "logs":
            continue
        data = read_checked(
            store, entry["answers_uri"], entry.get("answers_sha256"), f"answers of the {role}"
        )
        answers += read_answers(data)
    return answers


def load_scores(store: ObjectStore, receipts: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Read the scores that other tasks (a judge, a Bedrock evaluation job) have stored."""
    from airflow_distill.stages.evaluation.records import Score

    scores: list[Score] = []
    for receipt in receipts:
        data = read_checked(store, receipt["scores_uri"], receipt.get("scores_sha256"), "file of scores")
        what = (receipt["scores_uri"], "file of scores")
        scores += [_record(line, Score.from_json, *what) for line in data.split(b"\n") if line.strip()]
    return scores


def load_scorecard(store: ObjectStore, evaluation: Mapping[str, Any]) -> Scorecard:
    """Read the scorecard that an evaluation receipt names and check its digest."""
    uri = evaluation["scorecard_uri"]
    return scorecard_in(read_checked(store, uri, evaluation.get("scorecard_sha256"), "scorecard"), uri)


def scorecard_in(data: bytes, uri: str) -> Scorecard:
    """Return the scorecard in an object's bytes.

    :raises StateError: they are no scorecard.
    """
    from airflow_distill.stages.evaluation.records import Scorecard

    try:
        return record_of(data, Scorecard.from_json)
    except ValueError as error:
        raise StateError(
            f"decision: the scorecard {uri} is {error}.",
            hint="Score the answers again.",
        ) from None
