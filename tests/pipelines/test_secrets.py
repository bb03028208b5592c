"""The whole loop on logs with planted secrets: none is in anything it writes or says, and prompts stay where data lies.

The only places not looked into are the raw invocation logs that the application wrote. Everything else is read whole: the
objects of both buckets (also what the models were asked, which the service logs), every row of Airflow's database, the
files in its home, every log record at DEBUG, standard output and error.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.triggers.assets import FreshLogsTrigger
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks import fresh_logs_arguments
from tests.stages.dataset.planted import Maker, planted

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

FILE = Path(__file__).parents[2] / "dags/workloads/support_tickets.yaml"
OVERRIDES = {
    "approval": {"mode": "never"},
    "deployment": {"bake": timedelta(seconds=3), "smoke_prompts": 2},
    "dataset": {"heldout": 0.25, "source": "curated-with-answers", "near_duplicates": 1.0},
    "evaluation": {"judge": "us.meta.llama3-3-70b-instruct-v1:0"},
    "policy": {"margin": 0.4},
    "schedule": {"fresh_prompts": 100},
}
DAG = f"""\
import datetime

from airflow_distill.pipelines import build_dag
from airflow_distill.workload.reading import read_workload

dag = build_dag(read_workload({str(FILE)!r}, {OVERRIDES!r}), default_args={{"retries": 0}})
"""

WORD = "quokkaburger"
"""Stands in every prompt, system text and answer: what people write without a secret in it."""
SECRETS = planted(200, seed=29)
PLACES = ("prompt", "system", "completion", "metadata")
CALLERS = [Maker(seed).email() for seed in range(31, 51)]
NEEDLES = {max(secret.split("\n"), key=len): kind for kind, secret, _ in SECRETS}
"""What to look for: the secret, or the longest line of it, which no way of quoting changes."""
COUNTED_AS = Counter(kind for kind, _, _ in SECRETS)
"""A password before `@` and a host is one of its own kind, and no e-mail address."""

TEXT_LIES_IN = (
    r"windows/\w+/(harvest|\d+-of-\d+)\.jsonl\.gz",
    r"datasets/\w+/(train|heldout)\.jsonl",
    r"evaluations/\w+/answers/\w+\.jsonl",
    r"evaluations/cache/\w+/\w+\.jsonl",
    r"jobs/.+/sample\.jsonl",
)
"""The objects below `<root>/<workload>` that hold prompts or answers; the last is Bedrock's own."""


def traffic(count: int, start: datetime) -> list[dict[str, Any]]:
    """So many tickets; each of the first ones holds a secret, in each place in turn, and is logged twice."""
    items = []
    for number, pair in enumerate(support_tickets(count, seed=3)):
        item: dict[str, Any] = {
            "prompt": f"{pair.prompt} {WORD}",
            "system": f"{pair.system} {WORD}",
            "completion": f"{pair.completion} {WORD}",
            "metadata": {"app": "support_tickets"},
            "caller": f"arn:aws:sts::123456789012:assumed-role/desk/{CALLERS[number % len(CALLERS)]}",
        }
        if number < len(SECRETS):
            kind, _, sentence = SECRETS[number]
            place = PLACES[number % len(PLACES)]
            if place == "metadata":
                item["metadata"][kind.lower()] = sentence
            else:
                item[place] += f" {sentence}"
        items.append(item)
    items += items[: len(SECRETS)]
    return [
        {**item, "timestamp": (start + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        for second, item in enumerate(items)
    ]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Every record of every logger from DEBUG on, as text; pytest's own handlers need not write it all again."""
    root, heard = logging.getLogger(), io.StringIO()
    before = root.level
    for quiet in root.handlers:
        monkeypatch.setattr(quiet, "level", logging.WARNING)
    handler = logging.StreamHandler(heard)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield heard
    root.setLevel(before)
    root.removeHandler(handler)


def objects(account: Sandbox) -> dict[str, str]:
    """Every object of both buckets as text, by bucket and key."""
    s3, found = account.client("s3"), {}
    for bucket in ("acme-distill", "acme-bedrock-logs"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                data = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
                found[f"{bucket}/{item['Key']}"] = data.decode("utf-8", "replace")
    return found


def database() -> dict[str, str]:
    """Every row of Airflow's database as text, by table: XCom, rendered fields, confs, asset events, task states."""
    from airflow.settings import engine
    from sqlalchemy import MetaData, select

    assert engine is not None
    known = MetaData()
    known.reflect(engine)
    with engine.connect() as connection:
        return {
            f"table {table.name}": "\n".join(str(tuple(row)) for row in connection.execute(select(table)))
            for table in known.sorted_tables
        }


async def first_event(workload: Workload) -> str:
    """What the watcher of these logs tells, which becomes the extra of an asset event."""
    async for event in FreshLogsTrigger(**fresh_logs_arguments(workload)).run():
        return json.dumps(event.payload)
    raise AssertionError("no event")


def found_in(places: Mapping[str, str], needles: Sequence[str]) -> dict[str, int]:
    """How many of the needles are in each place that has any."""
    counts = {place: sum(needle in text for needle in needles) for place, text in places.items()}
    return {place: count for place, count in counts.items() if count}


def redacted_lines(text: str) -> Counter[str]:
    """Placeholders by kind, each once a line, the caller's aside: every planted line held one secret."""
    lines = re.sub(r'arn:aws:sts:[^"]*', "", text).splitlines()
    return Counter(kind for line in lines for kind in set(re.findall(r"\[([A-Z_]+)_\d\]", line)))


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def test_no_planted_secret_and_no_prompt_leaves_the_bucket_in_a_whole_loop(
    account: Sandbox,
    allow: Callable[[Workload], str],
    example: Callable[..., Workload],
    run_dag: Callable[..., Any],
    airflow_home: Path,
    heard: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One run that fails while it asks the models, then one that ends with the promoted student."""
    workload = example("support_tickets", **OVERRIDES)
    allow(workload)
    account.enable_logging("acme-bedrock-logs", prefix="bedrock")
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
    window = {"window_start": start.isoformat(), "window_end": (start + timedelta(hours=2)).isoformat()}
    account.play(traffic(600, start), model_id=workload.teacher, region="us-east-1")
    raw = objects(account)
    secrets = [*NEEDLES, *CALLERS]
    assert len(set(secrets)) == 220
    assert len([needle for needle in secrets if needle in "".join(raw.values())]) == 220, "not planted"

    event = asyncio.run(first_event(workload))
    account.faults.add("access-denied", "Converse", count=1)
    failed = states(run_dag(DAG, run_conf=window))
    assert (failed["evaluation.collect_answers"], failed["end.end_turn"]) == ("failed", "success"), failed
    run = run_dag(DAG, run_conf=window)
    assert set(states(run).values()) == {"success"}, states(run)
    printed = capfd.readouterr()
    account.flush_logs()

    # Secrets: nowhere, neither in what was written and sent to the models nor in what was told.
    written = {key: text for key, text in objects(account).items() if key not in raw}
    resources = [each for _, region in account.world.store.each() for each in region.resources.values()]
    told = {
        "log records": heard.getvalue(),
        "standard output": printed.out,
        "standard error": printed.err,
        "event": event,
        "resources": str([(each.name, each.record, each.hidden) for each in resources]),
        **database(),
        **{
            f"file {path.name}": path.read_bytes().decode("latin-1")
            for path in airflow_home.rglob("*")
            if path.is_file()
        },
    }
    assert found_in(written, secrets) == {}
    assert found_in(told, secrets) == {}

    # Ordinary text: in the data and in what the models were asked, nowhere else.
    place = "acme-distill/loop/support_tickets/"
    ours = {key.removeprefix(place): text for key, text in written.items() if key.startswith(place)}
    holding = {key for key, text in ours.items() if WORD in text}
    assert {key for key in holding if not any(re.fullmatch(kind, key) for kind in TEXT_LIES_IN)} == set()
    assert [kind for kind in TEXT_LIES_IN if not any(re.fullmatch(kind, key) for key in holding)] == []
    assert found_in(told, [WORD]) == {}

    # Looked into indeed: the places are those that a loop fills.
    (manifest_key,) = [key for key in ours if re.fullmatch(r"datasets/[^/]+/manifest\.json", key)]
    manifest = json.loads(ours[manifest_key])
    assert "botocore.hooks DEBUG Event before-call.bedrock-runtime.Converse" in told["log records"]
    assert "ServiceAccessError" in printed.out
    for name in ("standard output", "table xcom", "table rendered_task_instance_fields", "resources"):
        assert manifest["dataset_id"] in told[name], name
    folders = {key.split("/")[0] for key in ours}
    assert folders >= {"windows", "datasets", "jobs", "evaluations", "releases", "reports", "fingerprints"}
    assert {key.rpartition("/")[2] for key in ours} >= {"card.md", "decision.json", "scorecard.json"}
    assert [key for key, text in written.items() if key.startswith("acme-bedrock-logs/") and WORD in text]

    # Counted: every planted secret was found once, by kind, and no row was lost.
    assert (manifest["counts"]["lines"], manifest["counts"]["kept"]) == (800, 600)
    assert manifest["skipped"] == {"duplicate": 200}
    assert manifest["profile"]["redacted"] == COUNTED_AS
    card = ours[manifest_key.replace("manifest.json", "card.md")].partition("## Redacted")[2]
    assert {kind: int(count) for kind, count in re.findall(r"\| ([A-Z_]+) \| (\d+) \|", card)} == COUNTED_AS
    (harvest,) = [text for key, text in ours.items() if key.endswith("harvest.jsonl.gz")]
    assert redacted_lines(harvest) == COUNTED_AS
