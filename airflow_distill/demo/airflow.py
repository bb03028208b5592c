"""A real Airflow of its own: api-server, scheduler, Dag processor, triggerer, LocalExecutor; on 127.0.0.1 only.

Airflow is started as processes and spoken to over its REST API; nothing of it is imported here.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from airflow_distill.demo.processes import Processes, wait_until
from airflow_distill.errors import DistillError

COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


class AirflowApiError(DistillError):
    """Airflow's REST API answered with an error."""


@dataclass
class LocalAirflow:
    """One Airflow in one home folder.

    :param home: its AIRFLOW_HOME; made when missing.
    :param dags: the folder with the Dag files.
    :param port: where the api-server listens.
    :param variables: further environment, such as connections.
    """

    home: Path
    dags: Path
    port: int
    processes: Processes
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the environment of every component; one secret shared by all, no example Dags, no metadata service."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "_AIRFLOW", "AWS_"))}
        secret = self.home / "secret"
        if not secret.is_file():
            self.home.mkdir(parents=True, exist_ok=True)
            secret.touch(0o600)
            secret.write_text(secrets.token_hex(32))
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API__SECRET_KEY": secret.read_text(),
            "API_AUTH__JWT_SECRET": secret.read_text(),
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "LOGGING__LOGGING_LEVEL": "INFO",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        return {
            **kept,
            "AIRFLOW_HOME": str(self.home),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONWARNINGS": "ignore",
            **self.variables,
        }

    def command(self, *words: str) -> list[str]:
        """Return the command line of an `airflow` command in this interpreter."""
        return [sys.executable, "-m", "airflow", *words]

    def begin_migration(self) -> None:
        """Start making the metadata database; `start` waits for it."""
        self.processes.start("db-migrate", self.command("db", "migrate"), self.environment())

    def start(self) -> None:
        """Start the four components once the database is there.

        :raises ProcessDiedError: the migration or a component failed.
        """
        if self.processes.wait("db-migrate", timeout=180) != 0:
            raise AirflowApiError(
                "The metadata database could not be made.",
                hint=f"look at {self.processes.logs / 'db-migrate.log'}",
            )
        for name, words in COMPONENTS.items():
            self.processes.start(name, self.command(*words), self.environment())

    def wait_until_healthy(self, dag_id: str, timeout: float = 150) -> None:
        """Wait until all components report healthy and the Dag is known."""
        wait_until("Airflow", self._is_healthy, self.processes, timeout)
        wait_until(f"the Dag {dag_id}", lambda: self._knows(dag_id), self.processes, timeout)

    def _is_healthy(self) -> bool:
        try:
            health = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (httpx.HTTPError, ValueError):
            return False
        names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(name) or {}).get("status") == "healthy" for name in names)

    def _knows(self, dag_id: str) -> bool:
        errors = self.call("GET", "/importErrors").get("import_errors", [])
        if errors:
            raise AirflowApiError(
                f"{errors[0].get('filename')} cannot be imported:\n{errors[0].get('stack_trace')}",
                hint="fix the Dag file",
            )
        return self._request("GET", f"/dags/{dag_id}").status_code == 200

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the REST API (`/api/v2` + path) and return its JSON.

        :raises AirflowApiError: any status from 400 up.
        """
        answer = self._request(method, path, body)
        if answer.status_code >= 400:
            raise AirflowApiError(
                f"{method} {path}: HTTP {answer.status_code}: {answer.text[:400]}",
                hint=f"look at the logs in {self.processes.logs}",
            )
        result: dict[str, Any] = answer.json() if answer.content else {}
        return result

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.url}/api/v2{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token()}"},
            timeout=30,
        )

    def _token(self) -> str:
        if not hasattr(self, "_cached_token"):
            answer = httpx.get(f"{self.url}/auth/token", timeout=30)
            answer.raise_for_status()
            self._cached_token = str(answer.json()["access_token"])
        return self._cached_token

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Unpause a Dag, start a run and return its run id."""
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        run = self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a Dag run."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=200"
        return list(self.call("GET", path)["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return a task's receipt, or None when it has none."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=false"
        answer = self._request("GET", path)
        if answer.status_code != 200:
            return None
        value = answer.json().get("value")
        if isinstance(value, str):
            import json

            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    def running_slots(self) -> int:
        """Return how many worker slots of the default pool are taken now; deferred tasks take none."""
        pool = self.call("GET", "/pools/default_pool")
        return int(pool.get("running_slots", 0)) + int(pool.get("queued_slots", 0))
