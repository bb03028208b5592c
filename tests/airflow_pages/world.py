"""A sandbox and a real Airflow with the pages on, after runs of four workloads: live, held, waiting, failed.

`python -m tests.airflow_pages.world` makes it, prints where it is, and keeps it until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from airflow_distill.demo.airflow import AirflowApiError
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.sandbox.world import GRANTED_UNITS
from tests.real_airflow.running import RealAirflow, wait

TESTS = Path(__file__).parent
BUCKET = "distill-sandbox"
ROOT = f"s3://{BUCKET}/loop"
USERS = {
    "admin": "admin",
    "editor": "user",
    "reader": "viewer",
    "outsider": "viewer",
}
"""User -> role of Airflow's simple auth manager; the outsider sees no Dag."""

LIVE, HELD, WAITING, FAILED = "support_tickets", "claim_letters", "ticket_language", "returns_desk"
DEFAULTS = f"""\
root: {ROOT}
role_arn: ROLE
region_name: us-east-1
owner: support-platform
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
logs: {{location: s3://{BUCKET}/logs, window: 3d}}
schedule: {{cron: "0 3 1 1 *"}}
dataset: {{heldout: 0.25}}
evaluation: {{scorers: [label_accuracy, exact], slices: [channel]}}
deployment: {{bake: 1m, smoke_prompts: 2, input_tokens_per_day: 40000000, output_tokens_per_day: 900000}}
budget:
  usd_per_run: 60
  usd_per_month: 200
  student_prices: {{deployment-input: 0.000035, deployment-output: 0.00014, training: 0.001}}
approval: {{mode: never}}
"""
FILES = {
    LIVE: "policy: {margin: 0.2}\n",
    HELD: "policy: {margin: 0.055}\n",  # between what such a student loses and the bound on it: too few prompts to tell
    WAITING: "policy: {margin: 0.2}\napproval: {mode: always}\n",
    FAILED: "policy: {margin: 0.2}\nrole_arn: arn:aws:iam::123456789012:role/nobody\n",
}
DAGS = """\
from pathlib import Path

from airflow_distill.pipelines import build_dags

build_dags(Path(__file__).parent / "workloads", default_args={"retries": 0, "waiter_delay": 1.0})
"""
ENDS = {LIVE: "success", HELD: "success", WAITING: "running", FAILED: "failed"}


class PagesAirflow(RealAirflow):
    """With users of several roles; this process speaks as the admin."""

    def environment(self) -> dict[str, str]:
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({user: user for user in USERS}))
        return {
            **super().environment(),
            "PYTHONPATH": str(TESTS.parents[1]),
            "AIRFLOW__CORE__AUTH_MANAGER": "tests.airflow_pages.auth.ByUser",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{r}" for u, r in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__AIRFLOW_DISTILL__PAGES": "True",
            "AIRFLOW__AIRFLOW_DISTILL__ROOT": ROOT,
            "AIRFLOW__AIRFLOW_DISTILL__AWS_CONN_ID": "distill_aws",
        }

    def token_of(self, user: str) -> str:
        """Return a new token of a user."""
        answer = httpx.post(f"{self.url}/auth/token", json={"username": user, "password": user}, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def _token(self) -> str:
        if not hasattr(self, "_cached_token"):
            self._cached_token = self.token_of("admin")
        return self._cached_token


@dataclass
class World:
    """What the tests of the pages look at.

    :param runs: the Dag run of each workload.
    """

    sandbox: Sandbox
    airflow: PagesAirflow
    runs: dict[str, str]

    def dag(self, workload: str) -> str:
        """Return the id of a workload's Dag."""
        return f"distill_{workload}"

    def get(self, path: str, user: str | None = "admin", **more: Any) -> httpx.Response:
        """Ask the pages' app as a user."""
        headers = dict(more.pop("headers", {}))
        if user:
            headers["Authorization"] = f"Bearer {self.airflow.token_of(user)}"
        return httpx.get(f"{self.airflow.url}/distill/{path}", headers=headers, timeout=180, **more)


def play(sandbox: Sandbox, workload: str, count: int, seed: int) -> None:
    """Let an application have asked the teacher."""
    start = datetime.now(UTC) - timedelta(hours=30)
    channels = ("web", "phone", "email", "chat")
    sandbox.play(
        [
            {
                "prompt": pair.prompt,
                "system": pair.system,
                "completion": pair.completion,
                "metadata": {"app": workload, "channel": channels[number % 4]},
                "timestamp": (start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for number, pair in enumerate(support_tickets(count, seed=seed))
        ],
        model_id="amazon.nova-pro-v1:0",
    )


def write_dags(folder: Path, role_arn: str) -> None:
    """Write the workload files and the file that makes Dags of them."""
    (folder / "workloads").mkdir(parents=True, exist_ok=True)
    (folder / "workloads/defaults.yaml").write_text(DEFAULTS.replace("ROLE", role_arn))
    for name, text in FILES.items():
        logs = f"logs: {{metadata: {{equals: {{app: {name}}}}}}}\n"
        (folder / f"workloads/{name}.yaml").write_text(logs + text)
    (folder / "workloads.py").write_text(DAGS)


@contextlib.contextmanager
def pages_world(count: int = 700, **variables: str) -> Iterator[World]:
    """Make the world, run the four workloads to where they end, and take it down afterwards."""
    home = Path(tempfile.mkdtemp(prefix="airflow-distill-pages-"))
    with Sandbox(log_delay=0.05, quotas={**GRANTED_UNITS, "customization-jobs-in-progress": 100}) as sandbox:
        sandbox.reset()
        role = sandbox.prepare(BUCKET)
        sandbox.enable_logging(BUCKET, prefix="logs")
        airflow = PagesAirflow.at(home, {**sandbox.environment(), **variables})
        try:
            write_dags(airflow.dags, role)
            airflow.start_all()
            for seed, workload in enumerate((LIVE, HELD, WAITING)):
                play(sandbox, workload, count, seed)
            airflow.wait_until_healthy(f"distill_{LIVE}", timeout=420)
            runs = {name: started(airflow, f"distill_{name}") for name in FILES}
            world = World(sandbox, airflow, runs)
            for name, state in ENDS.items():
                wait(
                    lambda name=name, state=state: has_come(world, name, state), f"{name} to be {state}", 600
                )
            yield world
        finally:
            airflow.close()
            if os.environ.get("DISTILL_KEEP_AIRFLOW"):
                print(home)
            else:
                shutil.rmtree(home, ignore_errors=True)


def started(airflow: PagesAirflow, dag_id: str) -> str:
    """Start a run once Airflow knows the Dag; asked again where a busy Airflow gave no answer, it is the same run."""
    run_id = f"manual__{datetime.now(UTC).isoformat()}"
    body = {"logical_date": None, "dag_run_id": run_id}

    def begun() -> bool:
        try:
            airflow.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
            airflow.call("POST", f"/dags/{dag_id}/dagRuns", body)
        except AirflowApiError as error:
            return "HTTP 409" in error.message
        except httpx.HTTPError:
            return False
        return True

    wait(begun, f"a run of {dag_id}", 300, 2.0)
    return run_id


def has_come(world: World, name: str, state: str) -> bool:
    """Say whether a run is where it ends; one that waits is there when its question stands."""
    try:
        found = world.airflow.run_state(world.dag(name), world.runs[name])
        tasks = world.airflow.task_instances(world.dag(name), world.runs[name])
    except httpx.HTTPError:
        return False
    if state == "running":
        if found in ("success", "failed"):
            raise AssertionError(f"{name}: {[(t['task_id'], t['state']) for t in tasks]}")
        return any(
            t["task_id"] == "decision.approve" and t["state"] in ("deferred", "awaiting_input") for t in tasks
        )
    if found in ("success", "failed") and found != state:
        raise AssertionError(f"{name} is {found}: {[(t['task_id'], t['state']) for t in tasks]}")
    return found == state


if __name__ == "__main__":
    with pages_world() as made:
        print(
            json.dumps({"url": made.airflow.url, "home": str(made.airflow.home), "runs": made.runs}),
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)
