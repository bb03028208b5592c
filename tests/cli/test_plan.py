"""What `workload plan` prints for people."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_distill.cli.main import main


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A new workload's file."""
    path = str(tmp_path / "tickets.yaml")
    assert main(["workload", "init", path, "--owner", "support"]) == 0
    capsys.readouterr()
    return path


def test_the_request_is_printed_as_json_that_can_be_copied(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workload", "plan", file]) == 0
    text = capsys.readouterr().out
    assert "\\u000a" not in text
    shown = json.loads(text.partition("CreateModelCustomizationJob\n")[2])
    assert shown["customizationType"] == "DISTILLATION"
    assert text.splitlines()[-1] == "}"


def test_an_unknown_price_says_how_to_know_it_and_an_old_one_its_age(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workload", "plan", file]) == 0
    text = capsys.readouterr().out
    assert "to know it: give --input-tokens and --output-tokens" in text
    assert "are older than 180 days" in text
    tokens = ("--input-tokens", "300", "--output-tokens", "60")
    assert main(["workload", "plan", file, *tokens]) == 0
    text = capsys.readouterr().out
    assert "to know it" not in text
    assert re.search(r"with the records as they are: \d+\.\d\d USD\n", text)
    path = Path(file)
    path.write_text(path.read_text().replace("nova-micro-v1:0:128k", "nova-lite-v1:0:300k"))
    assert main(["workload", "plan", file, *tokens]) == 0
    assert "unknown: training of amazon.nova-lite-v1:0:300k)" in (text := capsys.readouterr().out)
    assert "to know it: `airflow-distill prices update`, or state the price" in text


def test_a_dataset_built_by_the_workloads_file_is_planned_with_its_own_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    now = datetime.now(UTC) - timedelta(hours=30)
    rows = [
        converse(f"Where is parcel {n} of street {n * 7919 % 1000}?", "tracking", app=app, at=now)
        for app, count in (("tickets", 300), ("others", 40))
        for n in range(count)
    ]
    rows.append(converse("An old question.", "tracking", app="tickets", at=now - timedelta(days=30)))
    (logs / "a.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = tmp_path / "tickets.yaml"
    assert main(["workload", "init", str(file), "--owner", "support"]) == 0
    text = file.read_text().replace("support_tickets", "tickets")
    file.write_text(text + "dataset: {heldout: 0.3, near_duplicates: none}\n")
    capsys.readouterr()
    out = tmp_path / "out"
    assert main(["dataset", "build", "--workload", str(file), "--logs", str(logs), "--out", str(out)]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["workload"] == "tickets"
    assert manifest["skipped"] == {"other_traffic": 40}
    assert manifest["settings"]["heldout"] == 0.3
    assert manifest["student"] == "amazon.nova-micro-v1:0:128k"
    capsys.readouterr()
    assert main(["workload", "plan", str(file), "--manifest", str(out)]) == 0
    assert re.search(r"with the records as they are: \d+\.\d\d USD\n", capsys.readouterr().out)
    flags = ("--heldout", "0.2", "--metadata", "app=others")
    assert (
        main(["dataset", "build", "--workload", str(file), "--logs", str(logs), "--out", str(out), *flags])
        == 1
    )
    told = capsys.readouterr().out
    assert json.loads((out / "manifest.json").read_text())["settings"]["heldout"] == 0.2, "a flag goes first"
    assert "40" in told


def test_what_neither_flags_nor_a_file_say_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["dataset", "build", "--out", str(tmp_path)]) == 2
    assert "--logs is missing" in capsys.readouterr().err
    assert main(["dataset", "build", "--out", str(tmp_path), "--workload", "tickets", "--logs", "x"]) == 2
    assert "--model is missing" in capsys.readouterr().err


def converse(prompt: str, answer: str, *, app: str, at: datetime) -> dict[str, object]:
    return {
        "schemaType": "ModelInvocationLog",
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "requestId": f"r-{abs(hash((prompt, app)))}",
        "operation": "Converse",
        "modelId": "amazon.nova-pro-v1:0",
        "requestMetadata": {"app": app},
        "input": {
            "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": prompt}]}]},
            "inputTokenCount": 60,
        },
        "output": {
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": answer}]}},
                "stopReason": "end_turn",
            },
            "outputTokenCount": 4,
        },
    }
