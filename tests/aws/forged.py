"""Kinds of tampering and forged evidence, each with where it is seen and what is said; the guide's table is made from it.

`python -m tests.aws.forged` writes the table into docs/guides/deployment.md; `test_forged.py` tries every kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from airflow_distill.stages.decision.approval import ApprovalRule
from airflow_distill.stages.decision.records import Approval, DecisionRecord
from airflow_distill.stages.deployment.ledger import encode
from airflow_distill.stages.digest import sha256_hex
from tests.release_world import ReleaseWorld

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "deployment.md"
BEGIN, END = "<!-- forged: begin -->", "<!-- forged: end -->"
DEEP = b"[" * 100_000


@dataclass
class Bench:
    """A world with three releases, the third live; whatever is changed here can be put back."""

    world: ReleaseWorld
    decisions: list[dict[str, Any]]
    before: dict[str, bytes | None] = field(default_factory=dict)
    undo: list[Callable[[], None]] = field(default_factory=list)

    def read(self, uri: str) -> bytes:
        return self.world.store.read(uri)

    def put(self, uri: str, raw: bytes | None) -> None:
        """Write or delete an object behind the package's back."""
        store = self.world.store
        if uri not in self.before:
            self.before[uri] = store.read(uri) if store.exists(uri) else None
        if raw is None:
            store.delete(uri)
        else:
            store.write(uri, raw)

    def mend(self) -> None:
        """Put everything back."""
        for uri, raw in self.before.items():
            if raw is None:
                self.world.store.delete(uri)
            else:
                self.world.store.write(uri, raw)
        for each in reversed(self.undo):
            each()
        self.before.clear()
        self.undo.clear()

    def entry(self, number: int) -> str:
        return self.world.ledger.uri(number)

    def outcome(self, number: int) -> str:
        return self.world.ledger.uri(number, "outcome")

    def note(self, number: int, name: str) -> str:
        nonce = json.loads(self.read(self.entry(number)))["nonce"]
        return self.world.ledger.uri(number, name, nonce)

    def evidence(self, member: str, number: int = 3) -> str:
        return str(json.loads(self.read(self.entry(number)))["evidence"][member])

    def dataset(self, name: str) -> str:
        return f"{self.world.root}/{self.world.workload}/datasets/{self.world.dataset_id}/{name}"

    def edit(self, uri: str, **changes: Any) -> bytes:
        """Rewrite members of a JSON object; None removes one."""
        body = {**json.loads(self.read(uri)), **changes}
        raw = encode({name: value for name, value in body.items() if value is not None})
        self.put(uri, raw)
        return raw

    def pointer(self, text: str | None) -> None:
        parameters, name = self.world.gateways.parameters, self.world.pointer_name
        old = parameters.get(name)
        assert old is not None
        if text is None:
            parameters.delete(name)
        else:
            parameters.put(name, text)
        self.undo.append(lambda: parameters.put(name, old))

    def edit_pointer(self, **changes: Any) -> None:
        self.pointer(json.dumps({**self.world.pointer(), **changes}, sort_keys=True))


@dataclass(frozen=True)
class Kind:
    """One kind.

    :param what: what somebody does, for the table.
    :param by: `verify` names the link `said`, or `promotion` refuses with a message that matches it.
    """

    what: str
    by: Literal["verify", "promotion"]
    said: str
    do: Callable[[Bench], Any]


def flip(uri: Callable[[Bench], str]) -> Callable[[Bench], None]:
    """Change one digit or letter of an object."""

    def change(bench: Bench) -> None:
        raw = bytearray(bench.read(uri(bench)))
        at = next((i for i in range(len(raw) // 2, len(raw)) if chr(raw[i]).isalnum()), 0)
        raw[at] = ord("7") if raw[at] != ord("7") else ord("8")
        bench.put(uri(bench), bytes(raw))

    return change


def rewrite(bench: Bench, number: int, **changes: Any) -> None:
    """Rewrite an entry and mend the digest in its outcome."""
    raw = bench.edit(bench.entry(number), **changes)
    bench.edit(bench.outcome(number), entry_sha256=sha256_hex(raw))


def recompute(bench: Bench) -> None:
    """Rewrite the whole chain consistently, as anybody can who may write to the bucket."""
    chain = ""
    for number in (1, 2, 3):
        raw = bench.edit(bench.entry(number), why=["forged"], previous_sha256=chain)
        closing = bench.edit(bench.outcome(number), entry_sha256=sha256_hex(raw), why=["forged"])
        chain = sha256_hex(f"{sha256_hex(raw)}\n{sha256_hex(closing)}".encode())


def drop_release(bench: Bench, number: int) -> None:
    for item in list(bench.world.store.iter_objects(f"{bench.world.ledger.prefix}{number:06d}.")):
        bench.put(item.uri, None)


def swap(bench: Bench, *, repaired: bool) -> None:
    first, second = (json.loads(bench.read(bench.entry(n))) for n in (1, 2))
    if repaired:
        first, second = {**first, "release": 2}, {**second, "release": 1}
    bench.put(bench.entry(1), encode(second))
    bench.put(bench.entry(2), encode(first))


def replace_decision(bench: Bench) -> None:
    bench.put(bench.evidence("decision_uri"), bench.read(bench.evidence("decision_uri", 1)))


def lose_decision(bench: Bench) -> None:
    for member in ("decision_uri", "decision_copy"):
        bench.put(bench.evidence(member), None)


def swap_host(bench: Bench) -> None:
    live = bench.world.ledger.read().live()
    assert live is not None
    update = bench.world.gateways.bedrock.update_deployment
    update(live.host_arn, bench.world.model("smuggled"))
    bench.undo.append(lambda: update(live.host_arn, live.target.model_arn))


def lose_tags(bench: Bench) -> None:
    arn = bench.world.hosts()[0]
    client = bench.world.client("bedrock")
    tags = bench.world.gateways.bedrock.tags(arn)
    client.untag_resource(resourceARN=arn, tagKeys=list(tags))
    bench.undo.append(lambda: bench.world.gateways.bedrock.tag(arn, tags))


def forget_job(bench: Bench) -> None:
    state = bench.world.sandbox.world.store.region("us-east-1")
    job = state.resources.pop(bench.evidence("job_arn"))
    bench.undo.append(lambda: state.add(job))


# Before a promotion: each returns the intent's arguments.


def fresh(bench: Bench, **changes: Any) -> dict[str, Any]:
    """Return a decision's receipt on a model that nobody has judged yet."""
    made = bench.world.model(f"candidate-{len(bench.decisions)}")
    bench.decisions.append(bench.world.decision(made, **changes))
    return bench.decisions[-1]


def forged(bench: Bench, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> dict[str, Any]:
    """Rewrite the record of a fresh decision and mend its digest in the receipt."""
    receipt = fresh(bench)
    body = dict(change(json.loads(bench.read(receipt["decision_uri"]))))
    raw = json.dumps(body).encode()
    bench.put(receipt["decision_uri"], raw)
    return {**receipt, "decision_sha256": sha256_hex(raw)}


def without(name: str) -> Callable[[Bench], dict[str, Any]]:
    """Forge a record that lacks a member and has an id that fits."""

    def make(bench: Bench) -> dict[str, Any]:
        receipt = fresh(bench)
        record = DecisionRecord.from_json(json.loads(bench.read(receipt["decision_uri"])))
        raw = json.dumps(replace(record, **{name: ""}).to_json()).encode()
        bench.put(receipt["decision_uri"], raw)
        return {**replace(record, **{name: ""}).receipt(receipt["decision_uri"], sha256_hex(raw))}

    return make


def poisoned(bench: Bench) -> dict[str, Any]:
    """Change training file and manifest consistently."""
    receipt = fresh(bench)
    bad = b'{"poisoned": true}\n'
    bench.put(bench.dataset("train.jsonl"), bad)
    body = json.loads(bench.read(bench.dataset("manifest.json")))
    body["train"] = {**body["train"], "sha256": sha256_hex(bad), "bytes": len(bad)}
    bench.put(bench.dataset("manifest.json"), json.dumps(body).encode())
    return receipt


def of_another_workload(bench: Bench) -> dict[str, Any]:
    receipt = fresh(bench)
    raw = bench.read(receipt["decision_uri"])
    uri = receipt["decision_uri"].replace(f"/{bench.world.workload}/", "/other/")
    bench.put(uri, raw)
    return {**receipt, "decision_uri": uri}


def approved_by(name: str, user_id: str = "", **more: Any) -> Callable[[Bench], dict[str, Any]]:
    """Forge an approval beside the decision."""

    def make(bench: Bench) -> dict[str, Any]:
        approval = Approval(True, True, name, "2026-11-24T10:00:00Z", approver_id=user_id, **more)
        return fresh(bench, approval=approval)

    return make


RULE = ApprovalRule(mode="always", approvers=({"id": "42", "name": "ada"}, "bob"), separate=True)


def changed(bench: Bench, uri: str) -> dict[str, Any]:
    receipt = fresh(bench)
    target = receipt.get(uri) or bench.dataset(uri)
    bench.put(target, bench.read(target) + b" ")
    return receipt


def as_decision(bench: Bench) -> dict[str, Any]:
    receipt = fresh(bench)
    return {
        **receipt,
        "decision_uri": receipt["scorecard_uri"],
        "decision_sha256": receipt["scorecard_sha256"],
    }


KINDS: tuple[Kind, ...] = (
    Kind("one byte of an entry changed", "verify", "entry", flip(lambda b: b.entry(3))),
    Kind("an entry rewritten and its outcome repaired", "verify", "ledger's head", lambda b: rewrite(b, 3, why=["x"])),
    Kind("an entry's owner rewritten, the outcome's digest removed", "verify", "entry",
         lambda b: (b.edit(b.entry(3), owner="mallory"), b.edit(b.outcome(3), entry_sha256=None))),
    Kind("an older entry rewritten and its outcome repaired", "verify", "previous entry",
         lambda b: rewrite(b, 1, why=["x"])),
    Kind("the whole ledger recomputed consistently", "verify", "ledger's head", recompute),
    Kind("a release in the middle deleted", "verify", "number", lambda b: drop_release(b, 2)),
    Kind("the newest release deleted with its notes", "verify", "ledger's head", lambda b: drop_release(b, 3)),
    Kind("the newest entry deleted, the rest left", "verify", "entry", lambda b: b.put(b.entry(3), None)),
    Kind("the newest outcome deleted", "verify", "ledger's head", lambda b: b.put(b.outcome(3), None)),
    Kind("the newest outcome rewritten (checks, time, why)", "verify", "ledger's head",
         lambda b: b.edit(b.outcome(3), checks={}, at="2020-01-01T00:00:00Z")),
    Kind("an older outcome rewritten", "verify", "previous entry", lambda b: b.edit(b.outcome(1), why=["x"])),
    Kind("an outcome copied over another's", "verify", "outcome", lambda b: b.put(b.outcome(2), b.read(b.outcome(1)))),
    Kind("two entries swapped", "verify", "entry", lambda b: swap(b, repaired=False)),
    Kind("two entries swapped, their numbers repaired", "verify", "previous entry", lambda b: swap(b, repaired=True)),
    Kind("an entry overwritten with text that is no JSON", "verify", "entry", lambda b: b.put(b.entry(2), b"{junk")),
    Kind("an entry nested 100,000 deep", "verify", "entry", lambda b: b.put(b.entry(2), DEEP)),
    Kind("an outcome nested 100,000 deep", "verify", "outcome", lambda b: b.put(b.outcome(2), DEEP)),
    Kind("the smoke test's note changed", "verify", "note smoke", flip(lambda b: b.note(3, "smoke"))),
    Kind("a probe's note of an older release changed", "verify", "note probe-001",
         flip(lambda b: b.note(1, "probe-001"))),
    Kind("the bake period's note deleted", "verify", "note bake", lambda b: b.put(b.note(3, "bake"), None)),
    Kind("a probe's note added", "verify", "note probe-009",
         lambda b: b.put(b.note(3, "probe-009"), b.read(b.note(3, "probe-001")))),
    Kind("notes of another claim left under the number", "verify", "note",
         lambda b: b.put(b.world.ledger.uri(3, "smoke", "f" * 32), b.read(b.note(3, "smoke")))),
    Kind("one byte of the decision changed", "verify", "decision", flip(lambda b: b.evidence("decision_uri"))),
    Kind("the decision replaced by a valid one of another release", "verify", "decision", replace_decision),
    Kind("the decision deleted with its copy", "verify", "copy of the decision", lose_decision),
    Kind("the decision nested 100,000 deep", "verify", "decision", lambda b: b.put(b.evidence("decision_uri"), DEEP)),
    Kind("the copy of the decision changed", "verify", "copy of the decision",
         flip(lambda b: b.evidence("decision_copy"))),
    Kind("the scorecard changed", "verify", "scorecard", flip(lambda b: b.evidence("scorecard_uri"))),
    Kind("the manifest changed", "verify", "manifest", flip(lambda b: b.dataset("manifest.json"))),
    Kind("the copy of the manifest deleted", "verify", "copy of the manifest",
         lambda b: b.put(b.evidence("manifest_copy"), None)),
    Kind("the held-out file changed", "verify", "held-out file", flip(lambda b: b.dataset("heldout.jsonl"))),
    Kind("the digests of the held-out prompts changed", "verify", "held-out digests",
         flip(lambda b: b.evidence("heldout_ids_copy"))),
    Kind("the training file replaced", "verify", "training file", lambda b: b.put(b.dataset("train.jsonl"), b"more")),
    Kind("the pointer names another model", "verify", "pointer names model",
         lambda b: b.edit_pointer(model_arn="arn:aws:bedrock:us-east-1:123456789012:custom-model/x/y")),
    Kind("the pointer names an older release", "verify", "pointer names release", lambda b: b.edit_pointer(release=1)),
    Kind("the pointer forgets the ledger's head", "verify", "ledger's head", lambda b: b.edit_pointer(ledger=None)),
    Kind("the pointer deleted", "verify", "pointer", lambda b: b.pointer(None)),
    Kind("the pointer overwritten with text that is no JSON", "verify", "pointer", lambda b: b.pointer("{junk")),
    Kind("the model behind the host swapped", "verify", "host serves model", swap_host),
    Kind("the host's tags removed", "verify", "host's tags", lose_tags),
    Kind("the job of the model unknown to the account", "verify", "job", forget_job),
    Kind("the decision changed after its receipt", "promotion", "digest differs", lambda b: changed(b, "decision_uri")),
    Kind("the scorecard changed after the decision", "promotion", "digest differs",
         lambda b: changed(b, "scorecard_uri")),
    Kind("the held-out file changed after the decision", "promotion", "digest differs",
         lambda b: changed(b, "heldout.jsonl")),
    Kind("training file and manifest changed consistently", "promotion", "digest differs", poisoned),
    Kind("a record that holds, its receipt says promote", "promotion", "says hold of",
         lambda b: {**fresh(b, approval=Approval(True)), "verdict": "promote"}),
    Kind("the scorecard passed off as the decision", "promotion", "is not a decision record", as_decision),
    Kind("a record of which only the outcome is left", "promotion", "is not a decision record",
         lambda b: forged(b, lambda body: {"outcome": "promote", "model_arn": body["model_arn"]})),
    Kind("a record whose outcome was removed", "promotion", "is not a decision record",
         lambda b: forged(b, lambda body: {k: v for k, v in body.items() if k != "outcome"})),
    Kind("a record whose verdict was turned into promote", "promotion", "is not a decision record",
         lambda b: forged(b, lambda body: {**body, "verdict": {**body["verdict"], "n": 999}})),
    Kind("a record nested 100,000 deep", "promotion", "is not a decision record",
         lambda b: (b.put((r := fresh(b))["decision_uri"], DEEP), {**r, "decision_sha256": sha256_hex(DEEP)})[1]),
    Kind("a record of an older version", "promotion", "older version", lambda b: fresh(b, v=1)),
    Kind("a record that names no job", "promotion", "names no job_arn", without("job_arn")),
    Kind("a record that names no manifest digest", "promotion", "names no manifest_sha256", without("manifest_sha256")),
    Kind("a record that names no held-out digest", "promotion", "names no heldout_sha256", without("heldout_sha256")),
    Kind("a record that names no dataset", "promotion", "names no dataset_id", without("dataset_id")),
    Kind("a record of another workload in its own place", "promotion", "is a decision on workload",
         lambda b: fresh(b, workload="other")),
    Kind("a decision that lies in another workload's folder", "promotion", "is not under", of_another_workload),
    Kind("a receipt that names another model", "promotion", "the receipt names model_arn",
         lambda b: {**fresh(b), "model_arn": "arn:aws:bedrock:us-east-1:123456789012:custom-model/x/y"}),
    Kind("a receipt that names another job", "promotion", "the receipt names job_arn",
         lambda b: {**fresh(b), "job_arn": "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/x/y"}),
    Kind("a receipt without a digest", "promotion", "names no decision with a digest",
         lambda b: {**fresh(b), "decision_sha256": ""}),
    Kind("a decision judged against nothing", "promotion", "was judged against",
         lambda b: fresh(b, incumbent_release=None, incumbent_host="")),
    Kind("a decision judged against another host", "promotion", "was judged against",
         lambda b: fresh(b, incumbent_host="arn:elsewhere")),
    Kind("an approval of somebody who is no approver", "promotion", "not an approver", approved_by("mallory", "7")),
    Kind("an approval by a user whose name is an approver's id", "promotion", "not an approver",
         approved_by("42", "777")),
    Kind("an approval by a user whose id is an approver's name", "promotion", "not an approver",
         approved_by("eve", "bob")),
    Kind("an approval by the person who started the run", "promotion", "started the run",
         approved_by("bob", "9", requested_by="bob")),
    Kind("an approval that names nobody", "promotion", "not 'promote'", approved_by("")),
    Kind("no approval where the rule asks for one", "promotion", "nobody approved", fresh),
)  # fmt: skip


def table() -> str:
    """Return the kinds as a Markdown table."""
    rows = [f"| {n} | {k.what} | {k.by} | `{k.said}` |" for n, k in enumerate(KINDS, 1)]
    return "\n".join(["| # | Somebody does | Seen by | Named as |", "|--:|---|---|---|", *rows])


def written(text: str) -> str:
    """Return the guide with the table of today."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


if __name__ == "__main__":
    GUIDE.write_text(written(GUIDE.read_text()))
