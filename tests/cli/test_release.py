"""`release`, `reap` and `verify` from the command line, on the sandbox."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_distill.aws.execute import Pausing
from airflow_distill.cli import release
from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox
from tests.release_world import ReleaseWorld


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    """Two releases, the second one live."""
    world = ReleaseWorld(bedrock_environment)
    for name in ("first", "second"):
        world.carry_out(world.intent({**world.decision(world.model(name)), "job_arn": ""}))
    return world


@pytest.fixture
def ask(world: ReleaseWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on the sandbox's clock; returns its exit status and what it printed."""
    monkeypatch.setattr(release, "_now", world.now)
    monkeypatch.setattr(release, "time", SimpleNamespace(sleep=world.sleep))

    def run(*words: str) -> tuple[int, str]:
        flags = [
            "--root",
            world.root,
            "--workload",
            world.workload,
            "--endpoint-url",
            world.sandbox.endpoint_url,
        ]
        status = main([*words, *flags, "--region", "us-east-1"])
        return status, capsys.readouterr().out

    return run


def test_list_marks_what_is_live(ask: Any) -> None:
    status, text = ask("release", "list")
    assert status == 0
    assert [line[0] for line in text.splitlines()[1:]] == [" ", "*"]
    _, raw = ask("release", "list", "--json")
    body = json.loads(raw)
    assert (body["live"], [r["outcome"] for r in body["releases"]]) == (2, ["released", "released"])


def test_show_prints_evidence_and_digests(ask: Any, world: ReleaseWorld) -> None:
    _, raw = ask("release", "show", "2", "--json")
    body = json.loads(raw)
    assert body["entry"]["evidence"]["dataset_id"] == world.dataset_id
    assert body["outcome"]["entry_sha256"] == body["sha256"]
    status, _ = ask("release", "show", "9")
    assert status == 2


def test_rollback_prints_its_plan_and_goes_back_only_when_told(ask: Any, world: ReleaseWorld) -> None:
    before = world.pointer()
    status, text = ask("release", "rollback", "--why", "complaints")
    assert status == 0
    assert "Nothing was changed; add --yes" in text
    assert "update custom-model-deployment" in text
    assert world.pointer() == before
    status, text = ask("release", "rollback", "--yes", "--poll-seconds", "0.01")
    assert (status, text) == (0, "release 3: released\n")
    live = world.ledger.read().live()
    assert live is not None
    assert world.pointer()["model_arn"] == live.target.model_arn != before["model_arn"]
    status, _ = ask("release", "rollback", "--yes")
    assert status == 2, "there is nothing older; it does not flip back to what was left"


def leave_open(world: ReleaseWorld, name: str = "third", brain: Any = None) -> str:
    """Begin a promotion and die in its bake period; returns the model."""
    model = world.model(name, brain)
    execution = world.execution(world.prepare(world.intent(world.decision(model))))
    assert isinstance(execution.advance(), Pausing)
    return model


def test_resume_says_what_serves_and_finishes_or_rolls_back(ask: Any, world: ReleaseWorld) -> None:
    assert ask("release", "resume") == (0, f"{world.workload}: no release is open.\n")
    before, third = world.pointer()["model_arn"], leave_open(world)
    status, text = ask("release", "resume")
    assert status == 0
    assert "release 3 (promote, run loop/run-1) is open, held by loop/run-1" in text
    assert f"the host serves {third}, the pointer names {third} (release 3)" in text
    assert "Nothing was changed" in text
    status, text = ask("release", "resume", "--back", "--yes", "--poll-seconds", "0.01")
    assert status == 0
    assert text.splitlines()[-1].startswith("release 3: rolled_back: ")
    assert world.pointer()["model_arn"] == before
    leave_open(world, "fourth")
    world.sandbox.clock.advance(3600)
    status, text = ask("release", "resume", "--yes", "--poll-seconds", "0.01")
    assert (status, text.splitlines()[-1]) == (0, "release 4: released")


def test_rollback_takes_over_a_release_that_another_run_bakes(ask: Any, world: ReleaseWorld) -> None:
    before = world.pointer()
    leave_open(world)
    status, text = ask("release", "rollback", "--why", "complaints", "--yes", "--poll-seconds", "0.01")
    assert (status, text) == (0, "release 3: rolled_back: complaints\n")
    assert world.pointer()["host_arn"] == before["host_arn"]
    assert world.pointer()["release"] == 2
    assert ask("verify")[0] == 0


def test_drift_names_a_host_that_is_gone_and_repair_brings_the_model_back(
    ask: Any, world: ReleaseWorld
) -> None:
    assert ask("release", "drift")[0] == 0
    live = world.ledger.read().live()
    assert live is not None
    world.gateways.bedrock.delete_deployment(live.host_arn)
    status, text = ask("release", "drift")
    assert status == 1
    assert f"production is down: the host {live.host_arn} of release 2 does not exist" in text
    status, text = ask("release", "repair")
    assert (status, "add --yes" in text) == (1, True)
    status, text = ask("release", "repair", "--yes", "--poll-seconds", "0.01")
    assert (status, "ledger, pointer and host agree" in text) == (0, True)
    assert world.pointer()["model_arn"] == live.target.model_arn
    assert world.pointer()["host_arn"] == world.hosts()[0] != live.host_arn


@pytest.mark.parametrize("meddle", ["swap the model", "delete the pointer", "change the pointer"])
def test_repair_makes_pointer_and_host_what_the_ledger_says(
    ask: Any, world: ReleaseWorld, meddle: str
) -> None:
    live = world.ledger.read().live()
    assert live is not None
    if meddle == "swap the model":
        world.gateways.bedrock.update_deployment(live.host_arn, world.model("smuggled"))
    elif meddle == "delete the pointer":
        world.gateways.parameters.delete(world.pointer_name)
    else:
        changed = {**world.pointer(), "release": 1}
        world.gateways.parameters.put(world.pointer_name, json.dumps(changed))
    assert ask("release", "repair", "--yes", "--poll-seconds", "0.01")[0] == 0
    assert world.pointer()["model_arn"] == live.target.model_arn
    assert world.gateways.bedrock.get_deployment(live.host_arn)["modelArn"] == live.target.model_arn
    assert ask("verify")[0] == 0


def test_nothing_is_live_only_when_a_person_says_so_and_nothing_answers(
    ask: Any, world: ReleaseWorld
) -> None:
    status, _ = ask("release", "repair", "--nothing-live", "--yes")
    assert status == 2, "the host still answers"
    world.gateways.bedrock.delete_deployment(world.hosts()[0])
    status, text = ask("release", "repair", "--nothing-live", "--yes", "--why", "moved away")
    assert (status, "the next promotion is a first release" in text) == (0, True)
    assert world.ledger.sound().live() is None
    assert world.pointer() == {}
    assert world.promote(world.model("afresh")).release == 4
    assert ask("verify")[0] == 0


def test_verify_of_a_workload_without_a_ledger_says_so(ask: Any, world: ReleaseWorld) -> None:
    for item in list(world.store.iter_objects(world.ledger.prefix)):
        world.store.delete(item.uri)
    world.gateways.parameters.delete(world.pointer_name)
    assert ask("verify") == (
        2,
        f"{world.workload}: there is no ledger here, so there is nothing to verify. Check root and workload.\n",
    )


def test_verify_is_0_when_all_links_hold_and_1_when_one_does_not(ask: Any, world: ReleaseWorld) -> None:
    status, text = ask("verify")
    assert (status, "all hold" in text) == (0, True)
    live = world.ledger.read().live()
    assert live is not None
    world.gateways.bedrock.update_deployment(live.host_arn, world.model("smuggled"))
    status, text = ask("verify")
    assert status == 1
    assert "swapped by hand" in text
    _, raw = ask("verify", "--json")
    assert [b["link"] for b in json.loads(raw)["broken"]] == ["host serves model"]


def test_reap_lists_first_and_removes_with_yes(ask: Any, world: ReleaseWorld) -> None:
    assert ask("reap") == (0, "Nothing is left over.\n")
    world.model("forgotten")
    status, text = ask("reap")
    assert status == 0
    assert "wait" in text
    assert "0.06 USD/day" in text
    status, text = ask("reap", "--now")
    assert status == 1
    assert "add --yes" in text
    status, raw = ask("reap", "--now", "--yes", "--json")
    assert status == 0
    assert [(r["name"], r["removed"]) for r in json.loads(raw)] == [("forgotten", True)]
    assert ask("reap", "--now") == (0, "Nothing is left over.\n")


def test_a_local_root_needs_no_bucket(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["release", "list", "--root", str(tmp_path), "--workload", "w", "--region", "us-east-1"])
    assert status == 0
    assert "has no releases" in capsys.readouterr().out
