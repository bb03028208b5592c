"""Walks the chain of digests from the live model back to its data, and names every link that does not hold.

    pointer -> host -> model -> job -> training file
    ledger entry -> outcome -> next entry;  entry -> decision -> scorecard;  entry -> manifest -> train, held-out

Takes the ledger's history, a reader of objects and looks into the account, all passed in; hands on `Broken` links: a
changed byte, a missing object, a model or pointer swapped by hand. Nothing is repaired. Digests and ARNs only, no text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_distill.stages.deployment.ledger import Entry, History
from airflow_distill.stages.deployment.records import Evidence, Host, HostKind, Live, Pointer
from airflow_distill.stages.digest import sha256_hex


@dataclass(frozen=True, slots=True)
class Broken:
    """One link that does not hold.

    :param link: which one, such as `decision` or `host serves model`.
    :param where: URI or ARN to look at.
    """

    release: int
    link: str
    where: str
    expected: str
    found: str
    meaning: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Looks:
    """How the chain is read. Each returns None only when the service says that there is nothing of the name."""

    read: Callable[[str], bytes | None]
    job: Callable[[str], Mapping[str, Any] | None]
    model: Callable[[str], Mapping[str, Any] | None]
    host: Callable[[HostKind, str], Host | None]
    pointer: Callable[[], Pointer | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and what does not hold."""

    workload: str
    live: int | None
    releases: tuple[int, ...]
    checked: int
    broken: tuple[Broken, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "workload": self.workload,
            "live": self.live,
            "releases": list(self.releases),
            "checked": self.checked,
            "broken": [b.to_json() for b in self.broken],
        }


def verify(workload: str, history: History, looks: Looks, *, every_release: bool = False) -> Verification:
    """Check the ledger's own chain, the evidence of the live release, and the account against it.

    :param every_release: check the evidence of all releases that were ever live, not only of the live one.
    """
    live = history.live()
    chosen = [release.release for release in history.releases()] if every_release else []
    chosen = chosen or ([live.release] if live else [])
    links = [*_chain(history)]
    for number in chosen:
        entry = history.entry(number)
        if entry is not None:
            links += _evidence(entry, looks)
            links += _origin(entry, looks)
    links += _account(live, looks, workload)
    broken = tuple(link for link in links if link is not None)
    return Verification(workload, live.release if live else None, tuple(chosen), len(links), broken)


Link = Broken | None


def _same(release: int, link: str, where: str, expected: str, found: str, meaning: str) -> Link:
    return None if expected == found else Broken(release, link, where, expected, found, meaning)


def _chain(history: History) -> Iterator[Link]:
    """Each entry names the digest of the one before; each outcome that of its entry."""
    before: Entry | None = None
    for entry in history.entries:
        number = entry.release.release
        expected = 1 if before is None else before.release.release + 1
        yield _same(number, "number", f"release {number}", str(expected), str(number), "an entry is missing")
        yield _same(
            number,
            "previous entry",
            f"release {number - 1}",
            entry.release.previous_sha256,
            before.chain_sha256 if before else "",
            "the entry before, or its outcome, was changed after this one was written",
        )
        if entry.outcome is not None and entry.outcome.entry_sha256:
            yield _same(
                number,
                "entry",
                f"release {number}",
                entry.outcome.entry_sha256,
                entry.sha256,
                "the entry was changed after its outcome was written",
            )
        before = entry


def _evidence(entry: Entry, looks: Looks) -> Iterator[Link]:
    """Decision, scorecard, manifest and the dataset's files are byte for byte what the release rested on."""
    number, evidence = entry.release.release, entry.release.evidence
    decision = looks.read(evidence.decision_uri) if evidence.decision_uri else None
    yield _bytes(number, "decision", evidence.decision_uri, evidence.decision_sha256, decision)
    if decision is not None:
        yield from _decided(number, entry, evidence, decision)
    scorecard = looks.read(evidence.scorecard_uri) if evidence.scorecard_uri else None
    yield _bytes(number, "scorecard", evidence.scorecard_uri, evidence.scorecard_sha256, scorecard)
    manifest = looks.read(evidence.manifest_uri) if evidence.manifest_uri else None
    yield _bytes(number, "manifest", evidence.manifest_uri, evidence.manifest_sha256, manifest)
    for name, part in _files(manifest):
        yield _bytes(number, name, part["uri"], part["sha256"], looks.read(part["uri"]))
    said = _json(decision) if decision is not None else {}
    judged = dict(_files(manifest)).get("held-out file")
    if said.get("heldout_sha256") and judged is not None:
        yield _same(
            number, "decision names heldout_sha256", evidence.decision_uri, str(judged["sha256"]),
            str(said["heldout_sha256"]), "the decision was made on other held-out prompts",
        )  # fmt: skip
    folder = evidence.decision_uri.rpartition("/")[0]
    for role, sha256 in sorted((said.get("answers_sha256") or {}).items()):
        uri = f"{folder}/answers/{role}.jsonl"
        raw = looks.read(uri)
        if raw is not None:  # answers may have been retired; those that are there must be the ones judged
            yield _bytes(number, f"answers of {role}", uri, str(sha256), raw)


def _bytes(number: int, link: str, uri: str, sha256: str, raw: bytes | None) -> Link:
    if raw is None:
        return Broken(number, link, uri, sha256, "", "the object is missing")
    return _same(number, link, uri, sha256, sha256_hex(raw), "the object's bytes were changed")


def _decided(number: int, entry: Entry, evidence: Evidence, raw: bytes) -> Iterator[Link]:
    said = _json(raw)
    expected = {
        "model_arn": entry.release.target.model_arn,
        "dataset_id": evidence.dataset_id,
        "scorecard_sha256": evidence.scorecard_sha256,
    }
    for name, value in expected.items():
        if said.get(name):
            yield _same(
                number, f"decision names {name}", evidence.decision_uri, value, str(said[name]),
                "the decision was made about something else",
            )  # fmt: skip


def _files(manifest: bytes | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    body = _json(manifest) if manifest is not None else {}
    for name, title in (("train", "training file"), ("heldout", "held-out file")):
        part = body.get(name)
        if isinstance(part, Mapping) and part.get("uri"):
            yield title, part


def _origin(entry: Entry, looks: Looks) -> Iterator[Link]:
    """The model comes from the job, and the job from the manifest's training file."""
    number, evidence, model_arn = (
        entry.release.release,
        entry.release.evidence,
        entry.release.target.model_arn,
    )
    model = looks.model(model_arn)
    if model is None:
        yield Broken(
            number, "model", model_arn, model_arn, "", "the model was deleted: this release cannot come back"
        )
    elif evidence.job_arn and model.get("jobArn"):
        yield _same(
            number, "model comes from job", model_arn, evidence.job_arn, str(model["jobArn"]),
            "another job made the model",
        )  # fmt: skip
    if not evidence.job_arn:
        return
    job = looks.job(evidence.job_arn)
    if job is None:
        yield Broken(number, "job", evidence.job_arn, evidence.job_arn, "", "the account knows no such job")
        return
    yield _same(
        number, "job made model", evidence.job_arn, model_arn, str(job.get("outputModelArn") or ""),
        "the job made another model",
    )  # fmt: skip
    trained_on = str((job.get("trainingDataConfig") or {}).get("s3Uri") or "")
    manifest = looks.read(evidence.manifest_uri) if evidence.manifest_uri else None
    for title, part in _files(manifest):
        if title == "training file" and trained_on:
            yield _same(
                number, "job trained on", evidence.job_arn, str(part["uri"]), trained_on,
                "the job was trained on another file",
            )  # fmt: skip


def _account(live: Live | None, looks: Looks, workload: str) -> Iterator[Link]:
    """Pointer and host are what the ledger says is live."""
    pointer = looks.pointer()
    if live is None:
        if pointer is not None:
            yield Broken(
                0, "pointer", pointer.name, "", pointer.host_arn, "a pointer exists and no release is live"
            )
        return
    number = live.release
    if pointer is None:
        yield Broken(number, "pointer", workload, live.host_arn, "", "the pointer is missing")
    else:
        swapped = "the pointer was changed by hand"
        yield _same(number, "pointer names release", pointer.name, str(number), str(pointer.release), swapped)
        yield _same(number, "pointer names host", pointer.name, live.host_arn, pointer.host_arn, swapped)
        yield _same(
            number, "pointer names model", pointer.name, live.target.model_arn, pointer.model_arn, swapped
        )
    host = looks.host(live.host_kind, live.host_arn)
    if host is None:
        yield Broken(number, "host", live.host_arn, live.host_arn, "", "the host was deleted")
        return
    yield _same(
        number, "host serves model", host.arn, live.target.model_arn, host.model_arn,
        "the model behind the host was swapped by hand",
    )  # fmt: skip
    if host.state(live.target.model_arn) not in {"ready", "other-model"}:
        yield Broken(number, "host", host.arn, "ready", host.status, "the host does not answer as it should")


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}


def render_verification(result: Verification) -> str:
    """Return the result as text for people."""
    lines = [
        f"{b.link} (release {b.release}): {b.meaning}\n  at       {b.where}\n"
        f"  expected {b.expected or 'nothing'}\n  found    {b.found or 'nothing'}"
        for b in result.broken
    ]
    live = f"release {result.live} is live" if result.live else "nothing is live"
    verdict = "all hold" if not result.broken else f"{len(result.broken)} do not hold"
    return (
        "\n".join([*lines, f"{result.workload}: {live}; {result.checked} links checked, {verdict}."]) + "\n"
    )
