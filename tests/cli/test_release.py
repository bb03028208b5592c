"""`release`, `reap` and `verify` from the command line, on the sandbox."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
def ask(world: ReleaseWorld, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command; returns its exit status and what it printed."""

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
