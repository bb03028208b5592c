"""Walks the chain of digests from the live model back to its data, and names every link that does not hold.

    pointer -> ledger's head -> every entry before it;  pointer -> host -> model -> job -> training file
    entry -> outcome -> notes of its checks -> next entry;  entry -> decision -> scorecard;  entry -> manifest -> held-out

Takes the ledger's history, a reader of objects and looks into the account, all passed in; hands on `Broken` links: a
changed byte, a missing object, a model or pointer swapped by hand. What cannot be read is a broken link too, never an
exception. What was expired by a retention rule holds when its copy under `evidence/` does. Nothing is repaired. Digests and
ARNs only, no text.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_distill.errors import DistillError, EvaluationError
from airflow_distill.remote.ownership import Owner
from airflow_distill.stages.decision.records import DecisionRecord
from airflow_distill.stages.deployment.drift import anchor_problem
from airflow_distill.stages.deployment.ledger import Entry, History
from airflow_distill.stages.deployment.records import Evidence, Host, HostKind, Live, Pointer
from airflow_distill.stages.digest import UNFIT, json_object, sha256_hex


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
    """How the chain is read. Each returns None only when the service says that there is nothing of the name.

    :param notes: returns the digests of an entry's notes as they lie there, by name; left out, they are not looked at.
    :param root: the workload's root, for the tags of its host; left out, they are not looked at.
    """

    read: Callable[[str], bytes | None]
    job: Callable[[str], Mapping[str, Any] | None]
    model: Callable[[str], Mapping[str, Any] | None]
    host: Callable[[HostKind, str], Host | None]
    pointer: Callable[[], Pointer | None]
    notes: Callable[[Entry], Mapping[str, str]] | None = None
    root: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and what does not hold.

    :param releases: whose evidence was looked at.
    :param entries: how many releases the ledger has.
    :param unseen: what was not looked at, in words.
    """

    workload: str
    live: int | None
    releases: tuple[int, ...]
    checked: int
    broken: tuple[Broken, ...]
    entries: int = 0
    unseen: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there was no ledger to verify."""
        return not self.entries and not self.broken

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "workload": self.workload,
            "live": self.live,
            "releases": list(self.releases),
            "checked": self.checked,
            "broken": [b.to_json() for b in self.broken],
            "entries": self.entries,
            "unseen": list(self.unseen),
        }


def verify(workload: str, history: History, looks: Looks, *, every_release: bool = False) -> Verification:
    """Check the ledger's own chain, the evidence of the live release, and the account against it.

    :param history: as `Ledger.survey` returns it, flaws and all.
    :param every_release: check the evidence of every release of the ledger, not only of the live one.
    """
    live = history.live()
    numbers = [entry.release.release for entry in history.entries]
    chosen = numbers if every_release else [live.release] if live else []
    links = [*_chain(history), *_noted(history, looks)]
    for number in chosen:
        entry = history.entry(number)
        if entry is not None:
            links += _evidence(entry, looks)
            links += _origin(entry, looks)
    links += _account(history, live, looks, workload)
    broken = tuple(dict.fromkeys(link for link in links if link is not None))
    return Verification(
        workload,
        live.release if live else None,
        tuple(chosen),
        len(links),
        broken,
        len(history.entries),
        tuple(_unseen(history, chosen, looks)),
    )


def _unseen(history: History, chosen: list[int], looks: Looks) -> Iterator[str]:
    rest = [entry.release.release for entry in history.entries if entry.release.release not in chosen]
    if rest:
        yield f"the evidence of release {', '.join(map(str, rest))} (`--all` looks at every release)"
    if history.open is not None:
        number = history.open.release.release
        yield f"how release {number} ends: it is open (`airflow-distill status` says what serves and who works on it)"
    if looks.notes is None:
        yield "the notes of smoke tests and bake periods"
    old = [e.release.release for e in history.entries if not e.release.nonce]
    if old and looks.notes is not None:
        yield f"the notes of release {', '.join(map(str, old))}, which an older version wrote without digests"


Link = Broken | None


def _same(release: int, link: str, where: str, expected: str, found: str, meaning: str) -> Link:
    return None if expected == found else Broken(release, link, where, expected, found, meaning)


def _chain(history: History) -> Iterator[Link]:
    """Number, previous entry and outcome of each entry; the ledger's own flaws are broken links."""
    for flaw in history.flaws:
        yield Broken(flaw.release, flaw.link, flaw.where, flaw.expected, flaw.found, flaw.meaning)
    for _ in range(3 * len(history.entries)):
        yield None


def _noted(history: History, looks: Looks) -> Iterator[Link]:
    """Each note that an outcome names has the digest it had, and none is there that no outcome names."""
    if looks.notes is None:
        return
    for entry in history.entries:
        number, outcome = entry.release.release, entry.outcome
        if outcome is None or not entry.release.nonce:
            continue
        try:
            there = dict(looks.notes(entry))
        except DistillError as error:
            yield Broken(number, "notes", f"release {number}", "readable", "", error.message)
            continue
        for name in sorted({*outcome.notes, *there}):
            yield _same(
                number, f"note {name}", f"release {number}, note {name}", outcome.notes.get(name, ""),
                there.get(name, ""), "what a check found was changed, removed or added after the release ended",
            )  # fmt: skip


def _evidence(entry: Entry, looks: Looks) -> Iterator[Link]:
    """Decision, scorecard, manifest and the dataset's files are byte for byte what the release rested on."""
    number, evidence = entry.release.release, entry.release.evidence
    if entry.release.action == "withdraw":
        return
    decision = yield from _kept(
        number, "decision", evidence.decision_uri, evidence.decision_sha256, evidence.decision_copy, looks
    )
    yield from _kept(
        number, "scorecard", evidence.scorecard_uri, evidence.scorecard_sha256, evidence.scorecard_copy, looks
    )
    manifest = yield from _kept(
        number, "manifest", evidence.manifest_uri, evidence.manifest_sha256, evidence.manifest_copy, looks
    )
    if evidence.heldout_ids_copy:
        raw = looks.read(evidence.heldout_ids_copy)
        sha256 = evidence.heldout_ids_sha256
        yield _bytes(number, "held-out digests", evidence.heldout_ids_copy, sha256, raw)
    if decision is not None:
        yield from _decided(number, entry, evidence, decision)
    for name, uri, sha256 in _files(manifest):
        raw = looks.read(uri)
        # a retention rule may expire the dataset; what judged the release is kept as digests then
        if raw is not None or not evidence.manifest_copy:
            yield _bytes(number, name, uri, sha256, raw)
    said = _json(decision) if decision is not None else {}
    judged = {name: sha256 for name, _, sha256 in _files(manifest)}.get("held-out file")
    if said.get("heldout_sha256") and judged is not None:
        yield _same(
            number, "decision names heldout_sha256", evidence.decision_uri, judged,
            str(said["heldout_sha256"]), "the decision was made on other held-out prompts",
        )  # fmt: skip
    answers = said.get("answers_sha256") or {}
    if not isinstance(answers, Mapping):
        yield Broken(
            number, "answers", evidence.decision_uri, "digests by role", type(answers).__name__,
            "the decision does not name its answers as it should",
        )  # fmt: skip
        return
    folder = evidence.decision_uri.rpartition("/")[0]
    for role, digest in sorted((str(k), str(v)) for k, v in answers.items()):
        uri = f"{folder}/answers/{role}.jsonl"
        raw = looks.read(uri)
        if raw is not None:  # answers may have been retired; those that are there must be the ones judged
            yield _bytes(number, f"answers of {role}", uri, digest, raw)


def _kept(
    number: int, link: str, uri: str, sha256: str, copy: str, looks: Looks
) -> Generator[Link, None, bytes | None]:
    """Check an object and its copy; returns the bytes that the release rests on, from either."""
    raw = looks.read(uri) if uri else None
    kept = looks.read(copy) if copy else None
    if copy:
        yield _bytes(number, f"copy of the {link}", copy, sha256, kept)
    if raw is not None or not copy:
        yield _bytes(number, link, uri, sha256, raw)
    return raw if raw is not None else kept


def _bytes(number: int, link: str, uri: str, sha256: str, raw: bytes | None) -> Link:
    if raw is None:
        return Broken(number, link, uri, sha256, "", "the object is missing")
    return _same(number, link, uri, sha256, sha256_hex(raw), "the object's bytes were changed")


def _decided(number: int, entry: Entry, evidence: Evidence, raw: bytes) -> Iterator[Link]:
    said = _json(raw)
    where = evidence.decision_uri
    if entry.release.nonce:
        yield _record_holds(number, where, raw)
    expected = {
        "workload": entry.release.workload,
        "model_arn": entry.release.target.model_arn,
        "dataset_id": evidence.dataset_id,
        "scorecard_sha256": evidence.scorecard_sha256,
        "manifest_sha256": evidence.manifest_sha256,
        "job_arn": evidence.job_arn,
        "outcome": "promote",
    }
    for name, value in expected.items():
        if said.get(name) or entry.release.nonce:
            yield _same(
                number, f"decision names {name}", where, value, str(said.get(name) or ""),
                "the decision was made about something else",
            )  # fmt: skip


def _record_holds(number: int, where: str, raw: bytes) -> Link:
    try:
        DecisionRecord.from_json(json_object(raw))
    except (*UNFIT, EvaluationError) as error:
        return Broken(
            number,
            "decision",
            where,
            "a decision record",
            type(error).__name__,
            "it is no decision record that holds",
        )
    return None


def _files(manifest: bytes | None) -> Iterator[tuple[str, str, str]]:
    """Yield name, URI and digest of the files that a manifest names; what is no such thing is left out."""
    body = _json(manifest) if manifest is not None else {}
    for name, title in (("train", "training file"), ("heldout", "held-out file")):
        part = body.get(name)
        if isinstance(part, Mapping) and isinstance(part.get("uri"), str):
            yield title, part["uri"], str(part.get("sha256") or "")


def _origin(entry: Entry, looks: Looks) -> Iterator[Link]:
    """The model comes from the job, and the job from the manifest's training file."""
    number, evidence, model_arn = (
        entry.release.release,
        entry.release.evidence,
        entry.release.target.model_arn,
    )
    released = entry.outcome is not None and entry.outcome.outcome == "released"
    if entry.release.action == "withdraw":
        return
    model = looks.model(model_arn)
    if model is None and not released:
        return  # it was never live, so nobody needs to bring it back
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
    data = job.get("trainingDataConfig")
    trained_on = str(data.get("s3Uri") or "") if isinstance(data, Mapping) else ""
    manifest = looks.read(evidence.manifest_copy or evidence.manifest_uri) if evidence.manifest_uri else None
    for title, uri, _ in _files(manifest):
        if title == "training file" and trained_on:
            yield _same(
                number,
                "job trained on",
                evidence.job_arn,
                uri,
                trained_on,
                "the job was trained on another file",
            )


def _account(history: History, live: Live | None, looks: Looks, workload: str) -> Iterator[Link]:
    """Pointer and host are what the ledger says is live, and the pointer remembers this very ledger."""
    try:
        pointer = looks.pointer()
    except DistillError as error:
        yield Broken(
            live.release if live else 0, "pointer", workload, "a pointer", "unreadable", error.message
        )
        return
    if pointer is not None:
        rewritten = anchor_problem(history, pointer)
        yield (
            Broken(pointer.release, "ledger's head", pointer.name, "the ledger it remembers", "", rewritten)
            if rewritten
            else None
        )
    opened = history.open
    if opened is not None:
        yield from _under_way(opened, live, pointer, looks)
        return
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
        if pointer.head is None and (entry := history.entry(number)) is not None and entry.release.nonce:
            yield Broken(
                number, "ledger's head", pointer.name, "the ledger's head", "",
                "the pointer does not remember the ledger, so a ledger that was rewritten would not be seen",
            )  # fmt: skip
    host = looks.host(live.host_kind, live.host_arn)
    if host is None:
        yield Broken(number, "host", live.host_arn, live.host_arn, "", "the host was deleted")
        return
    yield _same(
        number, "host serves model", host.arn, live.target.model_arn, host.model_arn,
        "the model behind the host was swapped by hand",
    )  # fmt: skip
    if looks.root and Owner(workload, looks.root).claim(host.tags) == "foreign":
        yield Broken(number, "host's tags", host.arn, "this workload and root", "", "the host lost its tags")
    if host.state(live.target.model_arn) not in {"ready", "other-model"}:
        yield Broken(number, "host", host.arn, "ready", host.status, "the host does not answer as it should")


def _under_way(opened: Entry, live: Live | None, pointer: Pointer | None, looks: Looks) -> Iterator[Link]:
    """While a release is open, host and pointer may show what it aims at or what was live before, and nothing else."""
    number, target = opened.release.release, opened.release.target
    allowed = {target.model_arn, *((live.target.model_arn,) if live else ())}
    meaning = "it is neither what is live nor what the open release aims at"
    expected = " or ".join(sorted(allowed))
    if pointer is not None and pointer.model_arn not in allowed:
        yield Broken(number, "pointer names model", pointer.name, expected, pointer.model_arn, meaning)
    host = (
        looks.host(live.host_kind, live.host_arn) if live else looks.host(target.host.kind, target.host.name)
    )
    if host is None and live is not None:
        yield Broken(live.release, "host", live.host_arn, live.host_arn, "", "the host was deleted")
    elif host is not None and host.model_arn not in allowed:
        yield Broken(number, "host serves model", host.arn, expected, host.model_arn, meaning)
    else:
        yield None


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        return json_object(raw)
    except ValueError:
        return {}


def render_verification(result: Verification) -> str:
    """Return the result as text for people."""
    if result.empty:
        return f"{result.workload}: there is no ledger here, so there is nothing to verify. Check root and workload.\n"
    lines = [
        f"{b.link} (release {b.release}): {b.meaning}\n  at       {b.where}\n"
        f"  expected {b.expected or 'nothing'}\n  found    {b.found or 'nothing'}"
        for b in result.broken
    ]
    live = f"release {result.live} is live" if result.live else "nothing is live"
    verdict = "all hold" if not result.broken else f"{len(result.broken)} do not hold"
    told = [*lines, f"{result.workload}: {live}; {result.checked} links checked, {verdict}."]
    told += [f"skipped: {what}" for what in result.unseen]
    return "\n".join(told) + "\n"
